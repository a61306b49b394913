//! PEM (RFC 7468): text in, blocks of DER out, with bounds.
//!
//! Blocks of another kind (as `EC PARAMETERS`, which openssl writes before a key) are passed over.

use der::pem::LineEnding;
use rustls_pki_types::pem::{PemObject, SectionKind};

use super::error::{Error, Result};
use crate::base::Secret;

/// The longest text that is read, in bytes.
pub const TEXT_MAX: usize = 1024 * 1024;
/// How many blocks one text may have.
pub const BLOCKS_MAX: usize = 256;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// A certificate.
    Certificate,
    /// A certification request (PKCS#10).
    Request,
    /// A certificate revocation list.
    Crl,
    /// A public key (SubjectPublicKeyInfo).
    PublicKey,
    /// A private key in PKCS#8.
    Pkcs8,
    /// An RSA private key in PKCS#1.
    Pkcs1,
    /// An elliptic curve private key in SEC 1.
    Sec1,
}

impl Label {
    /// The words between the dashes.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Certificate => "CERTIFICATE",
            Self::Request => "CERTIFICATE REQUEST",
            Self::Crl => "X509 CRL",
            Self::PublicKey => "PUBLIC KEY",
            Self::Pkcs8 => "PRIVATE KEY",
            Self::Pkcs1 => "RSA PRIVATE KEY",
            Self::Sec1 => "EC PRIVATE KEY",
        }
    }

    fn of(kind: SectionKind) -> Option<Self> {
        match kind {
            SectionKind::Certificate => Some(Self::Certificate),
            SectionKind::Csr => Some(Self::Request),
            SectionKind::Crl => Some(Self::Crl),
            SectionKind::PublicKey => Some(Self::PublicKey),
            SectionKind::PrivateKey => Some(Self::Pkcs8),
            SectionKind::RsaPrivateKey => Some(Self::Pkcs1),
            SectionKind::EcPrivateKey => Some(Self::Sec1),
            _ => None,
        }
    }
}

/// One block. Any of them may be a key, so that each is kept as a secret.
#[derive(Debug)]
pub struct Block {
    /// What it says to be.
    pub label: Label,
    /// What it holds.
    pub der: Secret<Vec<u8>>,
}

/// Reads all blocks of a known kind, in order.
///
/// # Errors
/// `Invalid` for a text beyond [`TEXT_MAX`], more than [`BLOCKS_MAX`] blocks, a block without an
/// end or with something else than base64 inside.
pub fn blocks(text: &[u8]) -> Result<Vec<Block>> {
    if text.len() > TEXT_MAX {
        return Err(Error::invalid("the PEM text is too long"));
    }
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        // The cause is not shown: it may quote the text.
        let (kind, der) = section.map_err(|_| Error::invalid("malformed PEM"))?;
        let der = Secret::new(der);
        if found.len() == BLOCKS_MAX {
            return Err(Error::invalid("the PEM text has too many blocks"));
        }
        if let Some(label) = Label::of(kind) {
            found.push(Block { label, der });
        }
    }
    Ok(found)
}

/// Reads the first block of this kind.
///
/// # Errors
/// `Invalid` as for [`blocks`], or when there is none.
pub fn first(text: &[u8], label: Label) -> Result<Vec<u8>> {
    let mut blocks = blocks(text)?;
    match blocks.iter_mut().find(|block| block.label == label) {
        Some(block) => Ok(std::mem::take(block.der.reveal_mut())),
        None => Err(Error::invalid(format!("no {} block in the PEM text", label.text()))),
    }
}

/// Writes a block, with a newline at its end.
///
/// # Errors
/// `Primitive` for contents near the end of the address space only.
pub fn encode(label: Label, der: &[u8]) -> Result<String> {
    der::pem::encode_string(label.text(), LineEnding::LF, der).map_err(|_| Error::Primitive("PEM encoding"))
}

/// Writes a block that must not leak.
///
/// # Errors
/// As for [`encode`].
pub fn encode_secret(label: Label, der: &Secret<Vec<u8>>) -> Result<Secret<String>> {
    encode(label, der.reveal()).map(Secret::new)
}

/// DER from what may be either: PEM when it looks like text, else DER as it is.
///
/// # Errors
/// As for [`first`].
pub fn der_of(input: &[u8], label: Label) -> Result<Vec<u8>> {
    if is_pem(input) { first(input, label) } else { Ok(input.to_vec()) }
}

/// Whether this is PEM rather than DER: DER of everything here begins with a SEQUENCE.
pub fn is_pem(input: &[u8]) -> bool {
    input.first() != Some(&0x30)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_without_an_end_is_refused() {
        for text in [
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
            "-----BEGIN CERTIFICATE-----\nA!AA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(blocks(text.as_bytes()).is_err(), "{text}");
        }
        assert!(blocks(&vec![b'\n'; TEXT_MAX + 1]).is_err());
        assert!(
            blocks("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".repeat(257).as_bytes()).is_err()
        );
    }

    #[test]
    fn other_blocks_and_words_are_passed_over() {
        let text = "a comment\r\n-----BEGIN EC PARAMETERS-----\r\nBggqhkjOPQMBBw==\r\n-----END EC PARAMETERS-----\r\n\
                    -----BEGIN EC PRIVATE KEY-----\r\nAA\r\nAA\r\n-----END EC PRIVATE KEY-----\r\n";
        let found = blocks(text.as_bytes()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].label, found[0].der.reveal().as_slice()), (Label::Sec1, [0, 0, 0].as_slice()));
        assert!(first(text.as_bytes(), Label::Certificate).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(der: Vec<u8>) {
            let text = encode(Label::Request, &der).unwrap();
            prop_assert_eq!(first(text.as_bytes(), Label::Request).unwrap(), der);
        }

        #[test]
        fn garbage_never_panics(text: Vec<u8>, words in "(-----(BEGIN|END) CERTIFICATE-----|[A-Za-z0-9=\n -]{0,9}){0,9}") {
            let _ = blocks(&text);
            let _ = blocks(words.as_bytes());
        }
    }
}

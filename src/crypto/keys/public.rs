//! Public keys as SubjectPublicKeyInfo, and the verification of signatures by them.

use aws_lc_rs::signature as lc;
use der::asn1::{BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};
use sha1::{Digest, Sha1};
use spki::{AlgorithmIdentifier, SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};

use super::kind::{Curve, Hash, KeyKind, RSA_BITS_MAX, RSA_BITS_MIN};
use super::signature::SignatureAlgorithm;
use crate::crypto::error::{Error, Result};
use crate::crypto::pem::{self, Label};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// The longest SubjectPublicKeyInfo that is read, in bytes: RSA 8192 takes 1062.
const SPKI_MAX: usize = 4096;
/// How a point begins that has both of its coordinates (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A public key of a kind that is dealt with, with a valid point or a modulus of a decent size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    spki: Vec<u8>,
    bits: Vec<u8>,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// `Invalid` when it is malformed, its point is not on the curve or its modulus too small or
    /// large; `Unsupported` for another kind of key.
    pub fn from_spki(der: &[u8]) -> Result<Self> {
        let malformed = || Error::invalid("public key: malformed");
        if der.len() > SPKI_MAX {
            return Err(Error::invalid("public key: too long"));
        }
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| malformed())?;
        let bits = info.subject_public_key.as_bytes().ok_or_else(malformed)?;
        let kind = match info.algorithm.oid {
            RSA => KeyKind::Rsa(modulus_bits(bits)?),
            EC => {
                let parameters = info.algorithm.parameters.ok_or_else(malformed)?;
                let curve = parameters.decode_as::<ObjectIdentifier>().map_err(|_| malformed())?;
                match Curve::ALL.into_iter().find(|known| known.oid() == curve) {
                    Some(curve) => KeyKind::Ec(curve),
                    None => return Err(Error::unsupported("the elliptic curve of the public key")),
                }
            }
            ED25519 => KeyKind::Ed25519,
            _ => return Err(Error::unsupported("the kind of the public key")),
        };
        // Other forms of a point are rare, and a key is known by the bytes of this one.
        if matches!(kind, KeyKind::Ec(_)) && bits.first() != Some(&UNCOMPRESSED) {
            return Err(Error::unsupported("a point of the public key that is not written out"));
        }
        lc::ParsedPublicKey::new(any_verifier(kind), bits).map_err(|_| malformed())?;
        Ok(Self { kind, spki: der.to_vec(), bits: bits.to_vec() })
    }

    /// The public half of a pair that aws-lc made or took in: `bits` are its own words, and not checked again.
    pub(super) fn of_pair(kind: KeyKind, bits: &[u8]) -> Result<Self> {
        let refused = |_| Error::Primitive("encoding a public key");
        let (oid, curve) = match kind {
            KeyKind::Ec(curve) => (EC, Some(curve.oid())),
            KeyKind::Ed25519 => (ED25519, None),
            KeyKind::Rsa(_) => return Err(Error::Primitive("encoding a public key")),
        };
        let info = SubjectPublicKeyInfo {
            algorithm: AlgorithmIdentifier { oid, parameters: curve },
            subject_public_key: BitStringRef::from_bytes(bits).map_err(refused)?,
        };
        Ok(Self { kind, spki: info.to_der().map_err(refused)?, bits: bits.to_vec() })
    }

    /// Reads a `PUBLIC KEY` block.
    ///
    /// # Errors
    /// As for [`PublicKey::from_spki`].
    pub fn from_pem(text: &str) -> Result<Self> {
        Self::from_spki(&pem::first(text.as_bytes(), Label::PublicKey)?)
    }

    /// Its kind and size.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The SubjectPublicKeyInfo, in DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// What is inside the bit string: an RSAPublicKey, an uncompressed point, or 32 bytes.
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// The `PUBLIC KEY` block.
    ///
    /// # Errors
    /// As for [`pem::encode`].
    pub fn pem(&self) -> Result<String> {
        pem::encode(Label::PublicKey, &self.spki)
    }

    /// The key identifier of RFC 5280 §4.2.1.2 (1): SHA-1 of the bits. A name, not a protection.
    pub fn key_id(&self) -> [u8; 20] {
        Sha1::digest(&self.bits).into()
    }

    /// Checks a signature.
    ///
    /// # Errors
    /// `Signature` when it does not match, `Unsupported` when a key of this kind cannot have made it.
    pub fn verify(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> Result<()> {
        lc::UnparsedPublicKey::new(verifier(self.kind, algorithm)?, &self.bits)
            .verify(message, signature)
            .map_err(|_| Error::Signature)
    }
}

/// The size of an RSA modulus.
fn modulus_bits(der: &[u8]) -> Result<u32> {
    #[derive(Sequence)]
    struct RsaPublicKey<'a> {
        modulus: UintRef<'a>,
        exponent: UintRef<'a>,
    }
    let key = RsaPublicKey::from_der(der).map_err(|_| Error::invalid("public key: malformed"))?;
    let modulus = key.modulus.as_bytes();
    let leading = modulus.first().map_or(0, |byte| byte.leading_zeros());
    // SPKI_MAX bounds the length, so that this cannot overflow.
    let bits = (modulus.len() as u32 * 8).saturating_sub(leading);
    if key.exponent.as_bytes().len() > 8 || !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(Error::invalid("public key: an RSA key must have 2048 to 8192 bits"));
    }
    Ok(bits)
}

/// Any algorithm that fits, to have the key itself checked.
fn any_verifier(kind: KeyKind) -> &'static dyn lc::VerificationAlgorithm {
    match kind {
        KeyKind::Rsa(_) => &lc::RSA_PKCS1_2048_8192_SHA256,
        KeyKind::Ec(Curve::P256) => &lc::ECDSA_P256_SHA256_ASN1,
        KeyKind::Ec(Curve::P384) => &lc::ECDSA_P384_SHA384_ASN1,
        KeyKind::Ec(Curve::P521) => &lc::ECDSA_P521_SHA512_ASN1,
        KeyKind::Ed25519 => &lc::ED25519,
    }
}

fn verifier(kind: KeyKind, algorithm: SignatureAlgorithm) -> Result<&'static dyn lc::VerificationAlgorithm> {
    use SignatureAlgorithm as S;
    Ok(match (kind, algorithm) {
        (KeyKind::Rsa(_), S::RsaPkcs1(Hash::Sha256)) => &lc::RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa(_), S::RsaPkcs1(Hash::Sha384)) => &lc::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa(_), S::RsaPkcs1(Hash::Sha512)) => &lc::RSA_PKCS1_2048_8192_SHA512,
        (KeyKind::Rsa(_), S::RsaPss(Hash::Sha256)) => &lc::RSA_PSS_2048_8192_SHA256,
        (KeyKind::Rsa(_), S::RsaPss(Hash::Sha384)) => &lc::RSA_PSS_2048_8192_SHA384,
        (KeyKind::Rsa(_), S::RsaPss(Hash::Sha512)) => &lc::RSA_PSS_2048_8192_SHA512,
        (KeyKind::Ec(Curve::P256), S::Ecdsa(Hash::Sha256)) => &lc::ECDSA_P256_SHA256_ASN1,
        (KeyKind::Ec(Curve::P256), S::Ecdsa(Hash::Sha384)) => &lc::ECDSA_P256_SHA384_ASN1,
        (KeyKind::Ec(Curve::P256), S::Ecdsa(Hash::Sha512)) => &lc::ECDSA_P256_SHA512_ASN1,
        (KeyKind::Ec(Curve::P384), S::Ecdsa(Hash::Sha256)) => &lc::ECDSA_P384_SHA256_ASN1,
        (KeyKind::Ec(Curve::P384), S::Ecdsa(Hash::Sha384)) => &lc::ECDSA_P384_SHA384_ASN1,
        (KeyKind::Ec(Curve::P384), S::Ecdsa(Hash::Sha512)) => &lc::ECDSA_P384_SHA512_ASN1,
        (KeyKind::Ec(Curve::P521), S::Ecdsa(Hash::Sha256)) => &lc::ECDSA_P521_SHA256_ASN1,
        (KeyKind::Ec(Curve::P521), S::Ecdsa(Hash::Sha384)) => &lc::ECDSA_P521_SHA384_ASN1,
        (KeyKind::Ec(Curve::P521), S::Ecdsa(Hash::Sha512)) => &lc::ECDSA_P521_SHA512_ASN1,
        (KeyKind::Ed25519, S::Ed25519) => &lc::ED25519,
        _ => return Err(Error::unsupported(format!("{} by a key of the kind {kind}", algorithm.name()))),
    })
}

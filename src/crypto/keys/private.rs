//! Private keys: made, read from what people bring, written in the forms that the API gives out.

use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self as lc, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Encode, Sequence, SliceReader, Tag, Tagged};
use spki::AlgorithmIdentifierRef;

use super::kind::{Curve, Hash, KeyKind};
use super::public::PublicKey;
use super::signature::SignatureAlgorithm;
use crate::base::Secret;
use crate::crypto::error::{Error, Result};
use crate::crypto::pem::{self, Label};

/// The longest encoding that is read, in bytes: RSA 8192 takes about 4700.
const DER_MAX: usize = 16 * 1024;

/// A private key. It lives in aws-lc's memory, which is wiped when freed.
pub struct PrivateKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ec(Curve, EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Makes a key. An RSA key takes up to a second or two: not on a thread that others wait for.
    ///
    /// # Errors
    /// `Unsupported` for RSA of another size than 2048, 3072 or 4096.
    pub fn generate(kind: KeyKind) -> Result<Self> {
        let failed = |_| Error::Primitive("key generation");
        let pair = match kind {
            KeyKind::Ec(curve) => {
                Pair::Ec(curve, EcdsaKeyPair::generate(signing(curve, own_hash(curve))?).map_err(failed)?)
            }
            KeyKind::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
            KeyKind::Rsa(bits) => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    _ => return Err(Error::unsupported(format!("an RSA key of {bits} bits"))),
                };
                Pair::Rsa(RsaKeyPair::generate(size).map_err(failed)?)
            }
        };
        Self::with(pair)
    }

    /// Reads the first private key of a PEM text: PKCS#8, SEC 1 or PKCS#1.
    ///
    /// # Errors
    /// `Invalid` when there is none or it is malformed, `Unsupported` for another kind of key.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        for block in pem::blocks(text)? {
            let der = block.der.reveal();
            return match block.label {
                Label::Pkcs8 => Self::from_pkcs8(der),
                Label::Sec1 => bounded(der).and_then(Self::from_sec1),
                Label::Pkcs1 => bounded(der).and_then(Self::from_pkcs1),
                _ => continue,
            };
        }
        Err(Error::invalid("private key: no unencrypted private key in the PEM text"))
    }

    /// Reads DER in any of the three forms.
    ///
    /// # Errors
    /// As for [`PrivateKey::from_pem`].
    pub fn from_der(der: &[u8]) -> Result<Self> {
        bounded(der)?;
        if Pkcs8::from_der(der).is_ok() {
            return Self::from_pkcs8(der);
        }
        Self::from_pkcs1(der).or_else(|_| Self::from_sec1(der))
    }

    /// Reads a PKCS#8 PrivateKeyInfo, version 1 or 2.
    ///
    /// # Errors
    /// As for [`PrivateKey::from_pem`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let info = Pkcs8::from_der(bounded(der)?).map_err(|_| malformed())?;
        match info.algorithm.oid {
            ID_RSA => Self::with(Pair::Rsa(RsaKeyPair::from_pkcs8(der).map_err(|_| malformed())?)),
            ID_ED25519 => Self::with(Pair::Ed25519(Ed25519KeyPair::from_pkcs8(der).map_err(|_| malformed())?)),
            ID_EC => {
                let parameters = info.algorithm.parameters.ok_or_else(malformed)?;
                let oid = parameters.decode_as::<ObjectIdentifier>().map_err(|_| malformed())?;
                let curve = Curve::ALL.into_iter().find(|curve| curve.oid() == oid);
                let curve = curve.ok_or_else(|| Error::unsupported("the elliptic curve of the private key"))?;
                Self::with_ec(curve, der).ok_or_else(malformed)?
            }
            _ => Err(Error::unsupported("the kind of the private key")),
        }
    }

    /// Its kind and size.
    pub fn kind(&self) -> KeyKind {
        self.public.kind()
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message, which is hashed here.
    ///
    /// # Errors
    /// `Unsupported` when a key of this kind has no such signature.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>> {
        let failed = |_| Error::Primitive("signing");
        let rng = SystemRandom::new();
        match (&self.pair, algorithm) {
            (Pair::Ec(curve, pair), SignatureAlgorithm::Ecdsa(hash)) => {
                if hash == own_hash(*curve) {
                    return Ok(pair.sign(&rng, message).map_err(failed)?.as_ref().to_vec());
                }
                // A pair is bound to a digest; for another one it is made again.
                let wanted = signing(*curve, hash)?;
                let pkcs8 = self.pkcs8()?;
                let pair = EcdsaKeyPair::from_private_key_der(wanted, pkcs8.reveal())
                    .map_err(|_| Error::Primitive("signing"))?;
                Ok(pair.sign(&rng, message).map_err(failed)?.as_ref().to_vec())
            }
            (Pair::Ed25519(pair), SignatureAlgorithm::Ed25519) => {
                Ok(pair.try_sign(message).map_err(failed)?.as_ref().to_vec())
            }
            (Pair::Rsa(pair), SignatureAlgorithm::RsaPkcs1(hash)) => rsa_sign(pair, pkcs1(hash), message),
            (Pair::Rsa(pair), SignatureAlgorithm::RsaPss(hash)) => rsa_sign(pair, pss(hash), message),
            _ => Err(Error::unsupported(format!("{} by a key of the kind {}", algorithm.name(), self.kind()))),
        }
    }

    /// PKCS#8, version 1.
    ///
    /// # Errors
    /// `Primitive` if aws-lc refuses.
    pub fn pkcs8(&self) -> Result<Secret<Vec<u8>>> {
        let refused = |_| Error::Primitive("encoding a private key");
        let der = match &self.pair {
            Pair::Ec(_, pair) => pair.to_pkcs8v1().map_err(refused)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map_err(refused)?.as_ref().to_vec(),
            Pair::Rsa(pair) => AsDer::<Pkcs8V1Der<'static>>::as_der(pair).map_err(refused)?.as_ref().to_vec(),
        };
        Ok(Secret::new(der))
    }

    /// The form that the API calls `der`: SEC 1 for EC, PKCS#1 for RSA, PKCS#8 for Ed25519; with
    /// the label that its PEM has.
    ///
    /// # Errors
    /// `Primitive` if aws-lc refuses.
    pub fn traditional(&self) -> Result<(Label, Secret<Vec<u8>>)> {
        match &self.pair {
            Pair::Ec(curve, pair) => Ok((Label::Sec1, sec1(pair, *curve, self.public.bits())?)),
            Pair::Rsa(_) => {
                let pkcs8 = self.pkcs8()?;
                let info = Pkcs8::from_der(pkcs8.reveal()).map_err(|_| Error::Primitive("encoding a private key"))?;
                Ok((Label::Pkcs1, Secret::new(info.private_key.as_bytes().to_vec())))
            }
            Pair::Ed25519(_) => Ok((Label::Pkcs8, self.pkcs8()?)),
        }
    }

    /// The `PRIVATE KEY` block.
    ///
    /// # Errors
    /// As for [`PrivateKey::pkcs8`].
    pub fn pkcs8_pem(&self) -> Result<Secret<String>> {
        pem::encode_secret(Label::Pkcs8, &self.pkcs8()?)
    }

    /// The block that the API gives out unless PKCS#8 is asked for: see [`PrivateKey::traditional`].
    ///
    /// # Errors
    /// As for [`PrivateKey::traditional`].
    pub fn traditional_pem(&self) -> Result<Secret<String>> {
        let (label, der) = self.traditional()?;
        pem::encode_secret(label, &der)
    }

    fn from_sec1(der: &[u8]) -> Result<Self> {
        // The curve may be left out; then the first whose order is larger than the number is meant.
        Curve::ALL.into_iter().find_map(|curve| Self::with_ec(curve, der)).ok_or_else(malformed)?
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self> {
        Self::with(Pair::Rsa(RsaKeyPair::from_der(der).map_err(|_| malformed())?))
    }

    fn with_ec(curve: Curve, der: &[u8]) -> Option<Result<Self>> {
        let algorithm = signing(curve, own_hash(curve)).ok()?;
        EcdsaKeyPair::from_private_key_der(algorithm, der).ok().map(|pair| Self::with(Pair::Ec(curve, pair)))
    }

    fn with(pair: Pair) -> Result<Self> {
        let refused = |_| Error::Primitive("encoding a public key");
        let public = match &pair {
            Pair::Ec(curve, pair) => PublicKey::of_pair(KeyKind::Ec(*curve), pair.public_key().as_ref())?,
            Pair::Ed25519(pair) => PublicKey::of_pair(KeyKind::Ed25519, pair.public_key().as_ref())?,
            Pair::Rsa(pair) => {
                let spki: PublicKeyX509Der<'static> = pair.public_key().as_der().map_err(refused)?;
                PublicKey::from_spki(spki.as_ref())?
            }
        };
        Ok(Self { public, pair })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, ..)", self.kind())
    }
}

const ID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

fn malformed() -> Error {
    Error::invalid("private key: malformed")
}

fn bounded(der: &[u8]) -> Result<&[u8]> {
    if der.len() > DER_MAX { Err(Error::invalid("private key: too long")) } else { Ok(der) }
}

const fn own_hash(curve: Curve) -> Hash {
    match curve {
        Curve::P256 => Hash::Sha256,
        Curve::P384 => Hash::Sha384,
        Curve::P521 => Hash::Sha512,
    }
}

fn signing(curve: Curve, hash: Hash) -> Result<&'static lc::EcdsaSigningAlgorithm> {
    Ok(match (curve, hash) {
        (Curve::P256, Hash::Sha256) => &lc::ECDSA_P256_SHA256_ASN1_SIGNING,
        (Curve::P384, Hash::Sha384) => &lc::ECDSA_P384_SHA384_ASN1_SIGNING,
        (Curve::P521, Hash::Sha256) => &lc::ECDSA_P521_SHA256_ASN1_SIGNING,
        (Curve::P521, Hash::Sha384) => &lc::ECDSA_P521_SHA384_ASN1_SIGNING,
        (Curve::P521, Hash::Sha512) => &lc::ECDSA_P521_SHA512_ASN1_SIGNING,
        _ => {
            let (hash, curve) = (hash.bits(), curve.bits());
            return Err(Error::unsupported(format!("a signature of {hash} bits by a key on P-{curve}")));
        }
    })
}

/// ECPrivateKey (RFC 5915). The point is at hand: aws-lc would work it out again from the number.
fn sec1(pair: &EcdsaKeyPair, curve: Curve, point: &[u8]) -> Result<Secret<Vec<u8>>> {
    let refused = |_| Error::Primitive("encoding a private key");
    let number: EcPrivateKeyBin<'static> =
        pair.private_key().as_be_bytes().map_err(|_| Error::Primitive("encoding a private key"))?;
    let key = EcPrivateKey {
        version: 1,
        number: OctetStringRef::new(number.as_ref()).map_err(refused)?,
        curve: curve.oid(),
        point: BitStringRef::from_bytes(point).map_err(refused)?,
    };
    Ok(Secret::new(key.to_der().map_err(refused)?))
}

#[derive(Sequence)]
struct EcPrivateKey<'a> {
    version: u8,
    number: &'a OctetStringRef,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    curve: ObjectIdentifier,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT")]
    point: BitStringRef<'a>,
}

const fn pkcs1(hash: Hash) -> &'static dyn lc::RsaEncoding {
    match hash {
        Hash::Sha256 => &lc::RSA_PKCS1_SHA256,
        Hash::Sha384 => &lc::RSA_PKCS1_SHA384,
        Hash::Sha512 => &lc::RSA_PKCS1_SHA512,
    }
}

const fn pss(hash: Hash) -> &'static dyn lc::RsaEncoding {
    match hash {
        Hash::Sha256 => &lc::RSA_PSS_SHA256,
        Hash::Sha384 => &lc::RSA_PSS_SHA384,
        Hash::Sha512 => &lc::RSA_PSS_SHA512,
    }
}

fn rsa_sign(pair: &RsaKeyPair, encoding: &'static dyn lc::RsaEncoding, message: &[u8]) -> Result<Vec<u8>> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature).map_err(|_| Error::Primitive("signing"))?;
    Ok(signature)
}

/// The head of a PrivateKeyInfo (RFC 5958): what follows the key (attributes, the public key) is
/// for aws-lc to read.
struct Pkcs8<'a> {
    algorithm: AlgorithmIdentifierRef<'a>,
    private_key: &'a OctetStringRef,
}

impl<'a> Pkcs8<'a> {
    fn from_der(der: &'a [u8]) -> der::Result<Self> {
        let whole = AnyRef::from_der(der)?;
        whole.tag().assert_eq(Tag::Sequence)?;
        let mut inside = SliceReader::new(whole.value())?;
        if u8::decode(&mut inside)? > 1 {
            return Err(der::ErrorKind::Failed.into());
        }
        Ok(Self {
            algorithm: AlgorithmIdentifierRef::decode(&mut inside)?,
            private_key: <&OctetStringRef>::decode(&mut inside)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use aws_lc_rs::encoding::EcPrivateKeyRfc5915Der;
    use proptest::prelude::*;

    use super::*;

    const KINDS: [KeyKind; 5] = [
        KeyKind::Ec(Curve::P256),
        KeyKind::Ec(Curve::P384),
        KeyKind::Ec(Curve::P521),
        KeyKind::Rsa(2048),
        KeyKind::Ed25519,
    ];

    fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    #[test]
    fn sizes_nobody_should_use_are_refused() {
        assert!(PrivateKey::generate(KeyKind::Rsa(1024)).is_err());
        assert!(PrivateKey::generate(KeyKind::Rsa(2056)).is_err());
        let weak = openssl(&["genrsa", "-traditional", "1024"], b"");
        assert!(PrivateKey::from_pem(&weak).is_err());
        let other = openssl(&["ecparam", "-genkey", "-noout", "-name", "secp256k1"], b"");
        assert!(PrivateKey::from_pem(&other).is_err());
    }

    #[test]
    fn what_is_no_private_key_is_refused() {
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        let public = key.public().pem().unwrap();
        let error = PrivateKey::from_pem(public.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "private key: no unencrypted private key in the PEM text");
        let mut der = key.pkcs8().unwrap().reveal().clone();
        der.pop();
        assert!(PrivateKey::from_der(&der).is_err());
        assert!(PrivateKey::from_der(&vec![0x30; DER_MAX + 1]).is_err());
    }

    #[test]
    fn every_form_reads_back_and_openssl_reads_it_too() {
        for kind in KINDS {
            let key = PrivateKey::generate(kind).unwrap();
            assert_eq!(key.kind(), kind);
            let public =
                String::from_utf8(openssl(&["pkey", "-pubout"], key.pkcs8_pem().unwrap().reveal().as_bytes())).unwrap();
            assert_eq!(public, key.public().pem().unwrap());
            let traditional = key.traditional_pem().unwrap();
            assert_eq!(openssl(&["pkey", "-pubout"], traditional.reveal().as_bytes()), public.as_bytes());
            for pem in [key.pkcs8_pem().unwrap(), traditional] {
                let read = PrivateKey::from_pem(pem.reveal().as_bytes()).unwrap();
                assert_eq!(read.pkcs8().unwrap().reveal(), key.pkcs8().unwrap().reveal());
            }
            let (_, der) = key.traditional().unwrap();
            assert_eq!(PublicKey::from_spki(key.public().spki()).unwrap(), *key.public());
            if let Pair::Ec(_, pair) = &key.pair {
                let theirs: EcPrivateKeyRfc5915Der<'static> = pair.private_key().as_der().unwrap();
                assert_eq!(der.reveal(), theirs.as_ref());
            }
            assert_eq!(PrivateKey::from_der(der.reveal()).unwrap().public(), key.public());
            assert_eq!(PublicKey::from_pem(&public).unwrap(), *key.public());
        }
    }

    #[test]
    fn keys_made_by_openssl_are_read() {
        for (arguments, kind) in [
            (vec!["ecparam", "-genkey", "-name", "prime256v1"], KeyKind::Ec(Curve::P256)),
            (vec!["ecparam", "-genkey", "-noout", "-name", "secp384r1"], KeyKind::Ec(Curve::P384)),
            (vec!["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], KeyKind::Ec(Curve::P521)),
            (vec!["genrsa", "-traditional", "2048"], KeyKind::Rsa(2048)),
            (vec!["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"], KeyKind::Rsa(3072)),
            (vec!["genpkey", "-algorithm", "ED25519"], KeyKind::Ed25519),
        ] {
            let pem = openssl(&arguments, b"");
            let key = PrivateKey::from_pem(&pem).unwrap();
            assert_eq!(key.kind(), kind);
            assert_eq!(key.public().pem().unwrap().as_bytes(), openssl(&["pkey", "-pubout"], &pem));
        }
    }

    #[test]
    fn a_sec1_key_that_leaves_out_its_curve_is_read() {
        for curve in Curve::ALL {
            let key = PrivateKey::generate(KeyKind::Ec(curve)).unwrap();
            let pkcs8 = key.pkcs8().unwrap();
            // Inside PKCS#8 the curve is said by the algorithm, and left out of the key itself.
            let inner = Pkcs8::from_der(pkcs8.reveal()).unwrap().private_key.as_bytes();
            assert_eq!(PrivateKey::from_der(inner).unwrap().public(), key.public());
        }
    }

    #[test]
    fn every_signature_verifies_and_no_other_does() {
        for kind in KINDS {
            let key = PrivateKey::generate(kind).unwrap();
            let other = PrivateKey::generate(kind).unwrap();
            for hash in [None, Some(Hash::Sha256), Some(Hash::Sha384), Some(Hash::Sha512)] {
                for padded in [false, true] {
                    let Ok(algorithm) = SignatureAlgorithm::for_key(kind, hash, padded) else {
                        assert!(matches!(kind, KeyKind::Ec(Curve::P256 | Curve::P384)));
                        continue;
                    };
                    let signature = key.sign(algorithm, b"message").unwrap();
                    key.public().verify(algorithm, b"message", &signature).unwrap();
                    assert!(matches!(key.public().verify(algorithm, b"massage", &signature), Err(Error::Signature)));
                    assert!(other.public().verify(algorithm, b"message", &signature).is_err());
                    assert!(key.public().verify(algorithm, b"message", &signature[1..]).is_err());
                }
            }
        }
    }

    #[test]
    fn a_key_of_one_kind_has_no_signature_of_another() {
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        assert!(key.sign(SignatureAlgorithm::Ecdsa(Hash::Sha256), b"").is_err());
        assert!(key.public().verify(SignatureAlgorithm::RsaPkcs1(Hash::Sha256), b"", b"").is_err());
    }

    #[test]
    fn debug_says_nothing_but_the_kind() {
        let key = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey(ec 256, ..)");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(garbage: Vec<u8>, place: usize, byte: u8) {
            let _ = PrivateKey::from_der(&garbage);
            let _ = PrivateKey::from_pem(&garbage);
            let _ = PublicKey::from_spki(&garbage);
            let ec = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
            for mut der in [ec.pkcs8().unwrap().reveal().clone(), ec.traditional().unwrap().1.reveal().clone()] {
                let place = place % der.len();
                der[place] = byte;
                let _ = PrivateKey::from_der(&der);
            }
            let mut der = hex::decode("302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842").unwrap();
            let place = place % der.len();
            der[place] = byte;
            let _ = PrivateKey::from_der(&der);
        }
    }
}

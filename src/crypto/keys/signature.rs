//! Which signature algorithm, and the AlgorithmIdentifier it is known by (RFC 3279, 4055, 5758, 8410).

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Encode, Sequence};
use spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef};

use super::kind::{Curve, Hash, KeyKind};
use crate::crypto::error::{Error, Result};

const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// How a message is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1(Hash),
    /// RSASSA-PSS, with MGF1 of the same digest and a salt as long as it.
    RsaPss(Hash),
    /// ECDSA, as a DER sequence of r and s.
    Ecdsa(Hash),
    /// Ed25519.
    Ed25519,
}

impl SignatureAlgorithm {
    /// What a key of this kind signs with: the digest that was asked for, or the one that suits the
    /// key. `pss` counts for RSA only; for Ed25519 the digest does not count either.
    ///
    /// # Errors
    /// `Unsupported` for P-256 and P-384 with a digest that is not theirs.
    pub fn for_key(kind: KeyKind, hash: Option<Hash>, pss: bool) -> Result<Self> {
        match kind {
            KeyKind::Rsa(_) if pss => Ok(Self::RsaPss(hash.unwrap_or(Hash::Sha256))),
            KeyKind::Rsa(_) => Ok(Self::RsaPkcs1(hash.unwrap_or(Hash::Sha256))),
            KeyKind::Ec(curve) => {
                let own = match curve {
                    Curve::P256 => Hash::Sha256,
                    Curve::P384 => Hash::Sha384,
                    Curve::P521 => Hash::Sha512,
                };
                match hash {
                    Some(hash) if hash != own && curve != Curve::P521 => Err(Error::unsupported(format!(
                        "a signature of {} bits by a key on P-{}",
                        hash.bits(),
                        curve.bits()
                    ))),
                    _ => Ok(Self::Ecdsa(hash.unwrap_or(own))),
                }
            }
            KeyKind::Ed25519 => Ok(Self::Ed25519),
        }
    }

    /// The name that people know, as Go writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaPkcs1(Hash::Sha256) => "SHA256WithRSA",
            Self::RsaPkcs1(Hash::Sha384) => "SHA384WithRSA",
            Self::RsaPkcs1(Hash::Sha512) => "SHA512WithRSA",
            Self::RsaPss(Hash::Sha256) => "SHA256WithRSAPSS",
            Self::RsaPss(Hash::Sha384) => "SHA384WithRSAPSS",
            Self::RsaPss(Hash::Sha512) => "SHA512WithRSAPSS",
            Self::Ecdsa(Hash::Sha256) => "ECDSAWithSHA256",
            Self::Ecdsa(Hash::Sha384) => "ECDSAWithSHA384",
            Self::Ecdsa(Hash::Sha512) => "ECDSAWithSHA512",
            Self::Ed25519 => "Ed25519",
        }
    }

    /// How certificates, requests and lists name it.
    ///
    /// # Errors
    /// `Primitive` if the encoder refuses what is always the same.
    pub fn identifier(self) -> Result<AlgorithmIdentifierOwned> {
        let refused = |_| Error::Primitive("encoding an algorithm identifier");
        let parameters = match self {
            Self::RsaPkcs1(_) => Some(der::Any::null()),
            Self::RsaPss(hash) => Some(der::Any::encode_from(&PssParameters::new(hash)).map_err(refused)?),
            Self::Ecdsa(_) | Self::Ed25519 => None,
        };
        Ok(AlgorithmIdentifierOwned { oid: self.oid(), parameters })
    }

    /// The algorithm of this name.
    ///
    /// # Errors
    /// `Unsupported` for any other, MD5 and SHA-1 among them.
    pub fn of(identifier: &AlgorithmIdentifierOwned) -> Result<Self> {
        let no_parameters = match &identifier.parameters {
            None => true,
            // RFC 4055 wants NULL for RSA, the others want nothing; both are seen.
            Some(any) => any.is_null(),
        };
        if identifier.oid == RSA_PSS {
            let der = identifier.parameters.as_ref().and_then(|any| any.to_der().ok());
            return der
                .and_then(|der| PssParameters::from_der(&der).ok()?.hash())
                .map(Self::RsaPss)
                .ok_or_else(|| Error::unsupported("this form of the signature algorithm RSASSA-PSS"));
        }
        let known = Hash::ALL
            .into_iter()
            .flat_map(|hash| [Self::RsaPkcs1(hash), Self::Ecdsa(hash)])
            .chain([Self::Ed25519])
            .find(|algorithm| algorithm.oid() == identifier.oid);
        match known {
            Some(algorithm) if no_parameters => Ok(algorithm),
            _ => Err(Error::unsupported(format!("the signature algorithm {}", identifier.oid))),
        }
    }

    const fn oid(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::RsaPkcs1(Hash::Sha256) => "1.2.840.113549.1.1.11",
            Self::RsaPkcs1(Hash::Sha384) => "1.2.840.113549.1.1.12",
            Self::RsaPkcs1(Hash::Sha512) => "1.2.840.113549.1.1.13",
            Self::RsaPss(_) => return RSA_PSS,
            Self::Ecdsa(Hash::Sha256) => "1.2.840.10045.4.3.2",
            Self::Ecdsa(Hash::Sha384) => "1.2.840.10045.4.3.3",
            Self::Ecdsa(Hash::Sha512) => "1.2.840.10045.4.3.4",
            Self::Ed25519 => return ED25519,
        })
    }
}

const fn digest_oid(hash: Hash) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(match hash {
        Hash::Sha256 => "2.16.840.1.101.3.4.2.1",
        Hash::Sha384 => "2.16.840.1.101.3.4.2.2",
        Hash::Sha512 => "2.16.840.1.101.3.4.2.3",
    })
}

/// RSASSA-PSS-params of RFC 4055. The defaults (SHA-1) are never meant, so all three must be there.
#[derive(Sequence)]
struct PssParameters<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    hash: AlgorithmIdentifierRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT")]
    mask: MaskGeneration<'a>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    salt_len: u32,
}

#[derive(Sequence)]
struct MaskGeneration<'a> {
    oid: ObjectIdentifier,
    hash: AlgorithmIdentifierRef<'a>,
}

impl PssParameters<'_> {
    fn new(hash: Hash) -> Self {
        let digest = AlgorithmIdentifierRef { oid: digest_oid(hash), parameters: Some(AnyRef::NULL) };
        Self { hash: digest, mask: MaskGeneration { oid: MGF1, hash: digest }, salt_len: hash.bits() / 8 }
    }

    fn hash(&self) -> Option<Hash> {
        let hash = Hash::ALL.into_iter().find(|hash| digest_oid(*hash) == self.hash.oid)?;
        let same = self.mask.oid == MGF1 && self.mask.hash.oid == self.hash.oid;
        (same && self.salt_len == hash.bits() / 8).then_some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<SignatureAlgorithm> {
        let mut all = vec![SignatureAlgorithm::Ed25519];
        for hash in Hash::ALL {
            all.extend([
                SignatureAlgorithm::RsaPkcs1(hash),
                SignatureAlgorithm::RsaPss(hash),
                SignatureAlgorithm::Ecdsa(hash),
            ]);
        }
        all
    }

    #[test]
    fn identifiers_round_trip() {
        for algorithm in all() {
            let der = algorithm.identifier().unwrap().to_der().unwrap();
            let read = AlgorithmIdentifierOwned::from_der(&der).unwrap();
            assert_eq!(SignatureAlgorithm::of(&read).unwrap(), algorithm);
        }
    }

    #[test]
    fn weak_and_strange_algorithms_are_refused() {
        // MD5, SHA-1, and SHA-224 with RSA; SHA-1 with ECDSA; DSA with SHA-256; Ed448.
        for oid in [
            "1.2.840.113549.1.1.4",
            "1.2.840.113549.1.1.5",
            "1.2.840.113549.1.1.14",
            "1.2.840.10045.4.1",
            "2.16.840.1.101.3.4.3.2",
            "1.3.101.113",
        ] {
            let identifier = AlgorithmIdentifierOwned { oid: ObjectIdentifier::new(oid).unwrap(), parameters: None };
            assert!(SignatureAlgorithm::of(&identifier).is_err(), "{oid}");
        }
        let bare = AlgorithmIdentifierOwned { oid: RSA_PSS, parameters: None };
        assert!(SignatureAlgorithm::of(&bare).is_err());
        let mut odd = PssParameters::new(Hash::Sha256);
        odd.salt_len = 0;
        let odd = AlgorithmIdentifierOwned { oid: RSA_PSS, parameters: Some(der::Any::encode_from(&odd).unwrap()) };
        assert!(SignatureAlgorithm::of(&odd).is_err());
    }

    #[test]
    fn a_curve_keeps_its_digest() {
        let p256 = KeyKind::Ec(Curve::P256);
        assert!(SignatureAlgorithm::for_key(p256, Some(Hash::Sha512), false).is_err());
        assert_eq!(SignatureAlgorithm::for_key(p256, None, true).unwrap(), SignatureAlgorithm::Ecdsa(Hash::Sha256));
        let p521 = KeyKind::Ec(Curve::P521);
        assert_eq!(
            SignatureAlgorithm::for_key(p521, Some(Hash::Sha256), false).unwrap(),
            SignatureAlgorithm::Ecdsa(Hash::Sha256)
        );
    }
}

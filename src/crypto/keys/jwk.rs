//! Public keys as JSON (RFC 7517), their thumbprints (RFC 7638), and the signatures that JWS makes with them.
//!
//! Only the members that make the key are read; what else an object claims of it (`alg`, `use`, a private part) is
//! left where it is, so that a key is the same whatever somebody wrote beside it.

use aws_lc_rs::signature as lc;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use der::asn1::{BitStringRef, ObjectIdentifier, UintRef};
use der::{Any, Decode, Encode, Sequence};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfo};

use super::kind::{Curve, KeyKind};
use super::public::PublicKey;
use crate::base::Json;
use crate::crypto::error::{Error, Result};
use crate::crypto::sha256;

/// The longest member that is read, in characters: the modulus of an RSA key of 8192 bits has 1366.
const MEMBER_MAX: usize = 2048;

/// A public key that came, or goes, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwk(PublicKey);

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl Jwk {
    /// Of a key that is here.
    pub const fn of(key: PublicKey) -> Self {
        Self(key)
    }

    /// Reads an EC, RSA or Ed25519 key.
    ///
    /// # Errors
    /// `Invalid` for what is malformed, `Unsupported` for other kinds and curves; as for [`PublicKey::from_spki`].
    pub fn from_json(json: &Json) -> Result<Self> {
        let member = |name: &str| -> Result<Vec<u8>> {
            let text = json.at(name).and_then(Json::as_str).filter(|text| text.len() <= MEMBER_MAX);
            let text = text.ok_or_else(|| Error::invalid(format!("jwk: '{name}' is missing or no text")))?;
            BASE64.decode(text).map_err(|_| Error::invalid(format!("jwk: '{name}' is no base64url")))
        };
        let word = |name: &str| json.at(name).and_then(Json::as_str).unwrap_or_default();
        let (algorithm, bits) = match (word("kty"), word("crv")) {
            ("EC", name) => {
                let curve = Curve::ALL.into_iter().find(|curve| crv(*curve) == name);
                let curve = curve.ok_or_else(|| Error::unsupported("the curve of the jwk"))?;
                let (x, y) = (member("x")?, member("y")?);
                let width = width(curve);
                if x.len() != width || y.len() != width {
                    return Err(Error::invalid("jwk: a coordinate of the wrong length"));
                }
                (identifier("1.2.840.10045.2.1", Some(curve.oid()))?, [&[4], &x[..], &y[..]].concat())
            }
            ("RSA", _) => {
                let (n, e) = (member("n")?, member("e")?);
                let malformed = |_| Error::invalid("jwk: malformed RSA key");
                let key = RsaPublicKey {
                    modulus: UintRef::new(&n).map_err(malformed)?,
                    exponent: UintRef::new(&e).map_err(malformed)?,
                };
                let null = AlgorithmIdentifierOwned {
                    oid: ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"),
                    parameters: Some(Any::null()),
                };
                (null, key.to_der().map_err(malformed)?)
            }
            ("OKP", "Ed25519") => (identifier("1.3.101.112", None)?, member("x")?),
            _ => return Err(Error::unsupported("the kind of the jwk")),
        };
        let malformed = |_| Error::invalid("jwk: malformed");
        let subject_public_key = BitStringRef::from_bytes(&bits).map_err(malformed)?;
        let info = SubjectPublicKeyInfo { algorithm, subject_public_key };
        Ok(Self(PublicKey::from_spki(&info.to_der().map_err(malformed)?)?))
    }

    /// The key.
    pub const fn key(&self) -> &PublicKey {
        &self.0
    }

    /// Its members, in the order and form that a thumbprint is made of.
    ///
    /// # Errors
    /// `Invalid` if the key's bits are not what its kind says.
    pub fn members(&self) -> Result<Vec<(&'static str, String)>> {
        let bits = self.0.bits();
        let malformed = || Error::invalid("public key: malformed");
        Ok(match self.0.kind() {
            KeyKind::Ec(curve) => {
                let width = width(curve);
                if bits.len() != 1 + 2 * width {
                    return Err(malformed());
                }
                let (x, y) = (&bits[1..=width], &bits[1 + width..]);
                vec![
                    ("crv", crv(curve).to_owned()),
                    ("kty", "EC".to_owned()),
                    ("x", BASE64.encode(x)),
                    ("y", BASE64.encode(y)),
                ]
            }
            KeyKind::Rsa(_) => {
                let key = RsaPublicKey::from_der(bits).map_err(|_| malformed())?;
                vec![
                    ("e", BASE64.encode(key.exponent.as_bytes())),
                    ("kty", "RSA".to_owned()),
                    ("n", BASE64.encode(key.modulus.as_bytes())),
                ]
            }
            KeyKind::Ed25519 => {
                vec![("crv", "Ed25519".to_owned()), ("kty", "OKP".to_owned()), ("x", BASE64.encode(bits))]
            }
        })
    }

    /// The key as JSON.
    ///
    /// # Errors
    /// As for [`Jwk::members`].
    pub fn json(&self) -> Result<Json> {
        Ok(Json::object(self.members()?.into_iter().map(|(name, text)| (name, Json::from(text)))))
    }

    /// The digest by which a key is known.
    ///
    /// # Errors
    /// As for [`Jwk::members`].
    pub fn thumbprint(&self) -> Result<[u8; 32]> {
        // Base64url and the names of curves need no escapes, and the members come sorted.
        let pairs: Vec<String> = self.members()?.iter().map(|(name, text)| format!("\"{name}\":\"{text}\"")).collect();
        Ok(sha256(format!("{{{}}}", pairs.join(",")).as_bytes()))
    }

    /// Checks a JWS signature by this key. The algorithm is the header's word, and must be one of this key's kind.
    ///
    /// # Errors
    /// `Unsupported` for an algorithm that the key does not have, `Signature` if it does not match.
    pub fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> Result<()> {
        let verifier: &'static dyn lc::VerificationAlgorithm = match (self.0.kind(), algorithm) {
            (KeyKind::Ec(Curve::P256), "ES256") => &lc::ECDSA_P256_SHA256_FIXED,
            (KeyKind::Ec(Curve::P384), "ES384") => &lc::ECDSA_P384_SHA384_FIXED,
            (KeyKind::Ec(Curve::P521), "ES512") => &lc::ECDSA_P521_SHA512_FIXED,
            (KeyKind::Rsa(_), "RS256") => &lc::RSA_PKCS1_2048_8192_SHA256,
            (KeyKind::Rsa(_), "RS384") => &lc::RSA_PKCS1_2048_8192_SHA384,
            (KeyKind::Rsa(_), "RS512") => &lc::RSA_PKCS1_2048_8192_SHA512,
            (KeyKind::Ed25519, "EdDSA") => &lc::ED25519,
            _ => return Err(Error::unsupported("this signature algorithm by a key of this kind")),
        };
        lc::UnparsedPublicKey::new(verifier, self.0.bits()).verify(message, signature).map_err(|_| Error::Signature)
    }
}

const fn crv(curve: Curve) -> &'static str {
    match curve {
        Curve::P256 => "P-256",
        Curve::P384 => "P-384",
        Curve::P521 => "P-521",
    }
}

const fn width(curve: Curve) -> usize {
    match curve {
        Curve::P256 => 32,
        Curve::P384 => 48,
        Curve::P521 => 66,
    }
}

fn identifier(oid: &str, curve: Option<ObjectIdentifier>) -> Result<AlgorithmIdentifierOwned> {
    let failed = |_| Error::Primitive("encoding an algorithm identifier");
    let parameters = curve.map(|oid| Any::encode_from(&oid)).transpose().map_err(failed)?;
    Ok(AlgorithmIdentifierOwned { oid: ObjectIdentifier::new_unwrap(oid), parameters })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::PrivateKey;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        let x = BASE64.encode([1; 32]);
        for text in [
            "{}".to_owned(),
            r#"{"kty":"oct","k":"AAAA"}"#.into(),
            r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#.into(),
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#.into(),
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{x}"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}="}}"#),
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.into(),
            r#"{"kty":"RSA","n":1,"e":"AQAB"}"#.into(),
            r#"{"kty":"OKP","crv":"X25519","x":"AAAA"}"#.into(),
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#.into(),
            format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, "A".repeat(MEMBER_MAX + 4)),
        ] {
            assert!(Jwk::from_json(&json(&text)).is_err(), "{text}");
        }
    }

    #[test]
    fn the_thumbprint_is_that_of_the_rfc() {
        // RFC 7638, section 3.1.
        let key = json(
            r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
        );
        let key = Jwk::from_json(&key).unwrap();
        assert_eq!(BASE64.encode(key.thumbprint().unwrap()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(key.key().kind(), KeyKind::Rsa(2048));
    }

    #[test]
    fn keys_round_trip_and_check_what_they_signed() {
        for kind in [KeyKind::Ed25519, KeyKind::Ec(Curve::P256), KeyKind::Ec(Curve::P384), KeyKind::Ec(Curve::P521)] {
            let key = PrivateKey::generate(kind).unwrap();
            let jwk = Jwk::of(key.public().clone());
            assert_eq!(Jwk::from_json(&jwk.json().unwrap()).unwrap(), jwk);
        }
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        let jwk = Jwk::of(key.public().clone());
        let signature = key.sign(crate::crypto::SignatureAlgorithm::Ed25519, b"message").unwrap();
        jwk.verify("EdDSA", b"message", &signature).unwrap();
        assert!(jwk.verify("EdDSA", b"another", &signature).is_err());
        for algorithm in ["none", "HS256", "RS256", "ES256", "", "eddsa"] {
            assert!(jwk.verify(algorithm, b"message", &signature).is_err(), "{algorithm}");
        }
    }
}

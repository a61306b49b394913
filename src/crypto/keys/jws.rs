//! The signatures that JWS (RFC 7518) makes: those of RSA and Ed25519 as they are, of ECDSA as r and s side by side.

use der::asn1::UintRef;
use der::{Decode, Sequence};

use super::kind::{Curve, Hash, KeyKind};
use super::private::PrivateKey;
use super::signature::SignatureAlgorithm;
use crate::crypto::error::{Error, Result};

#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The kind of key that an algorithm of JWS needs; RSA keys have 2048 bits.
///
/// # Errors
/// `Invalid` for an unknown algorithm.
pub fn jws_kind(algorithm: &str) -> Result<KeyKind> {
    Ok(match algorithm {
        "RS256" | "RS384" | "RS512" => KeyKind::Rsa(2048),
        "ES256" => KeyKind::Ec(Curve::P256),
        "ES384" => KeyKind::Ec(Curve::P384),
        "ES512" => KeyKind::Ec(Curve::P521),
        "EdDSA" => KeyKind::Ed25519,
        _ => return Err(Error::invalid("the algorithm must be RS256, RS384, RS512, ES256, ES384, ES512 or EdDSA")),
    })
}

impl PrivateKey {
    /// Signs a message as JWS has it.
    ///
    /// # Errors
    /// `Unsupported` for an algorithm that a key of this kind does not have.
    pub fn sign_jws(&self, algorithm: &str, message: &[u8]) -> Result<Vec<u8>> {
        let (signature, width) = match algorithm {
            "RS256" => (SignatureAlgorithm::RsaPkcs1(Hash::Sha256), None),
            "RS384" => (SignatureAlgorithm::RsaPkcs1(Hash::Sha384), None),
            "RS512" => (SignatureAlgorithm::RsaPkcs1(Hash::Sha512), None),
            "ES256" => (SignatureAlgorithm::Ecdsa(Hash::Sha256), Some(32)),
            "ES384" => (SignatureAlgorithm::Ecdsa(Hash::Sha384), Some(48)),
            "ES512" => (SignatureAlgorithm::Ecdsa(Hash::Sha512), Some(66)),
            "EdDSA" => (SignatureAlgorithm::Ed25519, None),
            _ => return Err(Error::unsupported("the algorithm of the signature")),
        };
        let bytes = self.sign(signature, message)?;
        let Some(width) = width else { return Ok(bytes) };
        let parts = EcdsaSignature::from_der(&bytes).map_err(|_| Error::Primitive("signing"))?;
        let mut fixed = vec![0; 2 * width];
        place_right(parts.r.as_bytes(), &mut fixed[..width])?;
        place_right(parts.s.as_bytes(), &mut fixed[width..])?;
        Ok(fixed)
    }
}

fn place_right(part: &[u8], place: &mut [u8]) -> Result<()> {
    let at = place.len().checked_sub(part.len()).ok_or(Error::Primitive("signing"))?;
    place[at..].copy_from_slice(part);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Jwk;

    #[test]
    fn what_is_signed_is_verified_by_the_public_half_alone() {
        for algorithm in ["ES256", "ES384", "ES512", "EdDSA", "RS256", "RS512"] {
            let key = PrivateKey::generate(jws_kind(algorithm).unwrap()).unwrap();
            let jwk = Jwk::of(key.public().clone());
            // Often enough that a coordinate begins with a zero now and then.
            for n in 0..20u8 {
                let signature = key.sign_jws(algorithm, &[n]).unwrap();
                jwk.verify(algorithm, &[n], &signature).unwrap();
                assert!(jwk.verify(algorithm, &[n, 0], &signature).is_err());
            }
        }
        assert!(jws_kind("none").is_err() && jws_kind("HS256").is_err());
    }
}

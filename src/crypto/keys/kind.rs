//! What kinds of keys there are, by the names that the API gives them.

use std::fmt;

use der::asn1::ObjectIdentifier;

use crate::crypto::error::{Error, Result};

/// The smallest RSA modulus that is dealt with, in bits.
pub const RSA_BITS_MIN: u32 = 2048;
/// The largest, in bits: beyond it a signature takes seconds.
pub const RSA_BITS_MAX: u32 = 8192;

/// An elliptic curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// secp256r1.
    P256,
    /// secp384r1.
    P384,
    /// secp521r1.
    P521,
}

impl Curve {
    /// All, the likeliest first.
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// The size of its field, in bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::P256 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }

    /// The curve of this size.
    pub fn of_bits(bits: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.bits() == bits)
    }

    pub(super) const fn oid(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::P256 => "1.2.840.10045.3.1.7",
            Self::P384 => "1.3.132.0.34",
            Self::P521 => "1.3.132.0.35",
        })
    }
}

/// The digest inside a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// All.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its length, in bits; the number that the API calls `signature_bits`.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Sha256 => 256,
            Self::Sha384 => 384,
            Self::Sha512 => 512,
        }
    }

    /// The digest for `signature_bits`; none for 0, which asks for the default.
    ///
    /// # Errors
    /// `Invalid` for any other number.
    pub fn of_bits(bits: u32) -> Result<Option<Self>> {
        match Self::ALL.into_iter().find(|hash| hash.bits() == bits) {
            None if bits != 0 => Err(Error::invalid("signature_bits must be 256, 384 or 512 (or 0 for the default)")),
            found => Ok(found),
        }
    }
}

/// The kind and size of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// An elliptic curve key, for ECDSA.
    Ec(Curve),
    /// An RSA key with a modulus of so many bits.
    Rsa(u32),
    /// An Ed25519 key.
    Ed25519,
}

impl KeyKind {
    /// The kind for the API's `key_type` and `key_bits`; 0 bits ask for the default size.
    ///
    /// # Errors
    /// `Invalid` for another type, or a size that this type does not come in.
    pub fn parse(key_type: &str, key_bits: u32) -> Result<Self> {
        match (key_type, key_bits) {
            ("rsa", 0) => Ok(Self::Rsa(2048)),
            ("rsa", 2048 | 3072 | 4096) => Ok(Self::Rsa(key_bits)),
            ("rsa", _) => Err(Error::invalid("key_bits for rsa must be 2048, 3072 or 4096 (or 0)")),
            ("ec", 0) => Ok(Self::Ec(Curve::P256)),
            ("ec", bits) => match Curve::of_bits(bits) {
                Some(curve) => Ok(Self::Ec(curve)),
                None => Err(Error::invalid("key_bits for ec must be 256, 384 or 521 (or 0)")),
            },
            ("ed25519", _) => Ok(Self::Ed25519),
            _ => Err(Error::invalid("key_type must be rsa, ec or ed25519")),
        }
    }

    /// The API's `key_type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ec(_) => "ec",
            Self::Rsa(_) => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The API's `key_bits`; 0 for Ed25519, which comes in one size.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Ec(curve) => curve.bits(),
            Self::Rsa(bits) => bits,
            Self::Ed25519 => 0,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ed25519 => f.write_str(self.name()),
            _ => write!(f, "{} {}", self.name(), self.bits()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_types_and_sizes_are_refused() {
        for (key_type, bits) in
            [("rsa", 1024), ("rsa", 2049), ("ec", 224), ("ec", 255), ("dsa", 0), ("", 0), ("RSA", 2048)]
        {
            assert!(KeyKind::parse(key_type, bits).is_err(), "{key_type} {bits}");
        }
        assert!(Hash::of_bits(224).is_err());
    }

    #[test]
    fn names_and_sizes_round_trip() {
        for kind in [KeyKind::Rsa(3072), KeyKind::Ec(Curve::P521), KeyKind::Ed25519] {
            assert_eq!(KeyKind::parse(kind.name(), kind.bits()).unwrap(), kind);
        }
        assert_eq!(KeyKind::parse("ec", 0).unwrap(), KeyKind::Ec(Curve::P256));
        assert_eq!(Hash::of_bits(0).unwrap(), None);
        assert_eq!(Hash::of_bits(384).unwrap(), Some(Hash::Sha384));
    }
}

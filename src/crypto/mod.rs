//! The one door to every cryptographic primitive.
//!
//! No other layer names a cryptographic crate, so that one of them can be exchanged here.

pub mod aead;
pub mod age;
pub mod error;
pub mod keys;
pub mod label;
pub mod locked;
pub mod mac;
pub mod otp;
pub mod password;
pub mod pem;
pub mod random;
pub mod shamir;
pub mod siv;
pub mod tls;
mod tls_pinned;
mod tls_viewer;
pub mod x509;

pub use aead::AeadKey;
pub use error::{Error, Result};
pub use keys::{Curve, Hash, Jwk, KeyKind, PrivateKey, PublicKey, SignatureAlgorithm};
pub use mac::{HmacKey, hkdf_sha256, hmac_sha256, md5, same, sha256, sha256_of};
pub use random::{SystemRng, base62};
pub use siv::NameKey;
pub use tls_viewer::viewer;

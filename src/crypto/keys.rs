//! Asymmetric keys: kinds, private and public keys, signatures and how they name themselves.
//!
//! Everything is done by aws-lc: it alone knows P-521 and makes RSA keys. Its generator is its own
//! (seeded by the kernel), which is why nothing here takes an `Rng`.

mod jwk;
mod jws;
mod kind;
mod private;
mod public;
mod signature;

pub use jwk::Jwk;
pub use jws::jws_kind;
pub use kind::{Curve, Hash, KeyKind};
pub use private::PrivateKey;
pub use public::PublicKey;
pub use signature::SignatureAlgorithm;

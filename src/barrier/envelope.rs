//! The envelope around every stored value.
//!
//!     version (1) ‖ term (4) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
//!
//! The stored key is the associated data: a value moved elsewhere does not open.

use std::sync::atomic::Ordering;

use super::keyring::Keyring;
use crate::base::{Error, Result, Rng, Secret};
use crate::crypto::aead::AeadKey;

/// The only form there is so far.
const VERSION: u8 = 1;
const HEAD: usize = 17;

/// A value of a term that the keyring at hand does not have.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no key of term {0}")]
struct UnknownTerm(u32);

/// Whether reading again with a fresh keyring may help.
pub fn wants_keyring(error: &Error) -> bool {
    matches!(error, Error::Internal(cause) if cause.is::<UnknownTerm>())
}

/// Seals a value for its place, under the active term.
pub fn seal(keys: &Keyring, rng: &dyn Rng, place: &str, value: &[u8]) -> Result<Vec<u8>> {
    let (term, key) = keys.active();
    keys.used().fetch_add(1, Ordering::Relaxed);
    seal_with(key, term, rng, place, value)
}

/// Seals under a given key.
pub fn seal_with(key: &AeadKey, term: u32, rng: &dyn Rng, place: &str, value: &[u8]) -> Result<Vec<u8>> {
    let mut nonce = [0; 12];
    rng.fill(&mut nonce);
    let sealed = key.seal(nonce, place.as_bytes(), value)?;
    let mut bytes = Vec::with_capacity(HEAD + sealed.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&term.to_be_bytes());
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(&sealed);
    Ok(bytes)
}

/// Opens what [`seal`] made for this place.
pub fn open(keys: &Keyring, place: &str, bytes: &[u8]) -> Result<Secret<Vec<u8>>> {
    let term = term_of(bytes)?;
    // Another node may have rotated: the caller rereads the keyring and tries again.
    let key = keys.term(term).ok_or_else(|| Error::Internal(UnknownTerm(term).into()))?;
    open_with(key, place, bytes)
}

/// Opens with a given key.
pub fn open_with(key: &AeadKey, place: &str, bytes: &[u8]) -> Result<Secret<Vec<u8>>> {
    term_of(bytes)?;
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&bytes[5..HEAD]);
    let value = key.open(nonce, place.as_bytes(), &bytes[HEAD..]);
    value.map_err(|_| Error::internal("a stored value does not open: it was changed or moved"))
}

fn term_of(bytes: &[u8]) -> Result<u32> {
    if bytes.len() < HEAD || bytes[0] != VERSION {
        return Err(Error::internal("a stored value has no envelope of a known version"));
    }
    Ok(u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]))
}

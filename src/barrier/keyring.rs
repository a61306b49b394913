//! The keyring: the keys of all terms, the name key, and the key that others are derived from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{KEYRING, envelope};
use crate::base::secret::stored;
use crate::base::{Error, Result, Rng, Secret, Timestamp};
use crate::crypto::aead::AeadKey;
use crate::crypto::mac;
use crate::crypto::siv::NameKey;

/// When a term began.
#[derive(Clone, Copy, Debug)]
pub struct TermInfo {
    /// Its number, from 1.
    pub term: u32,
    /// When it was made.
    pub installed: Timestamp,
}

/// All keys below the root key.
#[derive(Clone)]
pub struct Keyring {
    stored: Stored,
    terms: BTreeMap<u32, Arc<AeadKey>>,
    active: u32,
    active_key: Arc<AeadKey>,
    names: Arc<NameKey>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    terms: Vec<StoredTerm>,
    #[serde(serialize_with = "stored")]
    names: Secret<Vec<u8>>,
    #[serde(serialize_with = "stored")]
    derive: Secret<Vec<u8>>,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredTerm {
    term: u32,
    installed: Timestamp,
    #[serde(serialize_with = "stored")]
    key: Secret<Vec<u8>>,
}

impl Keyring {
    /// Fresh keys, at term 1.
    pub fn create(rng: &dyn Rng, now: Timestamp) -> Result<Self> {
        Self::build(Stored {
            terms: vec![StoredTerm { term: 1, installed: now, key: random(rng, 32) }],
            names: random(rng, 64),
            derive: random(rng, 32),
        })
    }

    fn build(stored: Stored) -> Result<Self> {
        let mut terms = BTreeMap::new();
        for term in &stored.terms {
            terms.insert(term.term, Arc::new(AeadKey::from_bytes(&term.key)?));
        }
        let (&active, active_key) = terms.last_key_value().ok_or_else(|| Error::internal("the keyring is empty"))?;
        let active_key = active_key.clone();
        let names = Arc::new(NameKey::from_bytes(&stored.names)?);
        Ok(Self { stored, terms, active, active_key, names })
    }

    /// A copy with one more term, which becomes the active one.
    pub fn with_new_term(&self, rng: &dyn Rng, now: Timestamp) -> Result<Self> {
        let mut stored = self.stored.clone();
        stored.terms.push(StoredTerm { term: self.active + 1, installed: now, key: random(rng, 32) });
        Self::build(stored)
    }

    /// Writes it down, sealed under a root key.
    pub fn seal(&self, root_key: &Secret<Vec<u8>>, rng: &dyn Rng) -> Result<Vec<u8>> {
        let text = Secret::new(serde_json::to_vec(&self.stored).map_err(Error::internal)?);
        envelope::seal_with(&AeadKey::from_bytes(root_key)?, 0, rng, KEYRING, text.reveal())
    }

    /// Opens what [`Keyring::seal`] wrote.
    pub fn open(root_key: &Secret<Vec<u8>>, bytes: &[u8]) -> Result<Self> {
        let text = envelope::open_with(&AeadKey::from_bytes(root_key)?, KEYRING, bytes)?;
        Self::build(serde_json::from_slice(text.reveal()).map_err(|_| Error::internal("the keyring is damaged"))?)
    }

    /// The term that new values are written with, and its key.
    pub fn active(&self) -> (u32, &AeadKey) {
        (self.active, &self.active_key)
    }

    /// What is known of the active term.
    pub fn active_info(&self) -> TermInfo {
        let installed = self.stored.terms.last().map_or(Timestamp::UNIX_EPOCH, |t| t.installed);
        TermInfo { term: self.active, installed }
    }

    /// The key of a term.
    pub fn term(&self, term: u32) -> Option<&AeadKey> {
        if term == self.active { Some(&self.active_key) } else { self.terms.get(&term).map(Arc::as_ref) }
    }

    /// The key of names.
    pub fn names(&self) -> &NameKey {
        &self.names
    }

    /// A key for one purpose (HKDF-SHA256, RFC 5869).
    pub fn derive(&self, purpose: &str) -> Result<Secret<Vec<u8>>> {
        let mut key = Secret::new(vec![0; 32]);
        mac::hkdf_sha256(self.stored.derive.reveal(), b"warifu", &[purpose.as_bytes()], key.reveal_mut())?;
        Ok(key)
    }
}

fn random(rng: &dyn Rng, bytes: usize) -> Secret<Vec<u8>> {
    let mut secret = Secret::new(vec![0; bytes]);
    rng.fill(secret.reveal_mut());
    secret
}

//! The keyring: the keys of all terms, the name key, and the key that others are derived from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::{Deserialize, Serialize};

use super::name_cache::NameCache;
use super::{KEYRING, envelope};
use crate::base::secret::stored;
use crate::base::{Error, Result, Rng, Secret, Timestamp, limits};
use crate::crypto::aead::AeadKey;
use crate::crypto::locked::Locked;
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

/// All keys below the root key, each on locked pages.
pub struct Keyring {
    terms: BTreeMap<u32, Arc<Term>>,
    active: Arc<Term>,
    names: Arc<NameKey>,
    known_names: Arc<NameCache>,
    opened_names: Arc<NameCache>,
    names_raw: Arc<Locked<[u8; 64]>>,
    derive: Arc<Locked<[u8; 32]>>,
}

struct Term {
    number: u32,
    installed: Timestamp,
    key: AeadKey,
    raw: Locked<[u8; 32]>,
    /// Encryptions of this node under it that are not written down yet.
    used: AtomicU64,
}

/// As it is written down: it exists only while the keyring is sealed or opened.
#[derive(Serialize, Deserialize)]
struct Stored {
    terms: Vec<StoredTerm>,
    #[serde(serialize_with = "stored")]
    names: Secret<Vec<u8>>,
    #[serde(serialize_with = "stored")]
    derive: Secret<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct StoredTerm {
    term: u32,
    installed: Timestamp,
    #[serde(serialize_with = "stored")]
    key: Secret<Vec<u8>>,
}

impl Keyring {
    /// Fresh keys, at term 1.
    pub fn create(rng: &dyn Rng, now: Timestamp) -> Result<Self> {
        Self::build(&Stored {
            terms: vec![StoredTerm { term: 1, installed: now, key: random(rng, 32) }],
            names: random(rng, 64),
            derive: random(rng, 32),
        })
    }

    fn build(stored: &Stored) -> Result<Self> {
        let mut terms = BTreeMap::new();
        for term in &stored.terms {
            terms.insert(term.term, Arc::new(Term::new(term.term, term.installed, &term.key)?));
        }
        let active = terms.last_key_value().ok_or_else(|| Error::internal("the keyring is empty"))?.1.clone();
        Ok(Self {
            terms,
            active,
            names: Arc::new(NameKey::from_bytes(&stored.names)?),
            known_names: Arc::new(NameCache::new(limits::NAME_CACHE)),
            opened_names: Arc::new(NameCache::new(limits::FOLDER_CACHE)),
            names_raw: Arc::new(locked(&stored.names)?),
            derive: Arc::new(locked(&stored.derive)?),
        })
    }

    /// A copy with one more term, which becomes the active one.
    pub fn with_new_term(&self, rng: &dyn Rng, now: Timestamp) -> Result<Self> {
        let number = self.active.number + 1;
        let active = Arc::new(Term::new(number, now, &random(rng, 32))?);
        let mut terms = self.terms.clone();
        terms.insert(number, active.clone());
        let (names, known_names) = (self.names.clone(), self.known_names.clone());
        let (names_raw, derive) = (self.names_raw.clone(), self.derive.clone());
        let opened_names = self.opened_names.clone();
        Ok(Self { terms, active, names, known_names, opened_names, names_raw, derive })
    }

    /// Writes it down, sealed under a root key.
    pub fn seal(&self, root_key: &RootKey, rng: &dyn Rng) -> Result<Vec<u8>> {
        let terms = self.terms.values().map(|term| StoredTerm {
            term: term.number,
            installed: term.installed,
            key: Secret::new(term.raw.to_vec()),
        });
        let stored = Stored {
            terms: terms.collect(),
            names: Secret::new(self.names_raw.to_vec()),
            derive: Secret::new(self.derive.to_vec()),
        };
        let text = Secret::new(serde_json::to_vec(&stored).map_err(Error::internal)?);
        envelope::seal_with(&root_key.aead()?, 0, rng, KEYRING, text.reveal())
    }

    /// Opens what [`Keyring::seal`] wrote.
    pub fn open(root_key: &RootKey, bytes: &[u8]) -> Result<Self> {
        let text = envelope::open_with(&root_key.aead()?, KEYRING, bytes)?;
        Self::build(&serde_json::from_slice(text.reveal()).map_err(|_| Error::internal("the keyring is damaged"))?)
    }

    /// The term that new values are written with, and its key.
    pub fn active(&self) -> (u32, &AeadKey) {
        (self.active.number, &self.active.key)
    }

    /// Encryptions of this node under the active key that are not written down yet.
    pub fn used(&self) -> &AtomicU64 {
        &self.active.used
    }

    /// What is known of the active term.
    pub fn active_info(&self) -> TermInfo {
        TermInfo { term: self.active.number, installed: self.active.installed }
    }

    /// The key of a term.
    pub fn term(&self, term: u32) -> Option<&AeadKey> {
        if term == self.active.number { Some(&self.active.key) } else { self.terms.get(&term).map(|t| &t.key) }
    }

    /// The key of names.
    pub fn names(&self) -> &NameKey {
        &self.names
    }

    /// Names that were encrypted before.
    pub fn known_names(&self) -> &NameCache {
        &self.known_names
    }

    /// Folders whose names were decrypted before: from the stored form to the key.
    pub fn opened_names(&self) -> &NameCache {
        &self.opened_names
    }

    /// Whether all keys stay out of swap.
    pub fn is_locked(&self) -> bool {
        self.derive.is_locked() && self.terms.values().all(|term| term.key.is_locked() && term.raw.is_locked())
    }

    /// A key for one purpose (HKDF-SHA256, RFC 5869).
    pub fn derive(&self, purpose: &str) -> Result<Secret<Vec<u8>>> {
        let mut key = Secret::new(vec![0; 32]);
        mac::hkdf_sha256(self.derive.as_slice(), b"warifu", &[purpose.as_bytes()], key.reveal_mut())?;
        Ok(key)
    }
}

impl Term {
    fn new(number: u32, installed: Timestamp, key: &Secret<Vec<u8>>) -> Result<Self> {
        Ok(Self { number, installed, key: AeadKey::from_bytes(key)?, raw: locked(key)?, used: AtomicU64::new(0) })
    }
}

/// What the keyring is sealed under, on locked pages.
pub struct RootKey(Locked<[u8; 32]>);

impl RootKey {
    /// A new one.
    ///
    /// # Errors
    /// When there is no memory for its page.
    pub fn random(rng: &dyn Rng) -> Result<Self> {
        Self::from_bytes(&random(rng, 32))
    }

    /// From its bytes.
    ///
    /// # Errors
    /// When they are not 32, or there is no memory for its page.
    pub fn from_bytes(bytes: &Secret<Vec<u8>>) -> Result<Self> {
        locked(bytes).map(Self)
    }

    /// Its bytes, to be sealed under an unseal key.
    pub fn reveal(&self) -> &[u8] {
        self.0.as_slice()
    }

    fn aead(&self) -> Result<AeadKey> {
        Ok(AeadKey::from_bytes(&Secret::new(self.0.to_vec()))?)
    }
}

fn locked<const N: usize>(bytes: &Secret<Vec<u8>>) -> Result<Locked<[u8; N]>> {
    let bytes: &[u8; N] =
        bytes.reveal().as_slice().try_into().map_err(|_| Error::internal("a key of the wrong length"))?;
    Locked::new(*bytes).map_err(Error::from)
}

fn random(rng: &dyn Rng, bytes: usize) -> Secret<Vec<u8>> {
    let mut secret = Secret::new(vec![0; bytes]);
    rng.fill(secret.reveal_mut());
    secret
}

//! The seal that opens by itself: the root key lies under a key that the configuration gives.
//!
//! Shares exist beside it as recovery shares: they open nothing, they allow (a root token, other shares, leaving this seal).

use serde::{Deserialize, Serialize};

use super::{ROOT, Read, wrap};
use crate::barrier::{Barrier, RootKey, Txn};
use crate::base::secret::stored;
use crate::base::{Error, Key, Result, Rng, Secret};
use crate::storage::Storage;

/// A key's length, in bytes.
pub const KEY_BYTES: usize = 32;

/// The keys that the configuration gives.
#[derive(Clone, Debug)]
pub struct StaticSeal {
    current: Named,
    previous: Option<Named>,
    leaving: bool,
}

/// A key and the name that the store knows it by.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name; not secret.
    pub id: String,
    /// 32 bytes.
    pub key: Secret<Vec<u8>>,
}

impl StaticSeal {
    /// Of these keys. With `leaving`, they only open a store that is to be given unseal shares again.
    pub const fn new(current: Named, previous: Option<Named>, leaving: bool) -> Self {
        Self { current, previous, leaving }
    }

    /// Whether a store is to leave this seal.
    pub const fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// The name of the key under which everything is written.
    pub fn key_id(&self) -> &str {
        &self.current.id
    }

    /// The root key, which was put under the key of this name.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the configuration has no key of this name, or another one under it.
    pub(super) fn open(&self, storage: &dyn Storage, id: &str) -> Result<RootKey> {
        let mut keys = [Some(&self.current), self.previous.as_ref()].into_iter().flatten();
        let named = keys.find(|named| named.id == id).ok_or_else(|| {
            Error::invalid("the store was sealed with a static key whose id is not in the configuration")
        })?;
        super::unwrap(&Read::of(storage, ROOT)?.value, &named.key)
    }

    /// The root key's row under the current key.
    pub(super) fn wrap(&self, root: &RootKey, rng: &dyn Rng) -> Result<Vec<u8>> {
        wrap(root, &self.current.key, rng)
    }
}

#[derive(Serialize, Deserialize)]
struct Recovery {
    #[serde(serialize_with = "stored")]
    key: Secret<Vec<u8>>,
}

fn place() -> Key {
    Key::new("core/recovery")
}

/// Writes down what the recovery shares meet in.
///
/// # Errors
/// When it cannot be written down.
pub fn keep_recovery_key(txn: &mut Txn, key: &Secret<Vec<u8>>) -> Result<()> {
    txn.overwrite(&place(), &Recovery { key: key.clone() })
}

/// Forgets it.
pub fn drop_recovery_key(txn: &mut Txn) {
    txn.delete(&place());
}

/// Checks that shares met in the recovery key.
///
/// # Errors
/// [`Error::Invalid`] if they did not.
pub fn check_recovery_key(barrier: &std::sync::Arc<Barrier>, key: &Secret<Vec<u8>>) -> Result<()> {
    let stored: Option<Recovery> = barrier.view().get(&place())?;
    let stored = stored.ok_or_else(|| Error::internal("the store has no recovery key"))?;
    if stored.key.same_as(key.reveal()) {
        return Ok(());
    }
    Err(Error::invalid("recovery key verification failed: the shares are not the right ones"))
}

//! The encryption around everything that storage holds: values, names, and the keyring that opens them.
//!
//! A [`Barrier`] is made from a root key and lives until it is sealed. Code reaches storage through a [`View`] of it.

mod envelope;
mod keyring;
mod name_cache;
mod names;
mod txn;
mod view;

use std::sync::Arc;

use arc_swap::ArcSwapOption;

pub use keyring::{Keyring, RootKey, TermInfo};
pub use txn::{Rows, Txn};
pub use view::{Cursor, Reading, View, Walked};

use crate::base::{Error, Key, Result, Rng, Secret, Timestamp};
use crate::storage::{Batch, Change, Expect, Storage, Version};
use crate::telemetry::{Meter, metrics};

/// Where the keyring lies, sealed under the root key. Its name is not encrypted: it opens the others.
pub const KEYRING: &str = "core/keyring";

/// An open store. Sealing takes the keys out of it, so that a straggler gets [`Error::Sealed`].
pub struct Barrier {
    storage: Arc<dyn Storage>,
    keys: ArcSwapOption<Keyring>,
    /// What the keyring is sealed under: another node may change it at any moment.
    root_key: ArcSwapOption<RootKey>,
    rng: Arc<dyn Rng>,
    meter: std::sync::OnceLock<Meter>,
}

impl Barrier {
    /// Makes a new keyring, sealed under this root key, and the barrier that uses it. The row is for the caller to
    /// commit, together with all else that makes a store initialised.
    ///
    /// # Errors
    /// When the keyring cannot be written down.
    pub fn create(
        storage: Arc<dyn Storage>,
        rng: Arc<dyn Rng>,
        root_key: &Arc<RootKey>,
        now: Timestamp,
    ) -> Result<(Arc<Self>, (String, Change))> {
        let keyring = Keyring::create(rng.as_ref(), now)?;
        let row = (KEYRING.to_owned(), Change::Put(keyring.seal(root_key, rng.as_ref())?));
        let root_key = ArcSwapOption::from(Some(root_key.clone()));
        Ok((
            Arc::new(Self {
                storage,
                keys: ArcSwapOption::from_pointee(keyring),
                root_key,
                rng,
                meter: std::sync::OnceLock::new(),
            }),
            row,
        ))
    }

    /// Opens the keyring with this root key.
    ///
    /// # Errors
    /// [`Error::Uninitialized`] without a keyring, [`Error::Invalid`] for a wrong key.
    pub fn open(storage: Arc<dyn Storage>, rng: Arc<dyn Rng>, root_key: &Arc<RootKey>) -> Result<Arc<Self>> {
        let mut row = None;
        storage.read(&mut |s| {
            row = s.get(KEYRING)?;
            Ok(())
        })?;
        let row = row.ok_or(Error::Uninitialized)?;
        let keyring = Keyring::open(root_key, &row.value)?;
        let root_key = ArcSwapOption::from(Some(root_key.clone()));
        Ok(Arc::new(Self {
            storage,
            keys: ArcSwapOption::from_pointee(keyring),
            root_key,
            rng,
            meter: std::sync::OnceLock::new(),
        }))
    }

    /// The whole store, from the top.
    pub fn view(self: &Arc<Self>) -> View {
        View::root(self.clone())
    }

    /// Takes the keys away. The last reader that still holds them wipes them.
    pub fn seal(&self) {
        self.keys.store(None);
        self.root_key.store(None);
    }

    /// Notes from now on how long its work takes.
    pub fn measure(&self, meter: Meter) {
        // Once is enough: the clock and the registers are the process's own.
        let _ = self.meter.set(meter);
    }

    fn timed<R>(&self, what: metrics::Barrier, f: impl FnOnce() -> R) -> R {
        match self.meter.get() {
            Some(meter) => meter.timed(what, f),
            None => f(),
        }
    }

    /// The store below.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The source of chance that nonces come from.
    pub fn rng(&self) -> &Arc<dyn Rng> {
        &self.rng
    }

    /// The keys, for as long as the guard lives.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn keys(&self) -> Result<Arc<Keyring>> {
        self.keys.load_full().ok_or(Error::Sealed)
    }

    /// A key of its own for one purpose, the same after every unseal.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn derive(&self, purpose: &str) -> Result<Secret<Vec<u8>>> {
        self.keys()?.derive(purpose)
    }

    /// Adds a term to the keyring as it is stored: new values are written with it, old ones stay readable.
    ///
    /// # Errors
    /// [`Error::Sealed`], [`Error::Conflict`] after a rotation on another node at the same moment, and those of storage.
    pub async fn rotate(&self, root_key: &RootKey, now: Timestamp) -> Result<()> {
        self.keys()?;
        // Not the keyring at hand: another node may have added a term that this one has not heard of, and it would be lost.
        let (version, keyring) = self.stored_keyring(root_key)?;
        let next = keyring.with_new_term(self.rng.as_ref(), now)?;
        let batch = Batch {
            expects: vec![(KEYRING.to_owned(), Expect::Version(version))],
            changes: vec![(KEYRING.to_owned(), Change::Put(next.seal(root_key, self.rng.as_ref())?))],
        };
        self.storage.commit(batch).await?;
        self.install(next);
        Ok(())
    }

    /// Opens the keyring row again, after another node changed it.
    ///
    /// # Errors
    /// [`Error::Sealed`], or when the row does not open with this key.
    pub fn reread(&self, root_key: &RootKey) -> Result<()> {
        self.keys()?;
        let (_, keyring) = self.stored_keyring(root_key)?;
        self.install(keyring);
        Ok(())
    }

    /// As [`Barrier::reread`], for a reader that met a term which is not in the keyring at hand.
    fn reread_for_reader(&self) -> Result<()> {
        let root_key = self.root_key.load_full().ok_or(Error::Sealed)?;
        self.reread(&root_key)
    }

    fn stored_keyring(&self, root_key: &RootKey) -> Result<(Version, Keyring)> {
        let mut row = None;
        self.storage.read(&mut |s| {
            row = s.get(KEYRING)?;
            Ok(())
        })?;
        let row = row.ok_or(Error::Uninitialized)?;
        Ok((row.version, Keyring::open(root_key, &row.value)?))
    }

    /// Puts a keyring in force, unless a newer one is, or the keys were taken away.
    fn install(&self, next: Keyring) {
        let next = Arc::new(next);
        self.keys.rcu(|present| match present {
            Some(present) if present.active().0 < next.active().0 => Some(next.clone()),
            present => present.clone(),
        });
    }

    /// Makes the batch of a transaction: names and values encrypted.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn batch(&self, txn: &Txn) -> Result<Batch> {
        txn.sealed(self)
    }

    /// Commits a transaction.
    ///
    /// # Errors
    /// As [`Storage::commit`], and what the transaction's own functions answer.
    pub async fn commit(self: &Arc<Self>, txn: Txn) -> Result<Version> {
        txn.commit(self).await
    }

    /// The plain form of a stored key, for caches that hear of it from the feed. `None` for what is not below the barrier.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn open_key(&self, stored: &str) -> Result<Option<Key>> {
        let keys = self.keys()?;
        Ok(names::open_key(&keys, stored))
    }
}

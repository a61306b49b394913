//! A change in the making: what was read, what is to be written, committed together or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::view::decode;
use super::{Barrier, View, envelope, names};
use crate::base::{Error, Key, Result, Secret};
use crate::storage::{Batch, Change, Expect, Row, Version};

type Value = Option<Secret<Vec<u8>>>;

/// A function that runs where nobody can come between: it reads its rows and changes them.
type Update = Arc<dyn Fn(&mut Rows<'_>) -> Result<()> + Send + Sync>;

/// Puts and deletes with what their author saw. Keys are as seen from the view it was made by.
pub struct Txn {
    view: View,
    expects: BTreeMap<Key, Expect>,
    changes: BTreeMap<Key, Value>,
    updates: Vec<Updating>,
}

/// A function with the rows that it reads, and the prefix of the view that it was made by.
#[derive(Clone)]
struct Updating {
    prefix: Key,
    keys: Vec<Key>,
    f: Update,
}

impl Txn {
    pub(super) fn new(view: View, guard: Option<Key>) -> Self {
        let expects = guard.into_iter().map(|g| (g, Expect::Present)).collect();
        Self { view, expects, changes: BTreeMap::new(), updates: Vec::new() }
    }

    /// Reads a value and records its version or absence: the commit fails if it changes before.
    ///
    /// # Errors
    /// [`Error::Sealed`] and those of storage.
    pub fn get<T: DeserializeOwned>(&mut self, key: &Key) -> Result<Option<T>> {
        let whole = self.view.absolute(key);
        if let Some(value) = self.changes.get(&whole) {
            return value.as_ref().map(decode).transpose();
        }
        let found = self.view.read(|r| r.versioned::<T>(key))?;
        let expect = found.as_ref().map_or(Expect::Absent, |(version, _)| Expect::Version(*version));
        self.expects.entry(whole).or_insert(expect);
        Ok(found.map(|(_, value)| value))
    }

    /// Writes what was read in this transaction.
    ///
    /// # Errors
    /// [`Error::Internal`] if it was not read: a blind write is spelled [`Txn::overwrite`].
    pub fn put<T: Serialize>(&mut self, key: &Key, value: &T) -> Result<()> {
        let whole = self.view.absolute(key);
        if !self.expects.contains_key(&whole) {
            return Err(Error::internal("a put without a get in the same transaction"));
        }
        self.changes.insert(whole, Some(encode(value)?));
        Ok(())
    }

    /// Writes a value that must not exist yet.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be written down.
    pub fn create<T: Serialize>(&mut self, key: &Key, value: &T) -> Result<()> {
        let whole = self.view.absolute(key);
        self.expects.entry(whole.clone()).or_insert(Expect::Absent);
        self.changes.insert(whole, Some(encode(value)?));
        Ok(())
    }

    /// Writes whatever was there before. To be used where the last writer may win.
    ///
    /// # Errors
    /// As [`Txn::create`].
    pub fn overwrite<T: Serialize>(&mut self, key: &Key, value: &T) -> Result<()> {
        self.changes.insert(self.view.absolute(key), Some(encode(value)?));
        Ok(())
    }

    /// Removes a key, if it exists.
    pub fn delete(&mut self, key: &Key) {
        self.changes.insert(self.view.absolute(key), None);
    }

    /// Fails the commit unless the key has the version that was seen.
    pub fn expect_version(&mut self, key: &Key, version: Version) {
        self.expects.entry(self.view.absolute(key)).or_insert(Expect::Version(version));
    }

    /// Fails the commit unless the key exists.
    pub fn expect_present(&mut self, key: &Key) {
        self.expects.entry(self.view.absolute(key)).or_insert(Expect::Present);
    }

    /// Fails the commit unless the key is absent.
    pub fn expect_absent(&mut self, key: &Key) {
        self.expects.entry(self.view.absolute(key)).or_insert(Expect::Absent);
    }

    /// Drops the expectation of a guard (from the top of the store) which the same commit makes.
    pub fn forget_guard(&mut self, guard: &Key) {
        self.expects.remove(guard);
    }

    /// Adds a function that the writer runs on the present rows of these keys. It may run more than once.
    pub fn update(&mut self, keys: &[Key], f: impl Fn(&mut Rows<'_>) -> Result<()> + Send + Sync + 'static) {
        let keys = keys.iter().map(|key| self.view.absolute(key)).collect();
        self.updates.push(Updating { prefix: self.view.prefix().clone(), keys, f: Arc::new(f) });
    }

    /// Takes in all of another transaction.
    pub fn merge(&mut self, other: Self) {
        for (key, expect) in other.expects {
            self.expects.entry(key).or_insert(expect);
        }
        self.changes.extend(other.changes);
        self.updates.extend(other.updates);
    }

    /// Whether nothing would be written.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.updates.is_empty()
    }

    /// The keys, from the top of the store, that its commit touches.
    pub fn touched(&self) -> Vec<Key> {
        let updated = self.updates.iter().flat_map(|update| update.keys.iter().cloned());
        self.changes.keys().cloned().chain(updated).collect()
    }

    /// Commits it.
    ///
    /// # Errors
    /// [`Error::Conflict`] if something it read has changed; those of its functions; those of storage.
    pub async fn commit(self, barrier: &Arc<Barrier>) -> Result<Version> {
        let batch = self.sealed(barrier)?;
        if self.updates.is_empty() {
            return barrier.storage().commit(batch).await;
        }
        match self.update_once(barrier, batch.clone()).await {
            // Another node has added a term since this one looked.
            Err(error) if envelope::wants_keyring(&error) => {
                barrier.reread_for_reader()?;
                self.update_once(barrier, batch).await
            }
            answer => answer,
        }
    }

    async fn update_once(&self, barrier: &Arc<Barrier>, batch: Batch) -> Result<Version> {
        let keys = barrier.keys()?;
        let mut stored = Vec::new();
        for key in self.updates.iter().flat_map(|update| &update.keys) {
            stored.push(names::seal_key(&keys, key)?);
        }
        drop(keys);
        let (updates, places, barrier_) = (self.updates.clone(), stored.clone(), barrier.clone());
        barrier
            .storage()
            .update(
                stored,
                Box::new(move |rows| {
                    let mut batch = batch.clone();
                    let mut at = 0;
                    for update in &updates {
                        let range = at..at + update.keys.len();
                        at = range.end;
                        let mut rows = Rows {
                            barrier: &barrier_,
                            prefix: &update.prefix,
                            places: &places[range.clone()],
                            rows: &rows[range],
                            batch: &mut batch,
                        };
                        (update.f)(&mut rows)?;
                    }
                    Ok(batch)
                }),
            )
            .await
    }

    pub(super) fn sealed(&self, barrier: &Barrier) -> Result<Batch> {
        let keys = barrier.keys()?;
        let mut batch = Batch::default();
        for (key, expect) in &self.expects {
            batch.expects.push((names::seal_key(&keys, key)?, *expect));
        }
        for (key, value) in &self.changes {
            let place = names::seal_key(&keys, key)?;
            let change = match value {
                Some(value) => Change::Put(envelope::seal(&keys, barrier.rng().as_ref(), &place, value.reveal())?),
                None => Change::Delete,
            };
            batch.changes.push((place, change));
        }
        Ok(batch)
    }
}

/// The present rows of an update, by their position in its list of keys.
pub struct Rows<'a> {
    barrier: &'a Barrier,
    prefix: &'a Key,
    places: &'a [String],
    rows: &'a [Option<Row>],
    batch: &'a mut Batch,
}

impl Rows<'_> {
    /// The value at this position.
    ///
    /// # Errors
    /// [`Error::Sealed`], or when it does not open.
    pub fn get<T: DeserializeOwned>(&self, at: usize) -> Result<Option<T>> {
        let Some(row) = &self.rows[at] else { return Ok(None) };
        let keys = self.barrier.keys()?;
        Ok(Some(decode(&envelope::open(&keys, &self.places[at], &row.value)?)?))
    }

    /// Writes the value at this position.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn put<T: Serialize>(&mut self, at: usize, value: &T) -> Result<()> {
        let keys = self.barrier.keys()?;
        let value = encode(value)?;
        let sealed = envelope::seal(&keys, self.barrier.rng().as_ref(), &self.places[at], value.reveal())?;
        self.batch.changes.push((self.places[at].clone(), Change::Put(sealed)));
        Ok(())
    }

    /// Writes a value whose key follows from what was read, and which must not exist yet.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn create<T: Serialize>(&mut self, key: &Key, value: &T) -> Result<()> {
        let keys = self.barrier.keys()?;
        let place = names::seal_below(&keys, self.prefix, key)?;
        let value = encode(value)?;
        let sealed = envelope::seal(&keys, self.barrier.rng().as_ref(), &place, value.reveal())?;
        self.batch.expects.push((place.clone(), Expect::Absent));
        self.batch.changes.push((place, Change::Put(sealed)));
        Ok(())
    }

    /// Removes the key at this position.
    pub fn delete(&mut self, at: usize) {
        self.batch.changes.push((self.places[at].clone(), Change::Delete));
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Secret<Vec<u8>>> {
    let bytes = serde_json::to_vec(value).map_err(|_| Error::internal("a value cannot be written down"))?;
    if bytes.len() > crate::base::limits::VALUE_BYTES {
        return Err(Error::TooLarge);
    }
    Ok(Secret::new(bytes))
}

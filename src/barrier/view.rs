//! A part of the store, seen through the barrier: keys below one prefix, values as what they are.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Barrier, Keyring, Txn, envelope, names};
use crate::base::{Error, Key, Result, Secret};
use crate::storage::{Snapshot, Version};
use crate::telemetry::metrics::Barrier as Timed;

/// The barrier with a prefix, and the guard that every batch from here expects.
#[derive(Clone)]
pub struct View {
    barrier: Arc<Barrier>,
    prefix: Key,
    guard: Option<Key>,
}

impl View {
    /// The whole store.
    pub(super) fn root(barrier: Arc<Barrier>) -> Self {
        Self { barrier, prefix: Key::default(), guard: None }
    }

    /// What lies below these names.
    #[must_use]
    pub fn sub(&self, path: &str) -> Self {
        Self { barrier: self.barrier.clone(), prefix: self.prefix.clone().join(path), guard: self.guard.clone() }
    }

    /// The same, whose batches succeed only while this key (from the top of the store) exists.
    #[must_use]
    pub fn guarded(mut self, guard: Key) -> Self {
        self.guard = Some(guard);
        self
    }

    /// The barrier it looks through.
    pub const fn barrier(&self) -> &Arc<Barrier> {
        &self.barrier
    }

    /// From the top of the store.
    pub fn absolute(&self, key: &Key) -> Key {
        self.prefix.clone().append(key)
    }

    /// Where it begins.
    pub const fn prefix(&self) -> &Key {
        &self.prefix
    }

    /// Reads several things from one consistent snapshot.
    ///
    /// # Errors
    /// [`Error::Sealed`], what `f` answers, and those of storage.
    pub fn read<R>(&self, mut f: impl FnMut(&Reading<'_>) -> Result<R>) -> Result<R> {
        match self.read_once(&mut f) {
            // Another node has added a term: what it wrote can be read at once, whatever the feed says.
            Err(error) if envelope::wants_keyring(&error) => {
                self.barrier.reread_for_reader()?;
                self.read_once(&mut f)
            }
            answer => answer,
        }
    }

    fn read_once<R>(&self, f: &mut impl FnMut(&Reading<'_>) -> Result<R>) -> Result<R> {
        let keys = self.barrier.keys()?;
        let mut answer = None;
        self.barrier.storage().read(&mut |snapshot| {
            answer = Some(f(&Reading { snapshot, keys: &keys, prefix: &self.prefix })?);
            Ok(())
        })?;
        answer.ok_or_else(|| Error::internal("a snapshot was not read"))
    }

    /// One value.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        self.barrier.timed(Timed::Get, || self.read(|r| r.get(key)))
    }

    /// The names directly below a key, sorted, folders with their slash.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn list(&self, folder: &Key) -> Result<Vec<String>> {
        self.barrier.timed(Timed::List, || self.read(|r| r.list(folder)))
    }

    /// One step of counting the rows below a key: how many it met, and where the next begins; none at the end.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn count_step(&self, folder: &Key, from: &Cursor) -> Result<(usize, Option<Cursor>)> {
        self.read(|r| {
            let (_, rows) = r.page(folder, from)?;
            Ok((rows.len(), next(&rows)))
        })
    }

    /// One step of a walk over the rows below a key, keys as seen from `folder`.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn walk_step<T: DeserializeOwned>(&self, folder: &Key, from: &Cursor) -> Result<Walked<T>> {
        self.read(|r| {
            let (place, rows) = r.page(folder, from)?;
            let mut found = Vec::new();
            for (stored, row) in &rows {
                let below = stored.get(place.len() + 1..).unwrap_or_default();
                let Some(key) = names::open_below(r.keys, &place, below) else { continue };
                found.push((key, decode(&envelope::open(r.keys, stored, &row.value)?)?));
            }
            Ok((found, next(&rows)))
        })
    }

    /// One step of listing the names directly below a key, in the order of storage, folders with their slash; and where the
    /// next begins, none at the end.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn names_step(&self, folder: &Key, from: &Cursor) -> Result<(Vec<String>, Option<Cursor>)> {
        self.read(|r| {
            let place = names::seal_below(r.keys, r.prefix, folder)?;
            let (found, last) = r.names(&place, &from.0)?;
            Ok((found, last.map(Cursor)))
        })
    }

    /// A transaction that starts empty.
    pub fn txn(&self) -> Txn {
        Txn::new(self.clone(), self.guard.clone())
    }
}

/// The rows of one step of a walk, and where the next begins; none at the end.
pub type Walked<T> = (Vec<(Key, T)>, Option<Cursor>);

/// Where a walk over many rows stands between two of its steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(String);

/// Behind a page that was full there may be more.
fn next(rows: &[(String, crate::storage::Row)]) -> Option<Cursor> {
    let full = rows.len() >= crate::base::limits::BATCH_KEYS;
    rows.last().filter(|_| full).map(|(stored, _)| Cursor(stored.clone()))
}

type StoredRows = Vec<(String, crate::storage::Row)>;

/// One consistent snapshot of a view.
pub struct Reading<'a> {
    snapshot: &'a dyn Snapshot,
    keys: &'a Keyring,
    prefix: &'a Key,
}

impl Reading<'_> {
    /// One value.
    ///
    /// # Errors
    /// When it cannot be read or does not open.
    pub fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        Ok(self.versioned(key)?.map(|(_, value)| value))
    }

    /// One value and its version.
    ///
    /// # Errors
    /// As [`Reading::get`].
    pub fn versioned<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<(Version, T)>> {
        let place = names::seal_below(self.keys, self.prefix, key)?;
        let Some(row) = self.snapshot.get(&place)? else { return Ok(None) };
        Ok(Some((row.version, decode(&envelope::open(self.keys, &place, &row.value)?)?)))
    }

    /// The version of a row, whatever it holds.
    ///
    /// # Errors
    /// As [`Reading::get`].
    pub fn version(&self, key: &Key) -> Result<Option<Version>> {
        let place = names::seal_below(self.keys, self.prefix, key)?;
        self.snapshot.version(&place)
    }

    /// The names directly below a key, sorted, folders with their slash.
    ///
    /// # Errors
    /// As [`Reading::get`].
    pub fn list(&self, folder: &Key) -> Result<Vec<String>> {
        let place = names::seal_below(self.keys, self.prefix, folder)?;
        let mut names = Vec::new();
        let mut after = Some(String::new());
        while let Some(from) = after.take() {
            let (found, last) = self.names(&place, &from)?;
            names.extend(found);
            after = last;
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The next names directly below a stored key, in the order of storage, and the last of them as it is stored.
    fn names(&self, place: &str, after: &str) -> Result<(Vec<String>, Option<String>)> {
        let prefix = if place.is_empty() { String::new() } else { format!("{place}/") };
        let page = self.snapshot.children(&prefix, after, crate::base::limits::BATCH_KEYS)?;
        let mut names = Vec::with_capacity(page.len());
        for stored in &page {
            let (bare, slash) = stored.strip_suffix('/').map_or((stored.as_str(), ""), |bare| (bare, "/"));
            // What does not open was put there by someone without our keys.
            if let Some(mut name) = names::open_segment(self.keys, place, bare) {
                name.push_str(slash);
                names.push(name);
            }
        }
        Ok((names, page.into_iter().last()))
    }

    /// The first rows below a key in the order of storage, which is that of time for ordered segments; keys are as
    /// seen from `folder`.
    ///
    /// # Errors
    /// As [`Reading::get`].
    pub fn first<T: DeserializeOwned>(&self, folder: &Key, limit: usize) -> Result<Vec<(Key, T)>> {
        self.after(folder, &Key::default(), limit)
    }

    /// The rows below a key that come after another, itself as seen from `folder`, in the order of storage. That other may
    /// be an ordered number alone: what lies below this number follows.
    ///
    /// # Errors
    /// As [`Reading::get`].
    pub fn after<T: DeserializeOwned>(&self, folder: &Key, after: &Key, limit: usize) -> Result<Vec<(Key, T)>> {
        let rows = self.versions_after(folder, after, limit)?;
        Ok(rows.into_iter().map(|(key, _, value)| (key, value)).collect())
    }

    /// As [`Reading::after`], each with its version.
    ///
    /// # Errors
    /// As [`Reading::get`].
    pub fn versions_after<T: DeserializeOwned>(
        &self,
        folder: &Key,
        after: &Key,
        limit: usize,
    ) -> Result<Vec<(Key, Version, T)>> {
        let (place, prefix, rows) = self.rows_after(folder, after, limit)?;
        let mut found = Vec::with_capacity(rows.len());
        for (stored, row) in rows {
            let Some(key) = names::open_below(self.keys, &place, &stored[prefix..]) else { continue };
            found.push((key, row.version, decode(&envelope::open(self.keys, &stored, &row.value)?)?));
        }
        Ok(found)
    }

    /// Rows as they are stored, the place of the folder, and where its rows' keys go on behind it.
    fn rows_after(&self, folder: &Key, after: &Key, limit: usize) -> Result<(String, usize, StoredRows)> {
        let place = names::seal_below(self.keys, self.prefix, folder)?;
        let prefix = if place.is_empty() { String::new() } else { format!("{place}/") };
        let after = match after.as_str() {
            "" => String::new(),
            _ => names::seal_below(self.keys, self.prefix, &folder.clone().append(after))?,
        };
        let rows = self.snapshot.scan(&prefix, &after, limit)?;
        Ok((place, prefix.len(), rows))
    }

    /// The rows of one page below a key, as they are stored, and the place of the key.
    fn page(&self, folder: &Key, from: &Cursor) -> Result<(String, Vec<(String, crate::storage::Row)>)> {
        let place = names::seal_below(self.keys, self.prefix, folder)?;
        let prefix = if place.is_empty() { String::new() } else { format!("{place}/") };
        let rows = self.snapshot.scan(&prefix, &from.0, crate::base::limits::BATCH_KEYS)?;
        Ok((place, rows))
    }

    /// The keys of the first rows below a key, in the order of storage, as seen from `folder`.
    ///
    /// # Errors
    /// As [`Reading::get`].
    pub fn first_keys(&self, folder: &Key, limit: usize) -> Result<Vec<Key>> {
        self.keys_after(folder, &Key::default(), limit)
    }

    /// The keys of the rows below a key that come after another, itself as seen from `folder`, in the order of storage.
    /// That other may be an ordered number alone: the rows from this number on follow.
    ///
    /// # Errors
    /// As [`Reading::get`].
    pub fn keys_after(&self, folder: &Key, after: &Key, limit: usize) -> Result<Vec<Key>> {
        let (place, prefix, rows) = self.rows_after(folder, after, limit)?;
        Ok(rows.iter().filter_map(|(s, _)| names::open_below(self.keys, &place, &s[prefix..])).collect())
    }
}

/// The value of opened bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &Secret<Vec<u8>>) -> Result<T> {
    // Without serde's text, which can quote the value.
    serde_json::from_slice(bytes.reveal()).map_err(|_| Error::internal("a stored value is not what it should be"))
}

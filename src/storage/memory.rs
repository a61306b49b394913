//! The backend that forgets: one immutable tree behind an atomic pointer, for `-dev` and for tests.
//!
//! Readers take no lock. Writers queue at a mutex, build the next tree, which shares all but a few nodes with the one
//! before, and swap it in. Several nodes of one process can share it.

mod tree;

use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::children::{child, past};
use super::feed::Feed;
use super::tasks::Tasks;
use super::{Batch, Change, Changes, Commit, Row, Snapshot, Storage, TaskLock, UpdateFn, Version, batch};
use crate::base::{BoxFuture, Error, Result};
use tree::Tree;

/// A store in the memory of this process.
pub struct Memory {
    state: ArcSwap<State>,
    writing: Mutex<()>,
    feed: Feed,
    tasks: Tasks,
}

#[derive(Clone, Default)]
struct State {
    tree: Tree,
    position: Version,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { state: ArcSwap::default(), writing: Mutex::new(()), feed: Feed::new(0), tasks: Tasks::default() }
    }

    fn write(&self, make: impl FnOnce(&State) -> Result<Batch>) -> Result<Version> {
        // The lock protects nothing but the order: the state is whole whenever it is swapped in.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.state.load_full();
        let batch = make(&before)?;
        batch::check(&batch)?;
        if !batch.expects.iter().all(|(key, expect)| expect.holds(before.tree.get(key).map(|row| row.version))) {
            return Err(Error::Conflict);
        }
        if batch.changes.is_empty() {
            return Ok(before.position);
        }
        let mut after = State::clone(&before);
        after.position += 1;
        let commit = Commit { version: after.position, keys: batch::keys(&batch) };
        for (key, change) in batch.changes {
            match change {
                Change::Put(value) => after.tree.put(key, Row { version: commit.version, value }),
                Change::Delete => after.tree.delete(&key),
            }
        }
        let version = commit.version;
        self.state.store(after.into());
        self.feed.push([commit]);
        Ok(version)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Storage for Memory {
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot) -> Result<()>) -> Result<()> {
        f(&**self.state.load())
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Version>> {
        Box::pin(async move { self.write(|_| Ok(batch)) })
    }

    fn update(&self, keys: Vec<String>, f: UpdateFn) -> BoxFuture<'_, Result<Version>> {
        Box::pin(async move {
            self.write(|state| {
                let rows: Vec<_> = keys.iter().map(|key| state.tree.get(key).cloned()).collect();
                batch::make(&f, &rows)
            })
        })
    }

    fn changes(&self, from: Version) -> BoxFuture<'_, Result<Changes>> {
        Box::pin(std::future::ready(Ok(self.feed.changes(from))))
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.feed.changed())
    }

    fn position(&self) -> Result<Version> {
        Ok(self.state.load().position)
    }

    fn task_lock(&self) -> BoxFuture<'_, Result<Option<Box<dyn TaskLock>>>> {
        Box::pin(self.tasks.take(self))
    }

    fn shared(&self) -> bool {
        true
    }

    fn kind(&self) -> &'static str {
        "inmem"
    }
}

impl Snapshot for State {
    fn get(&self, key: &str) -> Result<Option<Row>> {
        Ok(self.tree.get(key).cloned())
    }

    fn version(&self, key: &str) -> Result<Option<Version>> {
        Ok(self.tree.get(key).map(|row| row.version))
    }

    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Row)>> {
        let (from, inclusive) = if after < prefix { (prefix, true) } else { (after, after.is_empty()) };
        let rows = self.tree.seek(from, inclusive).take_while(|(key, _)| key.starts_with(prefix));
        Ok(rows.take(limit).map(|(key, row)| (key.to_owned(), row.clone())).collect())
    }

    fn children(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let (mut from, mut inclusive) = past(prefix, after);
        while found.len() < limit {
            let Some((key, _)) = self.tree.seek(&from, inclusive).next() else { break };
            let Some(name) = child(prefix, key) else { break };
            (from, inclusive) = past(prefix, name);
            found.push(name.to_owned());
        }
        Ok(found)
    }
}

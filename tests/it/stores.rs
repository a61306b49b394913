//! Storage that misbehaves as a story needs it, around any other.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use warifu::base::{BoxFuture, Error, Result};
use warifu::storage::memory::Memory;
use warifu::storage::{Batch, Change, Changes, Row, Snapshot, Storage, TaskLock, UpdateFn, Version};

/// All rows of a store.
pub fn rows(storage: &dyn Storage) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    storage
        .read(&mut |snapshot: &dyn Snapshot| {
            let mut after = String::new();
            loop {
                let page = snapshot.scan("", &after, 500)?;
                let Some((last, _)) = page.last() else { return Ok(()) };
                after.clone_from(last);
                all.extend(page.into_iter().map(|(key, row)| (key, row.value)));
            }
        })
        .unwrap();
    all
}

/// A store of its own with the same rows.
pub async fn copy(storage: &dyn Storage) -> Arc<Memory> {
    let memory = Memory::new();
    let changes = rows(storage).into_iter().map(|(key, value)| (key, Change::Put(value))).collect();
    memory.commit(Batch { expects: Vec::new(), changes }).await.unwrap();
    Arc::new(memory)
}

/// What a test does when something was committed.
pub type Hook = Box<dyn FnOnce() + Send>;

/// A store that is nobody else's, and that runs a hook after its next commit.
pub struct Alone {
    inner: Arc<dyn Storage>,
    hook: Mutex<Option<Hook>>,
}

impl Alone {
    pub fn new(inner: Arc<dyn Storage>) -> Arc<Self> {
        Arc::new(Self { inner, hook: Mutex::new(None) })
    }

    pub fn after_next_commit(&self, hook: impl FnOnce() + Send + 'static) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }

    fn ring(&self) {
        if let Some(hook) = self.hook.lock().unwrap_or_else(PoisonError::into_inner).take() {
            hook();
        }
    }
}

impl Storage for Alone {
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot) -> Result<()>) -> Result<()> {
        self.inner.read(f)
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Version>> {
        Box::pin(async move {
            let version = self.inner.commit(batch).await?;
            self.ring();
            Ok(version)
        })
    }
    fn update(&self, keys: Vec<String>, f: UpdateFn) -> BoxFuture<'_, Result<Version>> {
        self.inner.update(keys, f)
    }
    fn changes(&self, from: Version) -> BoxFuture<'_, Result<Changes>> {
        self.inner.changes(from)
    }
    fn changed(&self) -> BoxFuture<'_, ()> {
        self.inner.changed()
    }
    fn position(&self) -> Result<Version> {
        self.inner.position()
    }
    fn task_lock(&self) -> BoxFuture<'_, Result<Option<Box<dyn TaskLock>>>> {
        self.inner.task_lock()
    }
    fn shared(&self) -> bool {
        false
    }
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
}

/// How the change feed reaches a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Feed {
    /// At once.
    Sound,
    /// Nobody is woken: changes are found by those who poll.
    Asleep,
    /// Wake-ups come when there is nothing, and not when there is something; answers are what was true before the wait.
    Late,
    /// Asking fails.
    Cut,
    /// Asking is never answered.
    Hung,
    /// Everything is said to be lost, each time.
    Lost,
}

/// All of them.
pub const FEEDS: [Feed; 6] = [Feed::Sound, Feed::Asleep, Feed::Late, Feed::Cut, Feed::Hung, Feed::Lost];

/// A node's way to a store that others write to as well.
pub struct Wire {
    inner: Arc<dyn Storage>,
    feed: AtomicU8,
    /// Rises when a feed that is late may go on.
    let_go: watch::Sender<u64>,
}

impl Wire {
    pub fn new(inner: Arc<dyn Storage>) -> Arc<Self> {
        Arc::new(Self { inner, feed: AtomicU8::new(Feed::Sound as u8), let_go: watch::Sender::new(0) })
    }

    /// From now on the feed is like this.
    pub fn feed(&self, feed: Feed) {
        self.feed.store(feed as u8, Ordering::SeqCst);
    }

    /// Answers that were held back are given.
    pub fn let_go(&self) {
        self.let_go.send_modify(|n| *n += 1);
    }

    fn present(&self) -> Feed {
        let feed = self.feed.load(Ordering::SeqCst);
        FEEDS.into_iter().find(|f| *f as u8 == feed).unwrap_or(Feed::Sound)
    }
}

impl Storage for Wire {
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot) -> Result<()>) -> Result<()> {
        self.inner.read(f)
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Version>> {
        self.inner.commit(batch)
    }
    fn update(&self, keys: Vec<String>, f: UpdateFn) -> BoxFuture<'_, Result<Version>> {
        self.inner.update(keys, f)
    }
    fn changes(&self, from: Version) -> BoxFuture<'_, Result<Changes>> {
        Box::pin(async move {
            match self.present() {
                Feed::Sound | Feed::Asleep => self.inner.changes(from).await,
                Feed::Late => {
                    let mut go = self.let_go.subscribe();
                    let old = self.inner.changes(from).await;
                    let _ = go.changed().await;
                    old
                }
                Feed::Cut => Err(Error::Unavailable("the feed is cut".into())),
                Feed::Hung => std::future::pending().await,
                Feed::Lost => Ok(Changes::Lost(self.inner.position()?)),
            }
        })
    }
    fn changed(&self) -> BoxFuture<'_, ()> {
        match self.present() {
            Feed::Sound | Feed::Cut | Feed::Hung | Feed::Lost => self.inner.changed(),
            Feed::Asleep => Box::pin(std::future::pending()),
            Feed::Late => Box::pin(tokio::time::sleep(std::time::Duration::from_millis(5))),
        }
    }
    fn position(&self) -> Result<Version> {
        self.inner.position()
    }
    fn task_lock(&self) -> BoxFuture<'_, Result<Option<Box<dyn TaskLock>>>> {
        self.inner.task_lock()
    }
    fn shared(&self) -> bool {
        true
    }
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
}

/// A store that counts what is read and how large commits are.
pub struct Counting {
    inner: Arc<dyn Storage>,
    /// Rows and names that reads gave.
    pub read: AtomicUsize,
    /// Changes of the largest commit.
    pub largest: AtomicUsize,
}

impl Counting {
    pub fn new(inner: Arc<dyn Storage>) -> Arc<Self> {
        Arc::new(Self { inner, read: AtomicUsize::new(0), largest: AtomicUsize::new(0) })
    }
}

struct CountingSnapshot<'a>(&'a dyn Snapshot, &'a AtomicUsize);

impl CountingSnapshot<'_> {
    fn count<T>(&self, rows: Vec<T>) -> Vec<T> {
        self.1.fetch_add(1 + rows.len(), Ordering::SeqCst);
        rows
    }
}

impl Snapshot for CountingSnapshot<'_> {
    fn get(&self, key: &str) -> Result<Option<Row>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.get(key)
    }
    fn version(&self, key: &str) -> Result<Option<Version>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.version(key)
    }
    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Row)>> {
        self.0.scan(prefix, after, limit).map(|rows| self.count(rows))
    }
    fn children(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>> {
        self.0.children(prefix, after, limit).map(|names| self.count(names))
    }
}

impl Storage for Counting {
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot) -> Result<()>) -> Result<()> {
        self.inner.read(&mut |snapshot| f(&CountingSnapshot(snapshot, &self.read)))
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Version>> {
        self.largest.fetch_max(batch.changes.len(), Ordering::SeqCst);
        self.inner.commit(batch)
    }
    fn update(&self, keys: Vec<String>, f: UpdateFn) -> BoxFuture<'_, Result<Version>> {
        self.inner.update(keys, f)
    }
    fn changes(&self, from: Version) -> BoxFuture<'_, Result<Changes>> {
        self.inner.changes(from)
    }
    fn changed(&self) -> BoxFuture<'_, ()> {
        self.inner.changed()
    }
    fn position(&self) -> Result<Version> {
        self.inner.position()
    }
    fn task_lock(&self) -> BoxFuture<'_, Result<Option<Box<dyn TaskLock>>>> {
        self.inner.task_lock()
    }
    fn shared(&self) -> bool {
        self.inner.shared()
    }
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
}

//! Ordered keys to bytes, in five verbs: read, commit, update, changes, task lock.
//!
//! A backend is small, and all of them pass the one model test (`model.rs`). Storage knows nothing of encryption: its
//! keys are text whose segments are joined by `/`, its values are bytes.

mod batch;
mod children;
pub mod faulty;
pub mod feed;
pub mod memory;
#[cfg(test)]
mod model;
pub mod sqlite;
mod tasks;

use std::sync::Arc;

use crate::base::{BoxFuture, Result};

/// A global commit position. Each commit has one greater than all before; no row's version ever comes again.
pub type Version = u64;

/// The key of the row that [`Storage::task_lock`] writes at each take. Nobody else may write it.
pub const TASK_LOCK: &str = "task-lock";

/// A stored value with the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The commit that wrote it.
    pub version: Version,
    /// The bytes.
    pub value: Vec<u8>,
}

/// What a batch's author saw, and what must still be true when it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No such key.
    Absent,
    /// The key with exactly this version.
    Version(Version),
    /// The key with whatever version.
    Present,
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes the value, whether the key exists or not.
    Put(Vec<u8>),
    /// Removes the key, if it exists.
    Delete,
}

/// Changes that happen together or not at all, if what their author saw still holds.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// What must hold.
    pub expects: Vec<(String, Expect)>,
    /// What is done, in this order; the last change of a key counts.
    pub changes: Vec<(String, Change)>,
}

/// A consistent view of the store, for one synchronous stretch of reading.
pub trait Snapshot {
    /// The row of this key.
    ///
    /// # Errors
    /// [`crate::base::Error::Internal`] when the store cannot be read.
    fn get(&self, key: &str) -> Result<Option<Row>>;

    /// The version of this key's row, for who has what it holds already.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    fn version(&self, key: &str) -> Result<Option<Version>>;

    /// Rows whose keys begin with `prefix` and come after `after` (bytewise; a whole key, or empty for the first), at
    /// most `limit`, in order.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Row)>>;

    /// The distinct first segments of what follows `prefix` (which is empty or ends in `/`), folders with their slash,
    /// those after `after` (itself such a child, or empty), at most `limit`. Subtrees are skipped by a seek, not walked.
    /// A name can be both a key and a folder, and is then given twice: `a` and `a/`.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    fn children(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>>;
}

/// Makes the batch from the rows it asked for. Pure, synchronous, may be called more than once.
pub type UpdateFn = Box<dyn Fn(&[Option<Row>]) -> Result<Batch> + Send + Sync>;

/// What a commit changed, for those who keep caches.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its position.
    pub version: Version,
    /// The keys that were put or deleted.
    pub keys: Arc<[String]>,
}

/// What the feed answers.
#[derive(Clone, Debug)]
pub enum Changes {
    /// All commits after the position that was asked for, in order; maybe none.
    Commits(Vec<Commit>),
    /// More happened than is remembered: drop every cache and go on from this position.
    Lost(Version),
}

/// One holder among all nodes may run the background tasks.
pub trait TaskLock: Send + Sync {
    /// A key and the version that it has as long as the lock is held: each batch of a background task expects it.
    fn fence(&self) -> (String, Expect);
    /// Whether the lock is still held, as far as this node knows.
    fn held(&self) -> bool;
}

/// A backend.
pub trait Storage: Send + Sync + 'static {
    /// Runs `f` on a consistent snapshot, perhaps more than once: the last time counts. Synchronous: never held across
    /// an await.
    ///
    /// # Errors
    /// What `f` answers, or [`crate::base::Error::Internal`] when the store cannot be read.
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot) -> Result<()>) -> Result<()>;

    /// Applies a batch, and answers its position once it is durable.
    ///
    /// # Errors
    /// [`crate::base::Error::Conflict`] if an expectation does not hold (nothing is written);
    /// [`crate::base::Error::Unknown`] if it is not known whether the commit reached the disk.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Version>>;

    /// Reads `keys`, lets `f` make the batch where nobody can come between, and applies it.
    ///
    /// # Errors
    /// What `f` answers (nothing is written), else as [`Storage::commit`].
    fn update(&self, keys: Vec<String>, f: UpdateFn) -> BoxFuture<'_, Result<Version>>;

    /// What was committed after `from`, in the order of commits. Cheap when there is nothing.
    ///
    /// # Errors
    /// When the feed cannot be read.
    fn changes(&self, from: Version) -> BoxFuture<'_, Result<Changes>>;

    /// Completes when there may be something new for [`Storage::changes`]: a hint that can be spurious or late.
    fn changed(&self) -> BoxFuture<'_, ()>;

    /// The position of the last commit.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn position(&self) -> Result<Version>;

    /// Takes the task lock if nobody has it. It is released when dropped.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn task_lock(&self) -> BoxFuture<'_, Result<Option<Box<dyn TaskLock>>>>;

    /// Whether other nodes write to the same store. If not, a node's own commits are all there are.
    fn shared(&self) -> bool;

    /// The word that `sys/seal-status` says: `sqlite`, `inmem`.
    fn kind(&self) -> &'static str;
}

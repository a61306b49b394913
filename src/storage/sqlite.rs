//! The embedded backend: one SQLite file, one writing thread, reading connections without a lock.
//!
//! A commit costs what a disk's flush costs, whatever is in it: the writer applies all that waits in one transaction
//! (`writer.rs`). What the file must be before anything touches it is in `file.rs`.

mod file;
mod fold;
mod reader;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use rusqlite::ErrorCode;
use tokio::sync::{mpsc, oneshot, watch};

use super::feed::Feed;
use super::tasks::Tasks;
use super::{Batch, Changes, Snapshot, Storage, TaskLock, UpdateFn, Version, batch};
use crate::base::{BoxFuture, Error, Result, limits};
use file::Place;
use reader::Pool;
use rows::Rows;
use writer::{Job, Work, Writer};

/// A store in a file of this machine, used by this process alone.
pub struct Sqlite {
    // None only while it is dropped: the writer ends when nobody can send any more.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    readers: Pool,
    told: Arc<Told>,
    failed: watch::Receiver<bool>,
    tasks: Tasks,
}

/// What the writer tells everyone else.
struct Told {
    /// The last commit that is published: rows that it changed are no longer at hand.
    position: AtomicU64,
    feed: Feed,
    rows: Rows,
    /// How many of the next commits shall fail.
    #[cfg(test)]
    faults: std::sync::atomic::AtomicUsize,
    /// How many pages the file may have from the next time it is opened anew; zero for no bound.
    #[cfg(test)]
    pages: std::sync::atomic::AtomicUsize,
}

impl Sqlite {
    /// Opens the store in the file `path`, or makes it, with its folder, if there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if another process has it open; [`Error::Invalid`] if the file is not this server's, is of
    /// a newer version, truncated, corrupt, or open to other users. The file is then as it was.
    pub fn open(path: &Path) -> Result<Self> {
        let place = Place::take(path)?;
        let (jobs, waiting) = mpsc::channel(limits::WRITE_QUEUE);
        let (failing, failed) = watch::channel(false);
        let connection = place.writing()?;
        let position = file::position(&connection).map_err(|cause| place.refuse(cause))?;
        let told = Arc::new(Told {
            position: AtomicU64::new(position),
            feed: Feed::new(position),
            rows: Rows::new(),
            #[cfg(test)]
            faults: std::sync::atomic::AtomicUsize::new(0),
            #[cfg(test)]
            pages: std::sync::atomic::AtomicUsize::new(0),
        });
        let readers = Pool::open(&place, Arc::clone(&told))?;
        let writer = Writer::new(place, connection, waiting, Arc::clone(&told), failing)?;
        let writer = std::thread::Builder::new().name("store".into()).spawn(move || writer.run())?;
        Ok(Self { jobs: Some(jobs), writer: Some(writer), readers, told, failed, tasks: Tasks::default() })
    }

    /// Becomes true, for good, when the disk failed twice in a row: nothing more is written, and the node should seal.
    #[must_use]
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.failed.clone()
    }

    async fn write(&self, work: Work) -> Result<Version> {
        let closed = || Error::Unavailable("the store is closed".into());
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(Job { work, answer }).await.map_err(|_| closed())?;
        // The writer is gone with the job in its hands: nobody knows.
        answered.await.unwrap_or(Err(Error::Unknown))
    }
}

impl Storage for Sqlite {
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot) -> Result<()>) -> Result<()> {
        self.readers.read(f)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Version>> {
        Box::pin(async move {
            batch::check(&batch)?;
            self.write(Work::Commit(batch)).await
        })
    }

    fn update(&self, keys: Vec<String>, f: UpdateFn) -> BoxFuture<'_, Result<Version>> {
        Box::pin(self.write(Work::Update(keys, f)))
    }

    fn changes(&self, from: Version) -> BoxFuture<'_, Result<Changes>> {
        Box::pin(std::future::ready(Ok(self.told.feed.changes(from))))
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.told.feed.changed())
    }

    fn position(&self) -> Result<Version> {
        Ok(self.told.position.load(Ordering::Acquire))
    }

    fn task_lock(&self) -> BoxFuture<'_, Result<Option<Box<dyn TaskLock>>>> {
        Box::pin(self.tasks.take(self))
    }

    fn shared(&self) -> bool {
        false
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }
}

impl Drop for Sqlite {
    /// Waits until everything that was queued is written and the log is folded into the file.
    fn drop(&mut self) {
        self.readers.close();
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // An update's function that held the last reference drops it on the writer itself.
            if writer.thread().id() != std::thread::current().id() && writer.join().is_err() {
                tracing::error!("the store's writer panicked");
            }
        }
    }
}

/// What a failed statement means to whoever asked for it. A failed COMMIT is another matter: see `writer.rs`.
fn statement_error(cause: &rusqlite::Error) -> Error {
    let text = match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the store is full",
        Some(
            ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied,
        ) => "the store cannot be written",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "the store is locked by another process",
        _ => return Error::internal(format_args!("the store: {cause}")),
    };
    Error::Unavailable(text.into())
}

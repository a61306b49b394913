//! Folding the log into the file beside the commits, by a thread of its own; the writer only lets the log begin anew.
//!
//! SQLite lets one connection copy pages from the log while another appends to it. The log begins anew only when nothing
//! in it is left to copy, though, which never happens by itself while writes go on. So the thread copies what there is
//! each time that so many rows were written, and once the log is long, the writer copies the little that came since.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::base::Result;

/// Rows that are written from one folding to the next. A row is a page of the log at most, most of the time.
const ROWS: usize = 2048;
/// From so many pages on the log is long: 16 MiB.
const LONG_PAGES: u32 = 4096;

/// The thread, as the writer sees it.
pub struct Fold {
    // None only while it is dropped: the thread ends when nobody can ring any more.
    bell: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    long: Arc<AtomicBool>,
    rows: usize,
}

impl Fold {
    /// Starts it, with a connection of its own.
    pub fn start(connection: Connection) -> Result<Self> {
        let (bell, rung) = sync_channel(1);
        let long = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&long);
        let thread =
            std::thread::Builder::new().name("store fold".into()).spawn(move || run(&connection, &rung, &told))?;
        Ok(Self { bell: Some(bell), thread: Some(thread), long, rows: 0 })
    }

    /// Notes that so many rows were committed.
    pub fn wrote(&mut self, rows: usize) {
        self.rows += rows;
        if self.rows >= ROWS {
            self.rows = 0;
            // One that was rung before and not heard yet is enough.
            let _ = self.bell.as_ref().map(|bell| bell.try_send(()));
        }
    }

    /// Whether the log is long and nearly all of it folded in; true once.
    pub fn is_due(&self) -> bool {
        self.long.load(Ordering::Relaxed) && self.long.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Fold {
    fn drop(&mut self) {
        self.bell = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that folds the store's log panicked");
        }
    }
}

fn run(connection: &Connection, rung: &Receiver<()>, long: &AtomicBool) {
    while rung.recv().is_ok() {
        if pages(connection).is_some_and(|pages| pages >= LONG_PAGES) {
            long.store(true, Ordering::Relaxed);
        }
    }
}

/// Copies what can be copied without waiting for anybody; how many pages the log has, if that is known. A log that
/// cannot be folded in now stays, and counts: that is no error.
pub fn pages(connection: &Connection) -> Option<u32> {
    let pages = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1));
    pages.inspect_err(|cause| tracing::warn!(%cause, "the store's log was not folded in")).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use crate::storage::sqlite::Sqlite;
    use crate::storage::{Batch, Change, Storage};

    /// A page each.
    fn rows(from: usize, count: usize) -> Batch {
        let change = |n| (format!("k/{n:06}"), Change::Put(vec![7; 3600]));
        Batch { expects: Vec::new(), changes: (from..from + count).map(change).collect() }
    }

    /// What SQLite draws anew each time that the log begins anew.
    fn salts(path: &Path) -> [u8; 8] {
        let log = fs::read(format!("{}-wal", path.display())).unwrap();
        log[16..24].try_into().unwrap()
    }

    #[tokio::test]
    async fn the_log_is_folded_in_and_begins_anew_while_the_store_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("warifu.db");
        let storage = Sqlite::open(&path).unwrap();
        storage.commit(rows(0, 1)).await.unwrap();
        let before = salts(&path);
        for n in 0..10 {
            storage.commit(rows(1 + n * 500, 500)).await.unwrap();
        }
        // Nobody but the thread folds anything in here: the writer would only from 64 MiB on.
        let folded = async {
            while fs::metadata(&path).unwrap().len() < 16 << 20 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), folded).await.expect("nobody folds the log");
        let mut last = 5001;
        while salts(&path) == before {
            assert!(last < 15_000, "the log never begins anew");
            storage.commit(rows(last, 1)).await.unwrap();
            last += 1;
        }
        assert!(fs::metadata(format!("{}-wal", path.display())).unwrap().len() < 64 << 20);
        drop(storage);
        let again = Sqlite::open(&path).unwrap();
        let mut found = Vec::new();
        again
            .read(&mut |snapshot| {
                found = snapshot.scan("k/", "", last + 1)?;
                Ok(())
            })
            .unwrap();
        assert_eq!(found.len(), last);
    }
}

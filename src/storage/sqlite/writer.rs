//! The one thread that writes: it takes what waits, applies it in one transaction, and answers after its COMMIT.
//!
//! A batch sees its predecessors of the group, so no answer, a conflict's included, is given before their commit is on
//! the disk. A batch is checked whole before its first write, and a failed write ends the whole group: so no savepoint is
//! ever needed. Outcomes of a group:
//!
//! | what failed | answer to all | then |
//! | --- | --- | --- |
//! | nothing | their own | the feed has spoken |
//! | a statement, or COMMIT for want of room | `Unavailable` | rolled back, nothing happened |
//! | COMMIT or its flush | `Unknown` | the file is opened anew; at the second in a row the store is failed for good |

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::super::{Batch, Change, Commit, Row, UpdateFn, Version, batch};
use super::file::{self, Place, number};
use super::fold::{self, Fold};
use super::{Told, statement_error};
use crate::base::{Error, Result, limits};

/// A log of this many bytes is folded in even if readers must be waited for: steady reading would else let it grow.
const LOG_MOST_BYTES: u64 = 64 << 20;
/// Commits that may fail in a row before nothing more is written.
const FAILURES: usize = 2;

/// What is to be written.
pub enum Work {
    /// A batch that is ready.
    Commit(Batch),
    /// The keys and the function of an update.
    Update(Vec<String>, UpdateFn),
}

/// Work, and who waits for it.
pub struct Job {
    /// The work.
    pub work: Work,
    /// Takes the position once it is durable. Whoever went away is not an error: the work is done all the same.
    pub answer: oneshot::Sender<Result<Version>>,
}

/// The writing thread's state.
pub struct Writer {
    // None after a failed commit, until the file is opened anew. Declared before the place, whose lock it needs.
    connection: Option<Connection>,
    // None only when it ends.
    fold: Option<Fold>,
    place: Place,
    jobs: mpsc::Receiver<Job>,
    told: Arc<Told>,
    failing: watch::Sender<bool>,
    /// The last position that was ever given out, also to a commit that failed: none comes twice.
    position: Version,
    failures: usize,
}

/// Jobs that share a transaction.
#[derive(Default)]
struct Group {
    answers: Vec<oneshot::Sender<Result<Version>>>,
    results: Vec<Result<Version>>,
    commits: Vec<Commit>,
    bytes: usize,
}

/// Why a group came to nothing, or nobody knows to what.
enum Failure {
    Refused(rusqlite::Error),
    Closed(Error),
    Unknown(rusqlite::Error),
}

impl Writer {
    /// A writer on an open connection.
    pub fn new(
        place: Place,
        connection: Connection,
        jobs: mpsc::Receiver<Job>,
        told: Arc<Told>,
        failing: watch::Sender<bool>,
    ) -> Result<Self> {
        let position = told.position.load(Ordering::Acquire);
        #[cfg(test)]
        let connection = super::tests::with_faults(connection, &told)?;
        let fold = Some(Fold::start(place.writing()?)?);
        Ok(Self { connection: Some(connection), fold, place, jobs, told, failing, position, failures: 0 })
    }

    /// Works until nobody can send any more, then folds the log into the file.
    pub fn run(mut self) {
        while let Some(job) = self.jobs.blocking_recv() {
            self.group(job);
        }
        self.fold = None;
        if let Some(connection) = self.connection.take() {
            truncate(&connection);
            if let Err((_, cause)) = connection.close() {
                tracing::warn!(%cause, "the store did not close well");
            }
        }
    }

    fn group(&mut self, first: Job) {
        let mut group = Group::default();
        if *self.failing.borrow() {
            let _ = first.answer.send(Err(failed()));
            return;
        }
        let before = self.position;
        match self.transact(first, &mut group) {
            Ok(()) => {
                if !group.commits.is_empty() {
                    self.failures = 0;
                    let rows = group.commits.iter().map(|commit| commit.keys.len()).sum();
                    self.fold.iter_mut().for_each(|fold| fold.wrote(rows));
                    // Before the position is published: see `rows.rs`.
                    for commit in &group.commits {
                        commit.keys.iter().for_each(|key| self.told.rows.forget(key, commit.version));
                    }
                    self.told.position.store(self.position, Ordering::Release);
                    self.told.feed.push(group.commits);
                }
                for (answer, result) in group.answers.into_iter().zip(group.results) {
                    let _ = answer.send(result);
                }
            }
            Err(Failure::Refused(cause)) => {
                tracing::error!(%cause, "the store refused a write");
                self.position = before;
                self.roll_back(&cause);
                group.answer_all(|| statement_error(&cause));
            }
            Err(Failure::Closed(cause)) => {
                tracing::error!(%cause, "the store cannot be opened anew");
                self.failed_once();
                group.answer_all(|| Error::Unavailable("the store cannot be opened".into()));
            }
            Err(Failure::Unknown(cause)) => {
                tracing::error!(%cause, "a commit failed");
                self.connection = None;
                self.failed_once();
                // Opened at once, so that what did reach the disk is told before anyone can read it.
                if let Err(cause) = self.open() {
                    tracing::error!(%cause, "the store cannot be opened anew");
                }
                group.answer_all(|| Error::Unknown);
            }
        }
        if let Some(connection) = &self.connection {
            if self.place.log_bytes() > LOG_MOST_BYTES {
                truncate(connection);
            } else if self.fold.as_ref().is_some_and(Fold::is_due) {
                fold::pages(connection);
            }
        }
    }

    /// Applies the first job and all that wait behind it, and commits. What comes while it works is for the next group: it
    /// would keep those who wait from going on, and a flush leaves time enough for the next group to gather.
    fn transact(&mut self, first: Job, group: &mut Group) -> Result<(), Failure> {
        let opened = if self.connection.is_some() { Ok(()) } else { self.open() };
        let Some(connection) = self.connection.take() else {
            group.answers.push(first.answer);
            return Err(Failure::Closed(opened.err().unwrap_or(Error::Unknown)));
        };
        let result = self.apply_all(&connection, first, group).map_err(Failure::Refused).and_then(|()| {
            if group.commits.is_empty() {
                return run(&connection, "ROLLBACK").map_err(Failure::Refused);
            }
            run(&connection, "COMMIT").map_err(|cause| match cause.sqlite_error_code() {
                // The frame that makes the transaction count is the last one: it had no room, so it is not there.
                Some(ErrorCode::DiskFull) => Failure::Refused(cause),
                _ => Failure::Unknown(cause),
            })
        });
        self.connection = Some(connection);
        result
    }

    fn apply_all(&mut self, connection: &Connection, first: Job, group: &mut Group) -> rusqlite::Result<()> {
        let mut next = Some(first);
        let most = limits::WRITE_GROUP.min(1 + self.jobs.len());
        let begun = run(connection, "BEGIN IMMEDIATE");
        while let Some(Job { work, answer }) = next {
            group.answers.push(answer);
            if begun.is_err() {
                break;
            }
            let result = self.apply(connection, work, group)?;
            group.results.push(result);
            let full = group.answers.len() >= most || group.bytes >= limits::WRITE_GROUP_BYTES;
            next = if full { None } else { self.jobs.try_recv().ok() };
        }
        begun?;
        if !group.commits.is_empty() {
            let mut statement = connection.prepare_cached("UPDATE meta SET position = ?1 WHERE one = 1")?;
            statement.execute([self.position.cast_signed()])?;
        }
        Ok(())
    }

    /// Applies one job. The outer error is the store's and ends the group; the inner one is the job's own.
    fn apply(&mut self, connection: &Connection, work: Work, group: &mut Group) -> rusqlite::Result<Result<Version>> {
        let batch = match work {
            Work::Commit(batch) => batch,
            Work::Update(keys, f) => {
                let rows = keys.iter().map(|key| get(connection, key)).collect::<rusqlite::Result<Vec<_>>>()?;
                match batch::make(&f, &rows).and_then(|batch| batch::check(&batch).map(|()| batch)) {
                    Ok(batch) => batch,
                    Err(own) => return Ok(Err(own)),
                }
            }
        };
        for (key, expect) in &batch.expects {
            if !expect.holds(version(connection, key)?) {
                return Ok(Err(Error::Conflict));
            }
        }
        if batch.changes.is_empty() {
            return Ok(Ok(self.position));
        }
        self.position += 1;
        let mut put = connection.prepare_cached(
            "INSERT INTO entries (key, version, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value",
        )?;
        let mut delete = connection.prepare_cached("DELETE FROM entries WHERE key = ?1")?;
        for (key, change) in &batch.changes {
            match change {
                Change::Put(value) => {
                    group.bytes += value.len();
                    put.execute(params![key, self.position.cast_signed(), value])?;
                }
                Change::Delete => {
                    delete.execute([key])?;
                }
            }
        }
        group.commits.push(Commit { version: self.position, keys: batch::keys(&batch) });
        Ok(Ok(self.position))
    }

    /// Opens the file anew. Whoever follows the feed is told that something may have happened.
    fn open(&mut self) -> Result<()> {
        let connection = self.place.writing()?;
        let found = file::position(&connection).map_err(|cause| self.place.refuse(cause))?;
        self.position = self.position.max(found);
        self.told.rows.clear(self.position);
        self.told.position.store(self.position, Ordering::Release);
        self.told.feed.lose(self.position);
        #[cfg(test)]
        let connection = super::tests::with_faults(connection, &self.told)?;
        self.connection = Some(connection);
        Ok(())
    }

    fn roll_back(&mut self, cause: &rusqlite::Error) {
        let Some(connection) = &self.connection else { return };
        let ended = connection.is_autocommit() || run(connection, "ROLLBACK").is_ok();
        // After a fault of the disk the connection's own idea of the file may be wrong.
        if !ended || matches!(cause.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt))
        {
            self.connection = None;
        }
    }

    fn failed_once(&mut self) {
        self.failures += 1;
        if self.failures >= FAILURES {
            self.failing.send_replace(true);
        }
    }
}

impl Group {
    fn answer_all(self, error: impl Fn() -> Error) {
        for answer in self.answers {
            let _ = answer.send(Err(error()));
        }
    }
}

fn failed() -> Error {
    Error::Unavailable("the store failed twice to reach the disk and writes nothing more".into())
}

fn get(connection: &Connection, key: &str) -> rusqlite::Result<Option<Row>> {
    let mut statement = connection.prepare_cached("SELECT version, value FROM entries WHERE key = ?1")?;
    statement.query_row([key], |row| Ok(Row { version: number(row, 0)?, value: row.get(1)? })).optional()
}

fn version(connection: &Connection, key: &str) -> rusqlite::Result<Option<Version>> {
    let mut statement = connection.prepare_cached("SELECT version FROM entries WHERE key = ?1")?;
    statement.query_row([key], |row| number(row, 0)).optional()
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

/// Folds the log into the file and empties it, waiting for readers. That it cannot be done now is no error: the log stays.
fn truncate(connection: &Connection) {
    if let Err(cause) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        tracing::warn!(%cause, "the store's log was not folded in");
    }
}

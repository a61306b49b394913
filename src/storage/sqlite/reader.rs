//! Reading: connections that wait in a lock-free queue, and the snapshot that one of them is for a while.
//!
//! A read begins without a connection, at the position that was published last, and takes the rows at hand (`rows.rs`).
//! Only the first one that is not there begins a snapshot of the file. That is of the same position most of the time; if
//! not, and rows at hand were given out already, the reading function runs again, on the file's snapshot from the start.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::super::children::{child, past};
use super::super::{Row, Snapshot, Version};
use super::Told;
use super::file::{Place, number};
use super::rows::Rows;
use crate::base::{Error, Result};

/// Connections beside one for each core: for reads of the blocking pool.
const SPARE: usize = 2;
/// Page cache of all connections together, and of one, in KiB: the server is to stay small on many cores too.
const CACHE_ALL: usize = 8 << 10;
const CACHE_LEAST: usize = 256;
const CACHE_MOST: usize = 1024;
/// How long a read waits for a connection at a time, and how often: five seconds in all.
const WAIT: Duration = Duration::from_millis(5);
const WAITS: usize = 1000;

/// The connections that read.
pub struct Pool {
    told: Arc<Told>,
    idle: ArrayQueue<Connection>,
    waiting: AtomicUsize,
    gate: Mutex<()>,
    freed: Condvar,
}

impl Pool {
    /// Opens all of them.
    pub fn open(place: &Place, told: Arc<Told>) -> Result<Self> {
        let size = std::thread::available_parallelism().map_or(1, usize::from) + SPARE;
        let idle = ArrayQueue::new(size);
        for _ in 0..size {
            // It cannot be full: it has room for as many as are opened.
            let _ = idle.push(place.reading((CACHE_ALL / size).clamp(CACHE_LEAST, CACHE_MOST))?);
        }
        Ok(Self { told, idle, waiting: AtomicUsize::new(0), gate: Mutex::new(()), freed: Condvar::new() })
    }

    /// Runs `f` on a snapshot; perhaps twice, of which the second time counts.
    pub fn read(&self, f: &mut dyn FnMut(&dyn Snapshot) -> Result<()>) -> Result<()> {
        let view = View::at(self, self.told.position.load(Ordering::Acquire));
        let answer = f(&view);
        if !view.torn.get() {
            return answer;
        }
        view.torn.set(false);
        view.given.set(false);
        f(&view)
    }

    /// Closes those that are idle.
    pub fn close(&self) {
        while self.idle.pop().is_some() {}
    }

    fn take(&self) -> Result<Connection> {
        if let Some(connection) = self.idle.pop() {
            return Ok(connection);
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = self.idle.pop();
        // A wake-up that is missed costs one wait.
        for _ in 0..WAITS {
            if found.is_some() {
                break;
            }
            gate = self.freed.wait_timeout(gate, WAIT).unwrap_or_else(PoisonError::into_inner).0;
            found = self.idle.pop();
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        found.ok_or_else(|| Error::Unavailable("the store has too many readers".into()))
    }
}

/// A connection that goes back when it is dropped, also by a panic, with its snapshot ended.
struct Borrowed<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if !connection.is_autocommit()
            && let Err(cause) = run(&connection, "ROLLBACK")
        {
            tracing::warn!(%cause, "a read did not end well");
        }
        let _ = self.pool.idle.push(connection);
        if self.pool.waiting.load(Ordering::SeqCst) > 0 {
            self.pool.freed.notify_one();
        }
    }
}

/// One snapshot: of the rows at hand, until the file is needed.
struct View<'a> {
    pool: &'a Pool,
    file: OnceCell<Borrowed<'a>>,
    position: Cell<Version>,
    /// Whether rows at hand may be given out: not at a position that is not published yet.
    at_hand: Cell<bool>,
    /// Whether any was.
    given: Cell<bool>,
    /// Whether what was given out does not belong to the snapshot of the file.
    torn: Cell<bool>,
}

impl<'a> View<'a> {
    fn at(pool: &'a Pool, position: Version) -> Self {
        Self {
            pool,
            file: OnceCell::new(),
            position: Cell::new(position),
            at_hand: Cell::new(true),
            given: Cell::new(false),
            torn: Cell::new(false),
        }
    }

    /// The file's snapshot, begun now if it was not before.
    fn file(&self) -> Result<&Connection> {
        if self.file.get().is_none() {
            let borrowed = Borrowed { pool: self.pool, connection: Some(self.pool.take()?) };
            let Some(connection) = &borrowed.connection else { return Err(Error::internal("no connection")) };
            run(connection, "BEGIN DEFERRED")?;
            let position = position(connection)?;
            let _ = self.file.set(borrowed);
            self.torn.set(self.given.get() && position != self.position.get());
            self.position.set(position);
            self.at_hand.set(self.pool.told.position.load(Ordering::Acquire) >= position);
        }
        if self.torn.get() {
            // Seen by nobody: `Pool::read` runs the function again, whatever it makes of this.
            return Err(Error::Conflict);
        }
        let connection = self.file.get().and_then(|borrowed| borrowed.connection.as_ref());
        connection.ok_or_else(|| Error::internal("no connection"))
    }

    /// What is wanted of a row, at hand or from the file.
    fn found<R>(&self, key: &str, take: impl Fn(&Row) -> R) -> Result<Option<R>> {
        if !self.at_hand.get() {
            return Ok(self.look_up(key)?.as_ref().map(take));
        }
        let seen = self.pool.told.rows.seen(key);
        if let Some(row) = Rows::find(&seen, key, self.position.get()) {
            self.given.set(true);
            return Ok(row.as_ref().map(take));
        }
        let row = self.look_up(key)?;
        if self.at_hand.get() {
            self.pool.told.rows.offer(&seen, key, row.as_ref(), self.position.get());
        }
        Ok(row.as_ref().map(take))
    }

    fn look_up(&self, key: &str) -> Result<Option<Row>> {
        let mut statement = prepare(self.file()?, "SELECT version, value FROM entries WHERE key = ?1")?;
        statement
            .query_row([key], |row| Ok(Row { version: number(row, 0)?, value: row.get(1)? }))
            .optional()
            .map_err(read)
    }
}

impl Snapshot for View<'_> {
    fn get(&self, key: &str) -> Result<Option<Row>> {
        self.found(key, Row::clone)
    }

    fn version(&self, key: &str) -> Result<Option<Version>> {
        self.found(key, |row| row.version)
    }

    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Row)>> {
        let from = match after {
            "" => prefix.to_owned(),
            after if after < prefix => prefix.to_owned(),
            after => next(after),
        };
        let mut found = Vec::new();
        let mut statement =
            prepare(self.file()?, "SELECT key, version, value FROM entries WHERE key >= ?1 ORDER BY key")?;
        let mut rows = statement.query([from]).map_err(read)?;
        while found.len() < limit {
            let Some(row) = rows.next().map_err(read)? else { break };
            let key = row.get_ref(0).and_then(|key| Ok(key.as_str()?)).map_err(read)?;
            if !key.starts_with(prefix) {
                break;
            }
            let get = || Ok(Row { version: number(row, 1)?, value: row.get(2)? });
            found.push((key.to_owned(), get().map_err(read)?));
        }
        Ok(found)
    }

    fn children(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut place = past(prefix, after);
        let mut statement = prepare(self.file()?, "SELECT key FROM entries WHERE key >= ?1 ORDER BY key")?;
        while found.len() < limit {
            let from = if place.1 { place.0 } else { next(&place.0) };
            let mut rows = statement.query([from]).map_err(read)?;
            // Names are walked; a folder is skipped by another seek.
            loop {
                let Some(row) = rows.next().map_err(read)? else { return Ok(found) };
                let key = row.get_ref(0).and_then(|key| Ok(key.as_str()?)).map_err(read)?;
                let Some(name) = child(prefix, key) else { return Ok(found) };
                found.push(name.to_owned());
                if name.ends_with('/') || found.len() == limit {
                    place = past(prefix, name);
                    break;
                }
            }
        }
        Ok(found)
    }
}

/// The first text after this one.
fn next(key: &str) -> String {
    format!("{key}\0")
}

fn prepare<'a>(connection: &'a Connection, sql: &str) -> Result<CachedStatement<'a>> {
    connection.prepare_cached(sql).map_err(read)
}

fn run(connection: &Connection, sql: &str) -> Result<()> {
    prepare(connection, sql)?.execute([]).map(|_| ()).map_err(read)
}

/// The position of the snapshot that has just begun.
fn position(connection: &Connection) -> Result<Version> {
    let mut statement = prepare(connection, "SELECT position FROM meta WHERE one = 1")?;
    statement.query_row([], |row| number(row, 0)).map_err(read)
}

fn read(cause: rusqlite::Error) -> Error {
    Error::internal(format_args!("the store cannot be read: {cause}"))
}

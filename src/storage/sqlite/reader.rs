//! Reading: connections that wait in a lock-free queue, and the snapshot that one of them is for a while.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::super::children::{child, past};
use super::super::{Row, Snapshot};
use super::file::{Place, number};
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
    idle: ArrayQueue<Connection>,
    waiting: AtomicUsize,
    gate: Mutex<()>,
    freed: Condvar,
}

impl Pool {
    /// Opens all of them.
    pub fn open(place: &Place) -> Result<Self> {
        let size = std::thread::available_parallelism().map_or(1, usize::from) + SPARE;
        let idle = ArrayQueue::new(size);
        for _ in 0..size {
            // It cannot be full: it has room for as many as are opened.
            let _ = idle.push(place.reading((CACHE_ALL / size).clamp(CACHE_LEAST, CACHE_MOST))?);
        }
        Ok(Self { idle, waiting: AtomicUsize::new(0), gate: Mutex::new(()), freed: Condvar::new() })
    }

    /// Runs `f` on a snapshot.
    pub fn read(&self, f: &mut dyn FnMut(&dyn Snapshot) -> Result<()>) -> Result<()> {
        let borrowed = Borrowed { pool: self, connection: Some(self.take()?) };
        let Some(connection) = &borrowed.connection else { return Err(Error::internal("no connection")) };
        run(connection, "BEGIN DEFERRED")?;
        f(&View(connection))
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

struct View<'a>(&'a Connection);

impl Snapshot for View<'_> {
    fn get(&self, key: &str) -> Result<Option<Row>> {
        let mut statement = prepare(self.0, "SELECT version, value FROM entries WHERE key = ?1")?;
        statement
            .query_row([key], |row| Ok(Row { version: number(row, 0)?, value: row.get(1)? }))
            .optional()
            .map_err(read)
    }

    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, Row)>> {
        let from = match after {
            "" => prefix.to_owned(),
            after if after < prefix => prefix.to_owned(),
            after => next(after),
        };
        let mut found = Vec::new();
        let mut statement = prepare(self.0, "SELECT key, version, value FROM entries WHERE key >= ?1 ORDER BY key")?;
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
        let mut statement = prepare(self.0, "SELECT key FROM entries WHERE key >= ?1 ORDER BY key")?;
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

fn read(cause: rusqlite::Error) -> Error {
    Error::internal(format_args!("the store cannot be read: {cause}"))
}

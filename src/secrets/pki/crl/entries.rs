//! What revocation lists are made of: numbered entries, the latest as rows of their own, all others in chunks, encoded as
//! lists have them.
//!
//!     crl/<list>/count        how many entries there have been, which is the number of the next one
//!     crl/<list>/folded       how many of them are in chunks
//!     crl/<list>/new/<n>      entry n, which is in no chunk yet
//!     crl/<list>/chunk/<n>    the entries from n on
//!     chunk: for each entry   number (8) ‖ end of its certificate, in seconds (8) ‖ length (2) ‖ the entry in DER
//!
//! So a revocation costs the same however long the list is, and a list is put together from what was encoded before. An
//! entry's number says which lists had it already: a delta list is all that came after the complete one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::barrier::{Reading, Txn, View};
use crate::base::key::Segment;
use crate::base::{Error, Key, Result, Timestamp, limits};
use crate::crypto::x509::{Reason, Revoked, parse_serial};
use crate::engine::Cx;
use crate::secrets::pki::Pki;
use crate::secrets::pki::store::{lists_key, revoked_key};

/// Entries of one chunk: folding them removes as many rows, in one step.
const CHUNK: u64 = 400;
/// Chunks that are read at once, of some 30 KiB each.
const CHUNKS_READ: usize = 64;
/// The most entries of a list: at some 40 bytes each, what those who check certificates still load.
const ENTRIES_MAX: usize = 250_000;

/// What is known of a revocation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Since when.
    pub at: Timestamp,
    /// When the certificate ends, and the entry with it.
    pub not_after: Timestamp,
    /// Why, by the number that RFC 5280 has for it.
    #[serde(default)]
    pub reason: u8,
}

/// An entry on its way into a chunk.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fresh {
    serial: String,
    #[serde(flatten)]
    entry: Entry,
}

impl Fresh {
    fn der(&self) -> Result<Vec<u8>> {
        let serial = parse_serial(&self.serial)?;
        Ok(Revoked { serial, at: self.entry.at, reason: Reason::of(self.entry.reason) }.der()?)
    }
}

/// Adds an entry to a list, and to the index by serial number that OCSP asks.
///
/// # Errors
/// [`Error::Internal`] if it cannot be written down.
pub fn add(txn: &mut Txn, list: &str, serial: &str, entry: &Entry) -> Result<()> {
    // The certificate's own row decides between two that revoke it at once.
    txn.overwrite(&revoked_key(list).join(serial), entry)?;
    let (fresh, place) = (Fresh { serial: serial.to_owned(), entry: entry.clone() }, new_key(list));
    txn.update(&[count_key(list)], move |rows| {
        let count: u64 = rows.get(0)?.unwrap_or_default();
        rows.create(&place.clone().ordered(count), &fresh)?;
        rows.put(0, &(count + 1))
    });
    Ok(())
}

/// How many entries of this list there have been.
///
/// # Errors
/// Those of storage.
pub fn count(reading: &Reading<'_>, list: &str) -> Result<u64> {
    Ok(reading.get(&count_key(list))?.unwrap_or_default())
}

/// Puts entries that came one by one into chunks, a chunk for each list that has enough of them; nothing where none has.
///
/// # Errors
/// Those of storage.
pub fn tend(cx: &Cx<Pki>) -> Result<Option<Txn>> {
    let mut all: Option<Txn> = None;
    for list in cx.list(&lists_key())? {
        let Some(txn) = folded(cx.view(), list.trim_end_matches('/'))? else { continue };
        match &mut all {
            Some(all) => all.merge(txn),
            None => all = Some(txn),
        }
    }
    Ok(all)
}

fn folded(view: &View, list: &str) -> Result<Option<Txn>> {
    let mut txn = view.txn();
    let folded: u64 = txn.get(&folded_key(list))?.unwrap_or_default();
    let place = new_key(list);
    let waiting = view.read(|reading| Ok(count(reading, list)?.saturating_sub(folded)))?;
    if waiting < CHUNK {
        return Ok(None);
    }
    let rows: Vec<(Key, Fresh)> = view.read(|reading| reading.first(&place, CHUNK as usize))?;
    let mut chunk = Vec::new();
    for (row, (key, fresh)) in rows.iter().enumerate() {
        let number = number_of(key)?;
        if number != folded + row as u64 {
            return Err(Error::internal("an entry of a revocation list is missing"));
        }
        push(&mut chunk, number, fresh)?;
        txn.delete(&place.clone().append(key));
    }
    txn.create(&chunks_key(list).ordered(folded), &STANDARD.encode(&chunk))?;
    txn.put(&folded_key(list), &(folded + rows.len() as u64))?;
    Ok(Some(txn))
}

fn push(chunk: &mut Vec<u8>, number: u64, fresh: &Fresh) -> Result<()> {
    let der = fresh.der()?;
    let length = u16::try_from(der.len()).map_err(|_| Error::internal("an entry of a revocation list is too long"))?;
    chunk.extend(number.to_be_bytes());
    chunk.extend(fresh.entry.not_after.as_second().to_be_bytes());
    chunk.extend(length.to_be_bytes());
    chunk.extend(der);
    Ok(())
}

/// The entries of a list to be.
#[derive(Default)]
pub struct Gathered {
    /// In DER, one after the other.
    pub der: Vec<u8>,
    /// Where chunks lie of which nothing is said any more: all their certificates have ended.
    pub over: Vec<Key>,
    entries: usize,
}

impl Gathered {
    fn add(&mut self, der: &[u8]) -> Result<()> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(Error::Unavailable(format!("a list with more than {ENTRIES_MAX} entries")));
        }
        self.der.extend_from_slice(der);
        Ok(())
    }
}

/// All entries from this number on whose certificates have not ended.
///
/// # Errors
/// [`Error::Unavailable`] for more than a list can have; those of storage.
pub fn gather(reading: &Reading<'_>, list: &str, from: u64, now: Timestamp) -> Result<Gathered> {
    let mut all = Gathered::default();
    let chunks = chunks_key(list);
    let mut after = before(from - from % CHUNK);
    loop {
        let page: Vec<(Key, String)> = reading.after(&chunks, &after, CHUNKS_READ)?;
        for (key, chunk) in &page {
            let chunk = STANDARD.decode(chunk).map_err(|_| broken())?;
            let mut lasting = false;
            for (number, end, der) in Split(&chunk).collect::<Result<Vec<_>>>()? {
                if end < now.as_second() {
                    continue;
                }
                lasting = true;
                if number >= from {
                    all.add(der)?;
                }
            }
            if !lasting && all.over.len() < limits::BATCH_KEYS / 4 {
                all.over.push(chunks.clone().append(key));
            }
        }
        let full = page.len() == CHUNKS_READ;
        match page.into_iter().last().filter(|_| full) {
            Some((key, _)) => after = key,
            None => break,
        }
    }
    let place = new_key(list);
    let mut after = before(from);
    loop {
        let page: Vec<(Key, Fresh)> = reading.after(&place, &after, limits::BATCH_KEYS)?;
        for (_, fresh) in page.iter().filter(|(_, fresh)| fresh.entry.not_after >= now) {
            all.add(&fresh.der()?)?;
        }
        let full = page.len() == limits::BATCH_KEYS;
        match page.into_iter().last().filter(|_| full) {
            Some((key, _)) => after = key,
            None => break,
        }
    }
    Ok(all)
}

/// What rows of these numbers on come after.
fn before(number: u64) -> Key {
    number.checked_sub(1).map_or_else(Key::default, |number| Key::default().ordered(number))
}

/// The entries of a chunk: number, end, DER.
struct Split<'a>(&'a [u8]);

impl<'a> Iterator for Split<'a> {
    type Item = Result<(u64, i64, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut split = || {
            let (number, rest) = self.0.split_first_chunk::<8>()?;
            let (end, rest) = rest.split_first_chunk::<8>()?;
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (der, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            self.0 = rest;
            Some((u64::from_be_bytes(*number), i64::from_be_bytes(*end), der))
        };
        match split() {
            Some(entry) => Some(Ok(entry)),
            None => {
                self.0 = &[];
                Some(Err(broken()))
            }
        }
    }
}

fn broken() -> Error {
    Error::internal("a chunk of a revocation list is none")
}

fn number_of(key: &Key) -> Result<u64> {
    key.segments().next().and_then(Segment::number).ok_or_else(broken)
}

fn count_key(list: &str) -> Key {
    lists_key().join(list).join("count")
}

fn folded_key(list: &str) -> Key {
    lists_key().join(list).join("folded")
}

fn new_key(list: &str) -> Key {
    lists_key().join(list).join("new")
}

fn chunks_key(list: &str) -> Key {
    lists_key().join(list).join("chunk")
}

//! Which versions of the server have opened this store, and when each did first.

use serde::{Deserialize, Serialize};

use crate::barrier::{Txn, View};
use crate::base::{Key, Result, Timestamp};

/// One version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Version {
    /// Its number.
    pub version: String,
    /// When it came.
    pub installed: Timestamp,
    /// The one before it.
    pub previous: Option<String>,
}

/// The latest that are kept: more come only from somebody who builds a version a day for years.
const KEPT: usize = 1000;

fn key() -> Key {
    Key::new("core/versions")
}

/// All versions, the oldest first.
///
/// # Errors
/// When they cannot be read.
pub fn history(view: &View) -> Result<Vec<Version>> {
    Ok(view.get(&key())?.unwrap_or_default())
}

/// The change that adds this version, if it is not the latest already.
///
/// # Errors
/// When the history cannot be read.
pub fn arrived(view: &View, version: &str, now: Timestamp) -> Result<Option<Txn>> {
    let mut txn = view.txn();
    let mut history: Vec<Version> = txn.get(&key())?.unwrap_or_default();
    if history.last().is_some_and(|last| last.version == version) {
        return Ok(None);
    }
    let previous = history.last().map(|last| last.version.clone());
    history.push(Version { version: version.to_owned(), installed: now, previous });
    let excess = history.len().saturating_sub(KEPT);
    history.drain(..excess);
    txn.put(&key(), &history)?;
    Ok(Some(txn))
}

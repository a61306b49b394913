//! Key/value secrets: unversioned (v1) and versioned (v2). The mount's option `version` says which of them answers.
//!
//! Both keep their rows side by side in the mount's part of the store:
//!
//!     d/<path>          v1: the data of a secret
//!     m/<path>          v2: its metadata, with what is known of each version
//!     v/<path>/!<n>     v2: the data of version n
//!     config            v2: the settings of the mount
//!     upgraded          v2: when the mount was made versioned, if it was not from the start

mod merge;
mod v1;
mod v2;

use std::sync::Arc;

use crate::barrier::{Txn, View};
use crate::base::{Error, Key, Result, Timestamp};
use crate::engine::{AnyEngine, Mount, Mounted};

pub use v1::V1;
pub use v2::V2;

/// The word under which it is enabled.
pub const TYPE: &str = "kv";

/// Opens the engine of a mount.
///
/// # Errors
/// [`Error::Invalid`] for a version that there is not.
pub fn open(mount: &Mount, view: &View) -> Result<Arc<dyn AnyEngine>> {
    if versioned(mount)? { Mounted::<V2>::open(mount, view) } else { Mounted::<V1>::open(mount, view) }
}

/// Checks the options of a new mount.
///
/// # Errors
/// [`Error::Invalid`] for a version that there is not.
pub fn enable(mount: &Mount, _txn: &mut Txn) -> Result<()> {
    versioned(mount).map(drop)
}

/// Makes an unversioned mount versioned, in one row whatever the size: from then on a v1 row counts as version 1 of its
/// secret, until the first write to that secret moves it. So there is nothing that a crash could leave half done. Writers of v1 that are still on their
/// way expect that the row is absent, hence none of them is lost behind the upgrade.
///
/// # Errors
/// When the row cannot be written down.
pub fn upgrade(view: &View, now: Timestamp) -> Result<Txn> {
    let mut txn = view.txn();
    // An upgrade that runs again says the same with a later time.
    txn.overwrite(&upgraded_key(), &now)?;
    Ok(txn)
}

fn versioned(mount: &Mount) -> Result<bool> {
    match mount.options.get("version").map(String::as_str) {
        None | Some("" | "1") => Ok(false),
        Some("2") => Ok(true),
        Some(_) => Err(Error::invalid("the option 'version' of a kv mount is 1 or 2")),
    }
}

/// Where v1 keeps a secret.
fn plain_key(path: &str) -> Key {
    Key::new("d").join(path)
}

/// When the mount was made versioned.
fn upgraded_key() -> Key {
    Key::new("upgraded")
}

/// The path of a secret, if it can be one: it is not empty and does not end in a slash. `a/` must never be read as `a`:
/// policies may treat the two differently.
fn secret_path(path: &str) -> Option<&str> {
    (!path.is_empty() && !path.ends_with('/')).then_some(path)
}

/// As [`secret_path`], for requests that want to change something.
fn writable(path: &str) -> Result<&str> {
    secret_path(path).ok_or_else(|| {
        Error::invalid(if path.is_empty() { "missing path" } else { "cannot write to a path ending in '/'" })
    })
}

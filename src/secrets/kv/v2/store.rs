//! Where the rows of a versioned secret lie, and how a row from before the upgrade becomes one of them.
//!
//! All writers of a secret read its metadata row in their transaction, so two of them never both succeed on one state.

use super::meta::{Config, Meta};
use crate::barrier::{Reading, Txn};
use crate::base::{Json, Key, Result, Timestamp};
use crate::secrets::kv::{plain_key, upgraded_key};

/// The metadata of a secret.
pub fn meta_key(path: &str) -> Key {
    Key::new("m").join(path)
}

/// The data of one version.
pub fn version_key(path: &str, n: u64) -> Key {
    Key::new("v").join(path).ordered(n)
}

/// The settings of the mount.
pub fn config_key() -> Key {
    Key::new("config")
}

/// The metadata of a secret, and its data if it was not moved since the upgrade.
///
/// # Errors
/// When a row cannot be read.
pub fn load(r: &Reading<'_>, path: &str) -> Result<Option<(Meta, Option<Json>)>> {
    if let Some(meta) = r.get::<Meta>(&meta_key(path))? {
        return Ok(Some((meta, None)));
    }
    Ok(plain(r, path)?.map(|(data, since)| (Meta::adopted(since), Some(data))))
}

/// A secret from before the upgrade, and when that was.
///
/// # Errors
/// When a row cannot be read.
pub fn plain(r: &Reading<'_>, path: &str) -> Result<Option<(Json, Timestamp)>> {
    let Some(data) = r.get::<Json>(&plain_key(path))? else { return Ok(None) };
    Ok(Some((data, r.get(&upgraded_key())?.unwrap_or(Timestamp::UNIX_EPOCH))))
}

/// Whether a secret has metadata.
///
/// # Errors
/// When a row cannot be read.
pub fn exists(r: &Reading<'_>, path: &str) -> Result<bool> {
    use serde::de::IgnoredAny;
    Ok(r.get::<IgnoredAny>(&meta_key(path))?.is_some() || r.get::<IgnoredAny>(&plain_key(path))?.is_some())
}

/// The metadata of a secret that is about to be changed. A row from before the upgrade is moved by this transaction.
///
/// # Errors
/// When a row cannot be read.
pub fn open(txn: &mut Txn, path: &str) -> Result<Option<Meta>> {
    if let Some(meta) = txn.get::<Meta>(&meta_key(path))? {
        return Ok(Some(meta));
    }
    let Some(data) = txn.get::<Json>(&plain_key(path))? else { return Ok(None) };
    let since = txn.get(&upgraded_key())?.unwrap_or(Timestamp::UNIX_EPOCH);
    let meta = Meta::adopted(since);
    txn.create(&version_key(path, 1), &data)?;
    txn.delete(&plain_key(path));
    txn.put(&meta_key(path), &meta)?;
    Ok(Some(meta))
}

/// Adds a version to a secret whose metadata were opened in this transaction.
///
/// # Errors
/// When a row cannot be written down.
pub fn add(txn: &mut Txn, path: &str, meta: &mut Meta, config: &Config, data: &Json, now: Timestamp) -> Result<()> {
    for dropped in meta.add(config, now) {
        txn.delete(&version_key(path, dropped));
    }
    // The metadata row is what writers race for; whoever won it owns the number.
    txn.overwrite(&version_key(path, meta.current()), data)?;
    txn.put(&meta_key(path), meta)
}

/// Removes a secret with all its versions.
///
/// # Errors
/// When a row cannot be read.
pub fn remove(txn: &mut Txn, path: &str) -> Result<bool> {
    let Some(meta) = open(txn, path)? else { return Ok(false) };
    for version in meta.versions() {
        txn.delete(&version_key(path, version.n));
    }
    txn.delete(&meta_key(path));
    Ok(true)
}

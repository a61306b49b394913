//! `metadata/` and `detailed-metadata/`: what is kept about secrets, and their lists.

use std::collections::BTreeMap;

use super::change::Change;
use super::data::nothing_there;
use super::meta::{self, Meta};
use super::store::{self, meta_key};
use super::{At, V2};
use crate::barrier::Reading;
use crate::base::json::Map;
use crate::base::{Error, Json, Result, Ttl};
use crate::engine::params::Scalar;
use crate::engine::{Cx, Reply, Routes, page};
use crate::params;
use crate::secrets::kv::{merge, plain_key, secret_path, writable};

/// Secrets that one detailed list tells of: each costs a read. More are asked for page by page.
const DETAILS: usize = 10_000;

/// Adds the endpoints.
pub fn routes(routes: Routes<V2>) -> Routes<V2> {
    routes
        .at("metadata/{path..}", "List secrets; read, write, patch and remove what is kept about one.", |at| {
            at.read(read).upsert(exists, write).patch(patch).delete(delete).list(list)
        })
        .at("detailed-metadata/{path..}", "List secrets with what is kept about each.", |at| at.list(list_detailed))
}

params! {
    /// The settings of a secret; what is absent stays as it was.
    pub struct Write {
        /// The path of the secret.
        path: String,
        /// Versions that are kept; 0 for the mount's number.
        max_versions: Option<i64>,
        /// Whether every write must name the version that it follows.
        cas_required: Option<bool>,
        /// How long a version can be read; 0 for the mount's time.
        delete_version_after: Option<Ttl>,
        /// Words of the secret's owners, all of them.
        custom_metadata: Option<BTreeMap<String, String>>,
    }
    /// Some settings of a secret; `null` resets one.
    pub struct Patch {
        /// The path of the secret.
        path: String,
        /// Versions that are kept.
        max_versions: Change<i64>,
        /// Whether every write must name the version that it follows.
        cas_required: Change<bool>,
        /// How long a version can be read.
        delete_version_after: Change<Ttl>,
        /// Words of the secret's owners, those that change.
        custom_metadata: Change<Json>,
    }
    /// A folder.
    pub struct Folder {
        /// Its path.
        path: String,
        /// Only names after this one.
        after: Option<String>,
        /// At most so many names.
        limit: Option<i64>,
    }
}

async fn read(cx: Cx<V2>, p: At) -> Result<Reply> {
    let path = secret_path(&p.path).ok_or_else(Error::not_found)?;
    let found = cx.view().read(|r| store::load(r, path))?;
    let (meta, _) = found.ok_or_else(Error::not_found)?;
    Ok(Reply::data(meta.show()))
}

fn exists(cx: &Cx<V2>, p: &Write) -> Result<bool> {
    cx.view().read(|r| store::exists(r, &p.path))
}

async fn write(cx: Cx<V2>, p: Write) -> Result<Reply> {
    let path = writable(&p.path)?;
    let mut txn = cx.txn();
    let opened = store::open(&mut txn, path)?;
    if opened.is_some() && cx.create_only {
        // Who may only create does not overwrite what came in between.
        return Err(Error::Denied);
    }
    let mut meta = opened.unwrap_or_else(|| Meta::new(cx.now()));
    if let Some(max) = p.max_versions {
        meta.max_versions = meta::check_max_versions(max)?;
    }
    if let Some(required) = p.cas_required {
        meta.cas_required = required;
    }
    if let Some(after) = p.delete_version_after {
        meta.delete_version_after = after;
    }
    if let Some(custom) = p.custom_metadata {
        meta::check_custom(&custom)?;
        meta.custom = custom;
    }
    meta.updated = cx.now();
    txn.put(&meta_key(path), &meta)?;
    Ok(Reply::empty(txn))
}

async fn patch(cx: Cx<V2>, p: Patch) -> Result<Reply> {
    let path = writable(&p.path)?;
    let mut txn = cx.txn();
    let Some(mut meta) = store::open(&mut txn, path)? else { return Ok(nothing_there()) };
    match p.max_versions {
        Change::Keep => {}
        Change::Reset => meta.max_versions = 0,
        Change::Set(max) => meta.max_versions = meta::check_max_versions(max)?,
    }
    match p.cas_required {
        Change::Keep => {}
        Change::Reset => meta.cas_required = false,
        Change::Set(required) => meta.cas_required = required,
    }
    match p.delete_version_after {
        Change::Keep => {}
        Change::Reset => meta.delete_version_after = Ttl::ZERO,
        Change::Set(after) => meta.delete_version_after = after,
    }
    match p.custom_metadata {
        Change::Keep => {}
        Change::Reset => meta.custom = BTreeMap::new(),
        Change::Set(changes) => meta.custom = patched(std::mem::take(&mut meta.custom), changes)?,
    }
    meta.updated = cx.now();
    txn.put(&meta_key(path), &meta)?;
    Ok(Reply::empty(txn))
}

/// Custom metadata after a merge patch.
fn patched(custom: BTreeMap<String, String>, changes: Json) -> Result<BTreeMap<String, String>> {
    let wrong = |what: String| Error::invalid(format!("error converting input for field 'custom_metadata': {what}"));
    if changes.as_object().is_none() {
        return Err(wrong("expected an object".into()));
    }
    let old = Json::Object(custom.into_iter().map(|(k, v)| (k, Json::String(v))).collect());
    let custom = BTreeMap::read(merge::merge(old, changes)).map_err(wrong)?;
    meta::check_custom(&custom)?;
    Ok(custom)
}

async fn delete(cx: Cx<V2>, p: At) -> Result<Reply> {
    let path = writable(&p.path)?;
    let mut txn = cx.txn();
    Ok(if store::remove(&mut txn, path)? { Reply::empty(txn) } else { Reply::nothing() })
}

/// The names in a folder, those from before the upgrade among them.
fn names(r: &Reading<'_>, folder: &str) -> Result<Vec<String>> {
    let mut names = r.list(&meta_key(folder))?;
    let before = r.list(&plain_key(folder))?;
    if !before.is_empty() {
        names.extend(before);
        names.sort_unstable();
        names.dedup();
    }
    Ok(names)
}

async fn list(cx: Cx<V2>, p: Folder) -> Result<Reply> {
    let names = cx.view().read(|r| names(r, &p.path))?;
    Ok(Reply::list(page(names, p.after.as_deref(), p.limit)))
}

async fn list_detailed(cx: Cx<V2>, p: Folder) -> Result<Reply> {
    let (keys, info) = cx.view().read(|r| {
        let keys = page(names(r, &p.path)?, p.after.as_deref(), p.limit);
        if keys.len() > DETAILS {
            return Err(Error::invalid(format!("more than {DETAILS} secrets: use 'limit' and 'after'")));
        }
        let mut info = Map::new();
        for name in keys.iter().filter_map(Json::as_str) {
            let shown = if name.ends_with('/') {
                Map::new()
            } else {
                let path = format!("{}/{name}", p.path.trim_end_matches('/'));
                store::load(r, path.trim_start_matches('/'))?.map(|(meta, _)| meta.show()).unwrap_or_default()
            };
            info.insert(name.to_owned(), shown.into());
        }
        Ok((keys, info))
    })?;
    let mut reply = Reply::list(keys);
    if let crate::engine::Body::Data(data) = &mut reply.body
        && !info.is_empty()
    {
        data.insert("key_info".to_owned(), info.into());
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_of_custom_metadata_keeps_what_it_does_not_name() {
        let old = || BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let patch = |text: &str| patched(old(), Json::parse(text.as_bytes()).unwrap());
        assert_eq!(
            patch(r#"{"a":null,"c":5}"#).unwrap(),
            BTreeMap::from([("b".into(), "2".into()), ("c".into(), "5".into())])
        );
        for text in [r#"{"a":{"x":"y"}}"#, r#""a=b""#, r#"{"":"v"}"#] {
            assert_eq!(patch(text).unwrap_err().status(), 400, "{text}");
        }
    }
}

//! `data/`: reading, writing, patching and softly deleting what a secret holds.
//!
//! A read of the latest version is the hottest path of the product: two rows by their keys, from one snapshot.

use std::collections::BTreeMap;

use super::change::Change;
use super::meta::{Head, Meta, Version};
use super::store::{self, meta_key, version_key};
use super::{At, V2, config};
use crate::barrier::Reading;
use crate::base::json::Map;
use crate::base::{Error, Json, Result};
use crate::engine::params::Scalar;
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::secrets::kv::{merge, secret_path, writable};

/// Adds the endpoints.
pub fn routes(routes: Routes<V2>) -> Routes<V2> {
    routes.at("data/{path..}", "Read, write, patch and delete versions of a secret.", |at| {
        at.read(read).upsert(exists, write).patch(patch).delete(delete).inert()
    })
}

params! {
    /// One version of a secret.
    pub struct Read {
        /// The path of the secret.
        path: String,
        /// The number of the version; 0 for the latest.
        version: Option<i64>,
    }
    /// A new version of a secret.
    pub struct Write {
        /// The path of the secret.
        path: String,
        /// What it holds.
        data: Change<Json>,
        /// `cas`: the number of the version that this write follows.
        options: Json,
    }
}

/// One version with what is said about it, as one snapshot has it.
pub struct Found {
    /// The version.
    pub version: Version,
    /// Words of the secret's owners.
    pub custom: BTreeMap<String, String>,
    /// The data, unless they are deleted or destroyed.
    pub data: Option<Json>,
}

/// Looks up one version, or the latest.
///
/// # Errors
/// When a row cannot be read.
pub fn find(cx: &Cx<V2>, path: &str, version: Option<i64>) -> Result<Option<Found>> {
    let now = cx.now();
    let wanted = version.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
    let key = meta_key(path);
    cx.view().read(|r| {
        let (custom, version) = match wanted {
            None => match r.get::<Head>(&key)? {
                Some(head) => (head.custom, head.latest),
                None => return from_before(r, path, None),
            },
            Some(n) => match r.get::<Meta>(&key)? {
                Some(meta) => {
                    let version = meta.version(n).cloned();
                    (meta.custom, version)
                }
                None => return from_before(r, path, Some(n)),
            },
        };
        let Some(version) = version else { return Ok(None) };
        let data = if version.readable(now) { r.get(&version_key(path, version.n))? } else { None };
        Ok(Some(Found { version, custom, data }))
    })
}

/// A secret that was not written since its mount was made versioned has one version.
fn from_before(r: &Reading<'_>, path: &str, wanted: Option<u64>) -> Result<Option<Found>> {
    let Some((data, since)) = store::plain(r, path)? else { return Ok(None) };
    let version = Meta::adopted(since).latest.filter(|v| wanted.is_none_or(|n| n == v.n));
    Ok(version.map(|version| Found { version, custom: BTreeMap::new(), data: Some(data) }))
}

async fn read(cx: Cx<V2>, p: Read) -> Result<Reply> {
    let path = secret_path(&p.path).ok_or_else(Error::not_found)?;
    let found = find(&cx, path, p.version)?.ok_or_else(Error::not_found)?;
    let gone = found.data.is_none();
    let metadata = found.version.show(&found.custom);
    let reply = Reply::data([
        ("data".to_owned(), found.data.unwrap_or_default()),
        ("metadata".to_owned(), Json::Object(metadata)),
    ]);
    // Clients read the metadata of a deleted version out of the 404.
    Ok(if gone { reply.status(404) } else { reply })
}

fn exists(cx: &Cx<V2>, p: &Write) -> Result<bool> {
    cx.view().read(|r| store::exists(r, &p.path))
}

async fn write(cx: Cx<V2>, p: Write) -> Result<Reply> {
    let path = writable(&p.path)?;
    let data = match p.data {
        Change::Keep => return Err(Error::invalid("no data provided")),
        Change::Reset => Json::Null,
        Change::Set(data @ Json::Object(_)) => data,
        Change::Set(_) => return Err(not_an_object()),
    };
    let cas = cas(p.options)?;
    let config = config::load(&cx)?;
    let mut txn = cx.txn();
    let opened = store::open(&mut txn, path)?;
    let existed = opened.is_some();
    let mut meta = opened.unwrap_or_else(|| Meta::new(cx.now()));
    meta.check(cas, &config)?;
    if existed && cx.create_only {
        // Who may only create does not overwrite what came in between.
        return Err(Error::Denied);
    }
    store::add(&mut txn, path, &mut meta, &config, &data, cx.now())?;
    Ok(Reply::data(latest(&meta)).with(txn))
}

async fn patch(cx: Cx<V2>, p: Write) -> Result<Reply> {
    let path = writable(&p.path)?;
    let changes = match p.data {
        Change::Keep | Change::Reset => return Err(Error::invalid("no data provided")),
        Change::Set(data @ Json::Object(_)) => data,
        Change::Set(_) => return Err(not_an_object()),
    };
    let cas = cas(p.options)?;
    let config = config::load(&cx)?;
    let mut txn = cx.txn();
    let Some(mut meta) = store::open(&mut txn, path)?.filter(|m| m.latest.is_some()) else {
        return Ok(nothing_there());
    };
    meta.check(cas, &config)?;
    if !meta.latest.as_ref().is_some_and(|v| v.readable(cx.now())) {
        return Ok(Reply::data(latest(&meta)).status(404));
    }
    let old: Json = txn.get(&version_key(path, meta.current()))?.ok_or(Error::Conflict)?;
    let merged = merge::merge(old, changes);
    merge::check_count(&merged)?;
    store::add(&mut txn, path, &mut meta, &config, &merged, cx.now())?;
    Ok(Reply::data(latest(&meta)).with(txn))
}

async fn delete(cx: Cx<V2>, p: At) -> Result<Reply> {
    let path = writable(&p.path)?;
    let mut txn = cx.txn();
    let Some(mut meta) = store::open(&mut txn, path)? else { return Ok(Reply::nothing()) };
    let now = cx.now();
    if let Some(latest) = meta.latest.as_mut().filter(|v| v.readable(now)) {
        latest.deletion = Some(now);
        txn.put(&meta_key(path), &meta)?;
    }
    Ok(Reply::empty(txn))
}

/// 404 without a body, as a patch of nothing is answered.
pub fn nothing_there() -> Reply {
    Reply::raw(404, "application/json", Vec::new())
}

fn not_an_object() -> Error {
    Error::invalid("error converting input for field 'data': expected an object")
}

fn latest(meta: &Meta) -> Map {
    meta.latest.as_ref().map(|v| v.show(&meta.custom)).unwrap_or_default()
}

/// The version that a writer says it follows.
fn cas(options: Json) -> Result<Option<i64>> {
    match options {
        Json::Null => Ok(None),
        Json::Object(mut map) => match map.remove("cas") {
            None | Some(Json::Null) => Ok(None),
            Some(value) => {
                i64::read(value).map(Some).map_err(|what| Error::invalid(format!("error parsing 'cas': {what}")))
            }
        },
        _ => Err(Error::invalid("error converting input for field 'options': expected an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_a_writer_follows_is_a_number() {
        let read = |text: &str| cas(Json::parse(text.as_bytes()).unwrap());
        for (text, number) in [("null", None), ("{}", None), (r#"{"cas":null}"#, None), (r#"{"cas":"2"}"#, Some(2))] {
            assert_eq!(read(text).unwrap(), number, "{text}");
        }
        for text in [r#"{"cas":"x"}"#, r#"{"cas":[1]}"#, r#"{"cas":1.5}"#, r#""cas""#, "[]"] {
            assert_eq!(read(text).unwrap_err().status(), 400, "{text}");
        }
    }
}

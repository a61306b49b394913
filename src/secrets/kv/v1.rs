//! The unversioned store: a secret is an object, the last write wins.

use serde::de::IgnoredAny;

use super::{plain_key, secret_path, upgraded_key, writable};
use crate::barrier::View;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Result, Ttl};
use crate::engine::params::Scalar;
use crate::engine::{Cx, Engine, Limits, Mount, Reply, Rest, Routes, class, page};
use crate::params;

/// The engine.
pub struct V1;

impl Engine for V1 {
    type Class = class::Secrets;

    const TYPE: &'static str = super::TYPE;

    fn routes() -> Routes<Self> {
        Routes::new("Key/value secrets, each with its last value only.").at(
            "{path..}",
            "Read, write, list and delete secrets.",
            |at| at.read(read).upsert(exists, write).delete(delete).list(list).inert(),
        )
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Ok(Self)
    }

    fn row_behind(path: &str) -> Option<Key> {
        secret_path(path).map(plain_key)
    }
}

params! {
    /// A secret.
    pub struct At {
        /// Its path.
        path: String,
    }
    /// A secret and its new data.
    pub struct Write {
        /// Its path.
        path: String,
        /// The data.
        data: Rest,
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

fn exists(cx: &Cx<V1>, p: &Write) -> Result<bool> {
    Ok(cx.get::<IgnoredAny>(&plain_key(&p.path))?.is_some())
}

async fn read(cx: Cx<V1>, p: At) -> Result<Reply> {
    let path = secret_path(&p.path).ok_or_else(Error::not_found)?;
    match cx.get::<Json>(&plain_key(path))? {
        Some(Json::Object(data)) => {
            let lasting = lasting(&data, cx.limits);
            Ok(Reply::data(data).lasting(lasting))
        }
        Some(_) => Err(Error::internal("a stored secret is not an object")),
        None => Err(Error::not_found()),
    }
}

async fn write(cx: Cx<V1>, p: Write) -> Result<Reply> {
    let key = plain_key(writable(&p.path)?);
    let data = p.data.0;
    if data.is_empty() {
        return Err(Error::invalid("missing data fields"));
    }
    let mut txn = cx.txn();
    txn.expect_absent(&upgraded_key());
    if cx.create_only {
        // Who may only create does not overwrite what came in between.
        if txn.get::<IgnoredAny>(&key)?.is_some() {
            return Err(Error::Denied);
        }
        txn.put(&key, &Json::Object(data))?;
    } else {
        // The last write wins: there is nothing to compare with.
        txn.overwrite(&key, &Json::Object(data))?;
    }
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<V1>, p: At) -> Result<Reply> {
    let path = writable(&p.path)?;
    let mut txn = cx.txn();
    txn.expect_absent(&upgraded_key());
    txn.delete(&plain_key(path));
    Ok(Reply::empty(txn))
}

async fn list(cx: Cx<V1>, p: Folder) -> Result<Reply> {
    Ok(Reply::list(page(cx.list(&plain_key(&p.path))?, p.after.as_deref(), p.limit)))
}

/// How long a reader may keep the data: what the fields `ttl` or `lease` say, else the mount's default. It is a hint, no lease.
fn lasting(data: &Map, limits: Limits) -> Ttl {
    let said = data.get("ttl").or_else(|| data.get("lease"));
    let said = said.and_then(|value| Ttl::read(value.clone()).ok()).unwrap_or_default();
    said.or(limits.default_ttl).min(limits.max_ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_say_how_long_they_last_within_the_mounts_limit() {
        let limits = Limits { default_ttl: Ttl::from_seconds(100), max_ttl: Ttl::from_seconds(5000) };
        for (text, seconds) in [
            (r#"{"k":"v"}"#, 100),
            (r#"{"ttl":"1h"}"#, 3600),
            (r#"{"lease":"30m"}"#, 1800),
            (r#"{"ttl":"2m","lease":"30m"}"#, 120),
            (r#"{"ttl":90}"#, 90),
            (r#"{"ttl":"nonsense"}"#, 100),
            (r#"{"ttl":{"a":1}}"#, 100),
            (r#"{"ttl":-5}"#, 100),
            (r#"{"ttl":"9h"}"#, 5000),
        ] {
            let Json::Object(data) = Json::parse(text.as_bytes()).unwrap() else { panic!("an object") };
            assert_eq!(lasting(&data, limits).seconds(), seconds, "{text}");
        }
    }
}

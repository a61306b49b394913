//! `sys/raw`: rows as they are stored, through the barrier. It answers only where the configuration says so.

use serde_json::value::RawValue;

use super::Sys;
use crate::base::{Error, Json, Key, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes.at("raw/{path..}", "A stored row.", |at| at.read(read).list(list).update(write).delete(delete).sudo())
}

params! {
    /// A row by its key.
    pub struct ByPath {
        /// The key.
        path: String,
    }
    /// A row.
    pub struct Write {
        /// The key.
        path: String,
        /// The value, which is JSON.
        value: Option<crate::base::Secret<String>>,
    }
}

/// Where it is off, it is not there.
fn key(cx: &Cx<Sys>, path: &str) -> Result<Key> {
    if !cx.engine().handles.raw_storage {
        return Err(Error::UnsupportedPath);
    }
    Ok(Key::new(path))
}

async fn read(cx: Cx<Sys>, p: ByPath) -> Result<Reply> {
    let key = key(&cx, &p.path)?;
    let row: Option<Box<RawValue>> = cx.engine().handles.view.get(&key)?;
    let row = row.ok_or_else(Error::not_found)?;
    Ok(Reply::data([("value".to_owned(), Json::from(row.get()))]))
}

async fn list(cx: Cx<Sys>, p: ByPath) -> Result<Reply> {
    let key = key(&cx, &p.path)?;
    Ok(Reply::list(cx.engine().handles.view.list(&key)?))
}

async fn write(cx: Cx<Sys>, p: Write) -> Result<Reply> {
    let key = key(&cx, &p.path)?;
    if key.as_str().is_empty() {
        return Err(Error::invalid("missing path"));
    }
    let text = p.value.ok_or_else(|| Error::invalid("missing value"))?;
    let row: Box<RawValue> =
        serde_json::from_str(text.reveal()).map_err(|_| Error::invalid("field 'value': not JSON, as every row is"))?;
    let mut txn = cx.engine().handles.view.txn();
    txn.overwrite(&key, &row)?;
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<Sys>, p: ByPath) -> Result<Reply> {
    let key = key(&cx, &p.path)?;
    let mut txn = cx.engine().handles.view.txn();
    txn.delete(&key);
    Ok(Reply::empty(txn))
}

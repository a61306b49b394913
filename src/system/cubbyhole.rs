//! `cubbyhole/`: storage of a token's own, gone with the token. Wrapped answers wait here too.
//!
//!     <token>/own/<path>   what the token stored
//!     <token>/waiting      what waits for a wrapping token

use serde::{Deserialize, Serialize};

use crate::barrier::View;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Result, Timestamp, Ttl};
use crate::engine::{Cx, Engine, Mount, Reply, Rest, Routes, class};
use crate::params;

/// The engine.
pub struct Cubbyhole;

/// A wrapped answer.
#[derive(Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// The answer.
    pub response: Json,
    /// When it was put aside.
    pub created: Timestamp,
    /// For how long.
    pub ttl: Ttl,
    /// The path of the request that it answers.
    pub path: String,
}

/// All that belongs to a token.
pub fn folder_key(token: &str) -> Key {
    Key::new(token)
}

/// Where an answer waits.
pub fn waiting_key(token: &str) -> Key {
    folder_key(token).join("waiting")
}

impl Engine for Cubbyhole {
    type Class = class::Own;

    const TYPE: &'static str = "cubbyhole";

    fn routes() -> Routes<Self> {
        Routes::new("Storage of a token's own, which ends with it.").at(
            "{path..}",
            "Read, write, list and delete what this token stored.",
            |at| at.read(read).upsert(exists, write).delete(delete).list(list),
        )
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Ok(Self)
    }
}

params! {
    /// A place in the cubbyhole.
    pub struct At {
        /// The path.
        path: String,
    }
    /// A write to the cubbyhole.
    pub struct Write {
        /// The path.
        path: String,
        /// What to store.
        data: Rest,
    }
}

fn key(cx: &Cx<Cubbyhole>, path: &str) -> Result<Key> {
    if cx.caller.batch {
        return Err(Error::invalid("cubbyhole operations are only supported by service tokens"));
    }
    if cx.caller.token_id.is_empty() {
        return Err(Error::BadToken);
    }
    Ok(folder_key(&cx.caller.token_id).join("own").join(path))
}

fn exists(cx: &Cx<Cubbyhole>, p: &Write) -> Result<bool> {
    Ok(cx.get::<Json>(&key(cx, &p.path)?)?.is_some())
}

async fn read(cx: Cx<Cubbyhole>, p: At) -> Result<Reply> {
    if p.path == "response" {
        // What old clients read by hand instead of unwrapping.
        key(&cx, &p.path)?;
        if let Some(waiting) = cx.get::<Waiting>(&waiting_key(&cx.caller.token_id))? {
            return Ok(Reply::data([("response".to_owned(), Json::from(waiting.response.text()))]));
        }
    }
    match cx.get::<Map>(&key(&cx, &p.path)?)? {
        Some(data) => Ok(Reply::data(data)),
        None => Err(Error::not_found()),
    }
}

async fn write(cx: Cx<Cubbyhole>, p: Write) -> Result<Reply> {
    if p.path.is_empty() {
        return Err(Error::invalid("missing path"));
    }
    if p.data.0.is_empty() {
        return Err(Error::invalid("missing data fields"));
    }
    let mut txn = cx.txn();
    // The last write wins: it is the token's own.
    txn.overwrite(&key(&cx, &p.path)?, &p.data.0)?;
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<Cubbyhole>, p: At) -> Result<Reply> {
    let mut txn = cx.txn();
    txn.delete(&key(&cx, &p.path)?);
    Ok(Reply::empty(txn))
}

async fn list(cx: Cx<Cubbyhole>, p: At) -> Result<Reply> {
    Ok(Reply::list(cx.list(&key(&cx, &p.path)?)?))
}

//! `subkeys/`: the keys of a secret without the values, for those who shall see the shape alone.

use super::V2;
use super::data;
use crate::base::{Error, Json, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::secrets::kv::{merge, secret_path};

/// Adds the endpoint.
pub fn routes(routes: Routes<V2>) -> Routes<V2> {
    routes.at("subkeys/{path..}", "Read the keys of a secret, without the values.", |at| at.read(read))
}

params! {
    /// One version of a secret.
    pub struct Read {
        /// The path of the secret.
        path: String,
        /// The number of the version; 0 for the latest.
        version: Option<i64>,
        /// How many levels; 0 for all.
        depth: Option<i64>,
    }
}

async fn read(cx: Cx<V2>, p: Read) -> Result<Reply> {
    let path = secret_path(&p.path).ok_or_else(Error::not_found)?;
    let depth = usize::try_from(p.depth.unwrap_or(0)).unwrap_or(0);
    let found = data::find(&cx, path, p.version)?.ok_or_else(Error::not_found)?;
    let subkeys = match &found.data {
        Some(Json::Object(map)) => Json::Object(merge::outline(map, depth)),
        _ => Json::Null,
    };
    let reply = Reply::data([
        ("subkeys".to_owned(), subkeys),
        ("metadata".to_owned(), Json::Object(found.version.show(&found.custom))),
    ]);
    Ok(if found.data.is_none() { reply.status(404) } else { reply })
}

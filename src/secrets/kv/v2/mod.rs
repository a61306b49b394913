//! The versioned store: each write adds a version; versions are deleted softly, brought back, or destroyed.

mod change;
mod config;
mod data;
mod meta;
mod metadata;
mod store;
mod subkeys;
mod versions;

use crate::barrier::View;
use crate::base::{Error, Key, Result};
use crate::engine::{Cx, Engine, Mount, Reply, Routes, class};
use crate::params;
use crate::secrets::kv::secret_path;

/// The engine.
pub struct V2;

impl Engine for V2 {
    type Class = class::Secrets;

    const TYPE: &'static str = super::TYPE;

    fn routes() -> Routes<Self> {
        Routes::new("Key/value secrets with their versions.")
            .and(config::routes)
            .and(data::routes)
            .and(versions::routes)
            .and(metadata::routes)
            .and(subkeys::routes)
            .at("{path..}", "Says where the versioned store answers.", |at| {
                at.read(nowhere).update(nowhere).patch(nowhere).delete(nowhere).list(nowhere).open()
            })
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Ok(Self)
    }

    fn row_behind(path: &str) -> Option<Key> {
        let below = ["data/", "metadata/", "subkeys/"].iter().find_map(|folder| path.strip_prefix(folder))?;
        secret_path(below).map(store::meta_key)
    }
}

params! {
    /// A secret.
    pub struct At {
        /// Its path.
        path: String,
    }
}

/// The first segments of the paths that are answered.
const KNOWN: [&str; 8] =
    ["config", "data", "delete", "undelete", "destroy", "metadata", "detailed-metadata", "subkeys"];

/// Clients of v1 that meet a versioned mount get the reason as a warning, which they show.
async fn nowhere(_: Cx<V2>, p: At) -> Result<Reply> {
    if KNOWN.contains(&p.path.split('/').next().unwrap_or_default()) {
        return Err(Error::UnsupportedOperation);
    }
    Ok(Reply::nothing().status(404).warning(
        "invalid path for a versioned kv secrets engine: data are read and written below 'data/', listed below 'metadata/'",
    ))
}

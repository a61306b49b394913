//! `config`: the settings of the whole mount.

use super::V2;
use super::meta::{self, Config};
use super::store::config_key;
use crate::base::{Json, Result, Ttl};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<V2>) -> Routes<V2> {
    routes.at("config", "Read and write the settings of the mount.", |at| at.read(read).update(write))
}

params! {
    /// The settings; what is absent stays as it was.
    pub struct Write {
        /// Versions that are kept of each secret; 0 for ten.
        max_versions: Option<i64>,
        /// Whether every write must name the version that it follows.
        cas_required: Option<bool>,
        /// How long a version can be read; 0 for ever.
        delete_version_after: Option<Ttl>,
    }
}

/// The settings in force.
///
/// # Errors
/// When they cannot be read.
pub fn load(cx: &Cx<V2>) -> Result<Config> {
    Ok(cx.get(&config_key())?.unwrap_or_default())
}

async fn read(cx: Cx<V2>, _: ()) -> Result<Reply> {
    let config = load(&cx)?;
    Ok(Reply::data(
        [
            ("max_versions", Json::from(config.max_versions)),
            ("cas_required", config.cas_required.into()),
            ("delete_version_after", config.delete_version_after.to_string().into()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    ))
}

async fn write(cx: Cx<V2>, p: Write) -> Result<Reply> {
    let mut txn = cx.txn();
    let mut config: Config = txn.get(&config_key())?.unwrap_or_default();
    if let Some(max) = p.max_versions {
        config.max_versions = meta::check_max_versions(max)?;
    }
    if let Some(required) = p.cas_required {
        config.cas_required = required;
    }
    if let Some(after) = p.delete_version_after {
        config.delete_version_after = after;
    }
    txn.put(&config_key(), &config)?;
    Ok(Reply::empty(txn))
}

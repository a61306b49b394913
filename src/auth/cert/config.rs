//! `config`: what holds for all certificates.

use serde::{Deserialize, Serialize};

use super::Cert;
use crate::base::{Error, Json, Key, Result, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Cert>) -> Routes<Cert> {
    routes.at("config", "Read and write what holds for all certificates.", |at| at.read(read).update(write))
}

/// The configuration, as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Renew also for who shows another certificate, or none.
    pub disable_binding: bool,
    /// Copy the metadata of logins into the identity.
    pub enable_identity_alias_metadata: bool,
    /// How many good answers of OCSP responders are kept for a moment.
    pub ocsp_cache_size: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { disable_binding: false, enable_identity_alias_metadata: false, ocsp_cache_size: 100 }
    }
}

/// The configuration; nothing is set at first.
///
/// # Errors
/// Those of storage.
pub fn of(cx: &Cx<Cert>) -> Result<Config> {
    Ok(cx.get(&key())?.unwrap_or_default())
}

fn key() -> Key {
    Key::new("config")
}

params! {
    /// What holds for all; what is absent stays as it was.
    pub struct Write {
        /// Renew also for who shows another certificate, or none.
        disable_binding: Option<bool>,
        /// Copy the metadata of logins into the identity.
        enable_identity_alias_metadata: Option<bool>,
        /// How many good answers of OCSP responders are kept for a moment; 0 for none.
        ocsp_cache_size: Option<u64>,
    }
}

async fn read(cx: Cx<Cert>, _: ()) -> Result<Reply> {
    let config = of(&cx)?;
    Ok(Reply::data(
        [
            ("disable_binding", Json::from(config.disable_binding)),
            ("enable_identity_alias_metadata", config.enable_identity_alias_metadata.into()),
            ("ocsp_cache_size", config.ocsp_cache_size.into()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    ))
}

async fn write(cx: Cx<Cert>, p: Write) -> Result<Reply> {
    let mut txn = cx.txn();
    let mut config: Config = txn.get(&key())?.unwrap_or_default();
    config.disable_binding = p.disable_binding.unwrap_or(config.disable_binding);
    config.enable_identity_alias_metadata =
        p.enable_identity_alias_metadata.unwrap_or(config.enable_identity_alias_metadata);
    config.ocsp_cache_size = p.ocsp_cache_size.unwrap_or(config.ocsp_cache_size);
    if config.ocsp_cache_size > limits::OCSP_KEPT {
        return Err(Error::invalid(format!("field 'ocsp_cache_size': at most {}", limits::OCSP_KEPT)));
    }
    txn.put(&key(), &config)?;
    Ok(Reply::empty(txn))
}

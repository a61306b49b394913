//! `config/crl`: how long lists and answers are valid, and when they are made anew.

use serde::{Deserialize, Serialize};

use crate::base::{Error, Result, Ttl};
use crate::engine::{Cx, Reply};
use crate::params;
use crate::secrets::pki::Pki;
use crate::secrets::pki::store::config_key;

params! {
    /// The settings of revocation lists.
    pub struct CrlParams {
        /// How long a list is valid.
        expiry: Option<String>,
        /// Serve empty lists.
        disable: Option<bool>,
        /// Whether OCSP is off.
        ocsp_disable: Option<bool>,
        /// How long an OCSP answer is valid.
        ocsp_expiry: Option<String>,
        /// Make the complete list anew only before it ends.
        auto_rebuild: Option<bool>,
        /// How long before its end.
        auto_rebuild_grace_period: Option<String>,
        /// Whether there are delta lists.
        enable_delta: Option<bool>,
        /// How often they are made anew, at most.
        delta_rebuild_interval: Option<String>,
        /// Whether certificates that have ended may be revoked.
        allow_expired_cert_revocation: Option<bool>,
    }
}

/// `config/crl`. Spans are kept as they were written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrlConfig {
    /// How long a list is valid.
    pub expiry: String,
    /// Serve empty lists.
    pub disable: bool,
    /// Whether OCSP is off.
    pub ocsp_disable: bool,
    /// How long an OCSP answer is valid.
    pub ocsp_expiry: String,
    /// Make the complete list anew only before it ends.
    pub auto_rebuild: bool,
    /// How long before its end.
    pub auto_rebuild_grace_period: String,
    /// Whether there are delta lists.
    pub enable_delta: bool,
    /// How often they are made anew, at most.
    pub delta_rebuild_interval: String,
    /// Whether certificates that have ended may be revoked.
    pub allow_expired_cert_revocation: bool,
    /// Counts the changes after which no list is what it was.
    pub epoch: u64,
}

impl Default for CrlConfig {
    fn default() -> Self {
        Self {
            expiry: "72h".into(),
            disable: false,
            ocsp_disable: false,
            ocsp_expiry: "12h".into(),
            auto_rebuild: false,
            auto_rebuild_grace_period: "12h".into(),
            enable_delta: false,
            delta_rebuild_interval: "15m".into(),
            allow_expired_cert_revocation: false,
            epoch: 0,
        }
    }
}

impl CrlConfig {
    fn checked(self) -> Result<Self> {
        let span = |field: &str, text: &str| {
            Ttl::parse(text).map_err(|_| Error::invalid(format!("{field}: want a span of time such as 72h")))
        };
        let expiry = span("expiry", &self.expiry)?;
        span("ocsp_expiry", &self.ocsp_expiry)?;
        let grace = span("auto_rebuild_grace_period", &self.auto_rebuild_grace_period)?;
        let interval = span("delta_rebuild_interval", &self.delta_rebuild_interval)?;
        if expiry.is_zero() {
            return Err(Error::invalid("expiry must not be 0"));
        }
        if self.auto_rebuild && grace >= expiry {
            return Err(Error::invalid("auto_rebuild_grace_period must be shorter than expiry"));
        }
        if self.enable_delta && !self.auto_rebuild {
            return Err(Error::invalid("enable_delta needs auto_rebuild"));
        }
        if self.enable_delta && interval >= expiry {
            return Err(Error::invalid("delta_rebuild_interval must be shorter than expiry"));
        }
        Ok(self)
    }

    /// How long a list is valid.
    pub fn expiry(&self) -> Ttl {
        // Checked when it was written.
        Ttl::parse(&self.expiry).unwrap_or(Ttl::from_seconds(72 * 3600))
    }

    /// How long an OCSP answer is valid; 0 for not said.
    pub fn ocsp_expiry(&self) -> Ttl {
        Ttl::parse(&self.ocsp_expiry).unwrap_or_default()
    }

    /// How long before its end a list is made anew by itself.
    pub fn grace(&self) -> Ttl {
        Ttl::parse(&self.auto_rebuild_grace_period).unwrap_or_default()
    }
}

pub async fn read_config(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    shown(&cx.get::<CrlConfig>(&config_key("crl"))?.unwrap_or_default())
}

pub async fn write_config(cx: Cx<Pki>, p: CrlParams) -> Result<Reply> {
    let mut txn = cx.txn();
    let key = config_key("crl");
    let old: CrlConfig = txn.get(&key)?.unwrap_or_default();
    let mut config = old.clone();
    macro_rules! take {
        ($($field:ident)*) => { $( if let Some(value) = p.$field { config.$field = value; } )* };
    }
    take!(expiry disable ocsp_disable ocsp_expiry auto_rebuild auto_rebuild_grace_period enable_delta);
    take!(delta_rebuild_interval allow_expired_cert_revocation);
    let mut config = config.checked()?;
    if config.expiry != old.expiry || config.disable != old.disable {
        config.epoch += 1;
    }
    txn.put(&key, &config)?;
    Ok(shown(&config)?.with(txn))
}

fn shown(config: &CrlConfig) -> Result<Reply> {
    let mut value = serde_json::to_value(config).map_err(Error::internal)?;
    if let Some(map) = value.as_object_mut() {
        map.remove("epoch");
    }
    Ok(Reply::json(value))
}

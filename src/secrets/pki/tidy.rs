//! Tidying: certificates that ended long ago leave the store, in bounded steps from the front of the index of ends.
//!
//! `tidy` takes one step. With `config/auto-tidy`, whoever stores a certificate carries two old ones away, so that
//! the store stays in proportion to what lives, without a task that anybody has to watch.
//! What is revoked and has not ended is never touched: it is in a list.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::Pki;
use super::store::{Stored, certificate_key, config_key, expiry_key, revoked_key};
use crate::barrier::Txn;
use crate::base::key::Segment;
use crate::base::time::nanoseconds;
use crate::base::{Error, Key, Result, Ttl, limits};
use crate::engine::{Cx, Reply};
use crate::params;

/// How many old certificates leave with a new one: more than one, so that a store which was never tidied shrinks.
const CARRIED: usize = 2;

params! {
    /// What is tidied.
    pub struct TidyParams {
        /// Certificates that have ended.
        tidy_cert_store: Option<bool>,
        /// What is said of those that were revoked.
        tidy_revoked_certs: Option<bool>,
        /// How long after their end.
        safety_buffer: Option<Ttl>,
    }
    /// What is tidied without being asked.
    pub struct AutoTidyParams {
        /// Whether anything is.
        enabled: Option<bool>,
        /// Accepted and shown: there is no interval, old certificates leave as new ones come.
        interval_duration: Option<Ttl>,
        /// Certificates that have ended.
        tidy_cert_store: Option<bool>,
        /// What is said of those that were revoked.
        tidy_revoked_certs: Option<bool>,
        /// How long after their end.
        safety_buffer: Option<Ttl>,
    }
}

/// `config/auto-tidy`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoTidy {
    /// Whether anything is.
    pub enabled: bool,
    /// Accepted and shown.
    pub interval_duration: Ttl,
    /// Certificates that have ended.
    pub tidy_cert_store: bool,
    /// What is said of those that were revoked.
    pub tidy_revoked_certs: bool,
    /// How long after their end.
    pub safety_buffer: Ttl,
}

impl Default for AutoTidy {
    fn default() -> Self {
        Self {
            enabled: false,
            interval_duration: Ttl::from_seconds(12 * 3600),
            tidy_cert_store: false,
            tidy_revoked_certs: false,
            safety_buffer: Ttl::from_seconds(72 * 3600),
        }
    }
}

pub async fn read_auto(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    shown(&cx.get::<AutoTidy>(&config_key("auto-tidy"))?.unwrap_or_default())
}

pub async fn write_auto(cx: Cx<Pki>, p: AutoTidyParams) -> Result<Reply> {
    let mut txn = cx.txn();
    let key = config_key("auto-tidy");
    let mut config: AutoTidy = txn.get(&key)?.unwrap_or_default();
    macro_rules! take {
        ($($field:ident)*) => { $( if let Some(value) = p.$field { config.$field = value; } )* };
    }
    take!(enabled interval_duration tidy_cert_store tidy_revoked_certs safety_buffer);
    if config.enabled && !config.tidy_cert_store && !config.tidy_revoked_certs {
        return Err(Error::invalid("enabled, but neither tidy_cert_store nor tidy_revoked_certs is set"));
    }
    txn.put(&key, &config)?;
    Ok(shown(&config)?.with(txn))
}

fn shown(config: &AutoTidy) -> Result<Reply> {
    Ok(Reply::json(serde_json::to_value(config).map_err(Error::internal)?))
}

/// One step, of what the request asks for.
pub async fn tidy(cx: Cx<Pki>, p: TidyParams) -> Result<Reply> {
    let config = AutoTidy {
        enabled: true,
        tidy_cert_store: p.tidy_cert_store.unwrap_or(false),
        tidy_revoked_certs: p.tidy_revoked_certs.unwrap_or(false),
        safety_buffer: p.safety_buffer.unwrap_or(AutoTidy::default().safety_buffer),
        ..AutoTidy::default()
    };
    let mut txn = cx.txn();
    let gone = step(&cx, &mut txn, &config, limits::BATCH_KEYS)?;
    let more = if gone == limits::BATCH_KEYS { "; there may be more: ask again" } else { "" };
    Ok(Reply::empty(txn).status(202).warning(format!("looked at {gone} certificates that had ended{more}")))
}

/// What storing one certificate carries away.
///
/// # Errors
/// Those of storage.
pub fn carry(cx: &Cx<Pki>, txn: &mut Txn) -> Result<()> {
    match cx.get::<AutoTidy>(&config_key("auto-tidy"))? {
        Some(config) if config.enabled => step(cx, txn, &config, CARRIED).map(|_| ()),
        _ => Ok(()),
    }
}

/// Takes out at most so many certificates whose end lies further back than the buffer, or puts them aside; how many it looked at.
fn step(cx: &Cx<Pki>, txn: &mut Txn, config: &AutoTidy, limit: usize) -> Result<usize> {
    let buffer = SignedDuration::from_secs(i64::try_from(config.safety_buffer.seconds()).unwrap_or(i64::MAX));
    let Ok(before) = cx.now().checked_sub(buffer) else { return Ok(0) };
    let before = nanoseconds(before).max(0).unsigned_abs();
    let mut handled = 0;
    for (folder, looked_at) in
        [(expiry_key(), true), (kept_key(true), config.tidy_revoked_certs), (kept_key(false), config.tidy_cert_store)]
    {
        if !looked_at || handled == limit {
            continue;
        }
        let oldest = cx.view().read(|reading| reading.first_keys(&folder, limit - handled))?;
        for key in oldest {
            let mut segments = key.segments();
            let when = segments.next().and_then(Segment::number);
            let (Some(when), Some(Segment::Name(serial))) = (when, segments.next()) else { continue };
            if when >= before {
                break;
            }
            handled += 1;
            let stored = cx.get::<Stored>(&certificate_key(serial))?;
            let revoked = stored.as_ref().is_some_and(|stored| stored.revoked.is_some());
            txn.delete(&folder.clone().append(&key));
            if !(if revoked { config.tidy_revoked_certs } else { config.tidy_cert_store }) {
                // Out of the way of those behind it, until its kind is to be tidied too.
                txn.overwrite(&kept_key(revoked).append(&key), &())?;
                continue;
            }
            if let Some(stored) = stored {
                txn.delete(&revoked_key(&stored.list).join(serial));
            }
            txn.delete(&certificate_key(serial));
        }
    }
    Ok(handled)
}

/// Those that ended long ago and are kept, revoked ones apart.
fn kept_key(revoked: bool) -> Key {
    Key::new("expired").join(if revoked { "revoked" } else { "good" })
}

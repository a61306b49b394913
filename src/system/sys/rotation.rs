//! `sys/rotate/config`: when the keyring gets a new term by itself.

use serde::{Deserialize, Serialize};

use super::Sys;
use crate::barrier::View;
use crate::base::{Error, Json, Key, Result, Ttl};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Encryptions under one key at most: AES-GCM with random nonces stays safe below 2³² (NIST SP 800-38D), and this leaves a tenth.
const OPERATIONS_MAX: u64 = 3_865_470_566;
/// Fewer would rotate for nothing.
const OPERATIONS_MIN: u64 = 1_000_000;
/// The shortest time between two rotations.
const INTERVAL_MIN: Ttl = Ttl::from_seconds(86_400);

/// When the keyring gets a new term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rotation {
    /// Whether it does so by itself.
    pub enabled: bool,
    /// After so many encryptions.
    pub max_operations: u64,
    /// After so long; 0 for never.
    pub interval: Ttl,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { enabled: true, max_operations: OPERATIONS_MAX, interval: Ttl::ZERO }
    }
}

impl Rotation {
    /// As it is stored.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(view: &View) -> Result<Self> {
        Ok(view.get(&key())?.unwrap_or_default())
    }
}

fn key() -> Key {
    Key::new("core/rotation")
}

/// Adds the endpoints.
pub fn routes(mut routes: Routes<Sys>) -> Routes<Sys> {
    for pattern in ["rotate/config", "rotate/keyring/config"] {
        routes =
            routes.at(pattern, "When the keyring gets a new term by itself.", |at| at.read(read).update(write).sudo());
    }
    routes
}

params! {
    /// When the keyring gets a new term by itself.
    pub struct Write {
        /// Whether it does so.
        enabled: Option<bool>,
        /// After so many encryptions.
        max_operations: Option<u64>,
        /// After so long; 0 for never.
        interval: Option<Ttl>,
    }
}

async fn read(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let rotation = Rotation::load(&cx.engine().handles.view)?;
    let interval = if rotation.interval.is_zero() { Json::from(0u64) } else { rotation.interval.to_string().into() };
    Ok(Reply::data([
        ("enabled".to_owned(), Json::Bool(rotation.enabled)),
        ("interval".to_owned(), interval),
        ("max_operations".to_owned(), rotation.max_operations.into()),
    ]))
}

async fn write(cx: Cx<Sys>, p: Write) -> Result<Reply> {
    let mut txn = cx.engine().handles.view.txn();
    let mut rotation: Rotation = txn.get(&key())?.unwrap_or_default();
    rotation.enabled = p.enabled.unwrap_or(rotation.enabled);
    rotation.max_operations = p.max_operations.unwrap_or(rotation.max_operations);
    rotation.interval = p.interval.unwrap_or(rotation.interval);
    if !(OPERATIONS_MIN..=OPERATIONS_MAX).contains(&rotation.max_operations) {
        return Err(Error::invalid(format!("'max_operations' must be {OPERATIONS_MIN} to {OPERATIONS_MAX}")));
    }
    if !rotation.interval.is_zero() && rotation.interval < INTERVAL_MIN {
        return Err(Error::invalid(format!("'interval' must be 0 or at least {INTERVAL_MIN}")));
    }
    txn.put(&key(), &rotation)?;
    Ok(Reply::empty(txn))
}

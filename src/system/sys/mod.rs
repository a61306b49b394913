//! `sys/`: what operators and clients ask of the system itself.

mod activity;
mod capabilities;
pub mod ceremony;
mod explain;
mod front;
mod inspect;
mod internal;
mod leases;
mod locked;
mod loggers;
mod mfa;
mod monitor;
mod passwords;
mod quotas;
mod raw;
mod rotation;
mod status;
mod tools;
mod watch;
mod wrapping;

pub use passwords::StoredPolicies;
pub use rotation::Rotation;

use super::{Handles, audit, mounts, policies};
use crate::barrier::View;
use crate::base::{Error, Result};
use crate::engine::{Engine, Mount, Routes, class};

/// The engine.
pub struct Sys {
    /// The stores.
    pub(super) handles: Handles,
}

impl Engine for Sys {
    type Class = class::Own;

    const TYPE: &'static str = "system";

    fn routes() -> Routes<Self> {
        Routes::new("The system: mounts, policies, audit, leases, the seal.")
            .and(mounts::routes)
            .and(policies::routes)
            .and(audit::routes)
            .and(activity::routes)
            .and(capabilities::routes)
            .and(ceremony::routes)
            .and(explain::routes)
            .and(front::routes)
            .and(inspect::routes)
            .and(internal::routes)
            .and(leases::routes)
            .and(mfa::routes)
            .and(monitor::routes)
            .and(locked::routes)
            .and(loggers::routes)
            .and(passwords::routes)
            .and(quotas::routes)
            .and(raw::routes)
            .and(rotation::routes)
            .and(status::routes)
            .and(tools::routes)
            .and(watch::routes)
            .and(wrapping::routes)
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Err(Error::internal("the system engine is made with handles"))
    }
}

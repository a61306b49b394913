//! `sys/`: what operators and clients ask of the system itself.

mod capabilities;
pub mod ceremony;
mod internal;
mod leases;
mod mfa;
mod tools;
mod wrapping;

use super::{Handles, audit, mounts, policies};
use crate::barrier::View;
use crate::base::{Error, Result};
use crate::engine::{Engine, Mount, Routes};

/// The engine.
pub struct Sys {
    /// The stores.
    pub(super) handles: Handles,
}

impl Engine for Sys {
    const TYPE: &'static str = "system";

    fn routes() -> Routes<Self> {
        Routes::new("The system: mounts, policies, audit, leases, the seal.")
            .and(mounts::routes)
            .and(policies::routes)
            .and(audit::routes)
            .and(capabilities::routes)
            .and(ceremony::routes)
            .and(internal::routes)
            .and(leases::routes)
            .and(mfa::routes)
            .and(tools::routes)
            .and(wrapping::routes)
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Err(Error::internal("the system engine is made with handles"))
    }
}

//! `identity/`: entities, their aliases, groups, and what is proved about them to others.

mod alias;
mod entity;
mod group;
mod group_alias;
mod lookup;
mod mfa;
mod oidc;
mod show;

pub use oidc::rotate_due;

use super::Handles;
use crate::barrier::View;
use crate::base::{Error, Operation, Path, Result};
use crate::engine::{Cx, Engine, Mount, Routes, class};
use crate::params;
use crate::policy::Query;

/// The engine.
pub struct IdentityEngine {
    /// The stores.
    pub(super) handles: Handles,
}

impl Engine for IdentityEngine {
    type Class = class::Own;

    const TYPE: &'static str = "identity";

    fn routes() -> Routes<Self> {
        Routes::new("Entities, aliases and groups: who is behind a token.")
            .and(entity::routes)
            .and(alias::routes)
            .and(group::routes)
            .and(group_alias::routes)
            .and(lookup::routes)
            .and(mfa::routes)
            .and(oidc::routes)
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Err(Error::internal("the identity engine is made with handles"))
    }
}

params! {
    /// Something by its id.
    pub struct ById {
        /// The id.
        id: String,
    }
    /// Something by its name.
    pub struct ByName {
        /// The name, whose case does not count.
        name: String,
    }
}

/// The entity behind the caller.
fn demand_entity(cx: &Cx<IdentityEngine>) -> Result<String> {
    let id = cx.caller.entity_id.clone();
    if id.is_empty() { Err(Error::invalid("no entity associated with the request's token")) } else { Ok(id) }
}

/// Whether the caller may also do this elsewhere: what touches something by way of another endpoint needs its rights too.
fn demand(cx: &Cx<IdentityEngine>, operation: Operation, path: &str) -> Result<()> {
    let text = cx.caller.text.clone().ok_or(Error::BadToken)?;
    let work = cx.engine().handles.work()?;
    let path = Path::parse(path)?;
    if work.may(&work.token_of(&text)?, &Query::new(operation, &path))? { Ok(()) } else { Err(Error::Denied) }
}

//! Login of machines: a role id says which role, a secret id proves it.
//!
//!     role/<name>                      a role, with an id of its own
//!     role-id/<digest>                 the name of the role that has this role id
//!     secret/<id>/<digest>             a secret id of the role with this id
//!     accessor/<id>/<accessor>         the digest of the secret id that this accessor stands for
//!     expiry/!<time>/<id>/<digest>     when a secret id ends, and its accessor
//!     gone/<id>                        a role was deleted, and some of its secret ids are still to be removed
//!
//! Secret ids hang on the role's own id, not on its name: those of a deleted role are out of reach with the row of the role, and a role of
//! the same name does not inherit them. Only keyed digests of them are stored.

mod digest;
mod login;
mod lookup;
mod property;
mod role;
mod secret_id;
mod simulate;
mod sweep;

use digest::Digests;

use crate::barrier::View;
use crate::base::{BoxFuture, Result};
use crate::engine::{Cx, Engine, Login, Mount, Renewal, Routes, class};

/// The engine.
pub struct AppRole {
    digests: Digests,
}

impl AppRole {
    /// The digests under which this mount keeps its ids.
    pub const fn digests(&self) -> &Digests {
        &self.digests
    }
}

impl Engine for AppRole {
    type Class = class::Auth;

    const TYPE: &'static str = "approle";

    fn routes() -> Routes<Self> {
        Routes::new("Login of machines with a role id and a secret id.")
            .and(role::routes)
            .and(property::routes)
            .and(secret_id::routes)
            .and(lookup::routes)
            .and(sweep::routes)
            .and(login::routes)
            .and(simulate::routes)
    }

    fn open(_: &Mount, view: &View) -> Result<Self> {
        Ok(Self { digests: Digests::of(view)? })
    }

    fn renew_login(cx: Cx<Self>, login: Login) -> BoxFuture<'static, Result<Renewal>> {
        Box::pin(login::renew(cx, login))
    }
}

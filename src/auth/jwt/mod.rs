//! Login with a signed token of an issuer: a workload's identity, a CI job, or a person in a browser.
//!
//!     config         whom to believe
//!     role/<name>    what a token must say, and what it gets
//!     state/<place>  a login that was begun in a browser
//!
//! Mounted as `jwt` or as `oidc`: the same engine. What an issuer's keys are is kept in memory for minutes, which is a cache of what
//! the issuer says and not of anything stored.

mod admission;
mod callback;
mod claims;
mod config;
mod keys;
mod login;
mod oidc;
mod role;
mod simulate;
mod state;

use crate::barrier::View;
use crate::base::{BoxFuture, Result};
use crate::engine::{Cx, Engine, Login, Mount, Renewal, Routes, class};

/// The engine.
pub struct Jwt {
    keys: keys::Keys,
}

impl Engine for Jwt {
    type Class = class::Auth;

    const TYPE: &'static str = "jwt";

    fn routes() -> Routes<Self> {
        Routes::new("Login with a signed token of an issuer, or in a browser by OpenID Connect.")
            .and(config::routes)
            .and(role::routes)
            .and(login::routes)
            .and(oidc::routes)
            .and(callback::routes)
            .and(simulate::routes)
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Ok(Self { keys: keys::Keys::default() })
    }

    fn renew_login(cx: Cx<Self>, login: Login) -> BoxFuture<'static, Result<Renewal>> {
        Box::pin(login::renew(cx, login))
    }
}

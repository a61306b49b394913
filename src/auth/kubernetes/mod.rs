//! Login with the token of a Kubernetes service account, which the cluster itself vouches for.
//!
//!     config        the cluster
//!     role/<name>   which service accounts, and what they get

mod claims;
mod config;
mod login;
mod review;
mod role;
mod simulate;

use crate::barrier::View;
use crate::base::{BoxFuture, Result};
use crate::engine::{Cx, Engine, Login, Mount, Renewal, Routes, class};

/// The engine.
pub struct Kubernetes;

impl Engine for Kubernetes {
    type Class = class::Auth;

    const TYPE: &'static str = "kubernetes";

    fn routes() -> Routes<Self> {
        Routes::new("Login with the token of a Kubernetes service account.")
            .and(config::routes)
            .and(role::routes)
            .and(login::routes)
            .and(simulate::routes)
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Ok(Self)
    }

    fn renew_login(cx: Cx<Self>, login: Login) -> BoxFuture<'static, Result<Renewal>> {
        Box::pin(async move { login::renew(&cx, &login) })
    }
}

//! Login with the certificate that a client showed in its TLS handshake.
//!
//!     config              what holds for all
//!     cert/<name>         a trusted certificate, what a client's must say, and what it gets
//!     crl/<name>          a revocation list: whose, where it comes from, and which of the lists below
//!     crl-data/<revision> the list, never changed: so that what was read of it stays true
//!
//! A trusted CA's certificate admits what it signed; any other trusted certificate admits itself alone, compared byte for byte. The handshake
//! has proven that the client has the key.

mod bounds;
mod config;
mod crl;
mod lists;
mod login;
mod ocsp;
mod refresh;
mod role;
mod simulate;

use crate::barrier::{Txn, View};
use crate::base::{BoxFuture, Result};
use crate::engine::{Cx, Engine, Login, Mount, Renewal, Routes, class};

/// The engine.
pub struct Cert {
    lists: lists::Lists,
    good: ocsp::Kept,
}

impl Engine for Cert {
    type Class = class::Auth;

    const TYPE: &'static str = "cert";

    fn routes() -> Routes<Self> {
        Routes::new("Login with a TLS client certificate.")
            .and(config::routes)
            .and(role::routes)
            .and(crl::routes)
            .and(login::routes)
            .and(simulate::routes)
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Ok(Self { lists: lists::Lists::default(), good: ocsp::Kept::default() })
    }

    fn renew_login(cx: Cx<Self>, login: Login) -> BoxFuture<'static, Result<Renewal>> {
        Box::pin(async move { login::renew(&cx, &login).await })
    }

    const TENDED: bool = true;

    fn tend(cx: Cx<Self>) -> BoxFuture<'static, Result<Option<Txn>>> {
        Box::pin(refresh::tend(cx))
    }
}

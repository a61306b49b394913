//! Login with a user name and a password.
//!
//! Names are canonical in lower case before policy, storage or identity sees them, so no spelling is another user. An unknown user costs
//! as much as a wrong password and is answered alike.
//!
//!     config                what holds for the passwords of all users
//!     user/<name>           the user
//!     cost/<cost>/<name>    that the user's hash has another cost than ours

mod config;
mod costs;
mod hashing;
mod login;
mod simulate;
mod users;

use hashing::Hashing;

use crate::barrier::View;
use crate::base::{BoxFuture, Result};
use crate::engine::{Cx, Engine, Login, Mount, Renewal, Routes, class};

/// The engine.
pub struct Userpass {
    hashing: Hashing,
}

impl Engine for Userpass {
    type Class = class::Auth;

    const TYPE: &'static str = "userpass";

    fn routes() -> Routes<Self> {
        Routes::new("Login with a user name and a password.")
            .and(config::routes)
            .and(users::routes)
            .and(login::routes)
            .and(simulate::routes)
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Ok(Self { hashing: Hashing::new() })
    }

    fn renew_login(cx: Cx<Self>, login: Login) -> BoxFuture<'static, Result<Renewal>> {
        Box::pin(login::renew(cx, login))
    }
}

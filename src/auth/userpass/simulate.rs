//! `simulate`: what a login of this user would give, and what stands against it. No password is asked for, so none can be tried here.

use std::net::IpAddr;

use super::Userpass;
use super::login::token;
use super::users::{User, key};
use crate::base::{Error, Json, Name, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Userpass>) -> Routes<Userpass> {
    routes.at("simulate", "Say what a login would give, and what stands against it.", |at| at.update(simulate))
}

params! {
    /// A login that is none.
    pub struct Question {
        /// The user's name.
        username: Option<String>,
        /// The address that the login comes from; without it, one that is allowed.
        remote_address: Option<IpAddr>,
    }
}

async fn simulate(cx: Cx<Userpass>, p: Question) -> Result<Reply> {
    let name = p.username.filter(|name| !name.is_empty()).ok_or_else(|| Error::invalid("missing username"))?;
    let name = Name::folded(&name).map_err(|e| Error::invalid(format!("field 'username': {e}")))?;
    let user: Option<User> = cx.get(&key(&name))?;
    let user = user.ok_or_else(|| Error::invalid("there is no user of this name"))?;
    let judged = match user.rules.against(p.remote_address) {
        Some(words) => Err(vec![words]),
        None => Ok(token(&name, &user)),
    };
    Ok(Reply::simulated([("username".to_owned(), Json::from(name.as_str()))], judged))
}

//! `config`: what holds for the passwords of all users.

use serde::{Deserialize, Serialize};

use super::Userpass;
use crate::base::{Error, Json, Key, Name, Result, Secret};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Userpass>) -> Routes<Userpass> {
    routes.at("config", "Read and write what holds for the passwords of all users.", |at| at.read(read).update(write))
}

/// The configuration, as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Config {
    /// The policy of `sys/policies/password` that new passwords meet; none if there is none.
    password_policy: Option<Name>,
}

fn key() -> Key {
    Key::new("config")
}

fn of(cx: &Cx<Userpass>) -> Result<Config> {
    Ok(cx.get(&key())?.unwrap_or_default())
}

/// Checks a new password against the policy, if there is one. A policy that is gone allows no password.
///
/// # Errors
/// [`Error::Invalid`] that says what is missing; those of storage.
pub fn check(cx: &Cx<Userpass>, password: &Secret<String>) -> Result<()> {
    let Some(name) = of(cx)?.password_policy else { return Ok(()) };
    cx.passwords.named(&name)?.ok_or_else(unknown)?.check(password)
}

/// Checks that a hash may take the place of somebody's password: a policy cannot look into it.
///
/// # Errors
/// [`Error::Invalid`]; those of storage.
pub fn check_hash(cx: &Cx<Userpass>) -> Result<()> {
    match of(cx)?.password_policy {
        None => Ok(()),
        Some(_) => Err(Error::invalid("with a password policy, 'password_hash' is for new users only")),
    }
}

fn unknown() -> Error {
    Error::invalid("field 'password_policy': there is no password policy of this name")
}

params! {
    /// What holds for the passwords of all users; what is absent stays as it was.
    pub struct Write {
        /// A policy of 'sys/policies/password' that new passwords must meet; empty for none.
        password_policy: Option<String>,
    }
}

async fn read(cx: Cx<Userpass>, _: ()) -> Result<Reply> {
    let name = of(&cx)?.password_policy;
    let name = name.as_ref().map_or("", Name::as_str);
    Ok(Reply::data([("password_policy".to_owned(), Json::from(name))]))
}

async fn write(cx: Cx<Userpass>, p: Write) -> Result<Reply> {
    let mut txn = cx.txn();
    let mut config: Config = txn.get(&key())?.unwrap_or_default();
    if let Some(name) = p.password_policy {
        config.password_policy = match name.is_empty() {
            true => None,
            false => {
                let name = Name::folded(&name).map_err(|e| Error::invalid(format!("field 'password_policy': {e}")))?;
                cx.passwords.named(&name)?.ok_or_else(unknown)?;
                Some(name)
            }
        };
    }
    txn.put(&key(), &config)?;
    Ok(Reply::empty(txn))
}

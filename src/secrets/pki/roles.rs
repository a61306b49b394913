//! `roles/`: reading and writing roles.

use super::Pki;
use super::lifetime;
use super::role::{Role, RoleParams};
use super::store::{role_key, roles_key};
use crate::base::{Error, Name, Result};
use crate::engine::{Cx, Reply};
use crate::params;

params! {
    /// One role.
    pub struct OneRole {
        /// Name of the role.
        name: String,
    }
}

/// The role of this name.
///
/// # Errors
/// [`Error::Invalid`] if there is none.
pub fn load(cx: &Cx<Pki>, name: &str) -> Result<Role> {
    let found = if Name::parse(name).is_ok() { cx.get(&role_key(name))? } else { None };
    found.ok_or_else(|| Error::invalid("unknown role"))
}

pub fn exists(cx: &Cx<Pki>, p: &RoleParams) -> Result<bool> {
    Ok(cx.get::<Role>(&role_key(&p.name))?.is_some())
}

pub async fn list(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    Ok(Reply::list(cx.list(&roles_key())?))
}

pub async fn read(cx: Cx<Pki>, p: OneRole) -> Result<Reply> {
    match cx.get::<Role>(&role_key(&p.name))? {
        Some(role) => shown(&role),
        None => Err(Error::not_found()),
    }
}

/// Writes a role from its defaults: what is not given is not kept.
pub async fn write(cx: Cx<Pki>, p: RoleParams) -> Result<Reply> {
    let key = role_key(Name::parse(&p.name)?.as_str());
    let mut txn = cx.txn();
    txn.get::<Role>(&key)?;
    let role = Role::default().changed(p)?;
    txn.put(&key, &role)?;
    Ok(shown(&role)?.with(txn))
}

/// Changes only what is given.
pub async fn patch(cx: Cx<Pki>, p: RoleParams) -> Result<Reply> {
    let key = role_key(Name::parse(&p.name)?.as_str());
    let mut txn = cx.txn();
    let role = txn.get::<Role>(&key)?.ok_or_else(Error::not_found)?.changed(p)?;
    txn.put(&key, &role)?;
    Ok(shown(&role)?.with(txn))
}

pub async fn delete(cx: Cx<Pki>, p: OneRole) -> Result<Reply> {
    let mut txn = cx.txn();
    txn.delete(&role_key(&p.name));
    Ok(Reply::empty(txn))
}

fn shown(role: &Role) -> Result<Reply> {
    let reply = Reply::json(serde_json::to_value(role).map_err(Error::internal)?);
    let dateless = !role.not_after.is_empty() && lifetime::parse_end("not_after", &role.not_after).is_err();
    Ok(if dateless { reply.warning("not_after is no date: with it, this role issues nothing") } else { reply })
}

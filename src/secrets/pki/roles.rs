//! `roles/`: reading and writing roles, and those at hand: parsed, and used while their very rows stand.

use std::hash::{Hash as _, Hasher};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Pki;
use super::lifetime;
use super::role::{Role, RoleParams};
use super::store::{role_key, roles_key};
use crate::base::{Error, Name, Result};
use crate::engine::{Cx, Reply};
use crate::params;
use crate::storage::Version;

params! {
    /// One role.
    pub struct OneRole {
        /// Name of the role.
        name: String,
    }
}

/// Places for roles at hand: a mount has some dozens at work, and more share places.
const PLACES: usize = 64;

/// Roles at hand. All of it may be dropped at any moment.
pub struct AtHand(Box<[ArcSwapOption<Kept>]>);

struct Kept {
    name: String,
    /// The row's. No row's version ever comes again.
    version: Version,
    role: Arc<Role>,
}

impl AtHand {
    /// With nothing in it.
    pub fn new() -> Self {
        Self((0..PLACES).map(|_| ArcSwapOption::empty()).collect())
    }

    fn place(&self, name: &str) -> &ArcSwapOption<Kept> {
        let mut hasher = std::hash::DefaultHasher::new();
        name.hash(&mut hasher);
        &self.0[usize::try_from(hasher.finish() % self.0.len() as u64).unwrap_or_default()]
    }
}

/// The role of this name.
///
/// # Errors
/// [`Error::Invalid`] if there is none.
pub fn load(cx: &Cx<Pki>, name: &str) -> Result<Arc<Role>> {
    let unknown = || Error::invalid("unknown role");
    let key = role_key(Name::parse(name).map_err(|_| unknown())?.as_str());
    let place = cx.engine().roles.place(name);
    let kept = place.load();
    let kept = kept.as_ref().filter(|kept| kept.name == name);
    cx.view().read(|reading| {
        if let Some(kept) = kept
            && reading.version(&key)? == Some(kept.version)
        {
            return Ok(kept.role.clone());
        }
        let (version, role) = reading.versioned::<Role>(&key)?.ok_or_else(unknown)?;
        let role = Arc::new(role);
        place.store(Some(Arc::new(Kept { name: name.to_owned(), version, role: role.clone() })));
        Ok(role)
    })
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

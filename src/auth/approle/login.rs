//! `login`: a role id and its proof become a token.
//!
//! Without a count of uses nothing is written: with batch tokens a login is reading alone. A count is taken where nobody can come
//! between, in the commit that makes the token.

use std::collections::BTreeMap;

use super::AppRole;
use super::role::{self, Role, id_key};
use super::secret_id::{self, SecretId};
use crate::base::{Error, Json, Name, Result, Secret};
use crate::engine::{Alias, Claimed, Cx, Login, Renewal, Reply, Routes, within};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<AppRole>) -> Routes<AppRole> {
    routes.at("login", "Log in.", |at| at.update(login).read(not_by_reading).public().claims(claim))
}

params! {
    /// A login.
    pub struct Credentials {
        /// The role id.
        role_id: Option<String>,
        /// The secret id.
        secret_id: Option<Secret<String>>,
    }
}

/// Peers answer a GET with an error of their own; credentials do not belong into an address.
async fn not_by_reading(_: Cx<AppRole>, _: ()) -> Result<Reply> {
    Err(Error::invalid("missing role_id: a login is sent by POST"))
}

/// The alias of a login is the role id; the role's name is looked up for those who limit it.
fn claim(cx: &Cx<AppRole>, p: &Credentials, what: Claimed) -> Result<Option<String>> {
    let Some(role_id) = p.role_id.clone().filter(|id| !id.is_empty()) else { return Ok(None) };
    if what == Claimed::Alias {
        return Ok(Some(role_id));
    }
    let name: Option<Name> = cx.get(&id_key(&cx.engine().digests().role_id(&role_id)))?;
    Ok(name.map(|name| name.as_str().to_owned()))
}

/// One answer for all that does not fit: it does not tell which half was right.
fn refused() -> Error {
    Error::Credentials("invalid role or secret ID".into())
}

/// Looked for in the place of a role that is not there. A role may be called so: its role id is another.
const NOBODY: &str = "nobody";

async fn login(cx: Cx<AppRole>, p: Credentials) -> Result<Reply> {
    let role_id = p.role_id.filter(|id| !id.is_empty()).ok_or_else(|| Error::invalid("missing role_id"))?;
    let secret_id = p.secret_id.unwrap_or_default();
    let digests = cx.engine().digests();
    let place = id_key(&digests.role_id(&role_id));
    let digest = digests.secret_id(secret_id.reveal());
    let nobody = Name::parse(NOBODY)?;
    let (name, role, secret) = cx
        .view()
        .read(|r| {
            // Looked for also where there is no such role, so that it takes as long.
            let name = r.get::<Name>(&place)?.unwrap_or_else(|| nobody.clone());
            let role = r.get::<Role>(&role::key(&name))?.filter(|role| role.role_id == role_id);
            let id = role.as_ref().map_or(NOBODY, |role| &role.id);
            let wanted = role.as_ref().is_none_or(|role| role.bind_secret_id) && !secret_id.reveal().is_empty();
            let secret = if wanted { r.get::<SecretId>(&secret_id::key(id, &digest))? } else { None };
            Ok(role.map(|role| (name, role, secret)))
        })?
        .ok_or_else(refused)?;
    if role.bind_secret_id && secret.as_ref().is_none_or(|s| s.expired(cx.now())) {
        return Err(refused());
    }
    let listed = secret.as_ref().map(|s| s.cidr_list.as_slice()).unwrap_or_default();
    if !within(listed, cx.client_addr) || !within(&role.secret_id_bound_cidrs, cx.client_addr) {
        return Err(Error::invalid("source address unauthorized by CIDR restrictions"));
    }
    let reply = Reply::login(&cx, token(&name, &role, secret.as_ref()));
    Ok(match secret.filter(|s| s.uses > 0) {
        Some(counted) => reply.with(use_once(&cx, &role, &digest, &counted)),
        None => reply,
    })
}

/// The change that takes one use; the last one removes the secret id.
fn use_once(cx: &Cx<AppRole>, role: &Role, digest: &str, seen: &SecretId) -> crate::barrier::Txn {
    let now = cx.now();
    let accessor = seen.accessor.clone();
    let keys = secret_id::rows(&role.id, digest, seen);
    let count = keys.len();
    let mut txn = cx.txn();
    txn.update(&keys, move |rows| {
        let found = rows.get::<SecretId>(0)?.filter(|s| s.accessor == accessor && !s.expired(now));
        let mut secret = found.ok_or_else(refused)?;
        if secret.uses > 1 {
            secret.uses -= 1;
            secret.updated = now;
            return rows.put(0, &secret);
        }
        (0..count).for_each(|at| rows.delete(at));
        Ok(())
    });
    txn
}

/// What an admitted login's token is to be.
pub fn token(name: &Name, role: &Role, secret: Option<&SecretId>) -> Login {
    let role_name = ("role_name".to_owned(), name.as_str().to_owned());
    let mut metadata = secret.map(|s| s.metadata.clone()).unwrap_or_default();
    // Last, so that no metadata of a secret id passes for the role.
    metadata.extend([role_name.clone()]);
    let mut login = Login {
        metadata,
        alias: Some(Alias { name: role.role_id.clone(), metadata: BTreeMap::from([role_name]) }),
        internal: Json::object([("role", Json::from(name.as_str())), ("id", role.id.as_str().into())]),
        ..role.rules.login()
    };
    if let Some(own) = secret.map(|s| &s.token_bound_cidrs).filter(|own| !own.is_empty()) {
        login.bound_cidrs.clone_from(own);
    }
    login
}

/// A token lives on only as long as its role is there, by the role's present times. A new role of the same name is another.
pub async fn renew(cx: Cx<AppRole>, login: Login) -> Result<Renewal> {
    let text = |field: &str| login.internal.at(field).and_then(Json::as_str).unwrap_or_default().to_owned();
    let name = Name::parse(&text("role"))?;
    let role: Option<Role> = cx.get(&role::key(&name))?;
    let role = role
        .filter(|role| role.id == text("id"))
        .ok_or_else(|| Error::invalid(format!("role \"{name}\" does not exist any more, not renewing")))?;
    Ok(Renewal {
        ttl: role.rules.token_ttl,
        max_ttl: role.rules.token_max_ttl,
        period: role.rules.token_period,
        ..Renewal::default()
    })
}

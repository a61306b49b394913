//! `login`: a signed token becomes a token of ours.
//!
//! The order decides what is told: whether the token is one of the issuer's and in its time is said to anybody; whether a role exists and
//! admits it is one answer, the same for both. `simulate` says more, to who may ask it.

use super::Jwt;
use super::admission::{self, Admitted};
use super::config::{self, Config};
use super::keys;
use super::role::{self, Role, RoleType};
use crate::base::json::Map;
use crate::base::{Error, Json, Name, Result, Secret};
use crate::engine::{Alias, Claimed, Cx, Login, Renewal, Reply, Routes};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Jwt>) -> Routes<Jwt> {
    routes.at("login", "Log in with a signed token.", |at| at.update(login).public().claims(claim))
}

params! {
    /// A login.
    pub struct Credentials {
        /// The role; the configured one if none is given.
        role: Option<String>,
        /// The signed token.
        jwt: Option<Secret<String>>,
    }
}

/// The role, for those who limit its logins. Who it is, a token says only once it is verified: it is of nobody whom guesses could lock out.
fn claim(cx: &Cx<Jwt>, p: &Credentials, what: Claimed) -> Result<Option<String>> {
    match what {
        Claimed::Alias => Ok(None),
        Claimed::Role => Ok(Some(role_name(&config::of(cx)?, p.role.clone())?.as_str().to_owned())),
    }
}

async fn login(cx: Cx<Jwt>, p: Credentials) -> Result<Reply> {
    let jwt = p.jwt.filter(|jwt| !jwt.reveal().is_empty()).ok_or_else(|| Error::invalid("missing token"))?;
    let config = config::of(&cx)?;
    let (name, found) = find_role(&cx, &config, p.role)?;
    let claims = keys::verified(&cx, &config, jwt.reveal()).await?;
    let known = found.filter(|role| role.role_type == RoleType::Jwt);
    let role = known.clone().unwrap_or_default();
    let against = [admission::of_issuer(&config, &claims), admission::of_time(&role, &claims, cx.now())].concat();
    if !against.is_empty() {
        return Err(Error::invalid(format!("error validating token: {}", against.join("; "))));
    }
    // Judged also where there is no such role, so that it takes as long.
    let admitted = admission::of_role(&role, &claims, cx.now());
    let (Some(role), Ok(admitted)) = (known, admitted) else { return Err(refused()) };
    if !role.rules.admits(cx.client_addr) {
        return Err(refused());
    }
    Ok(Reply::login(&cx, token(&name, &role, admitted)))
}

/// One answer for a role that does not exist and one that does not want this token.
pub fn refused() -> Error {
    Error::invalid("error validating claims: there is no such role, or it does not admit this token")
}

/// The role that a login names, or the configured one; it may not exist.
///
/// # Errors
/// [`Error::Invalid`] when none is named at all.
pub fn find_role(cx: &Cx<Jwt>, config: &Config, named: Option<String>) -> Result<(Name, Option<Role>)> {
    let name = role_name(config, named)?;
    let role = cx.get(&role::key(&name))?;
    Ok((name, role))
}

fn role_name(config: &Config, named: Option<String>) -> Result<Name> {
    let named = named.filter(|name| !name.is_empty()).unwrap_or_else(|| config.default_role.clone());
    if named.is_empty() {
        return Err(Error::invalid("missing role"));
    }
    Name::folded(&named).map_err(|e| Error::invalid(format!("field 'role': {e}")))
}

/// What an admitted login's token is to be.
pub fn token(name: &Name, role: &Role, admitted: Admitted) -> Login {
    let mut metadata = admitted.metadata;
    metadata.insert("role".into(), name.as_str().to_owned());
    Login {
        display_name: admitted.user.clone(),
        alias: Some(Alias { name: admitted.user, metadata: metadata.clone() }),
        metadata,
        groups: admitted.groups,
        internal: Json::object([("role", name.as_str())].map(|(k, v)| (k, Json::from(v)))),
        ..role.rules.login()
    }
}

/// A token lives on only as long as its role is there, by the role's present times.
pub async fn renew(cx: Cx<Jwt>, login: Login) -> Result<Renewal> {
    let name = login.internal.at("role").and_then(Json::as_str).unwrap_or_default();
    let role: Option<Role> = cx.get(&role::key(&Name::parse(name)?))?;
    let role = role.ok_or_else(|| Error::invalid(format!("role \"{name}\" does not exist any more, not renewing")))?;
    Ok(role.rules.renewal())
}

/// All claims of a text that is an object, for simulations.
///
/// # Errors
/// [`Error::Invalid`].
pub fn claims_of(given: &Json) -> Result<Map> {
    let wrong = || Error::invalid("field 'claims': expected an object");
    match given {
        Json::Object(map) => Ok(map.clone()),
        Json::String(text) => match Json::parse(text.as_bytes()) {
            Ok(Json::Object(map)) => Ok(map),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

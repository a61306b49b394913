//! `login`: a signed token becomes a token of ours.
//!
//! What is told depends on the token and the configuration alone: whether it is one of the issuer's, and in its time as it is where a role
//! says nothing of it. Whether a role exists and admits it, by times of its own too, is one answer. `simulate` says more, to who may ask it.

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
    let of_issuer = admission::of_issuer(&config, &claims);
    let told = [of_issuer.clone(), admission::of_time(&Role::default(), &claims, cx.now())].concat();
    let known = found.filter(|role| role.role_type == RoleType::Jwt);
    let is_known = known.is_some();
    // Judged also where there is no such role, so that it takes as long.
    let role = known.unwrap_or_default();
    let in_time = admission::of_time(&role, &claims, cx.now()).is_empty();
    match admission::of_role(&role, &claims, cx.now()) {
        Ok(admitted) if is_known && in_time && of_issuer.is_empty() && role.rules.admits(cx.client_addr) => {
            Ok(Reply::login(&cx, token(&name, &role, admitted)))
        }
        _ if told.is_empty() => Err(refused()),
        _ => Err(Error::invalid(format!("error validating token: {}", told.join("; ")))),
    }
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

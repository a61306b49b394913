//! `login`: a service account's token becomes a token of ours, once the cluster has vouched for it.

use std::collections::BTreeMap;

use super::Kubernetes;
use super::claims::{Account, account, audiences};
use super::config::{self, Config};
use super::review::review;
use super::role::{self, AliasSource, Role};
use crate::auth::jws::{Algorithm, Unverified};
use crate::base::json::Map;
use crate::base::{Error, Json, Name, Result, Secret};
use crate::engine::{Alias, Claimed, Cx, Login, Renewal, Reply, Routes};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Kubernetes>) -> Routes<Kubernetes> {
    routes.at("login", "Log in with a service account's token.", |at| at.update(login).public().claims(claim))
}

/// The issuer of clusters that say nothing else.
const USUAL_ISSUER: &str = "kubernetes/serviceaccount";

params! {
    /// A login.
    pub struct Credentials {
        /// The role.
        role: Option<String>,
        /// The service account's token.
        jwt: Option<Secret<String>>,
    }
}

/// One answer for a role that does not exist, an account that it is not for, and a token that the cluster does not know.
fn refused() -> Error {
    Error::invalid(
        "there is no such role, it is not for this service account, or the cluster does not vouch for the token",
    )
}

/// The role, for those who limit its logins. An account is known only once the cluster vouches for it: guesses lock nobody out.
fn claim(_: &Cx<Kubernetes>, p: &Credentials, what: Claimed) -> Result<Option<String>> {
    let name = p.role.as_deref().filter(|_| what == Claimed::Role).and_then(|name| Name::folded(name).ok());
    Ok(name.map(|name| name.as_str().to_owned()))
}

async fn login(cx: Cx<Kubernetes>, p: Credentials) -> Result<Reply> {
    let name = p.role.filter(|name| !name.is_empty()).ok_or_else(|| Error::invalid("missing role"))?;
    let name = Name::folded(&name).map_err(|e| Error::invalid(format!("field 'role': {e}")))?;
    let jwt = p.jwt.filter(|jwt| !jwt.reveal().is_empty()).ok_or_else(|| Error::invalid("missing jwt"))?;
    let config: Option<Config> = cx.get(&config::key())?;
    let config = config.ok_or_else(|| Error::invalid("could not load backend configuration"))?;
    let known: Option<Role> = cx.get(&role::key(&name))?;
    // Asked also where there is no such role, so that it takes as long.
    let role = known.clone().unwrap_or_default();
    let token = Unverified::parse(jwt.reveal())?;
    let claims = if config.pem_keys.is_empty() {
        token.unverified_claims()
    } else {
        let found = token.verify(&config.keys()?, &Algorithm::ALL);
        found.map_err(|why| Error::invalid(format!("error verifying token: {}", why.words())))?
    };
    let named = account(claims).ok_or_else(|| Error::invalid("the token names no service account"))?;
    let fits = in_time(claims, cx.now().as_second())
        && (config.disable_iss_validation || of_issuer(&config, claims))
        && (role.audience.is_empty() || audiences(claims).contains(&role.audience));
    let vouched = review(&cx, &config, &role.audience, jwt.reveal()).await?;
    let (Some(role), Some(vouched)) = (known, vouched) else { return Err(refused()) };
    // The cluster's word counts; that the token says the same shows that it is the token which was asked about.
    if !fits || !vouched.is(&named) || !role.is_for(&vouched.namespace, &vouched.name) {
        return Err(refused());
    }
    if !role.rules.admits(cx.client_addr) {
        return Err(refused());
    }
    Ok(Reply::login(&cx, made(&name, &role, named)))
}

/// The cluster checks these too; a token that says itself that it is over is not sent back in by a cluster that is late.
fn in_time(claims: &Map, now: i64) -> bool {
    let moment = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(Json::Number(number)) => number.parse::<f64>().map(|seconds| Some(seconds as i64)).map_err(drop),
        Some(_) => Err(()),
    };
    let skew = 60;
    matches!((moment("exp"), moment("nbf")), (Ok(end), Ok(start))
        if end.is_none_or(|end| now < end.saturating_add(skew)) && start.is_none_or(|start| now.saturating_add(skew) >= start))
}

fn of_issuer(config: &Config, claims: &Map) -> bool {
    let wanted = if config.issuer.is_empty() { USUAL_ISSUER } else { config.issuer.as_str() };
    claims.get("iss").and_then(Json::as_str) == Some(wanted)
}

/// What an admitted login's token is to be.
pub fn made(name: &Name, role: &Role, account: Account) -> Login {
    let alias = match role.alias_name_source {
        AliasSource::ServiceaccountUid => account.uid.clone(),
        AliasSource::ServiceaccountName => format!("{}/{}", account.namespace, account.name),
    };
    let facts: BTreeMap<String, String> = [
        ("service_account_uid", account.uid),
        ("service_account_name", account.name.clone()),
        ("service_account_namespace", account.namespace.clone()),
        ("service_account_secret_name", account.secret),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into();
    let mut metadata = facts.clone();
    metadata.insert("role".into(), name.as_str().to_owned());
    Login {
        display_name: format!("{}-{}", account.namespace, account.name),
        alias: Some(Alias { name: alias, metadata: facts }),
        metadata,
        internal: Json::object([("role", Json::from(name.as_str()))]),
        ..role.rules.login()
    }
}

/// A token lives on only as long as its role is there, by the role's present times.
///
/// # Errors
/// [`Error::Invalid`] when the role is gone.
pub fn renew(cx: &Cx<Kubernetes>, login: &Login) -> Result<Renewal> {
    let name = login.internal.at("role").and_then(Json::as_str).unwrap_or_default();
    let role: Option<Role> = cx.get(&role::key(&Name::parse(name)?))?;
    let role = role.ok_or_else(|| Error::invalid(format!("role \"{name}\" does not exist any more, not renewing")))?;
    Ok(role.rules.renewal())
}

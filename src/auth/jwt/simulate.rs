//! `simulate`: whether a role would admit a token or these claims, all that stands against it, and what it would get. Nothing is made.

use super::Jwt;
use super::admission;
use super::config;
use super::keys;
use super::login::{claims_of, find_role, token};
use super::role::RoleType;
use crate::base::json::Map;
use crate::base::{Error, Json, Result, Secret};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Jwt>) -> Routes<Jwt> {
    routes.at("simulate", "Say what a login would give, and what stands against it.", |at| at.update(simulate))
}

params! {
    /// A login that is none.
    pub struct Question {
        /// The role; the configured one if none is given.
        role: Option<String>,
        /// A signed token.
        jwt: Option<Secret<String>>,
        /// Claims instead, as if an issuer's key had signed them.
        claims: Json,
    }
}

async fn simulate(cx: Cx<Jwt>, p: Question) -> Result<Reply> {
    let config = config::of(&cx)?;
    let (name, role) = find_role(&cx, &config, p.role)?;
    let role = role.ok_or_else(|| Error::invalid(format!("role \"{name}\" could not be found")))?;
    let mut against = Vec::new();
    let claims = match (p.jwt, &p.claims) {
        (Some(_), claims) if *claims != Json::Null => {
            return Err(Error::invalid("only one of 'jwt' and 'claims' can be given"));
        }
        (Some(jwt), _) => match keys::verified(&cx, &config, jwt.reveal()).await {
            Ok(claims) => claims,
            Err(Error::Invalid(words)) => {
                against.push(words);
                Map::new()
            }
            Err(error) => return Err(error),
        },
        (None, Json::Null) => return Err(Error::invalid("one of 'jwt' and 'claims' must be given")),
        (None, claims) => claims_of(claims)?,
    };
    let mut admitted = None;
    if against.is_empty() {
        against.extend(admission::of_issuer(&config, &claims));
        against.extend(admission::of_time(&role, &claims, cx.now()));
        match admission::of_role(&role, &claims, cx.now()) {
            Ok(found) => admitted = Some(found),
            Err(words) => against.extend(words),
        }
        if role.role_type != RoleType::Jwt {
            against.push("the role is for browsers ('role_type' is 'oidc')".into());
        }
    }
    let mut data = Map::from([("role".to_owned(), Json::from(name.as_str()))]);
    data.insert("admitted".into(), against.is_empty().into());
    data.insert("reasons".into(), against.clone().into());
    if let Some(admitted) = admitted.filter(|_| against.is_empty()) {
        let groups = admitted.groups.clone();
        let login = token(&name, &role, admitted);
        let mut policies = login.policies.clone();
        if !login.no_default_policy {
            policies.push("default".into());
        }
        policies.sort_unstable();
        policies.dedup();
        let metadata = login.metadata.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect();
        data.insert("token_policies".into(), policies.into());
        data.insert("user".into(), login.display_name.as_str().into());
        data.insert("metadata".into(), Json::Object(metadata));
        data.insert("groups".into(), groups.into());
        data.insert("token_type".into(), login.kind.word().into());
        data.insert("token_ttl".into(), login.ttl.seconds().into());
        data.insert("token_max_ttl".into(), login.max_ttl.seconds().into());
    }
    Ok(Reply::data(data))
}

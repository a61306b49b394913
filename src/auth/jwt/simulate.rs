//! `simulate`: whether a role would admit a token or these claims, all that stands against it, and what it would get. Nothing is made.

use std::net::IpAddr;

use super::Jwt;
use super::admission::{self, Admitted};
use super::config::{self, Config};
use super::keys;
use super::login::{claims_of, find_role, token};
use super::role::{Role, RoleType};
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
        /// The address that the login comes from; without it, one that is allowed.
        remote_address: Option<IpAddr>,
    }
}

async fn simulate(cx: Cx<Jwt>, p: Question) -> Result<Reply> {
    let config = config::of(&cx)?;
    let (name, role) = find_role(&cx, &config, p.role.clone())?;
    let role = role.ok_or_else(|| Error::invalid("the role could not be found"))?;
    let mut about = Map::from([("role".to_owned(), Json::from(name.as_str()))]);
    let judged = judge(&cx, &config, &role, p).await?;
    if let Ok(admitted) = &judged {
        about.insert("user".into(), admitted.user.as_str().into());
        about.insert("groups".into(), admitted.groups.clone().into());
    }
    Ok(Reply::simulated(about, judged.map(|admitted| token(&name, &role, admitted))))
}

/// Who it is to the role, or all that stands against it.
async fn judge(cx: &Cx<Jwt>, config: &Config, role: &Role, p: Question) -> Result<Result<Admitted, Vec<String>>> {
    let in_browsers = role.role_type != RoleType::Jwt;
    let claims = match (p.jwt, &p.claims) {
        (Some(_), claims) if *claims != Json::Null => {
            return Err(Error::invalid("only one of 'jwt' and 'claims' can be given"));
        }
        (Some(_), _) if in_browsers => {
            return Ok(Err(vec![
                "the role is for browsers ('role_type' is 'oidc'), which bring no token: ask with 'claims'".into(),
            ]));
        }
        (Some(jwt), _) => match keys::verified(cx, config, jwt.reveal()).await {
            Ok(claims) => claims,
            Err(Error::Invalid(words)) => return Ok(Err(vec![words])),
            Err(error) => return Err(error),
        },
        (None, Json::Null) => return Err(Error::invalid("one of 'jwt' and 'claims' must be given")),
        (None, claims) => claims_of(claims)?,
    };
    let mut against = [admission::of_issuer(config, &claims), admission::of_time(role, &claims, cx.now())].concat();
    against.extend(role.rules.against(p.remote_address));
    let of_role = if in_browsers { admission::of_person } else { admission::of_role };
    match of_role(role, &claims, cx.now()) {
        Ok(admitted) if against.is_empty() => Ok(Ok(admitted)),
        Ok(_) => Ok(Err(against)),
        Err(words) => Ok(Err([against, words].concat())),
    }
}

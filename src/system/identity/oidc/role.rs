//! `oidc/role`, `oidc/token`, `oidc/introspect`: signed tokens that say who an entity is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::{IdentityEngine, demand_entity};
use super::key::{SigningKey, ensure};
use super::{ByName, all, discovery, find, folder, place, template};
use crate::base::json::Map;
use crate::base::{Error, Json, Name, Result, Secret, Ttl, ids, limits};
use crate::crypto::Jwk;
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes
        .at("oidc/role/", "List the roles.", |at| at.list(list))
        .at("oidc/role/{name}", "Read, write and delete a role.", |at| {
            at.read(read).upsert(exists, write).delete(delete)
        })
        .at("oidc/token/{name}", "A signed token that says who the caller is.", |at| at.read(token))
        .at("oidc/introspect", "Whether such a token is good.", |at| at.update(introspect))
}

/// What tokens say, as stored.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    /// The signing key.
    pub key: String,
    /// More claims.
    pub template: String,
    /// How long they are good.
    pub ttl: Ttl,
    /// Whom they are for.
    pub client_id: String,
}

params! {
    /// A role; what is absent stays as it was.
    pub struct Write {
        /// Its name.
        name: Name,
        /// The signing key.
        key: Option<String>,
        /// More claims: a JSON object with {{identity.entity.…}} in it, or that in base64.
        template: Option<String>,
        /// How long the tokens are good.
        ttl: Option<Ttl>,
        /// Whom they are for; made where it is absent.
        client_id: Option<String>,
    }
    /// A token to be looked at.
    pub struct Introspect {
        /// The token.
        token: Option<Secret<String>>,
        /// Whom it has to be for.
        client_id: Option<String>,
    }
}

fn exists(cx: &Cx<IdentityEngine>, p: &Write) -> Result<bool> {
    Ok(find::<Role>(cx, "role", p.name.as_str())?.is_some())
}

async fn list(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    Ok(Reply::list(cx.engine().handles.identities.view().list(&folder("role"))?))
}

async fn read(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let role: Role = find(&cx, "role", p.name.as_str())?.ok_or_else(Error::not_found)?;
    Ok(Reply::json(json!({
        "key": role.key, "template": role.template, "ttl": role.ttl.seconds(), "client_id": role.client_id,
    })))
}

async fn write(cx: Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    let at = place("role", p.name.as_str());
    let mut role: Role = txn.get(&at)?.unwrap_or_default();
    if let Some(v) = p.key {
        role.key = Name::parse(&v)?.as_str().to_owned();
    }
    if role.key.is_empty() {
        return Err(Error::invalid("the key must be provided when creating a role"));
    }
    if let Some(v) = p.template {
        role.template = template::checked(&v, cx.now())?;
    }
    if let Some(v) = p.ttl {
        role.ttl = v;
    }
    role.ttl = role.ttl.or(Ttl::from_seconds(86_400));
    if let Some(v) = p.client_id.filter(|v| !v.is_empty()) {
        if v.len() > limits::NAME_BYTES || v.chars().any(char::is_control) {
            return Err(Error::invalid("'client_id' is too long or has a control character"));
        }
        role.client_id = v;
    }
    if role.client_id.is_empty() {
        role.client_id = ids::letters(cx.rng(), 26).reveal().clone();
    }
    let key = ensure(&cx, &mut txn, &role.key).await?;
    if role.ttl > key.verification_ttl {
        return Err(Error::invalid("a role's token ttl cannot be longer than the verification_ttl of the key it uses"));
    }
    txn.put(&at, &role)?;
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    txn.delete(&place("role", p.name.as_str()));
    Ok(Reply::empty(txn))
}

async fn token(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let role: Role = find(&cx, "role", p.name.as_str())?.ok_or_else(|| Error::invalid("the role does not exist"))?;
    let entity = demand_entity(&cx)?;
    let standing = cx.engine().handles.identities.standing(&entity)?;
    let standing = standing.ok_or_else(|| Error::invalid("no entity associated with the request's token"))?;
    let key: SigningKey =
        find(&cx, "key", &role.key)?.ok_or_else(|| Error::invalid("the signing key does not exist"))?;
    if !key.admits(&role.client_id) {
        return Err(Error::invalid("the key does not list the client ID of the role as allowed"));
    }
    let now = cx.now();
    let mut claims = template::fill(&role.template, &standing, now)?;
    claims.extend(
        [
            ("iss", Json::from(discovery::issuer(&cx)?)),
            ("namespace", "root".into()),
            ("sub", standing.entity.id.as_str().into()),
            ("aud", role.client_id.as_str().into()),
            ("iat", now.as_second().into()),
            ("exp", template::moment(now, role.ttl)),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    );
    let text = key.current.sign(&key.algorithm, &claims)?;
    Ok(Reply::json(json!({"token": text, "client_id": role.client_id, "ttl": role.ttl.seconds()})))
}

async fn introspect(cx: Cx<IdentityEngine>, p: Introspect) -> Result<Reply> {
    let text = p.token.filter(|t| !t.reveal().is_empty()).ok_or_else(|| Error::invalid("missing token"))?;
    let answer = match active(&cx, text.reveal(), p.client_id.as_deref())? {
        Ok(()) => json!({"active": true}),
        Err(why) => json!({"active": false, "error": why}),
    };
    Ok(Reply::raw(200, "application/json", answer.to_string().into_bytes()))
}

/// Whether a token is one of ours and good, or why not.
fn active(cx: &Cx<IdentityEngine>, text: &str, client: Option<&str>) -> Result<Result<(), &'static str>> {
    let Some((claims, _)) = opened(cx, text)? else { return Ok(Err("unable to validate the token's signature")) };
    let word = |name: &str| claims.get(name).and_then(Json::as_str).unwrap_or_default();
    if word("iss") != discovery::issuer(cx)? {
        return Ok(Err("the token's issuer is another"));
    }
    let number = |name: &str| match claims.get(name) {
        Some(Json::Number(text)) => text.parse::<i64>().ok(),
        _ => None,
    };
    if number("exp").is_none_or(|end| cx.now().as_second() >= end) {
        return Ok(Err("the token is expired"));
    }
    if client.is_some_and(|client| client != word("aud")) {
        return Ok(Err("the token is for another client"));
    }
    match cx.engine().handles.identities.standing(word("sub"))? {
        Some(standing) if !standing.entity.disabled => Ok(Ok(())),
        Some(_) => Ok(Err("the entity is disabled")),
        None => Ok(Err("the entity does not exist")),
    }
}

/// The claims of a token that one of our keys signed, with the name of the key.
pub fn opened(cx: &Cx<IdentityEngine>, text: &str) -> Result<Option<(Map, String)>> {
    let parts: Vec<&str> = text.split('.').collect();
    let [header, claims, signature] = parts[..] else { return Ok(None) };
    let decode = |part: &str| BASE64.decode(part).ok();
    let (Some(head), Some(body), Some(signature)) = (decode(header), decode(claims), decode(signature)) else {
        return Ok(None);
    };
    let (Ok(head), Ok(Json::Object(body))) = (Json::parse(&head), Json::parse(&body)) else { return Ok(None) };
    let Some(kid) = head.at("kid").and_then(Json::as_str) else { return Ok(None) };
    let signed = format!("{header}.{claims}");
    for (name, key) in all::<SigningKey>(cx, "key")? {
        for jwk in key.public(cx.now()) {
            if jwk.at("kid").and_then(Json::as_str) != Some(kid) {
                continue;
            }
            // The key's own word on the algorithm, never the token's.
            let algorithm = jwk.at("alg").and_then(Json::as_str).unwrap_or_default();
            let fits = Jwk::from_json(&jwk)?.verify(algorithm, signed.as_bytes(), &signature).is_ok();
            return Ok(fits.then_some((body, name)));
        }
    }
    Ok(None)
}

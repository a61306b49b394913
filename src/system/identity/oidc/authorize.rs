//! A login of somebody to an application: a code for whoever is logged in here, the tokens for the code, and what they tell.
//!
//! A code is good once and for five minutes; an access token opens `userinfo` and nothing else. Of both, storage has digests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::{IdentityEngine, demand_entity};
use super::client::{self, Client};
use super::discovery::bare;
use super::key::SigningKey;
use super::provider::{Assignment, EVERYBODY, Provider, Scope, issuer, provider};
use super::{find, folder, place, template};
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::{Json, Name, Result, Secret, Timestamp, Ttl, ids, limits, time};
use crate::crypto::{same, sha256};
use crate::engine::{Cx, Reply, Routes};
use crate::identity::Standing;
use crate::params;

/// How long a code is good.
const CODE: Ttl = Ttl::from_seconds(300);

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes
        .at("oidc/provider/{name}/authorize", "Log the caller in to an application.", |at| {
            at.read(authorize).update(authorize)
        })
        .at("oidc/provider/{name}/token", "The tokens for a code.", |at| at.update(token).public())
        .at("oidc/provider/{name}/userinfo", "What an access token tells.", |at| {
            at.read(userinfo).update(userinfo).public()
        })
}

params! {
    /// A request of an application, brought by the person's client.
    pub struct Authorize {
        /// The provider.
        name: Name,
        /// What is asked for, `openid` at least.
        scope: Option<String>,
        /// `code`.
        response_type: Option<String>,
        /// The application.
        client_id: Option<String>,
        /// Where the person is sent back to.
        redirect_uri: Option<String>,
        /// Given back as it is.
        state: Option<String>,
        /// Put into the identity token as it is.
        nonce: Option<String>,
        /// The digest of what will prove the code (PKCE).
        code_challenge: Option<String>,
        /// `plain` or `S256`.
        code_challenge_method: Option<String>,
    }
    /// A code, with what proves that it is the application that brings it.
    pub struct Exchange {
        /// The provider.
        name: Name,
        /// The code.
        code: Option<Secret<String>>,
        /// `authorization_code`.
        grant_type: Option<String>,
        /// As it was in the request.
        redirect_uri: Option<String>,
        /// What proves the code (PKCE).
        code_verifier: Option<Secret<String>>,
        /// The application.
        client_id: Option<String>,
        /// What proves the application.
        client_secret: Option<Secret<String>>,
    }
    /// A provider.
    pub struct At {
        /// The provider.
        name: Name,
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Code {
    provider: String,
    client_id: String,
    entity_id: String,
    redirect_uri: String,
    nonce: String,
    scopes: Vec<String>,
    challenge: String,
    hashed: bool,
    made: Timestamp,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Access {
    provider: String,
    client_id: String,
    entity_id: String,
    scopes: Vec<String>,
    expires: Timestamp,
}

fn fault(status: u16, error: &str, description: &str) -> Reply {
    bare(status, json!({"error": error, "error_description": description}))
}

fn digest(text: &Secret<String>) -> String {
    hex::encode(sha256(text.reveal().as_bytes()))
}

/// Whether an application may log this person in.
fn admitted(cx: &Cx<IdentityEngine>, client: &Client, standing: &Standing) -> Result<bool> {
    for name in &client.assignments {
        if name == EVERYBODY {
            return Ok(true);
        }
        let Some(assignment) = find::<Assignment>(cx, "assignment", name)? else { continue };
        if assignment.entity_ids.contains(&standing.entity.id)
            || standing.groups().any(|group| assignment.group_ids.contains(&group.id))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn authorize(cx: Cx<IdentityEngine>, p: Authorize) -> Result<Reply> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let state = text(&p.state);
    let refuse = |error: &str, description: &str| {
        Ok(bare(400, json!({"error": error, "error_description": description, "state": state})))
    };
    let Some(found) = provider(&cx, p.name.as_str())? else {
        return refuse("invalid_request", "provider with name not found");
    };
    let Some((_, client)) = client::by_id(&cx, &text(&p.client_id))?.filter(|(_, c)| found.admits(&c.client_id)) else {
        return refuse("invalid_client_id", "client with client_id not found, or not allowed here");
    };
    let redirect_uri = text(&p.redirect_uri);
    // Word for word: what is only like an address of the application's is somebody else's.
    if redirect_uri.is_empty() || !client.redirect_uris.contains(&redirect_uri) {
        return refuse("invalid_redirect_uri", "redirect_uri is not allowed for the client");
    }
    let given = text(&p.scope);
    let scopes: Vec<String> = given.split_whitespace().take(limits::OIDC_NAMES).map(str::to_owned).collect();
    if !scopes.iter().any(|scope| scope == "openid") {
        return refuse("invalid_scope", "openid scope is required");
    }
    if text(&p.response_type) != "code" {
        return refuse("unsupported_response_type", "response_type must be 'code'");
    }
    let (challenge, nonce) = (text(&p.code_challenge), text(&p.nonce));
    let hashed = match p.code_challenge_method.as_deref() {
        None | Some("" | "plain") => false,
        Some("S256") => true,
        Some(_) => return refuse("invalid_request", "code_challenge_method is not supported"),
    };
    if client.public && challenge.is_empty() {
        return refuse("invalid_request", "PKCE is required for public clients");
    }
    if !challenge.is_empty() && !(43..=128).contains(&challenge.len()) {
        return refuse("invalid_request", "code_challenge has 43 to 128 characters");
    }
    if nonce.len() > limits::NAME_BYTES || state.len() > limits::PATH_BYTES {
        return refuse("invalid_request", "nonce or state is too long");
    }
    let Ok(entity) = demand_entity(&cx) else {
        return refuse("access_denied", "identity entity must be associated with the request");
    };
    let standing = cx.engine().handles.identities.standing(&entity)?.unwrap_or_default();
    if !admitted(&cx, &client, &standing)? {
        return refuse("access_denied", "identity entity not authorized by client assignment");
    }
    let now = cx.now();
    let code = ids::letters(cx.rng(), 32);
    let row = Code {
        provider: p.name.as_str().to_owned(),
        client_id: client.client_id,
        entity_id: entity,
        redirect_uri,
        nonce,
        scopes: scopes.into_iter().filter(|s| found.scopes_supported.contains(s)).collect(),
        challenge,
        hashed,
        made: now,
    };
    let mut txn = cx.engine().handles.identities.view().txn();
    keep(&mut txn, "code", &digest(&code), &row, time::after(now, CODE))?;
    forget_old(&cx, &mut txn)?;
    Ok(bare(200, json!({"code": code.reveal(), "state": state})).with(txn))
}

/// Keeps a row until a moment.
fn keep<T: Serialize>(txn: &mut Txn, kind: &str, digest: &str, row: &T, until: Timestamp) -> Result<()> {
    txn.create(&place(kind, digest), row)?;
    txn.overwrite(&folder("expiry").at(until).join(kind).join(digest), &())
}

/// Removes a few of the rows whose time is over.
fn forget_old(cx: &Cx<IdentityEngine>, txn: &mut Txn) -> Result<()> {
    use crate::base::key::Segment;
    let now = time::nanoseconds(cx.now()).max(0).unsigned_abs();
    let rows = cx.engine().handles.identities.view().read(|r| r.first_keys(&folder("expiry"), limits::MFA_SWEEP))?;
    for row in rows {
        let segments: Vec<Segment<'_>> = row.segments().collect();
        let [due, Segment::Name(kind), Segment::Name(digest)] = segments[..] else { continue };
        if due.number().is_none_or(|nanos| nanos > now) {
            break;
        }
        txn.delete(&place(kind, digest));
        txn.delete(&folder("expiry").append(&row));
    }
    Ok(())
}

async fn token(cx: Cx<IdentityEngine>, p: Exchange) -> Result<Reply> {
    let Some(found) = provider(&cx, p.name.as_str())? else {
        return Ok(fault(400, "invalid_request", "provider not found"));
    };
    let known = client::by_id(&cx, p.client_id.as_deref().unwrap_or_default())?;
    let secret = p.client_secret.unwrap_or_default();
    let known = known.filter(|(_, c)| c.public || c.client_secret.same_as(secret.reveal().as_bytes()));
    let Some((_, client)) = known.filter(|(_, c)| found.admits(&c.client_id)) else {
        return Ok(fault(401, "invalid_client", "client failed to authenticate"));
    };
    if p.grant_type.as_deref() != Some("authorization_code") {
        return Ok(fault(400, "unsupported_grant_type", "grant_type must be 'authorization_code'"));
    }
    let code = digest(&p.code.unwrap_or_default());
    let mut txn = cx.engine().handles.identities.view().txn();
    let now = cx.now();
    let row: Option<Code> = txn.get(&place("code", &code))?;
    let row = row.filter(|row| {
        now < time::after(row.made, CODE)
            && row.provider == p.name.as_str()
            && row.client_id == client.client_id
            && p.redirect_uri.as_deref() == Some(row.redirect_uri.as_str())
    });
    let Some(row) = row.filter(|row| proved(row, p.code_verifier.as_ref())) else {
        return Ok(fault(400, "invalid_grant", "the code is invalid, expired or not for this client"));
    };
    // A code is good once: two who bring it meet here, and one of them finds it gone.
    txn.delete(&place("code", &code));
    let standing = cx.engine().handles.identities.standing(&row.entity_id)?.filter(|s| !s.entity.disabled);
    let standing = match standing {
        Some(standing) if admitted(&cx, &client, &standing)? => standing,
        _ => return Ok(fault(400, "invalid_grant", "the entity may not log in to this client").with(txn)),
    };
    let Some(key) = find::<SigningKey>(&cx, "key", &client.key)?.filter(|key| key.admits(&client.client_id)) else {
        return Ok(fault(400, "invalid_client", "the client's key does not allow it").with(txn));
    };
    let access = ids::letters(cx.rng(), 64);
    let expires = time::after(now, client.access_token_ttl);
    let granted = Access {
        provider: row.provider.clone(),
        client_id: row.client_id.clone(),
        entity_id: standing.entity.id.clone(),
        scopes: row.scopes.clone(),
        expires,
    };
    keep(&mut txn, "access", &digest(&access), &granted, expires)?;
    let mut claims = claims(&cx, &found, &row.scopes, &standing)?;
    let half = |text: &str| BASE64.encode(&sha256(text.as_bytes())[..16]);
    claims.extend(
        [
            ("iss", Json::from(issuer(&cx, p.name.as_str(), &found)?)),
            ("namespace", "root".into()),
            ("sub", standing.entity.id.as_str().into()),
            ("aud", client.client_id.as_str().into()),
            ("iat", now.as_second().into()),
            ("exp", template::moment(now, client.id_token_ttl)),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    );
    if key.algorithm.ends_with("256") {
        claims.insert("at_hash".into(), half(access.reveal()).into());
    }
    if !row.nonce.is_empty() {
        claims.insert("nonce".into(), row.nonce.into());
    }
    let id_token = key.current.sign(&key.algorithm, &claims)?;
    let answer = json!({
        "token_type": "Bearer", "access_token": access.reveal(), "id_token": id_token,
        "expires_in": client.access_token_ttl.seconds(),
    });
    Ok(bare(200, answer).with(txn))
}

/// Whether who brings a code knows what it was asked for with.
fn proved(row: &Code, verifier: Option<&Secret<String>>) -> bool {
    let verifier = verifier.map_or("", |v| v.reveal().as_str());
    if row.challenge.is_empty() {
        return verifier.is_empty();
    }
    let shown = if row.hashed { BASE64.encode(sha256(verifier.as_bytes())) } else { verifier.to_owned() };
    same(shown.as_bytes(), row.challenge.as_bytes())
}

/// The claims of some scopes.
fn claims(cx: &Cx<IdentityEngine>, provider: &Provider, scopes: &[String], who: &Standing) -> Result<Map> {
    let mut claims = Map::new();
    for name in scopes.iter().filter(|name| provider.scopes_supported.contains(name)) {
        if let Some(scope) = find::<Scope>(cx, "scope", name)? {
            claims.extend(template::fill(&scope.template, who, cx.now())?);
        }
    }
    Ok(claims)
}

async fn userinfo(cx: Cx<IdentityEngine>, p: At) -> Result<Reply> {
    let refused = || Ok(fault(401, "invalid_token", "the access token is invalid or expired"));
    let Some(text) = cx.caller.text.clone() else { return refused() };
    let Some(access) = find::<Access>(&cx, "access", &digest(&text))? else { return refused() };
    if access.provider != p.name.as_str() || cx.now() >= access.expires {
        return refused();
    }
    let known = client::by_id(&cx, &access.client_id)?;
    let (Some(found), Some((_, client))) = (provider(&cx, p.name.as_str())?, known) else { return refused() };
    let standing = cx.engine().handles.identities.standing(&access.entity_id)?.filter(|s| !s.entity.disabled);
    let Some(standing) = standing else { return refused() };
    if !found.admits(&client.client_id) || !admitted(&cx, &client, &standing)? {
        return refused();
    }
    let mut claims = claims(&cx, &found, &access.scopes, &standing)?;
    claims.insert("sub".into(), standing.entity.id.as_str().into());
    Ok(Reply::raw(200, "application/json", Json::Object(claims).text().into_bytes()))
}

//! `oidc/config` and `oidc/.well-known`: who the issuer is, and the keys by which others check what it says.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::IdentityEngine;
use super::key::SigningKey;
use super::{all, folder};
use crate::base::{Error, Json, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

const ALGORITHMS: [&str; 7] = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"];
/// Where no address of this server is configured.
const NO_ADDRESS: &str = "https://127.0.0.1:8200";

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes
        .at("oidc/config", "The issuer of identity tokens.", |at| at.read(read).update(write))
        .at("oidc/.well-known/openid-configuration", "How identity tokens are checked.", |at| {
            at.read(configuration).public()
        })
        .at("oidc/.well-known/keys", "The keys by which identity tokens are checked.", |at| at.read(keys).public())
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Config {
    issuer: String,
}

params! {
    /// The issuer.
    pub struct Write {
        /// A URL without a path; this server's own address where it is empty.
        issuer: Option<String>,
    }
}

fn config(cx: &Cx<IdentityEngine>) -> Result<Config> {
    Ok(cx.engine().handles.identities.view().get(&folder("config"))?.unwrap_or_default())
}

/// Whether a text can be the beginning of an issuer: scheme, host, perhaps a port, and nothing more.
///
/// # Errors
/// [`Error::Invalid`].
pub fn checked_issuer(text: &str) -> Result<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
    match rest {
        _ if text.is_empty() => Ok(String::new()),
        Some(host) if !host.is_empty() && host.len() <= 512 && host.chars().all(fits) => Ok(text.to_owned()),
        _ => Err(Error::invalid("invalid issuer: a scheme, a host and perhaps a port, and nothing more")),
    }
}

/// Where this server is, for others.
///
/// # Errors
/// Those of storage.
pub fn address(cx: &Cx<IdentityEngine>) -> Result<String> {
    let config = config(cx)?.issuer;
    let known = cx.engine().handles.api_addr.as_deref().unwrap_or(NO_ADDRESS);
    Ok(if config.is_empty() { known.trim_end_matches('/').to_owned() } else { config })
}

/// The issuer of identity tokens.
///
/// # Errors
/// Those of storage.
pub fn issuer(cx: &Cx<IdentityEngine>) -> Result<String> {
    Ok(format!("{}/v1/identity/oidc", address(cx)?))
}

async fn read(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    Ok(Reply::json(json!({"issuer": config(&cx)?.issuer})))
}

async fn write(cx: Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    let issuer = checked_issuer(p.issuer.as_deref().unwrap_or_default())?;
    let told = (!issuer.is_empty()).then_some(
        "tokens name this issuer from now on: whoever checks them must be able to reach it, and tokens of the one before are not believed any more",
    );
    txn.overwrite(&folder("config"), &Config { issuer })?;
    Ok(told.into_iter().fold(Reply::empty(txn), |reply, words| reply.warning(words)))
}

/// An answer that is no envelope.
pub fn bare(status: u16, body: serde_json::Value) -> Reply {
    Reply::raw(status, "application/json", body.to_string().into_bytes())
}

async fn configuration(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    let issuer = issuer(&cx)?;
    Ok(bare(
        200,
        json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/.well-known/keys"),
            "id_token_signing_alg_values_supported": ALGORITHMS, "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        }),
    ))
}

async fn keys(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    Ok(jwks(all::<SigningKey>(&cx, "key")?.into_iter().flat_map(|(_, key)| key.public(cx.now())).collect()))
}

/// Public keys as others fetch them.
pub fn jwks(keys: Vec<Json>) -> Reply {
    let text = Json::object([("keys", Json::Array(keys))]).text();
    Reply::raw(200, "application/json", text.into_bytes())
}

//! External accounts: a key that somebody with a token makes, and hands to the one who may then make an ACME account.
//!
//!     acme/eab/<id>    the key; it goes when an account was bound to it

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::desk::{Desk, Place};
use super::jws::Unverified;
use super::problem::{Fault, Kind, problem};
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::secret::stored;
use crate::base::{Json, Key, Result, Secret, Timestamp, ids};
use crate::crypto::{HmacKey, Jwk};
use crate::engine::{Body, Cx, Reply};
use crate::params;
use crate::secrets::pki::Pki;

params! {
    /// One external account.
    pub struct OneKey {
        /// Its id.
        key_id: String,
    }
}

#[derive(Serialize, Deserialize)]
struct Eab {
    #[serde(serialize_with = "stored")]
    key: Secret<String>,
    scope: String,
    created: Timestamp,
}

fn eab_key(id: &str) -> Key {
    Key::new("acme/eab").join(id)
}

/// Makes a key for one account of this directory.
pub async fn new_eab(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    let mut scope = place.issuer_ref.map(|issuer| format!("issuer/{issuer}/")).unwrap_or_default();
    if let Some(role) = place.role {
        scope.push_str(&format!("roles/{role}/"));
    }
    let mut bytes = Secret::new([0; 32]);
    cx.rng().fill(bytes.reveal_mut());
    let eab = Eab { key: Secret::new(BASE64.encode(bytes.reveal())), scope, created: cx.now() };
    let id = ids::uuid(cx.rng());
    let mut txn = cx.txn();
    txn.create(&eab_key(&id), &eab)?;
    let mut data = about(&eab);
    data.insert("id".into(), id.into());
    // Here the key leaves, once, for the one who asked for it.
    data.insert("key".into(), eab.key.reveal().clone().into());
    Ok(Reply::data(data).with(txn))
}

fn about(eab: &Eab) -> Map {
    Map::from(
        [
            ("acme_directory", Json::from(format!("{}acme/directory", eab.scope))),
            ("created_on", eab.created.to_string().into()),
            ("key_type", "hs".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

pub async fn list(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let mut info = Map::new();
    for id in cx.list(&Key::new("acme/eab"))? {
        if let Some(eab) = cx.get::<Eab>(&eab_key(&id))? {
            info.insert(id, about(&eab).into());
        }
    }
    let mut reply = Reply::list(info.keys().map(String::as_str).collect());
    if let Body::Data(data) = &mut reply.body
        && !data.is_empty()
    {
        data.insert("key_info".into(), info.into());
    }
    Ok(reply)
}

pub async fn delete(cx: Cx<Pki>, p: OneKey) -> Result<Reply> {
    let mut txn = cx.txn();
    let there = txn.get::<Eab>(&eab_key(&p.key_id))?.is_some();
    txn.delete(&eab_key(&p.key_id));
    let reply = Reply::empty(txn);
    Ok(if there { reply } else { reply.warning("there was no such external account") })
}

/// The external account that a new account proves to be sent by (RFC 8555 section 7.3.4); its key is spent.
///
/// # Errors
/// The problems `unauthorized` and `malformed`.
pub fn bound(desk: &Desk, binding: &Json, key: &Jwk, url: &str, txn: &mut Txn) -> Result<String, Fault> {
    let request = Unverified::of(binding)?;
    let id = request.kid().to_owned();
    let fits = !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let eab: Option<Eab> = if fits { txn.get(&eab_key(&id))? } else { None };
    let Some(eab) = eab.filter(|eab| eab.scope == desk.scope) else {
        return problem(Kind::Unauthorized, "there is no such external account for this directory");
    };
    let shared = BASE64.decode(eab.key.reveal()).map_err(|_| crate::base::Error::internal("a stored key is none"))?;
    let said = request.verify_shared(&HmacKey::new(&shared), url)?;
    if Jwk::from_json(&Json::parse(said)?)? != *key {
        return problem(Kind::Malformed, "the external account is bound to another key than the request's");
    }
    txn.delete(&eab_key(&id));
    Ok(id)
}

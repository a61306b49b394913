//! `oidc/key`: signing keys. The next one is public before it signs, and the last ones stay so while what they signed is good.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::IdentityEngine;
use super::{ByName, all, find, folder, place};
use crate::barrier::Txn;
use crate::base::secret::stored;
use crate::base::{Error, Json, Key, Name, Result, Secret, Timestamp, Ttl, ids, limits, time};
use crate::crypto::keys::jws_kind;
use crate::crypto::{Jwk, PrivateKey};
use crate::engine::{Cx, Reply, Routes};
use crate::identity::Identities;
use crate::params;
use crate::system::Handles;

/// The key that is there unless somebody made it otherwise.
pub const DEFAULT: &str = "default";
const DAY: Ttl = Ttl::from_seconds(86_400);

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes
        .at("oidc/key/", "List the signing keys.", |at| at.list(list))
        .at("oidc/key/{name}", "Read, write and delete a signing key.", |at| {
            at.read(read).upsert(exists, write).delete(delete)
        })
        .at("oidc/key/{name}/rotate", "Sign with the next key from now on.", |at| at.update(rotate))
}

/// A named key, as stored.
#[derive(Clone, Serialize, Deserialize)]
pub struct SigningKey {
    /// The algorithm of JWS.
    pub algorithm: String,
    /// How long one signs.
    pub rotation_period: Ttl,
    /// How long it stays public after that.
    pub verification_ttl: Ttl,
    /// Whose tokens it may sign; `*` for all.
    pub allowed_client_ids: Vec<String>,
    /// The one that signs.
    pub current: Pair,
    /// The one after it.
    pub next: Pair,
    /// Those before it.
    pub retired: Vec<Retired>,
    /// When the next one takes over.
    pub rotates: Timestamp,
}

/// A private key with its public half.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pair {
    /// The id in the header of what it signs.
    pub kid: String,
    #[serde(serialize_with = "stored")]
    pkcs8: Secret<Vec<u8>>,
    /// The public half.
    pub jwk: Json,
}

/// A key that signs no more.
#[derive(Clone, Serialize, Deserialize)]
pub struct Retired {
    /// Its id.
    pub kid: String,
    /// The public half.
    pub jwk: Json,
    /// When what it signed is over.
    pub until: Timestamp,
}

impl Pair {
    /// Signs claims, as a token.
    pub fn sign(&self, algorithm: &str, claims: &crate::base::json::Map) -> Result<String> {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
        let header = json!({"alg": algorithm, "kid": self.kid}).to_string();
        let claims = Json::Object(claims.clone()).text();
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let key = PrivateKey::from_pkcs8(self.pkcs8.reveal())?;
        let signature = key.sign_jws(algorithm, signed.as_bytes())?;
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }
}

impl SigningKey {
    /// Whether it may sign for this client.
    pub fn admits(&self, client_id: &str) -> bool {
        self.allowed_client_ids.iter().any(|id| id == "*" || id == client_id)
    }

    /// All public halves that are good now.
    pub fn public(&self, now: Timestamp) -> Vec<Json> {
        let retired = self.retired.iter().filter(|r| now < r.until).map(|r| r.jwk.clone());
        [self.current.jwk.clone(), self.next.jwk.clone()].into_iter().chain(retired).collect()
    }

    /// Lets the next key sign.
    fn turn(&mut self, fresh: Pair, keep: Ttl, now: Timestamp) {
        let next = std::mem::replace(&mut self.next, fresh);
        let last = std::mem::replace(&mut self.current, next);
        self.retired.retain(|r| now < r.until);
        self.retired.push(Retired { kid: last.kid, jwk: last.jwk, until: time::after(now, keep) });
        let beyond = self.retired.len().saturating_sub(limits::OIDC_RETIRED);
        self.retired.drain(..beyond);
        self.rotates = time::after(now, self.rotation_period);
    }
}

/// Makes a key, where nobody waits for the thread.
async fn make(algorithm: &str, rng: Arc<dyn crate::base::Rng>) -> Result<Pair> {
    let algorithm = algorithm.to_owned();
    let made = tokio::task::spawn_blocking(move || {
        let key = PrivateKey::generate(jws_kind(&algorithm)?)?;
        let kid = ids::uuid(rng.as_ref());
        let mut jwk = Jwk::of(key.public().clone()).json()?;
        if let Json::Object(map) = &mut jwk {
            map.extend(
                [("kid", kid.as_str()), ("alg", &algorithm), ("use", "sig")].map(|(k, v)| (k.to_owned(), v.into())),
            );
        }
        Ok::<_, Error>(Pair { kid, pkcs8: key.pkcs8()?, jwk })
    });
    made.await.map_err(|_| Error::internal("the making of a key was cut off"))?
}

fn due_key(at: Timestamp, name: &str) -> Key {
    folder("due").at(at).join(name)
}

fn keep(txn: &mut Txn, name: &str, before: Option<Timestamp>, key: &SigningKey) -> Result<()> {
    if let Some(before) = before {
        txn.delete(&due_key(before, name));
    }
    txn.overwrite(&due_key(key.rotates, name), &())?;
    txn.put(&place("key", name), key)
}

params! {
    /// A key; what is absent stays as it was.
    pub struct Write {
        /// Its name.
        name: Name,
        /// How long one key signs.
        rotation_period: Option<Ttl>,
        /// How long it stays public after that.
        verification_ttl: Option<Ttl>,
        /// RS256, RS384, RS512, ES256, ES384, ES512 or EdDSA.
        algorithm: Option<String>,
        /// Whose tokens it may sign; `*` for all.
        allowed_client_ids: Option<Vec<String>>,
    }
    /// A rotation.
    pub struct Rotate {
        /// The name of the key.
        name: Name,
        /// How long the key that signs no more stays public.
        verification_ttl: Option<Ttl>,
    }
}

fn exists(cx: &Cx<IdentityEngine>, p: &Write) -> Result<bool> {
    Ok(find::<SigningKey>(cx, "key", p.name.as_str())?.is_some())
}

async fn list(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    Ok(Reply::list(cx.engine().handles.identities.view().list(&folder("key"))?))
}

async fn read(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let key: SigningKey = find(&cx, "key", p.name.as_str())?.ok_or_else(Error::not_found)?;
    Ok(Reply::json(json!({
        "algorithm": key.algorithm, "allowed_client_ids": key.allowed_client_ids,
        "rotation_period": key.rotation_period.seconds(), "verification_ttl": key.verification_ttl.seconds(),
    })))
}

async fn write(cx: Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    let name = p.name.as_str();
    let mut txn = cx.engine().handles.identities.view().txn();
    let old: Option<SigningKey> = txn.get(&place("key", name))?;
    let before = old.as_ref().map(|key| key.rotates);
    let algorithm = p.algorithm.or_else(|| old.as_ref().map(|k| k.algorithm.clone())).unwrap_or_else(|| "RS256".into());
    jws_kind(&algorithm)?;
    let rotation_period = p.rotation_period.or(old.as_ref().map(|k| k.rotation_period)).unwrap_or(DAY);
    let verification_ttl = p.verification_ttl.or(old.as_ref().map(|k| k.verification_ttl)).unwrap_or(DAY);
    if rotation_period.seconds() < 60 {
        return Err(Error::invalid("'rotation_period' must be at least one minute"));
    }
    if verification_ttl.seconds() > rotation_period.seconds().saturating_mul(10) {
        return Err(Error::invalid("'verification_ttl' cannot be longer than 10 times 'rotation_period'"));
    }
    let clients =
        p.allowed_client_ids.or_else(|| old.as_ref().map(|k| k.allowed_client_ids.clone())).unwrap_or_default();
    if clients.len() > limits::OIDC_NAMES || clients.iter().any(|id| id.len() > limits::NAME_BYTES) {
        return Err(Error::invalid("'allowed_client_ids' names too many or too long ones"));
    }
    let now = cx.now();
    let mut key = match old {
        Some(key) if key.algorithm == algorithm => {
            // A shorter period counts from now.
            let rotates = key.rotates.min(time::after(now, rotation_period));
            SigningKey { rotates, ..key }
        }
        Some(mut key) => {
            // What was signed by the other algorithm can still be checked.
            let (first, second) = (make(&algorithm, cx.rng.clone()).await?, make(&algorithm, cx.rng.clone()).await?);
            key.algorithm.clone_from(&algorithm);
            key.next = first;
            key.turn(second, verification_ttl, now);
            key
        }
        None => SigningKey {
            current: make(&algorithm, cx.rng.clone()).await?,
            next: make(&algorithm, cx.rng.clone()).await?,
            retired: Vec::new(),
            rotates: time::after(now, rotation_period),
            algorithm,
            rotation_period,
            verification_ttl,
            allowed_client_ids: Vec::new(),
        },
    };
    key.rotation_period = rotation_period;
    key.verification_ttl = verification_ttl;
    key.allowed_client_ids = clients;
    keep(&mut txn, name, before, &key)?;
    Ok(Reply::empty(txn))
}

/// Adds the key of this name to a transaction that needs it, if it is the one that is always there and nobody made it yet.
pub async fn ensure(cx: &Cx<IdentityEngine>, txn: &mut Txn, name: &str) -> Result<SigningKey> {
    match txn.get::<SigningKey>(&place("key", name))? {
        Some(key) => Ok(key),
        None if name == DEFAULT => {
            let key = SigningKey {
                current: make("RS256", cx.rng.clone()).await?,
                next: make("RS256", cx.rng.clone()).await?,
                retired: Vec::new(),
                rotates: time::after(cx.now(), DAY),
                algorithm: "RS256".into(),
                rotation_period: DAY,
                verification_ttl: DAY,
                allowed_client_ids: vec!["*".into()],
            };
            keep(txn, name, None, &key)?;
            Ok(key)
        }
        None => Err(Error::invalid("the signing key does not exist")),
    }
}

async fn delete(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let name = p.name.as_str();
    let used = all::<super::role::Role>(&cx, "role")?.iter().any(|(_, role)| role.key == name)
        || all::<super::client::Client>(&cx, "client")?.iter().any(|(_, client)| client.key == name);
    if used {
        return Err(Error::invalid("the key is used by a role or a client"));
    }
    let mut txn = cx.engine().handles.identities.view().txn();
    if let Some(key) = txn.get::<SigningKey>(&place("key", name))? {
        txn.delete(&place("key", name));
        txn.delete(&due_key(key.rotates, name));
    }
    Ok(Reply::empty(txn))
}

async fn rotate(cx: Cx<IdentityEngine>, p: Rotate) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    let turned = turn(identities, p.name.as_str(), false, p.verification_ttl, cx.now(), cx.rng.clone()).await?;
    Ok(Reply::empty(turned.ok_or_else(|| Error::invalid("the signing key does not exist"))?))
}

/// The change that lets a key's successor sign; nothing where there is no such key, or its time has not come and it is asked for.
async fn turn(
    identities: &Identities,
    name: &str,
    only_if_due: bool,
    keep_for: Option<Ttl>,
    now: Timestamp,
    rng: Arc<dyn crate::base::Rng>,
) -> Result<Option<Txn>> {
    let mut txn = identities.view().txn();
    let Some(mut key) = txn.get::<SigningKey>(&place("key", name))? else { return Ok(None) };
    let before = key.rotates;
    if only_if_due && before > now {
        return Ok(None);
    }
    let fresh = make(&key.algorithm, rng).await?;
    let keep_for = keep_for.unwrap_or(key.verification_ttl);
    key.turn(fresh, keep_for, now);
    keep(&mut txn, name, Some(before), &key)?;
    Ok(Some(txn))
}

/// Lets the next key take over where its time has come: a step of the background's.
///
/// # Errors
/// Those of storage.
pub async fn rotate_due(handles: &Handles, now: Timestamp, rng: Arc<dyn crate::base::Rng>) -> Result<()> {
    let rows = handles.identities.view().read(|r| r.first_keys(&folder("due"), limits::OIDC_ROTATIONS))?;
    for row in rows {
        let mut segments = row.segments();
        let nanos = segments.next().and_then(crate::base::key::Segment::number).unwrap_or(0);
        let Some(crate::base::key::Segment::Name(name)) = segments.next() else { continue };
        if nanos > time::nanoseconds(now).max(0).unsigned_abs() {
            break;
        }
        if let Some(txn) = turn(&handles.identities, name, true, None, now, rng.clone()).await? {
            match handles.work()?.commit(txn).await {
                // Changed or rotated meanwhile: the next round sees it as it is then.
                Ok(()) | Err(Error::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

//! `oidc/client`: the applications that log people in here.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::IdentityEngine;
use super::key::{DEFAULT, ensure};
use super::provider::EVERYBODY;
use super::{ByName, all, find, folder, must_exist, place};
use crate::base::secret::stored;
use crate::base::{Error, Name, Result, Secret, Ttl, header, ids, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

const DAY: Ttl = Ttl::from_seconds(86_400);

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes.at("oidc/client/", "List the applications.", |at| at.list(list)).at(
        "oidc/client/{name}",
        "Read, write and delete an application.",
        |at| at.read(read).upsert(exists, write).delete(delete),
    )
}

/// An application, as stored.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Client {
    /// How it calls itself.
    pub client_id: String,
    /// What proves it; empty for a public one.
    #[serde(serialize_with = "stored")]
    pub client_secret: Secret<String>,
    /// Whether it cannot keep a secret: it has to prove its codes instead (PKCE).
    pub public: bool,
    /// Where people are sent back to.
    pub redirect_uris: Vec<String>,
    /// Who may log in to it.
    pub assignments: Vec<String>,
    /// The signing key of its tokens.
    pub key: String,
    /// How long its identity tokens are good.
    pub id_token_ttl: Ttl,
    /// How long its access tokens are good.
    pub access_token_ttl: Ttl,
}

/// The application of this id.
///
/// # Errors
/// Those of storage.
pub fn by_id(cx: &Cx<IdentityEngine>, id: &str) -> Result<Option<(String, Client)>> {
    if id.is_empty() {
        return Ok(None);
    }
    Ok(all::<Client>(cx, "client")?.into_iter().find(|(_, client)| client.client_id == id))
}

params! {
    /// An application; what is absent stays as it was.
    pub struct Write {
        /// Its name.
        name: Name,
        /// Where people are sent back to.
        redirect_uris: Option<Vec<String>>,
        /// Who may log in to it.
        assignments: Option<Vec<String>>,
        /// The signing key of its tokens.
        key: Option<String>,
        /// How long its identity tokens are good.
        id_token_ttl: Option<Ttl>,
        /// How long its access tokens are good.
        access_token_ttl: Option<Ttl>,
        /// `confidential`, or `public` where it cannot keep a secret.
        client_type: Option<String>,
    }
}

fn exists(cx: &Cx<IdentityEngine>, p: &Write) -> Result<bool> {
    Ok(find::<Client>(cx, "client", p.name.as_str())?.is_some())
}

async fn list(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    Ok(Reply::list(cx.engine().handles.identities.view().list(&folder("client"))?))
}

async fn read(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let client: Client = find(&cx, "client", p.name.as_str())?.ok_or_else(Error::not_found)?;
    let mut data = json!({
        "client_id": client.client_id, "client_type": kind(&client), "redirect_uris": client.redirect_uris,
        "assignments": client.assignments, "key": client.key, "id_token_ttl": client.id_token_ttl.seconds(),
        "access_token_ttl": client.access_token_ttl.seconds(),
    });
    if !client.public {
        data["client_secret"] = client.client_secret.reveal().as_str().into();
    }
    Ok(Reply::json(data))
}

const fn kind(client: &Client) -> &'static str {
    if client.public { "public" } else { "confidential" }
}

async fn write(cx: Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    let at = place("client", p.name.as_str());
    let old: Option<Client> = txn.get(&at)?;
    let public = match p.client_type.as_deref() {
        None | Some("") => old.as_ref().is_some_and(|c| c.public),
        Some("confidential") => false,
        Some("public") => true,
        Some(_) => return Err(Error::invalid("'client_type' is 'confidential' or 'public'")),
    };
    if old.as_ref().is_some_and(|c| c.public != public) {
        return Err(Error::invalid("'client_type' cannot be changed"));
    }
    let mut client = old.unwrap_or_else(|| Client {
        client_id: ids::letters(cx.rng(), 32).reveal().clone(),
        client_secret: if public {
            Secret::default()
        } else {
            Secret::new(format!("hvo_secret_{}", ids::letters(cx.rng(), 64).reveal()))
        },
        public,
        key: DEFAULT.into(),
        id_token_ttl: DAY,
        access_token_ttl: DAY,
        ..Client::default()
    });
    if !p.redirect_uris.iter().flatten().all(|text| header::is_address(text)) {
        return Err(Error::invalid("field 'redirect_uris': an address has no spaces and no control characters"));
    }
    for (given, kept) in [(p.redirect_uris, &mut client.redirect_uris), (p.assignments, &mut client.assignments)] {
        if let Some(given) = given {
            if given.len() > limits::OIDC_NAMES || given.iter().any(|text| text.len() > limits::PATH_BYTES) {
                return Err(Error::invalid("a list has too many or too long elements"));
            }
            *kept = given;
        }
    }
    let named: Vec<String> = client.assignments.iter().filter(|name| *name != EVERYBODY).cloned().collect();
    must_exist(&cx, "assignment", &named)?;
    if let Some(v) = p.key {
        client.key = Name::parse(&v)?.as_str().to_owned();
    }
    client.id_token_ttl = p.id_token_ttl.unwrap_or(client.id_token_ttl).or(DAY);
    client.access_token_ttl = p.access_token_ttl.unwrap_or(client.access_token_ttl).or(DAY);
    let key = ensure(&cx, &mut txn, &client.key).await?;
    if client.id_token_ttl > key.verification_ttl {
        return Err(Error::invalid("'id_token_ttl' cannot be longer than the verification_ttl of the key"));
    }
    txn.put(&at, &client)?;
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    txn.delete(&place("client", p.name.as_str()));
    Ok(Reply::empty(txn))
}

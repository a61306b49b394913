//! `role/:name/secret-id…`: listing, looking up and destroying secret ids, by themselves or by their accessors.
//!
//! All of it happens below the id of the role in the path: no secret id of another role is ever found there.

use super::AppRole;
use super::role::{self, Role, show_networks};
use super::secret_id::{self, SecretId, accessor_key, accessors};
use crate::base::json::Map;
use crate::base::{Error, Json, Name, Result, Secret};
use crate::engine::{Cx, Reply, Routes, page};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<AppRole>) -> Routes<AppRole> {
    routes
        .at("role/{role_name!}/secret-id/", "List the accessors of a role's secret ids.", |at| at.list(list))
        .at("role/{role_name!}/secret-id/lookup", "Look a secret id up.", |at| at.update(lookup))
        .at("role/{role_name!}/secret-id/destroy", "Destroy a secret id.", |at| at.update(destroy).delete(destroy))
        .at("role/{role_name!}/secret-id-accessor/lookup", "Look a secret id up by its accessor.", |at| {
            at.update(lookup_accessor)
        })
        .at("role/{role_name!}/secret-id-accessor/destroy", "Destroy a secret id by its accessor.", |at| {
            at.update(destroy_accessor).delete(destroy_accessor)
        })
}

params! {
    /// A stretch of a role's accessors.
    pub struct List {
        /// The role's name.
        role_name: Name,
        /// Only accessors after this one.
        after: Option<String>,
        /// At most so many.
        limit: Option<i64>,
    }
    /// A secret id of a role.
    pub struct BySecretId {
        /// The role's name.
        role_name: Name,
        /// The secret id.
        secret_id: Option<Secret<String>>,
    }
    /// An accessor of a role.
    pub struct ByAccessor {
        /// The role's name.
        role_name: Name,
        /// The accessor.
        secret_id_accessor: Option<String>,
    }
}

async fn list(cx: Cx<AppRole>, p: List) -> Result<Reply> {
    let role = role::named(&cx, &p.role_name)?;
    Ok(Reply::list(page(cx.list(&accessors(&role.id))?, p.after.as_deref(), p.limit)))
}

async fn lookup(cx: Cx<AppRole>, p: BySecretId) -> Result<Reply> {
    let (role, digest) = by_secret_id(&cx, &p)?;
    Ok(find(&cx, &role, &digest)?.map_or_else(Reply::nothing, |secret| Reply::data(show(&secret))))
}

async fn destroy(cx: Cx<AppRole>, p: BySecretId) -> Result<Reply> {
    let (role, digest) = by_secret_id(&cx, &p)?;
    Ok(find(&cx, &role, &digest)?.map_or_else(Reply::nothing, |secret| remove(&cx, &role, &digest, &secret)))
}

async fn lookup_accessor(cx: Cx<AppRole>, p: ByAccessor) -> Result<Reply> {
    Ok(match by_accessor(&cx, &p)? {
        Some((_, _, secret)) => Reply::data(show(&secret)),
        // Clients read the reason out of the data of this 404.
        None => Reply::data([("error".to_owned(), Json::from(NO_ACCESSOR))]).status(404),
    })
}

async fn destroy_accessor(cx: Cx<AppRole>, p: ByAccessor) -> Result<Reply> {
    let (role, digest, secret) = by_accessor(&cx, &p)?.ok_or_else(|| Error::NotFound(vec![NO_ACCESSOR.into()]))?;
    Ok(remove(&cx, &role, &digest, &secret))
}

/// Vault shows the accessor behind it: it may be that of another role.
const NO_ACCESSOR: &str = "failed to find accessor entry for secret_id_accessor";

fn by_secret_id(cx: &Cx<AppRole>, p: &BySecretId) -> Result<(Role, String)> {
    let text = p.secret_id.as_ref().filter(|s| !s.reveal().is_empty());
    let text = text.ok_or_else(|| Error::invalid("missing secret_id"))?;
    Ok((role::named(cx, &p.role_name)?, cx.engine().digests().secret_id(text.reveal())))
}

type ByAccessorFound = Option<(Role, String, SecretId)>;

/// The role in the path, and what it has under this accessor: its digest and itself.
///
/// # Errors
/// [`Error::Invalid`] when there is no such role, or no accessor is given.
pub fn by_accessor(cx: &Cx<AppRole>, p: &ByAccessor) -> Result<ByAccessorFound> {
    let accessor = p.secret_id_accessor.clone().filter(|a| !a.is_empty());
    let accessor = accessor.ok_or_else(|| Error::invalid("missing secret_id_accessor"))?;
    let role = role::named(cx, &p.role_name)?;
    // Ours are made of these; anything else is none, and no part of a key.
    if accessor.len() > 64 || !accessor.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Ok(None);
    }
    let Some(digest) = cx.get::<String>(&accessor_key(&role.id, &accessor))? else { return Ok(None) };
    let found = find(cx, &role, &digest)?.filter(|s| s.accessor == accessor);
    Ok(found.map(|secret| (role, digest, secret)))
}

/// A secret id whose time is not over.
fn find(cx: &Cx<AppRole>, role: &Role, digest: &str) -> Result<Option<SecretId>> {
    let found: Option<SecretId> = cx.get(&secret_id::key(&role.id, digest))?;
    Ok(found.filter(|s| !s.expired(cx.now())))
}

/// Without a look at what changed meanwhile: a use that is counted at this moment must not keep it alive.
fn remove(cx: &Cx<AppRole>, role: &Role, digest: &str, secret: &SecretId) -> Reply {
    let mut txn = cx.txn();
    for row in secret_id::rows(&role.id, digest, secret) {
        txn.delete(&row);
    }
    Reply::empty(txn)
}

fn show(secret: &SecretId) -> Map {
    let metadata: Map = secret.metadata.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    let networks = |list| match show_networks(list) {
        Json::Null => Json::Array(Vec::new()),
        shown => shown,
    };
    // Go's zero time, for what never ends.
    let end = secret.expires.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |end| end.to_string());
    Map::from(
        [
            ("secret_id_accessor", Json::from(secret.accessor.as_str())),
            ("secret_id_num_uses", secret.uses.into()),
            ("secret_id_ttl", secret.ttl.seconds().into()),
            ("creation_time", secret.created.to_string().into()),
            ("expiration_time", end.into()),
            ("last_updated_time", secret.updated.to_string().into()),
            ("metadata", metadata.into()),
            ("cidr_list", networks(&secret.cidr_list)),
            ("token_bound_cidrs", networks(&secret.token_bound_cidrs)),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    )
}

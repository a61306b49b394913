//! `oidc/scope`, `oidc/assignment`, `oidc/provider`: what applications can ask for, who may log in to them, and where.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::IdentityEngine;
use super::client::Client;
use super::key::SigningKey;
use super::{ByName, all, discovery, find, folder, must_exist, place, template};
use crate::base::{Error, Name, Result, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// The assignment of everybody, which is always there.
pub const EVERYBODY: &str = "allow_all";
/// The provider that is there unless somebody made it otherwise.
const DEFAULT: &str = "default";
/// The scope that every request has.
const OPENID: &str = "openid";

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes
        .at("oidc/scope/", "List the scopes.", |at| at.list(list_scopes))
        .at("oidc/scope/{name}", "Read, write and delete a scope.", |at| {
            at.read(read_scope).upsert(scope_exists, write_scope).delete(delete_scope)
        })
        .at("oidc/assignment/", "List the assignments.", |at| at.list(list_assignments))
        .at("oidc/assignment/{name}", "Read, write and delete an assignment.", |at| {
            at.read(read_assignment).upsert(assignment_exists, write_assignment).delete(delete_assignment)
        })
        .at("oidc/provider/", "List the providers.", |at| at.list(list_providers))
        .at("oidc/provider/{name}", "Read, write and delete a provider.", |at| {
            at.read(read_provider).upsert(provider_exists, write_provider).delete(delete_provider)
        })
        .at("oidc/provider/{name}/.well-known/openid-configuration", "How applications log in here.", |at| {
            at.read(configuration).public()
        })
        .at("oidc/provider/{name}/.well-known/keys", "The keys by which applications check tokens.", |at| {
            at.read(keys).public()
        })
}

/// Claims that an application can ask for.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// The claims.
    pub template: String,
    /// Words for people.
    pub description: String,
}

/// Who may log in.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Assignment {
    /// These entities.
    pub entity_ids: Vec<String>,
    /// Members of these groups.
    pub group_ids: Vec<String>,
}

/// Where applications log in.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Provider {
    /// Another address than the server's own; may be empty.
    pub issuer: String,
    /// The applications; `*` for all.
    pub allowed_client_ids: Vec<String>,
    /// What they can ask for.
    pub scopes_supported: Vec<String>,
}

impl Provider {
    /// Whether an application logs in here.
    pub fn admits(&self, client_id: &str) -> bool {
        self.allowed_client_ids.iter().any(|id| id == "*" || id == client_id)
    }
}

params! {
    /// A scope; what is absent stays as it was.
    pub struct WriteScope {
        /// Its name.
        name: Name,
        /// The claims: a JSON object with {{identity.entity.…}} in it, or that in base64.
        template: Option<String>,
        /// Words for people.
        description: Option<String>,
    }
    /// An assignment; what is absent stays as it was.
    pub struct WriteAssignment {
        /// Its name.
        name: Name,
        /// These entities.
        entity_ids: Option<Vec<String>>,
        /// Members of these groups.
        group_ids: Option<Vec<String>>,
    }
    /// A provider; what is absent stays as it was.
    pub struct WriteProvider {
        /// Its name.
        name: Name,
        /// Another address than the server's own: a URL without a path.
        issuer: Option<String>,
        /// The applications; `*` for all.
        allowed_client_ids: Option<Vec<String>>,
        /// What they can ask for.
        scopes_supported: Option<Vec<String>>,
    }
}

fn exists(cx: &Cx<IdentityEngine>, kind: &str, name: &Name) -> Result<bool> {
    Ok(find::<crate::base::Json>(cx, kind, name.as_str())?.is_some())
}

fn scope_exists(cx: &Cx<IdentityEngine>, p: &WriteScope) -> Result<bool> {
    exists(cx, "scope", &p.name)
}

fn assignment_exists(cx: &Cx<IdentityEngine>, p: &WriteAssignment) -> Result<bool> {
    exists(cx, "assignment", &p.name)
}

fn provider_exists(cx: &Cx<IdentityEngine>, p: &WriteProvider) -> Result<bool> {
    exists(cx, "provider", &p.name)
}

fn names(cx: &Cx<IdentityEngine>, kind: &str, always: &[&str]) -> Result<Reply> {
    let mut names = cx.engine().handles.identities.view().list(&folder(kind))?;
    names.extend(always.iter().map(|name| (*name).to_owned()));
    names.sort_unstable();
    names.dedup();
    Ok(Reply::list(names))
}

fn delete(cx: &Cx<IdentityEngine>, kind: &str, name: &str) -> Reply {
    let mut txn = cx.engine().handles.identities.view().txn();
    txn.delete(&place(kind, name));
    Reply::empty(txn)
}

fn few(names: Vec<String>) -> Result<Vec<String>> {
    if names.len() > limits::OIDC_NAMES || names.iter().any(|name| name.len() > limits::NAME_BYTES) {
        return Err(Error::invalid("a list names too many or too long ones"));
    }
    Ok(names)
}

async fn list_scopes(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    names(&cx, "scope", &[])
}

async fn read_scope(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let scope: Scope = find(&cx, "scope", p.name.as_str())?.ok_or_else(Error::not_found)?;
    Ok(Reply::json(json!({"template": scope.template, "description": scope.description})))
}

async fn write_scope(cx: Cx<IdentityEngine>, p: WriteScope) -> Result<Reply> {
    if p.name.as_str() == OPENID {
        return Err(Error::invalid("the scope 'openid' is always there and cannot be written"));
    }
    let mut txn = cx.engine().handles.identities.view().txn();
    let at = place("scope", p.name.as_str());
    let mut scope: Scope = txn.get(&at)?.unwrap_or_default();
    if let Some(v) = p.template {
        scope.template = template::checked(&v, cx.now())?;
    }
    if let Some(v) = p.description {
        if v.len() > limits::OIDC_TEMPLATE_BYTES {
            return Err(Error::invalid("'description' is too long"));
        }
        scope.description = v;
    }
    txn.put(&at, &scope)?;
    Ok(Reply::empty(txn))
}

async fn delete_scope(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let name = p.name.as_str();
    if all::<Provider>(&cx, "provider")?.iter().any(|(_, p)| p.scopes_supported.iter().any(|s| s == name)) {
        return Err(Error::invalid("the scope is used by a provider"));
    }
    Ok(delete(&cx, "scope", name))
}

async fn list_assignments(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    names(&cx, "assignment", &[EVERYBODY])
}

async fn read_assignment(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    if p.name.as_str() == EVERYBODY {
        return Ok(Reply::json(json!({"entity_ids": ["*"], "group_ids": ["*"]})));
    }
    let assignment: Assignment = find(&cx, "assignment", p.name.as_str())?.ok_or_else(Error::not_found)?;
    Ok(Reply::json(json!({"entity_ids": assignment.entity_ids, "group_ids": assignment.group_ids})))
}

async fn write_assignment(cx: Cx<IdentityEngine>, p: WriteAssignment) -> Result<Reply> {
    if p.name.as_str() == EVERYBODY {
        return Err(Error::invalid("the assignment 'allow_all' is always there and cannot be written"));
    }
    let mut txn = cx.engine().handles.identities.view().txn();
    let at = place("assignment", p.name.as_str());
    let mut assignment: Assignment = txn.get(&at)?.unwrap_or_default();
    if let Some(ids) = p.entity_ids {
        assignment.entity_ids = few(ids)?;
    }
    if let Some(ids) = p.group_ids {
        assignment.group_ids = few(ids)?;
    }
    txn.put(&at, &assignment)?;
    Ok(Reply::empty(txn))
}

async fn delete_assignment(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let name = p.name.as_str();
    if name == EVERYBODY {
        return Err(Error::invalid("the assignment 'allow_all' is always there and cannot be deleted"));
    }
    if all::<Client>(&cx, "client")?.iter().any(|(_, c)| c.assignments.iter().any(|a| a == name)) {
        return Err(Error::invalid("the assignment is used by a client"));
    }
    Ok(delete(&cx, "assignment", name))
}

/// A provider; the one that is always there admits all applications.
///
/// # Errors
/// Those of storage.
pub fn provider(cx: &Cx<IdentityEngine>, name: &str) -> Result<Option<Provider>> {
    let found = find(cx, "provider", name)?;
    let default = || Provider { allowed_client_ids: vec!["*".into()], ..Provider::default() };
    Ok(found.or_else(|| (name == DEFAULT).then(default)))
}

/// The issuer of a provider.
///
/// # Errors
/// Those of storage.
pub fn issuer(cx: &Cx<IdentityEngine>, name: &str, provider: &Provider) -> Result<String> {
    Ok(format!("{}/v1/identity/oidc/provider/{name}", address(cx, provider)?))
}

fn address(cx: &Cx<IdentityEngine>, provider: &Provider) -> Result<String> {
    if provider.issuer.is_empty() { discovery::address(cx) } else { Ok(provider.issuer.clone()) }
}

async fn list_providers(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    names(&cx, "provider", &[DEFAULT])
}

async fn read_provider(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let found = provider(&cx, p.name.as_str())?.ok_or_else(Error::not_found)?;
    Ok(Reply::json(json!({
        "issuer": issuer(&cx, p.name.as_str(), &found)?, "allowed_client_ids": found.allowed_client_ids,
        "scopes_supported": found.scopes_supported,
    })))
}

async fn write_provider(cx: Cx<IdentityEngine>, p: WriteProvider) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    let at = place("provider", p.name.as_str());
    let mut provider: Provider = txn.get(&at)?.unwrap_or_default();
    if let Some(v) = p.issuer {
        provider.issuer = discovery::checked_issuer(&v)?;
    }
    if let Some(ids) = p.allowed_client_ids {
        provider.allowed_client_ids = few(ids)?;
    }
    if let Some(names) = p.scopes_supported {
        let names = few(names)?;
        must_exist(&cx, "scope", &names)?;
        // Two scopes with one claim would leave it open which of them counts.
        let mut claims = std::collections::BTreeSet::new();
        for name in &names {
            let scope: Scope = find(&cx, "scope", name)?.unwrap_or_default();
            let given = template::fill(&scope.template, &Default::default(), cx.now())?;
            if given.into_keys().any(|claim| !claims.insert(claim)) {
                return Err(Error::invalid("two of the scopes give the same claim"));
            }
        }
        provider.scopes_supported = names;
    }
    txn.put(&at, &provider)?;
    Ok(Reply::empty(txn))
}

async fn delete_provider(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    if p.name.as_str() == DEFAULT {
        return Err(Error::invalid("the provider 'default' is always there and cannot be deleted"));
    }
    Ok(delete(&cx, "provider", p.name.as_str()))
}

async fn configuration(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let name = p.name.as_str();
    let found = provider(&cx, name)?.ok_or_else(Error::not_found)?;
    let issuer = issuer(&cx, name, &found)?;
    let page = format!("{}/ui/vault/identity/oidc/provider/{name}/authorize", address(&cx, &found)?);
    let scopes: Vec<&str> = found.scopes_supported.iter().map(String::as_str).chain([OPENID]).collect();
    Ok(discovery::bare(
        200,
        json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/.well-known/keys"), "authorization_endpoint": page,
            "token_endpoint": format!("{issuer}/token"), "userinfo_endpoint": format!("{issuer}/userinfo"),
            "request_parameter_supported": false, "request_uri_parameter_supported": false,
            "id_token_signing_alg_values_supported": ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"],
            "response_types_supported": ["code"], "scopes_supported": scopes, "claims_supported": [],
            "subject_types_supported": ["public"], "grant_types_supported": ["authorization_code"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
            "code_challenge_methods_supported": ["plain", "S256"],
        }),
    ))
}

async fn keys(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let found = provider(&cx, p.name.as_str())?.ok_or_else(Error::not_found)?;
    let clients = all::<Client>(&cx, "client")?;
    let used: std::collections::BTreeSet<&str> =
        clients.iter().filter(|(_, c)| found.admits(&c.client_id)).map(|(_, c)| c.key.as_str()).collect();
    let mut public = Vec::new();
    for name in used {
        if let Some(key) = find::<SigningKey>(&cx, "key", name)? {
            public.extend(key.public(cx.now()));
        }
    }
    Ok(discovery::jwks(public))
}

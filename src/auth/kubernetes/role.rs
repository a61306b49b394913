//! `role/`: which service accounts, and what they get.

use serde::{Deserialize, Serialize};

use super::Kubernetes;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Name, Result, glob, limits};
use crate::engine::{Cx, OlderTokenParams, Page, Reply, Routes, TokenParams, TokenRules};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<Kubernetes>) -> Routes<Kubernetes> {
    routes.at("role/", "List the roles.", |at| at.list(list)).at(
        "role/{name!}",
        "Read, write and delete a role.",
        |at| at.read(read).upsert(exists, write).delete(delete),
    )
}

/// What names an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AliasSource {
    /// The account's id: one that is deleted and made again is another.
    #[default]
    ServiceaccountUid,
    /// Namespace and name.
    ServiceaccountName,
}

impl AliasSource {
    const fn word(self) -> &'static str {
        match self {
            Self::ServiceaccountUid => "serviceaccount_uid",
            Self::ServiceaccountName => "serviceaccount_name",
        }
    }
}

/// A role, as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    /// Patterns for the names of accounts.
    pub names: Vec<String>,
    /// Patterns for their namespaces.
    pub namespaces: Vec<String>,
    /// For whom the token must be; empty for the cluster's own audience.
    pub audience: String,
    /// What names an identity.
    pub alias_name_source: AliasSource,
    /// What the tokens are like.
    pub rules: TokenRules,
}

impl Role {
    /// Whether it is for this account.
    pub fn is_for(&self, namespace: &str, name: &str) -> bool {
        !namespace.is_empty()
            && !name.is_empty()
            && glob::fits_any(&self.namespaces, namespace)
            && glob::fits_any(&self.names, name)
    }
}

/// Where a role lies.
pub fn key(name: &Name) -> Key {
    folder().join(name.as_str())
}

fn folder() -> Key {
    Key::new("role")
}

params! {
    /// A role.
    pub struct ByName {
        /// The role's name.
        name: Name,
    }
    /// A role; what is absent stays as it was.
    pub struct Write {
        /// The role's name.
        name: Name,
        /// Names of service accounts, or patterns, or '*'.
        bound_service_account_names: Option<Vec<String>>,
        /// Namespaces, or patterns, or '*'.
        bound_service_account_namespaces: Option<Vec<String>>,
        /// For whom the token must be.
        audience: Option<String>,
        /// What names an identity: 'serviceaccount_uid' or 'serviceaccount_name'.
        alias_name_source: Option<String>,
        /// The older names of what the tokens are like.
        older: OlderTokenParams,
        /// What the tokens are like.
        token: TokenParams,
    }
}

async fn list(cx: Cx<Kubernetes>, p: Page) -> Result<Reply> {
    Ok(Reply::list(p.of(cx.list(&folder())?)))
}

async fn read(cx: Cx<Kubernetes>, p: ByName) -> Result<Reply> {
    let role: Role = cx.get(&key(&p.name))?.ok_or_else(Error::not_found)?;
    let pairs: [(&str, Json); 4] = [
        ("alias_name_source", role.alias_name_source.word().into()),
        ("audience", role.audience.into()),
        ("bound_service_account_names", role.names.into()),
        ("bound_service_account_namespaces", role.namespaces.into()),
    ];
    let mut data = Map::from(pairs.map(|(k, v)| (k.to_owned(), v)));
    role.rules.show(&mut data);
    Ok(Reply::data(data))
}

fn exists(cx: &Cx<Kubernetes>, p: &Write) -> Result<bool> {
    Ok(cx.get::<Role>(&key(&p.name))?.is_some())
}

async fn write(cx: Cx<Kubernetes>, p: Write) -> Result<Reply> {
    let key = key(&p.name);
    let mut txn = cx.txn();
    let old: Option<Role> = cx.writable(&mut txn, &key)?;
    let mut role = old.unwrap_or_default();
    role.names = p.bound_service_account_names.unwrap_or(role.names);
    role.namespaces = p.bound_service_account_namespaces.unwrap_or(role.namespaces);
    role.audience = p.audience.unwrap_or(role.audience);
    role.alias_name_source = match p.alias_name_source.as_deref() {
        None => role.alias_name_source,
        Some("serviceaccount_uid" | "") => AliasSource::ServiceaccountUid,
        Some("serviceaccount_name") => AliasSource::ServiceaccountName,
        Some(_) => return Err(Error::invalid("invalid 'alias_name_source'")),
    };
    role.rules.apply_older(p.older)?;
    role.rules.apply(p.token)?;
    for (field, list) in
        [("bound_service_account_names", &role.names), ("bound_service_account_namespaces", &role.namespaces)]
    {
        if list.is_empty() {
            return Err(Error::invalid(format!("\"{field}\" can not be empty")));
        }
        if list.len() > limits::ROLE_CONDITIONS {
            return Err(Error::invalid(format!("field '{field}': at most {}", limits::ROLE_CONDITIONS)));
        }
        // A star beside names is a mistake that admits everybody.
        if list.len() > 1 && list.iter().any(|item| item == "*") {
            return Err(Error::invalid(format!("can not mix \"*\" with values in \"{field}\"")));
        }
    }
    txn.put(&key, &role)?;
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<Kubernetes>, p: ByName) -> Result<Reply> {
    let mut txn = cx.txn();
    txn.delete(&key(&p.name));
    Ok(Reply::empty(txn))
}

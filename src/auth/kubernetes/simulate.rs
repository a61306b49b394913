//! `simulate`: what a login of this service account would give, and what stands against it. The cluster is not asked, and nothing is made.

use std::net::IpAddr;

use super::Kubernetes;
use super::claims::Account;
use super::login::made;
use super::role::{self, Role};
use crate::base::{Error, Json, Name, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Kubernetes>) -> Routes<Kubernetes> {
    routes.at("simulate", "Say what a login would give, and what stands against it.", |at| at.update(simulate))
}

params! {
    /// A login that is none.
    pub struct Question {
        /// The role.
        role: Option<String>,
        /// The account's namespace.
        service_account_namespace: String,
        /// The account's name.
        service_account_name: String,
        /// The account's id; without it, one that nobody has, and so an entity that is new.
        service_account_uid: Option<String>,
        /// The address that the login comes from; without it, one that is allowed.
        remote_address: Option<IpAddr>,
    }
}

async fn simulate(cx: Cx<Kubernetes>, p: Question) -> Result<Reply> {
    let name = p.role.filter(|name| !name.is_empty()).ok_or_else(|| Error::invalid("missing role"))?;
    let name = Name::folded(&name).map_err(|e| Error::invalid(format!("field 'role': {e}")))?;
    let role: Option<Role> = cx.get(&role::key(&name))?;
    let role = role.ok_or_else(|| Error::invalid("there is no role of this name"))?;
    let uid = p.service_account_uid.filter(|uid| !uid.is_empty()).unwrap_or_else(|| "unknown".to_owned());
    let account =
        Account { uid, name: p.service_account_name, namespace: p.service_account_namespace, secret: String::new() };
    let mut against: Vec<String> = role.rules.against(p.remote_address).into_iter().collect();
    if !account.is_whole() {
        against.push("the account has no name, no namespace, or one that is too long".into());
    } else if !role.is_for(&account.namespace, &account.name) {
        against.push("the role is not for this service account".into());
    }
    let judged = if against.is_empty() { Ok(made(&name, &role, account)) } else { Err(against) };
    Ok(Reply::simulated([("role".to_owned(), Json::from(name.as_str()))], judged))
}

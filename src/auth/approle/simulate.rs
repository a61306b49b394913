//! `simulate`: what a login with this role would give, and what stands against it. Nothing is made, and no use is taken.
//!
//! Secret ids are named by their accessor: an endpoint that took one would be another place to try them at.

use std::net::IpAddr;

use super::AppRole;
use super::login::token;
use super::lookup::{ByAccessor, by_accessor};
use super::role;
use crate::base::{Error, Json, Name, Result};
use crate::engine::{Cx, Reply, Routes, within};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<AppRole>) -> Routes<AppRole> {
    routes.at("simulate", "Say what a login would give, and what stands against it.", |at| at.update(simulate))
}

params! {
    /// A login that is none.
    pub struct Question {
        /// The role's name.
        role_name: Option<String>,
        /// The accessor of the secret id; without it, one that is in order and says nothing of its own.
        secret_id_accessor: Option<String>,
        /// The address that the login comes from; without it, one that is allowed.
        remote_address: Option<IpAddr>,
    }
}

async fn simulate(cx: Cx<AppRole>, p: Question) -> Result<Reply> {
    let name = p.role_name.filter(|name| !name.is_empty()).ok_or_else(|| Error::invalid("missing role_name"))?;
    let name = Name::folded(&name).map_err(|e| Error::invalid(format!("field 'role_name': {e}")))?;
    let role = role::named(&cx, &name).map_err(|error| match error {
        Error::NotFound(_) => Error::NotFound(vec!["there is no role of this name".into()]),
        other => other,
    })?;
    let mut against = Vec::new();
    let mut secret = None;
    if let Some(accessor) = p.secret_id_accessor.filter(|text| !text.is_empty() && role.bind_secret_id) {
        let of = ByAccessor { role_name: name.clone(), secret_id_accessor: Some(accessor) };
        secret = by_accessor(&cx, &of)?.map(|(_, _, secret)| secret);
        if secret.is_none() {
            against.push("the role has no secret id of this accessor, or its time is over".to_owned());
        }
    }
    let listed = secret.as_ref().map(|s| s.cidr_list.as_slice()).unwrap_or_default();
    let within = |networks| p.remote_address.is_none() || within(networks, p.remote_address);
    if !within(listed) {
        against.push("the address is in none of the secret id's 'cidr_list'".into());
    }
    if !within(&role.secret_id_bound_cidrs) {
        against.push("the address is in none of 'secret_id_bound_cidrs'".into());
    }
    let judged = if against.is_empty() { Ok(token(&name, &role, secret.as_ref())) } else { Err(against) };
    Ok(Reply::simulated([("role_name".to_owned(), Json::from(name.as_str()))], judged))
}

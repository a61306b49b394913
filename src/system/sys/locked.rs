//! `sys/locked-users`: who is locked out after failed logins.

use super::Sys;
use crate::base::{Error, Json, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes.at("locked-users", "Who is locked out.", |at| at.read(list)).at(
        "locked-users/{mount_accessor}/unlock/{alias_identifier..}",
        "Let a user try again.",
        |at| at.update(unlock),
    )
}

params! {
    /// An auth method, or all.
    pub struct Of {
        /// The method's accessor.
        mount_accessor: Option<String>,
    }
    /// A user of an auth method.
    pub struct User {
        /// The method's accessor.
        mount_accessor: String,
        /// The user's name there.
        alias_identifier: String,
    }
}

async fn list(cx: Cx<Sys>, p: Of) -> Result<Reply> {
    let handles = &cx.engine().handles;
    let wanted = p.mount_accessor.unwrap_or_default();
    let (mut methods, mut total) = (Vec::new(), 0);
    for entry in handles.mounts.table().iter().filter(|e| e.mount.is_auth()) {
        let mount = &entry.mount;
        if !wanted.is_empty() && mount.accessor != wanted {
            continue;
        }
        let rule = handles.facts.lockout(&mount.kind, mount.config.user_lockout.as_ref());
        let names = handles.lockouts.names(&mount.accessor, &rule, cx.now())?;
        if names.is_empty() {
            continue;
        }
        total += names.len();
        methods.push(Json::object([
            ("mount_accessor", Json::from(mount.accessor.as_str())),
            ("counts", names.len().into()),
            ("alias_identifiers", names.into()),
        ]));
    }
    let root = Json::object([
        ("namespace_id", Json::from("root")),
        ("namespace_path", "".into()),
        ("counts", total.into()),
        ("mount_accessors", methods.into()),
    ]);
    let spaces = if total == 0 { Vec::new() } else { vec![root] };
    Ok(Reply::data([("by_namespace".to_owned(), Json::Array(spaces)), ("total".to_owned(), total.into())]))
}

async fn unlock(cx: Cx<Sys>, p: User) -> Result<Reply> {
    let handles = &cx.engine().handles;
    if handles.mounts.table().accessor(&p.mount_accessor).is_none_or(|e| !e.mount.is_auth()) {
        return Err(Error::invalid("no auth method of this accessor"));
    }
    // In the form that logins count: userpass and ldap fold their names, and role ids have no capitals.
    let folded = p.alias_identifier.to_lowercase();
    for name in [&p.alias_identifier, &folded] {
        if let Some(txn) = handles.lockouts.forget(&p.mount_accessor, name)? {
            return Ok(Reply::empty(txn));
        }
    }
    Ok(Reply::nothing())
}

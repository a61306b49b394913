//! `sys/quotas`: how often clients may ask.

use super::Sys;
use crate::base::json::Map;
use crate::base::{Error, Json, Name, Result, Ttl, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::quota::{Rule, Scope};

/// More than any node answers.
const RATE_MAX: f64 = 1e12;

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("quotas/config", "What is said about all rate limits.", |at| at.read(read_config).update(write_config))
        .at("quotas/rate-limit/", "List the rate limits.", |at| at.list(list))
        .at("quotas/rate-limit/{name!}", "Read, write and delete a rate limit.", |at| {
            at.read(read).update(write).delete(delete)
        })
}

params! {
    /// A rate limit by its name.
    pub struct ByName {
        /// Its name.
        name: Name,
    }
    /// A rate limit.
    pub struct Write {
        /// Its name.
        name: Name,
        /// The mount, or a path in it, which may end in `*`; empty for everything.
        path: Option<String>,
        /// Only logins of this role; the path is an auth method's then.
        role: Option<String>,
        /// Requests of one client in an interval.
        rate: Option<f64>,
        /// How long an interval is; a second if nothing is said.
        interval: Option<Ttl>,
        /// How long a client who asked too often is refused; 0 until the interval ends.
        block_interval: Option<Ttl>,
        /// Accepted and shown: there are no namespaces to inherit it.
        inheritable: Option<bool>,
        /// Accepted: `rate-limit`.
        kind: Option<String> = "type",
    }
    /// What is said about all rate limits.
    pub struct Config {
        /// Paths without a limit; one that ends in `*` or `/` stands for all below it.
        rate_limit_exempt_paths: Option<Vec<String>>,
        /// Whether refusals are audited.
        enable_rate_limit_audit_logging: Option<bool>,
        /// Whether clients are told how they stand.
        enable_rate_limit_response_headers: Option<bool>,
    }
}

async fn list(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(Reply::list(cx.engine().handles.quotas.names()?))
}

/// The path that a rule covers now; its mount may have moved, or be gone.
fn path_of(cx: &Cx<Sys>, rule: &Rule) -> Option<String> {
    match &rule.scope {
        Scope::Everything => Some(String::new()),
        Scope::Mount { uuid, below } => {
            let table = cx.engine().handles.mounts.table();
            let entry = table.iter().find(|e| e.mount.uuid == *uuid)?;
            Some(format!("{}{below}", entry.mount.path))
        }
    }
}

async fn read(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    let rule = cx.engine().handles.quotas.rule(&p.name)?.ok_or_else(Error::not_found)?;
    let path = path_of(&cx, &rule).ok_or_else(Error::not_found)?;
    // 2 and not 2.0: a whole rate is shown as it was written.
    let rate = if rule.rate.fract() == 0.0 { format!("{:.0}", rule.rate) } else { rule.rate.to_string() };
    Ok(Reply::data(
        [
            ("name", Json::from(rule.name.as_str())),
            ("type", "rate-limit".into()),
            ("path", path.into()),
            ("role", rule.role.unwrap_or_default().into()),
            ("rate", Json::Number(rate.into())),
            ("interval", rule.interval.seconds().into()),
            ("block_interval", rule.block_interval.seconds().into()),
            ("inheritable", rule.inheritable.into()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    ))
}

/// The mount that a path begins with, and what is behind it.
fn scope(cx: &Cx<Sys>, path: &str) -> Result<Scope> {
    let path = path.trim_start_matches('/');
    if path.is_empty() {
        return Ok(Scope::Everything);
    }
    if path.len() > limits::PATH_BYTES || path.chars().any(char::is_control) {
        return Err(Error::invalid("field 'path': too long, or a control character"));
    }
    let table = cx.engine().handles.mounts.table();
    let entry = table.find(path).ok_or_else(|| Error::invalid("invalid mount path"))?;
    let below = path.get(entry.mount.path.as_str().len()..).unwrap_or_default();
    // A star alone is the mount itself.
    let below = if below == "*" { "" } else { below };
    Ok(Scope::Mount { uuid: entry.mount.uuid.clone(), below: below.to_owned() })
}

async fn write(cx: Cx<Sys>, p: Write) -> Result<Reply> {
    if p.rate.is_some_and(|rate| rate <= 0.0 || rate > RATE_MAX) {
        return Err(Error::invalid("'rate' must be greater than 0"));
    }
    let quotas = &cx.engine().handles.quotas;
    let scope = p.path.as_deref().map(|path| scope(&cx, path)).transpose()?;
    let role = p.role.map(|role| Some(role).filter(|r| !r.is_empty()));
    if role.as_ref().is_some_and(|r| r.as_ref().is_some_and(|r| r.len() > limits::NAME_BYTES)) {
        return Err(Error::invalid("field 'role': too long"));
    }
    let room = quotas.names()?.len() < limits::QUOTAS;
    let table = cx.engine().handles.mounts.table();
    let txn = quotas.write(&p.name, |present| {
        if present.is_none() && !room {
            return Err(Error::invalid(format!("at most {} rate limits", limits::QUOTAS)));
        }
        let mut rule = present.unwrap_or(Rule {
            name: p.name.clone(),
            scope: Scope::Everything,
            role: None,
            inheritable: false,
            rate: 0.0,
            interval: Ttl::from_seconds(1),
            block_interval: Ttl::ZERO,
        });
        rule.rate = p.rate.unwrap_or(rule.rate);
        if rule.rate <= 0.0 {
            return Err(Error::invalid("'rate' must be greater than 0"));
        }
        rule.scope = scope.unwrap_or(rule.scope);
        rule.role = role.unwrap_or(rule.role);
        rule.interval = p.interval.unwrap_or(rule.interval);
        rule.block_interval = p.block_interval.unwrap_or(rule.block_interval);
        rule.inheritable = p.inheritable.unwrap_or(rule.inheritable);
        if rule.interval.is_zero() {
            return Err(Error::invalid("'interval' must be at least a second"));
        }
        let of_auth = table.iter().any(|e| e.mount.is_auth() && rule.scope.is_of(&e.mount.uuid));
        if rule.role.is_some() && !of_auth {
            return Err(Error::invalid("'role' needs the path of an auth method"));
        }
        Ok(rule)
    })?;
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    Ok(Reply::empty(cx.engine().handles.quotas.remove(&p.name)))
}

async fn read_config(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let in_force = cx.engine().handles.quotas.in_force();
    let config = &in_force.config;
    let data: Map = [
        ("enable_rate_limit_audit_logging", Json::Bool(config.audit_refusals)),
        ("enable_rate_limit_response_headers", config.tell.into()),
        ("rate_limit_exempt_paths", config.all_exempt().into()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into();
    Ok(Reply::data(data))
}

async fn write_config(cx: Cx<Sys>, p: Config) -> Result<Reply> {
    if p.rate_limit_exempt_paths.as_ref().is_some_and(|paths| {
        paths.len() > limits::QUOTAS || paths.iter().any(|p| p.is_empty() || p == "*" || p.len() > limits::PATH_BYTES)
    }) {
        return Err(Error::invalid("field 'rate_limit_exempt_paths': too many, too long, empty, or everything"));
    }
    let txn = cx.engine().handles.quotas.configure(|config| {
        config.exempt_paths = p.rate_limit_exempt_paths.unwrap_or(std::mem::take(&mut config.exempt_paths));
        config.audit_refusals = p.enable_rate_limit_audit_logging.unwrap_or(config.audit_refusals);
        config.tell = p.enable_rate_limit_response_headers.unwrap_or(config.tell);
    })?;
    Ok(Reply::empty(txn))
}

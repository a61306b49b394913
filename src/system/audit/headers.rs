//! `sys/config/auditing/request-headers`: the headers that audit entries show.

use super::super::Sys;
use crate::audit::{HeaderRule, HeaderRules};
use crate::barrier::View;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Where the list lies in the store.
pub fn key() -> Key {
    Key::new("core/audit-headers")
}

/// The list, as stored.
///
/// # Errors
/// When it cannot be read.
pub fn rules(view: &View) -> Result<HeaderRules> {
    Ok(view.get(&key())?.unwrap_or_default())
}

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("config/auditing/request-headers", "List the request headers that audit shows.", |at| {
            at.read(list).sudo().flat()
        })
        .at("config/auditing/request-headers/{header!}", "Manage one header that audit shows.", |at| {
            at.read(read).update(write).delete(delete).sudo().flat()
        })
}

params! {
    /// A header.
    pub struct ByName {
        /// Its name; case does not count.
        header: String,
    }
    /// A header and how it is shown.
    pub struct Write {
        /// Its name; case does not count.
        header: String,
        /// Whether its values are hashed.
        hmac: Option<bool>,
    }
}

fn show(rule: HeaderRule) -> Json {
    Json::object([("hmac", Json::from(rule.hmac))])
}

async fn list(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let rules = rules(&cx.engine().handles.view)?;
    let headers: Map = rules.iter().map(|(name, rule)| (name.to_owned(), show(rule))).collect();
    Ok(Reply::data([("headers".to_owned(), headers.into())]))
}

async fn read(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    let rules = rules(&cx.engine().handles.view)?;
    let rule = rules.rule(&p.header).ok_or_else(|| Error::invalid("Could not find header in config"))?;
    Ok(Reply::data([(p.header.to_ascii_lowercase(), show(rule))]))
}

async fn write(cx: Cx<Sys>, p: Write) -> Result<Reply> {
    let mut txn = cx.engine().handles.view.txn();
    let mut rules: HeaderRules = txn.get(&key())?.unwrap_or_default();
    rules.set(&p.header, p.hmac.unwrap_or(false))?;
    txn.put(&key(), &rules)?;
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    let mut txn = cx.engine().handles.view.txn();
    let mut rules: HeaderRules = txn.get(&key())?.unwrap_or_default();
    rules.remove(&p.header);
    txn.put(&key(), &rules)?;
    Ok(Reply::empty(txn))
}

//! What operators look at: the node, its history, its configuration, its counts, what can be mounted.

use super::Sys;
use crate::barrier::{Cursor, View};
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::mount::catalog::{self, Class};
use crate::params;
use crate::system::versions;

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("ha-status", "The nodes.", |at| at.read(ha_status).flat())
        .at("host-info", "The machine.", |at| at.read(host_info).sudo())
        .at("metrics", "Counts and times.", |at| at.read(metrics))
        .at("in-flight-req", "Requests at work in this node.", |at| at.read(in_flight).sudo())
        .at("version-history/", "Which versions have run on this store.", |at| at.list(version_history))
        .at("config/state/sanitized", "The configuration without its secrets.", |at| at.read(sanitized).sudo())
        .at("replication/status", "There is no replication of Vault's kind.", |at| at.read(replication))
        .at("internal/counters/tokens", "How many service tokens there are.", |at| at.read(count_tokens).sudo())
        .at("internal/counters/entities", "How many entities there are.", |at| at.read(count_entities).sudo())
        .at("internal/ui/namespaces", "There are no namespaces.", |at| at.read(namespaces))
        .at("plugins/catalog", "What can be mounted.", |at| at.read(catalog))
        .at("plugins/catalog/{type}/", "What can be mounted, of one type.", |at| at.list(catalog_of))
        .at("plugins/catalog/{type}/{name}", "One thing that can be mounted.", |at| at.read(catalog_entry))
}

params! {
    /// A type of plugin.
    pub struct ByType {
        /// `auth`, `secret` or `database`.
        kind: String = "type",
    }
    /// How metrics are shown.
    pub struct Metrics {
        /// `prometheus`, or nothing for JSON.
        format: Option<String>,
    }
    /// A plugin.
    pub struct ByName {
        /// `auth`, `secret` or `database`.
        kind: String = "type",
        /// Its name.
        name: String,
    }
}

async fn ha_status(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let config = &cx.engine().handles.facts.config;
    let told = |name: &str| config.get(name).cloned().unwrap_or_else(|| Json::from(""));
    let node = Json::object([
        ("hostname", Json::from(crate::base::process::hostname())),
        ("api_address", told("api_addr")),
        ("cluster_address", told("cluster_addr")),
        ("active_node", true.into()),
        ("last_echo", Json::Null),
        ("version", crate::API_VERSION.into()),
    ]);
    Ok(Reply::data([("nodes".to_owned(), Json::Array(vec![node]))]))
}

async fn host_info(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let mut data = crate::telemetry::host::describe();
    data.insert("timestamp".into(), cx.now().to_string().into());
    Ok(Reply::data(data))
}

async fn metrics(cx: Cx<Sys>, p: Metrics) -> Result<Reply> {
    match cx.engine().handles.control.metrics(p.format.as_deref().unwrap_or_default()) {
        Ok((media_type, bytes)) => Ok(Reply::raw(200, media_type, bytes)),
        // As Vault: a plain text.
        Err(Error::Invalid(text)) => Ok(Reply::raw(400, "text/plain; charset=utf-8", text.into_bytes())),
        Err(error) => Err(error),
    }
}

async fn in_flight(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let mut bytes = Vec::new();
    crate::base::json::write_object(&cx.engine().handles.control.in_flight(), &mut bytes);
    Ok(Reply::raw(200, "application/json", bytes))
}

async fn version_history(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let history = versions::history(&cx.engine().handles.view)?;
    let keys: Vec<&str> = history.iter().map(|v| v.version.as_str()).collect();
    let info: Map = history
        .iter()
        .map(|v| {
            let facts = Json::object([
                ("timestamp_installed", Json::from(v.installed.to_string())),
                ("build_date", crate::BUILD_DATE.into()),
                ("previous_version", v.previous.as_deref().map_or(Json::Null, Json::from)),
            ]);
            (v.version.clone(), facts)
        })
        .collect();
    Ok(Reply::data([("keys".to_owned(), Json::from(keys)), ("key_info".to_owned(), info.into())]))
}

async fn sanitized(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(Reply::data(cx.engine().handles.facts.config.clone()))
}

async fn replication(_: Cx<Sys>, _: ()) -> Result<Reply> {
    let off = || Json::object([("mode", Json::from("disabled"))]);
    Ok(Reply::data([("dr".to_owned(), off()), ("performance".to_owned(), off())]))
}

/// Counts rows page by page, so that no snapshot is held for long.
async fn count(view: &View, folder: &Key) -> Result<u64> {
    let (mut total, mut cursor) = (0u64, Some(Cursor::default()));
    while let Some(from) = cursor.take() {
        let (rows, next) = view.count_step(folder, &from)?;
        total += rows as u64;
        cursor = next;
        tokio::task::yield_now().await;
    }
    Ok(total)
}

fn counters(name: &str, total: u64) -> Reply {
    let counts = Json::object([(name, Json::object([("total", Json::from(total))]))]);
    Reply::data([("counters".to_owned(), counts)])
}

async fn count_tokens(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let total = count(cx.engine().handles.tokens.view(), &crate::token::ids()).await?;
    Ok(counters("service_tokens", total))
}

async fn count_entities(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let total = count(cx.engine().handles.identities.view(), &Key::new("entity/id")).await?;
    Ok(counters("entities", total))
}

async fn namespaces(_: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(Reply::data([("keys".to_owned(), Json::Array(Vec::new()))]))
}

/// The classes of the catalog under Vault's words. No database plugin is a plugin here, so there are none to name.
const TYPES: [(&str, Option<Class>); 3] =
    [("auth", Some(Class::Auth)), ("database", None), ("secret", Some(Class::Secret))];

fn words(class: Option<Class>) -> Vec<&'static str> {
    let mut words: Vec<&str> = class.into_iter().flat_map(catalog::kinds).map(|k| k.word).collect();
    words.sort_unstable();
    words
}

fn shown(kind: &str, name: &str) -> Map {
    [
        ("name", Json::from(name)),
        ("type", kind.into()),
        ("builtin", true.into()),
        ("deprecation_status", "supported".into()),
        ("version", concat!("v", env!("CARGO_PKG_VERSION"), "+builtin.warifu").into()),
        ("command", "".into()),
        ("args", Json::Null),
        ("sha256", "".into()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into()
}

async fn catalog(_: Cx<Sys>, _: ()) -> Result<Reply> {
    let mut data = Map::new();
    let mut detailed = Vec::new();
    for (kind, class) in TYPES {
        detailed.extend(words(class).iter().map(|word| Json::Object(shown(kind, word))));
        data.insert(kind.into(), words(class).into());
    }
    data.insert("detailed".into(), Json::Array(detailed));
    Ok(Reply::data(data))
}

fn class_of(kind: &str) -> Result<Option<Class>> {
    let found = TYPES.iter().find(|(known, _)| *known == kind);
    found.map(|(_, class)| *class).ok_or_else(|| Error::invalid("the type of a plugin is auth, database or secret"))
}

async fn catalog_of(_: Cx<Sys>, p: ByType) -> Result<Reply> {
    Ok(Reply::list(words(class_of(&p.kind)?)))
}

async fn catalog_entry(_: Cx<Sys>, p: ByName) -> Result<Reply> {
    let known = words(class_of(&p.kind)?).contains(&p.name.as_str());
    if known { Ok(Reply::data(shown(&p.kind, &p.name))) } else { Err(Error::not_found()) }
}

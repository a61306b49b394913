//! `sys/internal/ui/*`: what clients ask before they read.

use super::Sys;
use crate::base::json::Map;
use crate::base::{Error, Json, Result};
use crate::engine::{Cx, Mount, Reply, Routes};
use crate::params;
use crate::system::mounts;
use crate::token::Token;

/// Adds the endpoints. Without a token they show what is tuned to be seen by all.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("internal/ui/mounts", "The mounts that the caller may see.", |at| at.read(list).public())
        .at("internal/ui/mounts/{path..}", "The mount that a path belongs to.", |at| at.read(of_path).public())
        .at("internal/specs/openapi", "The API's description, made from its routes.", |at| {
            at.read(openapi).update(openapi)
        })
        .at("internal/ui/resultant-acl", "What the caller may do, all together.", |at| at.read(resultant))
}

params! {
    /// How the API is described.
    pub struct Spec {
        /// Accepted: each mount is described under its own path.
        generic_mount_paths: Option<bool>,
        /// Accepted.
        context: Option<String>,
    }
    /// A path.
    pub struct ByPath {
        /// The path.
        path: String,
    }
}

fn caller(cx: &Cx<Sys>) -> Result<Option<Token>> {
    match &cx.caller.text {
        Some(text) => {
            let token = cx.engine().handles.work()?.token_of(text)?;
            if token.admits(cx.client_addr) { Ok(Some(token)) } else { Err(Error::BadToken) }
        }
        None => Ok(None),
    }
}

async fn list(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let token = caller(&cx).unwrap_or(None);
    let work = cx.engine().handles.work()?;
    let (mut secret, mut auth) = (Map::new(), Map::new());
    for entry in cx.engine().handles.mounts.table().iter() {
        let mount = &entry.mount;
        let path = mount.path.as_str();
        let seen = match &token {
            Some(token) => work.sees(token, path)?,
            None => false,
        };
        if !(seen || mount.config.listing_visibility == "unauth") {
            continue;
        }
        let shown = if token.is_some() { mounts::show(mount) } else { brief(mount) };
        match path.strip_prefix("auth/") {
            Some(path) => auth.insert(path.to_owned(), shown),
            None => secret.insert(path.to_owned(), shown),
        };
    }
    Ok(Reply::data([("secret".to_owned(), Json::Object(secret)), ("auth".to_owned(), Json::Object(auth))]))
}

/// What those see who have no token.
fn brief(mount: &Mount) -> Json {
    let options: Map = mount.options.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    Json::object([
        ("type", Json::from(mount.kind.as_str())),
        ("description", mount.description.as_str().into()),
        ("options", if options.is_empty() { Json::Null } else { options.into() }),
    ])
}

async fn of_path(cx: Cx<Sys>, p: ByPath) -> Result<Reply> {
    let token = caller(&cx)?.ok_or(Error::BadToken)?;
    let table = cx.engine().handles.mounts.table();
    let entry = table.find(&p.path).cloned();
    // The same words whether it is not there or not to be seen.
    let refusal = || {
        Error::Forbidden(format!(
            "preflight capability check returned 403, please ensure client's policies grant access to path \"{}/\"",
            p.path.trim_end_matches('/')
        ))
    };
    let entry = entry.ok_or_else(refusal)?;
    let path = entry.mount.path.as_str();
    if !cx.engine().handles.work()?.sees(&token, path)? {
        return Err(refusal());
    }
    let Json::Object(mut data) = mounts::show(&entry.mount) else { return Err(refusal()) };
    data.insert("path".into(), path.into());
    Ok(Reply::data(data))
}

async fn openapi(cx: Cx<Sys>, _: Spec) -> Result<Reply> {
    let token = caller(&cx)?.ok_or(Error::BadToken)?;
    let work = cx.engine().handles.work()?;
    let mut paths = Map::new();
    for entry in cx.engine().handles.mounts.table().iter() {
        if work.sees(&token, entry.mount.path.as_str())? {
            crate::system::openapi::add(&mut paths, &entry.mount, entry.engine.table());
        }
    }
    let mut bytes = Vec::new();
    crate::base::json::write_object(&crate::system::openapi::document(paths), &mut bytes);
    Ok(Reply::raw(200, "application/json", bytes))
}

async fn resultant(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let token = caller(&cx)?.ok_or(Error::BadToken)?;
    Ok(Reply::data(cx.engine().handles.work()?.outline(&token)?))
}

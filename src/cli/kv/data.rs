//! Secrets themselves: get, put, patch, roll back, delete, undelete, destroy, list.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::{
    super::{
        context::Cx,
        failure::{Doing, Failure, Outcome},
        logical, output, pairs,
    },
    Place, Versions, Which, show_map, show_path, show_version,
};
use crate::client::{self, Reply, Request};

/// Read a secret.
#[derive(Args, Debug)]
pub(super) struct Get {
    /// The version; the latest if absent.
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    #[command(flatten)]
    which: Which,
}

/// Write a secret, or its next version.
#[derive(Args, Debug)]
pub(super) struct Put {
    /// Write only if this is the current version; 0 means that there must be none.
    #[arg(long, value_name = "N")]
    cas: Option<u64>,
    #[command(flatten)]
    which: Which,
    /// The data: k=v, k=@file, k=-, @file or -.
    data: Vec<String>,
}

/// Change some keys of a secret and leave the others.
#[derive(Args, Debug)]
pub(super) struct Patch {
    /// Change only if this is the current version.
    #[arg(long, value_name = "N")]
    cas: Option<u64>,
    /// Merge on the server (patch) or read and write (rw); patch, then rw, if absent.
    #[arg(long, value_name = "patch|rw")]
    method: Option<Method>,
    /// Keys to remove.
    #[arg(long, value_name = "KEY")]
    remove_data: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// The data: k=v, k=@file, k=-, @file or -.
    data: Vec<String>,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Patch,
    Rw,
}

/// Write an earlier version again, as the newest.
#[derive(Args, Debug)]
pub(super) struct Rollback {
    /// The version to write again.
    #[arg(long, value_name = "N")]
    version: u64,
    #[command(flatten)]
    which: Which,
}

/// Delete the latest version, or some versions; version 2 can undelete them.
#[derive(Args, Debug)]
pub(super) struct Delete {
    #[command(flatten)]
    versions: Versions,
    #[command(flatten)]
    which: Which,
}

/// Bring deleted versions back.
#[derive(Args, Debug)]
pub(super) struct Undelete {
    #[command(flatten)]
    versions: Versions,
    #[command(flatten)]
    which: Which,
}

/// Remove versions for good.
#[derive(Args, Debug)]
pub(super) struct Destroy {
    #[command(flatten)]
    versions: Versions,
    #[command(flatten)]
    which: Which,
}

/// List the names below a path.
#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    which: Which,
}

impl Get {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let place = Place::locate(cx, &self.which).await?;
        if self.version.is_some() {
            place.needs_v2("Versioned reads are")?;
        }
        let path = place.at("data");
        let mut request = Request::read(&path);
        if let Some(version) = self.version {
            request = request.query("version", &version.to_string());
        }
        let reply = cx.ask(request).await.doing(format!("Error reading {path}"))?;
        let Some(reply) = reply else { return Err(logical::absent(&path)) };
        if reply.wrap_info.is_some() {
            return cx.reply(&reply);
        }
        let data = if place.v2 { reply.field("data").cloned() } else { Some(reply.data.clone()) };
        if let Some(field) = cx.globals.field.clone() {
            let Some(Value::Object(map)) = data else {
                return Err(Failure::Remote(format!("No data found at {path}")));
            };
            let value = map.get(&field).cloned().or_else(|| (field == "data").then_some(Value::Object(map)));
            return cx.field(&field, value);
        }
        if !cx.is_table() {
            return cx.reply(&reply);
        }
        cx.warnings(&reply)?;
        if place.v2 {
            show_path(cx, "Secret Path", &path)?;
            if let Some(metadata) = reply.field("metadata").and_then(Value::as_object) {
                show_map(cx, "Metadata", metadata)?;
                cx.say("")?;
            }
        }
        if let Some(Value::Object(map)) = data {
            show_map(cx, "Data", &map)?;
        }
        Ok(())
    }
}

impl Put {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        if self.data.is_empty() {
            return Err(Failure::local("Must supply data"));
        }
        let data = pairs::object(&self.data, cx.world.stdin)?;
        let place = Place::locate(cx, &self.which).await?;
        let path = place.at("data");
        if !place.v2 {
            if self.cas.is_some() {
                place.needs_v2("Check-and-set is")?;
            }
            return logical::write(cx, &path, &data).await;
        }
        let reply = write_version(cx, &path, &data, self.cas).await.doing(format!("Error writing data to {path}"))?;
        show_version(cx, &path, &reply)
    }
}

impl Patch {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        if self.data.is_empty() && self.remove_data.is_empty() {
            return Err(Failure::local("Must supply data"));
        }
        let mut data = pairs::object(&self.data, cx.world.stdin)?;
        for key in super::items(&self.remove_data) {
            data.insert(key, Value::Null);
        }
        let place = Place::locate(cx, &self.which).await?;
        place.needs_v2("Patching is")?;
        let path = place.at("data");
        let reply = match self.method {
            Some(Method::Rw) => read_then_write(cx, &path, data, self.cas).await?,
            method => match merge(cx, &path, &data, self.cas).await {
                // A server without PATCH, or a policy without it, may still allow the two steps.
                Err(Failure::Client(_, client::Error::Api { status: 403 | 405, .. })) if method.is_none() => {
                    cx.warn("WARNING! The patch was not allowed; reading and writing instead.")?;
                    read_then_write(cx, &path, data, self.cas).await?
                }
                outcome => outcome.doing(format!("Error writing data to {path}"))?,
            },
        };
        show_version(cx, &path, &reply)
    }
}

impl Rollback {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let place = Place::locate(cx, &self.which).await?;
        place.needs_v2("Rolling back is")?;
        let path = place.at("data");
        let current = cx.aside(Request::read(&path)).await.doing(format!("Error reading {path}"))?;
        let cas = version_of(&current).ok_or_else(|| {
            Failure::Remote(format!("No version found at {path}; rollback only works on existing data"))
        })?;
        let wanted = Request::read(&path).query("version", &self.version.to_string());
        let wanted = cx.aside(wanted).await.doing(format!("Error reading {path}"))?;
        let Some(Value::Object(data)) = wanted.field("data") else {
            return Err(Failure::Remote(format!("Version {} of {path} holds no data", self.version)));
        };
        let reply = write_version(cx, &path, data, Some(cas)).await.doing(format!("Error writing data to {path}"))?;
        show_version(cx, &path, &reply)
    }
}

impl Delete {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let versions = self.versions.numbers()?;
        let place = Place::locate(cx, &self.which).await?;
        if versions.is_empty() {
            let path = place.at("data");
            let reply = cx.send(Request::delete(&path)).await.doing(format!("Error deleting {path}"))?;
            return logical::deleted(cx, &path, &reply);
        }
        place.needs_v2("Versioned deletes are")?;
        let path = place.at("delete");
        let request = Request::write(&path).json(&json!({"versions": versions}))?;
        let reply = cx.send(request).await.doing(format!("Error deleting {}", place.at("data")))?;
        logical::deleted(cx, &place.at("data"), &reply)
    }
}

impl Undelete {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        on_versions(cx, &self.which, "undelete", self.versions.needed()?).await
    }
}

impl Destroy {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        on_versions(cx, &self.which, "destroy", self.versions.needed()?).await
    }
}

impl List {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let place = Place::locate(cx, &self.which).await?;
        let path = format!("{}/", place.at("metadata"));
        let reply = cx.ask(Request::list(&path)).await.doing(format!("Error listing {path}"))?;
        logical::show_names(cx, reply.as_ref(), &path)
    }
}

async fn on_versions(cx: &mut Cx<'_, '_>, which: &Which, branch: &str, versions: Vec<u64>) -> Outcome {
    let place = Place::locate(cx, which).await?;
    place.needs_v2(if branch == "destroy" { "Destroy is" } else { "Undelete is" })?;
    let path = place.at(branch);
    let request = Request::write(&path).json(&json!({"versions": versions}))?;
    let reply = cx.send(request).await.doing(format!("Error writing data to {path}"))?;
    logical::written(cx, &path, &reply)
}

async fn write_version(cx: &mut Cx<'_, '_>, path: &str, data: &Map<String, Value>, cas: Option<u64>) -> Outcome<Reply> {
    let request = Request::write(path).json(&json!({"data": data, "options": options(cas)}))?;
    cx.send(request).await
}

async fn merge(cx: &mut Cx<'_, '_>, path: &str, data: &Map<String, Value>, cas: Option<u64>) -> Outcome<Reply> {
    let request = Request::patch(path).json(&json!({"data": data, "options": options(cas)}))?;
    cx.send(request).await
}

/// Reads the latest version and writes it changed, only if nobody wrote between.
async fn read_then_write(
    cx: &mut Cx<'_, '_>,
    path: &str,
    changes: Map<String, Value>,
    cas: Option<u64>,
) -> Outcome<Reply> {
    let nothing = || Failure::Remote(format!("No value found at {path}"));
    let reply = match cx.aside(Request::read(path)).await {
        Err(Failure::Client(_, client::Error::Api { status: 404, .. })) => return Err(nothing()),
        outcome => outcome.doing(format!("Error reading {path}"))?,
    };
    let version = version_of(&reply).ok_or_else(nothing)?;
    let Some(Value::Object(data)) = reply.field("data") else { return Err(nothing()) };
    let mut data = data.clone();
    for (key, value) in changes {
        if value.is_null() {
            data.remove(&key);
        } else {
            data.insert(key, value);
        }
    }
    write_version(cx, path, &data, Some(cas.unwrap_or(version))).await.doing(format!("Error writing data to {path}"))
}

fn options(cas: Option<u64>) -> Value {
    cas.map_or_else(|| json!({}), |cas| json!({"cas": cas}))
}

fn version_of(reply: &Reply) -> Option<u64> {
    output::field(reply, "metadata")?.get("version")?.as_u64()
}

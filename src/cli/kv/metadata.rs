//! What version 2 knows about a secret: its versions, limits, custom metadata.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    super::{
        context::{Cx, items},
        failure::{Doing, Failure, Outcome},
        logical, pairs,
    },
    Place, Which, show_map, show_path,
};
use crate::client::Request;

/// Work with a secret's metadata.
#[derive(Args, Debug)]
pub(super) struct Metadata {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Get(Get),
    Put(Put),
    Patch(Patch),
    Delete(Delete),
}

/// Show versions and settings.
#[derive(Args, Debug)]
struct Get {
    #[command(flatten)]
    which: Which,
}

/// Settings of one secret.
#[derive(Args, Debug)]
struct Settings {
    /// How many versions are kept.
    #[arg(long, value_name = "N")]
    max_versions: Option<u64>,
    /// Whether each write must name the current version.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    cas_required: Option<bool>,
    /// How long a version is kept.
    #[arg(long, value_name = "DURATION")]
    delete_version_after: Option<String>,
    /// Custom metadata, as k=v; may be repeated.
    #[arg(long, value_name = "K=V")]
    custom_metadata: Vec<String>,
}

/// Replace settings and custom metadata.
#[derive(Args, Debug)]
struct Put {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    which: Which,
}

/// Change some settings and leave the others.
#[derive(Args, Debug)]
struct Patch {
    #[command(flatten)]
    settings: Settings,
    /// Custom metadata to remove.
    #[arg(long, value_name = "KEY")]
    remove_custom_metadata: Vec<String>,
    #[command(flatten)]
    which: Which,
}

/// Delete a secret with all its versions.
#[derive(Args, Debug)]
struct Delete {
    #[command(flatten)]
    which: Which,
}

impl Metadata {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::Get(command) => command.run(cx).await,
            Command::Put(command) => command.run(cx).await,
            Command::Patch(command) => command.run(cx).await,
            Command::Delete(command) => command.run(cx).await,
        }
    }
}

impl Get {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = locate(cx, &self.which).await?;
        let reply = cx.ask(Request::read(&path)).await.doing(format!("Error reading {path}"))?;
        let Some(reply) = reply else { return Err(logical::absent(&path)) };
        let Value::Object(mut data) = reply.data.clone() else { return cx.reply(&reply) };
        if !cx.is_table() || cx.globals.field.is_some() {
            return cx.reply(&reply);
        }
        cx.warnings(&reply)?;
        let versions = data.remove("versions");
        show_path(cx, "Metadata Path", &path)?;
        show_map(cx, "Metadata", &data)?;
        let Some(Value::Object(versions)) = versions else { return Ok(()) };
        let mut versions: Vec<_> = versions.into_iter().collect();
        versions.sort_by_key(|(number, _)| number.parse::<u64>().unwrap_or(u64::MAX));
        for (number, version) in versions {
            if let Value::Object(version) = version {
                cx.say("")?;
                show_map(cx, &format!("Version {number}"), &version)?;
            }
        }
        Ok(())
    }
}

impl Put {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let body = self.settings.body()?;
        let path = locate(cx, &self.which).await?;
        let request = Request::write(&path).json(&body)?;
        let reply = cx.send(request).await.doing(format!("Error writing data to {path}"))?;
        logical::written(cx, &path, &reply)
    }
}

impl Patch {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let mut body = self.settings.body()?;
        let removed = items(&self.remove_custom_metadata);
        if !removed.is_empty() {
            let custom = body.entry("custom_metadata").or_insert_with(|| json!({}));
            for key in removed {
                custom[key] = Value::Null;
            }
        }
        let path = locate(cx, &self.which).await?;
        let request = Request::patch(&path).json(&body)?;
        let reply = cx.send(request).await.doing(format!("Error writing data to {path}"))?;
        logical::written(cx, &path, &reply)
    }
}

impl Delete {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = locate(cx, &self.which).await?;
        let reply = cx.send(Request::delete(&path)).await.doing(format!("Error deleting {path}"))?;
        logical::deleted(cx, &path, &reply)
    }
}

impl Settings {
    fn body(&self) -> Outcome<Map<String, Value>> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("max_versions", self.max_versions.map(Value::from));
        put("cas_required", self.cas_required.map(Value::from));
        put("delete_version_after", self.delete_version_after.clone().map(Value::from));
        if !self.custom_metadata.is_empty() {
            put("custom_metadata", Some(pairs::plain(&self.custom_metadata)?.into()));
        }
        Ok(body)
    }
}

async fn locate(cx: &mut Cx<'_, '_>, which: &Which) -> Outcome<String> {
    let place = Place::locate(cx, which).await?;
    if !place.v2 {
        return Err(Failure::local("Metadata not supported on KV Version 1"));
    }
    Ok(place.at("metadata"))
}

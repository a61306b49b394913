//! What can be mounted: list, info.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    context::Cx,
    failure::{Doing, Outcome},
    table::go,
};
use crate::client::Request;

/// Look at what can be mounted.
#[derive(Args, Debug)]
pub struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    List(List),
    Info(Info),
}

/// List what can be mounted.
#[derive(Args, Debug)]
struct List {
    /// Show versions too.
    #[arg(long)]
    detailed: bool,
    /// auth, database or secret; all if absent.
    kind: Option<String>,
}

/// Show one thing that can be mounted.
#[derive(Args, Debug)]
struct Info {
    /// auth, database or secret.
    kind: String,
    /// Its name.
    name: String,
}

impl Plugin {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::List(command) => command.run(cx).await,
            Command::Info(command) => command.run(cx).await,
        }
    }
}

impl List {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let reply = cx.send(Request::read("sys/plugins/catalog")).await.doing("Error listing available plugins")?;
        let of_kind = |plugin: &&Value| self.kind.as_deref().is_none_or(|kind| plugin["type"] == kind);
        let plugins: Vec<&Value> =
            reply.field("detailed").and_then(Value::as_array).into_iter().flatten().filter(of_kind).collect();
        if !cx.is_table() {
            let shown = plugins.into_iter().cloned().collect();
            return cx.value(&Value::Array(shown));
        }
        let columns: &[&str] = if self.detailed {
            &["name", "type", "version", "deprecation_status"]
        } else {
            &["name", "type", "version"]
        };
        let title = |name: &&str| match *name {
            "deprecation_status" => "Deprecation Status".to_owned(),
            name => name[..1].to_uppercase() + &name[1..],
        };
        let mut rows = vec![columns.iter().map(title).collect::<Vec<_>>()];
        for plugin in plugins {
            rows.push(columns.iter().map(|name| plugin.get(*name).map(go).unwrap_or_default()).collect());
        }
        cx.table(&rows)
    }
}

impl Info {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = format!("sys/plugins/catalog/{}/{}", self.kind, self.name);
        let reply = cx.send(Request::read(&path)).await.doing(format!("Error reading plugin named {}", self.name))?;
        cx.reply(&reply)
    }
}

//! Audit devices: enable, disable, list; and their logs: verify, heads.

mod verify;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    context::{Cx, clean, folder},
    failure::{Doing, Failure, Outcome},
    mounts::{self, Column, replication, text},
    pairs,
    table::go,
};
use crate::client::Request;

/// Work with audit devices.
#[derive(Args, Debug)]
pub struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Enable(Enable),
    Disable(Disable),
    List(List),
    Verify(verify::Verify),
    Heads(verify::PrintHeads),
}

/// Enable a device.
#[derive(Args, Debug)]
struct Enable {
    /// A text for people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The device's name, if not its kind.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Not replicated to other clusters.
    #[arg(long)]
    local: bool,
    /// The kind: file, syslog or socket.
    kind: String,
    /// The device's options, as k=v.
    options: Vec<String>,
}

/// Disable a device.
#[derive(Args, Debug)]
struct Disable {
    /// The device's name.
    path: String,
}

/// List the devices.
#[derive(Args, Debug)]
struct List {
    /// Show all settings.
    #[arg(long)]
    detailed: bool,
}

impl Audit {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::Enable(command) => command.run(cx).await,
            Command::Disable(command) => command.run(cx).await,
            Command::List(command) => command.run(cx).await,
            Command::Verify(command) => command.run(cx),
            Command::Heads(command) => command.run(cx).await,
        }
    }
}

impl Enable {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let kind = self.kind.trim();
        let path = folder(self.path.as_deref().unwrap_or(kind));
        let options = pairs::object(&self.options, cx.world.stdin)?;
        let body = json!({
            "type": kind,
            "description": self.description.unwrap_or_default(),
            "options": options,
            "local": self.local,
        });
        let request = Request::write(&format!("sys/audit/{}", clean(&path))).json(&body)?;
        cx.send(request).await.doing("Error enabling audit device")?;
        cx.success(&format!("Enabled the {kind} audit device at: {path}"))
    }
}

impl Disable {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = folder(&self.path);
        let request = Request::delete(&format!("sys/audit/{}", clean(&path)));
        cx.send(request).await.doing("Error disabling audit device")?;
        cx.success(&format!("Disabled audit device (if it was enabled) at: {path}"))
    }
}

impl List {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let reply = cx.send(Request::read("sys/audit")).await.doing("Error listing audits")?;
        if reply.data.as_object().is_none_or(serde_json::Map::is_empty) {
            if !cx.is_table() {
                cx.value(&json!({}))?;
            }
            return Err(Failure::Remote("No audit devices are enabled.".into()));
        }
        let brief: &[Column] =
            &[("Type", |device| text(device, "/type")), ("Description", |device| text(device, "/description"))];
        let detailed: &[Column] = &[
            ("Type", |device| text(device, "/type")),
            ("Description", |device| text(device, "/description")),
            ("Replication", replication),
            ("Options", options),
        ];
        mounts::show(cx, &reply.data, if self.detailed { detailed } else { brief })
    }
}

fn options(device: &Value) -> String {
    let pairs = device.get("options").and_then(Value::as_object).into_iter().flatten();
    pairs.map(|(key, value)| format!("{key}={}", go(value))).collect::<Vec<_>>().join(" ")
}

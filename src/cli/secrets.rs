//! Secrets engines: enable, disable, list, move, tune.

use super::{
    context::{Cx, clean, folder},
    failure::{Doing, Outcome},
    mounts::{self, Column, DETAILED, Making, Tunable, text},
};
use crate::client::Request;
use clap::{Args, Subcommand};

/// Work with secrets engines.
#[derive(Args, Debug)]
pub struct Secrets {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Enable(Enable),
    Disable(Disable),
    List(List),
    Move(Move),
    Tune(Tune),
}

/// Enable an engine.
#[derive(Args, Debug)]
struct Enable {
    #[command(flatten)]
    making: Making,
    /// The kind of engine.
    kind: String,
}

/// Disable an engine; its data and leases are gone.
#[derive(Args, Debug)]
struct Disable {
    /// The mount.
    path: String,
}

/// List the engines.
#[derive(Args, Debug)]
struct List {
    /// Show all settings.
    #[arg(long)]
    detailed: bool,
}

/// Mount an engine elsewhere; its leases are revoked.
#[derive(Args, Debug)]
struct Move {
    /// From here.
    source: String,
    /// To there.
    destination: String,
}

/// Change an engine's settings.
#[derive(Args, Debug)]
struct Tune {
    #[command(flatten)]
    tunable: Tunable,
    /// The mount.
    path: String,
}

impl Secrets {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::Enable(command) => command.run(cx).await,
            Command::Disable(command) => command.run(cx).await,
            Command::List(command) => command.run(cx).await,
            Command::Move(command) => {
                mounts::remount(cx, "secrets engine", &command.source, &command.destination).await
            }
            Command::Tune(command) => command.run(cx).await,
        }
    }
}

impl Enable {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let kind = self.kind.trim();
        // The second version of kv has a name of its own; it is mounted under the common one.
        let usual = if kind == "kv-v2" || kind == "kv-v1" { "kv" } else { kind };
        let path = folder(self.making.path.as_deref().unwrap_or(usual));
        let request = Request::write(&format!("sys/mounts/{}", clean(&path))).json(&self.making.body(kind)?)?;
        cx.send(request).await.doing("Error enabling")?;
        cx.success(&format!("Enabled the {kind} secrets engine at: {path}"))
    }
}

impl Disable {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = folder(&self.path);
        let request = Request::delete(&format!("sys/mounts/{}", clean(&path)));
        cx.send(request).await.doing(format!("Error disabling secrets engine at {path}"))?;
        cx.success(&format!("Disabled the secrets engine (if it existed) at: {path}"))
    }
}

impl List {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let reply = cx.send(Request::read("sys/mounts")).await.doing("Error listing secrets engines")?;
        let brief: &[Column] = &[
            ("Type", |mount| text(mount, "/type")),
            ("Accessor", |mount| text(mount, "/accessor")),
            ("Description", |mount| text(mount, "/description")),
        ];
        mounts::show(cx, &reply.data, if self.detailed { DETAILED } else { brief })
    }
}

impl Tune {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = folder(&self.path);
        let request = Request::write(&format!("sys/mounts/{path}tune")).json(&self.tunable.body()?)?;
        cx.send(request).await.doing(format!("Error tuning secrets engine {path}"))?;
        cx.success(&format!("Tuned the secrets engine at: {path}"))
    }
}

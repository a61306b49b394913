//! Auth methods: enable, disable, list, tune, simulate, help.

use super::{
    context::{Cx, clean, folder},
    failure::{Doing, Outcome},
    logical,
    mounts::{self, Column, DETAILED, Making, Tunable, text},
    simulate::Simulate,
};
use crate::client::Request;
use clap::{Args, Subcommand};

/// Work with auth methods.
#[derive(Args, Debug)]
pub struct Auth {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
#[command(disable_help_subcommand = true)]
enum Command {
    Enable(Enable),
    Disable(Disable),
    List(List),
    Move(Move),
    Tune(Tune),
    Help(Help),
    Simulate(Simulate),
}

/// Enable a method.
#[derive(Args, Debug)]
struct Enable {
    #[command(flatten)]
    making: Making,
    /// The kind of method.
    kind: String,
}

/// Disable a method; its tokens are revoked.
#[derive(Args, Debug)]
struct Disable {
    /// The mount, without auth/.
    path: String,
}

/// List the methods.
#[derive(Args, Debug)]
struct List {
    /// Show all settings.
    #[arg(long)]
    detailed: bool,
}

/// Mount a method elsewhere; its tokens are revoked.
#[derive(Args, Debug)]
struct Move {
    /// From here, with auth/.
    source: String,
    /// To there, with auth/.
    destination: String,
}

/// Change a method's settings.
#[derive(Args, Debug)]
struct Tune {
    #[command(flatten)]
    tunable: Tunable,
    /// The mount, without auth/.
    path: String,
}

/// Show the server's description of a method.
#[derive(Args, Debug)]
struct Help {
    /// The mount, without auth/.
    path: String,
}

impl Auth {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::Enable(command) => command.run(cx).await,
            Command::Disable(command) => command.run(cx).await,
            Command::List(command) => command.run(cx).await,
            Command::Move(command) => mounts::remount(cx, "auth method", &command.source, &command.destination).await,
            Command::Tune(command) => command.run(cx).await,
            Command::Simulate(command) => command.run(cx).await,
            Command::Help(command) => logical::help(cx, &format!("auth/{}/", clean(&command.path))).await,
        }
    }
}

impl Enable {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let kind = self.kind.trim();
        let path = folder(self.making.path.as_deref().unwrap_or(kind));
        let request = Request::write(&format!("sys/auth/{}", clean(&path))).json(&self.making.body(kind)?)?;
        cx.send(request).await.doing(format!("Error enabling {kind} auth"))?;
        cx.success(&format!("Enabled {kind} auth method at: {path}"))
    }
}

impl Disable {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = folder(&self.path);
        let request = Request::delete(&format!("sys/auth/{}", clean(&path)));
        cx.send(request).await.doing(format!("Error disabling auth method at {path}"))?;
        cx.success(&format!("Disabled the auth method (if it existed) at: {path}"))
    }
}

impl List {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let reply = cx.send(Request::read("sys/auth")).await.doing("Error listing enabled authentications")?;
        let brief: &[Column] = &[
            ("Type", |mount| text(mount, "/type")),
            ("Accessor", |mount| text(mount, "/accessor")),
            ("Description", |mount| text(mount, "/description")),
            ("Version", |mount| text(mount, "/plugin_version")),
        ];
        mounts::show(cx, &reply.data, if self.detailed { DETAILED } else { brief })
    }
}

impl Tune {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = folder(&self.path);
        let request = Request::write(&format!("sys/auth/{path}tune")).json(&self.tunable.body()?)?;
        cx.send(request).await.doing(format!("Error tuning auth method {path}"))?;
        cx.success(&format!("Tuned the auth method at: {path}"))
    }
}

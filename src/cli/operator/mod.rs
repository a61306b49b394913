//! The operator's commands: init, unseal, seal, rotate, rekey, generate-root, step-down; looking at a share, at who used the
//! server, at its nodes, and at what would keep it from starting.

mod generate_root;
mod init;
mod keys;
mod rekey;
mod share;
mod usage;

use clap::{Args, Subcommand};
use serde_json::{Map, json};

use super::{
    context::Cx,
    failure::{Doing, Failure, Outcome},
    server::Diagnose,
    status,
};
use crate::client::Request;

/// Operate the server.
#[derive(Args, Debug)]
pub struct Operator {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Init(init::Init),
    Unseal(Unseal),
    Seal(Seal),
    KeyStatus(keys::KeyStatus),
    Rotate(keys::Rotate),
    Rekey(rekey::Rekey),
    GenerateRoot(generate_root::GenerateRoot),
    StepDown(StepDown),
    Share(share::Share),
    Members(usage::Members),
    Usage(usage::Usage),
    Diagnose(Diagnose),
}

impl Operator {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::Init(command) => command.run(cx).await,
            Command::Unseal(command) => command.run(cx).await,
            Command::Seal(command) => command.run(cx).await,
            Command::KeyStatus(command) => command.run(cx).await,
            Command::Rotate(command) => command.run(cx).await,
            Command::Rekey(command) => command.run(cx).await,
            Command::GenerateRoot(command) => command.run(cx).await,
            Command::StepDown(command) => command.run(cx).await,
            Command::Share(command) => command.run(cx),
            Command::Members(command) => command.run(cx).await,
            Command::Usage(command) => command.run(cx).await,
            Command::Diagnose(command) => command.run(cx),
        }
    }
}

/// Offer one share of the unseal key.
#[derive(Args, Debug)]
struct Unseal {
    /// Forget the shares that were offered so far.
    #[arg(long)]
    reset: bool,
    /// Offer the share for a seal migration.
    #[arg(long)]
    migrate: bool,
    /// The share, or - for standard input; asked for if absent.
    key: Option<String>,
}

/// Seal the server.
#[derive(Args, Debug)]
struct Seal {}

/// Make the active node give up its duty.
#[derive(Args, Debug)]
struct StepDown {}

impl Unseal {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let body = if self.reset {
            json!({"reset": true})
        } else {
            let key = cx.secret("Unseal Key", self.key.as_deref())?;
            if key.reveal().is_empty() {
                return Err(Failure::local("Error unsealing: no unseal key was given"));
            }
            json!({"key": key.reveal(), "migrate": self.migrate})
        };
        let request = Request::write("sys/unseal").without_token().unwrapped().json(&body)?;
        let what = if self.reset { "Error resetting the unseal process" } else { "Error unsealing" };
        let status = cx.send(request).await.doing(what)?;
        status::show(cx, &status).await
    }
}

impl Seal {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let request = Request::write("sys/seal").json(&Map::new())?;
        cx.send(request).await.doing("Error sealing")?;
        cx.success("Vault is sealed.")
    }
}

impl StepDown {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let request = Request::write("sys/step-down").json(&Map::new())?;
        cx.send(request).await.doing("Error stepping down")?;
        let address = cx.address().to_owned();
        cx.success(&format!("Stepped down: {address}"))
    }
}

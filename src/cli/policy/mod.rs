//! Policies: list, read, write and delete on the server, and as files that are kept beside code.

mod apply;
mod difference;
mod directory;
mod drift;
mod fmt;
mod lint;
mod plan;
mod remote;
mod test;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    context::Cx,
    failure::{Doing, Failure, Outcome},
    pairs,
};
use crate::client::Request;

/// Work with policies.
#[derive(Args, Debug)]
pub struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    List(List),
    Read(Read),
    Write(Write),
    Delete(Delete),
    Fmt(fmt::Fmt),
    Lint(lint::Lint),
    Test(test::Test),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Drift(drift::Drift),
}

/// List the policies.
#[derive(Args, Debug)]
struct List {}

/// Print a policy's text.
#[derive(Args, Debug)]
struct Read {
    /// The policy.
    name: String,
}

/// Write a policy.
#[derive(Args, Debug)]
struct Write {
    /// The policy.
    name: String,
    /// The file with its text, or - for standard input.
    file: String,
}

/// Delete a policy.
#[derive(Args, Debug)]
struct Delete {
    /// The policy.
    name: String,
}

impl Policy {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::List(_) => list(cx).await,
            Command::Read(command) => command.run(cx).await,
            Command::Write(command) => command.run(cx).await,
            Command::Delete(command) => command.run(cx).await,
            Command::Fmt(command) => command.run(cx),
            Command::Lint(command) => command.run(cx).await,
            Command::Test(command) => command.run(cx),
            Command::Plan(command) => command.run(cx).await,
            Command::Apply(command) => command.run(cx).await,
            Command::Drift(command) => command.run(cx).await,
        }
    }
}

async fn list(cx: &mut Cx<'_, '_>) -> Outcome {
    let reply = cx.send(Request::list("sys/policies/acl")).await.doing("Error listing policies")?;
    let names = reply.keys();
    if !cx.is_table() {
        return cx.value(&names.into_iter().collect());
    }
    names.into_iter().try_for_each(|name| cx.say(name))
}

impl Read {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let name = self.name.trim().to_lowercase();
        let path = format!("sys/policies/acl/{name}");
        let reply = cx.ask(Request::read(&path)).await.doing(format!("Error reading policy named {name}"))?;
        let reply = reply.ok_or_else(|| Failure::Remote(format!("No policy named: {name}")))?;
        let text = reply.text("policy")?.trim().to_owned();
        if cx.is_table() { cx.say(&text) } else { cx.value(&json!({"policy": text})) }
    }
}

impl Write {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let name = self.name.trim().to_lowercase();
        let text = pairs::text(&self.file, cx.world.stdin)?;
        let request = Request::write(&format!("sys/policies/acl/{name}")).json(&json!({"policy": text}))?;
        let reply = cx.send(request).await.doing("Error uploading policy")?;
        cx.warnings(&reply)?;
        cx.success(&format!("Uploaded policy: {name}"))
    }
}

impl Delete {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let name = self.name.trim().to_lowercase();
        let request = Request::delete(&format!("sys/policies/acl/{name}"));
        cx.send(request).await.doing(format!("Error deleting {name}"))?;
        cx.success(&format!("Deleted policy: {name}"))
    }
}

//! Leases: look up, renew, revoke.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    context::{Cx, clean},
    failure::{Doing, Failure, Outcome},
};
use crate::client::Request;

/// Work with leases.
#[derive(Args, Debug)]
pub struct Lease {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Lookup(Lookup),
    Renew(Renew),
    Revoke(Revoke),
}

/// Show a lease's facts.
#[derive(Args, Debug)]
struct Lookup {
    /// The lease.
    id: String,
}

/// Renew a lease.
#[derive(Args, Debug)]
struct Renew {
    /// For how long, if the server agrees.
    #[arg(long, alias = "i", value_name = "DURATION")]
    increment: Option<String>,
    /// The lease.
    id: String,
}

/// Revoke a lease, or all below a prefix.
#[derive(Args, Debug)]
struct Revoke {
    /// The argument is a prefix: revoke all leases below it.
    #[arg(long)]
    prefix: bool,
    /// Forget the leases even if what they stand for cannot be taken back; needs -prefix.
    #[arg(long, alias = "f")]
    force: bool,
    /// Wait until it is done.
    #[arg(long)]
    sync: bool,
    /// The lease, or the prefix.
    id: String,
}

impl Lease {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::Lookup(command) => command.run(cx).await,
            Command::Renew(command) => command.run(cx).await,
            Command::Revoke(command) => command.run(cx).await,
        }
    }
}

impl Lookup {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let request = Request::write("sys/leases/lookup").json(&json!({"lease_id": clean(&self.id)}))?;
        let what = format!("error looking up lease id {}", self.id);
        let reply = cx.send(request).await.doing(what)?;
        cx.reply(&reply)
    }
}

impl Renew {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let mut body = Map::new();
        body.insert("lease_id".into(), clean(&self.id).into());
        if let Some(increment) = self.increment {
            body.insert("increment".into(), increment.into());
        }
        let request = Request::write("sys/leases/renew").json(&body)?;
        let reply = cx.send(request).await.doing(format!("Error renewing {}", self.id))?;
        cx.reply(&reply)
    }
}

impl Revoke {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let id = clean(&self.id);
        if self.force && !self.prefix {
            return Err(Failure::local("Specifying -force requires also specifying -prefix"));
        }
        let (path, body, what) = if self.force {
            cx.warn("Warning! Leases are forgotten even if what they stand for cannot be taken back.")?;
            (
                format!("sys/leases/revoke-force/{id}"),
                Value::from(Map::new()),
                "Error force revoking leases with prefix",
            )
        } else if self.prefix {
            (format!("sys/leases/revoke-prefix/{id}"), json!({"sync": self.sync}), "Error revoking leases with prefix")
        } else {
            ("sys/leases/revoke".to_owned(), json!({"lease_id": id, "sync": self.sync}), "Error revoking lease")
        };
        cx.send(Request::write(&path).json(&body)?).await.doing(format!("{what} {id}"))?;
        if self.force {
            cx.success(&format!("Force revoked any leases with prefix: {id}"))
        } else if !self.sync {
            if cx.is_table() { cx.say("All revocation operations queued successfully!") } else { Ok(()) }
        } else if self.prefix {
            cx.success(&format!("Revoked any leases with prefix: {id}"))
        } else {
            cx.success(&format!("Revoked lease: {id}"))
        }
    }
}

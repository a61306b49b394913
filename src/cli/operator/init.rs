//! The first start of a store: shares and the root token are printed once and kept nowhere.

use clap::Args;
use serde_json::{Value, json};

use super::super::{
    context::Cx,
    failure::{Doing, Failure, Outcome},
};
use crate::client::{Reply, Request};

/// Initialize a new store.
#[derive(Args, Debug)]
pub(super) struct Init {
    /// Only tell whether the server is initialized: code 0 if so, 2 if not.
    #[arg(long)]
    status: bool,
    /// How many shares of the unseal key to make.
    #[arg(long, alias = "n", value_name = "N", default_value_t = 5)]
    key_shares: u32,
    /// How many of them unseal.
    #[arg(long, alias = "t", value_name = "N", default_value_t = 3)]
    key_threshold: u32,
    /// How many recovery shares to make, where the server unseals itself.
    #[arg(long, value_name = "N")]
    recovery_shares: Option<u32>,
    /// How many recovery shares are needed.
    #[arg(long, value_name = "N")]
    recovery_threshold: Option<u32>,
}

impl Init {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        if self.status {
            return tell(cx).await;
        }
        let mut body = json!({"secret_shares": self.key_shares, "secret_threshold": self.key_threshold});
        if let Some(shares) = self.recovery_shares {
            body["recovery_shares"] = shares.into();
        }
        if let Some(threshold) = self.recovery_threshold {
            body["recovery_threshold"] = threshold.into();
        }
        let request = Request::write("sys/init").without_token().unwrapped().json(&body)?;
        let made = cx.send(request).await.doing("Error initializing")?;
        if let Some(field) = cx.globals.field.clone() {
            return cx.field(&field, made.field(&field).cloned());
        }
        if cx.is_table() { self.print(cx, &made) } else { cx.value(&self.document(&made)) }
    }

    fn print(&self, cx: &mut Cx<'_, '_>, made: &Reply) -> Outcome {
        for (name, field) in [("Unseal", "keys_base64"), ("Recovery", "recovery_keys_base64")] {
            for (at, key) in texts(made, field).iter().enumerate() {
                cx.say(&format!("{name} Key {}: {key}", at + 1))?;
            }
        }
        let root = made.text("root_token")?.to_owned();
        cx.say(&format!("\nInitial Root Token: {root}"))?;
        if !texts(made, "keys_base64").is_empty() {
            cx.say(&format!(
                "\nThe unseal key was split into {} shares, of which any {} unseal the server. They are shown\n\
                 this once and stored nowhere: hand each to another person before you close this\n\
                 terminal. With fewer than {} of them the data cannot be opened again.",
                self.key_shares, self.key_threshold, self.key_threshold
            ))?;
        }
        Ok(())
    }

    fn document(&self, made: &Reply) -> Value {
        let list = |name: &str| made.field(name).cloned().unwrap_or_else(|| json!([]));
        json!({
            "unseal_keys_b64": list("keys_base64"),
            "unseal_keys_hex": list("keys"),
            "unseal_shares": self.key_shares,
            "unseal_threshold": self.key_threshold,
            "recovery_keys_b64": list("recovery_keys_base64"),
            "recovery_keys_hex": list("recovery_keys"),
            "recovery_keys_shares": self.recovery_shares.unwrap_or(0),
            "recovery_keys_threshold": self.recovery_threshold.unwrap_or(0),
            "root_token": made.field("root_token"),
        })
    }
}

async fn tell(cx: &mut Cx<'_, '_>) -> Outcome {
    // Code 2 says "not initialized"; an error is 1, as for `status`.
    let reply = match cx.send(Request::read("sys/init").unwrapped()).await.doing("Error checking init status") {
        Err(failure @ Failure::Client(..)) => {
            let text = failure.text(&|path| cx.url(path), cx.namespace());
            cx.warn(&text.unwrap_or_default())?;
            return Err(Failure::Exit(1));
        }
        outcome => outcome?,
    };
    let is = reply.field("initialized") == Some(&Value::Bool(true));
    if cx.is_table() {
        cx.say(if is { "Vault is initialized" } else { "Vault is not initialized" })?;
    } else {
        cx.value(&reply.data)?;
    }
    if is { Ok(()) } else { Err(Failure::Exit(2)) }
}

fn texts(reply: &Reply, field: &str) -> Vec<String> {
    let list = reply.field(field).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

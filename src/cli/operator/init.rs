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
    /// Give the shares with labels too, which tell who types one wrong or gives an outdated one.
    #[arg(long)]
    labelled: bool,
    /// Recipients of age, with commas, one for each share: each share is encrypted to its own.
    #[arg(long, value_name = "AGE1…", value_delimiter = ',')]
    age_recipients: Vec<String>,
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
        // A server that opens by itself has recovery shares and no others.
        let status = cx.aside(Request::read("sys/seal-status").without_token()).await;
        let own = status.is_ok_and(|status| status.field("recovery_seal") == Some(&Value::Bool(true)));
        let mut body = if own {
            json!({
                "recovery_shares": self.recovery_shares.unwrap_or(self.key_shares),
                "recovery_threshold": self.recovery_threshold.unwrap_or(self.key_threshold),
            })
        } else {
            json!({"secret_shares": self.key_shares, "secret_threshold": self.key_threshold})
        };
        if self.labelled {
            body["labelled_shares"] = true.into();
        }
        if !self.age_recipients.is_empty() {
            body["age_recipients"] = self.age_recipients.clone().into();
        }
        let request = Request::write("sys/init").without_token().unwrapped().json(&body)?;
        let made = cx.send(request).await.doing("Error initializing")?;
        if let Some(field) = cx.globals.field.clone() {
            return cx.field(&field, made.field(&field).cloned());
        }
        if cx.is_table() { self.print(cx, &made) } else { cx.value(&self.document(&made)) }
    }

    fn print(&self, cx: &mut Cx<'_, '_>, made: &Reply) -> Outcome {
        for (name, prefix) in [("Unseal", ""), ("Recovery", "recovery_")] {
            for key in shown(made, prefix).iter().enumerate().map(|(at, key)| format!("{name} Key {}: {key}", at + 1)) {
                cx.say(&key)?;
            }
        }
        let root = made.text("root_token")?.to_owned();
        cx.say(&format!("\nInitial Root Token: {root}"))?;
        if !shown(made, "").is_empty() {
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
        let mut document = json!({
            "unseal_keys_b64": list("keys_base64"),
            "unseal_keys_hex": list("keys"),
            "unseal_shares": self.key_shares,
            "unseal_threshold": self.key_threshold,
            "recovery_keys_b64": list("recovery_keys_base64"),
            "recovery_keys_hex": list("recovery_keys"),
            "recovery_keys_shares": self.recovery_shares.unwrap_or(0),
            "recovery_keys_threshold": self.recovery_threshold.unwrap_or(0),
            "root_token": made.field("root_token"),
        });
        for name in ["keys_labelled", "keys_age", "recovery_keys_labelled", "recovery_keys_age"] {
            if let Some(list) = made.field(name) {
                let title = if name.starts_with("recovery") { name.to_owned() } else { format!("unseal_{name}") };
                document[title] = list.clone();
            }
        }
        document
    }
}

/// The shares as people are given them: encrypted, else with labels, else plain.
pub(super) fn shown(reply: &Reply, prefix: &str) -> Vec<String> {
    ["keys_age", "keys_labelled", "keys_base64"]
        .iter()
        .map(|field| texts(reply, &format!("{prefix}{field}")))
        .find(|list| !list.is_empty())
        .unwrap_or_default()
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

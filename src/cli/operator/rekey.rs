//! New shares for the unseal key: begun by one, carried by as many holders as the threshold says.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::super::{
    context::Cx,
    failure::{Doing, Failure, Outcome},
    table::{go, key_value},
};
use crate::client::{Reply, Request};

/// Replace the shares of the unseal key.
#[derive(Args, Debug)]
pub(super) struct Rekey {
    /// Begin.
    #[arg(long, conflicts_with_all = ["cancel", "status"])]
    init: bool,
    /// Give up what was begun.
    #[arg(long, conflicts_with = "status")]
    cancel: bool,
    /// Show how far it is.
    #[arg(long)]
    status: bool,
    /// With -init, ask for the new shares to be proved before they count; else, prove one of them.
    #[arg(long)]
    verify: bool,
    /// How many new shares to make.
    #[arg(long, alias = "n", value_name = "N", default_value_t = 5)]
    key_shares: u32,
    /// How many of them unseal.
    #[arg(long, alias = "t", value_name = "N", default_value_t = 3)]
    key_threshold: u32,
    /// With -init, give the new shares with labels too.
    #[arg(long)]
    labelled: bool,
    /// With -init, recipients of age, with commas, one for each share.
    #[arg(long, value_name = "AGE1…", value_delimiter = ',')]
    age_recipients: Vec<String>,
    /// The nonce that -init told.
    #[arg(long, value_name = "TEXT")]
    nonce: Option<String>,
    /// Which key: barrier or recovery.
    #[arg(long, value_name = "barrier|recovery", default_value = "barrier")]
    target: Target,
    /// A share, or - for standard input; asked for if absent.
    key: Option<String>,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Target {
    #[value(alias = "unseal")]
    Barrier,
    Recovery,
}

impl Rekey {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let base = match self.target {
            Target::Barrier => "sys/rekey",
            Target::Recovery => "sys/rekey-recovery-key",
        };
        let step = if self.verify && !self.init { "verify" } else { "init" };
        let path = format!("{base}/{step}");
        if self.cancel {
            cx.send(Request::delete(&path)).await.doing("Error canceling rekey")?;
            return cx.success("Canceled rekeying (if it was started)");
        }
        if self.status {
            let status = cx.send(Request::read(&path)).await.doing("Error reading rekey status")?;
            return show(cx, &status);
        }
        if self.init {
            let body = json!({
                "secret_shares": self.key_shares,
                "secret_threshold": self.key_threshold,
                "require_verification": self.verify,
                "labelled_shares": self.labelled,
                "age_recipients": self.age_recipients,
            });
            let begun = cx.send(Request::write(&path).json(&body)?).await.doing("Error initializing rekey")?;
            // Some servers answer nothing here; then the status tells.
            if begun.field("nonce").is_some() {
                return show(cx, &begun);
            }
            let status = cx.aside(Request::read(&path)).await.doing("Error reading rekey status")?;
            return show(cx, &status);
        }
        self.offer(cx, base, &path).await
    }

    async fn offer(self, cx: &mut Cx<'_, '_>, base: &str, path: &str) -> Outcome {
        let nonce = match &self.nonce {
            Some(nonce) => nonce.clone(),
            None => {
                let status = cx.aside(Request::read(path)).await.doing("Error reading rekey status")?;
                if !self.verify && status.field("started") != Some(&Value::Bool(true)) {
                    return Err(Failure::local("Error: no rekey is in progress; begin with: operator rekey -init"));
                }
                let nonce = status.text("nonce")?.to_owned();
                cx.warn(&format!("Rekey operation nonce: {nonce}"))?;
                nonce
            }
        };
        let key = cx.secret("Unseal Key", self.key.as_deref())?;
        let body = json!({"key": key.reveal(), "nonce": nonce});
        let step = if self.verify { "verify" } else { "update" };
        let request = Request::write(&format!("{base}/{step}")).json(&body)?;
        let reply = cx.send(request).await.doing("Error posting unseal key")?;
        if reply.field("complete") != Some(&Value::Bool(true)) {
            return show(cx, &reply);
        }
        if !cx.is_table() {
            return cx.value(&reply.data);
        }
        if self.verify {
            return cx.success("Rekey verification successful. The new shares count from now on.");
        }
        for (at, key) in super::init::shown(&reply, "").iter().enumerate() {
            cx.say(&format!("Key {}: {key}", at + 1))?;
        }
        cx.say(&format!("\nOperation nonce: {nonce}\n"))?;
        if reply.field("verification_required") == Some(&Value::Bool(true)) {
            let nonce = reply.field("verification_nonce").map(go).unwrap_or_default();
            cx.say(&format!(
                "The old shares still count. Offer enough of the new ones to prove them:\n\
                 operator rekey -verify -nonce={nonce}"
            ))
        } else {
            cx.say("The new shares count from now on; the old ones are void. They are shown this once.")
        }
    }
}

fn show(cx: &mut Cx<'_, '_>, status: &Reply) -> Outcome {
    if let Some(field) = cx.globals.field.clone() {
        return cx.field(&field, status.field(&field).cloned());
    }
    if !cx.is_table() {
        return cx.value(&status.data);
    }
    let text = |name: &str| status.field(name).map(go).unwrap_or_default();
    let started = status.field("started") == Some(&Value::Bool(true));
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    if started {
        row("Nonce", text("nonce"));
    }
    row("Started", text("started"));
    if started {
        row("Rekey Progress", format!("{}/{}", text("progress"), text("required")));
        row("New Shares", text("n"));
        row("New Threshold", text("t"));
        if let Some(required) = status.field("verification_required") {
            row("Verification Required", go(required));
        }
    }
    cx.table(&key_value(rows))
}

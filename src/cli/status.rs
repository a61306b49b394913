//! The seal's state; the exit code tells it too: 0 unsealed, 2 sealed, 1 not known.

use clap::Args;
use serde_json::Value;

use super::{
    context::Cx,
    failure::{Doing, Failure, Outcome},
    table::go,
};
use crate::client::{Reply, Request};

/// Show whether the server is initialized and sealed.
#[derive(Args, Debug)]
pub struct Status {}

impl Status {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.show(cx).await {
            // Code 2 is taken: it says that the server is sealed.
            Err(failure @ Failure::Client(..)) => {
                let text = failure.text(&|path| cx.url(path), cx.namespace());
                cx.warn(&text.unwrap_or_default())?;
                Err(Failure::Exit(1))
            }
            outcome => outcome,
        }
    }

    async fn show(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let status = cx.send(Request::read("sys/seal-status")).await.doing("Error checking seal status")?;
        show(cx, &status).await?;
        if status.field("sealed") == Some(&Value::Bool(false)) { Ok(()) } else { Err(Failure::Exit(2)) }
    }
}

/// Shows a seal status, with who is active when that can be known.
pub async fn show(cx: &mut Cx<'_, '_>, status: &Reply) -> Outcome {
    let leader = if status.field("sealed") == Some(&Value::Bool(false)) {
        cx.aside(Request::read("sys/leader")).await.ok()
    } else {
        None
    };
    if let Some(field) = cx.globals.field.clone() {
        return cx.field(&field, status.field(&field).cloned());
    }
    if !cx.is_table() {
        let mut all = status.data.clone();
        if let (Value::Object(all), Some(Value::Object(leader))) = (&mut all, leader.map(|leader| leader.data)) {
            for (key, value) in leader {
                all.entry(key).or_insert(value);
            }
        }
        return cx.value(&all);
    }
    let mut rows = rows(status);
    if let Some(leader) = leader {
        let of = |name: &str| leader.field(name).map(go).unwrap_or_default();
        let enabled = leader.field("ha_enabled") == Some(&Value::Bool(true));
        rows.push(["HA Enabled".to_owned(), enabled.to_string()].into());
        if enabled {
            let active = leader.field("is_self") == Some(&Value::Bool(true));
            rows.push(["HA Cluster".to_owned(), of("leader_cluster_address")].into());
            rows.push(["HA Mode".to_owned(), if active { "active" } else { "standby" }.to_owned()].into());
            if active {
                rows.push(["Active Since".to_owned(), of("active_time")].into());
            } else {
                rows.push(["Active Node Address".to_owned(), of("leader_address")].into());
            }
        }
    }
    cx.table(&super::table::key_value(rows))
}

fn rows(status: &Reply) -> Vec<Vec<String>> {
    let field = |name: &str| status.field(name);
    let text = |name: &str| field(name).map(go).unwrap_or_default();
    let is = |name: &str| field(name) == Some(&Value::Bool(true));
    let recovery = if is("recovery_seal") { "Recovery " } else { "" };
    let mut rows = vec![
        [format!("{recovery}Seal Type"), text("type")].into(),
        ["Initialized".to_owned(), text("initialized")].into(),
        ["Sealed".to_owned(), text("sealed")].into(),
        [format!("Total {recovery}Shares"), text("n")].into(),
        ["Threshold".to_owned(), text("t")].into(),
    ];
    let mut row = |name: &str, value: String| rows.push([name.to_owned(), value].into());
    if is("sealed") {
        row("Unseal Progress", format!("{}/{}", text("progress"), text("t")));
        row("Unseal Nonce", text("nonce"));
    }
    if is("migration") {
        row("Seal Migration in Progress", "true".into());
    }
    row("Version", text("version"));
    for (name, title) in [
        ("build_date", "Build Date"),
        ("storage_type", "Storage Type"),
        ("cluster_name", "Cluster Name"),
        ("cluster_id", "Cluster ID"),
    ] {
        if field(name).is_some_and(|value| !value.is_null() && value != "") {
            row(title, text(name));
        }
    }
    rows
}

//! `version-history`: which versions have run on the server's store.

use clap::Args;
use serde_json::Value;

use super::{
    context::Cx,
    failure::{Doing, Outcome},
    table::go,
};
use crate::client::Request;

/// Show which versions have run on the server's store.
#[derive(Args, Debug)]
pub struct VersionHistory {}

impl VersionHistory {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let reply = cx.send(Request::list("sys/version-history")).await.doing("Error listing version history")?;
        if !cx.is_table() || cx.globals.field.is_some() {
            return cx.reply(&reply);
        }
        let mut rows = vec![["Version", "Installation Time", "Build Date"].map(str::to_owned).to_vec()];
        for version in reply.field("keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let info = reply.field("key_info").and_then(|info| info.get(version)).unwrap_or(&Value::Null);
            let of = |name: &str| info.get(name).map(go).unwrap_or_default();
            rows.push(vec![version.to_owned(), of("timestamp_installed"), of("build_date")]);
        }
        cx.table(&rows)
    }
}

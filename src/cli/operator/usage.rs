//! `operator usage` and `operator members`: who used the server, and which nodes there are.

use clap::Args;
use serde_json::Value;

use super::super::{
    context::Cx,
    failure::{Doing, Failure, Outcome},
    table::go,
};
use crate::client::Request;

/// Show how many clients there were in a span of months.
#[derive(Args, Debug)]
pub(super) struct Usage {
    /// The first month: YYYY-MM, YYYY-MM-DD or RFC 3339.
    #[arg(long, value_name = "TIME")]
    start_time: Option<String>,
    /// The last month, in the same form; the present one if absent.
    #[arg(long, value_name = "TIME")]
    end_time: Option<String>,
}

/// Show the nodes of the cluster.
#[derive(Args, Debug)]
pub(super) struct Members {}

impl Usage {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let mut query = Vec::new();
        for (name, given) in [("start_time", &self.start_time), ("end_time", &self.end_time)] {
            if let Some(given) = given {
                query.push((
                    name,
                    moment(given).ok_or_else(|| {
                        Failure::Local(format!("-{} must be YYYY-MM, YYYY-MM-DD or RFC 3339", name.replace('_', "-")))
                    })?,
                ));
            }
        }
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = Request::read("sys/internal/counters/activity").query_all(&query);
        let reply = cx.send(request).await.doing("Error retrieving client counts")?;
        if !cx.is_table() || cx.globals.field.is_some() {
            return cx.reply(&reply);
        }
        cx.say(&format!("Period start: {}", reply.field("start_time").map(go).unwrap_or_default()))?;
        cx.say(&format!("Period end: {}\n", reply.field("end_time").map(go).unwrap_or_default()))?;
        let mut rows = vec![
            ["Namespace path", "Distinct entities", "Non-Entity tokens", "Active clients"].map(str::to_owned).to_vec(),
        ];
        for namespace in reply.field("by_namespace").and_then(Value::as_array).into_iter().flatten() {
            let path = namespace["namespace_path"].as_str().filter(|path| !path.is_empty()).unwrap_or("[root]");
            rows.push(counts(path, &namespace["counts"]));
        }
        rows.push(counts("Total", reply.field("total").unwrap_or(&Value::Null)));
        cx.table(&rows)
    }
}

fn counts(title: &str, counts: &Value) -> Vec<String> {
    let of = |name: &str| counts.get(name).map(go).unwrap_or_default();
    vec![title.to_owned(), of("entity_clients"), of("non_entity_clients"), of("clients")]
}

/// A month or a day as the moment at which it begins; a moment as it is.
fn moment(text: &str) -> Option<String> {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let whole = match text.len() {
        7 if digits(text) => format!("{text}-01T00:00:00Z"),
        10 if digits(text) => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    whole.parse::<crate::base::Timestamp>().ok().map(|moment| moment.to_string())
}

impl Members {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let reply = cx.send(Request::read("sys/ha-status")).await.doing("Error reading the nodes")?;
        if !cx.is_table() || cx.globals.field.is_some() {
            return cx.reply(&reply);
        }
        const COLUMNS: [(&str, &str); 6] = [
            ("Host Name", "hostname"),
            ("API Address", "api_address"),
            ("Cluster Address", "cluster_address"),
            ("Active Node", "active_node"),
            ("Version", "version"),
            ("Last Echo", "last_echo"),
        ];
        let mut rows = vec![COLUMNS.map(|(title, _)| title.to_owned()).to_vec()];
        for node in reply.field("nodes").and_then(Value::as_array).into_iter().flatten() {
            rows.push(
                COLUMNS.map(|(_, name)| node.get(name).filter(|v| !v.is_null()).map(go).unwrap_or_default()).to_vec(),
            );
        }
        cx.table(&rows)
    }
}

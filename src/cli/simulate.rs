//! `auth simulate`: whether a login would succeed, all that stands against it, and what it would get. No token is made.

use clap::Args;
use serde_json::Value;

use super::{
    context::{Cx, clean},
    explain::{at, list, rule, text},
    failure::{Doing, Failure, Outcome},
    pairs,
};
use crate::client::Request;

/// Say what a login would give, and what stands against it.
#[derive(Args, Debug)]
pub struct Simulate {
    /// The mount, without auth/.
    path: String,
    /// What the login is to be like, as k=v: role= and claims=@file or jwt=@file for jwt and oidc, role_name= for approle, username= for
    /// userpass, certificate=@file for cert, role=, service_account_namespace= and service_account_name= for kubernetes;
    /// remote_address= for each.
    data: Vec<String>,
}

impl Simulate {
    /// Ends with 2 where the login would fail.
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let mut data = pairs::object(&self.data, cx.world.stdin)?;
        pairs::trim(&mut data, "jwt");
        let request = Request::write(&format!("auth/{}/simulate", clean(&self.path))).json(&data)?;
        let reply = cx.send(request).await.doing("Error simulating the login")?;
        if cx.is_table() && cx.globals.field.is_none() && reply.wrap_info.is_none() {
            for line in story(&reply.data) {
                cx.say(&line)?;
            }
        } else {
            cx.reply(&reply)?;
        }
        let fails = reply.field("admitted") == Some(&Value::Bool(false));
        if fails { Err(Failure::Exit(2)) } else { Ok(()) }
    }
}

/// The answer for people.
fn story(data: &Value) -> Vec<String> {
    let items = |key: &str| data[key].as_array().into_iter().flatten();
    if data["admitted"] != true {
        let mut lines = vec!["The login would fail:".to_owned()];
        lines.extend(items("reasons").filter_map(Value::as_str).map(|reason| format!("  * {reason}")));
        return lines;
    }
    let mut lines = vec!["The login would succeed.".to_owned()];
    if data["second_factor"] == true {
        lines.push("  a second factor would be asked for".into());
    }
    lines.push(format!("  as {}", text(data, "display_name")));
    let entity = &data["entity"];
    match (entity.is_object(), entity["is_new"] == true) {
        (false, _) => lines.push("  without an entity".into()),
        (true, true) => lines.push("  entity: a new one".into()),
        (true, false) => lines.push(format!("  entity: {} ({})", text(entity, "name"), text(entity, "id"))),
    }
    for group in items("identity_groups") {
        lines.push(format!("  group {}: {}", text(group, "name"), list(&group["policies"])));
    }
    for (key, words) in [
        ("token_policies", "policies of the token"),
        ("identity_policies", "policies of the identity"),
        ("missing_policies", "policies that do not exist"),
        ("token_bound_cidrs", "bound to"),
    ] {
        if items(key).next().is_some() {
            lines.push(format!("  {words}: {}", list(&data[key])));
        }
    }
    lines.push(format!(
        "  {} token for {} s, {} s at most",
        text(data, "token_type"),
        data["token_ttl"],
        data["token_max_ttl"]
    ));
    for filled in items("templated_rules") {
        rule("template, filled in:", filled, &mut lines);
    }
    for place in items("unfilled_templates") {
        lines.push(format!("  left out, its template cannot be filled in: {}", at(place)));
    }
    for (name, value) in data["metadata"].as_object().into_iter().flatten() {
        lines.push(format!("  metadata {name}: {}", super::table::go(value)));
    }
    lines.extend(items("warnings").filter_map(Value::as_str).map(|warning| format!("  warning: {warning}")));
    lines
}

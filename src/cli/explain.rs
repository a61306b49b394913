//! "Why 403?": explains a denial by its request's id, or how a request would be decided.

use std::{
    fs::File,
    io::{BufRead, BufReader},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    context::{Cx, clean},
    failure::{Doing, Failure, Outcome},
    pairs,
};
use crate::client::Request;

/// Explain a denial: by its request id, or by path and operation.
#[derive(Args, Debug)]
pub struct Explain {
    /// The accessor of the token that asks; without it, the token of this command.
    #[arg(long, value_name = "ACCESSOR")]
    accessor: Option<String>,
    /// Policies instead of a token; may be repeated.
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// For how long the answer would be wrapped.
    #[arg(long, value_name = "DURATION")]
    wrapped_for: Option<String>,
    /// The address that the request comes from.
    #[arg(long, value_name = "ADDRESS")]
    remote_address: Option<String>,
    /// Look for the request in this audit file instead of among the denials that the node keeps.
    #[arg(long, value_name = "FILE")]
    audit_file: Option<String>,
    /// List the denials that the node keeps.
    #[arg(long)]
    recent: bool,
    /// A request id; or a path, an operation, and parameters as name=value.
    words: Vec<String>,
}

impl Explain {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        if self.recent {
            return recent(cx).await;
        }
        let data = match self.words.as_slice() {
            [] => return Err(Failure::local("explain needs a request id, or a path and an operation")),
            [id] => match &self.audit_file {
                Some(file) => ask(cx, from_audit(file, id)?).await?,
                None => {
                    let reply = cx.send(Request::read(&format!("sys/internal/denials/{id}"))).await;
                    reply.doing("Error explaining the request")?.data
                }
            },
            [path, operation, rest @ ..] => {
                let mut body = json!({"path": clean(path), "operation": operation});
                if path.ends_with('/') && operation == "list" {
                    body["path"] = Value::from(format!("{}/", clean(path)));
                }
                if !rest.is_empty() {
                    body["parameters"] = Value::Object(pairs::object(rest, cx.world.stdin)?);
                }
                if !self.policy.is_empty() {
                    body["policies"] = self.policy.iter().map(String::as_str).collect();
                }
                for (name, value) in [
                    ("accessor", &self.accessor),
                    ("wrap_ttl", &self.wrapped_for),
                    ("remote_address", &self.remote_address),
                ] {
                    if let Some(value) = value {
                        body[name] = Value::from(value.as_str());
                    }
                }
                ask(cx, body).await?
            }
        };
        if !cx.is_table() {
            return cx.value(&data);
        }
        for line in story(&data) {
            cx.say(&line)?;
        }
        Ok(())
    }
}

async fn ask(cx: &mut Cx<'_, '_>, body: Value) -> Outcome<Value> {
    let request = Request::write("sys/internal/explain").json(&body)?;
    Ok(cx.send(request).await.doing("Error explaining the request")?.data)
}

async fn recent(cx: &mut Cx<'_, '_>) -> Outcome {
    let reply = cx.send(Request::read("sys/internal/denials")).await.doing("Error listing denials")?;
    let denials = reply.data["denials"].as_array().cloned().unwrap_or_default();
    if !cx.is_table() {
        return cx.value(&Value::Array(denials));
    }
    let columns = ["time", "request_id", "operation", "path", "display_name", "reason"];
    let mut rows = vec![["Time", "Request ID", "Operation", "Path", "Who", "Reason"].map(str::to_owned).to_vec()];
    rows.extend(denials.iter().map(|denied| columns.map(|column| text(denied, column).to_owned()).to_vec()));
    cx.table(&rows)
}

/// What an audit entry says of a request, as a question. Parameters are hashed there, and decide nothing here.
fn from_audit(file: &str, id: &str) -> Outcome<Value> {
    let failed = |err: std::io::Error| Failure::Local(format!("Error reading \"{file}\": {err}"));
    for line in BufReader::new(File::open(file).map_err(failed)?).lines() {
        let line = line.map_err(failed)?;
        if !line.contains(id) {
            continue;
        }
        let Ok(entry) = serde_json::from_str::<Value>(&line) else { continue };
        let (request, auth) = (&entry["request"], &entry["auth"]);
        if request["id"] != id {
            continue;
        }
        let policies = auth["policies"].as_array().cloned().unwrap_or_default();
        if policies.is_empty() {
            let error = entry["error"].as_str().unwrap_or_default();
            return Err(Failure::Remote(format!("the request had no valid token: {error}")));
        }
        return Ok(json!({
            "path": request["path"],
            "operation": request["operation"],
            "wrap_ttl": request["wrap_ttl"],
            "remote_address": request["remote_address"],
            "policies": policies,
            "entity_id": auth["entity_id"],
        }));
    }
    Err(Failure::Remote(format!("no request {id} in \"{file}\"")))
}

/// A text of an answer; empty if it is none.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The texts of a list.
pub fn list(value: &Value) -> String {
    let words: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    words.join(", ")
}

/// The answer for people.
fn story(data: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let denied = &data["denied"];
    if denied.is_object() {
        lines.push(format!(
            "{} {} was denied at {}",
            text(denied, "operation"),
            text(denied, "path"),
            text(denied, "time")
        ));
        who(denied, &mut lines);
        lines.push(format!("  because {}", text(denied, "reason")));
        rule("rule", &denied["rule"], &mut lines);
        parameter(denied, &mut lines);
        if data["now"].is_object() {
            lines.push(String::new());
            lines.push("Now, as far as can be told without the values of its parameters:".into());
        }
    }
    let now = if denied.is_object() { &data["now"] } else { data };
    if now.is_object() {
        told(now, &mut lines);
    }
    lines
}

fn told(now: &Value, lines: &mut Vec<String>) {
    let verdict = if now["allowed"] == true { "allowed" } else { "denied" };
    let operation = text(now, "operation");
    lines.push(format!("{operation}{}{}: {verdict}", if operation.is_empty() { "" } else { " " }, text(now, "path")));
    who(&now["token"], lines);
    lines.push(format!("  because {}", text(now, "reason")));
    rule("rule", &now["rule"], lines);
    parameter(now, lines);
    let mount = &now["mount"];
    if mount.is_object() {
        let version = mount["version"].as_str().map(|v| format!(" version {v}")).unwrap_or_default();
        lines.push(format!("  mount {} ({}{version})", text(mount, "path"), text(mount, "type")));
    }
    for (key, words) in
        [("policies", "policies"), ("missing_policies", "policies that do not exist"), ("bound_cidrs", "bound to")]
    {
        if now[key].as_array().is_some_and(|list| !list.is_empty()) {
            lines.push(format!("  {words}: {}", list(&now[key])));
        }
    }
    for shadowed in now["shadowed"].as_array().into_iter().flatten() {
        rule("less specific, not asked:", shadowed, lines);
    }
    for place in now["unfilled_templates"].as_array().into_iter().flatten() {
        lines.push(format!("  left out, its template cannot be filled in: {}", at(place)));
    }
    for hint in now["hints"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        lines.push(format!("  hint: {hint}"));
    }
    if let Some(change) = now["change"].as_str() {
        lines.push(format!("  to be allowed: {change}"));
    }
    if let Some(rule) = now["smallest_rule"].as_str() {
        lines.push("  the smallest rule that allows it:".into());
        lines.extend(rule.lines().map(|line| format!("    {line}")));
    }
}

fn who(of: &Value, lines: &mut Vec<String>) {
    let (name, accessor) = (text(of, "display_name"), text(of, "accessor"));
    if !accessor.is_empty() || !name.is_empty() {
        lines.push(format!("  token {name} (accessor {accessor})"));
    }
}

fn parameter(of: &Value, lines: &mut Vec<String>) {
    if let Some(name) = of["parameter"].as_str() {
        lines.push(format!("  parameter \"{name}\""));
    }
}

/// Lines about a rule, if there is one.
pub fn rule(words: &str, rule: &Value, lines: &mut Vec<String>) {
    if !rule.is_object() {
        return;
    }
    let capabilities = list(&rule["capabilities"]);
    let gives = if capabilities.is_empty() { String::new() } else { format!(" gives {capabilities}") };
    lines.push(format!("  {words} \"{}\"{gives}", text(rule, "path")));
    lines.extend(rule["origins"].as_array().into_iter().flatten().map(|place| format!("    {}", at(place))));
}

/// Where a rule stands.
pub fn at(place: &Value) -> String {
    format!("policy {}, line {}: path \"{}\"", text(place, "policy"), place["line"], text(place, "path"))
}

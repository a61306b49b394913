//! Asking Consul: its HTTP API's answers in the shapes that consul-template's templates know.
//!
//! Every question after the first waits in Consul for a change, so that a change is seen at once and nothing polls.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderName, HeaderValue};

use super::fetch::{Failure, Fetched, Life};
use super::template::{Dependency, Kind, Value};
use crate::base::Secret;
use crate::client::{Client, Request};

/// How long Consul holds a question back when nothing changes.
const WAIT: &str = "50s";
/// How long an answer to such a question may take: Consul adds up to a sixteenth to the wait.
const TIME_MAX: Duration = Duration::from_secs(65);

/// A Consul agent and the token for it.
#[derive(Clone)]
pub(super) struct Consul {
    pub client: Client,
    pub token: Option<Secret<String>>,
}

impl Consul {
    /// Answers a dependency; with an index, once something has changed since.
    pub(super) async fn fetch(&self, dependency: &Dependency, index: Option<u64>) -> Result<Fetched, Failure> {
        let named: BTreeMap<&str, &str> =
            dependency.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let name = &dependency.path;
        let mut query: Vec<(&str, &str)> = Vec::new();
        let path = match dependency.kind {
            Kind::ConsulKey => format!("kv/{name}"),
            Kind::ConsulTree => {
                query.push(("recurse", ""));
                format!("kv/{name}")
            }
            Kind::ConsulServices => "catalog/services".to_owned(),
            Kind::ConsulService => {
                query.extend(named.get("tag").map(|tag| ("tag", *tag)));
                if named.get("states").is_none_or(|states| *states == "passing") {
                    query.push(("passing", "1"));
                }
                format!("health/service/{name}")
            }
            Kind::ConsulNodes => "catalog/nodes".to_owned(),
            Kind::ConsulNode if name.is_empty() => format!("catalog/node/{}", self.own_node(dependency).await?),
            Kind::ConsulNode => format!("catalog/node/{name}"),
            _ => "catalog/datacenters".to_owned(),
        };
        query.extend(["dc", "near"].into_iter().filter_map(|key| named.get(key).map(|value| (key, *value))));
        let index_text = index.map(|index| index.to_string());
        if let Some(index) = &index_text {
            query.extend([("index", index.as_str()), ("wait", WAIT)]);
        }
        let (body, index) = self.ask(&path, &query, dependency.computed).await?;
        let wrong = || Failure::new("Consul's answer has an unexpected form");
        let value = match dependency.kind {
            Kind::ConsulKey => match items(&body).first() {
                Some(pair) => Value::text(decoded(pair)),
                None => Value::Nil,
            },
            Kind::ConsulTree => Value::list(items(&body).iter().map(|pair| self::pair(pair, name))),
            Kind::ConsulServices => services(&body).ok_or_else(wrong)?,
            Kind::ConsulService => instances(&body, named.get("states").copied().unwrap_or("passing")),
            Kind::ConsulNodes => {
                let mut nodes: Vec<Value> = items(&body).iter().map(node).collect();
                nodes.sort_by_key(|node| (string(node, "Node"), string(node, "Address")));
                Value::list(nodes)
            }
            Kind::ConsulNode => node_with_services(&body),
            _ => Value::list(items(&body).iter().cloned()),
        };
        Ok(Fetched::new(value, Life::Watched(index)))
    }

    async fn own_node(&self, dependency: &Dependency) -> Result<String, Failure> {
        let (body, _) = self.ask("agent/self", &[], dependency.computed).await?;
        let name = body.key("Config").and_then(|config| config.key("NodeName")).and_then(Value::as_str);
        name.map(str::to_owned).ok_or_else(|| Failure::new("Consul does not say its own name"))
    }

    /// An answer and its index; what does not exist is nil.
    async fn ask(&self, path: &str, query: &[(&str, &str)], computed: bool) -> Result<(Value, u64), Failure> {
        let mut request = Request::read(path).query_all(query).timeout(TIME_MAX).without_token();
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(token.reveal())
                .map_err(|_| Failure::new("the Consul token has characters that no header can carry"))?;
            value.set_sensitive(true);
            request = request.header(HeaderName::from_static("x-consul-token"), value);
        }
        let reply = self.client.raw(request).await.map_err(|error| Failure::new(error.to_string()))?;
        let index = reply.headers.get("x-consul-index").and_then(|value| value.to_str().ok()?.parse().ok());
        let index: u64 = index.unwrap_or(0);
        match reply.status {
            404 => Ok((Value::Nil, index)),
            200..300 => {
                let text =
                    std::str::from_utf8(&reply.body).map_err(|_| Failure::new("Consul's answer is not UTF-8"))?;
                Value::from_json(text).map(|value| (value, index)).map_err(Failure::new)
            }
            status => {
                let said = if computed { String::new() } else { super::fetch::shown(&reply.body) };
                Err(Failure::answered(format!("Consul answered {status}{said}"), status))
            }
        }
    }
}

fn items(body: &Value) -> &[Value] {
    match body {
        Value::List(items) => items,
        _ => &[],
    }
}

fn string(value: &Value, key: &str) -> String {
    value.key(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn field(value: &Value, key: &str) -> Value {
    value.key(key).cloned().unwrap_or(Value::Nil)
}

fn list_field(value: &Value, key: &str) -> Value {
    match value.key(key) {
        Some(Value::List(items)) => Value::List(items.clone()),
        _ => Value::list([]),
    }
}

fn decoded(pair: &Value) -> Vec<u8> {
    let encoded = pair.key("Value").and_then(Value::as_str).unwrap_or_default();
    STANDARD.decode(encoded).unwrap_or_default()
}

/// A key with its value; `Key` is the rest below the prefix, `Path` the whole.
fn pair(pair: &Value, prefix: &str) -> Value {
    let path = string(pair, "Key");
    let key = path.strip_prefix(prefix).unwrap_or(&path).trim_start_matches('/').to_owned();
    Value::map([
        ("Path", Value::text(path)),
        ("Key", Value::text(key)),
        ("Value", Value::text(decoded(pair))),
        ("Exists", Value::Bool(true)),
        ("CreateIndex", field(pair, "CreateIndex")),
        ("ModifyIndex", field(pair, "ModifyIndex")),
        ("LockIndex", field(pair, "LockIndex")),
        ("Flags", field(pair, "Flags")),
        ("Session", Value::text(string(pair, "Session"))),
    ])
}

fn services(body: &Value) -> Option<Value> {
    let Value::Map(map) = body else { return None };
    Some(Value::list(map.iter().map(|(name, tags)| {
        let mut tags: Vec<String> = items(tags).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        tags.sort();
        Value::map([("Name", Value::text(name.bytes())), ("Tags", Value::list(tags.into_iter().map(Value::text)))])
    })))
}

/// The worst state of an instance's checks.
fn status(checks: &[Value]) -> &'static str {
    let mut worst = "passing";
    for check in checks {
        let id = string(check, "CheckID");
        if id == "_node_maintenance" || id.starts_with("_service_maintenance:") {
            return "maintenance";
        }
        worst = match (string(check, "Status").as_str(), worst) {
            ("critical", _) => "critical",
            ("warning", "passing") => "warning",
            _ => worst,
        };
    }
    worst
}

fn instances(body: &Value, states: &str) -> Value {
    let wanted: Vec<&str> = states.split(',').map(str::trim).collect();
    let mut found: Vec<Value> = Vec::new();
    for entry in items(body) {
        let (Some(node), Some(service)) = (entry.key("Node"), entry.key("Service")) else { continue };
        let checks = list_field(entry, "Checks");
        let state = status(items(&checks));
        if !wanted.iter().any(|wanted| *wanted == "any" || *wanted == state) {
            continue;
        }
        let own = string(service, "Address");
        let address = if own.is_empty() { string(node, "Address") } else { own };
        found.push(Value::map([
            ("ID", field(service, "ID")),
            ("Name", field(service, "Service")),
            ("Kind", Value::text(string(service, "Kind"))),
            ("Node", field(node, "Node")),
            ("NodeID", field(node, "ID")),
            ("NodeAddress", field(node, "Address")),
            ("NodeDatacenter", field(node, "Datacenter")),
            ("NodeTaggedAddresses", field(node, "TaggedAddresses")),
            ("NodeMeta", field(node, "Meta")),
            ("ServiceMeta", field(service, "Meta")),
            ("ServiceTaggedAddresses", field(service, "TaggedAddresses")),
            ("Address", Value::text(address)),
            ("Port", field(service, "Port")),
            ("Tags", list_field(service, "Tags")),
            ("Weights", field(service, "Weights")),
            ("Status", Value::text(state)),
            ("Checks", checks),
        ]));
    }
    found.sort_by_key(|service| (string(service, "Node"), string(service, "ID")));
    Value::list(found)
}

fn node(node: &Value) -> Value {
    Value::map([
        ("ID", field(node, "ID")),
        ("Node", field(node, "Node")),
        ("Address", field(node, "Address")),
        ("Datacenter", field(node, "Datacenter")),
        ("TaggedAddresses", field(node, "TaggedAddresses")),
        ("Meta", field(node, "Meta")),
    ])
}

fn node_with_services(body: &Value) -> Value {
    let Some(found) = body.key("Node").filter(|node| !node.is_nil()) else { return Value::Nil };
    let services = match body.key("Services") {
        Some(Value::Map(services)) => services.values().cloned().collect(),
        _ => Vec::new(),
    };
    let mut services: Vec<Value> = services
        .iter()
        .map(|service| {
            Value::map([
                ("ID", field(service, "ID")),
                ("Service", field(service, "Service")),
                ("Tags", list_field(service, "Tags")),
                ("Meta", field(service, "Meta")),
                ("Port", field(service, "Port")),
                ("Address", field(service, "Address")),
                ("EnableTagOverride", field(service, "EnableTagOverride")),
            ])
        })
        .collect();
    services.sort_by_key(|service| string(service, "Service"));
    Value::map([("Node", node(found)), ("Services", Value::list(services))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        Value::from_json(text).unwrap()
    }

    #[test]
    fn an_instance_in_maintenance_or_failing_is_not_passing() {
        let entry = |id: &str, check: &str| {
            format!(
                r#"{{"Node":{{"Node":"n","Address":"10.0.0.1"}},"Service":{{"ID":"{id}","Service":"web","Port":80,"Address":"","Tags":null}},
                    "Checks":[{check}]}}"#
            )
        };
        let body = json(&format!(
            "[{},{},{}]",
            entry("b", r#"{"CheckID":"c","Status":"passing"}"#),
            entry("a", r#"{"CheckID":"c","Status":"critical"}"#),
            entry("c", r#"{"CheckID":"_node_maintenance","Status":"critical"}"#)
        ));
        let ids =
            |states| -> Vec<String> { items(&instances(&body, states)).iter().map(|i| string(i, "ID")).collect() };
        assert_eq!(ids("passing"), ["b"]);
        assert_eq!(ids("passing,critical"), ["a", "b"]);
        assert_eq!(ids("any"), ["a", "b", "c"]);
        assert_eq!(string(&items(&instances(&body, "any"))[0], "Address"), "10.0.0.1");
        assert!(items(&instances(&json("{}"), "any")).is_empty());
    }

    #[test]
    fn a_pair_is_decoded_and_named_below_its_prefix() {
        let found = pair(&json(r#"{"Key":"app/db/host","Value":"aGk="}"#), "app");
        assert_eq!((string(&found, "Key"), string(&found, "Value")), ("db/host".to_owned(), "hi".to_owned()));
        assert_eq!(string(&pair(&json(r#"{"Key":"a","Value":null}"#), "a"), "Value"), "");
    }
}

//! From a dependency to its value: one or two requests, and how long what came is good for.
//!
//! What the server says in an error is shown only for dependencies that the template spells out: its text may repeat a
//! parameter, and a computed parameter may be a secret.

use std::time::Duration;

use jiff::SignedDuration;

use super::certificate;
use super::template::{Dependency, Kind, Text, Value};
use crate::base::Timestamp;
use crate::client::{Client, Request};

/// The longest text of a server that is shown, in characters.
const TEXT_MAX: usize = 200;

/// A value and its life.
pub(super) struct Fetched {
    pub value: Value,
    pub life: Life,
    /// The path that was read, where a read of it alone gives the value: what a server can tell of changes.
    pub source: Option<String>,
}

impl Fetched {
    pub(super) fn new(value: Value, life: Life) -> Fetched {
        Fetched { value, life, source: None }
    }
}

/// How long a value is good for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Life {
    /// Until somebody changes it: read again from time to time.
    Static,
    /// As long as its lease.
    Leased { id: String, time: Duration, renewable: bool },
    /// A certificate's.
    Certificate { from: Timestamp, until: Timestamp },
    /// Changed by the server after this long.
    Rotated(Duration),
    /// The answer to a write, which is not asked again.
    Once,
    /// Until Consul tells of a change after this index.
    Watched(u64),
}

/// Why there is no value.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// For people; without a secret.
    pub text: String,
    /// The HTTP status, when the server answered.
    pub status: Option<u16>,
    /// The server said that nothing is here, and not only that it knows no such place.
    pub absent: bool,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), status: None, absent: false }
    }

    /// The server answered, with this status.
    pub(super) fn answered(text: impl Into<String>, status: u16) -> Failure {
        Failure { text: text.into(), status: Some(status), absent: false }
    }

    /// Whether a server that works has answered at all.
    pub(super) fn met_server(&self) -> bool {
        self.status.is_some_and(|status| status < 500)
    }

    /// Whether the server answered that it will not, so that asking again is of little use.
    pub(super) fn is_refusal(&self) -> bool {
        self.status.is_some_and(|status| (400..500).contains(&status) && !matches!(status, 412 | 429))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Fetches a dependency.
pub(super) async fn fetch(client: &Client, dependency: &Dependency, now: Timestamp) -> Result<Fetched, Failure> {
    match dependency.kind {
        kind if kind.is_consul() => Err(Failure::new("no Consul is configured")),
        Kind::List => {
            let (reply, _) = read(client, dependency, "metadata").await?;
            let keys = reply.key("data").and_then(|data| data.key("keys")).cloned();
            Ok(Fetched::new(keys.unwrap_or_else(|| Value::list([])), Life::Static))
        }
        Kind::Write | Kind::Certificate => {
            let reply = send(client, write_request(dependency)?, dependency.computed).await?;
            let data = reply.key("data").cloned().unwrap_or_default();
            let valid = certificate::validity(&data);
            if dependency.kind == Kind::Certificate {
                let (from, until) = valid.ok_or_else(|| Failure::new("the answer holds no certificate"))?;
                let value = certificate::pki_cert(&data).ok_or_else(|| Failure::new("the answer holds no key"))?;
                return Ok(Fetched::new(value, Life::Certificate { from: from.max(backdated(now)), until }));
            }
            let life = match (lease(&reply), valid) {
                (_, Some((from, until))) => Life::Certificate { from: from.max(backdated(now)), until },
                (Some(lease), None) => lease,
                (None, None) => Life::Once,
            };
            Ok(Fetched::new(secret(reply), life))
        }
        _ => {
            let (reply, path) = read(client, dependency, "data").await?;
            let life = life_of_read(&reply);
            let source = (life == Life::Static && !path.contains('?')).then_some(path);
            Ok(Fetched { source, ..Fetched::new(secret(reply), life) })
        }
    }
}

/// What a server says besides JSON, in one bounded line after a colon.
pub(super) fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * TEXT_MAX)]);
    let line: Vec<&str> = text.split_whitespace().collect();
    if line.is_empty() {
        String::new()
    } else {
        format!(": {}", line.join(" ").chars().take(TEXT_MAX).collect::<String>())
    }
}

/// Renews a lease; gives its new life.
pub(super) async fn renew_lease(client: &Client, id: &str) -> Result<Duration, Failure> {
    let body = serde_json::json!({ "lease_id": id });
    let request = Request::write("sys/leases/renew").json(&body).map_err(|_| Failure::new("no lease id"))?;
    let reply = send(client, request, false).await?;
    let seconds = reply.key("lease_duration").and_then(Value::as_int).and_then(|n| u64::try_from(n).ok());
    seconds.map(Duration::from_secs).ok_or_else(|| Failure::new("the answer holds no lease"))
}

/// Whether a certificate was revoked, by what the server says at its serial number.
pub(super) async fn is_revoked(client: &Client, path: &str, computed: bool) -> Result<bool, Failure> {
    let reply = send(client, Request::read(path), computed).await?;
    let at = reply.key("data").and_then(|data| data.key("revocation_time")).and_then(Value::as_int);
    at.map(|at| at > 0).ok_or_else(|| Failure::new("the answer holds no time of revocation"))
}

/// Sends a request; gives the reply's JSON.
pub(super) async fn send(client: &Client, request: Request, computed: bool) -> Result<Value, Failure> {
    let reply = client.raw(request).await.map_err(|error| Failure::new(error.to_string()))?;
    let body = match std::str::from_utf8(&reply.body) {
        Ok(body) if body.trim().is_empty() => Ok(Value::Missing),
        Ok(body) => Value::from_json(body),
        Err(_) => Err("not UTF-8".to_owned()),
    };
    if reply.status < 300 {
        return match body {
            Ok(Value::Missing) => Ok(Value::map([("data", Value::Nil)])),
            Ok(body @ Value::Map(_)) => Ok(body),
            _ => Err(Failure::new("the server's answer is not a JSON object")),
        };
    }
    let mut text = format!("the server answered {}", reply.status);
    if let (Ok(body), false) = (&body, computed)
        && let Some(Value::List(errors)) = body.key("errors")
    {
        for error in errors.iter().filter_map(Value::as_str) {
            let line: Vec<&str> = error.split_whitespace().collect();
            text.push_str(": ");
            text.extend(line.join(" ").chars().take(TEXT_MAX));
        }
    }
    // Where nothing lies the list of errors is empty, or there is data about what was removed.
    let nothing = |body: &Value| match body.key("errors") {
        Some(Value::List(errors)) => errors.is_empty(),
        _ => body.key("data").is_some(),
    };
    let absent = reply.status == 404 && body.is_ok_and(|body| nothing(&body));
    Err(Failure { text, status: Some(reply.status), absent })
}

/// A certificate is valid from a little before it was made; its life is counted from about then.
fn backdated(now: Timestamp) -> Timestamp {
    now.checked_sub(SignedDuration::from_secs(60)).unwrap_or(now)
}

/// Reads or lists; gives the path that answered too. A path of a versioned key-value store may lack its `data/` or `metadata/`, as consul-template has it.
async fn read(client: &Client, dependency: &Dependency, infix: &str) -> Result<(Value, String), Failure> {
    let first = send(client, read_request(dependency, &dependency.path), dependency.computed).await;
    let failure = match first {
        Ok(reply)
            if !reply.key("data").is_none_or(Value::is_nil) || reply.key("wrap_info").is_some_and(Value::truth) =>
        {
            return Ok((reply, dependency.path.clone()));
        }
        Ok(_) => Failure { text: "no secret is here".to_owned(), status: Some(404), absent: true },
        Err(failure) if matches!(failure.status, Some(403 | 404)) => failure,
        Err(failure) => return Err(failure),
    };
    let Some(path) = versioned(client, dependency, infix).await else { return Err(failure) };
    let reply = send(client, read_request(dependency, &path), dependency.computed).await?;
    Ok((reply, path))
}

/// The path with its infix, when the mount is a versioned key-value store and the path has none.
async fn versioned(client: &Client, dependency: &Dependency, infix: &str) -> Option<String> {
    let bare = dependency.path.split('?').next().unwrap_or_default();
    let request = Request::read(&format!("sys/internal/ui/mounts/{bare}"));
    let reply = send(client, request, dependency.computed).await.ok()?;
    let data = reply.key("data")?;
    if data.key("options")?.key("version")?.as_str()? != "2" {
        return None;
    }
    let mount = data.key("path")?.as_str()?;
    let rest = format!("{}/", dependency.path).strip_prefix(mount)?.trim_end_matches('/').to_owned();
    if ["data", "metadata"].iter().any(|word| rest.split('/').next() == Some(word)) {
        return None;
    }
    Some(format!("{mount}{infix}/{rest}"))
}

fn read_request(dependency: &Dependency, path: &str) -> Request {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut request = if dependency.kind == Kind::List { Request::list(path) } else { Request::read(path) };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        request = request.query(name, value);
    }
    request
}

fn write_request(dependency: &Dependency) -> Result<Request, Failure> {
    let body: serde_json::Map<String, serde_json::Value> =
        dependency.parameters.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    Request::write(&dependency.path).json(&body).map_err(|_| Failure::new("the parameters are not JSON"))
}

fn lease(reply: &Value) -> Option<Life> {
    let id = reply.key("lease_id")?.as_str().filter(|id| !id.is_empty())?.to_owned();
    let seconds = reply.key("lease_duration").and_then(Value::as_int).and_then(|n| u64::try_from(n).ok())?;
    let renewable = reply.key("renewable").is_some_and(Value::truth);
    Some(Life::Leased { id, time: Duration::from_secs(seconds), renewable })
}

fn life_of_read(reply: &Value) -> Life {
    if let Some(lease) = lease(reply) {
        return lease;
    }
    let seconds = |name: &str| reply.key("data")?.key(name)?.as_int().and_then(|n| u64::try_from(n).ok());
    // A database's static account: the server changes its password, and says when.
    match (seconds("rotation_period"), seconds("ttl")) {
        (Some(_), Some(ttl)) => Life::Rotated(Duration::from_secs(ttl.saturating_add(1))),
        _ => Life::Static,
    }
}

/// A reply as templates see it: `Data`, `LeaseID` and so on.
fn secret(reply: Value) -> Value {
    let Value::Map(fields) = &reply else { return Value::Nil };
    Value::map(fields.iter().map(|(name, value)| {
        let value = match name.bytes() {
            b"auth" | b"wrap_info" => capitals(value),
            _ => value.clone(),
        };
        (go_name(name), value)
    }))
}

/// A struct of the API with Go's names for its fields.
fn capitals(value: &Value) -> Value {
    match value {
        Value::Map(fields) => Value::map(fields.iter().map(|(name, value)| (go_name(name), value.clone()))),
        other => other.clone(),
    }
}

/// `lease_id` to `LeaseID`.
fn go_name(name: &Text) -> String {
    let mut out = String::new();
    for word in name.lossy().split('_') {
        match word {
            "id" | "ttl" => out.push_str(&word.to_uppercase()),
            word => {
                let mut chars = word.chars();
                out.extend(chars.next().map(|first| first.to_ascii_uppercase()));
                out.push_str(chars.as_str());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_becomes_what_templates_know() {
        let reply = Value::from_json(
            r#"{"request_id":"r","lease_id":"l","lease_duration":60,"renewable":true,"data":{"snake_case":"v"},
                "auth":{"client_token":"t","entity_id":"e"},"wrap_info":{"ttl":5},"warnings":null}"#,
        )
        .unwrap();
        assert!(matches!(lease(&reply), Some(Life::Leased { renewable: true, .. })));
        let value = secret(reply);
        assert_eq!(value.key("LeaseID").unwrap().as_str(), Some("l"));
        assert_eq!(value.key("LeaseDuration").unwrap().as_int(), Some(60));
        assert_eq!(value.key("Data").unwrap().key("snake_case").unwrap().as_str(), Some("v"));
        assert_eq!(value.key("Auth").unwrap().key("ClientToken").unwrap().as_str(), Some("t"));
        assert_eq!(value.key("Auth").unwrap().key("EntityID").unwrap().as_str(), Some("e"));
        assert_eq!(value.key("WrapInfo").unwrap().key("TTL").unwrap().as_int(), Some(5));
    }

    #[test]
    fn lives_are_told_apart() {
        let life = |json: &str| life_of_read(&Value::from_json(json).unwrap());
        assert_eq!(life(r#"{"lease_id":"","lease_duration":2764800,"data":{"a":1}}"#), Life::Static);
        assert_eq!(
            life(r#"{"lease_id":"","data":{"ttl":10,"rotation_period":60}}"#),
            Life::Rotated(Duration::from_secs(11))
        );
    }
}

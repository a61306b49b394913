//! A secret in every place of thousands of odd requests over all routes: no error, log, metric or audit line tells it.
//!
//! `WARIFU_CANARY=1000000` asks so many; `WARIFU_SEED` repeats a run. A secret has the word of its place in it, so that what
//! is found says where it came from. Two places are told by design, as Vault tells them: audit names the path and the keys
//! of a body (never a value), and an error may name the thing that the path names.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::http::{Call, Http};
use crate::logs;
use crate::paths::{VERBS, mount_all};
use crate::server::{Plan, Server, at_once};

/// Requests to one server; then comes the next, so that neither it nor its audit file grows without a bound.
const ROUND: usize = 10_000;
const LANES: usize = 8;
/// What every secret ends with.
const MARK: &str = "canary-9b4e";
const IN_PATH: &str = "p-canary-9b4e";
const IN_KEY: &str = "k-canary-9b4e";
/// Secrets that nothing may tell.
const SECRETS: [&str; 5] =
    ["h-canary-9b4e", "q-canary-9b4e", "v-canary-9b4e", "nested-canary-9b4e", "broken-canary-9b4e"];
/// Headers that carry something of the caller, or steer the request.
const HEADERS: [&str; 17] = [
    "x-vault-token",
    "authorization",
    "x-vault-wrap-ttl",
    "x-vault-wrap-format",
    "x-vault-namespace",
    "x-vault-mfa",
    "x-vault-policy-override",
    "x-vault-request",
    "x-vault-index",
    "x-forwarded-for",
    "x-forwarded-client-cert",
    "client-cert",
    "cookie",
    "user-agent",
    "accept",
    "content-type",
    "x-told",
];

/// A row of a route table, as it is asked.
struct Route {
    method: &'static str,
    mount: String,
    pattern: &'static str,
    fields: Vec<(&'static str, &'static str)>,
    /// Makes keys: seldom asked, since it takes long.
    slow: bool,
}

/// What would end the story, or make the rest of it nothing but refusals.
fn ends_the_story(pattern: &str) -> bool {
    // The log as it is written, and whatever waits for a change, do not end by themselves.
    matches!(pattern, "seal" | "step-down" | "revoke-self" | "monitor" | "internal/watch")
        || pattern.starts_with("quotas/rate-limit/")
}

/// OAuth's `state` comes back in an error, as it has to (RFC 6749, section 4.1.2.1), and what one may do on a path stands under that path.
fn comes_back(pattern: &str, field: &str) -> bool {
    field == "state" && pattern.ends_with("/authorize")
        || matches!(field, "path" | "paths") && pattern.starts_with("capabilities")
        // What stands in a certificate is no secret, and its refusal names it; who applies many policies must know which one is wrong.
        || matches!(field, "common_name" | "serial_number" | "user_ids") && pattern.contains("{role}")
        || matches!(field, "policies" | "delete") && pattern.starts_with("policies/apply/")
}

fn routes(server: &Server) -> Vec<Route> {
    let mut routes = Vec::new();
    for entry in server.vault().mounts().table().iter() {
        for endpoint in entry.engine.table().endpoints().iter().filter(|e| !ends_the_story(e.pattern)) {
            for (verb, method) in VERBS {
                let Some(handling) = endpoint.handling(verb) else { continue };
                routes.push(Route {
                    method,
                    mount: entry.mount.path.as_str().to_owned(),
                    pattern: endpoint.pattern,
                    fields: handling
                        .fields
                        .iter()
                        .map(|f| (f.name, f.kind))
                        .filter(|(f, _)| !comes_back(endpoint.pattern, f))
                        .collect(),
                    slow: ["generate", "rotate", "password", "users/"].iter().any(|w| endpoint.pattern.contains(w)),
                });
            }
        }
    }
    routes
}

/// One odd request.
fn request(http: &Http, route: &Route, chance: &mut Chance) -> Call {
    let body = json(route, chance);
    let mut path = path(route, chance);
    if chance.once_in(3) {
        let name = route.fields.get(chance.below(route.fields.len() + 1)).map_or("any", |(name, _)| name);
        path.push_str(&format!("?{}={}", chance.pick(&[name, "list", "help", "version"]), SECRETS[1]));
    }
    let http = match chance.below(12) {
        0 => http.anonymous(),
        1 => http.with(SECRETS[0]),
        _ => http.clone(),
    };
    let mut call = http.call(route.method, &path);
    if chance.once_in(4) {
        let value = *chance.pick(&[
            SECRETS[0],
            "Bearer h-canary-9b4e",
            "60s h-canary-9b4e",
            "a=h-canary-9b4e; b",
            "10.0.0.1, h-canary-9b4e",
        ]);
        call = call.header(chance.pick::<&str>(&HEADERS), value);
    }
    if chance.once_in(10) {
        call = call.header("x-vault-wrap-ttl", "60");
    }
    if route.method == "PATCH" {
        call = call.header("content-type", "application/merge-patch+json");
    }
    match chance.below(10) {
        // Cut off, or with something behind: what cannot be parsed.
        0 => {
            let mut text = body.to_string();
            let at = (0..=chance.below(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(at);
            call.bytes(format!(
                "{text}{}",
                chance.pick(&["", "\"broken-canary-9b4e", "broken-canary-9b4e}", "\u{0}broken-canary-9b4e"])
            ))
        }
        1 => call.bytes(format!("{{\"{IN_KEY}\":1,\"{IN_KEY}\":\"{}\"}}", SECRETS[2])),
        _ => call.json(&body),
    }
}

/// The route's path with secrets, or with what may be there, for its captures.
fn path(route: &Route, chance: &mut Chance) -> String {
    let there = ["walk", "default", "walk", "internal"];
    let segments: Vec<String> = route
        .pattern
        .split('/')
        .map(|segment| {
            let rest = segment.ends_with("..}");
            match segment.starts_with('{') {
                true if rest && chance.once_in(3) => format!("{IN_PATH}/deep"),
                true if chance.once_in(2) => (*chance.pick(&[
                    IN_PATH,
                    "P-CANARY-9B4E",
                    "p-canary-9b4e%20",
                    "p-canary-9b4e%00",
                    "..%2fp-canary-9b4e",
                    "%ffp-canary-9b4e",
                ]))
                .to_owned(),
                true => (*chance.pick(&there)).to_owned(),
                false => segment.to_owned(),
            }
        })
        .collect();
    format!("{}{}", route.mount, segments.join("/"))
}

/// A body in which some fields are the route's own, in the right type or in another.
fn json(route: &Route, chance: &mut Chance) -> Value {
    let mut body = serde_json::Map::new();
    for _ in 0..chance.below(5) {
        if let Some((name, kind)) = route.fields.get(chance.below(route.fields.len().max(1))) {
            body.insert((*name).to_owned(), value(kind, chance));
        }
    }
    if chance.once_in(3) {
        body.insert(IN_KEY.to_owned(), value("any", chance));
    }
    Value::Object(body)
}

fn value(kind: &str, chance: &mut Chance) -> Value {
    let text = *chance.pick(&[
        SECRETS[2],
        "v-canary-9b4e,v-canary-9b4e",
        "v-canary-9b4e\r\nSet-Cookie: a=b",
        "1h v-canary-9b4e",
        "{{v-canary-9b4e}}",
        "-----BEGIN CERTIFICATE-----\nv-canary-9b4e",
    ]);
    let nested = json!({IN_KEY: [{"deep": SECRETS[3]}, SECRETS[3]], "k": {IN_KEY: SECRETS[3]}});
    match (chance.below(4), kind) {
        (0, _) => nested,
        (1, _) => json!([text, {"k": SECRETS[3]}, [SECRETS[3]]]),
        (2, "boolean") => json!(true),
        (2, "integer") => json!(1),
        (2, "duration") => json!("1h"),
        (2, "array") => json!([text]),
        (2, "object") => json!({"k": SECRETS[3]}),
        _ => json!(text),
    }
}

async fn lane(http: Http, routes: Arc<Vec<Route>>, seed: u64, count: usize) -> (usize, BTreeSet<String>) {
    let (mut chance, mut taken, mut told) = (Chance(seed), 0, BTreeSet::new());
    for _ in 0..count {
        let route = chance.pick(&routes);
        if route.slow && !chance.once_in(20) {
            continue;
        }
        let answer = request(&http, route, &mut chance).await;
        let what = || format!("{} {}{}", route.method, route.mount, route.pattern);
        taken += usize::from(answer.succeeded());
        if answer.status == 0 || answer.status == 500 {
            told.insert(format!("fault of {}: {} {}", what(), answer.status, answer.text.trim()));
        }
        let said = || error_of(&answer.text);
        if answer.status >= 400 && SECRETS.iter().chain(&[IN_KEY]).any(|secret| said().contains(secret)) {
            told.insert(format!("error of {}: {}", what(), answer.text.trim()));
        }
        if answer
            .headers
            .iter()
            .any(|(name, value)| name.contains(MARK) || value.contains(MARK) || name == "set-cookie")
        {
            told.insert(format!("header of {}: {:?}", what(), answer.headers));
        }
    }
    (taken, told)
}

/// What an answer says of an error: without its warnings, which name fields that nobody knows, and without what was said of a
/// version that is gone by who wrote it, which comes with the 404.
fn error_of(answer: &str) -> String {
    let Ok(Value::Object(mut map)) = serde_json::from_str(answer) else { return answer.to_owned() };
    map.remove("warnings");
    if let Some(metadata) = map.get_mut("data").and_then(|data| data.get_mut("metadata")?.as_object_mut()) {
        metadata.remove("custom_metadata");
    }
    Value::Object(map).to_string()
}

/// What Vault tells of a token, whatever its maker put there.
fn tells_of_a_token(place: &str) -> bool {
    const PLACES: [&str; 6] =
        ["display_name", "metadata", "policies", "token_policies", "identity_policies", "policy_results"];
    place.rsplit_once("auth/").is_some_and(|(_, rest)| PLACES.iter().any(|p| rest.starts_with(p)))
}

/// Every text of an audit line that tells what it must not, with its place.
fn leaks(value: &Value, place: &str, found: &mut BTreeSet<String>) {
    let has = |text: &str, marks: &[&str]| marks.iter().any(|mark| text.to_lowercase().contains(mark));
    match value {
        Value::String(text) if !tells_of_a_token(place) => {
            // The path, and words about what it names; a warning names fields that nobody knows.
            let by_path = ["path", "mount_point", "error", "creation_path"].iter().any(|p| place.ends_with(p));
            let warns = place.ends_with("warnings");
            if has(text, &SECRETS) || has(text, &[IN_KEY]) && !warns || has(text, &[IN_PATH]) && !by_path && !warns {
                found.insert(format!("audit at {place}: {text}"));
            }
        }
        Value::Array(list) => list.iter().for_each(|one| leaks(one, place, found)),
        Value::Object(map) => {
            for (key, one) in map {
                if has(key, &SECRETS)
                    || has(key, &[IN_KEY, IN_PATH]) && !place.contains("data") && !tells_of_a_token(place)
                {
                    found.insert(format!("audit has the key {key} at {place}"));
                }
                leaks(one, &if place.is_empty() { key.clone() } else { format!("{place}/{key}") }, found);
            }
        }
        _ => {}
    }
}

async fn round(seed: u64, count: usize) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let server = Plan { audit_folder: Some(folder.path().to_owned()), ..Plan::memory() }.ready().await;
    mount_all(&server).await;
    let file = folder.path().join("a.log");
    server.put("sys/audit/file", json!({"type": "file", "options": {"file_path": file}})).await.ok();
    server.put("sys/config/auditing/request-headers/x-told", json!({"hmac": true})).await.ok();
    let routes = Arc::new(routes(&server));
    assert!(routes.len() > 300, "{} routes only", routes.len());
    let lanes = (0..LANES as u64).map(|n| lane(server.http.clone(), routes.clone(), seed + n, count / LANES));
    let (mut taken, mut found) = (0, BTreeSet::new());
    for (ok, told) in at_once(lanes).await {
        taken += ok;
        found.extend(told);
    }
    // Neither all refused nor a server that gave up.
    assert!(taken > count / 50, "{taken} of {count} were taken");
    server.get("sys/mounts").await.ok();
    server.vault().audit().flush().await;
    let audit = std::fs::read_to_string(file).unwrap();
    assert!(audit.lines().count() > count / 2, "{} lines", audit.lines().count());
    for line in audit.lines() {
        leaks(&serde_json::from_str(line).unwrap(), "", &mut found);
    }
    server.vault().count_usage().await.unwrap();
    for format in ["prometheus", ""] {
        let metrics = server.get(&format!("sys/metrics?format={format}")).await.ok().text;
        // A policy's name is told, whatever a token's maker wrote there.
        let lines = metrics.lines().filter(|l| l.to_lowercase().contains(MARK) && !l.contains("policy"));
        found.extend(lines.map(|l| format!("metric: {l}")));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_every_place_of_many_odd_requests_is_told_nowhere() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let count = number("WARIFU_CANARY").unwrap_or(ROUND);
    let seed = number("WARIFU_SEED").unwrap_or(0x5eed) as u64;
    let mut done = 0;
    while done < count {
        let found = round(seed + done as u64, ROUND.min(count - done)).await;
        let shown: Vec<&String> = found.iter().take(40).collect();
        assert!(found.is_empty(), "after {done} requests of the seed {seed}, {} told:\n{shown:#?}", found.len());
        done += ROUND;
        if count > ROUND {
            println!("{done} requests");
        }
    }
    let log = logs::text();
    for secret in SECRETS.iter().chain(&[IN_KEY]) {
        let at = log.find(secret).map(|at| log[at..].chars().take(200).collect::<String>());
        assert_eq!(at, None, "the log tells {secret}");
    }
}

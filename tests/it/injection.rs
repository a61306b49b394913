//! What a client writes stays what it is: it becomes no SQL, no HTML, no header, no log line of its own.
//!
//! Driven by the route tables: every capture of every endpoint is given it, and every text of every body.

use std::sync::Arc;

use serde_json::{Value, json};
use warifu::storage::sqlite::Sqlite;

use crate::http::{Answer, Http};
use crate::paths::{VERBS, mount_all};
use crate::server::{Plan, Server, at_once};

/// As they stand in a body.
const TEXTS: [&str; 8] = [
    "'; DROP TABLE entries; --",
    "\"; DELETE FROM sqlite_master; --",
    "x' OR '1'='1",
    "%' UNION SELECT * FROM sqlite_master --",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "x\r\nX-Injected: 1\r\nSet-Cookie: a=b\r\n\r\n<html>",
    "${jndi:ldap://127.0.0.1/x}\n2026-01-01T00:00:00Z ERROR injected",
];

/// The types that an answer can have: none that a browser runs.
const TYPES: [&str; 12] = [
    "",
    "application/json",
    "application/problem+json",
    "application/pkix-cert",
    "application/pkix-crl",
    "application/pem-certificate-chain",
    "application/x-pem-file",
    "application/ocsp-response",
    "application/jwk-set+json",
    "text/plain",
    "application/octet-stream",
    "text/html",
];

/// Endpoints that answer a browser with a page; what they show of a request is in `jwt.rs`.
fn is_a_page(pattern: &str) -> bool {
    pattern.contains("callback")
}

/// What would end the story.
fn ends_the_story(pattern: &str) -> bool {
    matches!(pattern, "seal" | "step-down" | "revoke-self" | "monitor" | "internal/watch")
        || pattern.starts_with("quotas/rate-limit/")
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn faults(what: &str, page: bool, answer: &Answer) -> Vec<String> {
    let mut faults = Vec::new();
    if answer.status == 0 || answer.status == 500 {
        faults.push(format!("{what}: {} {}", answer.status, answer.text.trim()));
    }
    for (name, value) in &answer.headers {
        if matches!(name.as_str(), "x-injected" | "set-cookie")
            || value.contains("DROP TABLE")
            || value.contains("<script")
        {
            faults.push(format!("{what}: the header {name}: {value}"));
        }
    }
    let media_type = answer.header("content-type").split(';').next().unwrap_or_default().trim();
    if !TYPES.contains(&media_type) || media_type == "text/html" && !page {
        faults.push(format!("{what}: the type {media_type}"));
    }
    if media_type == "text/html" && (answer.text.contains("<script") || answer.text.contains("<img")) {
        faults.push(format!("{what}: the page {}", answer.text));
    }
    if answer.header("cache-control") != "no-store" && answer.status != 0 {
        faults.push(format!("{what}: may be kept: {:?}", answer.headers));
    }
    faults
}

async fn lane(http: Http, asked: Vec<(&'static str, String, Value, bool)>) -> Vec<String> {
    let mut all = Vec::new();
    for (method, path, body, page) in asked {
        let call = http.call(method, &path).json(&body).header("content-type", "application/merge-patch+json");
        all.extend(faults(&format!("{method} {path} {body}"), page, &call.await));
    }
    all
}

/// Openings of the store that nobody but SQLite itself makes: its tables and its own indexes, as text.
fn schema(file: &std::path::Path) -> Vec<String> {
    let store = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut rows = store.prepare("SELECT name || coalesce(sql, '') FROM sqlite_master ORDER BY name").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// CVE-2026-39946, CVE-2023-0620, CVE-2023-2121, and the splitting of answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_in_any_place_of_a_request_becomes_a_statement_a_page_or_a_header() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let server = Plan::over(Arc::new(Sqlite::open(&file).unwrap())).ready().await;
    mount_all(&server).await;
    server.kv("kept", 2).await;
    server.put("kept/data/a", json!({"data": {"k": "v"}})).await.ok();
    let before = schema(&file);
    let mut asked = Vec::new();
    for entry in server.vault().mounts().table().iter() {
        for endpoint in entry.engine.table().endpoints().iter().filter(|e| !ends_the_story(e.pattern)) {
            let page = is_a_page(endpoint.pattern);
            for (verb, method) in VERBS {
                let Some(handling) = endpoint.handling(verb) else { continue };
                let slow = ["generate", "rotate", "password", "users/"].iter().any(|w| endpoint.pattern.contains(w));
                for text in TEXTS.iter().take(if slow { 2 } else { TEXTS.len() }) {
                    let segments = endpoint.pattern.split('/').map(|segment| match segment.starts_with('{') {
                        true => escaped(text),
                        false => segment.to_owned(),
                    });
                    let path = format!("{}{}", entry.mount.path, segments.collect::<Vec<_>>().join("/"));
                    let fields = handling.fields.iter().filter(|field| !matches!(field.name, "token" | "accessor"));
                    let body: serde_json::Map<String, Value> = fields
                        .map(|field| match field.kind {
                            "array" => (field.name.to_owned(), json!([text])),
                            "object" => (field.name.to_owned(), json!({*text: text})),
                            _ => (field.name.to_owned(), json!(text)),
                        })
                        .collect();
                    asked.push((method, path.clone(), Value::Object(body), page));
                    // What is well formed but for one text gets further.
                    let calm = endpoint.pattern.split('/').map(|s| if s.starts_with('{') { "walk" } else { s });
                    let calm = format!("{}{}", entry.mount.path, calm.collect::<Vec<_>>().join("/"));
                    for field in handling.fields.iter().filter(|field| field.kind == "string") {
                        // One of each kind is enough there.
                        let one = [TEXTS[0], TEXTS[4], TEXTS[6]].contains(text);
                        if one && !slow && !matches!(field.name, "token" | "accessor") {
                            asked.push((method, calm.clone(), json!({field.name: text}), page));
                        }
                    }
                }
            }
        }
    }
    assert!(asked.len() > 3000, "{} only", asked.len());
    let mut lanes: Vec<Vec<_>> = (0..8).map(|_| Vec::new()).collect();
    for (n, one) in asked.into_iter().enumerate() {
        lanes[n % 8].push(one);
    }
    let faults: Vec<String> =
        at_once(lanes.into_iter().map(|asked| lane(server.http.clone(), asked))).await.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(30)].join("\n"));
    assert_eq!(schema(&file), before);
    // What was answered with a header from the store would show now.
    for path in ["kept/data/a", "sys/mounts", "sys/seal-status"] {
        let answer = server.get(path).await.ok();
        assert!(answer.header("x-injected").is_empty() && answer.header("set-cookie").is_empty(), "{answer:?}");
    }
    assert_eq!(server.get("kept/data/a").await.ok().data()["data"]["k"], "v");
}

/// What the store keeps under a name comes back under that name alone, whatever SQL or HTML it looks like.
#[tokio::test]
async fn a_hostile_text_that_may_be_kept_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = Plan::over(Arc::new(Sqlite::open(&folder.path().join("store.db")).unwrap())).ready().await;
    server.kv("kv", 1).await;
    for (n, text) in TEXTS.iter().enumerate() {
        server.put(&format!("kv/{n}"), json!({*text: text})).await.ok();
        let name: String = text.chars().filter(|c| !c.is_control()).collect();
        let path = format!("kv/named/{}", escaped(&name).replace("%2f", "-"));
        let made = server.put(&path, json!({"k": text})).await;
        if made.succeeded() {
            assert_eq!(server.get(&path).await.ok().data()["k"], **text);
        } else {
            made.is(400);
        }
    }
    let server = server.crashed().await;
    for (n, text) in TEXTS.iter().enumerate() {
        assert_eq!(server.get(&format!("kv/{n}")).await.ok().data()[*text], **text);
    }
}

/// Settings that later stand in a header of every answer.
#[tokio::test]
async fn what_would_split_an_answer_is_not_kept_where_headers_come_from() {
    let server = Server::new().await;
    mount_all(&server).await;
    let mut faults = Vec::new();
    for break_ in ["\r\n", "\n", "\r", "\u{0}", "\u{85}", "\u{2028}"] {
        let text = format!("a{break_}X-Injected: 1");
        for (path, body) in [
            ("sys/config/ui/headers/x-a", json!({"values": [text]})),
            ("sys/config/cors", json!({"allowed_origins": [text]})),
            ("sys/config/cors", json!({"allowed_origins": ["https://a.test"], "allowed_headers": [text]})),
            ("sys/mounts/kv-one/tune", json!({"allowed_response_headers": [text]})),
            ("sys/mounts/kv-one/tune", json!({"passthrough_request_headers": [text]})),
            ("pki/config/cluster", json!({"path": format!("https://a.test/{text}")})),
            ("identity/oidc/client/c", json!({"key": "default", "redirect_uris": [format!("https://a.test/{text}")]})),
            ("identity/oidc/provider/p", json!({"issuer": format!("https://a.test/{text}")})),
            (
                "auth/jwt/role/r",
                json!({"user_claim": "sub", "allowed_redirect_uris": [format!("https://a.test/{text}")]}),
            ),
        ] {
            let answer = server.put(path, body.clone()).await;
            if answer.status != 400 {
                faults.push(format!("{path} {body}: {answer:?}"));
            }
        }
        let path = format!("sys/config/ui/headers/x{}b", escaped(break_));
        server.put(&path, json!({"values": ["a"]})).await.is(400);
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

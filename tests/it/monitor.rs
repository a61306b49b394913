//! The log as it is written, over the API: who may follow it, what they get, and when it ends.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::http::Streaming;
use crate::process::Place;
use crate::server::{Plan, Server};

/// A line of the server's log.
macro_rules! say {
    ($level:ident, $text:expr) => {
        tracing::$level!(target: "warifu::story", "{}", $text)
    };
}

async fn follow(server: &Server, query: &str) -> Streaming {
    server.get(&format!("sys/monitor{query}")).streaming().await
}

#[tokio::test]
async fn only_who_has_sudo_may_follow_and_only_what_there_is() {
    let server = Server::new().await;
    server.policy("reader", r#"path "sys/monitor" { capabilities = ["read"] }"#).await;
    let reader = server.token_of(json!({"policies": ["reader"]})).await;
    server.get("sys/monitor").by(&reader).await.is(403);
    server.anonymous().get("sys/monitor").await.is(403);
    server.get("sys/monitor?log_level=loud").await.refused(400, "unknown log level");
    server.get("sys/monitor?log_level=off").await.refused(400, "unknown log level");
    server.get("sys/monitor?log_format=xml").await.refused(400, "unknown log format");
    server.get("sys/monitor").wrapped("1m").await.refused(400, "cannot be wrapped");
    server.put("sys/monitor", json!({})).await.is(405);
}

#[tokio::test]
async fn each_follower_gets_its_own_level_and_form_and_no_token() {
    let server = Server::new().await;
    let mut info = follow(&server, "").await;
    let mut debug = follow(&server, "?log_level=debug&log_format=json").await;
    say!(debug, "monitor story: a detail");
    say!(warn, "monitor story: a warning");
    info.until("monitor story: a warning").await;
    debug.until("monitor story: a warning").await;
    assert!(!info.text.contains("a detail"), "{}", info.text);
    let line = debug.text.lines().find(|line| line.contains("a detail")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["level"], &line["message"]), (&json!("DEBUG"), &json!("monitor story: a detail")));
    assert!(!info.text.contains(server.token()) && !debug.text.contains(server.token()));
}

#[tokio::test]
async fn it_lasts_longer_than_a_request_may_take() {
    let mut plan = Plan::memory();
    plan.rules.max_request_duration = Duration::from_millis(300);
    let server = plan.ready().await;
    let mut log = follow(&server, "").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    say!(info, "monitor story: after the bound");
    log.until("monitor story: after the bound").await;
}

#[tokio::test]
async fn it_ends_when_the_server_seals() {
    let server = Server::new().await;
    let mut log = follow(&server, "").await;
    server.put("sys/seal", json!({})).await.ok();
    log.ends().await;
    server.open().await;
    follow(&server, "").await;
}

#[tokio::test]
async fn it_ends_with_the_token_and_with_the_right() {
    let server = Server::new().await;
    let follower = r#"path "sys/monitor" { capabilities = ["read", "sudo"] required_parameters = ["log_level"] }"#;
    server.policy("follower", follower).await;
    let (one, other) = (
        server.token_of(json!({"policies": ["follower"]})).await,
        server.token_of(json!({"policies": ["follower"]})).await,
    );
    let mut of_one = server.get("sys/monitor?log_level=info").by(&one).streaming().await;
    let mut of_other = server.get("sys/monitor?log_level=info").by(&other).streaming().await;
    let mut of_root = follow(&server, "").await;
    server.put("auth/token/revoke", json!({"token": one})).await.ok();
    server.clock().advance(5);
    of_one.ends().await;
    say!(info, "monitor story: one is left");
    of_other.until("monitor story: one is left").await;
    server.delete("sys/policies/acl/follower").await.ok();
    server.clock().advance(5);
    of_other.ends().await;
    say!(info, "monitor story: root remains");
    of_root.until("monitor story: root remains").await;
}

#[tokio::test]
async fn places_are_bounded_and_given_back() {
    let server = Server::new().await;
    let mut followers = Vec::new();
    for _ in 0..warifu::base::limits::STREAMS {
        followers.push(follow(&server, "").await);
    }
    server.get("sys/monitor").await.refused(503, "too many answers stream at once");
    followers.pop();
    server.eventually("a place is free again", || async { server.get("sys/monitor").status().await == 200 }).await;
}

#[tokio::test]
async fn its_beginning_is_on_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = Plan { audit_folder: Some(folder.path().to_owned()), ..Plan::memory() }.ready().await;
    let path = folder.path().join("a.log");
    server.put("sys/audit/file", json!({"type": "file", "options": {"file_path": path}})).await.ok();
    let _log = follow(&server, "").await;
    server.vault().audit().flush().await;
    let text = std::fs::read_to_string(path).unwrap();
    let entries = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of: Vec<_> = entries.filter(|e| e["request"]["path"] == "sys/monitor").map(|e| e["type"].clone()).collect();
    assert_eq!(of, ["request", "response"]);
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_does_not_wait_for_who_follows() {
    let place = Place::new();
    let mut process = place.start().await;
    process.init().await;
    let mut log = process.http.get("sys/monitor?log_level=debug").streaming().await;
    process.signal(Signal::TERM);
    log.ends().await;
    assert_eq!(process.end().await, Some(0));
}

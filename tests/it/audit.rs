//! Nothing leaves unrecorded, and what is recorded gives nothing away.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use warifu::audit::{Declared, DeviceConfig, Rules};
use warifu::crypto::SystemRng;
use warifu::storage::memory::Memory;

use crate::logs;
use crate::server::{Plan, Server};
use crate::stores::Alone;

struct Audited {
    server: Server,
    folder: tempfile::TempDir,
}

impl Audited {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan { audit_folder: Some(folder.path().to_owned()), ..Plan::memory() };
        let server = plan.ready().await;
        let this = Self { server, folder };
        this.enable("file", "a.log", json!({})).await;
        this
    }

    async fn enable(&self, path: &str, file: &str, more: Value) {
        let mut options = json!({"file_path": self.folder.path().join(file)});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.server.put(&format!("sys/audit/{path}"), json!({"type": "file", "options": options})).await.ok();
    }

    async fn text(&self, file: &str) -> String {
        self.server.vault().audit().flush().await;
        std::fs::read_to_string(self.folder.path().join(file)).unwrap()
    }

    async fn entries(&self) -> Vec<Value> {
        self.text("a.log").await.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn a_secret_in_any_place_of_a_request_or_answer_is_in_no_output() {
    let audited = Audited::new().await;
    let server = &audited.server;
    server.kv("secret", 2).await;
    server.kv("plain", 1).await;
    server.auth("userpass", "userpass").await;
    server.put("sys/mounts/pki", json!({"type": "pki"})).await.ok();
    let mut bodies = Vec::new();
    let canary = |n: usize| format!("canary-audit-{n}-7d1f");
    let calls = vec![
        server.put("secret/data/a", json!({"data": {"password": canary(1), "deep": {"er": [canary(2)]}}})),
        server.patch("secret/data/a", json!({"data": {"more": canary(3)}})),
        server.put("secret/metadata/a", json!({"custom_metadata": {"k": canary(4)}})),
        server.put("plain/a", json!({"password": canary(5), "list": [[canary(6)]], "n": {"k": canary(7)}})),
        server.put("cubbyhole/a", json!({"k": canary(8)})),
        server.put("auth/userpass/users/anna", json!({"password": canary(9)})),
        server.put("auth/userpass/login/anna", json!({"password": canary(9)})),
        server.put("auth/userpass/login/nobody", json!({"password": canary(10)})),
        server.put("auth/token/lookup", json!({"token": canary(11)})),
        server.put("auth/token/create", json!({"id": canary(12)})),
        server.put("auth/token/renew", json!({"token": canary(12)})),
        server.put("sys/wrapping/wrap", json!({"k": canary(13)})).wrapped("60s"),
        server.put("sys/wrapping/unwrap", json!({"token": canary(14)})),
        server.put("sys/tools/hash", json!({"input": canary(15)})),
        server.put("sys/unseal", json!({"key": canary(16)})),
        server.put("sys/rekey/update", json!({"key": canary(17), "nonce": canary(18)})),
        server.put("sys/generate-root/attempt", json!({"otp": canary(19)})),
        server.put("no/such/place", json!({"k": canary(20)})),
        server.put("secret/data/a", json!({"data": canary(21)})),
        server.put("secret/data/a", json!({"data": {}, "options": {"cas": canary(22)}})),
        server.get("sys/mounts").by(&canary(23)),
        server.anonymous().get("sys/mounts").header("authorization", &format!("Bearer {}", canary(24))),
        server.put("sys/audit-hash/file", json!({"input": canary(25)})),
        server.get("sys/mounts?unknown=canary-audit-26-7d1f"),
        server.put("sys/capabilities", json!({"token": canary(27), "paths": ["a"]})),
        server.put("secret/data/b", json!({"data": {"k": "v"}})).header("x-vault-wrap-ttl", &canary(28)),
        server.call("PUT", "secret/data/b").bytes(format!("{{\"data\": {{\"k\": \"{}\"", canary(29))),
        server.call("PUT", "secret/data/b").bytes(format!("{} {{", canary(30))),
        server.put("secret/data/b", json!({"data": {"k": "v"}})).header("x-vault-namespace", &canary(31)),
        server.put("auth/token/revoke-accessor", json!({"accessor": canary(33)})),
        server.call("PUT", "pki/ocsp").bytes(canary(34)).header("content-type", "application/ocsp-request"),
        server.call("PUT", "plain/raw").bytes(canary(35)).header("content-type", "application/pkcs10"),
        server.get("sys/mounts").header("x-vault-inline-auth-path", &canary(36)).header("cookie", &canary(37)),
        server.get("sys/mounts").header("user-agent", &canary(38)).header("x-anything", &canary(39)),
    ];
    for call in calls {
        let answer = call.await;
        assert!(answer.status > 0 && answer.status < 500, "{answer:?}");
        bodies.push(answer);
    }
    for path in ["secret/data/a", "plain/a", "cubbyhole/a"] {
        assert!(server.get(path).await.ok().text.contains("canary-audit"), "whoever may read it does");
    }
    let unwrapped = bodies.iter().find(|a| !a.json["wrap_info"].is_null()).unwrap().wrapping_token();
    server.put("sys/wrapping/unwrap", json!({"token": unwrapped})).await.ok();
    for answer in &bodies {
        // What was made with a chosen text gives that text back; no other answer says any of it.
        let made = answer.auth()["client_token"] == canary(12);
        assert!(made || !answer.text.contains("canary-audit"), "{answer:?}");
    }
    let text = audited.text("a.log").await;
    let at = text.find("canary-audit").map(|at| &text[at.saturating_sub(200)..(at + 60).min(text.len())]);
    assert_eq!(at, None, "the audit log shows it");
    assert!(!text.contains(server.token()) && !text.contains(&unwrapped), "the audit log shows a token");
    assert!(!server.shares.iter().any(|share| text.contains(share)));
    let log = logs::text();
    let at = log.find("canary-audit").map(|at| &log[at.saturating_sub(300)..(at + 60).min(log.len())]);
    assert_eq!(at, None, "the log shows it");
    assert!(!log.contains(server.token()));
}

#[tokio::test]
async fn what_is_hashed_can_be_found_by_its_hash() {
    let audited = Audited::new().await;
    let server = &audited.server;
    server.kv("kv", 1).await;
    server.put("kv/a", json!({"password": "hunter2"})).await.ok();
    let hash = server.put("sys/audit-hash/file", json!({"input": "hunter2"})).await.ok().data()["hash"].clone();
    let entries = audited.entries().await;
    let write = entries.iter().find(|e| e["request"]["path"] == "kv/a" && e["type"] == "request").unwrap();
    assert_eq!(write["request"]["data"]["password"], hash);
    let token = server.put("sys/audit-hash/file", json!({"input": server.token()})).await.ok().data()["hash"].clone();
    assert_eq!(write["request"]["client_token"], token);
    server.put("sys/audit-hash/nosuch", json!({"input": "x"})).await.is(400);
}

#[tokio::test]
async fn every_request_has_two_entries_and_a_denied_one_says_so() {
    let audited = Audited::new().await;
    let server = &audited.server;
    let nobody = server.token_of(json!({"policies": ["default"]})).await;
    server.get("sys/mounts").by(&nobody).await.is(403);
    server.anonymous().get("sys/policies/acl/x").await.is(403);
    server.get("nosuch/x").await.is(404);
    server.get("sys/nonsense").await.is(404);
    server.put("sys/mounts/x", json!({"type": 5})).await.is(400);
    let entries = audited.entries().await;
    for (path, error) in [
        ("sys/mounts", "permission denied"),
        ("sys/policies/acl/x", "permission denied"),
        ("nosuch/x", "no handler"),
        ("sys/nonsense", "unsupported path"),
        ("sys/mounts/x", "plugin not found"),
    ] {
        let found =
            entries.iter().any(|e| e["request"]["path"] == path && e["error"].as_str().unwrap_or("").contains(error));
        assert!(found, "{path}: {error}");
    }
}

#[tokio::test]
async fn a_list_of_fields_that_are_shown_is_kept_to() {
    let audited = Audited::new().await;
    let server = &audited.server;
    server.kv("kv", 1).await;
    server.put("sys/mounts/kv/tune", json!({"audit_non_hmac_request_keys": ["shown"]})).await.ok();
    server.put("kv/a", json!({"shown": "canary-shown-1", "hidden": "canary-hidden-1"})).await.ok();
    let text = audited.text("a.log").await;
    assert!(text.contains("canary-shown-1") && !text.contains("canary-hidden-1"));
}

#[tokio::test]
async fn one_device_that_shows_all_makes_no_other_show_it() {
    let audited = Audited::new().await;
    audited.enable("raw", "raw.log", json!({"log_raw": "true"})).await;
    audited.server.kv("kv", 1).await;
    audited.server.put("kv/a", json!({"k": "canary-raw-1"})).await.ok();
    assert!(audited.text("raw.log").await.contains("canary-raw-1"));
    assert!(!audited.text("a.log").await.contains("canary-raw-1"));
}

#[tokio::test]
async fn a_device_writes_only_where_it_may_and_never_what_can_run() {
    let audited = Audited::new().await;
    let server = &audited.server;
    let inside = |name: &str| audited.folder.path().join(name).to_str().unwrap().to_owned();
    std::os::unix::fs::symlink("/etc/passwd", inside("link")).unwrap();
    std::fs::create_dir(inside("folder")).unwrap();
    std::fs::write(inside("foreign"), "not an audit log\n").unwrap();
    std::fs::hard_link(inside("a.log"), inside("second-name")).unwrap();
    let bad: Vec<BTreeMap<&str, String>> = vec![
        BTreeMap::new(),
        BTreeMap::from([("file_path", "/tmp/elsewhere.log".into())]),
        BTreeMap::from([("path", "/tmp/elsewhere.log".into())]),
        BTreeMap::from([("file_path", inside("../out.log"))]),
        BTreeMap::from([("file_path", "relative.log".into())]),
        BTreeMap::from([("file_path", "/dev/full".into())]),
        BTreeMap::from([("file_path", inside("link"))]),
        BTreeMap::from([("file_path", inside("folder"))]),
        BTreeMap::from([("file_path", inside("foreign"))]),
        BTreeMap::from([("file_path", inside("second-name"))]),
        BTreeMap::from([("file_path", inside("a.log"))]),
        BTreeMap::from([("file_path", inside("b.log")), ("path", inside("c.log"))]),
        BTreeMap::from([("file_path", inside("b.log")), ("mode", "0755".into())]),
        BTreeMap::from([("file_path", inside("b.log")), ("mode", "4600".into())]),
        BTreeMap::from([("file_path", inside("b.log")), ("prefix", "#!/bin/sh\n".into())]),
        BTreeMap::from([("file_path", inside("b.log")), ("format", "jsonx".into())]),
        BTreeMap::from([("file_path", inside("b.log")), ("nonsense", "1".into())]),
        BTreeMap::from([("file_path", inside("b.log\n"))]),
        BTreeMap::from([("file_path", inside("b\0.log"))]),
    ];
    for options in bad {
        let answer = server.put("sys/audit/second", json!({"type": "file", "options": options})).await;
        assert!(matches!(answer.status, 400 | 403), "{options:?} {answer:?}");
        assert!(!answer.text.contains("/tmp/elsewhere"), "{answer:?}");
    }
    for kind in ["socket", "syslog", "", "nosuch"] {
        server.put("sys/audit/second", json!({"type": kind, "options": {"file_path": inside("b.log")}})).await.is(400);
    }
    server.put("sys/audit/file", json!({"type": "file", "options": {"file_path": inside("b.log")}})).await.is(400);
    assert_eq!(std::fs::read_to_string(inside("foreign")).unwrap(), "not an audit log\n");
    assert!(!Path::new("/tmp/elsewhere.log").exists());
}

/// A device that opens and cannot write.
fn full(path: &str) -> DeviceConfig {
    let options = BTreeMap::from([("file_path".to_owned(), "/dev/full".to_owned())]);
    DeviceConfig::new("file", path, options, &SystemRng::new())
}

#[tokio::test]
async fn with_no_device_able_to_write_nothing_is_answered_and_the_device_is_named() {
    let server = Plan { audit_anywhere: true, ..Plan::memory() }.ready().await;
    server.kv("kv", 1).await;
    server.put("kv/a", json!({"k": "canary-full-1"})).await.ok();
    let token = server.token_of(json!({})).await;
    server.vault().audit().reload(vec![full("broken")]);
    for call in [
        server.get("kv/a"),
        server.put("kv/b", json!({"k": "v"})),
        server.get("sys/mounts").by("hvs.nobody"),
        server.anonymous().get("kv/a"),
        server.get("nosuch/x"),
        server.put("auth/token/create", json!({})),
        server.delete("sys/mounts/kv"),
    ] {
        let answer = call.await.is(503);
        assert!(answer.errors().contains("\"broken/\""), "{answer:?}");
        assert!(!answer.text.contains("canary-full"), "{answer:?}");
    }
    // What works without a token and is not audited still tells how the server is.
    server.get("sys/health").await.is(200);
    server.vault().audit().reload(Vec::new());
    server.get("kv/b").await.is(404);
    assert_eq!(server.get("kv/a").await.ok().data()["k"], "canary-full-1");
    assert_eq!(server.tokens().await, 2);
    assert!(server.alive(&token).await);
}

#[tokio::test]
async fn one_device_of_two_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let server = Plan { audit_anywhere: true, ..Plan::memory() }.ready().await;
    let file = folder.path().join("good.log");
    let options = BTreeMap::from([("file_path".to_owned(), file.to_str().unwrap().to_owned())]);
    let good = DeviceConfig::new("file", "good", options, &SystemRng::new());
    server.vault().audit().reload(vec![full("broken"), good]);
    for _ in 0..10 {
        server.get("sys/mounts").await.ok();
    }
    server.vault().audit().flush().await;
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 20);
}

/// A server whose audit log breaks after the next commit: the request is on record, its answer will not be.
async fn breaking() -> (Arc<Server>, Arc<Alone>) {
    let alone = Alone::new(Arc::new(Memory::new()));
    let server = Plan { audit_anywhere: true, ..Plan::over(alone.clone()) }.ready().await;
    (Arc::new(server), alone)
}

fn break_audit(server: &Arc<Server>, alone: &Alone) {
    let vault = server.vault();
    alone.after_next_commit(move || vault.audit().reload(vec![full("broken")]));
}

#[tokio::test]
async fn a_token_whose_answer_cannot_be_recorded_is_revoked() {
    let (server, alone) = breaking().await;
    for body in [json!({}), json!({"ttl": "60s"}), json!({"id": "chosen-by-root"})] {
        let before = server.tokens().await;
        break_audit(&server, &alone);
        let answer = server.put("auth/token/create", body).await.is(503);
        assert!(answer.auth().is_null() && answer.errors().contains("\"broken/\""), "{answer:?}");
        server.vault().audit().reload(Vec::new());
        assert_eq!(server.tokens().await, before);
    }
    assert!(!server.alive("chosen-by-root").await);
}

#[tokio::test]
async fn a_wrapped_answer_that_cannot_be_recorded_is_open_to_nobody() {
    let (server, alone) = breaking().await;
    let before = server.tokens().await;
    break_audit(&server, &alone);
    let answer = server.put("sys/wrapping/wrap", json!({"k": "canary-lost"})).wrapped("60s").await.is(503);
    assert!(!answer.text.contains("hvs."));
    server.vault().audit().reload(Vec::new());
    assert_eq!(server.tokens().await, before, "the wrapping token is revoked too");
    // A token that is wrapped goes with its wrapping.
    break_audit(&server, &alone);
    server.put("auth/token/create", json!({})).wrapped("60s").await.is(503);
    server.vault().audit().reload(Vec::new());
    assert_eq!(server.tokens().await, before);
}

#[tokio::test]
async fn a_login_whose_answer_cannot_be_recorded_leaves_no_token() {
    let (server, alone) = breaking().await;
    server.auth("userpass", "userpass").await;
    server.put("auth/userpass/users/anna", json!({"password": "p"})).await.ok();
    let before = server.tokens().await;
    break_audit(&server, &alone);
    server.anonymous().put("auth/userpass/login/anna", json!({"password": "p"})).await.is(503);
    server.vault().audit().reload(Vec::new());
    assert_eq!(server.tokens().await, before);
}

#[tokio::test]
async fn a_device_that_cannot_write_is_not_enabled() {
    let server = Plan { audit_anywhere: true, ..Plan::memory() }.ready().await;
    let body = json!({"type": "file", "options": {"file_path": "/dev/full"}});
    let answer = server.put("sys/audit/broken", body).await;
    assert!(!answer.succeeded(), "{answer:?}");
    server.get("sys/mounts").await.ok();
    assert_eq!(server.get("sys/audit").await.ok().data(), &json!({}));
}

#[tokio::test]
async fn an_unfit_file_does_not_keep_the_server_sealed() {
    let audited = Audited::new().await;
    let file = audited.folder.path().join("a.log");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let next = audited.server.again().await;
    next.open().await;
    next.get("sys/mounts").await.refused(503, "\"file/\"");
    std::fs::remove_dir(&file).unwrap();
    next.get("sys/mounts").await.ok();
    next.vault().audit().flush().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 2);
}

fn declared(path: &str, file: &Path, more: &[(&str, &str)]) -> Declared {
    let mut options = BTreeMap::from([("file_path".to_owned(), file.to_str().unwrap().to_owned())]);
    options.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    Declared { kind: "file".into(), path: path.into(), description: "by configuration".into(), options }
}

#[tokio::test]
async fn a_device_of_the_configuration_is_there_from_the_first_request_and_the_api_cannot_take_it_away() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("declared.log");
    let audit = Rules { declared: vec![declared("main", &file, &[("mode", "0640")])], ..Rules::default() };
    let server = Plan { audit, audit_folder: Some(folder.path().to_owned()), ..Plan::memory() }.ready().await;
    let devices = server.get("sys/audit").await.ok();
    assert_eq!(devices.data()["main/"]["description"], "by configuration");
    assert!(std::fs::read_to_string(&file).unwrap().contains("\"path\":\"sys/audit\""));
    server.delete("sys/audit/main").await.refused(400, "configuration");
    let body = json!({"type": "file", "options": {"file_path": folder.path().join("b.log")}});
    server.put("sys/audit/main", body.clone()).await.is(400);
    server.put("sys/audit/other", body).await.ok();
    let hash = server.put("sys/audit-hash/main", json!({"input": "x"})).await.ok().data()["hash"].clone();
    // After a restart with other options the hashes are the same; what the configuration no longer names is gone.
    let mut next = server.again().await;
    assert_eq!(next.plan.audit.declared.len(), 1);
    next.open().await;
    assert_eq!(next.put("sys/audit-hash/main", json!({"input": "x"})).await.ok().data()["hash"], hash);
    next.plan.audit = Rules { declared: vec![declared("main", &file, &[("log_raw", "true")])], ..Rules::default() };
    let next = next.again().await;
    next.open().await;
    assert_eq!(next.put("sys/audit-hash/main", json!({"input": "x"})).await.ok().data()["hash"], hash);
    assert_eq!(next.get("sys/audit").await.ok().data()["main/"]["options"]["log_raw"], "true");
    let mut next = next.again().await;
    next.plan.audit = Rules::default();
    let next = next.again().await;
    next.open().await;
    let devices = next.get("sys/audit").await.ok();
    assert!(devices.data()["main/"].is_null() && devices.data()["other/"].is_object(), "{devices:?}");
}

#[tokio::test]
async fn headers_are_shown_as_the_list_says_and_those_with_tokens_never() {
    let audited = Audited::new().await;
    let server = &audited.server;
    let at = |name: &str| format!("sys/config/auditing/request-headers/{name}");
    server.put(&at("X-Open"), json!({"hmac": false})).await.ok();
    server.put(&at("X-Closed"), json!({"hmac": true})).await.ok();
    for name in ["X-Vault-Token", "authorization", "Cookie", "Proxy-Authorization", "x-vault-inline-auth-path", "a%20b"]
    {
        server.put(&at(name), json!({"hmac": false})).await.is(400);
        server.get(&at(name)).await.is(400);
    }
    let call = server.get("sys/mounts").header("x-open", "shown-1").header("x-open", "shown-2");
    let call = call.header("x-closed", "canary-header-1").header("x-other", "canary-header-2");
    call.header("authorization", "Bearer canary-header-3").await.ok();
    let entries = audited.entries().await;
    let of = |kind: &str| {
        let found = entries.iter().rfind(|e| e["request"]["path"] == "sys/mounts" && e["type"] == kind).unwrap();
        found["request"]["headers"].clone()
    };
    for kind in ["request", "response"] {
        assert_eq!(of(kind)["x-open"], json!(["shown-1", "shown-2"]));
        assert!(of(kind)["x-closed"][0].as_str().unwrap().starts_with("hmac-sha256:"));
        assert_eq!(of(kind).as_object().unwrap().len(), 2);
    }
    assert!(!audited.text("a.log").await.contains("canary-header"));
    // Every node follows the list.
    let next = server.again().await;
    next.open().await;
    next.get("sys/auth").header("x-open", "shown-3").await.ok();
    assert!(audited.text("a.log").await.contains("shown-3"));
    server.delete(&at("x-open")).await.ok();
    server.delete(&at("x-closed")).await.ok();
    server.get("sys/policies/acl/default").header("x-open", "not-shown").await.ok();
    assert!(!audited.text("a.log").await.contains("not-shown"));
}

//! How often one may ask, and how often fail: before anybody is authenticated, and whatever the spelling.

use serde_json::{Value, json};
use warifu::crypto::{Curve, KeyKind, PrivateKey};

use crate::http::Http;
use crate::server::{Server, at_once};

async fn quota(server: &Server, name: &str, body: Value) {
    server.put(&format!("sys/quotas/rate-limit/{name}"), body).await.ok();
}

#[tokio::test]
async fn a_limit_that_cannot_be_meant_is_refused() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    for body in [
        json!({}),
        json!({"rate": 0}),
        json!({"rate": -1}),
        json!({"rate": "x"}),
        json!({"rate": 1, "path": "nowhere/"}),
        json!({"rate": 1, "interval": 0}),
        json!({"rate": 1, "path": "kv/", "role": "r"}),
        json!({"rate": 1, "role": "r"}),
    ] {
        server.put("sys/quotas/rate-limit/bad", body.clone()).await.is(400);
    }
    server.get("sys/quotas/rate-limit/bad").await.is(404);
    server.put("sys/quotas/config", json!({"rate_limit_exempt_paths": ["*"]})).await.is(400);
}

#[tokio::test]
async fn a_limit_holds_before_a_token_or_a_body_is_looked_at() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    quota(&server, "q", json!({"rate": 2, "interval": "10s", "path": "kv"})).await;
    // Neither a bad token nor a bad body gets through for nothing.
    server.with("hvs.nobody").get("kv/a").await.is(403);
    server.with("hvs.nobody").get("kv/a").await.is(403);
    let refused = server.call("PUT", "kv/a").bytes(b"{".to_vec()).await.is(429);
    assert!(refused.text.contains("rate limit quota exceeded"), "{refused:?}");
    server.get("kv/a").await.is(429);
    // Another mount is another matter, and what it takes to open a node is never limited.
    server.get("sys/mounts").await.ok();
    server.clock().advance(10);
    server.get("kv/a").await.is(404);
    quota(&server, "all", json!({"rate": 1, "interval": "1h"})).await;
    server.get("sys/mounts").await.ok();
    server.get("sys/mounts").await.is(429);
    for _ in 0..3 {
        server.get("sys/health").await.ok();
        server.get("sys/seal-status").await.ok();
    }
    server.get("sys/leader").await.is(429);
    server.get("kv/a").await.is(404);
}

#[tokio::test]
async fn the_most_particular_limit_counts() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    quota(&server, "mount", json!({"rate": 1, "interval": "1h", "path": "kv/"})).await;
    quota(&server, "some", json!({"rate": 2, "interval": "1h", "path": "kv/team*"})).await;
    quota(&server, "one", json!({"rate": 3, "interval": "1h", "path": "kv/team/a"})).await;
    assert_eq!(server.get("sys/quotas/rate-limit/some").await.ok().data()["path"], "kv/team*");
    for (path, passes) in [("kv/team/a", 3), ("kv/team/b", 2), ("kv/x", 1)] {
        for _ in 0..passes {
            server.get(path).await.is(404);
        }
        server.get(path).await.is(429);
    }
    // A limit belongs to its mount, wherever that is, and goes with it.
    server.put("sys/remount", json!({"from": "kv", "to": "moved"})).await.ok();
    server.get("moved/team/a").await.is(429);
    assert_eq!(server.get("sys/quotas/rate-limit/one").await.ok().data()["path"], "moved/team/a");
    server.delete("sys/mounts/moved").await.ok();
    server.list("sys/quotas/rate-limit").await.is(404);
}

#[tokio::test]
async fn a_blocked_client_waits_and_a_restart_forgets_what_was_used_but_not_the_rule() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    quota(&server, "q", json!({"rate": 1, "interval": "1s", "block_interval": "60s", "path": "kv"})).await;
    server.get("kv/a").await.is(404);
    server.get("kv/a").await.is(429);
    server.clock().advance(59);
    server.get("kv/a").await.is(429);
    server.clock().advance(1);
    server.get("kv/a").await.is(404);
    let server = server.crashed().await;
    server.get("kv/a").await.is(404);
    server.get("kv/a").await.is(429);
}

#[tokio::test]
async fn a_limit_of_a_role_counts_its_logins_alone() {
    let server = Server::new().await;
    server.auth("approle", "approle").await;
    let mut logins = Vec::new();
    for role in ["heavy", "light"] {
        server
            .put(
                &format!("auth/approle/role/{role}"),
                json!({"bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.0/8"}),
            )
            .await
            .ok();
        let id = server.get(&format!("auth/approle/role/{role}/role-id")).await.ok();
        logins.push(json!({"role_id": id.data()["role_id"]}));
    }
    quota(&server, "mount", json!({"rate": 1, "interval": "1h", "path": "auth/approle"})).await;
    quota(&server, "role", json!({"rate": 3, "interval": "1h", "path": "auth/approle", "role": "heavy"})).await;
    let http = server.anonymous();
    for _ in 0..3 {
        http.put("auth/approle/login", logins[0].clone()).await.ok();
    }
    http.put("auth/approle/login", logins[0].clone()).await.is(429);
    http.put("auth/approle/login", logins[1].clone()).await.ok();
    http.put("auth/approle/login", logins[1].clone()).await.is(429);
}

#[tokio::test]
async fn a_limit_of_a_role_counts_its_logins_in_every_spelling() {
    let server = Server::new().await;
    let http = server.anonymous();
    // A login names its role before anything is known of who it is, so refusals count as well.
    for (kind, field) in [("jwt", "role"), ("kubernetes", "role"), ("cert", "name")] {
        server.auth(kind, kind).await;
        if kind == "jwt" {
            let key = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
            let pem = key.public().pem().unwrap();
            server.put("auth/jwt/config", json!({"jwt_validation_pubkeys": [pem]})).await.ok();
        }
        quota(&server, kind, json!({"rate": 3, "interval": "1h", "path": format!("auth/{kind}"), "role": "heavy"}))
            .await;
        let login = |role: &str| http.put(&format!("auth/{kind}/login"), json!({field: role, "jwt": "a.b.c"}));
        for role in ["heavy", "Heavy", "HEAVY"] {
            login(role).await.is(400);
        }
        for role in ["heavy", "hEAVY"] {
            login(role).await.is(429);
        }
        login("light").await.is(400);
    }
}

#[tokio::test]
async fn refusals_are_audited_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let plan = crate::server::Plan { audit_folder: Some(folder.path().to_owned()), ..crate::server::Plan::memory() };
    let server = plan.ready().await;
    let file = folder.path().join("a.log");
    server.put("sys/audit/file", json!({"type": "file", "options": {"file_path": file}})).await.ok();
    server.kv("kv", 1).await;
    quota(&server, "q", json!({"rate": 1, "interval": "1h", "path": "kv"})).await;
    server.get("kv/a").await.is(404);
    server.get("kv/silent").await.is(429);
    server.put("sys/quotas/config", json!({"enable_rate_limit_audit_logging": true})).await.ok();
    server.put("kv/told", json!({"k": "canary-limit"})).await.is(429);
    let log = std::fs::read_to_string(&file).unwrap();
    assert!(!log.contains("kv/silent") && !log.contains("canary-limit"), "{log}");
    let line = log.lines().find(|l| l.contains("kv/told")).expect("an entry");
    assert!(line.contains("rate limit quota exceeded"), "{line}");
}

struct Users(Server);

impl Users {
    async fn new(tune: Value) -> Self {
        let server = Server::new().await;
        server.auth("up", "userpass").await;
        server.put("sys/auth/up/tune", json!({"user_lockout_config": tune})).await.ok();
        server.put("auth/up/users/ann", json!({"password": "right"})).await.ok();
        server.put("auth/up/users/bob", json!({"password": "right"})).await.ok();
        Self(server)
    }

    async fn tries(&self, name: &str, password: &str) -> u16 {
        self.0.anonymous().put(&format!("auth/up/login/{name}"), json!({"password": password})).await.status
    }

    async fn locked(&self) -> Value {
        self.0.get("sys/locked-users").await.ok().data().clone()
    }

    async fn accessor(&self) -> String {
        self.0.get("sys/auth/up").await.ok().data()["accessor"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn who_fails_too_often_is_locked_out_whatever_the_spelling_and_whether_he_exists() {
    let users =
        Users::new(json!({"lockout_threshold": 3, "lockout_duration": "10m", "lockout_counter_reset_duration": "5m"}))
            .await;
    for name in ["ann", "ANN", "Ann"] {
        assert_eq!(users.tries(name, "wrong").await, 400);
    }
    // The right password does not help, and the answer does not tell that it was right.
    for name in ["ann", "aNN"] {
        assert_eq!((users.tries(name, "right").await, users.tries(name, "wrong").await), (403, 403));
    }
    assert_eq!(users.tries("bob", "right").await, 200);
    // Somebody who does not exist is treated alike.
    for _ in 0..3 {
        assert_eq!(users.tries("nobody", "wrong").await, 400);
    }
    assert_eq!(users.tries("nobody", "wrong").await, 403);
    let locked = users.locked().await;
    assert_eq!(locked["total"], 2, "{locked}");
    assert_eq!(locked["by_namespace"][0]["mount_accessors"][0]["alias_identifiers"], json!(["ann", "nobody"]));
    // The lock is in storage.
    let users = Users(users.0.crashed().await);
    assert_eq!(users.tries("ann", "right").await, 403);
    users.0.clock().advance(599);
    assert_eq!(users.tries("ann", "right").await, 403);
    users.0.clock().advance(1);
    assert_eq!(users.tries("ann", "right").await, 200);
    assert_eq!(users.locked().await["total"], 0);
}

#[tokio::test]
async fn a_success_or_time_begins_the_count_anew_and_an_operator_can_unlock() {
    let users = Users::new(json!({"lockout_threshold": 3, "lockout_counter_reset_duration": "5m"})).await;
    for _ in 0..3 {
        assert_eq!((users.tries("ann", "wrong").await, users.tries("ann", "wrong").await), (400, 400));
        assert_eq!(users.tries("ann", "right").await, 200);
    }
    assert_eq!((users.tries("ann", "wrong").await, users.tries("ann", "wrong").await), (400, 400));
    users.0.clock().advance(300);
    assert_eq!((users.tries("ann", "wrong").await, users.tries("ann", "wrong").await), (400, 400));
    assert_eq!(users.tries("ann", "wrong").await, 400);
    assert_eq!(users.tries("ann", "right").await, 403);
    let accessor = users.accessor().await;
    users.0.put(&format!("sys/locked-users/{accessor}/unlock/bob"), json!({})).await.ok();
    assert_eq!(users.tries("ann", "right").await, 403);
    users.0.put("sys/locked-users/auth_nothing/unlock/ann", json!({})).await.is(400);
    users.0.put(&format!("sys/locked-users/{accessor}/unlock/Ann"), json!({})).await.ok();
    assert_eq!(users.tries("ann", "right").await, 200);
    users.0.put("sys/auth/up/tune", json!({"user_lockout_config": {"lockout_threshold": 0}})).await.is(400);
}

#[tokio::test]
async fn failures_are_counted_exactly_when_all_come_at_once() {
    let users = Users::new(json!({"lockout_threshold": 8})).await;
    users.0.put("sys/auth/up/tune", json!({"default_lease_ttl": "1h"})).await.ok();
    let calls = (0..16).map(|_| {
        let http: Http = users.0.anonymous();
        async move { http.put("auth/up/login/nobody", json!({"password": "wrong"})).await.status }
    });
    let codes = at_once(calls).await;
    assert!(codes.iter().all(|c| matches!(c, 400 | 403)), "{codes:?}");
    assert_eq!(users.tries("nobody", "wrong").await, 403);
}

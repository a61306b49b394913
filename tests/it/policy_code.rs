//! Policies as code: what a command can know without a server is what the server does.

use serde_json::{Value, json};
use warifu::policy::SUDO;

use crate::http::Http;
use crate::server::{Plan, Server};

#[tokio::test]
async fn the_list_of_what_needs_sudo_is_that_of_the_routes() {
    let server = Server::new().await;
    let mut wanted = Vec::new();
    for entry in server.vault().mounts().table().iter() {
        if !["system", "token", "identity", "cubbyhole"].contains(&entry.mount.kind.as_str()) {
            continue;
        }
        for endpoint in entry.engine.table().endpoints().iter().filter(|endpoint| endpoint.sudo) {
            let segments = endpoint.pattern.split('/').map(|segment| match segment.strip_prefix('{') {
                Some(rest) if rest.ends_with("..}") => "*",
                Some(_) => "+",
                None => segment,
            });
            let path = format!("{}{}", entry.mount.path, segments.collect::<Vec<_>>().join("/"));
            // Rules for a folder are written with its slash and without.
            wanted.extend(path.strip_suffix('/').map(str::to_owned));
            wanted.push(path);
        }
    }
    wanted.sort();
    wanted.dedup();
    assert_eq!(SUDO, wanted, "src/policy/sudo.rs");
}

async fn state(http: &Http) -> String {
    http.get("sys/policies/apply").await.ok().data()["state"].as_str().unwrap().to_owned()
}

const ADMIN: &str = r#"path "sys/policies/*" { capabilities = ["create", "read", "update", "list", "sudo"] }"#;

/// A server with an administrator who is not root.
async fn administered() -> (Server, Http) {
    let server = Server::new().await;
    server.policy("admin", ADMIN).await;
    let admin = server.with(&server.token_of(json!({"policies": ["admin"]})).await);
    (server, admin)
}

#[tokio::test]
async fn of_many_policies_all_are_applied_or_none() {
    let (server, admin) = administered().await;
    server.kv("kv", 1).await;
    server.policy("old", r#"path "kv/*" { capabilities = ["read"] }"#).await;
    let http = server.with(&server.token_of(json!({"policies": ["old", "new"]})).await);
    let read = r#"path "kv/*" { capabilities = ["list"] }"#;
    let before = state(&admin).await;

    // Each mistake is named, and nothing is written.
    let body = json!({"state": before, "delete": ["old", "default"], "policies": {
        "new": read, "bad": "path \"a\" {", "root": read, "Upper": read, "response-wrapping": read, "a*": read, "empty": "",
    }});
    let refused = admin.put("sys/policies/apply/c1", body).await.is(400);
    for name in ["bad", "root", "Upper", "response-wrapping", "a*", "empty", "default"] {
        assert!(refused.errors().contains(&format!("policy \"{name}\"")), "{name}: {refused:?}");
    }
    assert!(!refused.errors().contains("\"new\""), "{refused:?}");
    let both = json!({"state": before, "delete": ["new"], "policies": {"new": read}});
    admin.put("sys/policies/apply/c1", both).await.refused(400, "both written and deleted");
    for (commit, body) in [
        ("c1", json!({"state": before})),
        ("c1", json!({"policies": {"new": read}})),
        ("c1", json!({"state": before, "policies": {"new": 5}})),
        ("a%20b", json!({"state": before, "policies": {"new": read}})),
        (&"x".repeat(129), json!({"state": before, "policies": {"new": read}})),
    ] {
        admin.put(&format!("sys/policies/apply/{commit}"), body).await.is(400);
    }
    assert_eq!(state(&admin).await, before);
    assert_eq!(admin.get("sys/policies/apply").await.ok().data()["applied"], Value::Null);
    http.list("kv").await.is(403);

    let body = json!({"state": before, "delete": ["old", "gone"], "policies": {"new": read, "admin": ADMIN}});
    let applied = admin.put("sys/policies/apply/c1", body).await.ok();
    assert_eq!((&applied.data()["changed"], &applied.data()["deleted"]), (&json!(["new"]), &json!(["old"])));
    http.list("kv").await.is(404);
    http.get("kv/a").await.is(403);
    let now = admin.get("sys/policies/apply").await.ok().data().clone();
    assert_eq!((&now["state"], &now["applied"]["commit"]), (&applied.data()["state"], &json!("c1")));
    assert_eq!(now["applied"]["by"], "token");
    assert_eq!(now["applied"]["policies"].as_object().unwrap().keys().collect::<Vec<_>>(), ["admin", "new"]);
    assert_eq!(now["policies"], json!({"admin": ADMIN, "new": read}));
    // It outlives the process.
    let again = server.again().await;
    again.open().await;
    assert_eq!(again.get("sys/policies/apply").await.ok().data(), &now);
}

#[tokio::test]
async fn a_plan_that_is_no_longer_true_is_not_applied() {
    let (server, admin) = administered().await;
    let text = |word: &str| format!("path \"kv/*\" {{ capabilities = [\"{word}\"] }}");
    let mut planned = state(&admin).await;
    for change in ["write", "reword", "delete"] {
        match change {
            "delete" => server.delete("sys/policies/acl/other").await.is(204),
            word => server
                .put("sys/policies/acl/other", json!({"policy": format!("# {word}\n{}", text("list"))}))
                .await
                .is(204),
        };
        let body = json!({"state": planned, "policies": {"mine": text("read")}});
        admin.put("sys/policies/apply/c", body).await.refused(400, "plan again");
        server.get("sys/policies/acl/mine").await.is(404);
        planned = state(&admin).await;
    }
    admin.put("sys/policies/apply/c", json!({"state": planned, "policies": {"mine": text("read")}})).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_apply_the_same_plan_one_succeeds() {
    let (_server, admin) = administered().await;
    for round in 0..5 {
        let planned = state(&admin).await;
        let calls = (0..8).map(|n| {
            let (http, planned) = (admin.clone(), planned.clone());
            async move {
                let text = format!("path \"kv/{round}/{n}\" {{ capabilities = [\"read\"] }}");
                if n < 6 {
                    http.put("sys/policies/apply/c", json!({"state": planned, "policies": {"mine": text}})).await.status
                } else {
                    http.put(&format!("sys/policies/acl/other-{n}"), json!({"policy": text})).await.status
                }
            }
        });
        let codes = crate::server::at_once(calls).await;
        // Whoever writes a policy in between is a reason to plan again, so it may be none.
        assert!(codes[..6].iter().filter(|code| **code == 200).count() <= 1, "{codes:?}");
        assert!(codes[..6].iter().all(|code| matches!(code, 200 | 400)), "{codes:?}");
        assert_eq!(codes[6..], [204, 204]);
    }
}

#[tokio::test]
async fn the_last_administrator_is_not_locked_out() {
    let (server, admin) = administered().await;
    let less = r#"path "sys/policies/acl/mine" { capabilities = ["update"] } path "sys/policies/apply" { capabilities = ["read"] }"#;
    let weaken = |state: String| json!({"state": state, "policies": {"admin": less}});
    // By nobody: also root is refused, since root tokens are ended.
    for http in [&admin, &*server] {
        http.put("sys/policies/apply/c", weaken(state(http).await)).await.refused(400, "refused");
        http.put("sys/policies/apply/c", json!({"state": state(http).await, "delete": ["admin"]}))
            .await
            .refused(400, "refused");
    }
    admin.get("sys/policies/apply").await.ok();

    // An entity that is disabled, and one whose template is not filled in, are none.
    server
        .policy("second", r#"path "sys/policies/acl/{{identity.entity.metadata.glob}}" { capabilities = ["update"] }"#)
        .await;
    server.put("identity/entity", json!({"name": "other", "policies": ["second"]})).await.ok();
    server.put("sys/policies/apply/c", weaken(state(&server).await)).await.refused(400, "refused");
    server.policy("second", ADMIN).await;
    server.put("identity/entity/name/other", json!({"disabled": true})).await.ok();
    server.put("sys/policies/apply/c", weaken(state(&server).await)).await.refused(400, "refused");
    // One by its group is one.
    let entity = server.put("identity/entity", json!({"name": "third"})).await.ok().data()["id"].clone();
    server
        .put("identity/group", json!({"name": "admins", "policies": ["second"], "member_entity_ids": [entity]}))
        .await
        .ok();
    server.put("sys/policies/apply/c", weaken(state(&server).await)).await.ok();
    admin.put("sys/policies/apply/c", json!({})).await.is(403);
    // Where there is none, there is none to lose.
    server.delete("identity/group/name/admins").await.is(204);
    server
        .put("sys/policies/apply/c", json!({"state": state(&server).await, "delete": ["admin", "second"]}))
        .await
        .ok();
}

#[tokio::test]
async fn applying_needs_sudo_and_sets_in_use_are_for_operators() {
    let (server, admin) = administered().await;
    server.policy("weak", &ADMIN.replace(", \"sudo\"", "")).await;
    let weak = server.with(&server.token_of(json!({"policies": ["weak"]})).await);
    let body = json!({"state": state(&weak).await, "policies": {"a": "path \"a\" {}"}});
    weak.put("sys/policies/apply/c", body).await.is(403);
    weak.get("sys/policies/sets").await.is(403);

    server.token_of(json!({"policies": ["weak"], "ttl": "10s"})).await;
    server.put("identity/entity", json!({"name": "e", "policies": ["weak", "admin"]})).await.ok();
    let sets = admin.get("sys/policies/sets").await.ok().data().clone();
    let expected = json!({"complete": true, "sets": [
        {"policies": ["admin", "default"], "tokens": 1, "entities": 0},
        {"policies": ["admin", "weak"], "tokens": 0, "entities": 1},
        {"policies": ["default", "weak"], "tokens": 2, "entities": 0},
        {"policies": ["root"], "tokens": 1, "entities": 0},
    ]});
    assert_eq!(sets, expected);
    server.clock().advance(11);
    let sets = admin.get("sys/policies/sets").await.ok().data()["sets"].clone();
    assert_eq!(sets[2]["tokens"], 1, "what has expired holds nothing");
}

#[tokio::test]
async fn the_commit_is_in_the_audit_log_and_the_texts_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = Plan { audit_folder: Some(folder.path().to_owned()), ..Plan::memory() }.ready().await;
    let file = folder.path().join("a.log");
    server.put("sys/audit/file", json!({"type": "file", "options": {"file_path": file}})).await.ok();
    let body =
        json!({"state": state(&server).await, "policies": {"a": "path \"canary/*\" { capabilities = [\"read\"] }"}});
    server.put("sys/policies/apply/8f3e2c", body).await.ok();
    server.vault().audit().flush().await;
    let log = std::fs::read_to_string(file).unwrap();
    assert!(log.contains("\"sys/policies/apply/8f3e2c\""), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

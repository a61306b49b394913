//! What policies admit; and that a denial does not teach.

use serde_json::json;

use crate::server::Server;

async fn with_policy(server: &Server, text: &str) -> crate::http::Http {
    server.policy("story", text).await;
    let token = server.token_of(json!({"policies": ["story"], "no_default_policy": true})).await;
    server.with(&token)
}

#[tokio::test]
async fn unknown_and_forbidden_cannot_be_told_apart() {
    let server = Server::new().await;
    server.kv("secret", 2).await;
    server.put("secret/data/there", json!({"data": {"k": "v"}})).await.ok();
    let nobody = with_policy(&server, r#"path "other/*" { capabilities = ["read"] }"#).await;
    // A mount that is there, one that is not, a secret that is there, one that is not, an endpoint that is not.
    let there = nobody.get("secret/data/there").await.is(403).shape();
    for path in [
        "secret/data/missing",
        "secret/nonsense/x",
        "nosuch/data/there",
        "sys/mounts",
        "sys/mounts/secret",
        "sys/nonsense",
        "sys/policies/acl/story",
        "sys/policies/acl/missing",
        "auth/nosuch/role/x",
        "auth/token/roles/x",
        "identity/entity/id/x",
        "sys/internal/ui/mounts/secret",
        "sys/internal/ui/mounts/nosuch",
    ] {
        let answer = nobody.get(path).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        if !path.starts_with("sys/internal") {
            assert_eq!(answer.shape(), there, "{path}");
        }
    }
    let seen = nobody.get("sys/internal/ui/mounts/secret").await.is(403).text;
    assert_eq!(nobody.get("sys/internal/ui/mounts/nosuch").await.is(403).text, seen.replace("secret", "nosuch"));
    for method in ["LIST", "DELETE", "PUT", "POST"] {
        let there = nobody.call(method, "secret/metadata/there").await.shape();
        assert_eq!(nobody.call(method, "nosuch/metadata/there").await.shape(), there, "{method}");
        assert_eq!(there.0, 403);
    }
    // Without a token at all: the same for everything.
    let anonymous = server.anonymous();
    let there = anonymous.get("secret/data/there").await.is(403).shape();
    for path in ["secret/data/missing", "nosuch/x", "sys/mounts", "auth/nosuch/x", "sys/nonsense"] {
        assert_eq!(anonymous.get(path).await.shape(), there, "{path}");
    }
    // Root may know.
    server.get("nosuch/x").await.is(404);
}

#[tokio::test]
async fn all_ways_to_ask_for_a_list_get_the_same_verdict() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.put("kv/folder/a", json!({"k": "v"})).await.ok();
    server.put("kv/a", json!({"k": "v"})).await.ok();
    let cases = [
        (r#"path "kv/folder/" { capabilities = ["list"] }"#, true),
        (r#"path "kv/folder" { capabilities = ["list"] }"#, true),
        (r#"path "kv/*" { capabilities = ["list"] }"#, true),
        (r#"path "kv/+" { capabilities = ["list"] }"#, true),
        (r#"path "kv/+/" { capabilities = ["list"] }"#, true),
        (r#"path "kv/folder/*" { capabilities = ["list"] }"#, true),
        (r#"path "kv/folder/*" { capabilities = ["read"] }"#, false),
        (r#"path "kv/*" { capabilities = ["list"] } path "kv/folder/*" { capabilities = ["deny"] }"#, false),
        (r#"path "kv/*" { capabilities = ["list"] } path "kv/folder/" { capabilities = ["deny"] }"#, false),
        (r#"path "kv/*" { capabilities = ["list"] } path "kv/folder" { capabilities = ["deny"] }"#, false),
        (r#"path "kv/folder/" { capabilities = ["list"] } path "kv/folder" { capabilities = ["deny"] }"#, true),
        (r#"path "kv/+" { capabilities = ["list"] } path "kv/fold*" { capabilities = ["deny"] }"#, false),
        (r#"path "+/folder" { capabilities = ["list"] } path "kv/folder" { capabilities = ["deny"] }"#, false),
    ];
    for (text, allowed) in cases {
        let http = with_policy(&server, text).await;
        let forms = [
            http.list("kv/folder").await.status,
            http.list("kv/folder/").await.status,
            http.get("kv/folder?list=true").await.status,
            http.get("kv/folder/?list=true").await.status,
        ];
        assert!(forms.iter().all(|status| *status == forms[0]), "{text}: {forms:?}");
        assert_eq!(forms[0], if allowed { 200 } else { 403 }, "{text}");
    }
}

#[tokio::test]
async fn create_and_update_are_two_rights() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.put("kv/old", json!({"k": "v"})).await.ok();
    let maker = with_policy(&server, r#"path "kv/*" { capabilities = ["create"] }"#).await;
    maker.put("kv/new", json!({"k": "1"})).await.ok();
    maker.put("kv/new", json!({"k": "2"})).await.is(403);
    maker.put("kv/old", json!({"k": "2"})).await.is(403);
    maker.get("kv/new").await.is(403);
    maker.delete("kv/new").await.is(403);
    let changer = with_policy(&server, r#"path "kv/*" { capabilities = ["update"] }"#).await;
    changer.put("kv/old", json!({"k": "2"})).await.ok();
    changer.put("kv/newer", json!({"k": "2"})).await.is(403);
    assert_eq!(server.get("kv/new").await.ok().data()["k"], "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_create_never_overwrites_even_in_a_race() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.kv("kv2", 2).await;
    let maker = with_policy(
        &server,
        r#"path "kv/*" { capabilities = ["create"] } path "kv2/data/*" { capabilities = ["create"] }"#,
    )
    .await;
    for round in 0..20 {
        let calls = (0..8).map(|n| {
            let http = maker.clone();
            async move {
                let one = http.put(&format!("kv/{round}"), json!({"k": n})).await.status;
                let two = http.put(&format!("kv2/data/{round}"), json!({"data": {"k": n}})).await.status;
                (one, two)
            }
        });
        let codes = crate::server::at_once(calls).await;
        assert_eq!(codes.iter().filter(|c| c.0 == 204).count(), 1, "{codes:?}");
        assert_eq!(codes.iter().filter(|c| c.1 == 200).count(), 1, "{codes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_create_and_update_is_served_whoever_was_first() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.kv("kv2", 2).await;
    server.auth("userpass", "userpass").await;
    let text = r#"path "*" { capabilities = ["create", "update"] }"#;
    let http = with_policy(&server, text).await;
    for round in 0..5 {
        let calls = (0..8).map(|n| {
            let http = http.clone();
            async move {
                http.put(&format!("kv/{round}"), json!({"k": n})).await.ok();
                http.put(&format!("kv2/data/{round}"), json!({"data": {"k": n}})).await.ok();
                http.put(&format!("auth/userpass/users/{round}"), json!({"password": "p", "token_ttl": n})).await.ok();
            }
        });
        crate::server::at_once(calls).await;
    }
}

#[tokio::test]
async fn sudo_is_asked_for_beside_the_right_itself() {
    let server = Server::new().await;
    let text = r#"path "sys/audit" { capabilities = ["read"] } path "sys/rotate" { capabilities = ["update"] }
        path "auth/token/accessors/" { capabilities = ["list"] } path "sys/auth/*" { capabilities = ["create", "update"] }
        path "auth/token/create-orphan" { capabilities = ["update"] } path "sys/remount" { capabilities = ["update"] }
        path "sys/leases/revoke-prefix/*" { capabilities = ["update"] } path "auth/token/revoke-orphan" { capabilities = ["update"] }"#;
    let without = with_policy(&server, text).await;
    let calls = |http: &crate::http::Http| {
        vec![
            http.get("sys/audit"),
            http.put("sys/rotate", json!({})),
            http.list("auth/token/accessors"),
            http.put("sys/auth/x", json!({"type": "nosuch"})),
            http.put("auth/token/create-orphan", json!({})),
            http.put("sys/remount", json!({})),
            http.put("sys/leases/revoke-prefix/x", json!({})),
            http.put("auth/token/revoke-orphan", json!({"token": "x"})),
        ]
    };
    for call in calls(&without) {
        call.await.is(403);
    }
    let with = with_policy(
        &server,
        &text
            .replace("\"read\"", "\"read\", \"sudo\"")
            .replace("\"update\"]", "\"update\", \"sudo\"]")
            .replace("\"list\"", "\"list\", \"sudo\""),
    )
    .await;
    for call in calls(&with) {
        let answer = call.await;
        assert_ne!(answer.status, 403, "{answer:?}");
    }
}

#[tokio::test]
async fn a_change_of_a_policy_holds_for_the_next_request() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.put("kv/a", json!({"k": "v"})).await.ok();
    let http = with_policy(&server, r#"path "kv/*" { capabilities = ["read"] }"#).await;
    for _ in 0..50 {
        http.get("kv/a").await.ok();
        server.policy("story", r#"path "kv/*" { capabilities = ["list"] }"#).await;
        http.get("kv/a").await.is(403);
        server.policy("STORY", r#"path "kv/*" { capabilities = ["read"] }"#).await;
        http.get("kv/a").await.ok();
        server.delete("sys/policies/acl/story").await.is(204);
        http.get("kv/a").await.is(403);
        server.policy("story", r#"path "kv/*" { capabilities = ["read"] }"#).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_begun_after_a_denial_was_answered_is_let_through() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.put("kv/a", json!({"k": "v"})).await.ok();
    for _ in 0..30 {
        let http = with_policy(&server, r#"path "kv/*" { capabilities = ["read"] }"#).await;
        let load = tokio::spawn(at_once_reads(http.clone()));
        server.policy("story", r#"path "kv/*" { capabilities = ["deny"] }"#).await;
        http.get("kv/a").await.is(403);
        for status in load.await.unwrap() {
            assert!(matches!(status, 200 | 403));
        }
        http.get("kv/a").await.is(403);
    }
}

async fn at_once_reads(http: crate::http::Http) -> Vec<u16> {
    crate::server::at_once((0..16).map(|_| {
        let http = http.clone();
        async move { http.get("kv/a").await.status }
    }))
    .await
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_not_kept() {
    let server = Server::new().await;
    server.policy("good", r#"path "kv/*" { capabilities = ["read"] }"#).await;
    for text in [
        "",
        "path",
        "path \"a\" {",
        r#"path "a" { capabilities = ["fly"] }"#,
        r#"path "a" { nonsense = true }"#,
        r#"nonsense "a" {}"#,
        "{\"path\": 5}",
    ] {
        let answer = server.put("sys/policies/acl/good", json!({"policy": text})).await.is(400);
        assert!(answer.errors().contains("policy"), "{answer:?}");
    }
    let kept = server.get("sys/policies/acl/good").await.ok();
    assert_eq!(kept.data()["policy"], r#"path "kv/*" { capabilities = ["read"] }"#);
    for name in ["root", "Root", "ROOT", "response-wrapping", "Response-Wrapping"] {
        server
            .put(&format!("sys/policies/acl/{name}"), json!({"policy": "path \"a\" { capabilities = [\"read\"] }"}))
            .await
            .is(400);
        server.delete(&format!("sys/policies/acl/{name}")).await.is(400);
    }
    server.delete("sys/policies/acl/default").await.is(400);
    for name in ["a%2Ab", "a+b", "%20a", "a%2Cb", "%7Ba%7D"] {
        server
            .put(&format!("sys/policies/acl/{name}"), json!({"policy": "path \"a\" { capabilities = [\"read\"] }"}))
            .await
            .is(400);
    }
}

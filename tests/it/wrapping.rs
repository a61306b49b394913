//! Answers that wait for whoever opens them first, and only once.

use serde_json::json;

use crate::server::{Server, at_once};

async fn wrap(server: &Server, ttl: &str) -> String {
    server.put("sys/wrapping/wrap", json!({"k": "canary-wrapped"})).wrapped(ttl).await.ok().wrapping_token()
}

#[tokio::test]
async fn of_sixty_four_who_unwrap_at_once_one_gets_it() {
    let server = Server::new().await;
    for own in [true, false] {
        let token = wrap(&server, "60s").await;
        let calls = (0..64).map(|_| {
            // By the token itself, or by somebody who has it in his hand.
            let (http, body) =
                if own { (server.with(&token), json!({})) } else { (server.http.clone(), json!({"token": token})) };
            async move { http.put("sys/wrapping/unwrap", body).await }
        });
        let answers = at_once(calls).await;
        assert_eq!(answers.iter().filter(|a| a.status == 200).count(), 1);
        for answer in &answers {
            assert!(matches!(answer.status, 200 | 400 | 403), "{answer:?}");
            assert_eq!(answer.text.contains("canary-wrapped"), answer.status == 200);
        }
        assert!(!server.alive(&token).await);
        server.put("sys/wrapping/unwrap", json!({"token": token})).await.is(400);
    }
    assert_eq!(server.tokens().await, 1);
}

#[tokio::test]
async fn what_waits_too_long_is_gone() {
    let server = Server::new().await;
    let token = wrap(&server, "60s").await;
    server.clock().advance(59);
    server.put("sys/wrapping/lookup", json!({"token": token})).await.ok();
    server.clock().advance(1);
    server.put("sys/wrapping/lookup", json!({"token": token})).await.is(400);
    server.put("sys/wrapping/unwrap", json!({"token": token})).await.is(400);
    server.with(&token).put("sys/wrapping/unwrap", json!({})).await.refused(400, "wrapping token is not valid");
    server.sweep().await;
    assert_eq!(server.tokens().await, 1);
}

#[tokio::test]
async fn what_was_revoked_does_not_open() {
    let server = Server::new().await;
    let answer = server.put("sys/wrapping/wrap", json!({"k": "v"})).wrapped("60s").await.ok();
    let token = answer.wrapping_token();
    let accessor = answer.json["wrap_info"]["accessor"].as_str().unwrap();
    server.put("auth/token/revoke-accessor", json!({"accessor": accessor})).await.is(204);
    server.put("sys/wrapping/unwrap", json!({"token": token})).await.is(400);
    server.with(&token).put("sys/wrapping/unwrap", json!({})).await.is(400);
}

#[tokio::test]
async fn looking_does_not_open_and_tells_nothing_of_the_content() {
    let server = Server::new().await;
    let token = wrap(&server, "60s").await;
    for _ in 0..3 {
        let looked = server.anonymous().put("sys/wrapping/lookup", json!({"token": token})).await.ok();
        assert_eq!(looked.data()["creation_path"], "sys/wrapping/wrap");
        assert_eq!(looked.data()["creation_ttl"], 60);
        assert!(!looked.text.contains("canary-wrapped"));
    }
    let opened = server.with(&token).put("sys/wrapping/unwrap", json!({})).await.ok();
    assert_eq!(opened.data()["k"], "canary-wrapped");
}

#[tokio::test]
async fn a_wrapping_token_does_nothing_but_unwrap() {
    let server = Server::new().await;
    server.kv("secret", 1).await;
    for path in ["secret/a", "auth/token/lookup-self", "sys/mounts", "cubbyhole/other"] {
        let token = wrap(&server, "60s").await;
        server.with(&token).get(path).await.is(403);
    }
    for token in ["", "hvs.nothing", "../../x"] {
        server.put("sys/wrapping/unwrap", json!({"token": token})).await.is(400);
    }
    server.anonymous().put("sys/wrapping/unwrap", json!({})).await.is(403);
    // A token that wraps nothing is not opened, and not lost.
    let plain = server.token_of(json!({"policies": ["default"]})).await;
    server.with(&plain).put("sys/wrapping/unwrap", json!({})).await.is(400);
    server.put("sys/wrapping/unwrap", json!({"token": plain})).await.is(400);
    assert!(server.alive(&plain).await);
}

#[tokio::test]
async fn what_is_wrapped_anew_is_closed_to_the_old_token() {
    let server = Server::new().await;
    let old = wrap(&server, "60s").await;
    let new = server.put("sys/wrapping/rewrap", json!({"token": old})).await.ok().wrapping_token();
    assert_ne!(old, new);
    server.put("sys/wrapping/unwrap", json!({"token": old})).await.is(400);
    assert_eq!(server.put("sys/wrapping/unwrap", json!({"token": new})).await.ok().data()["k"], "canary-wrapped");
    let token = wrap(&server, "60s").await;
    let calls = (0..16).map(|_| {
        let (http, token) = (server.http.clone(), token.clone());
        async move { http.put("sys/wrapping/rewrap", json!({"token": token})).await.status }
    });
    let codes = at_once(calls).await;
    assert_eq!(codes.iter().filter(|c| **c == 200).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|c| *c < 500), "{codes:?}");
}

#[tokio::test]
async fn a_wrapped_token_is_alive_and_a_wrapped_denial_is_none() {
    let server = Server::new().await;
    let answer = server.put("auth/token/create", json!({"policies": ["default"]})).wrapped("60s").await.ok();
    assert!(answer.auth().is_null() && answer.data().is_null());
    let accessor = answer.json["wrap_info"]["wrapped_accessor"].as_str().unwrap().to_owned();
    let opened = server.put("sys/wrapping/unwrap", json!({"token": answer.wrapping_token()})).await.ok();
    assert_eq!(opened.auth()["accessor"], accessor);
    assert!(server.alive(opened.auth()["client_token"].as_str().unwrap()).await);
    let before = server.tokens().await;
    server.get("nosuch/x").wrapped("60s").await.is(404);
    server.anonymous().get("sys/mounts").wrapped("60s").await.is(403);
    server.put("auth/token/create", json!({"ttl": []})).wrapped("60s").await.is(400);
    for ttl in ["x", "-5s", "1e9", "99999999h"] {
        server.get("sys/mounts").wrapped(ttl).await.is(400);
    }
    assert_eq!(server.tokens().await, before);
}

#[tokio::test]
async fn a_policy_can_demand_and_bound_wrapping() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.put("kv/a", json!({"k": "v"})).await.ok();
    let text = r#"path "kv/*" { capabilities = ["read"] min_wrapping_ttl = "10s" max_wrapping_ttl = "60s" }"#;
    server.policy("p", text).await;
    let token = server.token_of(json!({"policies": ["p"]})).await;
    let http = server.with(&token);
    http.get("kv/a").await.is(403);
    http.get("kv/a").wrapped("9s").await.is(403);
    http.get("kv/a").wrapped("61s").await.is(403);
    http.get("kv/a").wrapped("30s").await.ok().wrapping_token();
}

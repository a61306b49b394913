//! People who log in with a name and a password.

use serde_json::json;

use crate::server::{Server, at_once};

async fn server() -> Server {
    let server = Server::new().await;
    server.auth("userpass", "userpass").await;
    server.put("auth/userpass/users/anna", json!({"password": "right", "token_ttl": "1h"})).await.ok();
    server
}

#[tokio::test]
async fn a_name_that_is_known_gets_the_answer_of_one_that_is_not() {
    let server = server().await;
    let before = server.tokens().await;
    let mut shapes = Vec::new();
    for (name, body) in [
        ("anna", json!({"password": "wrong"})),
        ("nobody", json!({"password": "wrong"})),
        ("nobody", json!({"password": "right"})),
        ("anna", json!({"password": "right "})),
        ("anna", json!({"password": "RIGHT"})),
        ("anna", json!({"password": "x".repeat(1_000_000)})),
        ("nobody", json!({"password": "x".repeat(1_000_000)})),
    ] {
        shapes.push(server.anonymous().put(&format!("auth/userpass/login/{name}"), body).await.is(400).shape());
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
    let missing: Vec<_> = [json!({}), json!({"password": ""}), json!({"password": null})]
        .into_iter()
        .flat_map(|body| ["anna", "nobody"].map(|name| (name, body.clone())))
        .collect();
    for pair in missing.chunks(2) {
        let mut answers = Vec::new();
        for (name, body) in pair {
            answers.push(
                server.anonymous().put(&format!("auth/userpass/login/{name}"), body.clone()).await.is(400).shape(),
            );
        }
        assert_eq!(answers[0], answers[1]);
    }
    assert_eq!(server.tokens().await, before);
}

#[tokio::test]
async fn one_person_has_one_name_however_it_is_written() {
    let server = server().await;
    let mut entities = Vec::new();
    for name in ["anna", "Anna", "ANNA", "%61nna"] {
        let login =
            server.anonymous().put(&format!("auth/userpass/login/{name}"), json!({"password": "right"})).await.ok();
        entities.push(login.auth()["entity_id"].clone());
    }
    assert!(entities.iter().all(|e| *e == entities[0] && *e != ""), "{entities:?}");
    server.put("auth/userpass/users/ANNA", json!({"token_ttl": "2h"})).await.ok();
    assert_eq!(server.list("auth/userpass/users").await.ok().data()["keys"], json!(["anna"]));
    for name in ["an%20na", "anna%2A", "a%2Bb", "a%2Cb", "%7Banna%7D"] {
        server.put(&format!("auth/userpass/users/{name}"), json!({"password": "p"})).await.is(400);
    }
}

#[tokio::test]
async fn a_password_that_changed_or_went_opens_nothing() {
    let server = server().await;
    let http = server.anonymous();
    let token = http.put("auth/userpass/login/anna", json!({"password": "right"})).await.ok();
    let token = token.auth()["client_token"].as_str().unwrap().to_owned();
    server.put("auth/userpass/users/anna/password", json!({"password": "new"})).await.ok();
    http.put("auth/userpass/login/anna", json!({"password": "right"})).await.is(400);
    http.put("auth/userpass/login/anna", json!({"password": "new"})).await.ok();
    server.put("auth/token/renew-self", json!({})).by(&token).await.ok();
    server.delete("auth/userpass/users/anna").await.ok();
    http.put("auth/userpass/login/anna", json!({"password": "new"})).await.is(400);
    // Who is gone is not renewed, and as with Vault nobody says so.
    server.clock().advance(60);
    server.put("auth/token/renew-self", json!({})).by(&token).await;
    assert_eq!(server.lookup(&token).await["ttl"], 3540);
    for body in [
        json!({"password": ""}),
        json!({}),
        json!({"password_hash": "canary"}),
        json!({"password": "a", "password_hash": "b"}),
    ] {
        let answer = server.put("auth/userpass/users/berta", body).await.is(400);
        assert!(!answer.text.contains("canary"), "{answer:?}");
    }
    let read = server.put("auth/userpass/users/carl", json!({"password": "canary-pass"})).await.ok();
    assert!(!read.text.contains("canary"));
    assert!(!server.get("auth/userpass/users/carl").await.ok().text.contains("hash"));
}

#[tokio::test]
async fn a_method_that_is_disabled_takes_its_tokens_along() {
    let server = server().await;
    let login = server.anonymous().put("auth/userpass/login/anna", json!({"password": "right"})).await.ok();
    let token = login.auth()["client_token"].as_str().unwrap();
    assert!(server.alive(token).await);
    server.delete("sys/auth/userpass").await.is(204);
    assert!(!server.alive(token).await);
    server.anonymous().put("auth/userpass/login/anna", json!({"password": "right"})).await.is(403);
    server.sweep().await;
    assert_eq!(server.tokens().await, 1);
    server.auth("userpass", "userpass").await;
    server.anonymous().put("auth/userpass/login/anna", json!({"password": "right"})).await.is(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_try_at_once_cost_the_others_nothing() {
    let server = server().await;
    let tries = at_once((0..40).map(|n| {
        let http = server.anonymous();
        async move { http.put("auth/userpass/login/anna", json!({"password": format!("wrong{n}")})).await.status }
    }));
    for _ in 0..20 {
        server.get("auth/token/lookup-self").await.ok();
    }
    let codes = tries.await;
    assert!(codes.iter().all(|c| matches!(c, 400 | 429 | 503)), "{codes:?}");
}

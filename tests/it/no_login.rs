//! Tokens are made by logins and by nothing that only looks like one: no secrets engine answers with a token, whatever it is asked and
//! whatever is kept in it.

use serde_json::{Value, json};
use warifu::base::Operation;

use crate::http::Answer;
use crate::paths::{mount_all, sample};
use crate::server::Server;

/// What an answer to a login looks like, in every spelling.
fn login() -> Value {
    let auth = json!({"client_token": "hvs.made-up", "accessor": "made-up", "policies": ["root"], "token_policies": ["root"],
        "lease_duration": 3600, "renewable": true, "token_type": "service", "orphan": true, "display_name": "root"});
    json!({"auth": auth, "Auth": auth, "login": auth, "Login": auth, "client_token": "hvs.made-up", "policies": ["root"],
        "wrap_info": {"token": "hvs.made-up", "ttl": 60}})
}

fn makes_none(answer: &Answer, what: &str) {
    assert!(answer.json.get("auth").is_none_or(Value::is_null), "{what} made a login: {answer:?}");
}

#[tokio::test]
async fn what_looks_like_a_login_is_kept_and_given_back_as_data() {
    let server = Server::new().await;
    server.kv("one", 1).await;
    server.kv("two", 2).await;
    let before = server.tokens().await;
    for (path, body, pointer) in [
        ("one/a", login(), "/data"),
        ("cubbyhole/a", login(), "/data"),
        ("two/data/a", json!({"data": login()}), "/data/data"),
    ] {
        makes_none(&server.put(path, body).await.ok(), path);
        let plain = server.get(path).await.ok();
        makes_none(&plain, path);
        assert_eq!(plain.json.pointer(pointer), Some(&login()), "{path}");
        assert!(plain.json["wrap_info"].is_null(), "{path}");
        // Neither does a wrapping make a login of it.
        let wrapped = server.get(path).wrapped("60s").await.ok();
        let opened = server.with(&wrapped.wrapping_token()).put("sys/wrapping/unwrap", json!({})).await.ok();
        makes_none(&opened, path);
        assert_eq!(opened.json.pointer(pointer), Some(&login()), "{path}");
    }
    let wrapped = server.put("sys/wrapping/wrap", login()).wrapped("60s").await.ok();
    let opened = server.with(&wrapped.wrapping_token()).put("sys/wrapping/unwrap", json!({})).await.ok();
    makes_none(&opened, "sys/wrapping/wrap");
    assert_eq!(opened.data(), &login());
    server.sweep().await;
    assert_eq!(server.tokens().await, before);
    assert!(!server.alive("hvs.made-up").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_endpoint_of_a_secrets_engine_makes_a_token() {
    let server = Server::new().await;
    mount_all(&server).await;
    let before = server.tokens().await;
    let mut asked = 0;
    for entry in server.vault().mounts().table().iter() {
        if entry.mount.is_auth() || entry.mount.kind == "system" {
            continue;
        }
        for endpoint in entry.engine.table().endpoints() {
            let path = sample(entry.mount.path.as_str(), endpoint.pattern);
            for (operation, method) in [
                (Operation::Update, "PUT"),
                (Operation::Patch, "PATCH"),
                (Operation::Read, "GET"),
                (Operation::List, "LIST"),
                (Operation::Delete, "DELETE"),
            ] {
                if endpoint.handling(operation).is_none() {
                    continue;
                }
                let answer = server.call(method, &path).json(&login()).await;
                makes_none(&answer, &format!("{method} {path}"));
                asked += 1;
            }
        }
    }
    assert!(asked > 100, "{asked}");
    assert_eq!(server.tokens().await, before);
}

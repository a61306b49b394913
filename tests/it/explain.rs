//! "Why 403?": what an operator is told of a denial, and what the client is not.

use serde_json::{Value, json};

use crate::server::Server;

async fn explain(server: &Server, body: Value) -> Value {
    server.put("sys/internal/explain", body).await.ok().data().clone()
}

#[tokio::test]
async fn a_denial_is_explained_by_its_request_id_and_the_client_learns_nothing() {
    let server = Server::new().await;
    server.kv("secret", 2).await;
    server.policy("readers", "path \"secret/shop/*\" {\n  capabilities = [\"read\"]\n}\npath \"secret/data/*\" {\n  capabilities = [\"list\"]\n}").await;
    let token = server.token_of(json!({"policies": ["readers", "gone"], "no_default_policy": true})).await;
    let refused = server.with(&token).get("secret/data/shop/db").await.is(403);
    // One error, as ever: nothing of the explanation is in it.
    assert_eq!(refused.text.trim(), "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}");

    let kept = server.get("sys/internal/denials").await.ok().data()["denials"].clone();
    let last = &kept[0];
    assert_eq!(last["path"], "secret/data/shop/db", "{kept}");
    assert_eq!(last["rule"]["origins"][0]["line"], 4, "{last}");
    assert!(!kept.to_string().contains(&token), "no token is kept");

    let id = last["request_id"].as_str().unwrap();
    let told = server.get(&format!("sys/internal/denials/{id}")).await.ok().data().clone();
    let now = &told["now"];
    assert_eq!(now["allowed"], false, "{told}");
    assert_eq!(now["decided_by"], "policy");
    assert_eq!(now["reason"], "the rule lacks the capability \"read\"");
    assert_eq!(now["mount"]["version"], "2");
    assert_eq!(now["missing_policies"], json!(["gone"]));
    assert!(now["hints"].to_string().contains("needs \\\"secret/data/"), "the data/ mistake: {now}");
    // The smallest rule is what it says: added to the policies, the request passes, and lists still do.
    let rule = now["smallest_rule"].as_str().unwrap();
    assert!(rule.contains("\"secret/data/shop/db\"") && rule.contains("\"list\", \"read\""), "{rule}");
    server.policy("gone", rule).await;
    server.with(&token).get("secret/data/shop/db").await.is(404);

    server.get("sys/internal/denials/nosuch").await.is(404);
}

#[tokio::test]
async fn token_address_expiry_and_parameters_are_told_apart() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server
        .policy(
            "limited",
            "path \"kv/*\" {\n  capabilities = [\"create\", \"update\"]\n  allowed_parameters = { \"a\" = [\"1\"] }\n}",
        )
        .await;
    let role = json!({"allowed_policies": ["limited"], "token_bound_cidrs": ["10.0.0.0/8"]});
    server.put("auth/token/roles/bound", role).await.is(204);
    let body = json!({"policies": ["limited"], "ttl": "60s"});
    let made = server.put("auth/token/create/bound", body).await.ok();
    let accessor = made.auth()["accessor"].as_str().unwrap().to_owned();
    let token = made.auth()["client_token"].as_str().unwrap().to_owned();

    server.with(&token).get("kv/x").await.is(403);
    let last = server.get("sys/internal/denials").await.ok().data()["denials"][0].clone();
    assert_eq!((&last["decided_by"], &last["accessor"]), (&json!("address"), &json!(accessor)), "{last}");

    let at = |address: &str, parameters: Value| json!({"accessor": accessor, "path": "kv/x", "operation": "update", "remote_address": address, "parameters": parameters});
    assert_eq!(explain(&server, at("192.0.2.1", json!({"a": "1"}))).await["decided_by"], "address");
    assert_eq!(explain(&server, at("10.1.2.3", json!({"a": "1"}))).await["allowed"], true);
    let told = explain(&server, at("10.1.2.3", json!({"a": "1", "b": "2"}))).await;
    assert_eq!((&told["parameter"], &told["allowed"]), (&json!("b"), &json!(false)), "{told}");
    assert!(told["smallest_rule"].as_str().unwrap().contains("\"b\" = []"), "{told}");
    // Nothing is there yet, so that a write creates: the same answer as enforcement's.
    assert_eq!(told["operation"], "create");

    // What has ended by time is told as such where it can be known: a batch token carries its own facts.
    let batch = server.token_of(json!({"policies": ["limited"], "ttl": "60s", "type": "batch"})).await;
    server.clock().advance(61);
    server.with(&batch).get("kv/x").await.is(403);
    let last = server.get("sys/internal/denials").await.ok().data()["denials"][0].clone();
    assert_eq!((&last["decided_by"], &last["reason"]), (&json!("token"), &json!("the token's time is over")), "{last}");
    server.sweep().await;
    server.put("sys/internal/explain", at("10.1.2.3", json!({}))).await.refused(400, "no token has this accessor");
}

#[tokio::test]
async fn explain_is_for_operators_alone() {
    let server = Server::new().await;
    let rules = |more: &str| format!("path \"sys/internal/*\" {{ capabilities = [\"read\", \"update\"{more}] }}");
    let ask = json!({"path": "sys/mounts", "operation": "read", "policies": ["default"]});
    server.policy("curious", &rules("")).await;
    let curious = server.token_of(json!({"policies": ["curious"]})).await;
    server.with(&curious).put("sys/internal/explain", ask.clone()).await.is(403);
    server.with(&curious).get("sys/internal/denials").await.is(403);
    server.policy("operators", &rules(", \"sudo\"")).await;
    let operator = server.token_of(json!({"policies": ["operators"]})).await;
    let told = server.with(&operator).put("sys/internal/explain", ask).await.ok();
    assert_eq!(told.data()["reason"], "no rule of the token's policies covers the path");
    for (body, words) in [
        (json!({"path": "a/../b"}), "segment"),
        (json!({"path": "a", "operation": "steal"}), "operation"),
        (json!({"path": "a", "accessor": "x", "policies": ["y"]}), "exclude"),
        (json!({"path": "a", "parameters": [1]}), "parameters"),
        (json!({"path": "a", "remote_address": "here"}), "remote_address"),
    ] {
        server.with(&operator).put("sys/internal/explain", body).await.refused(400, words);
    }
}

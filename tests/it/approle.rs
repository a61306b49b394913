//! Machines that log in with two halves, of which the second can be counted, timed and bound.

use serde_json::{Value, json};

use crate::server::{Server, at_once};

struct Role {
    server: Server,
    role_id: Value,
}

impl Role {
    async fn new(settings: Value) -> Self {
        let server = Server::new().await;
        server.auth("approle", "approle").await;
        server.put("auth/approle/role/ci", settings).await.ok();
        let role_id = server.get("auth/approle/role/ci/role-id").await.ok().data()["role_id"].clone();
        Self { server, role_id }
    }

    async fn secret(&self, body: Value) -> Value {
        self.server.put("auth/approle/role/ci/secret-id", body).await.ok().data().clone()
    }

    async fn login(&self, secret_id: &Value) -> crate::http::Answer {
        let body = json!({"role_id": self.role_id, "secret_id": secret_id});
        self.server.anonymous().put("auth/approle/login", body).await
    }
}

#[tokio::test]
async fn it_is_never_told_which_half_was_wrong() {
    let role = Role::new(json!({})).await;
    let secret = role.secret(json!({})).await;
    role.server.put("auth/approle/role/other", json!({})).await.ok();
    let other = role.server.get("auth/approle/role/other/role-id").await.ok().data()["role_id"].clone();
    let before = role.server.tokens().await;
    let mut shapes = Vec::new();
    for (role_id, secret_id) in [
        (json!("00000000-0000-0000-0000-000000000000"), secret["secret_id"].clone()),
        (role.role_id.clone(), json!("00000000-0000-0000-0000-000000000000")),
        (role.role_id.clone(), json!("")),
        (role.role_id.clone(), Value::Null),
        (role.role_id.clone(), secret["secret_id_accessor"].clone()),
        (other, secret["secret_id"].clone()),
        (json!("ci"), secret["secret_id"].clone()),
        (json!("../ci"), secret["secret_id"].clone()),
        (json!("x".repeat(100_000)), json!("x".repeat(100_000))),
    ] {
        let answer = role
            .server
            .anonymous()
            .put("auth/approle/login", json!({"role_id": role_id, "secret_id": secret_id}))
            .await;
        shapes.push(answer.is(400).shape());
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
    assert_eq!(role.server.tokens().await, before, "a login that failed leaves no token");
    role.login(&secret["secret_id"]).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_uses_of_a_secret_id_are_exact() {
    let role = Role::new(json!({"secret_id_num_uses": 10})).await;
    let secret = role.secret(json!({})).await;
    let before = role.server.tokens().await;
    let body = json!({"role_id": role.role_id, "secret_id": secret["secret_id"]});
    let calls = (0..64).map(|_| {
        let (http, body) = (role.server.anonymous(), body.clone());
        async move { http.put("auth/approle/login", body).await.status }
    });
    let codes = at_once(calls).await;
    assert_eq!(codes.iter().filter(|c| **c == 200).count(), 10, "{codes:?}");
    // Who fails so often is locked out as well.
    assert!(codes.iter().all(|c| matches!(c, 200 | 400 | 403)), "{codes:?}");
    assert_eq!(role.server.tokens().await, before + 10);
    // Gone to its last row.
    let lookup =
        role.server.put("auth/approle/role/ci/secret-id/lookup", json!({"secret_id": secret["secret_id"]})).await;
    assert!(!lookup.text.contains("secret_id_num_uses"), "{lookup:?}");
}

#[tokio::test]
async fn a_secret_id_ends_at_the_second_also_when_the_server_was_down() {
    let role = Role::new(json!({"secret_id_ttl": "60s"})).await;
    let (one, two) = (role.secret(json!({})).await, role.secret(json!({"ttl": "10s"})).await);
    role.server.clock().advance(9);
    role.login(&two["secret_id"]).await.ok();
    role.server.clock().advance(1);
    role.login(&two["secret_id"]).await.is(400);
    role.server.clock().advance(49);
    role.login(&one["secret_id"]).await.ok();
    let next = Role { server: role.server.again().await, role_id: role.role_id };
    next.server.clock().advance(1);
    next.server.open().await;
    next.login(&one["secret_id"]).await.is(400);
}

#[tokio::test]
async fn a_secret_id_is_worth_nothing_elsewhere() {
    let role = Role::new(json!({"secret_id_bound_cidrs": "127.0.0.0/8"})).await;
    for cidr in ["10.0.0.0/8", "127.0.0.0/7", "::/0", "nonsense"] {
        let body = json!({"cidr_list": cidr});
        let made = role.server.put("auth/approle/role/ci/secret-id", body).await;
        if made.succeeded() {
            panic!("{cidr} is not within the role's network: {made:?}");
        }
    }
    let far = Role::new(json!({"secret_id_bound_cidrs": "10.0.0.0/8"})).await;
    let secret = far.secret(json!({})).await;
    let before = far.server.tokens().await;
    far.login(&secret["secret_id"]).await.is(400);
    assert_eq!(far.server.tokens().await, before);
}

#[tokio::test]
async fn one_roles_accessor_does_nothing_at_another_role() {
    let role = Role::new(json!({})).await;
    let secret = role.secret(json!({})).await;
    role.server.put("auth/approle/role/other", json!({})).await.ok();
    for (path, body) in [
        ("secret-id-accessor/destroy", json!({"secret_id_accessor": secret["secret_id_accessor"]})),
        ("secret-id-accessor/lookup", json!({"secret_id_accessor": secret["secret_id_accessor"]})),
        ("secret-id/destroy", json!({"secret_id": secret["secret_id"]})),
        ("secret-id/lookup", json!({"secret_id": secret["secret_id"]})),
    ] {
        let answer = role.server.put(&format!("auth/approle/role/other/{path}"), body).await;
        assert!(answer.status < 500 && !answer.text.contains("creation_time"), "{answer:?}");
        role.login(&secret["secret_id"]).await.ok();
    }
    let destroyed = json!({"secret_id_accessor": secret["secret_id_accessor"]});
    role.server.put("auth/approle/role/ci/secret-id-accessor/destroy", destroyed).await.ok();
    role.login(&secret["secret_id"]).await.is(400);
}

#[tokio::test]
async fn a_role_that_is_gone_renews_nobody_and_leaves_nothing() {
    let role = Role::new(json!({"token_ttl": "1h", "token_policies": "default"})).await;
    let before = crate::stores::rows(role.server.plan.storage.as_ref()).len();
    let secret = role.secret(json!({"metadata": "{\"role_name\": \"admin\"}"})).await;
    let login = role.login(&secret["secret_id"]).await.ok();
    assert_eq!(login.auth()["metadata"]["role_name"], "ci", "metadata do not pass for the role");
    let token = login.auth()["client_token"].as_str().unwrap().to_owned();
    role.server.put("auth/token/renew-self", json!({})).by(&token).await.ok();
    role.server.delete("auth/approle/role/ci").await.ok();
    role.server.put("auth/token/renew-self", json!({})).by(&token).await.is(400);
    role.login(&secret["secret_id"]).await.is(400);
    // A role of the same name is another role.
    role.server.put("auth/approle/role/ci", json!({"token_ttl": "99h"})).await.ok();
    role.server.put("auth/token/renew-self", json!({})).by(&token).await.is(400);
    role.login(&secret["secret_id"]).await.is(400);
    role.server.delete("auth/approle/role/ci").await.ok();
    role.server.put("auth/token/revoke", json!({"token": token})).await.ok();
    role.server.sweep().await;
    let after = crate::stores::rows(role.server.plan.storage.as_ref()).len();
    // The entity of the login stays, and nothing else beyond what the first role had.
    assert!(after <= before + 4, "{} rows more", after - before);
}

#[tokio::test]
async fn settings_that_would_let_anybody_in_are_refused() {
    let role = Role::new(json!({})).await;
    for settings in [
        json!({"bind_secret_id": false}),
        json!({"secret_id_num_uses": -1}),
        json!({"secret_id_ttl": -1}),
        json!({"token_type": "batch", "token_num_uses": 5}),
        json!({"token_ttl": "2h", "token_max_ttl": "1h"}),
        json!({"token_bound_cidrs": "nonsense"}),
        json!({"token_type": "nonsense"}),
    ] {
        role.server.put("auth/approle/role/open", settings.clone()).await.is(400);
        role.server.get("auth/approle/role/open").await.is(404);
    }
    // Two roles never share an id.
    role.server.put("auth/approle/role/other", json!({})).await.ok();
    role.server.put("auth/approle/role/other/role-id", json!({"role_id": role.role_id})).await.is(400);
    for metadata in ["canary", "{\"a\":", "[1]", "{\"a\":{\"b\":1}}"] {
        let answer = role.server.put("auth/approle/role/ci/secret-id", json!({"metadata": metadata})).await;
        assert!(answer.status == 400 && !answer.text.contains("canary"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_secret_id_can_be_handed_over_wrapped_and_is_seen_by_nobody_else() {
    let role = Role::new(json!({})).await;
    let answer = role.server.put("auth/approle/role/ci/secret-id", json!({})).wrapped("60s").await.ok();
    assert!(answer.data().is_null());
    let opened =
        role.server.anonymous().with(&answer.wrapping_token()).put("sys/wrapping/unwrap", json!({})).await.ok();
    role.login(&opened.data()["secret_id"]).await.ok();
    let accessor = opened.data()["secret_id_accessor"].clone();
    let looked = role
        .server
        .put("auth/approle/role/ci/secret-id-accessor/lookup", json!({"secret_id_accessor": accessor}))
        .await
        .ok();
    assert!(!looked.text.contains(opened.data()["secret_id"].as_str().unwrap()));
}

/// Each property: its path, its field, a value as it is shown, and what is shown without one.
fn properties() -> Vec<(&'static str, &'static str, Value, Value)> {
    let row = |path, field, value: Value, none: Value| (path, field, value, none);
    vec![
        row("policies", "token_policies", json!(["p", "q"]), json!([])),
        row("bound-cidr-list", "bound_cidr_list", json!(["127.0.0.0/8"]), Value::Null),
        row("secret-id-bound-cidrs", "secret_id_bound_cidrs", json!(["127.0.0.0/8"]), Value::Null),
        row("token-bound-cidrs", "token_bound_cidrs", json!(["127.0.0.0/8"]), Value::Null),
        row("bind-secret-id", "bind_secret_id", json!(false), json!(true)),
        row("secret-id-num-uses", "secret_id_num_uses", json!(7), json!(0)),
        row("secret-id-ttl", "secret_id_ttl", json!(70), json!(0)),
        row("period", "token_period", json!(70), json!(0)),
        row("token-num-uses", "token_num_uses", json!(7), json!(0)),
        row("token-ttl", "token_ttl", json!(70), json!(0)),
        row("token-max-ttl", "token_max_ttl", json!(70), json!(0)),
    ]
}

#[tokio::test]
async fn each_property_is_a_path_of_its_own_that_a_policy_grants_alone() {
    let role = Role::new(json!({"secret_id_bound_cidrs": "127.0.0.0/8"})).await;
    let server = &role.server;
    for (path, field, value, none) in properties() {
        let own = format!("auth/approle/role/ci/{path}");
        server.policy("one", &format!("path \"{own}\" {{ capabilities = [\"update\", \"read\", \"delete\"] }}")).await;
        let only = server.with(&server.token_of(json!({"policies": ["one"], "no_default_policy": true})).await);
        let before = server.get("auth/approle/role/ci").await.ok().data().clone();
        only.put(&own, json!({field: value})).await.ok();
        assert_eq!(only.get(&own).await.ok().data()[field], value, "{path}");
        // Nothing else of the role has changed, and nothing else is open.
        let after = server.get("auth/approle/role/ci").await.ok().data().clone();
        for (name, was) in before.as_object().unwrap() {
            let meant = name == field || (field == "bound_cidr_list" && name == "secret_id_bound_cidrs");
            assert!(meant || after[name] == *was, "{path} changed {name}");
        }
        only.get("auth/approle/role/ci").await.is(403);
        only.put("auth/approle/role/ci", json!({field: value})).await.is(403);
        for (other, ..) in properties().iter().filter(|other| other.0 != path) {
            only.get(&format!("auth/approle/role/ci/{other}")).await.is(403);
            only.delete(&format!("auth/approle/role/ci/{other}")).await.is(403);
        }
        only.put(&own, json!({field: {"a": 1}})).await.is(400);
        only.delete(&own).await.is(204);
        let shown = only.get(&own).await.ok().data()[field].clone();
        assert!(shown == none || (none.is_null() && shown == json!([])), "{path}: {shown}");
        // What a role needs to ask of anybody at all stays.
        server
            .put("auth/approle/role/ci", json!({"secret_id_bound_cidrs": "127.0.0.0/8", "bind_secret_id": true}))
            .await
            .ok();
        for call in [only.get("auth/approle/role/none"), only.delete("auth/approle/role/none")] {
            call.await.is(403);
        }
        server.get(&format!("auth/approle/role/none/{path}")).await.is(404);
        server.put(&format!("auth/approle/role/none/{path}"), json!({field: value})).await.is(404);
    }
    assert_eq!(server.get("auth/approle/role/ci/local-secret-ids").await.ok().data()["local_secret_ids"], false);
    server.put("auth/approle/role/ci/local-secret-ids", json!({"local_secret_ids": true})).await.is(405);
}

#[tokio::test]
async fn a_property_is_not_set_to_what_the_whole_role_would_refuse() {
    let role = Role::new(json!({"token_ttl": "1h", "token_max_ttl": "2h"})).await;
    for (path, field, value) in [
        ("bind-secret-id", "bind_secret_id", json!(false)),
        ("token-ttl", "token_ttl", json!("3h")),
        ("token-max-ttl", "token_max_ttl", json!("30m")),
        ("secret-id-num-uses", "secret_id_num_uses", json!(-1)),
        ("token-num-uses", "token_num_uses", json!(-1)),
        ("policies", "token_policies", json!("root")),
        ("secret-id-ttl", "secret_id_ttl", json!(-1)),
        ("token-bound-cidrs", "token_bound_cidrs", json!("canary")),
    ] {
        let before = role.server.get("auth/approle/role/ci").await.ok().data().clone();
        let answer = role.server.put(&format!("auth/approle/role/ci/{path}"), json!({field: value})).await.is(400);
        assert!(!answer.text.contains("canary"));
        assert_eq!(*role.server.get("auth/approle/role/ci").await.ok().data(), before, "{path}");
    }
    // Nor is the last condition taken away.
    let open = json!({"bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.0/8"});
    role.server.put("auth/approle/role/open", open).await.ok();
    for path in ["secret-id-bound-cidrs", "bound-cidr-list"] {
        role.server.delete(&format!("auth/approle/role/open/{path}")).await.is(400);
    }
}

#[tokio::test]
async fn nobody_reaches_a_secret_id_through_a_role_that_it_is_not_of() {
    let role = Role::new(json!({})).await;
    let server = &role.server;
    server.put("auth/approle/role/other", json!({})).await.ok();
    server.auth("second", "approle").await;
    server.put("auth/second/role/ci", json!({})).await.ok();
    let secret = role.secret(json!({})).await;
    let (id, accessor) = (secret["secret_id"].clone(), secret["secret_id_accessor"].clone());
    for place in ["auth/approle/role/other", "auth/second/role/ci"] {
        for verb in ["PUT", "POST", "DELETE"] {
            for (path, body) in [
                ("secret-id-accessor/destroy", json!({"secret_id_accessor": accessor})),
                ("secret-id/destroy", json!({"secret_id": id})),
            ] {
                let _ = server.call(verb, &format!("{place}/{path}")).json(&body).await;
                role.login(&id).await.ok();
            }
        }
        server
            .put(&format!("{place}/secret-id-accessor/lookup"), json!({"secret_id_accessor": accessor}))
            .await
            .is(404);
        let looked = server.put(&format!("{place}/secret-id/lookup"), json!({"secret_id": id})).await;
        assert!(!looked.text.contains(accessor.as_str().unwrap()), "{looked:?}");
        server
            .put(&format!("{place}/secret-id-accessor/destroy"), json!({"secret_id_accessor": accessor}))
            .await
            .is(404);
    }
    for accessor in ["", "../x", "a/b", "*", "canary", &"0".repeat(65)] {
        let body = json!({"secret_id_accessor": accessor});
        let answer = server.put("auth/approle/role/ci/secret-id-accessor/lookup", body).await;
        assert!(matches!(answer.status, 400 | 404), "{answer:?}");
    }
    role.login(&id).await.ok();
}

#[tokio::test]
async fn a_secret_id_narrows_where_its_tokens_are_good_and_a_batch_token_carries_it() {
    let role = Role::new(json!({"token_type": "batch", "token_bound_cidrs": "127.0.0.0/8,10.0.0.0/8"})).await;
    let server = &role.server;
    let refused = json!({"token_bound_cidrs": "192.0.2.0/24"});
    server.put("auth/approle/role/ci/secret-id", refused).await.refused(400, "token_bound_cidrs");
    let far = role.secret(json!({"token_bound_cidrs": "10.0.0.0/8"})).await;
    let near = role.secret(json!({"token_bound_cidrs": "127.0.0.1/32", "metadata": "{\"team\":\"blue\"}"})).await;
    let token = async |secret: &Value| {
        let login = role.login(&secret["secret_id"]).await.ok();
        assert!(login.auth()["client_token"].as_str().unwrap().starts_with("hvb."));
        login.auth()["client_token"].as_str().unwrap().to_owned()
    };
    assert!(!server.alive(&token(&far).await).await);
    let near = token(&near).await;
    assert!(server.alive(&near).await);
    assert_eq!(server.lookup(&near).await["meta"], json!({"role_name": "ci", "team": "blue"}));
    // Its own networks bound a login, the role's bound them.
    let elsewhere = role.secret(json!({"cidr_list": "10.0.0.0/8"})).await;
    role.login(&elsewhere["secret_id"]).await.is(400);
}

#[tokio::test]
async fn tidying_takes_what_is_over_and_nothing_else_and_local_is_said_once() {
    let role = Role::new(json!({"secret_id_ttl": "60s", "local_secret_ids": true})).await;
    let server = &role.server;
    server.put("auth/approle/role/ci", json!({"local_secret_ids": false})).await.refused(400, "local_secret_ids");
    server.put("sys/auth/approle/tune", json!({"user_lockout_config": {"lockout_disable": true}})).await.ok();
    let mut over = Vec::new();
    for _ in 0..20 {
        over.push(role.secret(json!({})).await);
    }
    server.clock().advance(60);
    let stays = role.secret(json!({})).await;
    for secret in &over {
        role.login(&secret["secret_id"]).await.is(400);
    }
    let answer = server.put("auth/approle/tidy/secret-id", json!({})).await.is(202);
    assert!(!answer.json["warnings"].as_array().unwrap().is_empty());
    let left = server.list("auth/approle/role/ci/secret-id").await.ok();
    assert_eq!(left.data()["keys"], json!([stays["secret_id_accessor"]]));
    role.login(&stays["secret_id"]).await.ok();
    server.anonymous().put("auth/approle/tidy/secret-id", json!({})).await.is(403);
}

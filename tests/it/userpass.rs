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

#[tokio::test]
async fn a_password_is_what_its_policy_asks_for_whoever_sets_it() {
    let server = server().await;
    let text = "length = 12\nrule \"charset\" { charset = \"0123456789\" min-chars = 2 }";
    server.put("auth/userpass/config", json!({"password_policy": "people"})).await.refused(400, "no password policy");
    server.put("sys/policies/password/people", json!({"policy": text})).await.ok();
    server.put("auth/userpass/config", json!({"password_policy": "People"})).await.ok();
    assert_eq!(server.get("auth/userpass/config").await.ok().data()["password_policy"], "people");
    server.policy("own", r#"path "auth/userpass/users/anna/password" { capabilities = ["update"] }"#).await;
    let anna = server.with(&server.token_of(json!({"policies": ["own"]})).await);
    for (password, words) in [
        ("canary", "at least 12"),
        ("canary-canary-1", "at least 2"),
        ("canary-canary", "at least 2"),
        ("", "cannot be empty"),
    ] {
        for http in [&*server, &anna] {
            let answer = http.put("auth/userpass/users/anna/password", json!({"password": password})).await;
            assert!(!answer.refused(400, words).text.contains("canary"));
        }
        let answer = server.put("auth/userpass/users/new", json!({"password": password})).await.is(400);
        assert!(!answer.text.contains("canary"));
    }
    // Nobody looks into a hash: it would be the way around the policy.
    let hash = bcrypt::hash_with_salt("a", 4, [7; 16]).unwrap().format_for_version(bcrypt::Version::TwoB);
    anna.put("auth/userpass/users/anna/password", json!({"password_hash": hash})).await.refused(400, "new users only");
    server.put("auth/userpass/users/anna", json!({"password_hash": hash})).await.refused(400, "new users only");
    server.put("auth/userpass/users/old", json!({"password_hash": hash})).await.ok();
    // Who is there keeps the password until it is changed; what the policy makes is what it asks for.
    let login = async |name: &str, password: &str| {
        server.anonymous().put(&format!("auth/userpass/login/{name}"), json!({"password": password})).await
    };
    login("anna", "right").await.ok();
    let made = server.get("sys/policies/password/people/generate").await.ok().data()["password"].clone();
    anna.put("auth/userpass/users/anna/password", json!({"password": made})).await.ok();
    login("anna", "right").await.is(400);
    login("anna", made.as_str().unwrap()).await.ok();
    // A policy that is gone allows nothing, until nothing is asked for.
    server.delete("sys/policies/password/people").await.ok();
    anna.put("auth/userpass/users/anna/password", json!({"password": made})).await.refused(400, "no password policy");
    server.put("auth/userpass/config", json!({"password_policy": ""})).await.ok();
    anna.put("auth/userpass/users/anna/password", json!({"password": "short"})).await.ok();
    anna.get("auth/userpass/config").await.is(403);
}

#[tokio::test]
async fn hashes_of_a_few_costs_come_along_at_once_and_no_more() {
    let server = server().await;
    let of = |cost| bcrypt::hash_with_salt("p", cost, [7; 16]).unwrap().format_for_version(bcrypt::Version::TwoB);
    let takes = async |name: &str, cost: u32| {
        server.put(&format!("auth/userpass/users/{name}"), json!({"password_hash": of(cost)})).await
    };
    for (name, cost) in [("one", 4), ("two", 5), ("three", 6), ("four", 6)] {
        takes(name, cost).await.ok();
    }
    // Each login pays for all of them.
    takes("five", 7).await.refused(400, "password_hash");
    server.get("auth/userpass/users/five").await.is(404);
    server.put("auth/userpass/users/one/password", json!({"password_hash": of(7)})).await.refused(400, "password_hash");
    // A cost is there until nobody has it: the last of them is gone, has another password, or has logged in.
    server.delete("auth/userpass/users/three").await.ok();
    takes("five", 7).await.refused(400, "password_hash");
    server.delete("auth/userpass/users/four").await.ok();
    takes("five", 7).await.ok();
    server.put("auth/userpass/users/one/password", json!({"password": "another"})).await.ok();
    takes("six", 8).await.ok();
    takes("seven", 4).await.refused(400, "password_hash");
    server.anonymous().put("auth/userpass/login/two", json!({"password": "p"})).await.ok();
    takes("seven", 4).await.ok();
    for (name, password, status) in
        [("one", "another", 200), ("one", "p", 400), ("six", "p", 200), ("six", "q", 400), ("nobody", "p", 400)]
    {
        let login = server.anonymous().put(&format!("auth/userpass/login/{name}"), json!({"password": password}));
        login.await.is(status);
    }
}

#[tokio::test]
async fn hashes_come_along_from_elsewhere_and_are_made_anew_at_the_first_login() {
    let server = server().await;
    let of = |version| bcrypt::hash_with_salt("s3cret", 4, [7; 16]).unwrap().format_for_version(version);
    let good = of(bcrypt::Version::TwoB);
    for bad in [
        "canary".to_owned(),
        format!("{good}canary"),
        good[..good.len() - 1].to_owned(),
        good.replace("$04$", "$31$"),
        good.replace("$04$", "$4$"),
        "$1$canary$canary".into(),
        "$6$canary$canary".into(),
        "{SSHA}canary".into(),
        "$argon2i$v=19$m=65536,t=3,p=1$c2FsdHNhbHQ$AAAA".into(),
        "$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA".into(),
    ] {
        let answer = server.put("auth/userpass/users/ben", json!({"password_hash": bad})).await.is(400);
        assert!(!answer.text.contains("canary"));
    }
    let login = async |name: &str, password: &str| {
        server.anonymous().put(&format!("auth/userpass/login/{name}"), json!({"password": password})).await
    };
    for (name, version) in
        [("ben", bcrypt::Version::TwoA), ("bea", bcrypt::Version::TwoB), ("bob", bcrypt::Version::TwoY)]
    {
        let path = format!("auth/userpass/users/{name}");
        server.put(&path, json!({"password_hash": of(version), "token_type": "batch"})).await.ok();
        assert!(!server.get(&path).await.ok().text.contains("$2"));
        for wrong in ["s3cre", "S3CRET", "s3cret "] {
            login(name, wrong).await.is(400);
        }
        // The first login makes the hash anew and knows the person; the others only read.
        login(name, "s3cret").await.ok();
        let position = server.plan.storage.position().unwrap();
        login(name, "s3cret").await.ok();
        assert_eq!(server.plan.storage.position().unwrap(), position);
        login(name, "s3cre").await.is(400);
    }
}

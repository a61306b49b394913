//! External accounts.

use super::*;

#[tokio::test]
async fn an_external_account_is_spent_once_by_the_key_that_it_was_bound_to() {
    let world = World::new().await;
    let server = ca(&world, json!({"eab_policy": "always-required"})).await;
    let meta = server.anonymous().get("pki/acme/directory").await.ok();
    assert_eq!(meta.json["meta"]["externalAccountRequired"], true);
    let client = Client::new(&server, "acme/");
    assert_eq!(problem(&client.post("new-account", json!({})).await), "externalAccountRequired");
    server.anonymous().put("pki/acme/new-eab", json!({})).await.is(403);
    let eab = server.put("pki/acme/new-eab", json!({})).await.ok();
    let (id, secret) = (eab.data()["id"].as_str().unwrap(), eab.data()["key"].as_str().unwrap());
    let listed = server.list("pki/eab").await.ok();
    assert!(listed.data()["keys"] == json!([id]) && !listed.text.contains(secret));
    let secret = BASE64.decode(secret).unwrap();
    let binding = |id: &str, secret: &[u8], algorithm: &str, url: &str, key: &Value| {
        let protected = BASE64.encode(json!({"alg": algorithm, "kid": id, "url": url}).to_string());
        let payload = BASE64.encode(key.to_string());
        let tag = hmac_sha256(secret, &[format!("{protected}.{payload}").as_bytes()]);
        json!({"protected": protected, "payload": payload, "signature": BASE64.encode(tag)})
    };
    let url = client.url("new-account");
    let other = Client::new(&server, "acme/").jwk();
    for (what, bad) in [
        ("another secret", binding(id, b"x", "HS256", &url, &client.jwk())),
        ("another key", binding(id, &secret, "HS256", &url, &other)),
        ("another url", binding(id, &secret, "HS256", &client.url("new-order"), &client.jwk())),
        ("another algorithm", binding(id, &secret, "none", &url, &client.jwk())),
        ("an unknown id", binding("00", &secret, "HS256", &url, &client.jwk())),
        ("nothing", json!({})),
    ] {
        let answer = client.post("new-account", json!({"externalAccountBinding": bad})).await;
        assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
    }
    let elsewhere = Client::new(&server, "roles/web/acme/");
    let bound = binding(id, &secret, "HS256", &elsewhere.url("new-account"), &elsewhere.jwk());
    assert_eq!(problem(&elsewhere.post("new-account", json!({"externalAccountBinding": bound})).await), "unauthorized");

    let good = json!({"externalAccountBinding": binding(id, &secret, "HS256", &url, &client.jwk())});
    client.post("new-account", good).await.is(201);
    let second = Client::new(&server, "acme/");
    let again = json!({"externalAccountBinding": binding(id, &secret, "HS256", &url, &second.jwk())});
    assert_eq!(problem(&second.post("new-account", again).await), "unauthorized", "spent");
    let unused = server.put("pki/acme/new-eab", json!({})).await.ok().data()["id"].as_str().unwrap().to_owned();
    server.delete(&format!("pki/eab/{unused}")).await.ok();
    server.list("pki/eab").await.is(404);
}

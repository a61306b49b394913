//! What a directory belongs to decides what it signs.

use super::*;

#[tokio::test]
async fn a_role_decides_what_its_directory_signs() {
    let world = World::new().await;
    let server = ca(&world, json!({"allowed_roles": "web", "default_directory_policy": "forbid"})).await;
    server.put("pki/roles/other", json!({"allow_any_name": true, "key_type": "any"})).await.ok();
    for (directory, status) in
        [("acme/", 403), ("roles/other/acme/", 403), ("roles/none/acme/", 403), ("issuer/none/roles/web/acme/", 404)]
    {
        let answer = server.anonymous().get(&format!("pki/{directory}directory")).await.is(status);
        problem(&answer);
    }
    let client = Client::with_account(&server, "issuer/default/roles/web/acme/").await;
    for name in ["b.test", "evila.test", "127.0.0.1", "a.test.evil.test"] {
        let answer = client.post("new-order", json!({"identifiers": identifiers(&[name])})).await;
        assert_eq!(problem(&answer), "rejectedIdentifier", "{name}");
    }
    for bad in ["a..test", "*.*.a.test", "a test", "", "a.test\u{0}", "x@a.test"] {
        let answer = client.post("new-order", json!({"identifiers": [{"type": "dns", "value": bad}]})).await;
        assert_eq!(problem(&answer), "malformed", "{bad:?}");
    }
    let odd = client.post("new-order", json!({"identifiers": [{"type": "email", "value": "x@a.test"}]})).await;
    assert_eq!(problem(&odd), "unsupportedIdentifier");
    let many: Vec<Value> = (0..101).map(|at| json!({"type": "dns", "value": format!("n{at}.a.test")})).collect();
    assert_eq!(problem(&client.post("new-order", json!({"identifiers": many})).await), "malformed");

    let order = client.ready(&world, &["www.a.test"]).await;
    client.finalize(&order, &csr(&["www.a.test"])).await.is(200);
    let chain = client.look(&format!("{order}/cert")).await.ok();
    let (_, pem) = x509_parser::pem::parse_x509_pem(chain.text.as_bytes()).unwrap();
    let leaf = pem.parse_x509().unwrap();
    let usage = leaf.extended_key_usage().unwrap().unwrap().value.clone();
    assert!(usage.server_auth && !usage.client_auth, "{usage:?}");
    let life = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
    assert!(life <= 24 * 3600 + 30, "the role's time: {life}");
    let detailed = server.list("pki/certs/detailed").await.ok();
    assert!(detailed.text.contains(r#""role":"web""#), "{}", detailed.text);

    server.put("pki/config/acme", json!({"enabled": false})).await.ok();
    let off = server.anonymous().get("pki/roles/web/acme/directory").await.is(404);
    assert!(off.text.is_empty());
    server.anonymous().call("HEAD", "pki/roles/web/acme/new-nonce").await.is(404);
}

//! Accounts in the hands of who rules over the mount: seen, revoked, and given back.

use super::*;

#[tokio::test]
async fn who_rules_over_the_mount_takes_from_an_account_what_it_may_do() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let at = "pki/acme/mgmt/account/keyid";
    server.list(at).await.is(404);
    server.get(&format!("{at}/none")).await.is(404);
    server.put(&format!("{at}/none"), json!({"status": "revoked"})).await.is(404);

    let client = Client::with_account(&server, "roles/web/acme/").await;
    let order = client.ready(&world, &["a.test"]).await;
    client.finalize(&order, &csr(&["a.test"])).await.is(200);
    let open = client.ready(&world, &["x.a.test"]).await;
    let id = client.kid.as_ref().unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!(server.list(at).await.ok().data()["keys"], json!([id]));
    let path = format!("{at}/{id}");
    let about = server.get(&path).await.ok();
    let about = about.data();
    assert_eq!((&about["status"], &about["key_id"]), (&json!("valid"), &json!(id)));
    assert_eq!((&about["directory"], &about["revoked_time"]), (&json!("roles/web/acme/directory"), &json!("")));
    assert_eq!(about["eab"], json!({}));
    let orders = about["orders"].as_array().unwrap();
    assert_eq!(orders.len(), 2);
    let of = |name: &str| orders.iter().find(|one| one["identifiers"] == json!([name])).unwrap();
    assert_eq!((&of("a.test")["status"], &of("x.a.test")["status"]), (&json!("valid"), &json!("ready")));
    assert!(!of("a.test")["cert_serial_number"].as_str().unwrap().is_empty());
    assert_eq!(of("x.a.test")["cert_serial_number"], "");

    for wrong in [json!({}), json!({"status": "deactivated"}), json!({"status": ""}), json!({"status": "x"})] {
        server.put(&path, wrong).await.is(400);
    }
    // It takes a right, and nobody is asked through ACME.
    server.policy("none", r#"path "pki/acme/new-eab" { capabilities = ["update"] }"#).await;
    let token = server.put("auth/token/create", json!({"policies": ["none"]})).await.ok();
    let stranger = server.with(token.auth()["client_token"].as_str().unwrap());
    for who in [&stranger, &server.anonymous()] {
        who.list(at).await.is(403);
        who.get(&path).await.is(403);
        who.put(&path, json!({"status": "revoked"})).await.is(403);
    }

    let revoked = server.put(&path, json!({"status": "revoked"})).await.ok();
    assert_eq!(revoked.data()["status"], "revoked");
    assert!(!revoked.data()["revoked_time"].as_str().unwrap().is_empty());
    let (orders, finalized) = (client.look("orders").await, client.finalize(&open, &csr(&["x.a.test"])).await);
    let more = client.post("new-order", json!({"identifiers": identifiers(&["a.test"])})).await;
    for refused in [orders, finalized, more] {
        assert_eq!((refused.status, problem(&refused)), (403, "unauthorized"), "{refused:?}");
        assert!(refused.text.contains("revoked"), "{refused:?}");
    }
    // The same key is not another account, and its holder does not undo it.
    let again = Client { kid: None, key: client.key, ..client };
    assert_eq!(problem(&again.post("new-account", json!({"termsOfServiceAgreed": true})).await), "unauthorized");
    let account = format!("account/{id}");
    let back = Client { kid: Some(again.url(&account)), ..again };
    assert_eq!(problem(&back.post(&account, json!({"status": "deactivated"})).await), "unauthorized");

    assert_eq!(server.put(&path, json!({"status": "Valid"})).await.ok().data()["revoked_time"], "");
    back.finalize(&open, &csr(&["x.a.test"])).await.is(200);
    // What its holder gave up stays so.
    back.post(&account, json!({"status": "deactivated"})).await.is(200);
    server.put(&path, json!({"status": "valid"})).await.is(400);
    server.put(&path, json!({"status": "revoked"})).await.ok();
    assert_eq!(server.put(&path, json!({"status": "valid"})).await.ok().data()["status"], "deactivated");
    assert_eq!(problem(&back.look("orders").await), "unauthorized");
}

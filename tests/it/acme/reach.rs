//! Validation: where the server connects, how often, and when it gives up.

use super::*;

#[tokio::test]
async fn the_server_is_not_sent_into_its_own_network() {
    let world = World::new().await;
    let server = ca(&world, json!({"allowed_networks": []})).await;
    let client = Client::with_account(&server, "acme/").await;
    for name in
        ["127.0.0.1", "localhost.test", "metadata.test", "169.254.169.254", "::1", "::ffff:127.0.0.1", "10.0.0.1"]
    {
        let asked = client.post("new-order", json!({"identifiers": identifiers(&[name])})).await;
        if asked.status != 201 {
            continue;
        }
        let authorization = asked.json["authorizations"][0].as_str().unwrap();
        for kind in ["http-01", "tls-alpn-01"] {
            let challenge = client.challenge(authorization, kind).await;
            world.prove(&client, &challenge);
            let answer = client.post(challenge["url"].as_str().unwrap(), json!({})).await.ok();
            let error = &answer.json["error"];
            assert_eq!(error["type"], "urn:ietf:params:acme:error:rejectedIdentifier", "{name} {kind}: {answer:?}");
            assert!(!answer.text.contains("169.254"), "which address it was is not told: {answer:?}");
        }
    }
    assert_eq!(world.asked(), 0, "nobody was connected to");

    // With a private network opened, a redirect still leads nowhere else.
    server.put("pki/config/acme", json!({"allowed_networks": "127.0.0.1/32"})).await.ok();
    for (at, to) in [
        "http://169.254.169.254/latest/meta-data/",
        "http://metadata.test/",
        "http://127.0.0.2/",
        "http://127.0.0.1:22/",
        "https://127.0.0.1:8200/v1/sys/health",
        "file:///etc/passwd",
        "http://user@127.0.0.1/",
        "gopher://127.0.0.1/",
    ]
    .iter()
    .enumerate()
    {
        let (_, authorizations) = client.order(&[&format!("n{at}.test")]).await;
        let challenge = client.challenge(&authorizations[0], "http-01").await;
        let path = format!("/.well-known/acme-challenge/{}", challenge["token"].as_str().unwrap());
        world.file(&path, &format!("->{to}"));
        let before = world.asked();
        let answer = client.post(challenge["url"].as_str().unwrap(), json!({})).await.ok();
        assert_eq!(answer.json["status"], "processing", "{to}: {answer:?}");
        assert_eq!(world.asked(), before + 1, "{to}: only the first request was made");
    }
    let (_, authorizations) = client.order(&["loop.test"]).await;
    let challenge = client.challenge(&authorizations[0], "http-01").await;
    let path = format!("/.well-known/acme-challenge/{}", challenge["token"].as_str().unwrap());
    world.file(&path, &format!("->{path}"));
    let before = world.asked();
    client.post(challenge["url"].as_str().unwrap(), json!({})).await.ok();
    assert!(world.asked() - before <= 6, "redirects end");
    // A relative one, and one to the web's own port, are followed.
    let (_, authorizations) = client.order(&["moved.test"]).await;
    let challenge = client.challenge(&authorizations[0], "http-01").await;
    let token = challenge["token"].as_str().unwrap();
    world.file(&format!("/.well-known/acme-challenge/{token}"), "->/elsewhere");
    world.file("/elsewhere", &format!("->http://moved.test:{}/there", world.web.port()));
    world.file("/there", &client.key_authorization(token));
    assert_eq!(client.post(challenge["url"].as_str().unwrap(), json!({})).await.ok().json["status"], "valid");
}

#[tokio::test]
async fn what_is_not_there_yet_is_looked_at_again_and_then_given_up() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let client = Client::with_account(&server, "acme/").await;
    let (order, authorizations) = client.order(&["slow.test"]).await;
    let challenge = client.challenge(&authorizations[0], "http-01").await;
    let path = format!("/.well-known/acme-challenge/{}", challenge["token"].as_str().unwrap());
    world.file(&path, "somebody else's");
    let first = client.post(challenge["url"].as_str().unwrap(), json!({})).await.ok();
    assert_eq!((&first.json["status"], first.header("retry-after")), (&json!("processing"), "2"));
    assert!(!first.text.contains("somebody else's"), "what was seen there is not told");
    server.vault().tend_once().await.unwrap();
    assert_eq!(world.asked(), 1, "it is not time yet");
    server.clock().advance(3);
    // Another node, or this one after a crash, goes on.
    let server = server.crashed().await;
    world.prove(&client, &challenge);
    server.vault().tend_once().await.unwrap();
    let mut client = client;
    let moved = |text: &str| text.replacen(&client.http.address().to_string(), &server.address().to_string(), 1);
    let (order, kid) = (moved(&order), client.kid.as_deref().map(moved));
    let path = format!("http://{}/v1/pki", server.address());
    server.put("pki/config/cluster", json!({"path": path})).await.ok();
    (client.kid, client.http) = (kid, server.anonymous());
    assert_eq!(client.look(&order).await.ok().json["status"], "ready");

    let (order, authorizations) = client.order(&["never.test"]).await;
    let challenge = client.challenge(&authorizations[0], "http-01").await;
    client.post(challenge["url"].as_str().unwrap(), json!({})).await.ok();
    for pause in [3, 6, 16, 61] {
        assert_eq!(client.look(&order).await.ok().json["status"], "pending");
        server.clock().advance(pause);
        server.vault().tend_once().await.unwrap();
    }
    let failed = client.look(&order).await.ok();
    assert_eq!(failed.json["status"], "invalid");
    assert_eq!(failed.json["error"]["type"], "urn:ietf:params:acme:error:incorrectResponse");
    let asked = world.asked();
    server.clock().advance(600);
    server.vault().tend_once().await.unwrap();
    assert_eq!(world.asked(), asked, "given up");
    server.clock().advance(90_000);
    server.vault().tend_once().await.unwrap();
    assert_eq!(client.look("orders").await.ok().json["orders"], json!([]), "orders whose time is over are gone");
}

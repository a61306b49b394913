//! Orders: which identifiers there are, in which forms.

use super::*;

#[tokio::test]
async fn an_identifier_has_one_form() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let client = Client::with_account(&server, "acme/").await;
    let dns = |value: &str| json!({"type": "dns", "value": value});
    let ip = |value: &str| json!({"type": "ip", "value": value});
    let long = format!("{}.test", ["a"; 130].join("."));
    let refused = [
        dns(""),
        dns("."),
        dns("a.test."),
        dns(".a.test"),
        dns("a..test"),
        dns("a test"),
        dns("a.test\u{0}.evil.test"),
        dns("a.test\n"),
        dns("-a.test"),
        dns("a-.test"),
        dns("under_score.test"),
        dns("b\u{fc}cher.test"),
        dns("\u{ff41}.test"),
        dns("x@a.test"),
        dns("http://a.test"),
        dns("a.test:80"),
        dns("a.test/x"),
        dns("127.0.0.1"),
        dns("*.127.0.0.1"),
        dns("::1"),
        dns("[::1]"),
        dns("*"),
        dns("*."),
        dns("**.a.test"),
        dns("*.*.a.test"),
        dns("a.*.test"),
        dns("w*.a.test"),
        dns("*a.test"),
        dns(&format!("{}.test", "a".repeat(64))),
        dns(&long),
        ip(""),
        ip("a.test"),
        ip("*"),
        ip("127.0.0"),
        ip("127.0.0.1.1"),
        ip("127.1"),
        ip("0x7f.0.0.1"),
        ip("0177.0.0.1"),
        ip("2130706433"),
        ip("127.0.0.256"),
        ip("127.0.0.01"),
        ip(" 127.0.0.1"),
        ip("127.0.0.0/8"),
        ip("[::1]"),
        ip("::1%lo"),
        ip("2001:db8:0:0:0:0:0:1"),
        ip("2001:0db8::1"),
        ip("::00"),
        json!({"type": "dns"}),
        json!({"type": "dns", "value": 1}),
        json!({"type": "dns", "value": ["a.test"]}),
        json!({"type": 1, "value": "a.test"}),
        json!({"type": "DNS", "value": "a.test"}),
        json!({"type": "uri", "value": "spiffe://a.test/x"}),
        json!({"type": "permanent-identifier", "value": "a"}),
        json!({"value": "a.test"}),
        json!("a.test"),
        json!(null),
    ];
    for identifier in refused {
        // Among good ones too: an order is taken whole or not at all.
        for list in [json!([identifier]), json!([{"type": "dns", "value": "ok.test"}, identifier])] {
            let answer = client.post("new-order", json!({"identifiers": list})).await;
            let kind = problem(&answer);
            assert!(matches!(kind, "malformed" | "unsupportedIdentifier"), "{identifier}: {answer:?}");
        }
    }
    for list in [json!([]), json!({}), json!("a.test"), json!(null)] {
        assert_eq!(problem(&client.post("new-order", json!({"identifiers": list})).await), "malformed");
    }
    assert_eq!(problem(&client.post("new-order", json!({})).await), "malformed");
    for (field, value) in [
        ("notBefore", json!("2026-01-01T00:00:00Z")),
        ("notAfter", json!("yesterday")),
        ("notAfter", json!(1)),
        ("notAfter", json!("2026-13-01T00:00:00Z")),
    ] {
        let answer = client.post("new-order", json!({"identifiers": identifiers(&["a.test"]), field: value})).await;
        assert!((400..500).contains(&answer.status), "{field} {value}: {answer:?}");
    }
    assert_eq!(client.look("orders").await.ok().json["orders"], json!([]));

    // Case does not make a name another, and who says one twice orders one.
    let twice = json!([
        dns("A.test"),
        dns("a.TEST"),
        ip("2001:db8::1"),
        ip("2001:DB8::1"),
        ip("127.0.0.1"),
        dns("xn--bcher-kva.test")
    ]);
    let order = client.post("new-order", json!({"identifiers": twice})).await.is(201);
    assert_eq!(
        order.json["identifiers"],
        json!([dns("a.test"), dns("xn--bcher-kva.test"), ip("127.0.0.1"), ip("2001:db8::1")])
    );
    assert_eq!(order.json["authorizations"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn each_kind_of_identifier_is_proved_in_its_own_ways() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let client = Client::with_account(&server, "acme/").await;
    for (name, wanted) in [
        ("a.test", vec!["dns-01", "http-01", "tls-alpn-01"]),
        // Whoever has a host has not what is below its name.
        ("*.a.test", vec!["dns-01"]),
        // An address has no place for a text (RFC 8738).
        ("127.0.0.1", vec!["http-01", "tls-alpn-01"]),
        ("2001:db8::1", vec!["http-01", "tls-alpn-01"]),
    ] {
        let (_, authorizations) = client.order(&[name]).await;
        let shown = client.look(&authorizations[0]).await.ok();
        let challenges = shown.json["challenges"].as_array().unwrap();
        let mut kinds: Vec<&str> = challenges.iter().filter_map(|one| one["type"].as_str()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, wanted, "{name}");
        // A token is a secret's worth of chance, and another one each time.
        let tokens: std::collections::BTreeSet<&str> =
            challenges.iter().filter_map(|one| one["token"].as_str()).collect();
        assert!(tokens.iter().all(|token| token.len() >= 22), "{tokens:?}");
        let (_, again) = client.order(&[name]).await;
        let shown = client.look(&again[0]).await.ok();
        assert!(!tokens.contains(shown.json["challenges"][0]["token"].as_str().unwrap()), "no token is used twice");
    }
    // A wildcard and its base are two, each with its own proof.
    let (order, authorizations) = client.order(&["*.a.test", "a.test"]).await;
    assert_eq!(authorizations.len(), 2);
    for authorization in &authorizations {
        let shown = client.look(authorization).await.ok();
        if shown.json["wildcard"] == true {
            continue;
        }
        let challenge = client.challenge(authorization, "http-01").await;
        world.prove(&client, &challenge);
        client.post(challenge["url"].as_str().unwrap(), json!({})).await.ok();
    }
    assert_eq!(client.look(&order).await.ok().json["status"], "pending", "the wildcard is not proved");
    assert_eq!(problem(&client.finalize(&order, &csr(&["*.a.test", "a.test"])).await), "orderNotReady");
}

/// What one account has proved is worth nothing to another, and nothing for another name.
#[tokio::test]
async fn a_proof_is_its_accounts_own() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let (ann, ben) = (Client::with_account(&server, "acme/").await, Client::with_account(&server, "acme/").await);
    let order = ann.ready(&world, &["a.test"]).await;
    let (theirs, authorizations) = ben.order(&["a.test"]).await;
    assert_eq!(ben.look(&theirs).await.ok().json["status"], "pending");
    assert_eq!(problem(&ben.finalize(&theirs, &csr(&["a.test"])).await), "orderNotReady");
    assert_eq!(ben.finalize(&order, &csr(&["a.test"])).await.status, 404);
    // Ann's answer stands where Ben's is looked for.
    let challenge = ben.challenge(&authorizations[0], "http-01").await;
    world.prove(&ann, &challenge);
    let answer = ben.post(challenge["url"].as_str().unwrap(), json!({})).await.ok();
    assert_eq!(answer.json["status"], "processing", "{answer:?}");
    // Nor may Ben set off, look at or give up what is Ann's.
    let (_, anns) = ann.order(&["b.test"]).await;
    let challenge = ann.challenge(&anns[0], "http-01").await;
    let before = world.asked();
    for (below, body) in [(challenge["url"].as_str().unwrap(), json!({})), (&anns[0], json!({"status": "deactivated"}))]
    {
        let answer = ben.post(below, body).await;
        assert_eq!(answer.status, 404, "{below}: {answer:?}");
    }
    assert_eq!(world.asked(), before);
    assert_eq!(ann.look(&anns[0]).await.ok().json["status"], "pending");
}

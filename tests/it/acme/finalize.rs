//! The request for a certificate: it has the names of the order, all of them and no others.

use super::*;

#[tokio::test]
async fn only_the_proved_names_are_signed() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let client = Client::with_account(&server, "acme/").await;
    let order = client.ready(&world, &["a.test", "b.test"]).await;
    let before = certificates(&server).await;
    let san = |name: &str| rcgen::string::Ia5String::try_from(name).unwrap();
    let both = ["a.test", "b.test"];
    let requests: Vec<(&str, Vec<u8>)> = vec![
        ("one more", csr(&["a.test", "b.test", "c.test"])),
        ("a wildcard more", csr(&["a.test", "b.test", "*.a.test"])),
        ("one less", csr(&["a.test"])),
        ("another", csr(&["a.test", "c.test"])),
        ("none", csr(&[])),
        ("an address", csr(&["a.test", "b.test", "127.0.0.1"])),
        ("a mail address", csr_with(&both, |p| p.subject_alt_names.push(rcgen::SanType::Rfc822Name(san("x@a.test"))))),
        ("a URI", csr_with(&both, |p| p.subject_alt_names.push(rcgen::SanType::URI(san("spiffe://a.test/x"))))),
        (
            "another name",
            csr_with(&both, |p| {
                let value = rcgen::OtherNameValue::Utf8String("admin@a.test".into());
                p.subject_alt_names.push(rcgen::SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3], value)));
            }),
        ),
        (
            "another common name",
            csr_with(&both, |p| {
                p.distinguished_name.push(rcgen::DnType::CommonName, "evil.test");
            }),
        ),
        ("a CA", csr_with(&both, |p| p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained))),
        ("garbage", vec![0x30, 0x03, 1, 2, 3]),
        ("nothing", Vec::new()),
    ];
    for (what, request) in requests {
        let answer = client.finalize(&order, &request).await;
        assert_eq!(problem(&answer), "badCSR", "{what}: {answer:?}");
        assert_eq!(client.look(&order).await.ok().json["status"], "ready", "{what}");
    }
    // An order that is not ready is not finalized, whatever others have proved.
    let (pending, authorizations) = client.order(&["a.test", "z.test"]).await;
    assert_eq!(problem(&client.finalize(&pending, &csr(&["a.test", "z.test"])).await), "orderNotReady");
    client.post(&authorizations[0], json!({"status": "deactivated"})).await.ok();
    assert_eq!(client.look(&pending).await.ok().json["status"], "invalid");
    assert_eq!(certificates(&server).await, before, "nothing was signed");

    let good = client.finalize(&order, &csr(&both)).await.is(200);
    assert_eq!(good.json["status"], "valid");
    assert_eq!(certificates(&server).await, before + 1);
    // Proofs end with their order's time.
    let late = client.ready(&world, &["late.test"]).await;
    server.clock().advance(86_401);
    // Not ready any more, or tidied away already by the background.
    let late = client.finalize(&late, &csr(&["late.test"])).await;
    assert!(matches!((problem(&late), late.status), ("orderNotReady", 403) | ("malformed", 404)), "{late:?}");
    assert_eq!(certificates(&server).await, before + 1);
}

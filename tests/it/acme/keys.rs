//! Keys of accounts: which kinds there are, which are none, and how one follows another.

use super::*;

#[tokio::test]
async fn an_account_has_a_key_of_any_kind() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    for algorithm in ["ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512"] {
        let client = Client::of(&server, "acme/", algorithm).registered().await;
        let order = client.ready(&world, &["a.test"]).await;
        client.finalize(&order, &csr(&["a.test"])).await.is(200);
        // Each kind signs in its own way alone.
        for other in ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256", "HS256", "none", "", "es256", "ES256K"] {
            if other == algorithm {
                continue;
            }
            let url = client.url("orders");
            let mut header = client.header(&url, &client.nonce().await);
            header["alg"] = other.into();
            let answer = client.send(&url, &client.sign(&header, "")).await;
            assert!(
                matches!(problem(&answer), "unauthorized" | "badSignatureAlgorithm"),
                "{algorithm} as {other}: {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_key_that_is_none_makes_no_account() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let client = Client::of(&server, "acme/", "ES256");
    let point = client.jwk();
    let (x, y) = (point["x"].as_str().unwrap(), point["y"].as_str().unwrap());
    let bytes = |text: &str| BASE64.decode(text).unwrap();
    let flipped = BASE64.encode(bytes(y).iter().map(|byte| !byte).collect::<Vec<u8>>());
    let zero = BASE64.encode([0; 32]);
    let ec = |crv: &str, x: &str, y: &str| json!({"kty": "EC", "crv": crv, "x": x, "y": y});
    let rsa = |n: &[u8], e: &[u8]| json!({"kty": "RSA", "n": BASE64.encode(n), "e": BASE64.encode(e)});
    let modulus = |length: usize| [vec![0xc1; length - 1], vec![0x0f]].concat();
    let table = [
        ("nothing", json!({})),
        ("a text", json!("key")),
        ("a list", json!([])),
        ("no kind", json!({"crv": "P-256", "x": x, "y": y})),
        ("a shared key", json!({"kty": "oct", "k": "AAAAAAAAAAAAAAAA"})),
        ("an unknown curve", ec("P-224", x, y)),
        ("a curve of coins", ec("secp256k1", x, y)),
        ("the curve of another size", ec("P-384", x, y)),
        ("no y", json!({"kty": "EC", "crv": "P-256", "x": x})),
        ("a point beside the curve", ec("P-256", x, &flipped)),
        ("the point at infinity", ec("P-256", &zero, &zero)),
        ("a coordinate that is short", ec("P-256", &BASE64.encode(&bytes(x)[1..]), y)),
        ("a coordinate that is long", ec("P-256", &BASE64.encode([&[0], &bytes(x)[..]].concat()), y)),
        ("a coordinate above the prime", ec("P-256", &BASE64.encode([0xff; 32]), y)),
        ("padding", ec("P-256", &format!("{x}="), y)),
        ("numbers", json!({"kty": "EC", "crv": "P-256", "x": 1, "y": 2})),
        ("another kind's curve", json!({"kty": "OKP", "crv": "P-256", "x": x, "y": y})),
        ("X25519, which signs nothing", json!({"kty": "OKP", "crv": "X25519", "x": x})),
        ("Ed448", json!({"kty": "OKP", "crv": "Ed448", "x": BASE64.encode([1; 57])})),
        ("Ed25519 that is short", json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode([1; 31])})),
        ("RSA of 512 bits", rsa(&modulus(64), &[1, 0, 1])),
        ("RSA of 1024 bits", rsa(&modulus(128), &[1, 0, 1])),
        ("RSA of 16384 bits", rsa(&modulus(2048), &[1, 0, 1])),
        ("RSA with an even modulus", rsa(&[0xc0; 256], &[1, 0, 1])),
        ("RSA with the exponent 1", rsa(&modulus(256), &[1])),
        ("RSA with an even exponent", rsa(&modulus(256), &[4])),
        ("RSA without an exponent", rsa(&modulus(256), &[])),
        ("RSA with a giant exponent", rsa(&modulus(256), &[0xff; 200])),
    ];
    let url = client.url("new-account");
    for (what, jwk) in table {
        let mut header = client.header(&url, &client.nonce().await);
        header["jwk"] = jwk;
        let answer = client.send(&url, &client.sign(&header, "{}")).await;
        assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
        assert!(matches!(problem(&answer), "badPublicKey" | "malformed" | "unauthorized"), "{what}: {answer:?}");
    }
    // What else stands beside a key does not make it another: two of them are one account.
    let first = client.post("new-account", json!({})).await.is(201);
    let mut header = client.header(&url, &client.nonce().await);
    header["jwk"]["use"] = "enc".into();
    header["jwk"]["d"] = "AAAA".into();
    let again = client.send(&url, &client.sign(&header, "{}")).await.is(200);
    assert_eq!(first.header("location"), again.header("location"));
}

#[tokio::test]
async fn a_key_is_followed_by_one_whose_holder_agrees() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let client = Client::with_account(&server, "acme/").await;
    let other = Client::with_account(&server, "acme/").await;
    let fresh = Client::of(&server, "acme/", "ES256");
    let url = client.url("key-change");
    let header = |key: &Client| json!({"alg": key.algorithm, "jwk": key.jwk(), "url": url});
    let payload = json!({"account": client.kid, "oldKey": client.jwk()});
    let with = |base: &Value, name: &str, value: Value| {
        let mut changed = base.clone();
        changed[name] = value;
        changed
    };
    let without = |base: &Value, name: &str| {
        let mut changed = base.clone();
        changed.as_object_mut().unwrap().remove(name);
        changed
    };
    let inner = |header: &Value, payload: &Value| fresh.sign(header, &payload.to_string());
    let good = header(&fresh);
    let mut forged = inner(&good, &payload);
    forged["signature"] = BASE64.encode([1; 64]).into();
    let table = [
        ("nothing within", json!({})),
        ("a text within", json!("x")),
        ("a signature by somebody else", forged),
        ("the key of another algorithm", inner(&with(&good, "alg", "EdDSA".into()), &payload)),
        ("no key", inner(&without(&good, "jwk"), &payload)),
        ("an account instead of a key", inner(&with(&without(&good, "jwk"), "kid", json!(client.kid)), &payload)),
        ("another url", inner(&with(&good, "url", client.url("new-order").into()), &payload)),
        ("no url", inner(&without(&good, "url"), &payload)),
        ("a nonce within", inner(&with(&good, "nonce", client.nonce().await.into()), &payload)),
        ("another's account", inner(&good, &with(&payload, "account", json!(other.kid)))),
        ("no account", inner(&good, &without(&payload, "account"))),
        ("another's key as the old one", inner(&good, &with(&payload, "oldKey", other.jwk()))),
        ("no old key", inner(&good, &without(&payload, "oldKey"))),
        ("an old key that is none", inner(&good, &with(&payload, "oldKey", json!({"kty": "EC"})))),
    ];
    for (what, body) in table {
        let answer = client.post("key-change", body).await;
        assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
        problem(&answer);
        client.look("orders").await.ok();
    }
    // A key that an account has already cannot become another's.
    let taken = other.sign(&header(&other), &payload.to_string());
    let answer = client.post("key-change", taken).await;
    assert_eq!((answer.status, answer.header("location")), (409, other.kid.as_deref().unwrap()));
    assert_eq!(problem(&other.post("key-change", inner(&good, &payload)).await), "malformed", "nor by another");
    client.post("key-change", inner(&good, &payload)).await.is(200);
    assert_eq!(problem(&client.look("orders").await), "unauthorized");
    let moved = Client { kid: client.kid, ..fresh };
    moved.look("orders").await.ok();
}

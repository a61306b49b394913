//! Requests: who signs with another key, replays, or writes another address gets nothing.

use super::*;

#[tokio::test]
async fn a_request_that_is_not_its_senders_does_nothing() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let client = Client::with_account(&server, "acme/").await;
    let url = client.url("new-order");
    let payload = json!({"identifiers": identifiers(&["a.test"])}).to_string();
    let good = |nonce: &str| client.header(&url, nonce);

    let nonce = client.nonce().await;
    let signed = client.sign(&good(&nonce), &payload);
    client.send(&url, &signed).await.is(201);
    let again = client.send(&url, &signed).await;
    assert_eq!(problem(&again), "badNonce", "replayed");
    for nonce in ["", "AAAA", &BASE64.encode([7; 40]), &nonce] {
        let answer = client.send(&url, &client.sign(&good(nonce), &payload)).await;
        assert_eq!(problem(&answer), "badNonce", "{nonce}");
    }
    let old = client.nonce().await;
    server.clock().advance(3601);
    assert_eq!(problem(&client.send(&url, &client.sign(&good(&old), &payload)).await), "badNonce", "too old");

    let stranger = Client::new(&server, "acme/");
    let mut table: Vec<(&str, Value, &Client, &str)> = Vec::new();
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut header = good("");
        edit(&mut header);
        header
    };
    table.push(("another url", with(&|h| h["url"] = client.url("orders").into()), &client, "unauthorized"));
    table.push((
        "no url",
        with(&|h| {
            h.as_object_mut().unwrap().remove("url");
        }),
        &client,
        "unauthorized",
    ));
    table.push(("a foreign key", with(&|_| {}), &stranger, "unauthorized"));
    table.push(("none", with(&|h| h["alg"] = "none".into()), &client, "badSignatureAlgorithm"));
    table.push(("HS256", with(&|h| h["alg"] = "HS256".into()), &client, "badSignatureAlgorithm"));
    table.push(("ES256 of an Ed25519 key", with(&|h| h["alg"] = "ES256".into()), &client, "unauthorized"));
    table.push(("crit", with(&|h| h["crit"] = json!(["x"])), &client, "malformed"));
    table.push(("b64", with(&|h| h["b64"] = json!(false)), &client, "malformed"));
    table.push(("both", with(&|h| h["jwk"] = client.jwk()), &client, "malformed"));
    table.push((
        "jwk alone",
        with(&|h| {
            h.as_object_mut().unwrap().remove("kid");
            h["jwk"] = client.jwk();
        }),
        &client,
        "malformed",
    ));
    table.push((
        "nobody's account",
        with(&|h| h["kid"] = client.url("account/00").into()),
        &client,
        "accountDoesNotExist",
    ));
    table.push((
        "elsewhere",
        with(&|h| h["kid"] = "http://evil.test/account/1".into()),
        &client,
        "accountDoesNotExist",
    ));
    for (what, mut header, signer, wanted) in table {
        header["nonce"] = client.nonce().await.into();
        let answer = client.send(&url, &signer.sign(&header, &payload)).await;
        assert_eq!(problem(&answer), wanted, "{what}: {answer:?}");
        assert!((400..500).contains(&answer.status), "{what}");
    }
    for body in ["", "{}", "[]", "null", r#"{"protected":"e30","payload":"","signature":""}"#, "\u{0}"] {
        let call = client.http.call("POST", "pki/acme/new-order").bytes(body);
        let answer = call.header("content-type", "application/jose+json").await;
        assert_eq!(problem(&answer), "malformed", "{body:?}");
    }
    let plain = client.http.call("POST", "pki/acme/new-order").bytes("{}").header("content-type", "application/json");
    assert_eq!(plain.await.status, 415);
    let orders = client.look("orders").await.ok();
    assert_eq!(orders.json["orders"].as_array().unwrap().len(), 1, "only the first one was taken");

    // Another's things are not there, whatever is known of their addresses.
    let other = Client::with_account(&server, "acme/").await;
    let (order, authorizations) = client.order(&["b.test"]).await;
    for below in [&order, &authorizations[0], &format!("{order}/cert")] {
        assert_eq!(other.look(below).await.status, 404, "{below}");
    }
    assert_eq!(problem(&other.post(client.kid.as_ref().unwrap(), json!({})).await), "unauthorized");
    // An account belongs to its directory.
    let mut wandering = Client::new(&server, "roles/web/acme/");
    (wandering.key, wandering.kid) = (client.key, client.kid);
    assert_eq!(problem(&wandering.look("orders").await), "accountDoesNotExist");
}

/// The forms that RFC 7515 has and RFC 8555 has not, and those that nobody has.
#[tokio::test]
async fn a_request_has_one_form() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let client = Client::with_account(&server, "acme/").await;
    let url = client.url("new-order");
    let payload = json!({"identifiers": identifiers(&["a.test"])}).to_string();
    let whole = async || client.sign(&client.header(&url, &client.nonce().await), &payload);
    let edited = async |edit: &dyn Fn(&mut Value)| {
        let mut body = whole().await;
        edit(&mut body);
        client.send(&url, &body).await
    };
    let text = |body: &Value, name: &str| body[name].as_str().unwrap().to_owned();
    type Edit<'a> = &'a dyn Fn(&mut Value);
    let malformed: [(&str, Edit<'_>); 13] = [
        ("an unprotected header", &|b| b["header"] = json!({"kid": "x"})),
        ("an empty unprotected header", &|b| b["header"] = json!({})),
        ("the general form", &|b| *b = json!({"payload": b["payload"], "signatures": [b]})),
        ("both forms", &|b| b["signatures"] = json!([])),
        ("a payload that is no text", &|b| b["payload"] = json!({})),
        ("no payload", &|b| drop(b.as_object_mut().unwrap().remove("payload"))),
        ("no signature", &|b| drop(b.as_object_mut().unwrap().remove("signature"))),
        ("padding", &|b| b["signature"] = format!("{}==", text(b, "signature")).into()),
        ("a line break", &|b| b["protected"] = format!("{}\n", text(b, "protected")).into()),
        ("the other alphabet", &|b| b["signature"] = "++//".into()),
        ("a header that is a list", &|b| b["protected"] = BASE64.encode("[]").into()),
        ("a header that is cut", &|b| b["protected"] = BASE64.encode("{\"alg\":").into()),
        ("a header with a name twice", &|b| {
            b["protected"] = BASE64.encode(r#"{"alg":"EdDSA","alg":"none","kid":"x","nonce":"x","url":"x"}"#).into();
        }),
    ];
    for (what, edit) in malformed {
        let answer = edited(edit).await;
        assert_eq!((problem(&answer), answer.status), ("malformed", 400), "{what}: {answer:?}");
    }
    let unauthorized: [(&str, Edit<'_>); 5] = [
        ("an empty signature", &|b| b["signature"] = "".into()),
        ("a signature of zeros", &|b| b["signature"] = BASE64.encode([0; 64]).into()),
        ("a byte more", &|b| {
            let signature = BASE64.decode(text(b, "signature")).unwrap();
            b["signature"] = BASE64.encode([&signature[..], &[0]].concat()).into();
        }),
        ("another payload", &|b| b["payload"] = BASE64.encode("{}").into()),
        ("another header", &|b| {
            let header = String::from_utf8(BASE64.decode(text(b, "protected")).unwrap()).unwrap();
            b["protected"] = BASE64.encode(header.replacen('{', "{ ", 1)).into();
        }),
    ];
    for (what, edit) in unauthorized {
        let answer = edited(edit).await;
        assert_eq!(problem(&answer), "unauthorized", "{what}: {answer:?}");
    }
    let long = client.http.call("POST", "pki/acme/new-order").bytes(vec![b'a'; 200_000]);
    let answer = long.header("content-type", "application/jose+json").await;
    assert_eq!((problem(&answer), answer.status), ("malformed", 413));
    let query = client.sign(&client.header(&format!("{url}?x=1"), &client.nonce().await), &payload);
    assert_eq!(problem(&client.send(&url, &query).await), "unauthorized", "the url with something more");
    assert_eq!(client.look("orders").await.ok().json["orders"], json!([]), "none of them made an order");
    client.send(&url, &whole().await).await.is(201);
}

/// A request to one of an order's addresses may not be sent to another of them.
#[tokio::test]
async fn a_request_is_for_its_own_address() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let client = Client::with_account(&server, "acme/").await;
    let (order, authorizations) = client.order(&["a.test"]).await;
    let finalize = format!("{order}/finalize");
    let places = [
        client.url("new-order"),
        client.url("key-change"),
        client.url("revoke-cert"),
        order,
        authorizations[0].clone(),
    ];
    for place in places.iter().chain([&finalize, client.kid.as_ref().unwrap()]) {
        let elsewhere = if *place == finalize { &places[0] } else { &finalize };
        let body = client.sign(&client.header(elsewhere, &client.nonce().await), "{}");
        assert_eq!(problem(&client.send(place, &body).await), "unauthorized", "{place}");
        let host = elsewhere.replacen("127.0.0.1", "localhost", 1);
        let body = client.sign(&client.header(&host, &client.nonce().await), "{}");
        assert_eq!(problem(&client.send(place, &body).await), "unauthorized", "{place}");
    }
}

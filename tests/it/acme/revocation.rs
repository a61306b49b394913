//! Revoking by ACME: by the account, by the certificate's key, by who has proved the names; by nobody else.

use super::*;

struct Issued {
    der: Vec<u8>,
    key: rcgen::KeyPair,
}

/// A certificate for these names, whose key is kept.
async fn issued(client: &Client, world: &World, names: &[&str]) -> Issued {
    let order = client.ready(world, names).await;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let texts: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(texts).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(&key).unwrap().der().to_vec();
    let valid = client.finalize(&order, &request).await.is(200);
    let chain = client.look(valid.json["certificate"].as_str().unwrap()).await.ok();
    let (_, pem) = x509_parser::pem::parse_x509_pem(chain.text.as_bytes()).unwrap();
    Issued { der: pem.contents, key }
}

fn asked(der: &[u8]) -> Value {
    json!({"certificate": BASE64.encode(der)})
}

#[tokio::test]
async fn who_has_the_key_of_a_certificate_may_revoke_it() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let ann = Client::with_account(&server, "acme/").await;
    let issued = issued(&ann, &world, &["a.test"]).await;
    // Somebody without an account, who signs with a key of their own.
    let stranger = Client::new(&server, "acme/");
    assert_eq!(problem(&stranger.post("revoke-cert", asked(&issued.der)).await), "unauthorized");
    let holder = Client { key: PrivateKey::from_der(&issued.key.serialize_der()).unwrap(), ..stranger };
    holder.post("revoke-cert", asked(&issued.der)).await.is(200);
    assert_eq!(problem(&holder.post("revoke-cert", asked(&issued.der)).await), "alreadyRevoked");
    let revoked = server.list("pki/certs/revoked").await.ok();
    assert_eq!(revoked.data()["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_has_proved_all_of_its_names_may_revoke_a_certificate() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let (ann, ben) = (Client::with_account(&server, "acme/").await, Client::with_account(&server, "acme/").await);
    let issued = issued(&ann, &world, &["a.test", "b.test"]).await;
    ben.ready(&world, &["a.test"]).await;
    assert_eq!(
        problem(&ben.post("revoke-cert", asked(&issued.der)).await),
        "unauthorized",
        "one of the two is not enough"
    );
    ben.ready(&world, &["b.test"]).await;
    ben.post("revoke-cert", asked(&issued.der)).await.is(200);
}

#[tokio::test]
async fn what_is_no_certificate_of_ours_is_not_revoked() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let client = Client::with_account(&server, "acme/").await;
    let issued = issued(&client, &world, &["a.test"]).await;
    let root = server.get("pki/ca/pem").await.ok().text;
    let root = x509_parser::pem::parse_x509_pem(root.as_bytes()).unwrap().1.contents;
    let mut changed = issued.der.clone();
    *changed.last_mut().unwrap() ^= 1;
    // The serial number of one of ours, in a certificate of another's.
    let (_, leaf) = x509_parser::parse_x509_certificate(&issued.der).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.serial_number = Some(rcgen::SerialNumber::from_slice(leaf.raw_serial()));
    let twin = params.self_signed(&issued.key).unwrap().der().to_vec();
    for (what, body) in [
        ("nothing", json!({})),
        ("a text", json!({"certificate": "x y"})),
        ("PEM", json!({"certificate": "-----BEGIN CERTIFICATE-----"})),
        ("padding", json!({"certificate": format!("{}=", BASE64.encode(&issued.der))})),
        ("cut", asked(&issued.der[..issued.der.len() - 1])),
        ("a byte more", asked(&[&issued.der[..], &[0]].concat())),
        ("another signature", asked(&changed)),
        ("another's with the same number", asked(&twin)),
        ("the root", asked(&root)),
        ("a list", json!({"certificate": [BASE64.encode(&issued.der)]})),
    ] {
        let answer = client.post("revoke-cert", body).await;
        assert!(matches!(answer.status, 400 | 403 | 404), "{what}: {answer:?}");
        problem(&answer);
    }
    for reason in
        [json!(-1), json!(2), json!(6), json!(7), json!(8), json!(10), json!(11), json!(256), json!("1"), json!(1.5)]
    {
        let mut body = asked(&issued.der);
        body["reason"] = reason.clone();
        let answer = client.post("revoke-cert", body).await;
        assert_eq!(problem(&answer), "badRevocationReason", "{reason}: {answer:?}");
    }
    server.list("pki/certs/revoked").await.is(404);
    let mut body = asked(&issued.der);
    body["reason"] = json!(1);
    client.post("revoke-cert", body).await.is(200);
}

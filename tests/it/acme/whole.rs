//! The way from the directory to a certificate and its end, by each of the three proofs.

use super::*;

#[tokio::test]
async fn from_the_directory_to_a_revoked_certificate_without_tuning() {
    let world = World::new().await;
    let server = ca(&world, json!({})).await;
    let directory = server.anonymous().get("pki/acme/directory").await.ok();
    let at = |member: &str| directory.json[member].as_str().unwrap().to_owned();
    assert!(directory.header("link").contains("rel=\"index\""));
    let nonce = server.anonymous().get("pki/acme/new-nonce").await.is(204);
    assert!(!nonce.header("replay-nonce").is_empty() && nonce.header("cache-control").contains("no-store"));

    let mut client = Client::new(&server, "acme/");
    let contact = json!({"contact": ["mailto:a@a.test"], "termsOfServiceAgreed": true});
    assert_eq!(
        problem(&client.post(&at("newAccount"), json!({"onlyReturnExisting": true})).await),
        "accountDoesNotExist"
    );
    let made = client.post(&at("newAccount"), contact.clone()).await.is(201);
    let again = client.post(&at("newAccount"), contact).await.is(200);
    assert_eq!(made.header("location"), again.header("location"));
    client.kid = Some(made.header("location").to_owned());
    assert_eq!(
        problem(&client.post(client.kid.as_ref().unwrap(), json!({"contact": ["mailto:x"]})).await),
        "invalidContact"
    );

    let order = client.ready(&world, &["a.test", "127.0.0.1"]).await;
    let request =
        csr_with(&["A.test", "127.0.0.1"], |p| p.distinguished_name.push(rcgen::DnType::CommonName, "a.test"));
    let valid = client.finalize(&order, &request).await.is(200);
    let chain = client.look(valid.json["certificate"].as_str().unwrap()).await.ok();
    assert_eq!(chain.header("content-type"), "application/pem-certificate-chain");
    assert_eq!(chain.text.matches("BEGIN CERTIFICATE").count(), 2, "the leaf and its issuer");
    let (_, pem) = x509_parser::pem::parse_x509_pem(chain.text.as_bytes()).unwrap();
    let leaf = pem.parse_x509().unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    assert_eq!(names.len(), 2, "{names:?}");

    // Renewal information, and an order that takes the place of the first.
    let key_id = leaf.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => {
            id.key_identifier.as_ref().map(|id| id.0.to_vec())
        }
        _ => None,
    });
    let id = format!("{}.{}", BASE64.encode(key_id.unwrap()), BASE64.encode(leaf.raw_serial()));
    let info_at = format!("pki/acme/renewal-info/{id}");
    let info = server.anonymous().get(&info_at).await.ok();
    let moment = |member: &str| {
        info.json["suggestedWindow"][member].as_str().unwrap().parse::<warifu::base::Timestamp>().unwrap()
    };
    assert!(moment("start") < moment("end") && moment("end").as_second() < leaf.validity().not_after.timestamp());
    assert!(!info.header("retry-after").is_empty());
    server.anonymous().get("pki/acme/renewal-info/AA.AA").await.is(404);
    let renewed =
        client.post("new-order", json!({"identifiers": identifiers(&["a.test"]), "replaces": id})).await.is(201);
    let authorization = renewed.json["authorizations"][0].as_str().unwrap().to_owned();
    let challenge = client.challenge(&authorization, "http-01").await;
    world.prove(&client, &challenge);
    client.post(challenge["url"].as_str().unwrap(), json!({})).await.ok();
    client.finalize(renewed.header("location"), &csr(&["a.test"])).await.is(200);
    let twice = client.post("new-order", json!({"identifiers": identifiers(&["a.test"]), "replaces": id})).await;
    assert_eq!((problem(&twice), twice.status), ("alreadyReplaced", 409));

    // Another key for the account; the old one is worth nothing.
    let fresh = Client::new(&server, "acme/");
    let url = client.url("key-change");
    let inner = fresh.sign(
        &json!({"alg": "EdDSA", "jwk": fresh.jwk(), "url": url}),
        &json!({"account": client.kid, "oldKey": client.jwk()}).to_string(),
    );
    client.post("key-change", inner).await.is(200);
    assert_eq!(problem(&client.look("orders").await), "unauthorized");
    client.key = fresh.key;
    client.look("orders").await.ok();

    // Revoking: a stranger may not, the owner may, once.
    let der = json!({"certificate": BASE64.encode(&pem.contents), "reason": 4});
    let stranger = Client::with_account(&server, "acme/").await;
    assert_eq!(problem(&stranger.post("revoke-cert", der.clone()).await), "unauthorized");
    let odd = json!({"certificate": BASE64.encode(&pem.contents), "reason": 7});
    assert_eq!(problem(&client.post("revoke-cert", odd).await), "badRevocationReason");
    client.post("revoke-cert", der.clone()).await.is(200);
    assert_eq!(problem(&client.post("revoke-cert", der).await), "alreadyRevoked");
    let window = server.anonymous().get(&info_at).await.ok();
    let start: warifu::base::Timestamp = window.json["suggestedWindow"]["start"].as_str().unwrap().parse().unwrap();
    assert!(start <= warifu::base::Clock::now(server.clock()), "renew at once");

    client.post(client.kid.as_ref().unwrap(), json!({"status": "deactivated"})).await.ok();
    assert_eq!(problem(&client.look("orders").await), "unauthorized");
}

#[tokio::test]
async fn wildcards_are_proved_by_dns_and_names_by_tls() {
    let world = World::new().await;
    let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = ca(&world, json!({"tls_alpn_01_port": tls.local_addr().unwrap().port()})).await;
    let client = Client::with_account(&server, "acme/").await;
    let (order, authorizations) = client.order(&["*.a.test"]).await;
    let shown = client.look(&authorizations[0]).await.ok();
    let kinds: Vec<&str> =
        shown.json["challenges"].as_array().unwrap().iter().filter_map(|one| one["type"].as_str()).collect();
    assert_eq!((kinds, &shown.json["wildcard"]), (vec!["dns-01"], &json!(true)), "nothing else speaks for a wildcard");
    let challenge = client.challenge(&authorizations[0], "dns-01").await;
    let digest = sha256(client.key_authorization(challenge["token"].as_str().unwrap()).as_bytes());
    let texts = vec!["other".to_owned(), BASE64.encode(digest)];
    world.texts.lock().unwrap().insert("_acme-challenge.a.test".into(), texts);
    assert_eq!(client.post(challenge["url"].as_str().unwrap(), json!({})).await.ok().json["status"], "valid");
    assert_eq!(problem(&client.finalize(&order, &csr(&["a.test"])).await), "badCSR", "the base was not ordered");
    client.finalize(&order, &csr(&["*.a.test"])).await.is(200);

    let (order, authorizations) = client.order(&["tls.test"]).await;
    let challenge = client.challenge(&authorizations[0], "tls-alpn-01").await;
    let digest = sha256(client.key_authorization(challenge["token"].as_str().unwrap()).as_bytes());
    let mut params = rcgen::CertificateParams::new(vec!["tls.test".to_owned()]).unwrap();
    params.custom_extensions.push(rcgen::CustomExtension::new_acme_identifier(&digest));
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let chain = vec![certificate.der().clone()];
    let der = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let builder = warifu::crypto::tls::server_builder(warifu::crypto::tls::Versions::Both).unwrap();
    let key = warifu::crypto::tls::provider().key_provider.load_private_key(der).unwrap();
    let shown = rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(chain, key));
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = tls.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 16]).await;
            }
        }
    });
    let answer = client.post(challenge["url"].as_str().unwrap(), json!({})).await.ok();
    assert_eq!(answer.json["status"], "valid", "{answer:?}");
    client.finalize(&order, &csr(&["tls.test"])).await.is(200);
    // The same certificate proves no other name.
    let (_, authorizations) = client.order(&["other.test"]).await;
    let challenge = client.challenge(&authorizations[0], "tls-alpn-01").await;
    let answer = client.post(challenge["url"].as_str().unwrap(), json!({})).await.ok();
    assert_eq!(answer.json["status"], "processing", "{answer:?}");
}

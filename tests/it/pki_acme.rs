//! ACME: nobody gets a certificate for what they did not prove, and nobody sends the server where it must not go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use warifu::crypto::{Jwk, KeyKind, PrivateKey, SignatureAlgorithm, hmac_sha256, sha256};

use crate::http::{Answer, Http};
use crate::server::Server;

/// What the names of a story lead to: a web server, a DNS server, and what they say.
struct World {
    web: SocketAddr,
    dns: SocketAddr,
    /// Path to body; a body that begins with `->` is a redirect.
    files: Arc<Mutex<BTreeMap<String, String>>>,
    texts: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    /// How often the web server was asked.
    asked: Arc<AtomicUsize>,
}

impl World {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let world = Self {
            web: listener.local_addr().unwrap(),
            dns: socket.local_addr().unwrap(),
            files: Arc::default(),
            texts: Arc::default(),
            asked: Arc::default(),
        };
        let (files, asked) = (world.files.clone(), world.asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::SeqCst);
                let mut text = vec![0; 4096];
                let length = stream.read(&mut text).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&text[..length]).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                let found = files.lock().unwrap().get(&path).cloned();
                let (status, headers, body) = match found.as_deref().map(|body| body.strip_prefix("->").ok_or(body)) {
                    Some(Ok(location)) => ("302 Found", format!("location: {location}\r\n"), String::new()),
                    Some(Err(body)) => ("200 OK", String::new(), body.to_owned()),
                    None => ("404 Not Found", String::new(), String::new()),
                };
                let answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let texts = world.texts.clone();
        tokio::spawn(async move {
            let mut question = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let answer = resolve(&question[..length], &texts.lock().unwrap());
                let _ = socket.send_to(&answer, from).await;
            }
        });
        world
    }

    fn file(&self, path: &str, body: &str) {
        self.files.lock().unwrap().insert(path.to_owned(), body.to_owned());
    }

    /// What a client of this account puts where http-01 looks for it.
    fn prove(&self, client: &Client, challenge: &Value) {
        let token = challenge["token"].as_str().unwrap();
        self.file(&format!("/.well-known/acme-challenge/{token}"), &client.key_authorization(token));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Every name is at 127.0.0.1, but for `metadata.test`; texts are what they were set to.
fn resolve(question: &[u8], texts: &BTreeMap<String, Vec<String>>) -> Vec<u8> {
    let (mut at, mut name) = (12, Vec::new());
    while question[at] != 0 {
        let length = usize::from(question[at]);
        name.push(String::from_utf8_lossy(&question[at + 1..at + 1 + length]).into_owned());
        at += 1 + length;
    }
    let name = name.join(".");
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let mut answer = question[..at + 5].to_vec();
    (answer[2], answer[3], answer[11]) = (0x81, 0x80, 0);
    let records: Vec<Vec<u8>> = match kind {
        1 if name == "metadata.test" => vec![vec![169, 254, 169, 254]],
        1 => vec![vec![127, 0, 0, 1]],
        16 => {
            texts.get(&name).into_iter().flatten().map(|text| [&[text.len() as u8], text.as_bytes()].concat()).collect()
        }
        _ => Vec::new(),
    };
    answer[7] = records.len() as u8;
    for data in records {
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0]);
        answer.extend((data.len() as u16).to_be_bytes());
        answer.extend(data);
    }
    answer
}

async fn ca(world: &World, settings: Value) -> Server {
    let server = Server::new().await;
    server.put("sys/mounts/pki", json!({"type": "pki", "config": {"default_lease_ttl": "72h"}})).await.ok();
    let root = json!({"common_name": "Story CA", "key_type": "ec", "ttl": "700h"});
    server.put("pki/root/generate/internal", root).await.ok();
    let path = format!("http://{}/v1/pki", server.address());
    server.put("pki/config/cluster", json!({"path": path})).await.ok();
    let mut config = json!({
        "enabled": true, "allowed_networks": "127.0.0.0/8", "dns_resolver": world.dns.to_string(),
        "http_01_port": world.web.port(),
    });
    config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    server.put("pki/config/acme", config).await.ok();
    let role = json!({"key_type": "any", "allowed_domains": "a.test", "allow_subdomains": true, "allow_bare_domains": true,
        "allow_ip_sans": false, "require_cn": false, "ttl": "24h", "max_ttl": "48h"});
    server.put("pki/roles/web", role).await.ok();
    server
}

/// An ACME client with its account.
struct Client {
    http: Http,
    directory: String,
    key: PrivateKey,
    kid: Option<String>,
}

impl Client {
    fn new(server: &Server, directory: &str) -> Self {
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        Self { http: server.anonymous(), directory: directory.to_owned(), key, kid: None }
    }

    async fn with_account(server: &Server, directory: &str) -> Self {
        let mut client = Self::new(server, directory);
        let made = client.post("new-account", json!({"termsOfServiceAgreed": true})).await.is(201);
        client.kid = Some(made.header("location").to_owned());
        client
    }

    fn url(&self, below: &str) -> String {
        match below.starts_with("http://") {
            true => below.to_owned(),
            false => format!("http://{}/v1/pki/{}{below}", self.http.address(), self.directory),
        }
    }

    async fn nonce(&self) -> String {
        let answer = self.http.call("HEAD", &format!("pki/{}new-nonce", self.directory)).await.is(200);
        answer.header("replay-nonce").to_owned()
    }

    fn jwk(&self) -> Value {
        serde_json::from_str(&Jwk::of(self.key.public().clone()).json().unwrap().text()).unwrap()
    }

    fn key_authorization(&self, token: &str) -> String {
        format!("{token}.{}", BASE64.encode(Jwk::of(self.key.public().clone()).thumbprint().unwrap()))
    }

    fn sign(&self, header: &Value, payload: &str) -> Value {
        let (protected, payload) = (BASE64.encode(header.to_string()), BASE64.encode(payload));
        let message = format!("{protected}.{payload}");
        let signature = self.key.sign(SignatureAlgorithm::Ed25519, message.as_bytes()).unwrap();
        json!({"protected": protected, "payload": payload, "signature": BASE64.encode(signature)})
    }

    async fn send(&self, url: &str, body: &Value) -> Answer {
        let path = url.split_once("/v1/").unwrap().1;
        self.http.call("POST", path).json(body).header("content-type", "application/jose+json").await
    }

    fn header(&self, url: &str, nonce: &str) -> Value {
        let mut header = json!({"alg": "EdDSA", "url": url, "nonce": nonce});
        match &self.kid {
            Some(kid) => header["kid"] = kid.as_str().into(),
            None => header["jwk"] = self.jwk(),
        }
        header
    }

    async fn post_text(&self, below: &str, payload: &str) -> Answer {
        let url = self.url(below);
        let header = self.header(&url, &self.nonce().await);
        self.send(&url, &self.sign(&header, payload)).await
    }

    async fn post(&self, below: &str, payload: Value) -> Answer {
        self.post_text(below, &payload.to_string()).await
    }

    async fn look(&self, below: &str) -> Answer {
        self.post_text(below, "").await
    }

    /// An order, and for each of its names the address of the authorization.
    async fn order(&self, names: &[&str]) -> (String, Vec<String>) {
        let answer = self.post("new-order", json!({"identifiers": identifiers(names)})).await.is(201);
        let links = answer.json["authorizations"].as_array().unwrap();
        (answer.header("location").to_owned(), links.iter().map(|one| one.as_str().unwrap().to_owned()).collect())
    }

    async fn challenge(&self, authorization: &str, kind: &str) -> Value {
        let answer = self.look(authorization).await.ok();
        let all = answer.json["challenges"].as_array().unwrap();
        all.iter().find(|one| one["type"] == kind).unwrap_or_else(|| panic!("{kind}: {answer:?}")).clone()
    }

    /// Proves all names of an order by http-01.
    async fn ready(&self, world: &World, names: &[&str]) -> String {
        let (order, authorizations) = self.order(names).await;
        for authorization in &authorizations {
            let challenge = self.challenge(authorization, "http-01").await;
            world.prove(self, &challenge);
            let answer = self.post(challenge["url"].as_str().unwrap(), json!({})).await.ok();
            assert_eq!(answer.json["status"], "valid", "{answer:?}");
        }
        assert_eq!(self.look(&order).await.ok().json["status"], "ready");
        order
    }

    async fn finalize(&self, order: &str, csr: &[u8]) -> Answer {
        self.post(&format!("{order}/finalize"), json!({"csr": BASE64.encode(csr)})).await
    }
}

fn identifiers(names: &[&str]) -> Value {
    let of = |name: &&str| match name.parse::<std::net::IpAddr>() {
        Ok(_) => json!({"type": "ip", "value": name}),
        Err(_) => json!({"type": "dns", "value": name}),
    };
    names.iter().map(of).collect()
}

fn csr_with(names: &[&str], f: impl FnOnce(&mut rcgen::CertificateParams)) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    f(&mut params);
    params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn csr(names: &[&str]) -> Vec<u8> {
    csr_with(names, |_| {})
}

fn problem(answer: &Answer) -> &str {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    assert!(!answer.header("replay-nonce").is_empty(), "{answer:?}");
    answer.json["type"].as_str().unwrap().strip_prefix("urn:ietf:params:acme:error:").unwrap()
}

async fn certificates(server: &Server) -> usize {
    server.list("pki/certs").await.ok().data()["keys"].as_array().unwrap().len()
}

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

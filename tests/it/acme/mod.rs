//! ACME: nobody gets a certificate for what they did not prove, and nobody sends the server where it must not go.
//!
//! Here are the world that a story happens in, and a client; the stories are in the files.

mod eab;
mod finalize;
mod jws;
mod keys;
mod manage;
mod orders;
mod reach;
mod revocation;
mod roles;
mod whole;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use warifu::crypto::keys::jws_kind;
use warifu::crypto::{Jwk, PrivateKey, hmac_sha256, sha256};

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
    algorithm: &'static str,
    kid: Option<String>,
}

impl Client {
    fn new(server: &Server, directory: &str) -> Self {
        Self::of(server, directory, "EdDSA")
    }

    /// One that signs so.
    fn of(server: &Server, directory: &str, algorithm: &'static str) -> Self {
        let key = PrivateKey::generate(jws_kind(algorithm).unwrap()).unwrap();
        Self { http: server.anonymous(), directory: directory.to_owned(), key, algorithm, kid: None }
    }

    async fn with_account(server: &Server, directory: &str) -> Self {
        Self::new(server, directory).registered().await
    }

    async fn registered(mut self) -> Self {
        let made = self.post("new-account", json!({"termsOfServiceAgreed": true})).await.is(201);
        self.kid = Some(made.header("location").to_owned());
        self
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
        let signature = self.key.sign_jws(self.algorithm, message.as_bytes()).unwrap();
        json!({"protected": protected, "payload": payload, "signature": BASE64.encode(signature)})
    }

    async fn send(&self, url: &str, body: &Value) -> Answer {
        let path = url.split_once("/v1/").unwrap().1;
        self.http.call("POST", path).json(body).header("content-type", "application/jose+json").await
    }

    fn header(&self, url: &str, nonce: &str) -> Value {
        let mut header = json!({"alg": self.algorithm, "url": url, "nonce": nonce});
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

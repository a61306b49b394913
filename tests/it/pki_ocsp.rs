//! OCSP requests: which are answered, which are refused, by both methods and with all letters that base64 has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use sha1::{Digest as _, Sha1};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::der::{bits, boolean, context, null, octets, oid, pem, seq, tlv, uint, utf8};
use crate::http::Answer;
use crate::server::Server;

const SHA1: &str = "1.3.14.3.2.26";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const MD5: &str = "1.2.840.113549.2.5";
const NONCE: &str = "1.3.6.1.5.5.7.48.1.2";
/// The unsigned word of a responder that has read no request.
const MALFORMED: [u8; 5] = [0x30, 3, 0x0a, 1, 1];
const UNAUTHORIZED: [u8; 5] = [0x30, 3, 0x0a, 1, 6];

/// An issuer as a request means it: its name, and its key.
pub struct Issuer {
    name: Vec<u8>,
    key: Vec<u8>,
}

impl Issuer {
    pub async fn of(server: &Server, mount: &str) -> Self {
        let pem = server.get(&format!("{mount}/ca/pem")).await.ok().text;
        let der = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents;
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let key = certificate.public_key().subject_public_key.data.to_vec();
        Self { name: certificate.subject().as_raw().to_vec(), key }
    }

    fn id(&self, algorithm: &str, serial: &[u8]) -> Vec<u8> {
        let digest = |bytes: &[u8]| match algorithm {
            SHA256 => warifu::crypto::sha256(bytes).to_vec(),
            _ => Sha1::digest(bytes).to_vec(),
        };
        let algorithm = seq(&[oid(algorithm), null()]);
        seq(&[algorithm, octets(&digest(&self.name)), octets(&digest(&self.key)), uint(serial)])
    }

    pub fn request(&self, serial: &[u8]) -> Vec<u8> {
        request(&[self.id(SHA1, serial)], &[])
    }
}

/// A request about these, with these parts after the list.
fn request(ids: &[Vec<u8>], more: &[Vec<u8>]) -> Vec<u8> {
    let list: Vec<Vec<u8>> = ids.iter().map(|id| seq(std::slice::from_ref(id))).collect();
    seq(&[seq(&[&[seq(&list)], more].concat())])
}

fn nonce(value: &[u8]) -> Vec<u8> {
    context(2, &seq(&[seq(&[oid(NONCE), octets(&octets(value))])]))
}

pub async fn ca(server: &Server, mount: &str) {
    server.put(&format!("sys/mounts/{mount}"), json!({"type": "pki", "config": {"max_lease_ttl": "8760h"}})).await.ok();
    let root = json!({"common_name": format!("{mount} CA"), "key_type": "ec", "ttl": "8000h"});
    server.put(&format!("{mount}/root/generate/internal"), root).await.ok();
    let role = json!({"allowed_domains": "a.test", "allow_subdomains": true, "key_type": "ec"});
    server.put(&format!("{mount}/roles/web"), role).await.ok();
}

pub async fn by_post(server: &Server, der: &[u8]) -> Answer {
    let call = server.anonymous().call("POST", "pki/ocsp").bytes(der);
    call.header("content-type", "application/ocsp-request").await
}

/// An answer is text here, which bytes are not: its size and words in it are what can be told.
fn successful(answer: &Answer) -> bool {
    answer.status == 200 && answer.header("content-type") == "application/ocsp-response" && answer.text.len() > 100
}

#[tokio::test]
async fn a_request_in_a_path_may_have_any_letters() {
    let server = Server::new().await;
    ca(&server, "pki").await;
    server.put("sys/mounts/deep/ocsp", json!({"type": "pki"})).await.ok();
    let issuer = Issuer::of(&server, "pki").await;
    let (mut rows, mut ends) = (0, 0);
    // Bytes of ones are slashes in base64; where they stand in it depends on what is before.
    for length in 1..=20 {
        for first in [0x0f, 0x3f, 0x7f] {
            let mut serial = vec![0xff; length];
            serial[0] = first;
            let text = BASE64.encode(issuer.request(&serial));
            rows += usize::from(text.contains("//"));
            ends += usize::from(text.ends_with('/'));
            let escaped = text.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
            for text in [&text, &escaped] {
                for place in ["pki/ocsp", "pki/unified-ocsp"] {
                    let answer = server.anonymous().get(&format!("{place}/{text}")).await;
                    assert!(successful(&answer), "{text}: {answer:?}");
                }
            }
        }
    }
    assert!(rows > 10 && ends > 2, "{rows} {ends}");
    // Nothing else may have such a path, even below a mount of that name.
    let text = BASE64.encode(issuer.request(&[0xff; 12]));
    for path in
        ["secret/data/ocsp//x".to_owned(), "pki//ocsp/x".into(), format!("pki/ocsp//{text}"), "pki/ocsp/MAA//".into()]
    {
        server.get(&path).await.is(400);
    }
    server.kv("secret", 1).await;
    server.put("secret/ocsp/MAAA", json!({"a": "1"})).await.ok();
    assert_eq!(server.get("secret/ocsp/MAAA/").await.ok().data()["a"], "1", "a key of others is what it was");
}

#[tokio::test]
async fn what_is_no_request_is_malformed_and_what_is_anothers_is_refused() {
    let server = Server::new().await;
    for mount in ["pki", "other"] {
        ca(&server, mount).await;
    }
    let (issuer, other) = (Issuer::of(&server, "pki").await, Issuer::of(&server, "other").await);
    let id = issuer.id(SHA1, &[1, 2, 3]);
    let version = context(0, &uint(&[0]));
    let name = context(1, &context(4, &seq(&[])));
    let many = |count: usize| request(&vec![id.clone(); count], &[]);
    let single = |parts: &[Vec<u8>]| seq(&[seq(&[seq(&[seq(parts)])])]);
    let short = seq(&[seq(&[oid(SHA1), null()]), octets(&[1; 20]), octets(&[2; 20])]);
    let negative = seq(&[seq(&[oid(SHA1), null()]), octets(&[1; 20]), octets(&[2; 20]), tlv(2, &[0x80])]);
    let padded = seq(&[seq(&[oid(SHA1), null()]), octets(&[1; 20]), octets(&[2; 20]), tlv(2, &[0, 1])]);
    let texts = seq(&[seq(&[oid(SHA1), null()]), utf8("name"), utf8("key"), uint(&[1])]);
    let twice = context(
        2,
        &seq(&[seq(&[oid(NONCE), octets(&octets(&[1; 8]))]), seq(&[oid("1.2.3"), boolean(true), octets(&[])])]),
    );
    let signature = context(0, &seq(&[seq(&[oid("1.2.840.10045.4.3.2")]), bits(&[0; 64])]));
    let signed = seq(&[seq(&[seq(&[seq(std::slice::from_ref(&id))])]), signature]);

    let answered = [
        ("plain", request(std::slice::from_ref(&id), &[])),
        ("by SHA-256", request(&[issuer.id(SHA256, &[9])], &[])),
        ("the number 0", request(&[issuer.id(SHA1, &[0])], &[])),
        ("a long number", request(&[issuer.id(SHA1, &[0x7f; 20])], &[])),
        ("a nonce", request(std::slice::from_ref(&id), &[nonce(&[7; 32])])),
        ("a long nonce", request(std::slice::from_ref(&id), &[nonce(&[7; 128])])),
        ("two, and both of this issuer", request(&[id.clone(), issuer.id(SHA256, &[9])], &[])),
        ("as many as may be", many(32)),
        ("the second is another's: unknown", request(&[id.clone(), other.id(SHA1, &[1])], &[])),
        ("version and name said", seq(&[seq(&[version.clone(), name, seq(&[seq(std::slice::from_ref(&id))])])])),
        ("an extension that nobody knows", request(std::slice::from_ref(&id), &[twice])),
        ("signed by somebody: that does not count", signed),
    ];
    for (what, der) in &answered {
        let answer = by_post(&server, der).await;
        assert!(successful(&answer), "{what}: {answer:?}");
    }
    let malformed = [
        ("nothing", Vec::new()),
        ("zeros", vec![0; 64]),
        ("text", b"who is it?".to_vec()),
        ("PEM", pem("OCSP REQUEST", &answered[0].1).into_bytes()),
        ("an empty sequence", seq(&[])),
        ("no list", seq(&[seq(&[])])),
        ("an empty list", request(&[], &[])),
        ("one too many", many(33)),
        ("a byte after the end", [answered[0].1.clone(), vec![0]].concat()),
        ("a byte short", answered[0].1[..answered[0].1.len() - 1].to_vec()),
        ("a length without an end", [&[0x30, 0x80], &answered[0].1[2..], &[0, 0]].concat()),
        (
            "a length longer than it must be",
            [&[0x30, 0x82, 0, answered[0].1.len() as u8 - 2], &answered[0].1[2..]].concat(),
        ),
        ("an id without a number", single(&[short])),
        ("a negative number", single(&[negative])),
        ("a number with a zero before it", single(&[padded])),
        ("digests that are texts", single(&[texts])),
        ("MD5", request(&[issuer.id(MD5, &[1])], &[])),
        ("a set instead of a sequence", tlv(0x31, &answered[0].1[2..])),
        ("far too long", vec![0x30; 20_000]),
    ];
    for (what, der) in &malformed {
        let answer = by_post(&server, der).await;
        assert!(answer.status == 400 && answer.text.as_bytes() == MALFORMED, "{what}: {answer:?}");
    }
    let foreign = [
        ("another issuer's", other.request(&[1])),
        ("nobody's", Issuer { name: b"x".to_vec(), key: b"y".to_vec() }.request(&[1])),
        ("the right name, another key", Issuer { name: issuer.name.clone(), key: other.key.clone() }.request(&[1])),
        ("the right key, another name", Issuer { name: other.name.clone(), key: issuer.key.clone() }.request(&[1])),
        ("the first is another's", request(&[other.id(SHA1, &[1]), id], &[])),
    ];
    for (what, der) in &foreign {
        let answer = by_post(&server, der).await;
        assert!(answer.status == 401 && answer.text.as_bytes() == UNAUTHORIZED, "{what}: {answer:?}");
    }
    for path in ["pki/ocsp/!", "pki/ocsp/AAAA", "pki/ocsp/MAA", "pki/ocsp/%00"] {
        let answer = server.anonymous().get(path).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    // Who may not sign answers does not, and who is switched off says so to everybody.
    let usage = json!({"usage": "read-only,issuing-certificates,crl-signing"});
    server.patch("pki/issuer/default", usage).await.ok();
    let answer = by_post(&server, &answered[0].1).await;
    assert_eq!((answer.status, answer.text.as_bytes()), (401, &UNAUTHORIZED[..]));
    server.put("pki/config/crl", json!({"ocsp_disable": true})).await.ok();
    assert_eq!(by_post(&server, &answered[0].1).await.status, 401);
}

#[tokio::test]
async fn an_answer_may_be_given_again_for_a_minute_and_never_after_a_revocation() {
    let server = Server::new().await;
    ca(&server, "pki").await;
    let issuer = Issuer::of(&server, "pki").await;
    let leaf = server.put("pki/issue/web", json!({"common_name": "x.a.test"})).await.ok();
    let serial = leaf.data()["serial_number"].as_str().unwrap().to_owned();
    let bytes: Vec<u8> = serial.split(':').map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    let question = issuer.request(&bytes);
    // The signature is random: the same text is the same answer.
    let ask = async |der: &[u8]| {
        let answer = by_post(&server, der).await;
        assert!(successful(&answer), "{answer:?}");
        answer.text
    };
    let first = ask(&question).await;
    server.clock().advance(59);
    assert_eq!(ask(&question).await, first);
    let own = request(&[issuer.id(SHA1, &bytes)], &[nonce(&[7; 32])]);
    assert_ne!(ask(&own).await, ask(&own).await, "a nonce asks for an answer of one's own");
    server.clock().advance(1);
    let second = ask(&question).await;
    assert_ne!(second, first, "a minute is over");

    server.put("pki/revoke", json!({"serial_number": serial})).await.ok();
    let revoked = ask(&question).await;
    assert_ne!(revoked, second, "told at once");
    assert_eq!(ask(&question).await, revoked);
    server.put("pki/config/crl", json!({"ocsp_expiry": "1h"})).await.ok();
    let shorter = ask(&question).await;
    assert_ne!(shorter, revoked);
    server.put("pki/config/crl", json!({"ocsp_expiry": "30s"})).await.ok();
    assert_ne!(ask(&question).await, ask(&question).await, "it would end before a minute is over");
    server.put("pki/config/crl", json!({"ocsp_expiry": "1h"})).await.ok();
    server.patch("pki/issuer/default", json!({"usage": "read-only,issuing-certificates,crl-signing"})).await.ok();
    assert_eq!(by_post(&server, &question).await.status, 401, "who may not sign answers gives no old ones");
}

//! Requests for certificates made by nobody honest: changed in each of their parts, by a chance that repeats itself.
//!
//! What is signed is read by another parser and held against a model written here: it has the key and the names of the
//! request, no name that the role does not allow, and nothing else that the request wished for. What the model calls
//! good must be signed, what it calls spoiled must not be, and nothing may be answered but yes or 400.

mod model;
mod weak_keys;
mod wish;

use std::collections::BTreeSet;

use serde_json::json;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use self::model::{DNS, EMAIL, IP, Name, URI, Verdict, below};
use self::wish::{Wish, extension, pick, relative, signers};
use crate::chance::Chance;
use crate::der::{null, oid, pem, seq, set, utf8};
use crate::http::Answer;
use crate::server::Server;

const ROUNDS: usize = 700;
const FLIPS: usize = 900;

const CN: &str = "2.5.4.3";
const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";
const CHALLENGE_PASSWORD: &str = "1.2.840.113549.1.9.7";
const ALT_NAMES: &str = "2.5.29.17";
const MUST_STAPLE: &str = "1.3.6.1.5.5.7.1.24";

async fn ca() -> Server {
    let server = Server::new().await;
    server.put("sys/mounts/pki", json!({"type": "pki", "config": {"max_lease_ttl": "8760h"}})).await.ok();
    let root = json!({"common_name": "Story CA", "key_type": "ec", "ttl": "8000h"});
    server.put("pki/root/generate/internal", root).await.ok();
    let role = json!({
        "allowed_domains": "a.test", "allow_subdomains": true, "allow_localhost": false, "require_cn": false,
        "allowed_ip_sans_cidr": "10.0.0.0/8", "allowed_uri_sans": "spiffe://a.test/*", "key_type": "any",
        "organization": "Ours", "max_ttl": "72h", "no_store": true,
    });
    server.put("pki/roles/web", role).await.ok();
    server
}

/// What a certificate says, read by a parser that has no part in making it.
struct Read {
    names: BTreeSet<Name>,
    common_names: Vec<String>,
    others: Vec<String>,
}

/// Reads it, and checks what holds for every leaf: no CA, no usage of one, the key of the request, an end.
fn read(answer: &Answer, request: &[u8]) -> Read {
    let pem = answer.data()["certificate"].as_str().unwrap();
    let der = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents;
    let (rest, leaf) = X509Certificate::from_der(&der).unwrap();
    assert!(rest.is_empty());
    let (_, asked) = x509_parser::certification_request::X509CertificationRequest::from_der(request).unwrap();
    assert_eq!(leaf.public_key().raw, asked.certification_request_info.subject_pki.raw, "another key");
    assert!(!leaf.is_ca(), "{pem}");
    let life = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
    assert!(life <= 32 * 86_400 + 30, "{life}");
    let mut seen = BTreeSet::new();
    let mut others = Vec::new();
    let mut names = BTreeSet::new();
    for one in leaf.extensions() {
        assert!(seen.insert(one.oid.to_id_string()), "{} is there twice", one.oid);
        match one.parsed_extension() {
            ParsedExtension::KeyUsage(usage) => {
                let more = usage.key_cert_sign() || usage.crl_sign();
                assert!(usage.digital_signature() && !more, "{usage:?}");
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                assert!(!usage.any && !usage.ocsp_signing && usage.other.is_empty(), "{usage:?}");
            }
            ParsedExtension::BasicConstraints(basic) => assert!(!basic.ca),
            ParsedExtension::SubjectKeyIdentifier(id) => assert_ne!(id.0, [9; 20], "the request's word"),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                assert_ne!(id.key_identifier.as_ref().unwrap().0, [7; 20], "the request's word");
            }
            ParsedExtension::SubjectAlternativeName(alternative) => {
                names = alternative.general_names.iter().map(known).collect();
            }
            _ => others.push(one.oid.to_id_string()),
        }
    }
    let common_names = leaf.subject().iter_common_name().map(|cn| cn.as_str().unwrap().to_owned()).collect();
    Read { names, common_names, others }
}

fn known(name: &GeneralName<'_>) -> Name {
    match name {
        GeneralName::DNSName(text) => Name::text(DNS, text),
        GeneralName::RFC822Name(text) => Name::text(EMAIL, text),
        GeneralName::URI(text) => Name::text(URI, text),
        GeneralName::IPAddress(bytes) => Name { kind: IP, value: bytes.to_vec() },
        // The role allows none of those: its kind alone tells.
        _ => Name { kind: 0, value: Vec::new() },
    }
}

#[tokio::test]
async fn nothing_is_signed_that_the_role_does_not_allow() {
    let server = ca().await;
    let signers = signers();
    let chance = &mut Chance(0x5eed);
    let mut counts = [0; 3];
    for round in 0..ROUNDS {
        let wish = Wish::new(chance);
        let request = wish.sign(pick(chance, &signers));
        let body = json!({"csr": pem("CERTIFICATE REQUEST", &request)});
        let answer = server.put("pki/sign/web", body).await;
        assert!(matches!(answer.status, 200 | 400), "round {round}: {answer:?}");
        assert!(!answer.text.contains("canary"), "round {round}: {answer:?}");
        let verdict = wish.verdict();
        match verdict {
            Verdict::Signed => {
                assert_eq!(answer.status, 200, "round {round}: {:?} {:?}: {answer:?}", wish.common_name, wish.names)
            }
            Verdict::Refused => {
                assert_eq!(answer.status, 400, "round {round}: {:?} {:?}", wish.common_name, wish.names)
            }
            Verdict::Either => {}
        }
        counts[verdict as usize] += 1;
        if answer.status != 200 {
            continue;
        }
        let read = read(&answer, &request);
        assert!(read.others.is_empty(), "round {round}: {:?}", read.others);
        for cn in &read.common_names {
            assert!(below(cn) || Name::text(EMAIL, cn).allowed(), "round {round}: {cn}");
        }
        assert!(read.names.iter().all(Name::allowed), "round {round}: {:?}", read.names);
        if verdict == Verdict::Signed {
            let mut wanted: BTreeSet<Name> = wish.names.iter().cloned().collect();
            let cn = wish.common_name.as_deref();
            wanted.extend(cn.map(|cn| Name::text(if cn.contains('@') { EMAIL } else { DNS }, cn)));
            assert_eq!(read.names, wanted, "round {round}");
            assert_eq!(read.common_names, cn.into_iter().collect::<Vec<_>>(), "round {round}");
        }
    }
    // The chance is a fixed one: each verdict was reached often.
    assert!(counts[0] > 60 && counts[1] > 200 && counts[2] > 10, "{counts:?}");
}

/// Verbatim signing takes names and unknown extensions as they are, and still makes no CA and nobody's responder.
#[tokio::test]
async fn nothing_verbatim_makes_a_ca() {
    let server = ca().await;
    let signers = signers();
    let chance = &mut Chance(0x7e57);
    let mut signed = 0;
    for round in 0..ROUNDS / 2 {
        let wish = Wish::new(chance);
        let request = wish.sign(pick(chance, &signers));
        let body = json!({"csr": pem("CERTIFICATE REQUEST", &request)});
        let answer = server.put("pki/sign-verbatim", body.clone()).await;
        assert!(matches!(answer.status, 200 | 400), "round {round}: {answer:?}");
        let broken = wish.spoiled || wish.bad_signature || wish.version != 0;
        assert!(!broken || answer.status == 400, "round {round}");
        if answer.status == 200 {
            signed += 1;
            let read = read(&answer, &request);
            for id in read.others {
                // Of what comes along only this says something of its own, and nothing about who signed.
                assert!(
                    [MUST_STAPLE, "1.2.3.4", "1.2.3.5", "2.5.29.54", "1.3.6.1.4.1.11129.2.4.3"].contains(&id.as_str()),
                    "{id}"
                );
            }
        }
        // A CA for such a request is made, or not; it is never a fault of the server.
        let more = json!({"csr": body["csr"], "use_csr_values": true, "max_path_length": 0});
        let answer = server.put("pki/root/sign-intermediate", more).await;
        assert!(matches!(answer.status, 200 | 400), "round {round}: {answer:?}");
        assert!(!broken || answer.status == 400, "round {round}");
    }
    assert!(signed > 40, "{signed}");
}

/// One good request of each kind of key with one bit, byte or stretch of it changed.
#[tokio::test]
async fn a_request_with_a_changed_byte_is_not_its_keys_any_more() {
    let server = ca().await;
    let chance = &mut Chance(0xb17);
    let wish = Wish {
        version: 0,
        subject: vec![relative(CN, utf8("www.a.test"))],
        common_name: Some("www.a.test".into()),
        names: vec![Name::text(DNS, "x.a.test"), Name { kind: IP, value: vec![10, 0, 0, 1] }],
        extensions: vec![extension("1.2.3.4", false, &null())],
        attributes: vec![seq(&[oid(CHALLENGE_PASSWORD), set(&[utf8("x")])])],
        spoiled: false,
        odd: false,
        bad_signature: false,
    };
    for signer in signers() {
        let good = wish.sign(&signer);
        let csr = |der: &[u8]| json!({"csr": pem("CERTIFICATE REQUEST", der)});
        server.put("pki/sign/web", csr(&good)).await.is(200);
        for _ in 0..FLIPS / 4 {
            let mut bad = good.clone();
            let at = chance.below(bad.len());
            match chance.below(4) {
                0 => bad.truncate(at),
                1 => drop(bad.splice(at..at, [0])),
                2 => bad[at] ^= 0xff,
                _ => bad[at] ^= 1 << chance.below(8),
            }
            let answer = server.put("pki/sign/web", csr(&bad)).await;
            assert_eq!(answer.status, 400, "{}: {answer:?}", hex::encode(&bad));
        }
    }
}

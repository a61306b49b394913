//! Certificates: nothing is signed beyond what a role allows, and what is revoked stays revoked.

use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::http::Answer;
use crate::server::{Server, at_once};

async fn ca() -> Server {
    let server = Server::new().await;
    server.put("sys/mounts/pki", json!({"type": "pki"})).await.ok();
    server.put("sys/mounts/pki/tune", json!({"max_lease_ttl": "8760h"})).await.ok();
    let root = json!({"common_name": "Story CA", "key_type": "ec", "ttl": "8000h"});
    server.put("pki/root/generate/internal", root).await.ok();
    server
}

async fn role(server: &Server, settings: Value) {
    let mut role = json!({"key_type": "ec", "allowed_domains": "example.org", "ttl": "1h", "max_ttl": "2h"});
    role.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    server.put("pki/roles/web", role).await.ok();
}

/// A request for these names, in PEM.
fn request(names: &[&str], common_name: &str) -> String {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    let key = rcgen::KeyPair::generate().unwrap();
    params.serialize_request(&key).unwrap().pem().unwrap()
}

fn names(answer: &Answer) -> Vec<String> {
    let pem = answer.data()["certificate"].as_str().unwrap_or_else(|| panic!("{answer:?}"));
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let (_, certificate) = X509Certificate::from_der(&pem.contents).unwrap();
    let mut names: Vec<String> = certificate
        .subject_alternative_name()
        .unwrap()
        .map(|san| san.value.general_names.iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    names.extend(certificate.subject().iter_common_name().map(|cn| cn.as_str().unwrap().to_owned()));
    names
}

#[tokio::test]
async fn nothing_is_issued_beyond_the_role() {
    let server = ca().await;
    role(&server, json!({"allow_subdomains": true, "allow_localhost": false})).await;
    for body in [
        json!({"common_name": "example.net"}),
        json!({"common_name": "example.org"}),
        json!({"common_name": "example.org.evil.net"}),
        json!({"common_name": "evilexample.org"}),
        json!({"common_name": "*.example.org", "alt_names": "example.net"}),
        json!({"common_name": "a.example.org", "alt_names": "example.net"}),
        json!({"common_name": "a.example.org", "alt_names": "a.example.org,*.example.net"}),
        json!({"common_name": "a.example.org", "alt_names": "root@example.org"}),
        json!({"common_name": "root@example.net"}),
        json!({"common_name": "localhost"}),
        json!({"common_name": "a.example.org", "uri_sans": "spiffe://example.org/x"}),
        json!({"common_name": "a.example.org", "other_sans": "1.3.6.1.4.1.311.20.2.3;utf8:admin@example.org"}),
        json!({"common_name": "a..example.org"}),
        json!({"common_name": ".example.org"}),
        json!({"common_name": "a.example.org\u{0}.evil.net"}),
        json!({"common_name": "a.example.org\n"}),
        json!({"common_name": "*"}),
        json!({"common_name": ""}),
        json!({}),
    ] {
        let answer = server.put("pki/issue/web", body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {:?}", answer.succeeded().then(|| names(&answer)));
        assert!(!answer.text.contains("PRIVATE KEY"));
        if let Some(name) = body["common_name"].as_str().filter(|n| !n.is_empty() && n.is_ascii()) {
            let names: Vec<&str> = body["alt_names"].as_str().map(|n| n.split(',').collect()).unwrap_or_default();
            if body["uri_sans"].is_null() && body["other_sans"].is_null() && !name.contains(['\0', '\n']) {
                let csr = request(&names, name);
                server.put("pki/sign/web", json!({"csr": csr, "common_name": name})).await.is(400);
            }
        }
    }
    assert!(
        server.list("pki/certs").await.data()["keys"].as_array().is_none_or(|keys| keys.len() <= 1),
        "only the CA's own"
    );
    let good = server.put("pki/issue/web", json!({"common_name": "a.example.org", "ttl": "99h"})).await;
    if good.succeeded() {
        let end = good.data()["expiration"].as_i64().unwrap();
        assert!(end - 1_767_225_600 <= 7200, "longer than the role's longest: {end}");
    }
    server.put("pki/issue/nosuch", json!({"common_name": "a.example.org"})).await.is(400);
}

#[tokio::test]
async fn a_request_brings_in_nothing_that_its_parameters_may_not() {
    let server = ca().await;
    role(&server, json!({"allow_subdomains": true, "allow_ip_sans": false})).await;
    for (extra, bare) in [
        (vec!["a.example.org", "evil.net"], "a.example.org"),
        (vec!["a.example.org", "10.0.0.1"], "a.example.org"),
        (vec!["a.example.org", "*.evil.net"], "a.example.org"),
        (vec!["a.example.org"], "evil.net"),
    ] {
        let answer = server.put("pki/sign/web", json!({"csr": request(&extra, bare)})).await;
        assert_eq!(answer.status, 400, "{extra:?} {bare}: {answer:?}");
    }
    let answer = server.put("pki/sign/web", json!({"csr": request(&["b.example.org"], "a.example.org")})).await.ok();
    for name in names(&answer) {
        assert!(name.contains(".example.org"), "{name}");
    }
    let pem = request(&["a.example.org"], "a.example.org");
    let broken = pem.replacen(&pem[200..204], if &pem[200..204] == "AAAA" { "BBBB" } else { "AAAA" }, 1);
    for csr in [
        "",
        "canary",
        "-----BEGIN CERTIFICATE REQUEST-----\ncanary\n-----END CERTIFICATE REQUEST-----",
        &broken,
        &"A".repeat(200_000),
    ] {
        let answer = server.put("pki/sign/web", json!({"csr": csr, "common_name": "a.example.org"})).await.is(400);
        assert!(!answer.text.contains("canary"), "{answer:?}");
    }
}

#[tokio::test]
async fn the_key_of_a_ca_never_leaves() {
    let server = ca().await;
    role(&server, json!({"allow_subdomains": true})).await;
    let keys = server.list("pki/keys").await.ok();
    let issuers = server.list("pki/issuers").await.ok();
    let (key, issuer) = (keys.data()["keys"][0].as_str().unwrap(), issuers.data()["keys"][0].as_str().unwrap());
    for path in [
        format!("pki/key/{key}"),
        format!("pki/issuer/{issuer}"),
        format!("pki/issuer/{issuer}/json"),
        "pki/cert/ca".into(),
        "pki/ca/pem".into(),
        "pki/config/keys".into(),
        "pki/config/issuers".into(),
        "pki/ca_chain".into(),
    ] {
        let answer = server.get(&path).await;
        assert!(!answer.text.contains("PRIVATE"), "{path}: {answer:?}");
    }
    let issued = server.put("pki/issue/web", json!({"common_name": "a.example.org"})).await.ok();
    let serial = issued.data()["serial_number"].as_str().unwrap();
    assert!(issued.text.contains("PRIVATE KEY"));
    assert!(!server.get(&format!("pki/cert/{serial}")).await.ok().text.contains("PRIVATE"));
}

async fn listed(server: &Server, serial: &str) -> bool {
    let crl = server.anonymous().get("pki/crl/pem").await.ok();
    let (_, pem) = x509_parser::pem::parse_x509_pem(crl.text.as_bytes()).unwrap();
    let (_, list) = x509_parser::revocation_list::CertificateRevocationList::from_der(&pem.contents).unwrap();
    let wanted: Vec<u8> = serial.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    list.iter_revoked_certificates().any(|c| {
        let raw = c.raw_serial();
        raw == wanted || raw.strip_prefix(&[0]) == Some(&wanted[..])
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_is_on_the_list_and_stays_there() {
    let server = ca().await;
    role(&server, json!({"allow_subdomains": true})).await;
    let calls = (0..16).map(|n| {
        let http = server.http.clone();
        async move { http.put("pki/issue/web", json!({"common_name": format!("n{n}.example.org")})).await.ok() }
    });
    let serials: Vec<String> =
        at_once(calls).await.iter().map(|a| a.data()["serial_number"].as_str().unwrap().to_owned()).collect();
    let distinct: std::collections::BTreeSet<&String> = serials.iter().collect();
    assert_eq!(distinct.len(), serials.len());
    let (gone, kept) = serials.split_at(8);
    let calls = gone.iter().cloned().map(|serial| {
        let http = server.http.clone();
        async move { http.put("pki/revoke", json!({"serial_number": serial})).await.ok() }
    });
    at_once(calls).await;
    for serial in gone {
        assert!(listed(&server, serial).await, "{serial} was revoked and is not listed");
    }
    for serial in kept {
        assert!(!listed(&server, serial).await);
    }
    for path in ["pki/tidy", "pki/crl/rotate"] {
        let call = if path.ends_with("rotate") {
            server.get(path)
        } else {
            server.put(path, json!({"tidy_cert_store": true, "tidy_revoked_certs": true, "safety_buffer": "1s"}))
        };
        call.await.ok();
    }
    let server = server.crashed().await;
    for serial in gone {
        assert!(listed(&server, serial).await, "{serial} after tidying and a restart");
    }
    for serial in ["", "00", "zz:zz", "../ca", "1:2:3"] {
        let answer = server.put("pki/revoke", json!({"serial_number": serial})).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
}

#[tokio::test]
async fn a_leased_certificate_ends_with_its_lease_and_the_lease_with_its_token() {
    let server = ca().await;
    role(&server, json!({"allow_subdomains": true, "generate_lease": true})).await;
    let text = r#"path "pki/issue/web" { capabilities = ["update"] } path "sys/leases/*" { capabilities = ["update"] }
        path "sys/revoke" { capabilities = ["update"] } path "sys/revoke/*" { capabilities = ["update"] }"#;
    server.policy("issuer", text).await;
    let (one, two) = (
        server.token_of(json!({"policies": ["issuer"]})).await,
        server.token_of(json!({"policies": ["issuer"]})).await,
    );
    let issue = |token: &str| server.with(token).put("pki/issue/web", json!({"common_name": "a.example.org"}));
    let issued = issue(&one).await.ok();
    let (lease, serial) = (
        issued.json["lease_id"].as_str().unwrap().to_owned(),
        issued.data()["serial_number"].as_str().unwrap().to_owned(),
    );
    assert!(lease.starts_with("pki/issue/web/"));
    // The id of a lease alone is no right to it.
    for path in ["sys/leases/revoke", "sys/revoke", "sys/leases/renew"] {
        let answer = server.with(&two).put(path, json!({"lease_id": lease})).await;
        assert!(matches!(answer.status, 400 | 403), "{path}: {answer:?}");
    }
    server.with(&two).put(&format!("sys/revoke/{lease}"), json!({})).await.is(403);
    assert!(!listed(&server, &serial).await);
    server.with(&one).put("sys/leases/revoke", json!({"lease_id": lease})).await.ok();
    assert!(listed(&server, &serial).await);
    // With its token, and with its mount's prefix.
    let issued = issue(&two).await.ok();
    let serial = issued.data()["serial_number"].as_str().unwrap().to_owned();
    server.put("auth/token/revoke", json!({"token": two})).await.is(204);
    assert!(listed(&server, &serial).await);
    server.put("sys/leases/lookup", json!({"lease_id": issued.json["lease_id"]})).await.is(400);
    let issued = issue(&one).await.ok();
    let serial = issued.data()["serial_number"].as_str().unwrap().to_owned();
    server.put("sys/leases/revoke-prefix/pki/issue/web", json!({})).await.ok();
    assert!(listed(&server, &serial).await);
    for id in ["", "nosuch", "pki/issue/web/", "../x", "pki/issue/web/AAAAAAAAAAAAAAAAAAAAAAAA"] {
        server.put("sys/leases/lookup", json!({"lease_id": id})).await.is(400);
    }
}

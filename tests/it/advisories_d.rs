//! What went wrong elsewhere with certificates: each known advisory on them as a test that would have found it here.
//!
//! | advisory | what went wrong | test |
//! | --- | --- | --- |
//! | CVE-2024-2048, CVE-2025-6037, openbao#173 | a pinned certificate was compared by serial number or name | `cert/mod.rs`: `look_alikes_do_not_get_in` |
//! | CVE-2024-2660 | OCSP answers were believed unread | `cert/ocsp.rs`: `no_answer_and_every_answer_that_does_not_count_let_nobody_in` |
//! | CVE-2022-41316 | a list counted only once somebody had looked at it | `cert/lists.rs`: `who_is_on_the_list_stays_out_and_so_does_everybody_once_it_has_ended` |
//! | CVE-2026-39388 | another certificate renewed a token | `cert/mod.rs`: `renewal_is_for_who_shows_the_very_certificate_of_the_login` |
//! | headers of proxies | a header stood for a client's certificate | [`a_header_is_no_certificate`] |
//! | CVE-2021-27400 | a plugin skipped the check of the other side's certificate | [`nothing_turns_the_check_of_the_other_side_off`] |
//! | CVE-2026-105818 | ACME signed names of a request that nobody had proved | `acme/finalize.rs`, and the property in `admission/tests.rs` |
//! | GHSA-g892-p242-8g86 | a role's networks did not count for requests | [`the_networks_of_a_role_count_on_every_way`] |
//! | CVE-2022-25243 | a wildcard was issued although subdomains were not allowed | [`a_wildcard_needs_what_it_stands_for`], `admission/tests/truth_table.rs` |
//! | CVE-2021-29653 | tidying took revoked certificates off the list before they ended | [`what_is_revoked_is_listed_until_it_ends`] |
//! | CVE-2026-5052 | ACME's validation was sent to internal addresses | `acme/reach.rs` |
//! | CVE-2025-44005, CVE-2026-30836 | one protocol's way in passed by the policy | [`each_way_in_passes_through_the_role`] |
//! | CVE-2025-66406 | revoking asked for no right | [`revoking_needs_a_right_or_the_key`] |
//! | CVE-2024-7594 | an empty list of principals allowed everybody | [`a_role_without_domains_allows_nothing`] (there is no SSH engine yet) |
//! | CVE-2026-40097 | a malformed list of usages ended the server | [`malformed_usages_end_nothing`], `pki_requests/` |
//! | host and user certificates of SSH | one kind was taken for the other | [`a_leaf_is_no_issuer_and_a_ca_is_no_leaf`] |

use serde_json::{Value, json};

use crate::der::{boolean, context, null, octets, oid, pem, seq, set, tlv, uint, utf8};
use crate::http::Answer;
use crate::server::Server;

async fn ca() -> Server {
    let server = Server::new().await;
    server.put("sys/mounts/pki", json!({"type": "pki", "config": {"max_lease_ttl": "8760h"}})).await.ok();
    let root = json!({"common_name": "Story CA", "key_type": "ec", "ttl": "8000h", "issuer_name": "root"});
    server.put("pki/root/generate/internal", root).await.ok();
    server
}

async fn role(server: &Server, settings: Value) {
    let mut role = json!({"key_type": "any", "ttl": "1h", "require_cn": false});
    role.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    server.put("pki/roles/web", role).await.ok();
    server
        .put("pki/roles/ec", {
            let mut ec = server.get("pki/roles/web").await.ok().data().clone();
            ec["key_type"] = json!("ec");
            ec
        })
        .await
        .ok();
}

fn csr_with(names: &[&str], edit: impl FnOnce(&mut rcgen::CertificateParams)) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    edit(&mut params);
    params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

fn csr(names: &[&str]) -> String {
    csr_with(names, |_| {})
}

/// Every way in that takes names through the role: with parameters, and with a request.
async fn each_way(server: &Server, field: &str, name: &str) -> Vec<(&'static str, Answer)> {
    let mut answers = Vec::new();
    for path in ["pki/issue/ec", "pki/issuer/root/issue/ec"] {
        answers.push((path, server.put(path, json!({field: name})).await));
    }
    for path in ["pki/sign/web", "pki/issuer/root/sign/web"] {
        answers.push((path, server.put(path, json!({"csr": csr(&[name])})).await));
    }
    answers
}

#[tokio::test]
async fn a_header_is_no_certificate() {
    let server = ca().await;
    server.auth("cert", "cert").await;
    let pem = server.get("pki/ca/pem").await.ok().text;
    server.put("auth/cert/certs/web", json!({"certificate": pem})).await.ok();
    let line: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let login = || server.anonymous().put("auth/cert/login", json!({"name": "web"}));
    let bare = login().await;
    assert_eq!(bare.status, 400, "{bare:?}");
    for header in [
        "client-cert",
        "client-cert-chain",
        "x-forwarded-client-cert",
        "x-forwarded-tls-client-cert",
        "x-ssl-client-cert",
        "ssl-client-cert",
        "x-client-cert",
        "x-amzn-mtls-clientcert",
        "x-processed-tls-client-certificate",
    ] {
        for value in [line.as_str(), &format!(":{line}:"), &format!("Cert=\"{line}\"")] {
            let answer = login().header(header, value).await;
            assert_eq!(answer.shape(), bare.shape(), "{header}");
        }
    }
    // The root token's own tokens aside, nobody has one.
    assert_eq!(server.tokens().await, 1);
}

/// No setting of any engine says that another's certificate is not to be checked.
#[tokio::test]
async fn nothing_turns_the_check_of_the_other_side_off() {
    let server = ca().await;
    for kind in ["jwt", "kubernetes", "cert", "oidc"] {
        server.auth(kind, kind).await;
    }
    let described = server.get("sys/internal/specs/openapi").await.ok();
    for word in ["insecure", "skip_verify", "tls_skip", "disable_tls", "verify_false"] {
        assert!(!described.text.contains(word), "{word}");
    }
}

#[tokio::test]
async fn the_networks_of_a_role_count_on_every_way() {
    let server = ca().await;
    role(&server, json!({"allow_any_name": true, "allowed_ip_sans_cidr": ["10.0.0.0/8", "2001:db8::/32"]})).await;
    for (address, allowed) in [
        ("10.255.0.1", true),
        ("2001:db8::1", true),
        ("11.0.0.1", false),
        ("192.0.2.1", false),
        ("::1", false),
        ("2001:db9::1", false),
        // An address of the old kind within one of the new is another name.
        ("::ffff:10.0.0.1", false),
    ] {
        for (path, answer) in each_way(&server, "ip_sans", address).await {
            assert_eq!(answer.succeeded(), allowed, "{address} at {path}: {answer:?}");
        }
        let verbatim = server.put("pki/sign-verbatim/web", json!({"csr": csr(&[address])})).await;
        assert_eq!(verbatim.succeeded(), allowed, "{address}: {verbatim:?}");
    }
    role(&server, json!({"allow_any_name": true, "allow_ip_sans": false})).await;
    for (path, answer) in each_way(&server, "ip_sans", "10.0.0.1").await {
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    for bad in ["10.0.0.0/33", "10.0.0/8", "ten", "10.0.0.1-10.0.0.9"] {
        server.put("pki/roles/bad", json!({"allowed_ip_sans_cidr": bad})).await.is(400);
    }
}

#[tokio::test]
async fn a_wildcard_needs_what_it_stands_for() {
    let server = ca().await;
    for (settings, allowed) in [
        (json!({"allow_bare_domains": true}), false),
        (json!({"allow_bare_domains": true, "allow_glob_domains": true}), false),
        (json!({"allow_subdomains": true, "allow_wildcard_certificates": false}), false),
        (json!({"allow_any_name": true, "allow_wildcard_certificates": false}), false),
        (json!({"allow_subdomains": true}), true),
        (json!({"allow_any_name": true}), true),
    ] {
        let mut all = settings.clone();
        all["allowed_domains"] = json!("a.test");
        role(
            &server,
            json!({"allow_bare_domains": false, "allow_subdomains": false, "allow_any_name": false,
            "allow_glob_domains": false, "allow_wildcard_certificates": true}),
        )
        .await;
        role(&server, all).await;
        for (path, answer) in each_way(&server, "common_name", "*.a.test").await {
            assert_eq!(answer.succeeded(), allowed, "{settings} at {path}: {answer:?}");
        }
    }
}

async fn listed(server: &Server, serial: &Value) -> bool {
    use x509_parser::prelude::FromDer;
    let text = server.get("pki/crl/pem").await.ok().text;
    let der = x509_parser::pem::parse_x509_pem(text.as_bytes()).unwrap().1.contents;
    let (_, list) = x509_parser::revocation_list::CertificateRevocationList::from_der(&der).unwrap();
    let digits = serial.as_str().unwrap().replace(':', "");
    list.iter_revoked_certificates().any(|one| {
        hex::encode(one.user_certificate.to_bytes_be()).trim_start_matches('0') == digits.trim_start_matches('0')
    })
}

#[tokio::test]
async fn what_is_revoked_is_listed_until_it_ends() {
    let mut server = ca().await;
    role(&server, json!({"allow_any_name": true, "ttl": "200h"})).await;
    let mut serials = Vec::new();
    for ttl in ["100h", "200h", "300h"] {
        let made = server.put("pki/issue/ec", json!({"common_name": "a.test", "ttl": ttl})).await.ok();
        let serial = made.data()["serial_number"].clone();
        server.put("pki/revoke", json!({"serial_number": serial})).await.ok();
        serials.push(serial);
    }
    let everything = json!({"tidy_cert_store": true, "tidy_revoked_certs": true, "tidy_revoked_cert_issuer_associations": true,
        "tidy_expired_issuers": true, "tidy_revocation_queue": true, "safety_buffer": "1s", "issuer_safety_buffer": "1s"});
    // Hours that have gone, and how many of the three have ended by then.
    for (hours, ended) in [(0, 0), (50, 0), (51, 1), (98, 1), (2, 2), (98, 2)] {
        server.clock().advance(hours * 3600);
        server.put("pki/tidy", everything.clone()).await.ok();
        server.vault().tend_once().await.unwrap();
        server.get("pki/crl/rotate").await.ok();
        server = server.crashed().await;
        for (at, serial) in serials.iter().enumerate() {
            assert!(at < ended || listed(&server, serial).await, "{serial} is gone, {ended} have ended");
        }
    }
}

#[tokio::test]
async fn each_way_in_passes_through_the_role() {
    let server = ca().await;
    role(&server, json!({"allowed_domains": "a.test", "allow_subdomains": true, "allow_localhost": false})).await;
    for name in ["evil.test", "a.test", "x.a.test.evil.test", "localhost"] {
        for (path, answer) in each_way(&server, "common_name", name).await {
            assert_eq!(answer.status, 400, "{name} at {path}: {answer:?}");
        }
        // The names of a request in the place of an alternative name, with a common name that would do.
        let hidden = csr_with(&[name], |p| p.distinguished_name.push(rcgen::DnType::CommonName, "x.a.test"));
        for path in ["pki/sign/web", "pki/issuer/root/sign/web"] {
            server.put(path, json!({"csr": hidden})).await.is(400);
        }
    }
    for (path, answer) in each_way(&server, "common_name", "x.a.test").await {
        assert!(answer.succeeded(), "{path}: {answer:?}");
    }
    // Who has the right to one role has it to no other, nor to what no role limits.
    server.policy("web", r#"path "pki/sign/web" { capabilities = ["update"] }"#).await;
    let token = server.token_of(json!({"policies": ["web"]})).await;
    let web = server.with(&token);
    web.put("pki/sign/web", json!({"csr": csr(&["x.a.test"])})).await.ok();
    for path in [
        "pki/sign/ec",
        "pki/sign-verbatim",
        "pki/sign-verbatim/web",
        "pki/issuer/root/sign/web",
        "pki/issuer/root/sign-verbatim",
        "pki/root/sign-intermediate",
        "pki/issuer/root/sign-intermediate",
        "pki/root/sign-self-issued",
        "pki/roles/web",
        "pki/sign/web/",
        "pki/sign/WEB",
        "pki/sign/web/../ec",
        "pki/sign/./web",
    ] {
        let answer = web.put(path, json!({"csr": csr(&["x.a.test"])})).await;
        let same = path == "pki/sign/web/" && answer.succeeded();
        assert!(same || matches!(answer.status, 400 | 403), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn revoking_needs_a_right_or_the_key() {
    let server = ca().await;
    role(&server, json!({"allow_any_name": true})).await;
    let issue = || server.put("pki/issue/ec", json!({"common_name": "a.test"}));
    let (one, other) = (issue().await.ok(), issue().await.ok());
    server.policy("key", r#"path "pki/revoke-with-key" { capabilities = ["update"] }"#).await;
    let token = server.token_of(json!({"policies": ["key"]})).await;
    let holder = server.with(&token);
    let serial = &one.data()["serial_number"];
    holder.put("pki/revoke", json!({"serial_number": serial})).await.is(403);
    server.anonymous().put("pki/revoke", json!({"serial_number": serial})).await.is(403);
    server.anonymous().put("pki/revoke-with-key", json!({"serial_number": serial})).await.is(403);
    let wrong = json!({"serial_number": serial, "private_key": other.data()["private_key"]});
    for body in [
        wrong,
        json!({"serial_number": serial}),
        json!({"serial_number": serial, "private_key": ""}),
        json!({"serial_number": serial, "private_key": one.data()["certificate"]}),
        json!({"private_key": one.data()["private_key"]}),
    ] {
        let answer = holder.put("pki/revoke-with-key", body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(!answer.text.contains("PRIVATE"));
    }
    server.list("pki/certs/revoked").await.is(404);
    let right = json!({"serial_number": serial, "private_key": one.data()["private_key"]});
    holder.put("pki/revoke-with-key", right).await.ok();
    assert!(listed(&server, serial).await && !listed(&server, &other.data()["serial_number"]).await);
}

#[tokio::test]
async fn a_role_without_domains_allows_nothing() {
    let server = ca().await;
    for settings in [
        json!({"allow_localhost": false}),
        json!({"allow_localhost": false, "allowed_domains": "", "allow_subdomains": true, "allow_bare_domains": true}),
        json!({"allow_localhost": false, "allowed_domains": [], "allow_subdomains": true, "allow_glob_domains": true}),
        json!({"allow_localhost": false, "allowed_domains": [""], "allow_subdomains": true, "allow_bare_domains": true}),
    ] {
        role(&server, settings.clone()).await;
        for name in ["a.test", "*.test", "test", "localhost", "x"] {
            for (path, answer) in each_way(&server, "common_name", name).await {
                assert_eq!(answer.status, 400, "{settings}: {name} at {path}: {answer:?}");
            }
        }
        for (field, name) in
            [("uri_sans", "spiffe://a.test/x"), ("other_sans", "1.2.3;utf8:x"), ("alt_names", "a@a.test")]
        {
            server.put("pki/issue/ec", json!({field: name})).await.is(400);
        }
    }
}

#[tokio::test]
async fn malformed_usages_end_nothing() {
    let server = ca().await;
    role(&server, json!({"allow_any_name": true})).await;
    let key = warifu::crypto::PrivateKey::generate(warifu::crypto::KeyKind::Ed25519).unwrap();
    let usages = "2.5.29.37";
    for value in [
        vec![],
        seq(&[]),
        null(),
        seq(&[null()]),
        seq(&[oid("1.3.6.1.5.5.7.3.1"), utf8("x")]),
        tlv(0x30, &[6]),
        tlv(0x30, &[6, 0]),
        tlv(0x30, &[6, 1, 0x80]),
        tlv(0x30, &[6, 0x84, 0xff, 0xff, 0xff, 0xff]),
        tlv(0x30, &[6, 10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        set(&[oid("1.3.6.1.5.5.7.3.1")]),
        seq(&[seq(&[seq(&[seq(&[])])])]),
        vec![0x30; 100],
        seq(&vec![oid("1.3.6.1.5.5.7.3.1"); 2000]),
    ] {
        let extension = seq(&[oid(usages), boolean(true), octets(&value)]);
        let attribute = seq(&[oid("1.2.840.113549.1.9.14"), set(&[seq(std::slice::from_ref(&extension))])]);
        let body = seq(&[uint(&[0]), seq(&[]), key.public().spki().to_vec(), context(0, &attribute)]);
        let signature = key.sign(warifu::crypto::SignatureAlgorithm::Ed25519, &body).unwrap();
        let request = seq(&[body, seq(&[oid("1.3.101.112")]), crate::der::bits(&signature)]);
        let request = pem("CERTIFICATE REQUEST", &request);
        for path in ["pki/sign/web", "pki/sign-verbatim", "pki/root/sign-intermediate"] {
            let answer = server.put(path, json!({"csr": request, "common_name": "a.test"})).await;
            assert!(matches!(answer.status, 200 | 400), "{path}: {answer:?}");
        }
        // The same in a certificate that signs itself.
        let name = seq(&[set(&[seq(&[oid("2.5.4.3"), utf8("x")])])]);
        let life = seq(&[tlv(0x17, b"260101000000Z"), tlv(0x17, b"360101000000Z")]);
        let basic = seq(&[oid("2.5.29.19"), boolean(true), octets(&seq(&[boolean(true)]))]);
        let body = seq(&[
            context(0, &uint(&[2])),
            uint(&[1]),
            seq(&[oid("1.3.101.112")]),
            name.clone(),
            life,
            name,
            key.public().spki().to_vec(),
            context(3, &seq(&[basic, extension])),
        ]);
        let signature = key.sign(warifu::crypto::SignatureAlgorithm::Ed25519, &body).unwrap();
        let certificate = pem("CERTIFICATE", &seq(&[body, seq(&[oid("1.3.101.112")]), crate::der::bits(&signature)]));
        for (path, body) in [
            ("pki/issuers/import/cert", json!({"pem_bundle": certificate})),
            ("pki/root/sign-self-issued", json!({"certificate": certificate})),
            ("pki/revoke", json!({"certificate": certificate})),
        ] {
            let answer = server.put(path, body).await;
            assert!(matches!(answer.status, 200 | 400), "{path}: {answer:?}");
        }
    }
    server.put("pki/issue/ec", json!({"common_name": "a.test"})).await.ok();
}

#[tokio::test]
async fn a_leaf_is_no_issuer_and_a_ca_is_no_leaf() {
    let server = ca().await;
    role(&server, json!({"allow_any_name": true, "basic_constraints_valid_for_non_ca": true})).await;
    let leaf = server.put("pki/issue/ec", json!({"common_name": "a.test"})).await.ok();
    let certificate = leaf.data()["certificate"].as_str().unwrap();
    let both = format!("{certificate}\n{}", leaf.data()["private_key"].as_str().unwrap());
    for (path, body) in [
        ("pki/config/ca", json!({"pem_bundle": both})),
        ("pki/issuers/import/bundle", json!({"pem_bundle": both})),
        ("pki/issuers/import/cert", json!({"pem_bundle": certificate})),
        ("pki/intermediate/set-signed", json!({"certificate": certificate})),
        ("pki/root/sign-self-issued", json!({"certificate": certificate})),
    ] {
        server.put(path, body).await.is(400);
    }
    assert_eq!(server.list("pki/issuers").await.ok().data()["keys"].as_array().unwrap().len(), 1);
    for usage in [json!("CertSign"), json!(["DigitalSignature", "certsign"]), json!("KeyUsageCertSign")] {
        let answer = server.put("pki/roles/ca", json!({"key_usage": usage, "allow_any_name": true})).await;
        assert_eq!(answer.status, 400, "{usage}: {answer:?}");
    }
    // An issuer that may not sign certificates does not, on any way.
    server.patch("pki/issuer/root", json!({"usage": "read-only,crl-signing,ocsp-signing"})).await.ok();
    for (path, answer) in each_way(&server, "common_name", "b.test").await {
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }
    for path in ["pki/sign-verbatim", "pki/root/sign-intermediate"] {
        let answer = server.put(path, json!({"csr": csr(&["b.test"]), "common_name": "b"})).await;
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }
}

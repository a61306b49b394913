//! What anybody fetches from a CA again and again, and what its owners list: dates, stretches, where delta lists are; and
//! that nothing which is at hand is older than its row.

use std::sync::Arc;

use serde_json::{Value, json};
use warifu::storage::Storage;
use warifu::storage::memory::Memory;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::http::Answer;
use crate::server::{Plan, Server};

async fn ca() -> Server {
    let server = Server::new().await;
    server.put("sys/mounts/pki", json!({"type": "pki"})).await.ok();
    let root = json!({"common_name": "Story CA", "key_type": "ec", "ttl": "700h", "issuer_name": "root"});
    server.put("pki/root/generate/internal", root).await.ok();
    let role = json!({"key_type": "ec", "allowed_domains": "a.test", "allow_subdomains": true, "ttl": "1h"});
    server.put("pki/roles/web", role).await.ok();
    server
}

async fn issued(server: &Server) -> Answer {
    server.put("pki/issue/web", json!({"common_name": "x.a.test"})).await.ok()
}

async fn revoked(server: &Server, leaf: &Answer) {
    server.put("pki/revoke", json!({"serial_number": leaf.data()["serial_number"]})).await.ok();
}

async fn seen(server: &Server, path: &str, date: &str) -> Answer {
    server.anonymous().get(path).header("if-modified-since", date).await
}

#[tokio::test]
async fn what_was_seen_is_not_sent_again_until_it_changes() {
    let server = ca().await;
    let all =
        ["ca", "ca/pem", "ca_chain", "issuer/root/der", "issuer/root/pem", "crl", "crl/pem", "issuer/root/crl/der"];
    for path in all {
        let path = format!("pki/{path}");
        let first = server.anonymous().get(&path).await.is(200);
        assert_eq!(first.header("last-modified"), "", "its second is not over: {path}");
        assert_eq!(seen(&server, &path, "Thu, 01 Jan 2037 00:00:00 GMT").await.status, 200, "{path}");
    }
    server.clock().advance(1);
    for path in all {
        let path = format!("pki/{path}");
        let first = server.anonymous().get(&path).await.is(200);
        let date = first.header("last-modified").to_owned();
        assert_eq!(date, "Thu, 01 Jan 2026 00:00:00 GMT", "{path}");
        let again = seen(&server, &path, &date).await.is(304);
        assert_eq!((again.text.as_str(), again.header("last-modified")), ("", date.as_str()), "{path}");
        // A date before it, and what is none.
        for date in ["Wed, 31 Dec 2025 23:59:59 GMT", "yesterday", "", "2026-01-01T00:00:00Z"] {
            assert_eq!(seen(&server, &path, date).await.is(200).text, first.text, "{path}");
        }
        server.anonymous().call("HEAD", &path).await.is(200);
    }
    // A revocation makes another list, and leaves the certificates as they were.
    let date = "Thu, 01 Jan 2026 00:00:00 GMT";
    let leaf = issued(&server).await;
    revoked(&server, &leaf).await;
    for (path, status) in [("crl", 200), ("crl/pem", 200), ("issuer/root/crl/der", 200), ("ca", 304), ("ca/pem", 304)] {
        assert_eq!(seen(&server, &format!("pki/{path}"), date).await.status, status, "{path}");
    }
    // Two lists of one second have the same date: it is said only when there will be no other.
    let second = issued(&server).await;
    revoked(&server, &second).await;
    assert_eq!(server.anonymous().get("pki/crl").await.is(200).header("last-modified"), "");
    server.clock().advance(1);
    let list = server.anonymous().get("pki/crl/pem").await.is(200);
    assert_eq!(seen(&server, "pki/crl/pem", list.header("last-modified")).await.status, 304);
    // Another default, another name: what a path leads to has changed.
    let date = server.anonymous().get("pki/ca").await.is(200).header("last-modified").to_owned();
    server.clock().advance(10);
    let next = json!({"common_name": "Next CA", "key_type": "ec", "ttl": "700h", "issuer_name": "next"});
    server.put("pki/root/rotate/internal", next).await.ok();
    server.put("pki/config/issuers", json!({"default": "next"})).await.ok();
    let config = server.get("pki/config/issuers").await.ok();
    assert_eq!(config.data().as_object().unwrap().len(), 2, "{config:?}");
    server.clock().advance(1);
    let now = seen(&server, "pki/ca", &date).await.is(200);
    let date = now.header("last-modified").to_owned();
    assert_eq!(seen(&server, "pki/ca", &date).await.status, 304);
    server.clock().advance(10);
    server.patch("pki/issuer/root", json!({"issuer_name": "old"})).await.ok();
    server.patch("pki/issuer/next", json!({"issuer_name": "root"})).await.ok();
    server.clock().advance(1);
    assert_eq!(seen(&server, "pki/issuer/root/der", &date).await.status, 200);
    // A CA without a certificate has no date.
    server.put("sys/mounts/empty", json!({"type": "pki"})).await.ok();
    for path in ["empty/ca", "empty/crl", "empty/ca/pem"] {
        let none = seen(&server, path, &date).await;
        assert_eq!((none.status, none.header("last-modified")), (204, ""), "{path}");
    }
}

#[tokio::test]
async fn a_long_list_of_certificates_comes_in_stretches() {
    let server = ca().await;
    for _ in 0..7 {
        let leaf = issued(&server).await;
        revoked(&server, &leaf).await;
    }
    for (path, count) in [("pki/certs", 8), ("pki/certs/revoked", 7)] {
        let whole = server.list(path).await.ok();
        let all: Vec<String> = serde_json::from_value(whole.data()["keys"].clone()).unwrap();
        assert_eq!(all.len(), count, "{path}");
        assert!(all.is_sorted());
        assert!(!whole.text.contains("there are more"));
        let mut pages: Vec<String> = Vec::new();
        loop {
            let after = pages.last().cloned().unwrap_or_default();
            let page = server.list(&format!("{path}?after={after}&limit=3")).await;
            if page.status == 404 {
                break;
            }
            let page: Vec<String> = serde_json::from_value(page.data()["keys"].clone()).unwrap();
            assert!(page.len() <= 3 && !page.is_empty());
            pages.extend(page);
        }
        assert_eq!(pages, all, "{path}");
        let none = server.list(&format!("{path}?after=zz")).await;
        assert_eq!(none.status, 404);
        for all_of in ["limit=0", "limit=-1", "limit=100"] {
            assert_eq!(server.list(&format!("{path}?{all_of}")).await.ok().data()["keys"], whole.data()["keys"]);
        }
    }
}

fn der(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

#[tokio::test]
async fn certificates_and_complete_lists_say_where_the_delta_list_is() {
    const FRESHEST: &str = "2.5.29.46";
    let server = ca().await;
    let leaf = async || {
        let der = der(issued(&server).await.data()["certificate"].as_str().unwrap());
        let (_, leaf) = X509Certificate::from_der(&der).unwrap();
        let found = leaf.extensions().iter().find(|one| one.oid.to_id_string() == FRESHEST);
        found.map(|one| (one.critical, String::from_utf8_lossy(one.value).into_owned()))
    };
    let list = async |path: &str| {
        let der = der(&server.get(path).await.is(200).text);
        let (_, list) = CertificateRevocationList::from_der(&der).unwrap();
        let found = list.extensions().iter().find(|one| one.oid.to_id_string() == FRESHEST);
        found.map(|one| (one.critical, String::from_utf8_lossy(one.value).into_owned()))
    };
    assert_eq!(leaf().await, None);
    assert_eq!(list("pki/crl/pem").await, None);
    for wrong in [json!("no address"), json!(["http://a.test", "x"]), json!("{{cluster_path}}/crl/delta")] {
        server.put("pki/config/urls", json!({"delta_crl_distribution_points": wrong})).await.is(400);
    }
    let settings = json!({"auto_rebuild": true, "enable_delta": true});
    server.put("pki/config/crl", settings).await.ok();
    let urls = json!({"delta_crl_distribution_points": "http://a.test/crl/delta"});
    let shown = server.put("pki/config/urls", urls).await.ok();
    assert_eq!(shown.data()["delta_crl_distribution_points"], json!(["http://a.test/crl/delta"]));
    server.get("pki/crl/rotate").await.ok();
    for found in [leaf().await, list("pki/crl/pem").await] {
        let (critical, text) = found.unwrap();
        assert!(!critical && text.contains("http://a.test/crl/delta"), "{text}");
    }
    assert_eq!(list("pki/crl/delta/pem").await, None, "RFC 5280 section 5.2.6");
    // An issuer's own instead of the mount's, with templates.
    server.put("pki/config/cluster", json!({"path": "https://own.test/v1/pki"})).await.ok();
    let own = json!({"delta_crl_distribution_points": "{{cluster_path}}/issuer/{{issuer_id}}/crl/delta/der",
        "enable_aia_url_templating": true});
    let shown = server.patch("pki/issuer/root", own).await.ok();
    assert!(shown.data()["delta_crl_distribution_points"][0].as_str().unwrap().contains("{{issuer_id}}"));
    let (_, text) = leaf().await.unwrap();
    assert!(text.contains("https://own.test/v1/pki/issuer/") && !text.contains("{{"), "{text}");
}

#[tokio::test]
async fn a_role_at_hand_is_never_older_than_its_row() {
    let server = ca().await;
    let ask = async |name: &str| server.put("pki/issue/web", json!({"common_name": name})).await.status;
    assert_eq!((ask("x.a.test").await, ask("x.b.test").await), (200, 400));
    server.patch("pki/roles/web", json!({"allowed_domains": "b.test"})).await.ok();
    assert_eq!((ask("x.a.test").await, ask("x.b.test").await), (400, 200));
    server.delete("pki/roles/web").await.ok();
    assert_eq!(ask("x.b.test").await, 400);
    let role = json!({"key_type": "ec", "allowed_domains": "a.test", "allow_subdomains": true, "ttl": "1h"});
    server.put("pki/roles/web", role).await.ok();
    assert_eq!((ask("x.a.test").await, ask("x.b.test").await), (200, 400));
    // Another mount's role of this name is another role.
    server.put("sys/mounts/other", json!({"type": "pki"})).await.ok();
    server.put("other/root/generate/internal", json!({"common_name": "Other", "key_type": "ec"})).await.ok();
    server.put("other/issue/web", json!({"common_name": "x.a.test"})).await.is(400);
}

#[tokio::test]
async fn what_ended_and_was_revoked_late_leaves_nothing_behind_when_it_is_tidied() {
    let server = ca().await;
    server.put("pki/config/crl", json!({"allow_expired_cert_revocation": true})).await.ok();
    let leaves = [issued(&server).await, issued(&server).await, issued(&server).await];
    let status = async || {
        let status = server.get("pki/tidy-status").await.ok();
        let count = |name: &str| status.data()[name].as_u64().unwrap();
        assert_eq!(status.data()["state"], "Finished");
        (count("cert_store_deleted_count"), count("revoked_cert_deleted_count"))
    };
    let keys = async |path: &str| -> Vec<Value> {
        let answer = server.list(path).await;
        answer.json["data"]["keys"].as_array().cloned().unwrap_or_default()
    };
    server.clock().advance(2 * 3600);
    // One while it is in the index of ends, one after it went aside there.
    revoked(&server, &leaves[0]).await;
    server.put("pki/tidy", json!({"tidy_revoked_certs": true, "safety_buffer": "1s"})).await.is(202);
    assert_eq!(status().await, (1, 1), "the revoked one alone");
    assert_eq!(keys("pki/certs/revoked").await, Vec::<Value>::new());
    assert_eq!(keys("pki/certs").await.len(), 3);
    revoked(&server, &leaves[1]).await;
    server.put("pki/tidy", json!({"tidy_cert_store": true, "safety_buffer": "1s"})).await.is(202);
    assert_eq!(status().await, (1, 0), "what is revoked is not to be tidied now");
    assert_eq!(keys("pki/certs/revoked").await, [leaves[1].data()["serial_number"].clone()]);
    server.put("pki/tidy", json!({"tidy_revoked_certs": true, "safety_buffer": "1s"})).await.is(202);
    assert_eq!(status().await, (1, 1));
    assert_eq!(keys("pki/certs/revoked").await, Vec::<Value>::new());
    assert_eq!(keys("pki/certs").await.len(), 1, "the root's own");
}

#[tokio::test]
async fn what_is_not_stored_waits_for_no_commit_and_what_is_takes_one() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let server = Plan::over(storage.clone()).ready().await;
    server.put("sys/mounts/pki", json!({"type": "pki"})).await.ok();
    let root = json!({"common_name": "Story CA", "key_type": "ec", "ttl": "700h"});
    server.put("pki/root/generate/internal", root).await.ok();
    for (name, unstored) in [("kept", false), ("unkept", true)] {
        let role = json!({"key_type": "ec", "allow_any_name": true, "ttl": "1h", "no_store": unstored});
        server.put(&format!("pki/roles/{name}"), role).await.ok();
    }
    let commits = async |path: &str, body: Value| {
        server.put(path, body.clone()).await.ok();
        let before = storage.position().unwrap();
        for _ in 0..5 {
            server.put(path, body.clone()).await.ok();
        }
        storage.position().unwrap() - before
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["x.a.test".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    let name = json!({"common_name": "x.a.test"});
    assert_eq!(commits("pki/issue/unkept", name.clone()).await, 0);
    assert_eq!(commits("pki/sign/unkept", json!({"csr": csr, "common_name": "x.a.test"})).await, 0);
    assert_eq!(commits("pki/sign-verbatim/unkept", json!({"csr": csr})).await, 0);
    assert_eq!(commits("pki/issue/kept", name).await, 5);
}

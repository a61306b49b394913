//! A CA at work: who may ask for what by identity, what is forecast and tidied, what SPIFFE asks for.

use serde_json::{Value, json};
use warifu::base::{Clock, Ttl, time};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::http::Answer;
use crate::server::Server;

async fn ca() -> Server {
    let server = Server::new().await;
    server.put("sys/mounts/pki", json!({"type": "pki"})).await.ok();
    let root = json!({"common_name": "Story CA", "key_type": "ec", "ttl": "700h", "issuer_name": "root"});
    server.put("pki/root/generate/internal", root).await.ok();
    server
}

async fn role(server: &Server, name: &str, settings: Value) {
    let mut role = json!({"key_type": "ec", "allowed_domains": "a.test", "allow_subdomains": true, "ttl": "1h"});
    role.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    server.put(&format!("pki/roles/{name}"), role).await.ok();
}

fn der(pem: &Value) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_str().unwrap().as_bytes()).unwrap().1.contents
}

#[tokio::test]
async fn a_template_allows_its_own_entity_and_nobody_without_one() {
    let server = ca().await;
    role(
        &server,
        "own",
        json!({
            "allowed_domains": "{{identity.entity.name}}.a.test,*.{{identity.entity.metadata.none}}",
            "allowed_domains_template": true, "allow_bare_domains": true, "allow_subdomains": false,
            "allow_glob_domains": true, "allow_localhost": false, "enforce_hostnames": false,
            "allowed_uri_sans": "spiffe://a.test/{{identity.entity.id}}", "allowed_uri_sans_template": true,
        }),
    )
    .await;
    let bad = json!({"allowed_domains": "{{identity.nonsense}}", "allowed_domains_template": true});
    server.put("pki/roles/bad", bad).await.is(400);
    server.policy("issue", r#"path "pki/issue/own" { capabilities = ["update"] }"#).await;
    server.auth("userpass", "userpass").await;
    let user = json!({"password": "p4ssw0rd!", "token_policies": "issue"});
    server.put("auth/userpass/users/ann", user).await.ok();
    let login = server.anonymous().put("auth/userpass/login/ann", json!({"password": "p4ssw0rd!"})).await.ok();
    let ann = server.with(login.auth()["client_token"].as_str().unwrap());
    let entity = login.auth()["entity_id"].as_str().unwrap().to_owned();
    // A token without an entity, root's among them, fills in nothing.
    for name in ["x.a.test", "{{identity.entity.name}}.a.test", ".a.test", "a.test", "anything.test"] {
        server.put("pki/issue/own", json!({"common_name": name})).await.is(400);
        ann.put("pki/issue/own", json!({"common_name": name})).await.is(400);
    }
    let uri = |id: &str| json!({"common_name": "x", "uri_sans": format!("spiffe://a.test/{id}")});
    ann.put("pki/issue/own", uri("another")).await.is(400);
    let name = server.get(&format!("identity/entity/id/{entity}")).await;
    if let Some(name) = name.data()["name"].as_str() {
        ann.put("pki/issue/own", json!({"common_name": format!("{name}.a.test")})).await.ok();
        let both = json!({"common_name": format!("{name}.a.test"), "uri_sans": format!("spiffe://a.test/{entity}")});
        ann.put("pki/issue/own", both).await.ok();
    }
}

#[tokio::test]
async fn what_ends_soon_is_forecast_by_role_and_issuer() {
    let server = ca().await;
    role(&server, "short", json!({})).await;
    role(&server, "long", json!({"ttl": "300h"})).await;
    role(&server, "unseen", json!({"no_store": true})).await;
    for role in ["short", "short", "long", "unseen"] {
        server.put(&format!("pki/issue/{role}"), json!({"common_name": "x.a.test"})).await.ok();
    }
    let gone = server.put("pki/issue/short", json!({"common_name": "y.a.test"})).await.ok();
    server.put("pki/revoke", json!({"serial_number": gone.data()["serial_number"]})).await.ok();
    let soon = server.get("pki/certs/expiring?within=2h").await.ok();
    assert_eq!(soon.data()["total"], 2, "neither the revoked nor what is not stored: {soon:?}");
    assert_eq!(soon.data()["by_role"], json!({"short": 2}));
    assert_eq!(soon.data()["certificates"][0]["common_name"], "x.a.test");
    let later = server.get("pki/certs/expiring?within=14d").await.ok();
    assert_eq!(later.data()["by_role"], json!({"short": 2, "long": 1}));
    assert_eq!(later.data()["by_issuer"].as_object().unwrap().len(), 1);
    assert_eq!(server.get("pki/certs/expiring?within=14d&role=long").await.ok().data()["total"], 1);
    server.clock().advance(2 * 3600);
    let after = server.get("pki/certs/expiring?within=2h").await.ok();
    assert_eq!(after.data()["total"], 0, "what has ended is not to come");

    let detailed = server.list("pki/certs/detailed").await.ok();
    let serial = gone.data()["serial_number"].as_str().unwrap();
    assert_ne!(detailed.data()["key_info"][serial]["revocation_time"], 0);
    let keys = detailed.data()["keys"].as_array().unwrap();
    let rest =
        server.call("LIST", &format!("pki/certs/detailed?after={}&limit=1", keys[0].as_str().unwrap())).await.ok();
    assert_eq!(rest.data()["keys"], json!([keys[1]]));
    assert!(rest.text.contains("there are more"));
}

fn entries(answer: &Answer) -> Vec<String> {
    let bytes = der(&answer.data()["certificate"]);
    let (_, crl) = x509_parser::revocation_list::CertificateRevocationList::from_der(&bytes).unwrap();
    let serial = |one: &x509_parser::revocation_list::RevokedCertificate<'_>| one.raw_serial_as_string();
    let mut all: Vec<String> = crl.iter_revoked_certificates().map(serial).collect();
    all.sort();
    all
}

/// So many certificates, revoked; their serial numbers, sorted.
async fn revoked(server: &Server, count: usize) -> Vec<String> {
    let mut serials = Vec::new();
    for _ in 0..count {
        let leaf = server.put("pki/issue/short", json!({"common_name": "x.a.test"})).await.ok();
        let serial = leaf.data()["serial_number"].as_str().unwrap().to_owned();
        server.put("pki/revoke", json!({"serial_number": serial})).await.ok();
        // The parser writes what is in the DER, a leading zero included.
        let first = u8::from_str_radix(&serial[..2], 16).unwrap();
        serials.push(if first >= 0x80 { format!("00:{serial}") } else { serial });
    }
    serials.sort();
    serials
}

#[tokio::test]
async fn a_long_list_says_each_revocation_once_however_it_is_kept() {
    let server = ca().await;
    role(&server, "short", json!({})).await;
    // More than fit into one chunk, and some that wait for the next.
    let mut all = revoked(&server, 430).await;
    assert_eq!(entries(&server.get("pki/cert/crl").await.ok()), all);
    server.vault().tend_once().await.unwrap();
    server.vault().tend_once().await.unwrap();
    all.extend(revoked(&server, 1).await);
    all.sort();
    let server = server.crashed().await;
    assert_eq!(entries(&server.get("pki/cert/crl").await.ok()), all, "from a chunk and from rows");

    let settings = json!({"auto_rebuild": true, "enable_delta": true, "expiry": "72h"});
    server.put("pki/config/crl", settings).await.ok();
    let later = revoked(&server, 2).await;
    assert_eq!(entries(&server.get("pki/cert/crl").await.ok()), all, "a complete list lasts until it is due");
    assert_eq!(entries(&server.get("pki/cert/delta-crl").await.ok()), later);
    server.get("pki/crl/rotate").await.ok();
    all.extend(later);
    all.sort();
    assert_eq!(entries(&server.get("pki/cert/crl").await.ok()), all);
    assert_eq!(entries(&server.get("pki/cert/delta-crl").await.ok()), Vec::<String>::new());

    // Their certificates end, and so do the entries; the chunk is given up with the next list.
    server.clock().advance(2 * 3600);
    let last = revoked(&server, 1).await;
    server.get("pki/crl/rotate").await.ok();
    assert_eq!(entries(&server.get("pki/cert/crl").await.ok()), last);
    assert_eq!(server.list("pki/certs/revoked").await.ok().data()["keys"].as_array().unwrap().len(), 434);
    assert_eq!(entries(&server.get("pki/cert/crl").await.ok()), last, "without the chunk");
}

#[tokio::test]
async fn the_forecast_is_among_the_metrics() {
    let server = ca().await;
    role(&server, "short", json!({})).await;
    role(&server, "long", json!({"ttl": "300h"})).await;
    for role in ["short", "long", "long"] {
        server.put(&format!("pki/issue/{role}"), json!({"common_name": "x.a.test"})).await.ok();
    }
    let gone = server.put("pki/issue/short", json!({"common_name": "y.a.test"})).await.ok();
    server.put("pki/revoke", json!({"serial_number": gone.data()["serial_number"]})).await.ok();
    let count = async |role: &str, within: &str| {
        server.vault().count_usage().await.unwrap();
        let text = server.get("sys/metrics?format=prometheus").await.ok().text;
        let wanted = [format!("role=\"{role}\""), format!("within=\"{within}\""), "mount_point=\"pki/\"".to_owned()];
        let line = text
            .lines()
            .find(|line| line.contains("pki_certs_expiring{") && wanted.iter().all(|part| line.contains(part)));
        line.map(|line| line.rsplit(' ').next().unwrap().to_owned())
    };
    assert_eq!(count("short", "1d").await.as_deref(), Some("1"));
    assert_eq!(count("long", "1d").await.as_deref(), Some("0"));
    assert_eq!(count("long", "14d").await.as_deref(), Some("2"));
    assert_eq!(count("other", "14d").await, None);
    server.clock().advance(2 * 3600);
    assert_eq!(count("short", "14d").await, None, "what has ended is not to come");
    server.clock().advance(400 * 3600);
    assert_eq!(count("long", "14d").await, None, "nothing is to come");
}

#[tokio::test]
async fn an_issuer_at_hand_is_never_older_than_its_rows() {
    let server = ca().await;
    role(&server, "short", json!({"no_store": true})).await;
    let ask = || server.put("pki/issue/short", json!({"common_name": "x.a.test"}));
    let text = |leaf: &Value| {
        let bytes = der(leaf);
        let (_, leaf) = X509Certificate::from_der(&bytes).unwrap();
        let urls = leaf.extensions().iter().map(|one| String::from_utf8_lossy(one.value).into_owned());
        urls.collect::<String>()
    };
    assert!(!text(&ask().await.ok().data()["certificate"]).contains("http"));
    server.put("pki/config/urls", json!({"crl_distribution_points": "http://one.test/crl"})).await.ok();
    assert!(text(&ask().await.ok().data()["certificate"]).contains("http://one.test/crl"));
    server.patch("pki/issuer/root", json!({"crl_distribution_points": "http://two.test/crl"})).await.ok();
    assert!(text(&ask().await.ok().data()["certificate"]).contains("http://two.test/crl"));
    let templated = json!({"crl_distribution_points": "{{cluster_path}}/crl", "enable_aia_url_templating": true});
    server.patch("pki/issuer/root", templated).await.ok();
    for path in ["https://a.test/v1/pki", "https://b.test/v1/pki"] {
        server.put("pki/config/cluster", json!({"path": path})).await.ok();
        assert!(text(&ask().await.ok().data()["certificate"]).contains(&format!("{path}/crl")));
    }
    server.patch("pki/issuer/root", json!({"usage": "read-only"})).await.ok();
    ask().await.is(400);
    server.patch("pki/issuer/root", json!({"usage": "issuing-certificates"})).await.ok();
    ask().await.ok();
    let key = server.get("pki/issuer/root").await.ok().data()["key_id"].as_str().unwrap().to_owned();
    server.call("DELETE", &format!("pki/key/{key}")).await.ok();
    ask().await.is(400);
}

#[tokio::test]
async fn tidying_goes_on_by_itself_and_can_be_stopped() {
    let server = ca().await;
    role(&server, "short", json!({})).await;
    let mut serials = Vec::new();
    for _ in 0..3 {
        let leaf = server.put("pki/issue/short", json!({"common_name": "x.a.test"})).await.ok();
        serials.push(leaf.data()["serial_number"].as_str().unwrap().to_owned());
    }
    let lasting = json!({"common_name": "x.a.test", "ttl": "200h"});
    let lasting = server.put("pki/issue/short", lasting).await.ok().data()["serial_number"].clone();
    server.put("pki/revoke", json!({"serial_number": lasting})).await.ok();
    assert_eq!(server.get("pki/tidy-status").await.ok().data()["state"], "Inactive");
    server.put("pki/tidy-cancel", json!({})).await.is(400);
    server.put("pki/tidy", json!({})).await.is(202);
    server.put("pki/config/auto-tidy", json!({"enabled": true})).await.is(400);
    let auto =
        json!({"enabled": true, "tidy_cert_store": true, "tidy_revoked_certs": true, "interval_duration": "24h"});
    server.put("pki/config/auto-tidy", auto).await.ok();
    assert_eq!(server.get("pki/config/auto-tidy").await.ok().data()["interval_duration"], 86_400);
    server.vault().tend_once().await.unwrap();
    let status = server.get("pki/tidy-status").await.ok();
    assert_eq!((&status.data()["state"], &status.data()["cert_store_deleted_count"]), (&json!("Finished"), &json!(0)));
    server.clock().advance(80 * 3600);
    let server = server.crashed().await;
    server.vault().tend_once().await.unwrap();
    let status = server.get("pki/tidy-status").await.ok();
    assert_eq!(status.data()["cert_store_deleted_count"], 3, "{status:?}");
    for serial in &serials {
        server.get(&format!("pki/cert/{serial}")).await.is(404);
    }
    let revoked = server.list("pki/certs/revoked").await.ok();
    assert_eq!(revoked.data()["keys"], json!([lasting]), "revoked and not ended: it is in the list");
    server.put("pki/tidy", json!({"tidy_cert_store": true})).await.is(202);
    server.put("pki/tidy-cancel", json!({})).await.is(400);
}

#[tokio::test]
async fn lists_are_put_together_and_made_by_hand() {
    let server = ca().await;
    role(&server, "short", json!({})).await;
    let leaf = server.put("pki/issue/short", json!({"common_name": "x.a.test"})).await.ok();
    server.put("pki/revoke", json!({"serial_number": leaf.data()["serial_number"]})).await.ok();
    let list = server.get("pki/issuer/root/crl").await.ok().data()["crl"].clone();
    let more = json!({"revoked_certs": [{"serial_number": "01:02:03", "revocation_time": "2026-01-01T00:00:00Z"}],
        "crl_number": 7, "next_update": "72h"});
    let signed = server.put("pki/issuer/root/sign-revocation-list", more).await.ok().data()["crl"].clone();
    let twice = json!({"revoked_certs": [{"serial_number": "01"}, {"serial_number": "01"}], "crl_number": 7});
    server.put("pki/issuer/root/sign-revocation-list", twice).await.is(400);
    let both = json!({"crls": [list, signed], "crl_number": 8});
    let merged = server.put("pki/issuer/root/resign-crls", both).await.ok();
    let bytes = der(&merged.data()["crl"]);
    let (_, crl) = x509_parser::revocation_list::CertificateRevocationList::from_der(&bytes).unwrap();
    assert_eq!(crl.iter_revoked_certificates().count(), 2);
    for path in
        ["pki/unified-crl", "pki/unified-crl/pem", "pki/issuer/root/unified-crl", "pki/issuer/root/unified-crl/der"]
    {
        server.anonymous().get(path).await.is(200);
    }
    server.list("pki/certs/unified-revoked").await.ok();
    server.list("pki/certs/revocation-queue").await.is(404);
    server.put("sys/mounts/other", json!({"type": "pki"})).await.ok();
    server.put("other/root/generate/internal", json!({"common_name": "Other", "key_type": "ec"})).await.ok();
    let foreign = server.put("other/issuer/default/resign-crls", json!({"crls": [list], "crl_number": 1})).await;
    assert_eq!(foreign.status, 400, "another issuer's list");
}

#[tokio::test]
async fn a_workload_gets_its_svid_and_the_bundle_to_check_it_by() {
    let server = ca().await;
    role(
        &server,
        "svid",
        json!({"allowed_domains": "", "require_cn": false, "allowed_uri_sans": "spiffe://a.test/*,urn:*",
        "allow_any_name": true}),
    )
    .await;
    for uris in
        ["spiffe://a.test/x,spiffe://a.test/y", "spiffe://a.test/x,urn:y", "spiffe://b.test/x", "spiffe://a.test/../x"]
    {
        server.put("pki/issue/svid", json!({"uri_sans": uris})).await.is(400);
    }
    let leaf = server.put("pki/issue/svid", json!({"uri_sans": "spiffe://a.test/ns/x"})).await.ok();
    let bytes = der(&leaf.data()["certificate"]);
    let (_, leaf) = X509Certificate::from_der(&bytes).unwrap();
    assert!(!leaf.is_ca() && leaf.key_usage().unwrap().unwrap().value.digital_signature());
    let usage = leaf.extended_key_usage().unwrap().unwrap().value.clone();
    assert!(usage.server_auth && usage.client_auth);
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical && names.value.general_names.len() == 1, "an empty subject makes the names critical");
    let bundle = server.anonymous().get("pki/spiffe/bundle").await.ok();
    let key = &bundle.json["keys"][0];
    assert_eq!((&key["use"], &key["kty"]), (&json!("x509-svid"), &json!("EC")));
    use base64::Engine as _;
    let root = base64::engine::general_purpose::STANDARD.decode(key["x5c"][0].as_str().unwrap()).unwrap();
    let (_, root) = X509Certificate::from_der(&root).unwrap();
    assert_eq!(leaf.issuer(), root.subject());
    server
        .put(
            "pki/roles/weak",
            json!({"key_type": "ec", "require_cn": false, "key_usage": "KeyAgreement",
        "allowed_uri_sans": "spiffe://*"}),
        )
        .await
        .ok();
    server.put("pki/issue/weak", json!({"uri_sans": "spiffe://a.test/x"})).await.is(400);
}

#[tokio::test]
async fn an_intermediate_may_have_its_own_key_identifier_and_outlives_its_issuer_unless_that_is_enforced() {
    let server = ca().await;
    let request = json!({"common_name": "Below", "key_type": "ec"});
    let request = server.put("pki/intermediate/generate/internal", request).await.ok().data()["csr"].clone();
    let sign = async |more: Value| {
        let mut body = json!({"csr": request, "common_name": "Below", "ttl": "20h"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.put("pki/root/sign-intermediate", body).await
    };
    for wrong in ["xyz", "abc", &"ab".repeat(65)] {
        sign(json!({"skid": wrong})).await.is(400);
    }
    let signed = sign(json!({"skid": "0a:0b:0c"})).await.ok();
    let bytes = der(&signed.data()["certificate"]);
    let (_, certificate) = X509Certificate::from_der(&bytes).unwrap();
    let id = certificate.extensions().iter().find(|one| one.oid.to_id_string() == "2.5.29.14").unwrap();
    assert_eq!(id.value, [4, 3, 10, 11, 12]);
    sign(json!({"ttl": "760h"})).await.ok();
    sign(json!({"ttl": "760h", "enforce_leaf_not_after_behavior": true})).await.is(400);
}

#[tokio::test]
async fn certificates_of_one_deploy_do_not_all_end_in_one_second() {
    let server = ca().await;
    role(&server, "even", json!({"ttl": "10h", "no_store": true})).await;
    role(&server, "spread", json!({"ttl": "10h", "ttl_jitter": "1h", "no_store": true})).await;
    let latest = server.clock().now().as_second() + 36_000;
    let ends = async |role: &str, more: Value| {
        let mut body = json!({"common_name": "x.a.test"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut all = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let leaf = server.put(&format!("pki/issue/{role}"), body.clone()).await.ok();
            all.insert(leaf.data()["expiration"].as_i64().unwrap());
        }
        all
    };
    assert_eq!(ends("even", json!({})).await.into_iter().collect::<Vec<_>>(), [latest], "as it is asked, by default");
    let spread = ends("spread", json!({})).await;
    assert!(spread.len() > 10, "{spread:?}");
    assert!(spread.iter().all(|end| (latest - 3600..=latest).contains(end)), "{spread:?}");
    let asked = time::after(server.clock().now(), Ttl::from_seconds(3600)).to_string();
    assert_eq!(ends("spread", json!({"not_after": asked})).await.len(), 1, "who says when gets it");
}

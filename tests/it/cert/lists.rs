//! Revocation lists: one that says nothing of a certificate lets nobody in with it.

use serde_json::{Value, json};

use super::authority::{Identity, Wish};
use super::{Door, NO, ready, role};
use crate::server::Server;
use crate::web::Web;

const FROM: &str = "2026-01-01T00:00:00Z";
const TO: &str = "2026-02-01T00:00:00Z";
const UNKNOWN: &str = "whether the certificate is revoked cannot be told";

async fn bring(server: &Server, name: &str, list: &warifu::crypto::x509::Crl) -> crate::http::Answer {
    server.put(&format!("auth/cert/crls/{name}"), json!({"crl": list.pem().unwrap()})).await
}

#[tokio::test]
async fn what_is_no_list_of_now_by_a_trusted_ca_is_not_taken() {
    let (server, _door) = ready().await;
    let (root, twin) = (Identity::root("Root"), Identity::root("Root"));
    role(&server, "ca", &root.pem(), json!({})).await;
    bring(&server, "c", &twin.list(&[9], FROM, TO)).await.refused(400, "no trusted CA of its issuer's name");
    bring(&server, "c", &root.list(&[9], "2025-11-01T00:00:00Z", "2025-12-31T23:59:59Z")).await.refused(400, "ended");
    bring(&server, "c", &root.list(&[9], "2026-01-01T01:00:00Z", TO)).await.refused(400, "future");
    let delta = root.list_of(&[9], FROM, TO, Some(6), Vec::new());
    bring(&server, "c", &delta).await.refused(400, "complete list");
    let mut bytes = root.list(&[9], FROM, TO).der().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let broken = warifu::crypto::x509::Crl::from_der(&bytes);
    if let Ok(broken) = broken {
        bring(&server, "c", &broken).await.refused(400, "no trusted CA of its issuer's name");
    }
    for body in [json!({}), json!({"crl": " "}), json!({"crl": "canary"}), json!({"crl": root.pem()})] {
        let answer = server.put("auth/cert/crls/c", body).await.is(400);
        assert!(!answer.text.contains("canary"));
    }
    let good = root.list(&[9], FROM, TO).pem().unwrap();
    let both = json!({"crl": good, "url": "http://127.0.0.1:1/"});
    server.put("auth/cert/crls/c", both).await.refused(400, "only one");
    server.get("auth/cert/crls/c").await.is(400);
    for number in 0..64 {
        server.put(&format!("auth/cert/crls/l{number}"), json!({"crl": good})).await.ok();
    }
    server.put("auth/cert/crls/c", json!({"crl": good})).await.refused(400, "at most 64");
    server.put("auth/cert/crls/l3", json!({"crl": good})).await.ok();
}

#[tokio::test]
async fn who_is_on_the_list_stays_out_and_so_does_everybody_once_it_has_ended() {
    let (server, door) = ready().await;
    let root = Identity::root("Root");
    let other = Identity::root("Other");
    role(&server, "ca", &[root.pem(), other.pem()].concat(), json!({})).await;
    let (ann, bob, zoe) = (root.client("ann", 9), root.client("bob", 10), other.client("zoe", 9));
    door.login(&ann).await.ok();
    bring(&server, "c", &root.list(&[9], FROM, TO)).await.ok();
    let shown = server.get("auth/cert/crls/c").await.ok();
    assert_eq!(shown.data()["serials"], json!({"9": {}}));
    assert_eq!(shown.data()["next_update"], "2026-02-01T00:00:00Z");
    assert_eq!(shown.data()["cdp"], Value::Null);
    // The same number of another CA is another certificate.
    for (who, out) in [(&ann, true), (&bob, false), (&zoe, false)] {
        let answer = door.login(who).await;
        if out {
            answer.refused(400, NO)
        } else {
            answer.ok()
        };
    }
    server.clock().advance(32 * 86_400);
    door.login(&ann).await.refused(400, NO);
    door.login(&bob).await.refused(503, UNKNOWN);
    door.login(&zoe).await.ok();
    bring(&server, "c", &root.list(&[10], TO, "2026-03-01T00:00:00Z")).await.ok();
    door.login(&ann).await.ok();
    door.login(&bob).await.refused(400, NO);
    // After a restart the list counts at the first login.
    let server = server.crashed().await;
    let door = Door::of(&server).await;
    door.login(&bob).await.refused(400, NO);
    server.delete("auth/cert/crls/c").await.ok();
    door.login(&bob).await.ok();
}

#[tokio::test]
async fn a_list_of_another_ca_of_the_same_name_does_not_open_the_door() {
    let (server, door) = ready().await;
    let (root, twin) = (Identity::root("Root"), Identity::root("Root"));
    // Nobody is trusted yet: whose list it is comes out at the login.
    bring(&server, "twin", &twin.list(&[], FROM, TO)).await.ok();
    role(&server, "ca", &root.pem(), json!({})).await;
    let ann = root.client("ann", 9);
    door.login(&ann).await.refused(503, UNKNOWN);
    bring(&server, "root", &root.list(&[10], FROM, TO)).await.ok();
    door.login(&ann).await.ok();
    bring(&server, "root", &root.list(&[9], FROM, TO)).await.ok();
    door.login(&ann).await.refused(400, NO);
    // Where another role trusts it as it is, and its CA is one that is trusted too, the CA's list counts.
    server.delete("auth/cert/crls/root").await.ok();
    role(&server, "ca", &[ann.pem(), root.pem()].concat(), json!({})).await;
    door.login(&ann).await.refused(503, UNKNOWN);
}

#[tokio::test]
async fn a_revoked_ca_takes_all_that_it_signed_with_it_and_a_part_speaks_for_its_part_only() {
    let (server, door) = ready().await;
    let root = Identity::root("Root");
    let sub = root.signs(&Wish::ca("Sub", 5));
    role(&server, "ca", &root.pem(), json!({})).await;
    let ann = Identity { above: vec![sub.certificate.clone()], ..sub.client("ann", 9) };
    door.login(&ann).await.ok();
    // onlyContainsUserCerts, as RFC 5280 has it: [1] IMPLICIT TRUE.
    let part = warifu::crypto::x509::extension::raw(
        warifu::crypto::x509::extension::id::ISSUING_DISTRIBUTION_POINT,
        true,
        vec![0x30, 0x03, 0x81, 0x01, 0xff],
    );
    let users = root.list_of(&[], FROM, TO, None, vec![part.unwrap()]);
    bring(&server, "root", &users).await.ok();
    door.login(&ann).await.refused(503, UNKNOWN);
    let strange = warifu::crypto::x509::extension::raw("1.2.3.4".parse().unwrap(), true, vec![0x05, 0x00]).unwrap();
    bring(&server, "root", &root.list_of(&[], FROM, TO, None, vec![strange])).await.ok();
    door.login(&ann).await.refused(503, UNKNOWN);
    bring(&server, "root", &root.list(&[], FROM, TO)).await.ok();
    door.login(&ann).await.ok();
    bring(&server, "root", &root.list(&[5], FROM, TO)).await.ok();
    door.login(&ann).await.refused(400, NO);
}

#[tokio::test]
async fn a_list_is_fetched_again_and_what_cannot_be_believed_changes_nothing() {
    let (server, door) = ready().await;
    let web = Web::start().await;
    let (root, twin) = (Identity::root("Root"), Identity::root("Root"));
    role(&server, "ca", &root.pem(), json!({})).await;
    let ann = root.client("ann", 9);
    let url = web.url("/root.crl");
    let ask = |url: &str| server.put("auth/cert/crls/c", json!({"url": url}));
    ask(&url).await.refused(503, "status 404");
    ask("ftp://canary/").await.refused(400, "field 'url'");
    web.answers("/root.crl", |_| (200, vec![b'x'; 25 << 20]));
    ask(&url).await.is(503);
    web.serves("/root.crl", b"<html>".to_vec());
    ask(&url).await.refused(400, "no revocation list");
    web.serves("/root.crl", twin.list(&[9], FROM, TO).der().to_vec());
    ask(&url).await.refused(400, "no trusted CA");
    server.get("auth/cert/crls/c").await.is(400);

    let list = |serials: &[u8], from: &str, to: &str| root.list(serials, from, to);
    web.serves("/root.crl", list(&[], FROM, "2026-01-01T06:00:00Z").der().to_vec());
    ask(&url).await.ok();
    assert_eq!(server.get("auth/cert/crls/c").await.ok().data()["cdp"]["url"], url.as_str());
    door.login(&ann).await.ok();
    let asked = web.asked("/root.crl");
    let turn = async |seconds: u64| {
        server.clock().advance(seconds);
        server.vault().tend_once().await.unwrap();
    };
    turn(890).await;
    assert_eq!(web.asked("/root.crl"), asked, "not before it is due");
    // What comes in its place is not believed, and the list at hand counts on. A try that failed is made again after a pause.
    let others = [
        twin.list(&[9], FROM, TO),
        list(&[9], "2025-12-31T00:00:00Z", TO),
        Identity::root("Other").list(&[9], FROM, TO),
        list(&[9], "2025-12-01T00:00:00Z", "2025-12-31T00:00:00Z"),
        root.list_of(&[9], FROM, TO, Some(3), Vec::new()),
    ];
    for (number, other) in others.iter().enumerate() {
        web.serves("/root.crl", other.der().to_vec());
        turn(900).await;
        assert!(web.asked("/root.crl") > asked + number);
        door.login(&ann).await.ok();
    }
    web.answers("/root.crl", |_| (500, Vec::new()));
    turn(900).await;
    door.login(&ann).await.ok();
    // In PEM too.
    web.serves("/root.crl", list(&[9], "2026-01-01T01:30:00Z", "2026-01-01T06:00:00Z").pem().unwrap().into_bytes());
    turn(900).await;
    door.login(&ann).await.refused(400, NO);
    // The server of the list goes away, and then time goes by.
    let bob = root.client("bob", 10);
    door.login(&bob).await.ok();
    web.answers("/root.crl", |_| (500, Vec::new()));
    turn(5 * 3600).await;
    door.login(&bob).await.refused(503, UNKNOWN);
    web.serves("/root.crl", list(&[], "2026-01-01T06:00:00Z", TO).der().to_vec());
    turn(900).await;
    door.login(&bob).await.ok();
    door.login(&ann).await.ok();
    // Who holds no list of that name asks nobody.
    server.delete("auth/cert/crls/c").await.ok();
    let asked = web.asked("/root.crl");
    turn(3600).await;
    assert_eq!(web.asked("/root.crl"), asked);
}

#[tokio::test]
async fn our_own_pki_revokes_and_the_certificate_stops_opening_the_door() {
    let (server, door) = ready().await;
    server.put("sys/mounts/pki", json!({"type": "pki"})).await.ok();
    let root = json!({"common_name": "Own CA", "key_type": "ec", "ttl": "700h"});
    let ca = server.put("pki/root/generate/internal", root).await.ok().data()["certificate"].clone();
    let terms = json!({"key_type": "ec", "allow_any_name": true, "enforce_hostnames": false, "ttl": "300h"});
    server.put("pki/roles/client", terms).await.ok();
    let here = format!("http://{}/v1/pki", server.address());
    server.put("pki/config/urls", json!({"ocsp_servers": format!("{here}/ocsp")})).await.ok();
    role(&server, "list", ca.as_str().unwrap(), json!({})).await;
    server.put("auth/cert/crls/own", json!({"url": format!("{here}/crl")})).await.ok();
    // Another mount, where the responder is asked that the certificate names.
    server.auth("asks", "cert").await;
    let asks = json!({"certificate": ca, "ocsp_enabled": true, "token_policies": "p"});
    server.put("auth/asks/certs/ca", asks).await.ok();

    let issued = server.put("pki/issue/client", json!({"common_name": "ann"})).await.ok();
    let ann = identity(issued.data());
    door.login(&ann).await.ok();
    let ask = async || door.shows(&ann).put("auth/asks/login", json!({})).await;
    ask().await.ok();
    server.put("pki/revoke", json!({"serial_number": issued.data()["serial_number"]})).await.ok();
    server.clock().advance(61);
    ask().await.refused(400, NO);
    door.login(&ann).await.ok();
    server.clock().advance(900);
    server.vault().tend_once().await.unwrap();
    door.login(&ann).await.refused(400, NO);
    let other = identity(server.put("pki/issue/client", json!({"common_name": "bob"})).await.ok().data());
    door.login(&other).await.ok();
    door.shows(&other).put("auth/asks/login", json!({})).await.ok();
}

fn identity(issued: &Value) -> Identity {
    let text = |field: &str| issued[field].as_str().unwrap();
    Identity {
        key: warifu::crypto::PrivateKey::from_pem(text("private_key").as_bytes()).unwrap(),
        certificate: warifu::crypto::x509::Certificate::from_pem(text("certificate")).unwrap(),
        above: Vec::new(),
    }
}

//! Responders: what cannot be told lets nobody in, unless the role says so; who is revoked stays out in any case.

use serde_json::{Value, json};
use warifu::crypto::x509::{CertStatus, OcspRefusal, OcspSpec, Reason, extension};

use super::authority::{Identity, Wish, at};
use super::{NO, ready, role};
use crate::web::Web;

const UNKNOWN: &str = "whether the certificate is revoked cannot be told: no OCSP answer";

fn revoked(spec: &mut OcspSpec) {
    for status in &mut spec.statuses {
        status.1 = CertStatus::Revoked(at("2025-12-01T00:00:00Z"), Reason::KeyCompromise);
    }
}

/// What a role asks of one responder.
fn asking(web: &Web, more: Value) -> Value {
    let mut settings = json!({"ocsp_enabled": true, "ocsp_servers_override": web.url("/a"), "ocsp_max_retries": 0});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

#[tokio::test]
async fn no_answer_and_every_answer_that_does_not_count_let_nobody_in() {
    let (server, door) = ready().await;
    // A good answer would be kept for the next.
    server.put("auth/cert/config", json!({"ocsp_cache_size": 0})).await.ok();
    let web = Web::start().await;
    let (root, twin) = (Identity::root("Root"), Identity::root("Root"));
    let ann = root.client("ann", 9);
    let responder =
        |by: &Identity, usage, until| by.signs(&Wish { usages: vec![usage], until, ..Wish::client("Responder", 50) });
    let far = "2027-01-01T00:00:00Z";
    let unlicensed = responder(&root, extension::SERVER_AUTH, far);
    let foreign = responder(&twin, extension::OCSP_SIGNING, far);
    let ended = responder(&root, extension::OCSP_SIGNING, "2025-12-01T00:00:00Z");
    role(&server, "ca", &root.pem(), asking(&web, json!({}))).await;
    role(&server, "open", &root.pem(), asking(&web, json!({"ocsp_fail_open": true}))).await;

    type Says = Box<dyn Fn(&[u8]) -> (u16, Vec<u8>) + Send + Sync>;
    let by = |who: Identity, change: fn(&mut OcspSpec)| -> Says { Box::new(move |r| (200, who.answers(r, change))) };
    let along = |who: Identity| -> Says {
        let certificate = who.certificate.clone();
        Box::new(move |r| (200, who.answers(r, |spec| spec.responder = Some(certificate.clone()))))
    };
    let copy = |who: &Identity| Identity {
        key: warifu::crypto::PrivateKey::from_pem(who.key.pkcs8_pem().unwrap().reveal().as_bytes()).unwrap(),
        certificate: who.certificate.clone(),
        above: Vec::new(),
    };
    let of_bob = {
        let bob = root.client("bob", 10);
        let question = warifu::crypto::x509::OcspQuestion::new(&bob.certificate, &root.certificate, &[1; 32]).unwrap();
        root.answers(&question.der().unwrap(), |spec| spec.nonce = None)
    };
    let of_twins = {
        let question = warifu::crypto::x509::OcspQuestion::new(&ann.certificate, &twin.certificate, &[1; 32]).unwrap();
        root.answers(&question.der().unwrap(), |spec| spec.nonce = None)
    };
    let replayed = {
        let question = warifu::crypto::x509::OcspQuestion::new(&ann.certificate, &root.certificate, &[1; 32]).unwrap();
        root.answers(&question.der().unwrap(), |_| {})
    };
    let table: Vec<(&str, Says)> = vec![
        ("an error", Box::new(|_| (500, Vec::new()))),
        ("a page", Box::new(|_| (200, b"<html>".to_vec()))),
        ("too much", Box::new(|_| (200, vec![0x30; 1 << 20]))),
        ("not now", Box::new(|_| (200, OcspRefusal::TryLater.der().to_vec()))),
        ("not mine", Box::new(|_| (200, OcspRefusal::Unauthorized.der().to_vec()))),
        ("unknown", by(copy(&root), |spec| spec.statuses[0].1 = CertStatus::Unknown)),
        ("of another CA of the same name", by(copy(&twin), |_| {})),
        ("of a responder without the usage", along(copy(&unlicensed))),
        ("of another CA's responder", along(copy(&foreign))),
        ("of a responder that has ended", along(copy(&ended))),
        ("about another certificate", Box::new(move |_| (200, of_bob.clone()))),
        ("about another CA's certificate", Box::new(move |_| (200, of_twins.clone()))),
        ("to another question", Box::new(move |_| (200, replayed.clone()))),
        ("of yesterday", by(copy(&root), |spec| spec.next_update = Some(at("2025-12-31T23:59:00Z")))),
        ("of tomorrow", by(copy(&root), |spec| spec.this_update = at("2026-01-01T00:06:00Z"))),
        (
            "old, without an end and without our nonce",
            by(copy(&root), |spec| {
                *spec =
                    OcspSpec { this_update: at("2025-12-31T22:00:00Z"), next_update: None, nonce: None, ..spec.clone() }
            }),
        ),
    ];
    for (name, says) in table {
        web.answers("/a", says);
        let answer = door.login_as(&ann, "ca").await;
        assert_eq!((answer.status, answer.errors().starts_with(UNKNOWN)), (503, true), "{name}: {answer:?}");
        assert!(door.login_as(&ann, "open").await.succeeded(), "{name}");
        // Whatever role is meant: one that cannot tell does not open another's door, nor shut it.
        assert!(door.login(&ann).await.succeeded(), "{name}");
    }
    web.answers("/a", move |request| (200, root.answers(request, revoked)));
    for name in ["ca", "open"] {
        door.login_as(&ann, name).await.refused(400, NO);
    }
}

#[tokio::test]
async fn the_issuer_and_whom_it_or_the_role_names_are_believed() {
    let (server, door) = ready().await;
    server.put("auth/cert/config", json!({"ocsp_cache_size": 0})).await.ok();
    let web = Web::start().await;
    let (root, house) = (Identity::root("Root"), Identity::root("House"));
    let sub = root.signs(&Wish::ca("Sub", 2));
    let ann = Identity { above: vec![sub.certificate.clone()], ..sub.client("ann", 9) };
    let wish = Wish { usages: vec![extension::OCSP_SIGNING], ..Wish::client("Responder", 50) };
    let (named, housed) = (sub.signs(&wish), house.signs(&wish));
    let trust = json!({"ocsp_ca_certificates": house.pem()});
    role(&server, "plain", &root.pem(), asking(&web, json!({}))).await;
    role(&server, "house", &root.pem(), asking(&web, trust)).await;
    role(&server, "pinned", &[ann.pem(), sub.pem()].concat(), asking(&web, json!({}))).await;
    role(&server, "alone", &ann.pem(), asking(&web, json!({}))).await;
    let login = async |who: &Identity, name: &str| door.login_as(who, name).await.status;

    let (sent, also) = (named.certificate.clone(), housed.certificate.clone());
    web.answers("/a", move |r| (200, named.answers(r, |spec| spec.responder = Some(sent.clone()))));
    assert_eq!([login(&ann, "plain").await, login(&ann, "house").await, login(&ann, "pinned").await], [200, 200, 200]);
    web.answers("/a", move |r| (200, housed.answers(r, |spec| spec.responder = Some(also.clone()))));
    assert_eq!([login(&ann, "plain").await, login(&ann, "house").await], [503, 200]);
    web.answers("/a", move |r| (200, house.answers(r, |_| {})));
    assert_eq!([login(&ann, "plain").await, login(&ann, "house").await], [503, 200]);
    // The root signed the CA, not the client's certificate.
    web.answers("/a", move |r| (200, root.answers(r, |_| {})));
    assert_eq!(login(&ann, "plain").await, 503);
    web.answers("/a", move |r| (200, sub.answers(r, |_| {})));
    assert_eq!([login(&ann, "plain").await, login(&ann, "pinned").await], [200, 200]);
    // Trusted as it is, its CA came along or not: who does not know the issuer cannot ask.
    assert_eq!(login(&ann, "alone").await, 200);
    let bare = Identity { above: Vec::new(), ..ann };
    assert_eq!(login(&bare, "alone").await, 503);
    assert_eq!(login(&bare, "pinned").await, 200);
}

#[tokio::test]
async fn who_is_asked_how_often_and_how_many_must_agree() {
    let (server, door) = ready().await;
    let web = Web::start().await;
    let root = Identity::root("Root");
    let own = extension::authority_info_access(&[web.url("/own")], &[]).unwrap();
    let ann = root.signs(&Wish { more: vec![own], ..Wish::client("ann", 9) });
    let bob = root.client("bob", 10);
    let ca = root.pem();
    let good = std::sync::Arc::new(root);
    let says = |path: &str, change: fn(&mut OcspSpec)| {
        let root = good.clone();
        web.answers(path, move |request| (200, root.answers(request, change)));
    };
    let settings = |more: Value| {
        let mut all = json!({
            "ocsp_enabled": true, "ocsp_max_retries": 2, "ocsp_servers_override": "", "ocsp_query_all_servers": false,
            "ocsp_fail_open": false, "ocsp_this_update_max_age": 0
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let both = [web.url("/a"), web.url("/b")];
    server.put("auth/cert/config", json!({"ocsp_cache_size": 0})).await.ok();
    // The certificate names one; where neither names one, nothing can be told.
    role(&server, "ca", &ca, settings(json!({}))).await;
    says("/own", |_| {});
    door.login(&ann).await.ok();
    door.login(&bob).await.refused(503, UNKNOWN);
    assert_eq!(web.asked("/own"), 1);
    // Who is named by the role is asked instead, three times in all.
    role(&server, "ca", &ca, settings(json!({"ocsp_servers_override": both}))).await;
    door.login(&ann).await.refused(503, UNKNOWN);
    assert_eq!([web.asked("/own"), web.asked("/a"), web.asked("/b")], [1, 3, 3]);
    // The first that says something is enough.
    says("/b", |_| {});
    door.login(&ann).await.ok();
    assert_eq!([web.asked("/a"), web.asked("/b")], [6, 4]);
    says("/a", |_| {});
    door.login(&ann).await.ok();
    assert_eq!([web.asked("/a"), web.asked("/b")], [7, 4]);
    says("/b", revoked);
    door.login(&ann).await.ok();
    // All must agree.
    role(&server, "ca", &ca, settings(json!({"ocsp_servers_override": both, "ocsp_query_all_servers": true}))).await;
    door.login(&ann).await.refused(400, NO);
    says("/b", |_| {});
    door.login(&ann).await.ok();
    says("/b", |spec| spec.statuses[0].1 = CertStatus::Unknown);
    door.login(&ann).await.refused(503, UNKNOWN);
    role(&server, "ca", &ca, json!({"ocsp_fail_open": true})).await;
    door.login(&ann).await.ok();
    says("/b", revoked);
    door.login(&ann).await.refused(400, NO);
    // Nor may it be old.
    role(&server, "ca", &ca, settings(json!({"ocsp_servers_override": both[0], "ocsp_this_update_max_age": "10m"})))
        .await;
    says("/a", |spec| spec.this_update = at("2025-12-31T23:49:59Z"));
    door.login(&ann).await.refused(503, UNKNOWN);
    says("/a", |spec| spec.this_update = at("2025-12-31T23:50:01Z"));
    door.login(&ann).await.ok();
}

#[tokio::test]
async fn a_good_answer_is_kept_for_a_minute_a_bad_one_never() {
    let (server, door) = ready().await;
    let web = Web::start().await;
    let root = Identity::root("Root");
    let ann = root.client("ann", 9);
    let token = |answer: crate::http::Answer| answer.ok().auth()["client_token"].as_str().unwrap().to_owned();
    role(&server, "ca", &root.pem(), asking(&web, json!({}))).await;
    door.login(&ann).await.refused(503, UNKNOWN);
    door.login(&ann).await.refused(503, UNKNOWN);
    assert_eq!(web.asked("/a"), 2);
    let root = std::sync::Arc::new(root);
    let good = root.clone();
    web.answers("/a", move |request| (200, good.answers(request, |_| {})));
    let alive = token(door.login(&ann).await);
    web.answers("/a", move |request| (200, root.answers(request, revoked)));
    token(door.login(&ann).await);
    assert_eq!(web.asked("/a"), 3);
    server.clock().advance(61);
    door.login(&ann).await.refused(400, NO);
    door.login(&ann).await.refused(400, NO);
    assert_eq!(web.asked("/a"), 5);
    // Nor is a token renewed that such a login gave.
    door.shows(&ann).with(&alive).put("auth/token/renew-self", json!({})).await.refused(400, NO);
}

#[tokio::test]
async fn settings_that_cannot_be_followed_are_refused_by_name() {
    let (server, _door) = ready().await;
    let root = Identity::root("Root");
    let many: Vec<String> = (0..9).map(|n| format!("http://r{n}.test/")).collect();
    for (field, value) in [
        ("ocsp_ca_certificates", json!("canary")),
        ("ocsp_servers_override", json!(["ldap://canary/"])),
        ("ocsp_servers_override", json!(many)),
        ("ocsp_max_retries", json!(11)),
        ("ocsp_max_retries", json!(-1)),
        ("ocsp_this_update_max_age", json!("canary")),
    ] {
        let answer = server.put("auth/cert/certs/ca", json!({"certificate": root.pem(), field: value})).await.is(400);
        assert!(answer.errors().contains(field) && !answer.text.contains("canary"), "{answer:?}");
    }
    let most = json!({"ocsp_cache_size": 10_001});
    server.put("auth/cert/config", most).await.refused(400, "ocsp_cache_size");
}

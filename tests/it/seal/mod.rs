//! Making a store, opening it with a quorum of shares, closing it, changing its shares.

mod by_itself;
mod held;
mod labels;
mod verification;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use warifu::storage::memory::Memory;

use crate::http::Http;
use crate::server::{Plan, Server, at_once};
use crate::stores::rows;

async fn three_of_five() -> Server {
    let mut server = Plan::memory().start().await;
    server.init(5, 3).await;
    server
}

async fn offer(http: &Http, share: &str) -> crate::http::Answer {
    http.put("sys/unseal", json!({"key": share})).await
}

#[tokio::test]
async fn a_server_without_a_store_serves_nothing() {
    let server = Plan::memory().start().await;
    server.get("sys/health").await.is(501);
    server.get("sys/init").await.ok();
    assert_eq!(server.get("sys/init").await.json["initialized"], false);
    for path in ["secret/a", "sys/mounts", "auth/token/lookup-self", "no/such/thing", "sys/policies/acl/default"] {
        server.get(path).by("hvs.anything").await.refused(503, "Vault is sealed");
    }
    offer(&server, &BASE64.encode([7; 33])).await.refused(400, "not initialized");
}

#[tokio::test]
async fn a_shape_that_makes_no_sense_makes_no_store() {
    let server = Plan::memory().start().await;
    for (shares, threshold) in [(0, 0), (0, 1), (1, 0), (5, 6), (2, 1), (256, 3), (3, 256), (300, 300)] {
        let body = json!({"secret_shares": shares, "secret_threshold": threshold});
        server.put("sys/init", body).await.refused(400, "invalid seal configuration");
    }
    for body in [json!({"secret_shares": "five"}), json!({"secret_shares": -5, "secret_threshold": 3}), json!([])] {
        server.put("sys/init", body).await.is(400);
    }
    assert!(rows(server.plan.storage.as_ref()).is_empty(), "nothing was written");
    assert_eq!(server.get("sys/init").await.json["initialized"], false);
}

#[tokio::test]
async fn of_many_who_make_the_store_one_succeeds() {
    let server = Plan::memory().start().await;
    let calls = (0..16).map(|_| {
        let http = server.http.clone();
        async move { http.put("sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await }
    });
    let answers = at_once(calls).await;
    let made: Vec<_> = answers.iter().filter(|a| a.status == 200).collect();
    assert_eq!(made.len(), 1);
    assert!(answers.iter().all(|a| a.status == 200 || a.errors().contains("already initialized")), "{answers:?}");
    let share = made[0].json["keys_base64"][0].as_str().unwrap();
    assert_eq!(offer(&server, share).await.ok().json["sealed"], false);
    assert!(server.alive(made[0].json["root_token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn fewer_shares_than_the_threshold_open_nothing() {
    let server = three_of_five().await;
    for n in 0..2 {
        let status = offer(&server, &server.shares[n]).await.ok();
        assert_eq!((status.json["sealed"].clone(), status.json["progress"].clone()), (json!(true), json!(n + 1)));
    }
    server.get("sys/health").await.is(503);
    server.get("auth/token/lookup-self").await.refused(503, "Vault is sealed");
    // The same share again is not another share.
    let status = offer(&server, &server.shares[1]).await.ok();
    assert_eq!((status.json["sealed"].clone(), status.json["progress"].clone()), (json!(true), json!(2)));
}

#[tokio::test]
async fn a_wrong_share_spoils_the_round_and_nothing_else() {
    let server = three_of_five().await;
    let foreign = three_of_five().await;
    for text in ["", "canary", "zz", &"ab".repeat(40), &BASE64.encode([1; 31])] {
        let answer = offer(&server, text).await.is(400);
        assert!(!answer.text.contains("canary"));
    }
    offer(&server, &server.shares[0]).await.ok();
    offer(&server, &server.shares[1]).await.ok();
    offer(&server, &foreign.shares[2]).await.is(400);
    let status = server.get("sys/seal-status").await.ok();
    assert_eq!((status.json["sealed"].clone(), status.json["progress"].clone()), (json!(true), json!(0)));
    // Every three of the five open it, whatever their order.
    for set in [[0, 1, 2], [4, 2, 0], [3, 4, 1]] {
        for n in set {
            offer(&server, &server.shares[n]).await.ok();
        }
        assert_eq!(server.get("sys/seal-status").await.ok().json["sealed"], false);
        server.put("sys/seal", json!({})).await.is(204);
        assert_eq!(server.get("sys/seal-status").await.ok().json["sealed"], true);
    }
}

#[tokio::test]
async fn a_share_can_be_given_in_hex_and_the_round_can_be_reset() {
    let server = three_of_five().await;
    let hex: Vec<String> = server.shares.iter().map(|s| hex::encode(BASE64.decode(s).unwrap())).collect();
    offer(&server, &hex[0]).await.ok();
    let nonce = server.get("sys/seal-status").await.ok().json["nonce"].clone();
    assert_ne!(nonce, "");
    let status = server.put("sys/unseal", json!({"reset": true})).await.ok();
    assert_eq!((status.json["progress"].clone(), status.json["nonce"].clone()), (json!(0), json!("")));
    for share in &hex[1..4] {
        offer(&server, share).await.ok();
    }
    let status = server.get("sys/seal-status").await.ok();
    assert_eq!(
        (status.json["sealed"].clone(), status.json["t"].clone(), status.json["n"].clone()),
        (json!(false), json!(3), json!(5))
    );
    server.get("sys/health").await.is(200);
    // Open already: a share changes nothing, a reset is refused.
    assert_eq!(offer(&server, &hex[0]).await.ok().json["sealed"], false);
    server.put("sys/unseal", json!({"reset": true})).await.is(400);
}

#[tokio::test]
async fn of_shares_offered_all_at_once_exactly_one_opens_and_none_fails() {
    let server = three_of_five().await;
    let calls = server.shares.clone().into_iter().map(|share| {
        let http = server.http.clone();
        async move { offer(&http, &share).await }
    });
    for answer in at_once(calls).await {
        answer.ok();
    }
    assert_eq!(server.get("sys/seal-status").await.ok().json["sealed"], false);
    server.get("auth/token/lookup-self").await.ok();
}

#[tokio::test]
async fn progress_is_forgotten_by_a_restart_and_data_are_not() {
    let server = three_of_five().await;
    offer(&server, &server.shares[0]).await.ok();
    offer(&server, &server.shares[1]).await.ok();
    let server = server.again().await;
    let status = server.get("sys/seal-status").await.ok();
    assert_eq!((status.json["initialized"].clone(), status.json["progress"].clone()), (json!(true), json!(0)));
    server.open().await;
    server.kv("secret", 1).await;
    server.put("secret/a", json!({"k": "v"})).await.ok();
    server.policy("p", r#"path "secret/*" { capabilities = ["read"] }"#).await;
    let token = server.token_of(json!({"policies": ["p"]})).await;
    let server = server.crashed().await;
    assert_eq!(server.get("secret/a").by(&token).await.ok().data()["k"], "v");
}

#[tokio::test]
async fn a_sealed_server_keeps_nothing_to_say() {
    let server = Server::new().await;
    server.kv("secret", 1).await;
    server.put("secret/a", json!({"k": "v"})).await.ok();
    server.get("secret/a").await.ok();
    server.put("sys/seal", json!({})).by("hvs.nobody").await.is(403);
    server.get("sys/health").await.is(200);
    server.put("sys/seal", json!({})).await.is(204);
    for path in ["secret/a", "sys/mounts", "auth/token/lookup-self", "nothing/here"] {
        server.get(path).await.refused(503, "Vault is sealed");
    }
    server.get("sys/health").await.is(503);
    server.get("sys/health?sealedcode=299&standbyok=true").await.is(299);
    server.open().await;
    assert_eq!(server.get("secret/a").await.ok().data()["k"], "v");
}

#[tokio::test]
async fn sealing_under_load_leaves_every_request_answered() {
    let server = Server::new().await;
    server.kv("secret", 1).await;
    let calls = (0..64).map(|n| {
        let http = server.http.clone();
        async move {
            let mut kept = Vec::new();
            for i in 0..20 {
                let path = format!("secret/{n}-{i}");
                let answer = http.put(&path, json!({"k": path})).await;
                assert!(matches!(answer.status, 204 | 503), "{answer:?}");
                if answer.status == 204 {
                    kept.push(path);
                }
            }
            kept
        }
    });
    let load = tokio::spawn(at_once(calls));
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    server.put("sys/seal", json!({})).await.is(204);
    let kept: Vec<String> = load.await.unwrap().into_iter().flatten().collect();
    server.open().await;
    for path in kept {
        assert_eq!(server.get(&path).await.ok().data()["k"], path);
    }
}

/// Gives shares to a ceremony; its last answer.
async fn perform(http: &Http, kind: &str, nonce: &Value, shares: &[String]) -> crate::http::Answer {
    let mut last = None;
    for share in shares {
        last = Some(http.put(&format!("sys/{kind}/update"), json!({"key": share, "nonce": nonce})).await);
    }
    last.unwrap()
}

#[tokio::test]
async fn a_rekey_replaces_the_shares_and_nothing_else() {
    let mut server = three_of_five().await;
    server.open().await;
    server.kv("secret", 1).await;
    server.put("secret/a", json!({"k": "v"})).await.ok();
    let start = server.put("sys/rekey/init", json!({"secret_shares": 3, "secret_threshold": 2})).await.ok();
    let nonce = start.json["nonce"].clone();
    server.put("sys/rekey/init", json!({"secret_shares": 1, "secret_threshold": 1})).await.is(400);
    perform(&server, "rekey", &json!("not-the-nonce"), &server.shares[..1]).await.refused(400, "nonce");
    // A foreign share ends the round, not the ceremony.
    let foreign = three_of_five().await;
    perform(&server, "rekey", &nonce, &[&server.shares[..2], &foreign.shares[..1]].concat()).await.is(400);
    assert_eq!(server.get("sys/rekey/init").await.ok().json["progress"], 0);
    // Progress survives a restart.
    perform(&server, "rekey", &nonce, &server.shares[..2]).await.ok();
    server = server.crashed().await;
    assert_eq!(server.get("sys/rekey/init").await.ok().json["progress"], 2);
    let end = perform(&server, "rekey", &nonce, &server.shares[2..3]).await.ok();
    assert_eq!(end.json["complete"], true);
    let old = std::mem::take(&mut server.shares);
    server.shares =
        end.json["keys_base64"].as_array().unwrap().iter().map(|k| k.as_str().unwrap().to_owned()).collect();
    assert_eq!(server.shares.len(), 3);
    server.put("sys/seal", json!({})).await.is(204);
    let mut refused = false;
    for share in &old[..3] {
        refused |= offer(&server, share).await.status == 400;
    }
    assert!(refused, "the old shares are worth nothing");
    assert_eq!(server.get("sys/seal-status").await.ok().json["sealed"], true);
    server.put("sys/unseal", json!({"reset": true})).await.ok();
    server.open().await;
    assert_eq!(server.get("secret/a").await.ok().data()["k"], "v");
}

/// The names that OpenBao gave the rekey. They need a token where those of Vault may need none.
#[tokio::test]
async fn a_rekey_goes_by_its_newer_name_too_and_always_with_a_token() {
    let mut server = Plan { open_ceremonies: true, ..Plan::over(Arc::new(Memory::new())) }.start().await;
    server.init(3, 2).await;
    server.open().await;
    let shape = json!({"secret_shares": 1, "secret_threshold": 1});
    server.anonymous().get("sys/rekey/init").await.ok();
    for path in ["sys/rotate/root/init", "sys/rotate/recovery/init", "sys/rotate/root/verify"] {
        server.anonymous().get(path).await.is(403);
        server.anonymous().put(path, shape.clone()).await.is(403);
    }
    server.put("sys/rotate/recovery/init", shape.clone()).await.refused(400, "unseal shares");
    let nonce = server.put("sys/rotate/root/init", shape).await.ok().json["nonce"].clone();
    assert_eq!(server.get("sys/rekey/init").await.ok().json["nonce"], nonce, "it is one ceremony");
    let end = perform(&server, "rotate/root", &nonce, &server.shares[..2]).await.ok();
    assert_eq!((end.json["complete"].clone(), end.json["keys"].as_array().unwrap().len()), (json!(true), 1));
    for path in
        ["sys/rekey/backup", "sys/rotate/root/backup", "sys/rekey/recovery-key-backup", "sys/rotate/recovery/backup"]
    {
        server.get(path).await.refused(400, "no backed-up keys found");
        server.delete(path).await.is(204);
    }
}

#[tokio::test]
async fn a_rotation_costs_nobody_his_shares() {
    let server = three_of_five().await;
    server.open().await;
    server.kv("secret", 1).await;
    for n in 0..3 {
        server.put(&format!("secret/{n}"), json!({"k": n})).await.ok();
        server.put("sys/rotate", json!({})).await.is(204);
    }
    assert_eq!(server.get("sys/key-status").await.ok().json["term"], 4);
    server.put("sys/rotate", json!({})).by("hvs.nobody").await.is(403);
    let server = server.crashed().await;
    for n in 0..3 {
        assert_eq!(server.get(&format!("secret/{n}")).await.ok().data()["k"], n);
    }
}

#[tokio::test]
async fn a_root_token_is_made_by_a_quorum_only() {
    let server = three_of_five().await;
    server.open().await;
    server.policy("p", r#"path "sys/generate-root/*" { capabilities = ["create", "read", "update", "delete"] }"#).await;
    let weak = server.token_of(json!({"policies": ["p"]})).await;
    // Without a token, or with one that has no sudo, it does not even begin.
    for http in [server.anonymous(), server.with(&weak)] {
        http.put("sys/generate-root/attempt", json!({})).await.is(403);
        http.get("sys/generate-root/attempt").await.is(403);
        http.delete("sys/generate-root/attempt").await.is(403);
        http.put("sys/rekey/init", json!({"secret_shares": 1, "secret_threshold": 1})).await.is(403);
    }
    let start = server.put("sys/generate-root/attempt", json!({})).await.ok();
    let (nonce, otp) = (start.json["nonce"].clone(), start.json["otp"].as_str().unwrap().to_owned());
    perform(&server, "generate-root", &nonce, &server.shares[..2]).await.ok();
    let again = server.put("sys/generate-root/update", json!({"key": server.shares[1], "nonce": nonce})).await;
    again.refused(400, "already been provided");
    let end = perform(&server, "generate-root", &nonce, &server.shares[2..3]).await.ok();
    let encoded = end.json["encoded_root_token"].as_str().unwrap();
    let mixed = base64::engine::general_purpose::STANDARD_NO_PAD.decode(encoded).unwrap();
    let token: Vec<u8> = mixed.iter().zip(otp.bytes()).map(|(a, b)| a ^ b).collect();
    let token = String::from_utf8(token).unwrap();
    let decoded = |encoded: &str, otp: &str| {
        server.anonymous().put("sys/decode-token", json!({"encoded_token": encoded, "otp": otp}))
    };
    assert_eq!(decoded(encoded, &otp).await.ok().data()["token"], token);
    for (encoded, otp) in [(encoded, ""), ("", otp.as_str()), (encoded, "short"), ("?", "x"), ("canary//", "sixteen")] {
        let answer = decoded(encoded, otp).await.is(400);
        assert!(!answer.text.contains("canary") && !answer.text.contains(encoded) || encoded.len() < 2, "{answer:?}");
    }
    assert!(token.starts_with("hvs.") && server.alive(&token).await);
    assert_eq!(server.get("sys/generate-root/attempt").await.ok().json["started"], false);
}

#[tokio::test]
async fn an_open_ceremony_cannot_be_used_by_a_stranger_without_its_nonce() {
    let mut server = Plan { open_ceremonies: true, ..Plan::over(Arc::new(Memory::new())) }.start().await;
    server.init(3, 2).await;
    server.open().await;
    let stranger = server.anonymous();
    let start = stranger.put("sys/rekey/init", json!({"secret_shares": 1, "secret_threshold": 1})).await.ok();
    perform(&stranger, "rekey", &json!(""), &server.shares[..1]).await.is(400);
    let end = perform(&stranger, "rekey", &start.json["nonce"], &server.shares[..2]).await.ok();
    assert_eq!(end.json["complete"], true);
}

//! What grows with the store, and what must not: opening it, serving from it, taking back what ends.
//!
//! `WARIFU_SCALE=1000000` tells these stories with as many tokens and leases as the goal names.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use warifu::base::{Clock, Json, Timestamp, Ttl, limits, time};
use warifu::crypto::SystemRng;
use warifu::lease::{Lease, Leases};
use warifu::storage::Storage;
use warifu::token::{Token, Tokens};

use crate::pki_ocsp::{Issuer, by_post, ca};
use crate::server::{Plan, Server};
use crate::stores::Counting;

fn scale() -> usize {
    std::env::var("WARIFU_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(700)
}

/// Puts tokens into the store, and as many leases, which all end at one moment.
async fn plant(server: &Server, count: usize, end: Timestamp) {
    let (vault, rng) = (server.vault(), SystemRng::new());
    let leases = Leases::open(vault.barrier());
    let accessor = server.get("sys/mounts").await.ok().data()["secret/"]["accessor"].as_str().unwrap().to_owned();
    let mut batch = vault.barrier().view().txn();
    for number in 0..count {
        let text = Tokens::new_text(&rng);
        let token = Token {
            id: vault.tokens().digest(&text),
            accessor: Tokens::new_accessor(&rng),
            policies: vec!["default".into()],
            path: "auth/token/create".into(),
            display_name: "token".into(),
            expires: Some(end),
            ..Token::default()
        };
        batch.merge(vault.tokens().create(&token).unwrap());
        let lease = Lease {
            id: Leases::new_id("secret/a", &rng),
            token_id: String::new(),
            mount_accessor: accessor.clone(),
            issued: end,
            renewed: None,
            expires: end,
            expires_at_most: end,
            renewable: false,
            internal: Json::Null,
            failures: 0,
            due: None,
            stuck: None,
        };
        batch.merge(leases.create(&lease).unwrap());
        if number % 50 == 49 || number + 1 == count {
            let full = std::mem::replace(&mut batch, vault.barrier().view().txn());
            vault.commit(full).await.unwrap();
        }
    }
}

async fn with(count: usize, life: u64) -> (Server, Arc<Counting>) {
    let counting = Counting::new(Plan::memory().storage);
    let storage: Arc<dyn Storage> = counting.clone();
    let server = Plan::over(storage).ready().await;
    server.kv("secret", 1).await;
    let end = time::after(server.clock().now(), Ttl::from_seconds(life));
    plant(&server, count, end).await;
    (server, counting)
}

/// What is read to open a store and answer its first request.
async fn opening(count: usize) -> usize {
    let (server, counting) = with(count, 1_000_000).await;
    let before = counting.read.load(Ordering::SeqCst);
    let clock = time::SystemClock::new();
    let began = clock.monotonic();
    let next = server.crashed().await;
    next.get("auth/token/lookup-self").await.ok();
    println!("{count} tokens and leases: open after {:?}", clock.monotonic() - began);
    counting.read.load(Ordering::SeqCst) - before
}

#[tokio::test]
async fn opening_a_store_costs_the_same_whatever_is_in_it() {
    let (few, many) = (opening(10).await, opening(scale()).await);
    // The sweep in the background looks once or twice meanwhile, at the front of two indexes.
    assert!(many <= few + 2 * limits::BATCH_KEYS, "{few} rows were read with ten, {many} with {}", scale());
}

#[tokio::test]
async fn what_ends_in_one_second_is_taken_back_in_bounded_steps_while_others_are_served() {
    let (server, counting) = with(scale(), 10).await;
    let alive = server.token_of(serde_json::json!({"policies": ["default"], "ttl": "1h"})).await;
    counting.largest.store(0, Ordering::SeqCst);
    server.clock().advance_by(Duration::from_secs(11));
    let now = server.clock().now();
    let sweeping = tokio::spawn({
        let vault = server.vault();
        async move {
            while vault.tokens().expired(now, 1).is_ok_and(|left| !left.is_empty()) {
                vault.sweep_once().await.unwrap();
            }
            vault.sweep_once().await.unwrap();
        }
    });
    let mut served = 0;
    while !sweeping.is_finished() {
        server.get("auth/token/lookup-self").by(&alive).await.ok();
        served += 1;
    }
    sweeping.await.unwrap();
    assert!(served > 0);
    let largest = counting.largest.load(Ordering::SeqCst);
    assert!(largest <= limits::BATCH_KEYS, "one commit changed {largest} keys");
    // Root's, and the one that is alive.
    assert_eq!(server.tokens().await, 2);
    server.list("sys/leases/lookup/secret/a").await.is(404);
}

/// What is read to apply policies that say nothing of writing policies, and some that do, as an administrator who stays one.
async fn applying(count: usize) -> usize {
    let (server, counting) = with(count, 1_000_000).await;
    let all = r#"path "sys/policies/*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }"#;
    server.policy("administrator", all).await;
    let http = server.with(&server.token_of(serde_json::json!({"policies": ["administrator"]})).await);
    let apply = async |by: &crate::http::Http, name: &str, text: &str| {
        let state = by.get("sys/policies/apply").await.ok().data()["state"].clone();
        let body = serde_json::json!({"policies": {name: text}, "state": state});
        by.put("sys/policies/apply/one", body).await.ok();
    };
    let before = counting.read.load(Ordering::SeqCst);
    apply(&server, "reader", r#"path "secret/+/a" { capabilities = ["read"] }"#).await;
    apply(
        &server,
        "reader",
        r#"path "secret/*" { capabilities = ["deny"] } path "sys/mounts/*" { capabilities = ["read"] }"#,
    )
    .await;
    apply(&http, "administrator", &format!("{all} # once more")).await;
    counting.read.load(Ordering::SeqCst) - before
}

#[tokio::test]
async fn whoever_applies_policies_looks_at_nobody_unless_administrators_are_at_stake() {
    let (few, many) = (applying(10).await, applying(scale()).await);
    assert!(many <= few + 2 * limits::BATCH_KEYS, "{few} rows were read with ten, {many} with {}", scale());
}

/// What is read to issue, to revoke, to answer OCSP, to open the store and answer, and to sign the list once more, where so
/// many certificates are stored and all but a few of them revoked.
async fn costs(count: usize) -> [(&'static str, usize); 5] {
    let counting = Counting::new(Plan::memory().storage);
    let storage: Arc<dyn Storage> = counting.clone();
    let server = Plan::over(storage).ready().await;
    ca(&server, "pki").await;
    let issuer = Issuer::of(&server, "pki").await;
    let issue = async |server: &Server| {
        let leaf = server.put("pki/issue/web", serde_json::json!({"common_name": "x.a.test", "ttl": "9h"})).await.ok();
        leaf.data()["serial_number"].as_str().unwrap().to_owned()
    };
    let revoke = async |server: &Server, serial: &str| {
        server.put("pki/revoke", serde_json::json!({"serial_number": serial})).await.ok();
    };
    for _ in 0..count {
        let serial = issue(&server).await;
        revoke(&server, &serial).await;
    }
    server.get("pki/cert/crl").await.ok();
    for _ in 0..count / 400 {
        server.vault().tend_once().await.unwrap();
    }
    let read = || counting.read.swap(0, Ordering::SeqCst);
    read();
    let serial = issue(&server).await;
    let issued = read();
    revoke(&server, &serial).await;
    let revoked = read();
    let bytes: Vec<u8> = serial.split(':').map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    assert_eq!(by_post(&server, &issuer.request(&bytes)).await.status, 200);
    let answered = read();
    server.get("pki/cert/crl").await.ok();
    let listed = read();
    let server = server.crashed().await;
    assert_eq!(by_post(&server, &issuer.request(&bytes)).await.status, 200);
    [
        ("a certificate", issued),
        ("a revocation", revoked),
        ("an answer by OCSP", answered),
        ("opening, and an answer", read()),
        ("the list", listed),
    ]
}

#[tokio::test]
async fn a_ca_costs_the_same_whatever_it_holds() {
    let (few, many) = (costs(10).await, costs(scale()).await);
    for ((what, few), (_, many)) in few.into_iter().zip(many) {
        // A list is put together from chunks, and the entries that are in none yet. What runs in the background reads some
        // rows too, the same few whatever there is.
        let more = 64 + if what == "the list" { 400 } else { 0 };
        assert!(many <= few + more, "{what}: {few} rows are read with ten certificates, {many} with {}", scale());
    }
}

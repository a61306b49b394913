//! Leases at their end: what cannot be revoked is listed and counted, is never renewed, and blocks nothing else.

use serde_json::json;
use warifu::base::{Clock, Key};
use warifu::lease::{Lease, Leases};
use warifu::mount::view_of;

use crate::server::{Plan, Server};

/// A server whose PKI has `count` leases; the certificates of the first `broken` of them cannot be read any more.
async fn server(count: usize, broken: usize) -> (Server, Vec<String>) {
    let mut plan = Plan::memory();
    // Counted when a story says so: what changes during a count is in it by half.
    plan.facts.telemetry.usage_gauge_period = None;
    let server = plan.ready().await;
    server.put("sys/mounts/pki", json!({"type": "pki"})).await.ok();
    server.put("pki/root/generate/internal", json!({"common_name": "ca", "key_type": "ed25519"})).await.ok();
    server
        .put("pki/roles/r", json!({"allow_any_name": true, "key_type": "ed25519", "generate_lease": true, "ttl": "1h"}))
        .await
        .ok();
    let (mut ids, mut serials) = (Vec::new(), Vec::new());
    for n in 0..count {
        let issued = server.put("pki/issue/r", json!({"common_name": format!("h{n}.example")})).await.ok();
        ids.push(issued.json["lease_id"].as_str().unwrap().to_owned());
        serials.push(issued.data()["serial_number"].as_str().unwrap().to_owned());
    }
    let vault = server.vault();
    let uuid = vault.mounts().table().at("pki/").unwrap().mount.uuid.clone();
    let view = view_of(vault.barrier(), &uuid);
    for serial in serials.iter().take(broken) {
        let key = Key::new("cert").join(serial);
        assert!(view.get::<serde_json::Value>(&key).unwrap().is_some(), "no certificate under {serial}");
        let mut txn = view.txn();
        txn.overwrite(&key, &"not a certificate").unwrap();
        vault.commit(txn).await.unwrap();
    }
    (server, ids)
}

async fn stuck(server: &Server) -> u64 {
    server.get("sys/leases/count?type=irrevocable").await.ok().data()["lease_count"].as_u64().unwrap()
}

/// Runs the background until nothing more is due.
async fn try_all(server: &Server) {
    for _ in 0..8 {
        server.sweep().await;
        server.clock().advance(3600);
    }
}

#[tokio::test]
async fn what_cannot_be_revoked_is_listed_and_blocks_nothing() {
    let (server, ids) = server(4, 2).await;
    server.clock().advance(3600);
    server.sweep().await;
    // Those that can go are gone at once, behind those that cannot.
    for (n, id) in ids.iter().enumerate() {
        let found = server.put("sys/leases/lookup", json!({"lease_id": id})).await;
        assert_eq!(found.status, if n < 2 { 200 } else { 400 }, "{n} {found:?}");
    }
    // Its end has come, whatever its engine says: class E.
    let renewed = server.put("sys/leases/renew", json!({"lease_id": ids[0]})).await.is(400);
    assert!(renewed.text.contains("lease expired"), "{renewed:?}");
    assert_eq!(stuck(&server).await, 0);
    try_all(&server).await;
    assert_eq!(stuck(&server).await, 2);
    let listed = server.get("sys/leases?type=irrevocable").await.ok();
    assert_eq!(listed.data()["lease_count"], 2, "{listed:?}");
    let mut shown: Vec<&str> =
        listed.data()["leases"].as_array().unwrap().iter().map(|l| l["lease_id"].as_str().unwrap()).collect();
    shown.sort_unstable();
    let mut wanted: Vec<&str> = ids[..2].iter().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(shown, wanted);
    let counted = server.get("sys/leases/count?type=irrevocable").await.ok();
    assert_eq!(counted.data()["counts"], json!({"pki/": 2}));
    let page = server.get("sys/leases?type=irrevocable&limit=1").await.ok();
    assert_eq!(page.data()["lease_count"], 1);
    assert!(page.text.contains("more than the 1"), "{page:?}");
    server.put("sys/leases/renew", json!({"lease_id": ids[0]})).await.is(400);
    // It survives a crash, and a tidy that cannot help leaves it where it is.
    let server = server.crashed().await;
    server.put("sys/leases/tidy", json!({})).await.is(202);
    assert_eq!(stuck(&server).await, 2);
    // Force ends it.
    server.put("sys/leases/revoke-force/pki/issue/r", json!({})).await.ok();
    assert_eq!(stuck(&server).await, 0);
    server.put("sys/leases/lookup", json!({"lease_id": ids[0]})).await.is(400);
}

#[tokio::test]
async fn what_is_stuck_is_taken_back_once_its_engine_can() {
    let (server, ids) = server(1, 1).await;
    server.clock().advance(3600);
    try_all(&server).await;
    assert_eq!(stuck(&server).await, 1);
    let uuid = server.vault().mounts().table().at("pki/").unwrap().mount.uuid.clone();
    let view = view_of(server.vault().barrier(), &uuid);
    let mut txn = view.txn();
    for name in view.list(&Key::new("cert")).unwrap() {
        txn.delete(&Key::new("cert").join(&name));
    }
    server.vault().commit(txn).await.unwrap();
    server.put("sys/leases/revoke", json!({"lease_id": ids[0]})).await.ok();
    assert_eq!(stuck(&server).await, 0);
    server.get("sys/leases?type=other").await.is(400);
}

/// Nothing comes from nowhere, and nothing is lost: what was made is there, waits for its end, is stuck, or was removed.
#[tokio::test]
async fn the_counts_of_leases_obey_a_conservation_law() {
    let (server, ids) = server(9, 3).await;
    let vault = server.vault();
    let leases = Leases::open(vault.barrier());
    let rows = || {
        let (view, folders) = leases.folders();
        folders.map(|folder| view.count_step(&folder, &Default::default()).unwrap().0)
    };
    let metrics = server.plan.facts.metrics.clone();
    let law = |what: &str| {
        let [all, waiting, stuck] = rows();
        assert_eq!(all, waiting + stuck, "{what}: each lease waits for its end or is stuck");
        let balance = metrics.leases_created.value() - metrics.leases_removed.value();
        assert_eq!(balance, all as u64, "{what}: made and not removed is there");
        assert_eq!(metrics.leases.value(), all as i64, "{what}: the gauge is the balance");
    };
    law("made");
    server.put("sys/leases/revoke", json!({"lease_id": ids[8]})).await.ok();
    law("one revoked");
    server.put("sys/leases/revoke", json!({"lease_id": ids[0]})).await;
    law("one that cannot be");
    server.clock().advance(3600);
    server.sweep().await;
    law("ended");
    try_all(&server).await;
    law("stuck");
    assert_eq!(rows(), [3, 0, 3]);
    vault.count_usage().await.unwrap();
    law("counted anew");
    server.put("sys/leases/revoke-force/pki", json!({})).await.ok();
    law("forced");
    assert_eq!(rows(), [0, 0, 0]);
}

#[tokio::test]
async fn many_leases_that_end_together_end_in_one_round_of_bounded_steps() {
    let server = Server::new().await;
    server.auth("up", "userpass").await;
    let vault = server.vault();
    let leases = Leases::open(vault.barrier());
    let accessor = vault.mounts().table().at("auth/up/").unwrap().mount.accessor.clone();
    let now = warifu::base::Clock::now(server.clock());
    let mut txn = vault.barrier().view().txn();
    for n in 0..1200 {
        let id = format!("auth/up/login/{n:024}");
        let lease = Lease { id, mount_accessor: accessor.clone(), issued: now, expires: now, ..Lease::default() };
        txn.merge(leases.create(&lease).unwrap());
    }
    vault.commit(txn).await.unwrap();
    assert_eq!(server.get("sys/leases/count").await.ok().data()["lease_count"], 1200);
    server.sweep().await;
    assert_eq!(server.get("sys/leases/count").await.ok().data()["lease_count"], 0);
}

#[tokio::test]
async fn a_revocation_that_failed_is_tried_again_later_and_later() {
    let (server, ids) = server(1, 1).await;
    let leases = Leases::open(server.vault().barrier());
    let stored = || leases.get(&ids[0]).unwrap().unwrap();
    server.clock().advance(3600);
    server.sweep().await;
    let mut waits = Vec::new();
    while stored().stuck.is_none() {
        let lease = stored();
        let wait = lease.due.unwrap().as_second() - server.clock().now().as_second();
        waits.push(wait);
        server.clock().advance(wait.unsigned_abs() - 1);
        server.sweep().await;
        assert_eq!(stored().failures, lease.failures, "not before {wait} s are over");
        server.clock().advance(1);
        server.sweep().await;
        assert!(stored().failures > lease.failures, "after {wait} s");
    }
    assert!(waits.is_sorted_by(|a, b| a < b) && waits[0] == 5, "{waits:?}");
    let tries = stored().failures;
    server.clock().advance(86_400);
    server.sweep().await;
    assert_eq!(stored().failures, tries, "what is stuck waits for people");
}

#[tokio::test]
async fn the_older_names_lead_through_the_same_doors() {
    let (server, ids) = server(4, 1).await;
    let all = r#"path "sys/*" { capabilities = ["create", "read", "update", "delete", "list"] }"#;
    server.policy("all-of-sys", all).await;
    let other = server.with(&server.token_of(json!({"policies": ["all-of-sys"]})).await);
    let below = "pki/issue/r";
    for (path, body) in [
        (format!("sys/revoke/{}", ids[1]), json!({})),
        ("sys/revoke".to_owned(), json!({"lease_id": ids[1]})),
        (format!("sys/renew/{}", ids[1]), json!({})),
        (format!("sys/revoke-prefix/{below}"), json!({})),
        (format!("sys/revoke-force/{below}"), json!({})),
    ] {
        server.anonymous().put(&path, body.clone()).await.is(403);
        other.put(&path, body).await.is(403);
    }
    let there = |id: &str| server.put("sys/leases/lookup", json!({"lease_id": id}));
    assert_eq!(there(&ids[1]).await.status, 200);
    server.put(&format!("sys/renew/{}", ids[1]), json!({})).await.refused(400, "lease is not renewable");
    server.put("sys/renew", json!({"lease_id": "pki/issue/r/none"})).await.refused(400, "lease not found");
    server.put("sys/revoke", json!({})).await.refused(400, "lease_id must be specified");
    server.put(&format!("sys/revoke/{}", ids[1]), json!({})).await.is(204);
    server.put("sys/revoke", json!({"lease_id": ids[2]})).await.is(204);
    for id in &ids[1..3] {
        there(id).await.is(400);
    }
    server.put(&format!("sys/revoke-prefix/{below}"), json!({})).await;
    there(&ids[3]).await.is(400);
    assert_eq!(there(&ids[0]).await.status, 200, "its engine cannot take it back");
    server.put(&format!("sys/revoke-force/{below}"), json!({})).await.ok();
    there(&ids[0]).await.is(400);
}

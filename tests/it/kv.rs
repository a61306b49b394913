//! Key/value secrets: what races, what is deleted, what comes back.

use std::sync::Arc;

use serde_json::{Value, json};
use warifu::storage::sqlite::Sqlite;

use crate::server::{Plan, Server, at_once};

async fn race(server: &Server) {
    server.kv("kv", 2).await;
    for round in 0..5 {
        let mut version = 0;
        for _ in 0..4 {
            let calls = (0..32).map(|n| {
                let http = server.http.clone();
                async move {
                    let body = json!({"data": {"writer": n}, "options": {"cas": version}});
                    http.put(&format!("kv/data/{round}"), body).await
                }
            });
            let answers = at_once(calls).await;
            let won: Vec<&Value> = answers.iter().filter(|a| a.status == 200).map(|a| a.data()).collect();
            assert_eq!(won.len(), 1, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
            for lost in answers.iter().filter(|a| a.status != 200) {
                assert!(lost.status == 400 && lost.errors().contains("check-and-set"), "{lost:?}");
            }
            version += 1;
            assert_eq!(won[0]["version"], version);
        }
        let writer = server.get(&format!("kv/data/{round}")).await.ok().data()["data"]["writer"].clone();
        assert!(writer.is_u64());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writers_who_follow_the_same_version_one_wins() {
    race(&Server::new().await).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("store.db")).unwrap();
    race(&Plan::over(Arc::new(store)).ready().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_without_a_version_each_get_one_of_their_own() {
    let server = Server::new().await;
    server.kv("kv", 2).await;
    server.put("kv/config", json!({"max_versions": 1000})).await.ok();
    let calls =
        (0..64).map(|n| {
            let http = server.http.clone();
            async move {
                http.put("kv/data/a", json!({"data": {"writer": n}})).await.ok().data()["version"].as_u64().unwrap()
            }
        });
    let mut versions = at_once(calls).await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=64).collect::<Vec<_>>());
    // Patches of different fields lose nothing of each other.
    server.put("kv/data/p", json!({"data": {}})).await.ok();
    let calls = (0..32).map(|n| {
        let http = server.http.clone();
        async move { http.patch("kv/data/p", json!({"data": {format!("k{n}"): n}})).await.ok() }
    });
    at_once(calls).await;
    assert_eq!(server.get("kv/data/p").await.ok().data()["data"].as_object().unwrap().len(), 32);
}

#[tokio::test]
async fn a_wrong_version_changes_nothing() {
    let server = Server::new().await;
    server.kv("kv", 2).await;
    server.put("kv/data/a", json!({"data": {"k": 1}, "options": {"cas": 1}})).await.is(400);
    server.get("kv/data/a").await.is(404);
    server.put("kv/data/a", json!({"data": {"k": 1}, "options": {"cas": 0}})).await.ok();
    for cas in [json!(0), json!(2), json!(-1), json!("x"), json!(1.5), json!([]), json!({})] {
        server.put("kv/data/a", json!({"data": {"k": 2}, "options": {"cas": cas}})).await.is(400);
        server.patch("kv/data/a", json!({"data": {"k": 2}, "options": {"cas": cas}})).await.is(400);
    }
    assert_eq!(server.get("kv/data/a").await.ok().data()["data"]["k"], 1);
    server.put("kv/config", json!({"cas_required": true})).await.ok();
    server.put("kv/data/a", json!({"data": {"k": 2}})).await.refused(400, "check-and-set");
    server.put("kv/data/a", json!({"data": {"k": 2}, "options": {"cas": 1}})).await.ok();
}

#[tokio::test]
async fn what_is_deleted_comes_back_and_what_is_destroyed_does_not() {
    let server = Server::new().await;
    server.kv("kv", 2).await;
    for n in 1..=3 {
        server.put("kv/data/a", json!({"data": {"k": format!("canary-kv-{n}")}})).await.ok();
    }
    server.delete("kv/data/a").await.is(204);
    let gone = server.get("kv/data/a").await.is(404);
    assert!(!gone.text.contains("canary-kv") && gone.data()["metadata"]["version"] == 3);
    assert_eq!(server.get("kv/data/a?version=2").await.ok().data()["data"]["k"], "canary-kv-2");
    server.put("kv/undelete/a", json!({"versions": [3]})).await.is(204);
    assert_eq!(server.get("kv/data/a").await.ok().data()["data"]["k"], "canary-kv-3");
    server.put("kv/destroy/a", json!({"versions": [2, 3]})).await.is(204);
    server.put("kv/undelete/a", json!({"versions": [2, 3]})).await.is(204);
    for version in [2, 3] {
        server.get(&format!("kv/data/a?version={version}")).await.is(404);
    }
    assert_eq!(server.get("kv/data/a?version=1").await.ok().data()["data"]["k"], "canary-kv-1");
    for body in [json!({}), json!({"versions": []}), json!({"versions": "x"}), json!({"versions": [{}]})] {
        server.put("kv/destroy/a", body).await.is(400);
    }
    server.delete("kv/metadata/a").await.is(204);
    server.get("kv/data/a?version=1").await.is(404);
    server.get("kv/metadata/a").await.is(404);
    // Made again it begins again.
    assert_eq!(server.put("kv/data/a", json!({"data": {}})).await.ok().data()["version"], 1);
}

#[tokio::test]
async fn old_versions_go_and_timed_ones_end_with_the_clock() {
    let server = Server::new().await;
    server.kv("kv", 2).await;
    server.put("kv/metadata/a", json!({"max_versions": 2})).await.ok();
    for n in 1..=4 {
        server.put("kv/data/a", json!({"data": {"k": n}})).await.ok();
    }
    server.get("kv/data/a?version=2").await.is(404);
    server.get("kv/data/a?version=3").await.ok();
    server.put("kv/metadata/t", json!({"delete_version_after": "60s"})).await.ok();
    server.put("kv/data/t", json!({"data": {"k": 1}})).await.ok();
    server.clock().advance(59);
    server.get("kv/data/t").await.ok();
    server.clock().advance(1);
    server.get("kv/data/t").await.is(404);
}

#[tokio::test]
async fn an_unversioned_store_becomes_versioned_whole_and_not_back() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    for n in 0..50 {
        server.put(&format!("kv/folder/{n}"), json!({"k": n})).await.ok();
    }
    server.put("sys/mounts/kv/tune", json!({"options": {"version": "2"}})).await.ok();
    let server = server.crashed().await;
    for n in 0..50 {
        assert_eq!(server.get(&format!("kv/data/folder/{n}")).await.ok().data()["data"]["k"], n);
    }
    assert_eq!(server.list("kv/metadata/folder").await.ok().data()["keys"].as_array().unwrap().len(), 50);
    server.put("kv/data/folder/0", json!({"data": {"k": "new"}, "options": {"cas": 1}})).await.ok();
    assert_eq!(server.get("kv/data/folder/0?version=1").await.ok().data()["data"]["k"], 0);
    server.put("sys/mounts/kv/tune", json!({"options": {"version": "1"}})).await.is(400);
}

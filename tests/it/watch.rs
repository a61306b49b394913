//! Who waits for a change hears of it, and of nothing else.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use warifu::base::limits;
use warifu::config::{Address, ListenerConfig, Tls};
use warifu::storage::faulty::Faulty;
use warifu::storage::memory::Memory;

use crate::http::{Answer, Http};
use crate::server::{Plan, Server};

const READ_SHOP: &str = r#"path "secret/data/shop/*" { capabilities = ["read"] }
    path "plain/shop/*" { capabilities = ["read"] }
    path "pki/cert/ca" { capabilities = ["read"] }"#;

/// A server with secrets, and a client that may read those of its shop.
async fn shop(plan: Plan) -> (Server, Http) {
    let server = plan.ready().await;
    server.kv("secret", 2).await;
    server.kv("plain", 1).await;
    for name in ["shop/a", "shop/b", "bank/a"] {
        server.put(&format!("secret/data/{name}"), json!({"data": {"k": "canary-watch"}})).await.ok();
        server.put(&format!("plain/{name}"), json!({"k": "canary-watch"})).await.ok();
    }
    server.policy("shop", READ_SHOP).await;
    let client = server.with(&server.token_of(json!({"policies": ["shop"]})).await);
    (server, client)
}

/// What the server tells of these paths at once.
async fn versions(http: &Http, paths: &[&str]) -> Value {
    let unknown: serde_json::Map<String, Value> = paths.iter().map(|path| ((*path).to_owned(), Value::Null)).collect();
    http.put("sys/internal/watch", json!({"paths": unknown})).await.ok().data()["changed"].clone()
}

/// Somebody who waits; he does when this is over.
async fn waits(server: &Server, http: &Http, paths: &Value) -> JoinHandle<Answer> {
    let before = server.vault().watching();
    let call = http.put("sys/internal/watch", json!({"paths": paths}));
    let task = tokio::spawn(async move { call.await });
    server.eventually("he waits", || async { server.vault().watching() > before }).await;
    task
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_change_is_told_to_who_waits_for_it_and_to_nobody_else() {
    let (server, client) = shop(Plan::memory()).await;
    let known = versions(&client, &["secret/data/shop/a", "plain/shop/a", "secret/data/shop/new"]).await;
    assert_eq!(known.as_object().unwrap().len(), 3, "what is not there yet has a version too");
    let other = versions(&client, &["secret/data/shop/b", "plain/shop/b"]).await;
    let bystander = waits(&server, &client, &other).await;
    let deeds = [
        ("secret/data/shop/a", server.put("secret/data/shop/a", json!({"data": {"k": "new"}}))),
        ("secret/data/shop/a", server.patch("secret/data/shop/a", json!({"data": {"l": "new"}}))),
        ("secret/data/shop/a", server.delete("secret/data/shop/a")),
        ("secret/data/shop/a", server.put("secret/undelete/shop/a", json!({"versions": [3]}))),
        ("secret/data/shop/a", server.put("secret/destroy/shop/a", json!({"versions": [3]}))),
        ("secret/data/shop/a", server.delete("secret/metadata/shop/a")),
        ("secret/data/shop/new", server.put("secret/data/shop/new", json!({"data": {"k": "first"}}))),
        ("plain/shop/a", server.put("plain/shop/a", json!({"k": "new"}))),
        ("plain/shop/a", server.delete("plain/shop/a")),
    ];
    let mut known = known;
    for (path, deed) in deeds {
        let waiting = waits(&server, &client, &known).await;
        server.put("secret/data/bank/a", json!({"data": {"k": "not his"}})).await.ok();
        deed.await.ok();
        let answer = waiting.await.unwrap().ok();
        let changed = answer.data()["changed"].as_object().unwrap().clone();
        assert_eq!(changed.keys().collect::<Vec<_>>(), [path]);
        assert_ne!(changed[path], known[path]);
        assert!(!answer.text.contains("canary"), "a version says nothing of what lies there");
        known[path] = changed[path].clone();
    }
    assert!(!bystander.is_finished());
    server.clock().advance(limits::WATCH_SECONDS);
    assert_eq!(bystander.await.unwrap().is(204).text, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_before_the_wait_is_told_at_once_and_no_change_is_told_in_time() {
    let (server, client) = shop(Plan::memory()).await;
    let known = versions(&client, &["secret/data/shop/a"]).await;
    server.put("secret/data/shop/a", json!({"data": {"k": "meanwhile"}})).await.ok();
    let answer = client.put("sys/internal/watch", json!({"paths": known})).await.ok();
    assert_ne!(answer.data()["changed"]["secret/data/shop/a"], known["secret/data/shop/a"]);
    let known = &answer.data()["changed"];
    client.put("sys/internal/watch", json!({"paths": known, "wait": 0})).await.is(204);
    // Whoever wants to wait for a day is answered in a minute.
    let waiting = {
        let call = client.put("sys/internal/watch", json!({"paths": known, "wait": "24h"}));
        tokio::spawn(async move { call.await })
    };
    server.eventually("he waits", || async { server.vault().watching() == 1 }).await;
    server.clock().advance(limits::WATCH_SECONDS);
    waiting.await.unwrap().is(204);
    assert_eq!(server.vault().watching(), 0);
    // A restart forgets nothing: the same version is no change.
    let again = server.again().await;
    again.open().await;
    again.with(client.token()).put("sys/internal/watch", json!({"paths": known, "wait": 0})).await.is(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_read_is_not_there_or_cannot_be_watched_is_named_alike() {
    let (server, client) = shop(Plan::memory()).await;
    server.put("sys/mounts/pki", json!({"type": "pki"})).await.ok();
    for path in
        ["secret/data/bank/a", "secret/data/bank/nothing", "nosuch/a", "pki/cert/ca", "secret/data/shop/", "sys/mounts"]
    {
        let answer = client.put("sys/internal/watch", json!({"paths": {path: null}})).await.ok();
        assert_eq!(answer.data(), &json!({"unwatched": [path]}), "{path}");
        // A version that is named is no key to it.
        let answer = client.put("sys/internal/watch", json!({"paths": {path: "guess"}, "wait": 0})).await.ok();
        assert_eq!(answer.data(), &json!({"unwatched": [path]}), "{path}");
    }
    let answer =
        client.put("sys/internal/watch", json!({"paths": {"secret/data/bank/a": null, "secret/data/shop/a": null}}));
    let answer = answer.await.ok();
    assert_eq!(answer.data()["unwatched"], json!(["secret/data/bank/a"]));
    assert_eq!(answer.data()["changed"].as_object().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_his_token_or_his_right_while_he_waits_hears_nothing() {
    let (server, client) = shop(Plan::memory()).await;
    let known = versions(&client, &["secret/data/shop/a"]).await;
    let waiting = waits(&server, &client, &known).await;
    server.put("auth/token/revoke", json!({"token": client.token()})).await.ok();
    waiting.await.unwrap().is(403);

    let client = server.with(&server.token_of(json!({"policies": ["shop"]})).await);
    let waiting = waits(&server, &client, &known).await;
    server.policy("shop", r#"path "plain/*" { capabilities = ["read"] }"#).await;
    server.put("secret/data/shop/a", json!({"data": {"k": "not for him"}})).await.ok();
    assert_eq!(waiting.await.unwrap().ok().data(), &json!({"unwatched": ["secret/data/shop/a"]}));

    server.policy("shop", READ_SHOP).await;
    let known = versions(&client, &["plain/shop/a"]).await;
    let waiting = waits(&server, &client, &known).await;
    server.delete("sys/mounts/plain").await.ok();
    server.sweep().await;
    assert_eq!(waiting.await.unwrap().ok().data(), &json!({"unwatched": ["plain/shop/a"]}));

    // Without the policy that admits it, and without a token, nobody waits.
    let bare = server.token_of(json!({"policies": ["shop"], "no_default_policy": true})).await;
    server.with(&bare).put("sys/internal/watch", json!({"paths": {"secret/data/shop/a": null}})).await.is(403);
    server.anonymous().put("sys/internal/watch", json!({"paths": {"secret/data/shop/a": null}})).await.is(403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_bounded_and_free_again_when_a_client_goes() {
    let (server, client) = shop(Plan::memory()).await;
    let known = versions(&client, &["secret/data/shop/a"]).await;
    let mut all = Vec::new();
    for _ in 0..limits::WATCHES_OF_TOKEN {
        all.push(waits(&server, &client, &known).await);
    }
    client.put("sys/internal/watch", json!({"paths": known, "wait": 0})).await.is(429);
    // Another's places are his own.
    let other = server.with(&server.token_of(json!({"policies": ["shop"]})).await);
    other.put("sys/internal/watch", json!({"paths": known, "wait": 0})).await.is(204);
    for task in &all {
        task.abort();
    }
    server.eventually("the places are free", || async { server.vault().watching() == 0 }).await;
    client.put("sys/internal/watch", json!({"paths": known, "wait": 0})).await.is(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_makes_no_sense_is_refused_without_its_content() {
    let (_server, client) = shop(Plan::memory()).await;
    let many: serde_json::Map<String, Value> =
        (0..=limits::WATCH_PATHS).map(|n| (format!("secret/data/shop/{n}"), Value::Null)).collect();
    for body in [
        json!({}),
        json!({"paths": {}}),
        json!({"paths": ["canary"]}),
        json!({"paths": "canary"}),
        json!({"paths": {"secret/data/shop/a": 7}}),
        json!({"paths": {"secret/data/shop/a": {"canary": 1}}}),
        json!({"paths": {"../canary": null}}),
        json!({"paths": many}),
        json!({"paths": {"secret/data/shop/a": null}, "wait": -1}),
        json!({"paths": {"secret/data/shop/a": null}, "wait": "canary"}),
    ] {
        let answer = client.put("sys/internal/watch", body).await.is(400);
        assert!(!answer.text.contains("canary"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_store_while_he_waits_whatever_others_write() {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let (server, client) = shop(Plan::over(faulty.clone())).await;
    let known = versions(&client, &["secret/data/shop/a", "plain/shop/a"]).await;
    server.put("plain/bank/a", json!({"k": "warm"})).await.ok();
    let cost = |n: usize| {
        let (server, faulty) = (&server, faulty.clone());
        async move {
            let before = faulty.operations();
            for _ in 0..n {
                server.put("plain/bank/a", json!({"k": "other"})).await.ok();
            }
            faulty.operations() - before
        }
    };
    let alone = cost(20).await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let client = server.with(&server.token_of(json!({"policies": ["shop"]})).await);
        for _ in 0..limits::WATCHES_OF_TOKEN {
            waiting.push(waits(&server, &client, &known).await);
        }
    }
    let beside = cost(20).await;
    // The server's own rounds are among them; one operation for each who waits and each write would be eight hundred.
    assert!(beside < alone + 20, "forty who wait cost no operation: {alone}, {beside}");
    server.put("plain/shop/a", json!({"k": "theirs"})).await.ok();
    for one in waiting {
        assert!(one.await.unwrap().ok().data()["changed"]["plain/shop/a"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_lets_all_go_who_wait_and_does_not_wait_for_them() {
    let (server, client) = shop(Plan::memory()).await;
    let known = versions(&client, &["secret/data/shop/a"]).await;
    let waiting = waits(&server, &client, &known).await;
    server.put("sys/seal", json!({})).await.ok();
    waiting.await.unwrap().is(503);
    assert_eq!(server.get("sys/health").await.status, 503);
    server.open().await;
    client.put("sys/internal/watch", json!({"paths": known, "wait": 0})).await.is(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_on_record_once_with_its_paths_and_without_what_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = shop(Plan { audit_folder: Some(folder.path().to_owned()), ..Plan::memory() }).await;
    let options = json!({"file_path": folder.path().join("a.log")});
    server.put("sys/audit/file", json!({"type": "file", "options": options})).await.ok();
    let known = versions(&client, &["secret/data/shop/a"]).await;
    let read = || std::fs::read_to_string(folder.path().join("a.log")).unwrap();
    server.vault().audit().flush().await;
    let before = read().lines().count();
    let waiting = waits(&server, &client, &known).await;
    server.clock().advance(limits::WATCH_SECONDS);
    waiting.await.unwrap().is(204);
    server.vault().audit().flush().await;
    let text = read();
    let entries: Vec<Value> = text.lines().skip(before).map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["request", "response"]);
    assert_eq!(entries[0]["request"]["path"], "sys/internal/watch");
    assert!(entries[0]["request"]["data"]["paths"]["secret/data/shop/a"].as_str().unwrap().starts_with("hmac-sha256:"));
    assert!(entries[0]["auth"]["accessor"].is_string());
    assert!(!text.contains(known["secret/data/shop/a"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_that_a_request_may_take_is_not_counted_while_it_waits() {
    let address = Address::from("127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap());
    let short = Duration::from_millis(300);
    let rules = ListenerConfig { tls: Tls::Disabled, max_request_duration: short, ..ListenerConfig::new(address) };
    let (server, client) = shop(Plan { rules, ..Plan::memory() }).await;
    let known = versions(&client, &["secret/data/shop/a"]).await;
    let waiting = waits(&server, &client, &known).await;
    // Real time: the listener's bounds are not on the hand of the test.
    tokio::time::sleep(2 * short).await;
    server.put("secret/data/shop/a", json!({"data": {"k": "late"}})).await.ok();
    assert!(waiting.await.unwrap().ok().data()["changed"].is_object());
}

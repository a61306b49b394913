//! Clients counted by month: who they are, where they came from, and that a crash forgets none who comes again.

use serde_json::{Value, json};

use crate::http::Http;
use crate::server::{Plan, Server};

const DAY: u64 = 86_400;

/// A user of userpass, who logs in: an entity.
async fn user(server: &Server, name: &str) -> Http {
    server.put(&format!("auth/up/users/{name}"), json!({"password": "p", "token_period": "90d"})).await.ok();
    let login = server.anonymous().put(&format!("auth/up/login/{name}"), json!({"password": "p"})).await.ok();
    server.with(login.auth()["client_token"].as_str().unwrap())
}

async fn monthly(server: &Server) -> Value {
    server.get("sys/internal/counters/activity/monthly").await.ok().data().clone()
}

/// Clients, entities, others.
fn three(counts: &Value) -> [u64; 3] {
    ["clients", "entity_clients", "non_entity_clients"].map(|name| counts[name].as_u64().unwrap())
}

#[tokio::test]
async fn a_client_counts_once_however_often_and_with_however_many_tokens_it_comes() {
    let server = Server::new().await;
    server.auth("up", "userpass").await;
    assert_eq!(three(&monthly(&server).await), [0, 0, 0], "root is nobody in particular");
    for _ in 0..3 {
        user(&server, "ann").await.get("auth/token/lookup-self").await.ok();
    }
    user(&server, "bob").await.get("auth/token/lookup-self").await.ok();
    for policies in [json!(["one", "two"]), json!(["two", "one"]), json!(["three"])] {
        let token = server.token_of(json!({"policies": policies})).await;
        server.with(&token).get("auth/token/lookup-self").await.ok();
    }
    // Who only unwraps is none, and a refused token is none.
    let wrapped = server.get("auth/token/lookup-self").wrapped("1m").await.ok().wrapping_token();
    server.with(&wrapped).put("sys/wrapping/unwrap", json!({})).await.ok();
    server.with("hvs.nobody").get("auth/token/lookup-self").await.is(403);
    let now = monthly(&server).await;
    assert_eq!(three(&now), [4, 2, 2]);
    let of = |path: &str| {
        let mounts = now["by_namespace"][0]["mounts"].as_array().unwrap();
        three(&mounts.iter().find(|m| m["mount_path"] == path).unwrap()["counts"])
    };
    assert_eq!((of("auth/up/"), of("auth/token/")), ([2, 2, 0], [2, 0, 2]));
    server.delete("sys/auth/up").await.is(204);
    let now = monthly(&server).await;
    assert_eq!(three(&now), [4, 2, 2], "they were here, whatever became of the mount");
    let mounts = now["by_namespace"][0]["mounts"].as_array().unwrap();
    assert!(mounts.iter().any(|m| m["mount_path"].as_str().unwrap().starts_with("deleted mount")), "{now}");
}

#[tokio::test]
async fn each_month_has_its_own_clients_and_the_span_counts_each_once() {
    let server = Server::new().await;
    server.auth("up", "userpass").await;
    let (ann, bob) = (user(&server, "ann").await, user(&server, "bob").await);
    ann.get("auth/token/lookup-self").await.ok();
    // The clock stands at the first of January 2026; the session goes on over the turn of the month.
    server.clock().advance(31 * DAY);
    ann.get("auth/token/lookup-self").await.ok();
    bob.get("auth/token/lookup-self").await.ok();
    let report = server.get("sys/internal/counters/activity?start_time=2025-12-15T00:00:00Z").await.ok().data().clone();
    assert_eq!(report["start_time"], "2025-12-01T00:00:00Z");
    assert_eq!(report["end_time"], "2026-02-28T23:59:59Z");
    assert_eq!(three(&report["total"]), [2, 2, 0]);
    let months = report["months"].as_array().unwrap();
    assert_eq!(months.len(), 3);
    assert_eq!(months[0]["counts"], Value::Null);
    assert_eq!((three(&months[1]["counts"]), three(&months[1]["new_clients"]["counts"])), ([1, 1, 0], [1, 1, 0]));
    assert_eq!((three(&months[2]["counts"]), three(&months[2]["new_clients"]["counts"])), ([2, 2, 0], [1, 1, 0]));
    let january = "sys/internal/counters/activity?start_time=1767225600&end_time=1769000000";
    assert_eq!(three(&server.get(january).await.ok().data()["total"]), [1, 1, 0]);
    for (query, words) in [
        ("start_time=yesterday", "field 'start_time'"),
        ("end_time=2026-99-01", "field 'end_time'"),
        ("start_time=2026-02-01T00:00:00Z&end_time=2026-01-01T00:00:00Z", "start_time is later than end_time"),
    ] {
        server.get(&format!("sys/internal/counters/activity?{query}")).await.refused(400, words);
    }
}

#[tokio::test]
async fn each_client_of_the_span_is_exported_once_to_who_has_sudo() {
    let server = Server::new().await;
    server.auth("up", "userpass").await;
    let (ann, _) = (user(&server, "ann").await, user(&server, "bob").await);
    ann.get("auth/token/lookup-self").await.ok();
    server.policy("reader", r#"path "sys/internal/*" { capabilities = ["read"] }"#).await;
    let reader = server.token_of(json!({"policies": ["reader"]})).await;
    let path = "sys/internal/counters/activity/export";
    server.get(path).by(&reader).await.is(403);
    server.get(&format!("{path}?format=xml")).await.refused(400, "field 'format'");
    let text = server.get(path).await.ok().text;
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| rows.iter().filter(|r| r["client_type"] == kind).collect::<Vec<_>>();
    assert_eq!((rows.len(), of("entity").len(), of("non-entity-token").len()), (2, 1, 1), "{text}");
    let entity = of("entity")[0];
    assert_eq!((&entity["mount_path"], &entity["mount_type"]), (&json!("auth/up/"), &json!("userpass")));
    assert_eq!(entity["client_first_used_time"], "2026-01-01T00:00:00Z");
    let csv = server.get(&format!("{path}?format=csv")).await.ok();
    assert_eq!(csv.header("content-type"), "text/csv");
    assert_eq!(csv.text.lines().count(), 3);
    assert!(csv.text.starts_with("entity_name,client_id,client_type,"), "{}", csv.text);
    let none = server.get(&format!("{path}?start_time=2025-01-01T00:00:00Z&end_time=2025-12-01T00:00:00Z")).await.ok();
    assert_eq!(none.text, "");
}

#[tokio::test]
async fn who_was_written_down_outlives_a_crash_and_who_was_not_comes_again() {
    let server = Server::new().await;
    server.auth("up", "userpass").await;
    let (ann, bob) = (user(&server, "ann").await, user(&server, "bob").await);
    ann.get("auth/token/lookup-self").await.ok();
    server.vault().write_clients().await.unwrap();
    bob.get("auth/token/lookup-self").await.ok();
    let server = server.crashed().await;
    assert_eq!(three(&monthly(&server).await), [1, 1, 0]);
    server.with(bob.token()).get("auth/token/lookup-self").await.ok();
    server.with(ann.token()).get("auth/token/lookup-self").await.ok();
    assert_eq!(three(&monthly(&server).await), [2, 2, 0]);
    // A seal is no crash.
    user(&server, "eve").await.get("auth/token/lookup-self").await.ok();
    server.put("sys/seal", json!({})).await.ok();
    server.eventually("it is sealed", || async { server.get("sys/seal-status").await.json["sealed"] == true }).await;
    let again = server.again().await;
    server.eventually("the keys are gone", || async { server.node.vault().is_err() }).await;
    again.open().await;
    assert_eq!(three(&monthly(&again).await), [3, 3, 0]);
}

#[tokio::test]
async fn reading_writes_nothing() {
    let server = Server::new().await;
    server.auth("up", "userpass").await;
    let ann = user(&server, "ann").await;
    ann.get("auth/token/lookup-self").await.ok();
    server.vault().write_clients().await.unwrap();
    let before = server.plan.storage.position().unwrap();
    for _ in 0..20 {
        ann.get("auth/token/lookup-self").await.ok();
        user(&server, "ann").await;
    }
    let logins = 20 * 2;
    assert_eq!(server.plan.storage.position().unwrap() - before, logins, "a user written and a login each, no more");
    server.vault().write_clients().await.unwrap();
    assert_eq!(server.plan.storage.position().unwrap() - before, logins, "she is written down already");
}

#[tokio::test]
async fn counting_can_be_turned_off_and_forgets_what_is_too_old() {
    let server = Server::new().await;
    server.auth("up", "userpass").await;
    let config = server.get("sys/internal/counters/config").await.ok().data().clone();
    assert_eq!((&config["enabled"], &config["retention_months"]), (&json!("default-enabled"), &json!(48)));
    for (field, value) in
        [("enabled", json!("maybe")), ("retention_months", json!(121)), ("default_report_months", json!(0))]
    {
        let answer = server.put("sys/internal/counters/config", json!({field: value})).await;
        answer.refused(400, &format!("field '{field}'"));
    }
    let ann = user(&server, "ann").await;
    ann.get("auth/token/lookup-self").await.ok();
    assert_eq!(three(&monthly(&server).await), [1, 1, 0]);
    server.put("sys/internal/counters/config", json!({"enabled": "disable", "retention_months": 1})).await.ok();
    user(&server, "bob").await.get("auth/token/lookup-self").await.ok();
    assert_eq!(three(&monthly(&server).await), [1, 1, 0]);
    server.put("sys/internal/counters/config", json!({"enabled": "enable"})).await.ok();
    assert_eq!(server.get("sys/internal/counters/config").await.ok().data()["enabled"], "enable");
    server.clock().advance(62 * DAY);
    server
        .eventually("ann is forgotten", || async {
            server.clock().advance(10);
            server.get("sys/internal/counters/config").await.ok().data()["queries_available"] == false
        })
        .await;
}

#[tokio::test]
async fn requests_are_counted_no_more_as_in_vault() {
    let server = Server::new().await;
    server.get("sys/internal/counters/requests").await.refused(404, "functionality has been removed");
}

#[tokio::test]
async fn how_paths_lead_to_the_store_is_told_only_where_the_configuration_says_so() {
    let server = Server::new().await;
    server.get("sys/internal/inspect/router/uuid").await.is(404);
    let facts = warifu::system::Facts { introspection: true, ..Default::default() };
    let server = Plan { facts, ..Plan::memory() }.ready().await;
    server.policy("reader", r#"path "sys/internal/*" { capabilities = ["read"] }"#).await;
    let reader = server.token_of(json!({"policies": ["reader"]})).await;
    server.get("sys/internal/inspect/router/uuid").by(&reader).await.is(403);
    server.get("sys/internal/inspect/router/color").await.refused(400, "field 'tag'");
    server.kv("kv", 1).await;
    let accessor = server.get("sys/mounts/kv").await.ok().data()["accessor"].clone();
    for tag in ["root", "uuid", "accessor", "storage"] {
        let answer = server.get(&format!("sys/internal/inspect/router/{tag}")).await.ok();
        let records = answer.data()[tag].as_array().unwrap();
        let kv = records.iter().find(|r| r["mount_path"] == "kv/").unwrap();
        assert_eq!(kv["accessor"], accessor);
        let uuid = kv["uuid"].as_str().unwrap();
        assert_eq!(kv["storage_prefix"], format!("data/{uuid}/"));
    }
}

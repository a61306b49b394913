//! What a scraper sees, with and without a token, and that it sees nothing secret.

use serde_json::json;

use crate::server::{Plan, Server};

pub fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    let line = line.unwrap_or_else(|| panic!("{name} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn scrape(server: &Server) -> String {
    server.get("sys/metrics?format=prometheus").await.ok().text
}

#[tokio::test]
async fn without_a_token_metrics_are_shown_only_where_the_listener_says_so() {
    let mut server = Server::new().await;
    server.anonymous().get("sys/metrics").await.is(403);
    server.with("hvs.nobody").get("sys/metrics?format=prometheus").await.is(403);
    server.get("sys/metrics?format=weird").await.is(400);
    server = {
        let mut plan = Plan::memory();
        plan.rules.unauthenticated_metrics_access = true;
        plan.start().await
    };
    // Also while there is nothing to open yet.
    let text = server.anonymous().get("sys/metrics?format=prometheus").await.ok().text;
    assert_eq!(value(&text, "vault_core_unsealed"), 0.0);
    server.init(1, 1).await;
    server.open().await;
    let text = server.anonymous().get("sys/metrics?format=prometheus").await.ok().text;
    assert_eq!(value(&text, "vault_core_unsealed"), 1.0);
    server.anonymous().get("sys/metrics?format=weird").await.is(400);
    // Only reading is open.
    server.anonymous().put("sys/metrics", json!({})).await.is(403);
}

#[tokio::test]
async fn the_names_that_dashboards_ask_for_are_there_and_count() {
    let server = Server::new().await;
    server.kv("secret", 2).await;
    server.auth("up", "userpass").await;
    server.put("auth/up/users/ann", json!({"password": "canary-pw", "token_ttl": "1h"})).await.ok();
    for _ in 0..3 {
        server.anonymous().put("auth/up/login/ann", json!({"password": "canary-pw"})).await.ok();
    }
    server.put("secret/data/canary-path", json!({"data": {"k": "canary-value"}})).await.ok();
    server.get("secret/data/canary-path").await.ok();
    server.vault().count_usage().await.unwrap();
    let text = scrape(&server).await;
    for name in [
        "vault_core_active",
        "vault_core_handle_request_count",
        "vault_core_handle_login_request_count",
        "vault_core_fetch_acl_and_token_count",
        "vault_core_check_token_count",
        "vault_core_in_flight_requests",
        "vault_core_mount_table_num_entries",
        "vault_audit_log_request_count",
        "vault_audit_log_request_failure",
        "vault_audit_log_response_failure",
        "vault_barrier_get_count",
        "vault_barrier_list_count",
        "vault_barrier_put_count",
        "vault_expire_num_leases",
        "vault_expire_num_irrevocable_leases",
        "vault_expire_revoke_count",
        "vault_identity_num_entities",
        "vault_route_read_secret__count",
        "vault_runtime_alloc_bytes",
        "vault_runtime_num_goroutines",
        "vault_runtime_sys_bytes",
        "vault_token_count",
        "vault_token_count_by_auth",
        "vault_token_count_by_policy",
        "vault_token_count_by_ttl",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        value(&text, name);
    }
    assert_eq!(value(&text, "vault_core_handle_login_request_count"), 3.0);
    assert_eq!(value(&text, "vault_token_creation"), 3.0);
    assert_eq!(value(&text, "vault_expire_num_leases"), 3.0);
    assert_eq!(value(&text, "vault_identity_num_entities"), 1.0);
    assert_eq!(value(&text, "vault_token_count"), 4.0, "root and three");
    assert!(text.contains("vault_token_count_by_ttl{creation_ttl=\"1h\""), "{text}");
    let json = server.get("sys/metrics").await.ok();
    for text in [&text, &json.text] {
        assert!(!text.contains("canary"), "{text}");
        assert!(!text.contains(server.token()), "a token");
    }
    assert!(json.json["Gauges"].as_array().unwrap().len() > 5, "{json:?}");
    assert!(json.json["Samples"].as_array().unwrap().len() > 5, "{json:?}");
}

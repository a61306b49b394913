//! What a client of Vault expects under `sys/`, one by one: each is asked for by its own name, and answers with what that says.

use serde_json::{Value, json};

use crate::http::Answer;
use crate::server::{Plan, Server};

/// A request, its status, and a place in the answer that must hold something.
struct Case(&'static str, &'static str, Value, u16, &'static str);

fn cases() -> Vec<Case> {
    let none = || json!({});
    let read = |path, place| Case("GET", path, json!({}), 200, place);
    let list = |path, place| Case("LIST", path, json!({}), 200, place);
    let write = |path, body, place| Case("PUT", path, body, 200, place);
    let done = |path, body| Case("PUT", path, body, 204, "");
    let gone = |path| Case("DELETE", path, json!({}), 204, "");
    let shape = json!({"secret_shares": 1, "secret_threshold": 1});
    vec![
        // Rekey and generate-root: begun, looked at, given up.
        write("sys/rekey/init", shape, "/nonce"),
        read("sys/rekey/init", "/started"),
        gone("sys/rekey/init"),
        write("sys/generate-root/attempt", none(), "/otp"),
        read("sys/generate-root/attempt", "/nonce"),
        gone("sys/generate-root/attempt"),
        read("sys/key-status", "/data/term"),
        done("sys/rotate", none()),
        done("sys/rotate/config", json!({"interval": "48h", "max_operations": 2_000_000})),
        read("sys/rotate/config", "/data/max_operations"),
        // Mounts and auth.
        read("sys/mounts", "/data/kv~1/accessor"),
        read("sys/mounts/kv", "/data/uuid"),
        read("sys/mounts/kv/tune", "/data/max_lease_ttl"),
        done("sys/mounts/kv/tune", json!({"max_lease_ttl": "99h"})),
        read("sys/auth", "/data/up~1/accessor"),
        read("sys/auth/up", "/data/type"),
        read("sys/auth/up/tune", "/data/token_type"),
        write("sys/remount", json!({"from": "kv", "to": "moved"}), "/migration_id"),
        write("sys/remount", json!({"from": "moved", "to": "kv"}), "/migration_id"),
        // Policies, by both names, and those of passwords.
        done("sys/policies/acl/p", json!({"policy": "path \"a\" { capabilities = [\"read\"] }"})),
        read("sys/policies/acl/p", "/data/policy"),
        list("sys/policies/acl", "/data/keys"),
        read("sys/policy/p", "/data/rules"),
        read("sys/policy", "/data/policies"),
        done("sys/policy/q", json!({"policy": "path \"a\" { capabilities = [\"read\"] }"})),
        gone("sys/policy/q"),
        done(
            "sys/policies/password/w",
            json!({"policy": "length = 20\nrule \"charset\" { charset = \"abcdefghij\" }"}),
        ),
        read("sys/policies/password/w/generate", "/data/password"),
        // Capabilities.
        write("sys/capabilities-self", json!({"paths": ["a"]}), "/data/a/0"),
        write("sys/capabilities", json!({"paths": ["a"], "token": "ROOT"}), "/data/a/0"),
        write("sys/capabilities-accessor", json!({"paths": ["a"], "accessor": "ACCESSOR"}), "/data/a/0"),
        // Leases.
        read("sys/leases/count", "/data/lease_count"),
        read("sys/leases?type=irrevocable", "/data/leases"),
        Case("PUT", "sys/leases/tidy", none(), 202, "/warnings/0"),
        list("sys/leases/lookup/auth/up/login", "/data/keys"),
        done("sys/leases/revoke-prefix/none/at/all", none()),
        done("sys/leases/revoke-force/none/at/all", none()),
        done("sys/revoke-prefix/none/at/all", none()),
        done("sys/revoke-force/none/at/all", none()),
        // Audit.
        done(
            "sys/audit/a",
            json!({"type": "file", "options": {"file_path": "discard", "log_raw": "true", "hmac_accessor": "false", "prefix": "x ", "mode": "0640"}}),
        ),
        read("sys/audit", "/data/a~1/options/prefix"),
        write("sys/audit-hash/a", json!({"input": "x"}), "/data/hash"),
        gone("sys/audit/a"),
        done("sys/audit/o", json!({"type": "file", "options": {"file_path": "stdout"}})),
        gone("sys/audit/o"),
        done("sys/config/auditing/request-headers/x-told", json!({"hmac": true})),
        read("sys/config/auditing/request-headers/x-told", "/x-told/hmac"),
        read("sys/config/auditing/request-headers", "/data/headers"),
        gone("sys/config/auditing/request-headers/x-told"),
        // Browsers.
        done("sys/config/cors", json!({"allowed_origins": ["https://a.test"]})),
        read("sys/config/cors", "/enabled"),
        gone("sys/config/cors"),
        write("sys/config/ui/headers/x-a", json!({"values": ["b"]}), ""),
        read("sys/config/ui/headers/x-a", "/data/value"),
        // Limits.
        done("sys/quotas/rate-limit/q", json!({"path": "kv/", "rate": 100_000})),
        read("sys/quotas/rate-limit/q", "/data/rate"),
        list("sys/quotas/rate-limit", "/data/keys"),
        read("sys/quotas/config", "/data/enable_rate_limit_response_headers"),
        gone("sys/quotas/rate-limit/q"),
        read("sys/locked-users", "/data/total"),
        // What operators look at.
        read("sys/host-info", "/data/host"),
        read("sys/in-flight-req", ""),
        read("sys/internal/counters/tokens", "/data/counters/service_tokens/total"),
        read("sys/internal/counters/entities", "/data/counters/entities/total"),
        read("sys/internal/counters/activity", ""),
        read("sys/internal/counters/config", "/data/enabled"),
        read("sys/internal/ui/mounts", "/data/secret"),
        read("sys/internal/ui/mounts/kv", "/data/accessor"),
        read("sys/internal/ui/resultant-acl", "/data/root"),
        read("sys/internal/ui/namespaces", ""),
        read("sys/internal/specs/openapi", "/openapi"),
        read("sys/mounts?help=1", "/help"),
        list("sys/version-history", "/data/keys"),
        read("sys/ha-status", "/data/nodes"),
        read("sys/config/state/sanitized", "/data"),
        read("sys/metrics", "/Gauges"),
        read("sys/replication/status", "/data/dr/mode"),
        read("sys/plugins/catalog", "/data/secret"),
        list("sys/plugins/catalog/auth", "/data/keys"),
        // Tools and wrapping.
        write("sys/tools/hash", json!({"input": "eA=="}), "/data/sum"),
        write("sys/tools/random/16", none(), "/data/random_bytes"),
        read("sys/health", "/initialized"),
        read("sys/leader", "/ha_enabled"),
        read("sys/seal-status", "/sealed"),
        done("sys/step-down", none()),
    ]
}

#[tokio::test]
async fn every_endpoint_that_clients_and_operators_reach_for_answers_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = Plan { audit_folder: Some(folder.path().to_owned()), ..Plan::memory() }.ready().await;
    server.kv("kv", 1).await;
    server.auth("up", "userpass").await;
    server.put("auth/up/users/u", json!({"password": "p"})).await.ok();
    server.anonymous().put("auth/up/login/u", json!({"password": "p"})).await.ok();
    let accessor = server.get("auth/token/lookup-self").await.ok().data()["accessor"].as_str().unwrap().to_owned();
    let mut faults = Vec::new();
    for Case(method, path, body, status, place) in cases() {
        let body = body.to_string().replace("ROOT", server.token()).replace("ACCESSOR", &accessor);
        let answer: Answer = server.call(method, path).bytes(body).await;
        let told = answer.json.pointer(place).is_some_and(|value| !value.is_null());
        if answer.status != status || !(place.is_empty() || told) {
            faults.push(format!("{method} {path}, for {status} and '{place}': {} {}", answer.status, answer.text));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let metrics = server.get("sys/metrics?format=prometheus").await.ok();
    assert!(metrics.text.contains("vault_core_unsealed"), "{metrics:?}");
}

/// What is left out deliberately is a clean answer, and never a fault.
#[tokio::test]
async fn what_is_left_out_is_told_so() {
    let server = Server::new().await;
    let mut faults = Vec::new();
    for path in [
        "sys/storage/raft/configuration",
        "sys/replication/dr/primary/enable",
        "sys/namespaces/a",
        "sys/license/status",
        "sys/plugins/pins",
        "sys/managed-keys/pkcs11/a",
        "sys/control-group/request",
        "sys/policies/egp/a",
        "sys/quotas/lease-count/a",
        "sys/sync/destinations",
        "sys/pprof/heap",
        "sys/config/reload/license",
    ] {
        for method in ["GET", "PUT", "DELETE", "LIST"] {
            let answer = server.call(method, path).json(&json!({"type": "x"})).await;
            if !matches!(answer.status, 400 | 404 | 405) || !answer.json["errors"].is_array() {
                faults.push(format!("{method} {path}: {} {}", answer.status, answer.text));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    for kind in ["socket", "syslog"] {
        server
            .put("sys/audit/a", json!({"type": kind, "options": {"address": "127.0.0.1:1"}}))
            .await
            .refused(400, "audit type");
    }
    let pgp = json!({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["a"]});
    server.put("sys/rekey/init", pgp).await.is(400);
    server.get("sys/raw/core/keyring").await.is(404);
}

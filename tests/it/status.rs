//! What operators look at and set: the node, its history, its door, its keyring's clock.

use serde_json::json;

use crate::server::{Plan, Server};

#[tokio::test]
async fn versions_and_counts_are_those_of_the_store() {
    let server = Server::new().await;
    server
        .eventually("the version is noted", || async { server.list("sys/version-history").await.status == 200 })
        .await;
    let history = server.list("sys/version-history").await.ok();
    assert_eq!(history.data()["keys"], json!([warifu::API_VERSION]));
    assert_eq!(history.data()["key_info"][warifu::API_VERSION]["previous_version"], json!(null));
    let counted = |path: &'static str, kind: &'static str| {
        let http = server.http.clone();
        async move { http.get(path).await.ok().data()["counters"][kind]["total"].as_u64().unwrap() }
    };
    assert_eq!(counted("sys/internal/counters/tokens", "service_tokens").await, 1);
    assert_eq!(counted("sys/internal/counters/entities", "entities").await, 0);
    server.token_of(json!({})).await;
    server.auth("up", "userpass").await;
    server.put("auth/up/users/ann", json!({"password": "p"})).await.ok();
    server.anonymous().put("auth/up/login/ann", json!({"password": "p"})).await.ok();
    assert_eq!(counted("sys/internal/counters/tokens", "service_tokens").await, 3);
    assert_eq!(counted("sys/internal/counters/entities", "entities").await, 1);
    let server = server.crashed().await;
    assert_eq!(server.list("sys/version-history").await.ok().data()["keys"], json!([warifu::API_VERSION]));
}

#[tokio::test]
async fn a_request_is_seen_while_it_is_at_work() {
    let server = Server::new().await;
    let seen = server.get("sys/in-flight-req").await.ok();
    let flights = seen.json.as_object().unwrap();
    assert_eq!(flights.len(), 1, "{seen:?}");
    let own = flights.values().next().unwrap();
    assert_eq!(own["request_path"], "/v1/sys/in-flight-req");
    assert!(own["client_remote_address"].as_str().unwrap().starts_with("127.0.0.1:"), "{own}");
    assert!(!seen.text.contains(server.token()));
}

#[tokio::test]
async fn a_keyring_gets_a_new_term_when_its_time_has_come() {
    let server = Server::new().await;
    server.put("sys/rotate/config", json!({"max_operations": 5})).await.is(400);
    server.put("sys/rotate/config", json!({"interval": "1h"})).await.is(400);
    server.put("sys/rotate/config", json!({"interval": "24h"})).await.ok();
    let term = || async { server.get("sys/key-status").await.ok().data()["term"].as_u64().unwrap() };
    let used = server.get("sys/key-status").await.ok().data()["encryptions"].as_u64().unwrap();
    assert!(used > 0, "encryptions are counted");
    server.clock().advance(86_399);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(term().await, 1);
    server.clock().advance(1);
    server
        .eventually("the keyring has a new term", || async {
            server.clock().advance(1);
            term().await == 2
        })
        .await;
    // What was written under the old term is read under the new one.
    server.get("sys/mounts").await.ok();
    assert_eq!(term().await, 2);
}

#[tokio::test]
async fn what_can_be_mounted_is_listed_and_nothing_can_be_added() {
    let server = Server::new().await;
    let catalog = server.get("sys/plugins/catalog").await.ok();
    assert!(catalog.data()["secret"].as_array().unwrap().contains(&json!("kv")), "{catalog:?}");
    assert!(catalog.data()["auth"].as_array().unwrap().contains(&json!("userpass")), "{catalog:?}");
    server.get("sys/plugins/catalog/secret/kv").await.ok();
    server.get("sys/plugins/catalog/secret/nothing").await.is(404);
    server.list("sys/plugins/catalog/other").await.is(400);
    server.put("sys/plugins/catalog/secret/evil", json!({"command": "evil", "sha256": "00"})).await.is(405);
}

#[tokio::test]
async fn password_policies_make_passwords_that_meet_them() {
    let server = Server::new().await;
    let text =
        "length = 24\nrule \"charset\" { charset = \"abc\" }\nrule \"charset\" { charset = \"01\" min-chars = 3 }";
    server.put("sys/policies/password/Mine", json!({"policy": text})).await.ok();
    for name in ["mine", "MINE"] {
        let made = server.get(&format!("sys/policies/password/{name}/generate")).await.ok();
        let password = made.data()["password"].as_str().unwrap().to_owned();
        assert!(password.len() == 24 && password.chars().filter(char::is_ascii_digit).count() >= 3, "{password}");
    }
    assert_eq!(server.list("sys/policies/password").await.ok().data()["keys"], json!(["mine"]));
    server.put("sys/policies/password/bad", json!({"policy": "length = 24"})).await.is(400);
}

#[tokio::test]
async fn the_configuration_is_told_without_its_secrets() {
    let config = "storage \"inmem\" {}\nlistener \"tcp\" { address = \"127.0.0.1:8200\" tls_cert_file = \"/canary/cert\" tls_key_file = \"/canary/key\" }\n";
    let (config, _) = warifu::config::Config::parse("c.hcl", config, std::path::Path::new("s.db")).unwrap();
    let facts = warifu::system::Facts { config: config.sanitized(), ..Default::default() };
    let server = Plan { facts, ..Plan::memory() }.ready().await;
    let told = server.get("sys/config/state/sanitized").await.ok();
    assert_eq!(told.data()["listeners"][0]["config"]["address"], "127.0.0.1:8200");
    assert!(!told.text.contains("canary"), "{told:?}");
    let plain = server.token_of(json!({"policies": ["default"]})).await;
    server.with(&plain).get("sys/config/state/sanitized").await.is(403);
}

#[tokio::test]
async fn the_description_of_the_api_is_whole_and_made_from_the_routes() {
    let server = Server::new().await;
    crate::paths::mount_all(&server).await;
    let spec = server.get("sys/internal/specs/openapi").await.ok().json;
    assert_eq!(spec["openapi"], "3.0.2");
    let paths = spec["paths"].as_object().unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in paths {
        let declared: Vec<&str> = item["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|p| {
                assert!(p["in"] == "path" && p["required"] == true && p["schema"]["type"] == "string", "{path}: {p}");
                p["name"].as_str().unwrap()
            })
            .collect();
        let mut wanted = path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'));
        assert!(wanted.all(|name| declared.contains(&name)), "{path} declares {declared:?}");
        assert!(!["..}", "!}", "~}"].iter().any(|mark| path.contains(mark)), "{path}");
        let verbs = ["get", "post", "patch", "delete"].iter().filter_map(|verb| Some((verb, item.get(*verb)?)));
        assert!(verbs.clone().count() > 0, "{path} does nothing");
        for (verb, operation) in verbs {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} stands for two operations, one of them {verb} {path}");
            assert!(!operation["responses"].as_object().unwrap().is_empty(), "{verb} {path}");
            let names: Vec<&str> =
                operation["parameters"].as_array().into_iter().flatten().map(|p| p["name"].as_str().unwrap()).collect();
            let once: std::collections::BTreeSet<&&str> = names.iter().collect();
            assert_eq!(once.len(), names.len(), "{verb} {path}: {names:?}");
            assert!(names.iter().all(|name| !declared.contains(name)), "{verb} {path}: {names:?}");
        }
    }
    // Every row of every table is in it, and says what it needs.
    for entry in server.vault().mounts().table().iter() {
        for endpoint in entry.engine.table().endpoints() {
            let pattern = endpoint.pattern.replace("..}", "}").replace("!}", "}").replace("~}", "}");
            let item = &paths[&format!("/{}{pattern}", entry.mount.path)];
            assert_eq!(item["x-vault-sudo"] == true, endpoint.sudo, "{pattern}");
            assert_eq!(item["x-vault-unauthenticated"] == true, endpoint.public, "{pattern}");
        }
    }
    let password = &paths["/auth/userpass/login/{username}"]["post"]["requestBody"]["content"]["application/json"];
    assert_eq!(password["schema"]["properties"]["password"]["format"], "password");
    // Who sees one mount is told of one mount.
    server.policy("one", r#"path "kv-one/*" { capabilities = ["read"] }"#).await;
    let token = server.token_of(json!({"policies": ["one"], "no_default_policy": true})).await;
    server.with(&token).get("sys/internal/specs/openapi").await.is(403);
    let text =
        r#"path "kv-one/*" { capabilities = ["read"] } path "sys/internal/specs/openapi" { capabilities = ["read"] }"#;
    server.policy("two", text).await;
    let token = server.token_of(json!({"policies": ["two"], "no_default_policy": true})).await;
    let few = server.with(&token).get("sys/internal/specs/openapi").await.ok().json;
    let few = few["paths"].as_object().unwrap();
    assert!(few.keys().all(|path| path.starts_with("/kv-one/") || path.starts_with("/sys/")), "{few:?}");
}

#[tokio::test]
async fn help_is_for_those_who_may_do_anything_there() {
    let server = Server::new().await;
    server.kv("kv", 2).await;
    server.kv("other", 1).await;
    server.policy("writer", r#"path "kv/data/x" { capabilities = ["update"] }"#).await;
    let token = server.token_of(json!({"policies": ["writer"]})).await;
    let http = server.with(&token);
    let help = http.get("kv/data/x?help=1").await.ok();
    assert!(help.json["help"].as_str().unwrap().contains("data/{path..}"), "{help:?}");
    assert!(help.json["openapi"]["paths"]["/kv/data/{path}"].is_object(), "{help:?}");
    let all = http.get("kv?help=true").await.ok();
    assert!(all.json["help"].as_str().unwrap().contains("## PATHS"), "{all:?}");
    // A mount that is not to be seen and one that is not there look alike.
    let hidden = http.get("other/x?help=1").await.is(403);
    let absent = http.get("absent/x?help=1").await.is(403);
    assert_eq!(hidden.text, absent.text);
    server.anonymous().get("sys/wrapping/lookup?help=1").await.is(403);
    // It is help that was asked for, and nothing is done.
    http.get("kv/data/x?help=0").await.is(403);
}

#[tokio::test]
async fn rows_are_shown_only_where_the_configuration_says_so() {
    let server = Server::new().await;
    for path in ["sys/raw/core/mounts", "sys/raw/nothing"] {
        let off = server.get(path).await.is(404);
        assert!(off.text.contains("unsupported path"), "{off:?}");
    }
    server.put("sys/raw/core/x", json!({"value": "{}"})).await.is(404);
    let plan = Plan { raw_storage: true, ..Plan::memory() };
    let server = plan.ready().await;
    let mounts = server.get("sys/raw/core/mounts").await.ok();
    assert!(mounts.data()["value"].as_str().unwrap().contains("cubbyhole/"), "{mounts:?}");
    let names = server.list("sys/raw/core").await.ok();
    assert!(names.data()["keys"].as_array().unwrap().contains(&json!("mounts")), "{names:?}");
    server.put("sys/raw/core/x", json!({"value": "not json"})).await.is(400);
    server.put("sys/raw/core/x", json!({"value": "{\"a\":1}"})).await.ok();
    assert_eq!(server.get("sys/raw/core/x").await.ok().data()["value"], "{\"a\":1}");
    server.delete("sys/raw/core/x").await.ok();
    server.get("sys/raw/core/x").await.is(404);
    let almost = server.token_of(json!({"policies": ["default"]})).await;
    server.with(&almost).get("sys/raw/core/mounts").await.is(403);
}

#[tokio::test]
async fn loggers_are_those_of_the_process() {
    let server = Server::new().await;
    // A test's process logs to nobody.
    server.get("sys/loggers").await.is(400);
    server.get("sys/loggers/nothing").await.is(404);
    server.put("sys/loggers/audit", json!({"level": "loud"})).await.is(400);
    server.anonymous().put("sys/loggers", json!({"level": "trace"})).await.is(403);
}

#[tokio::test]
async fn pages_of_other_origins_are_heard_only_where_they_are_named() {
    let server = Server::new().await;
    let asked = |origin: &'static str| server.get("sys/health").header("origin", origin);
    asked("https://evil.example").await.ok();
    for body in [
        json!({}),
        json!({"allowed_origins": ["*", "https://x"]}),
        json!({"allowed_origins": "*", "allow_credentials": true}),
        json!({"allowed_origins": "https://x y\r\nSet-Cookie: a=b"}),
        json!({"allowed_origins": "https://x", "allowed_headers": "X-A\r\nX-B: c"}),
    ] {
        server.put("sys/config/cors", body).await.is(400);
    }
    server.put("sys/config/cors", json!({"allowed_origins": "https://ui.example"})).await.ok();
    asked("https://ui.example").await.ok();
    let refused = asked("https://evil.example").await.is(403);
    assert!(refused.text.contains("origin not allowed"), "{refused:?}");
    asked("null").await.is(403);
    server.get("sys/health").await.ok();
    let server = server.crashed().await;
    server.get("sys/health").header("origin", "https://evil.example").await.is(403);
    for value in [json!(["a\r\nX-Evil: b"]), json!(["\u{e9}"]), json!([])] {
        server.put("sys/config/ui/headers/X-Mine", json!({"values": value})).await.is(400);
    }
    server.put("sys/config/ui/headers/X-Vault-Mine", json!({"values": ["a"]})).await.is(400);
    server.put("sys/config/ui/headers/Content-Length", json!({"values": ["0"]})).await.is(400);
}

#[tokio::test]
async fn a_keyring_gets_a_new_term_when_it_has_done_enough() {
    let server = Server::new().await;
    server.put("sys/rotate/keyring/config", json!({"max_operations": 1_000_000, "interval": 0})).await.ok();
    let term = || async { server.get("sys/key-status").await.ok().data()["term"].as_u64().unwrap() };
    let vault = server.vault();
    let counted = |encryptions: u64| {
        let mut txn = vault.barrier().view().txn();
        txn.overwrite(&warifu::base::Key::new("core/encryptions"), &json!({"term": 1, "encryptions": encryptions}))
            .unwrap();
        vault.commit(txn)
    };
    counted(990_000).await.unwrap();
    server.clock().advance(1);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(term().await, 1);
    counted(1_000_000).await.unwrap();
    server
        .eventually("the keyring has a new term", || async {
            server.clock().advance(1);
            term().await == 2
        })
        .await;
    assert!(server.get("sys/key-status").await.ok().data()["encryptions"].as_u64().unwrap() < 1000, "counted anew");
    server.put("sys/rotate/keyring", json!({})).await.is(204);
    assert_eq!(term().await, 3);
}

#[tokio::test]
async fn what_there_is_none_of_is_told_so() {
    let server = Server::new().await;
    let status = server.get("sys/replication/status").await.ok();
    assert_eq!(
        (&status.data()["dr"]["mode"], &status.data()["performance"]["mode"]),
        (&json!("disabled"), &json!("disabled"))
    );
    assert_eq!(server.get("sys/internal/ui/namespaces").await.ok().data()["keys"], json!([]));
    for path in [
        "sys/namespaces/a",
        "sys/storage/raft/configuration",
        "sys/license/status",
        "sys/pprof/heap",
        "sys/workflows/manage",
    ] {
        server.get(path).await.refused(404, "unsupported path");
    }
}

#[tokio::test]
async fn policies_are_listed_with_their_texts_in_stretches() {
    let server = Server::new().await;
    let text = r#"path "a" { capabilities = ["read"] }"#;
    for name in ["one", "two"] {
        server.policy(name, text).await;
    }
    let all = server.list("sys/policies/detailed/acl").await.ok();
    assert_eq!(all.data()["keys"], json!(["default", "one", "root", "two"]));
    assert_eq!(all.data()["key_info"]["one"], json!({"name": "one", "policy": text}));
    assert!(all.data()["key_info"]["default"]["policy"].as_str().unwrap().contains("lookup-self"));
    let some = server.call("GET", "sys/policies/detailed/acl?list=true&after=default&limit=1").await.ok();
    assert_eq!(some.data()["keys"], json!(["one"]));
    let reader = server.token_of(json!({"policies": ["default"]})).await;
    server.list("sys/policies/detailed/acl").by(&reader).await.is(403);
}

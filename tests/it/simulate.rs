//! A login that is only asked about: what is told is what the login then gets, and nothing is left behind by the question.

use serde_json::{Value, json};

use crate::http::Answer;
use crate::issuer::Issuer;
use crate::server::Server;

async fn asked(server: &Server, mount: &str, body: Value) -> Value {
    server.put(&format!("auth/{mount}/simulate"), body).await.ok().data().clone()
}

async fn reasons(server: &Server, mount: &str, body: Value) -> Vec<String> {
    let told = asked(server, mount, body).await;
    assert_eq!(told["admitted"], false, "{told}");
    assert!(told.get("policies").is_none(), "who is not let in is told nothing of what others get: {told}");
    told["reasons"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// What a question must not change: tokens, and every row of the store.
async fn state(server: &Server) -> (usize, u64) {
    (server.tokens().await, server.plan.storage.position().unwrap())
}

/// That a login got what was told of it.
fn same(told: &Value, login: &Answer) {
    let auth = login.auth();
    for name in ["token_policies", "identity_policies", "policies", "metadata", "token_type", "renewable"] {
        let made = if auth[name].is_null() { json!([]) } else { auth[name].clone() };
        assert_eq!(told[name], made, "{name}: {told} {auth}");
    }
    assert_eq!(told["token_ttl"], auth["lease_duration"]);
}

#[tokio::test]
async fn a_job_is_told_its_groups_and_the_paths_that_its_templates_come_to() {
    let issuer = Issuer::start().await;
    let server = Server::new().await;
    server.auth("ci", "jwt").await;
    let config = json!({"jwks_url": format!("{}/keys", issuer.url()), "bound_issuer": issuer.url()});
    server.put("auth/ci/config", config).await.ok();
    let role = json!({"role_type": "jwt", "user_claim": "project_path", "bound_audiences": "vault", "groups_claim": "teams",
        "claim_mappings": {"ref": "branch"}, "token_type": "batch", "token_ttl": "10m", "token_policies": "ci,gone",
        "token_bound_cidrs": "127.0.0.0/8"});
    server.put("auth/ci/role/deploy", role).await.ok();
    let accessor = server.get("sys/auth").await.ok().data()["ci/"]["accessor"].as_str().unwrap().to_owned();
    let hole = |field: &str| format!("{{{{identity.entity.aliases.{accessor}.{field}}}}}");
    let text = format!(
        "path \"kv/{}/{}\" {{ capabilities = [\"read\"] }}\npath \"kv/{{{{identity.groups.names.none.id}}}}\" {{ capabilities = [\"read\"] }}",
        hole("name"),
        hole("metadata.branch")
    );
    server.policy("ci", &text).await;
    let group = json!({"name": "shop", "type": "external", "policies": ["of-group"]});
    let group = server.put("identity/group", group).await.ok().data()["id"].clone();
    let alias = json!({"name": "team-shop", "mount_accessor": accessor, "canonical_id": group});
    server.put("identity/group-alias", alias).await.ok();

    let now = warifu::base::Clock::now(server.clock()).as_second();
    let claims = json!({"iss": issuer.url(), "sub": "s", "aud": "vault", "iat": now, "exp": now + 60,
        "project_path": "shop", "ref": "main", "teams": ["team-shop", "unknown"]});
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        json!({"role": "deploy", "claims": claims.to_string()})
    };
    let before = state(&server).await;
    for (body, count) in [
        (with("aud", json!("canary")), 1),
        (with("exp", json!(now - 3600)), 1),
        (with("iss", json!("canary")), 1),
        (with("project_path", json!(["canary"])), 1),
        (json!({"role": "deploy", "claims": "{\"iss\": \"canary\"}"}), 5),
        (json!({"role": "deploy", "claims": claims, "remote_address": "192.0.2.1"}), 1),
        (json!({"role": "deploy", "jwt": "canary.canary.canary"}), 1),
    ] {
        let reasons = reasons(&server, "ci", body).await;
        assert_eq!(reasons.len(), count, "{reasons:?}");
        assert!(!reasons.concat().contains("canary"), "{reasons:?}");
    }
    for body in [
        json!({"role": "nobody", "claims": claims}),
        json!({"role": "deploy"}),
        json!({"role": "deploy", "claims": "[]"}),
        json!({"role": "deploy", "claims": claims, "jwt": "a.b.c"}),
        json!({"role": "deploy", "claims": claims, "remote_address": "here"}),
    ] {
        server.put("auth/ci/simulate", body).await.is(400);
    }
    let told = asked(&server, "ci", json!({"role": "deploy", "claims": claims, "remote_address": "127.0.0.1"})).await;
    assert_eq!(told["admitted"], true, "{told}");
    assert_eq!(told["missing_policies"], json!(["gone", "of-group"]));
    assert_eq!(told["entity"], json!({"is_new": true}));
    assert_eq!(told["identity_groups"][0]["name"], "shop", "{told}");
    assert_eq!(told["templated_rules"][0]["path"], "kv/shop/main");
    assert_eq!(told["templated_rules"][0]["origins"][0]["line"], 1);
    assert_eq!(told["unfilled_templates"][0]["line"], 2, "{told}");
    assert_eq!(state(&server).await, before, "a question leaves nothing behind");

    let login = json!({"role": "deploy", "jwt": issuer.token(&claims)});
    let login = server.anonymous().put("auth/ci/login", login).await.ok();
    same(&told, &login);
    let told = asked(&server, "ci", json!({"role": "deploy", "claims": claims})).await;
    assert_eq!(told["entity"]["id"], login.auth()["entity_id"], "the entity is known now");
    same(&told, &login);
    // A group that the method counts it among no longer is not told as its own; and that changes nothing.
    let before = state(&server).await;
    assert_eq!(asked(&server, "ci", with("teams", json!([]))).await["identity_groups"], json!([]));
    assert_eq!(state(&server).await, before);
    let id = login.auth()["entity_id"].as_str().unwrap().to_owned();
    server.put(&format!("identity/entity/id/{id}"), json!({"disabled": true})).await.ok();
    assert_eq!(reasons(&server, "ci", json!({"role": "deploy", "claims": claims})).await, ["its entity is disabled"]);
}

#[tokio::test]
async fn only_who_may_ask_is_told_and_the_question_is_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let plan = crate::server::Plan { audit_anywhere: true, ..crate::server::Plan::memory() };
    let server = plan.ready().await;
    let file = folder.path().join("audit.log");
    server.put("sys/audit/file", json!({"type": "file", "options": {"file_path": file}})).await.ok();
    server.auth("userpass", "userpass").await;
    server.put("auth/userpass/users/anna", json!({"password": "right", "token_ttl": "1h"})).await.ok();
    server.policy("asks", "path \"auth/userpass/simulate\" { capabilities = [\"update\"] }").await;
    let nobody = server.token_of(json!({"policies": ["default"]})).await;
    let asks = server.token_of(json!({"policies": ["asks"]})).await;
    // The same for a name that is known and one that is not.
    let refused = ["anna", "nobody"].map(|name| json!({"username": name}));
    for body in &refused {
        server.with(&nobody).put("auth/userpass/simulate", body.clone()).await.is(403);
        server.anonymous().put("auth/userpass/simulate", body.clone()).await.is(403);
    }
    let told = server.with(&asks).put("auth/userpass/simulate", refused[0].clone()).await.ok().data().clone();
    assert_eq!(told["admitted"], true, "{told}");
    server.with(&asks).put("auth/userpass/simulate", refused[1].clone()).await.is(400);
    same(&told, &server.anonymous().put("auth/userpass/login/anna", json!({"password": "right"})).await.ok());
    let log = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ours = lines.iter().filter(|line| line["request"]["path"] == "auth/userpass/simulate");
    assert_eq!(ours.clone().count(), 8, "each answer has two lines, each refusal has one");
    assert!(ours.clone().all(|line| !line["response"]["auth"].is_object()), "none of them is a login");

    // A password cannot be tried here, and who is locked out is told to be.
    let with_password = json!({"username": "anna", "password": "wrong"});
    assert_eq!(asked(&server, "userpass", with_password).await["admitted"], true);
    for _ in 0..5 {
        server.anonymous().put("auth/userpass/login/anna", json!({"password": "wrong"})).await.is(400);
    }
    let told = reasons(&server, "userpass", json!({"username": "ANNA"})).await;
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("locked out"), "{told:?}");
}

#[tokio::test]
async fn a_secret_id_is_asked_about_by_its_accessor_and_keeps_its_uses() {
    let server = Server::new().await;
    server.auth("approle", "approle").await;
    let role = json!({"secret_id_bound_cidrs": "127.0.0.0/8", "token_policies": "p", "token_num_uses": 3});
    server.put("auth/approle/role/r", role).await.ok();
    let body = json!({"num_uses": 1, "ttl": "1h", "metadata": "{\"host\": \"h1\"}", "cidr_list": "127.0.0.1/32"});
    let made = server.put("auth/approle/role/r/secret-id", body).await.ok().data().clone();
    let accessor = &made["secret_id_accessor"];
    let before = state(&server).await;
    let from = |address: &str| json!({"role_name": "r", "secret_id_accessor": accessor, "remote_address": address});
    assert_eq!(reasons(&server, "approle", from("192.0.2.1")).await.len(), 2);
    assert_eq!(reasons(&server, "approle", from("127.0.0.2")).await.len(), 1);
    let unknown = json!({"role_name": "r", "secret_id_accessor": "00000000-0000-0000-0000-000000000000"});
    assert_eq!(reasons(&server, "approle", unknown).await.len(), 1);
    for (body, status) in [(json!({}), 400), (json!({"role_name": "../r"}), 400), (json!({"role_name": "none"}), 404)] {
        server.put("auth/approle/simulate", body).await.is(status);
    }
    for _ in 0..3 {
        let told = asked(&server, "approle", from("127.0.0.1")).await;
        assert_eq!((&told["metadata"]["host"], &told["token_num_uses"]), (&json!("h1"), &json!(3)), "{told}");
    }
    assert_eq!(state(&server).await, before);
    let told = asked(&server, "approle", from("127.0.0.1")).await;
    let role_id = server.get("auth/approle/role/r/role-id").await.ok().data()["role_id"].clone();
    let body = json!({"role_id": role_id, "secret_id": made["secret_id"]});
    same(&told, &server.anonymous().put("auth/approle/login", body).await.ok());
    assert_eq!(reasons(&server, "approle", from("127.0.0.1")).await.len(), 1, "its one use is spent");
}

#[tokio::test]
async fn certificates_and_service_accounts_are_told_what_stands_against_them() {
    let server = Server::new().await;
    server.put("sys/mounts/pki", json!({"type": "pki"})).await.ok();
    let ca = json!({"common_name": "CA", "key_type": "ec"});
    let ca = server.put("pki/root/generate/internal", ca).await.ok().data()["certificate"].clone();
    let role = json!({"allow_any_name": true, "ttl": "1h", "key_type": "ec"});
    server.put("pki/roles/r", role).await.ok();
    let issued = |name: &'static str| server.put("pki/issue/r", json!({"common_name": name}));
    let web = issued("web-1").await.ok().data().clone();
    let db = issued("db-1").await.ok().data().clone();
    server.auth("cert", "cert").await;
    server.put("auth/cert/simulate", json!({"certificate": web["certificate"], "name": "web"})).await.is(400);
    let trusted = json!({"certificate": ca, "allowed_common_names": "web-*", "token_policies": "p"});
    server.put("auth/cert/certs/web", trusted).await.ok();
    let before = state(&server).await;
    let other = reasons(&server, "cert", json!({"certificate": db["certificate"]})).await;
    assert!(other[0].starts_with("web: a name"), "{other:?}");
    let told = asked(&server, "cert", json!({"certificate": web["certificate"]})).await;
    assert_eq!((&told["name"], &told["token_policies"]), (&json!("web"), &json!(["default", "p"])), "{told}");
    assert_eq!(state(&server).await, before);
    for bad in ["", "none", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        server.put("auth/cert/simulate", json!({"certificate": bad})).await.is(400);
    }
    server.put("pki/revoke", json!({"serial_number": web["serial_number"]})).await.ok();
    let crl = server.get("pki/cert/crl").await.ok().data()["certificate"].clone();
    server.put("auth/cert/crls/pki", json!({"crl": crl})).await.ok();
    let revoked = reasons(&server, "cert", json!({"certificate": web["certificate"], "name": "web"})).await;
    assert!(revoked[0].contains("revoked"), "{revoked:?}");

    server.auth("kubernetes", "kubernetes").await;
    let role = json!({"bound_service_account_names": "app", "bound_service_account_namespaces": "prod", "token_policies": "p"});
    server.put("auth/kubernetes/role/r", role).await.ok();
    let of =
        |namespace: &str| json!({"role": "r", "service_account_namespace": namespace, "service_account_name": "app"});
    assert_eq!(reasons(&server, "kubernetes", of("dev")).await.len(), 1);
    assert_eq!(reasons(&server, "kubernetes", of("")).await.len(), 1);
    let told = asked(&server, "kubernetes", of("prod")).await;
    assert_eq!(told["metadata"]["service_account_name"], "app", "{told}");
}

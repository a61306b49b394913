//! What went wrong in other vaults' logins and names, and the test that would have caught it here. Certificates have a table of their own
//! (`advisories_d.rs`), sidecars too (`src/agent/tests/hostile.rs`), and so has all else (`advisories_rest.rs`). All are checked: tests and
//! files that they name are there.
//!
//! | what was found | tests |
//! | --- | --- |
//! | CVE-2024-9180, CVE-2025-5999, CVE-2025-54996: a policy name in another spelling was root's | `naming::root_is_given_by_nobody_in_any_spelling` |
//! | CVE-2025-64761: the same by another writer of policies | `naming::root_is_given_by_nobody_in_any_spelling`, `naming::policies_that_are_the_servers_own_are_given_to_nobody` |
//! | CVE-2021-41802: an alias was moved, and policies with it | `identity::who_moves_a_login_needs_the_right_to_change_both_its_entities` |
//! | CVE-2020-10660: membership in an external group that was over | `identity::a_group_of_an_auth_method_has_whom_the_method_names_and_nobody_else` |
//! | CVE-2026-40264, CVE-2026-45808, CVE-2026-55774, CVE-2026-55775 (GHSA-mwr2): ids reached across boundaries (there are no namespaces; mounts are the boundary) | `approle::nobody_reaches_a_secret_id_through_a_role_that_it_is_not_of`, `logins::two_mounts_of_one_method_know_nothing_of_each_other` |
//! | CVE-2026-14886: a batch was not asked for one by one | `identity::what_is_deleted_in_a_batch_is_asked_for_one_by_one` |
//! | CVE-2023-24999: a secret id destroyed through another role | `approle::one_roles_accessor_does_nothing_at_another_role` |
//! | CVE-2023-0665: an issuer changed without the right to | `advisories::the_right_to_one_issuer_is_none_to_another` |
//! | CVE-2026-46405: a login that failed left a token | `logins::who_is_known_and_who_is_not_get_the_same_answer_for_the_same_work` |
//! | GHSA-rh46-vc3j-w2w3: internal operations could be asked for | `input::methods_media_types_and_queries_that_are_not_known_are_refused` |
//! | openbao#3087: a secrets engine made tokens (here none can write a login down, see `engine/class.rs`) | `no_login::what_looks_like_a_login_is_kept_and_given_back_as_data`, `no_login::no_endpoint_of_a_secrets_engine_makes_a_token` |
//! | CVE-2025-6011, CVE-2025-54999, CVE-2025-6010: time told who exists | `hashing::a_stranger_costs_the_same_work_as_a_user`, `logins::who_is_known_and_who_is_not_get_the_same_answer_for_the_same_work` |
//! | CVE-2023-3462, CVE-2020-35177: words told who exists | `userpass::a_name_that_is_known_gets_the_answer_of_one_that_is_not`, `jwt::a_role_that_is_not_there_answers_as_one_that_does_not_want_the_token` |
//! | CVE-2025-6004, CVE-2025-54998: each spelling had a lockout of its own | `limits::who_fails_too_often_is_locked_out_whatever_the_spelling_and_whether_he_exists` |
//! | CVE-2025-6013, CVE-2025-55001: another spelling needed no second factor | `advisories::no_spelling_of_a_name_spares_the_second_factor` |
//! | CVE-2025-6015, CVE-2025-55003: codes could be guessed | `identity::codes_cannot_be_guessed_one_after_the_other` |
//! | CVE-2025-6014, CVE-2025-55000: a code was good twice with a space in it | `identity::a_code_is_good_once_in_whatever_form_it_is_written` |
//! | CVE-2022-30689: a restart forgot the rule | `identity::a_restart_forgets_no_rule_and_two_nodes_take_a_code_once` |
//! | CVE-2024-5798, openbao#263: an audience of one text was not looked at | `jwt::what_a_token_must_say_is_asked_in_every_form`, `admission::an_audience_in_any_form_is_one_of_the_bound_ones_or_none_is` |
//! | GHSA-34fc-gh42-pj53: a token was compared byte by byte (here tokens are found by keyed digests, and secrets have no `==`) | `secret::comparison_minds_length_and_content` |
//! | CVE-2026-33757, CVE-2026-33758: a login in a browser was taken over, its error shown as a page | `jwt::a_login_in_a_browser_is_good_once_for_who_began_it` |
//! | CVE-2025-3879, CVE-2020-16250, CVE-2020-16251, CVE-2025-11621, CVE-2025-59048: claims were not bound, an answer was the attacker's | `jwt::a_nomad_task_reaches_its_own_secrets_and_no_others`, `kubernetes::who_the_cluster_does_not_vouch_for_comes_not_in` |
//!
//! CVE-2020-24359 is about SSH, which there is no engine for.

use std::path::Path;

use serde_json::json;

use crate::cert::Door;
use crate::server::Server;

#[test]
fn the_table_names_tests_that_are_there() {
    let (mut sources, mut files) = (String::new(), Vec::new());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("tests/it")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                sources.push_str(&std::fs::read_to_string(&path).unwrap());
                files.push(path);
            }
        }
    }
    let mut named = 0;
    let tables = [
        include_str!("advisories.rs"),
        include_str!("advisories_d.rs"),
        include_str!("advisories_rest.rs"),
        include_str!("../../src/agent/tests/hostile.rs"),
    ];
    let rows = tables.iter().flat_map(|table| table.lines());
    for row in rows.filter(|line| line.starts_with("//! | ") && !line.contains("| --- |")) {
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap();
        for word in tests.split('`').skip(1).step_by(2) {
            let name = word.rsplit("::").next().unwrap();
            let there = match name.contains(['/', '.']) {
                true => files.iter().any(|file| file.to_string_lossy().contains(&format!("/{name}"))),
                false => sources.contains(&format!("fn {name}(")),
            };
            assert!(there, "there is no {word}");
            named += 1;
        }
    }
    assert!(named > 100, "{named}");
}

#[tokio::test]
async fn the_right_to_one_issuer_is_none_to_another() {
    let server = Server::new().await;
    server.put("sys/mounts/pki", json!({"type": "pki"})).await.ok();
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let root = json!({"common_name": name, "key_type": "ec", "ttl": "700h", "issuer_name": name, "key_name": name});
        let made = server.put("pki/root/generate/internal", root).await.ok();
        ids.push(made.data()["issuer_id"].as_str().unwrap().to_owned());
    }
    server.put("pki/config/issuers", json!({"default": "two"})).await.ok();
    server
        .policy(
            "one",
            r#"path "pki/issuer/one" { capabilities = ["create", "read", "update", "patch", "delete"] }
               path "pki/issuer/one/*" { capabilities = ["create", "read", "update", "patch", "delete"] }"#,
        )
        .await;
    let one = server.with(&server.token_of(json!({"policies": ["one"]})).await);
    for other in ["two", "default", &ids[1], &ids[0], "ONE", "one%20"] {
        let status = one.delete(&format!("pki/issuer/{other}")).await.status;
        assert!(matches!(status, 400 | 403), "{other}: {status}");
        let renamed = json!({"issuer_name": "mine"});
        let status = one.put(&format!("pki/issuer/{other}"), renamed.clone()).await.status;
        assert!(matches!(status, 400 | 403), "{other}: {status}");
        let status = one.patch(&format!("pki/issuer/{other}"), renamed).await.status;
        assert!(matches!(status, 400 | 403), "{other}: {status}");
    }
    server.get("pki/issuer/two").await.ok();
    one.delete("pki/issuer/one").await.ok();
}

#[tokio::test]
async fn no_spelling_of_a_name_spares_the_second_factor() {
    let server = Server::new().await;
    server.auth("userpass", "userpass").await;
    server.put("auth/userpass/users/anna", json!({"password": "p"})).await.ok();
    let login = async |name: &str| {
        server.anonymous().put(&format!("auth/userpass/login/{name}"), json!({"password": "p"})).await
    };
    let entity = login("anna").await.ok().auth()["entity_id"].clone();
    let made = server.put("identity/mfa/method/totp", json!({"issuer": "t"})).await.ok();
    let method = made.data()["method_id"].clone();
    let secret = json!({"method_id": method, "entity_id": entity});
    server.put("identity/mfa/method/totp/admin-generate", secret).await.ok();
    let accessor = server.get("sys/auth").await.ok().data()["userpass/"]["accessor"].clone();
    let rule = json!({"mfa_method_ids": [method], "auth_method_accessors": [accessor]});
    server.put("identity/mfa/login-enforcement/all", rule).await.ok();
    let before = server.tokens().await;
    for name in ["anna", "Anna", "ANNA", "%61nna", "%41nna", "anna%20", "%20anna", "anna%09", "%EF%BD%81nna"] {
        let answer = login(name).await;
        if answer.succeeded() {
            assert_eq!(answer.auth()["client_token"], "", "{name}");
            assert!(answer.auth()["mfa_requirement"]["mfa_request_id"].is_string(), "{name}");
        } else {
            assert!(matches!(answer.status, 400 | 403), "{name}: {answer:?}");
        }
    }
    assert_eq!(server.tokens().await, before);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_believed() {
    let server = Server::new().await;
    // It speaks TLS by a certificate that signed itself.
    let door = Door::of(&server).await;
    let url = format!("https://{}", door.address());
    for kind in ["jwt", "kubernetes", "cert"] {
        server.auth(kind, kind).await;
    }
    for body in [json!({"jwks_url": format!("{url}/keys")}), json!({"oidc_discovery_url": url})] {
        let answer = server.put("auth/jwt/config", body).await;
        assert!(matches!(answer.status, 400 | 503), "{answer:?}");
    }
    let answer = server.put("auth/cert/crls/c", json!({"url": format!("{url}/v1/pki/crl")})).await;
    answer.refused(503, "TLS");
    let other = crate::cert::authority::Identity::root("Other").pem();
    let cluster = json!({"kubernetes_host": url, "disable_local_ca_jwt": true, "kubernetes_ca_cert": other});
    server.put("auth/kubernetes/config", cluster).await.ok();
    let role = json!({"bound_service_account_names": "*", "bound_service_account_namespaces": "*"});
    server.put("auth/kubernetes/role/r", role).await.ok();
    let claims = json!({"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:a:b",
        "kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "b", "uid": "u"}}});
    let jwt = crate::issuer::Issuer::start().await.token(&claims);
    server.anonymous().put("auth/kubernetes/login", json!({"role": "r", "jwt": jwt})).await.refused(503, "TLS");
}

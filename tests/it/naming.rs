//! No way leads to the policy `root` but init and generate-root, however the name is spelled.

use serde_json::{Value, json};

use warifu::base::Operation;

use crate::http::Answer;
use crate::server::Server;

const SPELLINGS: [&str; 12] = [
    "root",
    "Root",
    "ROOT",
    "rOOt",
    " root",
    "root ",
    " root ",
    "ROOT\t",
    "\troot",
    "root\n",
    "\u{a0}root",
    "root\u{2003}",
];

/// How a list of policies can be given.
fn forms(name: &str) -> Vec<Value> {
    vec![
        json!([name]),
        json!(["default", name]),
        json!(name),
        json!(format!("default,{name}")),
        json!(["default,x", name]),
    ]
}

/// An endpoint that writes policies down, or gives them away.
struct Writer {
    path: &'static str,
    field: &'static str,
    more: Value,
    /// Where what was written can be looked at.
    kept: Option<(&'static str, &'static str)>,
}

fn writers() -> Vec<Writer> {
    let writer = |path, field, more, kept| Writer { path, field, more, kept };
    vec![
        writer("auth/token/create", "policies", json!({}), None),
        writer("auth/token/create-orphan", "policies", json!({}), None),
        writer("auth/token/create/open", "policies", json!({}), None),
        writer("auth/token/roles/r", "token_policies", json!({}), Some(("auth/token/roles/r", "token_policies"))),
        writer("auth/userpass/users/u", "token_policies", json!({}), Some(("auth/userpass/users/u", "token_policies"))),
        writer("auth/userpass/users/u", "policies", json!({}), Some(("auth/userpass/users/u", "token_policies"))),
        writer(
            "auth/userpass/users/u/policies",
            "token_policies",
            json!({}),
            Some(("auth/userpass/users/u", "token_policies")),
        ),
        writer(
            "auth/userpass/users/u/policies",
            "policies",
            json!({}),
            Some(("auth/userpass/users/u", "token_policies")),
        ),
        writer("auth/approle/role/a", "token_policies", json!({}), Some(("auth/approle/role/a", "token_policies"))),
        writer("auth/approle/role/a", "policies", json!({}), Some(("auth/approle/role/a", "token_policies"))),
        writer(
            "auth/approle/role/a/policies",
            "token_policies",
            json!({}),
            Some(("auth/approle/role/a", "token_policies")),
        ),
        writer("auth/approle/role/a/policies", "policies", json!({}), Some(("auth/approle/role/a", "token_policies"))),
        writer("auth/cert/certs/c", "token_policies", json!({}), Some(("auth/cert/certs/c", "token_policies"))),
        writer("auth/cert/certs/c", "policies", json!({}), Some(("auth/cert/certs/c", "token_policies"))),
        writer("auth/jwt/role/j", "token_policies", json!({}), Some(("auth/jwt/role/j", "token_policies"))),
        writer("auth/jwt/role/j", "policies", json!({}), Some(("auth/jwt/role/j", "token_policies"))),
        writer(
            "auth/kubernetes/role/k",
            "token_policies",
            json!({}),
            Some(("auth/kubernetes/role/k", "token_policies")),
        ),
        writer("auth/kubernetes/role/k", "policies", json!({}), Some(("auth/kubernetes/role/k", "token_policies"))),
        writer("identity/entity", "policies", json!({"name": "e"}), Some(("identity/entity/name/e", "policies"))),
        writer("identity/entity/name/e", "policies", json!({}), Some(("identity/entity/name/e", "policies"))),
        writer("identity/entity/id/ENTITY", "policies", json!({}), Some(("identity/entity/name/e", "policies"))),
        writer("identity/group/id/GROUP", "policies", json!({}), Some(("identity/group/name/g", "policies"))),
        writer("identity/group", "policies", json!({"name": "g"}), Some(("identity/group/name/g", "policies"))),
        writer("identity/group/name/g", "policies", json!({}), Some(("identity/group/name/g", "policies"))),
    ]
}

/// Fields that name policies and give none of them to anybody: bounds of what a role may give, the text of a question.
fn gives_nothing(path: &str, field: &str) -> bool {
    matches!(field, "allowed_policies" | "allowed_policies_glob" | "disallowed_policies" | "disallowed_policies_glob")
        || field == "policies" && path.starts_with("sys/")
}

/// A new endpoint with a field for policies is tried here, or is said to give none.
#[tokio::test]
async fn every_writer_of_policies_is_in_the_table() {
    let server = Server::new().await;
    crate::paths::mount_all(&server).await;
    let fits = |pattern: &str, path: &str| {
        let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
        pattern.len() == path.len() && pattern.iter().zip(&path).all(|(p, s)| p.starts_with('{') || p == s)
    };
    let mut missing = Vec::new();
    for entry in server.vault().mounts().table().iter() {
        for endpoint in entry.engine.table().endpoints() {
            for verb in [Operation::Update, Operation::Patch] {
                let fields = endpoint.handling(verb).map(|h| h.fields.clone()).unwrap_or_default();
                for field in fields
                    .iter()
                    .map(|f| f.name)
                    .filter(|name| name.contains("policies") && !name.contains("no_default"))
                {
                    let pattern = format!("{}{}", entry.mount.path, endpoint.pattern);
                    let known = |w: &Writer| fits(&pattern, w.path) && w.field == field;
                    // An OIDC mount has the routes of a JWT mount.
                    if !pattern.starts_with("auth/oidc/")
                        && !gives_nothing(&pattern, field)
                        && !writers().iter().any(known)
                    {
                        missing.push(format!("{pattern} {field}"));
                    }
                }
            }
        }
    }
    assert!(missing.is_empty(), "not in `writers`: {missing:#?}");
}

fn names_root(policies: &Value) -> bool {
    let names = policies.as_array().cloned().unwrap_or_default();
    names.iter().filter_map(Value::as_str).any(|name| name.trim().eq_ignore_ascii_case("root"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_is_given_by_nobody_in_any_spelling() {
    let server = Server::new().await;
    for kind in ["userpass", "approle", "cert", "jwt", "kubernetes"] {
        server.auth(kind, kind).await;
    }
    server.put("auth/token/roles/open", json!({"allowed_policies_glob": ["*"]})).await.ok();
    server.put("auth/userpass/users/u", json!({"password": "p"})).await;
    server.put("auth/approle/role/a", json!({})).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["a.test".into()]).unwrap().self_signed(&key).unwrap();
    server.put("auth/cert/certs/c", json!({"certificate": leaf.pem()})).await.ok();
    server.put("auth/jwt/role/j", json!({"role_type": "jwt", "user_claim": "sub", "bound_subject": "s"})).await.ok();
    let bound = json!({"bound_service_account_names": "a", "bound_service_account_namespaces": "n"});
    server.put("auth/kubernetes/role/k", bound).await.ok();
    let mut ids = Vec::new();
    for (kind, name) in [("entity", "e"), ("group", "g")] {
        let made = server.put(&format!("identity/{kind}"), json!({"name": name})).await.ok();
        ids.push(made.data()["id"].as_str().unwrap().to_owned());
    }
    // Everything but root: sudo everywhere.
    server
        .policy(
            "almost",
            r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "patch", "sudo"] }"#,
        )
        .await;
    let almost = server.token_of(json!({"policies": ["almost"]})).await;
    let http = server.with(&almost);
    for writer in writers() {
        let path = writer.path.replace("ENTITY", &ids[0]).replace("GROUP", &ids[1]);
        for spelling in SPELLINGS {
            for form in forms(spelling) {
                let mut body = writer.more.clone();
                body[writer.field] = form.clone();
                let answer = http.put(&path, body).await;
                if matches!(answer.status, 404 | 405) {
                    continue;
                }
                assert!(answer.status < 500, "{} {form}: {answer:?}", writer.path);
                assert!(!given(&answer), "{} {form} gave root: {answer:?}", writer.path);
                if let Some((path, field)) = writer.kept {
                    let kept = server.get(path).await;
                    assert!(!names_root(&kept.data()[field]), "{} {form} kept {:?}", writer.path, kept.data());
                }
                if ["root", "Root", " root ", "ROOT\t"].contains(&spelling) && form.is_array() {
                    assert_eq!(answer.status, 400, "{} {form}: {answer:?}", writer.path);
                }
            }
        }
    }
}

/// Whether an answer gives a token that has the policy `root`.
fn given(answer: &Answer) -> bool {
    names_root(&answer.auth()["policies"]) || names_root(&answer.auth()["token_policies"])
}

#[tokio::test]
async fn a_role_that_allows_root_makes_no_root_of_others() {
    let server = Server::new().await;
    for (n, list) in [json!(["root"]), json!(["Root"]), json!([" root "]), json!("root")].into_iter().enumerate() {
        for field in ["allowed_policies", "allowed_policies_glob"] {
            let role = format!("auth/token/roles/{field}{n}");
            let made = server.put(&role, json!({field: list})).await;
            if made.status == 400 {
                continue;
            }
            let text = r#"path "auth/token/create/*" { capabilities = ["create", "update", "sudo"] }"#;
            server.policy("maker", text).await;
            let maker = server.token_of(json!({"policies": ["maker"]})).await;
            for body in [json!({}), json!({"policies": ["root"]}), json!({"policies": "Root"})] {
                let answer = server.with(&maker).put(&format!("auth/token/create/{field}{n}"), body).await;
                assert!(!given(&answer), "{list} {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn policies_that_are_the_servers_own_are_given_to_nobody() {
    let server = Server::new().await;
    for name in ["response-wrapping", "Response-Wrapping"] {
        let answer = server.put("auth/token/create", json!({"policies": [name]})).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
}

#[tokio::test]
async fn a_name_has_one_form_whatever_its_spelling() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.put("kv/a", json!({"k": "v"})).await.ok();
    server.policy("Readers", r#"path "kv/*" { capabilities = ["read"] }"#).await;
    for spelling in ["readers", "READERS", " Readers "] {
        let token = server.token_of(json!({"policies": [spelling]})).await;
        server.with(&token).get("kv/a").await.ok();
    }
    // A deny on the one form holds for every spelling of the path.
    let text = r#"path "sys/policies/acl/*" { capabilities = ["read", "update", "delete"] } path "sys/policies/acl/readers" { capabilities = ["deny"] }"#;
    server.policy("keeper", text).await;
    let keeper = server.token_of(json!({"policies": ["keeper"]})).await;
    for spelling in ["readers", "Readers", "READERS"] {
        server.with(&keeper).get(&format!("sys/policies/acl/{spelling}")).await.is(403);
        server.with(&keeper).delete(&format!("sys/policies/acl/{spelling}")).await.is(403);
        let body = json!({"policy": "path \"x\" { capabilities = [\"read\"] }"});
        server.with(&keeper).put(&format!("sys/policies/acl/{spelling}"), body).await.is(403);
    }
    server.with(&keeper).get("sys/policies/acl/other").await.is(404);
}

//! What all login methods have in common: a stranger learns nothing from a refusal, and no token lives longer than its role says.
//!
//! Driven by the catalog: a new method is tried by itself, and fails here until somebody says how one logs in with it.

use serde_json::{Value, json};
use warifu::base::Clock;
use warifu::mount::catalog::{self, Class};

use crate::http::Answer;
use crate::issuer::Issuer;
use crate::server::Server;

/// How long a token of these roles lives at first, and at most.
const LIFE: (u64, u64) = (300, 600);

/// One way in: a role or a user, and what proves that one is meant.
struct Way {
    kind: &'static str,
    path: String,
    right: Value,
    /// The same with a proof that is none.
    wrong: Value,
    /// The wrong proof for somebody who does not exist.
    nobody: (String, Value),
}

/// Methods that need more than a request: their own stories stand in tests/clients/test_logins.py.
fn needs_more(kind: &str) -> bool {
    // A certificate is shown by the connection.
    kind == "cert"
}

async fn ways(server: &Server, issuer: &Issuer) -> Vec<Way> {
    let now = server.clock().now().as_second();
    let rules = json!({"token_ttl": LIFE.0, "token_max_ttl": LIFE.1, "token_policies": "default"});
    let with = |more: Value| {
        let mut body = rules.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let claims = json!({"iss": "i", "sub": "system:serviceaccount:prod:app", "aud": ["vault"], "iat": now, "nbf": now, "exp": now + 100_000,
        "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "app", "uid": "u"}}});
    let (token, other) = (issuer.token(&claims), "a.b.c");
    let mut ways = Vec::new();
    for kind in catalog::kinds(Class::Auth).map(|k| k.word).filter(|k| !needs_more(k)) {
        server.auth(kind, kind).await;
        let at = |path: &str| format!("auth/{kind}/{path}");
        let way = match kind {
            "userpass" => {
                server.put(&at("users/ann"), with(json!({"password": "right"}))).await.ok();
                let wrong = json!({"password": "wrong"});
                Way {
                    kind,
                    path: at("login/ann"),
                    right: json!({"password": "right"}),
                    wrong: wrong.clone(),
                    nobody: (at("login/bob"), wrong),
                }
            }
            "approle" => {
                server.put(&at("role/ann"), with(json!({}))).await.ok();
                let part = |answer: Answer, key: &str| answer.data()[key].as_str().unwrap().to_owned();
                let role = part(server.get(&at("role/ann/role-id")).await.ok(), "role_id");
                let secret = part(server.put(&at("role/ann/secret-id"), json!({})).await.ok(), "secret_id");
                let body = |role: &str, secret: &str| json!({"role_id": role, "secret_id": secret});
                let nobody = (at("login"), body("none", "wrong"));
                Way { kind, path: at("login"), right: body(&role, &secret), wrong: body(&role, "wrong"), nobody }
            }
            "jwt" | "oidc" => {
                server.put(&at("config"), json!({"jwt_validation_pubkeys": [issuer.pem()]})).await.ok();
                let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault"});
                server.put(&at("role/ann"), with(role)).await.ok();
                let body = |role: &str, jwt: &str| json!({"role": role, "jwt": jwt});
                Way {
                    kind,
                    path: at("login"),
                    right: body("ann", &token),
                    wrong: body("ann", other),
                    nobody: (at("login"), body("bob", other)),
                }
            }
            "kubernetes" => {
                server
                    .put(&at("config"), json!({"kubernetes_host": issuer.url(), "disable_local_ca_jwt": true}))
                    .await
                    .ok();
                let role = json!({"bound_service_account_names": "app", "bound_service_account_namespaces": "prod"});
                server.put(&at("role/ann"), with(role)).await.ok();
                issuer.vouch(
                    &token,
                    json!({"authenticated": true, "user": {"username": "system:serviceaccount:prod:app", "uid": "u"}}),
                );
                let body = |role: &str, jwt: &str| json!({"role": role, "jwt": jwt});
                Way {
                    kind,
                    path: at("login"),
                    right: body("ann", &token),
                    wrong: body("ann", other),
                    nobody: (at("login"), body("bob", other)),
                }
            }
            _ => panic!("nobody has said how one logs in with {kind}"),
        };
        ways.push(way);
    }
    assert!(ways.len() >= 5);
    ways
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_somebody_exists_does_not_show_in_a_refusal() {
    let (server, issuer) = (Server::new().await, Issuer::start().await);
    for way in ways(&server, &issuer).await {
        let before = server.tokens().await;
        let wrong = server.anonymous().put(&way.path, way.wrong).await.is(400);
        let nobody = server.anonymous().put(&way.nobody.0, way.nobody.1).await.is(400);
        assert_eq!(wrong.shape(), nobody.shape(), "{}", way.kind);
        assert_eq!(server.tokens().await, before, "{}: a refusal left a token", way.kind);
        server.anonymous().put(&way.path, way.right).await.ok();
    }
}

/// A second before, at, and a second after the longest life, by every way to renew; asked for far more than there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_login_is_renewed_beyond_the_longest_life_of_its_role() {
    for offset in [-1_i64, 0, 1] {
        for renewal in ["renew-self", "renew", "renew-accessor"] {
            let (server, issuer) = (Server::new().await, Issuer::start().await);
            let mut tokens = Vec::new();
            for way in ways(&server, &issuer).await {
                let auth = server.anonymous().put(&way.path, way.right).await.ok().auth().clone();
                assert_eq!(auth["lease_duration"], LIFE.0, "{}", way.kind);
                tokens.push((
                    way.kind,
                    auth["client_token"].as_str().unwrap().to_owned(),
                    auth["accessor"].as_str().unwrap().to_owned(),
                ));
            }
            let renewed = async |token: &str, accessor: &str| {
                let body = json!({"increment": "9999h", "token": token, "accessor": accessor});
                let http = if renewal == "renew-self" { server.with(token) } else { server.http.clone() };
                http.put(&format!("auth/token/{renewal}"), body).await
            };
            server.clock().advance(LIFE.0 - 1);
            for (kind, token, accessor) in &tokens {
                let left = renewed(token, accessor).await.ok().auth()["lease_duration"].as_u64().unwrap();
                assert!(left <= LIFE.1 - (LIFE.0 - 1), "{kind} by {renewal} has {left} left");
            }
            server.clock().advance((LIFE.1 - (LIFE.0 - 1)).checked_add_signed(offset).unwrap());
            for (kind, token, accessor) in &tokens {
                let answer = renewed(token, accessor).await;
                let what = format!("{kind} by {renewal}, {offset} s from its end: {answer:?}");
                match offset < 0 {
                    true => assert!(answer.auth()["lease_duration"].as_u64().is_none_or(|left| left <= 1), "{what}"),
                    false => assert!(!answer.succeeded(), "{what}"),
                }
            }
            server.clock().advance(2);
            for (kind, token, _) in &tokens {
                assert!(!server.alive(token).await, "{kind} by {renewal}, {offset} s");
            }
        }
    }
}

//! Pods that log in with the token of their service account; the cluster answers as a real one does.

use serde_json::{Value, json};
use warifu::base::Clock;

use crate::http::Answer;
use crate::issuer::Issuer;
use crate::server::Server;

async fn server(cluster: &Issuer, config: Value) -> Server {
    let server = Server::new().await;
    server.auth("kubernetes", "kubernetes").await;
    let mut whole = json!({"kubernetes_host": cluster.url(), "disable_local_ca_jwt": true});
    whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    server.put("auth/kubernetes/config", whole).await.ok();
    let role = json!({"bound_service_account_names": "app,job-*", "bound_service_account_namespaces": "prod",
        "audience": "vault", "token_policies": "p", "token_ttl": "10m"});
    server.put("auth/kubernetes/role/r", role).await.ok();
    server
}

fn token(server: &Server, cluster: &Issuer, namespace: &str, name: &str) -> String {
    let now = server.clock().now().as_second();
    cluster.token(&json!({
        "iss": "https://kubernetes.default.svc", "aud": ["vault"], "sub": format!("system:serviceaccount:{namespace}:{name}"),
        "iat": now, "nbf": now, "exp": now + 600,
        "kubernetes.io": {"namespace": namespace, "pod": {"name": "p"}, "serviceaccount": {"name": name, "uid": format!("uid-{name}")}},
    }))
}

fn yes(namespace: &str, name: &str) -> Value {
    json!({"authenticated": true, "audiences": ["vault"], "user": {
        "username": format!("system:serviceaccount:{namespace}:{name}"), "uid": format!("uid-{name}"),
        "groups": ["system:serviceaccounts", "system:authenticated"]}})
}

async fn login(server: &Server, role: &str, jwt: &str) -> Answer {
    server.anonymous().put("auth/kubernetes/login", json!({"role": role, "jwt": jwt})).await
}

#[tokio::test]
async fn who_the_cluster_does_not_vouch_for_comes_not_in() {
    let cluster = Issuer::start().await;
    let server = server(&cluster, json!({})).await;
    let of = |namespace: &str, name: &str| token(&server, &cluster, namespace, name);
    let stranger = login(&server, "r", &of("prod", "app")).await.is(400);
    // Vouched for, and not meant: another namespace, another name, another account than the token says, another audience.
    for (jwt, said) in [
        (of("dev", "app"), yes("dev", "app")),
        (of("prod", "web"), yes("prod", "web")),
        (of("prod", "job-1"), yes("prod", "app")),
        (of("prod", "job-2"), yes("dev", "job-2")),
        (
            of("prod", "job-3"),
            json!({"authenticated": true, "audiences": ["other"], "user": yes("prod", "job-3")["user"]}),
        ),
        (of("prod", "job-4"), json!({"authenticated": true, "user": yes("prod", "job-4")["user"]})),
        (
            of("prod", "job-5"),
            json!({"authenticated": true, "audiences": ["vault"], "user": {"username": "admin", "uid": "uid-job-5"}}),
        ),
    ] {
        cluster.vouch(&jwt, said);
        assert_eq!(login(&server, "r", &jwt).await.is(400).shape(), stranger.shape());
    }
    let good = of("prod", "app");
    cluster.vouch(&good, yes("prod", "app"));
    assert_eq!(login(&server, "nobody", &good).await.is(400).shape(), stranger.shape());
    for jwt in ["", "x", "x.y.z"] {
        login(&server, "r", jwt).await.is(400);
    }
    cluster.silent(true);
    login(&server, "r", &good).await.is(503);
    cluster.silent(false);
    login(&server, "r", &good).await.ok();
}

#[tokio::test]
async fn a_pod_gets_a_token_that_says_who_it_is() {
    let cluster = Issuer::start().await;
    let server = server(&cluster, json!({"token_reviewer_jwt": "reviewer"})).await;
    let jwt = token(&server, &cluster, "prod", "app");
    cluster.vouch(&jwt, yes("prod", "app"));
    let first = login(&server, "r", &jwt).await.ok();
    let metadata = &first.auth()["metadata"];
    assert_eq!(
        (&metadata["service_account_name"], &metadata["service_account_namespace"], &metadata["role"]),
        (&json!("app"), &json!("prod"), &json!("r"))
    );
    let (question, authorization) = cluster.reviews().pop().unwrap();
    assert_eq!(authorization, "Bearer reviewer");
    assert_eq!(question["spec"]["audiences"], json!(["vault"]));
    assert!(!server.get("auth/kubernetes/config").await.ok().text.contains("\"reviewer\""));
    let again = login(&server, "r", &jwt).await.ok();
    assert_eq!(first.auth()["entity_id"], again.auth()["entity_id"]);
    server.put("auth/kubernetes/role/r", json!({"alias_name_source": "serviceaccount_name"})).await.ok();
    assert_ne!(login(&server, "r", &jwt).await.ok().auth()["entity_id"], first.auth()["entity_id"]);
}

#[tokio::test]
async fn keys_of_the_cluster_are_asked_before_the_cluster_is() {
    let cluster = Issuer::start().await;
    let server = server(&cluster, json!({"pem_keys": [cluster.pem()]})).await;
    let good = token(&server, &cluster, "prod", "app");
    cluster.vouch(&good, yes("prod", "app"));
    login(&server, "r", &good).await.ok();
    cluster.turn("another");
    let forged = token(&server, &cluster, "prod", "app");
    cluster.vouch(&forged, yes("prod", "app"));
    let asked = cluster.reviews().len();
    login(&server, "r", &forged).await.is(400);
    assert_eq!(cluster.reviews().len(), asked);
    server.clock().advance(700);
    login(&server, "r", &good).await.is(400);
}

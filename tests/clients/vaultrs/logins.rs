//! `auth/`: userpass, AppRole, JWT, Kubernetes as far as it goes without a cluster, TLS certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vaultrs::api::auth::approle::requests::{GenerateNewSecretIDRequest, SetAppRoleRequest};
use vaultrs::api::auth::cert::requests::CreateCaCertificateRoleRequest;
use vaultrs::api::auth::kubernetes::requests::{ConfigureKubernetesAuthRequest, CreateKubernetesRoleRequest};
use vaultrs::api::auth::oidc::requests as oidc_requests;
use vaultrs::api::auth::userpass::requests::CreateUserRequest;
use vaultrs::api::pki::requests::{GenerateCertificateRequest, GenerateRootRequest, SetRoleRequest};
use vaultrs::auth::{approle, cert, kubernetes, oidc, userpass};
use vaultrs::client::Client;
use vaultrs::{pki, sys};

use crate::world::{NONE, WRONG, World, refused};

crate::stories!(
    a_password_logs_in_until_it_is_changed,
    an_approle_logs_in_with_its_two_halves,
    a_signed_token_logs_in,
    roles_of_kubernetes_are_kept_and_a_token_of_no_cluster_is_refused,
);

pub const TLS: &[crate::Story] =
    &[("a certificate logs in and without it the token is worth less", |world| Box::pin(certificate(world)))];

fn default() -> Vec<String> {
    vec!["default".to_owned()]
}

async fn a_password_logs_in_until_it_is_changed(world: World) {
    let (root, nobody) = (world.root(), world.nobody());
    sys::auth::enable(&root, "userpass", "userpass", None).await.unwrap();
    let mut wanted = CreateUserRequest::builder();
    wanted.token_policies(default()).token_ttl("10m");
    userpass::user::set(&root, "userpass", "ann", "a password", Some(&mut wanted)).await.unwrap();
    let auth = userpass::login(&nobody, "userpass", "ann", "a password").await.unwrap();
    assert_eq!((auth.lease_duration, auth.metadata.unwrap()["username"].as_str()), (600, "ann"));
    assert!(!auth.entity_id.is_empty());
    let wrong = refused(userpass::login(&nobody, "userpass", "ann", "another").await, WRONG);
    assert_eq!(wrong, refused(userpass::login(&nobody, "userpass", "bob", "another").await, WRONG));
    userpass::user::update_password(&root, "userpass", "ann", "the next").await.unwrap();
    refused(userpass::login(&nobody, "userpass", "ann", "a password").await, WRONG);
    userpass::login(&nobody, "userpass", "ann", "the next").await.unwrap();
    userpass::user::update_policies(&root, "userpass", "ann", "default,more").await.unwrap();
    let read = userpass::user::read(&root, "userpass", "ann").await.unwrap();
    assert_eq!((read.token_policies, read.token_ttl), (vec!["default".to_owned(), "more".to_owned()], 600));
    assert_eq!(userpass::user::list(&root, "userpass").await.unwrap().keys, ["ann"]);
    userpass::user::delete(&root, "userpass", "ann").await.unwrap();
    refused(userpass::user::read(&root, "userpass", "ann").await, NONE);
}

async fn an_approle_logs_in_with_its_two_halves(world: World) {
    let (root, nobody) = (world.root(), world.nobody());
    sys::auth::enable(&root, "approle", "approle", None).await.unwrap();
    let mut wanted = SetAppRoleRequest::builder();
    wanted.token_policies(default()).secret_id_num_uses(1u64).token_ttl("10m");
    approle::role::set(&root, "approle", "web", Some(&mut wanted)).await.unwrap();
    assert_eq!(approle::role::list(&root, "approle").await.unwrap().keys, ["web"]);
    assert_eq!(approle::role::read(&root, "approle", "web").await.unwrap().token_policies, default());
    approle::role::update_id(&root, "approle", "web", "role-of-web").await.unwrap();
    let id = approle::role::read_id(&root, "approle", "web").await.unwrap().role_id;
    assert_eq!(id, "role-of-web");
    let mut about = GenerateNewSecretIDRequest::builder();
    about.metadata(r#"{"host": "a"}"#);
    let secret = approle::role::secret::generate(&root, "approle", "web", Some(&mut about)).await.unwrap();
    let known = approle::role::secret::read(&root, "approle", "web", &secret.secret_id).await.unwrap();
    assert_eq!((known.secret_id_num_uses, known.metadata.unwrap()["host"].as_str()), (1, "a"));
    approle::role::secret::read_accessor(&root, "approle", "web", &secret.secret_id_accessor).await.unwrap();
    let auth = approle::login(&nobody, "approle", &id, &secret.secret_id).await.unwrap();
    world.by(&auth.client_token).lookup().await.unwrap();
    let spent = refused(approle::login(&nobody, "approle", &id, &secret.secret_id).await, WRONG);
    assert_eq!(spent, refused(approle::login(&nobody, "approle", "none", "none").await, WRONG));
    let own = approle::role::secret::custom(&root, "approle", "web", "a-secret-of-my-own", None).await.unwrap();
    assert_eq!(
        approle::role::secret::list(&root, "approle", "web").await.unwrap().keys,
        std::slice::from_ref(&own.secret_id_accessor)
    );
    approle::role::secret::delete_accessor(&root, "approle", "web", &own.secret_id_accessor).await.unwrap();
    refused(approle::login(&nobody, "approle", &id, "a-secret-of-my-own").await, WRONG);
    approle::role::delete(&root, "approle", "web").await.unwrap();
    refused(approle::role::read(&root, "approle", "web").await, NONE);
}

/// Who signs tokens: a key, and its public half in PEM.
struct Issuer {
    key: EcdsaKeyPair,
    pem: String,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        // SubjectPublicKeyInfo of P-256 (RFC 5480): the same 26 bytes before every point.
        let mut spki =
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
                .to_vec();
        spki.extend_from_slice(key.public_key().as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki));
        Self { key, pem }
    }

    fn token(&self, subject: &str, audience: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = serde_json::json!({"sub": subject, "aud": audience, "iat": now, "exp": now + 600});
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

async fn a_signed_token_logs_in(world: World) {
    let (root, nobody) = (world.root(), world.nobody());
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    sys::auth::enable(&root, "jwt", "jwt", None).await.unwrap();
    let mut config = oidc_requests::SetConfigurationRequest::builder();
    oidc::config::set(&root, "jwt", Some(config.jwt_validation_pubkeys(vec![issuer.pem.clone()]))).await.unwrap();
    assert_eq!(oidc::config::read(&root, "jwt").await.unwrap().jwt_validation_pubkeys.unwrap().len(), 1);
    let mut wanted = oidc_requests::SetRoleRequest::builder();
    wanted.role_type("jwt").bound_audiences(vec!["warifu".to_owned()]).token_policies(default());
    // A strict reader: where there are none it is sent null, as Vault sends it, and stumbles.
    let redirects = vec!["http://127.0.0.1:8250/oidc/callback".to_owned()];
    oidc::role::set(&root, "jwt", "job", "sub", redirects, Some(&mut wanted)).await.unwrap();
    assert_eq!(oidc::role::list(&root, "jwt").await.unwrap().keys, ["job"]);
    assert_eq!(oidc::role::read(&root, "jwt", "job").await.unwrap().user_claim, "sub");
    let login = |token: String| {
        let nobody = &nobody;
        async move { oidc::login(nobody, "jwt", &token, Some("job".to_owned())).await }
    };
    let auth = login(issuer.token("job-7", "warifu")).await.unwrap();
    assert_eq!(world.by(&auth.client_token).lookup().await.unwrap().display_name, "jwt-job-7");
    refused(login(issuer.token("job-7", "others")).await, WRONG);
    refused(login(stranger.token("job-7", "warifu")).await, WRONG);
    oidc::role::delete(&root, "jwt", "job").await.unwrap();
    refused(login(issuer.token("job-7", "warifu")).await, WRONG);
}

async fn roles_of_kubernetes_are_kept_and_a_token_of_no_cluster_is_refused(world: World) {
    let root = world.root();
    sys::auth::enable(&root, "kubernetes", "kubernetes", None).await.unwrap();
    let issuer = Issuer::new();
    let mut config = ConfigureKubernetesAuthRequest::builder();
    config.disable_local_ca_jwt(true).pem_keys(vec![issuer.pem.clone()]);
    kubernetes::configure(&root, "kubernetes", "http://127.0.0.1:1", Some(&mut config)).await.unwrap();
    assert_eq!(kubernetes::read_config(&root, "kubernetes").await.unwrap().kubernetes_host, "http://127.0.0.1:1");
    let mut wanted = CreateKubernetesRoleRequest::builder();
    wanted
        .bound_service_account_names(vec!["app".to_owned()])
        .bound_service_account_namespaces(vec!["prod".to_owned()]);
    kubernetes::role::create(&root, "kubernetes", "app", Some(wanted.token_policies(default()))).await.unwrap();
    assert_eq!(kubernetes::role::list(&root, "kubernetes").await.unwrap().keys, ["app"]);
    assert_eq!(kubernetes::role::read(&root, "kubernetes", "app").await.unwrap().bound_service_account_names, ["app"]);
    refused(kubernetes::login(&world.nobody(), "kubernetes", "app", &Issuer::new().token("a", "b")).await, WRONG);
    kubernetes::role::delete(&root, "kubernetes", "app").await.unwrap();
    refused(kubernetes::role::read(&root, "kubernetes", "app").await, NONE);
}

async fn certificate(world: World) {
    let root = world.root();
    sys::mount::enable(&root, "pki", "pki", None).await.unwrap();
    let mut wanted = GenerateRootRequest::builder();
    let ca = pki::cert::ca::generate(&root, "pki", "internal", Some(wanted.common_name("CA").key_type("ec")))
        .await
        .unwrap()
        .unwrap();
    let mut role = SetRoleRequest::builder();
    pki::role::set(&root, "pki", "client", Some(role.allow_any_name(true).key_type("ec").ttl("1h"))).await.unwrap();
    sys::auth::enable(&root, "cert", "cert", None).await.unwrap();
    let mut names = CreateCaCertificateRoleRequest::builder();
    names.allowed_common_names(vec!["web-*".to_owned()]).token_policies(default());
    cert::ca_cert_role::set(&root, "cert", "web", &ca.certificate, Some(&mut names)).await.unwrap();
    assert_eq!(cert::ca_cert_role::list(&root, "cert").await.unwrap().keys, ["web"]);
    assert_eq!(cert::ca_cert_role::read(&root, "cert", "web").await.unwrap().allowed_common_names.unwrap(), ["web-*"]);
    let issued = async |name: &str| {
        let mut wanted = GenerateCertificateRequest::builder();
        let made = pki::cert::generate(&root, "pki", "client", Some(wanted.common_name(name))).await.unwrap();
        format!("{}\n{}\n{}\n", made.certificate, ca.certificate, made.private_key)
    };
    let web = issued("web-1").await;
    let auth = cert::login(&world.with("", Some(&web)), "cert", "web").await.unwrap();
    assert_eq!(auth.metadata.unwrap()["common_name"], "web-1");
    world.with(&auth.client_token, Some(&web)).renew(None).await.unwrap();
    refused(world.by(&auth.client_token).renew(None).await, WRONG);
    refused(cert::login(&world.nobody(), "cert", "web").await, WRONG);
    let other = issued("db-1").await;
    refused(cert::login(&world.with("", Some(&other)), "cert", "web").await, WRONG);
    cert::ca_cert_role::delete(&root, "cert", "web").await.unwrap();
    refused(cert::login(&world.with("", Some(&web)), "cert", "web").await, WRONG);
}

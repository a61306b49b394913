//! Workloads, CI jobs and people who log in with what an issuer says of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use warifu::base::{Clock, limits};
use warifu::crypto::{Curve, Hash, KeyKind, PrivateKey, SignatureAlgorithm};

use crate::http::Answer;
use crate::issuer::{Issuer, sign, sign_text};
use crate::server::{Server, at_once};

async fn server(issuer: &Issuer, role: Value) -> Server {
    let server = Server::new().await;
    server.auth("jwt", "jwt").await;
    let config = json!({"jwks_url": format!("{}/keys", issuer.url()), "bound_issuer": issuer.url()});
    server.put("auth/jwt/config", config).await.ok();
    let mut whole =
        json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_type": "batch"});
    whole.as_object_mut().unwrap().extend(role.as_object().unwrap().clone());
    server.put("auth/jwt/role/ci", whole).await.ok();
    server
}

fn now(server: &Server) -> i64 {
    server.clock().now().as_second()
}

/// Claims that are good for a minute.
fn claims(server: &Server, issuer: &Issuer, more: Value) -> Value {
    let now = now(server);
    let mut claims = json!({"iss": issuer.url(), "sub": "s", "aud": "vault", "iat": now, "nbf": now, "exp": now + 60});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

async fn login(server: &Server, role: &str, jwt: &str) -> Answer {
    server.anonymous().put("auth/jwt/login", json!({"role": role, "jwt": jwt})).await
}

#[tokio::test]
async fn a_token_that_no_key_of_the_issuer_signed_is_worth_nothing() {
    let issuer = Issuer::start().await;
    let server = server(&issuer, json!({})).await;
    let good = issuer.token(&claims(&server, &issuer, json!({})));
    let before = server.tokens().await;
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = head.split_once('.').unwrap();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let other = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
    let rsa = PrivateKey::generate(KeyKind::Rsa(2048)).unwrap();
    let plain = claims(&server, &issuer, json!({}));
    // The public key as the secret of a symmetric algorithm: the oldest trick with tokens.
    let confused = {
        let signed = format!("{}.{body}", encode(r#"{"alg":"HS256","kid":"k1"}"#));
        let tag = warifu::crypto::hmac_sha256(issuer.pem().as_bytes(), &[signed.as_bytes()]);
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let by_rsa = {
        let signed = format!("{}.{body}", encode(r#"{"alg":"RS256","kid":"k1"}"#));
        let signature = rsa.sign(SignatureAlgorithm::RsaPkcs1(Hash::Sha256), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[0] ^= 1;
    let bad = [
        String::new(),
        "x.y.z".into(),
        format!("{}.{body}.", encode(r#"{"alg":"none"}"#)),
        format!("{}.{body}.{signature}", encode(r#"{"alg":"None","kid":"k1"}"#)),
        format!("{}.{body}.{signature}", encode(r#"{"alg":"none","kid":"k1"}"#)),
        confused,
        by_rsa,
        sign(&json!({"alg": "ES256", "kid": "k1"}), &plain, &other),
        sign(&json!({"alg": "ES384", "kid": "k1"}), &plain, &other),
        format!("{head}.{}", URL_SAFE_NO_PAD.encode(flipped)),
        format!("{head}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        format!("{head}.{signature}="),
        format!("{header}.{}.{signature}", encode(&plain.to_string().replace("\"s\"", "\"t\""))),
        format!("{head}.{signature}.{signature}"),
        format!(" {good}"),
        format!("{good}{}", "A".repeat(limits::JWT_BYTES)),
    ];
    for jwt in &bad {
        let known = login(&server, "ci", jwt).await.is(400);
        assert!(jwt.len() < 20 || !known.text.contains(&jwt[..20]), "{known:?}");
        let unknown = login(&server, "nobody", jwt).await.is(400);
        assert_eq!(known.shape(), unknown.shape());
    }
    assert_eq!(server.tokens().await, before);
    login(&server, "ci", &good).await.ok();
}

#[tokio::test]
async fn what_a_token_must_say_is_asked_in_every_form() {
    let issuer = Issuer::start().await;
    let server = server(&issuer, json!({"bound_claims": {"team": ["blue", "green"], "/org/unit": "u7"}})).await;
    let now = now(&server);
    let right = json!({"team": "blue", "org": {"unit": "u7"}});
    let with = |more: Value| {
        let mut all = claims(&server, &issuer, right.clone());
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
                value => all[name] = value.clone(),
            }
        }
        issuer.token(&all)
    };
    for more in [
        json!({"iss": null}),
        json!({"iss": "https://else.test"}),
        json!({"iss": [issuer.url()]}),
        json!({"iss": format!("{}/", issuer.url())}),
        json!({"aud": null}),
        json!({"aud": "Vault"}),
        json!({"aud": []}),
        json!({"aud": [["vault"]]}),
        json!({"aud": {"vault": 1}}),
        json!({"aud": ["vault", 1]}),
        json!({"exp": now - 61}),
        json!({"exp": "9999999999"}),
        json!({"exp": [now + 60]}),
        json!({"nbf": now + 61}),
        json!({"iat": now + 61}),
        json!({"exp": null, "nbf": null, "iat": null}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": ["s"]}),
        json!({"sub": "x".repeat(limits::NAME_BYTES + 1)}),
        json!({"team": null}),
        json!({"team": "red"}),
        json!({"team": ["red"]}),
        json!({"team": {"blue": true}}),
        json!({"org": null, "/org": {"unit": "u7"}}),
        json!({"org": {"unit": ["u8"]}}),
    ] {
        login(&server, "ci", &with(more.clone())).await.is(400);
    }
    for more in [json!({}), json!({"aud": ["x", "vault"]}), json!({"team": ["red", "green"]}), json!({"exp": now - 59})]
    {
        login(&server, "ci", &with(more)).await.ok();
    }
    // The same claim twice: two readers would see two tokens.
    let key = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
    server.auth("static", "jwt").await;
    server.put("auth/static/config", json!({"jwt_validation_pubkeys": [key.public().pem().unwrap()]})).await.ok();
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_subject": "s"});
    server.put("auth/static/role/r", role).await.ok();
    let twice = format!(r#"{{"sub":"t","sub":"s","iat":{now},"exp":{}}}"#, now + 60);
    let once = format!(r#"{{"sub":"s","iat":{now},"exp":{}}}"#, now + 60);
    for (text, status) in [(twice, 400), (once, 200)] {
        let jwt = sign_text(r#"{"alg":"ES256"}"#, &text, &key);
        server.anonymous().put("auth/static/login", json!({"role": "r", "jwt": jwt})).await.is(status);
    }
}

#[tokio::test]
async fn a_role_that_is_not_there_answers_as_one_that_does_not_want_the_token() {
    let issuer = Issuer::start().await;
    let server = server(&issuer, json!({"bound_subject": "another"})).await;
    let jwt = issuer.token(&claims(&server, &issuer, json!({})));
    let known = login(&server, "ci", &jwt).await.is(400);
    assert_eq!(known.shape(), login(&server, "nobody", &jwt).await.is(400).shape());
    server.put("auth/jwt/role/ci", json!({"bound_subject": "s", "token_bound_cidrs": "10.0.0.0/8"})).await.ok();
    assert_eq!(known.shape(), login(&server, "ci", &jwt).await.is(400).shape());
    // A proxy's header from nobody's proxy moves no address.
    let call = server.anonymous().put("auth/jwt/login", json!({"role": "ci", "jwt": jwt}));
    assert_eq!(known.shape(), call.header("x-forwarded-for", "10.0.0.1").await.is(400).shape());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_turn_and_a_flood_of_unknown_names_does_not_reach_the_issuer() {
    let issuer = Issuer::start().await;
    let server = server(&issuer, json!({})).await;
    let old = issuer.token(&claims(&server, &issuer, json!({})));
    login(&server, "ci", &old).await.ok();
    let asked = issuer.asked();
    let key = std::sync::Arc::new(PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap());
    let flood = (0..200).map(|n| {
        let jwt =
            sign(&json!({"alg": "ES256", "kid": format!("made-up-{n}")}), &claims(&server, &issuer, json!({})), &key);
        server.anonymous().put("auth/jwt/login", json!({"role": "ci", "jwt": jwt})).into_future()
    });
    assert!(at_once(flood.collect::<Vec<_>>()).await.iter().all(|answer| answer.status == 400));
    assert_eq!(issuer.asked(), asked, "within the floor nobody looks again");
    issuer.turn("k2");
    let new = issuer.token(&claims(&server, &issuer, json!({})));
    login(&server, "ci", &new).await.is(400);
    server.clock().advance(limits::JWKS_FLOOR_SECONDS);
    login(&server, "ci", &new).await.ok();
    assert_eq!(issuer.asked(), asked + 1);
    login(&server, "ci", &old).await.is(400);
    // Nor does anybody look again and again while the issuer is away: its keys stay good for a while, and then no more.
    issuer.silent(true);
    server.clock().advance(limits::JWKS_FLOOR_SECONDS);
    let asked = issuer.asked();
    for _ in 0..5 {
        login(&server, "ci", &old).await.is(503);
    }
    assert!(issuer.asked() <= asked + 1, "a look that fails counts for the floor too");
    server.clock().advance(limits::JWKS_FRESH_SECONDS);
    login(&server, "ci", &issuer.token(&claims(&server, &issuer, json!({})))).await.ok();
    server.clock().advance(limits::JWKS_STALE_SECONDS);
    login(&server, "ci", &issuer.token(&claims(&server, &issuer, json!({})))).await.is(503);
    issuer.silent(false);
    login(&server, "ci", &issuer.token(&claims(&server, &issuer, json!({})))).await.ok();
}

#[tokio::test]
async fn a_batch_login_of_somebody_known_writes_nothing() {
    let issuer = Issuer::start().await;
    let server = server(&issuer, json!({})).await;
    let jwt = issuer.token(&claims(&server, &issuer, json!({})));
    let first = login(&server, "ci", &jwt).await.ok();
    let position = server.plan.storage.position().unwrap();
    let second = login(&server, "ci", &jwt).await.ok();
    assert_eq!(server.plan.storage.position().unwrap(), position);
    assert_eq!(first.auth()["entity_id"], second.auth()["entity_id"]);
    assert_eq!(second.auth()["token_type"], "batch");
}

#[tokio::test]
async fn a_nomad_task_reaches_its_own_secrets_and_no_others() {
    let issuer = Issuer::start().await;
    let role = json!({
        "user_claim": "/nomad_job_id", "user_claim_json_pointer": true, "bound_claims": {"nomad_namespace": "prod"},
        "claim_mappings": {"nomad_namespace": "nomad_namespace", "nomad_job_id": "nomad_job_id", "nomad_task": "nomad_task"},
        "token_type": "service", "token_period": "30m", "token_policies": ["nomad"],
    });
    let server = server(&issuer, role).await;
    server.kv("kv", 1).await;
    let accessor = server.get("sys/auth").await.ok().data()["jwt/"]["accessor"].as_str().unwrap().to_owned();
    let own = format!("{{{{identity.entity.aliases.{accessor}.metadata.nomad_job_id}}}}");
    server.policy("nomad", &format!(r#"path "kv/{own}/*" {{ capabilities = ["read"] }}"#)).await;
    for job in ["web", "db"] {
        server.put(&format!("kv/{job}/a"), json!({"k": job})).await.ok();
    }
    let of = |namespace: &str, job: &str| {
        let more = json!({"sub": format!("global:{namespace}:{job}:g:t:vault"), "nomad_namespace": namespace,
            "nomad_job_id": job, "nomad_task": "t", "nomad_allocation_id": "a"});
        issuer.token(&claims(&server, &issuer, more))
    };
    login(&server, "ci", &of("dev", "web")).await.is(400);
    let web = login(&server, "ci", &of("prod", "web")).await.ok();
    let db = login(&server, "ci", &of("prod", "db")).await.ok();
    assert_ne!(web.auth()["entity_id"], db.auth()["entity_id"]);
    assert_eq!(web.auth()["metadata"]["nomad_task"], "t");
    assert_eq!(web.auth()["lease_duration"], 1800);
    let http = server.with(web.auth()["client_token"].as_str().unwrap());
    http.get("kv/web/a").await.ok();
    http.get("kv/db/a").await.is(403);
    server.clock().advance(1700);
    http.put("auth/token/renew-self", json!({})).await.ok();
    server.delete("auth/jwt/role/ci").await.ok();
    http.put("auth/token/renew-self", json!({})).await.is(400);
}

#[tokio::test]
async fn a_ci_job_is_bound_to_its_project_and_branch() {
    let issuer = Issuer::start().await;
    let gitlab = json!({"user_claim": "project_path", "bound_claims_type": "glob",
        "bound_claims": {"project_path": "shop/*", "ref_protected": "true", "ref": ["main", "release-*"]}});
    let server = server(&issuer, gitlab).await;
    let of = |path: &str, branch: &str, protected: &str| {
        let more = json!({"project_path": path, "ref": branch, "ref_protected": protected, "ref_type": "branch"});
        issuer.token(&claims(&server, &issuer, more))
    };
    for (path, branch, protected) in [
        ("evil/shop/web", "main", "true"),
        ("shop/web", "feature", "true"),
        ("shop/web", "main", "false"),
        ("shop", "main", "true"),
    ] {
        login(&server, "ci", &of(path, branch, protected)).await.is(400);
    }
    login(&server, "ci", &of("shop/web", "release-7", "true")).await.ok();
    let github = json!({"user_claim": "repository", "bound_claims_type": "string",
        "bound_claims": {"repository": "shop/web", "environment": "prod"}, "bound_subject": "repo:shop/web:environment:prod"});
    server.put("auth/jwt/role/ci", github).await.ok();
    let of = |sub: &str| {
        issuer.token(&claims(&server, &issuer, json!({"sub": sub, "repository": "shop/web", "environment": "prod"})))
    };
    login(&server, "ci", &of("repo:shop/web:pull_request")).await.is(400);
    login(&server, "ci", &of("repo:shop/web:environment:prod")).await.ok();
}

#[tokio::test]
async fn a_simulation_says_what_a_login_would_and_why_not_and_makes_nothing() {
    let issuer = Issuer::start().await;
    let server =
        server(&issuer, json!({"bound_claims": {"team": "blue"}, "groups_claim": "groups", "token_policies": ["p"]}))
            .await;
    let before = (server.tokens().await, server.plan.storage.position().unwrap());
    let bad = claims(&server, &issuer, json!({"team": "canary", "aud": "canary", "groups": ["g"]}));
    let answer = server.put("auth/jwt/simulate", json!({"role": "ci", "claims": bad})).await.ok();
    assert_eq!(answer.data()["admitted"], false);
    assert_eq!(answer.data()["reasons"].as_array().unwrap().len(), 2, "{answer:?}");
    assert!(!answer.text.contains("canary"));
    let good = claims(&server, &issuer, json!({"team": "blue", "groups": ["g"]}));
    for body in [json!({"role": "ci", "claims": good}), json!({"role": "ci", "jwt": issuer.token(&good)})] {
        let answer = server.put("auth/jwt/simulate", body).await.ok();
        assert_eq!(answer.data()["admitted"], true, "{answer:?}");
        assert_eq!(answer.data()["token_policies"], json!(["default", "p"]));
        assert_eq!((&answer.data()["user"], &answer.data()["groups"]), (&json!("s"), &json!(["g"])));
    }
    let forged =
        sign(&json!({"alg": "ES256", "kid": "k1"}), &good, &PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap());
    let answer = server.put("auth/jwt/simulate", json!({"role": "ci", "jwt": forged})).await.ok();
    assert_eq!(answer.data()["admitted"], false);
    server.put("auth/jwt/simulate", json!({"role": "nobody", "claims": good})).await.is(400);
    server.anonymous().put("auth/jwt/simulate", json!({"role": "ci", "claims": good})).await.is(403);
    assert_eq!((server.tokens().await, server.plan.storage.position().unwrap()), before);
}

const BACK: &str = "http://localhost:8250/oidc/callback";

async fn browsers(issuer: &Issuer, config: Value) -> Server {
    let server = Server::new().await;
    server.auth("oidc", "oidc").await;
    let mut whole = json!({"oidc_discovery_url": issuer.url(), "oidc_client_id": "warifu", "oidc_client_secret": "its-secret",
        "default_role": "people"});
    whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    server.put("auth/oidc/config", whole).await.ok();
    let role = json!({"user_claim": "sub", "allowed_redirect_uris": BACK, "token_policies": "p", "oidc_scopes": "profile",
        "claim_mappings": {"team": "team"}});
    server.put("auth/oidc/role/people", role).await.ok();
    server
}

async fn begin(server: &Server) -> String {
    let body = json!({"redirect_uri": BACK, "client_nonce": "cn"});
    let answer = server.anonymous().put("auth/oidc/oidc/auth_url", body).await.ok();
    answer.data()["auth_url"].as_str().unwrap().to_owned()
}

async fn back(server: &Server, state: &str, code: &str, nonce: &str) -> Answer {
    server.anonymous().get(&format!("auth/oidc/oidc/callback?state={state}&code={code}&client_nonce={nonce}")).await
}

fn person(server: &Server) -> Value {
    let now = now(server);
    json!({"sub": "anna", "iat": now, "exp": now + 60})
}

#[tokio::test]
async fn a_login_in_a_browser_is_good_once_for_who_began_it() {
    let issuer = Issuer::start().await;
    let server = browsers(&issuer, json!({})).await;
    for uri in ["https://evil.test/", "http://localhost:8250/other", ""] {
        server.anonymous().put("auth/oidc/oidc/auth_url", json!({"redirect_uri": uri})).await.is(400);
    }
    server.anonymous().put("auth/oidc/oidc/auth_url", json!({"role": "nobody", "redirect_uri": BACK})).await.is(400);
    let (state, code) = issuer.log_in(&begin(&server).await, person(&server));
    back(&server, "made-up", &code, "cn").await.is(400);
    back(&server, &state, &code, "").await.is(400);
    back(&server, &state, &code, "another").await.is(400);
    let answer = server
        .anonymous()
        .get(&format!("auth/oidc/oidc/callback?state={state}&client_nonce=cn&error=%3Cb%3Ecanary"))
        .await;
    assert!(!answer.is(400).text.contains("canary"));
    let login = back(&server, &state, &code, "cn").await.ok();
    assert_eq!(login.auth()["metadata"], json!({"role": "people", "team": "from-userinfo"}));
    assert_eq!(login.auth()["token_policies"], json!(["default", "p"]));
    back(&server, &state, &code, "cn").await.is(400);
    // A code of one login is no code of another: its nonce, its proof and its state are its own.
    let (one, _) = issuer.log_in(&begin(&server).await, person(&server));
    let (_, other) = issuer.log_in(&begin(&server).await, person(&server));
    back(&server, &one, &other, "cn").await.is(400);
    let mut foreign = person(&server);
    foreign["nonce"] = "another".into();
    let (state, code) = issuer.log_in(&begin(&server).await, foreign);
    back(&server, &state, &code, "cn").await.refused(400, "nonce");
    let (state, code) = issuer.log_in(&begin(&server).await, person(&server));
    server.clock().advance(limits::OIDC_STATE_SECONDS);
    back(&server, &state, &code, "cn").await.is(400);
    let hold = issuer.token(&person(&server));
    server.anonymous().put("auth/oidc/login", json!({"role": "people", "jwt": hold})).await.is(400);
}

#[tokio::test]
async fn a_form_from_a_browser_gets_a_page_and_its_program_the_token() {
    let issuer = Issuer::start().await;
    let server = browsers(&issuer, json!({"oidc_response_mode": "form_post"})).await;
    let url = begin(&server).await;
    assert!(url.contains("response_mode=form%5Fpost"), "{url}");
    let (state, code) = issuer.log_in(&url, person(&server));
    let waiting = format!("auth/oidc/oidc/callback?state={state}&client_nonce=cn");
    server.anonymous().get(&waiting).await.refused(400, "no code");
    let post = |state: &str, code: &str| {
        let form = format!("state={state}&code={code}");
        let call = server.anonymous().call("POST", "auth/oidc/oidc/callback").bytes(form);
        call.header("content-type", "application/x-www-form-urlencoded")
    };
    post("made-up", &code).await.is(400);
    let page = post(&state, &code).await.is(200);
    assert!(page.text.starts_with("<!doctype html>") && !page.text.contains(&code), "{page:?}");
    // A second form does not put another's code in its place.
    post(&state, "another").await.is(400);
    server.anonymous().get(&format!("auth/oidc/oidc/callback?state={state}&client_nonce=x")).await.is(400);
    server.anonymous().get(&waiting).await.ok();
    server.anonymous().get(&waiting).await.is(400);
}

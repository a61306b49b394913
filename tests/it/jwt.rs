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

#[tokio::test]
async fn nothing_may_be_said_twice_in_a_token_and_nothing_beside_it() {
    let server = Server::new().await;
    let now = now(&server);
    let key = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
    server.auth("jwt", "jwt").await;
    server.put("auth/jwt/config", json!({"jwt_validation_pubkeys": [key.public().pem().unwrap()]})).await.ok();
    server
        .put("auth/jwt/role/r", json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault"}))
        .await
        .ok();
    let good = format!(r#"{{"sub":"s","aud":"vault","iat":{now},"exp":{}}}"#, now + 60);
    let head = r#"{"alg":"ES256"}"#;
    let with = |more: &str| good.replacen('{', &format!("{{{more},"), 1);
    for (header, claims) in [
        // Twice: at the top, below, in another spelling of the same letters.
        (r#"{"alg":"none","alg":"ES256"}"#.to_owned(), good.clone()),
        (r#"{"alg":"ES256","alg":"ES256"}"#.into(), good.clone()),
        (r#"{"alg":"ES256","\u0061lg":"ES256"}"#.into(), good.clone()),
        (r#"{"alg":"ES256","kid":"a","kid":"b"}"#.into(), good.clone()),
        (r#"{"alg":"ES256","jwk":{"a":1,"a":2}}"#.into(), good.clone()),
        (head.into(), with(r#""sub":"admin""#)),
        (head.into(), with(r#""\u0073ub":"admin""#)),
        (head.into(), with(r#""aud":"other""#)),
        (head.into(), with(&format!(r#""exp":{}"#, now - 9000))),
        (head.into(), with(r#""deep":{"a":1,"a":2}"#)),
        // What must be understood and is not.
        (r#"{"alg":"ES256","crit":["exp"],"exp":1}"#.into(), good.clone()),
        (r#"{"alg":"ES256","b64":false}"#.into(), good.clone()),
        // What is no object, no text, has something behind it, is too deep.
        ("[]".into(), good.clone()),
        (head.into(), "[]".into()),
        (head.into(), "\"s\"".into()),
        (head.into(), format!("{good} {good}")),
        (head.into(), format!("{good}x")),
        (head.into(), with(&format!(r#""d":{}1{}"#, "[".repeat(200), "]".repeat(200)))),
        // A number that is none, a moment beyond all moments.
        (head.into(), good.replace(&format!("\"exp\":{}", now + 60), "\"exp\":1e999")),
        (head.into(), good.replace(&format!("\"exp\":{}", now + 60), "\"exp\":NaN")),
        (head.into(), good.replace(&format!("\"exp\":{}", now + 60), "\"exp\":-1")),
        (head.into(), good.replace(&format!("\"exp\":{}", now + 60), "\"exp\":true")),
        // Oversized, and signed all the same.
        (head.into(), with(&format!(r#""x":"{}""#, "x".repeat(limits::JWT_BYTES)))),
    ] {
        let answer = login(&server, "r", &sign_text(&header, &claims, &key)).await;
        assert_eq!(answer.status, 400, "{header} {}: {answer:?}", &claims[..claims.len().min(90)]);
    }
    // A key that a token brings along is nobody's: by itself, by address, as a certificate.
    let own = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
    let jwk = warifu::crypto::Jwk::of(own.public().clone()).json().unwrap().text();
    for header in [
        format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#),
        r#"{"alg":"ES256","jku":"http://127.0.0.1:1/keys"}"#.into(),
        r#"{"alg":"ES256","x5u":"http://127.0.0.1:1/cert"}"#.into(),
        r#"{"alg":"ES256","x5c":["AA=="]}"#.into(),
        r#"{"alg":"ES256","kid":"../../dev/null"}"#.into(),
    ] {
        login(&server, "r", &sign_text(&header, &good, &own)).await.is(400);
    }
    login(&server, "r", &sign_text(head, &good, &key)).await.ok();
}

#[tokio::test]
async fn leeways_move_the_ends_and_no_more() {
    let issuer = Issuer::start().await;
    let server = server(&issuer, json!({})).await;
    let now = now(&server);
    let with = |times: Value| {
        let mut all = json!({"iss": issuer.url(), "sub": "s", "aud": "vault"});
        all.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        issuer.token(&all)
    };
    let table = [
        (json!({}), json!({"exp": now - 59, "iat": 1}), true),
        (json!({}), json!({"exp": now - 60, "iat": 1}), false),
        (json!({"clock_skew_leeway": 5}), json!({"exp": now - 4, "iat": 1}), true),
        (json!({"clock_skew_leeway": 5}), json!({"exp": now - 5, "iat": 1}), false),
        (json!({"clock_skew_leeway": "2m"}), json!({"exp": now - 119, "iat": 1}), true),
        (json!({"clock_skew_leeway": "2m"}), json!({"exp": now + 600, "nbf": now + 120}), true),
        (json!({"clock_skew_leeway": "2m"}), json!({"exp": now + 600, "nbf": now + 121}), false),
        (json!({"clock_skew_leeway": -1}), json!({"exp": now, "iat": 1}), false),
        (json!({"clock_skew_leeway": -1}), json!({"exp": now + 1, "iat": 1}), true),
        (json!({"clock_skew_leeway": -1}), json!({"exp": now + 9, "nbf": now + 1}), false),
        // Without an end, so long after the start; without a start, so long before the end.
        (json!({"clock_skew_leeway": -1}), json!({"iat": now - 149}), true),
        (json!({"clock_skew_leeway": -1}), json!({"iat": now - 150}), false),
        (json!({"clock_skew_leeway": -1, "expiration_leeway": 10}), json!({"iat": now - 9}), true),
        (json!({"clock_skew_leeway": -1, "expiration_leeway": 10}), json!({"iat": now - 10}), false),
        (json!({"clock_skew_leeway": -1, "expiration_leeway": -1}), json!({"iat": now}), false),
        (json!({"clock_skew_leeway": -1, "not_before_leeway": 10}), json!({"exp": now + 10}), true),
        (json!({"clock_skew_leeway": -1, "not_before_leeway": 10}), json!({"exp": now + 11}), false),
        // A span that a role allows does not lengthen an end that is said.
        (json!({"clock_skew_leeway": -1, "expiration_leeway": 9000}), json!({"exp": now - 1, "iat": now - 9}), false),
    ];
    for (leeways, times, good) in table {
        let mut role = json!({"clock_skew_leeway": 0, "expiration_leeway": 0, "not_before_leeway": 0});
        role.as_object_mut().unwrap().extend(leeways.as_object().unwrap().clone());
        server.put("auth/jwt/role/ci", role).await.ok();
        let token = with(times.clone());
        let answer = login(&server, "ci", &token).await;
        assert_eq!(answer.succeeded(), good, "{leeways} {times}: {answer:?}");
        // What a role's own times forbid, or would allow if it wanted the token, tells nobody that it is there.
        let stranger = login(&server, "nobody", &token).await.is(400).shape();
        assert!(good || answer.shape() == stranger, "{leeways} {times}: {answer:?}");
        server.put("auth/jwt/role/ci", json!({"bound_subject": "another"})).await.ok();
        assert_eq!(login(&server, "ci", &token).await.shape(), stranger, "{leeways} {times}");
        server.put("auth/jwt/role/ci", json!({"bound_subject": ""})).await.ok();
    }
}

#[tokio::test]
async fn pointers_and_lists_of_claims_mean_what_they_say() {
    let issuer = Issuer::start().await;
    let server = server(&issuer, json!({})).await;
    let of = |more: Value| issuer.token(&claims(&server, &issuer, more));
    // The name of somebody, by a pointer; its own letters are escaped as RFC 6901 has it.
    server
        .put("auth/jwt/role/ci", json!({"user_claim": "/who/a~1b/0/m~0n", "user_claim_json_pointer": true}))
        .await
        .ok();
    let deep = json!({"who": {"a/b": [{"m~n": "ann"}, {"m~n": "bob"}]}});
    let who = async |answer: Answer| {
        let token = answer.ok().auth()["client_token"].as_str().unwrap().to_owned();
        server.lookup(&token).await["display_name"].clone()
    };
    assert_eq!(who(login(&server, "ci", &of(deep)).await).await, "jwt-ann");
    for other in [
        json!({"who": {"a/b": []}}),
        json!({"who": {"a/b": {"0": {"m~n": "ann"}}}, "x": 1}),
        json!({"who": {"a~1b": [{"m~0n": "ann"}]}}),
        json!({"/who/a~1b/0/m~0n": "ann"}),
        json!({"who": {"a/b": [{"m~n": {"name": "ann"}}]}}),
    ] {
        let answer = login(&server, "ci", &of(other.clone())).await;
        if other["x"] == 1 {
            continue;
        }
        answer.is(400);
    }
    // Without the word, a name with slashes is a name.
    server.put("auth/jwt/role/ci", json!({"user_claim": "/sub", "user_claim_json_pointer": false})).await.ok();
    login(&server, "ci", &of(json!({}))).await.is(400);
    assert_eq!(who(login(&server, "ci", &of(json!({"/sub": "z"}))).await).await, "jwt-z");
    // Lists on both sides: one of the token's must be one of the role's.
    let role =
        json!({"user_claim": "sub", "bound_claims": {"/realm/roles": ["deploy", "admin"], "level": 3, "on": true}});
    server.put("auth/jwt/role/ci", role).await.ok();
    let fit = |roles: Value| json!({"realm": {"roles": roles}, "level": 3, "on": true});
    for roles in [json!("deploy"), json!(["read", "deploy"]), json!(["admin", "deploy"])] {
        login(&server, "ci", &of(fit(roles))).await.ok();
    }
    for bad in [
        fit(json!([])),
        fit(json!(["read"])),
        fit(json!("deploy,admin")),
        fit(json!([["deploy"]])),
        fit(json!({"deploy": true})),
        fit(json!("Deploy")),
        json!({"realm": {"roles": ["deploy"]}, "level": 4, "on": true}),
        json!({"realm": {"roles": ["deploy"]}, "level": 3, "on": false}),
        json!({"realm": {"roles": ["deploy"]}, "on": true}),
    ] {
        login(&server, "ci", &of(bad.clone())).await.refused(400, "error validating claims");
    }
}

#[tokio::test]
async fn a_flood_of_keys_that_nobody_has_asks_the_issuer_once_in_a_while() {
    let issuer = Issuer::start().await;
    let server = server(&issuer, json!({})).await;
    let own = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
    let good = issuer.token(&claims(&server, &issuer, json!({})));
    login(&server, "ci", &good).await.ok();
    let before = issuer.asked();
    let plain = claims(&server, &issuer, json!({}));
    let forged = |n: usize| sign(&json!({"alg": "ES256", "kid": format!("made-up-{n}")}), &plain, &own);
    for wave in 1..=3 {
        server.clock().advance(limits::JWKS_FLOOR_SECONDS);
        let calls: Vec<_> = (0..100)
            .map(|n| (server.anonymous(), json!({"role": "ci", "jwt": forged(n)})))
            .map(|(http, body)| async move { http.put("auth/jwt/login", body).await.status })
            .collect();
        let statuses = at_once(calls).await;
        assert!(statuses.iter().all(|status| *status == 400), "{statuses:?}");
        assert!(issuer.asked() <= before + wave, "{} questions in wave {wave}", issuer.asked() - before);
        // Whoever has a real token is served meanwhile.
        login(&server, "ci", &issuer.token(&claims(&server, &issuer, json!({})))).await.ok();
    }
}

#[tokio::test]
async fn a_nomad_server_makes_tokens_of_its_tasks_by_a_role_of_tokens_and_no_others() {
    // How Nomad did it before its tasks had identities: the cluster's own token may make tokens by one role.
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.put("kv/web", json!({"k": "v"})).await.ok();
    server.policy("web", r#"path "kv/web" { capabilities = ["read"] }"#).await;
    server.policy("admin", r#"path "*" { capabilities = ["sudo", "read", "update"] }"#).await;
    let role = json!({"disallowed_policies": "nomad-server,admin", "token_explicit_max_ttl": 0, "orphan": true,
        "token_period": "72h", "renewable": true});
    server.put("auth/token/roles/nomad-cluster", role).await.ok();
    server
        .policy(
            "nomad-server",
            r#"path "auth/token/create/nomad-cluster" { capabilities = ["update"] }
               path "auth/token/roles/nomad-cluster" { capabilities = ["read"] }
               path "auth/token/lookup-self" { capabilities = ["read"] }
               path "auth/token/lookup" { capabilities = ["update"] }
               path "auth/token/revoke-accessor" { capabilities = ["update"] }
               path "sys/capabilities-self" { capabilities = ["update"] }
               path "auth/token/renew-self" { capabilities = ["update"] }"#,
        )
        .await;
    let nomad = server.with(&server.token_of(json!({"policies": ["nomad-server"], "period": "72h"})).await);
    for policies in [json!(["root"]), json!(["admin"]), json!(["web", "Admin"]), json!(["nomad-server"])] {
        nomad.put("auth/token/create/nomad-cluster", json!({"policies": policies})).await.is(400);
    }
    nomad.put("auth/token/create", json!({"policies": ["web"]})).await.is(403);
    nomad.put("auth/token/create/another", json!({"policies": ["web"]})).await.is(403);
    let made = nomad.put("auth/token/create/nomad-cluster", json!({"policies": ["web"], "ttl": "1h"})).await.ok();
    let (task, accessor) = (made.auth()["client_token"].as_str().unwrap(), made.auth()["accessor"].clone());
    assert_eq!((&made.auth()["orphan"], &made.auth()["renewable"]), (&json!(true), &json!(true)));
    server.with(task).get("kv/web").await.ok();
    server.with(task).put("auth/token/create/nomad-cluster", json!({"policies": ["web"]})).await.is(403);
    // It lives by its period as long as somebody renews it, and ends when Nomad says so.
    for _ in 0..3 {
        server.clock().advance(60 * 3600);
        server.with(task).put("auth/token/renew-self", json!({})).await.ok();
        nomad.put("auth/token/renew-self", json!({})).await.ok();
    }
    nomad.put("auth/token/revoke-accessor", json!({"accessor": accessor})).await.ok();
    server.with(task).get("kv/web").await.is(403);
}

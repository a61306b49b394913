//! Logging in and being told what a login would give: tokens kept, browsers, second factors.

use super::*;

#[test]
fn login_keeps_the_token_for_its_owner() {
    let auth = json!({"auth": {"client_token": "hvs.new", "accessor": "acc", "policies": ["default"],
        "token_policies": ["default"], "lease_duration": 60, "renewable": true, "metadata": {"username": "mitsuko"}}});
    let mut bench = Bench::new(&[("PUT /v1/auth/people/login/mitsuko", 200, auth)]);
    bench.env.remove("VAULT_TOKEN");
    // What an earlier login left may be broken; this one replaces it.
    std::fs::write(bench.home.path().join(".vault-token"), "x".repeat(10_000)).unwrap();
    bench.answers = vec!["swordfish".into()];
    let ran = bench.run("login -method=userpass -path=people/ username=mitsuko");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("Success! You are now authenticated."), "{}", ran.out);
    assert!(ran.out.contains("token_meta_username    mitsuko"), "{}", ran.out);
    let file = bench.home.path().join(".vault-token");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "hvs.new");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(bench.asked(), [r#"PUT /v1/auth/people/login/mitsuko {"password":"swordfish"}"#]);

    bench.run("read a");
    let seen = bench.fake.seen.lock().unwrap();
    assert!(!seen[0].headers.contains_key("x-vault-token"), "a login needs no token");
    assert_eq!(seen[1].headers["x-vault-token"], "hvs.new", "the kept token is used");
}

/// A browser that comes back at once, with this query; what it was shown comes over the channel.
fn browser(query: &'static str) -> (Browser, std::sync::mpsc::Receiver<String>) {
    let (shown, pages) = std::sync::mpsc::channel();
    let visit = move |url: &str| {
        let (_, place) = url.split_once("redirect_uri=").unwrap();
        let place = percent_encoding::percent_decode_str(place.split('&').next().unwrap()).decode_utf8().unwrap();
        let (host, path) = place.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let (host, path, shown) = (host.to_owned(), path.to_owned(), shown.clone());
        std::thread::spawn(move || {
            let mut socket = std::net::TcpStream::connect(host).unwrap();
            write!(socket, "GET /{path}?{query} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            let mut page = String::new();
            io::Read::read_to_string(&mut socket, &mut page).unwrap();
            let _ = shown.send(page);
        });
    };
    (Box::new(visit), pages)
}

/// A server at which a login in a browser is begun with any port, and ended as it is told.
fn issuer(ended: (u16, Value)) -> Bench {
    let mut bench = Bench::new(&[]);
    let fake = Fake::new(move |_, seen| {
        if seen.path == "/v1/auth/sso/oidc/auth_url" {
            let body: Value = serde_json::from_slice(&seen.body).unwrap();
            let place = body["redirect_uri"].as_str().unwrap();
            let url = format!("http://issuer.test/auth?state=st&redirect_uri={place}&nonce=n");
            return answer(200, json!({"data": {"auth_url": url}}));
        }
        answer(ended.0, ended.1.clone())
    });
    let address = bench._runtime.block_on(fake.listen());
    bench.env.insert("VAULT_ADDR".into(), address);
    bench.fake = fake;
    bench
}

#[test]
fn a_login_in_a_browser_that_fails_is_told_here_and_not_there() {
    let refused = json!({"errors": ["error validating claims: canary"]});
    for (query, told) in [
        ("state=st&error=access_denied&error_description=canary", "the issuer refused the login: access_denied"),
        ("state=st&code=c", "Code: 400"),
    ] {
        let mut bench = issuer((400, refused.clone()));
        let (browser, pages) = browser(query);
        bench.browser = Some(browser);
        let ran = bench.run("login -method=oidc -path=sso role=r port=0 listenaddress=127.0.0.1");
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains(told), "{}", ran.err);
        assert!(!bench.home.path().join(".vault-token").exists());
        let page = pages.recv().unwrap();
        assert!(page.contains("The login failed") && !page.contains("canary"), "{page}");
    }
    let mut bench = issuer((400, refused));
    let ran = bench.run("login -method=oidc -path=sso port=0 listenaddress=127.0.0.1 abort_on_error=true");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("no browser"), "{}", ran.err);
}

#[test]
fn a_login_in_a_browser_ends_in_a_token() {
    let mut bench = issuer((200, json!({"auth": {"client_token": "hvs.new", "accessor": "acc"}})));
    let (browser, pages) = browser("state=st&code=c%20d");
    bench.browser = Some(browser);
    let ran = bench.run("login -method=oidc -path=sso role=r port=0 listenaddress=127.0.0.1");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(std::fs::read_to_string(bench.home.path().join(".vault-token")).unwrap(), "hvs.new");
    assert!(pages.recv().unwrap().contains("You are signed in"));
    let asked = bench.asked();
    let body: Value = serde_json::from_str(asked[0].rsplit(' ').next().unwrap()).unwrap();
    let nonce = body["client_nonce"].as_str().unwrap();
    assert_eq!(nonce.len(), 32);
    assert_eq!(asked[1], format!("GET /v1/auth/sso/oidc/callback?state=st&code=c%20d&client_nonce={nonce}"));
    assert!(!ran.err.contains(nonce) && !ran.out.contains(nonce), "the nonce stays here");
    let seen = bench.fake.seen.lock().unwrap();
    assert!(seen.iter().all(|seen| !seen.headers.contains_key("x-vault-token")), "a login needs no token");
}

#[test]
fn a_login_that_waits_for_a_second_factor_asks_for_its_code() {
    let any = json!({"any": [{"type": "totp", "id": "m1", "uses_passcode": true, "name": ""}]});
    let needs = |constraints: Value| json!({"auth": {"client_token": "", "mfa_requirement": {"mfa_request_id": "r1", "mfa_constraints": constraints}}});
    let done = json!({"auth": {"client_token": "hvs.new", "accessor": "acc"}});
    let login = "PUT /v1/auth/userpass/login/anna";
    let bench = |constraints| {
        let mut bench =
            Bench::new(&[(login, 200, needs(constraints)), ("PUT /v1/sys/mfa/validate", 200, done.clone())]);
        bench.answers = vec!["123456".into()];
        bench
    };
    // Two factors, or nobody to ask: what is to be written, and where.
    for (constraints, flag) in [(json!({"a": any, "b": any}), ""), (json!({"a": any}), "-non-interactive")] {
        let mut bench = bench(constraints);
        let ran = bench.run(&format!("login -method=userpass {flag} username=anna password=p"));
        assert_eq!((ran.code, bench.asked().len()), (2, 1), "{}", ran.err);
        assert!(ran.err.contains("mfa_request_id=r1"), "{}", ran.err);
    }
    let mut bench = bench(json!({"a": any}));
    let ran = bench.run("login -method=userpass username=anna password=p");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(bench.asked()[1], r#"PUT /v1/sys/mfa/validate {"mfa_payload":{"m1":["123456"]},"mfa_request_id":"r1"}"#);
    assert_eq!(std::fs::read_to_string(bench.home.path().join(".vault-token")).unwrap(), "hvs.new");
}

#[test]
fn the_end_of_a_tokens_file_is_no_part_of_the_token() {
    let mut bench = Bench::new(&[("PUT /v1/auth/jwt/login", 200, json!({"auth": {"client_token": "hvs.new"}}))]);
    let file = bench.home.path().join("token");
    std::fs::write(&file, "a.b.c\n").unwrap();
    let ran = bench.run(&format!("login -method=jwt role=r jwt=@{}", file.display()));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(bench.asked(), [r#"PUT /v1/auth/jwt/login {"jwt":"a.b.c","role":"r"}"#]);
}

#[test]
fn a_simulated_login_is_told_and_its_end_is_the_exit_code() {
    let fails = json!({"data": {"admitted": false, "reasons": ["it has expired ('exp')"], "role": "ci"}});
    let origin = json!({"policy": "ci", "path": "kv/{{identity.entity.name}}", "line": 3});
    let passes = json!({"data": {"admitted": true, "reasons": [], "display_name": "jwt-web", "entity": {"is_new": true},
        "token_policies": ["default"], "missing_policies": ["gone"], "token_type": "batch", "token_ttl": 60, "token_max_ttl": 90,
        "templated_rules": [{"path": "kv/e", "capabilities": ["read"], "origins": [origin]}]}});
    let mut bench = Bench::new(&[("PUT /v1/auth/ci/simulate", 200, fails), ("PUT /v1/auth/jwt/simulate", 200, passes)]);
    let ran = bench.run("auth simulate ci/ role=ci claims={}");
    assert_eq!((ran.code, ran.out.as_str()), (2, "The login would fail:\n  * it has expired ('exp')\n"), "{}", ran.err);
    assert_eq!(bench.asked(), [r#"PUT /v1/auth/ci/simulate {"claims":"{}","role":"ci"}"#]);
    let ran = bench.run("auth simulate jwt role=ci claims={}");
    assert_eq!(ran.code, 0, "{}", ran.err);
    for line in [
        "as jwt-web",
        "entity: a new one",
        "policies that do not exist: gone",
        "\"kv/e\" gives read",
        "policy ci, line 3",
    ] {
        assert!(ran.out.contains(line), "{line}: {}", ran.out);
    }
    assert_eq!(bench.run("auth simulate -format=json jwt role=ci claims={}").code, 0);
    assert_eq!(bench.run("auth simulate none role=ci").code, 2);
}

#[test]
fn a_wrong_token_is_not_kept_and_token_only_keeps_none() {
    let mut bench = Bench::new(&[("GET /v1/auth/token/lookup-self", 403, json!({"errors": ["permission denied"]}))]);
    assert_eq!(bench.run("login hvs.wrong").code, 2);
    assert!(!bench.home.path().join(".vault-token").exists());

    let facts = json!({"data": {"id": "hvs.good", "policies": ["root"], "ttl": 0, "meta": null}});
    let mut bench = Bench::new(&[("GET /v1/auth/token/lookup-self", 200, facts)]);
    bench.stdin = "hvs.good\n".into();
    let ran = bench.run("login -token-only -");
    assert_eq!((ran.code, ran.out.as_str()), (0, "hvs.good"));
    assert!(!bench.home.path().join(".vault-token").exists());
    let ran = bench.run("login hvs.good");
    assert!(ran.out.contains("token_duration       ∞"), "{}", ran.out);
    assert!(ran.err.contains("VAULT_TOKEN is set"), "{}", ran.err);
    assert_eq!(bench.run("print token").out, "hvs.test\n");
}

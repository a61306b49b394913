//! Whole commands against a small server that keeps the API's contract: output, errors, exit codes.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use super::*;
use crate::{
    base::Rng,
    client::fake::{Answer, Fake, answer},
};

mod policy;

struct Counted;

impl Rng for Counted {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

/// A process around a command: environment, home, answers to questions, and a server.
struct Bench {
    fake: Arc<Fake>,
    home: tempfile::TempDir,
    env: BTreeMap<String, String>,
    stdin: String,
    answers: Vec<String>,
    browser: Option<Browser>,
    _runtime: tokio::runtime::Runtime,
}

/// What opens an address.
type Browser = Box<dyn FnMut(&str)>;

struct Ran {
    code: u8,
    out: String,
    err: String,
}

impl Bench {
    /// A server that answers by `METHOD path`; what is not listed is a 404.
    fn new(table: &[(&str, u16, Value)]) -> Self {
        let table: Vec<(String, Answer)> =
            table.iter().map(|(line, status, body)| ((*line).to_owned(), answer(*status, body.clone()))).collect();
        let fake = Fake::new(move |_, seen| {
            let line = format!("{} {}", seen.method, seen.path);
            let found = table.iter().find(|(wanted, _)| *wanted == line).map(|(_, answer)| answer.clone());
            found.unwrap_or_else(|| answer(404, json!({"errors": []})))
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = runtime.block_on(fake.listen());
        let home = tempfile::tempdir().unwrap();
        let env = [
            ("VAULT_ADDR", address),
            ("VAULT_TOKEN", "hvs.test".to_owned()),
            ("HOME", home.path().display().to_string()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).into();
        Self { fake, home, env, stdin: String::new(), answers: Vec::new(), browser: None, _runtime: runtime }
    }

    /// A server with one kv store of version 2 at `secret/`, besides what the table says.
    fn kv(table: &[(&str, u16, Value)]) -> Self {
        let mut all = vec![(
            "GET /v1/sys/internal/ui/mounts/secret/a",
            200,
            json!({"data": {"path": "secret/", "type": "kv", "options": {"version": "2"}}}),
        )];
        all.extend_from_slice(table);
        Self::new(&all)
    }

    fn run(&mut self, line: &str) -> Ran {
        let args = std::iter::once("warifu").chain(line.split(' ').filter(|word| !word.is_empty()));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut answers = std::mem::take(&mut self.answers).into_iter();
        let (env, mut browser) = (&self.env, self.browser.take());
        let code = run(
            args.map(OsString::from).collect(),
            &mut World {
                env: &|name| env.get(name).map(OsString::from),
                stdin: &mut self.stdin.as_bytes(),
                stdout: &mut out,
                stderr: &mut err,
                terminal: false,
                ask: &mut |_| answers.next().ok_or_else(|| io::Error::other("nobody answers")),
                browse: &mut |url| {
                    let visited = browser.as_mut().ok_or_else(|| io::Error::other("no browser"))?;
                    visited(url);
                    Ok(())
                },
                rng: Arc::new(Counted),
            },
        );
        Ran { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }

    /// What the server was asked, with the bodies.
    fn asked(&self) -> Vec<String> {
        let seen = self.fake.seen.lock().unwrap();
        seen.iter()
            .map(|seen| {
                format!("{} {} {}", seen.method, seen.path, String::from_utf8_lossy(&seen.body)).trim().to_owned()
            })
            .collect()
    }
}

#[test]
fn a_refusal_is_told_on_standard_error_with_code_2() {
    let denied = json!({"errors": ["1 error occurred:\n\t* permission denied\n\n"]});
    let mut bench = Bench::new(&[("GET /v1/secret/a", 403, denied)]);
    let ran = bench.run("read secret/a");
    let address = &bench.env["VAULT_ADDR"];
    assert_eq!(ran.code, 2);
    assert_eq!(ran.out, "");
    assert_eq!(
        ran.err,
        format!(
            "Error reading secret/a: Error making API request.\n\nURL: GET {address}/v1/secret/a\nCode: 403. Errors:\n\n\
             * 1 error occurred:\n\t* permission denied\n"
        )
    );
    let ran = bench.run("read secret/none");
    assert_eq!((ran.code, ran.err.as_str()), (2, "No value found at secret/none\n"));
}

#[test]
fn mistakes_here_have_code_1_and_ask_nothing() {
    let mut bench = Bench::new(&[]);
    for (line, text) in [
        ("write secret/a", "Must supply data or use -force"),
        ("write secret/a swordfish", "key=value"),
        ("read", "PATH"),
        ("read -nonsense a", "-nonsense"),
        ("operator unseal -non-interactive", "-non-interactive"),
        ("kv undelete secret/a", "-versions"),
        ("token revoke", "-self"),
        ("lease revoke -force a", "-prefix"),
        ("-format=xml read a", "xml"),
        ("token lookup -accessor", "-accessor"),
    ] {
        let ran = bench.run(line);
        assert_eq!(ran.code, 1, "{line}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(text), "{line}: {}", ran.err);
        assert!(!ran.err.contains("swordfish"), "{}", ran.err);
    }
    bench.env.insert("VAULT_TOKEN".into(), "a\nb".into());
    assert_eq!(bench.run("read a").code, 1);
    assert!(bench.asked().is_empty());
    assert_eq!(bench.run("nonsense").code, 127);
    assert_eq!(bench.run("").code, 127);
    assert_eq!(bench.run("kv").code, 1);
    assert_eq!(bench.run("kv nonsense").code, 1);
}

#[test]
fn an_unreachable_server_is_code_2_and_for_status_1() {
    let mut bench = Bench::new(&[]);
    bench.env.insert("VAULT_ADDR".into(), "http://127.0.0.1:1".into());
    assert_eq!(bench.run("read a").code, 2);
    assert_eq!(bench.run("status").code, 1);
    assert_eq!(bench.run("operator init -status").code, 1);
}

#[test]
fn reading_shows_a_table_json_yaml_or_one_field() {
    let body = json!({"request_id": "r", "lease_id": "", "lease_duration": 2764800, "renewable": false,
        "data": {"user": "mitsuko", "ttl": 60}, "warnings": ["look here"]});
    let mut bench = Bench::new(&[("GET /v1/kv1/a?x=1", 200, body.clone()), ("GET /v1/kv1/a", 200, body)]);
    let ran = bench.run("read kv1/a");
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.out,
        "Key                 Value\n---                 -----\nrefresh_interval    768h\nttl                 1m\nuser                mitsuko\n"
    );
    assert!(ran.err.contains("  * look here"), "{}", ran.err);
    assert_eq!(bench.run("read -field=user kv1/a").out, "mitsuko");
    assert_eq!(bench.run("read -field user -format json /kv1/a/").out, "\"mitsuko\"\n");
    let ran = bench.run("read -field=none kv1/a");
    assert_eq!((ran.code, ran.err.as_str()), (1, "Field \"none\" not present in secret\n"));
    let ran = bench.run("read -format=json kv1/a x=1");
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&value["data"]["user"], &value["warnings"][0], ran.err.as_str()),
        (&json!("mitsuko"), &json!("look here"), "")
    );
    bench.env.insert("VAULT_FORMAT".into(), "yaml".into());
    assert!(bench.run("read kv1/a").out.contains("data:\n  ttl: 60\n  user: mitsuko\n"));
    assert!(bench.run("read -format=raw kv1/a").out.starts_with("{\"data\":"));
}

#[test]
fn writing_lists_and_deleting_say_what_happened() {
    let mut bench = Bench::new(&[
        ("PUT /v1/auth/x/role/a", 204, Value::Null),
        ("PUT /v1/sys/thing", 200, json!({"data": {"k": "v"}})),
        ("PATCH /v1/pki/a", 204, Value::Null),
        ("GET /v1/secret/?list=true", 200, json!({"data": {"keys": ["a", "b/"]}})),
        ("DELETE /v1/secret/a", 204, Value::Null),
    ]);
    bench.stdin = "from stdin".into();
    let ran = bench.run("write auth/x/role/a k=v k=w x=-");
    assert_eq!((ran.code, ran.out.as_str()), (0, "Success! Data written to: auth/x/role/a\n"));
    assert_eq!(bench.run("write -f sys/thing").out, "Key    Value\n---    -----\nk      v\n");
    assert_eq!(bench.run("patch pki/a ttl=1h").code, 0);
    assert_eq!(bench.run("list secret").out, "Keys\n----\na\nb/\n");
    assert_eq!(bench.run("list -format=json secret/").out, "[\n  \"a\",\n  \"b/\"\n]\n");
    assert_eq!(bench.run("list none").err, "No value found at none/\n");
    assert_eq!(bench.run("delete secret/a").out, "Success! Data deleted (if it existed) at: secret/a\n");
    assert_eq!(bench.asked()[0], r#"PUT /v1/auth/x/role/a {"k":["v","w"],"x":"from stdin"}"#);
    assert_eq!(bench.asked()[1], "PUT /v1/sys/thing {}");
}

#[test]
fn the_exit_code_of_status_tells_the_seal() {
    let status = |sealed: bool| {
        json!({"type": "shamir", "initialized": true, "sealed": sealed, "t": 3, "n": 5, "progress": 1,
            "nonce": "", "version": "1.18.0", "build_date": "2026-11-22", "migration": false, "recovery_seal": false,
            "storage_type": "file"})
    };
    let mut bench = Bench::new(&[("GET /v1/sys/seal-status", 200, status(true))]);
    let ran = bench.run("status");
    assert_eq!(ran.code, 2);
    assert_eq!(
        ran.out,
        "Key                Value\n---                -----\nSeal Type          shamir\nInitialized        true\n\
         Sealed             true\nTotal Shares       5\nThreshold          3\nUnseal Progress    1/3\nUnseal Nonce       n/a\n\
         Version            1.18.0\nBuild Date         2026-11-22\nStorage Type       file\n"
    );
    let mut bench = Bench::new(&[
        ("GET /v1/sys/seal-status", 200, status(false)),
        (
            "GET /v1/sys/leader",
            200,
            json!({"ha_enabled": true, "is_self": true, "active_time": "t", "leader_cluster_address": "c"}),
        ),
    ]);
    let ran = bench.run("status");
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("HA Mode         active"), "{}", ran.out);
    let ran = bench.run("status -format=json");
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["ha_enabled"], true);
}

#[test]
fn kv_follows_the_version_of_the_store() {
    let metadata = json!({"created_time": "2026-11-22T00:00:00Z", "custom_metadata": null, "deletion_time": "",
        "destroyed": false, "version": 2});
    let mut bench = Bench::kv(&[
        ("GET /v1/secret/data/a", 200, json!({"data": {"data": {"pin": "1234"}, "metadata": metadata}})),
        ("GET /v1/secret/data/a?version=1", 404, json!({"data": {"data": null, "metadata": metadata}})),
        ("PUT /v1/secret/data/a", 200, json!({"data": metadata})),
        ("DELETE /v1/secret/data/a", 204, Value::Null),
        ("PUT /v1/secret/destroy/a", 204, Value::Null),
    ]);
    let ran = bench.run("kv get secret/a");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.out,
        "= Secret Path =\nsecret/data/a\n\n======= Metadata =======\nKey                Value\n---                -----\n\
         created_time       2026-11-22T00:00:00Z\ncustom_metadata    <nil>\ndeletion_time      n/a\ndestroyed          false\n\
         version            2\n\n=== Data ===\nKey    Value\n---    -----\npin    1234\n"
            .replace("= Secret Path =\n", "== Secret Path ==\n")
    );
    assert_eq!(bench.run("kv get -field=pin secret/a").out, "1234");
    assert!(bench.run("kv get -version=1 secret/a").out.contains("Metadata"));
    assert_eq!(bench.run("kv get -field=pin -version=1 secret/a").code, 2);
    assert!(bench.run("kv put -cas=1 secret/a pin=1").out.starts_with("== Secret Path =="));
    assert_eq!(bench.run("kv delete secret/a").out, "Success! Data deleted (if it existed) at: secret/data/a\n");
    assert_eq!(bench.run("kv destroy -versions=1,2 secret/a").out, "Success! Data written to: secret/destroy/a\n");
    let asked = bench.asked();
    assert!(
        asked.contains(&r#"PUT /v1/secret/data/a {"data":{"pin":"1"},"options":{"cas":1}}"#.to_owned()),
        "{asked:?}"
    );
    assert!(asked.contains(&r#"PUT /v1/secret/destroy/a {"versions":[1,2]}"#.to_owned()));
}

#[test]
fn kv_patch_falls_back_and_version_1_has_no_branches() {
    let denied = json!({"errors": ["permission denied"]});
    let mut bench = Bench::kv(&[
        ("PATCH /v1/secret/data/a", 403, denied),
        ("GET /v1/secret/data/a", 200, json!({"data": {"data": {"a": "1", "b": "2"}, "metadata": {"version": 7}}})),
        ("PUT /v1/secret/data/a", 200, json!({"data": {"version": 8}})),
        ("PUT /v1/old/a", 204, Value::Null),
    ]);
    let ran = bench.run("kv patch -remove-data=a secret/a c=3");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        bench.asked().last().unwrap(),
        r#"PUT /v1/secret/data/a {"data":{"b":"2","c":"3"},"options":{"cas":7}}"#
    );
    let ran = bench.run("kv patch -method=patch secret/a c=3");
    assert_eq!(ran.code, 2);
    assert_eq!(bench.run("kv put old/a k=v").out, "Success! Data written to: old/a\n");
    assert_eq!(bench.run("kv metadata get old/a").code, 1);
}

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

#[test]
fn init_and_unseal_have_the_lines_that_scripts_cut() {
    let made = json!({"keys": ["aa", "bb"], "keys_base64": ["qg==", "uw=="], "root_token": "hvs.root"});
    let status =
        json!({"type": "shamir", "initialized": true, "sealed": true, "t": 2, "n": 2, "progress": 1, "nonce": "n"});
    let mut bench = Bench::new(&[
        ("PUT /v1/sys/init", 200, made),
        ("PUT /v1/sys/unseal", 200, status),
        ("GET /v1/sys/init", 200, json!({"initialized": false})),
    ]);
    let ran = bench.run("operator init -key-shares=2 -key-threshold=2");
    assert!(
        ran.out.starts_with("Unseal Key 1: qg==\nUnseal Key 2: uw==\n\nInitial Root Token: hvs.root\n"),
        "{}",
        ran.out
    );
    let ran = bench.run("operator init -n 2 -t 2 -format=json");
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&value["unseal_keys_b64"][0], &value["root_token"]), (&json!("qg=="), &json!("hvs.root")));
    bench.answers = vec![" uw== ".into()];
    assert!(bench.run("operator unseal").out.contains("Unseal Progress    1/2"));
    assert_eq!(bench.run("operator unseal qg==").code, 0);
    assert_eq!(bench.run("operator init -status").code, 2);
    let asked = bench.asked();
    assert_eq!(asked[1], r#"PUT /v1/sys/init {"secret_shares":2,"secret_threshold":2}"#);
    assert_eq!(asked[4], r#"PUT /v1/sys/unseal {"key":"uw==","migrate":false}"#);
    assert!(!bench.fake.seen.lock().unwrap()[..5].iter().any(|seen| seen.headers.contains_key("x-vault-token")));
}

#[test]
fn a_server_that_opens_by_itself_is_made_with_recovery_shares() {
    let mut bench = Bench::new(&[
        ("GET /v1/sys/seal-status", 200, json!({"recovery_seal": true})),
        ("PUT /v1/sys/init", 200, json!({"keys": [], "recovery_keys_labelled": ["wfs1-x"], "root_token": "hvs.root"})),
    ]);
    let ran = bench.run("operator init -key-shares=1 -key-threshold=1 -labelled");
    assert!(ran.out.starts_with("Recovery Key 1: wfs1-x\n\nInitial Root Token: hvs.root\n"), "{}", ran.out);
    let asked = r#"PUT /v1/sys/init {"labelled_shares":true,"recovery_shares":1,"recovery_threshold":1}"#;
    assert_eq!(bench.asked()[1], asked);
}

#[test]
fn a_share_is_checked_without_a_server_and_never_shown() {
    let share = crate::base::Secret::new(vec![0xab; 33]);
    let labelled =
        crate::crypto::label::Labelled { store: "3f2a9c1d".into(), generation: 2, index: 3, shares: 5, share };
    let text = labelled.text().reveal().clone();
    let mut bench = Bench::new(&[]);
    let ran = bench.run(&format!("operator share check {text}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("3 of 5") && !ran.out.contains("abab"), "{}", ran.out);
    bench.answers = vec![text.replacen("ab", "ba", 1)];
    let ran = bench.run("operator share check");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("mistyped") && !ran.err.contains("abab"), "{}", ran.err);
    assert!(bench.run("operator share check q6urq6s=").err.contains("no label"));
    assert!(bench.asked().is_empty());
}

#[test]
fn operators_rekey_and_make_root_tokens() {
    let mut bench = Bench::new(&[
        (
            "GET /v1/sys/rekey/init",
            200,
            json!({"started": true, "nonce": "N", "t": 2, "n": 3, "progress": 0, "required": 2}),
        ),
        ("PUT /v1/sys/rekey/update", 200, json!({"complete": true, "nonce": "N", "keys_base64": ["qg=="]})),
        ("GET /v1/sys/generate-root/attempt", 200, json!({"started": false, "otp_length": 28})),
        (
            "PUT /v1/sys/generate-root/attempt",
            200,
            json!({"started": true, "nonce": "G", "otp": "ABC", "otp_length": 3, "progress": 0, "required": 2, "complete": false}),
        ),
        ("PUT /v1/sys/rotate", 204, Value::Null),
        ("GET /v1/sys/key-status", 200, json!({"term": 2, "install_time": "t", "encryptions": 5})),
    ]);
    let ran = bench.run("operator rekey share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("Key 1: qg==\n"), "{}", ran.out);
    assert!(bench.asked().contains(&r#"PUT /v1/sys/rekey/update {"key":"share","nonce":"N"}"#.to_owned()));
    assert!(bench.run("operator generate-root -init").out.contains("OTP           ABC"));
    assert_eq!(bench.run("operator generate-root share").code, 1, "nothing was begun");
    assert_eq!(bench.run("operator generate-root -generate-otp").out.len(), 29);
    assert_eq!(bench.run("operator generate-root -decode=AAAA -otp=abc").out, "abc\n");
    assert_eq!(bench.run("operator generate-root -decode=AAAA").code, 1);
    let ran = bench.run("operator rotate");
    assert!(ran.out.starts_with("Success! Rotated key\n\nKey Term            2\n"), "{}", ran.out);
}

#[test]
fn tokens_leases_and_policies_go_to_their_paths() {
    let mut bench = Bench::new(&[
        ("PUT /v1/auth/token/create/ci", 200, json!({"auth": {"client_token": "hvs.child", "lease_duration": 60}})),
        (
            "PUT /v1/sys/capabilities-self",
            200,
            json!({"data": {"capabilities": ["update", "create"], "secret/a": ["update"]}}),
        ),
        ("PUT /v1/auth/token/revoke-self", 204, Value::Null),
        ("PUT /v1/sys/leases/revoke", 204, Value::Null),
        ("PUT /v1/sys/leases/revoke-prefix/db/creds", 204, Value::Null),
        ("GET /v1/sys/policies/acl?list=true", 200, json!({"data": {"keys": ["default", "root"]}})),
        ("GET /v1/sys/policies/acl/default", 200, json!({"data": {"name": "default", "policy": "path \"a\" {}\n\n"}})),
        ("PUT /v1/sys/policies/acl/mine", 204, Value::Null),
    ]);
    let line =
        "token create -role=ci -policy=a,b -policy=c -ttl=1h -metadata=k=v -orphan -renewable=false -field=token";
    assert_eq!(bench.run(line).out, "hvs.child");
    assert_eq!(
        bench.asked()[0],
        r#"PUT /v1/auth/token/create/ci {"meta":{"k":"v"},"no_parent":true,"policies":["a","b","c"],"renewable":false,"ttl":"1h","type":"service"}"#
    );
    assert_eq!(bench.run("token capabilities secret/a").out, "create, update\n");
    assert_eq!(bench.run("token revoke -self").out, "Success! Revoked token (if it existed)\n");
    assert_eq!(bench.run("lease revoke -sync db/creds/x/1").out, "Success! Revoked lease: db/creds/x/1\n");
    assert_eq!(bench.run("lease revoke -prefix db/creds").out, "All revocation operations queued successfully!\n");
    assert_eq!(bench.run("policy list").out, "default\nroot\n");
    assert_eq!(bench.run("policy read default").out, "path \"a\" {}\n");
    assert_eq!(bench.run("policy read none").err, "No policy named: none\n");
    bench.stdin = "path \"b\" {}".into();
    assert_eq!(bench.run("policy write Mine -").out, "Success! Uploaded policy: mine\n");
}

#[test]
fn mounts_are_made_listed_and_tuned() {
    let mounts = json!({"data": {"secret/": {"type": "kv", "accessor": "kv_1", "description": "", "options": {"version": "2"},
        "config": {"default_lease_ttl": 0, "max_lease_ttl": 3600, "force_no_cache": false}, "local": false, "uuid": "u"}}});
    let mut bench = Bench::new(&[
        ("PUT /v1/sys/mounts/kv", 204, Value::Null),
        ("PUT /v1/sys/auth/people", 204, Value::Null),
        ("PUT /v1/sys/mounts/kv/tune", 204, Value::Null),
        ("GET /v1/sys/mounts", 200, mounts),
        ("GET /v1/sys/audit", 200, json!({"data": {}})),
        ("PUT /v1/sys/audit/file", 204, Value::Null),
        ("PUT /v1/sys/remount", 200, json!({"data": {"migration_id": "m"}})),
        ("GET /v1/sys/remount/status/m", 200, json!({"data": {"migration_info": {"status": "success"}}})),
    ]);
    assert_eq!(bench.run("secrets enable kv-v2").out, "Success! Enabled the kv-v2 secrets engine at: kv/\n");
    assert_eq!(
        bench.run("auth enable -path=people -default-lease-ttl=1h userpass").out,
        "Success! Enabled userpass auth method at: people/\n"
    );
    assert_eq!(
        bench.run("secrets tune -max-lease-ttl=2h -version=2 kv/").out,
        "Success! Tuned the secrets engine at: kv/\n"
    );
    assert_eq!(
        bench.run("secrets list").out,
        "Path       Type    Accessor    Description\n----       ----    --------    -----------\nsecret/    kv      kv_1        n/a\n"
    );
    assert!(bench.run("secrets list -detailed").out.contains("    system         3600       false"));
    let ran = bench.run("audit list");
    assert_eq!((ran.code, ran.err.as_str()), (2, "No audit devices are enabled.\n"));
    assert_eq!(
        bench.run("audit enable file file_path=a.log").out,
        "Success! Enabled the file audit device at: file/\n"
    );
    assert!(bench.run("secrets move kv new").out.contains("Success! Finished moving secrets engine kv/ to new/"));
    let asked = bench.asked();
    assert_eq!(asked[2], r#"PUT /v1/sys/mounts/kv/tune {"max_lease_ttl":"2h","options":{"version":"2"}}"#);
}

#[test]
fn flags_reach_the_request() {
    let mut bench = Bench::new(&[("GET /v1/a", 200, json!({"wrap_info": {"token": "hvs.w", "ttl": 300}}))]);
    let ran = bench.run("read -wrap-ttl=5m -namespace=team -header=X-Vault-MFA=m a");
    assert!(ran.out.contains("wrapping_token:                  hvs.w"), "{}", ran.out);
    {
        let seen = bench.fake.seen.lock().unwrap();
        for (name, value) in [("x-vault-wrap-ttl", "5m"), ("x-vault-namespace", "team"), ("x-vault-mfa", "m")] {
            assert_eq!(seen[0].headers[name], value);
        }
    }
    let ran = bench.run("write -output-curl-string a k=v");
    assert_eq!(ran.code, 0);
    assert!(ran.out.starts_with("curl -X PUT ") && !ran.out.contains("hvs."), "{}", ran.out);
    assert_eq!(bench.asked().len(), 1, "nothing more was sent");
    let ran = bench.run("read -address=http://127.0.0.1:1 a");
    assert_eq!(ran.code, 2);
}

#[test]
fn the_version_fits_the_name_of_the_program() {
    let mut bench = Bench::new(&[]);
    for line in ["version", "-version", "-v", "--version"] {
        assert!(bench.run(line).out.starts_with("warifu v"), "{line}");
    }
}

#[test]
fn help_shows_single_dashes() {
    let mut bench = Bench::new(&[]);
    for line in ["-h", "kv put -help", "operator init -h", "login -h"] {
        let ran = bench.run(line);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains(" -address"), "{}", ran.out);
        assert!(!ran.out.contains(" --"), "{}", ran.out);
    }
}

#[test]
fn the_nodes_their_versions_and_their_clients_are_columns() {
    let activity = json!({"data": {
        "start_time": "2026-01-01T00:00:00Z", "end_time": "2026-02-28T23:59:59Z",
        "total": {"clients": 3, "entity_clients": 2, "non_entity_clients": 1},
        "by_namespace": [{"namespace_path": "", "counts": {"clients": 3, "entity_clients": 2, "non_entity_clients": 1}}],
    }});
    let mut bench = Bench::new(&[
        (
            "GET /v1/sys/ha-status",
            200,
            json!({"data": {"nodes": [{"hostname": "one", "api_address": "https://one", "cluster_address": "",
                "active_node": true, "version": "1.18.0", "last_echo": null}]}}),
        ),
        (
            "GET /v1/sys/version-history?list=true",
            200,
            json!({"data": {"keys": ["1.18.0"], "key_info": {"1.18.0": {"timestamp_installed": "2026-01-01T00:00:00Z",
                "build_date": "2024-10-08T00:00:00Z", "previous_version": null}}}}),
        ),
        (
            "GET /v1/sys/internal/counters/activity?start_time=2026-01-01T00%3A00%3A00Z&end_time=2026-02-15T00%3A00%3A00Z",
            200,
            activity,
        ),
    ]);
    let ran = bench.run("operator members");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let row: Vec<&str> = ran.out.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(row, ["one", "https://one", "n/a", "true", "1.18.0", "n/a"]);
    let ran = bench.run("version-history");
    assert!(ran.out.lines().nth(2).unwrap().starts_with("1.18.0 "), "{}{}", ran.out, ran.err);
    let ran = bench.run("operator usage -start-time=2026-01 -end-time=2026-02-15");
    assert!(
        ran.out.starts_with("Period start: 2026-01-01T00:00:00Z\nPeriod end: 2026-02-28T23:59:59Z\n\n"),
        "{}{}",
        ran.out,
        ran.err
    );
    let last: Vec<&str> = ran.out.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(last, ["Total", "2", "1", "3"]);
    let ran = bench.run("operator usage -start-time=yesterday");
    assert_eq!((ran.code, ran.err.as_str()), (1, "-start-time must be YYYY-MM, YYYY-MM-DD or RFC 3339\n"));
}

#[test]
fn the_log_is_printed_as_it_comes() {
    let bench = Bench::new(&[]);
    let fake = Fake::new(|_, seen| match seen.path.as_str() {
        "/v1/sys/monitor?log_level=debug&log_format=standard" => (200, Vec::new(), b"one\ntwo\n".to_vec()),
        _ => answer(403, json!({"errors": ["permission denied"]})),
    });
    let mut bench = Bench { fake: fake.clone(), ..bench };
    bench.env.insert("VAULT_ADDR".into(), bench._runtime.block_on(fake.listen()));
    let ran = bench.run("monitor -log-level=debug");
    assert_eq!((ran.code, ran.out.as_str()), (0, "one\ntwo\n"), "{}", ran.err);
    let ran = bench.run("monitor");
    assert_eq!(ran.code, 2);
    assert!(ran.err.starts_with("Error starting monitor: Error making API request."), "{}", ran.err);
    assert_eq!(bench.run("monitor -log-level=off").code, 1);
    assert_eq!(bench.run("monitor -log-format=xml").code, 1);
}

#[test]
fn a_bundle_for_debugging_has_what_could_be_had_and_no_token() {
    let mut bench = Bench::new(&[
        (
            "GET /v1/sys/health?sealedcode=200&uninitcode=200",
            200,
            json!({"server_time_utc": 1_767_225_600, "version": "1.18.0"}),
        ),
        ("GET /v1/sys/host-info", 200, json!({"data": {"host": "one"}})),
        ("GET /v1/sys/config/state/sanitized", 200, json!({"data": {"disable_mlock": true}})),
        ("GET /v1/sys/metrics", 200, json!({"Gauges": []})),
        ("GET /v1/sys/in-flight-req", 200, json!({})),
        ("GET /v1/sys/seal-status", 403, json!({"errors": ["permission denied"]})),
    ]);
    let folder = bench.home.path().join("bundle");
    let line = format!(
        "debug -duration=0s -output={} -target=host,config,metrics,requests,server-status,log",
        folder.display()
    );
    let ran = bench.run(&line);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let parsed = |name: &str| serde_json::from_str::<Value>(&read(name)).unwrap();
    assert_eq!(parsed("host_info.json"), json!([{"host": "one"}]));
    assert_eq!(parsed("config.json"), json!([{"disable_mlock": true}]));
    assert_eq!(parsed("metrics.json"), json!([{"Gauges": []}]));
    let index = parsed("index.json");
    let failed: Vec<&str> = index["errors"].as_array().unwrap().iter().map(|e| e["target"].as_str().unwrap()).collect();
    assert_eq!(failed, ["log", "server-status"]);
    assert!(ran.err.contains("2 times"), "{}", ran.err);
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
        assert!(!std::fs::read_to_string(entry.path()).unwrap().contains("hvs.test"), "{:?}", entry.path());
    }
    // What is there is not written over, and what is not known is not gathered.
    let ran = bench.run(&line);
    assert!(ran.code == 1 && ran.err.contains("Error creating"), "{}", ran.err);
    for line in ["debug -target=pprof", "debug -compress", "debug -duration=long", "debug -duration=9000h"] {
        assert_eq!(bench.run(line).code, 1, "{line}");
    }
}

#[test]
fn a_diagnosis_tells_by_its_exit_code_how_bad_it_is() {
    let mut bench = Bench::new(&[]);
    let ran = bench.run("operator diagnose");
    assert_eq!((ran.code, ran.err.as_str()), (3, "Must specify a configuration file using -config.\n"));
    let file = bench.home.path().join("server.hcl");
    let line = format!("operator diagnose -config={}", file.display());
    let listener = "listener \"tcp\" { address = \"127.0.0.1:0\" tls_disable = true }";
    for (config, code, words) in [
        (format!("storage \"inmem\" {{}} {listener}"), 2, "[ warning ] Check Storage"),
        ("storage \"sqlite\" { pth = 1 }".to_owned(), 1, "[ failure ] Parse Configuration"),
    ] {
        std::fs::write(&file, config).unwrap();
        let ran = bench.run(&line);
        assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
        assert!(ran.out.contains(words), "{}", ran.out);
        let shown: Value = serde_json::from_str(&bench.run(&format!("{line} -format=json")).out).unwrap();
        assert_eq!(shown["name"], "Vault Diagnose");
    }
}

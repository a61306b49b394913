//! Whole commands against a small server that keeps the API's contract: output, errors, exit codes.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use super::*;
use crate::{
    base::Rng,
    client::fake::{Answer, Fake, answer},
};

mod login;
mod operator;
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

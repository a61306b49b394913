//! A name is one thing in every spelling: who is denied it reaches it by none, and no spelling makes a second one that looks alike.
//!
//! Driven by the route tables: a new endpoint that takes a name is tried by itself, and fails here until somebody says how such a thing
//! is made.

use serde_json::{Value, json};

use crate::http::Http;
use crate::paths::mount_all;
use crate::server::Server;
use warifu::base::Operation;

const NAME: &str = "walk-name";
/// The same to somebody's eye or to some comparison: case, a Kelvin sign, spaces before, behind and odd, full width, marks that are not seen.
const CASES: [&str; 4] = ["Walk-Name", "WALK-NAME", "walk-namE", "wal%E2%84%AA-name"];
const SPACES: [&str; 9] = [
    "%20walk-name",
    "walk-name%20",
    "walk-name%20%20",
    "walk-name%C2%A0",
    "%E2%80%83walk-name",
    "walk-name%E2%80%8B",
    "walk-name%EF%BB%BF",
    "walk-name%09",
    "walk-name%0A",
];
/// Marks of paths, policies and lists: in a name they would be more than a name.
const MARKS: [&str; 9] =
    ["walk%2A", "%2A", "%2B", "walk%2Bname", "walk%2Cname", "%7B%7Bname%7D%7D", "walk%7Bname", "%2E%2E", "walk%5Cname"];

/// Captures that are handles which the server makes, or words of the API: no names that somebody chooses.
const NO_NAMES: [&str; 15] = [
    "keyid",
    "id",
    "serial",
    "issuer_ref",
    "key_ref",
    "key_id",
    "method_id",
    "request_id",
    "mount_accessor",
    "exported",
    "urlalgorithm",
    "urlbytes",
    "source",
    "token",
    "type",
];

/// How something of this name is made, and another way to make it that would show.
fn bodies(kind: &str, pattern: &str, certificate: &str, crl: &str) -> Option<(Value, Value)> {
    let pair = |one: Value, two: Value| Some((one, two));
    match (kind, pattern) {
        ("system", "policies/acl/{name!}" | "policy/{name!}") => {
            let text = |word: &str| json!({"policy": format!("path \"{word}\" {{ capabilities = [\"read\"] }}")});
            pair(text("one"), text("two"))
        }
        ("system", "policies/password/{name!}") => {
            let text =
                |n: u8| json!({"policy": format!("length = {n}\nrule \"charset\" {{ charset = \"abcdefghij\" }}")});
            pair(text(20), text(30))
        }
        ("system", "quotas/rate-limit/{name!}") => pair(json!({"rate": 100_000}), json!({"rate": 200_000})),
        ("system", "config/ui/headers/{header!}") => pair(json!({"values": ["one"]}), json!({"values": ["two"]})),
        ("system", p) if p.starts_with("config/auditing/request-headers/") => {
            pair(json!({"hmac": true}), json!({"hmac": false}))
        }
        ("token", "roles/{role_name}") => pair(json!({"orphan": true}), json!({"orphan": false})),
        ("userpass", "users/{username!}") => {
            pair(json!({"password": "one", "token_ttl": 1}), json!({"password": "two", "token_ttl": 2}))
        }
        ("approle", "role/{role_name!}") => pair(json!({"token_ttl": 1}), json!({"token_ttl": 2})),
        ("cert", "certs/{name!}") => pair(
            json!({"certificate": certificate, "token_ttl": 1}),
            json!({"certificate": certificate, "token_ttl": 2}),
        ),
        ("cert", "crls/{name!}") => pair(json!({"crl": crl}), json!({"crl": crl})),
        ("jwt" | "oidc", "role/{name!}") => {
            let role =
                |ttl: u8| json!({"role_type": "jwt", "user_claim": "sub", "bound_subject": "s", "token_ttl": ttl});
            pair(role(1), role(2))
        }
        ("kubernetes", "role/{name!}") => {
            let role = |ttl: u8| json!({"bound_service_account_names": "a", "bound_service_account_namespaces": "n", "token_ttl": ttl});
            pair(role(1), role(2))
        }
        ("pki", "roles/{name}") => pair(json!({"ttl": "1h"}), json!({"ttl": "2h"})),
        ("identity", p) if p.starts_with("entity/name/") || p.starts_with("group/name/") => {
            pair(json!({"metadata": {"k": "one"}}), json!({"metadata": {"k": "two"}}))
        }
        ("identity", "oidc/key/{name}") => pair(json!({"verification_ttl": "2h"}), json!({"verification_ttl": "3h"})),
        ("identity", "oidc/role/{name}") => {
            pair(json!({"key": "default", "ttl": "1h"}), json!({"key": "default", "ttl": "2h"}))
        }
        ("identity", "oidc/client/{name}") => {
            let client = |uri: &str| json!({"key": "default", "redirect_uris": [format!("https://{uri}.test")], "assignments": ["allow_all"]});
            pair(client("one"), client("two"))
        }
        ("identity", "oidc/scope/{name}") => pair(json!({"description": "one"}), json!({"description": "two"})),
        ("identity", "oidc/assignment/{name}") => pair(json!({"entity_ids": ["one"]}), json!({"entity_ids": ["two"]})),
        ("identity", "oidc/provider/{name}") => {
            pair(json!({"issuer": "https://one.test"}), json!({"issuer": "https://two.test"}))
        }
        _ => None,
    }
}

/// Endpoints whose thing is made elsewhere or not at all.
fn not_made_here(kind: &str, pattern: &str) -> bool {
    matches!(
        (kind, pattern),
        // The table of what is built in, and the loggers of the process.
        ("system", "plugins/catalog/{type}/{name}" | "loggers/{name}")
        // It names methods and accessors of its own making: identity.rs tells of it.
        | ("identity", "mfa/login-enforcement/{name}")
    )
}

/// A row that keeps something under a name that somebody chose: what it is called, where it is, how it is made.
struct Named {
    kind: String,
    pattern: &'static str,
    before: String,
    one: Value,
    two: Value,
}

impl Named {
    fn at(&self, name: &str) -> String {
        format!("{}{name}", self.before)
    }

    fn what(&self) -> String {
        format!("{} {}", self.kind, self.pattern)
    }
}

async fn named(server: &Server) -> Vec<Named> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a.test".into()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    server.put("pki/root/generate/internal", json!({"common_name": "CA", "key_type": "ec"})).await.ok();
    let crl = server.get("pki/cert/crl").await.ok().data()["certificate"].as_str().unwrap().to_owned();
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for entry in server.vault().mounts().table().iter() {
        for endpoint in entry.engine.table().endpoints() {
            let Some((before, last)) = endpoint.pattern.rsplit_once('/') else { continue };
            let Some(capture) = last.strip_prefix('{').and_then(|l| l.strip_suffix('}')) else { continue };
            let name = capture.trim_end_matches(['!', '~']);
            let keeps = [Operation::Read, Operation::Update].iter().all(|v| endpoint.handling(*v).is_some());
            if name.ends_with("..") || NO_NAMES.contains(&name) || !keeps || before.contains('{') {
                continue;
            }
            let kind = entry.mount.kind.as_str().to_owned();
            if not_made_here(&kind, endpoint.pattern) {
                continue;
            }
            let Some((one, two)) = bodies(&kind, endpoint.pattern, &certificate, &crl) else {
                unknown.push(format!("{kind} {}", endpoint.pattern));
                continue;
            };
            found.push(Named {
                kind,
                pattern: endpoint.pattern,
                before: format!("{}{before}/", entry.mount.path),
                one,
                two,
            });
        }
    }
    assert!(unknown.is_empty(), "`bodies` does not know how these are made: {unknown:#?}");
    assert!(found.len() >= 20, "{} only", found.len());
    found
}

/// What is kept, without what changes by being looked at.
async fn kept(server: &Server, path: &str) -> Option<Value> {
    let answer = server.get(path).await;
    assert!(matches!(answer.status, 200 | 404 | 400), "{answer:?}");
    (answer.status == 200).then(|| {
        let mut data = answer.data().clone();
        if let Some(map) = data.as_object_mut() {
            map.retain(|key, _| !key.contains("time"));
        }
        data
    })
}

/// A client that may do anything but what is at this path.
async fn denied(server: &Server, path: &str) -> Http {
    let all = r#"["create", "read", "update", "delete", "list", "patch", "sudo"]"#;
    let text = format!(
        "path \"*\" {{ capabilities = {all} }} path \"{path}\" {{ capabilities = [\"deny\"] }} path \"{path}/*\" {{ capabilities = [\"deny\"] }}"
    );
    server.policy("all-but-one", &text).await;
    server.with(&server.token_of(json!({"policies": ["all-but-one"]})).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_denied_a_name_reaches_it_by_no_spelling() {
    let server = Server::new().await;
    mount_all(&server).await;
    let mut faults = Vec::new();
    for one in named(&server).await {
        let path = one.at(NAME);
        server.put(&path, one.one.clone()).await.ok();
        let mut before = kept(&server, &path).await.unwrap_or_else(|| panic!("{path} is not there"));
        let http = denied(&server, &path).await;
        http.get(&path).await.is(403);
        for spelling in CASES.iter().chain(&SPACES) {
            let variant = one.at(spelling);
            // Never made: what is there is the same thing.
            let same = server.get(&variant).await.status == 200;
            let read = http.get(&variant).await.status;
            if same && read != 403 {
                faults.push(format!("{} is read as {spelling}: {read}", one.what()));
            }
            for (method, body) in [("PUT", one.two.clone()), ("PATCH", one.two.clone()), ("DELETE", json!({}))] {
                let call =
                    http.call(method, &variant).json(&body).header("content-type", "application/merge-patch+json");
                let status = call.await.status;
                if kept(&server, &path).await.as_ref() != Some(&before) {
                    faults.push(format!("{} is changed by {method} as {spelling}: {status}", one.what()));
                }
            }
            // What a spelling made, or unmade, is not there for the next one.
            server.delete(&variant).await;
            server.put(&path, one.one.clone()).await.ok();
            before = kept(&server, &path).await.unwrap();
        }
        server.delete(&path).await;
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_has_spaces_at_its_ends_or_the_marks_of_paths_and_policies() {
    let server = Server::new().await;
    mount_all(&server).await;
    let mut faults = Vec::new();
    for one in named(&server).await {
        // A header's name may hold some of them (RFC 9110, section 5.1), and an entity's any: a template refuses what would be more than a name.
        let marks = if one.kind == "identity" || one.pattern.contains("header") { &[][..] } else { &MARKS[..] };
        for spelling in SPACES.iter().chain(marks) {
            let answer = server.put(&one.at(spelling), one.one.clone()).await;
            if answer.status != 400 {
                faults.push(format!("{} as {spelling}: {} {}", one.what(), answer.status, answer.text.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

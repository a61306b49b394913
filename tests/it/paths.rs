//! One path for one thing: what tries to be two things at once is refused before anybody looks at it.

use serde_json::json;
use warifu::base::Operation;
use warifu::mount::catalog::{self, Class};

use crate::http::raw_path;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_with_tricks_are_refused_everywhere() {
    let server = Server::new().await;
    server.kv("secret", 2).await;
    server.kv("plain", 1).await;
    server.put("secret/data/team/a", json!({"data": {"k": "canary-path"}})).await.ok();
    server.put("plain/team/a", json!({"k": "canary-path"})).await.ok();
    server
        .policy(
            "team",
            r#"path "secret/data/public/*" { capabilities = ["create", "read", "update", "delete", "list"] }
        path "plain/public/*" { capabilities = ["create", "read", "update", "delete", "list"] }
        path "sys/policies/acl/public*" { capabilities = ["create", "read", "update", "delete", "list"] }
        path "cubbyhole/*" { capabilities = ["create", "read", "update", "delete", "list"] }"#,
        )
        .await;
    let weak = server.with(&server.token_of(json!({"policies": ["team"]})).await);
    let tricks: Vec<Vec<u8>> = [
        "../team/a",
        "./../team/a",
        "x/../../team/a",
        "..",
        ".",
        "x/..",
        "x/.",
        "./x",
        "//x",
        "x//y",
        "x//",
        "%2e%2e/team/a",
        "%2E%2E/team/a",
        "..%2fteam/a",
        "..%2Fteam%2Fa",
        "%2e%2e%2fteam%2fa",
        "x%2f%2e%2e%2f..%2fteam%2fa",
        "%252e%252e/team/a",
        "%252e%252e%252fteam",
        "x%252fy",
        "x%252Fy",
        "x%2f%2fy",
        "%5cteam",
        "..%5cteam",
        "x\\y",
        "x%00",
        "x%00.json",
        "x%0ay",
        "x%0dy",
        "x%0d%0aset-cookie:a",
        "x%7f",
        "x%1b",
        "x%c2%80",
        "x%e2%80%8b",
        "x%e2%80%ae",
        "x%ef%bb%bf",
        "x%ff",
        "x%c0%ae",
        "%",
        "x%",
        "x%2",
        "x%zz",
        "x%u002e",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([
        vec![b'x', 0xff],
        vec![b'x', 0xe2, 0x80, 0xae],
        vec![b'a'; 8192],
        [b"a/".repeat(70), b"a".to_vec()].concat(),
        vec![b'b'; 1025],
    ])
    .collect();
    for mount in [
        "secret/data/public/",
        "secret/metadata/public/",
        "plain/public/",
        "cubbyhole/",
        "sys/policies/acl/",
        "sys/mounts/",
        "auth/token/roles/",
        "nosuch/",
        "",
    ] {
        for trick in &tricks {
            for method in ["GET", "PUT", "LIST", "DELETE"] {
                let path = [mount.as_bytes(), trick].concat();
                for http in [&weak, &server.http] {
                    let (status, text) = raw_path(http, method, &path).await;
                    let shown = String::from_utf8_lossy(&path).into_owned();
                    let shown = &shown[..shown.len().min(80)];
                    assert!(!text.contains("canary-path"), "{method} {shown}: {text}");
                    assert!(matches!(status, 400 | 414 | 431), "{method} {shown} answered {status}: {text}");
                    if http.token() == weak.token() && method != "GET" {
                        // Root is asked only where the weak one could be told apart.
                        break;
                    }
                }
            }
        }
    }
    // Nothing of it was written, nothing deleted.
    assert_eq!(server.get("plain/team/a").await.ok().data()["k"], "canary-path");
    assert_eq!(server.list("plain/").await.ok().data()["keys"], json!(["team/"]));
}

#[tokio::test]
async fn honest_paths_pass_in_every_encoding() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    for (written, read) in [
        ("a..b", "a..b"),
        ("...", "..."),
        (".hidden", ".hidden"),
        ("sp%20ace", "sp%20ace"),
        ("caf%C3%A9", "caf%c3%a9"),
        ("a%2Fb", "a/b"),
        ("plus+sign", "plus+sign"),
        ("50%25", "50%25"),
        ("a:b@c$d!e", "a:b@c$d!e"),
        ("%61%62%63", "abc"),
        ("trail", "trail/"),
    ] {
        let (status, text) = raw_path(&server, "PUT", format!("kv/{written}?k={}", "v").as_bytes()).await;
        assert_eq!(status, 400, "an empty object: {text}");
        server.put(&format!("kv/{written}"), json!({"k": written})).await.ok();
        assert_eq!(server.get(&format!("kv/{read}")).await.ok().data()["k"], written, "{read}");
    }
}

#[tokio::test]
async fn a_slash_that_is_encoded_is_a_slash_for_policies_too() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.put("kv/a/b", json!({"k": "v"})).await.ok();
    server.policy("one", r#"path "kv/+" { capabilities = ["read", "update", "create"] }"#).await;
    let http = server.with(&server.token_of(json!({"policies": ["one"]})).await);
    http.get("kv/a%2Fb").await.is(403);
    http.get("kv/a/b").await.is(403);
    http.put("kv/a%2fc", json!({"k": "v"})).await.is(403);
    server.policy("deny", r#"path "kv/*" { capabilities = ["read"] } path "kv/a/b" { capabilities = ["deny"] }"#).await;
    let http = server.with(&server.token_of(json!({"policies": ["deny"]})).await);
    for path in ["kv/a/b", "kv/a%2fb", "kv/%61/b", "kv/a/%62", "kv/a/b/"] {
        http.get(path).await.is(403);
    }
}

/// Who may ask for what is pinned: a new endpoint, or one whose door has changed, is seen in the review of this file.
#[tokio::test]
async fn every_endpoint_is_public_or_for_tokens_or_for_sudo_and_written_down() {
    let server = Server::new().await;
    mount_all(&server).await;
    let mut lines = vec![
        "# Every endpoint, once: `public` answers without a token, `token` needs one, `sudo` needs the capability too.".to_owned(),
        "# Those of `api` answer while the store is sealed; the others are the route tables, by the type of their mount.".to_owned(),
    ];
    for (path, verb) in [
        ("sys/health", "read"),
        ("sys/init", "read"),
        ("sys/init", "update"),
        ("sys/leader", "read"),
        ("sys/seal-status", "read"),
        ("sys/unseal", "update"),
    ] {
        lines.push(format!("public api {verb} {path}"));
        let answer = server.anonymous().call(if verb == "read" { "GET" } else { "PUT" }, path).json(&json!({})).await;
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
    }
    for entry in server.vault().mounts().table().iter() {
        let mount = &entry.mount;
        let version = mount.options.get("version").map(|version| format!("-v{version}")).unwrap_or_default();
        for endpoint in entry.engine.table().endpoints() {
            assert!(!(endpoint.public && endpoint.sudo), "{} {}", mount.kind, endpoint.pattern);
            let door = match (endpoint.public, endpoint.sudo) {
                (true, _) => "public",
                (_, true) => "sudo",
                _ => "token",
            };
            for (verb, _) in VERBS.iter().filter(|(verb, _)| endpoint.handling(*verb).is_some()) {
                lines.push(format!("{door} {}{version} {} {}", mount.kind, verb.word(), endpoint.pattern));
            }
        }
    }
    lines[2..].sort();
    let once = lines.len();
    lines.dedup();
    assert_eq!(lines.len(), once, "a route stands in a table twice");
    golden("endpoints.txt", &format!("{}\n", lines.join("\n")));
}

#[tokio::test]
async fn no_sudo_endpoint_answers_who_has_everything_but_sudo() {
    let server = Server::new().await;
    mount_all(&server).await;
    let all = r#"path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }"#;
    server.policy("all-but-sudo", all).await;
    let http = server.with(&server.token_of(json!({"policies": ["all-but-sudo"]})).await);
    let mut seen = 0;
    for entry in server.vault().mounts().table().iter() {
        for endpoint in entry.engine.table().endpoints().iter().filter(|e| e.sudo) {
            let path = sample(entry.mount.path.as_str(), endpoint.pattern);
            for (verb, method) in VERBS.iter().filter(|(verb, _)| endpoint.handling(*verb).is_some()) {
                let call = http.call(method, &path).json(&json!({}));
                let answer = call.header("content-type", "application/merge-patch+json").await;
                assert_eq!(answer.status, 403, "{} {path}: {answer:?}", verb.word());
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

#[tokio::test]
async fn every_other_endpoint_refuses_who_has_no_token() {
    let server = Server::new().await;
    mount_all(&server).await;
    let nobody = server.token_of(json!({"no_default_policy": true, "policies": ["nothing"]})).await;
    for entry in server.vault().mounts().table().iter() {
        for endpoint in entry.engine.table().endpoints().iter().filter(|e| !e.public) {
            let path = sample(entry.mount.path.as_str(), endpoint.pattern);
            for (verb, method) in VERBS {
                if endpoint.handling(verb).is_none() {
                    continue;
                }
                for http in [server.anonymous(), server.with("hvs.nobody"), server.with(&nobody)] {
                    let call = http
                        .call(method, &path)
                        .json(&json!({}))
                        .header("content-type", "application/merge-patch+json");
                    let answer = call.await;
                    assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
                }
            }
        }
    }
}

/// How a verb is asked for.
pub const VERBS: [(Operation, &str); 5] = [
    (Operation::Read, "GET"),
    (Operation::Update, "PUT"),
    (Operation::Patch, "PATCH"),
    (Operation::Delete, "DELETE"),
    (Operation::List, "LIST"),
];

/// Mounts one of everything that there is.
pub async fn mount_all(server: &Server) {
    for kind in catalog::kinds(Class::Secret) {
        if kind.word == "kv" {
            server.kv("kv-one", 1).await;
            server.kv("kv-two", 2).await;
        } else {
            server.put(&format!("sys/mounts/{}", kind.word), json!({"type": kind.word})).await.ok();
        }
    }
    for kind in catalog::kinds(Class::Auth) {
        server.auth(kind.word, kind.word).await;
    }
}

/// A path that a pattern matches.
pub fn sample(mount: &str, pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| match segment {
        s if s.starts_with('{') && s.ends_with("..}") => "walk/deep",
        s if s.starts_with('{') => "walk",
        s => s,
    });
    format!("{mount}{}", segments.collect::<Vec<_>>().join("/"))
}

/// Compares with a golden file, or writes it where `UPDATE=1` is set.
#[track_caller]
pub fn golden(name: &str, text: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(kept, text, "tests/golden/{name} differs; UPDATE=1 writes it anew");
}

//! A handle from elsewhere opens nothing: every endpoint that takes an id, an accessor, a serial, a key or a secret id is given those of
//! another mount, and of another role of the same mount. What it answers tells nothing of them, and they stay what they are.
//!
//! Driven by the route tables: a new endpoint with a handle in its path or its body is tried by itself.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use warifu::base::Operation;

use crate::http::Answer;
use crate::paths::VERBS;
use crate::server::Server;

/// The engines that make handles of their own.
const KINDS: [(&str, &str); 2] = [("pki", "sys/mounts"), ("approle", "sys/auth")];

/// Whether a name in a path or a body is that of a handle.
fn is_handle(name: &str) -> bool {
    const WORDS: [&str; 12] = [
        "id",
        "serial",
        "serial_number",
        "issuer_ref",
        "key_ref",
        "key_id",
        "default",
        "secret_id",
        "role_id",
        "secret_id_accessor",
        "accessor",
        "issuer_id",
    ];
    WORDS.contains(&name) || name.ends_with("_id") || name.ends_with("_ref") || name.ends_with("_accessor")
}

/// What is in a mount: the handles that its answers told, and what else nobody elsewhere may be told.
#[derive(Default)]
struct Harvest {
    handles: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl Harvest {
    fn take(&mut self, answer: &Answer) {
        self.walk("", answer.data());
    }

    fn walk(&mut self, key: &str, value: &Value) {
        match value {
            Value::String(text) if text.len() >= 8 && (is_handle(key) || key == "keys") => {
                self.handles.insert(text.clone());
            }
            // The body of a certificate or a key, without its frame and what all have alike.
            Value::String(text) if text.contains("-----BEGIN") => {
                self.secrets.extend(text.lines().rfind(|l| l.len() == 64).map(str::to_owned));
            }
            Value::Array(list) => list.iter().for_each(|one| self.walk(key, one)),
            Value::Object(map) => map.iter().for_each(|(key, one)| self.walk(key, one)),
            _ => {}
        }
    }
}

/// Fills a mount of this kind at this path; gives what it told.
async fn filled(server: &Server, kind: &str, at: &str) -> Harvest {
    let mut harvest = Harvest::default();
    let mut calls = Vec::new();
    if kind == "pki" {
        server.put(&format!("{at}config/cluster"), json!({"path": "https://here.test/v1/pki"})).await;
        calls.push((
            "root/generate/internal",
            json!({"common_name": format!("CA of {at}"), "key_type": "ec", "issuer_name": "first"}),
        ));
        calls.push(("roles/role", json!({"allow_any_name": true, "key_type": "ec"})));
        calls.push(("issue/role", json!({"common_name": "a.test"})));
        calls.push(("issue/role", json!({"common_name": "b.test"})));
        calls.push(("keys/generate/internal", json!({"key_type": "ec", "key_name": "second"})));
        calls.push(("acme/new-eab", json!({})));
    } else {
        for role in ["role", "other"] {
            server.put(&format!("{at}role/{role}"), json!({"token_ttl": "1h"})).await.ok();
            harvest.take(&server.get(&format!("{at}role/{role}/role-id")).await.ok());
        }
        calls.push(("role/role/secret-id", json!({"metadata": "{\"of\": \"secret-of-role\"}"})));
        calls.push(("role/role/custom-secret-id", json!({"secret_id": format!("custom-of-{at}")})));
    }
    for (path, body) in calls {
        harvest.take(&server.put(&format!("{at}{path}"), body).await.ok());
    }
    harvest
}

/// All that can be seen in a mount, to be compared before and after.
async fn seen(server: &Server, at: &str, handles: &BTreeSet<String>) -> Vec<(String, u16, Value)> {
    let mut paths: Vec<(&str, String)> = [
        "issuers",
        "keys",
        "certs",
        "certs/revoked",
        "roles",
        "eab",
        "role/role/secret-id",
        "role/other/secret-id",
        "role",
    ]
    .iter()
    .map(|p| ("LIST", (*p).to_owned()))
    .collect();
    paths.extend(
        ["config/issuers", "config/keys", "config/cluster", "role/role", "role/role/role-id"]
            .map(|p| ("GET", p.to_owned())),
    );
    for handle in handles {
        paths.extend(["issuer", "key", "cert"].map(|p| ("GET", format!("{p}/{handle}"))));
    }
    let mut all = Vec::new();
    for (method, path) in paths {
        let answer = server.call(method, &format!("{at}{path}")).await;
        all.push((path, answer.status, answer.data().clone()));
    }
    for handle in handles {
        for (path, field) in [("secret-id/lookup", "secret_id"), ("secret-id-accessor/lookup", "secret_id_accessor")] {
            let answer = server.put(&format!("{at}role/role/{path}"), json!({field: handle})).await;
            all.push((format!("{path} {handle}"), answer.status, answer.data().clone()));
        }
    }
    all
}

/// The requests that an endpoint can be asked with this handle: in its path, in each field of its body.
fn requests(pattern: &str, mount: &str, fields: &[&str], handle: &str, role: &str) -> Vec<(String, Value)> {
    let escaped = handle.replace('/', "%2F");
    let captures: Vec<&str> = pattern
        .split('/')
        .filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'))
        .map(|n| n.trim_end_matches(['!', '~', '.']))
        .collect();
    let path = |with: Option<&str>| {
        let segments =
            pattern.split('/').map(|segment| match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                None => segment.to_owned(),
                Some(name) => match name.trim_end_matches(['!', '~', '.']) {
                    name if Some(name) == with => escaped.clone(),
                    "role" | "role_name" | "name" => role.to_owned(),
                    "issuer_ref" => "default".to_owned(),
                    "exported" => "internal".to_owned(),
                    _ => escaped.clone(),
                },
            });
        format!("{mount}{}", segments.collect::<Vec<_>>().join("/"))
    };
    let mut all: Vec<(String, Value)> = captures
        .iter()
        .filter(|c| is_handle(c))
        .map(|capture| (path(Some(capture)), json!({"common_name": "x.test", "format": "pem"})))
        .collect();
    for field in fields.iter().filter(|f| is_handle(f) && !captures.contains(f)) {
        let mut body = Map::new();
        body.insert("common_name".into(), json!("x.test"));
        body.insert((*field).to_owned(), json!(handle));
        all.push((path(None), Value::Object(body)));
    }
    all
}

/// Asks every endpoint of a mount with these handles, which are not its own or not of this role; tells what went wrong.
async fn probe(server: &Server, mount: &str, theirs: &Harvest, role: &str, only_below: &str) -> (usize, Vec<String>) {
    let mut asked = Vec::new();
    for entry in server.vault().mounts().table().iter().filter(|e| e.mount.path.as_str() == mount) {
        for endpoint in entry.engine.table().endpoints().iter().filter(|e| e.pattern.starts_with(only_below)) {
            for (verb, method) in VERBS {
                let Some(handling) = endpoint.handling(verb) else { continue };
                let fields: Vec<&str> = if verb == Operation::Delete {
                    Vec::new()
                } else {
                    handling.fields.iter().map(|f| f.name).collect()
                };
                for handle in &theirs.handles {
                    asked.extend(
                        requests(endpoint.pattern, mount, &fields, handle, role).into_iter().map(|r| (method, r)),
                    );
                }
            }
        }
    }
    let mut faults = Vec::new();
    for (method, (path, body)) in &asked {
        let answer = server.call(method, path).json(body).header("content-type", "application/merge-patch+json").await;
        if answer.status == 0 || answer.status >= 500 {
            faults.push(format!("{method} {path} {body}: {} {}", answer.status, answer.text.trim()));
        }
        if let Some(told) = theirs.secrets.iter().find(|s| answer.text.contains(*s)) {
            faults.push(format!("{method} {path} {body} tells {told}"));
        }
    }
    (asked.len(), faults)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_of_another_mount_opens_and_changes_nothing() {
    let server = Server::new().await;
    for (kind, sys) in KINDS {
        let path = |name: &str| if sys == "sys/auth" { format!("auth/{name}/") } else { format!("{name}/") };
        for name in ["theirs", "mine"] {
            server.put(&format!("{sys}/{kind}-{name}"), json!({"type": kind})).await.ok();
        }
        let (there, here) = (path(&format!("{kind}-theirs")), path(&format!("{kind}-mine")));
        let theirs = filled(&server, kind, &there).await;
        filled(&server, kind, &here).await;
        assert!(theirs.handles.len() >= 4, "{kind}: {:?}", theirs.handles);
        let before = seen(&server, &there, &theirs.handles).await;
        assert!(before.iter().filter(|(_, status, _)| *status == 200).count() >= 6, "{before:#?}");
        let (asked, mut faults) = probe(&server, &here, &theirs, "role", "").await;
        assert!(asked > 40, "{kind}: {asked} only");
        for (was, is) in before.iter().zip(&seen(&server, &there, &theirs.handles).await) {
            if was != is {
                faults.push(format!("{kind}: {was:?} became {is:?}"));
            }
        }
        assert!(
            faults.is_empty(),
            "{} faults of {asked}:\n{}",
            faults.len(),
            faults[..faults.len().min(30)].join("\n")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_id_of_another_role_opens_and_changes_nothing() {
    let server = Server::new().await;
    server.auth("approle", "approle").await;
    let theirs = filled(&server, "approle", "auth/approle/").await;
    let role_id =
        server.get("auth/approle/role/other/role-id").await.ok().data()["role_id"].as_str().unwrap().to_owned();
    for secret_id in &theirs.handles {
        let login = json!({"role_id": role_id, "secret_id": secret_id});
        let answer = server.anonymous().put("auth/approle/login", login).await;
        assert!(!answer.succeeded(), "{secret_id} logs in to another role: {answer:?}");
    }
    let before = seen(&server, "auth/approle/", &theirs.handles).await;
    // By every endpoint of the other role. Setting that role's own id to one that is taken is refused as well.
    let (asked, mut faults) = probe(&server, "auth/approle/", &theirs, "other", "role/{role_name!}/").await;
    assert!(asked > 10, "{asked} only");
    for (was, is) in before.iter().zip(&seen(&server, "auth/approle/", &theirs.handles).await) {
        // Secret ids that it was given for itself are in its own list.
        if was != is && was.0 != "role/other/secret-id" {
            faults.push(format!("{was:?} became {is:?}"));
        }
    }
    assert!(faults.is_empty(), "{} faults of {asked}:\n{}", faults.len(), faults.join("\n"));
}

/// What the policy that every token has lets a stranger do with a handle that he has seen somewhere.
#[tokio::test]
async fn a_handle_alone_is_no_permission() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.auth("up", "userpass").await;
    server.put("auth/up/users/ann", json!({"password": "p"})).await.ok();
    let ann = server.anonymous().put("auth/up/login/ann", json!({"password": "p"})).await.ok();
    let (token, accessor, entity) =
        ["client_token", "accessor", "entity_id"].map(|k| ann.auth()[k].as_str().unwrap().to_owned()).into();
    let stranger = server.with(&server.token_of(json!({"policies": ["default"]})).await);
    let mut refused = 0;
    for entry in server
        .vault()
        .mounts()
        .table()
        .iter()
        .filter(|e| matches!(e.mount.kind.as_str(), "system" | "token" | "identity"))
    {
        for endpoint in entry.engine.table().endpoints().iter().filter(|e| !e.public) {
            for (verb, method) in VERBS {
                let Some(handling) = endpoint.handling(verb) else { continue };
                let fields: Vec<&str> = handling.fields.iter().map(|f| f.name).collect();
                for handle in [&accessor, &entity] {
                    for (path, body) in requests(endpoint.pattern, entry.mount.path.as_str(), &fields, handle, "ann") {
                        let answer = stranger
                            .call(method, &path)
                            .json(&body)
                            .header("content-type", "application/merge-patch+json")
                            .await;
                        refused += usize::from(answer.status == 403);
                        assert!(
                            !answer.text.contains(&token) && !answer.text.contains("\"ann\""),
                            "{method} {path}: {answer:?}"
                        );
                        assert!(server.alive(&token).await, "{method} {path} {body} ended it: {answer:?}");
                    }
                }
            }
        }
    }
    assert!(refused > 30, "{refused}");
    server.get(&format!("identity/entity/id/{entity}")).await.ok();
}

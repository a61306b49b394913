//! Keys and credentials that the process itself was given: no log and no error tells them, whatever is broken.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use warifu::base::Secret;
use warifu::seal::{Named, StaticSeal};
use warifu::storage::memory::Memory;
use warifu::storage::{Batch, Change, Storage};

use crate::logs;
use crate::process::Place;
use crate::server::{Plan, Server};
use crate::stores::{copy, rows};

/// CVE-2020-13223: a proxy's password stood in the log of the start.
#[tokio::test]
async fn nothing_of_the_environment_is_told_by_a_server_that_starts_serves_and_ends() {
    let mut place = Place::new();
    for name in
        ["HTTPS_PROXY", "http_proxy", "VAULT_TOKEN", "WARIFU_TOKEN", "DATABASE_URL", "VAULT_LICENSE", "RUST_LOG"]
    {
        place.environment.push((name.to_owned(), format!("http://user:canary-env-{name}@127.0.0.1:1")));
    }
    let config = place.folder.path().join("server.hcl");
    let text = std::fs::read_to_string(&config).unwrap().replace("\"warn\"", "\"trace\"");
    std::fs::write(&config, format!("{text}\napi_addr = \"http://127.0.0.1:1\"\n")).unwrap();
    let mut process = place.start().await;
    let share = process.init().await;
    process.http.put("sys/mounts/kv", json!({"type": "kv"})).await.ok();
    let mut told = String::new();
    for path in [
        "sys/config/state/sanitized",
        "sys/host-info",
        "sys/metrics",
        "sys/metrics?format=prometheus",
        "sys/in-flight-req",
    ] {
        told.push_str(&process.http.get(path).await.text);
    }
    process.http.put("sys/unseal", json!({"key": "canary-env-share"})).await;
    let root = process.http.token().to_owned();
    assert_eq!(process.end_softly().await, Some(0));
    told.push_str(&std::fs::read_to_string(place.folder.path().join("log")).unwrap());
    told.push_str(&process.out.lock().unwrap().join("\n"));
    assert!(told.len() > 2000, "{told}");
    for secret in ["canary-env", share.as_str(), root.as_str()] {
        let at = told.find(secret).map(|at| &told[at.saturating_sub(200)..(at + 60).min(told.len())]);
        assert_eq!(at, None, "{secret} is told");
    }
}

/// Every form in which bytes could be written down.
fn forms(bytes: &[u8]) -> Vec<String> {
    let list = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    vec![hex::encode(bytes), hex::encode_upper(bytes), STANDARD.encode(bytes), list]
}

/// CVE-2018-19786: the key stood in the log when what it should open was damaged.
#[tokio::test]
async fn a_store_that_is_damaged_anywhere_tells_nothing_of_the_keys_that_should_open_it() {
    let key: Vec<u8> = (0..32).map(|n| n * 7 + 3).collect();
    let seal = || {
        let named = Named { id: "a".into(), key: Secret::new(key.clone()) };
        Some(Arc::new(StaticSeal::new(named, None, false)))
    };
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let mut server = Plan { static_seal: seal(), ..Plan::over(storage.clone()) }.start().await;
    let made = server.put("sys/init", json!({"recovery_shares": 1, "recovery_threshold": 1})).await.ok();
    let recovery = made.json["recovery_keys_base64"][0].as_str().unwrap().to_owned();
    let root = made.json["root_token"].as_str().unwrap().to_owned();
    server.http = server.http.with(&root);
    drop(server);
    let shamir: Arc<dyn Storage> = Arc::new(Memory::new());
    let by_shares = Plan::over(shamir.clone()).ready().await;
    let share = STANDARD.decode(&by_shares.shares[0]).unwrap();
    let mut damaged = 0;
    for (storage, seal) in [(&storage, seal()), (&shamir, None)] {
        for (name, value) in rows(storage.as_ref()) {
            for at in [0, value.len() / 2, value.len().saturating_sub(1)] {
                let mut bad = value.clone();
                if let Some(byte) = bad.get_mut(at) {
                    *byte ^= 0x41;
                }
                let copied = copy(storage.as_ref()).await;
                let changes = vec![(name.clone(), Change::Put(bad))];
                copied.commit(Batch { expects: Vec::new(), changes }).await.unwrap();
                let starting = Plan { static_seal: seal.clone(), ..Plan::over(copied) }.start();
                // One that cannot even be looked at keeps its server from starting.
                let Ok(opened) = tokio::spawn(starting).await else { continue };
                if seal.is_none() {
                    let answer = opened.put("sys/unseal", json!({"key": by_shares.shares[0]})).await;
                    assert!(!forms(&share).iter().any(|form| answer.text.contains(form)), "{name}: {answer:?}");
                }
                let answer = opened.with(&root).get("sys/mounts").await;
                assert!(!answer.text.contains(&root), "{name}: {answer:?}");
                damaged += 1;
            }
        }
    }
    assert!(damaged > 30, "{damaged}");
    let log = logs::text();
    let recovery = STANDARD.decode(recovery).unwrap();
    for secret in forms(&key).into_iter().chain(forms(&share)).chain(forms(&recovery)).chain([root]) {
        let at = log.find(&secret).map(|at| log[at.saturating_sub(200)..at].to_owned());
        assert_eq!(at, None, "a key is told");
    }
}

/// CVE-2022-25244 and its kind: what is written to be used is read back by nobody.
#[tokio::test]
async fn no_read_of_any_endpoint_gives_back_a_secret_that_was_configured() {
    let server = Server::new().await;
    crate::paths::mount_all(&server).await;
    const CANARY: &str = "canary-config-51d7";
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let inside = key.lines().nth(1).unwrap().to_owned();
    let oidc = json!({"oidc_client_secret": CANARY, "jwt_validation_pubkeys": []});
    server.put("auth/oidc/config", oidc).await;
    server.put("auth/userpass/users/u", json!({"password": CANARY})).await.ok();
    server.put("auth/kubernetes/config", json!({"kubernetes_host": "https://127.0.0.1:1", "token_reviewer_jwt": CANARY, "disable_local_ca_jwt": true})).await;
    server.put("auth/approle/role/r", json!({})).await.ok();
    server.put("auth/approle/role/r/custom-secret-id", json!({"secret_id": CANARY})).await.ok();
    server.put("pki/keys/import", json!({"pem_bundle": key, "key_name": "k"})).await;
    server.put("pki/config/keys", json!({"default": "k"})).await;
    let mut asked = 0;
    for entry in server.vault().mounts().table().iter() {
        for endpoint in entry.engine.table().endpoints() {
            let ends = matches!(endpoint.pattern, "monitor" | "internal/watch");
            for (verb, method) in [(warifu::base::Operation::Read, "GET"), (warifu::base::Operation::List, "LIST")] {
                if ends || endpoint.handling(verb).is_none() {
                    continue;
                }
                for name in ["u", "r", "k", "default"] {
                    let segments = endpoint.pattern.split('/').map(|s| if s.starts_with('{') { name } else { s });
                    let path = format!("{}{}", entry.mount.path, segments.collect::<Vec<_>>().join("/"));
                    let answer = server.call(method, &path).await;
                    assert!(
                        !answer.text.contains(CANARY) && !answer.text.contains(&inside),
                        "{method} {path}: {answer:?}"
                    );
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 400, "{asked}");
}

//! After each ceremony, each half of one and each one that was given up: the store opens with the shares that people hold.

use super::labels::texts;
use super::*;

/// What is done to a store of three shares, two of which open it; the shares that people hold then.
type Deed = fn(Http, Vec<String>) -> std::pin::Pin<Box<dyn Future<Output = Vec<String>> + Send>>;

const SHAPE: (u64, u64) = (4, 3);

fn shape(more: Value) -> Value {
    let mut body = json!({"secret_shares": SHAPE.0, "secret_threshold": SHAPE.1});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// A rekey by one of its names, up to its last share.
async fn rekeyed(http: &Http, kind: &str, shares: &[String], body: Value) -> Value {
    let nonce = http.put(&format!("sys/{kind}/init"), body).await.ok().json["nonce"].clone();
    perform(http, kind, &nonce, &shares[..2]).await.ok().json
}

const DEEDS: &[(&str, Deed)] = &[
    ("a rotation", |http, held| {
        Box::pin(async move {
            for _ in 0..3 {
                http.put("sys/rotate", json!({})).await.is(204);
            }
            held
        })
    }),
    ("a rotation by its newer name", |http, held| {
        Box::pin(async move {
            http.put("sys/rotate/keyring", json!({})).await.ok();
            held
        })
    }),
    ("a rekey that was begun", |http, held| {
        Box::pin(async move {
            let nonce = http.put("sys/rekey/init", shape(json!({}))).await.ok().json["nonce"].clone();
            perform(&http, "rekey", &nonce, &held[..1]).await.ok();
            held
        })
    }),
    ("a rekey that was given up", |http, held| {
        Box::pin(async move {
            let nonce = http.put("sys/rekey/init", shape(json!({}))).await.ok().json["nonce"].clone();
            perform(&http, "rekey", &nonce, &held[..1]).await.ok();
            http.delete(&format!("sys/rekey/init?nonce={}", nonce.as_str().unwrap())).await.is(204);
            held
        })
    }),
    ("a rekey", |http, held| {
        Box::pin(async move { texts(&rekeyed(&http, "rekey", &held, shape(json!({}))).await["keys_base64"]) })
    }),
    ("a rekey by its newer name", |http, held| {
        Box::pin(async move { texts(&rekeyed(&http, "rotate/root", &held, shape(json!({}))).await["keys_base64"]) })
    }),
    ("a rekey that nobody verified", |http, held| {
        Box::pin(async move {
            rekeyed(&http, "rekey", &held, shape(json!({"require_verification": true}))).await;
            held
        })
    }),
    ("a rekey whose verification was given up", |http, held| {
        Box::pin(async move {
            let end = rekeyed(&http, "rekey", &held, shape(json!({"require_verification": true}))).await;
            let new = texts(&end["keys_base64"]);
            let body = json!({"key": new[0], "nonce": end["verification_nonce"]});
            http.put("sys/rekey/verify", body).await.ok();
            http.delete("sys/rekey/verify").await.ok();
            http.delete("sys/rekey/init").await.ok();
            held
        })
    }),
    ("a rekey that was verified", |http, held| {
        Box::pin(async move {
            let end = rekeyed(&http, "rekey", &held, shape(json!({"require_verification": true}))).await;
            let new = texts(&end["keys_base64"]);
            for share in &new[..3] {
                let body = json!({"key": share, "nonce": end["verification_nonce"]});
                http.put("sys/rekey/verify", body).await.ok();
            }
            new
        })
    }),
    ("labelled shares", |http, held| {
        Box::pin(async move {
            let end = rekeyed(&http, "rekey", &held, shape(json!({"labelled_shares": true}))).await;
            texts(&end["keys_labelled"])
        })
    }),
    ("a new root token", |http, held| {
        Box::pin(async move {
            let nonce = http.put("sys/generate-root/attempt", json!({})).await.ok().json["nonce"].clone();
            perform(&http, "generate-root", &nonce, &held[..2]).await.ok();
            held
        })
    }),
    ("a new root token that was given up", |http, held| {
        Box::pin(async move {
            let nonce = http.put("sys/generate-root/attempt", json!({})).await.ok().json["nonce"].clone();
            perform(&http, "generate-root", &nonce, &held[..1]).await.ok();
            http.delete("sys/generate-root/attempt").await.is(204);
            held
        })
    }),
    ("a rotation after a rekey", |http, held| {
        Box::pin(async move {
            let new = texts(&rekeyed(&http, "rekey", &held, shape(json!({}))).await["keys_base64"]);
            http.put("sys/rotate", json!({})).await.is(204);
            new
        })
    }),
];

/// openbao#2619: a rotation of the root key lost every share.
#[tokio::test]
async fn after_every_ceremony_the_store_opens_with_the_shares_that_people_hold_and_with_no_others() {
    for (name, deed) in DEEDS {
        for crash in [false, true] {
            let mut server = Plan::over(Arc::new(Memory::new())).start().await;
            server.init(3, 2).await;
            server.open().await;
            server.kv("secret", 1).await;
            server.put("secret/a", json!({"k": "v"})).await.ok();
            let before = server.shares.clone();
            let held = deed(server.http.clone(), before.clone()).await;
            assert!(held == before || held.len() == usize::try_from(SHAPE.0).unwrap(), "{name}: {}", held.len());
            let server = if crash {
                let next = server.again().await;
                server.vault().seal();
                next
            } else {
                server.put("sys/seal", json!({})).await.is(204);
                server
            };
            if held != before {
                for share in &before[..2] {
                    offer(&server, share).await;
                }
                assert_eq!(server.get("sys/seal-status").await.ok().json["sealed"], true, "{name}: the old ones open");
                server.put("sys/unseal", json!({"reset": true})).await.ok();
            }
            let threshold = if held == before { 2 } else { 3 };
            // By any of them that are enough.
            for share in held.iter().rev().take(threshold) {
                offer(&server, share).await.ok();
            }
            assert_eq!(server.get("sys/seal-status").await.ok().json["sealed"], false, "{name}, crash: {crash}");
            assert_eq!(server.get("secret/a").await.ok().data()["k"], "v", "{name}");
            // And the people can go on from there.
            let nonce = server.put("sys/generate-root/attempt", json!({})).await;
            if nonce.succeeded() {
                let end = perform(&server, "generate-root", &nonce.json["nonce"], &held[..threshold]).await.ok();
                assert_eq!(end.json["complete"], true, "{name}");
            }
        }
    }
}

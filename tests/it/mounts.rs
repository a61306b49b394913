//! Engines come, move and go; what they kept goes with them, also when the server dies in between.

use std::sync::Arc;

use serde_json::json;
use warifu::storage::faulty::{Fault, Faulty, Plan as Faults};
use warifu::storage::memory::Memory;

use crate::server::{Plan, Server, at_once};
use crate::stores::{Alone, rows};

#[tokio::test]
async fn an_unmount_leaves_nothing_behind() {
    let server = Server::new().await;
    let before = rows(server.plan.storage.as_ref()).len();
    for version in [1, 2] {
        server.kv("kv", version).await;
        for n in 0..20 {
            let path = if version == 1 { format!("kv/{n}/x") } else { format!("kv/data/{n}/x") };
            server.put(&path, json!({"data": {"k": "v"}})).await.ok();
        }
        server.delete("sys/mounts/kv").await.is(204);
        server.get("kv/0/x").await.is(404);
        server.sweep().await;
        assert_eq!(rows(server.plan.storage.as_ref()).len(), before);
    }
    server.delete("sys/mounts/kv").await.is(204);
}

#[tokio::test]
async fn what_comes_after_at_the_same_path_starts_empty() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.put("kv/a", json!({"k": "v"})).await.ok();
    server.delete("sys/mounts/kv").await.is(204);
    server.kv("kv", 1).await;
    server.get("kv/a").await.is(404);
    server.list("kv/").await.is(404);
}

#[tokio::test]
async fn a_move_keeps_the_data_and_frees_the_path() {
    let server = Server::new().await;
    server.kv("old", 2).await;
    server.put("old/data/a", json!({"data": {"k": "v"}})).await.ok();
    server.kv("there", 1).await;
    for (from, to) in [
        ("old", "there"),
        ("old", "there/below"),
        ("old", "sys/x"),
        ("old", "auth/x"),
        ("nosuch", "x"),
        ("sys", "x"),
        ("old", "a+b"),
        ("old", "../x"),
    ] {
        server.put("sys/remount", json!({"from": from, "to": to})).await.is(400);
    }
    server.put("sys/remount", json!({"from": "old", "to": "new/place"})).await.ok();
    server.get("old/data/a").await.is(404);
    assert_eq!(server.get("new/place/data/a").await.ok().data()["data"]["k"], "v");
    let server = server.crashed().await;
    assert_eq!(server.get("new/place/data/a").await.ok().data()["data"]["k"], "v");
    server.kv("old", 1).await;
    server.get("old/a").await.is(404);
}

#[tokio::test]
async fn paths_that_would_hide_another_are_refused() {
    let server = Server::new().await;
    server.kv("a/b", 1).await;
    for path in
        ["a", "a/b", "a/b/c", "sys", "sys/x", "auth/x", "auth", "cubbyhole", "identity", "identity/x", "auth/token"]
    {
        server.put(&format!("sys/mounts/{path}"), json!({"type": "kv"})).await.is(400);
    }
    for path in ["a+", "a*", "%7Ba%7D", "a%20b", "a%2Cb", "a%22"] {
        server.put(&format!("sys/mounts/{path}"), json!({"type": "kv"})).await.is(400);
    }
    for body in [
        json!({}),
        json!({"type": "nosuch"}),
        json!({"type": "system"}),
        json!({"type": "token"}),
        json!({"type": "kv", "options": {"version": "3"}}),
    ] {
        server.put("sys/mounts/fresh", body).await.is(400);
    }
    server.get("fresh/a").await.is(404);
    // One that begins with the same letters hides nothing.
    server.kv("a/bc", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_mount_at_one_path_one_succeeds() {
    let server = Server::new().await;
    let calls = (0..16).map(|_| {
        let http = server.http.clone();
        async move { http.put("sys/mounts/kv", json!({"type": "kv"})).await.status }
    });
    let codes = at_once(calls).await;
    assert_eq!(codes.iter().filter(|c| **c == 204).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|c| matches!(c, 204 | 400)), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_into_a_mount_that_is_gone() {
    let server = Server::new().await;
    // What the background writes at its start is there after the first round.
    let mut before = None;
    for _ in 0..5 {
        server.kv("kv", 1).await;
        let writers = (0..16).map(|n| {
            let http = server.http.clone();
            async move {
                for i in 0..10 {
                    let answer = http.put(&format!("kv/{n}-{i}"), json!({"k": "v"})).await;
                    assert!(matches!(answer.status, 204 | 404 | 503), "{answer:?}");
                }
            }
        });
        let load = tokio::spawn(at_once(writers));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        server.delete("sys/mounts/kv").await.is(204);
        load.await.unwrap();
        server.sweep().await;
        let left = rows(server.plan.storage.as_ref()).len();
        assert_eq!(left, *before.get_or_insert(left));
    }
}

#[tokio::test]
async fn an_unmount_that_crashes_in_the_middle_is_finished() {
    let memory = Arc::new(Memory::new());
    let faulty = Arc::new(Faulty::new(memory.clone()));
    let alone = Alone::new(faulty.clone());
    let mut server = Plan::over(alone).ready().await;
    let before = rows(memory.as_ref()).len();
    let mut step = 0;
    loop {
        step += 1;
        server.kv("kv", 1).await;
        // More than one step of removing.
        for n in 0..30 {
            server.put(&format!("kv/{n}"), json!({"k": "v"})).await.ok();
        }
        faulty.plan(Faults::From(step, Fault::Before));
        let answer = server.delete("sys/mounts/kv").await;
        let done = answer.status == 204;
        assert!(done || answer.status >= 500, "{answer:?}");
        faulty.plan(Faults::Sound);
        server = server.crashed().await;
        let gone = server.get("kv/0").await;
        if gone.status == 200 {
            // It had not begun.
            server.delete("sys/mounts/kv").await.is(204);
        }
        server.sweep().await;
        assert_eq!(rows(memory.as_ref()).len(), before, "step {step}");
        if done {
            break;
        }
    }
    assert!(step > 3);
}

#[tokio::test]
async fn tuning_shows_and_refuses_nonsense() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    for body in [
        json!({"default_lease_ttl": "x"}),
        json!({"max_lease_ttl": -1}),
        json!({"default_lease_ttl": "2h", "max_lease_ttl": "1h"}),
        json!({"listing_visibility": "canary"}),
        json!({"token_type": "batch"}),
        json!({"options": {"version": "7"}}),
    ] {
        let answer = server.put("sys/mounts/kv/tune", body).await.is(400);
        assert!(!answer.text.contains("canary"), "{answer:?}");
    }
    server.put("sys/mounts/kv/tune", json!({"default_lease_ttl": "1h", "max_lease_ttl": "2h"})).await.is(204);
    assert_eq!(server.get("sys/mounts/kv/tune").await.ok().data()["max_lease_ttl"], 7200);
    server.put("sys/mounts/nosuch/tune", json!({"default_lease_ttl": "1h"})).await.is(400);
    server.get("sys/mounts/nosuch").await.is(400);
}

#[tokio::test]
async fn a_mount_lets_no_header_through_that_carries_a_token_however_it_is_written() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    for field in ["passthrough_request_headers", "allowed_response_headers"] {
        for name in
            ["Authorization", " x-vault-token", "X-VAULT-TOKEN\t", "Proxy-Authorization ", "cookie", "Client-Cert"]
        {
            let answer = server.put("sys/mounts/kv/tune", json!({field: ["X-Fine", name]})).await;
            answer.refused(400, &format!("'{field}' cannot name"));
        }
        for name in ["x y", "x\r\ny: z", "x:y", "ä"] {
            let answer = server.put("sys/mounts/kv/tune", json!({field: [name]})).await;
            answer.refused(400, &format!("field '{field}': not the name of a header"));
        }
        let many: Vec<_> = (0..=warifu::base::limits::MOUNT_HEADERS).map(|n| format!("x-{n}")).collect();
        server.put("sys/mounts/kv/tune", json!({field: many})).await.refused(400, "at most");
        assert_eq!(server.get("sys/mounts/kv/tune").await.ok().data()[field], json!(null), "nothing was kept");
        server.put("sys/mounts/kv/tune", json!({field: [" X-One ", "x-one", "X-Two"]})).await.ok();
        assert_eq!(server.get("sys/mounts/kv/tune").await.ok().data()[field], json!(["X-One", "X-Two"]));
        server.put("sys/mounts/kv/tune", json!({field: []})).await.ok();
        assert_eq!(server.get("sys/mounts/kv/tune").await.ok().data()[field], json!(null));
    }
    let config = json!({"type": "kv", "config": {"passthrough_request_headers": ["authorization "]}});
    server.put("sys/mounts/other", config).await.refused(400, "cannot name");
}

#[tokio::test]
async fn every_option_of_a_mount_is_kept_shown_and_survives_a_restart() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    server.auth("up", "userpass").await;
    let common = json!({
        "default_lease_ttl": 1800, "max_lease_ttl": 7200, "description": "words for people",
        "audit_non_hmac_request_keys": ["one", "two"], "audit_non_hmac_response_keys": ["three"],
        "listing_visibility": "unauth", "passthrough_request_headers": ["X-In"], "allowed_response_headers": ["X-Out"],
    });
    let more = json!({
        "token_type": "batch",
        "user_lockout_config": {"lockout_threshold": "7", "lockout_duration": "9m", "lockout_counter_reset": "5m", "lockout_disable": false},
    });
    let mut of_auth = common.clone();
    of_auth.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let kept = async |server: &Server| {
        for (path, body) in [("sys/mounts/kv/tune", &common), ("sys/auth/up/tune", &of_auth)] {
            let answer = server.get(path).await.ok();
            for (name, value) in body.as_object().unwrap() {
                match name.as_str() {
                    "user_lockout_config" => {
                        let lockout = &answer.data()[name];
                        assert_eq!(
                            (&lockout["lockout_threshold"], &lockout["lockout_duration"]),
                            (&json!(7), &json!(540)),
                            "{answer:?}"
                        );
                    }
                    _ => assert_eq!(&answer.data()[name], value, "{path} {name}: {answer:?}"),
                }
            }
        }
    };
    server.put("sys/mounts/kv/tune", common.clone()).await.is(204);
    server.put("sys/auth/up/tune", of_auth.clone()).await.is(204);
    kept(&server).await;
    // What is not named stays as it is, and what is refused changes nothing of what stood beside it.
    server.put("sys/mounts/kv/tune", json!({"description": "words for people"})).await.ok();
    server.put("sys/mounts/kv/tune", json!({"description": "other", "max_lease_ttl": "x"})).await.is(400);
    server.put("sys/auth/up/tune", json!({"description": "other", "token_type": "nonsense"})).await.is(400);
    kept(&server).await;
    let server = server.crashed().await;
    kept(&server).await;
    // They hold: by the mount's token type, and its TTL.
    server.put("auth/up/users/u", json!({"password": "p"})).await.ok();
    let login = server.anonymous().put("auth/up/login/u", json!({"password": "p"})).await.ok();
    assert_eq!((&login.auth()["token_type"], &login.auth()["lease_duration"]), (&json!("batch"), &json!(1800)));
    let shown = server.anonymous().get("sys/internal/ui/mounts").await.ok();
    assert_eq!(shown.data()["secret"]["kv/"]["description"], "words for people", "{shown:?}");
}

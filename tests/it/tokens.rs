//! What a token is worth, how long, and how often.

use std::sync::Arc;

use serde_json::{Value, json};
use warifu::storage::sqlite::Sqlite;

use crate::server::{MAX_TTL, Plan, Server, at_once};

#[tokio::test]
async fn what_is_no_token_opens_nothing() {
    let server = Server::new().await;
    let long = format!("hvs.{}", "x".repeat(9000));
    for text in ["x", "hvs.", "hvb.", "hvb.AAAA", "s.", "b.x", "null", "../../x", "hvs.\u{e9}", "a b", &long] {
        let answer = server.get("auth/token/lookup-self").by(text).await;
        answer.refused(403, "permission denied");
    }
    server.anonymous().get("auth/token/lookup-self").await.is(403);
    server.anonymous().get("auth/token/lookup-self").header("authorization", "Basic abc").await.is(403);
    let root = server.token().to_owned();
    server.anonymous().get("auth/token/lookup-self").header("authorization", &format!("Bearer {root}")).await.ok();
    // A token by one letter is not the token.
    let mut off = root.clone();
    let last = if off.pop() == Some('A') { 'B' } else { 'A' };
    off.push(last);
    assert!(!server.alive(&off).await);
}

#[tokio::test]
async fn a_token_dies_at_the_second_of_its_end() {
    let server = Server::new().await;
    let token = server.token_of(json!({"ttl": "60s"})).await;
    server.clock().advance(59);
    assert!(server.alive(&token).await);
    assert_eq!(server.lookup(&token).await["ttl"], 1);
    server.clock().advance(1);
    assert!(!server.alive(&token).await);
    server.sweep().await;
    assert_eq!(server.tokens().await, 1, "its rows go too");
    server.put("auth/token/renew", json!({"token": token})).await.is(400);
    server.put("auth/token/renew-self", json!({})).by(&token).await.is(403);
}

#[tokio::test]
async fn renewal_never_reaches_beyond_the_longest_life() {
    for offset in [-1_i64, 0, 1] {
        let server = Server::new().await;
        let token = server.token_of(json!({"ttl": "100h"})).await;
        // In steps until a second before, at, and after the end of the longest life.
        let end = i64::try_from(MAX_TTL).unwrap() + offset;
        let mut now = 0;
        let mut alive = true;
        while now < end && alive {
            let step = 359_999.min(end - now);
            server.clock().advance(step.unsigned_abs());
            now += step;
            let renewed = server.put("auth/token/renew-self", json!({"increment": "100h"})).by(&token).await;
            alive = renewed.status == 200;
            if alive {
                let left = renewed.auth()["lease_duration"].as_i64().unwrap();
                assert!(left > 0 && now + left <= i64::try_from(MAX_TTL).unwrap(), "at {now} it got {left} more");
            }
        }
        assert_eq!(alive, offset < 0, "offset {offset}");
        server.clock().advance(2);
        assert!(!server.alive(&token).await, "offset {offset}");
    }
}

#[tokio::test]
async fn a_hard_end_holds_against_renewal_period_and_increment() {
    let server = Server::new().await;
    for extra in [json!({}), json!({"period": "30s"}), json!({"ttl": "99h"})] {
        let mut body = json!({"explicit_max_ttl": "60s", "policies": ["default"]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let token = server.token_of(body).await;
        for _ in 0..2 {
            server.clock().advance(29);
            let renewed = server.put("auth/token/renew-self", json!({"increment": "9999h"})).by(&token).await.ok();
            assert!(renewed.auth()["lease_duration"].as_u64().unwrap() <= 60);
        }
        server.clock().advance(1);
        assert!(server.alive(&token).await, "59 s are over");
        let last = server.put("auth/token/renew-self", json!({"increment": "1h"})).by(&token).await;
        if last.status == 200 {
            assert_eq!(last.auth()["lease_duration"], 1);
        }
        server.clock().advance(1);
        assert!(!server.alive(&token).await, "{extra}");
    }
}

#[tokio::test]
async fn a_periodic_token_lives_as_long_as_it_is_renewed() {
    let server = Server::new().await;
    let token = server.token_of(json!({"period": "100h", "policies": ["default"]})).await;
    for _ in 0..12 {
        server.clock().advance(359_999);
        server.put("auth/token/renew-self", json!({})).by(&token).await.ok();
    }
    const { assert!(12 * 359_999 > MAX_TTL) };
    server.clock().advance(360_000);
    assert!(!server.alive(&token).await);
}

#[tokio::test]
async fn what_a_role_says_now_holds_for_the_tokens_it_has_made() {
    let server = Server::new().await;
    let role = |body: Value| server.put("auth/token/roles/r", body);
    let made = || async { server.put("auth/token/create/r", json!({})).await.ok().auth()["client_token"].clone() };
    let renew = |token: &Value| server.put("auth/token/renew-self", json!({})).by(token.as_str().unwrap());
    role(json!({"token_period": "100s"})).await.ok();
    let token = made().await;
    assert_eq!(renew(&token).await.ok().auth()["lease_duration"], 100);
    role(json!({"token_period": "60s"})).await.ok();
    assert_eq!(renew(&token).await.ok().auth()["lease_duration"], 60);
    role(json!({"token_period": "500s"})).await.ok();
    assert_eq!(renew(&token).await.ok().auth()["lease_duration"], 100, "no more than it said when it was made");
    role(json!({"token_explicit_max_ttl": "150s"})).await.ok();
    server.clock().advance(90);
    assert_eq!(renew(&token).await.ok().auth()["lease_duration"], 60);
    server.delete("auth/token/roles/r").await.is(204);
    server.clock().advance(1);
    renew(&token).await.refused(400, "original token role \"r\" could not be found, not renewing");
    assert_eq!(server.lookup(token.as_str().unwrap()).await["ttl"], 59, "it keeps the end it has");
    // A role that is periodic no more: what it made ends with the longest life.
    role(json!({"token_period": "30d"})).await.ok();
    let token = made().await;
    server.clock().advance(20 * 86_400);
    role(json!({"token_period": 0})).await.ok();
    assert_eq!(renew(&token).await.ok().auth()["lease_duration"], MAX_TTL - 20 * 86_400);
}

#[tokio::test]
async fn a_mount_that_is_tuned_down_lets_nothing_be_renewed_beyond_it() {
    let server = Server::new().await;
    let token = server.token_of(json!({"ttl": "2h", "policies": ["default"]})).await;
    let periodic = server.token_of(json!({"period": "2h", "policies": ["default"]})).await;
    let renew = |token: &str| server.put("auth/token/renew-self", json!({"increment": "2h"})).by(token);
    server.put("sys/auth/token/tune", json!({"default_lease_ttl": "1h", "max_lease_ttl": "1h"})).await.ok();
    server.clock().advance(1800);
    assert_eq!(renew(&token).await.ok().auth()["lease_duration"], 1800);
    assert_eq!(renew(&periodic).await.ok().auth()["lease_duration"], 3600, "each period is bound, not the whole");
    server.clock().advance(1799);
    assert_eq!(renew(&token).await.ok().auth()["lease_duration"], 1);
    server.clock().advance(1);
    assert!(!server.alive(&token).await);
    // Whose longest life is over already keeps the end that it was given.
    server.put("sys/auth/token/tune", json!({"max_lease_ttl": "10h", "default_lease_ttl": "1h"})).await.ok();
    let token = server.token_of(json!({"ttl": "9h", "policies": ["default"]})).await;
    server.put("sys/auth/token/tune", json!({"max_lease_ttl": "1h"})).await.ok();
    server.clock().advance(3600);
    renew(&token).await.refused(400, "past the max TTL, cannot further renew");
    assert_eq!(server.lookup(&token).await["ttl"], 8 * 3600);
}

#[tokio::test]
async fn a_path_suffix_is_where_tokens_of_a_role_can_be_revoked_together() {
    let server = Server::new().await;
    for suffix in ["a/b", "..", "a b", "a*", "x\n"] {
        server.put("auth/token/roles/bad", json!({"path_suffix": suffix})).await.refused(400, "path suffix");
    }
    server.put("auth/token/roles/r", json!({"path_suffix": "blue", "orphan": true})).await.ok();
    let blue = server.put("auth/token/create/r", json!({})).await.ok().auth()["client_token"].clone();
    assert_eq!(server.lookup(blue.as_str().unwrap()).await["path"], "auth/token/create/r/blue");
    server.put("auth/token/roles/r", json!({"path_suffix": "green"})).await.ok();
    let green = server.put("auth/token/create/r", json!({})).await.ok().auth()["client_token"].clone();
    server.put("sys/leases/revoke-prefix/auth/token/create/r/blue", json!({})).await.ok();
    assert!(!server.alive(blue.as_str().unwrap()).await);
    assert!(server.alive(green.as_str().unwrap()).await);
}

#[tokio::test]
async fn an_increment_of_any_kind_makes_no_immortal() {
    let server = Server::new().await;
    let token = server.token_of(json!({"ttl": "1h", "policies": ["default"]})).await;
    for increment in [json!("0"), json!(0), json!(""), json!("1000000h"), json!(876_000), json!(null)] {
        let renewed = server.put("auth/token/renew-self", json!({"increment": increment})).by(&token).await;
        if renewed.status == 200 {
            let left = renewed.auth()["lease_duration"].as_u64().unwrap();
            assert!(left > 0 && left <= MAX_TTL, "{increment} gave {left}");
        }
        assert!(server.lookup(&token).await["expire_time"].is_string());
    }
    for increment in [json!(-1), json!("-1s"), json!("1e99"), json!(9_223_372_036_854_775_807_i64), json!({})] {
        server.put("auth/token/renew-self", json!({"increment": increment})).by(&token).await.is(400);
    }
}

#[tokio::test]
async fn a_token_that_ended_while_the_server_was_down_is_dead() {
    let server = Server::new().await;
    let token = server.token_of(json!({"ttl": "60s"})).await;
    let child = server.with(&token).token_of(json!({"ttl": "50s", "policies": ["default"]})).await;
    let next = server.again().await;
    drop(server);
    next.clock().advance(3600);
    next.open().await;
    assert!(!next.alive(&token).await && !next.alive(&child).await);
    next.sweep().await;
    assert_eq!(next.tokens().await, 1);
}

#[tokio::test]
async fn the_sweep_takes_expired_tokens_back_on_its_own() {
    let server = Server::new().await;
    for _ in 0..20 {
        server.token_of(json!({"ttl": "60s"})).await;
    }
    assert_eq!(server.tokens().await, 21);
    server.clock().advance(61);
    server.eventually("the sweep runs", || async { server.tokens().await == 1 }).await;
}

async fn counted(server: Arc<Server>, clients: usize, uses: usize, tries_each: usize) {
    server.kv("kv", 1).await;
    server.put("kv/a", json!({"k": "v"})).await.ok();
    server.policy("reader", r#"path "kv/a" { capabilities = ["read"] }"#).await;
    let token = server.token_of(json!({"num_uses": uses, "policies": ["reader"]})).await;
    let calls = (0..clients).map(|_| {
        let http = server.with(&token);
        async move {
            let mut codes = Vec::new();
            for _ in 0..tries_each {
                codes.push(http.get("kv/a").await.status);
            }
            codes
        }
    });
    let codes: Vec<u16> = at_once(calls).await.into_iter().flatten().collect();
    assert_eq!(codes.len(), clients * tries_each);
    assert!(codes.iter().all(|code| matches!(code, 200 | 403)), "{:?}", codes.iter().find(|c| !matches!(c, 200 | 403)));
    assert_eq!(codes.iter().filter(|code| **code == 200).count(), uses);
    assert!(!server.alive(&token).await);
    server.sweep().await;
    assert_eq!(server.tokens().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_uses_are_exactly_a_thousand_in_memory() {
    counted(Arc::new(Server::new().await), 256, 1000, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_uses_are_exactly_a_thousand_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("store.db")).unwrap();
    counted(Arc::new(Plan::over(Arc::new(store)).ready().await), 256, 1000, 5).await;
}

#[tokio::test]
async fn a_use_is_spent_by_denials_too_and_the_last_one_counts() {
    let server = Server::new().await;
    let token = server.token_of(json!({"num_uses": 3, "policies": ["default"]})).await;
    server.get("sys/mounts").by(&token).await.is(403);
    assert_eq!(server.with(&token).get("auth/token/lookup-self").await.ok().data()["num_uses"], 1);
    server.with(&token).get("auth/token/lookup-self").await.ok();
    assert!(!server.alive(&token).await);
    let restricted = server.token_of(json!({"num_uses": 5})).await;
    server.with(&restricted).put("auth/token/create", json!({})).await.is(400);
    server.put("auth/token/create", json!({"num_uses": -1})).await.is(400);
}

#[tokio::test]
async fn children_die_with_their_parent_and_orphans_do_not() {
    let server = Server::new().await;
    let parent = server.token_of(json!({})).await;
    let child = server.with(&parent).token_of(json!({})).await;
    let grandchild = server.with(&child).token_of(json!({})).await;
    let orphan = server.with(&child).token_of(json!({"no_parent": true})).await;
    let batch = server.with(&child).token_of(json!({"type": "batch", "policies": ["default"]})).await;
    for token in [&parent, &child, &grandchild, &orphan, &batch] {
        assert!(server.alive(token).await);
    }
    server.put("auth/token/revoke", json!({"token": parent})).await.is(204);
    for token in [&parent, &child, &grandchild, &batch] {
        assert!(!server.alive(token).await);
    }
    assert!(server.alive(&orphan).await);
    assert_eq!(server.tokens().await, 2);
}

#[tokio::test]
async fn a_parent_revoked_alone_leaves_its_children_as_orphans() {
    let server = Server::new().await;
    let parent = server.token_of(json!({})).await;
    let child = server.with(&parent).token_of(json!({})).await;
    let grandchild = server.with(&child).token_of(json!({})).await;
    server.put("auth/token/revoke-orphan", json!({"token": parent})).await.is(204);
    assert!(!server.alive(&parent).await && server.alive(&child).await && server.alive(&grandchild).await);
    assert_eq!(server.lookup(&child).await["orphan"], true);
    server.put("auth/token/revoke-self", json!({})).by(&child).await.is(204);
    assert!(!server.alive(&grandchild).await);
}

#[tokio::test]
async fn only_root_or_sudo_makes_orphans_and_periodic_tokens() {
    let server = Server::new().await;
    server.policy("maker", r#"path "auth/token/create*" { capabilities = ["create", "update"] }"#).await;
    let maker = server.token_of(json!({"policies": ["maker"]})).await;
    let http = server.with(&maker);
    http.put("auth/token/create", json!({"no_parent": true})).await.is(400);
    http.put("auth/token/create", json!({"period": "1h"})).await.is(400);
    http.put("auth/token/create-orphan", json!({})).await.is(403);
    http.put("auth/token/create", json!({"id": "chosen"})).await.is(400);
    http.put("auth/token/create", json!({"policies": ["other"]})).await.is(400);
    http.put("auth/token/create", json!({"policies": ["root"]})).await.is(400);
    let before = server.tokens().await;
    http.put("auth/token/create", json!({"policies": ["maker", "default"]})).await.ok();
    assert_eq!(server.tokens().await, before + 1, "what failed has left nothing");
}

#[tokio::test]
async fn an_accessor_is_a_handle_and_no_token() {
    let server = Server::new().await;
    let made = server.put("auth/token/create", json!({"ttl": "1h"})).await.ok();
    let token = made.auth()["client_token"].as_str().unwrap();
    let accessor = made.auth()["accessor"].as_str().unwrap();
    assert!(!server.alive(accessor).await);
    let looked = server.put("auth/token/lookup-accessor", json!({"accessor": accessor})).await.ok();
    assert!(!looked.text.contains(token) && looked.data()["id"] == "");
    let renewed = server.put("auth/token/renew-accessor", json!({"accessor": accessor})).await.ok();
    assert!(!renewed.text.contains(token));
    let keys = server.list("auth/token/accessors").await.ok();
    assert!(keys.text.contains(accessor) && !keys.text.contains(token));
    server.put("auth/token/revoke-accessor", json!({"accessor": accessor})).await.is(204);
    assert!(!server.alive(token).await);
    for path in ["lookup-accessor", "renew-accessor", "revoke-accessor"] {
        for accessor in [accessor, "", "no-such", "a/b", "../id/x"] {
            server.put(&format!("auth/token/{path}"), json!({"accessor": accessor})).await.is(400);
        }
    }
}

#[tokio::test]
async fn a_batch_token_cannot_do_what_needs_a_row() {
    let server = Server::new().await;
    let batch =
        server.token_of(json!({"type": "batch", "policies": ["default"], "ttl": "60s", "no_parent": true})).await;
    assert!(batch.starts_with("hvb."));
    assert_eq!(server.tokens().await, 1);
    let http = server.with(&batch);
    assert!(server.alive(&batch).await);
    http.put("auth/token/renew-self", json!({})).await.is(400);
    http.put("auth/token/revoke-self", json!({})).await.is(400);
    http.put("cubbyhole/a", json!({"k": "v"})).await.is(400);
    server.put("auth/token/revoke", json!({"token": batch})).await.is(400);
    for body in [
        json!({"type": "batch", "num_uses": 3}),
        json!({"type": "batch", "period": "1h"}),
        json!({"type": "batch", "policies": ["root"]}),
        json!({"type": "batch"}),
        json!({"type": "other"}),
        json!({"type": "batch", "id": "chosen"}),
    ] {
        server.put("auth/token/create", body).await.is(400);
    }
    let mut forged = batch.clone();
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    forged.push(last);
    assert!(!server.alive(&forged).await);
    assert!(!server.alive(&format!("{batch}AAAA")).await);
    // A batch token of another store is nothing here.
    let other = Server::new().await;
    assert!(!other.alive(&batch).await);
    server.clock().advance(60);
    assert!(!server.alive(&batch).await);
}

#[tokio::test]
async fn a_batch_token_does_not_outlive_its_parent() {
    let server = Server::new().await;
    let parent = server.token_of(json!({"ttl": "30s"})).await;
    let batch = server.with(&parent).token_of(json!({"type": "batch", "ttl": "1h", "policies": ["default"]})).await;
    server.clock().advance(29);
    assert!(server.alive(&batch).await);
    server.clock().advance(1);
    assert!(!server.alive(&batch).await);
}

#[tokio::test]
async fn a_role_bounds_its_tokens() {
    let server = Server::new().await;
    let role = json!({
        "allowed_policies": ["a"], "allowed_policies_glob": ["dev-*"], "disallowed_policies": ["dev-root"],
        "token_explicit_max_ttl": "60s", "orphan": true, "renewable": false, "token_num_uses": 5,
    });
    server.put("auth/token/roles/ci", role).await.ok();
    for policies in
        [json!(["b"]), json!(["dev-root"]), json!(["DEV-ROOT"]), json!(["root"]), json!(["xdev-a"]), json!(["a", "b"])]
    {
        server.put("auth/token/create/ci", json!({"policies": policies})).await.is(400);
    }
    server.put("auth/token/create/no-such", json!({})).await.is(400);
    let token =
        server.put("auth/token/create/ci", json!({"policies": ["dev-x"], "ttl": "9h", "num_uses": 50})).await.ok();
    let auth = token.auth();
    assert_eq!((&auth["num_uses"], &auth["orphan"], &auth["renewable"]), (&json!(5), &json!(true), &json!(false)));
    assert!(auth["lease_duration"].as_u64().unwrap() <= 60);
    assert_eq!(auth["token_policies"], json!(["default", "dev-x"]));
    // The role in the body is not the role of the path.
    server.put("auth/token/create", json!({"role_name": "ci"})).await.ok();
}

#[tokio::test]
async fn a_token_bound_to_networks_is_worth_nothing_elsewhere() {
    let server = Server::new().await;
    server.put("auth/token/roles/far", json!({"token_bound_cidrs": ["10.0.0.0/8"]})).await.ok();
    server.put("auth/token/roles/near", json!({"token_bound_cidrs": ["127.0.0.0/8"]})).await.ok();
    let far = server.put("auth/token/create/far", json!({})).await.ok().auth()["client_token"].clone();
    let near = server.put("auth/token/create/near", json!({})).await.ok().auth()["client_token"].clone();
    assert!(!server.alive(far.as_str().unwrap()).await);
    assert!(server.alive(near.as_str().unwrap()).await);
    // A batch token carries its bounds along.
    for (name, cidr, alive) in [("far", "10.0.0.0/8", false), ("near", "127.0.0.0/8", true)] {
        let role = json!({"token_bound_cidrs": [cidr], "token_type": "batch", "orphan": true, "renewable": false});
        server.put(&format!("auth/token/roles/batch-{name}"), role).await.ok();
        let batch = server
            .put(&format!("auth/token/create/batch-{name}"), json!({"policies": ["default"]}))
            .await
            .ok()
            .auth()
            .clone();
        assert_eq!(batch["token_type"], "batch");
        assert_eq!(server.alive(batch["client_token"].as_str().unwrap()).await, alive, "{name}");
    }
    // A header that nobody was told to believe changes no address.
    for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        let call = server.with(far.as_str().unwrap()).get("auth/token/lookup-self");
        call.header(header, "10.1.2.3").await.is(403);
    }
}

#[tokio::test]
async fn a_bound_token_cannot_open_what_is_wrapped_from_elsewhere() {
    let server = Server::new().await;
    server.put("auth/token/roles/far", json!({"token_bound_cidrs": ["10.0.0.0/8"]})).await.ok();
    let far = server.put("auth/token/create/far", json!({})).await.ok().auth()["client_token"].clone();
    let wrapped = server.put("sys/wrapping/wrap", json!({"k": "v"})).wrapped("60s").await.ok().wrapping_token();
    let http = server.with(far.as_str().unwrap());
    http.put("sys/wrapping/unwrap", json!({"token": wrapped})).await.is(403);
    // Nor does a counted one open more than it may.
    let counted = server.token_of(json!({"num_uses": 2, "policies": ["default"]})).await;
    for expected in [200, 200, 403] {
        let wrapped = server.put("sys/wrapping/wrap", json!({"k": "v"})).wrapped("60s").await.ok().wrapping_token();
        server.with(&counted).put("sys/wrapping/unwrap", json!({"token": wrapped})).await.is(expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_made_below_a_token_that_is_being_revoked() {
    let server = Server::new().await;
    for _ in 0..10 {
        let parent = server.token_of(json!({})).await;
        let makers = (0..16).map(|_| {
            let http = server.with(&parent);
            async move { http.put("auth/token/create", json!({})).await }
        });
        let load = tokio::spawn(at_once(makers));
        tokio::task::yield_now().await;
        server.put("auth/token/revoke", json!({"token": parent})).await.is(204);
        for answer in load.await.unwrap() {
            // What was made in time must have died with its parent; what came late was refused.
            assert!(matches!(answer.status, 200 | 403 | 503), "{answer:?}");
            if answer.status == 200 {
                assert!(!server.alive(answer.auth()["client_token"].as_str().unwrap()).await);
            }
        }
    }
    server.sweep().await;
    assert_eq!(server.tokens().await, 1);
}

//! Storage of a token's own, which nobody else sees and which ends with it.

use serde_json::json;

use crate::server::Server;
use crate::stores::rows;

#[tokio::test]
async fn nobody_else_sees_it_not_even_root() {
    let server = Server::new().await;
    let (one, two) = (server.token_of(json!({})).await, server.token_of(json!({})).await);
    server.with(&one).put("cubbyhole/a/b", json!({"k": "v"})).await.ok();
    for http in [server.with(&two), server.http.clone()] {
        http.get("cubbyhole/a/b").await.is(404);
        http.list("cubbyhole/").await.is(404);
        http.delete("cubbyhole/a/b").await.ok();
    }
    let child = server.with(&one).token_of(json!({})).await;
    server.with(&child).get("cubbyhole/a/b").await.is(404);
    assert_eq!(server.with(&one).get("cubbyhole/a/b").await.ok().data()["k"], "v");
    assert_eq!(server.with(&one).list("cubbyhole/a").await.ok().data()["keys"], json!(["b"]));
}

#[tokio::test]
async fn it_is_gone_with_its_token_and_leaves_no_row() {
    let server = Server::new().await;
    let before = rows(server.plan.storage.as_ref()).len();
    for end in ["revoke", "expiry", "uses"] {
        let body = match end {
            "uses" => json!({"num_uses": 3, "policies": ["default"]}),
            _ => json!({"ttl": "60s"}),
        };
        let token = server.token_of(body).await;
        server.with(&token).put("cubbyhole/a", json!({"k": "v"})).await.ok();
        server.with(&token).put("cubbyhole/b/c", json!({"k": "v"})).await.ok();
        match end {
            "revoke" => drop(server.put("auth/token/revoke", json!({"token": token})).await.is(204)),
            "uses" => drop(server.with(&token).get("cubbyhole/a").await.ok()),
            _ => server.clock().advance(60),
        }
        server.with(&token).get("cubbyhole/a").await.is(403);
        server.sweep().await;
        assert_eq!(rows(server.plan.storage.as_ref()).len(), before, "{end}");
    }
}

#[tokio::test]
async fn bad_writes_are_refused() {
    let server = Server::new().await;
    server.put("cubbyhole/", json!({"k": "v"})).await.is(400);
    server.put("cubbyhole/a", json!({})).await.is(400);
    server.get("cubbyhole/missing").await.is(404);
    server.anonymous().get("cubbyhole/a").await.is(403);
    server.put("sys/mounts/cubbyhole", json!({"type": "kv"})).await.is(400);
    server.delete("sys/mounts/cubbyhole").await.is(400);
    server.put("sys/remount", json!({"from": "cubbyhole", "to": "other"})).await.is(400);
}

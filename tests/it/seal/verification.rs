//! New shares that count only once they were given back.

use super::labels::texts;
use super::*;

#[tokio::test]
async fn new_shares_count_once_a_quorum_of_them_was_given_back() {
    let mut server = three_of_five().await;
    server.open().await;
    let body = json!({"secret_shares": 3, "secret_threshold": 2, "require_verification": true});
    let nonce = server.put("sys/rekey/init", body.clone()).await.ok().json["nonce"].clone();
    server.put("sys/rekey/verify", json!({"key": server.shares[0], "nonce": nonce})).await.refused(400, "verification");
    let end = perform(&server, "rekey", &nonce, &server.shares[..3]).await.ok();
    assert_eq!(end.json["verification_required"], true);
    let new = texts(&end.json["keys_base64"]);
    let round = end.json["verification_nonce"].clone();
    let verify = |key: &str, nonce: &Value| {
        let (http, body) = (server.http.clone(), json!({"key": key, "nonce": nonce}));
        async move { http.put("sys/rekey/verify", body).await }
    };
    verify(&new[0], &nonce).await.refused(400, "nonce");
    perform(&server, "rekey", &nonce, &server.shares[..1]).await.refused(400, "verified");
    // Shares that do not meet in the new key prove nothing, and spoil the round only.
    verify(&new[0], &round).await.ok();
    verify(&server.shares[0], &round).await.is(400);
    assert_eq!(server.get("sys/rekey/verify").await.ok().json["progress"], 0);
    // The round can be begun anew, under another nonce, and survives a crash; until its end the old shares open.
    verify(&new[0], &round).await.ok();
    server.delete("sys/rekey/verify").await.ok();
    let second = server.get("sys/rekey/verify").await.ok().json["nonce"].clone();
    assert_ne!(second, round);
    verify(&new[1], &round).await.refused(400, "nonce");
    verify(&new[1], &second).await.ok();
    server = server.crashed().await;
    let verify = |key: &str| server.put("sys/rekey/verify", json!({"key": key, "nonce": second}));
    verify(&new[1]).await.refused(400, "already");
    assert_eq!(verify(&new[2]).await.ok().json["complete"], true);
    assert_eq!(server.get("sys/rekey/init").await.ok().json["started"], false);
    server.put("sys/seal", json!({})).await.is(204);
    server.shares = new;
    server.open().await;
}

#[tokio::test]
async fn a_ceremony_is_cancelled_by_who_names_it_and_survives_a_stranger() {
    let mut server = Plan { open_ceremonies: true, ..Plan::over(Arc::new(Memory::new())) }.start().await;
    server.init(3, 2).await;
    server.open().await;
    let stranger = server.anonymous();
    for (kind, path, body) in [
        ("rekey", "sys/rekey/init", json!({"secret_shares": 1, "secret_threshold": 1})),
        ("generate-root", "sys/generate-root/attempt", json!({})),
    ] {
        let nonce = server.put(path, body.clone()).await.ok().json["nonce"].clone();
        perform(&server, kind, &nonce, &server.shares[..1]).await.ok();
        stranger.delete(path).await.refused(400, "nonce");
        stranger.call("DELETE", path).json(&json!({"nonce": "another"})).await.refused(400, "nonce");
        server.delete(&format!("{path}?nonce=another")).await.refused(400, "nonce");
        assert_eq!(server.get(path).await.ok().json["progress"], 1);
        stranger.call("DELETE", path).json(&json!({"nonce": nonce})).await.is(204);
        assert_eq!(stranger.get(path).await.ok().json["started"], false);
        server.put(path, body).await.ok();
        server.delete(path).await.is(204);
    }
}

//! A store that a key of the configuration opens.

use warifu::base::Secret;
use warifu::seal::{Named, StaticSeal};
use warifu::storage::Storage;

use super::labels::texts;
use super::*;

fn key(id: &str, byte: u8) -> Named {
    Named { id: id.into(), key: Secret::new(vec![byte; 32]) }
}

fn plan(storage: Arc<dyn Storage>, seal: Option<StaticSeal>) -> Plan {
    Plan { static_seal: seal.map(Arc::new), ..Plan::over(storage) }
}

async fn made(storage: &Arc<dyn Storage>) -> Server {
    let mut server = plan(storage.clone(), Some(StaticSeal::new(key("a", 1), None, false))).start().await;
    let status = server.get("sys/seal-status").await.ok();
    assert_eq!((status.json["type"].clone(), status.json["recovery_seal"].clone()), (json!("static"), json!(true)));
    let shamir = json!({"secret_shares": 1, "secret_threshold": 1});
    server.put("sys/init", shamir).await.refused(400, "not applicable to seal type static");
    let made = server.put("sys/init", json!({"recovery_shares": 3, "recovery_threshold": 2})).await.ok();
    assert_eq!(made.json["keys"], json!([]));
    server.shares = texts(&made.json["recovery_keys_base64"]);
    server.http = server.http.with(made.json["root_token"].as_str().unwrap());
    server
}

async fn sealed(server: &Server) -> bool {
    server.get("sys/seal-status").await.ok().json["sealed"] == true
}

#[tokio::test]
async fn it_is_open_after_init_and_after_every_start() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let server = made(&storage).await;
    server.kv("secret", 1).await;
    server.put("secret/a", json!({"k": "v"})).await.ok();
    let again = server.again().await;
    assert_eq!(again.get("secret/a").await.ok().data()["k"], "v");
    // Sealed by hand, a quorum of recovery shares opens it, and wrong ones do not.
    again.put("sys/seal", json!({})).await.is(204);
    offer(&again, &again.shares[0]).await.ok();
    offer(&again, &BASE64.encode([[9; 32].as_slice(), &[77]].concat())).await.refused(400, "recovery key");
    assert!(sealed(&again).await);
    again.open().await;
    assert_eq!(again.get("secret/a").await.ok().data()["k"], "v");
}

#[tokio::test]
async fn another_key_or_none_opens_nothing_and_spoils_nothing() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    drop(made(&storage).await);
    let before = rows(storage.as_ref());
    for seal in [
        None,
        Some(StaticSeal::new(key("a", 2), None, false)),
        Some(StaticSeal::new(key("b", 1), None, false)),
        Some(StaticSeal::new(key("b", 1), Some(key("c", 1)), false)),
    ] {
        assert!(sealed(&plan(storage.clone(), seal).start().await).await);
    }
    assert_eq!(rows(storage.as_ref()), before);
    assert!(!sealed(&plan(storage.clone(), Some(StaticSeal::new(key("a", 1), None, false))).start().await).await);
}

#[tokio::test]
async fn the_key_is_changed_by_the_configuration() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let server = made(&storage).await;
    let next = || Some(StaticSeal::new(key("b", 2), Some(key("a", 1)), false));
    assert!(!sealed(&plan(storage.clone(), next()).start().await).await);
    drop(server);
    // The one before is not needed any more, and opens nothing.
    assert!(!sealed(&plan(storage.clone(), Some(StaticSeal::new(key("b", 2), None, false))).start().await).await);
    assert!(sealed(&plan(storage.clone(), Some(StaticSeal::new(key("a", 1), None, false))).start().await).await);
}

#[tokio::test]
async fn recovery_shares_allow_what_unseal_shares_allow_and_can_be_replaced() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let mut server = made(&storage).await;
    let plan = json!({"secret_shares": 1, "secret_threshold": 1});
    server.put("sys/rekey/init", plan.clone()).await.refused(400, "recovery");
    let nonce = server.put("sys/rekey-recovery-key/init", plan).await.ok().json["nonce"].clone();
    let old = server.shares.clone();
    let end = perform(&server, "rekey-recovery-key", &nonce, &old[..2]).await.ok();
    server.shares = texts(&end.json["keys_base64"]);
    let nonce = server.put("sys/generate-root/attempt", json!({})).await.ok().json["nonce"].clone();
    perform(&server, "generate-root", &nonce, &old[..1]).await.is(400);
    let end = perform(&server, "generate-root", &nonce, &server.shares).await.ok();
    assert_eq!(end.json["complete"], true);
    assert!(!sealed(&server.again().await).await);
}

#[tokio::test]
async fn a_store_moves_from_shares_to_a_key_and_back_with_the_shares_that_people_hold() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let mut server = plan(storage.clone(), None).start().await;
    server.init(3, 2).await;
    server.open().await;
    server.kv("secret", 1).await;
    server.put("secret/a", json!({"k": "v"})).await.ok();
    let (shares, http) = (server.shares.clone(), server.http.token().to_owned());
    let unseal = |server: &Server, share: &str, migrate: bool| {
        let (http, body) = (server.http.clone(), json!({"key": share, "migrate": migrate}));
        async move { http.put("sys/unseal", body).await }
    };
    server.put("sys/seal", json!({})).await.is(204);
    unseal(&server, &shares[0], true).await.refused(400, "none");
    drop(server);

    let to = plan(storage.clone(), Some(StaticSeal::new(key("a", 1), None, false))).start().await;
    assert_eq!(to.get("sys/seal-status").await.ok().json["migration"], true);
    unseal(&to, &shares[0], false).await.refused(400, "migrate");
    unseal(&to, &shares[0], true).await.ok();
    assert_eq!(unseal(&to, &shares[1], true).await.ok().json["sealed"], false);
    let to = to.again().await;
    assert_eq!(to.with(&http).get("secret/a").await.ok().data()["k"], "v");
    drop(to);

    let back = plan(storage.clone(), Some(StaticSeal::new(key("a", 1), None, true))).start().await;
    assert!(sealed(&back).await);
    unseal(&back, &shares[2], true).await.ok();
    assert_eq!(unseal(&back, &shares[0], true).await.ok().json["sealed"], false);
    drop(back);
    let mut server = plan(storage.clone(), None).start().await;
    assert!(sealed(&server).await);
    server.shares = shares;
    server.open().await;
    assert_eq!(server.with(&http).get("secret/a").await.ok().data()["k"], "v");
}

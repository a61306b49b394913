//! Shares that tell their holder when they are of no use.

use super::*;

async fn labelled(shares: u64, threshold: u64) -> (Server, Vec<String>) {
    let mut server = Plan::memory().start().await;
    let body = json!({"secret_shares": shares, "secret_threshold": threshold, "labelled_shares": true});
    let made = server.put("sys/init", body).await.ok();
    server.shares = texts(&made.json["keys_labelled"]);
    server.http = server.http.with(made.json["root_token"].as_str().unwrap());
    let plain = texts(&made.json["keys_base64"]);
    (server, plain)
}

pub fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

async fn progress(server: &Server) -> u64 {
    server.get("sys/seal-status").await.ok().json["progress"].as_u64().unwrap()
}

#[tokio::test]
async fn a_mistyped_foreign_or_repeated_share_is_told_and_not_counted() {
    let (server, plain) = labelled(3, 3).await;
    let (foreign, _) = labelled(3, 3).await;
    offer(&server, &server.shares[0]).await.ok();
    let mut typed = server.shares[1].clone();
    typed.replace_range(30..31, if &typed[30..31] == "0" { "1" } else { "0" });
    offer(&server, &typed).await.refused(400, "mistyped");
    offer(&server, &foreign.shares[1]).await.refused(400, "another store");
    offer(&server, &server.shares[0]).await.refused(400, "share 1 was given already");
    assert_eq!(progress(&server).await, 1, "the round goes on where it was");
    // Plain and labelled shares count alike.
    offer(&server, &plain[1]).await.ok();
    offer(&server, &server.shares[2].to_uppercase()).await.ok();
    assert_eq!(server.get("sys/seal-status").await.ok().json["sealed"], false);
}

#[tokio::test]
async fn a_share_from_before_a_rekey_is_outdated_everywhere() {
    let (server, _) = labelled(2, 2).await;
    server.open().await;
    let old = server.shares.clone();
    let body = json!({"secret_shares": 2, "secret_threshold": 2, "labelled_shares": true});
    let nonce = server.put("sys/rekey/init", body.clone()).await.ok().json["nonce"].clone();
    let end = perform(&server, "rekey", &nonce, &old).await.ok();
    let new = texts(&end.json["keys_labelled"]);
    let nonce = server.put("sys/rekey/init", body).await.ok().json["nonce"].clone();
    perform(&server, "rekey", &nonce, &old[..1]).await.refused(400, "generation 1");
    assert_eq!(server.get("sys/rekey/init").await.ok().json["progress"], 0);
    server.put("sys/seal", json!({})).await.is(204);
    offer(&server, &old[0]).await.refused(400, "generation 1");
    for share in &new {
        offer(&server, share).await.ok();
    }
    assert_eq!(server.get("sys/seal-status").await.ok().json["sealed"], false);
}

#[tokio::test]
async fn shares_for_recipients_are_shown_to_nobody_else() {
    let server = Plan::memory().start().await;
    let holders: Vec<_> = (0..2).map(|_| age::x25519::Identity::generate()).collect();
    let mut recipients: Vec<String> = holders.iter().map(|holder| holder.to_public().to_string()).collect();
    let body = |recipients: &[String]| json!({"secret_shares": 2, "secret_threshold": 2, "age_recipients": recipients});
    server.put("sys/init", body(&recipients[..1])).await.refused(400, "'age_recipients'");
    recipients.push("age1canary".into());
    server.put("sys/init", body(&recipients[1..])).await.refused(400, "number 2");
    assert!(rows(server.plan.storage.as_ref()).is_empty(), "nothing was written");
    let made = server.put("sys/init", body(&recipients[..2])).await.ok();
    assert_eq!((made.json["keys"].clone(), made.json["keys_base64"].clone()), (json!([]), json!([])));
    for (holder, sent) in holders.iter().zip(texts(&made.json["keys_age"])) {
        let share = String::from_utf8(age::decrypt(holder, sent.as_bytes()).unwrap()).unwrap();
        assert!(share.starts_with("wfs1-"));
        offer(&server, &share).await.ok();
    }
    assert_eq!(server.get("sys/seal-status").await.ok().json["sealed"], false);
}

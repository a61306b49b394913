//! `auth/token/`: made, looked up, renewed, revoked, and by roles.

use std::collections::HashMap;

use vaultrs::api::token::requests::{CreateOrphanTokenRequest, CreateTokenRequest, SetTokenRoleRequest};
use vaultrs::client::Client;
use vaultrs::{sys, token};

use crate::world::{DENIED, WRONG, World, refused};

crate::stories!(
    a_token_is_what_it_was_made_as,
    a_token_is_renewed_up_to_its_end,
    children_end_with_their_parent_and_orphans_do_not,
    a_token_is_revoked_by_each_of_its_handles,
    a_role_bounds_what_is_made_by_it,
    a_batch_token_cannot_be_renewed_or_revoked,
);

async fn a_token_is_what_it_was_made_as(world: World) {
    let root = world.root();
    let mut wanted = CreateTokenRequest::builder();
    wanted.policies(vec!["default".to_owned()]).display_name("rust").num_uses(3u64).ttl("1h");
    wanted.meta(HashMap::from([("team".to_owned(), "a".to_owned())]));
    let auth = token::new(&root, Some(&mut wanted)).await.unwrap();
    assert_eq!((auth.policies, auth.token_type.as_str(), auth.orphan), (vec!["default".to_owned()], "service", false));
    let mine = world.by(&auth.client_token);
    let me = mine.lookup().await.unwrap();
    assert_eq!((me.display_name.as_str(), me.num_uses, me.creation_ttl), ("token-rust", 2, 3600));
    assert_eq!(me.meta.unwrap()["team"], "a");
    mine.lookup().await.unwrap();
    mine.lookup().await.unwrap();
    refused(mine.lookup().await, DENIED);
    refused(token::lookup(&root, "hvs.nobody").await, DENIED);
}

async fn a_token_is_renewed_up_to_its_end(world: World) {
    let root = world.root();
    let mut wanted = CreateTokenRequest::builder();
    wanted.policies(vec!["default".to_owned()]).ttl("5m").explicit_max_ttl("10m");
    let auth = token::new(&root, Some(&mut wanted)).await.unwrap();
    let mine = world.by(&auth.client_token);
    assert!(mine.renew(Some("1h")).await.unwrap().lease_duration <= 600);
    assert_eq!(token::renew(&root, &auth.client_token, Some("2m")).await.unwrap().lease_duration, 120);
    // Who renews by the accessor is not told the token.
    let renewed = token::renew_accessor(&root, &auth.accessor, Some("3m")).await.unwrap();
    assert_eq!((renewed.lease_duration, renewed.client_token.as_str()), (180, ""));
    let fixed = token::new(&root, Some(wanted.renewable(false))).await.unwrap();
    refused(world.by(&fixed.client_token).renew(None).await, WRONG);
}

async fn children_end_with_their_parent_and_orphans_do_not(world: World) {
    let root = world.root();
    sys::policy::set(&root, "maker", r#"path "auth/token/create*" { capabilities = ["update", "sudo"] }"#)
        .await
        .unwrap();
    let maker = world.holder(&["maker", "default"]).await;
    let child = token::new(&maker, None).await.unwrap();
    let mut wanted = CreateOrphanTokenRequest::builder();
    let orphan = token::new_orphan(&maker, Some(wanted.policies(vec!["default".to_owned()]))).await.unwrap();
    let mut more = CreateTokenRequest::builder();
    refused(token::new(&maker, Some(more.policies(vec!["root".to_owned()]))).await, WRONG);
    token::revoke_self(&maker).await.unwrap();
    refused(world.by(&child.client_token).lookup().await, DENIED);
    assert!(world.by(&orphan.client_token).lookup().await.unwrap().orphan);
}

async fn a_token_is_revoked_by_each_of_its_handles(world: World) {
    let root = world.root();
    let one = token::new(&root, None).await.unwrap();
    assert_eq!(token::lookup_accessor(&root, &one.accessor).await.unwrap().id, "");
    token::revoke_accessor(&root, &one.accessor).await.unwrap();
    refused(token::lookup_accessor(&root, &one.accessor).await, WRONG);
    let two = token::new(&root, None).await.unwrap();
    let child = token::new(&world.by(&two.client_token), None).await.unwrap();
    token::revoke_orphan(&root, &two.client_token).await.unwrap();
    refused(world.by(&two.client_token).lookup().await, DENIED);
    assert!(world.by(&child.client_token).lookup().await.unwrap().orphan);
    token::revoke(&root, &child.client_token).await.unwrap();
    refused(world.by(&child.client_token).lookup().await, DENIED);
    token::tidy(&root).await.unwrap();
}

async fn a_role_bounds_what_is_made_by_it(world: World) {
    let root = world.root();
    let mut wanted = SetTokenRoleRequest::builder();
    wanted.allowed_policies(vec!["default".to_owned()]).orphan(true).token_period("1m").path_suffix("x");
    token::role::set(&root, "job", Some(&mut wanted)).await.unwrap();
    assert_eq!(token::role::list(&root).await.unwrap().keys, ["job"]);
    let read = token::role::read(&root, "job").await.unwrap();
    assert_eq!((read.token_period, read.orphan, read.path_suffix.as_str()), (60, true, "x"));
    let made = token::new_role(&root, "job", None).await.unwrap();
    assert_eq!((made.lease_duration, made.orphan), (60, true));
    let mut more = vaultrs::api::token::requests::CreateRoleTokenRequest::builder();
    refused(token::new_role(&root, "job", Some(more.policies(vec!["root".to_owned()]))).await, WRONG);
    token::role::delete(&root, "job").await.unwrap();
    refused(token::new_role(&root, "job", None).await, WRONG);
}

async fn a_batch_token_cannot_be_renewed_or_revoked(world: World) {
    let root = world.root();
    let mut wanted = CreateTokenRequest::builder();
    let auth = token::new(&root, Some(wanted.token_type("batch").policies(vec!["default".to_owned()]).ttl("5m")))
        .await
        .unwrap();
    assert!(auth.client_token.starts_with("hvb.") && auth.accessor.is_empty() && !auth.renewable);
    refused(world.by(&auth.client_token).renew(None).await, WRONG);
    refused(token::revoke(&root, &auth.client_token).await, WRONG);
    world.by(&auth.client_token).lookup().await.unwrap();
}

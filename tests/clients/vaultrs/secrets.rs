//! Both versions of KV, and the cubbyhole.

use std::collections::HashMap;

use vaultrs::api::kv2::requests::{SetConfigurationRequest, SetSecretMetadataRequest, SetSecretRequestOptions};
use vaultrs::api::sys::requests::EnableEngineRequest;
use vaultrs::client::{Client, VaultClient};
use vaultrs::{cubbyhole, kv1, kv2, sys, token};

use crate::world::{DENIED, Json, NONE, WRONG, World, refused};

crate::stories!(
    version_1_keeps_lists_and_forgets,
    version_2_counts_versions_and_checks_before_it_sets,
    a_version_is_deleted_brought_back_and_destroyed,
    metadata_and_the_mounts_settings_are_kept,
    a_cubbyhole_is_the_tokens_own,
);

async fn kv2_at(world: &World, path: &str) -> VaultClient {
    let root = world.root();
    let mut wanted = EnableEngineRequest::builder();
    wanted.options(HashMap::from([("version".to_owned(), "2".to_owned())]));
    sys::mount::enable(&root, path, "kv", Some(&mut wanted)).await.unwrap();
    root
}

async fn version_1_keeps_lists_and_forgets(world: World) {
    let root = world.root();
    sys::mount::enable(&root, "one", "kv", None).await.unwrap();
    refused(kv1::get_raw(&root, "one", "a").await, NONE);
    refused(kv1::list(&root, "one", "").await, NONE);
    kv1::set(&root, "one", "a", &HashMap::from([("word", "ein Wört")])).await.unwrap();
    kv1::set(&root, "one", "folder/b", &HashMap::from([("k", "v")])).await.unwrap();
    let read: HashMap<String, String> = kv1::get(&root, "one", "a").await.unwrap();
    assert_eq!(read["word"], "ein Wört");
    let raw = kv1::get_raw(&root, "one", "a").await.unwrap();
    assert!(raw.lease_duration > 0 && !raw.renewable && !raw.request_id.is_empty());
    assert_eq!(kv1::list(&root, "one", "").await.unwrap().data.keys, ["a", "folder/"]);
    kv1::delete(&root, "one", "a").await.unwrap();
    refused(kv1::get_raw(&root, "one", "a").await, NONE);
}

async fn version_2_counts_versions_and_checks_before_it_sets(world: World) {
    let root = kv2_at(&world, "two").await;
    let value = |v: &str| serde_json::json!({"k": v});
    assert_eq!(kv2::set(&root, "two", "a", &value("1")).await.unwrap().version, 1);
    let cas = |cas| SetSecretRequestOptions { cas };
    refused(kv2::set_with_options(&root, "two", "a", &value("2"), cas(0)).await, WRONG);
    assert_eq!(kv2::set_with_options(&root, "two", "a", &value("2"), cas(1)).await.unwrap().version, 2);
    assert_eq!(kv2::read::<Json>(&root, "two", "a").await.unwrap(), value("2"));
    assert_eq!(kv2::read_version::<Json>(&root, "two", "a", 1).await.unwrap(), value("1"));
    refused(kv2::read_version::<Json>(&root, "two", "a", 9).await, NONE);
    assert_eq!(kv2::list(&root, "two", "").await.unwrap(), ["a"]);
    kv2::delete_metadata(&root, "two", "a").await.unwrap();
    refused(kv2::list(&root, "two", "").await, NONE);
}

async fn a_version_is_deleted_brought_back_and_destroyed(world: World) {
    let root = kv2_at(&world, "old").await;
    for n in 1..=3 {
        kv2::set(&root, "old", "a", &serde_json::json!({"n": n})).await.unwrap();
    }
    kv2::delete_latest(&root, "old", "a").await.unwrap();
    kv2::delete_versions(&root, "old", "a", vec![1]).await.unwrap();
    kv2::destroy_versions(&root, "old", "a", vec![2]).await.unwrap();
    kv2::undelete_versions(&root, "old", "a", vec![2, 3]).await.unwrap();
    assert_eq!(kv2::read::<Json>(&root, "old", "a").await.unwrap()["n"], 3);
    let known = kv2::read_metadata(&root, "old", "a").await.unwrap();
    assert_eq!((known.current_version, known.versions.len()), (3, 3));
    assert!(known.versions["2"].destroyed && !known.versions["3"].destroyed);
    assert!(!known.versions["1"].deletion_time.is_empty() && known.versions["3"].deletion_time.is_empty());
}

async fn metadata_and_the_mounts_settings_are_kept(world: World) {
    let root = kv2_at(&world, "told").await;
    let mut wanted = SetConfigurationRequest::builder();
    kv2::config::set(&root, "told", Some(wanted.max_versions(2u64).cas_required(true).delete_version_after("3h")))
        .await
        .unwrap();
    let read = kv2::config::read(&root, "told").await.unwrap();
    assert_eq!((read.max_versions, read.cas_required, read.delete_version_after.as_str()), (2, true, "3h0m0s"));
    refused(kv2::set(&root, "told", "a", &serde_json::json!({"k": "v"})).await, WRONG);
    let mut about = SetSecretMetadataRequest::builder();
    about.custom_metadata(HashMap::from([("owner".to_owned(), "a team".to_owned())])).max_versions(5u64);
    kv2::set_metadata(&root, "told", "a", Some(&mut about)).await.unwrap();
    let known = kv2::read_metadata(&root, "told", "a").await.unwrap();
    assert_eq!((known.custom_metadata.unwrap()["owner"].as_str(), known.max_versions), ("a team", 5));
}

async fn a_cubbyhole_is_the_tokens_own(world: World) {
    let (mine, other) = (world.holder(&["default"]).await, world.holder(&["default"]).await);
    cubbyhole::set(&mine, "cubbyhole", "a", &HashMap::from([("k", "mine")])).await.unwrap();
    refused(cubbyhole::get_raw(&other, "cubbyhole", "a").await, NONE);
    assert_eq!(cubbyhole::get::<Json>(&mine, "cubbyhole", "a").await.unwrap()["k"], "mine");
    assert_eq!(cubbyhole::list(&mine, "cubbyhole", "").await.unwrap().data.keys, ["a"]);
    cubbyhole::delete(&mine, "cubbyhole", "a").await.unwrap();
    refused(cubbyhole::get_raw(&mine, "cubbyhole", "a").await, NONE);
    token::revoke_self(&mine).await.unwrap();
    refused(mine.lookup().await, DENIED);
}

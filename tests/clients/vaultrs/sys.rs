//! `sys/`: the beginning of a server, policies, mounts, auth methods, remounting, wrapping, tools.

use std::collections::HashMap;

use vaultrs::api::ResponseWrapper;
use vaultrs::api::sys::requests::{
    EnableEngineDataConfigBuilder, EnableEngineRequest, ListMountsRequest, RandomRequest,
};
use vaultrs::sys::{self, ServerStatus};
use vaultrs::{kv1, token};

use crate::world::{DENIED, Json, NONE, WRONG, World, eventually, refused};

pub const SEAL: &[crate::Story] = &[("a_server_begins_is_sealed_and_opened_again", |world| Box::pin(beginning(world)))];

crate::stories!(
    a_policy_is_written_followed_and_removed,
    mounts_and_auth_methods_say_all_that_a_client_wants_to_know,
    a_mount_moves_with_what_is_in_it,
    a_wrapped_answer_is_opened_once,
    random_bytes_are_as_many_as_were_asked_for,
);

async fn beginning(world: World) {
    let nobody = world.nobody();
    assert!(matches!(sys::status(&nobody).await.unwrap(), ServerStatus::UNINITIALIZED));
    refused(sys::start_initialization(&nobody, 2, 3, None).await, WRONG);
    let made = sys::start_initialization(&nobody, 3, 2, None).await.unwrap();
    assert_eq!((made.keys.len(), made.keys_base64.len()), (3, 3));
    assert!(matches!(sys::status(&nobody).await.unwrap(), ServerStatus::SEALED));
    refused(sys::start_initialization(&nobody, 1, 1, None).await, WRONG);
    for sealed_again in [true, false] {
        for (n, share) in made.keys[1..].iter().enumerate() {
            let step = sys::unseal(&nobody, Some(share.clone()), None, None).await.unwrap();
            assert_eq!((step.sealed, step.threshold, step.n_shares), (n == 0, 2, 3));
        }
        let health = sys::health(&nobody).await.unwrap();
        assert!(health.initialized && !health.sealed && !health.standby);
        assert!(matches!(sys::status(&nobody).await.unwrap(), ServerStatus::OK));
        refused(sys::seal(&nobody).await, DENIED);
        if sealed_again {
            sys::seal(&world.by(&made.root_token)).await.unwrap();
            assert!(matches!(sys::status(&nobody).await.unwrap(), ServerStatus::SEALED));
        }
    }
}

async fn a_policy_is_written_followed_and_removed(world: World) {
    let root = world.root();
    refused(sys::policy::set(&root, "readers", "path {").await, WRONG);
    let text = r#"path "kv/*" { capabilities = ["read"] }"#;
    sys::policy::set(&root, "readers", text).await.unwrap();
    assert!(sys::policy::list(&root).await.unwrap().policies.contains(&"readers".to_owned()));
    let read = sys::policy::read(&root, "readers").await.unwrap();
    assert_eq!((read.name.as_str(), read.rules.as_str()), ("readers", text));
    let reader = world.holder(&["readers"]).await;
    let read = || kv1::get::<Json>(&reader, "kv", "a");
    refused(read().await, NONE);
    refused(sys::mount::list(&reader).await, DENIED);
    sys::policy::delete(&root, "readers").await.unwrap();
    refused(read().await, DENIED);
    refused(sys::policy::delete(&root, "root").await, WRONG);
}

async fn mounts_and_auth_methods_say_all_that_a_client_wants_to_know(world: World) {
    let root = world.root();
    let config = EnableEngineDataConfigBuilder::default().max_lease_ttl("2h").build().unwrap();
    let mut wanted = EnableEngineRequest::builder();
    wanted.description("ours").config(config).options(HashMap::from([("version".to_owned(), "2".to_owned())]));
    sys::mount::enable(&root, "told", "kv", Some(&mut wanted)).await.unwrap();
    refused(sys::mount::enable(&root, "told", "kv", None).await, WRONG);
    let listed = sys::mount::list(&root).await.unwrap();
    let one = &listed["told/"];
    assert_eq!((one.mount_type.as_str(), one.description.as_str(), one.config.max_lease_ttl), ("kv", "ours", 7200));
    assert_eq!(one.options.as_ref().unwrap()["version"], "2");
    let alone = sys::mount::get_configuration_of_a_secret_engine(&root, "told").await.unwrap();
    assert_eq!(alone.uuid, one.uuid);
    sys::mount::disable(&root, "told").await.unwrap();
    assert!(!sys::mount::list(&root).await.unwrap().contains_key("told/"));

    sys::auth::enable(&root, "people", "userpass", None).await.unwrap();
    assert_eq!(sys::auth::list(&root).await.unwrap()["people/"].mount_type, "userpass");
    sys::auth::disable(&root, "people").await.unwrap();
    assert!(!sys::auth::list(&root).await.unwrap().contains_key("people/"));
}

async fn a_mount_moves_with_what_is_in_it(world: World) {
    let root = world.root();
    sys::mount::enable(&root, "here", "kv", None).await.unwrap();
    kv1::set(&root, "here", "a", &HashMap::from([("k", "v")])).await.unwrap();
    let moving = sys::remount::remount(&root, "here", "there").await.unwrap();
    eventually(|| async {
        let now = sys::remount::remount_status(&root, &moving.migration_id).await.unwrap();
        assert_eq!(
            (now.migration_info.source_mount.as_str(), now.migration_info.target_mount.as_str()),
            ("here/", "there/")
        );
        now.migration_info.status == "success"
    })
    .await;
    assert_eq!(kv1::get::<Json>(&root, "there", "a").await.unwrap()["k"], "v");
    refused(kv1::get::<Json>(&root, "here", "a").await, NONE);
}

async fn a_wrapped_answer_is_opened_once(world: World) {
    let root = world.root();
    let boxed = ListMountsRequest::builder().build().unwrap().wrap(&root).await.unwrap();
    assert_eq!(boxed.lookup(&root).await.unwrap().creation_path, "sys/mounts");
    refused(token::lookup(&world.nobody(), &boxed.info.token).await, DENIED);
    let inside = boxed.unwrap(&world.by(&boxed.info.token)).await;
    // By the box's own token, and in the body: the same, once.
    assert!(inside.unwrap().contains_key("sys/"));
    refused(boxed.unwrap(&root).await, WRONG);
    assert!(boxed.lookup(&root).await.is_err());
}

async fn random_bytes_are_as_many_as_were_asked_for(world: World) {
    let mut wanted = RandomRequest::builder();
    let (one, two) = (
        sys::tools::random(&world.root(), Some(wanted.bytes(20u64).format("hex"))).await.unwrap(),
        sys::tools::random(&world.root(), Some(wanted.bytes(20u64).format("hex"))).await.unwrap(),
    );
    assert_eq!(one.random_bytes.len(), 40);
    assert_ne!(one.random_bytes, two.random_bytes);
    refused(sys::tools::random(&world.root(), Some(wanted.bytes(u64::from(u32::MAX)))).await, WRONG);
}

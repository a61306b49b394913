//! `identity/`: entities, groups, and the aliases of both.

use std::collections::HashMap;

use vaultrs::api::identity::entity::requests::{
    CreateEntityByNameRequest, CreateEntityRequest, MergeEntitiesRequest, UpdateEntityByIdRequest,
};
use vaultrs::api::identity::entity_alias::requests::UpdateEntityAliasByIdRequest;
use vaultrs::api::identity::group::requests::{CreateGroupByNameRequest, CreateGroupRequest, UpdateGroupByIdRequest};
use vaultrs::api::identity::group_alias::requests::CreateGroupAliasRequest;
use vaultrs::auth::userpass;
use vaultrs::client::Client;
use vaultrs::identity::{entity, entity_alias, group, group_alias};
use vaultrs::sys;

use crate::world::{NONE, WRONG, World, accessor, refused};

crate::stories!(
    an_entity_is_kept_by_id_and_by_name,
    a_login_is_its_entity_and_has_its_policies,
    entities_become_one_only_when_somebody_says_so,
    groups_hold_entities_and_are_told_from_outside,
);

async fn an_entity_is_kept_by_id_and_by_name(world: World) {
    let root = world.root();
    let mut wanted = CreateEntityRequest::builder();
    wanted.name("ann").policies(vec!["more".to_owned()]).metadata(HashMap::from([("team".to_owned(), "a".to_owned())]));
    let id = entity::create(&root, Some(&mut wanted)).await.unwrap().id;
    let read = entity::read_by_id(&root, &id).await.unwrap();
    assert_eq!(
        (read.name.as_str(), read.policies, read.metadata.unwrap()["team"].as_str()),
        ("ann", vec!["more".to_owned()], "a")
    );
    entity::update_by_id(&root, &id, Some(UpdateEntityByIdRequest::builder().disabled(true))).await.unwrap();
    assert!(entity::read_by_name(&root, "ann").await.unwrap().disabled);
    let mut again = CreateEntityByNameRequest::builder();
    entity::create_or_update_by_name(&root, "bob", Some(again.disabled(false))).await.unwrap();
    let names = entity::list_by_name(&root).await.unwrap().keys;
    assert!(names.contains(&"ann".to_owned()) && names.contains(&"bob".to_owned()));
    assert!(entity::list_by_id(&root).await.unwrap().keys.contains(&id));
    entity::delete_by_name(&root, "bob").await.unwrap();
    refused(entity::read_by_name(&root, "bob").await, NONE);
    entity::batch_delete(&root, vec![id.clone()]).await.unwrap();
    refused(entity::read_by_id(&root, &id).await, NONE);
}

async fn a_login_is_its_entity_and_has_its_policies(world: World) {
    let root = world.root();
    sys::auth::enable(&root, "people", "userpass", None).await.unwrap();
    userpass::user::set(&root, "people", "cat", "a password", None).await.unwrap();
    let id =
        entity::create(&root, Some(CreateEntityRequest::builder().policies(vec!["cats".to_owned()]))).await.unwrap().id;
    let mount = accessor(&root, "people").await;
    let alias = entity_alias::create(&root, "cat", &id, &mount, None).await.unwrap();
    assert_eq!(alias.canonical_id, id);
    assert_eq!(entity_alias::read_by_id(&root, &alias.id).await.unwrap().mount_path, "auth/people/");
    let auth = userpass::login(&world.nobody(), "people", "cat", "a password").await.unwrap();
    assert_eq!(auth.entity_id, id);
    assert!(auth.policies.contains(&"cats".to_owned()) && !auth.token_policies.contains(&"cats".to_owned()));
    let me = world.by(&auth.client_token).lookup().await.unwrap();
    assert_eq!(me.identity_policies.unwrap(), ["cats"]);
    let mut about = UpdateEntityAliasByIdRequest::builder();
    about
        .name("cat")
        .canonical_id(id.clone())
        .mount_accessor(mount)
        .custom_metadata(HashMap::from([("k".to_owned(), "v".to_owned())]));
    entity_alias::update_by_id(&root, &alias.id, Some(&mut about)).await.unwrap();
    let listed = entity_alias::list_by_id(&root).await.unwrap();
    assert_eq!(listed.key_info[&alias.id].name, "cat");
    entity_alias::delete_by_id(&root, &alias.id).await.unwrap();
    refused(entity_alias::read_by_id(&root, &alias.id).await, NONE);
}

async fn entities_become_one_only_when_somebody_says_so(world: World) {
    let root = world.root();
    let made =
        async |name: &str| entity::create(&root, Some(CreateEntityRequest::builder().name(name))).await.unwrap().id;
    let (one, two) = (made("one").await, made("two").await);
    refused(entity::merge(&root, vec!["none".to_owned()], one.clone(), None).await, WRONG);
    entity::merge(&root, vec![two.clone()], one.clone(), Some(&mut MergeEntitiesRequest::builder())).await.unwrap();
    refused(entity::read_by_name(&root, "two").await, NONE);
    assert_eq!(entity::read_by_id(&root, &one).await.unwrap().merged_entity_ids.unwrap(), [two]);
    entity::delete_by_id(&root, &one).await.unwrap();
}

async fn groups_hold_entities_and_are_told_from_outside(world: World) {
    let root = world.root();
    let member = entity::create(&root, Some(CreateEntityRequest::builder().name("member"))).await.unwrap().id;
    let made =
        group::create(&root, Some(CreateGroupRequest::builder().policies(vec!["team".to_owned()]))).await.unwrap();
    let mut wanted = UpdateGroupByIdRequest::builder();
    wanted.name("team").member_entity_ids(vec![member.clone()]);
    group::update_by_id(&root, &made.id, Some(&mut wanted)).await.unwrap();
    let read = group::read_by_name(&root, "team").await.unwrap();
    assert_eq!((read.id.as_str(), read.group_type.as_str()), (made.id.as_str(), "internal"));
    assert_eq!(read.member_entity_ids.unwrap(), std::slice::from_ref(&member));
    assert_eq!(entity::read_by_id(&root, &member).await.unwrap().direct_group_ids, std::slice::from_ref(&made.id));
    assert!(group::list_by_id(&root).await.unwrap().keys.contains(&made.id));

    sys::auth::enable(&root, "outside", "jwt", None).await.unwrap();
    group::create_or_update_by_name(&root, "admins", Some(CreateGroupByNameRequest::builder().group_type("external")))
        .await
        .unwrap();
    let admins = group::read_by_name(&root, "admins").await.unwrap().id;
    let mut about = CreateGroupAliasRequest::builder();
    let alias = group_alias::create(
        &root,
        "idp-admins",
        &accessor(&root, "outside").await,
        Some(about.canonical_id(admins.clone())),
    )
    .await
    .unwrap();
    let known = group_alias::read_by_id(&root, &alias.id).await.unwrap();
    assert_eq!((known.name.as_str(), known.canonical_id), ("idp-admins", admins));
    assert_eq!(group_alias::list_by_id(&root).await.unwrap().keys, std::slice::from_ref(&alias.id));
    group_alias::delete_by_id(&root, &alias.id).await.unwrap();
    refused(group_alias::read_by_id(&root, &alias.id).await, NONE);
    group::delete_by_id(&root, &made.id).await.unwrap();
    group::delete_by_name(&root, "admins").await.unwrap();
    refused(group::read_by_id(&root, &made.id).await, NONE);
}

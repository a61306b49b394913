//! `entity`: making, reading, changing, listing, deleting and merging entities.

use std::collections::BTreeMap;

use super::{ById, ByName, IdentityEngine, demand, show};
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Operation, Result, limits};
use crate::engine::{Cx, Page, Reply, Routes, policy_names};
use crate::identity::{Entity, Named, checked_metadata, is_id, keys};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes
        .at("entity", "Make an entity, or change one.", |at| at.update(write))
        .at("entity/id/", "List the entities by id.", |at| at.list(list))
        .at("entity/id/{id}", "Read, change and delete an entity.", |at| {
            at.read(by_id).update(write_by_id).delete(delete_by_id)
        })
        .at("entity/name/", "List the entities by name.", |at| at.list(list_names))
        .at("entity/name/{name~}", "Read, change and delete an entity by its name.", |at| {
            at.read(by_name).update(write_by_name).delete(delete_by_name)
        })
        .at("entity/batch-delete", "Delete several entities.", |at| at.update(batch_delete))
        .at("entity/merge", "Merge entities into one.", |at| at.update(merge))
}

params! {
    /// An entity; what is absent stays as it was.
    pub struct Write {
        /// Its id.
        id: Option<String>,
        /// Its name, unique without regard to case.
        name: Option<String>,
        /// Words for people and templated policies.
        metadata: Option<BTreeMap<String, String>>,
        /// Policies of all its tokens.
        policies: Option<Vec<String>>,
        /// Whether its tokens are refused.
        disabled: Option<bool>,
    }
    /// Several entities.
    pub struct Several {
        /// Their ids.
        entity_ids: Vec<String>,
    }
    /// A merge.
    pub struct Merge {
        /// The entities that end.
        from_entity_ids: Vec<String>,
        /// The entity that stays.
        to_entity_id: Option<String>,
        /// The aliases that stay, where both sides have one of a mount.
        conflicting_alias_ids_to_keep: Vec<String>,
        /// Where nothing else is said, the aliases of the entity that stays do.
        force: Option<bool>,
    }
}

async fn list(cx: Cx<IdentityEngine>, p: Page) -> Result<Reply> {
    let view = cx.engine().handles.identities.view();
    let ids = p.of(view.list(&Key::new("entity/id"))?);
    if ids.len() > limits::LISTED_WITH_INFO {
        return Ok(Reply::list(ids));
    }
    let info = view.read(|r| {
        let mut info = Map::new();
        for id in ids.iter().filter_map(Json::as_str) {
            if let Some(entity) = r.get::<Entity>(&keys::entity(id))? {
                info.insert(id.to_owned(), show::entity_line(&cx, &entity));
            }
        }
        Ok(info)
    })?;
    Ok(show::list(ids, info))
}

async fn list_names(cx: Cx<IdentityEngine>, p: Page) -> Result<Reply> {
    let view = cx.engine().handles.identities.view();
    let rows = view.read(|r| r.first::<Named>(&Key::new("entity/name"), limits::GROUP_LISTED))?;
    let mut names: Vec<String> = rows.into_iter().map(|(_, (_, name))| name).collect();
    names.sort_unstable();
    Ok(Reply::list(p.of(names)))
}

async fn by_id(cx: Cx<IdentityEngine>, p: ById) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    // Under the id of an entity that was merged there is nothing to read: it is another's now.
    let entity = identities.entity(&p.id)?.ok_or_else(Error::not_found)?;
    let standing = identities.standing(&entity.id)?.ok_or_else(Error::not_found)?;
    Ok(Reply::data(show::entity(&cx, &standing)))
}

/// The id behind a name.
fn id_of(cx: &Cx<IdentityEngine>, name: &str) -> Result<Option<String>> {
    let named: Option<Named> = cx.engine().handles.identities.view().get(&keys::entity_name(name))?;
    Ok(named.map(|(id, _)| id))
}

async fn by_name(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let id = id_of(&cx, &p.name)?.ok_or_else(Error::not_found)?;
    by_id(cx, ById { id }).await
}

async fn write(cx: Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    if p.id.as_deref().is_some_and(|id| !id.is_empty()) {
        return write_by_id(cx, p).await;
    }
    let known = match &p.name {
        Some(name) => id_of(&cx, name)?,
        None => None,
    };
    match known {
        Some(id) => write_by_id(cx, Write { id: Some(id), ..p }).await,
        None => make(&cx, p),
    }
}

async fn write_by_name(cx: Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    write(cx, Write { id: None, ..p }).await
}

fn make(cx: &Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    let mut txn = identities.view().txn();
    let name = p.name.as_deref().filter(|name| !name.is_empty());
    let mut entity = identities.new_entity(&mut txn, name, cx.now(), cx.rng())?;
    apply(&mut entity, p)?;
    txn.create(&keys::entity(&entity.id), &entity)?;
    let data = show::map([
        ("id", Json::from(entity.id.as_str())),
        ("name", entity.name.as_str().into()),
        ("aliases", Json::Null),
    ]);
    Ok(Reply::data(data).with(txn))
}

async fn write_by_id(cx: Cx<IdentityEngine>, mut p: Write) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    let mut txn = identities.view().txn();
    let id = p.id.take().unwrap_or_default();
    let mut entity = read(&mut txn, &id)?.ok_or_else(|| Error::invalid("invalid entity id"))?;
    if let Some(name) = p.name.take().filter(|name| !name.is_empty() && *name != entity.name) {
        identities.rename_entity(&mut txn, &mut entity, &name)?;
    }
    apply(&mut entity, p)?;
    entity.updated = cx.now();
    txn.put(&keys::entity(&id), &entity)?;
    Ok(Reply::empty(txn))
}

fn apply(entity: &mut Entity, p: Write) -> Result<()> {
    if let Some(v) = p.metadata {
        entity.metadata = checked_metadata("metadata", v)?;
    }
    if let Some(v) = p.policies {
        entity.policies = policy_names(v)?;
    }
    if let Some(v) = p.disabled {
        entity.disabled = v;
    }
    Ok(())
}

fn read(txn: &mut Txn, id: &str) -> Result<Option<Entity>> {
    if is_id(id) { txn.get(&keys::entity(id)) } else { Ok(None) }
}

async fn delete_by_id(cx: Cx<IdentityEngine>, p: ById) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    let mut txn = identities.view().txn();
    if let Some(entity) = read(&mut txn, &p.id)? {
        identities.remove_entity(&mut txn, &entity)?;
    }
    Ok(Reply::empty(txn))
}

async fn delete_by_name(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    match id_of(&cx, &p.name)? {
        Some(id) => delete_by_id(cx, ById { id }).await,
        None => Ok(Reply::nothing()),
    }
}

async fn batch_delete(cx: Cx<IdentityEngine>, p: Several) -> Result<Reply> {
    if p.entity_ids.is_empty() {
        return Err(Error::invalid("missing entity ids to delete: 'entity_ids'"));
    }
    if p.entity_ids.len() > limits::ENTITIES_AT_ONCE {
        return Err(Error::invalid(format!("at most {} entities at once", limits::ENTITIES_AT_ONCE)));
    }
    let identities = &cx.engine().handles.identities;
    let mut txn = identities.view().txn();
    for id in &p.entity_ids {
        if !is_id(id) {
            return Err(Error::invalid("'entity_ids' holds what cannot be an id"));
        }
        // The right to delete in batches is none to delete each.
        demand(&cx, Operation::Delete, &format!("identity/entity/id/{id}"))?;
        if let Some(entity) = read(&mut txn, id)? {
            identities.remove_entity(&mut txn, &entity)?;
        }
    }
    Ok(Reply::empty(txn))
}

async fn merge(cx: Cx<IdentityEngine>, p: Merge) -> Result<Reply> {
    let to = p.to_entity_id.unwrap_or_default();
    let identities = &cx.engine().handles.identities;
    let keep = &p.conflicting_alias_ids_to_keep;
    Ok(Reply::empty(identities.merge(&p.from_entity_ids, &to, keep, p.force.unwrap_or(false), cx.now())?))
}

//! `entity-alias`: the logins of entities.

use std::collections::BTreeMap;

use super::{ById, IdentityEngine, demand, show};
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Operation, Result, ids, limits};
use crate::engine::{Cx, Page, Reply, Routes};
use crate::identity::{Alias, Entity, checked_metadata, checked_name, is_id, keys};
use crate::params;

/// Adds the endpoints; `alias` and `persona` are what `entity-alias` was called before.
pub fn routes(mut routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    for (all, folder, one) in [
        ("entity-alias", "entity-alias/id/", "entity-alias/id/{id}"),
        ("alias", "alias/id/", "alias/id/{id}"),
        ("persona", "persona/id/", "persona/id/{id}"),
    ] {
        routes = routes
            .at(all, "Make an alias of an entity, or change one.", |at| at.update(write))
            .at(folder, "List the aliases of entities.", |at| at.list(list))
            .at(one, "Read, change and delete an alias of an entity.", |at| {
                at.read(read).update(write_by_id).delete(delete)
            });
    }
    routes
}

params! {
    /// An alias; what is absent stays as it was.
    pub struct Write {
        /// Its id.
        id: Option<String>,
        /// The name that the login has at its mount.
        name: Option<String>,
        /// The entity; a new one where it is absent.
        canonical_id: Option<String>,
        /// The same, as older clients call it.
        entity_id: Option<String>,
        /// The accessor of the auth mount.
        mount_accessor: Option<String>,
        /// What operators say of it.
        custom_metadata: Option<BTreeMap<String, String>>,
        /// Accepted and shown: one data centre has no use for it.
        local: Option<bool>,
    }
}

/// The entity that has this alias.
fn owner(txn: &mut Txn, id: &str) -> Result<Option<Entity>> {
    if !is_id(id) {
        return Ok(None);
    }
    match txn.get::<String>(&keys::alias(id))? {
        Some(entity) => txn.get(&keys::entity(&entity)),
        None => Ok(None),
    }
}

async fn list(cx: Cx<IdentityEngine>, p: Page) -> Result<Reply> {
    let view = cx.engine().handles.identities.view();
    let ids = p.of(view.list(&Key::new("alias/id"))?);
    if ids.len() > limits::LISTED_WITH_INFO {
        return Ok(Reply::list(ids));
    }
    let info = view.read(|r| {
        let mut info = Map::new();
        for id in ids.iter().filter_map(Json::as_str) {
            let Some(entity) = r.get::<String>(&keys::alias(id))? else { continue };
            let Some(entity) = r.get::<Entity>(&keys::entity(&entity))? else { continue };
            if let Some(alias) = entity.aliases.iter().find(|a| a.id == id) {
                info.insert(id.to_owned(), show::alias(&cx, alias, &entity.id).into());
            }
        }
        Ok(info)
    })?;
    Ok(show::list(ids, info))
}

async fn read(cx: Cx<IdentityEngine>, p: ById) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    let entity = owner(&mut txn, &p.id)?.ok_or_else(Error::not_found)?;
    let alias = entity.aliases.iter().find(|a| a.id == p.id).ok_or_else(Error::not_found)?;
    Ok(Reply::data(show::alias(&cx, alias, &entity.id)))
}

async fn delete(cx: Cx<IdentityEngine>, p: ById) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    if let Some(mut entity) = owner(&mut txn, &p.id)? {
        take_out(&mut txn, &mut entity, &p.id);
        entity.updated = cx.now();
        txn.put(&keys::entity(&entity.id), &entity)?;
    }
    Ok(Reply::empty(txn))
}

fn take_out(txn: &mut Txn, entity: &mut Entity, id: &str) -> Option<Alias> {
    let at = entity.aliases.iter().position(|a| a.id == id)?;
    let alias = entity.aliases.remove(at);
    txn.delete(&keys::alias(&alias.id));
    txn.delete(&keys::alias_name(&alias.mount_accessor, &alias.name));
    Some(alias)
}

async fn write(cx: Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    if p.id.as_deref().is_some_and(|id| !id.is_empty()) {
        return write_by_id(cx, p).await;
    }
    let name = p.name.clone().filter(|n| !n.is_empty()).ok_or_else(|| Error::invalid("missing alias name"))?;
    let accessor =
        p.mount_accessor.clone().filter(|a| !a.is_empty()).ok_or_else(|| Error::invalid("missing mount_accessor"))?;
    checked_name(&name)?;
    let mut txn = cx.engine().handles.identities.view().txn();
    let known = match is_id_like(&accessor) {
        true => txn.get::<String>(&keys::alias_name(&accessor, &name))?,
        false => None,
    };
    let owner = match known {
        Some(id) => txn.get::<Entity>(&keys::entity(&id))?,
        None => None,
    };
    let alias = owner.as_ref().and_then(|e| e.aliases.iter().find(|a| a.is(&accessor, &name))).cloned();
    place(&cx, txn, owner, alias, Write { name: Some(name), mount_accessor: Some(accessor), ..p })
}

async fn write_by_id(cx: Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    let id = p.id.clone().unwrap_or_default();
    let mut txn = cx.engine().handles.identities.view().txn();
    let owner = owner(&mut txn, &id)?.ok_or_else(|| Error::invalid("invalid alias id"))?;
    let alias = owner.aliases.iter().find(|a| a.id == id).cloned();
    place(&cx, txn, Some(owner), alias, p)
}

fn is_id_like(accessor: &str) -> bool {
    !accessor.contains('/') && !accessor.chars().any(char::is_control) && accessor.len() <= limits::NAME_BYTES
}

/// Puts an alias where it shall be: a new one, one that is changed, or one that goes to another entity.
fn place(
    cx: &Cx<IdentityEngine>,
    mut txn: Txn,
    owner: Option<Entity>,
    alias: Option<Alias>,
    p: Write,
) -> Result<Reply> {
    let handles = &cx.engine().handles;
    let now = cx.now();
    let mut alias = alias.unwrap_or_else(|| Alias { id: ids::uuid(cx.rng()), created: now, ..Alias::default() });
    let before = alias.clone();
    if let Some(name) = p.name {
        checked_name(&name)?.clone_into(&mut alias.name);
    }
    if let Some(accessor) = p.mount_accessor {
        alias.mount_accessor = accessor;
    }
    {
        let table = handles.mounts.table();
        let mount = table.accessor(&alias.mount_accessor).map(|e| e.mount.clone()).filter(|m| m.is_auth());
        let mount = mount.ok_or_else(|| Error::invalid("invalid mount accessor"))?;
        alias.mount_type.clone_from(&mount.kind);
    }
    if let Some(pairs) = p.custom_metadata {
        alias.custom_metadata = checked_metadata("custom_metadata", pairs)?;
    }
    if let Some(local) = p.local {
        alias.local = local;
    }
    alias.updated = now;
    let to = p.canonical_id.or(p.entity_id).filter(|id| !id.is_empty());
    let target = match (&to, &owner) {
        (Some(id), Some(owner)) if *id == owner.id => Some(owner.clone()),
        (Some(id), _) if is_id(id) => {
            Some(txn.get::<Entity>(&keys::entity(id))?.ok_or_else(|| Error::invalid("invalid canonical ID"))?)
        }
        (Some(_), _) => return Err(Error::invalid("invalid canonical ID")),
        (None, owner) => owner.clone(),
    };
    if let (Some(owner), Some(target)) = (&owner, &target)
        && owner.id != target.id
    {
        // A login takes all that its entity may do: who moves it needs the right to change both.
        for id in [&owner.id, &target.id] {
            demand(cx, Operation::Update, &format!("identity/entity/id/{id}"))?;
        }
    }
    // The login must not belong to another alias.
    let taken: Option<String> = txn.get(&keys::alias_name(&alias.mount_accessor, &alias.name))?;
    let same_login = before.is(&alias.mount_accessor, &alias.name);
    if taken.is_some() && !same_login {
        return Err(Error::invalid("another alias has this name at this mount already"));
    }
    if let Some(mut owner) = owner {
        take_out(&mut txn, &mut owner, &before.id);
        owner.updated = now;
        txn.put(&keys::entity(&owner.id), &owner)?;
    }
    let mut target = match target {
        // Read again: it may be the owner, without the alias by now.
        Some(target) => txn.get::<Entity>(&keys::entity(&target.id))?.unwrap_or(target),
        None => {
            let entity = handles.identities.new_entity(&mut txn, None, now, cx.rng())?;
            txn.create(&keys::entity(&entity.id), &entity)?;
            entity
        }
    };
    let reply = show::map([("id", Json::from(alias.id.as_str())), ("canonical_id", target.id.as_str().into())]);
    handles.identities.add_alias(&mut txn, &mut target, alias)?;
    target.updated = now;
    txn.put(&keys::entity(&target.id), &target)?;
    Ok(Reply::data(reply).with(txn))
}

//! `group-alias`: what an auth method calls an external group.

use std::collections::BTreeMap;

use super::{ById, IdentityEngine, demand, show};
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Operation, Result, ids, limits};
use crate::engine::{Cx, Page, Reply, Routes};
use crate::identity::{Alias, Group, checked_metadata, checked_name, is_id, keys};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes
        .at("group-alias", "Make the alias of an external group, or change it.", |at| at.update(write))
        .at("group-alias/id/", "List the aliases of groups.", |at| at.list(list))
        .at("group-alias/id/{id}", "Read, change and delete the alias of a group.", |at| {
            at.read(read).update(write_by_id).delete(delete)
        })
}

params! {
    /// An alias; what is absent stays as it was.
    pub struct Write {
        /// Its id.
        id: Option<String>,
        /// What the auth method calls the group.
        name: Option<String>,
        /// The group; a new external one where it is absent.
        canonical_id: Option<String>,
        /// The accessor of the auth mount.
        mount_accessor: Option<String>,
        /// What operators say of it.
        custom_metadata: Option<BTreeMap<String, String>>,
    }
}

fn owner(txn: &mut Txn, id: &str) -> Result<Option<Group>> {
    if !is_id(id) {
        return Ok(None);
    }
    match txn.get::<String>(&keys::group_alias(id))? {
        Some(group) => {
            Ok(txn.get::<Group>(&keys::group(&group))?.filter(|g| g.alias.as_ref().is_some_and(|a| a.id == id)))
        }
        None => Ok(None),
    }
}

async fn list(cx: Cx<IdentityEngine>, p: Page) -> Result<Reply> {
    let view = cx.engine().handles.identities.view();
    let ids = p.of(view.list(&Key::new("group-alias/id"))?);
    if ids.len() > limits::LISTED_WITH_INFO {
        return Ok(Reply::list(ids));
    }
    let info = view.read(|r| {
        let mut info = Map::new();
        for id in ids.iter().filter_map(Json::as_str) {
            let Some(group) = r.get::<String>(&keys::group_alias(id))? else { continue };
            let Some(group) = r.get::<Group>(&keys::group(&group))? else { continue };
            if let Some(alias) = &group.alias {
                info.insert(id.to_owned(), show::alias(&cx, alias, &group.id).into());
            }
        }
        Ok(info)
    })?;
    Ok(show::list(ids, info))
}

async fn read(cx: Cx<IdentityEngine>, p: ById) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    let group = owner(&mut txn, &p.id)?.ok_or_else(Error::not_found)?;
    let alias = group.alias.as_ref().ok_or_else(Error::not_found)?;
    Ok(Reply::data(show::alias(&cx, alias, &group.id)))
}

async fn delete(cx: Cx<IdentityEngine>, p: ById) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    if let Some(mut group) = owner(&mut txn, &p.id)? {
        take_off(&mut txn, &mut group);
        put(&cx, &mut txn, &mut group)?;
    }
    Ok(Reply::empty(txn))
}

/// Takes its alias off a group. Memberships that were found by it count no more from here on.
fn take_off(txn: &mut Txn, group: &mut Group) {
    if let Some(alias) = group.alias.take() {
        txn.delete(&keys::group_alias(&alias.id));
        txn.delete(&keys::group_alias_name(&alias.mount_accessor, &alias.name));
    }
}

fn put(cx: &Cx<IdentityEngine>, txn: &mut Txn, group: &mut Group) -> Result<()> {
    group.index += 1;
    group.updated = cx.now();
    txn.put(&keys::group(&group.id), group)
}

async fn write(cx: Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    if p.id.as_deref().is_some_and(|id| !id.is_empty()) {
        return write_by_id(cx, p).await;
    }
    let mut txn = cx.engine().handles.identities.view().txn();
    let (name, accessor) = (p.name.as_deref().unwrap_or_default(), p.mount_accessor.as_deref().unwrap_or_default());
    if name.is_empty() || accessor.is_empty() {
        return Err(Error::invalid("'name' and 'mount_accessor' are both needed"));
    }
    checked_name(name)?;
    known_mount(&cx, accessor)?;
    let known = match txn.get::<String>(&keys::group_alias_name(accessor, name))? {
        Some(group) => txn.get::<Group>(&keys::group(&group))?,
        None => None,
    };
    place(&cx, txn, known, p)
}

async fn write_by_id(cx: Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    let group = owner(&mut txn, p.id.as_deref().unwrap_or_default())?;
    let group = group.ok_or_else(|| Error::invalid("invalid group alias id"))?;
    place(&cx, txn, Some(group), p)
}

fn known_mount(cx: &Cx<IdentityEngine>, accessor: &str) -> Result<String> {
    let table = cx.engine().handles.mounts.table();
    let mount = table.accessor(accessor).map(|e| e.mount.clone()).filter(|m| m.is_auth());
    mount.map(|m| m.kind.clone()).ok_or_else(|| Error::invalid("invalid mount accessor"))
}

/// Puts an alias where it shall be; `owner` is the group that has it now.
fn place(cx: &Cx<IdentityEngine>, mut txn: Txn, owner: Option<Group>, p: Write) -> Result<Reply> {
    let handles = &cx.engine().handles;
    let now = cx.now();
    let before = owner.as_ref().and_then(|g| g.alias.clone());
    let mut alias =
        before.clone().unwrap_or_else(|| Alias { id: ids::uuid(cx.rng()), created: now, ..Alias::default() });
    if let Some(name) = p.name {
        checked_name(&name)?.clone_into(&mut alias.name);
    }
    if let Some(accessor) = p.mount_accessor {
        alias.mount_accessor = accessor;
    }
    alias.mount_type = known_mount(cx, &alias.mount_accessor)?;
    if let Some(pairs) = p.custom_metadata {
        alias.custom_metadata = checked_metadata("custom_metadata", pairs)?;
    }
    alias.updated = now;
    let to = p.canonical_id.filter(|id| !id.is_empty());
    let elsewhere = match (&to, &owner) {
        (Some(id), Some(owner)) if *id == owner.id => None,
        (Some(id), _) if is_id(id) => {
            Some(txn.get::<Group>(&keys::group(id))?.ok_or_else(|| Error::invalid("invalid group id"))?)
        }
        (Some(_), _) => return Err(Error::invalid("invalid group id")),
        (None, Some(_)) => None,
        (None, None) => {
            let mut group = handles.identities.new_group(&mut txn, None, now, cx.rng())?;
            group.external = true;
            txn.create(&keys::group(&group.id), &group)?;
            Some(group)
        }
    };
    let taken: Option<String> = txn.get(&keys::group_alias_name(&alias.mount_accessor, &alias.name))?;
    if taken.is_some() && !before.as_ref().is_some_and(|b| b.is(&alias.mount_accessor, &alias.name)) {
        return Err(Error::invalid("another group has this alias already"));
    }
    let mut target = match (elsewhere, owner) {
        (Some(target), Some(mut owner)) => {
            // Its members are counted among the other group from now on: that needs the right to change both.
            for id in [&owner.id, &target.id] {
                demand(cx, Operation::Update, &format!("identity/group/id/{id}"))?;
            }
            take_off(&mut txn, &mut owner);
            put(cx, &mut txn, &mut owner)?;
            target
        }
        (Some(target), None) => target,
        (None, Some(owner)) => owner,
        (None, None) => return Err(Error::invalid("invalid group id")),
    };
    if !target.external {
        return Err(Error::invalid("an alias is for external groups only"));
    }
    take_off(&mut txn, &mut target);
    txn.overwrite(&keys::group_alias(&alias.id), &target.id)?;
    txn.put(&keys::group_alias_name(&alias.mount_accessor, &alias.name), &target.id)?;
    let reply = show::map([("id", Json::from(alias.id.as_str())), ("canonical_id", target.id.as_str().into())]);
    target.alias = Some(alias);
    put(cx, &mut txn, &mut target)?;
    Ok(Reply::data(reply).with(txn))
}

//! `group`: groups of entities and of groups, and those whose members an auth method names.

use std::collections::BTreeMap;

use super::{ById, ByName, IdentityEngine, show};
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Result, limits};
use crate::engine::{Cx, Page, Reply, Routes, policy_names};
use crate::identity::{Group, Named, checked_metadata, is_id, keys};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes
        .at("group", "Make a group, or change one.", |at| at.update(write))
        .at("group/id/", "List the groups by id.", |at| at.list(list))
        .at("group/id/{id}", "Read, change and delete a group.", |at| {
            at.read(by_id).update(write_by_id).delete(delete_by_id)
        })
        .at("group/name/", "List the groups by name.", |at| at.list(list_names))
        .at("group/name/{name~}", "Read, change and delete a group by its name.", |at| {
            at.read(by_name).update(write_by_name).delete(delete_by_name)
        })
}

params! {
    /// A group; what is absent stays as it was.
    pub struct Write {
        /// Its id.
        id: Option<String>,
        /// Its name, unique without regard to case.
        name: Option<String>,
        /// `internal`, or `external` where an auth method says who is a member.
        kind: Option<String> = "type",
        /// Words for people and templated policies.
        metadata: Option<BTreeMap<String, String>>,
        /// Policies of all its members.
        policies: Option<Vec<String>>,
        /// The entities that are members.
        member_entity_ids: Option<Vec<String>>,
        /// The groups that are members.
        member_group_ids: Option<Vec<String>>,
    }
}

async fn list(cx: Cx<IdentityEngine>, p: Page) -> Result<Reply> {
    let view = cx.engine().handles.identities.view();
    let ids = p.of(view.list(&Key::new("group/id"))?);
    if ids.len() > limits::LISTED_WITH_INFO {
        return Ok(Reply::list(ids));
    }
    let info = view.read(|r| {
        let mut info = Map::new();
        for id in ids.iter().filter_map(Json::as_str) {
            if let Some(group) = r.get::<Group>(&keys::group(id))? {
                let line = [
                    ("name", Json::from(group.name.as_str())),
                    ("num_parent_groups", group.parents.len().into()),
                    ("num_member_groups", group.groups.len().into()),
                ];
                info.insert(id.to_owned(), show::map(line).into());
            }
        }
        Ok(info)
    })?;
    Ok(show::list(ids, info))
}

async fn list_names(cx: Cx<IdentityEngine>, p: Page) -> Result<Reply> {
    let view = cx.engine().handles.identities.view();
    let rows = view.read(|r| r.first::<Named>(&Key::new("group/name"), limits::GROUP_LISTED))?;
    let mut names: Vec<String> = rows.into_iter().map(|(_, (_, name))| name).collect();
    names.sort_unstable();
    Ok(Reply::list(p.of(names)))
}

async fn by_id(cx: Cx<IdentityEngine>, p: ById) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    let group = identities.group(&p.id)?.ok_or_else(Error::not_found)?;
    let members = identities.members(&group)?;
    Ok(Reply::data(show::group(&cx, &group, members)))
}

fn id_of(cx: &Cx<IdentityEngine>, name: &str) -> Result<Option<String>> {
    let named: Option<Named> = cx.engine().handles.identities.view().get(&keys::group_name(name))?;
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

fn kind(text: Option<&str>) -> Result<Option<bool>> {
    match text {
        None | Some("") => Ok(None),
        Some("internal") => Ok(Some(false)),
        Some("external") => Ok(Some(true)),
        Some(_) => Err(Error::invalid("'type' is 'internal' or 'external'")),
    }
}

fn make(cx: &Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    let mut txn = identities.view().txn();
    let name = p.name.as_deref().filter(|name| !name.is_empty());
    let mut group = identities.new_group(&mut txn, name, cx.now(), cx.rng())?;
    group.external = kind(p.kind.as_deref())?.unwrap_or(false);
    apply(cx, &mut txn, &mut group, p)?;
    txn.create(&keys::group(&group.id), &group)?;
    let data = show::map([("id", Json::from(group.id.as_str())), ("name", group.name.as_str().into())]);
    Ok(Reply::data(data).with(txn))
}

async fn write_by_id(cx: Cx<IdentityEngine>, mut p: Write) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    let mut txn = identities.view().txn();
    let id = p.id.take().unwrap_or_default();
    let mut group = read(&mut txn, &id)?.ok_or_else(|| Error::invalid("invalid group id"))?;
    if kind(p.kind.as_deref())?.is_some_and(|external| external != group.external) {
        return Err(Error::invalid("group type cannot be changed"));
    }
    if let Some(name) = p.name.take().filter(|name| !name.is_empty() && *name != group.name) {
        identities.rename_group(&mut txn, &mut group, &name)?;
    }
    apply(&cx, &mut txn, &mut group, p)?;
    txn.put(&keys::group(&id), &group)?;
    Ok(Reply::empty(txn))
}

fn apply(cx: &Cx<IdentityEngine>, txn: &mut Txn, group: &mut Group, p: Write) -> Result<()> {
    let identities = &cx.engine().handles.identities;
    if let Some(v) = p.metadata {
        group.metadata = checked_metadata("metadata", v)?;
    }
    if let Some(v) = p.policies {
        group.policies = policy_names(v)?;
    }
    if group.external {
        if p.member_entity_ids.is_some_and(|ids| !ids.is_empty()) {
            return Err(Error::invalid("the members of an external group are those that its auth method names"));
        }
        if p.member_group_ids.is_some_and(|ids| !ids.is_empty()) {
            return Err(Error::invalid("an external group has no groups as members"));
        }
    } else {
        if let Some(ids) = p.member_entity_ids {
            identities.set_members(txn, group, ids)?;
        }
        if let Some(ids) = p.member_group_ids {
            identities.set_groups(txn, group, ids, cx.now())?;
        }
    }
    group.index += 1;
    group.updated = cx.now();
    Ok(())
}

fn read(txn: &mut Txn, id: &str) -> Result<Option<Group>> {
    if is_id(id) { txn.get(&keys::group(id)) } else { Ok(None) }
}

async fn delete_by_id(cx: Cx<IdentityEngine>, p: ById) -> Result<Reply> {
    let handles = &cx.engine().handles;
    let mut txn = handles.identities.view().txn();
    if let Some(group) = read(&mut txn, &p.id)? {
        handles.identities.remove_group(&mut txn, &group)?;
        let work = handles.work()?;
        work.commit(txn).await?;
        // Rows of members without their group count for nothing; what a crash leaves of them costs a few bytes.
        while let Some(step) = handles.identities.forget_members(&group.id)? {
            work.commit(step).await?;
        }
    }
    Ok(Reply::nothing())
}

async fn delete_by_name(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    match id_of(&cx, &p.name)? {
        Some(id) => delete_by_id(cx, ById { id }).await,
        None => Ok(Reply::nothing()),
    }
}

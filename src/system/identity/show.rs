//! How entities, aliases and groups are shown.

use std::collections::BTreeMap;

use super::IdentityEngine;
use crate::base::Json;
use crate::base::json::Map;
use crate::engine::{Body, Cx, Reply};
use crate::identity::{Alias, Entity, Group, Standing};

/// An entity with its groups.
pub fn entity(cx: &Cx<IdentityEngine>, standing: &Standing) -> Map {
    let entity = &standing.entity;
    let ids = |groups: &[Group]| Json::from(groups.iter().map(|g| g.id.clone()).collect::<Vec<_>>());
    let all: Vec<String> = standing.groups().map(|g| g.id.clone()).collect();
    let aliases = entity.aliases.iter().map(|a| alias(cx, a, &entity.id).into()).collect();
    map([
        ("id", Json::from(entity.id.as_str())),
        ("name", entity.name.as_str().into()),
        ("policies", entity.policies.clone().into()),
        ("metadata", texts(&entity.metadata)),
        ("disabled", entity.disabled.into()),
        ("aliases", Json::Array(aliases)),
        ("direct_group_ids", ids(&standing.direct)),
        ("inherited_group_ids", ids(&standing.inherited)),
        ("group_ids", all.into()),
        ("merged_entity_ids", some(&entity.merged)),
        ("namespace_id", "root".into()),
        ("creation_time", entity.created.to_string().into()),
        ("last_update_time", entity.updated.to_string().into()),
    ])
}

/// An alias of an entity or a group.
pub fn alias(cx: &Cx<IdentityEngine>, alias: &Alias, owner: &str) -> Map {
    let table = cx.engine().handles.mounts.table();
    let mount = table.accessor(&alias.mount_accessor).map(|entry| &entry.mount);
    map([
        ("id", Json::from(alias.id.as_str())),
        ("canonical_id", owner.into()),
        ("name", alias.name.as_str().into()),
        ("mount_accessor", alias.mount_accessor.as_str().into()),
        ("mount_path", mount.map_or("", |m| m.path.as_str()).into()),
        ("mount_type", mount.map_or(alias.mount_type.as_str(), |m| m.kind.as_str()).into()),
        ("metadata", texts(&alias.metadata)),
        ("custom_metadata", texts(&alias.custom_metadata)),
        ("local", alias.local.into()),
        ("merged_from_canonical_ids", some(&alias.merged_from)),
        ("namespace_id", "root".into()),
        ("creation_time", alias.created.to_string().into()),
        ("last_update_time", alias.updated.to_string().into()),
    ])
}

/// A group with its members.
pub fn group(cx: &Cx<IdentityEngine>, group: &Group, members: Vec<String>) -> Map {
    let ids = |ids: &std::collections::BTreeSet<String>| Json::from(ids.iter().cloned().collect::<Vec<_>>());
    map([
        ("id", Json::from(group.id.as_str())),
        ("name", group.name.as_str().into()),
        ("type", kind(group).into()),
        ("policies", group.policies.clone().into()),
        ("metadata", texts(&group.metadata)),
        // Of an external group nobody is a member by name, and no group is.
        ("member_entity_ids", if group.external && members.is_empty() { Json::Null } else { members.into() }),
        ("member_group_ids", if group.external { Json::Null } else { ids(&group.groups) }),
        ("parent_group_ids", ids(&group.parents)),
        ("alias", group.alias.as_ref().map_or_else(Map::new, |a| alias(cx, a, &group.id)).into()),
        ("modify_index", group.index.into()),
        ("namespace_id", "root".into()),
        ("creation_time", group.created.to_string().into()),
        ("last_update_time", group.updated.to_string().into()),
    ])
}

/// The API's word for a kind of group.
pub const fn kind(group: &Group) -> &'static str {
    if group.external { "external" } else { "internal" }
}

/// What a list says of an entity.
pub fn entity_line(cx: &Cx<IdentityEngine>, entity: &Entity) -> Json {
    let aliases = entity.aliases.iter().map(|a| alias(cx, a, &entity.id).into()).collect();
    map([("name", Json::from(entity.name.as_str())), ("aliases", Json::Array(aliases))]).into()
}

/// A list of ids with what is known of each.
pub fn list(ids: Vec<Json>, info: Map) -> Reply {
    let mut reply = Reply::list(ids);
    if let Body::Data(data) = &mut reply.body
        && !data.is_empty()
    {
        data.insert("key_info".into(), info.into());
    }
    reply
}

/// Pairs as an object.
pub fn map<const N: usize>(pairs: [(&str, Json); N]) -> Map {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

fn texts(pairs: &BTreeMap<String, String>) -> Json {
    if pairs.is_empty() {
        return Json::Null;
    }
    pairs.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect::<Map>().into()
}

fn some(names: &[String]) -> Json {
    if names.is_empty() { Json::Null } else { names.to_vec().into() }
}

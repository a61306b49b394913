//! `lookup`: an entity or a group by any of the handles it has.

use super::{IdentityEngine, show};
use crate::base::{Error, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::identity::{Named, is_id, keys};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes.at("lookup/entity", "Find an entity by what is known of it.", |at| at.update(entity)).at(
        "lookup/group",
        "Find a group by what is known of it.",
        |at| at.update(group),
    )
}

params! {
    /// What is known; one of the four.
    pub struct Known {
        /// The id.
        id: Option<String>,
        /// The name.
        name: Option<String>,
        /// The id of an alias.
        alias_id: Option<String>,
        /// The name of an alias; with its mount.
        alias_name: Option<String>,
        /// The accessor of the alias's mount.
        alias_mount_accessor: Option<String>,
    }
}

/// The keys under which the two kinds are found.
struct Places {
    name: fn(&str) -> crate::base::Key,
    alias: fn(&str) -> crate::base::Key,
    login: fn(&str, &str) -> crate::base::Key,
}

fn find(cx: &Cx<IdentityEngine>, p: Known, places: &Places) -> Result<Option<String>> {
    let view = cx.engine().handles.identities.view();
    let set = |text: Option<String>| text.filter(|t| !t.is_empty());
    let handles = (set(p.id), set(p.name), set(p.alias_id), set(p.alias_name), set(p.alias_mount_accessor));
    match handles {
        (Some(id), None, None, None, None) => Ok(Some(id)),
        (None, Some(name), None, None, None) => Ok(view.get::<Named>(&(places.name)(&name))?.map(|(id, _)| id)),
        (None, None, Some(id), None, None) if is_id(&id) => view.get(&(places.alias)(&id)),
        (None, None, Some(_), None, None) => Ok(None),
        (None, None, None, Some(name), Some(accessor)) if !accessor.contains('/') => {
            view.get(&(places.login)(&accessor, &name))
        }
        (None, None, None, Some(_), Some(_)) => Ok(None),
        _ => Err(Error::invalid("give one of 'id', 'name', 'alias_id', or 'alias_name' with 'alias_mount_accessor'")),
    }
}

async fn entity(cx: Cx<IdentityEngine>, p: Known) -> Result<Reply> {
    let places = Places { name: keys::entity_name, alias: keys::alias, login: keys::alias_name };
    let identities = &cx.engine().handles.identities;
    let entity = match find(&cx, p, &places)? {
        Some(id) => identities.entity(&id)?,
        None => None,
    };
    match entity {
        Some(entity) => {
            let standing = identities.standing(&entity.id)?.unwrap_or_default();
            Ok(Reply::data(show::entity(&cx, &standing)))
        }
        None => Ok(Reply::nothing()),
    }
}

async fn group(cx: Cx<IdentityEngine>, p: Known) -> Result<Reply> {
    let places = Places { name: keys::group_name, alias: keys::group_alias, login: keys::group_alias_name };
    let identities = &cx.engine().handles.identities;
    let group = match find(&cx, p, &places)? {
        Some(id) => identities.group(&id)?,
        None => None,
    };
    match group {
        Some(group) => {
            let members = identities.members(&group)?;
            Ok(Reply::data(show::group(&cx, &group, members)))
        }
        None => Ok(Reply::nothing()),
    }
}

//! `identity/`: entities, as far as tokens need them. The whole of it is an issue of its own.

use super::Handles;
use crate::barrier::View;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Result};
use crate::engine::{Cx, Engine, Mount, Reply, Routes};
use crate::identity::{Entity, entity_name_key};
use crate::params;

/// The engine.
pub struct IdentityEngine {
    /// The stores.
    pub(super) handles: Handles,
}

impl Engine for IdentityEngine {
    const TYPE: &'static str = "identity";

    fn routes() -> Routes<Self> {
        Routes::new("Entities and their aliases.")
            .at("entity/id/", "List the entities by id.", |at| at.list(list))
            .at("entity/id/{id}", "Read an entity.", |at| at.read(by_id))
            .at("entity/name/{name}", "Read an entity by its name.", |at| at.read(by_name))
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Err(Error::internal("the identity engine is made with handles"))
    }
}

params! {
    /// An entity by its id.
    pub struct ById {
        /// Its id.
        id: String,
    }
    /// An entity by its name.
    pub struct ByName {
        /// Its name, whose case does not count.
        name: String,
    }
}

async fn list(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    Ok(Reply::list(cx.engine().handles.identities.view().list(&Key::new("entity/id"))?))
}

async fn by_id(cx: Cx<IdentityEngine>, p: ById) -> Result<Reply> {
    show(cx.engine().handles.identities.entity(&p.id)?)
}

async fn by_name(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    match identities.view().get::<String>(&entity_name_key(&p.name))? {
        Some(id) => show(identities.entity(&id)?),
        None => Err(Error::not_found()),
    }
}

fn show(entity: Option<Entity>) -> Result<Reply> {
    let entity = entity.ok_or_else(Error::not_found)?;
    let texts = |map: &std::collections::BTreeMap<String, String>| -> Json {
        if map.is_empty() {
            return Json::Null;
        }
        map.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect::<Map>().into()
    };
    let aliases = entity.aliases.iter().map(|alias| {
        Json::object([
            ("id", Json::from(alias.id.as_str())),
            ("canonical_id", entity.id.as_str().into()),
            ("name", alias.name.as_str().into()),
            ("mount_accessor", alias.mount_accessor.as_str().into()),
            ("mount_type", alias.mount_type.as_str().into()),
            ("metadata", texts(&alias.metadata)),
            ("creation_time", alias.created.to_string().into()),
            ("last_update_time", alias.updated.to_string().into()),
        ])
    });
    Ok(Reply::data(Map::from(
        [
            ("id", Json::from(entity.id.as_str())),
            ("name", entity.name.as_str().into()),
            ("policies", entity.policies.clone().into()),
            ("metadata", texts(&entity.metadata)),
            ("disabled", entity.disabled.into()),
            ("aliases", Json::Array(aliases.collect())),
            ("creation_time", entity.created.to_string().into()),
            ("last_update_time", entity.updated.to_string().into()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    )))
}

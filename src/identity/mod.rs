//! Entities and aliases: who is behind a token.
//!
//!     identity/entity/id/<id>                      the entity, with its aliases
//!     identity/entity/name/<folded name>           its id
//!     identity/alias/id/<id>                       the id of its entity
//!     identity/alias/name/<mount accessor>/<name>  the id of its entity
//!
//! An entity is made at the first login of an alias; its id is in every token from then on.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::barrier::{Barrier, Txn, View};
use crate::base::{Key, Result, Rng, Timestamp, ids};
use crate::engine::Alias as LoginAlias;

/// Somebody or something with one or several logins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entity {
    /// Its id.
    pub id: String,
    /// Its name, unique without regard to case.
    pub name: String,
    /// Policies beside those of its tokens.
    pub policies: Vec<String>,
    /// Words for people and templated policies.
    pub metadata: BTreeMap<String, String>,
    /// Its tokens are refused.
    pub disabled: bool,
    /// Its logins.
    pub aliases: Vec<Alias>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// One login of an entity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alias {
    /// Its id.
    pub id: String,
    /// The name within the mount.
    pub name: String,
    /// The auth mount.
    pub mount_accessor: String,
    /// The mount's type, for people.
    pub mount_type: String,
    /// What the method knows of it.
    pub metadata: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// The store.
pub struct Identities {
    view: View,
}

impl Identities {
    /// Opens the store; reads nothing.
    pub fn open(barrier: &Arc<Barrier>) -> Self {
        Self { view: barrier.view().sub("identity") }
    }

    /// The store's part of the barrier.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// An entity by its id.
    ///
    /// # Errors
    /// [`crate::base::Error::Sealed`] and those of storage.
    pub fn entity(&self, id: &str) -> Result<Option<Entity>> {
        if id.is_empty() {
            return Ok(None);
        }
        self.view.get(&entity_key(id))
    }

    /// The entity of a login, made or brought up to date by a transaction where that is needed. An unchanged one
    /// needs none: a login then writes nothing here.
    ///
    /// # Errors
    /// As [`Identities::entity`].
    pub fn of_login(
        &self,
        mount_accessor: &str,
        mount_type: &str,
        login: &LoginAlias,
        now: Timestamp,
        rng: &dyn Rng,
    ) -> Result<(Entity, Option<Txn>)> {
        let mut txn = self.view.txn();
        let name_key = alias_name_key(mount_accessor, &login.name);
        let known: Option<String> = txn.get(&name_key)?;
        if let Some(id) = known
            && let Some(mut entity) = txn.get::<Entity>(&entity_key(&id))?
        {
            let alias = entity.aliases.iter_mut().find(|a| a.mount_accessor == mount_accessor && a.name == login.name);
            match alias {
                Some(alias) if alias.metadata != login.metadata => {
                    alias.metadata.clone_from(&login.metadata);
                    alias.updated = now;
                    txn.put(&entity_key(&id), &entity)?;
                    return Ok((entity, Some(txn)));
                }
                _ => return Ok((entity, None)),
            }
        }
        let id = ids::uuid(rng);
        let alias = Alias {
            id: ids::uuid(rng),
            name: login.name.clone(),
            mount_accessor: mount_accessor.to_owned(),
            mount_type: mount_type.to_owned(),
            metadata: login.metadata.clone(),
            created: now,
            updated: now,
        };
        let name = format!("entity_{}", ids::letters(rng, 8).reveal().to_lowercase());
        txn.create(&alias_id_key(&alias.id), &id)?;
        txn.create(&entity_name_key(&name), &id)?;
        txn.put(&name_key, &id)?;
        let entity =
            Entity { id: id.clone(), name, aliases: vec![alias], created: now, updated: now, ..Entity::default() };
        txn.create(&entity_key(&id), &entity)?;
        Ok((entity, Some(txn)))
    }
}

/// The entity whose row a key of the store is: sessions of its tokens then look again.
pub fn entity_of(key: &Key) -> Option<&str> {
    key.below(&Key::new("identity/entity/id"))
}

/// Where an entity lies below the store's view.
pub fn entity_key(id: &str) -> Key {
    Key::new("entity/id").join(id)
}

/// Where an entity's id is found by name.
pub fn entity_name_key(name: &str) -> Key {
    Key::new("entity/name").join(&hex::encode(name.to_lowercase()))
}

/// Where an entity's id is found by the id of one of its aliases.
pub fn alias_id_key(id: &str) -> Key {
    Key::new("alias/id").join(id)
}

/// Where an entity's id is found by a login. Names can hold slashes and what else a method allows, hence in hex.
pub fn alias_name_key(mount_accessor: &str, name: &str) -> Key {
    Key::new("alias/name").join(mount_accessor).join(&hex::encode(name))
}

//! Entities and their aliases, as stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Identities, keys};
use crate::barrier::Txn;
use crate::base::{Error, Result, Rng, Timestamp, ids, limits};
use crate::engine::params::check_metadata;

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
    /// The entities that it has taken in.
    pub merged: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// One login of an entity, or what a method calls an external group.
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
    /// What operators say of it.
    pub custom_metadata: BTreeMap<String, String>,
    /// Accepted and shown; one data centre has no use for it.
    pub local: bool,
    /// The entities that it belonged to before a merge.
    pub merged_from: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// A row by which a name is taken: the id, and the name as it was written.
pub type Named = (String, String);

impl Alias {
    /// Whether it is this login.
    pub fn is(&self, mount_accessor: &str, name: &str) -> bool {
        self.mount_accessor == mount_accessor && self.name.to_lowercase() == name.to_lowercase()
    }
}

/// A name that people give: nothing in it that only looks like another name.
///
/// # Errors
/// [`Error::Invalid`].
pub fn checked_name(name: &str) -> Result<&str> {
    if name.is_empty() || name.len() > limits::NAME_BYTES {
        return Err(Error::invalid(format!("a name has 1 to {} bytes", limits::NAME_BYTES)));
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err(Error::invalid("a name has no control characters, and no spaces at its ends"));
    }
    Ok(name)
}

/// Metadata within its limits.
///
/// # Errors
/// [`Error::Invalid`] which names the field.
pub fn checked_metadata(field: &str, pairs: BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    check_metadata(field, &pairs)?;
    Ok(pairs)
}

impl Identities {
    /// A new entity; of a name that nobody gave, one is made.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is taken or unfit.
    pub fn new_entity(&self, txn: &mut Txn, name: Option<&str>, now: Timestamp, rng: &dyn Rng) -> Result<Entity> {
        let id = ids::uuid(rng);
        let name = match name {
            Some(name) => checked_name(name)?.to_owned(),
            None => format!("entity_{}", ids::letters(rng, 8).reveal().to_lowercase()),
        };
        take_name(txn, &keys::entity_name(&name), &id, &name, "entity")?;
        Ok(Entity { id, name, created: now, updated: now, ..Entity::default() })
    }

    /// Gives an entity another name.
    ///
    /// # Errors
    /// As [`Identities::new_entity`].
    pub fn rename_entity(&self, txn: &mut Txn, entity: &mut Entity, name: &str) -> Result<()> {
        let (from, to) = (keys::entity_name(&entity.name), keys::entity_name(checked_name(name)?));
        rename(txn, &from, &to, &entity.id, name, "entity")?;
        name.clone_into(&mut entity.name);
        Ok(())
    }

    /// Adds an alias to an entity. One entity has one alias of a mount, so that a template has one answer.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it has one already or too many.
    pub fn add_alias(&self, txn: &mut Txn, entity: &mut Entity, alias: Alias) -> Result<()> {
        if entity.aliases.iter().any(|a| a.mount_accessor == alias.mount_accessor) {
            return Err(Error::invalid("the entity has an alias of this mount already"));
        }
        if entity.aliases.len() >= limits::ENTITY_ALIASES {
            return Err(Error::invalid(format!("an entity has at most {} aliases", limits::ENTITY_ALIASES)));
        }
        // An id is made once; a login may have been taken meanwhile.
        txn.overwrite(&keys::alias(&alias.id), &entity.id)?;
        let login = keys::alias_name(&alias.mount_accessor, &alias.name);
        txn.get::<String>(&login)?;
        txn.put(&login, &entity.id)?;
        entity.aliases.push(alias);
        Ok(())
    }

    /// Removes an entity with its aliases and memberships. Its tokens are refused from then on.
    ///
    /// # Errors
    /// Those of storage.
    pub fn remove_entity(&self, txn: &mut Txn, entity: &Entity) -> Result<()> {
        txn.get::<Entity>(&keys::entity(&entity.id))?;
        txn.delete(&keys::entity(&entity.id));
        txn.delete(&keys::entity_name(&entity.name));
        for alias in &entity.aliases {
            txn.delete(&keys::alias(&alias.id));
            txn.delete(&keys::alias_name(&alias.mount_accessor, &alias.name));
        }
        for id in &entity.merged {
            txn.delete(&keys::merged(id));
        }
        txn.delete(&keys::grouped(&entity.id));
        for group in self.view().list(&keys::groups_of(&entity.id))? {
            self.leave(txn, &entity.id, &group);
        }
        Ok(())
    }
}

/// Takes a name, which must be free.
pub(super) fn take_name(txn: &mut Txn, key: &crate::base::Key, id: &str, name: &str, what: &str) -> Result<()> {
    if txn.get::<Named>(key)?.is_some_and(|(owner, _)| owner != id) {
        return Err(Error::invalid(format!("this name belongs to another {what} already")));
    }
    txn.put(key, &(id, name))
}

/// Gives up one name for another.
pub(super) fn rename(
    txn: &mut Txn,
    from: &crate::base::Key,
    to: &crate::base::Key,
    id: &str,
    name: &str,
    what: &str,
) -> Result<()> {
    if from != to {
        txn.delete(from);
    }
    take_name(txn, to, id, name, what)
}

//! What an entity is at this moment: itself and its groups, which decide the policies of all its tokens.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{Entity, Group, Identities, keys};
use crate::barrier::Reading;
use crate::base::{Key, Result, limits};
use crate::policy::{Fact, Facts, Field};

/// An entity with its groups.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The entity.
    pub entity: Entity,
    /// The groups that it is a member of.
    pub direct: Vec<Group>,
    /// The groups that those are members of, however far up.
    pub inherited: Vec<Group>,
}

impl Standing {
    /// All its groups.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.direct.iter().chain(&self.inherited)
    }

    /// The policies of the entity and its groups, sorted, each once.
    pub fn policies(&self) -> Vec<String> {
        let mut names = self.entity.policies.clone();
        names.extend(self.groups().flat_map(|g| g.policies.iter().cloned()));
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Facts for Standing {
    fn fact(&self, fact: &Fact) -> Option<Cow<'_, str>> {
        let of_group = |group: Option<&'_ Group>, field: &Field| -> Option<String> {
            let group = group?;
            match field {
                Field::Id => Some(group.id.clone()),
                Field::Name => Some(group.name.clone()),
                Field::Metadata(key) => group.metadata.get(key.as_ref()).cloned(),
                Field::CustomMetadata(_) => None,
            }
        };
        let entity = &self.entity;
        match fact {
            Fact::Entity(Field::Id) => Some(Cow::from(&entity.id)),
            Fact::Entity(Field::Name) => Some(Cow::from(&entity.name)),
            Fact::Entity(Field::Metadata(key)) => entity.metadata.get(key.as_ref()).map(Cow::from),
            Fact::Entity(Field::CustomMetadata(_)) => None,
            Fact::Alias { accessor, field } => {
                let alias = entity.aliases.iter().find(|a| a.mount_accessor == accessor.as_ref())?;
                match field {
                    Field::Id => Some(Cow::from(&alias.id)),
                    Field::Name => Some(Cow::from(&alias.name)),
                    Field::Metadata(key) => alias.metadata.get(key.as_ref()).map(Cow::from),
                    Field::CustomMetadata(key) => alias.custom_metadata.get(key.as_ref()).map(Cow::from),
                }
            }
            Fact::GroupById { id, field } => {
                of_group(self.groups().find(|g| g.id == id.as_ref()), field).map(Cow::Owned)
            }
            Fact::GroupByName { name, field } => {
                let name = name.to_lowercase();
                of_group(self.groups().find(|g| g.name.to_lowercase() == name), field).map(Cow::Owned)
            }
        }
    }
}

/// The groups that an entity was made a direct member of, and what each was called then. Most are in none, which one row tells.
pub(super) fn memberships(r: &Reading<'_>, entity: &str) -> Result<Vec<(Key, String)>> {
    match r.get::<bool>(&keys::grouped(entity))? {
        Some(_) => r.first(&keys::groups_of(entity), limits::GROUP_WALK),
        None => Ok(Vec::new()),
    }
}

impl Identities {
    /// The entity of a token with its groups; one that was merged into another is that other.
    ///
    /// # Errors
    /// As [`Identities::entity`].
    pub fn standing(&self, id: &str) -> Result<Option<Standing>> {
        if id.is_empty() {
            return Ok(None);
        }
        self.view().read(|r| {
            let entity = match r.get::<Entity>(&keys::entity(id))? {
                Some(entity) => entity,
                None => match r.get::<String>(&keys::merged(id))? {
                    Some(into) => match r.get::<Entity>(&keys::entity(&into))? {
                        Some(entity) => entity,
                        None => return Ok(None),
                    },
                    None => return Ok(None),
                },
            };
            let mut direct = Vec::new();
            for (key, by) in memberships(r, &entity.id)? {
                // A group that is gone, or is no longer called so by the method, has left the row behind.
                direct.extend(r.get::<Group>(&keys::group(key.as_str()))?.filter(|g| g.mark() == by));
            }
            Ok(Some(self.with_groups(r, entity, direct)?))
        })
    }

    /// An entity with these groups and those above them.
    pub(super) fn with_groups(&self, r: &Reading<'_>, entity: Entity, direct: Vec<Group>) -> Result<Standing> {
        let mut seen: BTreeSet<String> = direct.iter().map(|g| g.id.clone()).collect();
        let mut ahead: Vec<String> = direct.iter().flat_map(|g| g.parents.iter().cloned()).collect();
        let mut above: BTreeMap<String, Group> = BTreeMap::new();
        while let Some(id) = ahead.pop() {
            if seen.len() >= limits::GROUP_WALK || !seen.insert(id.clone()) {
                continue;
            }
            if let Some(group) = r.get::<Group>(&keys::group(&id))? {
                ahead.extend(group.parents.iter().cloned());
                above.insert(id, group);
            }
        }
        Ok(Standing { entity, direct, inherited: above.into_values().collect() })
    }
}

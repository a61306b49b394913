//! Merging entities: the aliases, memberships and tokens of some become those of one. Policies are not handed on.

use super::standing::memberships;
use super::{Alias, Entity, Group, Identities, keys};
use crate::barrier::Txn;
use crate::base::{Error, Result, Timestamp, limits};

impl Identities {
    /// Merges entities into one. Where both have an alias of one mount, `keep` names the ids of those that stay.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an entity that does not exist, one merged into itself, aliases that exclude each other.
    pub fn merge(&self, from: &[String], to: &str, keep: &[String], force: bool, now: Timestamp) -> Result<Txn> {
        if from.is_empty() || to.is_empty() {
            return Err(Error::invalid("missing entity ids: 'from_entity_ids' and 'to_entity_id'"));
        }
        if from.len() > limits::ENTITIES_AT_ONCE {
            return Err(Error::invalid(format!("at most {} entities at once", limits::ENTITIES_AT_ONCE)));
        }
        if from.iter().any(|id| id == to) {
            return Err(Error::invalid("an entity cannot be merged into itself"));
        }
        let mut txn = self.view().txn();
        let mut into = read(&mut txn, to)?.ok_or_else(|| Error::invalid("'to_entity_id' names no entity"))?;
        let mut seen = std::collections::BTreeSet::new();
        for id in from.iter().filter(|id| seen.insert(id.as_str())) {
            let other = read(&mut txn, id)?.ok_or_else(|| Error::invalid("'from_entity_ids' names no entity"))?;
            self.take_in(&mut txn, &mut into, other, keep, force, now)?;
        }
        into.updated = now;
        txn.put(&keys::entity(&into.id), &into)?;
        Ok(txn)
    }

    fn take_in(
        &self,
        txn: &mut Txn,
        into: &mut Entity,
        mut other: Entity,
        keep: &[String],
        force: bool,
        now: Timestamp,
    ) -> Result<()> {
        let groups = self.view().read(|r| memberships(r, &other.id))?;
        let aliases = std::mem::take(&mut other.aliases);
        let merged = std::mem::take(&mut other.merged);
        self.remove_entity(txn, &other)?;
        for alias in aliases {
            self.move_alias(txn, into, Alias { updated: now, ..alias }, &other.id, keep, force)?;
        }
        for (key, by) in groups {
            // What an auth method said of the other's login holds for that login still.
            let holds = |group: &Group| {
                let moved = |accessor: &str| {
                    into.aliases.iter().any(|a| a.mount_accessor == accessor && a.merged_from.last() == Some(&other.id))
                };
                group.mark() == by
                    && group.alias.as_ref().is_none_or(|alias| !group.external || moved(&alias.mount_accessor))
            };
            if txn.get::<Group>(&keys::group(key.as_str()))?.is_some_and(|group| holds(&group)) {
                txn.overwrite(&keys::members(key.as_str()).join(&into.id), &by)?;
                txn.overwrite(&keys::grouped(&into.id), &true)?;
                txn.overwrite(&keys::groups_of(&into.id).join(key.as_str()), &by)?;
            }
        }
        for id in merged.into_iter().chain([other.id]) {
            txn.overwrite(&keys::merged(&id), &into.id)?;
            into.merged.push(id);
        }
        if into.merged.len() > limits::ENTITIES_MERGED {
            return Err(Error::invalid(format!("an entity takes in at most {} others", limits::ENTITIES_MERGED)));
        }
        Ok(())
    }

    fn move_alias(
        &self,
        txn: &mut Txn,
        into: &mut Entity,
        mut alias: Alias,
        from: &str,
        keep: &[String],
        force: bool,
    ) -> Result<()> {
        let rival = into.aliases.iter().position(|a| a.mount_accessor == alias.mount_accessor);
        if let Some(at) = rival {
            let present = &into.aliases[at];
            let stays = match (keep.contains(&present.id), keep.contains(&alias.id)) {
                (true, false) => true,
                (false, true) => false,
                _ if force => true,
                _ => {
                    return Err(Error::invalid(
                        "the entities have aliases of the same mount: 'conflicting_alias_ids_to_keep' says which stays",
                    ));
                }
            };
            let goes = if stays { alias.clone() } else { into.aliases.remove(at) };
            txn.delete(&keys::alias(&goes.id));
            txn.delete(&keys::alias_name(&goes.mount_accessor, &goes.name));
            if stays {
                return Ok(());
            }
        }
        alias.merged_from.push(from.to_owned());
        self.add_alias(txn, into, alias)
    }
}

fn read(txn: &mut Txn, id: &str) -> Result<Option<Entity>> {
    if super::is_id(id) { txn.get(&keys::entity(id)) } else { Ok(None) }
}

//! Groups: of entities and of groups (internal), or of whom an auth method counts among them (external).
//!
//! Who is a member stands in rows of its own, one for each: a login never rewrites a group. The membership of an external
//! group says by which alias it was found, and counts only while the group still has that alias.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::entity::{Alias, checked_name, rename, take_name};
use super::{Identities, keys};
use crate::barrier::Txn;
use crate::base::{Error, Result, Rng, Timestamp, ids, limits};

/// Several entities with something in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Its name, unique without regard to case.
    pub name: String,
    /// Whether an auth method says who is a member.
    pub external: bool,
    /// Policies of all members.
    pub policies: Vec<String>,
    /// Words for people and templated policies.
    pub metadata: BTreeMap<String, String>,
    /// The groups that are members.
    pub groups: BTreeSet<String>,
    /// The groups that it is a member of.
    pub parents: BTreeSet<String>,
    /// What the auth method calls it.
    pub alias: Option<Alias>,
    /// How often it was changed.
    pub index: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

impl Group {
    /// What a membership of it says: nothing for an internal group, else by which alias. One that was made anew is another,
    /// also under the old name.
    pub fn mark(&self) -> String {
        match (&self.alias, self.external) {
            (Some(alias), true) => format!("{} {} {}", alias.id, alias.mount_accessor, alias.name.to_lowercase()),
            (None, true) => "none".to_owned(),
            (_, false) => String::new(),
        }
    }
}

impl Identities {
    /// A group by its id.
    ///
    /// # Errors
    /// As [`Identities::entity`].
    pub fn group(&self, id: &str) -> Result<Option<Group>> {
        if super::is_id(id) { self.view().get(&keys::group(id)) } else { Ok(None) }
    }

    /// A new group; of a name that nobody gave, one is made.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is taken or unfit.
    pub fn new_group(&self, txn: &mut Txn, name: Option<&str>, now: Timestamp, rng: &dyn Rng) -> Result<Group> {
        let id = ids::uuid(rng);
        let name = match name {
            Some(name) => checked_name(name)?.to_owned(),
            None => format!("group_{}", ids::letters(rng, 8).reveal().to_lowercase()),
        };
        take_name(txn, &keys::group_name(&name), &id, &name, "group")?;
        Ok(Group { id, name, created: now, updated: now, ..Group::default() })
    }

    /// Gives a group another name.
    ///
    /// # Errors
    /// As [`Identities::new_group`].
    pub fn rename_group(&self, txn: &mut Txn, group: &mut Group, name: &str) -> Result<()> {
        let (from, to) = (keys::group_name(&group.name), keys::group_name(checked_name(name)?));
        rename(txn, &from, &to, &group.id, name, "group")?;
        name.clone_into(&mut group.name);
        Ok(())
    }

    /// The entities that are members of a group.
    ///
    /// # Errors
    /// As [`Identities::entity`].
    pub fn members(&self, group: &Group) -> Result<Vec<String>> {
        let mark = group.mark();
        self.view().read(|r| {
            let rows = r.first::<String>(&keys::members(&group.id), limits::GROUP_LISTED)?;
            let mut ids: Vec<String> =
                rows.into_iter().filter(|(_, by)| *by == mark).map(|(key, _)| key.as_str().to_owned()).collect();
            ids.sort_unstable();
            Ok(ids)
        })
    }

    /// Makes these entities, and no others, members of an internal group.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an entity that does not exist, or too many.
    pub fn set_members(&self, txn: &mut Txn, group: &Group, wanted: Vec<String>) -> Result<()> {
        if wanted.len() > limits::GROUP_MEMBERS {
            return Err(Error::invalid(format!("one write names at most {} members", limits::GROUP_MEMBERS)));
        }
        let wanted: BTreeSet<String> = wanted.into_iter().collect();
        let present: BTreeSet<String> = self.view().list(&keys::members(&group.id))?.into_iter().collect();
        for id in &wanted {
            if self.entity(id)?.is_none() {
                return Err(Error::invalid("'member_entity_ids' names an entity that does not exist"));
            }
            txn.expect_present(&keys::entity(id));
            if !present.contains(id) {
                self.join(txn, id, group)?;
            }
        }
        for id in present.difference(&wanted) {
            self.leave(txn, id, &group.id);
        }
        Ok(())
    }

    /// Makes these groups, and no others, members of an internal group. Both ends of each edge are written, and all that was
    /// walked was read: writers who together would close a circle meet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a group that does not exist, a circle, or too many.
    pub fn set_groups(&self, txn: &mut Txn, group: &mut Group, wanted: Vec<String>, now: Timestamp) -> Result<()> {
        let wanted: BTreeSet<String> = wanted.into_iter().collect();
        if wanted.len() > limits::GROUP_GROUPS {
            return Err(Error::invalid(format!("a group has at most {} groups as members", limits::GROUP_GROUPS)));
        }
        let mut seen = BTreeSet::new();
        let mut ahead: Vec<String> = wanted.iter().cloned().collect();
        while let Some(id) = ahead.pop() {
            if id == group.id {
                return Err(Error::invalid("the groups would be members of each other in a circle"));
            }
            if !seen.insert(id.clone()) {
                continue;
            }
            if seen.len() > limits::GROUP_WALK {
                return Err(Error::invalid(format!("more than {} groups lie below this one", limits::GROUP_WALK)));
            }
            let below = if super::is_id(&id) { txn.get::<Group>(&keys::group(&id))? } else { None };
            let below = below.ok_or_else(|| Error::invalid("'member_group_ids' names a group that does not exist"))?;
            ahead.extend(below.groups);
        }
        for (id, joins) in wanted
            .difference(&group.groups)
            .map(|id| (id, true))
            .chain(group.groups.difference(&wanted).map(|id| (id, false)))
        {
            if let Some(mut below) = txn.get::<Group>(&keys::group(id))? {
                if joins {
                    below.parents.insert(group.id.clone());
                } else {
                    below.parents.remove(&group.id);
                }
                below.updated = now;
                txn.put(&keys::group(id), &below)?;
            }
        }
        group.groups = wanted;
        Ok(())
    }

    /// Removes a group. The rows of its members stay behind, and count for nothing without it: see
    /// [`Identities::forget_members`].
    ///
    /// # Errors
    /// Those of storage.
    pub fn remove_group(&self, txn: &mut Txn, group: &Group) -> Result<()> {
        txn.get::<Group>(&keys::group(&group.id))?;
        txn.delete(&keys::group(&group.id));
        txn.delete(&keys::group_name(&group.name));
        if let Some(alias) = &group.alias {
            txn.delete(&keys::group_alias(&alias.id));
            txn.delete(&keys::group_alias_name(&alias.mount_accessor, &alias.name));
        }
        for (ids, up) in [(&group.groups, true), (&group.parents, false)] {
            for id in ids {
                if let Some(mut other) = txn.get::<Group>(&keys::group(id))? {
                    if up {
                        other.parents.remove(&group.id);
                    } else {
                        other.groups.remove(&group.id);
                    }
                    txn.put(&keys::group(id), &other)?;
                }
            }
        }
        Ok(())
    }

    /// A step of removing the rows of members that a group has left behind; `None` when there are none.
    ///
    /// # Errors
    /// Those of storage.
    pub fn forget_members(&self, group: &str) -> Result<Option<Txn>> {
        let rows = self.view().read(|r| r.first_keys(&keys::members(group), limits::BATCH_KEYS / 2))?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut txn = self.view().txn();
        for row in rows {
            self.leave(&mut txn, row.as_str(), group);
        }
        Ok(Some(txn))
    }

    pub(super) fn join(&self, txn: &mut Txn, entity: &str, group: &Group) -> Result<()> {
        let mark = group.mark();
        txn.overwrite(&keys::members(&group.id).join(entity), &mark)?;
        txn.overwrite(&keys::grouped(entity), &true)?;
        txn.overwrite(&keys::groups_of(entity).join(&group.id), &mark)
    }

    pub(super) fn leave(&self, txn: &mut Txn, entity: &str, group: &str) {
        txn.delete(&keys::members(group).join(entity));
        txn.delete(&keys::groups_of(entity).join(group));
    }
}

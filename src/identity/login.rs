//! What a login does to identity: an entity made at the first, metadata kept, membership of external groups made anew at each.

use std::collections::BTreeMap;

use super::standing::memberships;
use super::{Alias, Entity, Group, Identities, Standing, keys};
use crate::barrier::Txn;
use crate::base::{Error, Result, Rng, Timestamp, ids, limits};
use crate::engine::Alias as LoginAlias;

/// The auth mount of a login.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Its accessor.
    pub accessor: &'a str,
    /// Its type.
    pub kind: &'a str,
}

impl Identities {
    /// The entity of a login with its groups, made or brought up to date by a transaction where that is needed. An
    /// unchanged one needs none: a login then writes nothing here.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more groups than are looked at; as [`Identities::entity`].
    pub fn of_login(
        &self,
        at: At<'_>,
        login: &LoginAlias,
        groups: &[String],
        now: Timestamp,
        rng: &dyn Rng,
    ) -> Result<(Standing, Option<Txn>)> {
        let mut txn = self.view().txn();
        let known: Option<String> = txn.get(&keys::alias_name(at.accessor, &login.name))?;
        let found = match known {
            Some(id) => txn.get::<Entity>(&keys::entity(&id))?,
            None => None,
        };
        let entity = match found {
            Some(mut entity) => {
                let alias = entity.aliases.iter_mut().find(|a| a.is(at.accessor, &login.name));
                if let Some(alias) = alias.filter(|a| a.metadata != login.metadata) {
                    alias.metadata.clone_from(&login.metadata);
                    alias.updated = now;
                    txn.put(&keys::entity(&entity.id), &entity)?;
                }
                entity
            }
            None => {
                let mut entity = self.new_entity(&mut txn, None, now, rng)?;
                let alias = Alias {
                    id: ids::uuid(rng),
                    name: login.name.clone(),
                    mount_accessor: at.accessor.to_owned(),
                    mount_type: at.kind.to_owned(),
                    metadata: login.metadata.clone(),
                    created: now,
                    updated: now,
                    ..Alias::default()
                };
                self.add_alias(&mut txn, &mut entity, alias)?;
                txn.create(&keys::entity(&entity.id), &entity)?;
                entity
            }
        };
        let standing = self.recount(&mut txn, entity, at.accessor, groups)?;
        Ok((standing, (!txn.is_empty()).then_some(txn)))
    }

    /// Makes the entity a member of exactly those external groups of a mount that its method names, at a renewal.
    ///
    /// # Errors
    /// As [`Identities::of_login`].
    pub fn regroup(&self, entity: &str, accessor: &str, groups: &[String]) -> Result<Option<Txn>> {
        let Some(standing) = self.standing(entity)? else { return Ok(None) };
        let mut txn = self.view().txn();
        self.recount(&mut txn, standing.entity, accessor, groups)?;
        Ok((!txn.is_empty()).then_some(txn))
    }

    fn recount(&self, txn: &mut Txn, entity: Entity, accessor: &str, groups: &[String]) -> Result<Standing> {
        if groups.len() > limits::LOGIN_GROUPS {
            return Err(Error::invalid(format!("a login names at most {} groups", limits::LOGIN_GROUPS)));
        }
        self.view().read(|r| {
            let mut wanted: BTreeMap<String, Group> = BTreeMap::new();
            for name in groups {
                if let Some(id) = r.get::<String>(&keys::group_alias_name(accessor, name))?
                    && let Some(group) = r.get::<Group>(&keys::group(&id))?.filter(|g| g.external)
                {
                    wanted.insert(id, group);
                }
            }
            let mut direct = Vec::new();
            for (key, by) in memberships(r, &entity.id)? {
                let group = r.get::<Group>(&keys::group(key.as_str()))?;
                let Some(group) = group.filter(|g| g.mark() == by) else { continue };
                let ours = group.external && group.alias.as_ref().is_some_and(|a| a.mount_accessor == accessor);
                if !ours {
                    direct.push(group);
                } else if let Some(group) = wanted.remove(&group.id) {
                    direct.push(group);
                } else {
                    self.leave(txn, &entity.id, &group.id);
                }
            }
            for group in std::mem::take(&mut wanted).into_values() {
                txn.expect_present(&keys::group(&group.id));
                self.join(txn, &entity.id, &group)?;
                direct.push(group);
            }
            self.with_groups(r, entity.clone(), direct)
        })
    }
}

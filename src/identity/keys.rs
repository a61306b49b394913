//! Where everything lies below the store's view, and which of it concerns whose sessions.
//!
//! Names can hold what a key cannot, and their case does not count: in keys they are folded and in hex.

use crate::base::Key;

/// What a change of a key means for the sessions of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern<'a> {
    /// Those of this entity look again.
    Entity(&'a str),
    /// Those of all entities do: a group was changed.
    Everyone,
}

/// Whom a key, from the top of the store, concerns.
pub fn concern(key: &Key) -> Option<Concern<'_>> {
    if let Some(id) = key.below(&Key::new("identity/entity/id")) {
        return Some(Concern::Entity(id));
    }
    if let Some(rest) = key.below(&Key::new("identity/of")) {
        return Some(Concern::Entity(rest.split('/').next().unwrap_or(rest)));
    }
    key.below(&Key::new("identity/group/id")).map(|_| Concern::Everyone)
}

/// An entity.
pub fn entity(id: &str) -> Key {
    Key::new("entity/id").join(id)
}

/// The row by which an entity's name is taken.
pub fn entity_name(name: &str) -> Key {
    Key::new("entity/name").join(&folded(name))
}

/// The id of an alias's entity, by the alias's id.
pub fn alias(id: &str) -> Key {
    Key::new("alias/id").join(id)
}

/// The same by the login.
pub fn alias_name(mount_accessor: &str, name: &str) -> Key {
    Key::new("alias/name").join(mount_accessor).join(&folded(name))
}

/// The id of the entity that this one was merged into.
pub fn merged(id: &str) -> Key {
    Key::new("merged").join(id)
}

/// A group.
pub fn group(id: &str) -> Key {
    Key::new("group/id").join(id)
}

/// The row by which a group's name is taken.
pub fn group_name(name: &str) -> Key {
    Key::new("group/name").join(&folded(name))
}

/// The id of a group by its alias's id.
pub fn group_alias(id: &str) -> Key {
    Key::new("group-alias/id").join(id)
}

/// The same by what the auth method calls it.
pub fn group_alias_name(mount_accessor: &str, name: &str) -> Key {
    Key::new("group-alias/name").join(mount_accessor).join(&folded(name))
}

/// The members of a group.
pub fn members(group: &str) -> Key {
    Key::new("member").join(group)
}

/// The groups that an entity is a direct member of.
pub fn groups_of(entity: &str) -> Key {
    Key::new("of").join(entity)
}

/// That an entity is, or once was, a member of a group: without this row nobody need look for the groups.
pub fn grouped(entity: &str) -> Key {
    Key::new("grouped").join(entity)
}

fn folded(name: &str) -> String {
    hex::encode(name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_concerns() {
        for (key, concern_) in [
            ("identity/entity/id/e1", Some(Concern::Entity("e1"))),
            ("identity/of/e1/g1", Some(Concern::Entity("e1"))),
            ("identity/group/id/g1", Some(Concern::Everyone)),
            ("identity/member/g1/e1", None),
            ("identity/entity/name/e1", None),
            ("token/id/e1", None),
        ] {
            assert_eq!(concern(&Key::new(key)), concern_, "{key}");
        }
    }

    #[test]
    fn case_is_no_difference() {
        assert_eq!(entity_name("Ärger"), entity_name("äRGER"));
        assert_ne!(entity_name("a"), entity_name("b"));
        assert_eq!(alias_name("acc", "A/B"), alias_name("acc", "a/b"));
    }
}

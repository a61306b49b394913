//! Entities, aliases and groups: who is behind a token, and what follows from that.
//!
//!     identity/entity/id/<id>                            the entity, with its aliases
//!     identity/entity/name/<name>                        its id and name
//!     identity/alias/id/<id>                             the id of its entity
//!     identity/alias/name/<mount accessor>/<name>        the id of its entity
//!     identity/merged/<id>                               the id of the entity that took this one in
//!     identity/group/id/<id>                             the group, with its alias, its groups and its parents
//!     identity/group/name/<name>                         its id and name
//!     identity/group-alias/id/<id>                       the id of its group
//!     identity/group-alias/name/<mount accessor>/<name>  the id of its group
//!     identity/member/<group>/<entity>                   who is a member, and by which alias
//!     identity/of/<entity>/<group>                       the same the other way round
//!
//! An entity is made at the first login of an alias; its id is in every token from then on. What follows from it is worked
//! out when a token is used, never when it is made.

mod entity;
mod group;
pub mod keys;
mod login;
mod merge;
pub mod mfa;
mod standing;

use std::sync::Arc;

use arc_swap::ArcSwapOption;

pub use entity::{Alias, Entity, Named, checked_metadata, checked_name};
pub use group::Group;
pub use login::At;
pub use standing::Standing;

use crate::barrier::{Barrier, View};
use crate::base::{Result, limits};

/// The store.
pub struct Identities {
    view: View,
    /// What logins ask again and again, while the row that changes with it stands.
    rules: ArcSwapOption<mfa::Rules>,
}

impl Identities {
    /// Opens the store; reads nothing.
    pub fn open(barrier: &Arc<Barrier>) -> Self {
        Self { view: barrier.view().sub("identity"), rules: ArcSwapOption::empty() }
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
        if is_id(id) { self.view.get(&keys::entity(id)) } else { Ok(None) }
    }
}

/// Whether a text that came from outside can be an id at all: one segment of a key.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= limits::NAME_BYTES && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

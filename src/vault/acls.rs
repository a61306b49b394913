//! Compiled policies that many sessions share: tokens of one role have the same policies and often the same entity.
//!
//! What is compiled depends on the names, on the state of the policies and on the entity with its state, and on nothing
//! else: whoever finds all of them equal may take it. So nothing here is ever old, and anything may be dropped.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::base::{Result, limits};
use crate::policy::Acl;

/// What an [`Acl`] was compiled from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The policies, sorted.
    pub names: Vec<String>,
    /// The state of all policies, taken before they were read.
    pub policy_epoch: u64,
    /// The entity; may be empty.
    pub entity_id: String,
    /// Its state, taken before it was read.
    pub identity_epoch: u64,
}

struct Compiled {
    source: Source,
    acl: Arc<Acl>,
}

/// The places.
pub struct Acls {
    places: Box<[ArcSwapOption<Compiled>]>,
}

impl Default for Acls {
    fn default() -> Self {
        Self { places: (0..limits::SHARED_ACLS).map(|_| ArcSwapOption::empty()).collect() }
    }
}

impl Acls {
    /// What was compiled from this source before, or what `compile` makes of it now.
    ///
    /// # Errors
    /// What `compile` answers.
    pub fn of(&self, source: Source, compile: impl FnOnce() -> Result<Acl>) -> Result<Arc<Acl>> {
        let place = self.place(&source);
        if let Some(known) = place.load().as_ref().filter(|known| known.source == source) {
            return Ok(known.acl.clone());
        }
        let acl = Arc::new(compile()?);
        place.store(Some(Arc::new(Compiled { source, acl: acl.clone() })));
        Ok(acl)
    }

    fn place(&self, source: &Source) -> &ArcSwapOption<Compiled> {
        let names = source.names.iter().map(String::as_str).chain([source.entity_id.as_str()]);
        let hash = names
            .flat_map(|name| name.bytes().chain([0]))
            .fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        &self.places[hash % self.places.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(names: &[&str], policy_epoch: u64, entity_id: &str, identity_epoch: u64) -> Source {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Source { names, policy_epoch, entity_id: entity_id.into(), identity_epoch }
    }

    fn is_compiled(acls: &Acls, source: &Source) -> bool {
        let mut compiled = false;
        let acl = acls.of(source.clone(), || {
            compiled = true;
            Ok(Acl::default())
        });
        acl.unwrap();
        compiled
    }

    #[test]
    fn it_is_compiled_once_for_each_state_of_what_it_comes_from() {
        let acls = Acls::default();
        let first = source(&["a", "b"], 1, "e", 1);
        assert!(is_compiled(&acls, &first));
        assert!(!is_compiled(&acls, &first));
        for other in [
            source(&["a"], 1, "e", 1),
            source(&["ab"], 1, "e", 1),
            source(&["a", "b"], 2, "e", 1),
            source(&["a", "b"], 1, "f", 1),
            source(&["a", "b"], 1, "e", 2),
        ] {
            assert!(is_compiled(&acls, &other), "{other:?}");
        }
    }

    #[test]
    fn what_fails_is_not_kept() {
        let acls = Acls::default();
        let source = source(&["a"], 1, "", 0);
        assert!(acls.of(source.clone(), || Err(crate::base::Error::Sealed)).is_err());
        assert!(is_compiled(&acls, &source));
    }

    #[test]
    fn it_has_an_end() {
        let acls = Acls::default();
        for n in 0..limits::SHARED_ACLS * 3 {
            assert!(is_compiled(&acls, &source(&["a"], 1, &format!("e{n}"), 0)));
        }
        assert_eq!(acls.places.len(), limits::SHARED_ACLS);
    }
}

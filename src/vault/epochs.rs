//! How often entities and groups have changed: what was compiled under another number is compiled again.
//!
//! Entities share a fixed number of counters. A stranger's change then costs a compilation now and then, and nothing else.

use std::sync::atomic::{AtomicU64, Ordering};

const COUNTERS: usize = 4096;

/// The counters.
pub struct Epochs {
    entities: Box<[AtomicU64]>,
    groups: AtomicU64,
}

impl Default for Epochs {
    fn default() -> Self {
        Self { entities: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(), groups: AtomicU64::new(0) }
    }
}

impl Epochs {
    /// The number of an entity, its groups counted; that of the empty id never changes. Both parts only grow, so their sum
    /// stays the same only if both do.
    pub fn of(&self, entity: &str) -> u64 {
        if entity.is_empty() {
            return 0;
        }
        self.counter(entity).load(Ordering::SeqCst).wrapping_add(self.groups.load(Ordering::SeqCst))
    }

    /// Counts a change of a group: it may be anybody's.
    pub fn advance_groups(&self) {
        self.groups.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts a change of an entity.
    pub fn advance(&self, entity: &str) {
        self.counter(entity).fetch_add(1, Ordering::SeqCst);
    }

    fn counter(&self, entity: &str) -> &AtomicU64 {
        let hash = entity.bytes().fold(0usize, |h, b| h.wrapping_mul(31).wrapping_add(usize::from(b)));
        &self.entities[hash % COUNTERS]
    }
}

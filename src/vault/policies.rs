//! The policies in force, parsed once; what a change touches is forgotten and read again when needed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::barrier::View;
use crate::base::Result;
use crate::policy::Policy;
use crate::system::policies as rows;

type Known = HashMap<String, Option<Arc<Policy>>>;

/// The cache.
pub struct Policies {
    view: View,
    known: ArcSwap<Known>,
    epoch: AtomicU64,
}

impl Policies {
    /// An empty cache over the whole store.
    pub fn new(view: View) -> Self {
        Self { view, known: ArcSwap::default(), epoch: AtomicU64::new(0) }
    }

    /// Grows with every change: what was compiled under an older number is compiled again.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// A policy by name. With `through`, from storage whatever the cache says.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, name: &str, through: bool) -> Result<Option<Arc<Policy>>> {
        let seen = self.known.load();
        if !through && let Some(policy) = seen.get(name) {
            return Ok(policy.clone());
        }
        let policy = rows::load(&self.view, name)?.map(Arc::new);
        if !through {
            let mut next = Known::clone(&seen);
            next.insert(name.to_owned(), policy.clone());
            // Not kept if anything changed meanwhile: what was read may be the old text.
            self.known.compare_and_swap(&seen, Arc::new(next));
        }
        Ok(policy)
    }

    /// Forgets all: policies change seldom.
    pub fn forget(&self) {
        self.known.store(Arc::default());
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }
}

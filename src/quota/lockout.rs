//! Failed logins in a row, and the names that they lock out for a while.
//!
//!     core/lockout/<mount accessor>/<place>      who failed last there, how often, and when
//!
//! A name is counted whether anybody has it or not: else the lock itself would tell. So that strangers who invent names do not fill
//! the store, a mount has a fixed number of places, and a name's place is a keyed digest of it. Two names that share one are
//! told apart by the row; the later takes the place over, unless the other is locked.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::barrier::{Barrier, Txn, View};
use crate::base::{Key, Result, Timestamp, limits, time};
use crate::crypto::mac::HmacKey;
use crate::engine::UserLockout;

/// What is counted at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Failures {
    name: String,
    count: u64,
    last: Timestamp,
}

impl Failures {
    fn locks(&self, rule: &UserLockout, now: Timestamp) -> bool {
        !rule.disabled && self.count >= rule.threshold && now < time::after(self.last, rule.duration)
    }
}

/// The store.
pub struct Lockouts {
    view: View,
    places: HmacKey,
}

impl Lockouts {
    /// Opens the store; reads nothing.
    ///
    /// # Errors
    /// [`crate::base::Error::Sealed`].
    pub fn open(barrier: &Arc<Barrier>) -> Result<Self> {
        let places = HmacKey::new(barrier.derive("lockout place")?.reveal());
        Ok(Self { view: barrier.view().sub("core/lockout"), places })
    }

    fn key(&self, accessor: &str, name: &str) -> Key {
        let digest = self.places.sign(&[accessor.as_bytes(), b"\0", name.as_bytes()]);
        let place = u16::from_be_bytes([digest[0], digest[1]]) % limits::LOCKOUT_PLACES;
        Key::new(accessor).join(&format!("{place:04x}"))
    }

    fn failures(&self, accessor: &str, name: &str) -> Result<Option<Failures>> {
        let found: Option<Failures> = self.view.get(&self.key(accessor, name))?;
        Ok(found.filter(|f| f.name == name))
    }

    /// Whether this name may not even try.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn locked(&self, accessor: &str, name: &str, rule: &UserLockout, now: Timestamp) -> Result<bool> {
        Ok(!rule.disabled && self.failures(accessor, name)?.is_some_and(|f| f.locks(rule, now)))
    }

    /// Counts a failure, exactly.
    pub fn failed(&self, accessor: &str, name: &str, rule: &UserLockout, now: Timestamp) -> Txn {
        let mut txn = self.view.txn();
        let (name, rule) = (name.to_owned(), rule.clone());
        txn.update(&[self.key(accessor, &name)], move |rows| {
            let count = match rows.get::<Failures>(0)? {
                Some(present) if present.locks(&rule, now) => return Ok(()),
                // A row that is old, or a lock that has ended, begins anew.
                Some(f)
                    if f.name == name && f.count < rule.threshold && now < time::after(f.last, rule.counter_reset) =>
                {
                    f.count + 1
                }
                _ => 1,
            };
            rows.put(0, &Failures { name: name.clone(), count, last: now })
        });
        txn
    }

    /// Forgets the failures of a name: it has logged in, or somebody unlocks it. `None` where there are none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn forget(&self, accessor: &str, name: &str) -> Result<Option<Txn>> {
        if self.failures(accessor, name)?.is_none() {
            return Ok(None);
        }
        let mut txn = self.view.txn();
        txn.delete(&self.key(accessor, name));
        Ok(Some(txn))
    }

    /// Forgets all of a mount that goes away.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn forget_mount(&self, accessor: &str) -> Result<Txn> {
        let mut txn = self.view.txn();
        for place in self.view.list(&Key::new(accessor))? {
            txn.delete(&Key::new(accessor).join(&place));
        }
        Ok(txn)
    }

    /// The names that are locked out of a mount, sorted.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn names(&self, accessor: &str, rule: &UserLockout, now: Timestamp) -> Result<Vec<String>> {
        let rows = self.view.read(|r| r.first::<Failures>(&Key::new(accessor), usize::from(limits::LOCKOUT_PLACES)))?;
        let mut names: Vec<String> =
            rows.into_iter().filter(|(_, f)| f.locks(rule, now)).map(|(_, f)| f.name).collect();
        names.sort_unstable();
        Ok(names)
    }
}

//! The lease store: what is to be taken back, and when.
//!
//!     lease/id/<path>/<random>       the lease
//!     lease/expiry/<time>/<random>   its id, in the order of time
//!     lease/token/<token>/<random>   its id, for those who die with their token
//!     lease/stuck/<random>           what could not be revoked, and why; it has no row in expiry any more

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::barrier::{Barrier, Txn, View};
use crate::base::{BoxFuture, Json, Key, Result, Rng, Timestamp, Ttl, ids, limits, time};

/// Letters of a reason that are kept.
const REASON_LETTERS: usize = 256;
/// Letters that end a lease's id.
const ID_LETTERS: usize = 24;

/// A promise with an end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// The path of the request, and random letters.
    pub id: String,
    /// The digest of the token that it dies with; empty if none.
    pub token_id: String,
    /// The mount that takes it back.
    pub mount_accessor: String,
    /// When it was given.
    pub issued: Timestamp,
    /// When it was renewed last.
    pub renewed: Option<Timestamp>,
    /// When it ends.
    pub expires: Timestamp,
    /// Its end against all renewals.
    pub expires_at_most: Timestamp,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// What the engine needs to renew or revoke it.
    pub internal: Json,
    /// How often revoking it failed. Once it did, the lease is at its end and is not renewed.
    pub failures: u32,
    /// When revoking is tried next, where that is not the end.
    pub due: Option<Timestamp>,
    /// Why it counts as irrevocable.
    pub stuck: Option<String>,
}

/// A lease that could not be revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// Its id.
    pub id: String,
    /// The mount that should have taken it back.
    pub mount_accessor: String,
    /// Why it did not.
    pub error: String,
}

/// Takes back what was leased. Implemented by the vault, which knows the mounts.
pub trait Revoke: Send + Sync {
    /// Undoes the lease at its engine and answers the engine's change.
    fn revoke<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Option<Txn>>>;
}

/// The store.
pub struct Leases {
    view: View,
}

impl Leases {
    /// Opens the store; reads nothing.
    pub fn open(barrier: &Arc<Barrier>) -> Self {
        Self { view: barrier.view().sub("lease") }
    }

    /// A new id below a path.
    pub fn new_id(path: &str, rng: &dyn Rng) -> String {
        format!("{}/{}", path.trim_end_matches('/'), ids::letters(rng, ID_LETTERS).reveal())
    }

    /// A lease by its id.
    ///
    /// # Errors
    /// [`crate::base::Error::Sealed`] and those of storage.
    pub fn get(&self, id: &str) -> Result<Option<Lease>> {
        let Ok(path) = crate::base::Path::parse(id) else { return Ok(None) };
        if path.as_str().is_empty() || path.as_str().ends_with('/') {
            return Ok(None);
        }
        self.view.get(&id_key(id))
    }

    /// Adds the rows of a new lease.
    ///
    /// # Errors
    /// When a row cannot be written down.
    pub fn create(&self, lease: &Lease) -> Result<Txn> {
        let mut txn = self.view.txn();
        txn.create(&id_key(&lease.id), lease)?;
        txn.overwrite(&expiry_key(lease), &lease.id)?;
        if !lease.token_id.is_empty() {
            txn.overwrite(&token_key(lease), &lease.id)?;
        }
        Ok(txn)
    }

    /// Removes all rows of a lease.
    pub fn remove(&self, lease: &Lease) -> Txn {
        let mut txn = self.view.txn();
        txn.delete(&id_key(&lease.id));
        txn.delete(&expiry_key(lease));
        if lease.stuck.is_some() {
            txn.delete(&stuck_key(lease));
        }
        if !lease.token_id.is_empty() {
            txn.delete(&token_key(lease));
        }
        txn
    }

    /// Gives a lease a new end, so long from now, and never after this one nor after the one it was issued with.
    ///
    /// # Errors
    /// [`crate::base::Error::Invalid`] if it is gone.
    pub fn renew(&self, id: &str, now: Timestamp, ttl: Ttl, at_most: Timestamp) -> Result<(Txn, Lease)> {
        let mut txn = self.view.txn();
        let mut lease: Lease = txn.get(&id_key(id))?.ok_or_else(|| crate::base::Error::invalid("lease not found"))?;
        if lease.failures > 0 {
            return Err(crate::base::Error::invalid("lease expired"));
        }
        txn.delete(&expiry_key(&lease));
        lease.expires = time::after(now, ttl).min(lease.expires_at_most).min(at_most);
        lease.renewed = Some(now);
        txn.put(&id_key(id), &lease)?;
        txn.overwrite(&expiry_key(&lease), &lease.id)?;
        Ok((txn, lease))
    }

    /// Notes that revoking a lease failed: it is tried again at `next`, or, after [`limits::REVOKE_TRIES`], left for people. What is
    /// stuck blocks nothing: it is in no queue.
    ///
    /// # Errors
    /// As [`Leases::get`].
    pub fn failed(&self, lease: &Lease, why: &str, next: Timestamp) -> Result<Txn> {
        let mut txn = self.view.txn();
        let Some(mut present) = txn.get::<Lease>(&id_key(&lease.id))? else { return Ok(txn) };
        txn.delete(&expiry_key(&present));
        present.failures = present.failures.saturating_add(1);
        if present.failures >= limits::REVOKE_TRIES {
            let error: String = why.chars().filter(|c| !c.is_control()).take(REASON_LETTERS).collect();
            let stuck =
                Stuck { id: present.id.clone(), mount_accessor: present.mount_accessor.clone(), error: error.clone() };
            present.stuck = Some(error);
            txn.overwrite(&stuck_key(&present), &stuck)?;
        } else {
            present.due = Some(next);
            txn.overwrite(&expiry_key(&present), &present.id)?;
        }
        txn.put(&id_key(&lease.id), &present)?;
        Ok(txn)
    }

    /// Leases that could not be revoked, at most `limit`.
    ///
    /// # Errors
    /// As [`Leases::get`].
    pub fn stuck(&self, limit: usize) -> Result<Vec<Stuck>> {
        let found = self.view.read(|r| r.first::<Stuck>(&Key::new("stuck"), limit))?;
        Ok(found.into_iter().map(|(_, stuck)| stuck).collect())
    }

    /// The store's part of the barrier, and the folders in it that are counted: all leases, those that wait for their end, and those
    /// that could not be revoked.
    pub fn folders(&self) -> (&View, [Key; 3]) {
        (&self.view, ["id", "expiry", "stuck"].map(Key::new))
    }

    /// Takes a lease from the token that it belongs to, so that the token can go before it.
    pub fn detach(&self, lease: &Lease) -> Txn {
        let mut txn = self.view.txn();
        txn.delete(&token_key(lease));
        txn
    }

    /// Leases whose time has come, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// As [`Leases::get`].
    pub fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Lease>> {
        let now = time::nanoseconds(now).max(0).unsigned_abs();
        self.view.read(|r| {
            let mut due = Vec::new();
            for (key, id) in r.first::<String>(&Key::new("expiry"), limit)? {
                if key.segments().next().and_then(|s| s.number()).is_none_or(|n| n > now) {
                    break;
                }
                due.extend(r.get::<Lease>(&id_key(&id))?);
            }
            Ok(due)
        })
    }

    /// Leases that die with a token, at most `limit`.
    ///
    /// # Errors
    /// As [`Leases::get`].
    pub fn of_token(&self, token_id: &str, limit: usize) -> Result<Vec<Lease>> {
        self.view.read(|r| {
            let mut leases = Vec::new();
            for (_, id) in r.first::<String>(&Key::new("token").join(token_id), limit)? {
                leases.extend(r.get::<Lease>(&id_key(&id))?);
            }
            Ok(leases)
        })
    }

    /// Leases below a path, at most `limit`.
    ///
    /// # Errors
    /// As [`Leases::get`].
    pub fn below(&self, prefix: &str, limit: usize) -> Result<Vec<Lease>> {
        let found = self.view.read(|r| r.first::<Lease>(&id_key(prefix), limit))?;
        Ok(found.into_iter().map(|(_, lease)| lease).collect())
    }

    /// The names below a path, folders with their slash.
    ///
    /// # Errors
    /// As [`Leases::get`].
    pub fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.view.list(&id_key(prefix))
    }
}

fn id_key(id: &str) -> Key {
    Key::new("id").join(id)
}

fn letters(lease: &Lease) -> &str {
    lease.id.rsplit('/').next().unwrap_or_default()
}

fn expiry_key(lease: &Lease) -> Key {
    Key::new("expiry").at(lease.due.unwrap_or(lease.expires)).join(letters(lease))
}

fn stuck_key(lease: &Lease) -> Key {
    Key::new("stuck").join(letters(lease))
}

fn token_key(lease: &Lease) -> Key {
    Key::new("token").join(&lease.token_id).join(letters(lease))
}

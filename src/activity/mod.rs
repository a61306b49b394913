//! The activity store: who used the server, month by month, as Vault counts its clients. A client is an entity, or, for
//! tokens without one, a set of policies.
//!
//!     core/activity/config            whether clients are counted, and how long they are kept
//!     core/activity/swept             the month in which those that are too old were removed last
//!     core/activity/client/<id>       what a client is, where it came from, the months in which it was here
//!
//! A request costs one comparison: whose session was noted in this month already is not looked at again. Who was not is kept
//! in memory, and written down by the background in one commit for many. What a crash loses of these seconds comes again with
//! the next request of the same client.

mod month;
mod report;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

pub use month::Month;
pub use report::{Counts, Report, Tally};

use crate::barrier::{Barrier, Cursor, Txn, View, Walked};
use crate::base::{Key, Result, Timestamp, is_default, limits};
use crate::crypto::HmacKey;

/// A client, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Client {
    /// Whether it is an entity.
    #[serde(skip_serializing_if = "is_default")]
    pub entity: bool,
    /// The accessor of the auth mount that it came from first.
    pub accessor: String,
    /// When it was here first.
    pub first: Timestamp,
    /// The months in which it was here, in order.
    pub months: Vec<Month>,
}

/// What is said about the counting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `default`, which is enabled, `enable` or `disable`.
    pub enabled: String,
    /// For how many months a client is kept after its last one.
    pub retention_months: u32,
    /// Months that a report reaches back where nothing is said.
    pub default_report_months: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: "default".into(), retention_months: 48, default_report_months: 12 }
    }
}

impl Config {
    /// Whether clients are counted.
    pub fn is_enabled(&self) -> bool {
        self.enabled != "disable"
    }
}

/// Who asks, as far as it counts.
pub enum Who<'a> {
    /// An entity by its id.
    Entity(&'a str),
    /// A token without an entity, by its policies.
    Policies(&'a [String]),
}

/// A client that is not written down yet.
struct Noted {
    entity: bool,
    accessor: String,
    at: Timestamp,
}

/// The store, and who was noted since it was written.
pub struct Activity {
    view: View,
    ids: HmacKey,
    noted: Mutex<HashMap<String, Noted>>,
    /// As far as this node knows; the background looks at what is stored.
    enabled: AtomicBool,
}

fn client_key(id: &str) -> Key {
    clients().join(id)
}

fn clients() -> Key {
    Key::new("client")
}

impl Activity {
    /// Opens the store; reads nothing.
    ///
    /// # Errors
    /// [`crate::base::Error::Sealed`].
    pub fn open(barrier: &Arc<Barrier>) -> Result<Self> {
        Ok(Self {
            view: barrier.view().sub("core/activity"),
            ids: HmacKey::new(barrier.derive("activity client")?.reveal()),
            noted: Mutex::default(),
            enabled: AtomicBool::new(true),
        })
    }

    /// Notes who asks, unless its mark says that it was noted in this month. `who` gives the client and the accessor of the
    /// mount that it came from, or none for what is not counted.
    pub fn note<'a>(&self, mark: &AtomicU32, now: Timestamp, who: impl FnOnce() -> Option<(Who<'a>, String)>) {
        let month = Month::of(now);
        if mark.load(Ordering::Relaxed) == month.0 || !self.enabled.load(Ordering::Relaxed) {
            return;
        }
        if let Some((who, accessor)) = who() {
            let (id, entity) = match who {
                Who::Entity(id) => (id.to_owned(), true),
                Who::Policies(names) => (self.id_of(names), false),
            };
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            // With no room it is not marked either, and comes again.
            if noted.len() >= limits::CLIENTS_NOTED && !noted.contains_key(&id) {
                return;
            }
            noted.entry(id).or_insert(Noted { entity, accessor, at: now });
        }
        mark.store(month.0, Ordering::Relaxed);
    }

    /// A name for all tokens with these policies, which are sorted, that tells nothing about them.
    fn id_of(&self, policies: &[String]) -> String {
        let mut parts: Vec<&[u8]> = Vec::with_capacity(policies.len() * 2);
        for name in policies {
            parts.extend([name.as_bytes(), b"\0"]);
        }
        URL_SAFE_NO_PAD.encode(&self.ids.sign(&parts)[..18])
    }

    /// The change that writes down some of those who were noted; none when there are none. They are noted no more: if it
    /// cannot be committed, [`Activity::again`] takes them back.
    ///
    /// # Errors
    /// When the store cannot be read; then they stay noted.
    pub fn write(&self) -> Result<Option<(Txn, Taken)>> {
        let enabled = self.config()?.is_enabled();
        self.enabled.store(enabled, Ordering::Relaxed);
        let taken = self.take();
        if taken.0.is_empty() || !enabled {
            return Ok(None);
        }
        match self.rows(&taken) {
            Ok(txn) => Ok(Some((txn, taken))),
            Err(error) => {
                self.again(taken);
                Err(error)
            }
        }
    }

    fn take(&self) -> Taken {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() <= limits::BATCH_KEYS {
            return Taken(std::mem::take(&mut *noted).into_iter().collect());
        }
        let ids: Vec<String> = noted.keys().take(limits::BATCH_KEYS).cloned().collect();
        Taken(ids.into_iter().filter_map(|id| noted.remove_entry(&id)).collect())
    }

    /// Notes again those who could not be written down.
    pub fn again(&self, taken: Taken) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, client) in taken.0 {
            noted.entry(id).or_insert(client);
        }
    }

    fn rows(&self, taken: &Taken) -> Result<Txn> {
        let mut txn = self.view.txn();
        for (id, noted) in &taken.0 {
            let month = Month::of(noted.at);
            let known: Option<Client> = txn.get(&client_key(id))?;
            let mut client = known.unwrap_or_else(|| Client {
                entity: noted.entity,
                accessor: noted.accessor.clone(),
                first: noted.at,
                months: Vec::new(),
            });
            if let Err(at) = client.months.binary_search(&month) {
                client.months.insert(at, month);
                txn.put(&client_key(id), &client)?;
            }
        }
        Ok(txn)
    }

    /// What is said about the counting.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn config(&self) -> Result<Config> {
        Ok(self.view.get(&Key::new("config"))?.unwrap_or_default())
    }

    /// Changes what is said about the counting.
    ///
    /// # Errors
    /// Those of `change`, and those of storage.
    pub fn set_config(&self, change: impl FnOnce(&mut Config) -> Result<()>) -> Result<Txn> {
        let mut txn = self.view.txn();
        let key = Key::new("config");
        let mut config: Config = txn.get(&key)?.unwrap_or_default();
        change(&mut config)?;
        txn.put(&key, &config)?;
        Ok(txn)
    }

    /// One step of a walk over all clients with their ids.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn step(&self, from: &Cursor) -> Result<Walked<Client>> {
        self.view.walk_step(&clients(), from)
    }

    /// Whether clients that are too old were not removed in this month yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_due(&self, now: Timestamp) -> Result<bool> {
        let swept: Option<Month> = self.view.get(&Key::new("swept"))?;
        Ok(swept.is_none_or(|swept| swept < Month::of(now)))
    }

    /// One step of removing clients whose last month is too long ago, and where the next begins. The last one notes the month.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn sweep_step(&self, now: Timestamp, from: &Cursor) -> Result<(Txn, Option<Cursor>)> {
        let oldest = Month::of(now).before(self.config()?.retention_months);
        let (page, next) = self.step(from)?;
        let mut txn = self.view.txn();
        for (key, client) in page {
            if client.months.last().is_none_or(|last| *last < oldest) {
                txn.delete(&clients().append(&key));
            }
        }
        if next.is_none() {
            txn.overwrite(&Key::new("swept"), &Month::of(now))?;
        }
        Ok((txn, next))
    }
}

/// Clients on their way into the store.
pub struct Taken(Vec<(String, Noted)>);

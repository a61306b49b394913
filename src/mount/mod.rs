//! Which engine answers at which path, as one immutable table that is swapped whole.

pub mod catalog;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use serde::{Deserialize, Serialize};

use crate::barrier::{Barrier, View};
use crate::base::{Key, Result};
use crate::engine::{AnyEngine, Mount};

/// Where the table lies in the store.
pub fn table_key() -> Key {
    Key::new("core/mounts")
}

/// The key that lives as long as a mount's data may be written.
pub fn guard_key(uuid: &str) -> Key {
    Key::new("core/guard").join(uuid)
}

/// A mount that is being taken down: its leases and data are still to be removed.
pub fn leaving_key(uuid: &str) -> Key {
    Key::new("core/leaving").join(uuid)
}

/// A mount's part of the store.
pub fn view_of(barrier: &Arc<Barrier>, uuid: &str) -> View {
    barrier.view().sub("data").sub(uuid).guarded(guard_key(uuid))
}

/// The table as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stored {
    /// All mounts, auth methods among them.
    pub mounts: Vec<Mount>,
}

/// A mount with its engine.
pub struct Entry {
    /// What is known of it.
    pub mount: Arc<Mount>,
    /// Who answers.
    pub engine: Arc<dyn AnyEngine>,
    /// Its part of the store.
    pub view: View,
}

/// The table.
#[derive(Default)]
pub struct Table {
    paths: BTreeMap<String, Arc<Entry>>,
    accessors: HashMap<String, Arc<Entry>>,
}

impl Table {
    /// The mount that a path belongs to. No mount lies within another, so there is one at most.
    pub fn find(&self, path: &str) -> Option<&Arc<Entry>> {
        for (at, _) in path.match_indices('/') {
            if let Some(entry) = self.paths.get(&path[..=at]) {
                return Some(entry);
            }
        }
        // `LIST secret` and `GET secret?list=true` are asked without the slash.
        if path.ends_with('/') { None } else { self.paths.get(&format!("{path}/")) }
    }

    /// The mount at exactly this path, which ends in a slash.
    pub fn at(&self, path: &str) -> Option<&Arc<Entry>> {
        self.paths.get(path)
    }

    /// The mount of this accessor.
    pub fn accessor(&self, accessor: &str) -> Option<&Arc<Entry>> {
        self.accessors.get(accessor)
    }

    /// All of them, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.paths.values()
    }

    /// The path of a mount that this path would lie within, or that would lie within it.
    pub fn conflict(&self, path: &str) -> Option<&str> {
        self.paths.keys().map(String::as_str).find(|known| path.starts_with(*known) || known.starts_with(path))
    }
}

/// Opens the engine of a mount. The vault's own engines need handles, hence a function and not the catalog alone.
pub type OpenEngine<'a> = &'a dyn Fn(&Mount, &View) -> Result<Arc<dyn AnyEngine>>;

/// The table in force.
#[derive(Default)]
pub struct Mounts {
    table: ArcSwap<Table>,
}

impl Mounts {
    /// The table of this moment.
    pub fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Reads the table from storage and swaps it in. Engines whose mount stayed the same stay open.
    ///
    /// # Errors
    /// When the table cannot be read, or an engine does not open.
    pub fn reload(&self, barrier: &Arc<Barrier>, open: OpenEngine<'_>) -> Result<()> {
        let stored: Stored = barrier.view().get(&table_key())?.unwrap_or_default();
        let old = self.table.load_full();
        let mut table = Table::default();
        for mount in stored.mounts {
            let view = view_of(barrier, &mount.uuid);
            let kept = old.accessor(&mount.accessor).filter(|e| e.mount.uuid == mount.uuid);
            let engine = match kept {
                Some(e) if e.mount.options == mount.options && e.mount.kind == mount.kind => e.engine.clone(),
                _ => open(&mount, &view)?,
            };
            let entry = Arc::new(Entry { mount: Arc::new(mount), engine, view });
            table.accessors.insert(entry.mount.accessor.clone(), entry.clone());
            table.paths.insert(entry.mount.path.as_str().to_owned(), entry);
        }
        self.table.store(Arc::new(table));
        Ok(())
    }
}

//! Which mount and endpoint a path means. That it means none is told only to those who may know.

use std::sync::Arc;

use crate::base::Error;
use crate::engine::{Endpoint, Handling};
use crate::mount::Entry;
use crate::vault::Vault;
use crate::vault::request::Inbound;

/// A request that knows where it goes.
pub struct Routed {
    /// The request; names in its path are folded where their case does not count.
    pub inbound: Inbound,
    /// Where it goes, or why nowhere.
    pub target: Result<Target, Error>,
    /// Whether it may be told to somebody without a token.
    pub public: bool,
}

/// Mount and endpoint.
pub struct Target {
    /// The mount.
    pub entry: Arc<Entry>,
    /// The endpoint's place in the mount's table.
    index: usize,
    /// What the path said.
    pub captures: Vec<(&'static str, String)>,
    /// Whether a name in the path was given in another case than its own.
    pub folded: bool,
}

impl Target {
    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.entry.engine.table().endpoints()[self.index]
    }

    /// What the endpoint does for this operation.
    pub fn handling(&self, inbound: &Inbound) -> Result<&Handling, Error> {
        self.endpoint().handling(inbound.operation).ok_or(Error::UnsupportedOperation)
    }
}

impl Vault {
    pub(in crate::vault) fn route(&self, mut inbound: Inbound) -> Routed {
        if self.read_through()
            && let Err(error) = self.reload_mounts_if_changed()
        {
            return Routed { inbound, target: Err(error), public: false };
        }
        let table = self.mounts.table();
        let Some(entry) = table.find(inbound.path.as_str()) else {
            let public = inbound.head;
            let error = match public {
                true => Error::Method,
                false => Error::NoHandler(inbound.path.as_str().to_owned()),
            };
            return Routed { inbound, target: Err(error), public };
        };
        let head = inbound.head;
        let skip = entry.mount.path.as_str().len().min(inbound.path.as_str().len());
        match entry.engine.table().find(&inbound.path, skip, inbound.operation) {
            Ok(matched) if head && !matched.endpoint.raw => {
                Routed { inbound, target: Err(Error::Method), public: true }
            }
            Ok(matched) => {
                let folded = matched.folded.is_some();
                if let Some(path) = matched.folded {
                    inbound.path = path;
                }
                let target = Target { entry: entry.clone(), index: matched.index, captures: matched.captures, folded };
                let public = target.endpoint().public;
                Routed { inbound, target: Ok(target), public }
            }
            Err(_) if head => Routed { inbound, target: Err(Error::Method), public: true },
            Err((error, public)) => Routed { inbound, target: Err(error), public },
        }
    }

    /// Looks at the stored table, where the one at hand may be old.
    fn reload_mounts_if_changed(&self) -> Result<(), Error> {
        self.reload_mounts()
    }
}

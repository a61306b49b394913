//! What only a node can do, as `sys/` asks for it.

use std::sync::{Arc, Weak};

use super::{Active, Node, State};
use crate::base::json::Map;
use crate::base::{BoxFuture, Error, Json, Result};
use crate::seal;
use crate::system::{CeremonyKind, CeremonyStep, Control};

/// The node, for the vault that it holds.
pub struct NodeControl {
    // Weak, since the node holds the vault, which holds this.
    node: Weak<Node>,
}

impl NodeControl {
    /// Of this node.
    pub const fn new(node: Weak<Node>) -> Self {
        Self { node }
    }

    fn node(&self) -> Result<Arc<Node>> {
        self.node.upgrade().ok_or(Error::Sealed)
    }
}

pub(super) fn map<const N: usize>(pairs: [(&str, Json); N]) -> Map {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

impl Node {
    /// Takes in the shape of the seal as it is stored: a rekey, of this node or another, may have changed it.
    pub(super) fn refreshed(&self, active: Arc<Active>) -> Result<Arc<Active>> {
        let config = seal::config(self.storage.as_ref())?.ok_or(Error::Uninitialized)?;
        if config == active.config {
            return Ok(active);
        }
        let next = Arc::new(Active {
            vault: active.vault.clone(),
            config,
            root_key: active.root_key.clone(),
            since: active.since,
        });
        // Unless it was sealed meanwhile.
        self.state.rcu(|state| match state.as_ref() {
            State::Active(present) if Arc::ptr_eq(present, &active) => Arc::new(State::Active(next.clone())),
            _ => state.clone(),
        });
        Ok(next)
    }
}

impl Control for NodeControl {
    fn seal(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let node = self.node()?;
            // The request that asked is in flight itself: the keys go once it is answered, or after the bound.
            let sealing = node.clone();
            tokio::spawn(async move { sealing.seal().await });
            while node.vault().is_ok() {
                node.clock.sleep(std::time::Duration::from_millis(1)).await;
            }
            Ok(())
        })
    }

    fn step_down(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.node()?.vault()?.release_task_lock();
            Ok(())
        })
    }

    fn rotate(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let node = self.node()?;
            let active = node.active()?;
            active.vault.barrier().rotate(&active.root_key, node.clock.now()).await
        })
    }

    fn keyring_changed(&self) -> Result<()> {
        let active = self.node()?.active()?;
        active.vault.barrier().reread(&active.root_key)
    }

    fn key_status(&self) -> Result<Map> {
        let active = self.node()?.active()?;
        // As it is stored: another node may have rotated, or this one without knowing whether it did.
        active.vault.barrier().reread(&active.root_key)?;
        let info = active.vault.barrier().keys()?.active_info();
        Ok(map([
            ("term", info.term.into()),
            ("install_time", info.installed.to_string().into()),
            ("encryptions", active.vault.encryptions()?.into()),
        ]))
    }

    fn ceremony(&self, kind: CeremonyKind, step: CeremonyStep) -> BoxFuture<'_, Result<Map>> {
        Box::pin(async move { self.node()?.take_step(kind, step).await })
    }

    fn metrics(&self, format: &str) -> Result<(&'static str, Vec<u8>)> {
        self.node()?.metrics(format)
    }

    fn in_flight(&self) -> Map {
        self.node().map(|node| node.flights.show()).unwrap_or_default()
    }

    fn seal_status(&self) -> Map {
        self.node().map(|node| node.seal_status()).unwrap_or_default()
    }
}

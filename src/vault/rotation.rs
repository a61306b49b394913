//! The keyring's own clock: encryptions are counted, and a key that has done enough of them, or is old enough, gets a successor.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::Vault;
use super::own::Work;
use crate::base::{Key, Result, time};
use crate::system::Rotation;

/// Encryptions that a node counts by itself before it writes them down: a crash forgets so many at most.
const PENDING: u64 = 4096;

/// What all nodes have counted together.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Counted {
    term: u32,
    encryptions: u64,
}

fn key() -> Key {
    Key::new("core/encryptions")
}

impl Vault {
    /// Encryptions under the active key, of all nodes, as far as it is known here.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn encryptions(&self) -> Result<u64> {
        let keys = self.barrier.keys()?;
        let counted: Counted = self.barrier.view().get(&key())?.unwrap_or_default();
        let written = if counted.term == keys.active_info().term { counted.encryptions } else { 0 };
        Ok(written + keys.used().load(Ordering::Relaxed))
    }

    /// Writes down what this node has counted, when it is worth a commit.
    pub(super) async fn count_encryptions(&self) -> Result<()> {
        let keys = self.barrier.keys()?;
        let pending = keys.used().load(Ordering::Relaxed);
        if pending < PENDING {
            return Ok(());
        }
        let term = keys.active_info().term;
        let mut txn = self.barrier.view().txn();
        txn.update(&[key()], move |rows| {
            let counted: Counted = rows.get(0)?.unwrap_or_default();
            if counted.term > term {
                return Ok(());
            }
            let before = if counted.term == term { counted.encryptions } else { 0 };
            rows.put(0, &Counted { term, encryptions: before.saturating_add(pending) })
        });
        self.commit(txn).await?;
        keys.used().fetch_sub(pending, Ordering::Relaxed);
        Ok(())
    }

    /// Adds a term to the keyring if its time has come. For the holder of the task lock.
    pub(super) async fn rotate_if_due(&self) -> Result<()> {
        let rotation = Rotation::load(&self.barrier.view())?;
        if !rotation.enabled {
            return Ok(());
        }
        let info = self.barrier.keys()?.active_info();
        let old = !rotation.interval.is_zero() && self.clock.now() >= time::after(info.installed, rotation.interval);
        if !old && self.encryptions()? < rotation.max_operations {
            return Ok(());
        }
        let work = Work { operation: "update", path: "sys/rotate", ..Work::default() };
        self.on_record(work, self.control.rotate()).await??;
        tracing::info!(term = info.term + 1, by_age = old, "the keyring has a new term");
        Ok(())
    }
}

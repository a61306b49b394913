//! The work of engines that no request asks for: each mount that has some gets a turn, on the node with the task lock.
//!
//! It has a task of its own, apart from the sweep: what an engine waits for (a network, say) must not keep leases alive.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Vault;
use super::stages::own_frame;
use crate::base::{Error, Pace, Path, Result};

/// So long between two turns.
const PAUSE: Duration = Duration::from_millis(500);
/// After turns that took long, longer: the work of engines gets a fifth of the time, and requests the rest.
const PACE: Pace = Pace { times: 4, most: Duration::from_secs(2) };

/// Runs until the vault is sealed or dropped.
pub async fn tend(vault: Weak<Vault>) {
    loop {
        let Some(strong) = vault.upgrade().filter(|v| !v.stopped()) else { return };
        let begun = strong.clock.monotonic();
        if strong.leading.load(Ordering::SeqCst)
            && let Err(error) = strong.tend_once().await
            && !matches!(error, Error::Sealed)
        {
            tracing::warn!(%error, "the work of the engines cannot be done yet");
        }
        let clock = strong.clock.clone();
        drop(strong);
        let took = clock.monotonic().saturating_sub(begun);
        clock.sleep(PACE.rest(took).max(PAUSE)).await;
    }
}

impl Vault {
    /// One turn for each mount that asks for it. A mount whose turn fails takes none from the others.
    ///
    /// # Errors
    /// [`Error::Sealed`] when there is nothing to work on any more.
    pub async fn tend_once(&self) -> Result<()> {
        let table = self.mounts.table().clone();
        for entry in table.iter().filter(|entry| entry.engine.tended()) {
            let path = Path::parse(entry.mount.path.as_str().trim_end_matches('/'))?;
            let step = async {
                match entry.engine.tend(own_frame(self, entry, path)).await? {
                    Some(txn) if !txn.is_empty() => self.commit(txn).await.map(drop),
                    _ => Ok(()),
                }
            };
            match step.await {
                // Somebody else was faster: the next turn sees what is left.
                Ok(()) | Err(Error::Conflict) => {}
                Err(Error::Sealed) => return Err(Error::Sealed),
                Err(error) => tracing::warn!(mount = %entry.mount.path, %error, "an engine cannot do its work yet"),
            }
        }
        Ok(())
    }
}

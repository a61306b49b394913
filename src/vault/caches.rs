//! What a change makes the caches forget: by this node's own commits at once, by those of others through the feed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Vault, milliseconds};
use crate::base::{Key, Result};
use crate::identity::keys::Concern;
use crate::quota::Quotas;
use crate::storage::Changes;
use crate::system::front::Front;
use crate::{identity, mount, system, token};

/// How long caches are good after the start of the last poll.
const FRESH: Duration = Duration::from_secs(1);

impl Vault {
    /// Forgets what these keys, from the top of the store, changed.
    pub(super) fn forget(&self, keys: &[Key]) -> Result<()> {
        let (mut mounts, mut audit, mut policies, mut front, mut quotas) = (false, false, false, false, false);
        for key in keys {
            if let Some(digest) = token::digest_of(key) {
                self.sessions.forget(digest);
            }
            mounts |= *key == mount::table_key();
            audit |= system::audit::owns(key);
            front |= Front::owns(key);
            quotas |= Quotas::owns(key);
            policies |= system::policies::owns(key);
            match identity::keys::concern(key) {
                Some(Concern::Entity(entity)) => self.epochs.advance(entity),
                Some(Concern::Everyone) => self.epochs.advance_groups(),
                None => {}
            }
        }
        self.handles.watches.changed(keys);
        if policies {
            self.policies.forget();
        }
        if mounts {
            self.reload_mounts()?;
        }
        if audit {
            self.reload_audit()?;
        }
        if front {
            self.reload_front()?;
        }
        if quotas {
            self.reload_quotas()?;
        }
        Ok(())
    }

    fn forget_all(&self) -> Result<()> {
        self.sessions.clear();
        self.handles.watches.changed_somewhere();
        self.policies.forget();
        self.epochs.advance_groups();
        self.reload_mounts()?;
        self.reload_front()?;
        self.reload_quotas()?;
        self.reload_audit()
    }

    /// Makes sure, before a request begins, that the caches have heard of every commit of this node: after one of which
    /// nobody knows whether it happened, or after which they could not be brought up to date, they begin anew.
    ///
    /// # Errors
    /// While that cannot be done.
    pub(super) fn settle_doubt(&self) -> Result<()> {
        let doubts = self.doubts.load(Ordering::SeqCst);
        if doubts != self.settled.load(Ordering::SeqCst) {
            self.forget_all()?;
            self.settled.fetch_max(doubts, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Whether this request must look into storage because the caches may be old. Never on a store that is ours alone.
    pub(super) fn read_through(&self) -> bool {
        self.barrier.storage().shared()
            && milliseconds(self.clock.monotonic()) > self.polled_ms.load(Ordering::SeqCst) + milliseconds(FRESH)
    }

    /// Takes in what other nodes committed.
    ///
    /// # Errors
    /// When the feed cannot be read; the caches then grow old and are no longer used.
    pub async fn follow(&self) -> Result<()> {
        let started = milliseconds(self.clock.monotonic());
        let from = self.position.load(Ordering::SeqCst);
        match self.barrier.storage().changes(from).await? {
            Changes::Commits(commits) => {
                for commit in commits {
                    let mut keys = Vec::new();
                    for stored in commit.keys.iter() {
                        if stored == crate::barrier::KEYRING {
                            self.control.keyring_changed()?;
                        }
                        keys.extend(self.barrier.open_key(stored)?);
                    }
                    self.forget(&keys)?;
                    self.position.fetch_max(commit.version, Ordering::SeqCst);
                }
            }
            Changes::Lost(position) => {
                self.forget_all()?;
                self.position.fetch_max(position, Ordering::SeqCst);
            }
        }
        self.polled_ms.fetch_max(started, Ordering::SeqCst);
        Ok(())
    }
}

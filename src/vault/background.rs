//! The tasks that run while the vault is open: following the feed, and taking back what has ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{TryStreamExt, stream};

use super::Vault;
use super::own::Work;
use crate::base::{Error, Timestamp, limits};
use crate::lease::Lease;
use crate::system;

/// At most so long between two looks at the feed.
const POLL: Duration = Duration::from_millis(250);
/// So long between two looks at what has ended.
const SWEEP: Duration = Duration::from_millis(500);
/// What the audit log calls it when something is taken back.
const REVOKE: &str = "revoke";

/// What is taken back between two rests.
const STEP: usize = 50;
/// Pages that one round takes before the next look at all else.
const ROUNDS: usize = 8;

impl Vault {
    /// Starts the tasks. They end when the vault is sealed or dropped.
    pub fn start(self: &Arc<Self>) {
        tokio::spawn(feed(Arc::downgrade(self)));
        tokio::spawn(sweep(Arc::downgrade(self)));
        tokio::spawn(super::measure::usage(Arc::downgrade(self)));
        tokio::spawn(super::tending::tend(Arc::downgrade(self)));
        tokio::spawn(super::clients::count(Arc::downgrade(self)));
        tokio::spawn(watch_audit(Arc::downgrade(self)));
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

async fn feed(vault: std::sync::Weak<Vault>) {
    loop {
        let Some(strong) = vault.upgrade().filter(|v| !v.stopped()) else { return };
        if !strong.barrier.storage().shared() {
            return;
        }
        if let Err(error) = strong.follow().await {
            tracing::warn!(%error, "the change feed cannot be followed");
        }
        let (storage, clock) = (strong.barrier.storage().clone(), strong.clock.clone());
        drop(strong);
        tokio::select! {
            () = storage.changed() => {}
            () = clock.sleep(POLL) => {}
        }
    }
}

/// Names audit devices that hang, and signs how far their chains have come.
async fn watch_audit(vault: std::sync::Weak<Vault>) {
    let mut since = Duration::ZERO;
    loop {
        let Some(strong) = vault.upgrade().filter(|v| !v.stopped()) else { return };
        strong.audit.watch();
        if since >= Duration::from_secs(limits::AUDIT_HEAD_SECONDS) {
            since = Duration::ZERO;
            if let Err(error) = strong.checkpoint_audit().await
                && !matches!(error, Error::Sealed)
            {
                tracing::warn!(%error, "the heads of the audit logs could not be stored");
            }
        }
        let clock = strong.clock.clone();
        drop(strong);
        clock.sleep(crate::audit::Broker::BOUND).await;
        since += crate::audit::Broker::BOUND;
    }
}

async fn sweep(vault: std::sync::Weak<Vault>) {
    let mut lock = None;
    let arrived = match vault.upgrade() {
        Some(strong) => strong.arrive().await,
        None => return,
    };
    if let Err(error) = arrived {
        // The next start notes it.
        tracing::debug!(%error, "the version could not be noted");
    }
    loop {
        let Some(strong) = vault.upgrade().filter(|v| !v.stopped()) else { return };
        if let Err(error) = strong.count_encryptions().await
            && !matches!(error, Error::Sealed)
        {
            tracing::warn!(%error, "encryptions cannot be counted yet");
        }
        if strong.stepping_down.swap(false, Ordering::SeqCst) {
            lock = None;
        } else if lock.is_none() {
            lock = strong.barrier.storage().task_lock().await.ok().flatten();
        }
        let held = lock.as_ref().is_some_and(|l| l.held());
        strong.leading.store(held, Ordering::SeqCst);
        if held {
            match strong.tend().await {
                Ok(()) | Err(Error::Sealed) => {}
                Err(error) => tracing::warn!(%error, "what has ended cannot be taken back yet"),
            }
        } else {
            lock = None;
        }
        let clock = strong.clock.clone();
        drop(strong);
        clock.sleep(SWEEP).await;
    }
}

impl Vault {
    /// One round of what the holder of the task lock does.
    async fn tend(&self) -> crate::base::Result<()> {
        self.sweep_once().await?;
        self.rotate_if_due().await
    }

    /// Notes that this version has opened the store.
    async fn arrive(&self) -> crate::base::Result<()> {
        let view = self.barrier.view();
        match system::versions::arrived(&view, crate::API_VERSION, self.clock.now())? {
            Some(txn) => self.commit(txn).await.map(drop),
            None => Ok(()),
        }
    }

    /// One round of taking back, in bounded steps. Idempotent: what a crash leaves, the next round finishes.
    ///
    /// # Errors
    /// Those of storage; a lease that its engine cannot take back is put further back and blocks no other.
    pub async fn sweep_once(&self) -> crate::base::Result<()> {
        let now = self.clock.now();
        let side_by_side = limits::REVOKE_SIDE_BY_SIDE;
        for _ in 0..ROUNDS {
            let tokens = self.tokens.expired(now, limits::BATCH_KEYS)?;
            let leases = self.leases.expired(now, limits::BATCH_KEYS)?;
            let full = tokens.len().max(leases.len()) >= limits::BATCH_KEYS;
            // Their commits share a flush.
            for some in tokens.chunks(STEP) {
                let step = self.step();
                stream::iter(some.iter().cloned().map(Ok))
                    .try_for_each_concurrent(side_by_side, |(expires, digest)| self.end_token(expires, digest))
                    .await?;
                self.rest(step, some[0].0).await;
            }
            for some in leases.chunks(STEP) {
                let step = self.step();
                stream::iter(some.iter().cloned().map(Ok))
                    .try_for_each_concurrent(side_by_side, |lease| self.end_lease(lease))
                    .await?;
                self.rest(step, some[0].due.unwrap_or(some[0].expires)).await;
            }
            if !full {
                break;
            }
        }
        system::identity::rotate_due(&self.handles, now, self.rng.clone()).await?;
        self.finish_tokens().await?;
        self.finish_unmounts().await
    }

    async fn end_token(&self, expires: Timestamp, digest: String) -> crate::base::Result<()> {
        match self.tokens.get(&digest)? {
            // Renewed meanwhile: the row belongs to an older end.
            Some(token) if token.expires != Some(expires) => {
                self.commit(self.tokens.forget_expiry(expires, &digest)).await.map(drop)
            }
            Some(token) => {
                let mount = self.mounts.table().at("auth/token/").map(|entry| entry.mount.clone());
                let (path, accessor) = (token.path.as_str(), token.accessor.as_str());
                let work = Work { operation: REVOKE, path, mount: mount.as_deref(), accessor, ..Work::default() };
                self.on_record(work, self.revoke_token_tree(&digest)).await?
            }
            None => {
                self.finish_token(&digest).await?;
                self.commit(self.tokens.forget_expiry(expires, &digest)).await.map(drop)
            }
        }
    }

    async fn end_lease(&self, lease: Lease) -> crate::base::Result<()> {
        let mount = self.mounts.table().accessor(&lease.mount_accessor).map(|entry| entry.mount.clone());
        let (path, lease_id) = (lease.id.as_str(), lease.id.as_str());
        let work = Work { operation: REVOKE, path, mount: mount.as_deref(), lease_id, ..Work::default() };
        let take_back = async {
            self.take_back(&lease, false).await?;
            let left = self.leases.get(&lease.id)?.is_some();
            if left { Err(Error::Unavailable("the lease could not be revoked yet".into())) } else { Ok(()) }
        };
        match self.on_record(work, take_back).await? {
            // It is put further back, and blocks no other.
            Err(Error::Unavailable(_)) => Ok(()),
            other => other,
        }
    }
}

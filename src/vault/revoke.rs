//! Taking back: a token with all that hangs on it, a lease, what a mount leaves behind.
//!
//! Each is done in bounded steps that can stop anywhere and start again: a token is marked in the commit that removes it,
//! and the mark goes when its children, leases and cubbyhole are gone.

use std::sync::Arc;
use std::time::Duration;

use super::Vault;
use super::stages::own_frame;
use crate::barrier::{Txn, View};
use crate::base::{Error, Key, Path, Result, limits, time};
use crate::engine::Mount;
use crate::lease::Lease;
use crate::mount::{self, Entry, catalog};
use crate::system::cubbyhole;

/// The longest wait between two tries to revoke a lease.
const RETRY_AT_MOST: Duration = Duration::from_secs(3600);

impl Vault {
    /// Revokes a token with all its children, their leases and cubbyholes.
    pub(super) async fn revoke_token_tree(&self, digest: &str) -> Result<()> {
        let mut open = vec![digest.to_owned()];
        let mut done = Vec::new();
        while let Some(digest) = open.pop() {
            self.remove_token(&digest).await?;
            open.extend(self.tokens.children(&digest)?);
            done.push(digest);
        }
        // From the leaves up: a mark outlives all that it stands for.
        for digest in done.iter().rev() {
            self.finish_token(digest).await?;
        }
        Ok(())
    }

    /// Revokes a token alone; its children become orphans.
    pub(super) async fn revoke_token_alone(&self, digest: &str) -> Result<()> {
        self.remove_token(digest).await?;
        for child in self.tokens.children(digest)? {
            let freed = self.tokens.change(&child, |token| {
                token.parent.clear();
                Ok(())
            });
            let mut txn = match freed {
                Ok((txn, _)) => txn,
                Err(Error::BadToken) => self.tokens.view().txn(),
                Err(error) => return Err(error),
            };
            txn.merge(self.tokens.forget_child(digest, &child));
            self.commit(txn).await?;
        }
        self.finish_token(digest).await
    }

    async fn remove_token(&self, digest: &str) -> Result<()> {
        let Some(token) = self.tokens.get(digest)? else { return Ok(()) };
        let mut txn = self.tokens.remove(&token);
        txn.merge(self.tokens.mark_leaving(digest)?);
        self.commit(txn).await?;
        if token.expires.is_some() {
            self.note_removed();
        }
        Ok(())
    }

    /// Removes what a token, itself gone already, has left.
    pub(super) async fn finish_token(&self, digest: &str) -> Result<()> {
        loop {
            let leases = self.leases.of_token(digest, limits::BATCH_KEYS)?;
            if leases.is_empty() {
                break;
            }
            for lease in leases {
                self.take_back(&lease, true).await?;
            }
        }
        let cubby = self.mounts.table().at("cubbyhole/").map(|e| e.view.clone());
        if let Some(view) = cubby {
            self.delete_below(&view, &cubbyhole::folder_key(digest)).await?;
        }
        self.commit(self.tokens.unmark_leaving(digest)).await.map(drop)
    }

    /// Takes back a lease at its engine. If the engine cannot, the lease is put further back in the queue; with `detach`
    /// it also leaves the token that it belonged to, so that the token can go.
    pub(super) async fn take_back(&self, lease: &Lease, detach: bool) -> Result<()> {
        let start = self.clock.monotonic();
        match self.ask_engine(lease).await {
            Ok(change) => {
                let mut txn = self.leases.remove(lease);
                if let Some(change) = change {
                    txn.merge(change);
                }
                self.commit(txn).await?;
                self.note_removed();
                let now = self.clock.monotonic();
                self.metrics().revoke.observe(now.saturating_sub(start), now);
                Ok(())
            }
            Err(Error::Sealed) => Err(Error::Sealed),
            Err(error) => {
                self.metrics().revoke_failures.add(1);
                let wait = Duration::from_secs(5 << lease.failures.min(10)).min(RETRY_AT_MOST);
                tracing::warn!(lease = %lease.id, %error, retry_in = wait.as_secs(), "a lease could not be revoked");
                let wait = crate::base::Ttl::from_seconds(wait.as_secs());
                let mut txn = self.leases.failed(lease, &error.to_string(), time::after(self.clock.now(), wait))?;
                if detach {
                    txn.merge(self.leases.detach(lease));
                }
                self.commit(txn).await.map(drop)
            }
        }
    }

    /// Removes a lease whatever its engine says.
    pub(super) async fn drop_lease(&self, lease: &Lease) -> Result<()> {
        self.commit(self.leases.remove(lease)).await?;
        self.note_removed();
        Ok(())
    }

    async fn ask_engine(&self, lease: &Lease) -> Result<Option<Txn>> {
        let entry = self.mounts.table().accessor(&lease.mount_accessor).cloned();
        let entry = match entry {
            Some(entry) => entry,
            None => match self.leaving_entry(&lease.mount_accessor)? {
                Some(entry) => entry,
                // Nobody is left who could take it back.
                None => return Ok(None),
            },
        };
        let frame = own_frame(self, &entry, Path::parse(&lease.id)?);
        entry.engine.revoke_lease(frame, lease.internal.clone()).await.map(Some)
    }

    /// The mount that is being taken down, under its old accessor, with its engine opened once more.
    fn leaving_entry(&self, accessor: &str) -> Result<Option<Arc<Entry>>> {
        let top = self.barrier.view();
        for uuid in top.list(&Key::new("core/leaving"))? {
            let Some(mount) = top.get::<Mount>(&mount::leaving_key(&uuid))? else { continue };
            if mount.accessor == accessor {
                let view = self.unguarded(&uuid);
                let engine = catalog::open(&mount, &view)?;
                return Ok(Some(Arc::new(Entry { mount: Arc::new(mount), engine, view })));
            }
        }
        Ok(None)
    }

    fn unguarded(&self, uuid: &str) -> View {
        self.barrier.view().sub("data").sub(uuid)
    }

    /// Revokes what came from a path or from below it: leases, and tokens of auth methods.
    pub(super) async fn revoke_below(&self, prefix: &str, force: bool) -> Result<()> {
        loop {
            let leases = self.leases.below(prefix, limits::BATCH_KEYS)?;
            let mut moved = false;
            for lease in &leases {
                if force {
                    self.drop_lease(lease).await?;
                    moved = true;
                } else {
                    self.take_back(lease, false).await?;
                    moved |= self.leases.get(&lease.id)?.is_none();
                }
            }
            if !moved {
                break;
            }
        }
        loop {
            let tokens = self.tokens.below_path(prefix, limits::BATCH_KEYS)?;
            if tokens.is_empty() {
                return Ok(());
            }
            for (row, digest) in tokens {
                match self.tokens.get(&digest)? {
                    Some(_) => self.revoke_token_tree(&digest).await?,
                    None => self.commit(self.tokens.forget_path(&row)).await.map(drop)?,
                }
            }
        }
    }

    /// Finishes taking down mounts: leases and tokens first, while their engine can still be opened, then the data.
    pub(super) async fn finish_unmounts(&self) -> Result<()> {
        let top = self.barrier.view();
        for uuid in top.list(&Key::new("core/leaving"))? {
            let Some(mount) = top.get::<Mount>(&mount::leaving_key(&uuid))? else { continue };
            self.revoke_below(mount.path.as_str(), false).await?;
            self.delete_below(&self.unguarded(&uuid), &Key::default()).await?;
            let mut txn = top.txn();
            txn.delete(&mount::leaving_key(&uuid));
            self.commit(txn).await?;
        }
        Ok(())
    }

    /// Finishes revoking tokens that a crash interrupted.
    pub(super) async fn finish_tokens(&self) -> Result<()> {
        for digest in self.tokens.leaving()? {
            self.revoke_token_tree(&digest).await?;
        }
        Ok(())
    }

    async fn delete_below(&self, view: &View, folder: &Key) -> Result<()> {
        loop {
            let keys = view.read(|r| r.first_keys(folder, limits::BATCH_KEYS))?;
            if keys.is_empty() {
                return Ok(());
            }
            let mut txn = view.txn();
            for key in &keys {
                txn.delete(&folder.clone().append(key));
            }
            self.commit(txn).await?;
        }
    }
}

//! Who asks, counted by month: noted when a session is used, written down now and then.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Vault;
use super::sessions::Session;
use crate::activity::Who;
use crate::barrier::Cursor;
use crate::base::{Error, Result, limits};

/// So long between two times that clients are written down.
const PAUSE: Duration = Duration::from_secs(10);

impl Vault {
    /// Notes who asks, once a month. Root is nobody in particular, and who unwraps is counted by what he unwraps.
    pub(in crate::vault) fn note_client(&self, session: &Session) {
        self.activity.note(&session.month, self.clock.now(), || {
            let token = &session.token;
            if token.is_root() || token.policies == ["response-wrapping"] {
                return None;
            }
            let accessor = if token.mount_accessor.is_empty() {
                self.mounts.table().at("auth/token/").map(|entry| entry.mount.accessor.clone()).unwrap_or_default()
            } else {
                token.mount_accessor.clone()
            };
            let who = match token.entity_id.as_str() {
                "" => Who::Policies(&session.policies),
                id => Who::Entity(id),
            };
            Some((who, accessor))
        });
    }

    /// Writes down who was noted.
    ///
    /// # Errors
    /// Those of storage; who could not be written down stays noted.
    pub async fn write_clients(&self) -> Result<()> {
        while let Some((txn, taken)) = self.activity.write()? {
            if txn.is_empty() {
                continue;
            }
            if let Err(error) = self.commit(txn).await {
                self.activity.again(taken);
                // Another node wrote one of them down at the same moment: the next time will do.
                return if matches!(error, Error::Conflict) { Ok(()) } else { Err(error) };
            }
        }
        Ok(())
    }

    /// Writes down who was noted, within a bound of time: before the keys go.
    pub async fn close_clients(&self) {
        let bound = Duration::from_secs(limits::DRAIN_SECONDS);
        match tokio::time::timeout(bound, self.write_clients()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last clients could not be written down"),
            Err(_) => tracing::warn!("the last clients could not be written down in time"),
        }
    }

    /// Removes clients that are older than what is kept, once a month.
    async fn forget_old_clients(&self) -> Result<()> {
        if !self.leading.load(Ordering::SeqCst) || !self.activity.is_due(self.clock.now())? {
            return Ok(());
        }
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor.take() {
            let (txn, next) = self.activity.sweep_step(self.clock.now(), &from)?;
            if !txn.is_empty() {
                self.commit(txn).await?;
            }
            cursor = next;
        }
        Ok(())
    }
}

/// Runs until the vault is sealed or dropped.
pub async fn count(vault: Weak<Vault>) {
    loop {
        let Some(strong) = vault.upgrade().filter(|v| !v.stopped()) else { return };
        for done in [strong.write_clients().await, strong.forget_old_clients().await] {
            if let Err(error) = done
                && !matches!(error, Error::Sealed | Error::Conflict)
            {
                tracing::warn!(%error, "clients cannot be written down yet");
            }
        }
        let clock = strong.clock.clone();
        drop(strong);
        clock.sleep(PAUSE).await;
    }
}

//! From unseal shares to a static key and back, and from one static key to the next. Each is one commit.

use std::sync::Arc;

use super::{Keeper, Opened, ROOT, Read, SEAL, SealConfig, StaticSeal, static_key, wrap};
use crate::barrier::{Barrier, RootKey};
use crate::base::{Error, Result};
use crate::storage::{Batch, Change};

/// A change of the kind of seal that the configuration asks for and the store has not made yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migration {
    /// The unseal shares become recovery shares.
    ToStatic,
    /// The recovery shares become unseal shares.
    ToShares,
}

impl Migration {
    /// What is to be done, if anything.
    pub fn wanted(config: &SealConfig, static_seal: Option<&StaticSeal>) -> Option<Self> {
        match (&config.keeper, static_seal) {
            (Keeper::Shares, Some(seal)) if !seal.is_leaving() => Some(Self::ToStatic),
            (Keeper::Static(_), Some(seal)) if seal.is_leaving() => Some(Self::ToShares),
            _ => None,
        }
    }

    /// Makes it, with the key that a quorum of shares met in. The shares stay what they are; only what they do changes.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the seal was changed meanwhile; those of storage.
    pub async fn make(self, opened: &Opened, config: &SealConfig, seal: &StaticSeal) -> Result<SealConfig> {
        let Opened { barrier, root_key, shared_key } = opened;
        let shared_key = shared_key.as_ref().ok_or_else(|| Error::internal("a migration without shares"))?;
        let rng = barrier.rng().as_ref();
        let mut txn = barrier.view().txn();
        let (keeper, root) = match self {
            Self::ToStatic => {
                static_key::keep_recovery_key(&mut txn, shared_key)?;
                (Keeper::Static(seal.key_id().to_owned()), seal.wrap(root_key, rng)?)
            }
            Self::ToShares => {
                static_key::drop_recovery_key(&mut txn);
                (Keeper::Shares, wrap(root_key, shared_key, rng)?)
            }
        };
        let next = SealConfig { keeper, ..config.clone() };
        commit(barrier, barrier.batch(&txn)?, &next, root).await?;
        Ok(next)
    }
}

/// Puts the root key under the current static key, where it lies under the previous one. `None` if there is nothing to do.
///
/// # Errors
/// [`Error::Conflict`] if the seal was changed meanwhile; those of storage.
pub async fn renew_static_key(
    barrier: &Arc<Barrier>,
    root_key: &RootKey,
    config: &SealConfig,
    seal: &StaticSeal,
) -> Result<Option<SealConfig>> {
    match &config.keeper {
        Keeper::Static(id) if id != seal.key_id() => {}
        Keeper::Static(_) | Keeper::Shares => return Ok(None),
    }
    let next = SealConfig { keeper: Keeper::Static(seal.key_id().to_owned()), ..config.clone() };
    let root = seal.wrap(root_key, barrier.rng().as_ref())?;
    commit(barrier, Batch { expects: Vec::new(), changes: Vec::new() }, &next, root).await?;
    Ok(Some(next))
}

async fn commit(barrier: &Arc<Barrier>, mut batch: Batch, next: &SealConfig, root: Vec<u8>) -> Result<()> {
    let storage = barrier.storage();
    batch.expects.push(Read::expect(storage.as_ref(), SEAL)?);
    batch.expects.push(Read::expect(storage.as_ref(), ROOT)?);
    batch.changes.push((SEAL.to_owned(), Change::Put(next.to_bytes()?)));
    batch.changes.push((ROOT.to_owned(), Change::Put(root)));
    storage.commit(batch).await.map(drop)
}

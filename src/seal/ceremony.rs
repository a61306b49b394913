//! Rekey and generate-root: a quorum of shares, gathered under the barrier, allows one thing to be done.
//!
//! Progress is a row below the barrier, so that it survives a restart and every node sees it.

use serde::{Deserialize, Serialize};

use super::{ROOT, SEAL, SealConfig, Shape, root_key, wrap};
use crate::barrier::{Barrier, RootKey, Txn, View};
use crate::base::secret::{stored, stored_option};
use crate::base::{Error, Key, Result, Rng, Secret, ids};
use crate::storage::{Batch, Change};

/// A ceremony under way.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ceremony {
    /// Its id: a share counts only with it.
    pub nonce: String,
    /// For a rekey: the shape to come.
    pub shares: u64,
    /// For a rekey: the shape to come.
    pub threshold: u64,
    /// For a root token: the one-time pad.
    #[serde(serialize_with = "stored_option")]
    pub otp: Option<Secret<String>>,
    offered: Vec<Offer>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Offer(#[serde(serialize_with = "stored")] Secret<Vec<u8>>);

/// Where a share led.
pub enum Offered {
    /// So many are there.
    Waiting(usize),
    /// The quorum is there, and its shares are the right ones. The transaction ends the ceremony.
    Complete(Ceremony, Txn),
}

impl Ceremony {
    /// Where a ceremony of this kind lies.
    pub fn key(kind: &str) -> Key {
        Key::new("core/ceremony").join(kind)
    }

    /// The ceremony of this kind that is under way.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(view: &View, kind: &str) -> Result<Option<Self>> {
        view.get(&Self::key(kind))
    }

    /// Starts one, unless one is under way.
    ///
    /// # Errors
    /// [`Error::Invalid`] if one is.
    pub fn start(
        view: &View,
        kind: &str,
        rng: &dyn Rng,
        (shares, threshold): (u64, u64),
        otp: Option<Secret<String>>,
    ) -> Result<(Self, Txn)> {
        let mut txn = view.txn();
        if txn.get::<Self>(&Self::key(kind))?.is_some() {
            return Err(Error::invalid(format!("{kind} already in progress")));
        }
        let ceremony = Self { nonce: ids::uuid(rng), shares, threshold, otp, offered: Vec::new() };
        txn.put(&Self::key(kind), &ceremony)?;
        Ok((ceremony, txn))
    }

    /// How many shares were given.
    pub const fn progress(&self) -> usize {
        self.offered.len()
    }

    /// Takes a share. A wrong set of shares ends the round, not the ceremony.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a ceremony, with another's nonce, for a repeated share, or when the shares do not open.
    pub async fn offer(
        barrier: &std::sync::Arc<Barrier>,
        kind: &str,
        config: &SealConfig,
        share: Secret<Vec<u8>>,
        nonce: &str,
    ) -> Result<Offered> {
        let view = barrier.view();
        let mut txn = view.txn();
        let mut ceremony: Self =
            txn.get(&Self::key(kind))?.ok_or_else(|| Error::invalid(format!("no {kind} in progress")))?;
        if nonce != ceremony.nonce {
            return Err(Error::invalid(format!("incorrect nonce supplied for this {kind} operation")));
        }
        if ceremony.offered.iter().any(|o| o.0.same_as(share.reveal())) {
            return Err(Error::invalid("given key has already been provided during this operation"));
        }
        ceremony.offered.push(Offer(share));
        if ceremony.offered.len() < usize::from(config.threshold) {
            let progress = ceremony.offered.len();
            txn.put(&Self::key(kind), &ceremony)?;
            barrier.commit(txn).await?;
            return Ok(Offered::Waiting(progress));
        }
        let shares: Vec<_> = ceremony.offered.iter().map(|o| o.0.clone()).collect();
        if let Err(error) = root_key(barrier.storage().as_ref(), config, &shares) {
            ceremony.offered.clear();
            txn.put(&Self::key(kind), &ceremony)?;
            barrier.commit(txn).await?;
            return Err(error);
        }
        txn.delete(&Self::key(kind));
        Ok(Offered::Complete(ceremony, txn))
    }

    /// Ends it without a result.
    pub fn cancel(view: &View, kind: &str) -> Txn {
        let mut txn = view.txn();
        txn.delete(&Self::key(kind));
        txn
    }

    /// Replaces the shares: the root key under a new unseal key, the shape, the end of the ceremony, in one commit.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad shape; those of storage.
    pub fn rekey(
        &self,
        barrier: &Barrier,
        end: &Txn,
        config: &SealConfig,
        root: &RootKey,
    ) -> Result<(Vec<Secret<Vec<u8>>>, Batch)> {
        let shape = Shape::of(self.shares, self.threshold)?;
        let rng = barrier.rng().as_ref();
        let (unseal_key, shares) = shape.split(rng)?;
        let next = SealConfig { shares: shape.shares, threshold: shape.threshold, ..config.clone() };
        let mut batch = barrier.batch(end)?;
        let text = serde_json::to_vec(&next).map_err(Error::internal)?;
        batch.changes.push((SEAL.to_owned(), Change::Put(text)));
        batch.changes.push((ROOT.to_owned(), Change::Put(wrap(root, &unseal_key, rng)?)));
        Ok((shares, batch))
    }
}

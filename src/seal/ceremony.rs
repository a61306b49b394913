//! Rekey and generate-root: a quorum of shares, gathered under the barrier, allows one thing to be done.
//!
//! Progress is a row below the barrier, so that it survives a restart and every node sees it. A rekey that is to be verified
//! has a second round: the new shares must meet in the new key before they count.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Handout, Keeper, ROOT, Read, SEAL, SealConfig, Shape, Share, check_quorum, combine, parse_share, static_key, wrap,
};
use crate::barrier::{Barrier, RootKey, Txn, View};
use crate::base::json::Map;
use crate::base::secret::{stored, stored_option};
use crate::base::{Error, Key, Result, Rng, Secret, ids};
use crate::storage::{Batch, Change};

/// What a rekey is to give.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// How many shares.
    pub shares: u64,
    /// How many of them open.
    pub threshold: u64,
    /// Also with labels.
    pub labelled: bool,
    /// Each encrypted to one of these recipients of age.
    pub recipients: Vec<String>,
    /// The new shares count only after a quorum of them was given back.
    pub verify: bool,
}

/// A ceremony under way.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ceremony {
    /// Its id: a share counts only with it.
    pub nonce: String,
    /// For a rekey: what is to come.
    #[serde(flatten)]
    pub plan: Plan,
    /// For a root token: the one-time pad.
    #[serde(serialize_with = "stored_option")]
    pub otp: Option<Secret<String>>,
    offered: Vec<Offer>,
    /// The second round.
    #[serde(default)]
    pub pending: Option<Pending>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Offer(#[serde(serialize_with = "stored")] Secret<Vec<u8>>);

/// New shares that wait to be proved.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pending {
    /// The id of this round.
    pub nonce: String,
    #[serde(serialize_with = "stored")]
    key: Secret<Vec<u8>>,
    offered: Vec<Offer>,
}

/// Where a share led.
pub enum Offered {
    /// So many are there.
    Waiting(usize),
    /// The quorum is there, and its shares are the right ones. The transaction read the ceremony, and ends or advances it.
    Complete(Box<Ceremony>, Txn),
}

/// Where a new share led.
pub enum Verified {
    /// So many are there.
    Waiting(Box<Ceremony>),
    /// They are the right ones: they count once this batch is committed.
    Complete(Batch),
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
        plan: Plan,
        otp: Option<Secret<String>>,
    ) -> Result<(Self, Txn)> {
        let mut txn = view.txn();
        if txn.get::<Self>(&Self::key(kind))?.is_some() {
            return Err(Error::invalid(format!("{kind} already in progress")));
        }
        let ceremony = Self { nonce: ids::uuid(rng), plan, otp, offered: Vec::new(), pending: None };
        txn.put(&Self::key(kind), &ceremony)?;
        Ok((ceremony, txn))
    }

    /// How many shares were given.
    pub fn progress(&self) -> usize {
        self.offered.len()
    }

    /// Takes a share. A wrong set of shares ends the round, not the ceremony.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a ceremony, with another's nonce, for a repeated share, or when the shares do not open.
    pub async fn offer(
        barrier: &Arc<Barrier>,
        kind: &str,
        config: &SealConfig,
        share: &Secret<String>,
        nonce: &str,
    ) -> Result<Offered> {
        let share = parse_share(share)?;
        let (mut ceremony, mut txn) = Self::of_nonce(barrier, kind, |c| c.nonce == nonce)?;
        if ceremony.pending.is_some() {
            return Err(Error::invalid(format!("the new shares of this {kind} wait to be verified")));
        }
        share.check(config, config.generation)?;
        take(&mut ceremony.offered, &share)?;
        if ceremony.offered.len() < usize::from(config.threshold) {
            let progress = ceremony.offered.len();
            txn.put(&Self::key(kind), &ceremony)?;
            barrier.commit(txn).await?;
            return Ok(Offered::Waiting(progress));
        }
        if let Err(error) = check_quorum(barrier, config, &shares(&ceremony.offered)) {
            ceremony.offered.clear();
            txn.put(&Self::key(kind), &ceremony)?;
            barrier.commit(txn).await?;
            return Err(error);
        }
        if !ceremony.plan.verify {
            txn.delete(&Self::key(kind));
        }
        Ok(Offered::Complete(Box::new(ceremony), txn))
    }

    fn of_nonce(barrier: &Arc<Barrier>, kind: &str, is: impl FnOnce(&Self) -> bool) -> Result<(Self, Txn)> {
        let mut txn = barrier.view().txn();
        let ceremony: Self =
            txn.get(&Self::key(kind))?.ok_or_else(|| Error::invalid(format!("no {kind} in progress")))?;
        if !is(&ceremony) {
            return Err(Error::invalid(format!("incorrect nonce supplied for this {kind} operation")));
        }
        Ok((ceremony, txn))
    }

    /// Ends it without a result. Whoever names a nonce ends that ceremony and no other; a caller without a token has to, once
    /// a share was given.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another's nonce.
    pub fn cancel(view: &View, kind: &str, nonce: &str, anonymous: bool) -> Result<Txn> {
        let mut txn = view.txn();
        if let Some(present) = txn.get::<Self>(&Self::key(kind))? {
            let begun = !present.offered.is_empty() || present.pending.is_some();
            let named = !nonce.is_empty() || (anonymous && begun);
            if named && nonce != present.nonce {
                return Err(Error::invalid(format!("incorrect nonce supplied for this {kind} operation")));
            }
        }
        txn.delete(&Self::key(kind));
        Ok(txn)
    }

    /// Makes new shares. They count once the batch is committed, or, where they are to be verified, after that.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad shape; those of storage.
    pub fn rekey(
        mut self,
        barrier: &Barrier,
        kind: &str,
        mut txn: Txn,
        config: &SealConfig,
        root: &RootKey,
    ) -> Result<(Map, Option<String>, Batch)> {
        let shape = Shape::of(self.plan.shares, self.plan.threshold)?;
        let handout = Handout::parse(self.plan.labelled, &self.plan.recipients, self.plan.shares, "age_recipients")?;
        let (key, made) = shape.split(barrier.rng().as_ref())?;
        let next = next(config, shape);
        let shown = handout.give("", &made, &next)?;
        if !self.plan.verify {
            return Ok((shown, None, replace(barrier, txn, config, &next, &key, root)?));
        }
        let nonce = ids::uuid(barrier.rng().as_ref());
        self.offered.clear();
        self.pending = Some(Pending { nonce: nonce.clone(), key, offered: Vec::new() });
        txn.put(&Self::key(kind), &self)?;
        Ok((shown, Some(nonce), barrier.batch(&txn)?))
    }

    /// Takes one of the new shares, as proof that its holder has it.
    ///
    /// # Errors
    /// As [`Ceremony::offer`].
    pub async fn verify(
        barrier: &Arc<Barrier>,
        kind: &str,
        config: &SealConfig,
        root: &RootKey,
        share: &Secret<String>,
        nonce: &str,
    ) -> Result<Verified> {
        let share = parse_share(share)?;
        let is = |c: &Self| c.pending.as_ref().is_none_or(|pending| pending.nonce == nonce);
        let (mut ceremony, mut txn) = Self::of_nonce(barrier, kind, is)?;
        let shape = Shape::of(ceremony.plan.shares, ceremony.plan.threshold)?;
        let next = next(config, shape);
        let Some(pending) = &mut ceremony.pending else {
            return Err(Error::invalid(format!("no {kind} verification in progress")));
        };
        share.check(&next, next.generation)?;
        take(&mut pending.offered, &share)?;
        if pending.offered.len() >= usize::from(shape.threshold) {
            let met = combine(&next, &shares(&pending.offered));
            if met.as_ref().is_ok_and(|key| pending.key.same_as(key.reveal())) {
                let key = pending.key.clone();
                txn.delete(&Self::key(kind));
                return Ok(Verified::Complete(replace(barrier, txn, config, &next, &key, root)?));
            }
            pending.offered.clear();
            txn.put(&Self::key(kind), &ceremony)?;
            barrier.commit(txn).await?;
            return Err(Error::invalid("the shares do not meet in the new key: none was counted"));
        }
        txn.put(&Self::key(kind), &ceremony)?;
        barrier.commit(txn).await?;
        Ok(Verified::Waiting(Box::new(ceremony)))
    }

    /// Begins the second round anew, under another nonce; the ceremony as it is then.
    ///
    /// # Errors
    /// [`Error::Invalid`] without one, or for another's nonce.
    pub async fn verify_again(barrier: &Arc<Barrier>, kind: &str, nonce: &str, anonymous: bool) -> Result<Self> {
        let is = |c: &Self| c.pending.as_ref().is_none_or(|p| (nonce.is_empty() && !anonymous) || p.nonce == nonce);
        let (mut ceremony, mut txn) = Self::of_nonce(barrier, kind, is)?;
        let Some(pending) = &mut ceremony.pending else {
            return Err(Error::invalid(format!("no {kind} verification in progress")));
        };
        pending.offered.clear();
        pending.nonce = ids::uuid(barrier.rng().as_ref());
        txn.put(&Self::key(kind), &ceremony)?;
        barrier.commit(txn).await?;
        Ok(ceremony)
    }
}

impl Pending {
    /// How many of the new shares were given.
    pub fn progress(&self) -> usize {
        self.offered.len()
    }
}

/// The seal after a rekey.
fn next(config: &SealConfig, shape: Shape) -> SealConfig {
    let generation = config.generation.saturating_add(1);
    SealConfig { shares: shape.shares, threshold: shape.threshold, generation, ..config.clone() }
}

/// Puts a new key in the place of the one that the old shares meet in, with its shape, in one batch.
fn replace(
    barrier: &Barrier,
    mut txn: Txn,
    config: &SealConfig,
    next: &SealConfig,
    key: &Secret<Vec<u8>>,
    root: &RootKey,
) -> Result<Batch> {
    let storage = barrier.storage().as_ref();
    let seal = Read::expect(storage, SEAL)?;
    // Whoever changed the seal since it was read has made what is about to be written wrong.
    if super::config(storage)?.as_ref() != Some(config) {
        return Err(Error::Conflict);
    }
    let root = match config.keeper {
        Keeper::Shares => Some(wrap(root, key, barrier.rng().as_ref())?),
        Keeper::Static(_) => {
            static_key::keep_recovery_key(&mut txn, key)?;
            None
        }
    };
    let mut batch = barrier.batch(&txn)?;
    batch.expects.push(seal);
    batch.changes.push((SEAL.to_owned(), Change::Put(next.to_bytes()?)));
    batch.changes.extend(root.map(|root| (ROOT.to_owned(), Change::Put(root))));
    Ok(batch)
}

fn take(offered: &mut Vec<Offer>, share: &Share) -> Result<()> {
    if offered.iter().any(|o| o.0.same_as(share.bytes.reveal())) {
        let plain = || Error::invalid("given key has already been provided during this operation");
        return Err(share.repeated().unwrap_or_else(plain));
    }
    offered.push(Offer(share.bytes.clone()));
    Ok(())
}

fn shares(offered: &[Offer]) -> Vec<Share> {
    offered.iter().map(|offer| Share { bytes: offer.0.clone(), label: None }).collect()
}

//! Making a store: keys, shares, the first mounts and the root token, in one commit.

use std::sync::Arc;

use super::{Handout, Keeper, ROOT, SEAL, SealConfig, StaticSeal, static_key, wrap};
use crate::barrier::{Barrier, RootKey, Txn};
use crate::base::json::Map;
use crate::base::{Clock, Error, Result, Rng, Secret, ids};
use crate::crypto::shamir;
use crate::storage::{Change, Expect, Storage};

/// The bytes of a key or of a share of one.
type Key = Secret<Vec<u8>>;

/// How many shares, and how many of them open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many shares.
    pub shares: u8,
    /// How many of them open.
    pub threshold: u8,
}

impl Shape {
    /// Checks numbers from outside.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn of(shares: u64, threshold: u64) -> Result<Self> {
        let bad = |what: &str| Err(Error::invalid(format!("invalid seal configuration: {what}")));
        match (u8::try_from(shares), u8::try_from(threshold)) {
            (Ok(0), _) => bad("shares must be at least one"),
            (Err(_), _) => bad("shares must be at most 255"),
            (_, Ok(0)) => bad("threshold must be at least one"),
            (Ok(shares), Ok(1)) if shares > 1 => bad("threshold must be greater than one for multiple shares"),
            (Ok(shares), Ok(threshold)) if threshold <= shares => Ok(Self { shares, threshold }),
            _ => bad("threshold cannot be larger than shares"),
        }
    }

    /// Makes an unseal key and its shares.
    ///
    /// # Errors
    /// Those of the sharing.
    pub(super) fn split(self, rng: &dyn Rng) -> Result<(Key, Vec<Key>)> {
        let mut key = Secret::new([0u8; 32]);
        rng.fill(key.reveal_mut());
        let whole = Secret::new(key.reveal().to_vec());
        let shares =
            if self.shares == 1 { vec![whole.clone()] } else { shamir::split(&key, self.shares, self.threshold, rng)? };
        Ok((whole, shares))
    }
}

/// What init gives, once.
pub struct Initialized {
    /// The shares, as they were asked for.
    pub shares: Map,
    /// The shape of the seal.
    pub config: SealConfig,
}

/// Makes a store. `first` writes what a new store holds, through the new barrier. All of it is one commit: after a kill the
/// store is uninitialised or initialised, nothing between. With a static seal the shares are recovery shares.
///
/// # Errors
/// [`Error::Invalid`] if it is initialised already; those of storage.
pub async fn initialize(
    storage: &Arc<dyn Storage>,
    rng: &Arc<dyn Rng>,
    clock: &dyn Clock,
    (shape, handout): (Shape, &Handout),
    static_seal: Option<&StaticSeal>,
    first: impl FnOnce(&Arc<Barrier>) -> Result<Txn>,
) -> Result<Initialized> {
    let already = || Error::invalid("Vault is already initialized");
    if super::config(storage.as_ref())?.is_some() {
        return Err(already());
    }
    let root_key = Arc::new(RootKey::random(rng.as_ref())?);
    let (barrier, keyring) = Barrier::create(storage.clone(), rng.clone(), &root_key, clock.now())?;
    let (shared_key, shares) = shape.split(rng.as_ref())?;
    let config = SealConfig {
        shares: shape.shares,
        threshold: shape.threshold,
        cluster_name: format!("vault-cluster-{}", &ids::uuid(rng.as_ref())[..8]),
        cluster_id: ids::uuid(rng.as_ref()),
        generation: 1,
        keeper: static_seal.map_or(Keeper::Shares, |seal| Keeper::Static(seal.key_id().to_owned())),
    };
    let mut txn = first(&barrier)?;
    let root = match static_seal {
        None => wrap(&root_key, &shared_key, rng.as_ref())?,
        Some(seal) => {
            static_key::keep_recovery_key(&mut txn, &shared_key)?;
            seal.wrap(&root_key, rng.as_ref())?
        }
    };
    // Before the commit: once the store is made, nothing may come between the shares and whoever asked.
    let shares = handout.give(if static_seal.is_some() { "recovery_" } else { "" }, &shares, &config)?;
    let mut batch = barrier.batch(&txn)?;
    batch.expects.push((SEAL.to_owned(), Expect::Absent));
    batch.changes.push(keyring);
    batch.changes.push((SEAL.to_owned(), Change::Put(config.to_bytes()?)));
    batch.changes.push((ROOT.to_owned(), Change::Put(root)));
    let committed = storage.commit(batch).await;
    barrier.seal();
    match committed {
        Ok(_) => Ok(Initialized { shares, config }),
        // Another init was faster.
        Err(Error::Conflict) => Err(already()),
        Err(error) => Err(error),
    }
}

//! Unsealing: shares come one by one, and open or do not open together.

use std::sync::Arc;

use super::{Keeper, SealConfig, Share, StaticSeal, combine, root_key, static_key};
use crate::barrier::{Barrier, RootKey};
use crate::base::{Error, Result, Rng, Secret, ids};
use crate::storage::Storage;

/// A closed store and the shares that were offered so far.
pub struct Sealed {
    storage: Arc<dyn Storage>,
    rng: Arc<dyn Rng>,
    config: SealConfig,
    static_seal: Option<Arc<StaticSeal>>,
    offered: Vec<Share>,
    nonce: String,
}

/// A store that opened.
pub struct Opened {
    /// The barrier.
    pub barrier: Arc<Barrier>,
    /// What its keyring is sealed under.
    pub root_key: Arc<RootKey>,
    /// What the shares met in; `None` if it opened by itself.
    pub shared_key: Option<Secret<Vec<u8>>>,
}

/// Where a share led.
pub enum Progress {
    /// More are needed.
    Waiting(Sealed),
    /// It opened.
    Open(Opened),
    /// The shares do not open it, or this was none: those of this round are forgotten where they cannot be right.
    Rejected(Sealed, Error),
}

impl Sealed {
    /// Closed, with no share offered.
    pub const fn new(
        storage: Arc<dyn Storage>,
        rng: Arc<dyn Rng>,
        config: SealConfig,
        static_seal: Option<Arc<StaticSeal>>,
    ) -> Self {
        Self { storage, rng, config, static_seal, offered: Vec::new(), nonce: String::new() }
    }

    /// The shape of the seal.
    pub const fn config(&self) -> &SealConfig {
        &self.config
    }

    /// How many shares were offered.
    pub const fn progress(&self) -> usize {
        self.offered.len()
    }

    /// The id of this round; empty before its first share.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Forgets the shares of this round.
    #[must_use]
    pub fn reset(mut self) -> Self {
        self.offered.clear();
        self.nonce.clear();
        self
    }

    /// Takes one share. A plain one that was offered before changes nothing; of a labelled one its holder is told.
    pub fn offer(mut self, share: Share) -> Progress {
        if let Err(error) = share.check(&self.config, self.config.generation) {
            return Progress::Rejected(self, error);
        }
        if self.offered.iter().any(|s| s.bytes.same_as(share.bytes.reveal())) {
            return match share.repeated() {
                Some(error) => Progress::Rejected(self, error),
                None => Progress::Waiting(self),
            };
        }
        if self.nonce.is_empty() {
            self.nonce = ids::uuid(self.rng.as_ref());
        }
        self.offered.push(share);
        if self.offered.len() < usize::from(self.config.threshold) {
            return Progress::Waiting(self);
        }
        match self.open() {
            Ok(opened) => Progress::Open(opened),
            // One of them is wrong, and nobody can tell which: the round starts again.
            Err(error) => Progress::Rejected(self.reset(), error),
        }
    }

    /// Opens it without shares, by the key of the configuration.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it does not open by itself, or the configuration's keys are not the right ones.
    pub fn open_itself(&self) -> Result<Opened> {
        let root_key = Arc::new(self.own_root_key()?);
        let barrier = Barrier::open(self.storage.clone(), self.rng.clone(), &root_key)?;
        Ok(Opened { barrier, root_key, shared_key: None })
    }

    fn own_root_key(&self) -> Result<RootKey> {
        match (&self.config.keeper, &self.static_seal) {
            (Keeper::Static(id), Some(seal)) => seal.open(self.storage.as_ref(), id),
            (Keeper::Static(_), None) => Err(Error::invalid(
                "the store is sealed with a static key, and the configuration has no seal \"static\"",
            )),
            (Keeper::Shares, _) => Err(Error::invalid("the store is unsealed by shares")),
        }
    }

    fn open(&self) -> Result<Opened> {
        let shared_key = combine(&self.config, &self.offered)?;
        let root_key = Arc::new(match self.config.keeper {
            Keeper::Shares => root_key(self.storage.as_ref(), &shared_key)?,
            Keeper::Static(_) => self.own_root_key()?,
        });
        let barrier = Barrier::open(self.storage.clone(), self.rng.clone(), &root_key)?;
        if self.config.opens_itself()
            && let Err(error) = static_key::check_recovery_key(&barrier, &shared_key)
        {
            barrier.seal();
            return Err(error);
        }
        Ok(Opened { barrier, root_key, shared_key: Some(shared_key) })
    }
}

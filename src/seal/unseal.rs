//! Unsealing: shares come one by one, and open or do not open together.

use std::sync::Arc;

use super::{SealConfig, root_key};
use crate::barrier::{Barrier, RootKey};
use crate::base::{Error, Result, Rng, Secret, ids};
use crate::storage::Storage;

/// A closed store and the shares that were offered so far.
pub struct Sealed {
    storage: Arc<dyn Storage>,
    rng: Arc<dyn Rng>,
    config: SealConfig,
    offered: Vec<Secret<Vec<u8>>>,
    nonce: String,
}

/// A store that opened.
pub struct Opened {
    /// The barrier.
    pub barrier: Arc<Barrier>,
    /// What its keyring is sealed under.
    pub root_key: Arc<RootKey>,
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
    pub const fn new(storage: Arc<dyn Storage>, rng: Arc<dyn Rng>, config: SealConfig) -> Self {
        Self { storage, rng, config, offered: Vec::new(), nonce: String::new() }
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

    /// Takes one share. One that was offered before changes nothing.
    pub fn offer(mut self, share: Secret<Vec<u8>>) -> Progress {
        if self.offered.iter().any(|s| s.same_as(share.reveal())) {
            return Progress::Waiting(self);
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

    fn open(&self) -> Result<Opened> {
        let root_key = Arc::new(root_key(self.storage.as_ref(), &self.config, &self.offered)?);
        let barrier = Barrier::open(self.storage.clone(), self.rng.clone(), &root_key)?;
        Ok(Opened { barrier, root_key })
    }
}

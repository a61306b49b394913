//! The unseal ceremony and what changes its keys.
//!
//!     shares → unseal key → root key → keyring          static key → root key → keyring
//!
//! The unseal key exists only while shares are put together: it opens the row that holds the root key. Shares have Vault's
//! form, so that shares made elsewhere and Vault's own command line work. Where the configuration has a static key, that
//! one opens the row, and shares meet in a recovery key, which opens nothing and allows.

mod ceremony;
mod handout;
mod init;
mod migrate;
mod share;
mod static_key;
mod unseal;

pub use ceremony::{Ceremony, Offered, Plan, Verified};
pub use handout::Handout;
pub use init::{Initialized, Shape, initialize};
pub use migrate::{Migration, renew_static_key};
pub use share::{Share, parse as parse_share, text_base64, text_hex};
pub use static_key::{KEY_BYTES as STATIC_KEY_BYTES, Named, StaticSeal};
pub use unseal::{Opened, Progress, Sealed};

use serde::{Deserialize, Serialize};

use crate::barrier::{Barrier, RootKey};
use crate::base::{Error, Result, Rng, Secret};
use crate::crypto::aead::AeadKey;
use crate::storage::{Expect, Storage, Version};

/// Where the shape of the seal lies, readable: how many shares, how many of them open.
pub const SEAL: &str = "core/seal";
/// Where the root key lies, under the unseal key or a static key.
pub const ROOT: &str = "core/root";

/// The shape of the seal, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealConfig {
    /// How many shares there are: of the unseal key, or of the recovery key beside a static one.
    pub shares: u8,
    /// How many of them open.
    pub threshold: u8,
    /// The name of the store, for people who have several.
    pub cluster_name: String,
    /// Its id.
    pub cluster_id: String,
    /// How many times shares were made.
    #[serde(default = "first_generation")]
    pub generation: u32,
    /// What the root key lies under.
    #[serde(default)]
    pub keeper: Keeper,
}

/// What the root key lies under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keeper {
    /// The key that shares meet in.
    #[default]
    Shares,
    /// A key of the configuration, by its id.
    Static(String),
}

const fn first_generation() -> u32 {
    1
}

impl SealConfig {
    /// Vault's word for the kind of seal.
    pub const fn kind(&self) -> &'static str {
        match self.keeper {
            Keeper::Shares => "shamir",
            Keeper::Static(_) => "static",
        }
    }

    /// As it is stored.
    fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(Error::internal)
    }

    /// Whether it opens by itself, so that shares are for recovery.
    pub const fn opens_itself(&self) -> bool {
        matches!(self.keeper, Keeper::Static(_))
    }
}

/// A row below the barrier, with the version that whoever changes it expects.
struct Read {
    value: Vec<u8>,
    version: Version,
}

impl Read {
    fn of(storage: &dyn Storage, key: &str) -> Result<Self> {
        let mut found = None;
        storage.read(&mut |s| {
            found = s.get(key)?;
            Ok(())
        })?;
        let row = found.ok_or(Error::Uninitialized)?;
        Ok(Self { value: row.value.to_vec(), version: row.version })
    }

    fn expect(storage: &dyn Storage, key: &str) -> Result<(String, Expect)> {
        Ok((key.to_owned(), Expect::Version(Self::of(storage, key)?.version)))
    }
}

/// Reads the shape of the seal; `None` before init.
///
/// # Errors
/// When it cannot be read.
pub fn config(storage: &dyn Storage) -> Result<Option<SealConfig>> {
    let mut found = None;
    storage.read(&mut |s| {
        found = s.get(SEAL)?;
        Ok(())
    })?;
    let Some(row) = found else { return Ok(None) };
    serde_json::from_slice(&row.value).map(Some).map_err(|_| Error::internal("the seal's configuration is damaged"))
}

/// Puts the root key under an unseal key.
fn wrap(root_key: &RootKey, unseal_key: &Secret<Vec<u8>>, rng: &dyn Rng) -> Result<Vec<u8>> {
    let mut nonce = [0; 12];
    rng.fill(&mut nonce);
    let mut bytes = nonce.to_vec();
    bytes.extend(AeadKey::from_bytes(unseal_key)?.seal(nonce, ROOT.as_bytes(), root_key.reveal())?);
    Ok(bytes)
}

/// Opens what [`wrap`] closed; the proof that the shares were the right ones.
fn unwrap(bytes: &[u8], unseal_key: &Secret<Vec<u8>>) -> Result<RootKey> {
    let wrong = || Error::invalid("unable to retrieve stored keys: invalid key: failed to decrypt keys from storage");
    let (nonce, sealed) = bytes.split_at_checked(12).ok_or_else(wrong)?;
    let key = AeadKey::from_bytes(unseal_key).map_err(|_| wrong())?;
    let opened = key.open(nonce.try_into().map_err(|_| wrong())?, ROOT.as_bytes(), sealed).map_err(|_| wrong())?;
    RootKey::from_bytes(&opened)
}

/// The key that shares meet in. Whether it is the right one shows when something is opened with it.
///
/// # Errors
/// [`Error::Invalid`] for shares that do not fit each other.
fn combine(config: &SealConfig, shares: &[Share]) -> Result<Secret<Vec<u8>>> {
    match shares {
        // With a single share, the share is the key.
        [only] if config.shares == 1 => Ok(only.bytes.clone()),
        shares => {
            let bytes: Vec<_> = shares.iter().map(|share| share.bytes.clone()).collect();
            Ok(crate::crypto::shamir::combine(&bytes)?)
        }
    }
}

/// The root key that this unseal key opens.
///
/// # Errors
/// [`Error::Invalid`] if it is not the right one.
fn root_key(storage: &dyn Storage, unseal_key: &Secret<Vec<u8>>) -> Result<RootKey> {
    unwrap(&Read::of(storage, ROOT)?.value, unseal_key)
}

/// Checks a quorum of shares of an open store.
///
/// # Errors
/// [`Error::Invalid`] if they are not the right ones.
fn check_quorum(barrier: &std::sync::Arc<Barrier>, config: &SealConfig, shares: &[Share]) -> Result<()> {
    let key = combine(config, shares)?;
    match config.keeper {
        Keeper::Shares => root_key(barrier.storage().as_ref(), &key).map(drop),
        Keeper::Static(_) => static_key::check_recovery_key(barrier, &key),
    }
}

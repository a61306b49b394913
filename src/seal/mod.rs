//! The unseal ceremony and what changes its keys.
//!
//!     shares → unseal key → root key → keyring
//!
//! The unseal key exists only while shares are put together: it opens the row that holds the root key. Shares have Vault's
//! form, so that shares made elsewhere and Vault's own command line work.

mod ceremony;
mod init;
mod share;
mod unseal;

pub use ceremony::{Ceremony, Offered};
pub use init::{Initialized, Shape, initialize};
pub use share::{parse as parse_share, text_base64, text_hex};
pub use unseal::{Opened, Progress, Sealed};

use serde::{Deserialize, Serialize};

use crate::barrier::RootKey;
use crate::base::{Error, Result, Rng, Secret};
use crate::crypto::aead::AeadKey;
use crate::storage::Storage;

/// Where the shape of the seal lies, readable: how many shares, how many of them open.
pub const SEAL: &str = "core/seal";
/// Where the root key lies, under the unseal key.
pub const ROOT: &str = "core/root";

/// The shape of the seal, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealConfig {
    /// How many shares there are.
    pub shares: u8,
    /// How many of them open.
    pub threshold: u8,
    /// The name of the store, for people who have several.
    pub cluster_name: String,
    /// Its id.
    pub cluster_id: String,
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

/// The root key that these shares open.
///
/// # Errors
/// [`Error::Invalid`] if they are not the right ones.
fn root_key(storage: &dyn Storage, config: &SealConfig, shares: &[Secret<Vec<u8>>]) -> Result<RootKey> {
    let unseal_key = match shares {
        // With a single share, the share is the key.
        [only] if config.shares == 1 => only.clone(),
        shares => crate::crypto::shamir::combine(shares)?,
    };
    let mut row = None;
    storage.read(&mut |s| {
        row = s.get(ROOT)?;
        Ok(())
    })?;
    unwrap(&row.ok_or(Error::Uninitialized)?.value, &unseal_key)
}

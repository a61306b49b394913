//! The audit log in Vault's file format: entries, devices, the broker, the proofs.
//!
//! A request goes to an engine only with a [`Recorded`], and its answer leaves only with a [`Released`]; both come
//! from [`Broker`] alone, once write(2) of at least one device has returned. What an entry shows is decided by type:
//! a string is hashed unless a rule says otherwise, never the other way round.

mod broker;
mod config;
mod device;
mod entry;
mod file;
mod format;
mod headers;
mod memo;

pub use broker::{Begun, Broker, Recorded, Released};
pub use config::{Declared, DeviceConfig, Rules};
pub use device::Health;
pub use entry::{AuthFacts, Entry, RequestFacts, ResponseFacts, WrapFacts};
pub use headers::{Header, HeaderRule, HeaderRules};
pub use memo::{Hashes, Memo};

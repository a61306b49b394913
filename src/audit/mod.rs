//! The audit log in Vault's file format: entries, devices, the broker, the proofs.
//!
//! A request goes to an engine only with a [`Recorded`], and its answer leaves only with a [`Released`]; both come
//! from [`Broker`] alone, once write(2) of at least one device has returned. What an entry shows is decided by type:
//! a string is hashed unless a rule says otherwise, never the other way round. Each line depends on all before it by its
//! digest ([`verify`]).

mod broker;
mod chain;
mod config;
mod desk;
mod device;
mod entry;
mod file;
mod format;
mod head;
mod headers;
mod memo;
mod queue;
pub mod verify;

pub use broker::{Begun, Broker, Recorded, Released};
pub use config::{Declared, DeviceConfig, Rules};
pub use device::Health;
pub use entry::{AuthFacts, Entry, RequestFacts, ResponseFacts, WrapFacts};
pub use head::{Head, Heads};
pub use headers::{Header, HeaderRule, HeaderRules};
pub use memo::{Hashes, Memo};

//! The vocabulary every other layer speaks: secrets, paths, names, JSON, time, chance, errors, limits.

pub mod error;
pub mod footprint;
pub mod form;
pub mod glob;
pub mod header;
pub mod ids;
pub mod json;
pub mod key;
pub mod limits;
pub mod name;
pub mod operation;
pub mod pace;
pub mod path;
pub mod process;
pub mod rng;
pub mod secret;
pub mod time;
pub mod wipe;

pub use error::{Error, Result};
pub use json::Json;
pub use key::Key;
pub use name::Name;
pub use operation::{Capabilities, Operation};
pub use pace::Pace;
pub use path::{MountPath, Path};
pub use rng::Rng;
pub use secret::Secret;
pub use time::{Clock, Timestamp, Ttl};

/// A boxed future, for traits that are used as objects.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

/// Whether a value is as by default: such fields need not be written down where `#[serde(default)]` reads them.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

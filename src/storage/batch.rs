//! What every backend of this process does with a batch: bounds, expectations, the function of an update.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{Batch, Change, Expect, Row, UpdateFn, Version};
use crate::base::{Error, Result, limits};

/// Longest key, in bytes: a path of the longest kind whose segments are encrypted and encoded, and a mount's prefix.
pub const KEY_BYTES: usize = 4 * limits::PATH_BYTES;

/// Refuses what no backend stores.
///
/// # Errors
/// [`Error::TooLarge`] for a value above [`limits::VALUE_BYTES`], [`Error::Invalid`] for an empty key or one above
/// [`KEY_BYTES`].
pub fn check(batch: &Batch) -> Result<()> {
    for (key, change) in &batch.changes {
        if key.is_empty() || key.len() > KEY_BYTES {
            return Err(Error::invalid(format!(
                "a storage key needs 1 to {KEY_BYTES} bytes, this one has {}",
                key.len()
            )));
        }
        if matches!(change, Change::Put(value) if value.len() > limits::VALUE_BYTES) {
            return Err(Error::TooLarge);
        }
    }
    Ok(())
}

/// The keys that a batch changes, each once, in order.
pub fn keys(batch: &Batch) -> Arc<[String]> {
    let mut keys: Vec<String> = batch.changes.iter().map(|(key, _)| key.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into()
}

/// Lets an update's function make its batch; a panic of it stays its own.
///
/// # Errors
/// What `f` answers, or [`Error::Internal`] if it panics.
pub fn make(f: &UpdateFn, rows: &[Option<Row>]) -> Result<Batch> {
    // Unwind safe: `f` is pure, and whatever it left half done inside itself is its own.
    catch_unwind(AssertUnwindSafe(|| f(rows))).unwrap_or_else(|_| Err(Error::internal("an update's function panicked")))
}

impl Expect {
    /// Whether a key with this version, or none, is as expected.
    pub(super) fn holds(self, version: Option<Version>) -> bool {
        match self {
            Self::Absent => version.is_none(),
            Self::Version(expected) => version == Some(expected),
            Self::Present => version.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, bytes: usize) -> Batch {
        Batch { expects: Vec::new(), changes: vec![(key.to_owned(), Change::Put(vec![0; bytes]))] }
    }

    #[test]
    fn what_is_too_large_is_refused() {
        assert!(matches!(check(&put("a", limits::VALUE_BYTES + 1)), Err(Error::TooLarge)));
        assert!(matches!(check(&put("", 1)), Err(Error::Invalid(_))));
        assert!(matches!(check(&put(&"k".repeat(KEY_BYTES + 1), 1)), Err(Error::Invalid(_))));
        assert!(check(&put(&"k".repeat(KEY_BYTES), limits::VALUE_BYTES)).is_ok());
    }

    #[test]
    fn keys_are_told_once() {
        let changes = ["b", "a", "b"].map(|key| (key.to_owned(), Change::Delete)).to_vec();
        assert_eq!(*keys(&Batch { expects: Vec::new(), changes }), ["a", "b"]);
    }
}

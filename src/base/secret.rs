//! A box for what must not leak: no `Display`, a `Debug` that says nothing, wiped when dropped.
//!
//! `grep -rn 'reveal()' src` lists every place where a secret leaves its box.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that shows itself only through [`Secret::reveal`].
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Puts a value into its box.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The one way out.
    pub fn reveal(&self) -> &T {
        &self.0
    }

    /// Changes the value in place, without a copy that nobody wipes.
    pub fn reveal_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Compares in a time that depends on the lengths only.
    pub fn same_as(&self, other: &[u8]) -> bool {
        self.0.as_ref().ct_eq(other).into()
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<&str> for Secret<String> {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::deserialize(from).map(Self)
    }
}

/// How a secret is written into storage, below the barrier: `#[serde(serialize_with = "stored")]`.
/// There is no `Serialize`, so that each place which writes one says so.
pub fn stored<T: Zeroize + Serialize, S: Serializer>(secret: &Secret<T>, to: S) -> Result<S::Ok, S::Error> {
    secret.reveal().serialize(to)
}

/// As [`stored`], for a secret that may be absent.
pub fn stored_option<T: Zeroize + Serialize, S: Serializer>(
    secret: &Option<Secret<T>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::reveal).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_says_nothing() {
        let secret = Secret::new("canary".to_owned());
        assert!(!format!("{secret:?}").contains("canary"));
    }

    #[test]
    fn comparison_minds_length_and_content() {
        let secret = Secret::new("abc".to_owned());
        assert!(secret.same_as(b"abc"));
        assert!(!secret.same_as(b"abd"));
        assert!(!secret.same_as(b"ab"));
    }
}

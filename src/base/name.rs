//! Names that become parts of paths and policies: one canonical form, decided when they are read.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Error, Result, limits};

/// A name of letters, digits, `_`, `-`, `.`, `@` and space-free: it cannot carry a path's or a policy's own marks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Checks a name and keeps its case.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty, too long, `.`, `..`, or holds another character.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid("a name cannot be empty"));
        }
        if text.len() > limits::NAME_BYTES {
            return Err(Error::invalid(format!("a name has at most {} bytes", limits::NAME_BYTES)));
        }
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | ':' | '$');
        if text == "." || text == ".." || !text.chars().all(fits) {
            return Err(Error::invalid("a name has letters, digits and _ - . @ : $ only"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Checks a name whose case does not count, and folds it.
    ///
    /// # Errors
    /// As [`Name::parse`].
    pub fn folded(text: &str) -> Result<Self> {
        Self::parse(&text.to_lowercase())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_paths_and_policies_are_no_part_of_a_name() {
        for text in ["", ".", "..", "a/b", "a+", "*", "a b", " a", "a\n", "a,b", "{a}", "a\\b", "a%2f"] {
            assert!(Name::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_keep_their_case_unless_it_does_not_count() {
        assert_eq!(Name::parse("Web-1.a").unwrap().as_str(), "Web-1.a");
        assert_eq!(Name::folded("Root").unwrap().as_str(), "root");
    }
}

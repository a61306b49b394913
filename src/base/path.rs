//! The canonical path of a request: made once, so that policy and router see the same bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Error, Result, limits};

/// A path below `/v1/`, decoded once, without empty, `.` or `..` segments. It may end in a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(String);

impl Path {
    /// Decodes what stands behind `/v1/` in a request line.
    ///
    /// # Errors
    /// [`Error::Invalid`] for bad percent-encoding or UTF-8, control characters, a slash that is
    /// encoded twice, empty, `.` and `..` segments, and what is too long.
    pub fn decode(raw: &str) -> Result<Self> {
        if raw.len() > 3 * limits::PATH_BYTES {
            return Err(Error::invalid("the path is too long"));
        }
        let bytes = raw.as_bytes();
        for (at, _) in raw.match_indices('%') {
            let hex = |i: usize| bytes.get(at + i).is_some_and(u8::is_ascii_hexdigit);
            if !(hex(1) && hex(2)) {
                return Err(Error::invalid("the path has a bad percent-encoding"));
            }
        }
        let text = percent_encoding::percent_decode_str(raw)
            .decode_utf8()
            .map_err(|_| Error::invalid("the path is not UTF-8"))?;
        Self::parse(&text)
    }

    /// Checks a path that is decoded already.
    ///
    /// # Errors
    /// As [`Path::decode`].
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > limits::PATH_BYTES {
            return Err(Error::invalid("the path is too long"));
        }
        if text.chars().any(|c| c.is_control() || is_confusing(c)) {
            return Err(Error::invalid("the path has a control character"));
        }
        let lower = text.to_ascii_lowercase();
        if lower.contains("%2f") || lower.contains("%2e") || text.contains('\\') {
            return Err(Error::invalid("the path has a slash or dot that is encoded twice, or a backslash"));
        }
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        let mut count = 0;
        for segment in trimmed.split('/') {
            count += 1;
            if segment.is_empty() && !trimmed.is_empty() {
                return Err(Error::invalid("the path has an empty segment"));
            }
            if segment == "." || segment == ".." {
                return Err(Error::invalid("the path has a segment '.' or '..'"));
            }
            if segment.len() > limits::SEGMENT_BYTES {
                return Err(Error::invalid("a segment of the path is too long"));
            }
        }
        if count > limits::PATH_SEGMENTS {
            return Err(Error::invalid("the path has too many segments"));
        }
        if trimmed.is_empty() {
            return Ok(Self(String::new()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of a list, which ends in a slash.
    #[must_use]
    pub fn into_folder(mut self) -> Self {
        if !self.0.is_empty() && !self.0.ends_with('/') {
            self.0.push('/');
        }
        self
    }

    /// The path of anything else, which does not.
    #[must_use]
    pub fn without_slash(mut self) -> Self {
        if self.0.ends_with('/') {
            self.0.pop();
        }
        self
    }

    /// The path with one stretch of it replaced, by a router that folds a name's case.
    pub(crate) fn replaced(&self, range: std::ops::Range<usize>, with: &str) -> Result<Self> {
        let mut text = self.0.clone();
        text.replace_range(range, with);
        Self::parse(&text)
    }
}

/// Characters that look like nothing or turn the line around: no honest path needs them.
fn is_confusing(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fffd}')
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an engine is mounted: segments that end in a slash, such as `secret/` or `auth/ci/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MountPath(String);

impl MountPath {
    /// Checks the path of a mount and gives it its slash.
    ///
    /// # Errors
    /// [`Error::Invalid`] as for [`Path::parse`], and for a path that is empty or has a mark of policies (`*`, `+`).
    pub fn parse(text: &str) -> Result<Self> {
        let path = Path::parse(text.trim_matches('/'))?.into_folder();
        if path.as_str().is_empty() {
            return Err(Error::invalid("the path of a mount cannot be empty"));
        }
        if path.as_str().contains(['*', '+', ',', '{', '}', '"', '%', '?', '#']) || path.as_str().contains(' ') {
            return Err(Error::invalid("the path of a mount cannot have a space or one of * + , { } \" % ? #"));
        }
        Ok(Self(path.0))
    }

    /// The text, with its slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MountPath {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tricks_are_refused() {
        for raw in [
            "a//b",
            "/a",
            "a/../b",
            "a/./b",
            "..",
            ".",
            "a/%2e%2e/b",
            "a/%2e/b",
            "a%2f%2fb",
            "a%252fb",
            "a%252Fb",
            "a/%252e%252e",
            "a\\b",
            "a%5cb",
            "a%00b",
            "a\u{7}b",
            "a%0ab",
            "%",
            "%4",
            "%zz",
            "a%ff",
            "a\u{202e}b",
            "a//",
        ] {
            assert!(Path::decode(raw).is_err(), "{raw:?}");
        }
        assert!(Path::decode(&"a".repeat(limits::SEGMENT_BYTES + 1)).is_err());
        assert!(Path::decode(&"a/".repeat(limits::PATH_SEGMENTS + 1)).is_err());
    }

    #[test]
    fn honest_paths_pass() {
        for (raw, path) in [
            ("secret/data/a..b", "secret/data/a..b"),
            ("secret/a%2Fb", "secret/a/b"),
            ("x/caf%C3%A9", "x/café"),
            ("x/50%25", "x/50%"),
            ("x/with%20space", "x/with space"),
            ("x/plus+sign", "x/plus+sign"),
            ("x/", "x/"),
            ("", ""),
            ("/", ""),
        ] {
            assert_eq!(Path::decode(raw).unwrap().as_str(), path, "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_canonical_stays_so(raw in "\\PC{0,40}") {
            if let Ok(path) = Path::decode(&raw) {
                proptest::prop_assert_eq!(Path::parse(path.as_str()).unwrap(), path);
            }
        }
    }
}

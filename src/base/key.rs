//! The key of a stored value, before its names are encrypted: segments, some of them moments in time.

use std::fmt;

use super::time::{Timestamp, nanoseconds};

/// Marks a segment that stays readable in storage, since its order counts.
pub const ORDERED: char = '\u{1}';

/// Segments joined by slashes. A segment is a name, which the barrier encrypts, or an ordered number, which it leaves.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key(String);

impl Key {
    /// A key of one or several names, joined by slashes.
    pub fn new(path: &str) -> Self {
        Self::default().join(path)
    }

    /// This key and more names below it. Slashes at the ends do not count.
    #[must_use]
    pub fn join(mut self, path: &str) -> Self {
        for segment in path.split('/').filter(|s| !s.is_empty()) {
            debug_assert!(!segment.starts_with(ORDERED), "names come from canonical paths");
            self.push(segment);
        }
        self
    }

    /// This key and a moment below it: such keys are in the order of time.
    #[must_use]
    pub fn at(self, moment: Timestamp) -> Self {
        self.ordered(nanoseconds(moment).max(0).unsigned_abs())
    }

    /// This key and a number below it, in the order of numbers.
    #[must_use]
    pub fn ordered(mut self, number: u64) -> Self {
        self.push(&format!("{ORDERED}{number:016x}"));
        self
    }

    /// This key and all segments of another below it.
    #[must_use]
    pub fn append(mut self, below: &Self) -> Self {
        if !below.0.is_empty() {
            self.push(&below.0);
        }
        self
    }

    fn push(&mut self, segment: &str) {
        if !self.0.is_empty() {
            self.0.push('/');
        }
        self.0.push_str(segment);
    }

    /// Its segments.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.0.split('/').filter(|s| !s.is_empty()).map(Segment::of)
    }

    /// What lies behind this prefix, if the key begins with all of its segments.
    pub fn below(&self, prefix: &Self) -> Option<&str> {
        if prefix.0.is_empty() {
            return Some(&self.0);
        }
        self.0.strip_prefix(&prefix.0)?.strip_prefix('/')
    }

    /// The text, with its marks.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One part of a [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// A name, encrypted in storage.
    Name(&'a str),
    /// Sixteen hexadecimal digits, readable in storage.
    Ordered(&'a str),
}

impl<'a> Segment<'a> {
    /// Reads one segment of [`Key::as_str`].
    pub fn of(text: &'a str) -> Self {
        match text.strip_prefix(ORDERED) {
            Some(number) => Self::Ordered(number),
            None => Self::Name(text),
        }
    }

    /// The number of an ordered segment.
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Ordered(text) => u64::from_str_radix(text, 16).ok(),
            Self::Name(_) => None,
        }
    }
}

impl fmt::Debug for Key {
    /// Shows the first segment only: names can be secrets to those who read logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}/..)", self.0.split('/').next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_order() {
        let early = Key::new("x").at(Timestamp::from_second(9).unwrap()).join("z");
        let late = Key::new("x").at(Timestamp::from_second(10).unwrap()).join("a");
        assert!(early < late);
        assert_eq!(early.segments().nth(1).unwrap().number(), Some(9_000_000_000));
    }

    #[test]
    fn below_minds_whole_segments() {
        let key = Key::new("a/bc/d");
        assert_eq!(key.below(&Key::new("a/bc")), Some("d"));
        assert_eq!(key.below(&Key::new("a/b")), None);
    }
}

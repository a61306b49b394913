//! What the path of a rule matches, and which of several patterns that match comes first.
//!
//! `*` is a wildcard only at the end, `+` only as a whole segment; anywhere else both are plain characters.

use std::cmp::Ordering;

/// The path of a rule, its leading slash taken off and its template filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The text, without the `*` at the end.
    text: Box<str>,
    /// Whether it ended in `*`.
    open: bool,
    /// Where the first `+` is; `None` if there is none.
    plus: Option<usize>,
    /// How many segments are `+`.
    pluses: usize,
}

impl Pattern {
    pub(super) fn new(path: &str) -> Self {
        let (text, open) = path.strip_suffix('*').map_or((path, false), |text| (text, true));
        let mut plus = None;
        let mut pluses = 0;
        let mut at = 0;
        for segment in text.split('/') {
            if segment == "+" {
                plus = plus.or(Some(at));
                pluses += 1;
            }
            at += segment.len() + 1;
        }
        Self { text: text.into(), open, plus, pluses }
    }

    /// The text without the `*` at the end.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a path and nothing more.
    pub(super) fn is_exact(&self) -> bool {
        !self.open && self.plus.is_none()
    }

    /// Where its first `+` is.
    pub(super) fn first_plus(&self) -> Option<usize> {
        self.plus
    }

    /// Whether it ends in a `*`.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether a path can be written as a pattern that covers it alone.
    pub(super) fn can_be_exact(path: &str) -> bool {
        !path.is_empty()
            && !path.contains("+*")
            && !path.contains("{{")
            && !path.contains("}}")
            && Self::new(path).is_exact()
    }

    /// As it would be written.
    pub(super) fn written(&self) -> String {
        format!("{}{}", self.text, if self.open { "*" } else { "" })
    }

    /// Whether it covers this path.
    pub(super) fn matches(&self, path: &str) -> bool {
        let Some(plus) = self.plus else {
            return if self.open { path.starts_with(&*self.text) } else { path == &*self.text };
        };
        // What stands before the first `+` ends in a slash or is nothing: most patterns fail here.
        let (head, tail) = self.text.split_at(plus);
        let Some(rest) = path.strip_prefix(head) else { return false };
        let mut segments = rest.split('/').peekable();
        let mut wanted = tail.split('/').peekable();
        while let Some(want) = wanted.next() {
            let Some(have) = segments.next() else { return false };
            let fits = if want == "+" {
                // Only the last segment can be empty: that of a folder.
                !have.is_empty() || segments.peek().is_none()
            } else if self.open && wanted.peek().is_none() {
                return have.starts_with(want);
            } else {
                have == want
            };
            if !fits {
                return false;
            }
        }
        segments.next().is_none()
    }

    /// Whether it covers this folder (which ends in a slash, or is nothing) or could cover something below it.
    pub(super) fn reaches(&self, folder: &str) -> bool {
        let mut wanted = self.text.split('/').peekable();
        for have in folder.split_terminator('/') {
            let Some(want) = wanted.next() else { return false };
            if self.open && wanted.peek().is_none() {
                return have.starts_with(want);
            }
            if want != "+" && want != have {
                return false;
            }
        }
        // `secret` is not below `secret/`, but a rule for the folder itself is often written so.
        true
    }

    /// Which of two patterns that both match comes first: the greater. In this order: its first wildcard is later; it
    /// does not end in `*`; it has fewer `+`; it is longer; it is greater as text.
    pub(super) fn priority(&self, other: &Self) -> Ordering {
        let first = |pattern: &Self| pattern.plus.unwrap_or(pattern.text.len());
        first(self)
            .cmp(&first(other))
            .then_with(|| other.open.cmp(&self.open))
            .then_with(|| other.pluses.cmp(&self.pluses))
            .then_with(|| self.text.len().cmp(&other.text.len()))
            .then_with(|| self.text.cmp(&other.text))
    }
}

/// The prefixes of `*` rules as a trie, laid out in an array: sorted, each with the longest other that it begins with.
#[derive(Debug, Default)]
pub(super) struct Prefixes(Vec<Prefix>);

#[derive(Debug)]
struct Prefix {
    text: Box<str>,
    rule: u32,
    parent: Option<u32>,
}

impl Prefixes {
    /// Takes prefixes and their rules; no prefix is there twice.
    pub(super) fn new(mut prefixes: Vec<(Box<str>, u32)>) -> Self {
        prefixes.sort_unstable();
        let mut trie: Vec<Prefix> = Vec::with_capacity(prefixes.len());
        for (text, rule) in prefixes {
            // What comes before in order and begins `text` is the entry just before it, or one of that one's parents.
            let mut parent = trie.len().checked_sub(1);
            while let Some(at) = parent {
                if text.starts_with(&*trie[at].text) {
                    break;
                }
                parent = trie[at].parent.map(|at| at as usize);
            }
            trie.push(Prefix { text, rule, parent: parent.and_then(|at| u32::try_from(at).ok()) });
        }
        Self(trie)
    }

    /// The rule of the longest prefix that `path` begins with.
    pub(super) fn longest(&self, path: &str) -> Option<u32> {
        let mut at = self.0.partition_point(|prefix| &*prefix.text <= path).checked_sub(1)?;
        loop {
            let prefix = &self.0[at];
            if path.starts_with(&*prefix.text) {
                return Some(prefix.rule);
            }
            at = prefix.parent? as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plus_is_one_segment() {
        for (pattern, path, fits) in [
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a/b/b/c", false),
            ("a/+/c", "a/c", false),
            ("a/+/c", "a//c", false),
            ("a/+", "a/", true),
            ("a/+", "a/b", true),
            ("a/+", "a/b/", false),
            ("a/+", "a", false),
            ("+", "a", true),
            ("+", "", true),
            ("+/a", "x/a", true),
            ("a/+/", "a/b/", true),
            ("a/+/", "a/b", false),
            ("a/+/se*", "a/b/secret/d", true),
            ("a/+/se*", "a/b/s", false),
            ("a/+/*", "a/b/", true),
            ("a/+/*", "a/b/c/d", true),
            ("a/+/*", "a/b", false),
            ("a/+b", "a/xb", false),
            ("a/+b", "a/+b", true),
            ("a/b+/c", "a/b+/c", true),
            ("a*b", "a*b", true),
            ("a*b", "axb", false),
            ("a*", "a", true),
            ("a*", "ab/c", true),
            ("*", "", true),
            ("a", "a/", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(path), fits, "{pattern} {path}");
        }
    }

    #[test]
    fn the_documented_order_holds() {
        // Each is greater than the one after it, for a path that both match.
        for (greater, lesser) in [
            ("a/b/+", "a/+/c"),
            ("a/b*", "a/+/c"),
            ("a/+", "a/*"),
            ("a/*", "a/+/c*"),
            ("a/+/c", "a/+/+"),
            ("a/+/cc*", "a/+/c*"),
            ("a/+/d/+", "a/+/c/+"),
            ("a/+/c", "a/+/c*"),
        ] {
            assert_eq!(Pattern::new(greater).priority(&Pattern::new(lesser)), Ordering::Greater, "{greater} {lesser}");
        }
    }

    #[test]
    fn a_folder_is_reached_by_what_could_lie_below_it() {
        for (pattern, folder, fits) in [
            ("secret/+/x", "secret/", true),
            ("+/data/*", "secret/", true),
            ("sec*", "secret/", true),
            ("+", "secret/", true),
            ("other/+", "secret/", false),
            ("a/+/c", "a/b/c/", true),
            ("a/+/d", "a/b/c/", false),
            ("a/+", "a/b/c/", false),
        ] {
            assert_eq!(Pattern::new(pattern).reaches(folder), fits, "{pattern} {folder}");
        }
    }

    proptest! {
        #[test]
        fn the_trie_finds_the_longest_prefix(
            prefixes in proptest::collection::btree_set("[ab/]{0,5}", 0..12),
            path in "[ab/]{0,8}",
        ) {
            let list: Vec<&String> = prefixes.iter().collect();
            let numbered = list.iter().zip(0..).map(|(text, rule)| (text.as_str().into(), rule)).collect();
            let expected = list.iter().filter(|text| path.starts_with(text.as_str())).max_by_key(|text| text.len());
            let found = Prefixes::new(numbered).longest(&path).map(|rule| list[rule as usize]);
            prop_assert_eq!(found, expected.copied());
        }
    }
}

//! How the patterns of two rules lie to one another: one within the other, crossing, or apart.

use super::pattern::Pattern;

/// One segment of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// This very text.
    Literal(&'a str),
    /// Any text but none; as the last segment none as well.
    Any,
    /// The end of an open pattern: a text that begins so, and whatever follows.
    Open(&'a str),
}

impl Pattern {
    /// The segments; there is at least one.
    pub(super) fn parts(&self) -> Vec<Part<'_>> {
        let last = self.text().split('/').count() - 1;
        let part = |(at, text)| match text {
            "+" if !(self.is_open() && at == last) => Part::Any,
            _ if self.is_open() && at == last => Part::Open(text),
            _ => Part::Literal(text),
        };
        self.text().split('/').enumerate().map(part).collect()
    }

    /// Whether every path that `other` covers is covered by this one as well.
    pub(super) fn contains(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.parts(), other.parts());
        for (at, part) in mine.iter().enumerate() {
            let fits = match (part, theirs.get(at)) {
                (_, None) => false,
                (Part::Open(start), Some(Part::Literal(text) | Part::Open(text))) => return text.starts_with(start),
                (Part::Open(start), Some(Part::Any)) => return start.is_empty(),
                (Part::Any, Some(Part::Any)) => true,
                (Part::Any, Some(Part::Literal(text))) => !text.is_empty() || at + 1 == mine.len(),
                (Part::Literal(mine), Some(Part::Literal(text))) => mine == text,
                (Part::Any | Part::Literal(_), Some(_)) => false,
            };
            if !fits {
                return false;
            }
        }
        mine.len() == theirs.len()
    }

    /// The paths that both cover, for people; `None` if there are none. A segment of which only the beginning is fixed is
    /// written with an ellipsis, for which policies have no sign.
    pub(super) fn meet(&self, other: &Self) -> Option<String> {
        if other.contains(self) {
            return Some(self.written());
        }
        if self.contains(other) {
            return Some(other.written());
        }
        let (mine, theirs) = (self.parts(), other.parts());
        let mut met = Vec::new();
        for at in 0.. {
            let (one, two) = match (mine.get(at), theirs.get(at)) {
                (Some(one), Some(two)) => (*one, *two),
                (None, None) => break,
                _ => return None,
            };
            let (start, rest) = match (one, two) {
                (Part::Open(a), Part::Open(b)) => {
                    met.push(if a.starts_with(b) {
                        format!("{a}*")
                    } else {
                        b.starts_with(a).then(|| format!("{b}*"))?
                    });
                    break;
                }
                (Part::Open(start), _) => (start, &theirs[at..]),
                (_, Part::Open(start)) => (start, &mine[at..]),
                (Part::Any, other) | (other, Part::Any) => {
                    met.push(other.written());
                    continue;
                }
                (Part::Literal(a), Part::Literal(b)) => {
                    met.push((a == b).then(|| a.to_owned())?);
                    continue;
                }
            };
            met.push(match rest[0] {
                Part::Literal(text) => text.starts_with(start).then(|| text.to_owned())?,
                _ if start.is_empty() => "+".to_owned(),
                _ => format!("{start}…"),
            });
            met.extend(rest[1..].iter().map(|part| part.written()));
            break;
        }
        Some(met.join("/"))
    }
}

impl Part<'_> {
    fn written(self) -> String {
        match self {
            Self::Literal(text) => text.to_owned(),
            Self::Any => "+".to_owned(),
            Self::Open(text) => format!("{text}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_lie_within_cross_or_stay_apart() {
        for (one, two, contains, met) in [
            ("a/*", "a/b", true, Some("a/b")),
            ("a/*", "a/+/c", true, Some("a/+/c")),
            ("a/*", "a", false, None),
            ("a*", "a/b*", true, Some("a/b*")),
            ("+/b", "a/+", false, Some("a/b")),
            ("a/+/c", "a/b*", false, Some("a/b…/c")),
            ("a/b*", "a/+/c*", false, Some("a/b…/c*")),
            ("a/+", "a/b/+", false, None),
            ("+/*", "a/+", true, Some("a/+")),
            ("a/+/c*", "a/+/cd*", true, Some("a/+/cd*")),
            ("a/+/c*", "+/b/cd", false, Some("a/b/cd")),
            ("a/+/x", "a/+/y", false, None),
        ] {
            let (one, two) = (Pattern::new(one), Pattern::new(two));
            assert_eq!(one.contains(&two), contains, "{one:?} {two:?}");
            assert_eq!(one.meet(&two).as_deref(), met, "{one:?} {two:?}");
            assert_eq!(two.meet(&one).as_deref(), met, "{one:?} {two:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_said_holds_for_paths(one in "(a|b|ab|\\+)(/(a|b|ab|\\+)){0,2}(/\\*|/a\\*|/)?", two in "(a|b|ab|\\+)(/(a|b|ab|\\+)){0,2}(/\\*|/a\\*|/)?") {
            let (one, two) = (Pattern::new(&one), Pattern::new(&two));
            let (mut both, mut outside) = (false, false);
            for path in crate::policy::tests::paths(&["a", "b", "ab", "aa", "x"], 4) {
                both |= one.matches(&path) && two.matches(&path);
                outside |= !one.matches(&path) && two.matches(&path);
            }
            prop_assert_eq!(one.meet(&two).is_some(), both);
            prop_assert_eq!(one.contains(&two), !outside);
        }
    }
}

//! The path space cut into classes: all paths of a class are covered by the same rules, so one of them stands for the rest.
//!
//! The walk goes down segment by segment and follows the patterns that still fit, as an automaton would. At each step a
//! segment is either a text that some pattern names, the beginning of one with something unheard-of behind it, or
//! unheard-of altogether; other segments there are none, as far as patterns can tell.

use super::pattern::Pattern;
use super::relation::Part;
use crate::base::Path;

/// Most paths of one walk. Real sets have hundreds; rules with a `+` at several places can have very many together.
const CLASSES: usize = 200_000;

/// The rules cross in more ways than are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the rules cross in more than {CLASSES} ways: they have too many \"+\"")
    }
}

/// Calls `each` with one path of every class, without a slash at its end. A class that no pattern covers may be left out.
pub(super) fn walk(patterns: &[&Pattern], each: &mut dyn FnMut(&Path)) -> Result<(), TooMany> {
    let parts: Vec<Vec<Part<'_>>> = patterns.iter().map(|pattern| pattern.parts()).collect();
    let alive = (0..parts.len()).collect();
    let mut walk = Walk { parts, unheard: unheard(patterns), left: CLASSES, each };
    walk.descend(&mut String::new(), 0, alive, false)
}

/// A character that no pattern has.
fn unheard(patterns: &[&Pattern]) -> char {
    let used = |c: &char| patterns.iter().any(|pattern| pattern.text().contains(*c));
    let candidates = ('a'..='z').rev().chain('0'..='9').chain('A'..='Z').chain('\u{4e00}'..='\u{9fff}');
    candidates.into_iter().find(|c| !used(c)).unwrap_or('\u{4e00}')
}

struct Walk<'a> {
    parts: Vec<Vec<Part<'a>>>,
    unheard: char,
    left: usize,
    each: &'a mut dyn FnMut(&Path),
}

/// What a segment makes of the patterns that fitted so far.
#[derive(Default)]
struct Step {
    /// Those that want more.
    alive: Vec<usize>,
    /// One ended here.
    ended: bool,
    /// One is open from here on.
    opened: bool,
}

impl Walk<'_> {
    fn descend(&mut self, path: &mut String, depth: usize, alive: Vec<usize>, open: bool) -> Result<(), TooMany> {
        let length = path.len();
        for segment in self.segments(&alive, depth) {
            let step = self.step(&alive, depth, &segment);
            let open = open || step.opened;
            if !open && !step.ended && step.alive.is_empty() {
                continue;
            }
            if depth > 0 {
                path.push('/');
            }
            path.push_str(&segment);
            // What no request can ask for, such as a segment of dots, is no path.
            if self.visit(path)? {
                if !step.alive.is_empty() {
                    self.descend(path, depth + 1, step.alive, open)?;
                } else if open && step.ended {
                    path.push('/');
                    path.push(self.unheard);
                    self.visit(path)?;
                }
            }
            path.truncate(length);
        }
        Ok(())
    }

    fn visit(&mut self, path: &str) -> Result<bool, TooMany> {
        self.left = self.left.checked_sub(1).ok_or(TooMany)?;
        let Ok(path) = Path::parse(path) else { return Ok(false) };
        (self.each)(&path);
        Ok(true)
    }

    /// One segment of each kind that the patterns can tell apart here.
    fn segments(&self, alive: &[usize], depth: usize) -> Vec<String> {
        let mut segments = vec![self.unheard.to_string()];
        for pattern in alive {
            match self.parts[*pattern][depth] {
                Part::Literal("") | Part::Any => {}
                Part::Literal(text) => segments.push(text.to_owned()),
                Part::Open(start) => segments.push(format!("{start}{}", self.unheard)),
            }
        }
        segments.sort_unstable();
        segments.dedup();
        segments
    }

    fn step(&self, alive: &[usize], depth: usize, segment: &str) -> Step {
        let mut step = Step::default();
        for number in alive {
            let parts = &self.parts[*number];
            let fits = match parts[depth] {
                Part::Literal(text) => text == segment,
                Part::Any => true,
                Part::Open(start) => {
                    step.opened |= segment.starts_with(start);
                    continue;
                }
            };
            if fits && depth + 1 == parts.len() {
                step.ended = true;
            } else if fits {
                step.alive.push(*number);
            }
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn walked(patterns: &[Pattern]) -> Vec<String> {
        let mut paths = Vec::new();
        walk(&patterns.iter().collect::<Vec<_>>(), &mut |path| paths.push(path.as_str().to_owned())).unwrap();
        paths
    }

    /// Which patterns cover a path as it is, and which as a folder.
    fn class(patterns: &[Pattern], path: &str) -> Vec<(bool, bool)> {
        let folder = format!("{path}/");
        patterns.iter().map(|pattern| (pattern.matches(path), pattern.matches(&folder))).collect()
    }

    #[test]
    fn a_walk_that_would_not_end_is_given_up() {
        let texts = (0..12).map(|at| format!("{}x{at}{}", "+/".repeat(at), "/+".repeat(12 - at)));
        let patterns: Vec<Pattern> = (0..3)
            .flat_map(|n| texts.clone().map(move |text| text.replace('x', &format!("{n}x"))))
            .map(|text| Pattern::new(&text))
            .collect();
        assert_eq!(walk(&patterns.iter().collect::<Vec<_>>(), &mut |_| {}), Err(TooMany));
    }

    proptest! {
        #[test]
        fn every_class_of_paths_has_one_in_the_walk(
            texts in proptest::collection::vec("(a|b|ab|\\+)(/(a|b|ab|\\+)){0,2}(/\\*|/a\\*|/)?", 0..8),
        ) {
            let patterns: Vec<Pattern> = texts.iter().map(|text| Pattern::new(text)).collect();
            let known: BTreeSet<_> = walked(&patterns).iter().map(|path| class(&patterns, path)).collect();
            for path in crate::policy::tests::paths(&["a", "b", "ab", "aa", "x"], 4) {
                let class = class(&patterns, path.trim_end_matches('/'));
                prop_assert!(known.contains(&class) || class.iter().all(|one| *one == (false, false)), "{}", path);
            }
        }
    }
}

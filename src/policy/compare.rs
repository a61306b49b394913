//! Two sets of policies compared by what they decide, not by what they say: who holds them gains this and loses that there.
//!
//! Both sets are asked about one path of each class of paths (see `space`). What comes out differently is told once for each
//! pair of rules that decide, with a path to try it on.

use std::collections::BTreeMap;

use super::acl::{Acl, Merged, words};
use super::explain::RuleView;
use super::pattern::Pattern;
use super::space::{self, TooMany};
use super::template::AnyFacts;
use crate::base::{Capabilities, Path};

/// What is decided differently where these two rules decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<'a> {
    /// The paths: those that both rules cover, without the ones that a more specific rule decides.
    pub paths: String,
    /// One of them, with a letter for what no rule names.
    pub example: String,
    /// The rule that decides before; none if no rule covers the paths.
    pub before: Option<RuleView<'a>>,
    /// The rule that decides after.
    pub after: Option<RuleView<'a>>,
    /// Capabilities that only the second set gives, sorted.
    pub gains: Vec<&'static str>,
    /// Capabilities that only the first set gives, sorted.
    pub loses: Vec<&'static str>,
    /// What became of the limits of parameters and wrapping, for what both sets give.
    pub limits: Option<Change>,
    /// What became of a denial that other policies cannot outdo. Of whole sets it is not told: there it gives nothing, like
    /// the absence of a rule.
    pub denial: Option<Change>,
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

impl Change {
    /// As a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One policy of several that a token has: its denials count.
    Policy,
    /// All policies of a token.
    Set,
}

/// Everything but a list.
const PLAIN: Capabilities = Capabilities::CREATE
    .with(Capabilities::READ)
    .with(Capabilities::UPDATE)
    .with(Capabilities::DELETE)
    .with(Capabilities::PATCH);

/// How two rules differ, as far as the paths that were met can tell.
#[derive(Default)]
struct Found {
    example: String,
    gains: Capabilities,
    loses: Capabilities,
    limits: Option<Change>,
    denial: Option<Change>,
}

/// All that two sets decide differently; nothing if they are the same in effect.
///
/// # Errors
/// [`TooMany`].
pub fn compare<'a>(before: &'a Acl, after: &'a Acl, scope: Scope) -> Result<Vec<Difference<'a>>, TooMany> {
    if before.is_root() || after.is_root() {
        return Ok(if before.is_root() == after.is_root() { Vec::new() } else { vec![all(after.is_root())] });
    }
    let patterns: Vec<&Pattern> = before.rules.iter().chain(&after.rules).map(|rule| &rule.pattern).collect();
    let mut found: BTreeMap<(Option<u32>, Option<u32>), Found> = BTreeMap::new();
    space::walk(&patterns, &mut |path| {
        let folder = path.clone().into_folder();
        for (path, list) in [(path, false), (&folder, false), (path, true)] {
            let key = (before.find(path.as_str(), list), after.find(path.as_str(), list));
            let rules = (key.0.map(|number| before.rule(number)), key.1.map(|number| after.rule(number)));
            if let Some(one) = differ(rules.0, rules.1, list, scope) {
                found.entry(key).or_default().add(one, path);
            }
        }
    })?;
    let mut differences: Vec<Difference<'_>> =
        found.into_iter().map(|((old, new), found)| found.told(before, old, after, new)).collect();
    differences.sort_by(|a, b| (&a.paths, &a.example).cmp(&(&b.paths, &b.example)));
    Ok(differences)
}

/// The difference between all and not all.
fn all(gained: bool) -> Difference<'static> {
    let (gains, loses) = if gained { (vec![super::ROOT], vec![]) } else { (vec![], vec![super::ROOT]) };
    let paths = "*".to_owned();
    Difference { example: paths.clone(), paths, before: None, after: None, gains, loses, limits: None, denial: None }
}

/// How a request is decided differently by one rule and by the other; `None` if it is not.
fn differ(before: Option<&Merged>, after: Option<&Merged>, list: bool, scope: Scope) -> Option<Found> {
    let (old, new) = (given(before, list), given(after, list));
    let mut found = Found { gains: new.without(old), loses: old.without(new), ..Found::default() };
    let common = old.and(new).without(Capabilities::SUDO);
    if !common.is_empty() {
        found.limits = limits_changed(before, after, common);
    }
    let denies = |rule: Option<&Merged>| rule.is_some_and(|rule| rule.capabilities.has(Capabilities::DENY));
    if scope == Scope::Policy {
        found.denial = match (denies(before), denies(after)) {
            (false, true) => Some(Change::Added),
            (true, false) => Some(Change::Removed),
            _ => None,
        };
    }
    let same = found.gains.is_empty() && found.loses.is_empty() && found.limits.is_none() && found.denial.is_none();
    (!same).then_some(found)
}

/// What became of the limits of what both rules give.
fn limits_changed(before: Option<&Merged>, after: Option<&Merged>, common: Capabilities) -> Option<Change> {
    let limits = |rule: Option<&Merged>| rule?.limits.as_deref().cloned();
    let (old, new) = (limits(before), limits(after));
    if old.is_none() && new.is_none() {
        return None;
    }
    // Lists and deletions are not asked for their parameters.
    let parameters = !common.without(Capabilities::LIST.with(Capabilities::DELETE)).is_empty();
    let [old, new] = [old, new].map(|limits| {
        let limits = limits.unwrap_or_default().normal();
        if parameters { limits } else { limits.of_wrapping() }
    });
    match (old.is_empty(), new.is_empty()) {
        _ if old == new => None,
        (true, _) => Some(Change::Added),
        (_, true) => Some(Change::Removed),
        _ => Some(Change::Changed),
    }
}

/// What a rule gives in effect. `sudo` alone opens nothing.
fn given(rule: Option<&Merged>, list: bool) -> Capabilities {
    let asked = if list { Capabilities::LIST } else { PLAIN };
    let all = rule.map(|rule| rule.capabilities).unwrap_or_default();
    let given = all.and(asked);
    if given.is_empty() { given } else { all.and(asked.with(Capabilities::SUDO)) }
}

impl Found {
    fn add(&mut self, one: Self, path: &Path) {
        // A path without a slash at its end is what one would try.
        if self.example.is_empty() || (self.example.ends_with('/') && !path.as_str().ends_with('/')) {
            self.example = path.as_str().to_owned();
        }
        self.gains = self.gains.with(one.gains);
        self.loses = self.loses.with(one.loses);
        self.limits = self.limits.or(one.limits);
        self.denial = self.denial.or(one.denial);
    }

    fn told<'a>(self, before: &'a Acl, old: Option<u32>, after: &'a Acl, new: Option<u32>) -> Difference<'a> {
        let list = |set: Capabilities| if set.is_empty() { Vec::new() } else { words(set) };
        let (old, new) = (old.map(|number| before.rule(number)), new.map(|number| after.rule(number)));
        let paths = match (old, new) {
            // Of a folder one rule may cover the name with its slash, and the other the name without it.
            (Some(old), Some(new)) => old.pattern.meet(&new.pattern).unwrap_or_else(|| self.example.clone()),
            (Some(rule), None) | (None, Some(rule)) => rule.pattern.written(),
            (None, None) => self.example.clone(),
        };
        Difference {
            paths: AnyFacts::unfilled(&paths),
            example: AnyFacts::unfilled(&self.example),
            before: old.map(|rule| before.view(rule)),
            after: new.map(|rule| after.view(rule)),
            gains: list(self.gains),
            loses: list(self.loses),
            limits: self.limits,
            denial: self.denial,
        }
    }
}

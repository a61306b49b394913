//! The policies of one token, put together for quick answers.
//!
//! Rules with the very same path become one: capabilities are joined, a `deny` wipes the rest. Between different
//! paths the more specific decides alone, whatever it gives: an exact path, else the greatest by
//! `Pattern::priority`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::decision::{Decision, Denial, Grant, Query, Reason, Wrapping};
use super::document::Policy;
use super::limits::{Limits, Refused};
use super::pattern::{Pattern, Prefixes};
use super::template::Facts;
use crate::base::{Capabilities, Operation};

/// A compiled set of policies. Immutable; a check takes no lock.
#[derive(Debug, Default)]
pub struct Acl {
    root: bool,
    pub(super) policies: Vec<Arc<Policy>>,
    pub(super) rules: Vec<Merged>,
    /// Paths without wildcards.
    exact: HashMap<Box<str>, u32>,
    /// Paths that end in `*`.
    prefixes: Prefixes,
    /// Paths with a `+`, by what stands before the first one: the longest first.
    segments: Vec<Heads>,
    /// The rules of `exact` and `prefixes`, sorted by text.
    ordered: Vec<u32>,
    /// Templated rules that could not be filled in: policy and rule.
    pub(super) dropped: Vec<(u32, u32)>,
}

/// The rules whose first `+` stands at one place, by the text before it.
#[derive(Debug)]
struct Heads {
    length: usize,
    /// Of each text, the greatest priority first.
    rules: HashMap<Box<str>, Vec<u32>>,
}

/// All rules with one path.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) pattern: Pattern,
    pub(super) capabilities: Capabilities,
    pub(super) limits: Option<Box<Limits>>,
    /// Where they come from: the number of the policy, and that of the rule within it.
    pub(super) origins: Vec<(u32, u32)>,
}

/// One path of a compiled set, as `sys/internal/ui/resultant-acl` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline<'a> {
    /// The path, without the `*` at its end.
    pub path: &'a str,
    /// Whether it has a wildcard.
    pub glob: bool,
    /// The capabilities, sorted.
    pub capabilities: Vec<&'static str>,
}

/// Who wants to know more than the answer. The evaluation is the same for all; for `()` it costs nothing.
pub(super) trait Recorder {
    /// This rule decides.
    fn decided(&mut self, _rule: u32) {}
    /// This parameter is the reason.
    fn parameter(&mut self, _name: &str) {}
}

impl Recorder for () {}

impl Acl {
    /// Puts policies together for whoever the facts describe. A rule whose template cannot be filled in is left out.
    /// If the policy `root` is among them, everything is allowed.
    pub fn compile(policies: &[Arc<Policy>], facts: &dyn Facts) -> Self {
        let mut acl = Self { root: policies.iter().any(|policy| policy.is_root()), ..Self::default() };
        if acl.root {
            return acl;
        }
        acl.policies = policies.to_vec();
        let mut known: HashMap<String, usize> = HashMap::new();
        for (policy, number) in policies.iter().zip(0..) {
            for (rule, at) in policy.rules().iter().zip(0..) {
                let path = match rule.template() {
                    None => rule.path().to_owned(),
                    Some(template) => match template.fill(facts) {
                        Some(path) => path,
                        None => {
                            acl.dropped.push((number, at));
                            continue;
                        }
                    },
                };
                let place = *known.entry(path).or_insert_with_key(|path| {
                    acl.rules.push(Merged::new(Pattern::new(path)));
                    acl.rules.len() - 1
                });
                acl.rules[place].add(rule.capabilities(), rule.limits(), (number, at));
            }
        }
        acl.index();
        acl
    }

    fn index(&mut self) {
        let mut prefixes = Vec::new();
        let mut segments: BTreeMap<usize, HashMap<Box<str>, Vec<u32>>> = BTreeMap::new();
        for (rule, number) in self.rules.iter().zip(0u32..) {
            let text = rule.pattern.text();
            if let Some(plus) = rule.pattern.first_plus() {
                segments.entry(plus).or_default().entry(text[..plus].into()).or_default().push(number);
                continue;
            }
            if rule.pattern.is_open() {
                prefixes.push((text.into(), number));
            } else {
                self.exact.insert(text.into(), number);
            }
            self.ordered.push(number);
        }
        self.prefixes = Prefixes::new(prefixes);
        let rules = &self.rules;
        let pattern = |number: &u32| &rules[*number as usize].pattern;
        segments.values_mut().flat_map(HashMap::values_mut).for_each(|numbers| {
            numbers.sort_by(|a, b| pattern(b).priority(pattern(a)));
        });
        self.segments = segments.into_iter().rev().map(|(length, rules)| Heads { length, rules }).collect();
        self.ordered.sort_by(|a, b| pattern(a).text().cmp(pattern(b).text()));
    }

    /// Whether everything is allowed.
    pub const fn is_root(&self) -> bool {
        self.root
    }

    /// Whether a request may run.
    pub fn check(&self, query: &Query<'_>) -> Decision {
        self.evaluate(query, &mut ())
    }

    pub(super) fn evaluate(&self, query: &Query<'_>, recorder: &mut impl Recorder) -> Decision {
        if self.root {
            return Decision::Allow(Grant::new(query, true, Wrapping::NONE));
        }
        let Some(number) = self.find(query.path.as_str(), query.operation == Operation::List) else {
            return Decision::Deny(Denial { reason: Reason::NoRule, rule: None });
        };
        recorder.decided(number);
        match self.rule(number).admit(query, recorder) {
            Ok(wrapping) => Decision::Allow(Grant::new(query, false, wrapping)),
            Err(reason) => Decision::Deny(Denial { reason, rule: Some(number) }),
        }
    }

    /// The capabilities on a path, sorted: `["root"]`, or `["deny"]` if there is none. A path that ends in a slash is
    /// looked up as a list would.
    pub fn capabilities(&self, path: &str) -> Vec<&'static str> {
        if self.root {
            return vec![super::ROOT];
        }
        let path = path.trim_start_matches('/');
        let found = self.find(path, path.ends_with('/')).map(|number| self.rule(number).capabilities);
        words(found.unwrap_or_default())
    }

    /// Whether there is any capability on a mount's path or below it. `prefix` ends in a slash.
    pub fn may_see_mount(&self, prefix: &str) -> bool {
        if self.root {
            return true;
        }
        let gives = |number: u32| {
            let capabilities = self.rule(number).capabilities;
            !capabilities.is_empty() && !capabilities.has(Capabilities::DENY)
        };
        if self.find(prefix, true).is_some_and(gives) {
            return true;
        }
        let text = |number: &u32| self.rule(*number).pattern.text();
        let start = self.ordered.partition_point(|number| text(number) < prefix);
        let mut below = self.ordered[start..].iter().take_while(|number| text(number).starts_with(prefix));
        below.any(|number| gives(*number))
            || self
                .segments
                .iter()
                .flat_map(|heads| heads.rules.values().flatten())
                .any(|number| gives(*number) && self.rule(*number).pattern.reaches(prefix))
    }

    /// Every path and what it gives; nothing for root.
    pub fn outline(&self) -> impl Iterator<Item = Outline<'_>> {
        self.rules.iter().map(|rule| Outline {
            path: rule.pattern.text(),
            glob: !rule.pattern.is_exact(),
            capabilities: words(rule.capabilities),
        })
    }

    pub(super) fn rule(&self, number: u32) -> &Merged {
        &self.rules[number as usize]
    }

    /// The rule that decides about a path.
    ///
    /// A folder is listed as `a/b/`, and rules for it are written as `a/b/` or as `a/b`: exact paths are tried in this
    /// order, then patterns in this order. But a pattern that denies `a/b` is not outdone by a less specific one that
    /// happens to match `a/b/` alone.
    pub(super) fn find(&self, path: &str, list: bool) -> Option<u32> {
        if !list {
            return self.exact.get(path).copied().or_else(|| self.best(path));
        }
        let bare = path.strip_suffix('/').unwrap_or(path);
        if path.len() != bare.len() || path.is_empty() {
            return self.find_list(path, bare);
        }
        // The router hands over folders with their slash; whoever does not pays for the copy.
        self.find_list(&format!("{bare}/"), bare)
    }

    fn find_list(&self, folder: &str, bare: &str) -> Option<u32> {
        if let Some(number) = self.exact.get(folder).or_else(|| self.exact.get(bare)) {
            return Some(*number);
        }
        let (Some(first), second) = (self.best(folder), self.best(bare)) else { return self.best(bare) };
        let denies = |number: &u32| {
            let (rule, other) = (self.rule(*number), self.rule(first));
            rule.capabilities.has(Capabilities::DENY) && rule.pattern.priority(&other.pattern).is_gt()
        };
        Some(second.filter(denies).unwrap_or(first))
    }

    /// The greatest pattern with a wildcard that matches.
    fn best(&self, path: &str) -> Option<u32> {
        let prefix = self.prefixes.longest(path);
        // What stands before the first wildcard comes first in priority, so whatever has less of it is not looked at.
        let named = prefix.map_or(0, |prefix| self.rule(prefix).pattern.text().len());
        for heads in self.segments.iter().take_while(|heads| heads.length >= named) {
            let found = path.get(..heads.length).and_then(|head| heads.rules.get(head));
            for number in found.into_iter().flatten() {
                let pattern = &self.rule(*number).pattern;
                if prefix.is_some_and(|prefix| self.rule(prefix).pattern.priority(pattern).is_gt()) {
                    return prefix;
                }
                if pattern.matches(path) {
                    return Some(*number);
                }
            }
        }
        prefix
    }
}

impl Merged {
    fn new(pattern: Pattern) -> Self {
        Self { pattern, capabilities: Capabilities::NONE, limits: None, origins: Vec::new() }
    }

    fn add(&mut self, capabilities: Capabilities, limits: &Limits, origin: (u32, u32)) {
        self.origins.push(origin);
        self.capabilities = self.capabilities.with(capabilities);
        if self.capabilities.has(Capabilities::DENY) {
            self.capabilities = Capabilities::DENY;
            self.limits = None;
        } else if !limits.is_empty() {
            self.limits.get_or_insert_default().merge(limits);
        }
    }

    /// Whether the rule lets this request pass, and how its answer must be wrapped.
    fn admit(&self, query: &Query<'_>, recorder: &mut impl Recorder) -> Result<Wrapping, Reason> {
        if self.capabilities.has(Capabilities::DENY) {
            return Err(Reason::Denied);
        }
        if !self.capabilities.has(query.needs()) {
            return Err(Reason::Lacks(query.needs()));
        }
        if query.sudo && !self.capabilities.has(Capabilities::SUDO) {
            return Err(Reason::Sudo);
        }
        let Some(limits) = &self.limits else { return Ok(Wrapping::NONE) };
        limits.wrapping.admit(query.wrap)?;
        if !matches!(query.operation, Operation::List | Operation::Delete) {
            limits.admit(query.parameters).map_err(|refused| {
                let (reason, name) = match refused {
                    Refused::Missing(name) => (Reason::ParameterMissing, name),
                    Refused::Denied(name) => (Reason::ParameterDenied, name),
                    Refused::Unnamed(name) => (Reason::ParameterUnnamed, name),
                    Refused::Value(name) => (Reason::ParameterValue, name),
                };
                recorder.parameter(name);
                reason
            })?;
        }
        Ok(limits.wrapping)
    }
}

/// The words of a set, sorted; none is `deny`.
pub(super) fn words(capabilities: Capabilities) -> Vec<&'static str> {
    if capabilities.is_empty() { vec!["deny"] } else { capabilities.words().collect() }
}

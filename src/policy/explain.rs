//! Why a request was decided as it was: for operators, never for the client that was refused.

use std::sync::Arc;

use super::acl::{Acl, Merged, Recorder, words};
use super::decision::{Decision, Denial, Query, Reason};
use super::document::{Policy, Rule};
use crate::base::Operation;

/// The story of one decision.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// Why not; `None` if it is allowed.
    pub reason: Option<Reason>,
    /// The rule that decided; none for root, or if no rule covers the path.
    pub rule: Option<RuleView<'a>>,
    /// The parameter that was the reason, as the policy or the request names it.
    pub parameter: Option<String>,
    /// Other rules that cover the path and were not asked, since the deciding one is more specific.
    pub others: Vec<RuleView<'a>>,
    /// Rules that were left out because their template could not be filled in.
    pub dropped: Vec<Origin<'a>>,
}

/// A rule of the compiled set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleView<'a> {
    /// Its path, filled in.
    pub path: String,
    /// What it gives, sorted.
    pub capabilities: Vec<&'static str>,
    /// The rules of documents that it was put together from.
    pub origins: Vec<Origin<'a>>,
}

/// A rule of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The policy's name.
    pub policy: &'a str,
    /// The path as it is written there.
    pub path: &'a str,
    /// The line.
    pub line: u32,
}

/// What the evaluation says on its way.
#[derive(Default)]
struct Trace {
    rule: Option<u32>,
    parameter: Option<String>,
}

impl Recorder for Trace {
    fn decided(&mut self, rule: u32) {
        self.rule = Some(rule);
    }

    fn parameter(&mut self, name: &str) {
        self.parameter = Some(name.to_owned());
    }
}

impl Acl {
    /// The rule that would decide about a path, whatever it gives.
    pub fn covering(&self, path: &str, list: bool) -> Option<RuleView<'_>> {
        self.find(path, list).map(|number| self.view(self.rule(number)))
    }

    /// Runs the same evaluation as [`Acl::check`] and tells how it went. It looks at every rule: not for each request.
    pub fn explain(&self, query: &Query<'_>) -> Explanation<'_> {
        let (reason, trace) = self.traced(query);
        let path = query.path.as_str();
        let list = query.operation == Operation::List;
        let bare = path.strip_suffix('/').unwrap_or(path);
        let folder = format!("{bare}/");
        let covers = |rule: &Merged| match list {
            false => rule.pattern.matches(path),
            true => rule.pattern.matches(&folder) || rule.pattern.matches(bare),
        };
        let mut others: Vec<&Merged> = (0u32..)
            .zip(&self.rules)
            .filter(|(number, rule)| Some(*number) != trace.rule && covers(rule))
            .map(|(_, rule)| rule)
            .collect();
        others.sort_by(|a, b| b.pattern.priority(&a.pattern));
        Explanation {
            reason,
            rule: trace.rule.map(|number| self.view(self.rule(number))),
            parameter: trace.parameter,
            others: others.into_iter().map(|rule| self.view(rule)).collect(),
            dropped: self.unfilled().collect(),
        }
    }

    /// The reason and what the evaluation said on its way.
    fn traced(&self, query: &Query<'_>) -> (Option<Reason>, Trace) {
        let mut trace = Trace::default();
        match self.evaluate(query, &mut trace) {
            Decision::Allow(_) => (None, trace),
            Decision::Deny(denial) => (Some(denial.reason), trace),
        }
    }

    /// The parameter that a denial is for, if it is for one: at the cost of one more check.
    pub fn parameter(&self, query: &Query<'_>) -> Option<String> {
        self.traced(query).1.parameter
    }

    /// The number of the rule that decides, for [`Acl::remedy`].
    pub(super) fn deciding(&self, query: &Query<'_>) -> Option<&Merged> {
        self.traced(query).1.rule.map(|number| self.rule(number))
    }

    /// Which rules of which policies a denial comes from; none if no rule covers the path.
    pub fn origins(&self, denial: &Denial) -> Vec<Origin<'_>> {
        denial
            .rule
            .and_then(|number| self.rules.get(number as usize))
            .map_or_else(Vec::new, |rule| self.view(rule).origins)
    }

    /// The path of the rule that a denial comes from, filled in.
    pub fn deciding_path(&self, denial: &Denial) -> Option<String> {
        denial.rule.and_then(|number| self.rules.get(number as usize)).map(|rule| rule.pattern.written())
    }

    /// The rules that some document has as a template, filled in.
    pub fn filled(&self) -> impl Iterator<Item = RuleView<'_>> {
        let is_template = |(policy, rule): &(u32, u32)| {
            let policy = self.policies.get(*policy as usize);
            policy.and_then(|policy| policy.rules().get(*rule as usize)).is_some_and(Rule::is_template)
        };
        self.rules.iter().filter(move |rule| rule.origins.iter().any(is_template)).map(|rule| self.view(rule))
    }

    /// Rules that were left out because their template could not be filled in.
    pub fn unfilled(&self) -> impl Iterator<Item = Origin<'_>> {
        self.dropped.iter().filter_map(|origin| origin_of(&self.policies, *origin))
    }

    pub(super) fn view(&self, rule: &Merged) -> RuleView<'_> {
        RuleView {
            path: rule.pattern.written(),
            capabilities: words(rule.capabilities),
            origins: rule.origins.iter().filter_map(|origin| origin_of(&self.policies, *origin)).collect(),
        }
    }
}

fn origin_of(policies: &[Arc<Policy>], (policy, rule): (u32, u32)) -> Option<Origin<'_>> {
    let policy = policies.get(policy as usize)?;
    let rule = policy.rules().get(rule as usize)?;
    Some(Origin { policy: policy.name(), path: rule.path(), line: rule.span().line })
}

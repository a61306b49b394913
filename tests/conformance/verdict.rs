//! What a scenario came to, the list of declined things taken into account.

use std::fmt::Write;

use crate::scenario::{Scenario, Step};
use crate::scope::Scope;
use crate::step::Outcome;

/// The result of a scenario that was looked at.
pub enum Verdict {
    /// Not run, and why.
    Skipped(String),
    /// Run.
    Ran(Ran),
}

/// The steps of a scenario that was run, in order; only those that count.
pub struct Ran {
    pub steps: Vec<StepResult>,
    /// Why the scenario as a whole is expected to fail, where it is listed and did.
    pub listed: Option<String>,
    /// A complaint about the whole scenario: it is listed and passes.
    pub complaint: Option<String>,
}

/// The result of one step.
pub struct StepResult {
    pub id: String,
    pub action: String,
    /// Why it failed; none when it passed.
    pub reason: Option<String>,
    /// Why it is expected to fail, where it is listed and did.
    pub listed: Option<String>,
    /// Sent, expected and got, as text.
    pub details: String,
    pub status: u16,
}

impl StepResult {
    pub fn new(step: &Step, outcome: &Outcome, judged: Result<(), String>) -> StepResult {
        StepResult {
            id: step.id.clone(),
            action: outcome.action.clone(),
            details: judged.as_ref().map_or_else(|_| details(step, outcome), |()| String::new()),
            reason: judged.err(),
            listed: None,
            status: outcome.answer.status,
        }
    }

    /// Whether it failed without being listed, or passed while listed.
    pub fn is_failure(&self) -> bool {
        self.reason.is_some() && self.listed.is_none()
    }
}

impl Ran {
    pub fn passed_steps(&self) -> usize {
        self.steps.iter().filter(|step| step.reason.is_none()).count()
    }

    /// Whether it passes: each step did, or is listed.
    pub fn is_passed(&self) -> bool {
        self.listed.is_none() && !self.is_failed()
    }

    /// Whether it fails the run.
    pub fn is_failed(&self) -> bool {
        self.complaint.is_some() || (self.listed.is_none() && self.steps.iter().any(StepResult::is_failure))
    }
}

/// Holds the results against the list.
pub fn settle(scenario: &Scenario, mut steps: Vec<StepResult>, scope: &Scope) -> Verdict {
    const UNEXPECTED: &str = "listed in scope.toml, but it passes: take it off the list";
    let id = scenario.id();
    for step in &mut steps {
        let Some(reason) = scope.step(&id, &step.id) else { continue };
        if step.reason.is_some() {
            step.listed = Some(reason.to_owned());
        } else {
            step.reason = Some(UNEXPECTED.to_owned());
        }
    }
    let listed = scope.scenario(&id).map(str::to_owned);
    let all_passed = steps.iter().all(|step| step.reason.is_none());
    let complaint = (listed.is_some() && all_passed).then(|| UNEXPECTED.to_owned());
    let listed = listed.filter(|_| complaint.is_none());
    Verdict::Ran(Ran { steps, listed, complaint })
}

fn details(step: &Step, outcome: &Outcome) -> String {
    let mut text = String::new();
    let bytes = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let _ = write!(text, "sent: {}", outcome.action);
    for (name, value) in &outcome.headers_sent {
        let _ = write!(text, "\n      {name}: {value}");
    }
    if let Some(body) = &outcome.body_sent {
        let _ = write!(text, "\n      {}", bytes(body));
    }
    let expect = &step.expect;
    let _ = write!(text, "\nexpected: {}", expect.status);
    for status in &expect.status_also {
        let _ = write!(text, " or {status}");
    }
    for (name, value) in &expect.headers {
        let _ = write!(text, "\n      {name}: {value}");
    }
    let parts = [("", &expect.body), ("text ", &expect.text)];
    for (label, value) in parts.into_iter().filter_map(|(label, value)| Some((label, value.as_ref()?))) {
        let _ = write!(text, "\n      {label}{value}");
    }
    for (name, value) in &expect.facts {
        let _ = write!(text, "\n      facts {name}: {value}");
    }
    if expect.empty {
        text += "\n      an empty body";
    }
    let answer = &outcome.answer;
    let _ = write!(text, "\ngot: {}", answer.status);
    for (name, value) in &answer.headers {
        let _ = write!(text, "\n      {name}: {value}");
    }
    if !answer.body.is_empty() {
        let _ = write!(text, "\n      {}", bytes(&answer.body));
    }
    for (name, value) in &outcome.facts {
        let _ = write!(text, "\n      facts {name}: {value}");
    }
    text
}

//! What is declined or not yet in reach, as `scope.toml` lists it with a reason each.
//!
//! The list stays true: an entry that names nothing, or that passes, fails the run.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::scenario::Scenario;

/// The list: whole areas, and entries `area/scenario` or `area/scenario#step`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    area: BTreeMap<String, Area>,
    entry: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Area {
    reason: String,
}

impl Scope {
    /// Reads the list and holds it against the scenarios that there are.
    pub fn parse(text: &str, scenarios: &[Scenario]) -> Result<Scope, String> {
        let scope: Scope = toml::from_str(text).map_err(|e| e.to_string())?;
        for (name, area) in &scope.area {
            if !scenarios.iter().any(|scenario| scenario.area == *name) {
                return Err(format!("[area.{name}]: there is no such area"));
            }
            if area.reason.is_empty() {
                return Err(format!("[area.{name}]: the reason is missing"));
            }
        }
        for (name, reason) in &scope.entry {
            let (scenario, step) = name.split_once('#').map_or((name.as_str(), None), |(s, n)| (s, Some(n)));
            let scenario = scenarios
                .iter()
                .find(|candidate| candidate.id() == scenario)
                .ok_or_else(|| format!("entry '{name}': there is no such scenario"))?;
            if let Some(id) = step
                && !scenario.steps.iter().any(|step| step.id == id && !step.uncounted)
            {
                return Err(format!("entry '{name}': there is no such counted step"));
            }
            if reason.is_empty() {
                return Err(format!("entry '{name}': the reason is missing"));
            }
        }
        Ok(scope)
    }

    /// Why an area as a whole is not run.
    pub fn area(&self, name: &str) -> Option<&str> {
        self.area.get(name).map(|area| area.reason.as_str())
    }

    /// Why a scenario as a whole is expected to fail.
    pub fn scenario(&self, id: &str) -> Option<&str> {
        self.entry.get(id).map(String::as_str)
    }

    /// Why a single step is expected to fail.
    pub fn step(&self, id: &str, step: &str) -> Option<&str> {
        self.entry.get(&format!("{id}#{step}")).map(String::as_str)
    }
}

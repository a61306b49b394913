//! What the run prints and writes: failures, a table per area, one line at the end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::verdict::{Ran, StepResult, Verdict};

const LINE_MAX: usize = 400;

/// Scenarios counted, for the last line and the exit status.
#[derive(Clone, Copy, Default)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    /// Not run, or run and failing as listed.
    pub skipped: usize,
}

#[derive(Clone, Copy, Default)]
struct Row {
    steps_passed: usize,
    steps: usize,
    scenarios: Count,
}

/// Prints the failures: at most so many steps, each cut to readable lines unless `verbose`. The JSON report has all.
pub fn failures(scenarios: &[Scenario], verdicts: &BTreeMap<String, Verdict>, max: usize, verbose: bool) {
    let mut shown = 0;
    for (id, ran) in ran(scenarios, verdicts) {
        if let Some(complaint) = &ran.complaint {
            println!("FAIL {id}\n    {complaint}");
        }
        let mut last = None;
        for step in &ran.steps {
            if !(step.is_failure() && ran.is_failed()) {
                if verbose {
                    let word = if step.reason.is_none() { "ok" } else { "listed" };
                    println!("{word:6} {id}#{} [{}] {}", step.id, step.action, step.status);
                }
                continue;
            }
            shown += 1;
            // Without a server each step fails alike; the first says it all.
            let is_alike = step.status == 0 && last == Some(&step.reason);
            last = Some(&step.reason);
            if shown <= max && (verbose || !is_alike) {
                failure(&id, step, verbose);
            }
        }
    }
    if shown > max {
        println!("... and {} more failing steps (--max-fail N shows more)", shown - max);
    }
}

fn failure(id: &str, step: &StepResult, verbose: bool) {
    println!("FAIL {id}#{} [{}]\n    {}", step.id, step.action, step.reason.as_deref().unwrap_or_default());
    for line in step.details.lines() {
        if verbose || line.chars().count() <= LINE_MAX {
            println!("    {line}");
        } else {
            println!("    {}...", line.chars().take(LINE_MAX).collect::<String>());
        }
    }
}

/// Prints the table; `declined` are the areas that were not run, with their scenarios and the reason.
pub fn table(
    scenarios: &[Scenario],
    verdicts: &BTreeMap<String, Verdict>,
    declined: &BTreeMap<String, (usize, String)>,
) -> Count {
    let rows = rows(scenarios, verdicts);
    println!("{:<12} {:>13} {:>8} {:>15}", "area", "steps", "%", "scenarios");
    let mut total = Row::default();
    for (area, row) in &rows {
        line(area, row);
        total.steps_passed += row.steps_passed;
        total.steps += row.steps;
        total.scenarios = add(total.scenarios, row.scenarios);
    }
    line("total", &total);
    for (area, (count, reason)) in declined {
        println!("{area:<12} {count} scenarios not run: {reason}");
        total.scenarios.skipped += count;
    }
    total.scenarios
}

fn line(name: &str, row: &Row) {
    let Count { passed, failed, skipped } = row.scenarios;
    let extra = if skipped > 0 { format!("  ({skipped} skipped or listed)") } else { String::new() };
    let all = passed + failed;
    println!("{name:<12} {:>6}/{:<6} {:>7.1} {passed:>7}/{all:<7}{extra}", row.steps_passed, row.steps, percent(row));
}

/// The whole result as JSON, in the form of the recorder's own report.
pub fn json(scenarios: &[Scenario], verdicts: &BTreeMap<String, Verdict>, seconds: f64) -> Value {
    let mut total = Row::default();
    let mut areas = BTreeMap::new();
    for (area, row) in rows(scenarios, verdicts) {
        total.steps_passed += row.steps_passed;
        total.steps += row.steps;
        total.scenarios = add(total.scenarios, row.scenarios);
        areas.insert(area.to_owned(), row_json(&row));
    }
    let list: Vec<Value> = scenarios
        .iter()
        .filter_map(|scenario| {
            let (area, name) = (&scenario.area, &scenario.name);
            Some(match verdicts.get(&scenario.id())? {
                Verdict::Skipped(reason) => json!({"area": area, "name": name, "skipped": reason}),
                Verdict::Ran(ran) => json!({
                    "area": area, "name": name, "passed": ran.passed_steps(), "total": ran.steps.len(),
                    "listed": ran.listed, "complaint": ran.complaint,
                    "failures": ran.steps.iter().filter(|step| step.reason.is_some()).map(step_json).collect::<Vec<_>>(),
                }),
            })
        })
        .collect();
    json!({"areas": areas, "total": row_json(&total), "seconds": seconds, "scenarios": list})
}

fn step_json(step: &StepResult) -> Value {
    json!({"id": step.id, "do": step.action, "reason": step.reason, "listed": step.listed, "details": step.details})
}

fn row_json(row: &Row) -> Value {
    let Count { passed, failed, skipped } = row.scenarios;
    json!({
        "steps_passed": row.steps_passed, "steps": row.steps, "percent": percent(row),
        "scenarios_passed": passed, "scenarios": passed + failed, "skipped": skipped,
    })
}

fn percent(row: &Row) -> f64 {
    100.0 * row.steps_passed as f64 / row.steps.max(1) as f64
}

fn add(a: Count, b: Count) -> Count {
    Count { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped }
}

fn ran<'a>(
    scenarios: &'a [Scenario],
    verdicts: &'a BTreeMap<String, Verdict>,
) -> impl Iterator<Item = (String, &'a Ran)> {
    scenarios.iter().filter_map(|scenario| match verdicts.get(&scenario.id())? {
        Verdict::Ran(ran) => Some((scenario.id(), ran)),
        Verdict::Skipped(_) => None,
    })
}

fn rows<'a>(scenarios: &'a [Scenario], verdicts: &BTreeMap<String, Verdict>) -> BTreeMap<&'a str, Row> {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for scenario in scenarios {
        let row = rows.entry(&scenario.area).or_default();
        match verdicts.get(&scenario.id()) {
            Some(Verdict::Ran(ran)) => {
                row.steps_passed += ran.passed_steps();
                row.steps += ran.steps.len();
                row.scenarios.passed += usize::from(ran.is_passed());
                row.scenarios.failed += usize::from(ran.is_failed());
                row.scenarios.skipped += usize::from(ran.listed.is_some());
            }
            Some(Verdict::Skipped(_)) => row.scenarios.skipped += 1,
            None => row.scenarios.failed += 1,
        }
    }
    rows
}

//! The table at the end: each measure beside its limit and its goal.

use serde_json::{Value, json};

use crate::Result;

/// What a measure is held against.
#[derive(Clone, Copy)]
pub enum Goal {
    /// At least this.
    Least(f64),
    /// At most this.
    Most(f64),
    /// Nothing: it is shown for scale.
    None,
}

/// One line.
pub struct Row {
    /// What was measured.
    pub measure: String,
    /// The value, and its unit.
    pub value: f64,
    pub unit: &'static str,
    /// What the machine can do, in the same unit.
    pub limit: Option<f64>,
    /// What the goal is for: the value, or its relation to the limit, a median of rounds.
    pub judged: f64,
    pub goal: Goal,
    /// Why it does not count although there is a value.
    pub fault: Option<String>,
}

/// All lines.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// A value that is held against a goal itself.
    pub fn plain(&mut self, measure: &str, value: f64, unit: &'static str, goal: Goal) {
        self.rows.push(Row { measure: measure.into(), value, unit, limit: None, judged: value, goal, fault: None });
    }

    /// A line that is already made.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// A measure that could not be taken.
    pub fn absent(&mut self, measure: &str, goal: Goal, why: &str) {
        let (value, fault) = (f64::NAN, Some(why.to_owned()));
        self.rows.push(Row { measure: measure.into(), value, unit: "", limit: None, judged: value, goal, fault });
    }

    /// How many goals are missed.
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| row.verdict() == Some(false)).count()
    }

    /// Prints the table.
    pub fn print(&self) {
        let line = |measure: &str, rest: [&str; 5]| {
            let [value, limit, ratio, goal, verdict] = rest;
            println!("{measure:<44} {value:>14} {limit:>14} {ratio:>9} {goal:>10}  {verdict}");
        };
        line("measure", ["value", "limit", "ratio", "goal", ""]);
        for row in &self.rows {
            let number = |value: f64| match value {
                value if value.is_nan() => "-".to_owned(),
                value if value.abs() < 100.0 => format!("{value:.1}{}", row.unit),
                value => format!("{value:.0}{}", row.unit),
            };
            let (limit, ratio) = match row.limit {
                Some(limit) => (number(limit), relation(row.judged)),
                None => (String::new(), String::new()),
            };
            let bound = |value: f64| if row.limit.is_some() { relation(value) } else { number(value) };
            let goal = match row.goal {
                Goal::Least(value) => format!("≥ {}", bound(value)),
                Goal::Most(value) => format!("≤ {}", bound(value)),
                Goal::None => String::new(),
            };
            let verdict = match row.verdict() {
                Some(true) => "ok",
                Some(false) => "MISSED",
                None => "",
            };
            line(&row.measure, [&number(row.value), &limit, &ratio, &goal, verdict]);
            if let Some(fault) = &row.fault {
                println!("    {fault}");
            }
        }
    }

    /// All of it as JSON.
    pub fn json(&self) -> Result<String> {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        Ok(serde_json::to_string_pretty(&rows)?)
    }
}

impl Row {
    fn verdict(&self) -> Option<bool> {
        let kept = match self.goal {
            Goal::Least(least) => self.judged >= least,
            Goal::Most(most) => self.judged <= most,
            Goal::None => return None,
        };
        Some(kept && self.fault.is_none())
    }

    fn json(&self) -> Value {
        let goal = match self.goal {
            Goal::Least(value) => json!({ "least": value }),
            Goal::Most(value) => json!({ "most": value }),
            Goal::None => Value::Null,
        };
        json!({
            "measure": self.measure, "value": self.value, "unit": self.unit.trim(), "limit": self.limit,
            "judged": self.judged, "goal": goal, "kept": self.verdict(), "fault": self.fault,
        })
    }
}

/// A relation: small ones in percent, large ones as a factor.
fn relation(value: f64) -> String {
    if value < 2.0 { format!("{:.1} %", value * 100.0) } else { format!("{value:.1} ×") }
}

/// The middle one; of an even number the lower.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

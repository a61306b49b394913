//! What policies decide differently, as data and as lines for people.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    cli::failure::{Failure, Outcome},
    policy::{Acl, AnyFacts, Change, Difference, Facts, NoFacts, Policy, RuleView, Scope, compare},
};

/// What holders of the second policies can do that those of the first cannot, and the reverse.
///
/// Templates are compared for an identity that has all facts and is nobody in particular. What else differs for a token
/// without an identity is marked as such.
pub fn between(before: &[Arc<Policy>], after: &[Arc<Policy>], scope: Scope) -> Outcome<Vec<Value>> {
    let mut all = one(before, after, scope, &AnyFacts)?;
    if before.iter().chain(after).any(|policy| policy.is_templated()) {
        for mut difference in one(before, after, scope, &NoFacts)? {
            if !all.contains(&difference) {
                difference["without_identity"] = true.into();
                all.push(difference);
            }
        }
    }
    Ok(all)
}

fn one(before: &[Arc<Policy>], after: &[Arc<Policy>], scope: Scope, facts: &dyn Facts) -> Outcome<Vec<Value>> {
    let (before, after) = (Acl::compile(before, facts), Acl::compile(after, facts));
    let differences = compare(&before, &after, scope).map_err(|err| Failure::Local(err.to_string()))?;
    Ok(differences.iter().map(value).collect())
}

fn value(difference: &Difference<'_>) -> Value {
    let mut value = json!({
        "paths": difference.paths,
        "example": difference.example,
        "gains": difference.gains,
        "loses": difference.loses,
        "before": difference.before.as_ref().map(rule),
        "after": difference.after.as_ref().map(rule),
    });
    for (name, change) in [("limits", difference.limits), ("deny", difference.denial)] {
        if let Some(word) = change.map(Change::word) {
            value[name] = word.into();
        }
    }
    value
}

fn rule(rule: &RuleView<'_>) -> Value {
    let origins: Vec<Value> = rule
        .origins
        .iter()
        .map(|origin| json!({"policy": origin.policy, "line": origin.line, "path": origin.path}))
        .collect();
    json!({"path": AnyFacts::unfilled(&rule.path), "capabilities": rule.capabilities, "origins": origins})
}

/// The differences, one or two lines each, indented.
pub fn lines(differences: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    for one in differences {
        let words = |name: &str| -> String {
            let words: Vec<&str> = one[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            words.join(", ")
        };
        let place = place(one);
        for (mark, what) in [("+", words("gains")), ("-", words("loses"))] {
            if !what.is_empty() {
                lines.push(format!("  {mark} {what} on {place}"));
            }
        }
        for (name, what) in [("limits", "limits of parameters or wrapping"), ("deny", "deny")] {
            if let Some(change) = one[name].as_str() {
                lines.push(format!("  ~ {what} {change} on {place}"));
            }
        }
    }
    lines
}

fn place(one: &Value) -> String {
    let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let line = |side: &str| {
        let origin = &one[side]["origins"][0];
        origin["line"]
            .as_u64()
            .map(|line| format!("{side}: {} line {line}", origin["policy"].as_str().unwrap_or_default()))
    };
    let mut more: Vec<String> = [line("before"), line("after")].into_iter().flatten().collect();
    if text("example") != text("paths") {
        more.insert(0, format!("such as \"{}\"", text("example")));
    }
    if one["without_identity"] == true {
        more.push("for tokens without an identity".into());
    }
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join("; ")) };
    format!("\"{}\"{more}", text("paths"))
}

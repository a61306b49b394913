//! One step: sent (or done by the runner), then judged against what was recorded.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::compare::{compare, short};
use crate::http::{Answer, Identity};
use crate::scenario::Step;
use crate::server::Server;
use crate::values::{Vars, at, equal, substitute, substitute_text, to_text};
use crate::{facts, local};

/// What was sent and what came back.
#[derive(Default)]
pub struct Outcome {
    pub action: String,
    pub headers_sent: BTreeMap<String, String>,
    pub body_sent: Option<Vec<u8>>,
    pub answer: Answer,
    /// The body as JSON, where it is that.
    pub json: Option<Value>,
    pub facts: BTreeMap<String, Value>,
    /// Why there is no (whole) answer to judge.
    pub error: Option<String>,
    /// The variables before the step; its expectation refers to these.
    pub vars: Vars,
}

impl Outcome {
    /// An outcome without an answer.
    pub fn failed(step: &Step, error: String) -> Outcome {
        Outcome { action: step.action.clone(), error: Some(error), ..Outcome::default() }
    }

    fn pointed(&self, pointer: &str) -> Option<&Value> {
        at(self.json.as_ref()?, pointer)
    }
}

/// Does a step, again and again while its `until` is not met, and saves what it asks to save.
pub fn perform(server: &mut Server, step: &Step, vars: &mut Vars) -> Outcome {
    std::thread::sleep(Duration::from_millis(step.sleep_ms));
    let started = Instant::now();
    loop {
        let mut outcome = Outcome { action: step.action.clone(), vars: vars.clone(), ..Outcome::default() };
        if let Err(error) = attempt(server, step, vars, &mut outcome) {
            outcome.error = Some(error);
        }
        let is_over = started.elapsed() > Duration::from_millis(step.until_ms) || outcome.error.is_some();
        if is_over || is_met(step, &outcome, vars) {
            return outcome;
        }
        std::thread::sleep(Duration::from_millis(150));
    }
}

/// Says why the outcome is not what was recorded.
pub fn judge(step: &Step, outcome: &Outcome) -> Result<(), String> {
    if let Some(error) = &outcome.error {
        return Err(error.clone());
    }
    let (expect, answer) = (&step.expect, &outcome.answer);
    if answer.status != expect.status && !expect.status_also.contains(&answer.status) {
        let errors = outcome.pointed("/errors").map(|errors| format!(" {}", short(Some(errors))));
        let errors = errors.unwrap_or_default();
        return Err(format!("status {}, expected {}{errors}", answer.status, expect.status));
    }
    let resolve = |value: &Value| substitute(value, &outcome.vars).map_err(|e| e.to_string());
    for (name, value) in &expect.headers {
        let got = answer.headers.get(&name.to_ascii_lowercase()).map(|text| json!(text));
        compare(&resolve(value)?, got.as_ref(), &format!("header {name}"))?;
    }
    if let Some(body) = &expect.body {
        let json = outcome.json.as_ref().ok_or("no JSON body")?;
        compare(&resolve(body)?, Some(json), "")?;
    }
    let text = String::from_utf8_lossy(&answer.body);
    if expect.empty && !answer.body.is_empty() {
        return Err(format!("expected an empty body, got {}", short(Some(&json!(text)))));
    }
    if expect.nonempty && answer.body.is_empty() {
        return Err("expected a body".to_owned());
    }
    if let Some(wanted) = &expect.text {
        compare(&resolve(wanted)?, Some(&json!(text)), "text")?;
    }
    for (name, value) in &expect.facts {
        compare(&resolve(value)?, outcome.facts.get(name), &format!("facts {name}"))?;
    }
    Ok(())
}

fn attempt(server: &mut Server, step: &Step, vars: &mut Vars, outcome: &mut Outcome) -> Result<(), String> {
    outcome.action = substitute_text(&step.action, vars).map_err(|e| e.to_string())?;
    let action = outcome.action.clone();
    let (verb, target) = action.split_once(' ').unwrap_or((&action, ""));
    match verb {
        "LOCAL" => {
            let arguments = step.body.clone().unwrap_or_else(|| json!({}));
            let arguments = substitute(&arguments, vars).map_err(|e| e.to_string())?;
            outcome.body_sent = Some(arguments.to_string().into_bytes());
            let result = local::run(target, &arguments)?;
            outcome.answer = Answer { status: 200, body: result.to_string().into_bytes(), ..Answer::default() };
            outcome.json = Some(result);
        }
        "RESTART" => {
            server.restart()?;
            outcome.answer.status = 200;
        }
        _ => request(server, step, vars, verb, target, outcome)?,
    }
    for check in &step.check {
        let facts = look(outcome, &check.at, &check.kind)?;
        outcome.facts.insert(format!("{}|{}", check.at, check.kind), facts);
    }
    for (name, place) in &step.save {
        if let Some(value) = saved(outcome, place) {
            vars.insert(name.clone(), value);
        }
    }
    Ok(())
}

fn request(
    server: &mut Server,
    step: &Step,
    vars: &Vars,
    method: &str,
    path: &str,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let unresolved = |e: crate::values::Unresolved| e.to_string();
    let mut headers = BTreeMap::new();
    for (name, value) in &step.headers {
        headers.insert(name.clone(), to_text(&substitute(value, vars).map_err(unresolved)?));
    }
    let token = match step.token.as_str() {
        "root" => Some(server.token.clone().unwrap_or_default()),
        "none" => None,
        name => {
            let name = name.trim_matches(['$', '{', '}']);
            Some(to_text(vars.get(name).ok_or_else(|| format!("unresolved variable {name}"))?))
        }
    };
    if let Some(token) = token {
        headers.entry("X-Vault-Token".to_owned()).or_insert(token);
    }
    let body = match (&step.raw, step.raw_size, &step.body) {
        (Some(raw), _, _) => {
            let raw = substitute_text(raw, vars).map_err(unresolved)?;
            Some(match raw.strip_prefix("base64:") {
                Some(encoded) => facts::decode(encoded).ok_or("the raw body is not base64")?,
                None => raw.into_bytes(),
            })
        }
        (None, Some(size), _) => Some(format!("{{\"data\":\"{}\"}}", "x".repeat(size)).into_bytes()),
        (None, None, Some(body)) => {
            headers.entry("Content-Type".to_owned()).or_insert_with(|| "application/json".to_owned());
            Some(substitute(body, vars).map_err(unresolved)?.to_string().into_bytes())
        }
        (None, None, None) => None,
    };
    let identity = match &step.client_cert {
        Some(parts) => {
            let parts = substitute(parts, vars).map_err(unresolved)?;
            let part = |name: &str| to_text(parts.get(name).unwrap_or(&Value::Null));
            Some(Identity { cert: part("cert"), key: part("key") })
        }
        None => None,
    };
    outcome.headers_sent = headers.clone();
    outcome.body_sent = body.clone();
    outcome.answer = server.send(method, path, &headers, body.as_deref(), identity.as_ref())?;
    let is_json = outcome.answer.headers.get("content-type").is_some_and(|kind| kind.contains("json"));
    if is_json || matches!(outcome.answer.body.first(), Some(b'{' | b'[')) {
        outcome.json = serde_json::from_slice(&outcome.answer.body).ok();
    }
    Ok(())
}

fn look(outcome: &Outcome, place: &str, kind: &str) -> Result<Value, String> {
    if place == "#raw" {
        let raw = &outcome.answer.body;
        return facts::extract(kind, &json!(String::from_utf8_lossy(raw)), raw);
    }
    let Some(value) = outcome.pointed(place) else { return Ok(json!({"error": "missing"})) };
    let raw = if kind == "ocsp" { Vec::new() } else { facts::pem(value).into_bytes() };
    facts::extract(kind, value, &raw)
}

fn saved(outcome: &Outcome, place: &str) -> Option<Value> {
    let answer = &outcome.answer;
    match place {
        "#raw" => Some(json!(String::from_utf8_lossy(&answer.body))),
        "#status" => Some(json!(answer.status)),
        _ => match place.strip_prefix("#header:") {
            Some(name) => answer.headers.get(&name.to_ascii_lowercase()).map(|text| json!(text)),
            None => outcome.pointed(place).cloned(),
        },
    }
}

fn is_met(step: &Step, outcome: &Outcome, vars: &Vars) -> bool {
    step.until.iter().flatten().all(|(place, wanted)| {
        let Ok(wanted) = substitute(wanted, vars) else { return false };
        saved(outcome, place).is_some_and(|value| equal(&value, &wanted))
    })
}

//! Whether an answer meets a recorded expectation.
//!
//! More keys than recorded are fine, fewer are not; a recorded null is met by null, absence, `[]` and `{}`;
//! lists compare in order unless a matcher says otherwise.

use regex_lite::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::values::equal;

/// The matchers that an expectation may hold, each the only key of an object.
pub const MATCHERS: [&str; 14] = [
    "$any",
    "$re",
    "$contains",
    "$pem",
    "$time",
    "$uuid",
    "$int",
    "$set",
    "$superset",
    "$lacks",
    "$all",
    "$values",
    "$at",
    "$oneof",
];

const TIME: &str = r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$";
const UUID: &str = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";

/// Says in a few words why `got` (none when absent) does not meet the expectation; `at` is where it was found.
pub fn compare(expected: &Value, got: Option<&Value>, at: &str) -> Result<(), String> {
    if let Some((name, argument)) = matcher(expected) {
        return matched(name, argument, got, at);
    }
    let Some(value) = got else {
        return if expected.is_null() { Ok(()) } else { Err(format!("{at}: missing")) };
    };
    let ok = match (expected, value) {
        (Value::Null, value) => match value {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        },
        (Value::Object(wanted), Value::Object(map)) => {
            for (key, item) in wanted {
                compare(item, map.get(key), &format!("{at}/{key}"))?;
            }
            true
        }
        (Value::Array(wanted), Value::Array(list)) if wanted.len() == list.len() => {
            for (index, item) in wanted.iter().enumerate() {
                compare(item, list.get(index), &format!("{at}/{index}"))?;
            }
            true
        }
        (Value::Object(_) | Value::Array(_), _) => false,
        _ => equal(expected, value),
    };
    require(ok, || format!("{at}: expected {}, got {}", short(Some(expected)), short(got)))
}

/// The name and argument of a matcher; none when the value stands for itself.
pub fn matcher(expected: &Value) -> Option<(&str, &Value)> {
    let map = expected.as_object().filter(|map| map.len() == 1)?;
    let (name, argument) = map.iter().next()?;
    MATCHERS.contains(&name.as_str()).then_some((name.as_str(), argument))
}

/// An expression as the recordings mean it: a dot is any character.
pub fn expression(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).dot_matches_new_line(true).build().map_err(|e| format!("expression /{pattern}/: {e}"))
}

/// A value on one line, cut where it gets long.
pub fn short(value: Option<&Value>) -> String {
    const LENGTH_MAX: usize = 160;
    let Some(value) = value else { return "nothing".to_owned() };
    let text = value.to_string();
    if text.chars().count() <= LENGTH_MAX {
        return text;
    }
    text.chars().take(LENGTH_MAX - 3).chain("...".chars()).collect()
}

fn require(ok: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if ok { Ok(()) } else { Err(reason()) }
}

fn matched(name: &str, argument: &Value, got: Option<&Value>, at: &str) -> Result<(), String> {
    let text = got.and_then(Value::as_str);
    let fail = |wanted: &str| Err(format!("{at}: expected {wanted}, got {}", short(got)));
    let malformed = || format!("{at}: malformed matcher {name}");
    let argument_text = || argument.as_str().ok_or_else(malformed);
    let argument_list = || argument.as_array().ok_or_else(malformed);
    let check = |ok: bool, wanted: &str| if ok { Ok(()) } else { fail(wanted) };
    match name {
        "$any" => check(is_of_type(argument_text()?, got).ok_or_else(malformed)?, argument_text()?),
        "$re" => {
            let regex = expression(argument_text()?)?;
            check(text.is_some_and(|t| regex.is_match(t)), &format!("/{}/", regex.as_str()))
        }
        "$contains" => {
            let part = argument_text()?;
            let found = text.is_some_and(|t| t.to_lowercase().contains(&part.to_lowercase()));
            check(found, &format!("text with {part:?}"))
        }
        "$pem" => {
            let label = argument_text()?;
            let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
            check(text.is_some_and(|t| t.contains(&begin) && t.contains(&end)), &format!("PEM {label}"))
        }
        "$time" => check(text.is_some_and(|t| is_match(TIME, t)), "a time"),
        "$uuid" => check(text.is_some_and(|t| is_match(UUID, t)), "a uuid"),
        "$int" => {
            let bound = |i: usize| argument.get(i).and_then(Value::as_f64).ok_or_else(malformed);
            let (low, high) = (bound(0)?, bound(1)?);
            let inside = got.and_then(Value::as_f64).is_some_and(|n| low <= n && n <= high);
            check(inside, &format!("{low}..{high}"))
        }
        "$set" => match got {
            None | Some(Value::Null) => multiset(argument_list()?, &[], at, true),
            Some(Value::Array(list)) => multiset(argument_list()?, list, at, true),
            Some(_) => fail("a list"),
        },
        "$superset" => match got {
            Some(Value::Array(list)) => multiset(argument_list()?, list, at, false),
            _ => fail("a list"),
        },
        "$lacks" => {
            let present = match got {
                None | Some(Value::Null) => return Ok(()),
                Some(Value::Array(list)) => list.clone(),
                Some(Value::Object(map)) => keys(map),
                Some(_) => return fail("a list"),
            };
            for unwanted in argument_list()? {
                if present.iter().any(|item| equal(item, unwanted)) {
                    return Err(format!("{at}: must not hold {}", short(Some(unwanted))));
                }
            }
            Ok(())
        }
        "$all" => argument_list()?.iter().try_for_each(|item| compare(item, got, at)),
        "$oneof" => {
            let any = argument_list()?.iter().any(|item| compare(item, got, at).is_ok());
            check(any, &format!("one of {}", short(Some(argument))))
        }
        "$values" => match got {
            Some(Value::Object(map)) => {
                let values: Vec<Value> = map.values().cloned().collect();
                multiset(argument_list()?, &values, at, true)
            }
            _ => fail("an object"),
        },
        "$at" => {
            let Some(Value::Array(list)) = got else { return fail("a list") };
            for (index, item) in argument.as_object().ok_or_else(malformed)? {
                let position: usize = index.parse().map_err(|_| malformed())?;
                compare(item, list.get(position), &format!("{at}/{index}"))?;
            }
            Ok(())
        }
        _ => Err(malformed()),
    }
}

/// Whether each expectation has an element of its own, in any order; `exact` when none may be left over.
fn multiset(expected: &[Value], got: &[Value], at: &str, exact: bool) -> Result<(), String> {
    let all = || short(Some(&Value::Array(got.to_vec())));
    if exact && expected.len() != got.len() {
        return Err(format!("{at}: expected {} elements, got {}", expected.len(), all()));
    }
    // Exact values choose first, so that a matcher does not take the element of one of them.
    let (matchers, exacts): (Vec<_>, Vec<_>) = expected.iter().partition(|e| matcher(e).is_some());
    let mut rest: Vec<&Value> = got.iter().collect();
    for item in exacts.into_iter().chain(matchers) {
        let found = rest.iter().position(|value| compare(item, Some(value), at).is_ok());
        let Some(index) = found else {
            return Err(format!("{at}: no element like {} in {}", short(Some(item)), all()));
        };
        rest.remove(index);
    }
    Ok(())
}

fn keys(map: &Map<String, Value>) -> Vec<Value> {
    map.keys().cloned().map(Value::String).collect()
}

fn is_match(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
}

/// Whether a value is of the type that `$any` names; none when there is no such type.
fn is_of_type(name: &str, got: Option<&Value>) -> Option<bool> {
    Some(match name {
        "string" => got.and_then(Value::as_str).is_some_and(|text| !text.is_empty()),
        "text" => got.is_some_and(Value::is_string),
        "int" => got.is_some_and(|value| value.is_i64() || value.is_u64()),
        "number" => got.is_some_and(Value::is_number),
        "bool" => got.is_some_and(Value::is_boolean),
        "list" => got.is_some_and(Value::is_array),
        "map" => got.is_some_and(Value::is_object),
        "any" => got.is_some_and(|value| !value.is_null()),
        "stringlist" => got.and_then(Value::as_array).is_some_and(|list| list.iter().all(Value::is_string)),
        _ => return None,
    })
}

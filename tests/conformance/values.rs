//! JSON values as the scenarios use them: pointers into answers, and `${var}` put in their place.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::{Map, Value};

/// What earlier steps saved, and the predefined names (`root`, `dir`, `port`, …).
pub type Vars = BTreeMap<String, Value>;

/// A step asked for a variable which no earlier step could save.
#[derive(Debug, PartialEq, Eq)]
pub struct Unresolved(pub String);

impl std::fmt::Display for Unresolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unresolved variable {}", self.0)
    }
}

/// The value at a JSON pointer; `""` and `"/"` are the whole document.
pub fn at<'a>(document: &'a Value, pointer: &str) -> Option<&'a Value> {
    if pointer.is_empty() || pointer == "/" {
        return Some(document);
    }
    pointer.trim_start_matches('/').split('/').try_fold(document, |value, token| {
        let token = token.replace("~1", "/").replace("~0", "~");
        match value {
            Value::Object(map) => map.get(&token),
            Value::Array(list) => list.get(token.parse::<usize>().ok()?),
            _ => None,
        }
    })
}

/// Replaces `${var}` everywhere in a value; a string that is exactly one variable takes its type.
pub fn substitute(value: &Value, vars: &Vars) -> Result<Value, Unresolved> {
    Ok(match value {
        Value::String(text) => {
            let whole = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            match whole.filter(|name| is_name(name)) {
                Some(name) => vars.get(name).cloned().ok_or_else(|| Unresolved(name.to_owned()))?,
                None => Value::String(substitute_text(text, vars)?),
            }
        }
        Value::Array(list) => Value::Array(list.iter().map(|item| substitute(item, vars)).collect::<Result<_, _>>()?),
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, item) in map {
                out.insert(substitute_text(key, vars)?, substitute(item, vars)?);
            }
            Value::Object(out)
        }
        other => other.clone(),
    })
}

/// Replaces `${var}` in a text.
pub fn substitute_text(text: &str, vars: &Vars) -> Result<String, Unresolved> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        let name = &rest[start + 2..start + length];
        if is_name(name) {
            let value = vars.get(name).ok_or_else(|| Unresolved(name.to_owned()))?;
            out.push_str(&rest[..start]);
            out.push_str(&to_text(value));
            rest = &rest[start + length + 1..];
        } else {
            out.push_str(&rest[..start + 2]);
            rest = &rest[start + 2..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// How a value looks inside a text.
pub fn to_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Equality of JSON values in which `1` and `1.0` are the same number.
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (whole(a), whole(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_f64() == b.as_f64(),
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(x, y)| equal(x, y)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, x)| b.get(k).is_some_and(|y| equal(x, y)))
        }
        _ => left == right,
    }
}

fn whole(number: &serde_json::Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// The first capture group of an expression of our own in a text.
pub fn capture(pattern: &str, text: &str) -> Option<String> {
    let regex = Regex::new(pattern).ok()?;
    Some(regex.captures(text)?.get(1)?.as_str().to_owned())
}

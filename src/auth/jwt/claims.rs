//! What a token says: claims by name or JSON pointer, compared with what a role asks for.

use crate::base::json::Map;
use crate::base::{Json, glob};

/// A claim by its name, or by a JSON pointer (RFC 6901) where the name begins with a slash.
pub fn find<'a>(claims: &'a Map, name: &str) -> Option<&'a Json> {
    // Never both: a token that brings a claim called like the pointer must not pass for one that says it in the right place.
    let Some(pointer) = name.strip_prefix('/') else { return claims.get(name) };
    let mut steps = pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let mut at = claims.get(&steps.next()?)?;
    for step in steps {
        at = match at {
            Json::Object(map) => map.get(&step)?,
            Json::Array(items) => {
                let plain = step == "0" || !step.starts_with('0');
                items.get(step.parse::<usize>().ok().filter(|_| plain && !step.starts_with('+'))?)?
            }
            _ => return None,
        };
    }
    Some(at)
}

/// A single value as text, as metadata and names have it.
pub fn text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

/// Whether one of the values is one of the expected. With `globs`, texts are patterns.
pub fn meets(actual: &Json, expected: &Json, globs: bool) -> bool {
    let (actual, expected) = (items(actual), items(expected));
    expected.iter().any(|want| actual.iter().any(|have| same(have, want, globs)))
}

fn same(have: &Json, want: &Json, globs: bool) -> bool {
    match (have, want) {
        (Json::String(have), Json::String(want)) if globs => glob::fits(want, have),
        (Json::String(have), Json::String(want)) => have == want,
        (Json::Bool(have), Json::Bool(want)) => have == want,
        (Json::Number(have), Json::Number(want)) => {
            have == want || matches!((have.parse::<f64>(), want.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
        }
        // Objects and lists within lists are no values that a role can ask for; another type is another value.
        _ => false,
    }
}

fn items(value: &Json) -> Vec<&Json> {
    match value {
        Json::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Map {
        match Json::parse(text.as_bytes()).unwrap() {
            Json::Object(map) => map,
            _ => panic!("an object"),
        }
    }

    #[test]
    fn pointers_lead_to_what_they_name_and_nowhere_else() {
        let claims = claims(r#"{"a":{"b":["x",{"c/d":"y"}],"~":1},"/odd":"z"}"#);
        let text = |name: &str| find(&claims, name).and_then(text);
        assert_eq!(text("/a/b/0").as_deref(), Some("x"));
        assert_eq!(text("/a/b/1/c~1d").as_deref(), Some("y"));
        assert_eq!(text("/a/~0").as_deref(), Some("1"));
        for name in ["", "/", "/odd", "a/b", "/a/b/2", "/a/b/00", "/a/b/+0", "/a/b/-1", "/a/x", "/a/b/0/0", "b"] {
            assert_eq!(text(name), None, "{name}");
        }
    }

    #[test]
    fn values_of_another_type_do_not_meet() {
        let meets = |have: &str, want: &str, globs| {
            meets(&Json::parse(have.as_bytes()).unwrap(), &Json::parse(want.as_bytes()).unwrap(), globs)
        };
        for (have, want) in [
            ("\"true\"", "true"),
            ("1", "\"1\""),
            ("null", "null"),
            ("{}", "{}"),
            ("[[\"a\"]]", "\"a\""),
            ("[]", "\"a\""),
        ] {
            assert!(!meets(have, want, false), "{have} {want}");
        }
        assert!(!meets("\"a\"", "[]", false));
        assert!(!meets("\"ab\"", "\"a*\"", false));
        assert!(meets("\"ab\"", "\"a*\"", true));
        assert!(meets("[\"x\",\"b\"]", "[\"a\",\"b\"]", false));
        assert!(meets("3.0", "3", false));
    }
}

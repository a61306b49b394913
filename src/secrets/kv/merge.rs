//! JSON merge patch (RFC 7396), and the shape of data without its values.

use crate::base::json::Map;
use crate::base::{Error, Json, Result, limits};

/// The target as the patch wants it: `null` removes a key, objects are merged, all else replaces.
///
/// Both come from bodies whose depth is bounded, and the result is no deeper than the deeper of them.
pub fn merge(target: Json, patch: Json) -> Json {
    let Json::Object(patch) = patch else { return patch };
    let mut map = match target {
        Json::Object(map) => map,
        _ => Map::new(),
    };
    for (key, value) in patch {
        if value == Json::Null {
            map.remove(&key);
        } else {
            let old = map.remove(&key).unwrap_or_default();
            map.insert(key, merge(old, value));
        }
    }
    Json::Object(map)
}

/// Refuses what grew by merging beyond the count that can be read again.
///
/// # Errors
/// [`Error::Invalid`].
pub fn check_count(value: &Json) -> Result<()> {
    if count(value) > limits::JSON_VALUES {
        return Err(Error::invalid(format!("the merged data have more than {} values", limits::JSON_VALUES)));
    }
    Ok(())
}

fn count(value: &Json) -> usize {
    1 + match value {
        Json::Array(items) => items.iter().map(count).sum(),
        Json::Object(map) => map.values().map(|v| 1 + count(v)).sum(),
        _ => 0,
    }
}

/// The keys of an object, so many levels deep (0 for all); `null` where a value stands or the levels end.
pub fn outline(map: &Map, depth: usize) -> Map {
    let below = |value: &Json| match value {
        Json::Object(inner) if !inner.is_empty() && depth != 1 => Json::Object(outline(inner, depth.saturating_sub(1))),
        _ => Json::Null,
    };
    map.iter().map(|(key, value)| (key.clone(), below(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    /// The test cases of RFC 7396, appendix A.
    #[test]
    fn the_cases_of_the_rfc() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merge(json(target), json(patch)).text(), result, "{target} {patch}");
        }
    }

    #[test]
    fn an_outline_shows_no_value() {
        let Json::Object(map) = json(r#"{"t":"canary","d":{"l":{"m":"canary"},"a":[{"x":1}]},"e":{}}"#) else {
            panic!("an object")
        };
        let text = |depth| Json::Object(outline(&map, depth)).text();
        assert_eq!(text(0), r#"{"d":{"a":null,"l":{"m":null}},"e":null,"t":null}"#);
        assert_eq!(text(1), r#"{"d":null,"e":null,"t":null}"#);
        assert_eq!(text(2), r#"{"d":{"a":null,"l":null},"e":null,"t":null}"#);
        assert_eq!(text(9), text(0));
    }

    #[test]
    fn what_could_not_be_read_again_is_refused() {
        let half = || Json::Array(vec![Json::Null; limits::JSON_VALUES / 2]);
        assert!(check_count(&half()).is_ok());
        let error = check_count(&Json::object([("a", half()), ("b", half())])).unwrap_err();
        assert_eq!(error.status(), 400);
    }
}

//! `application/x-www-form-urlencoded`: of queries, and of bodies that old scripts send.

use super::json::Map;
use super::{Error, Json, Result, limits};

/// Reads pairs; a name that stands several times becomes a list.
///
/// # Errors
/// [`Error::Invalid`] for what is badly encoded or too much.
pub fn parse(text: &str) -> Result<Map> {
    let mut map = Map::new();
    for (count, pair) in text.split('&').filter(|p| !p.is_empty()).enumerate() {
        if count >= limits::QUERY_PARAMETERS {
            return Err(Error::invalid(format!("at most {} parameters", limits::QUERY_PARAMETERS)));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, Json::String(decode(value)?));
        match map.remove(&name) {
            None => map.insert(name, value),
            Some(Json::Array(mut items)) => {
                items.push(value);
                map.insert(name, Json::Array(items))
            }
            Some(first) => map.insert(name, Json::Array(vec![first, value])),
        };
    }
    Ok(map)
}

fn decode(text: &str) -> Result<String> {
    let spaced = text.replace('+', " ");
    let bytes = spaced.as_bytes();
    for (at, _) in spaced.match_indices('%') {
        let hex = |i: usize| bytes.get(at + i).is_some_and(u8::is_ascii_hexdigit);
        if !(hex(1) && hex(2)) {
            return Err(Error::invalid("a parameter has a bad percent-encoding"));
        }
    }
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    let text = decoded.map_err(|_| Error::invalid("a parameter is not UTF-8"))?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_encodings_are_refused() {
        for text in ["a=%", "a=%4", "%zz=1", "a=%ff"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"a&".repeat(limits::QUERY_PARAMETERS + 1)).is_err());
    }

    #[test]
    fn pairs_are_read() {
        let map = parse("a=b&c=d%20e&f&g=1&g=2&h=x+y").unwrap();
        assert_eq!(Json::Object(map).text(), r#"{"a":"b","c":"d e","f":"","g":["1","2"],"h":"x y"}"#);
    }
}

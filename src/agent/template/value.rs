//! What a template computes with: JSON's kinds, integers and floats apart, and strings that are bytes.
//!
//! A value may be a secret: `Debug` names its kind and never its content.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::functions::Function;

/// How deep JSON may nest before it is refused.
const JSON_DEPTH_MAX: usize = 64;

/// One value.
#[derive(Clone, Default)]
pub enum Value {
    /// Nothing at all, as a key that a map lacks. Prints as `<no value>`.
    #[default]
    Missing,
    /// An explicit null. A field of it is an error, where a field of [`Value::Missing`] is not.
    Nil,
    /// Depends on something not fetched yet; the rendering that met it is thrown away.
    Awaited,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number computed or written with a fraction.
    Float(f64),
    /// A number from JSON that no `i64` holds, in its own spelling.
    Number(Text),
    /// A string: bytes, mostly UTF-8.
    Text(Text),
    /// A list.
    List(Arc<Vec<Value>>),
    /// A map, ordered by the bytes of its keys.
    Map(Arc<BTreeMap<Text, Value>>),
    /// A function as a value, for `call`.
    Function(Function),
}

impl Value {
    /// A string value.
    pub fn text(text: impl AsRef<[u8]>) -> Value {
        Value::Text(Text::from(text.as_ref()))
    }

    /// A list of values.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Value {
        Value::List(Arc::new(items.into_iter().collect()))
    }

    /// A map with these entries; a later entry wins.
    pub fn map<K: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Map(Arc::new(entries.into_iter().map(|(k, v)| (Text::from(k.as_ref()), v)).collect()))
    }

    /// Reads one JSON document. Numbers keep their spelling unless they are an `i64`.
    ///
    /// # Errors
    /// The document is malformed or nests deeper than 64; the text quotes nothing of it.
    pub fn from_json(json: &str) -> Result<Value, String> {
        let raw: &RawValue = serde_json::from_str(json)
            .map_err(|e| format!("malformed JSON at line {}, column {}", e.line(), e.column()))?;
        from_raw(raw, 0)
    }

    /// As JSON that reads back as the same, when it came from JSON.
    pub fn to_json(&self) -> Option<String> {
        let mut out = Vec::new();
        super::encoding::json(&mut out, self, None, false).ok()?;
        String::from_utf8(out).ok()
    }

    /// The value under a key of a map.
    pub fn key(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(map) => map.get(key.as_bytes()),
            _ => None,
        }
    }

    /// The string, when this is one and is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => std::str::from_utf8(text.bytes()).ok(),
            _ => None,
        }
    }

    /// The whole number, when this is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// Whether `if` takes its first branch: not zero, not empty, not nil.
    pub fn truth(&self) -> bool {
        match self {
            Value::Missing | Value::Nil | Value::Awaited => false,
            Value::Bool(b) => *b,
            Value::Int(n) => *n != 0,
            Value::Float(f) => *f != 0.0,
            Value::Number(n) => n.number() != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Function(_) => true,
        }
    }

    /// Whether two are alike in kind and content.
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Missing | Value::Nil, Value::Missing | Value::Nil) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Number(a), Value::Number(b)) | (Value::Text(a), Value::Text(b)) => a == b,
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.same(b)),
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|((ka, a), (kb, b))| ka == kb && a.same(b))
            }
            _ => false,
        }
    }

    /// Whether there is nothing here: missing or null.
    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Missing | Value::Nil)
    }

    /// The kind, in Go's words, for `%T` and for errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Missing | Value::Nil => "<nil>",
            Value::Awaited => "awaited",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Number(_) => "json.Number",
            Value::Text(_) => "string",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
            Value::Function(_) => "func",
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.kind())
    }
}

fn from_raw(raw: &RawValue, depth: usize) -> Result<Value, String> {
    if depth > JSON_DEPTH_MAX {
        return Err(format!("JSON nests deeper than {JSON_DEPTH_MAX}"));
    }
    let json = raw.get();
    // Valid JSON already: only the tree is built here, so these errors cannot come but for a string's lone surrogates.
    let malformed = |_| "malformed JSON".to_owned();
    Ok(match json.as_bytes().first() {
        Some(b'{') => {
            let entries: BTreeMap<String, &RawValue> = serde_json::from_str(json).map_err(malformed)?;
            let mut map = BTreeMap::new();
            for (key, value) in entries {
                map.insert(Text::from(key.as_bytes()), from_raw(value, depth + 1)?);
            }
            Value::Map(Arc::new(map))
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json).map_err(malformed)?;
            let items: Result<Vec<Value>, String> = items.into_iter().map(|item| from_raw(item, depth + 1)).collect();
            Value::List(Arc::new(items?))
        }
        Some(b'"') => Value::text(serde_json::from_str::<String>(json).map_err(malformed)?),
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'n') | None => Value::Nil,
        Some(_) => match json.parse::<i64>() {
            Ok(n) if json != "-0" => Value::Int(n),
            _ => Value::Number(Text::from(json.as_bytes())),
        },
    })
}

/// A string as Go has it: bytes, shared, ordered bytewise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<[u8]>);

impl Text {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As UTF-8, with U+FFFD for what is not.
    pub fn lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number that a [`Value::Number`] spells; zero when it spells none, which JSON's grammar rules out.
    pub(super) fn number(&self) -> f64 {
        self.lossy().parse().unwrap_or(0.0)
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Text {
        Text(Arc::from(bytes))
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Text {
        Text(Arc::from(bytes))
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_json_is_refused_without_being_quoted() {
        for json in ["", "{", "{\"canary\":}", "[1,]", "canary", "{\"a\":1}x", "01"] {
            let error = Value::from_json(json).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let json = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Value::from_json(&json(JSON_DEPTH_MAX)).is_ok());
        assert!(Value::from_json(&json(JSON_DEPTH_MAX + 1)).is_err());
        assert!(Value::from_json(&json(100_000)).is_err());
    }

    #[test]
    fn numbers_keep_their_spelling() {
        let value = Value::from_json(r#"[1, -7, 1.10, 1e3, 18446744073709551615, -0]"#).unwrap();
        let Value::List(items) = value else { panic!("no list") };
        assert!(matches!(items[0], Value::Int(1)));
        assert!(matches!(items[1], Value::Int(-7)));
        let spelled: Vec<_> = items[2..]
            .iter()
            .map(|item| match item {
                Value::Number(text) => text.lossy().into_owned(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(spelled, ["1.10", "1e3", "18446744073709551615", "-0"]);
    }

    #[test]
    fn debug_shows_no_content() {
        let value = Value::map([("password", Value::text("canary"))]);
        assert!(!format!("{value:?} {:?}", value.key("password")).contains("canary"));
    }
}

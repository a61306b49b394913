//! JSON from outside, read once: bounded in depth and count, numbers kept as text, duplicate keys refused.
//!
//! Policy parameters, the fields of endpoints and the audit log all read this one tree.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Error, Result, limits};

/// An object, sorted by its keys.
pub type Map = BTreeMap<String, Json>;

/// A JSON value. Its `Debug` shows the shape only, since most of what comes here is secret.
#[derive(Clone, Default, PartialEq)]
pub enum Json {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(Box<str>),
    /// A string.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// An object.
    Object(Map),
}

impl Json {
    /// Reads one value and nothing after it.
    ///
    /// # Errors
    /// [`Error::Invalid`] with a text that says what is wrong and at which byte, never with a piece of the input.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(text).map_err(|_| fault("not UTF-8"))?;
        let mut reader = Reader { text, at: 0, values: 0 };
        let value = reader.value(0)?;
        reader.space();
        if reader.at < text.len() {
            return Err(reader.wrong("something follows the value"));
        }
        Ok(value)
    }

    /// An object of these pairs.
    pub fn object<K: Into<String>>(pairs: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(pairs.into_iter().map(|(k, v)| (k.into(), v)).collect())
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub const fn as_object(&self) -> Option<&Map> {
        match self {
            Self::Object(map) => Some(map),
            _ => None,
        }
    }

    /// The member of this name, if it is an object that has one.
    pub fn at(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    /// Writes it as compact text.
    pub fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Null => to.extend_from_slice(b"null"),
            Self::Bool(true) => to.extend_from_slice(b"true"),
            Self::Bool(false) => to.extend_from_slice(b"false"),
            Self::Number(text) => to.extend_from_slice(text.as_bytes()),
            Self::String(text) => write_string(text, to),
            Self::Array(items) => {
                to.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        to.push(b',');
                    }
                    item.write(to);
                }
                to.push(b']');
            }
            Self::Object(map) => write_object(map, to),
        }
    }

    /// As compact text.
    pub fn text(&self) -> String {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        // Strings and numbers came in as UTF-8, and what is added is ASCII.
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// Writes an object.
pub fn write_object(map: &Map, to: &mut Vec<u8>) {
    to.push(b'{');
    for (i, (key, value)) in map.iter().enumerate() {
        if i > 0 {
            to.push(b',');
        }
        write_string(key, to);
        to.push(b':');
        value.write(to);
    }
    to.push(b'}');
}

/// Writes a string with its quotes and escapes.
pub fn write_string(text: &str, to: &mut Vec<u8>) {
    to.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (i, &b) in bytes.iter().enumerate() {
        let escape: &[u8] = match b {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => continue,
        };
        to.extend_from_slice(&bytes[from..i]);
        if escape.is_empty() {
            to.extend_from_slice(format!("\\u{b:04x}").as_bytes());
        } else {
            to.extend_from_slice(escape);
        }
        from = i + 1;
    }
    to.extend_from_slice(&bytes[from..]);
    to.push(b'"');
}

fn fault(what: &str) -> Error {
    Error::invalid(format!("failed to decode JSON input: {what}"))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> Error {
        fault(&format!("{what} at byte {}", self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn count(&mut self) -> Result<()> {
        self.values += 1;
        if self.values > limits::JSON_VALUES {
            return Err(Error::invalid("refused JSON input due to high complexity: too many values"));
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        if depth > limits::JSON_DEPTH {
            return Err(Error::invalid("refused JSON input due to high complexity: nested too deeply"));
        }
        self.count()?;
        self.space();
        match self.peek() {
            None => Err(fault("unexpected EOF")),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.wrong("invalid character")),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json> {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        Err(if word.as_bytes().starts_with(rest) { fault("unexpected EOF") } else { self.wrong("invalid character") })
    }

    fn object(&mut self, depth: usize) -> Result<Json> {
        let mut map = Map::new();
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(map));
        }
        loop {
            self.space();
            match self.peek() {
                Some(b'"') => {}
                None => return Err(fault("unexpected EOF")),
                Some(_) => return Err(self.wrong("expected a key")),
            }
            self.count()?;
            let key = self.string()?;
            self.space();
            match self.peek() {
                Some(b':') => self.at += 1,
                None => return Err(fault("unexpected EOF")),
                Some(_) => return Err(self.wrong("expected a colon")),
            }
            let value = self.value(depth + 1)?;
            if map.insert(key, value).is_some() {
                return Err(self.wrong("a key stands twice in one object, the second one before"));
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(map));
                }
                None => return Err(fault("unexpected EOF")),
                Some(_) => return Err(self.wrong("expected a comma or a closing brace")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(items));
                }
                None => return Err(fault("unexpected EOF")),
                Some(_) => return Err(self.wrong("expected a comma or a closing bracket")),
            }
        }
    }

    fn number(&mut self) -> Result<Json> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.wrong("invalid number")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(Json::Number(self.text[start..self.at].into()))
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<()> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.wrong("invalid number"));
        }
        self.digits();
        Ok(())
    }

    fn string(&mut self) -> Result<String> {
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        while let Some(&b) = bytes.get(self.at) {
            match b {
                b'"' => {
                    let plain = self.text[start..self.at].to_owned();
                    self.at += 1;
                    return Ok(plain);
                }
                b'\\' => return self.escaped(start),
                0..=0x1f => return Err(self.wrong("a control character in a string")),
                _ => self.at += 1,
            }
        }
        Err(fault("unexpected EOF"))
    }

    fn escaped(&mut self, start: usize) -> Result<String> {
        let mut text = self.text[start..self.at].to_owned();
        loop {
            let Some(b) = self.peek() else { return Err(fault("unexpected EOF")) };
            match b {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => {
                    self.at += 1;
                    let c = self.escape()?;
                    text.push(c);
                }
                0..=0x1f => return Err(self.wrong("a control character in a string")),
                _ => {
                    let from = self.at;
                    while self.peek().is_some_and(|b| b != b'"' && b != b'\\' && b > 0x1f) {
                        self.at += 1;
                    }
                    text.push_str(&self.text[from..self.at]);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let Some(b) = self.peek() else { return Err(fault("unexpected EOF")) };
        self.at += 1;
        Ok(match b {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4()?;
                if (0xd800..0xdc00).contains(&first) && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                    let back = self.at;
                    self.at += 2;
                    let second = self.hex4()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
                    }
                    self.at = back;
                }
                // Half of a pair stands for nothing: the replacement character, as Go reads it.
                char::from_u32(first).unwrap_or('\u{fffd}')
            }
            _ => return Err(self.wrong("invalid escape")),
        })
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or_else(|| fault("unexpected EOF"))?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(self.wrong("invalid escape"));
        }
        self.at += 4;
        Ok(digits.iter().fold(0, |n, &d| n * 16 + char::from(d).to_digit(16).unwrap_or(0)))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        })
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

macro_rules! from_integer {
    ($($t:ty)*) => { $(impl From<$t> for Json {
        fn from(n: $t) -> Self { Self::Number(itoa::Buffer::new().format(n).into()) }
    })* };
}
from_integer!(u8 u16 u32 u64 usize i32 i64);

impl<T: Into<Self>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Json {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl From<Map> for Json {
    fn from(map: Map) -> Self {
        Self::Object(map)
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(b),
            Value::Number(n) => Self::Number(n.to_string().into()),
            Value::String(s) => Self::String(s),
            Value::Array(items) => Self::Array(items.into_iter().map(Into::into).collect()),
            Value::Object(map) => Self::Object(map.into_iter().map(|(k, v)| (k, v.into())).collect()),
        }
    }
}

impl Serialize for Json {
    /// As raw text, so that numbers stay as they were; for `serde_json` only.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.text()).map_err(serde::ser::Error::custom)?.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        Self::parse(raw.get().as_bytes()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_text_is_refused_without_its_content() {
        for text in [
            "",
            "{",
            "{\"canary",
            "{\"canary\":",
            "{\"canary\":1",
            "[canary]",
            "{\"a\":1,\"a\":2}",
            "01",
            "1.",
            "-",
            "1e",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "{} canary",
            "tru",
            "nulll",
            "[1,]",
            "{\"a\":1,}",
            "\u{feff}{}",
        ] {
            let error = Json::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.status(), 400, "{text}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn depth_and_count_have_a_bound() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Json::parse(deep(limits::JSON_DEPTH).as_bytes()).is_ok());
        assert!(Json::parse(deep(20_000).as_bytes()).unwrap_err().to_string().contains("high complexity"));
        let wide = format!("[{}1]", "1,".repeat(limits::JSON_VALUES));
        assert!(Json::parse(wide.as_bytes()).unwrap_err().to_string().contains("high complexity"));
    }

    #[test]
    fn numbers_and_text_come_back_as_they_were() {
        let text = r#"{"a":123456789012345678901234567890,"b":0.10,"c":["\u0001é🙂",null,true,{}],"d":"a\"b\\c\n"}"#;
        assert_eq!(Json::parse(text.as_bytes()).unwrap().text(), text);
        assert_eq!(Json::parse(br#""\ud83d\ude42\ud83d""#).unwrap().as_str(), Some("🙂\u{fffd}"));
    }

    #[test]
    fn it_goes_through_serde_whole() {
        #[derive(Serialize, Deserialize)]
        struct Row {
            data: Json,
        }
        let text = r#"{"data":{"n":1e400,"s":[1.50]}}"#;
        let row: Row = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&row).unwrap(), text);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Json::parse(&bytes);
        }

        #[test]
        fn strings_round_trip(text: String) {
            let json = Json::String(text);
            proptest::prop_assert_eq!(Json::parse(json.text().as_bytes()).unwrap(), json);
        }
    }
}

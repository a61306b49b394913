//! Reads a YAML document into values, with the words of YAML 1.1 that consul-template's reader knows.
//!
//! The events come from a parser; here they become a tree of bounded depth and size, aliases and merges included.

use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::value::{Text, Value};

/// How deep a document may nest.
const DEPTH_MAX: usize = 64;
/// The most nodes, those of repeated aliases counted each time.
const NODES_MAX: usize = 200_000;

/// The first document of a text. Errors name a line and quote nothing.
pub(super) fn document(yaml: &str) -> Result<Value, String> {
    let mut reader = Reader { parser: Parser::new_from_str(yaml), anchors: BTreeMap::new(), nodes: 0 };
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(Value::Nil),
            Event::DocumentStart(_) => break,
            _ => {}
        }
    }
    let first = reader.next()?;
    reader.node(first, 0)
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: BTreeMap<usize, (Value, usize)>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.parser.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(format!("malformed YAML at line {}", error.marker().line())),
            None => Ok(Event::StreamEnd),
        }
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX { Err(format!("YAML of more than {NODES_MAX} nodes")) } else { Ok(()) }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(format!("YAML nests deeper than {DEPTH_MAX}"));
        }
        self.count(1)?;
        let before = self.nodes;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref()), anchor),
            Event::Alias(anchor) => {
                let (value, nodes) = self.anchors.get(&anchor).cloned().ok_or("a YAML alias without its anchor")?;
                self.count(nodes)?;
                (value, 0)
            }
            Event::SequenceStart(anchor, ..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
                (Value::list(items), anchor)
            }
            Event::MappingStart(anchor, ..) => (self.mapping(depth)?, anchor),
            _ => (Value::Nil, 0),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), self.nodes - before));
        }
        Ok(value)
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, String> {
        let mut map = BTreeMap::new();
        let mut merged: Vec<Value> = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, depth + 1)?;
            let value = self.next()?;
            let value = self.node(value, depth + 1)?;
            if merges {
                match value {
                    Value::List(items) => merged.extend(items.iter().cloned()),
                    value => merged.push(value),
                }
                continue;
            }
            let mut name = Vec::new();
            super::format::print_value(&mut name, &key);
            if map.insert(Text::from(name), value).is_some() {
                return Err("a YAML mapping has a key twice".to_owned());
            }
        }
        for source in merged {
            let Value::Map(source) = source else { return Err("a YAML merge of what is no mapping".to_owned()) };
            for (key, value) in source.iter() {
                map.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        Ok(Value::Map(Arc::new(map)))
    }
}

/// What a plain scalar is read as.
pub(super) fn plain(text: &str) -> Value {
    scalar(text, ScalarStyle::Plain, None)
}

/// A plain scalar is what it looks like; any other is a string.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    if style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str") {
        return Value::text(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Nil,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
            return Value::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    number(text).unwrap_or_else(|| Value::text(text))
}

/// A number, underscores between its digits allowed.
pub(super) fn number(text: &str) -> Option<Value> {
    let digits = text.replace('_', "");
    let (sign, bare) = match digits.strip_prefix('-') {
        Some(bare) => ("-", bare),
        None => ("", digits.strip_prefix('+').unwrap_or(&digits)),
    };
    if !bare.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let radix = |prefix: &str, radix| {
        let rest = bare.strip_prefix(prefix).filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()))?;
        i64::from_str_radix(&format!("{sign}{rest}"), radix).ok()
    };
    if let Some(n) = radix("0x", 16).or_else(|| radix("0b", 2)).or_else(|| radix("0o", 8)).or_else(|| radix("0", 8)) {
        return Some(Value::Int(n));
    }
    if bare.bytes().all(|byte| byte.is_ascii_digit()) && (bare == "0" || !bare.starts_with('0')) {
        let whole = format!("{sign}{bare}");
        return Some(whole.parse().map_or_else(|_| Value::Number(Text::from(whole.as_bytes())), Value::Int));
    }
    // Letters other than an exponent are no float, whatever Rust's own reader says of "nan".
    let float = bare.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
        && bare.bytes().any(|byte| byte.is_ascii_digit());
    float.then(|| format!("{sign}{bare}").parse().ok().map(Value::Float)).flatten()
}

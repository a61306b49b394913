//! A small YAML writer: block style, and every string that could be read as something else in double quotes.

use super::encoding::json_string;
use super::format::float_text;
use super::functions::FnErr;
use super::value::{Text, Value};

/// A value as a YAML document, without the final newline (as consul-template has it).
pub(super) fn document(value: &Value) -> Result<Vec<u8>, FnErr> {
    let mut out = Vec::new();
    node(&mut out, value, 0, false)?;
    while out.last() == Some(&b'\n') {
        out.pop();
    }
    Ok(out)
}

/// Writes a value and a newline; `inline` means that something stands on the line already.
fn node(out: &mut Vec<u8>, value: &Value, depth: usize, inline: bool) -> Result<(), FnErr> {
    match value {
        Value::List(items) if items.is_empty() => out.extend_from_slice(b"[]\n"),
        Value::Map(map) if map.is_empty() => out.extend_from_slice(b"{}\n"),
        Value::List(items) => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 || !inline {
                    indent(out, depth);
                }
                out.extend_from_slice(b"- ");
                node(out, item, depth + 1, true)?;
            }
        }
        Value::Map(map) => {
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 || !inline {
                    indent(out, depth);
                }
                string(out, key);
                out.push(b':');
                match item {
                    Value::List(items) if !items.is_empty() => {
                        out.push(b'\n');
                        node(out, item, depth, false)?;
                    }
                    Value::Map(inner) if !inner.is_empty() => {
                        out.push(b'\n');
                        node(out, item, depth + 1, false)?;
                    }
                    item => {
                        out.push(b' ');
                        node(out, item, depth + 1, true)?;
                    }
                }
            }
        }
        scalar => {
            match scalar {
                Value::Missing | Value::Nil | Value::Awaited => out.extend_from_slice(b"null"),
                Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
                Value::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
                Value::Float(f) if f.is_nan() => out.extend_from_slice(b".nan"),
                Value::Float(f) if f.is_infinite() => out.extend_from_slice(if *f > 0.0 { b".inf" } else { b"-.inf" }),
                Value::Float(f) => out.extend_from_slice(float_text(*f, 'g', None).as_bytes()),
                Value::Number(text) => out.extend_from_slice(text.bytes()),
                Value::Text(text) => string(out, text),
                Value::Function(_) => return Err(FnErr::from("a function has no YAML form")),
                Value::List(_) | Value::Map(_) => {} // above
            }
            out.push(b'\n');
        }
    }
    Ok(())
}

fn indent(out: &mut Vec<u8>, depth: usize) {
    out.resize(out.len() + 2 * depth, b' ');
}

fn string(out: &mut Vec<u8>, text: &Text) {
    if is_plain(text) { out.extend_from_slice(text.bytes()) } else { json_string(out, text, false) }
}

/// Whether a string reads back as itself without quotes: a word of letters, digits and few signs that is no keyword.
fn is_plain(text: &Text) -> bool {
    let Ok(s) = std::str::from_utf8(text.bytes()) else { return false };
    let starts = s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let plain = s.chars().all(|c| c.is_ascii_alphanumeric() || "/_-.@+".contains(c));
    let word = s.to_ascii_lowercase();
    // YAML 1.1 readers take these for booleans or null.
    let keyword = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&word.as_str());
    starts && plain && !keyword
}

//! A TOML writer as the one of consul-template: plain values first, then tables, indented by their depth.

use super::encoding::json_string;
use super::format::float_text;
use super::functions::FnErr;
use super::value::{Text, Value};

/// A value as a TOML document, without the space around it.
pub(super) fn document(value: &Value) -> Result<Vec<u8>, FnErr> {
    let mut out = Vec::new();
    match value {
        Value::Map(_) => table(&mut out, value, &mut Vec::new())?,
        other => inline(&mut out, other)?,
    }
    Ok(out.trim_ascii().to_vec())
}

fn is_tables(value: &Value) -> bool {
    matches!(value, Value::List(items) if !items.is_empty() && items.iter().all(|item| matches!(item, Value::Map(_))))
}

fn table(out: &mut Vec<u8>, value: &Value, path: &mut Vec<Text>) -> Result<(), FnErr> {
    let Value::Map(map) = value else { return Ok(()) };
    let depth = path.len();
    for (key, item) in map.iter() {
        // TOML has no null: what is not there is not written.
        if !(matches!(item, Value::Map(_)) || is_tables(item) || item.is_nil()) {
            out.resize(out.len() + 2 * depth, b' ');
            name(out, key);
            out.extend_from_slice(b" = ");
            inline(out, item)?;
            out.push(b'\n');
        }
    }
    for (key, item) in map.iter() {
        path.push(key.clone());
        match item {
            Value::Map(_) => {
                if depth == 0 {
                    out.push(b'\n');
                }
                header(out, path, "[", "]");
                table(out, item, path)?;
            }
            Value::List(items) if is_tables(item) => {
                for item in items.iter() {
                    out.push(b'\n');
                    header(out, path, "[[", "]]");
                    table(out, item, path)?;
                }
            }
            _ => {}
        }
        path.pop();
    }
    Ok(())
}

fn header(out: &mut Vec<u8>, path: &[Text], open: &str, close: &str) {
    out.resize(out.len() + 2 * (path.len() - 1), b' ');
    out.extend_from_slice(open.as_bytes());
    for (i, key) in path.iter().enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        name(out, key);
    }
    out.extend_from_slice(close.as_bytes());
    out.push(b'\n');
}

fn name(out: &mut Vec<u8>, key: &Text) {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'-';
    if !key.is_empty() && key.bytes().iter().all(plain) {
        out.extend_from_slice(key.bytes());
    } else {
        json_string(out, key, false);
    }
}

fn inline(out: &mut Vec<u8>, value: &Value) -> Result<(), FnErr> {
    match value {
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Value::Number(text) => out.extend_from_slice(text.bytes()),
        Value::Float(f) if f.is_nan() => out.extend_from_slice(b"nan"),
        Value::Float(f) if f.is_infinite() => out.extend_from_slice(if *f > 0.0 { b"inf" } else { b"-inf" }),
        Value::Float(f) => {
            let mut digits = float_text(*f, 'f', None);
            if !digits.contains('.') {
                digits.push_str(".0");
            }
            out.extend_from_slice(digits.as_bytes());
        }
        Value::Text(text) => json_string(out, text, false),
        Value::List(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.extend_from_slice(b", ");
                }
                inline(out, item)?;
            }
            out.push(b']');
        }
        Value::Map(map) => {
            out.push(b'{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.extend_from_slice(b", ");
                }
                name(out, key);
                out.extend_from_slice(b" = ");
                inline(out, item)?;
            }
            out.push(b'}');
        }
        Value::Missing | Value::Nil | Value::Awaited => return Err(FnErr::from("a null has no TOML form")),
        Value::Function(_) => return Err(FnErr::from("a function has no TOML form")),
    }
    Ok(())
}

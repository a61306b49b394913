//! consul-template's conversions: JSON, base64, digests, numbers and booleans from text.

use crate::crypto::{hmac_sha256, md5, sha256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::format::float_text;
use super::functions::{FnErr, Functions, bounded, text, utf8};
use super::value::{Text, Value};
use super::{toml, yaml, yaml_read};

pub(super) fn add(functions: &mut Functions) {
    functions
        .add("base64Encode", 1, 1, |ctx, args| bounded(ctx, STANDARD.encode(text(&args[0])?.bytes()).into_bytes()));
    functions
        .add("base64URLEncode", 1, 1, |ctx, args| bounded(ctx, URL_SAFE.encode(text(&args[0])?.bytes()).into_bytes()));
    functions.add("base64Decode", 1, 1, |_, args| decode(&STANDARD, &args[0]));
    functions.add("base64URLDecode", 1, 1, |_, args| decode(&URL_SAFE, &args[0]));
    functions.add("md5sum", 1, 1, |_, args| Ok(Value::text(hex::encode(md5(text(&args[0])?.bytes())))));
    // The executor, which knows the definitions, answers in its place.
    functions.add("executeTemplate", 1, 2, |_, _| Err(FnErr::from("no template of this name is defined")));
    functions.add("sha256Hex", 1, 1, |_, args| Ok(Value::text(hex::encode(sha256(text(&args[0])?.bytes())))));
    functions.add("hmacSHA256Hex", 2, 2, |_, args| {
        let (message, key) = (text(&args[0])?.bytes(), text(&args[1])?.bytes());
        Ok(Value::text(hex::encode(hmac_sha256(key, &[message]))))
    });
    functions.add("toTOML", 1, 1, |ctx, args| bounded(ctx, toml::document(&args[0])?));
    functions.add("parseYAML", 1, 1, |_, args| match utf8(&args[0])? {
        "" => Ok(Value::map::<&str>([])),
        yaml => yaml_read::document(yaml).map_err(FnErr::Failed),
    });
    functions.add("parseUint", 1, 1, |_, args| match utf8(&args[0])? {
        "" => Ok(Value::Int(0)),
        // Beyond an i64 it stays as it is spelled.
        digits => digits
            .parse::<u64>()
            .map(|n| i64::try_from(n).map_or_else(|_| Value::Number(Text::from(digits.as_bytes())), Value::Int))
            .map_err(|_| FnErr::from("not a whole number")),
    });
    functions.add("toUnescapedJSONPretty", 1, 1, |ctx, args| {
        let mut out = Vec::new();
        json(&mut out, &args[0], Some(0), false)?;
        bounded(ctx, out)
    });
    functions.add("toJSON", 1, 1, |ctx, args| {
        let mut out = Vec::new();
        json(&mut out, &args[0], None, true)?;
        bounded(ctx, out)
    });
    functions.add("toUnescapedJSON", 1, 1, |ctx, args| {
        let mut out = Vec::new();
        json(&mut out, &args[0], None, false)?;
        bounded(ctx, out)
    });
    functions.add("toJSONPretty", 1, 1, |ctx, args| {
        let mut out = Vec::new();
        json(&mut out, &args[0], Some(0), true)?;
        bounded(ctx, out)
    });
    functions.add("toYAML", 1, 1, |ctx, args| bounded(ctx, yaml::document(&args[0])?));
    functions.add("parseJSON", 1, 1, |_, args| match utf8(&args[0])? {
        "" => Ok(Value::map::<&str>([])),
        json => Value::from_json(json).map(as_floats).map_err(FnErr::Failed),
    });
    functions.add("parseInt", 1, 1, |_, args| match utf8(&args[0])? {
        "" => Ok(Value::Int(0)),
        digits => digits.parse().map(Value::Int).map_err(|_| FnErr::from("not a whole number")),
    });
    functions.add("parseFloat", 1, 1, |_, args| match utf8(&args[0])? {
        "" => Ok(Value::Float(0.0)),
        digits => digits.parse().map(Value::Float).map_err(|_| FnErr::from("not a number")),
    });
    functions.add("parseBool", 1, 1, |_, args| match utf8(&args[0])? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
        _ => Err(FnErr::from("not a boolean")),
    });
}

/// All numbers as floats, which is what Go makes of JSON when nothing else is said.
fn as_floats(value: Value) -> Value {
    match value {
        Value::Int(n) => Value::Float(n as f64),
        Value::Number(text) => Value::Float(text.number()),
        Value::List(items) => Value::list(items.iter().cloned().map(as_floats)),
        Value::Map(map) => Value::map(map.iter().map(|(key, value)| (key.bytes(), as_floats(value.clone())))),
        other => other,
    }
}

fn decode(engine: &impl Engine, value: &Value) -> Result<Value, FnErr> {
    // Line breaks are what Go's decoder passes over.
    let given: Vec<u8> = text(value)?.bytes().iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    engine.decode(given).map(Value::text).map_err(|_| FnErr::from("malformed base64"))
}

/// Writes JSON as Go's encoder does; with `indent`, over several lines.
pub(super) fn json(out: &mut Vec<u8>, value: &Value, indent: Option<usize>, html: bool) -> Result<(), FnErr> {
    let deeper = indent.map(|depth| depth + 1);
    match value {
        Value::Missing | Value::Nil | Value::Awaited => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Value::Float(f) => out.extend_from_slice(json_float(*f)?.as_bytes()),
        Value::Number(text) => out.extend_from_slice(text.bytes()),
        Value::Text(text) => json_string(out, text, html),
        Value::List(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                line(out, deeper);
                json(out, item, deeper, html)?;
            }
            if !items.is_empty() {
                line(out, indent);
            }
            out.push(b']');
        }
        Value::Map(map) => {
            out.push(b'{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                line(out, deeper);
                json_string(out, key, html);
                out.extend_from_slice(if indent.is_some() { b": " } else { b":" });
                json(out, item, deeper, html)?;
            }
            if !map.is_empty() {
                line(out, indent);
            }
            out.push(b'}');
        }
        Value::Function(_) => return Err(FnErr::from("a function has no JSON form")),
    }
    Ok(())
}

fn line(out: &mut Vec<u8>, indent: Option<usize>) {
    if let Some(depth) = indent {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    }
}

fn json_float(f: f64) -> Result<String, FnErr> {
    if !f.is_finite() {
        return Err(FnErr::from("an infinite number has no JSON form"));
    }
    if f == 0.0 || (1e-6..1e21).contains(&f.abs()) {
        return Ok(float_text(f, 'f', None));
    }
    // An exponent of one digit is written as one.
    Ok(float_text(f, 'e', None).replace("e-0", "e-").replace("e+0", "e+"))
}

/// A JSON string; with `html`, also safe inside a page.
pub(super) fn json_string(out: &mut Vec<u8>, text: &Text, html: bool) {
    out.push(b'"');
    for c in text.lossy().chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\x08' => out.extend_from_slice(b"\\b"),
            '\x0c' => out.extend_from_slice(b"\\f"),
            '<' | '>' | '&' if html => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            '\u{2028}' | '\u{2029}' => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            c if c < ' ' => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

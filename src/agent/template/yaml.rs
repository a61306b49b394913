//! A small YAML writer: block style, and strings plain, quoted or as blocks by the rules of consul-template's library.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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
                string(out, key, depth, true);
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
                Value::Text(text) => string(out, text, depth, false),
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

fn string(out: &mut Vec<u8>, text: &Text, depth: usize, key: bool) {
    let Ok(s) = std::str::from_utf8(text.bytes()) else {
        out.extend_from_slice(b"!!binary ");
        return out.extend_from_slice(STANDARD.encode(text.bytes()).as_bytes());
    };
    let may = Styles::of(s);
    if s.contains('\n') && may.literal && !key {
        literal(out, s, depth.max(1));
    } else if s.contains('\n') || !is_string(s) {
        quoted(out, s);
    } else if may.plain {
        out.extend_from_slice(s.as_bytes());
    } else if may.single {
        out.extend_from_slice(format!("'{}'", s.replace('\'', "''")).as_bytes());
    } else {
        quoted(out, s);
    }
}

/// Whether a reader takes the plain text for a string, and for no number, date, merge or word of YAML 1.1.
fn is_string(s: &str) -> bool {
    let base60 = s.contains(':') && s.bytes().all(|b| b.is_ascii_digit() || b":_+-.".contains(&b));
    let date = s.len() >= 8
        && s.bytes().take(4).all(|b| b.is_ascii_digit())
        && s.split(['T', 't', ' ']).next().is_some_and(|day| {
            let parts: Vec<&str> = day.split('-').collect();
            parts.len() == 3 && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()))
        });
    !base60 && !date && s != "<<" && matches!(super::yaml_read::plain(s), Value::Text(_))
}

/// The styles in which a string survives.
struct Styles {
    plain: bool,
    single: bool,
    literal: bool,
}

impl Styles {
    fn of(s: &str) -> Styles {
        let is_break = |c| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let mut indicator = s.starts_with("---") || s.starts_with("...");
        let (mut special, mut breaks, mut space_before_break, mut break_before_space) = (false, false, false, false);
        let mut before = None;
        let mut after = s.chars().skip(1);
        for c in s.chars() {
            let ends = after.next().is_none_or(|next| next == ' ' || next == '\t' || is_break(next));
            indicator |= match before {
                None => "#,[]{}&*!|>'\"%@`".contains(c) || ("?:-".contains(c) && ends),
                Some(last) => (c == ':' && ends) || (c == '#' && (last == ' ' || last == '\t' || is_break(last))),
            };
            special |= !is_printable(c);
            breaks |= is_break(c);
            space_before_break |= is_break(c) && before == Some(' ');
            break_before_space |= c == ' ' && before.is_some_and(is_break);
            before = Some(c);
        }
        let edge = |c| c == ' ' || is_break(c);
        let at_edges = s.starts_with(edge) || s.ends_with(edge);
        let torn = special || space_before_break;
        Styles {
            plain: !(torn || at_edges || breaks || indicator),
            single: !(torn || break_before_space),
            literal: !(torn || s.ends_with(' ')),
        }
    }
}

/// What may stand in a document as it is; a tab may not.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

fn literal(out: &mut Vec<u8>, s: &str, depth: usize) {
    out.push(b'|');
    if s.starts_with([' ', '\n']) {
        out.push(b'2');
    }
    if !s.ends_with('\n') {
        out.push(b'-');
    } else if s == "\n" || s.ends_with("\n\n") {
        out.push(b'+');
    }
    for line in s.strip_suffix('\n').unwrap_or(s).split('\n') {
        out.push(b'\n');
        if !line.is_empty() {
            indent(out, depth);
        }
        out.extend_from_slice(line.as_bytes());
    }
}

fn quoted(out: &mut Vec<u8>, s: &str) {
    out.push(b'"');
    for c in s.chars() {
        let short = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\0' => "\\0",
            '\x07' => "\\a",
            '\x08' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\x0b' => "\\v",
            '\x0c' => "\\f",
            '\r' => "\\r",
            '\x1b' => "\\e",
            '\u{85}' => "\\N",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            c if is_printable(c) => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            c => {
                let code = u32::from(c);
                let escaped = match code {
                    0..=0xff => format!("\\x{code:02X}"),
                    0x100..=0xffff => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                };
                out.extend_from_slice(escaped.as_bytes());
                continue;
            }
        };
        out.extend_from_slice(short.as_bytes());
    }
    out.push(b'"');
}

//! Go's own template functions. `and` and `or` are here for their names only: the executor short-circuits them.

use super::format::{is_printable, sprint, sprintf, sprintln};
use super::functions::{Ctx, FnErr, Functions, bounded, text, too_long};
use super::value::{Text, Value};

pub(super) fn add(functions: &mut Functions) {
    for name in ["and", "or"] {
        functions.add(name, 1, None, |_, _| Err(FnErr::from("evaluated by the executor")));
    }
    functions.add("not", 1, 1, |_, args| Ok(Value::Bool(!args[0].truth())));
    functions.add("eq", 1, None, |_, args| eq(&args[0], &args[1..]).map(Value::Bool));
    functions.add("ne", 2, 2, |_, args| eq(&args[0], &args[1..]).map(|b| Value::Bool(!b)));
    functions.add("lt", 2, 2, |_, args| lt(&args[0], &args[1]).map(Value::Bool));
    functions.add("le", 2, 2, |_, args| le(&args[0], &args[1]).map(Value::Bool));
    functions.add("gt", 2, 2, |_, args| le(&args[0], &args[1]).map(|b| Value::Bool(!b)));
    functions.add("ge", 2, 2, |_, args| lt(&args[0], &args[1]).map(|b| Value::Bool(!b)));
    functions.add("len", 1, 1, |_, args| len(&args[0]));
    functions.add("index", 1, None, |_, args| index(&args[0], &args[1..]));
    functions.add("slice", 1, None, |_, args| slice(&args[0], &args[1..]));
    functions.add("print", 0, None, |ctx, args| bounded(ctx, sprint(args, false)));
    functions.add("println", 0, None, |ctx, args| bounded(ctx, sprintln(args)));
    functions.add("printf", 1, None, |ctx, args| {
        let out = sprintf(text(&args[0])?.bytes(), &args[1..], ctx.bytes_max).map_err(|_| too_long(ctx))?;
        Ok(Value::Text(Text::from(out)))
    });
    functions.add("html", 0, None, |ctx, args| bounded(ctx, html(&plain(args))));
    functions.add("js", 0, None, |ctx, args| bounded(ctx, js(&plain(args))));
    functions.add("urlquery", 0, None, |ctx, args| bounded(ctx, urlquery(&plain(args))));
    functions.add("call", 1, None, call);
}

/// The text of arguments that an escaping function works on.
fn plain(args: &[Value]) -> Vec<u8> {
    match args {
        [Value::Text(text)] => text.bytes().to_vec(),
        args => sprint(args, true),
    }
}

fn call(ctx: &mut Ctx, args: &[Value]) -> Result<Value, FnErr> {
    match &args[0] {
        Value::Function(function) => {
            let given = args.len() - 1;
            if given < function.least || function.most.is_some_and(|most| given > most) {
                return Err(FnErr::from("wrong number of args"));
            }
            (function.body)(ctx, &args[1..])
        }
        Value::Missing | Value::Nil => Err(FnErr::from("call of nil")),
        other => Err(FnErr::Failed(format!("non-function of type {}", other.kind()))),
    }
}

const NOT_COMPARABLE: &str = "invalid type for comparison";

fn incompatible(a: &Value, b: &Value) -> FnErr {
    FnErr::Failed(format!("incompatible types for comparison: {} and {}", a.kind(), b.kind()))
}

/// Whether the first is equal to one of the others.
fn eq(first: &Value, others: &[Value]) -> Result<bool, FnErr> {
    if others.is_empty() {
        return Err(FnErr::from("missing argument for comparison"));
    }
    for other in others {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether two are equal; an error when their kinds cannot be.
pub(super) fn equal(a: &Value, b: &Value) -> Result<bool, FnErr> {
    Ok(match (a, b) {
        (a, b) if a.is_nil() || b.is_nil() => a.is_nil() == b.is_nil(),
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        // A number as JSON spelled it is at home with every other number, and with its own spelling.
        (Value::Number(a), Value::Number(b)) => a == b || a.number() == b.number(),
        (Value::Number(n), Value::Int(i)) | (Value::Int(i), Value::Number(n)) => n.number() == *i as f64,
        (Value::Number(n), Value::Float(f)) | (Value::Float(f), Value::Number(n)) => n.number() == *f,
        (Value::Number(n), Value::Text(t)) | (Value::Text(t), Value::Number(n)) => n == t,
        (a, b) => return Err(incompatible(a, b)),
    })
}

fn lt(a: &Value, b: &Value) -> Result<bool, FnErr> {
    Ok(match (a, b) {
        (Value::Int(a), Value::Int(b)) => a < b,
        (Value::Float(a), Value::Float(b)) => a < b,
        (Value::Text(a), Value::Text(b)) => a < b,
        (Value::Number(a), Value::Number(b)) => a.number() < b.number(),
        (Value::Number(a), Value::Int(b)) => a.number() < *b as f64,
        (Value::Int(a), Value::Number(b)) => (*a as f64) < b.number(),
        (Value::Number(a), Value::Float(b)) => a.number() < *b,
        (Value::Float(a), Value::Number(b)) => *a < b.number(),
        (
            Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bool(_),
            Value::Int(_) | Value::Float(_) | Value::Text(_),
        ) => {
            return Err(incompatible(a, b));
        }
        _ => return Err(FnErr::from(NOT_COMPARABLE)),
    })
}

fn le(a: &Value, b: &Value) -> Result<bool, FnErr> {
    Ok(lt(a, b)? || equal(a, b)?)
}

fn len(value: &Value) -> Result<Value, FnErr> {
    let len = match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        Value::Missing | Value::Nil => return Err(FnErr::from("len of nil")),
        other => return Err(FnErr::Failed(format!("len of type {}", other.kind()))),
    };
    Ok(Value::Int(i64::try_from(len).unwrap_or(i64::MAX)))
}

/// An index within `0..=most`.
fn position(index: &Value, most: usize) -> Result<usize, FnErr> {
    match index {
        Value::Int(n) => {
            usize::try_from(*n).ok().filter(|n| *n <= most).ok_or_else(|| FnErr::from("index out of range"))
        }
        Value::Missing | Value::Nil => Err(FnErr::from("cannot index slice/array with nil")),
        other => Err(FnErr::Failed(format!("cannot index slice/array with type {}", other.kind()))),
    }
}

fn index(item: &Value, indexes: &[Value]) -> Result<Value, FnErr> {
    let mut item = match item {
        Value::Missing | Value::Nil => return Err(FnErr::from("index of untyped nil")),
        item => item.clone(),
    };
    for index in indexes {
        item = match &item {
            Value::Map(map) => match index {
                Value::Text(key) => map.get(key.bytes()).cloned().unwrap_or(Value::Nil),
                Value::Missing | Value::Nil => return Err(FnErr::from("value is nil; should be of type string")),
                other => return Err(FnErr::Failed(format!("value has type {}; should be string", other.kind()))),
            },
            Value::List(list) => {
                let at = position(index, list.len())?;
                list.get(at).cloned().ok_or_else(|| FnErr::from("index out of range"))?
            }
            Value::Text(text) => {
                let at = position(index, text.len())?;
                let byte = text.bytes().get(at).ok_or_else(|| FnErr::from("index out of range"))?;
                Value::Int(i64::from(*byte))
            }
            Value::Missing | Value::Nil => return Err(FnErr::from("index of nil pointer")),
            other => return Err(FnErr::Failed(format!("can't index item of type {}", other.kind()))),
        };
    }
    Ok(item)
}

fn slice(item: &Value, indexes: &[Value]) -> Result<Value, FnErr> {
    let len = match item {
        Value::Text(_) if indexes.len() == 3 => return Err(FnErr::from("cannot 3-index slice a string")),
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Missing | Value::Nil => return Err(FnErr::from("slice of untyped nil")),
        other => return Err(FnErr::Failed(format!("can't slice item of type {}", other.kind()))),
    };
    if indexes.len() > 3 {
        return Err(FnErr::from("too many slice indexes"));
    }
    let mut bounds = [0, len, len];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, len)?;
    }
    let [from, to, capacity] = bounds;
    if from > to || to > capacity {
        return Err(FnErr::from("invalid slice index"));
    }
    Ok(match item {
        Value::Text(text) => Value::text(&text.bytes()[from..to]),
        Value::List(list) => Value::list(list[from..to].iter().cloned()),
        other => other.clone(), // refused above
    })
}

fn html(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            other => out.push(*other),
        }
    }
    out
}

fn js(bytes: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(bytes.len());
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c < ' ' || !c.is_ascii() && !is_printable(c) => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.into_bytes()
}

fn urlquery(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b' ' => out.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b if b.is_ascii_alphanumeric() => out.push(*b),
            b => out.extend_from_slice(format!("%{b:02X}").as_bytes()),
        }
    }
    out
}

//! The functions of Sprig that templates for secrets use most, under consul-template's prefix `sprig_`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::collections::list;
use super::format::{print_value, sprint};
use super::functions::{Ctx, FnErr, Functions, bounded, int, text, too_long, utf8};
use super::strings::ITEMS_MAX;
use super::value::Value;
use crate::crypto::sha256;

pub(super) fn add(functions: &mut Functions) {
    strings(functions);
    collections(functions);
    numbers(functions);
    functions.add("sprig_default", 1, 2, |_, args| match args {
        [default, given] => Ok(if given.truth() { given.clone() } else { default.clone() }),
        _ => Ok(args[0].clone()),
    });
    functions.add("sprig_empty", 1, 1, |_, args| Ok(Value::Bool(!args[0].truth())));
    functions.add("sprig_coalesce", 0, None, |_, args| {
        Ok(args.iter().find(|arg| arg.truth()).cloned().unwrap_or(Value::Nil))
    });
    functions.add("sprig_ternary", 3, 3, |_, args| match &args[2] {
        Value::Bool(test) => Ok(args[usize::from(!test)].clone()),
        _ => Err(FnErr::from("expected a boolean")),
    });
}

fn strings(functions: &mut Functions) {
    functions.add("sprig_upper", 1, 1, |ctx, args| bounded(ctx, utf8(&args[0])?.to_uppercase().into_bytes()));
    functions.add("sprig_lower", 1, 1, |ctx, args| bounded(ctx, utf8(&args[0])?.to_lowercase().into_bytes()));
    functions.add("sprig_title", 1, 1, |ctx, args| bounded(ctx, super::strings::title(utf8(&args[0])?).into_bytes()));
    functions.add("sprig_trim", 1, 1, |_, args| Ok(Value::text(utf8(&args[0])?.trim())));
    functions.add("sprig_trimAll", 2, 2, |_, args| {
        let cut = utf8(&args[0])?;
        Ok(Value::text(utf8(&args[1])?.trim_matches(|c| cut.contains(c))))
    });
    for (name, base) in [("sprig_trimPrefix", "trimPrefix"), ("sprig_trimSuffix", "trimSuffix")] {
        if let Some(function) = functions.find(base).cloned() {
            functions.add(name, 2, 2, move |ctx, args| (function.body)(ctx, args));
        }
    }
    functions.add("sprig_nospace", 1, 1, |_, args| {
        Ok(Value::text(utf8(&args[0])?.chars().filter(|c| !c.is_whitespace()).collect::<String>()))
    });
    functions.add("sprig_quote", 0, None, |ctx, args| {
        let mut out = Vec::new();
        for (i, arg) in args.iter().filter(|arg| !arg.is_nil()).enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            let shown = Value::text(sprint(std::slice::from_ref(arg), false));
            let quoted = super::format::sprintf(b"%q", &[shown], ctx.bytes_max).map_err(|_| too_long(ctx))?;
            out.extend_from_slice(&quoted);
        }
        bounded(ctx, out)
    });
    functions.add("sprig_squote", 0, None, |ctx, args| {
        let mut out = Vec::new();
        for (i, arg) in args.iter().filter(|arg| !arg.is_nil()).enumerate() {
            out.extend_from_slice(if i > 0 { b" '" } else { b"'" });
            print_value(&mut out, arg);
            out.push(b'\'');
        }
        bounded(ctx, out)
    });
    functions.add("sprig_repeat", 2, 2, |ctx, args| {
        let (count, unit) = (usize::try_from(int(&args[0])?).unwrap_or(0), utf8(&args[1])?);
        if unit.len().saturating_mul(count) > ctx.bytes_max {
            return Err(too_long(ctx));
        }
        Ok(Value::text(unit.repeat(count)))
    });
    if let Some(function) = functions.find("replaceAll").cloned() {
        functions.add("sprig_replace", 3, 3, move |ctx, args| (function.body)(ctx, args));
    }
    functions.add("sprig_contains", 2, 2, |_, args| Ok(Value::Bool(utf8(&args[1])?.contains(utf8(&args[0])?))));
    functions.add("sprig_hasPrefix", 2, 2, |_, args| Ok(Value::Bool(utf8(&args[1])?.starts_with(utf8(&args[0])?))));
    functions.add("sprig_hasSuffix", 2, 2, |_, args| Ok(Value::Bool(utf8(&args[1])?.ends_with(utf8(&args[0])?))));
    functions.add("sprig_trunc", 2, 2, |_, args| {
        let (length, all) = (int(&args[0])?, text(&args[1])?.bytes());
        let count = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
        Ok(Value::text(match length {
            0.. => &all[..count.min(all.len())],
            _ => &all[all.len().saturating_sub(count)..],
        }))
    });
    functions
        .add("sprig_b64enc", 1, 1, |ctx, args| bounded(ctx, STANDARD.encode(text(&args[0])?.bytes()).into_bytes()));
    functions.add("sprig_b64dec", 1, 1, |_, args| {
        STANDARD.decode(text(&args[0])?.bytes()).map(Value::text).map_err(|_| FnErr::from("malformed base64"))
    });
    functions.add("sprig_sha256sum", 1, 1, |_, args| Ok(Value::text(hex::encode(sha256(text(&args[0])?.bytes())))));
    functions.add("sprig_indent", 2, 2, |ctx, args| indent(ctx, args, ""));
    functions.add("sprig_nindent", 2, 2, |ctx, args| indent(ctx, args, "\n"));
    functions.add("sprig_splitList", 2, 2, |_, args| {
        let parts = utf8(&args[1])?.split(utf8(&args[0])?).take(ITEMS_MAX);
        Ok(Value::list(parts.map(Value::text)))
    });
    if let Some(function) = functions.find("join").cloned() {
        functions.add("sprig_join", 2, 2, move |ctx, args| (function.body)(ctx, args));
    }
}

/// Unlike `indent`, this one indents empty lines too.
fn indent(ctx: &mut Ctx, args: &[Value], before: &str) -> Result<Value, FnErr> {
    let (spaces, all) = (usize::try_from(int(&args[0])?).unwrap_or(0), utf8(&args[1])?);
    let lines = all.matches('\n').count() + 1;
    if spaces.saturating_mul(lines).saturating_add(all.len()) > ctx.bytes_max {
        return Err(too_long(ctx));
    }
    let pad = " ".repeat(spaces);
    Ok(Value::text(format!("{before}{pad}{}", all.replace('\n', &format!("\n{pad}")))))
}

fn collections(functions: &mut Functions) {
    functions.add("sprig_list", 0, None, |_, args| Ok(Value::list(args.iter().cloned())));
    functions.add("sprig_first", 1, 1, |_, args| Ok(list(&args[0])?.first().cloned().unwrap_or(Value::Nil)));
    functions.add("sprig_last", 1, 1, |_, args| Ok(list(&args[0])?.last().cloned().unwrap_or(Value::Nil)));
    functions.add("sprig_dict", 0, None, |_, args| {
        let pairs: Result<Vec<_>, FnErr> = args
            .chunks(2)
            .map(|pair| Ok((text(&pair[0])?.bytes().to_vec(), pair.get(1).cloned().unwrap_or(Value::text("")))))
            .collect();
        Ok(Value::map(pairs?))
    });
    functions.add("sprig_get", 2, 2, |_, args| Ok(args[0].key(utf8(&args[1])?).cloned().unwrap_or(Value::text(""))));
    functions.add("sprig_hasKey", 2, 2, |_, args| Ok(Value::Bool(args[0].key(utf8(&args[1])?).is_some())));
    functions.add("sprig_keys", 1, None, |_, args| {
        let maps = args.iter().filter_map(|arg| if let Value::Map(map) = arg { Some(map) } else { None });
        Ok(Value::list(maps.flat_map(|map| map.keys().map(|key| Value::text(key.bytes())))))
    });
    functions.add("sprig_until", 1, 1, |_, args| {
        let count = int(&args[0])?;
        if usize::try_from(count).is_ok_and(|count| count > ITEMS_MAX) {
            return Err(FnErr::Failed(format!("more than {ITEMS_MAX} turns")));
        }
        Ok(Value::list((0..count).map(Value::Int)))
    });
}

fn numbers(functions: &mut Functions) {
    type Op = fn(i64, i64) -> Option<i64>;
    let table: [(&'static str, Op); 5] = [
        ("sprig_add", i64::checked_add),
        ("sprig_sub", i64::checked_sub),
        ("sprig_mul", i64::checked_mul),
        ("sprig_div", i64::checked_div),
        ("sprig_mod", i64::checked_rem),
    ];
    for (name, op) in table {
        let most = if matches!(name, "sprig_add" | "sprig_mul") { None } else { Some(2) };
        functions.add(name, 2, most, move |_, args| {
            let mut total = whole(&args[0]);
            for arg in &args[1..] {
                total = op(total, whole(arg)).ok_or("integer overflow or division by zero")?;
            }
            Ok(Value::Int(total))
        });
    }
    functions.add("sprig_int", 1, 1, |_, args| Ok(Value::Int(whole(&args[0]))));
}

/// A whole number from anything, zero from what is none.
fn whole(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        Value::Float(f) => *f as i64,
        Value::Bool(b) => i64::from(*b),
        Value::Text(text) | Value::Number(text) => text.lossy().trim().parse().unwrap_or(0),
        _ => 0,
    }
}

//! consul-template's functions on strings.

use regex_lite::{Regex, RegexBuilder};

use super::functions::{Ctx, FnErr, Functions, bounded, int, text, too_long, utf8};
use super::value::Value;

/// How much memory a regular expression may take, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// How many parts a list made by a function may have.
pub(super) const ITEMS_MAX: usize = 1_000_000;

pub(super) fn add(functions: &mut Functions) {
    functions.add("toLower", 1, 1, |ctx, args| bounded(ctx, utf8(&args[0])?.to_lowercase().into_bytes()));
    functions.add("toUpper", 1, 1, |ctx, args| bounded(ctx, utf8(&args[0])?.to_uppercase().into_bytes()));
    functions.add("toTitle", 1, 1, |ctx, args| bounded(ctx, title(utf8(&args[0])?).into_bytes()));
    functions.add("trimSpace", 1, 1, |_, args| Ok(Value::text(utf8(&args[0])?.trim())));
    functions.add("trim", 2, 2, |_, args| {
        let cut = utf8(&args[0])?;
        Ok(Value::text(utf8(&args[1])?.trim_matches(|c| cut.contains(c))))
    });
    functions.add("trimPrefix", 2, 2, |_, args| {
        let (prefix, all) = (text(&args[0])?.bytes(), text(&args[1])?.bytes());
        Ok(Value::text(all.strip_prefix(prefix).unwrap_or(all)))
    });
    functions.add("trimSuffix", 2, 2, |_, args| {
        let (suffix, all) = (text(&args[0])?.bytes(), text(&args[1])?.bytes());
        Ok(Value::text(all.strip_suffix(suffix).unwrap_or(all)))
    });
    functions.add("replaceAll", 3, 3, replace_all);
    functions.add("regexMatch", 2, 2, |_, args| Ok(Value::Bool(regex(&args[0])?.is_match(utf8(&args[1])?))));
    functions.add("regexReplaceAll", 3, 3, regex_replace_all);
    functions.add("split", 2, 2, split);
    functions.add("join", 2, 2, join);
    functions.add("indent", 2, 2, indent);
}

/// Upper case for the first letter of each word.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.push(c)
        } else {
            out.extend(c.to_uppercase())
        }
        inside = c == '_' || c.is_alphanumeric() || !c.is_ascii() && !c.is_whitespace();
    }
    out
}

fn replace_all(ctx: &mut Ctx, args: &[Value]) -> Result<Value, FnErr> {
    let (from, to, all) = (utf8(&args[0])?, utf8(&args[1])?, utf8(&args[2])?);
    let found = if from.is_empty() { all.chars().count() + 1 } else { all.matches(from).count() };
    if all.len().saturating_add(found.saturating_mul(to.len())) > ctx.bytes_max {
        return Err(too_long(ctx));
    }
    Ok(Value::text(all.replace(from, to)))
}

fn regex(pattern: &Value) -> Result<Regex, FnErr> {
    // The text of the library's error quotes the pattern, which may be a value.
    RegexBuilder::new(utf8(pattern)?)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|_| FnErr::from("malformed regular expression"))
}

fn regex_replace_all(ctx: &mut Ctx, args: &[Value]) -> Result<Value, FnErr> {
    let regex = regex(&args[0])?;
    let (to, all) = (utf8(&args[1])?, utf8(&args[2])?);
    let mut out = String::new();
    let mut last = 0;
    for captures in regex.captures_iter(all) {
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(&all[last..whole.start()]);
        captures.expand(to, &mut out);
        last = whole.end();
        if out.len() > ctx.bytes_max {
            return Err(too_long(ctx));
        }
    }
    out.push_str(&all[last..]);
    bounded(ctx, out.into_bytes())
}

fn split(_: &mut Ctx, args: &[Value]) -> Result<Value, FnErr> {
    let (separator, all) = (utf8(&args[0])?, utf8(&args[1])?.trim());
    let parts: Vec<Value> = if all.is_empty() {
        Vec::new()
    } else if separator.is_empty() {
        all.chars().take(ITEMS_MAX + 1).map(|c| Value::text(c.encode_utf8(&mut [0; 4]))).collect()
    } else {
        all.split(separator).take(ITEMS_MAX + 1).map(Value::text).collect()
    };
    if parts.len() > ITEMS_MAX {
        return Err(FnErr::Failed(format!("more than {ITEMS_MAX} parts")));
    }
    Ok(Value::list(parts))
}

fn join(ctx: &mut Ctx, args: &[Value]) -> Result<Value, FnErr> {
    let separator = text(&args[0])?.bytes();
    let Value::List(items) = &args[1] else {
        return Err(FnErr::Failed(format!("expected a list; found {}", args[1].kind())));
    };
    let mut out = Vec::new();
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(separator);
        }
        super::format::print_value(&mut out, item);
        if out.len() > ctx.bytes_max {
            return Err(too_long(ctx));
        }
    }
    bounded(ctx, out)
}

fn indent(ctx: &mut Ctx, args: &[Value]) -> Result<Value, FnErr> {
    let spaces = usize::try_from(int(&args[0])?).map_err(|_| FnErr::from("indent value must be a positive integer"))?;
    let all = text(&args[1])?.bytes();
    let lines = 1 + all.iter().filter(|b| **b == b'\n').count();
    if spaces.saturating_mul(lines).saturating_add(all.len()) > ctx.bytes_max {
        return Err(too_long(ctx));
    }
    let mut out = Vec::with_capacity(all.len() + spaces * lines);
    let mut starts = true;
    for byte in all {
        if starts && *byte != b'\n' {
            out.resize(out.len() + spaces, b' ');
        }
        out.push(*byte);
        starts = *byte == b'\n';
    }
    Ok(Value::text(out))
}

//! Constants as Go spells them: numbers, characters, quoted strings.

use super::ast::Term;

/// A number: decimal, `0x`, `0o`, `0b`, a leading-zero octal, `_` between digits, or a float.
pub(super) fn number(text: &str) -> Result<Term, &'static str> {
    const SYNTAX: &str = "illegal number syntax";
    let (negative, body) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = body.to_ascii_lowercase();
    let is_hex = lower.starts_with("0x");
    let is_float = if is_hex { lower.contains(['.', 'p']) } else { lower.contains(['.', 'e', 'p']) };
    if is_float {
        let digits = without_underscores(&lower).ok_or(SYNTAX)?;
        let value = if is_hex { hex_float(&digits) } else { decimal_float(&digits) }.ok_or(SYNTAX)?;
        if value.is_infinite() {
            return Err(SYNTAX);
        }
        return Ok(Term::Float(if negative { -value } else { value }));
    }
    let digits = without_underscores(&lower).ok_or(SYNTAX)?;
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, &digits[..]),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(SYNTAX);
    }
    let magnitude = i128::from_str_radix(digits, radix).map_err(|_| "integer overflow")?;
    let value = if negative { -magnitude } else { magnitude };
    match i64::try_from(value) {
        Ok(n) => Ok(Term::Int(n)),
        // Go takes it while parsing, for functions that want an unsigned number; there are none here.
        Err(_) if u64::try_from(value).is_ok() => Ok(Term::Unsigned),
        Err(_) => Err("integer overflow"),
    }
}

/// Go allows an underscore between digits and after a base's prefix, nowhere else.
fn without_underscores(lower: &str) -> Option<String> {
    if !lower.contains('_') {
        return Some(lower.to_owned());
    }
    let bytes = lower.as_bytes();
    for (i, b) in bytes.iter().enumerate() {
        if *b == b'_' {
            let before = i.checked_sub(1).map(|i| bytes[i])?;
            let after = bytes.get(i + 1)?;
            let before_ok = before.is_ascii_hexdigit() || i == 2 && matches!(before, b'x' | b'o' | b'b');
            if !before_ok || !after.is_ascii_hexdigit() {
                return None;
            }
        }
    }
    Some(lower.replace('_', ""))
}

fn decimal_float(digits: &str) -> Option<f64> {
    if !digits.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// `0x1.8p3`: the exponent is mandatory in Go.
fn hex_float(lower: &str) -> Option<f64> {
    let (mantissa, exponent) = lower[2..].split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() + fraction.len() > 13 {
        return None; // 13 hexadecimal digits are exact in an f64
    }
    let bits = u64::from_str_radix(&format!("{whole}{fraction}"), 16).ok()?;
    let shift = exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    Some(bits as f64 * 2f64.powi(shift))
}

/// A character constant with its quotes, as its code point.
pub(super) fn character(text: &str) -> Result<i64, &'static str> {
    const MALFORMED: &str = "malformed character constant";
    let inner = &text[1..text.len() - 1]; // the lexer saw both quotes
    let mut chars = inner.chars();
    if let (Some(c), None) = (chars.next(), chars.next()) {
        return if c == '\\' || c == '\'' { Err(MALFORMED) } else { Ok(i64::from(u32::from(c))) };
    }
    let (code, rest) = match inner.strip_prefix('\\') {
        Some(escape) => escaped(escape, '\'').ok_or(MALFORMED)?,
        None => return Err(MALFORMED),
    };
    if !rest.is_empty() {
        return Err(MALFORMED);
    }
    Ok(match code {
        Code::Byte(b) => i64::from(b),
        Code::Char(c) => i64::from(u32::from(c)),
    })
}

/// The inside of a quoted string with its escapes resolved; `\x` and octal escapes are bytes.
pub(super) fn unquote(inner: &str, quote: char) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(backslash) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..backslash]);
        let (code, after) = escaped(&rest[backslash + 1..], quote).ok_or("invalid escape in string")?;
        match code {
            Code::Byte(b) => out.push(b),
            Code::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

enum Code {
    Byte(u8),
    Char(char),
}

/// One escape, from behind its backslash, and what follows it.
fn escaped(text: &str, quote: char) -> Option<(Code, &str)> {
    let c = text.chars().next()?;
    let rest = &text[c.len_utf8()..];
    let plain = |b: u8| Some((Code::Byte(b), rest));
    match c {
        'a' => plain(0x07),
        'b' => plain(0x08),
        'f' => plain(0x0c),
        'n' => plain(b'\n'),
        'r' => plain(b'\r'),
        't' => plain(b'\t'),
        'v' => plain(0x0b),
        '\\' => plain(b'\\'),
        '\'' | '"' if c == quote => Some((Code::Char(c), rest)),
        'x' => Some((Code::Byte(u8::from_str_radix(hex(rest, 2)?, 16).ok()?), &rest[2..])),
        'u' => Some((Code::Char(char::from_u32(u32::from_str_radix(hex(rest, 4)?, 16).ok()?)?), &rest[4..])),
        'U' => Some((Code::Char(char::from_u32(u32::from_str_radix(hex(rest, 8)?, 16).ok()?)?), &rest[8..])),
        '0'..='7' => {
            let digits = text.get(..3).filter(|d| d.bytes().all(|b| (b'0'..=b'7').contains(&b)))?;
            Some((Code::Byte(u8::from_str_radix(digits, 8).ok()?), &text[3..]))
        }
        _ => None,
    }
}

fn hex(text: &str, digits: usize) -> Option<&str> {
    text.get(..digits).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_constants_are_refused() {
        for text in ["1__0", "_1", "1_", "0x", "0b2", "08", "1e999", "0x1.8", "99999999999999999999", ".", "+", "-"] {
            assert!(number(text).is_err(), "{text}");
        }
        for text in ["''", "'ab'", r"'\x1'", r"'\q'", r#"'\"'"#] {
            assert!(character(text).is_err(), "{text}");
        }
        for inner in [r"\x1", r"\400", r"\u12", r"\ud800", r"\'", r"\"] {
            assert!(unquote(inner, '"').is_err(), "{inner}");
        }
    }

    #[test]
    fn constants_are_read_as_in_go() {
        let int = |text| match number(text) {
            Ok(Term::Int(n)) => n,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(int("0x1F"), 31);
        assert_eq!(int("017"), 15);
        assert_eq!(int("0o17"), 15);
        assert_eq!(int("-0b11"), -3);
        assert_eq!(int("0_10"), 8);
        assert_eq!(int("-9223372036854775808"), i64::MIN);
        assert!(matches!(number("0x1.8p1"), Ok(Term::Float(f)) if f == 3.0));
        assert!(matches!(number("1e3"), Ok(Term::Float(f)) if f == 1000.0));
        assert_eq!(character(r"'\n'"), Ok(10));
        assert_eq!(character("'é'"), Ok(233));
        assert_eq!(unquote(r#"a\"\x41\101\u00e9"#, '"').unwrap(), "a\"AAé".as_bytes());
    }
}

//! Go's `fmt`: how values print, and `printf` with its verbs.

use super::value::Value;

/// The widest field and the most digits that a verb may ask for.
const WIDTH_MAX: i64 = 1_000_000;

/// No `f64` has more decimal digits than this, before or behind its point.
const FLOAT_DIGITS_MAX: usize = 1100;

/// What went over the bound given for the output.
#[derive(Debug)]
pub(super) struct TooLong;

/// Appends a value as `{{ . }}` prints it.
pub(super) fn print_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Missing | Value::Nil => out.extend_from_slice(b"<no value>"),
        value => Verb::plain().value(out, value, 'v', 0),
    }
}

/// `print`: a space between two operands when neither is a string. Nil shows as `<nil>`, or as the string `<no value>`.
pub(super) fn sprint(args: &[Value], nil_is_string: bool) -> Vec<u8> {
    let nil = if nil_is_string { "<no value>" } else { "<nil>" };
    let is_string = |v: &Value| matches!(v, Value::Text(_)) || nil_is_string && v.is_nil();
    let mut out = Vec::new();
    for (i, arg) in args.iter().enumerate() {
        if i > 0 && !is_string(arg) && !is_string(&args[i - 1]) {
            out.push(b' ');
        }
        if arg.is_nil() { out.extend_from_slice(nil.as_bytes()) } else { Verb::plain().value(&mut out, arg, 'v', 0) }
    }
    out
}

/// `println`: always a space between, a newline at the end.
pub(super) fn sprintln(args: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        Verb::plain().value(&mut out, arg, 'v', 0);
    }
    out.push(b'\n');
    out
}

/// `printf`. What does not fit is told inside the text, as Go does (`%!d(string=x)`).
///
/// # Errors
/// The text would grow past `limit` bytes.
pub(super) fn sprintf(format: &[u8], args: &[Value], limit: usize) -> Result<Vec<u8>, TooLong> {
    let mut out = Vec::new();
    let mut state = Arguments { args, next: 0, reordered: false, good: true };
    let mut at = 0;
    while at < format.len() {
        if out.len() > limit {
            return Err(TooLong);
        }
        let literal = format[at..].iter().position(|b| *b == b'%').unwrap_or(format.len() - at);
        out.extend_from_slice(&format[at..at + literal]);
        at += literal;
        if at >= format.len() {
            break;
        }
        at += 1;
        state.good = true;
        let mut verb = Verb::plain();
        while let Some(flag) = format.get(at) {
            match flag {
                b'#' => verb.sharp = true,
                b'0' => verb.zero = true,
                b'+' => verb.plus = true,
                b'-' => verb.minus = true,
                b' ' => verb.space = true,
                _ => break,
            }
            at += 1;
        }
        let mut after_index = state.index(format, &mut at);
        if format.get(at) == Some(&b'*') {
            at += 1;
            verb.width = state.star();
            match verb.width {
                None => out.extend_from_slice(b"%!(BADWIDTH)"),
                Some(width) if width < 0 => {
                    verb.width = Some(-width);
                    verb.minus = true;
                    verb.zero = false;
                }
                Some(_) => {}
            }
            after_index = false;
        } else {
            verb.width = number(format, &mut at);
            if after_index && verb.width.is_some() {
                state.good = false;
            }
        }
        if format.get(at) == Some(&b'.') && at + 1 < format.len() {
            at += 1;
            if after_index {
                state.good = false;
            }
            after_index = state.index(format, &mut at);
            if format.get(at) == Some(&b'*') {
                at += 1;
                verb.precision = match state.star() {
                    Some(n) if n < 0 => None,
                    Some(n) => Some(n),
                    None => {
                        out.extend_from_slice(b"%!(BADPREC)");
                        None
                    }
                };
                after_index = false;
            } else {
                verb.precision = Some(number(format, &mut at).unwrap_or(0));
            }
        }
        if !after_index {
            state.index(format, &mut at);
        }
        if at >= format.len() {
            out.extend_from_slice(b"%!(NOVERB)");
            break;
        }
        let (letter, size) = decode(&format[at..]);
        at += size;
        if letter == '%' {
            out.push(b'%');
        } else if !state.good {
            out.extend_from_slice(format!("%!{letter}(BADINDEX)").as_bytes());
        } else if let Some(arg) = state.args.get(state.next) {
            state.next += 1;
            verb.value(&mut out, arg, letter, 0);
        } else {
            out.extend_from_slice(format!("%!{letter}(MISSING)").as_bytes());
        }
    }
    if !state.reordered && state.next < args.len() {
        out.extend_from_slice(b"%!(EXTRA ");
        for (i, arg) in args[state.next..].iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(arg.kind().as_bytes());
            if !arg.is_nil() {
                out.push(b'=');
                Verb::plain().value(&mut out, arg, 'v', 0);
            }
        }
        out.push(b')');
    }
    if out.len() > limit { Err(TooLong) } else { Ok(out) }
}

/// The arguments of a format and which is next.
struct Arguments<'a> {
    args: &'a [Value],
    next: usize,
    reordered: bool,
    good: bool,
}

impl Arguments<'_> {
    /// Reads `[n]`, if it is there.
    fn index(&mut self, format: &[u8], at: &mut usize) -> bool {
        if format.get(*at) != Some(&b'[') {
            return false;
        }
        self.reordered = true;
        let Some(close) = format[*at..].iter().position(|b| *b == b']') else {
            self.good = false;
            *at += 1;
            return false;
        };
        let mut digits = *at + 1;
        let end = *at + close;
        let n = number(format, &mut digits).filter(|_| digits == end);
        *at = end + 1;
        match n.and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=self.args.len()).contains(n)) {
            Some(n) => {
                self.next = n - 1;
                true
            }
            None => {
                self.good = false;
                n.is_some()
            }
        }
    }

    /// The value of a `*`: a whole number of bearable size.
    fn star(&mut self) -> Option<i64> {
        let n = self.args.get(self.next).map(Value::as_int);
        if n.is_some() {
            self.next += 1;
        }
        n.flatten().filter(|n| (-WIDTH_MAX..=WIDTH_MAX).contains(n))
    }
}

fn number(format: &[u8], at: &mut usize) -> Option<i64> {
    let start = *at;
    let mut n = 0i64;
    while let Some(digit) = format.get(*at).filter(|b| b.is_ascii_digit()) {
        n = n * 10 + i64::from(digit - b'0');
        if n > WIDTH_MAX {
            return None;
        }
        *at += 1;
    }
    (*at > start).then_some(n)
}

/// The first character of bytes, with U+FFFD for what is not UTF-8, and its length.
fn decode(bytes: &[u8]) -> (char, usize) {
    for size in 1..=bytes.len().min(4) {
        if let Ok(text) = std::str::from_utf8(&bytes[..size]) {
            return (text.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER), size);
        }
    }
    (char::REPLACEMENT_CHARACTER, 1)
}

/// The flags of one verb.
#[derive(Clone)]
struct Verb {
    sharp: bool,
    zero: bool,
    plus: bool,
    minus: bool,
    space: bool,
    width: Option<i64>,
    precision: Option<i64>,
}

impl Verb {
    fn plain() -> Verb {
        Verb { sharp: false, zero: false, plus: false, minus: false, space: false, width: None, precision: None }
    }

    fn value(&self, out: &mut Vec<u8>, value: &Value, letter: char, depth: usize) {
        match letter {
            'T' => return self.pad(out, value.kind().as_bytes()),
            'v' if self.sharp => return self.source_form(out, value),
            // `+` asks for the names of fields, which nothing here has.
            'v' if self.plus => return Verb { plus: false, ..self.clone() }.value(out, value, letter, depth),
            _ => {}
        }
        match value {
            Value::Missing | Value::Nil if letter == 'v' || depth > 0 => self.pad(out, b"<nil>"),
            Value::Missing | Value::Nil => out.extend_from_slice(format!("%!{letter}(<nil>)").as_bytes()),
            Value::Awaited => {}
            Value::Bool(b) => match letter {
                't' | 'v' => self.pad(out, if *b { b"true" } else { b"false" }),
                _ => self.bad(out, value, letter),
            },
            Value::Int(n) => self.int(out, *n, letter, value),
            Value::Float(f) => self.float(out, *f, letter, value),
            // A spelled number prints as it was spelled, and as a float where a float is asked for.
            Value::Number(text) => match letter {
                'v' | 's' | 'd' => self.pad(out, text.bytes()),
                'e' | 'E' | 'f' | 'F' | 'g' | 'G' => self.float(out, text.number(), letter, value),
                _ => self.bytes(out, text.bytes(), letter, value),
            },
            Value::Text(text) => self.bytes(out, text.bytes(), letter, value),
            Value::List(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b' ');
                    }
                    self.value(out, item, letter, depth + 1);
                }
                out.push(b']');
            }
            Value::Map(map) => {
                out.extend_from_slice(b"map[");
                for (i, (key, item)) in map.iter().enumerate() {
                    if i > 0 {
                        out.push(b' ');
                    }
                    self.value(out, &Value::Text(key.clone()), letter, depth + 1);
                    out.push(b':');
                    self.value(out, item, letter, depth + 1);
                }
                out.push(b']');
            }
            Value::Function(_) => self.pad(out, b"func"),
        }
    }

    /// `%#v`: as Go's source would have it.
    fn source_form(&self, out: &mut Vec<u8>, value: &Value) {
        match value {
            Value::Text(text) => self.pad(out, &quote(text.bytes(), false)),
            Value::List(items) => {
                out.extend_from_slice(value.kind().as_bytes());
                out.push(b'{');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.extend_from_slice(b", ");
                    }
                    if item.is_nil() { self.pad(out, b"interface {}(nil)") } else { self.source_form(out, item) }
                }
                out.push(b'}');
            }
            Value::Map(map) => {
                out.extend_from_slice(value.kind().as_bytes());
                out.push(b'{');
                for (i, (key, item)) in map.iter().enumerate() {
                    if i > 0 {
                        out.extend_from_slice(b", ");
                    }
                    self.pad(out, &quote(key.bytes(), false));
                    out.push(b':');
                    if item.is_nil() { self.pad(out, b"interface {}(nil)") } else { self.source_form(out, item) }
                }
                out.push(b'}');
            }
            value => Verb { sharp: false, plus: false, ..self.clone() }.value(out, value, 'v', 0),
        }
    }

    fn bad(&self, out: &mut Vec<u8>, value: &Value, letter: char) {
        out.extend_from_slice(format!("%!{letter}({}=", value.kind()).as_bytes());
        self.value(out, value, 'v', 0);
        out.push(b')');
    }

    fn pad(&self, out: &mut Vec<u8>, text: &[u8]) {
        let missing = self.missing(text);
        let filler = if self.zero && !self.minus { b'0' } else { b' ' };
        if !self.minus {
            out.resize(out.len() + missing, filler);
        }
        out.extend_from_slice(text);
        if self.minus {
            out.resize(out.len() + missing, b' ');
        }
    }

    fn missing(&self, text: &[u8]) -> usize {
        // Bytes that continue a character do not count; broken UTF-8 is counted about right.
        let width = text.iter().filter(|b| **b & 0xc0 != 0x80).count();
        usize::try_from(self.width.unwrap_or(0)).unwrap_or(0).saturating_sub(width)
    }

    fn bytes(&self, out: &mut Vec<u8>, bytes: &[u8], letter: char, value: &Value) {
        match letter {
            'v' | 's' => self.pad(out, self.cut(bytes)),
            'q' => {
                let cut = self.cut(bytes);
                if self.sharp
                    && !cut.contains(&b'`')
                    && std::str::from_utf8(cut).is_ok_and(|s| !s.chars().any(|c| c.is_control() && c != '\t'))
                {
                    self.pad(out, &[b"`", cut, b"`"].concat());
                } else {
                    self.pad(out, &quote(cut, self.plus));
                }
            }
            'x' | 'X' => {
                let bytes = match self.precision {
                    Some(n) => &bytes[..bytes.len().min(usize::try_from(n).unwrap_or(0))],
                    None => bytes,
                };
                let prefix = if letter == 'x' { "0x" } else { "0X" };
                let mut text = String::new();
                for (i, byte) in bytes.iter().enumerate() {
                    if i > 0 && self.space {
                        text.push(' ');
                    }
                    if self.sharp && (i == 0 || self.space) {
                        text.push_str(prefix);
                    }
                    text.push_str(&if letter == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") });
                }
                self.pad(out, text.as_bytes());
            }
            _ => self.bad(out, value, letter),
        }
    }

    /// Precision cuts a string to so many characters.
    fn cut<'t>(&self, bytes: &'t [u8]) -> &'t [u8] {
        let Some(limit) = self.precision.and_then(|n| usize::try_from(n).ok()) else { return bytes };
        let mut at = 0;
        for _ in 0..limit {
            if at >= bytes.len() {
                break;
            }
            at += decode(&bytes[at..]).1;
        }
        &bytes[..at]
    }

    fn int(&self, out: &mut Vec<u8>, n: i64, letter: char, value: &Value) {
        let u = n.unsigned_abs();
        let (digits, prefix) = match letter {
            'v' | 'd' => (u.to_string(), ""),
            'b' => (format!("{u:b}"), if self.sharp { "0b" } else { "" }),
            'o' => (format!("{u:o}"), if self.sharp { "0" } else { "" }),
            'O' => (format!("{u:o}"), "0o"),
            'x' => (format!("{u:x}"), if self.sharp { "0x" } else { "" }),
            'X' => (format!("{u:X}"), if self.sharp { "0X" } else { "" }),
            'c' | 'q' => {
                let c = u32::try_from(n).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
                let text = if letter == 'c' { c.to_string().into_bytes() } else { quote_char(c, self.plus) };
                return self.pad(out, &text);
            }
            'U' => {
                let digits = format!("{n:X}");
                let least = usize::try_from(self.precision.unwrap_or(4).max(4)).unwrap_or(4);
                let mut text = format!("U+{}{digits}", "0".repeat(least.saturating_sub(digits.len())));
                let c = u32::try_from(n).ok().and_then(char::from_u32).filter(|c| self.sharp && is_printable(*c));
                if let Some(c) = c {
                    text.push_str(&format!(" '{c}'"));
                }
                let spaces = Verb { zero: false, ..self.clone() };
                return spaces.pad(out, text.as_bytes());
            }
            _ => return self.bad(out, value, letter),
        };
        let sign = if n < 0 {
            "-"
        } else if self.plus {
            "+"
        } else if self.space {
            " "
        } else {
            ""
        };
        let spaces = Verb { zero: false, ..self.clone() };
        let least = match self.precision {
            Some(0) if n == 0 => return spaces.pad(out, b""),
            Some(precision) => precision,
            None if self.zero && !self.minus => self.width.unwrap_or(0) - i64::from(!sign.is_empty()),
            None => 0,
        };
        let zeros = usize::try_from(least).unwrap_or(0).saturating_sub(digits.len());
        // An octal number that starts with a zero already needs no prefix.
        let prefix = if letter == 'o' && (zeros > 0 || digits.starts_with('0')) { "" } else { prefix };
        spaces.pad(out, format!("{sign}{prefix}{}{digits}", "0".repeat(zeros)).as_bytes());
    }

    fn float(&self, out: &mut Vec<u8>, f: f64, letter: char, value: &Value) {
        let precision = self.precision.and_then(|n| usize::try_from(n).ok());
        let text = match letter {
            'v' => float_text(f, 'g', precision),
            'g' | 'G' => float_text(f, letter, precision),
            'e' | 'E' => float_text(f, letter, Some(precision.unwrap_or(6))),
            'f' | 'F' => float_text(f, 'f', Some(precision.unwrap_or(6))),
            'x' | 'X' => float_text(f, letter, precision),
            _ => return self.bad(out, value, letter),
        };
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, &text[..]),
        };
        let sign = if negative {
            "-"
        } else if self.plus {
            "+"
        } else if self.space {
            " "
        } else {
            ""
        };
        if f.is_infinite() || f.is_nan() {
            let sign = if f.is_infinite() && !negative { "+" } else { sign };
            return Verb { zero: false, ..self.clone() }.pad(out, format!("{sign}{digits}").as_bytes());
        }
        if self.zero && !self.minus && !sign.is_empty() {
            out.extend_from_slice(sign.as_bytes());
            let rest = Verb { width: self.width.map(|w| w - 1), ..self.clone() };
            return rest.pad(out, digits.as_bytes());
        }
        self.pad(out, format!("{sign}{digits}").as_bytes());
    }
}

/// A float as Go's `strconv.FormatFloat` spells it; without a precision, as short as it can be read back.
pub(super) fn float_text(f: f64, form: char, precision: Option<usize>) -> String {
    if f.is_nan() {
        return "NaN".to_owned();
    }
    if f.is_infinite() {
        return if f > 0.0 { "Inf".to_owned() } else { "-Inf".to_owned() };
    }
    if matches!(form, 'x' | 'X') {
        return hexadecimal_form(f, precision, form == 'X');
    }
    if let Some(p) = precision.filter(|p| *p > FLOAT_DIGITS_MAX) {
        // Behind the last digit that can differ from zero there are zeros only, which `g` does not show.
        let text = float_text(f, form, Some(FLOAT_DIGITS_MAX));
        let zeros = "0".repeat(p - FLOAT_DIGITS_MAX);
        return match (form, text.find(['e', 'E'])) {
            ('f', _) => text + &zeros,
            ('e' | 'E', Some(at)) => format!("{}{zeros}{}", &text[..at], &text[at..]),
            _ => text,
        };
    }
    match (form, precision) {
        ('f', Some(precision)) => format!("{f:.precision$}"),
        ('f', None) => format!("{f}"),
        ('e' | 'E', precision) => exponent_form(f, precision, form),
        (_, precision) => {
            // Digits and exponent first; they decide the form.
            let digits = match precision {
                Some(p) => format!("{f:.*e}", p.max(1) - 1),
                None => format!("{f:e}"),
            };
            let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
            let exponent: i64 = exponent.parse().unwrap_or(0);
            let significant = mantissa.trim_start_matches('-').replace('.', "");
            let significant = if precision.is_some() { significant.trim_end_matches('0') } else { &significant };
            let count = i64::try_from(significant.len()).unwrap_or(0).max(i64::from(f != 0.0));
            let mut bound = match precision {
                Some(p) => i64::try_from(p.max(1)).unwrap_or(i64::MAX),
                None => 6,
            };
            if precision.is_some() && bound > count && count > exponent {
                bound = count;
            }
            if exponent < -4 || exponent >= bound {
                let e = if form == 'G' { 'E' } else { 'e' };
                exponent_form(f, Some(usize::try_from(count - 1).unwrap_or(0)), e)
            } else {
                let fraction = usize::try_from(count - exponent - 1).unwrap_or(0);
                format!("{f:.fraction$}")
            }
        }
    }
}

/// `1.5e+06`: a sign and at least two digits in the exponent.
/// `-0x1.8p+01`: the digits behind the point in base 16, the exponent that of 2, in decimal.
fn hexadecimal_form(f: f64, precision: Option<usize>, upper: bool) -> String {
    const ONE: u64 = 1 << 52;
    let bits = f.to_bits();
    let mut exponent = i64::from(u16::try_from((bits >> 52) & 0x7ff).unwrap_or(0));
    let mut mantissa = bits & (ONE - 1);
    if exponent == 0 {
        exponent = -1022;
    } else {
        mantissa |= ONE;
        exponent -= 1023;
    }
    if mantissa == 0 {
        exponent = 0;
    }
    while mantissa != 0 && mantissa < ONE {
        mantissa <<= 1;
        exponent -= 1;
    }
    // Thirteen digits are all there are.
    if let Some(p) = precision.filter(|p| *p < 13) {
        let unit = ONE >> (4 * p);
        let rest = mantissa % unit;
        mantissa -= rest;
        // A half goes to the even neighbour.
        if rest * 2 > unit || rest * 2 == unit && mantissa / unit % 2 == 1 {
            mantissa += unit;
        }
        if mantissa >= ONE * 2 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let digits = format!("{:013x}", mantissa % ONE);
    let digits = match precision {
        None => digits.trim_end_matches('0').to_owned(),
        Some(p) if p <= 13 => digits[..p].to_owned(),
        Some(p) => format!("{digits:0<p$}"),
    };
    let point = if digits.is_empty() { "" } else { "." };
    let sign = if f.is_sign_negative() { "-" } else { "" };
    let direction = if exponent < 0 { '-' } else { '+' };
    let text = format!("{sign}0x{}{point}{digits}p{direction}{:02}", mantissa / ONE, exponent.abs());
    if upper { text.to_uppercase() } else { text }
}

fn exponent_form(f: f64, precision: Option<usize>, e: char) -> String {
    let text = match precision {
        Some(precision) => format!("{f:.precision$e}"),
        None => format!("{f:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{e}{sign}{:02}", exponent.abs())
}

/// A string in double quotes with Go's escapes; with `ascii`, nothing beyond ASCII stays.
pub(super) fn quote(bytes: &[u8], ascii: bool) -> Vec<u8> {
    let mut out = vec![b'"'];
    let mut at = 0;
    while at < bytes.len() {
        let (c, size) = decode(&bytes[at..]);
        if c == char::REPLACEMENT_CHARACTER && size == 1 {
            out.extend_from_slice(format!("\\x{:02x}", bytes[at]).as_bytes());
        } else {
            escape_char(&mut out, c, '"', ascii);
        }
        at += size;
    }
    out.push(b'"');
    out
}

fn quote_char(c: char, ascii: bool) -> Vec<u8> {
    let mut out = vec![b'\''];
    escape_char(&mut out, c, '\'', ascii);
    out.push(b'\'');
    out
}

fn escape_char(out: &mut Vec<u8>, c: char, quote: char, ascii: bool) {
    let escaped = match c {
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\x0b' => "\\v".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if c == quote => format!("\\{c}"),
        c if (!ascii || c.is_ascii()) && is_printable(c) => c.to_string(),
        c if u32::from(c) < 0x20 || c == '\x7f' => format!("\\x{:02x}", u32::from(c)),
        c if u32::from(c) < 0x10000 => format!("\\u{:04x}", u32::from(c)),
        c => format!("\\U{:08x}", u32::from(c)),
    };
    out.extend_from_slice(escaped.as_bytes());
}

/// Whether Go shows a character as itself: the only space is the ASCII one.
pub(super) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic() || c == ' ';
    }
    // The letter before it makes a combining mark count as one.
    !c.is_whitespace() && format!("a{c}").escape_debug().skip(1).eq(std::iter::once(c))
}

#[cfg(test)]
mod tests {
    use super::float_text;

    #[test]
    fn floats_in_base_16_are_as_go_writes_them() {
        let cases: [(f64, char, Option<usize>, &str); 10] = [
            (0.0, 'x', None, "0x0p+00"),
            (-0.0, 'x', Some(1), "-0x0.0p+00"),
            (1.0, 'x', None, "0x1p+00"),
            (-0.5, 'x', None, "-0x1p-01"),
            (0.1, 'X', None, "0X1.999999999999AP-04"),
            (1.234e-05, 'x', Some(2), "0x1.9ep-17"),
            (1.5, 'x', Some(0), "0x1p+01"),
            (2.5, 'x', Some(0), "0x1p+01"),
            (1.0, 'x', Some(15), "0x1.000000000000000p+00"),
            (f64::from_bits(1), 'x', None, "0x1p-1074"),
        ];
        for (f, form, precision, wanted) in cases {
            assert_eq!(float_text(f, form, precision), wanted, "{f} {precision:?}");
        }
    }
}

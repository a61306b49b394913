//! The tokens of HCL 1. White space and comments end here; escapes, heredocs and numbers leave as values.

use super::ast::Span;
use super::cursor::{Cursor, Fault};

#[derive(Clone, PartialEq)]
pub(super) enum Token {
    Ident(String),
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Heredoc(String),
    BraceOpen,
    BraceClose,
    BracketOpen,
    BracketClose,
    Comma,
    Assign,
    End,
}

impl Token {
    /// What to call it in an error: its kind, never its text.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ident(_) => "a word",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Str(_) => "a string",
            Self::Heredoc(_) => "a heredoc",
            Self::BraceOpen => "'{'",
            Self::BraceClose => "'}'",
            Self::BracketOpen => "'['",
            Self::BracketClose => "']'",
            Self::Comma => "','",
            Self::Assign => "'='",
            Self::End => "the end of the text",
        }
    }
}

/// Reads the next token and where it begins.
pub(super) fn next(cursor: &mut Cursor<'_>) -> Result<(Token, Span), Fault> {
    skip_blank(cursor)?;
    let span = cursor.span();
    let Some(first) = cursor.peek() else {
        return Ok((Token::End, span));
    };
    let token = match first {
        '{' => single(cursor, Token::BraceOpen),
        '}' => single(cursor, Token::BraceClose),
        '[' => single(cursor, Token::BracketOpen),
        ']' => single(cursor, Token::BracketClose),
        ',' => single(cursor, Token::Comma),
        '=' => single(cursor, Token::Assign),
        '"' => Token::Str(string(cursor)?),
        '<' => Token::Heredoc(heredoc(cursor)?),
        '0'..='9' | '-' | '.' => number(cursor)?,
        letter if is_letter(letter) => {
            let word = cursor.eat_while(|c| is_word(c) || c == '-' || c == '.');
            match word {
                "true" => Token::Bool(true),
                "false" => Token::Bool(false),
                word => Token::Ident(word.to_owned()),
            }
        }
        '\'' => return cursor.fault("strings are written in double quotes"),
        ':' => return cursor.fault("unexpected ':'; a key is set with '='"),
        _ => return cursor.fault("unexpected character"),
    };
    Ok((token, span))
}

fn single(cursor: &mut Cursor<'_>, token: Token) -> Token {
    cursor.bump();
    token
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn skip_blank(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    loop {
        cursor.eat_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
        let span = cursor.span();
        match cursor.peek() {
            Some('#') => skip_line(cursor)?,
            Some('/') => {
                cursor.bump();
                match cursor.bump() {
                    Some('/') => skip_line(cursor)?,
                    Some('*') => skip_block(cursor, span)?,
                    _ => return Err(Fault::new(span, "expected '//' or '/*' for a comment")),
                }
            }
            _ => return Ok(()),
        }
    }
}

fn skip_line(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    cursor.eat_while(|c| c != '\n' && c != '\0');
    refuse_nul(cursor)
}

fn skip_block(cursor: &mut Cursor<'_>, start: Span) -> Result<(), Fault> {
    loop {
        refuse_nul(cursor)?;
        match cursor.bump() {
            Some('*') if cursor.eat('/') => return Ok(()),
            Some(_) => {}
            None => return Err(Fault::new(start, "the comment is not closed")),
        }
    }
}

fn refuse_nul(cursor: &Cursor<'_>) -> Result<(), Fault> {
    match cursor.peek() {
        Some('\0') => cursor.fault("unexpected null character"),
        _ => Ok(()),
    }
}

/// A quoted string. What stands in `${…}` is copied as it is, quotes and line ends included.
fn string(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    let start = cursor.span();
    cursor.bump();
    // Bytes, because `\xff` is a byte; checked to be UTF-8 at the end.
    let mut bytes = Vec::new();
    let mut braces = 0usize;
    loop {
        refuse_nul(cursor)?;
        let at = cursor.span();
        let open = Fault::new(start, "the string is not closed");
        match cursor.bump().ok_or(open)? {
            '\n' if braces == 0 => return Err(Fault::new(start, "the string is not closed on its line")),
            '"' if braces == 0 => break,
            '\\' if braces == 0 => escape(cursor, at, &mut bytes)?,
            '\\' => {
                // Checked as an escape is, so that an escaped quote or brace is skipped alike, but kept as written.
                let before = cursor.rest();
                escape(cursor, at, &mut Vec::new())?;
                bytes.push(b'\\');
                bytes.extend_from_slice(&before.as_bytes()[..before.len() - cursor.rest().len()]);
            }
            '$' if braces == 0 && cursor.eat('{') => {
                bytes.extend_from_slice(b"${");
                braces = 1;
            }
            c => {
                if braces > 0 && c == '{' {
                    braces += 1;
                } else if braces > 0 && c == '}' {
                    braces -= 1;
                }
                push(&mut bytes, c);
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| Fault::new(start, "the string is not valid UTF-8"))
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// What follows a backslash: the escapes of Go.
fn escape(cursor: &mut Cursor<'_>, at: Span, bytes: &mut Vec<u8>) -> Result<(), Fault> {
    let illegal = || Fault::new(at, "unknown escape in a string");
    match cursor.bump().ok_or_else(illegal)? {
        'a' => bytes.push(0x07),
        'b' => bytes.push(0x08),
        'f' => bytes.push(0x0c),
        'n' => bytes.push(b'\n'),
        'r' => bytes.push(b'\r'),
        't' => bytes.push(b'\t'),
        'v' => bytes.push(0x0b),
        '\\' => bytes.push(b'\\'),
        '"' => bytes.push(b'"'),
        // One octal digit is read already; two follow. At most 0o777, of which a byte is accepted.
        first @ '0'..='7' => {
            let high = first.to_digit(8).ok_or_else(illegal)?;
            let value = high * 64 + digits(cursor, 8, 2).ok_or_else(illegal)?;
            bytes.push(u8::try_from(value).map_err(|_| illegal())?);
        }
        'x' => {
            let value = digits(cursor, 16, 2).ok_or_else(illegal)?;
            bytes.push(u8::try_from(value).map_err(|_| illegal())?);
        }
        kind @ ('u' | 'U') => {
            let count = if kind == 'u' { 4 } else { 8 };
            let value = digits(cursor, 16, count).ok_or_else(illegal)?;
            if value > u32::from(char::MAX) {
                return Err(illegal());
            }
            // Half of a surrogate pair becomes the replacement character, as in Go.
            push(bytes, char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        _ => return Err(illegal()),
    }
    Ok(())
}

/// Exactly `count` digits, at most eight.
pub(super) fn digits(cursor: &mut Cursor<'_>, radix: u32, count: usize) -> Option<u32> {
    let mut value = 0u32;
    for _ in 0..count {
        let digit = cursor.peek()?.to_digit(radix)?;
        cursor.bump();
        value = value.checked_mul(radix)?.checked_add(digit)?;
    }
    Some(value)
}

/// A number: decimal, `0x` hexadecimal, leading-zero octal, or with a point or exponent.
fn number(cursor: &mut Cursor<'_>) -> Result<Token, Fault> {
    let span = cursor.span();
    let whole = cursor.rest();
    let negative = cursor.eat('-');
    if !cursor.peek().is_some_and(|c| c.is_ascii_digit() || (c == '.' && !negative)) {
        return Err(Fault::new(span, "expected a digit after '-'"));
    }
    if let Some(hex) = cursor.rest().strip_prefix("0x").or_else(|| cursor.rest().strip_prefix("0X")) {
        let length = hex.chars().take_while(char::is_ascii_hexdigit).count();
        cursor.bump();
        cursor.bump();
        let text = cursor.eat_while(|c| c.is_ascii_hexdigit());
        if length == 0 {
            return Err(Fault::new(span, "expected hexadecimal digits after '0x'"));
        }
        return integer(text, 16, negative, span);
    }
    let text = cursor.eat_while(|c| c.is_ascii_digit());
    let mut float = false;
    if cursor.eat('.') {
        float = true;
        let fraction = cursor.eat_while(|c| c.is_ascii_digit());
        if text.is_empty() && fraction.is_empty() {
            return Err(Fault::new(span, "unexpected '.'"));
        }
    }
    if matches!(cursor.peek(), Some('e' | 'E')) {
        float = true;
        cursor.bump();
        if matches!(cursor.peek(), Some('+' | '-')) {
            cursor.bump();
        }
        if cursor.eat_while(|c| c.is_ascii_digit()).is_empty() {
            return Err(Fault::new(span, "expected digits in the exponent"));
        }
    }
    if float {
        let text = &whole[..whole.len() - cursor.rest().len()];
        return match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Token::Float(value)),
            _ => Err(Fault::new(span, "the number is out of range")),
        };
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => {
            if octal.contains(['8', '9']) {
                return Err(Fault::new(span, "a number that begins with 0 is octal and has no 8 or 9"));
            }
            integer(octal, 8, negative, span)
        }
        _ => integer(text, 10, negative, span),
    }
}

fn integer(digits: &str, radix: u32, negative: bool, span: Span) -> Result<Token, Fault> {
    // An i128 holds any digits that could fit an i64 with a sign; more overflow it.
    let out = || Fault::new(span, "the number is out of range");
    let value = i128::from_str_radix(digits, radix).map_err(|_| out())?;
    let value = if negative { -value } else { value };
    i64::try_from(value).map(Token::Int).map_err(|_| out())
}

/// `<<EOT` or `<<-EOT`, to the line that holds only the anchor.
fn heredoc(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    let start = cursor.span();
    cursor.bump();
    if !cursor.eat('<') {
        return Err(Fault::new(start, "expected '<<' for a heredoc"));
    }
    let indented = cursor.eat('-');
    let anchor = cursor.eat_while(is_word);
    cursor.eat('\r');
    if anchor.is_empty() {
        return Err(Fault::new(start, "the heredoc has no anchor"));
    }
    if cursor.peek().is_some() && !cursor.eat('\n') {
        return cursor.fault("unexpected character in the heredoc's anchor");
    }
    let body = cursor.rest();
    loop {
        let line_start = body.len() - cursor.rest().len();
        refuse_nul(cursor)?;
        let line = cursor.eat_while(|c| c != '\n' && c != '\0');
        refuse_nul(cursor)?;
        let trimmed = line.trim_start_matches([' ', '\t', '\r', '\u{b}', '\u{c}']);
        if trimmed.trim_end_matches('\r') == anchor {
            cursor.eat('\n');
            let margin = &line[..line.len() - trimmed.len()];
            let content = &body[..line_start];
            return Ok(if indented { unindent(content, margin) } else { format!("{content}{margin}") });
        }
        if !cursor.eat('\n') {
            return Err(Fault::new(start, "the heredoc is not closed"));
        }
    }
}

/// Takes the closing anchor's margin off each line, if every line has it; else leaves the text alone. An empty line has
/// no margin either: so it is in Go, and templates rely on what they see.
fn unindent(content: &str, margin: &str) -> String {
    if !content.split_terminator('\n').all(|line| line.starts_with(margin)) {
        return content.to_owned();
    }
    content.split_inclusive('\n').map(|line| line.strip_prefix(margin).unwrap_or(line)).collect()
}

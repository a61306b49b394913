//! JSON as a syntax of the same tree: every member is an assigned item. A key that is given twice is refused, for
//! which of the two counts would depend on the reader.

use std::collections::HashSet;
use std::sync::Arc;

use super::ast::{Body, Item, Key, Kind, Span, Value};
use super::cursor::{Budget, Cursor, Fault};
use super::lexer::digits;

/// Reads a whole document, whose root is an object.
pub(super) fn parse(file: &Arc<str>, cursor: Cursor<'_>) -> Result<Body, Fault> {
    let mut reader = Reader { file, cursor, budget: Budget::default() };
    reader.skip_blank();
    let span = reader.cursor.span();
    let mut body = reader.object(span)?;
    reader.skip_blank();
    if reader.cursor.peek().is_some() {
        return reader.cursor.fault("unexpected text after the end of the document");
    }
    body.span = Span::START;
    Ok(body)
}

struct Reader<'a> {
    file: &'a Arc<str>,
    cursor: Cursor<'a>,
    budget: Budget,
}

impl Reader<'_> {
    fn skip_blank(&mut self) {
        // `trim_start` at the door is wider than JSON's white space; what it let through is skipped here as well.
        self.cursor.eat_while(char::is_whitespace);
    }

    fn object(&mut self, span: Span) -> Result<Body, Fault> {
        self.budget.enter(span)?;
        self.cursor.bump();
        let mut items = Vec::new();
        let mut seen = HashSet::new();
        loop {
            self.skip_blank();
            let at = self.cursor.span();
            match self.cursor.peek() {
                Some('}') => break,
                Some('"') => {}
                Some(_) => return self.cursor.fault("expected a key in double quotes"),
                None => return Err(Fault::new(span, "the '{' is not closed")),
            }
            self.budget.node(at)?;
            let key = Key { text: self.string()?, span: at };
            if !seen.insert(key.text.clone()) {
                return Err(Fault::new(at, format!("the key \"{}\" is given twice", key.text)));
            }
            self.skip_blank();
            if !self.cursor.eat(':') {
                return self.cursor.fault(format!("expected ':' after \"{}\"", key.text));
            }
            let value = self.value()?;
            items.push(Item { key, labels: Vec::new(), assigned: true, value });
            self.skip_blank();
            if !self.cursor.eat(',') && self.cursor.peek() != Some('}') {
                return self.cursor.fault("expected ',' or '}'");
            }
        }
        self.cursor.bump();
        self.budget.leave();
        Ok(Body { file: self.file.clone(), span, items })
    }

    fn list(&mut self, span: Span) -> Result<Vec<Value>, Fault> {
        self.budget.enter(span)?;
        self.cursor.bump();
        let mut values = Vec::new();
        loop {
            self.skip_blank();
            match self.cursor.peek() {
                Some(']') => break,
                Some(_) => values.push(self.value()?),
                None => return Err(Fault::new(span, "the '[' is not closed")),
            }
            self.skip_blank();
            if !self.cursor.eat(',') && self.cursor.peek() != Some(']') {
                return self.cursor.fault("expected ',' or ']'");
            }
        }
        self.cursor.bump();
        self.budget.leave();
        Ok(values)
    }

    fn value(&mut self) -> Result<Value, Fault> {
        self.skip_blank();
        let span = self.cursor.span();
        self.budget.node(span)?;
        let kind = match self.cursor.peek() {
            Some('{') => Kind::Object(self.object(span)?),
            Some('[') => Kind::List(self.list(span)?),
            Some('"') => Kind::Str(self.string()?),
            Some('0'..='9' | '-') => self.number()?,
            Some('a'..='z') => match self.cursor.eat_while(|c| c.is_alphanumeric()) {
                "true" => Kind::Bool(true),
                "false" => Kind::Bool(false),
                "null" => Kind::Null,
                _ => return Err(Fault::new(span, "expected a value, found a word without quotes")),
            },
            Some(_) => return self.cursor.fault("expected a value"),
            None => return self.cursor.fault("expected a value, found the end of the text"),
        };
        Ok(Value { span, kind })
    }

    fn number(&mut self) -> Result<Kind, Fault> {
        let span = self.cursor.span();
        let bad = |message: &str| Err(Fault::new(span, message));
        let whole = self.cursor.rest();
        self.cursor.eat('-');
        let digits = self.cursor.eat_while(|c| c.is_ascii_digit());
        if digits.is_empty() {
            return bad("expected a digit after '-'");
        }
        if digits.len() > 1 && digits.starts_with('0') {
            return bad("a number cannot begin with 0");
        }
        let mut float = false;
        if self.cursor.eat('.') {
            float = true;
            if self.cursor.eat_while(|c| c.is_ascii_digit()).is_empty() {
                return bad("expected digits after the point");
            }
        }
        if matches!(self.cursor.peek(), Some('e' | 'E')) {
            float = true;
            self.cursor.bump();
            if matches!(self.cursor.peek(), Some('+' | '-')) {
                self.cursor.bump();
            }
            if self.cursor.eat_while(|c| c.is_ascii_digit()).is_empty() {
                return bad("expected digits in the exponent");
            }
        }
        let text = &whole[..whole.len() - self.cursor.rest().len()];
        if !float {
            return match text.parse() {
                Ok(value) => Ok(Kind::Int(value)),
                Err(_) => bad("the number is out of range"),
            };
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Kind::Float(value)),
            _ => bad("the number is out of range"),
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        let start = self.cursor.span();
        self.cursor.bump();
        let mut text = String::new();
        loop {
            let at = self.cursor.span();
            match self.cursor.bump() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape(at)?),
                Some(c) if c < ' ' => return Err(Fault::new(at, "a control character in a string must be escaped")),
                Some(c) => text.push(c),
                None => return Err(Fault::new(start, "the string is not closed")),
            }
        }
    }

    fn escape(&mut self, at: Span) -> Result<char, Fault> {
        let illegal = || Fault::new(at, "unknown escape in a string");
        Ok(match self.cursor.bump().ok_or_else(illegal)? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = digits(&mut self.cursor, 16, 4).ok_or_else(illegal)?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first).ok_or_else(illegal);
                }
                if !(self.cursor.eat('\\') && self.cursor.eat('u')) {
                    return Err(illegal());
                }
                let second = digits(&mut self.cursor, 16, 4).ok_or_else(illegal)?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(illegal());
                }
                // Two checked halves of ten bits each make a value of 0x10000..=0x10ffff.
                char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or_else(illegal)?
            }
            _ => return Err(illegal()),
        })
    }
}

//! HCL 1: keys, labels, blocks, lists. One token of look-ahead.

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Body, Item, Key, Kind, Span, Value};
use super::cursor::{Budget, Cursor, Fault};
use super::lexer::{self, Token};

/// Reads a whole document.
pub(super) fn parse(file: &Arc<str>, cursor: Cursor<'_>) -> Result<Body, Fault> {
    let mut parser = Parser { file, cursor, budget: Budget::default(), token: Token::End, span: Span::START };
    parser.advance()?;
    let body = parser.body(Span::START)?;
    match parser.token {
        Token::End => Ok(body),
        _ => Err(Fault::new(parser.span, "unexpected '}'")),
    }
}

struct Parser<'a> {
    file: &'a Arc<str>,
    cursor: Cursor<'a>,
    budget: Budget,
    /// The token to look at next, and its place.
    token: Token,
    span: Span,
}

impl Parser<'_> {
    /// Takes the current token and reads the one after it.
    fn advance(&mut self) -> Result<(Token, Span), Fault> {
        let (token, span) = lexer::next(&mut self.cursor)?;
        let taken = std::mem::replace(&mut self.token, token);
        Ok((taken, std::mem::replace(&mut self.span, span)))
    }

    /// Items up to, and not including, `}` or the end.
    fn body(&mut self, span: Span) -> Result<Body, Fault> {
        let mut items = Vec::new();
        let mut assigned: HashMap<String, Span> = HashMap::new();
        while !matches!(self.token, Token::BraceClose | Token::End) {
            let item = self.item()?;
            if item.assigned
                && let Some(first) = assigned.insert(item.key.text.clone(), item.key.span)
            {
                let message = format!("\"{}\" is already set at line {}", item.key.text, first.line);
                return Err(Fault::new(item.key.span, message));
            }
            items.push(item);
            if self.token == Token::Comma {
                self.advance()?;
            }
        }
        Ok(Body { file: self.file.clone(), span, items })
    }

    fn item(&mut self) -> Result<Item, Fault> {
        let mut keys = Vec::new();
        loop {
            let (token, span) = self.advance()?;
            match token {
                Token::Ident(text) | Token::Str(text) => {
                    self.budget.node(span)?;
                    keys.push(Key { text, span });
                }
                Token::Assign if keys.len() > 1 => {
                    return Err(Fault::new(span, "expected '{': a key with labels begins a block"));
                }
                Token::Assign | Token::BraceOpen if !keys.is_empty() => {
                    let assigned = token == Token::Assign;
                    let value = if assigned { self.value()? } else { self.object(span)? };
                    let labels = keys.split_off(1);
                    // The guard above says that there is a first key.
                    let Some(key) = keys.pop() else { return Err(Fault::new(span, "expected a key")) };
                    return Ok(Item { key, labels, assigned, value });
                }
                other => {
                    // The key itself is not named: whoever reads has the place, and a text that is no HCL may be a secret.
                    let wanted = if keys.is_empty() { "a key" } else { "'=' or '{' after a key" };
                    return Err(Fault::new(span, format!("expected {wanted}, found {}", other.name())));
                }
            }
        }
    }

    fn value(&mut self) -> Result<Value, Fault> {
        let (token, span) = self.advance()?;
        self.budget.node(span)?;
        let kind = match token {
            Token::Bool(value) => Kind::Bool(value),
            Token::Int(value) => Kind::Int(value),
            Token::Float(value) => Kind::Float(value),
            Token::Str(value) | Token::Heredoc(value) => Kind::Str(value),
            Token::BraceOpen => return self.object(span),
            Token::BracketOpen => return self.list(span),
            Token::Ident(_) => return Err(Fault::new(span, "expected a value, found a word without quotes")),
            other => return Err(Fault::new(span, format!("expected a value, found {}", other.name()))),
        };
        Ok(Value { span, kind })
    }

    /// After `{`, to and including `}`.
    fn object(&mut self, span: Span) -> Result<Value, Fault> {
        self.budget.enter(span)?;
        let body = self.body(span)?;
        self.budget.leave();
        match self.token {
            Token::BraceClose => self.advance()?,
            _ => return Err(Fault::new(span, "the '{' is not closed")),
        };
        Ok(Value { span, kind: Kind::Object(body) })
    }

    /// After `[`, to and including `]`. Commas part values; more or fewer of them than needed at the edges are forgiven,
    /// and after a list within the list none is needed.
    fn list(&mut self, span: Span) -> Result<Value, Fault> {
        self.budget.enter(span)?;
        let mut values = Vec::new();
        let mut parted = true;
        loop {
            match self.token {
                Token::BracketClose => {
                    self.advance()?;
                    break;
                }
                Token::Comma => {
                    self.advance()?;
                    parted = true;
                }
                Token::End => return Err(Fault::new(span, "the '[' is not closed")),
                _ if !parted => {
                    let message = format!("expected ',' or ']' in the list, found {}", self.token.name());
                    return Err(Fault::new(self.span, message));
                }
                _ => {
                    let value = self.value()?;
                    parted = matches!(value.kind, Kind::List(_));
                    values.push(value);
                }
            }
        }
        self.budget.leave();
        Ok(Value { span, kind: Kind::List(values) })
    }
}

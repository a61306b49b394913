//! A walk over text that knows its line and column, and the budget that bounds what a document may become.

use super::ast::Span;
use super::{DEPTH_MAX, NODES_MAX};

/// What is wrong, and where; the file's name is added at the door.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Span,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }
}

/// The next character to read, and its place.
pub(super) struct Cursor<'a> {
    rest: &'a str,
    span: Span,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, span: Span::START }
    }

    /// Where the next character is.
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// The text that is not read yet.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        if next == '\n' {
            self.span = Span { line: self.span.line + 1, column: 1 };
        } else {
            self.span.column += 1;
        }
        Some(next)
    }

    /// Reads the character if it is the next.
    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.bump();
        }
        found
    }

    /// Reads while `accept` holds; gives back what was read.
    pub(super) fn eat_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let start = self.rest;
        while self.peek().is_some_and(&accept) {
            self.bump();
        }
        &start[..start.len() - self.rest.len()]
    }

    /// An error at the next character.
    pub(super) fn fault<T>(&self, message: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::new(self.span, message))
    }
}

/// What is left of the limits on nesting and size.
#[derive(Default)]
pub(super) struct Budget {
    depth: usize,
    nodes: usize,
}

impl Budget {
    /// Counts one key or value.
    pub(super) fn node(&mut self, span: Span) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Fault::new(span, format!("the document has more than {NODES_MAX} keys and values")));
        }
        Ok(())
    }

    /// Enters an object or list; `leave` must follow.
    pub(super) fn enter(&mut self, span: Span) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Fault::new(span, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }
}

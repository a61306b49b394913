//! Where and why a template failed; names from its source, never a value that it computed.

use std::fmt;

/// A failure with its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    /// Name of the template, usually its file.
    pub template: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// What went wrong.
    pub message: String,
}

impl Error {
    /// A failure at a byte of the source.
    pub(super) fn at(template: &str, source: &str, offset: usize, message: impl Into<String>) -> Error {
        let before = &source.as_bytes()[..offset.min(source.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|b| **b != b'\n').count();
        Error { template: template.to_owned(), line, column, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template {}:{}:{}: {}", self.template, self.line, self.column, self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

//! The HCL1 reader, with spans.
//!
//! Configuration files and policies are written in HCL 1 or in JSON. Both become the same tree ([`Body`]), whose every
//! part knows its line and column, so that an error can say where: `server.hcl:3:5: unknown key "adress"`. It reads
//! what HashiCorp's `hcl` version 1 reads; `"${…}"` is text, for there are no variables. No error repeats a value.
//!
//! A document whose first byte that is not white space is `{` is JSON.

mod ast;
mod attr;
mod cursor;
mod duration;
mod json;
mod lexer;
mod parser;
mod section;

use std::sync::Arc;

pub use ast::{Body, Item, Key, Kind, Span, Value};
pub use attr::Attr;
pub use duration::parse_duration;
pub use section::{Block, Unknown};

use cursor::{Cursor, Fault};

/// Largest document, in bytes: far above any sane configuration with its embedded templates, and small enough to read whole.
pub const INPUT_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of objects and lists: the readers recurse once per level.
pub const DEPTH_MAX: usize = 64;

/// Most keys and values in a document: three bytes of text can become an item of two hundred in memory.
pub const NODES_MAX: usize = 100_000;

/// Longest message of an error, in characters; keys in it can be as long as the document.
const MESSAGE_CHARS_MAX: usize = 400;

/// What is wrong with a document, and where. Displayed as `FILE:LINE:COL: message`; the message never holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{}:{}: {message}", span.line, span.column)]
pub struct Error {
    file: Arc<str>,
    span: Span,
    message: String,
}

/// The outcome of reading a document or a part of it.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error at a place in a file, for readers that check more than the syntax.
    pub fn new(file: &Arc<str>, span: Span, message: impl Into<String>) -> Self {
        // Keys are foreign text: they neither forge lines of a log nor fill it.
        let message = message.into();
        let plain = message.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] });
        Self { file: file.clone(), span, message: plain.take(MESSAGE_CHARS_MAX).collect() }
    }

    /// The file's name, as it was given to [`parse`].
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where in the file, both counted from 1.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The message without its place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Reads a document. `file` is only a name for errors. Fails on bad syntax, on text that is not UTF-8, on a key that is
/// set twice, and above [`INPUT_BYTES_MAX`], [`DEPTH_MAX`] or [`NODES_MAX`].
pub fn parse(file: &str, text: impl AsRef<[u8]>) -> Result<Body> {
    read(&Arc::from(file), text.as_ref())
}

fn read(file: &Arc<str>, bytes: &[u8]) -> Result<Body> {
    let fault = |fault: Fault| Error::new(file, fault.span, fault.message);
    if bytes.len() > INPUT_BYTES_MAX {
        return Err(fault(Fault::new(Span::START, format!("the document is larger than {INPUT_BYTES_MAX} bytes"))));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            return Err(fault(Fault::new(not_utf8(bytes, error.valid_up_to()), "the text is not valid UTF-8")));
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        return json::parse(file, Cursor::new(text)).map_err(fault);
    }
    // Line ends are normalised first, as the original does, so that a heredoc has the same content on every system.
    if text.contains("\r\n") {
        return parser::parse(file, Cursor::new(&text.replace("\r\n", "\n"))).map_err(fault);
    }
    parser::parse(file, Cursor::new(text)).map_err(fault)
}

/// Where the first invalid byte is.
fn not_utf8(bytes: &[u8], valid_up_to: usize) -> Span {
    let before = String::from_utf8_lossy(bytes.get(..valid_up_to).unwrap_or_default());
    let mut cursor = Cursor::new(&before);
    while cursor.bump().is_some() {}
    cursor.span()
}

#[cfg(test)]
mod tests;

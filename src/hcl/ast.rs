//! The tree that both syntaxes become. Its `Debug` shows shapes and keys, never a value: values may be secret.

use std::fmt;
use std::sync::Arc;

/// A place in a document; both numbers count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl Span {
    /// The first character.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The content of a document or of an object: items in the order of the text.
#[derive(Clone, Debug)]
pub struct Body {
    pub(super) file: Arc<str>,
    pub(super) span: Span,
    pub(super) items: Vec<Item>,
}

impl Body {
    /// The file's name.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// Where it begins: the document's start or the opening brace.
    pub fn span(&self) -> Span {
        self.span
    }

    /// All items in order; repeated blocks are repeated items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// `key = value`, or `key "label" … { … }`.
#[derive(Clone, Debug)]
pub struct Item {
    pub(super) key: Key,
    pub(super) labels: Vec<Key>,
    pub(super) assigned: bool,
    pub(super) value: Value,
}

impl Item {
    /// The first key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The keys after the first; only a block has any.
    pub fn labels(&self) -> &[Key] {
        &self.labels
    }

    /// Whether it was written with `=` (in JSON: always) and not as a block.
    pub fn is_assigned(&self) -> bool {
        self.assigned
    }

    /// What it is set to.
    pub fn value(&self) -> &Value {
        &self.value
    }
}

/// A key or a label.
#[derive(Clone, Debug)]
pub struct Key {
    pub(super) text: String,
    pub(super) span: Span,
}

impl Key {
    /// Its text, without quotes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it is.
    pub fn span(&self) -> Span {
        self.span
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Value {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

impl Value {
    /// Where it begins.
    pub fn span(&self) -> Span {
        self.span
    }

    /// What it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }
}

/// The kinds of value.
#[derive(Clone)]
pub enum Kind {
    /// JSON's `null`; extraction treats it as absent.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number; `0644` is 420.
    Int(i64),
    /// A number with a point or an exponent; always finite.
    Float(f64),
    /// A quoted string or heredoc.
    Str(String),
    /// `[…]`.
    List(Vec<Value>),
    /// `{…}`.
    Object(Body),
}

impl Kind {
    /// What to call it in an error.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Str(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(values) => f.debug_list().entries(values).finish(),
            Self::Object(body) => body.fmt(f),
            scalar => f.write_str(scalar.name()),
        }
    }
}

//! The tree of a parsed template. Every node knows its byte in the source, for errors.

use super::value::Text;

/// A run of nodes.
pub(super) type List = Vec<Node>;

/// What stands between delimiters, or the text outside.
#[derive(Debug)]
pub(super) enum Node {
    /// Bytes `start..end` of the source, copied to the output.
    Text {
        start: usize,
        end: usize,
    },
    /// A pipeline whose value is printed unless it declares or assigns.
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template {
        at: usize,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// A condition or subject with its two ways on.
#[derive(Debug)]
pub(super) struct Branch {
    pub pipe: Pipe,
    pub list: List,
    pub otherwise: Option<List>,
}

/// `$x, $y := command | command`.
#[derive(Debug)]
pub(super) struct Pipe {
    pub at: usize,
    pub variables: Vec<String>,
    /// The variables exist already (`=` and not `:=`).
    pub assigns: bool,
    pub commands: Vec<Command>,
}

/// An operand with its arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub operands: Vec<Operand>,
}

/// One operand and its place.
#[derive(Debug)]
pub(super) struct Operand {
    pub at: usize,
    pub term: Term,
}

#[derive(Debug)]
pub(super) enum Term {
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A constant beyond `i64`, which fails when it is evaluated.
    Unsigned,
    Text(Text),
    Dot,
    Nil,
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`, the name with its `$`.
    Variable(String, Vec<String>),
    Function(String),
    Pipe(Box<Pipe>),
    /// `(pipeline).a.b` or `function.a.b`
    Chain(Box<Operand>, Vec<String>),
}

impl Term {
    /// Whether it is written out in the template, so that it may be shown in an error.
    pub fn is_literal(&self) -> bool {
        matches!(self, Term::Bool(_) | Term::Int(_) | Term::Float(_) | Term::Unsigned | Term::Text(_) | Term::Nil)
    }
}

/// Whether a list holds nothing but space, so that it does not replace another definition.
pub(super) fn is_blank(list: &List, source: &str) -> bool {
    list.iter().all(|node| match node {
        Node::Text { start, end } => source[*start..*end].trim().is_empty(),
        _ => false,
    })
}

//! Go's text/template with consul-template's functions: an engine of our own.
//!
//! A template is parsed once and rendered as often as needed. A rendering either gives the output, or names the
//! dependencies to fetch before the next try. Errors carry a place and names from the source, never a value.

mod ast;
mod builtins;
mod collections;
mod consul;
mod encoding;
mod error;
mod exec;
mod format;
mod functions;
#[cfg(test)]
mod golden;
mod lex;
mod literal;
mod math;
mod parse;
mod scratch;
mod secrets;
mod sprig;
mod strings;
#[cfg(test)]
mod tests;
mod toml;
mod value;
mod yaml;
mod yaml_read;

use std::collections::BTreeMap;

pub use error::Error;
pub use functions::{Answer, Body, Ctx, Dependency, FileWrite, FnErr, Function, Functions, Host, Kind};
pub use value::{Text, Value};

/// How a source is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// What opens an action; `{{` by default.
    pub left: String,
    /// What closes it; `}}` by default.
    pub right: String,
    /// Whether a key that a map lacks is an error instead of `<no value>`.
    pub error_on_missing_key: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { left: "{{".to_owned(), right: "}}".to_owned(), error_on_missing_key: false }
    }
}

/// What one rendering may use up.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Evaluations: an operand, a command, a turn of a loop.
    pub steps: usize,
    /// How deep templates, branches and parentheses may nest while running.
    pub depth: usize,
    /// Bytes of output, and of any one string.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { steps: 5_000_000, depth: 250, bytes: 16 << 20 }
    }
}

/// What came of a rendering.
pub enum Outcome {
    /// The output.
    Rendered(Vec<u8>),
    /// These must be fetched first. Fetch them, and render again.
    Pending(Vec<Dependency>),
}

/// The largest source, in bytes.
const SOURCE_BYTES_MAX: usize = 4 << 20;

/// A parsed template.
pub struct Template {
    name: String,
    source: String,
    trees: BTreeMap<String, ast::List>,
    error_on_missing_key: bool,
}

impl Template {
    /// Parses a source; `name` is what errors call it.
    ///
    /// # Errors
    /// The source is malformed, calls a function that is not in `functions`, or is larger than 4 MiB.
    pub fn parse(name: &str, source: &str, options: &Options, functions: &Functions) -> Result<Template, Error> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(Error::at(name, "", 0, format!("the template is larger than {SOURCE_BYTES_MAX} bytes")));
        }
        let or =
            |given: &str, default: &'static str| if given.is_empty() { default.to_owned() } else { given.to_owned() };
        let (left, right) = (or(&options.left, "{{"), or(&options.right, "}}"));
        let trees = parse::parse(name, source, (&left, &right), functions)?;
        Ok(Template {
            name: name.to_owned(),
            source: source.to_owned(),
            trees,
            error_on_missing_key: options.error_on_missing_key,
        })
    }

    /// Renders with `data` as the dot.
    ///
    /// # Errors
    /// A step failed, or a limit was reached.
    pub fn render(
        &self,
        functions: &Functions,
        data: &Value,
        host: &mut dyn Host,
        limits: &Limits,
    ) -> Result<Outcome, Error> {
        let data = if data.is_nil() { &Value::Missing } else { data };
        exec::execute(self, functions, data, host, limits)
    }
}

//! Values as configuration wants them: lenient as Vault is (`"true"`, `"8200"`, `"1h"`), and strict in the error, which
//! names the file, the place and the key, and never the value.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::ast::{Body, Kind, Span, Value};
use super::duration::parse_duration;
use super::{Error, Result};

/// A value together with the key it was found under.
#[derive(Clone, Copy, Debug)]
pub struct Attr<'a> {
    pub(super) file: &'a Arc<str>,
    pub(super) name: &'a str,
    pub(super) value: &'a Value,
}

impl<'a> Attr<'a> {
    /// The key.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Where the value is.
    pub fn span(&self) -> Span {
        self.value.span
    }

    /// The value itself.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// An error at this value: `FILE:LINE:COL: "KEY" MESSAGE`.
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::new(self.file, self.value.span, format!("\"{}\" {message}", self.name))
    }

    fn wrong<T>(&self, wanted: &str) -> Result<T> {
        Err(self.error(format_args!("must be {wanted}, not {}", self.value.kind.name())))
    }

    /// A string, and nothing else.
    pub fn as_str(&self) -> Result<&'a str> {
        match &self.value.kind {
            Kind::Str(text) => Ok(text),
            _ => self.wrong("a string"),
        }
    }

    /// A string; a number or boolean becomes its decimal text.
    pub fn as_string(&self) -> Result<String> {
        match &self.value.kind {
            Kind::Str(text) => Ok(text.clone()),
            Kind::Int(number) => Ok(number.to_string()),
            Kind::Float(number) => Ok(number.to_string()),
            Kind::Bool(value) => Ok(value.to_string()),
            _ => self.wrong("a string"),
        }
    }

    /// A boolean; also `"true"`, `"1"`, `"t"`, `"false"`, `"0"`, `"f"`, `""`, 0 and 1.
    pub fn as_bool(&self) -> Result<bool> {
        match &self.value.kind {
            Kind::Bool(value) => Ok(*value),
            Kind::Int(1) => Ok(true),
            Kind::Int(0) => Ok(false),
            Kind::Str(text) => match text.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
                "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
                _ => Err(self.error("must be true or false")),
            },
            Kind::Int(_) => Err(self.error("must be true or false")),
            _ => self.wrong("true or false"),
        }
    }

    /// A whole number; also as decimal text, or as a float without a fraction.
    pub fn as_int(&self) -> Result<i64> {
        match &self.value.kind {
            Kind::Int(number) => Ok(*number),
            // Below 2^53 a float without a fraction is exactly the number that was meant.
            Kind::Float(number) if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 => {
                Ok(*number as i64)
            }
            Kind::Float(_) => Err(self.error("must be a whole number")),
            Kind::Str(text) => text.trim().parse().map_err(|_| self.error("must be a whole number")),
            _ => self.wrong("a whole number"),
        }
    }

    /// A whole number within bounds, which the error names.
    pub fn as_int_in(&self, range: RangeInclusive<i64>) -> Result<i64> {
        let number = self.as_int()?;
        if !range.contains(&number) {
            return Err(self.error(format_args!("must be from {} to {}", range.start(), range.end())));
        }
        Ok(number)
    }

    /// A duration: seconds as a number or digits, or text such as `"1h30m"` (see [`parse_duration`]).
    pub fn as_duration(&self) -> Result<Duration> {
        let unclear = || self.error("must be a duration such as 90, \"90s\" or \"1h30m\"");
        match &self.value.kind {
            Kind::Str(text) => parse_duration(text).ok_or_else(unclear),
            Kind::Int(seconds) => parse_duration(&seconds.to_string()).ok_or_else(unclear),
            Kind::Float(seconds) => match Duration::try_from_secs_f64(*seconds) {
                Ok(duration) if i64::try_from(duration.as_nanos()).is_ok() => Ok(duration),
                _ => Err(unclear()),
            },
            _ => self.wrong("a duration"),
        }
    }

    /// The elements of a list; each keeps this key as its name.
    pub fn as_list(&self) -> Result<Vec<Attr<'a>>> {
        match &self.value.kind {
            Kind::List(values) => Ok(values.iter().map(|value| Attr { value, ..*self }).collect()),
            _ => self.wrong("a list"),
        }
    }

    /// A list of strings; also one string, which is split at commas and trimmed.
    pub fn as_strings(&self) -> Result<Vec<String>> {
        match &self.value.kind {
            Kind::List(_) => self.as_list()?.iter().map(Attr::as_string).collect(),
            Kind::Str(text) => {
                Ok(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect())
            }
            _ => self.wrong("a list of strings"),
        }
    }

    /// An object.
    pub fn as_object(&self) -> Result<&'a Body> {
        match &self.value.kind {
            Kind::Object(body) => Ok(body),
            _ => self.wrong("an object"),
        }
    }
}

//! What a rule asks of a request beyond its capability: parameters, and for how long the answer is wrapped.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::decision::Wrapping;
use crate::base::Json;
use crate::base::json::Map;
use crate::hcl::{Kind, Value};

/// Values by the name of their parameter, in lower case. No values means any value.
type Values = BTreeMap<Box<str>, Vec<Wanted>>;

/// The name that stands for every parameter.
const ANY: &str = "*";

/// The limits of one rule, or of several with the same path put together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    allowed: Values,
    denied: Values,
    required: Vec<Box<str>>,
    pub(super) wrapping: Wrapping,
}

/// A value that a policy names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// A string, with `*` at its ends as a wildcard.
    Text(Box<str>),
    Bool(bool),
    Int(i64),
    Float(f64),
    Null,
}

/// Why parameters were refused, and which; the name is that of the policy or of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused<'a> {
    /// A required parameter is missing.
    Missing(&'a str),
    /// The parameter, or this value of it, is denied.
    Denied(&'a str),
    /// The parameter is not among the allowed.
    Unnamed(&'a str),
    /// The parameter is allowed, but not with this value.
    Value(&'a str),
}

impl Limits {
    /// Whether nothing is limited.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn allow(&mut self, name: &str, values: Vec<Wanted>) {
        add(&mut self.allowed, name, values);
    }

    pub(super) fn deny(&mut self, name: &str, values: Vec<Wanted>) {
        add(&mut self.denied, name, values);
    }

    pub(super) fn require(&mut self, name: &str) {
        let name = name.to_lowercase();
        if !self.required.iter().any(|known| **known == *name) {
            self.required.push(name.into());
        }
    }

    /// The same limits in one form: values sorted and without repetitions, and nothing that says nothing.
    pub(super) fn normal(mut self) -> Self {
        for values in [&mut self.allowed, &mut self.denied] {
            if values.get(ANY).is_some_and(Vec::is_empty) {
                values.retain(|name, wanted| &**name == ANY || !wanted.is_empty());
            }
            for wanted in values.values_mut() {
                wanted.sort_by_cached_key(|value| format!("{value:?}"));
                wanted.dedup();
            }
        }
        if self.allowed.len() == 1 && self.allowed.get(ANY).is_some_and(Vec::is_empty) {
            self.allowed.clear();
        }
        if self.denied.contains_key(ANY) {
            self.denied.retain(|name, _| &**name == ANY);
            self.denied.insert(ANY.into(), Vec::new());
        }
        self.required.sort_unstable();
        self
    }

    /// The limits of wrapping alone.
    pub(super) fn of_wrapping(&self) -> Self {
        Self { wrapping: self.wrapping, ..Self::default() }
    }

    /// Adds the limits of another rule with the same path: values are joined, required names add up, and of the
    /// wrapping times the least count.
    pub(super) fn merge(&mut self, other: &Self) {
        for (name, values) in &other.allowed {
            add(&mut self.allowed, name, values.clone());
        }
        for (name, values) in &other.denied {
            add(&mut self.denied, name, values.clone());
        }
        for name in &other.required {
            self.require(name);
        }
        self.wrapping = Wrapping {
            min: self.wrapping.min.capped(other.wrapping.min),
            max: self.wrapping.max.capped(other.wrapping.max),
        };
    }

    /// Whether a request may have these parameters.
    pub(super) fn admit<'a>(&'a self, parameters: Option<&'a Map>) -> Result<(), Refused<'a>> {
        let Some(given) = parameters else { return self.admit_names(&Map::new()).map_err(Refused::Missing) };
        self.admit_names(given).map_err(Refused::Missing)?;
        if given.is_empty() {
            return Ok(());
        }
        if !self.denied.is_empty() {
            if self.denied.contains_key(ANY) {
                return Err(Refused::Denied(ANY));
            }
            for (name, value) in given {
                let values = self.denied.get(&*folded(name));
                if values.is_some_and(|v| v.is_empty() || v.iter().any(|wanted| wanted.touches(value))) {
                    return Err(Refused::Denied(name));
                }
            }
        }
        if !self.allowed.is_empty() {
            for (name, value) in given {
                let values = self.allowed.get(&*folded(name)).or_else(|| self.allowed.get(ANY));
                let values = values.ok_or(Refused::Unnamed(name))?;
                if !values.is_empty() && !covers(values, value) {
                    return Err(Refused::Value(name));
                }
            }
        }
        Ok(())
    }

    /// As the lines of a rule, indented by two; `None` where a value cannot be written in HCL.
    pub(super) fn written(&self) -> Option<String> {
        let mut lines = String::new();
        for (word, values) in [("allowed_parameters", &self.allowed), ("denied_parameters", &self.denied)] {
            if values.is_empty() {
                continue;
            }
            lines.push_str(&format!("  {word} = {{\n"));
            for (name, wanted) in values {
                let wanted = wanted.iter().map(Wanted::written).collect::<Option<Vec<_>>>()?.join(", ");
                lines.push_str(&format!("    {} = [{wanted}]\n", quoted(name)?));
            }
            lines.push_str("  }\n");
        }
        if !self.required.is_empty() {
            let names = self.required.iter().map(|name| quoted(name)).collect::<Option<Vec<_>>>()?;
            lines.push_str(&format!("  required_parameters = [{}]\n", names.join(", ")));
        }
        for (word, ttl) in [("min", self.wrapping.min), ("max", self.wrapping.max)] {
            if !ttl.is_zero() {
                lines.push_str(&format!("  {word}_wrapping_ttl = {}\n", ttl.seconds()));
            }
        }
        Some(lines)
    }

    /// Fails with the first required name that is not there.
    fn admit_names(&self, given: &Map) -> Result<(), &str> {
        let missing = self
            .required
            .iter()
            .find(|name| !given.contains_key(&***name) && !given.keys().any(|key| *folded(key) == ***name));
        missing.map_or(Ok(()), |name| Err(name))
    }
}

/// Joins the values of a name; no values, which is any value, win.
fn add(to: &mut Values, name: &str, values: Vec<Wanted>) {
    match to.entry(name.to_lowercase().into()) {
        std::collections::btree_map::Entry::Vacant(entry) => {
            entry.insert(values);
        }
        std::collections::btree_map::Entry::Occupied(mut entry) => {
            if values.is_empty() || entry.get().is_empty() {
                entry.get_mut().clear();
            } else {
                entry.get_mut().extend(values);
            }
        }
    }
}

/// A name in lower case, copied only if it is not.
fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) { name.into() } else { name.to_lowercase().into() }
}

/// Whether a value is one of those allowed; of a list, every element must be, and an empty list is nothing.
fn covers(values: &[Wanted], given: &Json) -> bool {
    match given {
        Json::Array(items) => !items.is_empty() && items.iter().all(|item| covers(values, item)),
        _ => values.iter().any(|wanted| wanted.is(given)),
    }
}

impl Wanted {
    /// Reads a value of a policy; `None` for lists and objects.
    pub(super) fn of(value: &Value) -> Option<Self> {
        Some(match value.kind() {
            Kind::Str(text) => Self::Text(text.as_str().into()),
            Kind::Bool(value) => Self::Bool(*value),
            Kind::Int(number) => Self::Int(*number),
            Kind::Float(number) => Self::Float(*number),
            Kind::Null => Self::Null,
            Kind::List(_) | Kind::Object(_) => return None,
        })
    }

    /// As a policy would write it.
    fn written(&self) -> Option<String> {
        match self {
            Self::Text(text) => quoted(text),
            Self::Bool(value) => Some(value.to_string()),
            Self::Int(number) => Some(number.to_string()),
            Self::Float(number) => Some(format!("{number:?}")),
            Self::Null => None,
        }
    }

    /// Whether it is this value, of the same type.
    fn is(&self, given: &Json) -> bool {
        match (self, given) {
            (Self::Text(pattern), Json::String(text)) => globs(pattern, text),
            (Self::Bool(wanted), Json::Bool(value)) => wanted == value,
            (Self::Int(_) | Self::Float(_), Json::Number(text)) => self.equals(text),
            (Self::Null, Json::Null) => true,
            _ => false,
        }
    }

    /// Whether a denial of it concerns this value. Endpoints read `"5"` as 5 and `"true"` as true, so a denial of the one
    /// must stop the other; and it concerns a list that holds it.
    fn touches(&self, given: &Json) -> bool {
        match (self, given) {
            (_, Json::Array(items)) => items.iter().any(|item| self.touches(item)),
            (Self::Text(pattern), Json::Number(text)) => globs(pattern, text),
            (Self::Text(pattern), Json::Bool(value)) => globs(pattern, if *value { "true" } else { "false" }),
            (Self::Bool(wanted), Json::String(text)) => truth(text) == Some(*wanted),
            (Self::Bool(wanted), Json::Number(text)) => truth(text) == Some(*wanted),
            (Self::Int(_) | Self::Float(_), Json::String(text)) => self.equals(text.trim()),
            _ => self.is(given),
        }
    }

    /// Whether it is the number that a text says.
    fn equals(&self, text: &str) -> bool {
        match *self {
            Self::Int(wanted) => match text.parse::<i64>() {
                Ok(value) => value == wanted,
                // Written with a point or an exponent; an i64 beyond 2^53 is then compared after rounding.
                Err(_) => text.parse::<f64>().is_ok_and(|value| value == wanted as f64),
            },
            Self::Float(wanted) => text.parse::<f64>().is_ok_and(|value| value == wanted),
            _ => false,
        }
    }
}

/// A text as HCL quotes it; `None` for what would be read as something else.
pub(super) fn quoted(text: &str) -> Option<String> {
    if text.contains("${") || text.chars().any(char::is_control) {
        return None;
    }
    Some(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// The truth that an endpoint reads in a text.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Whether a text matches a value with `*` at its start, its end or both; `*` alone is itself.
fn globs(pattern: &str, text: &str) -> bool {
    if pattern.len() < 2 {
        return pattern == text;
    }
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some(_)) => text.contains(&pattern[1..pattern.len() - 1]),
        (Some(end), None) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => pattern == text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Map {
        match Json::parse(text.as_bytes()).unwrap() {
            Json::Object(map) => map,
            _ => panic!("an object"),
        }
    }

    fn text(value: &str) -> Wanted {
        Wanted::Text(value.into())
    }

    fn allowing(name: &str, values: Vec<Wanted>) -> Limits {
        let mut limits = Limits::default();
        limits.allow(name, values);
        limits
    }

    fn denying(name: &str, values: Vec<Wanted>) -> Limits {
        let mut limits = Limits::default();
        limits.deny(name, values);
        limits
    }

    #[test]
    fn a_denied_value_hides_in_no_type_and_no_list() {
        for (wanted, given) in [
            (text("admin"), "\"admin\""),
            (text("admin"), "[\"admin\"]"),
            (text("admin"), "[\"x\", [\"admin\"]]"),
            (text("adm*"), "[\"x\", \"admin\"]"),
            (text("5"), "5"),
            (text("true"), "true"),
            (Wanted::Int(5), "5"),
            (Wanted::Int(5), "5.0"),
            (Wanted::Int(5), "\" 5 \""),
            (Wanted::Int(5), "[5]"),
            (Wanted::Float(0.5), "5e-1"),
            (Wanted::Bool(true), "true"),
            (Wanted::Bool(true), "\"true\""),
            (Wanted::Bool(true), "1"),
            (Wanted::Null, "null"),
        ] {
            let given = json(&format!("{{\"p\": {given}}}"));
            let refused = denying("P", vec![wanted.clone()]).admit(Some(&given)) == Err(Refused::Denied("p"));
            assert!(refused, "{wanted:?}");
        }
        for given in ["\"administrator\"", "[]", "{\"admin\": \"admin\"}", "null"] {
            let given = json(&format!("{{\"p\": {given}}}"));
            assert_eq!(denying("p", vec![text("admin")]).admit(Some(&given)), Ok(()));
        }
    }

    #[test]
    fn an_allowed_value_has_its_type_and_every_element_counts() {
        for (wanted, given, fits) in [
            (text("x"), "\"x\"", true),
            (text("x"), "[\"x\", \"x\"]", true),
            (text("x"), "[\"x\", \"y\"]", false),
            (text("x"), "[]", false),
            (text("x"), "{}", false),
            (text("5"), "5", false),
            (Wanted::Int(5), "5", true),
            (Wanted::Int(5), "\"5\"", false),
            (Wanted::Int(5), "6", false),
            (Wanted::Int(i64::MAX), "9223372036854775807", true),
            (Wanted::Int(i64::MAX), "9223372036854775806", false),
            (Wanted::Bool(true), "true", true),
            (Wanted::Bool(true), "false", false),
            (Wanted::Bool(true), "\"true\"", false),
            (text("*"), "\"*\"", true),
            (text("*"), "\"x\"", false),
            (text("y*"), "\"yes\"", true),
            (text("*y"), "\"oy\"", true),
            (text("*e*"), "\"yes\"", true),
            (text("a*b"), "\"axb\"", false),
        ] {
            let given = json(&format!("{{\"p\": {given}}}"));
            let expected = if fits { Ok(()) } else { Err(Refused::Value("p")) };
            assert_eq!(
                allowing("p", vec![wanted.clone()]).admit(Some(&given)),
                expected,
                "{wanted:?} {}",
                Json::Object(given.clone()).text()
            );
        }
    }
}

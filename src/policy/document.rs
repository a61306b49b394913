//! A policy's text becomes rules that remember their lines.

use std::fmt::Display;

use super::ROOT;
use super::limits::{Limits, Wanted};
use super::pattern::Pattern;
use super::template::{Template, shown};
use crate::base::{Capabilities, Error, Result, Ttl, limits};
use crate::hcl::{self, Attr, Block, Kind, Span};

/// What may stand in a rule.
const KEYS: [&str; 7] = [
    "capabilities",
    "policy",
    "allowed_parameters",
    "denied_parameters",
    "required_parameters",
    "min_wrapping_ttl",
    "max_wrapping_ttl",
];

/// A parsed policy.
#[derive(Clone, Debug)]
pub struct Policy {
    name: Box<str>,
    rules: Vec<Rule>,
    root: bool,
}

/// One `path "…" { … }` of a policy.
#[derive(Clone, Debug)]
pub struct Rule {
    path: Box<str>,
    span: Span,
    capabilities: Capabilities,
    limits: Limits,
    template: Option<Template>,
}

impl Policy {
    /// Reads a policy, in HCL or JSON. Its name is put in its one form: trimmed, in lower case.
    ///
    /// # Errors
    /// [`Error::Invalid`] that says what is wrong and where: bad syntax, unknown keys and capabilities, templates that
    /// nobody can fill, a text above [`limits::POLICY_BYTES`], the name `root`.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let name = name.trim().to_lowercase();
        if name == ROOT {
            return Err(Error::invalid("the policy 'root' cannot be written"));
        }
        if text.len() > limits::POLICY_BYTES {
            return Err(failed(format_args!("a policy has at most {} bytes", limits::POLICY_BYTES)));
        }
        let body = hcl::parse(&name, text).map_err(failed)?;
        body.only(&["path", "name"]).map_err(failed)?;
        let blocks = body.labelled("path").map_err(failed)?;
        let rules = blocks.iter().map(Rule::parse).collect::<Result<_>>()?;
        Ok(Self { name: name.into(), rules, root: false })
    }

    /// The policy that may do everything.
    pub fn root() -> Self {
        Self { name: ROOT.into(), rules: Vec::new(), root: true }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rules, in the order of the text.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether it is the policy that may do everything.
    pub const fn is_root(&self) -> bool {
        self.root
    }

    /// Whether a rule of it may decide about this path, whoever asks. One that does not changes nothing there, neither alone nor with others.
    pub fn concerns(&self, path: &str) -> bool {
        self.root || self.rules.iter().any(|rule| rule.is_template() || Pattern::new(&rule.path).matches(path))
    }

    /// Whether what it grants depends on whom it is applied to.
    pub fn is_templated(&self) -> bool {
        self.rules.iter().any(|rule| rule.template.is_some())
    }
}

impl Rule {
    /// The path as it was written, without a slash at its start.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it stands in the policy.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Whether its path has holes.
    pub fn is_template(&self) -> bool {
        self.template.is_some()
    }

    /// What it gives. With `deny` there is nothing else.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// What it asks of parameters and wrapping.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }

    fn parse(block: &Block<'_>) -> Result<Self> {
        let label = block.label().map_err(failed)?;
        let wrong = |what: &dyn Display| failed(format_args!("path {}: {what}", shown(label)));
        let at = |error: hcl::Error| wrong(&format_args!("{} at line {}", error.message(), error.span().line));

        block.only(&KEYS).map_err(at)?;
        if label.contains("+*") {
            return Err(wrong(&"invalid use of wildcards ('+*' is forbidden)"));
        }
        let path = label.strip_prefix('/').unwrap_or(label);
        let template = Template::parse(path).map_err(|what| wrong(&what))?;

        let mut capabilities = Capabilities::NONE;
        if let Some(attr) = block.attr("capabilities").map_err(at)? {
            for word in one_or_more(attr).map_err(at)? {
                let word = word.as_str().map_err(at)?;
                let one = Capabilities::of_word(word);
                let unknown = || wrong(&format_args!("invalid capability {}", shown(word)));
                capabilities = capabilities.with(one.ok_or_else(unknown)?);
            }
        }
        if let Some(attr) = block.attr("policy").map_err(at)? {
            let word = attr.as_str().map_err(at)?;
            let old = legacy(word).ok_or_else(|| wrong(&format_args!("invalid policy {}", shown(word))))?;
            capabilities = capabilities.with(old);
        }

        let mut limits = Limits::default();
        for parameters in block.blocks("allowed_parameters").map_err(at)? {
            for attr in parameters.attrs().map_err(at)? {
                limits.allow(attr.name(), values(attr).map_err(at)?);
            }
        }
        for parameters in block.blocks("denied_parameters").map_err(at)? {
            for attr in parameters.attrs().map_err(at)? {
                limits.deny(attr.name(), values(attr).map_err(at)?);
            }
        }
        if let Some(attr) = block.attr("required_parameters").map_err(at)? {
            for name in one_or_more(attr).map_err(at)? {
                limits.require(name.as_str().map_err(at)?);
            }
        }
        limits.wrapping.min = seconds(block.attr("min_wrapping_ttl").map_err(at)?, true).map_err(at)?;
        limits.wrapping.max = seconds(block.attr("max_wrapping_ttl").map_err(at)?, false).map_err(at)?;
        if !limits.wrapping.max.is_zero() && limits.wrapping.max < limits.wrapping.min {
            return Err(wrong(&"max_wrapping_ttl cannot be less than min_wrapping_ttl"));
        }

        if capabilities.has(Capabilities::DENY) {
            capabilities = Capabilities::DENY;
            limits = Limits::default();
        }
        Ok(Self { path: path.into(), span: block.span(), capabilities, limits, template })
    }
}

fn failed(what: impl Display) -> Error {
    Error::invalid(format!("failed to parse policy: {what}"))
}

/// What the words of the oldest policies give.
fn legacy(word: &str) -> Option<Capabilities> {
    let read = Capabilities::READ.with(Capabilities::LIST);
    let write = read.with(Capabilities::CREATE).with(Capabilities::UPDATE).with(Capabilities::DELETE);
    Some(match word {
        "deny" => Capabilities::DENY,
        "read" => read,
        "write" => write,
        "sudo" => write.with(Capabilities::SUDO),
        _ => return None,
    })
}

/// The elements of a list, or one value without its brackets.
fn one_or_more(attr: Attr<'_>) -> hcl::Result<Vec<Attr<'_>>> {
    match attr.value().kind() {
        Kind::List(_) => attr.as_list(),
        _ => Ok(vec![attr]),
    }
}

fn values(attr: Attr<'_>) -> hcl::Result<Vec<Wanted>> {
    // Null is no empty list: that would be any value.
    if matches!(attr.value().kind(), Kind::Null) {
        return Err(attr.error("must be a list, not null"));
    }
    let wanted = |value: &Attr<'_>| {
        Wanted::of(value.value()).ok_or_else(|| value.error("must have strings, numbers and booleans as values"))
    };
    one_or_more(attr)?.iter().map(wanted).collect()
}

/// Whole seconds; a fraction makes a minimum longer and a maximum shorter.
fn seconds(attr: Option<Attr<'_>>, up: bool) -> hcl::Result<Ttl> {
    let Some(attr) = attr else { return Ok(Ttl::ZERO) };
    let duration = attr.as_duration()?;
    let whole = duration.as_secs() + u64::from(up && duration.subsec_nanos() > 0);
    if whole == 0 && !duration.is_zero() {
        return Err(attr.error("must be at least a second"));
    }
    Ok(Ttl::from_seconds(whole))
}

//! What would turn a denial into a grant: the smallest rule, or where no rule can, what to change instead.
//!
//! The rule is an addition to the policies that were asked, and takes nothing away: where it must be more specific than
//! the rule that decided, it repeats what that one gives.

use super::acl::{Acl, Merged, words};
use super::decision::{Query, Reason};
use super::limits::{Limits, Refused, quoted};
use super::pattern::Pattern;
use crate::base::{Capabilities, Operation};

/// A way out of a denial. Both are absent for what is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remedy {
    /// The rule to add to one of the policies.
    pub rule: Option<String>,
    /// What else has to change, in words: the request, or a rule that is there.
    pub change: Option<String>,
}

impl Acl {
    /// The way out of a denial.
    pub fn remedy(&self, query: &Query<'_>) -> Remedy {
        if self.check(query).is_allowed() {
            return Remedy::default();
        }
        let mut needed = query.needs();
        if query.sudo {
            needed = needed.with(Capabilities::SUDO);
        }
        let Some(rule) = self.deciding(query) else { return exactly(query, needed, None) };
        if rule.capabilities.has(Capabilities::DENY) {
            if rule.pattern.is_exact() {
                return instead("take the rule that denies out of its policy: no other rule outdoes it");
            }
            return exactly(query, needed, None);
        }
        match extended(rule, query) {
            Err(remedy) => remedy,
            Ok((whole, added)) => {
                let lacks = !rule.capabilities.has(needed);
                if lacks && !rule.pattern.is_exact() {
                    return exactly(query, rule.capabilities.with(needed), Some(&whole));
                }
                let wanted = if lacks { needed } else { Capabilities::NONE };
                written(&rule.pattern.written(), wanted, Some(&added))
            }
        }
    }
}

/// The rule's limits with what the request needs, and what was added; or what must change instead.
fn extended(rule: &Merged, query: &Query<'_>) -> Result<(Limits, Limits), Remedy> {
    let (mut whole, mut added) = (rule.limits.as_deref().cloned().unwrap_or_default(), Limits::default());
    if let Err(reason) = whole.wrapping.admit(query.wrap) {
        return Err(instead(match reason {
            Reason::WrapMissing => "ask for the answer to be wrapped (X-Vault-Wrap-TTL)",
            Reason::WrapShort => "ask for the answer to be wrapped for longer",
            Reason::WrapLong => "ask for the answer to be wrapped for less long",
            _ => "let the rules of this path agree on the time of wrapping",
        }));
    }
    if matches!(query.operation, Operation::List | Operation::Delete) {
        return Ok((whole, added));
    }
    loop {
        let name = match whole.admit(query.parameters) {
            Ok(()) => return Ok((whole, added)),
            Err(Refused::Unnamed(name) | Refused::Value(name)) => name.to_owned(),
            Err(Refused::Missing(name)) => return Err(instead(&format!("send the parameter \"{name}\""))),
            Err(Refused::Denied(name)) => {
                let text = format!("send the parameter \"{name}\" not, or not so; or take it out of denied_parameters");
                return Err(instead(&text));
            }
        };
        whole.allow(&name, Vec::new());
        added.allow(&name, Vec::new());
    }
}

/// A rule for the very path of the request.
fn exactly(query: &Query<'_>, capabilities: Capabilities, limits: Option<&Limits>) -> Remedy {
    let path = query.path.as_str();
    if !Pattern::can_be_exact(path) {
        return instead("no rule covers this path alone: extend the rule that decided");
    }
    let folder = if query.operation == Operation::List && !path.ends_with('/') { "/" } else { "" };
    written(&format!("{path}{folder}"), capabilities, limits)
}

fn written(path: &str, capabilities: Capabilities, limits: Option<&Limits>) -> Remedy {
    let text = || {
        let limits = limits.map_or(Some(String::new()), Limits::written)?;
        let mut text = format!("path {} {{\n", quoted(path)?);
        if !capabilities.is_empty() {
            let words: Vec<String> = words(capabilities).iter().map(|word| format!("\"{word}\"")).collect();
            text.push_str(&format!("  capabilities = [{}]\n", words.join(", ")));
        }
        Some(format!("{text}{limits}}}\n"))
    };
    match text() {
        Some(rule) => Remedy { rule: Some(rule), change: None },
        None => instead("extend the rule that decided: what it says cannot be written in HCL"),
    }
}

fn instead(change: &str) -> Remedy {
    Remedy { rule: None, change: Some(change.into()) }
}

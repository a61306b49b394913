//! What is wrong with a policy though it can be read: rules that decide nothing, wildcards that are none, rights that cannot
//! be used, rights that are too many.
//!
//! A policy is looked at by itself: which others a token has beside it is not known. Rules that are right as they are and
//! only look odd are the author's own affair; each finding here is a rule that does not do what it says.

mod overlap;
mod versioned;

use std::sync::Arc;

use super::acl::Acl;
use super::document::{Policy, Rule};
use super::pattern::Pattern;
use super::sudo::only_sudo;
use super::template::AnyFacts;
use crate::base::{Capabilities, Path};

pub use versioned::Versioned;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing, as one word.
    pub kind: &'static str,
    /// The line of the rule.
    pub line: u32,
    /// The rule's path.
    pub path: String,
    /// What is wrong and what to do, without the path.
    pub text: String,
}

/// All that is wrong with a policy, by lines. Of which mounts are KV version 2, `versioned` tells.
pub fn lint(policy: &Policy, versioned: &Versioned) -> Vec<Finding> {
    let acl = Acl::compile(&[Arc::new(policy.clone())], &AnyFacts);
    let mut findings = Vec::new();
    for rule in policy.rules() {
        alone(rule, &mut findings);
        versioned.look(rule, &mut findings);
    }
    overlap::look(policy, &acl, &mut findings);
    findings.sort_by(|a, b| (a.line, a.kind).cmp(&(b.line, b.kind)));
    findings
}

impl Finding {
    fn new(kind: &'static str, rule: &Rule, text: impl Into<String>) -> Self {
        Self { kind, line: rule.span().line, path: rule.path().to_owned(), text: text.into() }
    }
}

/// What a rule shows by itself.
fn alone(rule: &Rule, findings: &mut Vec<Finding>) {
    let path = rule.path();
    let pattern = Pattern::new(path);
    let mut find = |kind, text: &str| findings.push(Finding::new(kind, rule, text));
    if rule.capabilities().is_empty() {
        find(
            "empty",
            "gives nothing, and hides what less specific rules give; to forbid it whatever else is given, say \"deny\"",
        );
    }
    let bare = path.strip_suffix('*').unwrap_or(path);
    if bare.contains('*') {
        find("wildcard", "\"*\" is a wildcard at the end only; elsewhere it is a plain character");
    }
    if rule.template().is_none() && bare.split('/').any(|segment| segment.contains('+') && segment != "+") {
        find("wildcard", "\"+\" is a wildcard as a whole segment only; here it is a plain character");
    }
    if path.starts_with("v1/") {
        find("unreachable", "paths of rules do not begin with \"v1/\"");
    } else if let Err(error) = Path::parse(bare) {
        find("unreachable", &format!("no request can have this path: {error}"));
    }
    let gives = rule.capabilities();
    if gives.has(Capabilities::SUDO) {
        if gives == Capabilities::SUDO {
            find("sudo", "\"sudo\" opens nothing by itself: it is asked for beside another capability");
        } else if is_broad(&pattern) {
            find("broad-sudo", "\"sudo\" on so much: name the paths that need it");
        }
    } else if !gives.is_empty() && !gives.has(Capabilities::DENY) && only_sudo(&pattern) {
        find("sudo", "every request to this path needs \"sudo\", which the rule does not give");
    }
}

/// Whether a wildcard comes before two whole segments are named.
fn is_broad(pattern: &Pattern) -> bool {
    let named = match pattern.first_plus() {
        Some(at) => &pattern.text()[..at],
        None if pattern.is_open() => pattern.text(),
        None => return false,
    };
    named.matches('/').count() < 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(&'static str, u32)> {
        let policy = Policy::parse("p", text).unwrap();
        lint(&policy, &Versioned::of(&[&policy], &[])).into_iter().map(|finding| (finding.kind, finding.line)).collect()
    }

    #[test]
    fn each_mistake_is_found_at_its_line() {
        for (text, kind) in [
            (r#"path "a" {}"#, "empty"),
            (r#"path "a/*/b" { capabilities = ["read"] }"#, "wildcard"),
            (r#"path "a/b+" { capabilities = ["read"] }"#, "wildcard"),
            (r#"path "v1/secret/a" { capabilities = ["read"] }"#, "unreachable"),
            (r#"path "a//b" { capabilities = ["read"] }"#, "unreachable"),
            (r#"path "a/../b" { capabilities = ["read"] }"#, "unreachable"),
            (r#"path "sys/seal" { capabilities = ["update"] }"#, "sudo"),
            (r#"path "sys/audit/file" { capabilities = ["delete"] }"#, "sudo"),
            (r#"path "sys/raw/+" { capabilities = ["read"] }"#, "sudo"),
            (r#"path "a" { capabilities = ["sudo"] }"#, "sudo"),
            (r#"path "*" { capabilities = ["read", "sudo"] }"#, "broad-sudo"),
            (r#"path "sys/*" { capabilities = ["update", "sudo"] }"#, "broad-sudo"),
            (r#"path "+/x" { capabilities = ["update", "sudo"] }"#, "broad-sudo"),
        ] {
            assert_eq!(found(&format!("\n{text}")), [(kind, 2)], "{text}");
        }
    }

    #[test]
    fn what_is_right_is_not_found() {
        for text in [
            r#"path "a/+/*" { capabilities = ["read"] }"#,
            r#"path "a" { capabilities = ["deny"] }"#,
            r#"path "sys/seal" { capabilities = ["update", "sudo"] }"#,
            r#"path "sys/seal" { capabilities = ["deny"] }"#,
            r#"path "sys/audit/*" { capabilities = ["update", "sudo"] }"#,
            r#"path "sys/*" { capabilities = ["read"] }"#,
            r#"path "a/{{identity.entity.metadata.a+b}}/*" { capabilities = ["read"] }"#,
        ] {
            assert_eq!(found(text), [], "{text}");
        }
        for builtin in [crate::policy::DEFAULT, crate::policy::RESPONSE_WRAPPING] {
            assert_eq!(found(builtin), []);
        }
    }
}

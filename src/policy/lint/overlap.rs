//! Rules of one policy that get into each other's way.

use std::collections::HashSet;

use super::Finding;
use crate::base::{Capabilities, Path};
use crate::policy::acl::{Acl, Merged};
use crate::policy::document::{Policy, Rule};
use crate::policy::pattern::Pattern;
use crate::policy::space;

/// Looks at all pairs of rules, and at which rules decide at all.
pub(super) fn look(policy: &Policy, acl: &Acl, findings: &mut Vec<Finding>) {
    let rule = |origin: &(u32, u32)| &policy.rules()[origin.1 as usize];
    for merged in &acl.rules {
        repeated(merged, &rule, findings);
    }
    let Some(deciding) = deciding(acl, findings, policy) else { return };
    for (number, merged) in (0u32..).zip(&acl.rules) {
        let Some(first) = merged.origins.first().map(rule) else { continue };
        // A path that cannot be asked for is told already.
        if Path::parse(merged.pattern.text()).is_err() {
            continue;
        }
        let lists = deciding.contains(&(number, true));
        if !deciding.contains(&(number, false)) && !lists {
            let by = outdoing(acl, merged).map(|by| format!(": {}", place(by, &rule))).unwrap_or_default();
            findings.push(Finding::new(
                "unreachable",
                first,
                format!("decides nothing, since more specific rules do{by}"),
            ));
            continue;
        }
        if merged.capabilities.has(Capabilities::LIST) && !lists {
            let text = "its \"list\" is never asked: a list has a slash behind its path, and another rule covers that";
            findings.push(Finding::new("unreachable", first, text));
        }
        for other in &acl.rules {
            if let Some(text) = shadowed(merged, other) {
                findings.push(Finding::new("shadowed", first, format!("{text} {}", place(other, &rule))));
            }
        }
    }
}

/// The same path more than once.
fn repeated<'a>(merged: &Merged, rule: &impl Fn(&(u32, u32)) -> &'a Rule, findings: &mut Vec<Finding>) {
    let rules: Vec<&Rule> = merged.origins.iter().map(rule).collect();
    for (at, second) in rules.iter().enumerate().skip(1) {
        let line = rules[0].span().line;
        let before = rules[..at].iter().fold(Capabilities::NONE, |all, rule| all.with(rule.capabilities()));
        let denies = |set: Capabilities| set.has(Capabilities::DENY);
        let text = if denies(before) != denies(second.capabilities()) {
            format!("the path of line {line} once more: the \"deny\" of one takes away what the other gives")
        } else if before.has(second.capabilities()) && rules[..at].iter().any(|rule| rule.limits() == second.limits()) {
            format!("says what line {line} says already")
        } else {
            format!("the path of line {line} once more: both count together, also in what they ask of parameters")
        };
        findings.push(Finding::new("duplicate", second, text));
    }
}

/// Which rules decide about anything: their number, and whether about a list.
fn deciding(acl: &Acl, findings: &mut Vec<Finding>, policy: &Policy) -> Option<HashSet<(u32, bool)>> {
    let patterns: Vec<&Pattern> = acl.rules.iter().map(|rule| &rule.pattern).collect();
    let mut deciding = HashSet::new();
    let walked = space::walk(&patterns, &mut |path| {
        let folder = path.clone().into_folder();
        for (path, list) in [(path, false), (&folder, false), (path, true)] {
            deciding.extend(acl.find(path.as_str(), list).map(|number| (number, list)));
        }
    });
    if let (Err(error), Some(rule)) = (walked, policy.rules().first()) {
        findings.push(Finding::new("unreachable", rule, format!("not looked for: {error}")));
        return None;
    }
    Some(deciding)
}

/// The rule that leaves nothing to another, if a single one does.
fn outdoing<'a>(acl: &'a Acl, rule: &Merged) -> Option<&'a Merged> {
    let outdoes =
        |other: &&Merged| other.pattern.contains(&rule.pattern) && other.pattern.priority(&rule.pattern).is_gt();
    acl.rules.iter().find(outdoes)
}

/// Where two rules cross, neither within the other, and `other` decides: what then does not hold of `rule`.
fn shadowed(rule: &Merged, other: &Merged) -> Option<&'static str> {
    let crossing = other.pattern.priority(&rule.pattern).is_gt()
        && !rule.pattern.contains(&other.pattern)
        && !other.pattern.contains(&rule.pattern)
        && rule.pattern.meet(&other.pattern).is_some();
    if !crossing {
        return None;
    }
    let denies = |rule: &Merged| rule.capabilities.has(Capabilities::DENY);
    match (denies(rule), denies(other)) {
        (true, true) | (false, true) => None,
        (true, false) if other.capabilities.is_empty() => None,
        (true, false) => Some("its \"deny\" does not hold where the more specific rule decides, at"),
        (false, false) if other.capabilities.has(rule.capabilities) => None,
        (false, false) => Some("what it gives is not given where the more specific rule decides, at"),
    }
}

fn place<'a>(merged: &Merged, rule: &impl Fn(&(u32, u32)) -> &'a Rule) -> String {
    let lines = merged.origins.first().map(rule).map(|rule| format!("line {}, \"{}\"", rule.span().line, rule.path()));
    lines.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;
    use crate::policy::lint::{Versioned, lint};

    fn found(rules: &[(&str, &str)]) -> Vec<(&'static str, u32, String)> {
        let text: String =
            rules.iter().map(|(path, words)| format!("path \"{path}\" {{ capabilities = [{words}] }}\n")).collect();
        let policy = Policy::parse("p", &text).unwrap();
        let findings = lint(&policy, &Versioned::default());
        findings.into_iter().map(|finding| (finding.kind, finding.line, finding.text)).collect()
    }

    fn kinds(rules: &[(&str, &str)]) -> Vec<(&'static str, u32)> {
        found(rules).into_iter().map(|(kind, line, _)| (kind, line)).collect()
    }

    const READ: &str = "\"read\"";
    const DENY: &str = "\"deny\"";

    #[test]
    fn a_rule_that_never_decides_is_found() {
        // Fewer "+" come first, so the narrower rule is never asked.
        assert_eq!(kinds(&[("a/+/b*", READ), ("a/+/b/+/c*", DENY)]), [("unreachable", 2)]);
        assert!(found(&[("a/+/b*", READ), ("a/+/b/+/c*", DENY)])[0].2.ends_with("line 1, \"a/+/b*\""));
        assert_eq!(kinds(&[("a/b", "\"read\", \"list\""), ("a/b/", "\"list\"")]), [("unreachable", 1)]);
        assert_eq!(kinds(&[("a/b", "\"list\""), ("a/b/", "\"list\"")]), [("unreachable", 1)]);
        // A list is asked with a slash behind it, and that only the first rule covers.
        assert_eq!(kinds(&[("a/*", READ), ("a/+/c", "\"read\", \"list\"")]), [("unreachable", 2)]);
    }

    #[test]
    fn a_rule_that_is_outdone_where_two_cross_is_found() {
        assert_eq!(kinds(&[("ci/+/production/*", DENY), ("ci/shop/*", READ)]), [("shadowed", 1)]);
        assert_eq!(kinds(&[("a/+/c", READ), ("a/b*", "\"list\"")]), [("shadowed", 1)]);
    }

    #[test]
    fn a_rule_and_its_exception_are_no_mistake() {
        for rules in [
            [("a/*", READ), ("a/b", DENY)],
            [("a/*", DENY), ("a/b", READ)],
            [("a/+/b", READ), ("a/c/b", DENY)],
            [("a/*", READ), ("a/+/c/", "\"list\"")],
            [("a/+/c", READ), ("a/b*", "\"read\", \"list\"")],
            [("a/+/c", READ), ("a/b*", DENY)],
            [("a", READ), ("a/", "\"list\"")],
            [("{{identity.entity.name}}/*", READ), ("a/*", "\"list\"")],
        ] {
            assert_eq!(kinds(&rules), [], "{rules:?}");
        }
    }

    #[test]
    fn a_path_that_is_there_twice_is_found() {
        for (second, text) in
            [(READ, "says what line 1 says already"), (DENY, "takes away"), ("\"list\"", "both count together")]
        {
            let found = found(&[("a", READ), ("/a", second)]);
            assert_eq!((found[0].0, found[0].1), ("duplicate", 2));
            assert!(found[0].2.contains(text), "{found:?}");
        }
    }
}

//! The mistake of KV version 2: a rule that names the secret as the command line does, without the `data/` of the API.

use std::collections::BTreeSet;

use super::Finding;
use crate::base::Capabilities;
use crate::policy::document::{Policy, Rule};

/// What may follow the mount in a path of KV version 2.
const WORDS: [&str; 7] = ["data", "metadata", "delete", "undelete", "destroy", "subkeys", "config"];

/// Mounts of KV version 2, each with its slash.
#[derive(Clone, Debug, Default)]
pub struct Versioned {
    known: BTreeSet<String>,
    likely: BTreeSet<String>,
}

impl Versioned {
    /// Those that are known, and those that some rule of these policies takes for one.
    pub fn of(policies: &[&Policy], known: &[String]) -> Self {
        let known = known.iter().map(|mount| format!("{}/", mount.trim_matches('/'))).collect();
        let rules = policies.iter().flat_map(|policy| policy.rules());
        Self { known, likely: rules.filter_map(|rule| mount_of(rule.path())).map(str::to_owned).collect() }
    }

    pub(super) fn look(&self, rule: &Rule, findings: &mut Vec<Finding>) {
        let path = rule.path();
        let Some((mount, sure)) = self.mount(path) else { return };
        let below = &path[mount.len()..];
        let (word, rest) = below.split_once('/').unwrap_or((below, ""));
        let is = if sure { "is" } else { "seems to be" };
        let lists = rule.capabilities().has(Capabilities::LIST);
        if is_plain(word) && !WORDS.contains(&word) {
            let words = if lists { "data/\" and \"metadata/" } else { "data/" };
            let text = format!("\"{mount}\" {is} KV version 2, whose paths go on with \"{words}\"");
            findings.push(Finding::new("kv2", rule, text));
        } else if word == "data" && rule.capabilities() == Capabilities::LIST {
            let text = format!("\"{mount}\" {is} KV version 2, which lists at \"{mount}metadata/{rest}\"");
            findings.push(Finding::new("kv2", rule, text));
        }
    }

    /// The longest mount that a path lies in, and whether it is one for sure.
    fn mount(&self, path: &str) -> Option<(&str, bool)> {
        let known = longest(&self.known, path).map(|mount| (mount, true));
        known.or_else(|| longest(&self.likely, path).map(|mount| (mount, false)))
    }
}

fn longest<'a>(mounts: &'a BTreeSet<String>, path: &str) -> Option<&'a str> {
    mounts.iter().filter(|mount| path.starts_with(mount.as_str())).map(String::as_str).max_by_key(|mount| mount.len())
}

/// The mount of a path that is spelled as those of KV version 2 are.
fn mount_of(path: &str) -> Option<&str> {
    let at = ["data/", "metadata/"].iter().filter_map(|word| path.find(&format!("/{word}"))).min()?;
    let mount = &path[..=at];
    let own = ["sys/", "auth/", "identity/", "cubbyhole/"].iter().any(|own| mount.starts_with(own));
    (!own && !mount.contains(['+', '*', '{'])).then_some(mount)
}

/// Whether a segment is a name and no wildcard, so that it can be the wrong one.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word != "+" && !word.ends_with('*') && !word.contains("{{")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::lint::lint;

    fn found(text: &str, known: &[&str]) -> Vec<(u32, String)> {
        let policy = Policy::parse("p", text).unwrap();
        let known: Vec<String> = known.iter().map(|mount| (*mount).to_owned()).collect();
        let findings = lint(&policy, &Versioned::of(&[&policy], &known));
        findings.into_iter().filter(|finding| finding.kind == "kv2").map(|f| (f.line, f.text)).collect()
    }

    #[test]
    fn the_missing_data_is_found_where_the_mount_is_known_or_shows_itself() {
        let rule = |path: &str, word: &str| format!("path \"{path}\" {{ capabilities = [\"{word}\"] }}\n");
        assert_eq!(found(&rule("secret/shop/*", "read"), &[]), []);
        let sure = found(&rule("secret/shop/*", "read"), &["secret"]);
        assert_eq!(sure, [(1, "\"secret/\" is KV version 2, whose paths go on with \"data/\"".into())]);
        let likely = found(&(rule("secret/data/a", "read") + &rule("secret/b", "list")), &[]);
        assert!(likely[0].1.contains("seems to be") && likely[0].1.contains("metadata/"), "{likely:?}");
        assert_eq!(found(&rule("secret/data/a/*", "list"), &["secret/"]).len(), 1);
        for right in [
            "secret/metadata/a/",
            "secret/*",
            "secret/+/a",
            "secret/config",
            "secret/destroy/a",
            "other/a",
            "secret/da*",
        ] {
            assert_eq!(found(&rule(right, "list"), &["secret"]), [], "{right}");
        }
    }
}

//! A second, slow evaluator, written from the description alone, and the comparison of the two.

use proptest::prelude::*;

use super::*;

/// What segments are made of.
const LETTERS: [&str; 3] = ["a", "b", "ab"];

/// A rule: its path and the words of its capabilities.
pub(super) type Given = (String, Vec<&'static str>);

/// What a document of these rules gives on a path: by looking at every rule.
pub(super) fn expected(rules: &[Given], path: &str, list: bool) -> Vec<&'static str> {
    let rule = if list { decide_list(rules, path.trim_end_matches('/')) } else { decide(rules, path) };
    rule.map_or(vec![], |path| words(rules, path))
}

/// All words of the rules with this very path; deny is alone.
pub(super) fn words(rules: &[Given], path: &str) -> Vec<&'static str> {
    let mut words: Vec<&str> = rules.iter().filter(|(p, _)| p == path).flat_map(|(_, words)| words.clone()).collect();
    words.sort_unstable();
    words.dedup();
    if words.contains(&"deny") { vec!["deny"] } else { words }
}

pub(super) fn decide<'a>(rules: &'a [Given], path: &str) -> Option<&'a str> {
    exact(rules, path).or_else(|| pattern(rules, path))
}

pub(super) fn decide_list<'a>(rules: &'a [Given], bare: &str) -> Option<&'a str> {
    let folder = format!("{bare}/");
    if let Some(rule) = exact(rules, &folder).or_else(|| exact(rules, bare)) {
        return Some(rule);
    }
    let first = pattern(rules, &folder);
    let second = pattern(rules, bare);
    match (first, second) {
        (Some(first), Some(second)) if words(rules, second) == ["deny"] && rank(second) > rank(first) => Some(second),
        (Some(first), _) => Some(first),
        (None, second) => second,
    }
}

fn exact<'a>(rules: &'a [Given], path: &str) -> Option<&'a str> {
    rules.iter().map(|(p, _)| p.as_str()).find(|p| *p == path && !is_wild(p))
}

fn pattern<'a>(rules: &'a [Given], path: &str) -> Option<&'a str> {
    let wild = rules.iter().map(|(p, _)| p.as_str()).filter(|p| is_wild(p));
    wild.filter(|p| fits(p, path)).max_by(|a, b| rank(a).cmp(&rank(b)))
}

fn is_wild(path: &str) -> bool {
    path.ends_with('*') || path.split('/').any(|segment| segment == "+")
}

/// Every way in which `*` and `+` can be read, tried in turn.
fn fits(pattern: &str, path: &str) -> bool {
    let wanted: Vec<&str> = pattern.split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    if let Some((last, before)) = wanted.split_last()
        && let Some(start) = last.strip_suffix('*')
    {
        return given.len() > before.len()
            && before.iter().zip(&given).all(|(w, g)| segment(w, g))
            && given[before.len()..].join("/").starts_with(start);
    }
    wanted.len() == given.len() && wanted.iter().zip(&given).all(|(w, g)| segment(w, g))
}

fn segment(wanted: &str, given: &str) -> bool {
    wanted == "+" || wanted == given
}

/// Greater comes first: later first wildcard, no star at the end, fewer pluses, longer, greater as text.
fn rank(path: &str) -> (usize, bool, usize, usize, &str) {
    let text = path.strip_suffix('*').unwrap_or(path);
    let starts: Vec<usize> = text
        .split('/')
        .scan(0, |at, segment| {
            let start = *at;
            *at += segment.len() + 1;
            Some((start, segment))
        })
        .filter(|(_, segment)| *segment == "+")
        .map(|(start, _)| start)
        .collect();
    let first = starts.first().copied().unwrap_or(text.len());
    (first, !path.ends_with('*'), 1000 - starts.len(), text.len(), text)
}

fn rules() -> impl Strategy<Value = Vec<Given>> {
    let segment = || proptest::sample::select(vec!["a", "b", "ab", "+", "+", "a+"]);
    let end = proptest::sample::select(vec!["", "", "/", "/*", "*"]);
    let path = (proptest::collection::vec(segment(), 0..4), end).prop_map(|(segments, end)| {
        let path = format!("{}{end}", segments.join("/"));
        if path.contains("+*") { path.replace("+*", "a*") } else { path.trim_start_matches('/').to_owned() }
    });
    let word = proptest::sample::select(vec!["read", "list", "update", "create", "sudo", "deny", "read", "list"]);
    proptest::collection::vec((path, proptest::collection::vec(word, 0..3)), 0..10)
}

fn document(rules: &[Given]) -> String {
    rules.iter().map(|(path, words)| format!("path \"{path}\" {{ capabilities = {words:?} }}\n")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_two_evaluators_agree(rules in rules(), split in 0usize..10) {
        let split = split.min(rules.len());
        let acl = acl_of(&[&document(&rules[..split]), &document(&rules[split..])]);
        for text in paths(&LETTERS, 3) {
            let at = path(&text);
            for (operation, creates, word) in [
                (Operation::Read, false, "read"),
                (Operation::List, false, "list"),
                (Operation::Update, false, "update"),
                (Operation::Update, true, "create"),
            ] {
                let words = expected(&rules, &text, operation == Operation::List);
                for sudo in [false, true] {
                    let query = Query { creates, sudo, ..Query::new(operation, &at) };
                    let wanted = words.contains(&word) && (!sudo || words.contains(&"sudo"));
                    prop_assert_eq!(acl.check(&query).is_allowed(), wanted, "{} {} in\n{}", operation, text, document(&rules));
                }
            }
            let mut words = expected(&rules, &text, text.ends_with('/'));
            if words.is_empty() {
                words.push("deny");
            }
            prop_assert_eq!(acl.capabilities(&text), words, "{} in\n{}", text, document(&rules));
        }
    }

    #[test]
    fn a_slash_changes_no_list_and_an_added_deny_only_takes_away(rules in rules(), at in 0usize..39) {
        let text = paths(&LETTERS, 3).swap_remove(at);
        let bare = path(text.trim_end_matches('/'));
        let folder = bare.clone().into_folder();
        let acl = acl(&document(&rules));
        let verdict = |acl: &Acl, path: &Path| acl.check(&Query::new(Operation::List, path)).is_allowed();
        prop_assert_eq!(verdict(&acl, &bare), verdict(&acl, &folder));
        for denied in [bare.as_str(), folder.as_str()] {
            let mut more = rules.clone();
            more.push((denied.to_owned(), vec!["deny"]));
            let denying = super::acl(&document(&more));
            // Unless the folder has a rule of its own in the other spelling, the deny decides.
            let other = if denied.ends_with('/') { bare.as_str() } else { folder.as_str() };
            if denied.ends_with('/') || !rules.iter().any(|(path, _)| path == other) {
                prop_assert!(!verdict(&denying, &bare) && !verdict(&denying, &folder));
            }
        }
    }

    #[test]
    fn arbitrary_policies_never_panic(text in "\\PC{0,60}", at in "[a-z/+*]{0,10}") {
        if let Ok(parsed) = Policy::parse("p", &text) {
            let acl = Acl::compile(&[Arc::new(parsed)], &NoFacts);
            let _ = (acl.capabilities(&at), acl.may_see_mount(&at));
        }
    }
}

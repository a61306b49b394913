//! Very many random cases against the second evaluator, parameters and wrapping included; and plans against brute force.
//!
//! How many, `WARIFU_CASES` says; without it one in a hundred of the million.

use std::collections::BTreeMap;

use super::reference::{Given, decide, decide_list, expected, words};
use super::*;

const ORDINARY: usize = 10_000;

fn cases() -> usize {
    std::env::var("WARIFU_CASES").ok().map_or(ORDINARY, |text| text.parse().expect("WARIFU_CASES is a number"))
}

/// A sequence of numbers that look random, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % sides as u64) as usize
    }

    fn of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.roll(items.len())].clone()
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.roll(one_in) == 0
    }
}

const WORDS: [&str; 8] = ["create", "read", "update", "patch", "delete", "list", "sudo", "deny"];
const NAMES: [&str; 4] = ["a", "B", "c", "*"];
/// Values as policies and as bodies write them: the same in HCL and JSON.
const VALUES: [&str; 12] =
    ["\"x\"", "\"xy\"", "\"x*\"", "\"*y\"", "\"*x*\"", "\"*\"", "\"5\"", "\"true\"", "5", "6", "true", "false"];
const GIVEN: [&str; 18] = [
    "\"x\"",
    "\"xy\"",
    "\"yx\"",
    "\"*\"",
    "\"5\"",
    "\" 5 \"",
    "\"true\"",
    "\"1\"",
    "5",
    "5.0",
    "1",
    "true",
    "false",
    "null",
    "[\"x\"]",
    "[\"x\", \"zz\"]",
    "[]",
    "{\"x\": \"x\"}",
];

/// The limits of one rule: names with values, as they are written.
#[derive(Clone, Debug, Default, PartialEq)]
struct Limited {
    allowed: Vec<(&'static str, Vec<&'static str>)>,
    denied: Vec<(&'static str, Vec<&'static str>)>,
    required: Vec<&'static str>,
    min: u64,
    max: u64,
}

#[derive(Clone, Debug)]
struct Drawn {
    path: String,
    words: Vec<&'static str>,
    limited: Limited,
}

impl Drawn {
    fn draw(dice: &mut Dice, segments: &[&str], longest: usize) -> Self {
        let parts: Vec<&str> = (0..dice.roll(longest + 1)).map(|_| dice.of(segments)).collect();
        let path = format!("{}{}", parts.join("/"), dice.of(&["", "", "/", "/*", "*"]));
        let path = path.trim_start_matches('/').replace("+*", "a*");
        let words = (0..dice.roll(5)).map(|_| if dice.chance(6) { "deny" } else { dice.of(&WORDS[..7]) }).collect();
        let limited = if dice.chance(3) { Limited::draw(dice) } else { Limited::default() };
        Self { path, words, limited }
    }

    fn written(&self) -> String {
        let mut text = format!("path \"{}\" {{\n  capabilities = {:?}\n", self.path, self.words);
        let limited = &self.limited;
        for (word, pairs) in [("allowed_parameters", &limited.allowed), ("denied_parameters", &limited.denied)] {
            if !pairs.is_empty() {
                let pairs: Vec<String> =
                    pairs.iter().map(|(name, values)| format!("\"{name}\" = [{}]", values.join(", "))).collect();
                text += &format!("  {word} = {{ {} }}\n", pairs.join("\n    "));
            }
        }
        if !limited.required.is_empty() {
            text += &format!("  required_parameters = {:?}\n", limited.required);
        }
        for (word, ttl) in [("min", limited.min), ("max", limited.max)] {
            if ttl > 0 {
                text += &format!("  {word}_wrapping_ttl = {ttl}\n");
            }
        }
        text + "}\n"
    }
}

impl Limited {
    fn draw(dice: &mut Dice) -> Self {
        let mut limited = Self::default();
        for one in [&mut limited.allowed, &mut limited.denied] {
            if dice.chance(2) {
                continue;
            }
            for name in NAMES {
                if dice.chance(3) {
                    one.push((name, (0..dice.roll(3)).map(|_| dice.of(&VALUES)).collect()));
                }
            }
        }
        if dice.chance(4) {
            limited.required = (0..dice.roll(3)).map(|_| dice.of(&NAMES[..3])).collect();
        }
        if dice.chance(4) {
            (limited.min, limited.max) = dice.of(&[(10, 0), (0, 60), (10, 60), (60, 60)]);
        }
        limited
    }
}

fn document(rules: &[Drawn]) -> String {
    rules.iter().map(Drawn::written).collect()
}

fn given(rules: &[Drawn]) -> Vec<Given> {
    rules.iter().map(|rule| (rule.path.clone(), rule.words.clone())).collect()
}

/// A set of one to three policies.
fn set(dice: &mut Dice, segments: &[&str], longest: usize) -> Vec<Vec<Drawn>> {
    (0..1 + dice.roll(3)).map(|_| (0..dice.roll(5)).map(|_| Drawn::draw(dice, segments, longest)).collect()).collect()
}

fn compiled(set: &[Vec<Drawn>]) -> Acl {
    let texts: Vec<String> = set.iter().map(|rules| document(rules)).collect();
    acl_of(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Whether the rules with this path let a request pass that has the capability.
fn limits_admit(rules: &[Drawn], path: &str, list_or_delete: bool, body: &[(String, &str)], wrap: Option<u64>) -> bool {
    let limits: Vec<&Limited> = rules.iter().filter(|rule| rule.path == path).map(|rule| &rule.limited).collect();
    let least = |ttl: fn(&Limited) -> u64| limits.iter().map(|limited| ttl(limited)).filter(|ttl| *ttl > 0).min();
    let (min, max) = (least(|limited| limited.min), least(|limited| limited.max));
    if min.is_some() || max.is_some() {
        let wrap = wrap.unwrap_or(0);
        if wrap == 0
            || wrap < min.unwrap_or(0)
            || wrap > max.unwrap_or(u64::MAX)
            || max.is_some_and(|max| max < min.unwrap_or(0))
        {
            return false;
        }
    }
    if list_or_delete {
        return true;
    }
    let sent = |name: &str| body.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name));
    if limits.iter().flat_map(|limited| &limited.required).any(|name| !sent(name)) {
        return false;
    }
    let denied: Vec<_> = limits.iter().flat_map(|limited| &limited.denied).collect();
    let allowed: Vec<_> = limits.iter().flat_map(|limited| &limited.allowed).collect();
    body.iter().all(|(name, value)| {
        let value = Json::parse(value.as_bytes()).unwrap();
        let of = |pairs: &[&(&'static str, Vec<&'static str>)], name: &str| -> Option<Vec<&'static str>> {
            let found: Vec<_> = pairs.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).collect();
            let any = found.iter().any(|(_, values)| values.is_empty());
            (!found.is_empty())
                .then(|| if any { vec![] } else { found.iter().flat_map(|(_, values)| values.clone()).collect() })
        };
        if of(&denied, "*").is_some() {
            return false;
        }
        if of(&denied, name)
            .is_some_and(|values| values.is_empty() || values.iter().any(|wanted| concerns(wanted, &value)))
        {
            return false;
        }
        if allowed.is_empty() {
            return true;
        }
        of(&allowed, name)
            .or_else(|| of(&allowed, "*"))
            .is_some_and(|values| values.is_empty() || fits(&values, &value))
    })
}

/// Whether a value is among those allowed: of the same type, and each element of a list that has some.
fn fits(wanted: &[&str], value: &Json) -> bool {
    match value {
        Json::Array(items) => !items.is_empty() && items.iter().all(|item| fits(wanted, item)),
        Json::String(text) => wanted.iter().any(|one| one.starts_with('"') && like(one.trim_matches('"'), text)),
        Json::Number(number) => {
            wanted.iter().any(|one| one.parse::<f64>().is_ok_and(|one| number.parse::<f64>().unwrap() == one))
        }
        Json::Bool(value) => wanted.contains(&if *value { "true" } else { "false" }),
        Json::Null | Json::Object(_) => false,
    }
}

/// Whether a denied value concerns this one, whatever its type and however deep in lists.
fn concerns(wanted: &str, value: &Json) -> bool {
    let bare = wanted.trim_matches('"');
    let as_text = |text: &str| match wanted {
        "true" => ["1", "t", "T", "true", "TRUE", "True"].contains(&text),
        "false" => ["0", "f", "F", "false", "FALSE", "False"].contains(&text),
        _ if wanted.starts_with('"') => like(bare, text),
        _ => text.trim().parse::<f64>().is_ok_and(|number| number == bare.parse::<f64>().unwrap()),
    };
    match value {
        Json::Array(items) => items.iter().any(|item| concerns(wanted, item)),
        Json::String(text) => as_text(text),
        Json::Number(number) => as_text(number),
        Json::Bool(value) if wanted.starts_with('"') => like(bare, if *value { "true" } else { "false" }),
        Json::Bool(value) => bare == if *value { "true" } else { "false" },
        Json::Null | Json::Object(_) => false,
    }
}

/// A text like a value with stars at its ends; one star by itself is a star.
fn like(pattern: &str, text: &str) -> bool {
    match pattern {
        "x*" => text.starts_with('x'),
        "*y" => text.ends_with('y'),
        "*x*" => text.contains('x'),
        other => other == text,
    }
}

const OPERATIONS: [(&str, Operation, bool); 6] = [
    ("create", Operation::Update, true),
    ("read", Operation::Read, false),
    ("update", Operation::Update, false),
    ("patch", Operation::Patch, false),
    ("delete", Operation::Delete, false),
    ("list", Operation::List, false),
];

#[test]
fn enforcement_and_explain_agree_with_the_second_evaluator() {
    let mut dice = Dice(1);
    let (mut allowed_cases, cases) = (0, cases());
    for case in 0..cases {
        let set = set(&mut dice, &["a", "b", "ab", "+", "+", "a+"], 3);
        let rules: Vec<Drawn> = set.concat();
        let acl = compiled(&set);
        let segments: Vec<&str> = (0..1 + dice.roll(4)).map(|_| dice.of(&["a", "b", "ab", "abc"])).collect();
        let text = segments.join("/") + dice.of(&["", "", "/"]);
        let (word, operation, creates) = dice.of(&OPERATIONS);
        let list = operation == Operation::List;
        let sudo = dice.chance(5);
        let wrap = dice.of(&[None, None, Some(0), Some(5), Some(30), Some(60), Some(90)]);
        let mut names = vec!["a", "A", "b", "c", "d"];
        let body: Vec<(String, &str)> =
            (0..dice.roll(4)).map(|_| (names.remove(dice.roll(names.len())).to_owned(), dice.of(&GIVEN))).collect();

        let rule = if list { decide_list_of(&rules, &text) } else { decide_of(&rules, &text) };
        let has = |word: &str| rule.as_ref().is_some_and(|path| words(&given(&rules), path).contains(&word));
        let wanted = has(word)
            && (!sudo || has("sudo"))
            && limits_admit(
                &rules,
                rule.as_deref().unwrap(),
                matches!(operation, Operation::List | Operation::Delete),
                &body,
                wrap,
            );

        let at = path(&text);
        let parameters =
            body.iter().map(|(name, value)| (name.clone(), Json::parse(value.as_bytes()).unwrap())).collect();
        let wrap_ttl = wrap.map(Ttl::from_seconds);
        let query =
            Query { creates, sudo, parameters: Some(&parameters), wrap: wrap_ttl, ..Query::new(operation, &at) };
        let told = || format!("case {case}: {word} {text} sudo {sudo} wrap {wrap:?} {body:?} in\n{}", document(&rules));
        assert_eq!(acl.check(&query).is_allowed(), wanted, "{}", told());
        allowed_cases += usize::from(wanted);

        // `explain` names the same verdict for the same reason, and the rule that decides.
        let explained = acl.explain(&query);
        let reason = match acl.check(&query) {
            Decision::Allow(_) => None,
            Decision::Deny(denial) => Some(denial.reason()),
        };
        assert_eq!(explained.reason, reason, "{}", told());
        assert_eq!(explained.rule.map(|rule| rule.path), rule, "{}", told());
        // A rule that it proposes is enough.
        if let Some(rule) = acl.remedy(&query).rule {
            let mut texts: Vec<String> = set.iter().map(|rules| document(rules)).collect();
            texts.push(rule.clone());
            let more = acl_of(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            assert!(more.check(&query).is_allowed(), "{rule} is not enough for {}", told());
        }
    }
    assert!(allowed_cases * 50 > cases, "only {allowed_cases} of {cases} were allowed: the cases say little");
}

fn decide_of(rules: &[Drawn], path: &str) -> Option<String> {
    decide(&given(rules), path).map(str::to_owned)
}

fn decide_list_of(rules: &[Drawn], path: &str) -> Option<String> {
    decide_list(&given(rules), path.trim_end_matches('/')).map(str::to_owned)
}

/// What a set gives in effect: `sudo` counts beside something that it is for.
fn effect(rules: &[Given], path: &str, list: bool) -> Vec<&'static str> {
    let mut words = expected(rules, path, list);
    words.retain(|word| *word != "deny" && (*word == "list") == list || *word == "sudo");
    if words == ["sudo"] { vec![] } else { words }
}

#[test]
fn plans_agree_with_brute_force() {
    let mut dice = Dice(2);
    let (mut differing, pairs) = (0, cases() / 100);
    for pair in 0..pairs {
        let old = set(&mut dice, &["a", "b", "+"], 2);
        let mut new = old.clone();
        for _ in 0..1 + dice.roll(3) {
            let at = dice.roll(new.len());
            match dice.roll(3) {
                0 => drop(new[at].pop()),
                1 => new[at].push(Drawn::draw(&mut dice, &["a", "b", "+"], 2)),
                _ => new[at].iter_mut().take(1).for_each(|rule| rule.limited = Limited::draw(&mut dice)),
            }
        }
        let (before, after) = (compiled(&old), compiled(&new));
        let (old, new) = (old.concat(), new.concat());
        let (old_given, new_given) = (given(&old), given(&new));
        let told = || format!("pair {pair}:\n{}and\n{}", document(&old), document(&new));
        let differences = compare(&before, &after, Scope::Set).unwrap();
        differing += usize::from(!differences.is_empty());

        type Key = (Option<String>, Option<String>);
        let mut brute: BTreeMap<Key, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
        let mut limits: Vec<Key> = Vec::new();
        for text in paths(&["a", "b", "az", "bz", "z"], 3) {
            for list in [false, true] {
                let rule = |rules: &[Drawn]| if list { decide_list_of(rules, &text) } else { decide_of(rules, &text) };
                let key = (rule(&old), rule(&new));
                let (had, has) = (effect(&old_given, &text, list), effect(&new_given, &text, list));
                let only = |these: &[&'static str], those: &[&str]| -> Vec<&'static str> {
                    these.iter().filter(|word| !those.contains(word)).copied().collect()
                };
                let (gains, loses) = (only(&has, &had), only(&had, &has));
                if !gains.is_empty() || !loses.is_empty() {
                    let entry = brute.entry(key.clone()).or_default();
                    entry.0.extend(gains);
                    entry.1.extend(loses);
                }
                // One request with random parameters: if it is decided otherwise with the same capabilities, the limits differ.
                let (word, operation, creates) = if list { OPERATIONS[5] } else { OPERATIONS[dice.roll(5)] };
                if had.contains(&word) && has.contains(&word) {
                    let name = dice.of(&["a", "b", "c"]);
                    let body = BTreeMap::from([(name.to_owned(), Json::parse(dice.of(&GIVEN).as_bytes()).unwrap())]);
                    let wrap = dice.of(&[None, Some(30)]).map(Ttl::from_seconds);
                    let at = path(&text);
                    let query = Query { creates, parameters: Some(&body), wrap, ..Query::new(operation, &at) };
                    if before.check(&query).is_allowed() != after.check(&query).is_allowed() {
                        limits.push(key);
                    }
                }
            }
        }
        let mut planned: BTreeMap<Key, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
        for one in &differences {
            let path = |rule: &Option<RuleView<'_>>| rule.as_ref().map(|rule| rule.path.clone());
            let key = (path(&one.before), path(&one.after));
            if !one.gains.is_empty() || !one.loses.is_empty() {
                planned.insert(key.clone(), (one.gains.clone(), one.loses.clone()));
            }
            limits.retain(|found| *found != key || one.limits.is_none());
        }
        for (gains, loses) in brute.values_mut() {
            for words in [gains, loses] {
                words.sort_unstable();
                words.dedup();
            }
        }
        assert_eq!(planned, brute, "{}", told());
        assert!(limits.is_empty(), "no limits are told of {limits:?} in {}", told());
    }
    assert!(differing * 3 > pairs, "only {differing} of {pairs} pairs differ: the pairs say little");
}

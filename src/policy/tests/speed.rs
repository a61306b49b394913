//! What a check and a plan cost. Measurements, not promises of every run: `scripts/bench --only policy`.
#![expect(clippy::disallowed_methods, reason = "a measurement looks at the clock")]

use std::time::{Duration, Instant};

use super::*;

/// A policy of fifty rules, as a team's would be: exact paths, prefixes, some with a `+`.
fn text(team: usize, word: &str) -> String {
    let path = |n: usize| match n % 10 {
        0..5 => format!("secret/data/team-{team}/service-{n}/database"),
        5..8 => format!("secret/data/team-{team}/service-{n}/*"),
        8 => format!("secret/metadata/team-{team}/+/service-{n}/*"),
        _ => format!("auth/team-{team}/role/+/secret-{n}"),
    };
    (0..50).map(|n| format!("path \"{}\" {{ capabilities = [\"{word}\", \"list\"] }}\n", path(n))).collect()
}

fn of(count: usize, word: &str) -> Vec<Arc<Policy>> {
    (0..count).map(|team| policy(&format!("team-{team}"), &text(team, word))).collect()
}

/// The shortest of many times: what the machine does beside is not what is measured.
fn shortest(rounds: usize, mut what: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        what();
        start.elapsed()
    };
    (0..rounds).map(time).min().unwrap()
}

#[test]
#[ignore = "a measurement"]
fn a_check_with_100_policies_of_50_rules() {
    let acl = Acl::compile(&of(100, "read"), &NoFacts);
    let paths: Vec<Path> = (0..100)
        .flat_map(|team| {
            [
                format!("secret/data/team-{team}/service-3/database"),
                format!("secret/data/team-{team}/service-6/a/b"),
                format!("secret/metadata/team-{team}/eu/service-8/a"),
                format!("auth/team-{team}/role/shop/secret-9"),
                format!("secret/data/team-{team}/nobody/knows/this"),
            ]
        })
        .map(|text| path(&text))
        .collect();
    for operation in [Operation::Read, Operation::List] {
        let mut allowed = 0;
        let time = shortest(200, || {
            allowed = paths.iter().filter(|path| acl.check(&Query::new(operation, path)).is_allowed()).count();
        });
        assert_eq!(allowed, paths.len() * 4 / 5);
        let each = time.as_nanos() as f64 / paths.len() as f64 / 1000.0;
        println!("bench policy check, {operation}: {each:.3} µs (goal: below 2)");
    }
}

#[test]
#[ignore = "a measurement"]
fn a_plan_of_500_policies() {
    let mut differences = 0;
    let time = shortest(3, || {
        differences = 0;
        for (before, after) in of(500, "read").into_iter().zip(of(500, "update")) {
            let (before, after) = (Acl::compile(&[before], &AnyFacts), Acl::compile(&[after], &AnyFacts));
            differences += compare(&before, &after, Scope::Policy).unwrap().len();
        }
    });
    assert!(differences >= 500 * 50, "{differences}");
    println!("bench policy plan, 500 policies of 50 rules, all changed: {:.3} s (goal: below 1)", time.as_secs_f64());
}

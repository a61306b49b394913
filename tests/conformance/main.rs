//! Replays recorded request scenarios against the server and holds its answers against the recordings.
//!
//! `cargo test --test conformance -- --help` lists the options.

#![expect(clippy::disallowed_methods, reason = "the runner stands outside of the server: it waits in real time")]

mod arguments;
mod compare;
mod facts;
mod http;
mod local;
mod postgres;
mod report;
mod run;
mod scenario;
mod scope;
mod selftest;
mod server;
mod step;
mod tool;
mod values;
mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use arguments::{Arguments, Mode};
use run::Target;
use scenario::Scenario;
use scope::Scope;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n\n{}", arguments::HELP);
            return ExitCode::from(2);
        }
    };
    if arguments.mode == Mode::Help {
        println!("{}", arguments::HELP);
        return ExitCode::SUCCESS;
    }
    match conform(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn conform(arguments: &Arguments) -> Result<bool, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let all = scenario::load(&here.join("data/open"))?;
    if arguments.mode == Mode::List {
        for scenario in all.iter().filter(|scenario| arguments.selects(scenario)) {
            println!("{}: test", scenario.id());
        }
        return Ok(true);
    }
    let checks = selftest::run(&all)?;
    println!("self-test: {checks} checks passed");
    if arguments.mode == Mode::SelfTest {
        return Ok(true);
    }
    let list = std::fs::read_to_string(here.join("scope.toml")).map_err(|e| format!("scope.toml: {e}"))?;
    let scope = Scope::parse(&list, &all).map_err(|e| format!("scope.toml: {e}"))?;
    replay(arguments, all, &scope)
}

fn replay(arguments: &Arguments, all: Vec<Scenario>, scope: &Scope) -> Result<bool, String> {
    let started = Instant::now();
    let mut declined: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut scenarios = Vec::new();
    for scenario in all.into_iter().filter(|scenario| arguments.selects(scenario)) {
        match scope.area(&scenario.area) {
            Some(reason) if !arguments.areas.contains(&scenario.area) => {
                declined.entry(scenario.area).or_insert_with(|| (0, reason.to_owned())).0 += 1;
            }
            _ => scenarios.push(scenario),
        }
    }
    // A filter of `cargo test` that means other tests is no mistake; a name given by an option is.
    let is_named = !arguments.areas.is_empty() || !arguments.names.is_empty();
    if scenarios.is_empty() && declined.is_empty() && is_named {
        return Err("no scenario has this name or area".to_owned());
    }
    let folder = tempfile::Builder::new().prefix("conformance-").tempdir().map_err(|e| e.to_string())?;
    let target = match &arguments.addr {
        Some(url) => Target::Running { url: url.clone(), token: arguments.token.clone() },
        None => {
            let program = arguments.server.clone();
            let program = program.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_warifu")));
            // The server runs in a folder of its own, from where a relative path would lead elsewhere.
            Target::Program(std::path::absolute(program).map_err(|e| format!("--server: {e}"))?)
        }
    };
    let verdicts = run::run(&scenarios, scope, &target, arguments.jobs, folder.path());
    report::failures(&scenarios, &verdicts, arguments.max_fail, arguments.verbose);
    let count = report::table(&scenarios, &verdicts, &declined);
    if let Some(file) = &arguments.json {
        let result = report::json(&scenarios, &verdicts, started.elapsed().as_secs_f64());
        let text = serde_json::to_string_pretty(&result).map_err(|e| e.to_string())?;
        std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    println!("time {:.1} s", started.elapsed().as_secs_f64());
    if arguments.keep {
        println!("kept: {}", folder.keep().display());
    }
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped);
    Ok(count.failed == 0)
}

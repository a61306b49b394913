//! Which scenarios share a server, and how several servers run side by side.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::postgres::Database;
use crate::scenario::{Needs, Scenario};
use crate::scope::Scope;
use crate::server::Server;
use crate::step::{Outcome, judge, perform};
use crate::verdict::{StepResult, Verdict, settle};

/// Where the server under test comes from.
pub enum Target {
    /// An executable, started as often as needed.
    Program(PathBuf),
    /// A server which already runs.
    Running { url: String, token: Option<String> },
}

/// Runs the scenarios on up to `jobs` servers side by side; a verdict for each, by `area/name`.
pub fn run(
    scenarios: &[Scenario],
    scope: &Scope,
    target: &Target,
    jobs: usize,
    folder: &Path,
) -> BTreeMap<String, Verdict> {
    let jobs = if matches!(target, Target::Running { .. }) { 1 } else { jobs.max(1) };
    let todo = Mutex::new(groups(scenarios));
    let verdicts = Mutex::new(BTreeMap::new());
    let database = Database::new(folder);
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).pop();
    std::thread::scope(|threads| {
        for _ in 0..jobs {
            threads.spawn(|| {
                while let Some(group) = next() {
                    // A panic is a bug of the runner; it must not take the other groups with it.
                    let done = catch_unwind(AssertUnwindSafe(|| run_group(&group, scope, target, folder, &database)));
                    let done = done.unwrap_or_else(|_| fail_all(&group, scope, "the runner panicked"));
                    verdicts.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
                }
            });
        }
    });
    verdicts.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Scenarios by server: those of an area together, save those that want a server for themselves. The longest come last,
/// where they are taken first.
fn groups(scenarios: &[Scenario]) -> Vec<Vec<&Scenario>> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Scenario>> = BTreeMap::new();
    for scenario in scenarios {
        let own = if scenario.is_alone() { scenario.name.as_str() } else { "" };
        groups.entry((&scenario.area, own)).or_default().push(scenario);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| group.iter().map(|scenario| scenario.steps.len()).sum::<usize>());
    groups
}

type Verdicts = Vec<(String, Verdict)>;

fn fail_all(group: &[&Scenario], scope: &Scope, reason: &str) -> Verdicts {
    let fail = |scenario: &&Scenario| {
        let step = |step| StepResult::new(step, &Outcome::failed(step, reason.to_owned()), Err(reason.to_owned()));
        let results = scenario.steps.iter().filter(|step| !step.uncounted).map(step).collect();
        (scenario.id(), settle(scenario, results, scope))
    };
    group.iter().map(fail).collect()
}

fn run_group(group: &[&Scenario], scope: &Scope, target: &Target, folder: &Path, database: &Database) -> Verdicts {
    let Some(first) = group.first() else { return Vec::new() };
    let own = if first.is_alone() { first.name.as_str() } else { "shared" };
    let folder = folder.join(format!("{}-{own}", first.area));
    let skip = |reason: &str| group.iter().map(|s| (s.id(), Verdict::Skipped(reason.to_owned()))).collect();
    if matches!(target, Target::Running { .. }) && first.is_alone() {
        return skip("needs its own server");
    }
    let mut server = match serve(target, &first.server, &folder) {
        Ok(server) => server,
        Err(reason) => return fail_all(group, scope, &reason),
    };
    group.iter().map(|scenario| (scenario.id(), run_scenario(scenario, scope, &mut server, database))).collect()
}

fn serve(target: &Target, needs: &Needs, folder: &Path) -> Result<Server, String> {
    std::fs::create_dir(folder).map_err(|e| format!("folder for the server: {e}"))?;
    let program = match target {
        Target::Running { url, token } => return Server::running(url, token.as_deref(), folder.to_owned()),
        Target::Program(program) => program,
    };
    let mut server = Server::prepare(program, folder.to_owned(), needs)?;
    server.start()?;
    if !needs.fresh {
        server.init().map_err(|e| format!("not initialised and unsealed: {e}{}", server.log_tail()))?;
    }
    Ok(server)
}

fn run_scenario(scenario: &Scenario, scope: &Scope, server: &mut Server, database: &Database) -> Verdict {
    let mut vars = server.vars();
    if scenario.server.postgres {
        match database.port() {
            Ok(port) => vars.insert("pg_port".to_owned(), port.to_string().into()),
            Err(reason) => return Verdict::Skipped(format!("no PostgreSQL: {reason}")),
        };
    }
    let mut results = Vec::new();
    for step in &scenario.steps {
        let outcome = if !server.is_alive() && step.action != "RESTART" {
            let reason = format!("the server process ended{}", server.log_tail());
            // The next steps say by themselves that a server newly started is sealed or gone.
            let _ = server.start();
            Outcome::failed(step, reason)
        } else {
            perform(server, step, &mut vars)
        };
        if !step.uncounted {
            let judged = judge(step, &outcome);
            results.push(StepResult::new(step, &outcome, judged));
        }
    }
    settle(scenario, results, scope)
}

//! `policy test`: the assertions beside the policies of a directory, decided as the server would decide.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use serde_json::{Value, json};

use super::directory;
use crate::{
    cli::{
        context::Cx,
        failure::{Failure, Outcome},
    },
    policy::{DEFAULT, Policy, assertions},
};

/// Check what the files in DIR/tests say that somebody can and cannot do.
/// Codes: 0 all of it holds, 1 a file cannot be read, 2 something does not hold.
#[derive(Args, Debug)]
pub struct Test {
    /// The directory of the policies.
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
}

impl Test {
    pub fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let mut policies = directory::parsed(&directory::read(&self.folder)?)?;
        let mut untested: BTreeSet<String> = policies.keys().cloned().collect();
        if !policies.contains_key("default") {
            let default = Policy::parse("default", DEFAULT).map_err(|err| Failure::Local(err.to_string()))?;
            policies.insert("default".into(), Arc::new(default));
        }
        let (mut count, mut failures) = (0, Vec::new());
        for (file, assertions) in read(&self.folder)? {
            for name in assertions.policies() {
                untested.remove(name);
            }
            let outcomes = assertions.run(&policies).map_err(|name| {
                Failure::Local(format!("{file}: no policy \"{name}\" is in \"{}\"", self.folder.display()))
            })?;
            count += outcomes.len();
            failures.extend(
                outcomes.into_iter().filter(|outcome| outcome.failure.is_some()).map(|one| (file.clone(), one)),
            );
        }
        if !cx.is_table() {
            let failures: Vec<Value> = failures
                .iter()
                .map(|(file, one)| {
                    json!({"file": file, "line": one.line, "test": one.test, "says": one.says, "failure": one.failure})
                })
                .collect();
            cx.value(&json!({"assertions": count, "failures": failures, "untested": untested}))?;
        } else {
            for (file, one) in &failures {
                let why = one.failure.as_deref().unwrap_or_default();
                cx.say(&format!("{file}:{}: {}: {}, but {why}", one.line, one.test, one.says))?;
            }
            for name in &untested {
                cx.warn(&format!("no assertion is about the policy \"{name}\""))?;
            }
            match failures.len() {
                0 => cx.success(&format!("All {count} assertions hold"))?,
                some => cx.say(&format!("{some} of {count} assertions do not hold"))?,
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(Failure::Exit(2)) }
    }
}

/// The files of assertions beside a directory's policies. A directory without any is an error: it would pass always.
pub fn read(folder: &Path) -> Outcome<Vec<(String, assertions::Assertions)>> {
    let tests = folder.join("tests");
    let files = if tests.is_dir() { directory::files(&tests)? } else { Vec::new() };
    if files.is_empty() {
        return Err(Failure::Local(format!("\"{}\" has no assertions: no *.hcl and no *.json", tests.display())));
    }
    let parse = |file: PathBuf| {
        let name = file.display().to_string();
        let read = assertions::Assertions::parse(&name, &directory::text(&file)?);
        Ok((name, read.map_err(|err| Failure::Local(err.to_string()))?))
    };
    files.into_iter().map(parse).collect()
}

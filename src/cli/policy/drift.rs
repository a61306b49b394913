//! `policy drift`: what the server has that the directory applied last has not.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    difference, directory,
    remote::{self, Parsed, digest},
};
use crate::{
    cli::{
        context::Cx,
        failure::{Failure, Outcome},
    },
    policy::Scope,
};

/// Show where the server's policies have moved away from DIR, the directory of the last applied commit.
/// Codes: 0 nowhere, 1 it cannot be told, 2 somewhere.
#[derive(Args, Debug)]
pub struct Drift {
    /// The accessor that @NAME@ stands for in templates; may be repeated.
    #[arg(long, value_name = "NAME=ACCESSOR")]
    accessor: Vec<String>,
    /// The directory of the policies.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Drift {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let directory = remote::directory(cx, &self.folder, &self.accessor).await?;
        let remote = remote::read(cx).await?;
        let Some(applied) = remote.applied else {
            return Err(Failure::local("no directory was ever applied to this server"));
        };
        let other = directory.iter().any(|(name, source)| applied.digests.get(name) != Some(&digest(&source.text)));
        if other || applied.digests.len() != directory.len() {
            cx.warn(&format!("the directory is not as it was when {} was applied", applied.commit))?;
        }
        let (here, there) = (directory::parsed(&directory)?, Parsed::of(&remote.texts)?);
        let mut found = Vec::new();
        for (name, source) in &directory {
            match remote.texts.get(name) {
                Some(text) if *text == source.text => {}
                Some(_) => {
                    let there = there.of_names(std::slice::from_ref(name));
                    let differences = difference::between(&[here[name].clone()], &there, Scope::Policy)?;
                    let what = if differences.is_empty() { "reworded" } else { "changed" };
                    found.push(json!({"name": name, "drift": what, "differences": differences}));
                }
                None => found.push(json!({"name": name, "drift": "missing"})),
            }
        }
        let unknown = remote.texts.keys().filter(|name| !directory.contains_key(*name));
        found.extend(unknown.map(|name| json!({"name": name, "drift": "unmanaged"})));
        if cx.is_table() {
            for one in &found {
                let (name, drift) =
                    (one["name"].as_str().unwrap_or_default(), one["drift"].as_str().unwrap_or_default());
                cx.say(&format!("policy {name}: {drift}"))?;
                let differences = one["differences"].as_array().cloned().unwrap_or_default();
                difference::lines(&differences).iter().try_for_each(|line| cx.say(line))?;
            }
            if found.is_empty() {
                cx.success(&format!("The server's policies are those of {}", applied.commit))?;
            }
        } else {
            cx.value(&json!({"commit": applied.commit, "drift": Value::Array(found.clone())}))?;
        }
        if found.is_empty() { Ok(()) } else { Err(Failure::Exit(2)) }
    }
}

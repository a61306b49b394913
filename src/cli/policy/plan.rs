//! `policy plan`: who would gain and lose what, on which paths, if a directory were applied.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{
    difference, directory,
    remote::{self, Parsed, Remote, Set},
};
use crate::{
    cli::{
        context::{Cx, items},
        failure::{Failure, Outcome},
    },
    policy::Scope,
};

/// Show who would gain and lose what, on which paths, if the policies of DIR were applied.
/// Codes: 0 nobody gains or loses, 1 it cannot be told, 2 somebody does.
#[derive(Args, Debug)]
pub struct Plan {
    #[command(flatten)]
    desired: Desired,
    /// A set of policies that somebody holds, with commas, beside those that the server knows of; may be repeated.
    #[arg(long, value_name = "NAME,NAME")]
    set: Vec<String>,
}

/// What is to be applied.
#[derive(Args, Debug)]
pub struct Desired {
    /// Delete every policy of the server that is not in DIR, not only those that an earlier apply has written.
    #[arg(long)]
    pub prune: bool,
    /// The accessor that @NAME@ stands for in templates, instead of that of the auth method at NAME; may be repeated.
    #[arg(long, value_name = "NAME=ACCESSOR")]
    pub accessor: Vec<String>,
    /// The directory of the policies.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// A change that can be applied.
pub struct Planned {
    pub remote: Remote,
    pub directory: directory::Directory,
    pub deleted: Vec<String>,
    /// Those of the server that are neither in the directory nor to be deleted.
    pub unmanaged: Vec<String>,
}

impl Desired {
    pub async fn planned(&self, cx: &mut Cx<'_, '_>) -> Outcome<Planned> {
        let directory = remote::directory(cx, &self.folder, &self.accessor).await?;
        let remote = remote::read(cx).await?;
        let earlier = |name: &String| remote.applied.as_ref().is_some_and(|applied| applied.digests.contains_key(name));
        let others: Vec<String> =
            remote.texts.keys().filter(|name| !directory.contains_key(*name) && *name != "default").cloned().collect();
        let (deleted, unmanaged) = others.into_iter().partition(|name| self.prune || earlier(name));
        Ok(Planned { remote, directory, deleted, unmanaged })
    }
}

impl Plan {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let planned = self.desired.planned(cx).await?;
        let written = directory::parsed(&planned.directory)?;
        let before = Parsed::of(&planned.remote.texts)?;
        let after = before.with(&written, &planned.deleted);

        let mut policies = Vec::new();
        for name in written.keys().chain(&planned.deleted) {
            let text = planned.remote.texts.get(name);
            if text.is_some() && text == planned.directory.get(name).map(|source| &source.text) {
                continue;
            }
            let names = std::slice::from_ref(name);
            let differences = difference::between(&before.of_names(names), &after.of_names(names), Scope::Policy)?;
            let action = match (text, written.contains_key(name)) {
                (_, false) => "delete",
                (None, true) => "create",
                (Some(_), true) if differences.is_empty() => "reword",
                (Some(_), true) => "change",
            };
            policies.push(json!({"name": name, "action": action, "differences": differences}));
        }

        let mut holders = Vec::new();
        let known = if policies.is_empty() { Some((Vec::new(), true)) } else { remote::sets(cx).await? };
        let complete = known.as_ref().is_some_and(|(_, complete)| *complete);
        let given =
            self.set.iter().map(|names| Set { policies: items(&[names.to_lowercase()]), tokens: 0, entities: 0 });
        for set in known.into_iter().flat_map(|(sets, _)| sets).chain(given) {
            let touched = policies.iter().any(|one| set.policies.iter().any(|name| one["name"] == name.as_str()));
            if !touched || set.policies.iter().any(|name| name == crate::policy::ROOT) {
                continue;
            }
            let (old, new) = (before.of_names(&set.policies), after.of_names(&set.policies));
            let differences = difference::between(&old, &new, Scope::Set)?;
            if !differences.is_empty() {
                let Set { policies, tokens, entities } = set;
                holders.push(
                    json!({"policies": policies, "tokens": tokens, "entities": entities, "differences": differences}),
                );
            }
        }

        let differ = policies.iter().any(|one| one["action"] != "reword") || !holders.is_empty();
        let plan = json!({
            "state": planned.remote.state,
            "policies": policies,
            "sets": holders,
            "sets_complete": complete,
            "unmanaged": planned.unmanaged,
        });
        if cx.is_table() {
            lines(&plan).iter().try_for_each(|line| cx.say(line))?;
        } else {
            cx.value(&plan)?;
        }
        if differ { Err(Failure::Exit(2)) } else { Ok(()) }
    }
}

fn lines(plan: &Value) -> Vec<String> {
    let list = |name: &str| plan[name].as_array().cloned().unwrap_or_default();
    let mut lines = Vec::new();
    let mut counts = BTreeMap::new();
    for one in list("policies") {
        let (name, action) = (one["name"].as_str().unwrap_or_default(), one["action"].as_str().unwrap_or_default());
        *counts.entry(action.to_owned()).or_insert(0) += 1;
        let differences = one["differences"].as_array().cloned().unwrap_or_default();
        let what = match action {
            "reword" => "says the same in other words",
            "create" => "is new",
            "delete" => "is deleted",
            _ => "changes",
        };
        lines.push(format!("policy {name} {what}"));
        lines.extend(difference::lines(&differences));
    }
    for one in list("sets") {
        let names: Vec<&str> = one["policies"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        lines.push(format!("holders of {} ({} tokens, {} entities)", names.join(", "), one["tokens"], one["entities"]));
        lines.extend(difference::lines(&one["differences"].as_array().cloned().unwrap_or_default()));
    }
    if plan["sets_complete"] != true {
        lines.push("not all sets of policies in use are known: see -set, and sys/policies/sets".into());
    }
    for name in list("unmanaged").iter().filter_map(Value::as_str) {
        lines.push(format!("policy {name} is on the server and not in the directory; it stays"));
    }
    let count = |action: &str| counts.get(action).copied().unwrap_or(0);
    lines.push(format!(
        "Plan: {} to create, {} to change, {} to reword, {} to delete.",
        count("create"),
        count("change"),
        count("reword"),
        count("delete")
    ));
    lines.push(format!("State: {}", plan["state"].as_str().unwrap_or_default()));
    lines
}

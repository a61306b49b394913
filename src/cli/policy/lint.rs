//! `policy lint`: what is wrong with policies though they can be read.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::directory;
use crate::{
    cli::{
        context::Cx,
        failure::{Doing, Failure, Outcome},
    },
    client::Request,
    policy::{self, Policy, Versioned},
};

/// Find mistakes in policies: rules that decide nothing, wildcards that are none, missing or excessive sudo.
/// Codes: 0 nothing found, 1 a file cannot be read, 2 something found.
#[derive(Args, Debug)]
pub struct Lint {
    /// A mount of KV version 2, whose rules need "data/"; may be repeated.
    #[arg(long = "kv2", value_name = "MOUNT")]
    versioned: Vec<String>,
    /// Ask the server which mounts are KV version 2.
    #[arg(long)]
    online: bool,
    /// Files of policies, or directories of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
}

struct Found {
    file: String,
    line: u32,
    kind: &'static str,
    path: String,
    text: String,
}

impl Lint {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let mut known = self.versioned;
        if self.online {
            known.extend(versioned(cx).await?);
        }
        let (mut found, mut policies) = (Vec::new(), Vec::new());
        for path in &self.paths {
            for (name, source) in directory::read(path)? {
                let file = source.file.display().to_string();
                match Policy::parse(&name, &source.text) {
                    Ok(policy) => policies.push((file, policy)),
                    Err(err) => {
                        found.push(Found { file, line: 0, kind: "error", path: String::new(), text: err.to_string() });
                    }
                }
            }
        }
        let versioned = Versioned::of(&policies.iter().map(|(_, policy)| policy).collect::<Vec<_>>(), &known);
        for (file, policy) in &policies {
            found.extend(policy::lint(policy, &versioned).into_iter().map(|finding| {
                let policy::Finding { kind, line, path, text } = finding;
                Found { file: file.clone(), line, kind, path, text }
            }));
        }
        tell(cx, &found, policies.len())?;
        if found.is_empty() { Ok(()) } else { Err(Failure::Exit(2)) }
    }
}

fn tell(cx: &mut Cx<'_, '_>, found: &[Found], policies: usize) -> Outcome {
    if !cx.is_table() {
        let list: Vec<Value> = found
            .iter()
            .map(
                |one| json!({"file": one.file, "line": one.line, "kind": one.kind, "path": one.path, "text": one.text}),
            )
            .collect();
        return cx.value(&Value::Array(list));
    }
    if found.is_empty() {
        return cx
            .success(&format!("Nothing found in {policies} {}", if policies == 1 { "policy" } else { "policies" }));
    }
    found.iter().try_for_each(|one| match one.line {
        0 => cx.say(&format!("{}: {}: {}", one.file, one.kind, one.text)),
        line => cx.say(&format!("{}:{line}: {}: path \"{}\": {}", one.file, one.kind, one.path, one.text)),
    })
}

/// The mounts of KV version 2 that this token can see.
async fn versioned(cx: &mut Cx<'_, '_>) -> Outcome<Vec<String>> {
    let reply = cx.send(Request::read("sys/internal/ui/mounts")).await.doing("Error listing mounts")?;
    let mounts = reply.data["secret"].as_object().into_iter().flatten();
    let versioned = mounts.filter(|(_, mount)| mount["type"] == "kv" && mount["options"]["version"] == "2");
    Ok(versioned.map(|(path, _)| path.clone()).collect())
}

//! The key-value store, version 1 or 2: which of them answers at a path is asked first.

mod data;
mod metadata;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{
    context::{Cx, clean, folder, items},
    failure::{Failure, Outcome},
    table::{map_rows, map_width, title},
};
use crate::client::{self, Reply, Request};

/// Work with key-value secrets.
#[derive(Args, Debug)]
pub struct Kv {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Get(data::Get),
    Put(data::Put),
    Patch(data::Patch),
    Rollback(data::Rollback),
    Delete(data::Delete),
    Undelete(data::Undelete),
    Destroy(data::Destroy),
    List(data::List),
    Metadata(metadata::Metadata),
    EnableVersioning(EnableVersioning),
}

impl Kv {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::Get(command) => command.run(cx).await,
            Command::Put(command) => command.run(cx).await,
            Command::Patch(command) => command.run(cx).await,
            Command::Rollback(command) => command.run(cx).await,
            Command::Delete(command) => command.run(cx).await,
            Command::Undelete(command) => command.run(cx).await,
            Command::Destroy(command) => command.run(cx).await,
            Command::List(command) => command.run(cx).await,
            Command::Metadata(command) => command.run(cx).await,
            Command::EnableVersioning(command) => command.run(cx).await,
        }
    }
}

/// Turn a version 1 store into version 2.
#[derive(Args, Debug)]
struct EnableVersioning {
    /// The mount.
    mount: String,
}

impl EnableVersioning {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let mount = folder(&self.mount);
        let body = serde_json::json!({"options": {"version": "2"}});
        let request = Request::write(&format!("sys/mounts/{mount}tune")).json(&body)?;
        super::failure::Doing::doing(cx.send(request).await, format!("Error tuning secrets engine {mount}"))?;
        cx.success(&format!("Tuned the secrets engine at: {mount}"))
    }
}

/// Names a secret: by its mount and the rest, or by the whole path.
#[derive(Args, Debug)]
struct Which {
    /// The mount, when the path is given without it.
    #[arg(long, value_name = "PATH")]
    mount: Option<String>,
    /// The secret's path.
    path: String,
}

/// Names versions of a secret.
#[derive(Args, Debug)]
struct Versions {
    /// The versions, separated by commas.
    #[arg(long, value_name = "N,…")]
    versions: Vec<String>,
}

impl Versions {
    fn numbers(&self) -> Outcome<Vec<u64>> {
        items(&self.versions)
            .iter()
            .map(|text| text.parse().map_err(|_| Failure::local("-versions must be numbers, separated by commas")))
            .collect()
    }

    fn needed(&self) -> Outcome<Vec<u64>> {
        let numbers = self.numbers()?;
        if numbers.is_empty() {
            return Err(Failure::local("No versions provided, use the \"-versions\" flag"));
        }
        Ok(numbers)
    }
}

/// Where a secret is: its mount (empty if the server does not tell), the rest, the store's version.
struct Place {
    mount: String,
    rest: String,
    v2: bool,
}

impl Place {
    /// Asks the server which mount a path belongs to.
    async fn locate(cx: &mut Cx<'_, '_>, which: &Which) -> Outcome<Self> {
        let path = clean(&which.path);
        let probe = which.mount.as_deref().map_or(path, clean);
        let asked = cx.aside(Request::read(&format!("sys/internal/ui/mounts/{probe}"))).await;
        let (told, v2) = match asked {
            Ok(reply) => {
                let mount = clean(reply.text("path")?).to_owned();
                let version = reply.field("options").and_then(|options| options.get("version"));
                (mount, version.and_then(Value::as_str) == Some("2"))
            }
            // Servers from before this question was invented have only version 1.
            Err(Failure::Client(_, client::Error::Api { status: 404, .. })) => (String::new(), false),
            Err(failure) => return Err(failure),
        };
        let (mount, rest) = match &which.mount {
            Some(mount) => (clean(mount).to_owned(), path.to_owned()),
            None => {
                let rest = path.strip_prefix(told.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'));
                match rest {
                    Some(rest) if !told.is_empty() => (told.clone(), clean(rest).to_owned()),
                    _ => (String::new(), path.to_owned()),
                }
            }
        };
        Ok(Self { mount, rest, v2 })
    }

    /// The API's path below one of the store's branches (`data`, `metadata`, …), which version 1 has not.
    fn at(&self, branch: &str) -> String {
        let parts = if self.v2 { [&self.mount, branch, &self.rest] } else { [&self.mount, "", &self.rest] };
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }

    /// Refuses what only version 2 can do.
    fn needs_v2(&self, what: &str) -> Outcome {
        if self.v2 { Ok(()) } else { Err(Failure::Local(format!("{what} not supported on KV Version 1"))) }
    }
}

/// A path below its title.
fn show_path(cx: &mut Cx<'_, '_>, what: &str, path: &str) -> Outcome {
    cx.say(&format!("{}\n{path}\n", title(what, path.len())))
}

/// A map below its title.
fn show_map(cx: &mut Cx<'_, '_>, what: &str, map: &Map<String, Value>) -> Outcome {
    cx.say(&title(what, map_width(map.keys())))?;
    cx.table(&super::table::key_value(map_rows(map)))
}

/// What a write to version 2 answers: the new version's metadata.
fn show_version(cx: &mut Cx<'_, '_>, path: &str, reply: &Reply) -> Outcome {
    match &reply.data {
        Value::Object(map) if cx.is_table() && cx.globals.field.is_none() && reply.wrap_info.is_none() => {
            cx.warnings(reply)?;
            show_path(cx, "Secret Path", path)?;
            show_map(cx, "Metadata", map)
        }
        _ => super::logical::written(cx, path, reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fit_the_version() {
        let place = |v2| Place { mount: "team/kv".into(), rest: "a/b".into(), v2 };
        assert_eq!(place(true).at("data"), "team/kv/data/a/b");
        assert_eq!(place(false).at("data"), "team/kv/a/b");
        let root = Place { mount: "kv".into(), rest: String::new(), v2: true };
        assert_eq!(root.at("metadata"), "kv/metadata");
    }

    #[test]
    fn versions_are_numbers() {
        let of = |text: &str| Versions { versions: vec![text.to_owned()] };
        assert!(of("1,x").numbers().is_err());
        assert!(of("").needed().is_err());
        assert_eq!(of("1, 2").needed().unwrap(), [1, 2]);
    }
}

//! The policies that a server has, and a directory made ready for it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde_json::Value;

use super::directory::{self, Directory};
use crate::{
    cli::{
        context::Cx,
        failure::{Doing, Failure, Outcome},
    },
    client::{Error, Request},
    crypto::mac::{sha256, sha256_of},
    policy::{DEFAULT, Policy},
};

/// All policies of a server at one moment.
pub struct Remote {
    /// A digest of them all.
    pub state: String,
    /// Their texts; those that exist from the start are not among them until they are rewritten.
    pub texts: BTreeMap<String, String>,
    /// What was applied last.
    pub applied: Option<Applied>,
}

/// A commit and the digests of its policies.
pub struct Applied {
    pub commit: String,
    pub digests: BTreeMap<String, String>,
}

/// A set of policies in use.
pub struct Set {
    pub policies: Vec<String>,
    pub tokens: u64,
    pub entities: u64,
}

/// Reads them.
pub async fn read(cx: &mut Cx<'_, '_>) -> Outcome<Remote> {
    let reply = cx.send(Request::read("sys/policies/apply")).await.doing("Error reading the server's policies")?;
    let applied = Some(&reply.data["applied"]).filter(|applied| applied.is_object()).map(|applied| Applied {
        commit: applied["commit"].as_str().unwrap_or_default().to_owned(),
        digests: strings(&applied["policies"]),
    });
    Ok(Remote { state: reply.text("state")?.to_owned(), texts: strings(&reply.data["policies"]), applied })
}

/// The sets in use, and whether these are all; none where this token may not know.
pub async fn sets(cx: &mut Cx<'_, '_>) -> Outcome<Option<(Vec<Set>, bool)>> {
    let data = match cx.send(Request::read("sys/policies/sets")).await {
        Ok(reply) => reply.data,
        Err(Failure::Client(_, Error::Api { status: 403, .. })) => return Ok(None),
        Err(failure) => return Err(failure).doing("Error reading the sets of policies in use"),
    };
    let set = |set: &Value| Set {
        policies: set["policies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        tokens: set["tokens"].as_u64().unwrap_or_default(),
        entities: set["entities"].as_u64().unwrap_or_default(),
    };
    let sets = data["sets"].as_array().into_iter().flatten().map(set).collect();
    Ok(Some((sets, data["complete"] == true)))
}

/// A directory's policies as the server is to have them: where a template names the accessor of an auth method as `@NAME@`,
/// that of the method mounted at NAME stands instead.
pub async fn directory(cx: &mut Cx<'_, '_>, path: &Path, given: &[String]) -> Outcome<Directory> {
    let mut directory = directory::read(path)?;
    let mut accessors = BTreeMap::new();
    for pair in given {
        let bad = || Failure::local("-accessor must be NAME=ACCESSOR");
        let (name, accessor) = pair.split_once('=').ok_or_else(bad)?;
        accessors.insert(name.to_owned(), accessor.to_owned());
    }
    let mut asked = false;
    for source in directory.values_mut() {
        while let Some(name) = placeholder(&source.text) {
            if !accessors.contains_key(&name) && !asked {
                asked = true;
                let reply = cx.send(Request::read("sys/auth")).await.doing("Error listing auth methods")?;
                for (path, mount) in reply.data.as_object().into_iter().flatten() {
                    let accessor = mount["accessor"].as_str().unwrap_or_default().to_owned();
                    accessors.entry(path.trim_end_matches('/').to_owned()).or_insert(accessor);
                }
            }
            let accessor = accessors.get(&name).filter(|accessor| !accessor.contains('@')).ok_or_else(|| {
                let file = source.file.display();
                Failure::Local(format!(
                    "{file}: no auth method is mounted at \"{name}/\", whose accessor @{name}@ stands for"
                ))
            })?;
            source.text = source.text.replace(&format!("@{name}@"), accessor);
        }
    }
    Ok(directory)
}

/// The first name that stands for an accessor in a template.
fn placeholder(text: &str) -> Option<String> {
    const BEFORE: &str = "identity.entity.aliases.@";
    text.match_indices(BEFORE).find_map(|(at, _)| {
        let (name, rest) = text[at + BEFORE.len()..].split_once('@')?;
        (rest.starts_with('.') && !name.is_empty() && !name.contains(char::is_whitespace)).then(|| name.to_owned())
    })
}

/// The digest of a text, as the server keeps it of what was applied.
pub fn digest(text: &str) -> String {
    hex::encode(sha256(text.as_bytes()))
}

/// A name for the state of a directory whose commit is not said.
pub fn commit_of(directory: &Directory) -> String {
    let digests: Vec<String> =
        directory.iter().map(|(name, source)| format!("{name}\0{}", digest(&source.text))).collect();
    let parts: Vec<&[u8]> = digests.iter().map(String::as_bytes).collect();
    format!("directory-{}", &hex::encode(sha256_of(&parts))[..16])
}

/// Policies by name, each parsed once.
pub struct Parsed(BTreeMap<String, Arc<Policy>>);

impl Parsed {
    /// Those of a server, with what exists from the start.
    pub fn of(texts: &BTreeMap<String, String>) -> Outcome<Self> {
        let mut parsed = BTreeMap::new();
        for (name, text) in
            texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).chain([("default", DEFAULT)])
        {
            if !parsed.contains_key(name) {
                let policy = Policy::parse(name, text);
                let policy = policy.map_err(|err| Failure::Local(format!("the server's policy \"{name}\": {err}")))?;
                parsed.insert(name.to_owned(), Arc::new(policy));
            }
        }
        Ok(Self(parsed))
    }

    /// What becomes of them with these written and those deleted.
    pub fn with(&self, written: &BTreeMap<String, Arc<Policy>>, deleted: &[String]) -> Self {
        let mut all = self.0.clone();
        all.extend(written.iter().map(|(name, policy)| (name.clone(), policy.clone())));
        all.retain(|name, _| !deleted.contains(name));
        Self(all)
    }

    /// The policies of these names, those that exist.
    pub fn of_names(&self, names: &[String]) -> Vec<Arc<Policy>> {
        names.iter().filter_map(|name| self.0.get(name).cloned()).collect()
    }
}

fn strings(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect()
}

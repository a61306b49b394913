//! `sys/policies/apply`: many policies changed at once, or none of them.
//!
//! Who plans a change reads all policies and their *state*, a digest. Who applies it says that state again: if anything was
//! changed in between, nothing is applied. A change after which nobody could write policies any more is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::holders;
use super::{Stored, builtin, check_deletion, checked, edition, folder, renew_edition};
use crate::barrier::Reading;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Result, Timestamp, limits};
use crate::crypto::mac::{sha256, sha256_of};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::system::Sys;

/// What was applied last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Applied {
    /// The id that its author gave it.
    commit: String,
    /// When.
    time: Option<Timestamp>,
    /// By whom, as logs name them.
    by: String,
    /// The digests of the policies that the directory had, by name.
    policies: BTreeMap<String, String>,
}

fn record() -> Key {
    Key::new("core/policies-applied")
}

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("policies/apply", "All policies, their state, and what was applied last.", |at| at.read(read))
        .at("policies/apply/{commit}", "Change many policies at once.", |at| at.update(apply).sudo())
        .and(holders::routes)
}

params! {
    /// A directory of policies.
    pub struct Apply {
        /// The id of the commit that the policies are from.
        commit: String,
        /// The texts of all policies of the directory, by name.
        policies: BTreeMap<String, String>,
        /// Names of policies to delete.
        delete: Vec<String>,
        /// The state of the server's policies for which the change was planned.
        state: String,
    }
}

async fn read(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let view = &cx.engine().handles.view;
    let (texts, applied) = view.read(|r| Ok((texts(r)?, r.get::<Applied>(&record())?)))?;
    check_size(&texts)?;
    let applied = applied.map(|applied| {
        Json::object([
            ("commit", Json::from(applied.commit)),
            ("time", applied.time.map(|time| time.to_string()).into()),
            ("by", applied.by.into()),
            ("policies", strings(applied.policies)),
        ])
    });
    Ok(Reply::data([
        ("state".to_owned(), Json::from(state(&texts))),
        ("applied".to_owned(), applied.into()),
        ("policies".to_owned(), strings(texts)),
    ]))
}

async fn apply(cx: Cx<Sys>, p: Apply) -> Result<Reply> {
    check_commit(&p.commit)?;
    check_size(&p.policies)?;
    if p.policies.is_empty() && p.delete.is_empty() {
        return Err(Error::invalid("field 'policies': there is nothing to apply"));
    }
    check_all(&p)?;
    let view = &cx.engine().handles.view;
    let mut txn = view.txn();
    // Whoever changes a policy after this makes the commit fail, and this run again.
    let _: Option<()> = txn.get(&edition())?;
    let before = view.read(texts)?;
    if state(&before) != p.state {
        return Err(Error::invalid("the policies are not as they were when the change was planned: plan again"));
    }
    let mut after = before.clone();
    after.extend(p.policies.iter().map(|(name, text)| (name.clone(), text.clone())));
    after.retain(|name, _| !p.delete.contains(name));
    if before != after {
        holders::check_administrators(&cx, &before, &after).await?;
    }
    let changed: Vec<&String> =
        after.iter().filter(|(name, text)| before.get(*name) != Some(*text)).map(|(name, _)| name).collect();
    let deleted: Vec<&String> = before.keys().filter(|name| !after.contains_key(*name)).collect();
    for name in &changed {
        txn.overwrite(&folder().join(name), &Stored { text: after[*name].clone() })?;
    }
    for name in &deleted {
        txn.delete(&folder().join(name));
    }
    renew_edition(&mut txn)?;
    let applied = Applied {
        commit: p.commit,
        time: Some(cx.now()),
        by: cx.caller.display_name.clone(),
        policies: p.policies.iter().map(|(name, text)| (name.clone(), hex::encode(sha256(text.as_bytes())))).collect(),
    };
    txn.overwrite(&record(), &applied)?;
    let names = |names: &[&String]| Json::Array(names.iter().map(|name| name.as_str().into()).collect());
    let data = [
        ("commit".to_owned(), Json::from(applied.commit)),
        ("changed".to_owned(), names(&changed)),
        ("deleted".to_owned(), names(&deleted)),
        ("state".to_owned(), state(&after).into()),
    ];
    Ok(Reply::data(data).with(txn))
}

/// All stored policies.
fn texts(r: &Reading<'_>) -> Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for name in r.list(&folder())? {
        let stored: Option<Stored> = r.get(&folder().join(&name))?;
        texts.extend(stored.map(|stored| (name, stored.text)));
    }
    Ok(texts)
}

/// A digest of all stored policies: lengths stand before texts, so that no two sets are written alike.
fn state(texts: &BTreeMap<String, String>) -> String {
    let mut parts = Vec::new();
    for text in texts.iter().flat_map(|(name, text)| [name, text]) {
        parts.extend((text.len() as u64).to_be_bytes());
        parts.extend(text.as_bytes());
    }
    hex::encode(sha256_of(&[&parts]))
}

/// Says of every policy that cannot be applied what is wrong with it.
fn check_all(p: &Apply) -> Result<()> {
    let folded = |name: &String| {
        if *name == name.to_lowercase() { Ok(()) } else { Err(Error::invalid("names are in lower case")) }
    };
    let written =
        p.policies.iter().map(|(name, text)| (name, folded(name).and_then(|()| checked(name, text).map(drop))));
    let deleted = p.delete.iter().map(|name| (name, folded(name).and_then(|()| check_deletion(name))));
    let mut wrong: Vec<String> = written
        .chain(deleted)
        .filter_map(|(name, checked)| Some(format!("policy \"{name}\": {}", checked.err()?)))
        .collect();
    wrong.extend(
        p.delete
            .iter()
            .filter(|name| p.policies.contains_key(*name))
            .map(|name| format!("policy \"{name}\": both written and deleted")),
    );
    if wrong.is_empty() { Ok(()) } else { Err(Error::invalid(wrong.join("\n"))) }
}

fn check_size(texts: &BTreeMap<String, String>) -> Result<()> {
    if texts.len() > limits::POLICIES_AT_ONCE {
        return Err(Error::invalid(format!("there are more than {} policies", limits::POLICIES_AT_ONCE)));
    }
    if texts.values().map(String::len).sum::<usize>() > limits::POLICIES_BYTES {
        return Err(Error::invalid(format!("the policies have more than {} bytes together", limits::POLICIES_BYTES)));
    }
    Ok(())
}

fn check_commit(commit: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    if commit.is_empty() || commit.len() > limits::COMMIT_BYTES || !commit.chars().all(fits) {
        return Err(Error::invalid("field 'commit': letters, digits and \".\", \"_\", \"-\", \":\""));
    }
    Ok(())
}

fn strings(map: BTreeMap<String, String>) -> Json {
    Json::Object(map.into_iter().map(|(name, text)| (name, text.into())).collect::<Map>())
}

/// The text that a name has among these, or from the start.
pub(super) fn text_of<'a>(texts: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    texts.get(name).map(String::as_str).or_else(|| builtin(name))
}

//! `sys/policies/acl` and the older `sys/policy`: the texts of policies.

mod apply;
mod holders;

use serde::{Deserialize, Serialize};

use super::Sys;
use crate::barrier::{Txn, View};
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Result, limits};
use crate::engine::{Cx, Page, Reply, Routes};
use crate::params;
use crate::policy::{self, Policy};

/// A policy, as stored.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    text: String,
}

fn folder() -> Key {
    Key::new("policy")
}

/// The row that every change of a policy writes: who has read all policies expects it to be as it was.
fn edition() -> Key {
    Key::new("core/policies")
}

/// Changes the row of the edition: its version is what counts.
fn renew_edition(txn: &mut Txn) -> Result<()> {
    txn.overwrite(&edition(), &())
}

/// Whether a key of the store is a policy's.
pub fn owns(key: &Key) -> bool {
    key.below(&folder()).is_some()
}

/// Reads and parses a policy. The built-in ones need no row.
///
/// # Errors
/// When it cannot be read.
pub fn load(view: &View, name: &str) -> Result<Option<Policy>> {
    let Some(text) = text(view, name)? else { return Ok(None) };
    Policy::parse(name, &text).map(Some).map_err(|e| Error::internal(format!("a stored policy does not parse: {e}")))
}

fn text(view: &View, name: &str) -> Result<Option<String>> {
    if name.is_empty() || name.contains('/') {
        return Ok(None);
    }
    let stored: Option<Stored> = view.get(&folder().join(name))?;
    Ok(stored.map(|s| s.text).or_else(|| builtin(name).map(str::to_owned)))
}

fn builtin(name: &str) -> Option<&'static str> {
    match name {
        "default" => Some(policy::DEFAULT),
        "response-wrapping" => Some(policy::RESPONSE_WRAPPING),
        _ => None,
    }
}

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    apply::routes(routes)
        .at("policies/acl/", "List the policies.", |at| at.list(list))
        .at("policies/acl", "List the policies.", |at| at.list(list))
        .at("policies/detailed/acl/", "List the policies with their texts.", |at| at.list(list_detailed))
        .at("policies/acl/{name!}", "Read, write and delete a policy.", |at| at.read(read).update(write).delete(delete))
        .at("policy/", "List the policies, in the older form.", |at| at.list(list_old))
        .at("policy", "List the policies, in the older form.", |at| at.read(list_old).flat())
        .at("policy/{name!}", "Read, write and delete a policy, in the older form.", |at| {
            at.read(read_old).update(write).delete(delete).flat()
        })
}

params! {
    /// A policy by its name.
    pub struct ByName {
        /// Name of the policy.
        name: String,
    }
    /// The text of a policy.
    pub struct Write {
        /// Name of the policy.
        name: String,
        /// The text, in HCL or JSON, plain or in base64.
        policy: Option<String>,
        /// The same, as older clients call it.
        rules: Option<String>,
    }
}

fn names(cx: &Cx<Sys>) -> Result<Vec<String>> {
    let mut names = cx.engine().handles.view.list(&folder())?;
    names.push("default".into());
    names.push("root".into());
    names.retain(|name| name != "response-wrapping");
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

async fn list(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(Reply::list(names(&cx)?))
}

async fn list_detailed(cx: Cx<Sys>, p: Page) -> Result<Reply> {
    let names = p.of(names(&cx)?);
    if names.is_empty() {
        return Ok(Reply::list(names));
    }
    let (mut info, mut bytes) = (Map::new(), 0);
    for name in names.iter().filter_map(Json::as_str) {
        let text = text(&cx.engine().handles.view, name)?.unwrap_or_default();
        bytes += text.len();
        if bytes > limits::BODY_BYTES {
            return Err(Error::invalid("the texts are too long for one answer: ask with 'after' and 'limit'"));
        }
        info.insert(name.to_owned(), Json::object([("name", Json::from(name)), ("policy", text.into())]));
    }
    Ok(Reply::data([("keys".to_owned(), Json::Array(names)), ("key_info".to_owned(), info.into())]))
}

async fn list_old(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let names = names(&cx)?;
    Ok(Reply::data([("keys".to_owned(), Json::from(names.clone())), ("policies".to_owned(), names.into())]))
}

async fn read(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    show(&cx, &p.name, "policy")
}

async fn read_old(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    show(&cx, &p.name, "rules")
}

fn show(cx: &Cx<Sys>, name: &str, field: &str) -> Result<Reply> {
    let text = if name == policy::ROOT {
        String::new()
    } else {
        text(&cx.engine().handles.view, name)?.ok_or_else(Error::not_found)?
    };
    Ok(Reply::data([("name".to_owned(), Json::from(name)), (field.to_owned(), text.into())]))
}

async fn write(cx: Cx<Sys>, p: Write) -> Result<Reply> {
    let text = plain(p.policy.or(p.rules).unwrap_or_default());
    checked(&p.name, &text)?;
    let mut txn = cx.engine().handles.view.txn();
    renew_edition(&mut txn)?;
    txn.overwrite(&folder().join(&p.name), &Stored { text })?;
    let reply = Reply::empty(txn);
    Ok(if cx.folded { reply.warning("policy name was converted to lowercase") } else { reply })
}

/// A text that is base64 of a text is taken as that text, as Vault does.
pub fn plain(given: String) -> String {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(given.trim());
    match decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) if !given.is_empty() => text,
        _ => given,
    }
}

async fn delete(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    check_deletion(&p.name)?;
    let mut txn = cx.engine().handles.view.txn();
    renew_edition(&mut txn)?;
    txn.delete(&folder().join(&p.name));
    Ok(Reply::empty(txn))
}

/// A policy that may be written under this name.
fn checked(name: &str, text: &str) -> Result<Policy> {
    check_name(name)?;
    if name == policy::ROOT || name == "response-wrapping" {
        return Err(Error::invalid(format!("cannot update \"{name}\" policy")));
    }
    if text.is_empty() {
        return Err(Error::invalid("'policy' parameter not supplied or empty"));
    }
    if text.len() > limits::POLICY_BYTES {
        return Err(Error::invalid(format!("a policy has at most {} bytes", limits::POLICY_BYTES)));
    }
    Policy::parse(name, text).map_err(|e| {
        let text = e.to_string();
        Error::invalid(if text.starts_with("failed to parse policy") {
            text
        } else {
            format!("failed to parse policy: {text}")
        })
    })
}

fn check_deletion(name: &str) -> Result<()> {
    check_name(name)?;
    if [policy::ROOT, "default", "response-wrapping"].contains(&name) {
        return Err(Error::invalid(format!("cannot delete \"{name}\" policy")));
    }
    Ok(())
}

/// Names are canonical before they come here; what a path cannot carry, a name cannot either.
fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| !c.is_control() && !matches!(c, '*' | '+' | ',' | '{' | '}' | '"' | '\\');
    if name.trim() != name || name.is_empty() || name.len() > limits::NAME_BYTES || !name.chars().all(fits) {
        return Err(Error::invalid("a policy's name cannot be empty, too long, or hold spaces around it or marks"));
    }
    Ok(())
}

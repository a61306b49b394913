//! What checks of passwords cost here: a login pays for each kind of hash that any user has, its own with what it is, the others with one that
//! nothing fits. So how long an answer takes tells neither who is there nor whose hash came from elsewhere.

use super::Userpass;
use super::users::User;
use crate::barrier::Txn;
use crate::base::{Error, Key, Name, Result};
use crate::crypto::password::{self, Cost};
use crate::engine::Cx;

/// Kinds of hashes at once, ours among them: all of them are computed at each login.
const KINDS: usize = 4;

fn folder() -> Key {
    Key::new("cost")
}

fn key(cost: Cost, name: &Name) -> Key {
    folder().join(&cost.word()).join(name.as_str())
}

/// What checking this user's password costs, where that is not what ours do.
pub fn foreign(user: &User) -> Option<Cost> {
    password::cost(user.hash.reveal()).filter(|cost| *cost != Cost::OURS)
}

/// All costs that are paid.
///
/// # Errors
/// Those of storage.
pub fn all(cx: &Cx<Userpass>) -> Result<Vec<Cost>> {
    let others = cx.list(&folder())?;
    let others = others.iter().filter_map(|word| Cost::parse(word.trim_end_matches('/')));
    Ok([Cost::OURS].into_iter().chain(others).collect())
}

/// Notes that a user has another hash than before, or none any more.
///
/// # Errors
/// [`Error::Invalid`] if there are too many kinds already; those of storage.
pub fn changed(cx: &Cx<Userpass>, txn: &mut Txn, name: &Name, before: Option<Cost>, after: Option<Cost>) -> Result<()> {
    if before == after {
        return Ok(());
    }
    if let Some(cost) = before {
        txn.delete(&key(cost, name));
    }
    let Some(cost) = after else { return Ok(()) };
    let known = all(cx)?;
    if known.len() >= KINDS && !known.contains(&cost) {
        return Err(Error::invalid(format!(
            "field 'password_hash': users have hashes of {} costs already, and each login pays for all of them",
            known.len()
        )));
    }
    txn.overwrite(&key(cost, name), &())
}

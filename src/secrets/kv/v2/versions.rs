//! `delete/`, `undelete/`, `destroy/`: what happens to versions that are named by their numbers.

use super::V2;
use super::meta::Version;
use super::store::{self, meta_key, version_key};
use crate::base::{Error, Result, Timestamp};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::secrets::kv::writable;

/// Adds the endpoints.
pub fn routes(routes: Routes<V2>) -> Routes<V2> {
    routes
        .at("delete/{path..}", "Delete versions; they can be brought back.", |at| at.update(delete))
        .at("undelete/{path..}", "Bring deleted versions back.", |at| at.update(undelete))
        .at("destroy/{path..}", "Remove the data of versions for good.", |at| at.update(destroy))
}

params! {
    /// Versions of a secret.
    pub struct Versions {
        /// The path of the secret.
        path: String,
        /// Their numbers.
        versions: Vec<i64>,
    }
}

async fn delete(cx: Cx<V2>, p: Versions) -> Result<Reply> {
    change(&cx, &p, |version, now| {
        if version.readable(now) {
            version.deletion = Some(now);
        }
        false
    })
}

async fn undelete(cx: Cx<V2>, p: Versions) -> Result<Reply> {
    change(&cx, &p, |version, _| {
        if !version.destroyed {
            version.deletion = None;
        }
        false
    })
}

async fn destroy(cx: Cx<V2>, p: Versions) -> Result<Reply> {
    change(&cx, &p, |version, _| {
        version.destroyed = true;
        true
    })
}

/// Runs `f` on each version that is named and known. Where it answers true, the data are removed.
fn change(cx: &Cx<V2>, p: &Versions, f: fn(&mut Version, Timestamp) -> bool) -> Result<Reply> {
    let path = writable(&p.path)?;
    if p.versions.is_empty() {
        return Err(Error::invalid("no version number provided"));
    }
    let mut txn = cx.txn();
    let Some(mut meta) = store::open(&mut txn, path)? else { return Ok(Reply::nothing()) };
    for n in p.versions.iter().filter_map(|n| u64::try_from(*n).ok()) {
        if let Some(version) = meta.version_mut(n)
            && f(version, cx.now())
        {
            txn.delete(&version_key(path, n));
        }
    }
    txn.put(&meta_key(path), &meta)?;
    Ok(Reply::empty(txn))
}

//! Removing what is over: secret ids past their end, and those of deleted roles.
//!
//! They are refused from their end on, whether they are removed or not. So removal may take its time: some of it rides on each new secret
//! id, more on `tidy/secret-id`. There is no task that would have to finish.

use super::AppRole;
use super::secret_id::{self, SecretId, accessor_key, ends};
use crate::barrier::Txn;
use crate::base::key::Segment;
use crate::base::time::nanoseconds;
use crate::base::{Key, Result, limits};
use crate::engine::{Cx, Reply, Routes};

/// Rows looked at beside each new secret id: more than one, so that removal is faster than growth.
const BESIDE: usize = 8;

/// Adds the endpoint.
pub fn routes(routes: Routes<AppRole>) -> Routes<AppRole> {
    routes.at("tidy/secret-id", "Remove secret ids that are over.", |at| at.update(tidy))
}

async fn tidy(cx: Cx<AppRole>, _: ()) -> Result<Reply> {
    let mut txn = cx.txn();
    sweep(&cx, &mut txn, limits::BATCH_KEYS)?;
    Ok(Reply::empty(txn).status(202).warning(format!(
        "tidy operation started: up to {} secret ids that are over were removed; more are removed with each new secret id",
        limits::BATCH_KEYS
    )))
}

/// Removes a little of what is over, beside another change.
///
/// # Errors
/// When rows cannot be read.
pub fn some(cx: &Cx<AppRole>, txn: &mut Txn) -> Result<()> {
    sweep(cx, txn, BESIDE)
}

/// Notes that the role with this id is deleted, and removes the first of its secret ids.
///
/// # Errors
/// When rows cannot be read.
pub fn leave(cx: &Cx<AppRole>, txn: &mut Txn, role: &str) -> Result<()> {
    if !remove_members(cx, txn, role, limits::BATCH_KEYS / 4)? {
        txn.overwrite(&gone().join(role), &())?;
    }
    Ok(())
}

fn gone() -> Key {
    Key::new("gone")
}

fn sweep(cx: &Cx<AppRole>, txn: &mut Txn, limit: usize) -> Result<()> {
    let now = nanoseconds(cx.now()).max(0).unsigned_abs();
    let (over, left) = cx.view().read(|r| Ok((r.first::<String>(&ends(), limit)?, r.first_keys(&gone(), 1)?)))?;
    for (end, accessor) in over {
        let mut segments = end.segments();
        let (Some(time), Some(Segment::Name(role)), Some(Segment::Name(digest))) =
            (segments.next().and_then(Segment::number), segments.next(), segments.next())
        else {
            continue;
        };
        if time > now {
            break;
        }
        let keys = [ends().append(&end), secret_id::key(role, digest), accessor_key(role, &accessor)];
        // Where nobody can come between: the same secret id may have been registered anew, and two sweeps may meet.
        txn.update(&keys, move |rows| {
            rows.delete(0);
            rows.delete(2);
            let same = |s: &SecretId| s.accessor == accessor;
            if rows.get::<SecretId>(1)?.as_ref().is_some_and(same) {
                rows.delete(1);
            }
            Ok(())
        });
    }
    if let Some(role) = left.first().map(|key| key.as_str().to_owned())
        && remove_members(cx, txn, &role, limit / 4)?
    {
        txn.delete(&gone().join(&role));
    }
    Ok(())
}

/// Removes some secret ids of a role that is gone; true if those were all. Nothing is added to them any more, so nobody can come between.
fn remove_members(cx: &Cx<AppRole>, txn: &mut Txn, role: &str, limit: usize) -> Result<bool> {
    let folder = secret_id::folder(role);
    let found = cx.view().read(|r| r.first::<SecretId>(&folder, limit))?;
    for (key, secret) in &found {
        for row in secret_id::rows(role, key.as_str(), secret) {
            txn.delete(&row);
        }
    }
    Ok(found.len() < limit)
}

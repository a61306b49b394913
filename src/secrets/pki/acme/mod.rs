//! The ACME server (RFC 8555, RFC 8737, RFC 8738, RFC 9773): certificates for who proves to rule over their names.
//!
//! Everything is in storage: nonces, accounts, orders, proofs, challenges that are to be looked at again. Each file that
//! writes rows draws them at its top; all lie below `acme/`. A directory is that of the mount, of a role, of an issuer,
//! or of both; an account belongs to one directory. What is signed went through `admission` like everything else, as
//! [`admission::Ask::Proved`](super::admission::Ask): exactly the names that were proved, and those that the role allows.

mod account;
mod authorization;
mod config;
mod desk;
mod directory;
mod dns;
mod eab;
mod identifier;
mod jws;
mod manage;
mod nonce;
mod order;
mod problem;
mod reach;
mod renewal;
mod revoke;
mod validate;

use serde::{Deserialize, Serialize};

pub use config::Config;
pub use identifier::Identifier;
pub use order::Proved;

use super::Pki;
use super::store::config_key;
use super::tidy::earlier;
use crate::barrier::Txn;
use crate::base::key::Segment;
use crate::base::time::nanoseconds;
use crate::base::{Key, Result, Timestamp, Ttl};
use crate::engine::{Cx, Routes};

/// How many validations are at work at once, so that orders cannot take all sockets of the server.
pub const VALIDATIONS: usize = 16;

/// One endpoint at each of the four directories.
macro_rules! everywhere {
    ($routes:expr, $below:literal, $doc:literal, $at:expr) => {{
        let at = $at;
        $routes
            .at(concat!("acme/", $below), $doc, at)
            .at(concat!("roles/{role}/acme/", $below), $doc, at)
            .at(concat!("issuer/{issuer_ref}/acme/", $below), $doc, at)
            .at(concat!("issuer/{issuer_ref}/roles/{role}/acme/", $below), $doc, at)
    }};
}

/// The endpoints.
pub fn routes(routes: Routes<Pki>) -> Routes<Pki> {
    type At = crate::engine::At<Pki>;
    let r = routes
        .at("config/acme", "Who may ask by ACME.", |at| at.read(config::read).update(config::write))
        .at("eab/", "List the external accounts.", |at| at.list(eab::list))
        .at("eab/{key_id}", "An external account.", |at| at.delete(eab::delete))
        .at("acme/mgmt/account/keyid/", "List the accounts.", |at| at.list(manage::list))
        .at("acme/mgmt/account/keyid/{keyid}", "See an account, or change what it may do.", |at| {
            at.read(manage::read).update(manage::write)
        });
    let r = everywhere!(r, "new-eab", "Make an external account.", |at: At| at.update(eab::new_eab));
    let r = everywhere!(r, "directory", "Where everything is.", |at: At| at.read(directory::directory).public().raw());
    let r = everywhere!(r, "new-nonce", "A nonce.", |at: At| at.read(directory::new_nonce).public().raw());
    let r = everywhere!(r, "new-account", "Make an account.", |at: At| at.update(account::new_account).public().raw());
    let r = everywhere!(r, "account/{id}", "An account.", |at: At| at.update(account::account).public().raw());
    let r = everywhere!(r, "key-change", "Another key.", |at: At| at.update(account::key_change).public().raw());
    let r = everywhere!(r, "new-order", "Ask for a certificate.", |at: At| at.update(order::new_order).public().raw());
    let r = everywhere!(r, "orders", "All orders.", |at: At| at.update(order::orders).public().raw());
    let r = everywhere!(r, "order/{id}", "An order.", |at: At| at.update(order::order).public().raw());
    let r = everywhere!(r, "order/{id}/finalize", "Have it signed.", |at: At| {
        at.update(order::finalize).public().raw()
    });
    let r = everywhere!(r, "order/{id}/cert", "The certificate.", |at: At| {
        at.update(order::certificate).public().raw()
    });
    let r = everywhere!(r, "order/{id}/cert/{part}", "The certificate, with another chain.", |at: At| {
        at.update(order::certificate).public().raw()
    });
    let r = everywhere!(r, "authorization/{id}", "What is proved.", |at: At| {
        at.update(authorization::authorization).public().raw()
    });
    let r = everywhere!(r, "challenge/{id}/{part}", "Have a proof looked at.", |at: At| {
        at.update(authorization::challenge).public().raw()
    });
    let r =
        everywhere!(r, "revoke-cert", "Revoke a certificate.", |at: At| at.update(revoke::revoke_cert).public().raw());
    everywhere!(r, "renewal-info/{id}", "When to renew a certificate.", |at: At| at.read(renewal::info).public().raw())
}

/// What was tidied.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tidied {
    /// Accounts without orders.
    pub accounts: u64,
    /// Orders whose time is over.
    pub orders: u64,
}

/// The work that nobody asks for: challenges that are to be looked at again, and what is too old to be of use.
///
/// # Errors
/// Those of storage.
pub async fn tend(cx: &Cx<Pki>) -> Result<Option<Txn>> {
    if cx.get::<Config>(&config_key("acme"))?.is_none() {
        return Ok(None);
    }
    let mut txn = cx.txn();
    if let Some(change) = authorization::look_again(cx).await? {
        txn.merge(change);
    }
    nonce::tidy(cx.view(), cx.now(), &mut txn)?;
    let mut room = crate::base::limits::BATCH_KEYS / 4;
    orders(cx, &mut txn, &mut Tidied::default(), &mut room)?;
    Ok(Some(txn))
}

/// One step of tidying: orders whose time is over, then accounts without orders that were not in use for so long.
///
/// # Errors
/// Those of storage.
pub fn tidy(cx: &Cx<Pki>, txn: &mut Txn, buffer: Ttl, tidied: &mut Tidied, room: &mut usize) -> Result<()> {
    orders(cx, txn, tidied, room)?;
    let Some(before) = earlier(cx.now(), buffer) else { return Ok(()) };
    for (key, id) in due(cx, &account::seen_key(), before, *room)? {
        *room -= 1;
        txn.delete(&account::seen_key().append(&key));
        let [id] = &id[..] else { continue };
        let Some(account) = txn.get::<account::Account>(&account::account_key(id))? else { continue };
        if order::has_orders(cx, id)? {
            txn.overwrite(&account::seen_key().at(cx.now()).join(id), &())?;
        } else {
            account.delete(txn);
            tidied.accounts += 1;
        }
    }
    Ok(())
}

fn orders(cx: &Cx<Pki>, txn: &mut Txn, tidied: &mut Tidied, room: &mut usize) -> Result<()> {
    for (key, names) in due(cx, &order::ending_key(), cx.now(), *room)? {
        *room -= 1;
        txn.delete(&order::ending_key().append(&key));
        if let [account, id] = &names[..] {
            tidied.orders += u64::from(order::end(cx, txn, account, id)?);
        }
    }
    Ok(())
}

/// The rows of a time index that lie before a moment, with the names that follow the time.
fn due(cx: &Cx<Pki>, folder: &Key, before: Timestamp, limit: usize) -> Result<Vec<(Key, Vec<String>)>> {
    let before = nanoseconds(before).max(0).unsigned_abs();
    let rows = cx.view().read(|reading| reading.first_keys(folder, limit))?;
    let of = |key: Key| {
        let when = key.segments().next().and_then(Segment::number)?;
        let names = key.segments().skip(1).map(|part| match part {
            Segment::Name(name) | Segment::Ordered(name) => name.to_owned(),
        });
        let names = names.collect();
        (when < before).then_some((key, names))
    };
    Ok(rows.into_iter().map_while(of).collect())
}

/// Forgets whose a certificate was that is tidied away.
pub fn forget_certificate(txn: &mut Txn, serial: &str) {
    txn.delete(&order::issued_key(serial));
}

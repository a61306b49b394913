//! `acme/mgmt/account/keyid/`: who rules over the mount sees its accounts, and takes from them what they may do.

use super::account::{Account, Status, account_key, accounts_key};
use super::order;
use crate::base::{Error, Json, Result};
use crate::engine::{Cx, Page, Reply};
use crate::params;
use crate::secrets::pki::Pki;

params! {
    /// One account.
    pub struct OneAccount {
        /// Its id.
        keyid: String,
    }
    /// What an account may do from now on.
    pub struct ChangeAccount {
        /// Its id.
        keyid: String,
        /// valid or revoked.
        status: Option<String>,
    }
}

pub async fn list(cx: Cx<Pki>, p: Page) -> Result<Reply> {
    Ok(Reply::list(p.of(cx.list(&accounts_key())?)))
}

pub async fn read(cx: Cx<Pki>, p: OneAccount) -> Result<Reply> {
    let account = cx.get::<Account>(&account_key(&p.keyid))?.ok_or_else(Error::not_found)?;
    let orders = order::of_account(&cx, &account.id)?;
    let mut about = account.about();
    about.insert("orders".into(), Json::Array(orders));
    Ok(Reply::data(about))
}

/// Revokes an account, or gives it back what it may do. What its holder gave up stays so: the key may be another's by now.
pub async fn write(cx: Cx<Pki>, p: ChangeAccount) -> Result<Reply> {
    let wanted = match p.status.as_deref().map(|word| word.trim().to_ascii_lowercase()).as_deref() {
        Some("valid") => None,
        Some("revoked") => Some(cx.now()),
        _ => return Err(Error::invalid("status: want valid or revoked")),
    };
    let mut txn = cx.txn();
    let key = account_key(&p.keyid);
    let mut account = txn.get::<Account>(&key)?.ok_or_else(Error::not_found)?;
    match (account.status, wanted) {
        (Status::Deactivated, None) => {
            return Err(Error::invalid("the account was given up by who holds its key, and stays so"));
        }
        (Status::Deactivated | Status::Valid, Some(at)) => {
            account.revoked = Some((at, account.status));
            account.status = Status::Revoked;
        }
        (Status::Revoked, None) => account.status = account.revoked.take().map_or(Status::Valid, |(_, before)| before),
        (Status::Valid, None) | (Status::Revoked, Some(_)) => {}
    }
    txn.put(&key, &account)?;
    Ok(Reply::data(account.about()).with(txn))
}

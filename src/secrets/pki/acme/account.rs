//! Accounts: a key, and what its holder may do.
//!
//!     acme/account/<id>               the account
//!     acme/account-key/<scope>/<thumbprint>   the id behind a key, in one directory
//!     acme/account-seen/<when>/<id>   when it was made or last found in use, for those who tidy

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::EabPolicy;
use super::desk::{self, Answer, Desk, Place, Signed, Who};
use super::eab;
use super::jws::Unverified;
use super::problem::{Fault, Kind, Problem, problem};
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Result, Timestamp, ids};
use crate::crypto::Jwk;
use crate::engine::{Cx, Reply};
use crate::secrets::pki::Pki;

/// The most contacts of an account.
const CONTACTS_MAX: usize = 10;
/// The longest contact, in bytes.
const CONTACT_MAX: usize = 320;

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// The directory that it belongs to.
    pub scope: String,
    /// What it may do.
    pub status: Status,
    /// Whom to write to.
    pub contact: Vec<String>,
    /// Its key, as JSON.
    jwk: String,
    /// The key's thumbprint.
    thumbprint: String,
    /// The external account that it is bound to.
    #[serde(default)]
    pub eab: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Since when it is revoked, and what it could do before.
    #[serde(default)]
    pub revoked: Option<(Timestamp, Status)>,
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything.
    Valid,
    /// Nothing more: its holder said so.
    Deactivated,
    /// Nothing: who rules over the mount said so.
    Revoked,
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Deactivated => "deactivated",
            Self::Revoked => "revoked",
        }
    }
}

/// An account's place.
pub fn account_key(id: &str) -> Key {
    accounts_key().join(id)
}

/// All accounts.
pub fn accounts_key() -> Key {
    Key::new("acme/account")
}

fn thumbprint_key(scope: &str, thumbprint: &str) -> Key {
    Key::new("acme/account-key/in").join(scope).join(thumbprint)
}

/// Accounts in the order in which they were last found in use.
pub fn seen_key() -> Key {
    Key::new("acme/account-seen")
}

impl Account {
    /// Its key.
    ///
    /// # Errors
    /// [`Error::Internal`] if what is stored is none.
    pub fn key(&self) -> Result<Jwk> {
        Json::parse(self.jwk.as_bytes())
            .and_then(|json| Ok(Jwk::from_json(&json)?))
            .map_err(|_| Error::internal("a stored account has no key"))
    }

    /// The digest of its key, which is a part of what challenges ask for.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Refuses an account that was given up.
    ///
    /// # Errors
    /// The problem `unauthorized`.
    pub fn check_in_use(&self) -> Result<(), Fault> {
        match self.status {
            Status::Valid => Ok(()),
            Status::Deactivated => problem(Kind::Unauthorized, "the account is deactivated"),
            Status::Revoked => problem(Kind::Unauthorized, "the account is revoked"),
        }
    }

    /// Forgets the account and its key.
    pub fn delete(&self, txn: &mut Txn) {
        txn.delete(&account_key(&self.id));
        txn.delete(&thumbprint_key(&self.scope, &self.thumbprint));
    }

    /// What is told of it to who rules over the mount.
    pub fn about(&self) -> Map {
        let directory = format!("{}acme/directory", self.scope);
        let eab = self
            .eab
            .as_ref()
            .map(|id| Json::object([("eab_id", Json::from(id.clone())), ("directory", directory.clone().into())]));
        let revoked = self.revoked.map(|(at, _)| at.to_string()).unwrap_or_default();
        Map::from(
            [
                ("contacts", Json::from(self.contact.clone())),
                ("created_time", self.created.to_string().into()),
                ("directory", directory.into()),
                ("eab", eab.unwrap_or_else(|| Json::Object(Map::new()))),
                ("key_id", self.id.clone().into()),
                ("revoked_time", revoked.into()),
                ("status", self.status.word().into()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        )
    }

    fn address(&self, desk: &Desk) -> String {
        desk.at(&format!("account/{}", self.id))
    }

    fn answer(&self, desk: &Desk, status: u16) -> Result<Answer, Fault> {
        let mut members = vec![
            ("status", Json::from(self.status.word())),
            ("contact", self.contact.clone().into()),
            ("orders", desk.at("orders").into()),
            ("termsOfServiceAgreed", true.into()),
        ];
        if self.eab.is_some() {
            members.push(("externalAccountBinding", Json::Object(Map::new())));
        }
        Ok(Answer::json(status, &Json::object(members)).header("location", self.address(desk)))
    }
}

/// The account at this address, in this directory.
///
/// # Errors
/// The problem `accountDoesNotExist`.
pub fn find(desk: &Desk, address: &str, txn: &mut Txn) -> Result<Account, Fault> {
    let id = desk.within(address, "account/").unwrap_or_default();
    let fits = !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let account: Option<Account> = if fits { txn.get(&account_key(id))? } else { None };
    match account {
        Some(account) if account.scope == desk.scope => Ok(account),
        _ => problem(Kind::AccountDoesNotExist, "there is no such account in this directory"),
    }
}

fn digest(key: &Jwk) -> Result<String, Fault> {
    use base64::Engine as _;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key.thumbprint()?))
}

fn contacts(payload: Option<&Json>) -> Result<Option<Vec<String>>, Fault> {
    let Some(Json::Array(list)) = payload else { return Ok(None) };
    if list.len() > CONTACTS_MAX {
        return problem(Kind::InvalidContact, format!("at most {CONTACTS_MAX} contacts"));
    }
    let mut contacts = Vec::new();
    for one in list {
        match one.as_str() {
            Some(text) if text.len() <= CONTACT_MAX && !text.chars().any(char::is_control) => {
                let mail = text.strip_prefix("mailto:");
                if mail.is_some_and(|address| !crate::secrets::pki::names::is_email(address)) {
                    return problem(Kind::InvalidContact, "a contact is no mail address");
                }
                contacts.push(text.to_owned());
            }
            _ => return problem(Kind::InvalidContact, "a contact is no text, or too long"),
        }
    }
    Ok(Some(contacts))
}

pub async fn new_account(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::signed(cx, place, Who::Newcomer, register).await
}

async fn register(desk: Arc<Desk>, signed: Signed) -> Result<Answer, Fault> {
    let payload = signed.object()?;
    let key = signed.verified.key.clone();
    let thumbprint = digest(&key)?;
    let mut txn = desk.cx.txn();
    let place = thumbprint_key(&desk.scope, &thumbprint);
    if let Some(id) = txn.get::<String>(&place)? {
        let known: Account = txn.get(&account_key(&id))?.ok_or_else(|| Error::internal("a key without its account"))?;
        known.check_in_use()?;
        return known.answer(&desk, 200);
    }
    if payload.get("onlyReturnExisting") == Some(&Json::Bool(true)) {
        return problem(Kind::AccountDoesNotExist, "there is no account with this key");
    }
    desk.office()?;
    let eab = match payload.get("externalAccountBinding") {
        Some(binding) => Some(eab::bound(&desk, binding, &key, &signed.verified.url, &mut txn)?),
        None if desk.config.eab_policy != EabPolicy::Nobody => {
            return problem(Kind::ExternalAccountRequired, "an account here has to be bound to an external one");
        }
        None => None,
    };
    let account = Account {
        id: ids::uuid(desk.cx.rng()),
        scope: desk.scope.clone(),
        status: Status::Valid,
        contact: contacts(payload.get("contact"))?.unwrap_or_default(),
        jwk: key.json()?.text(),
        thumbprint,
        eab,
        created: desk.cx.now(),
        revoked: None,
    };
    txn.create(&account_key(&account.id), &account)?;
    txn.put(&place, &account.id)?;
    txn.create(&seen_key().at(desk.cx.now()).join(&account.id), &())?;
    Ok(account.answer(&desk, 201)?.with(txn))
}

pub async fn account(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::signed(cx, place, Who::Account, update).await
}

async fn update(desk: Arc<Desk>, signed: Signed) -> Result<Answer, Fault> {
    let account = signed.account()?;
    if desk.place.id.as_deref() != Some(account.id.as_str()) {
        return problem(Kind::Unauthorized, "this is somebody else's account");
    }
    if signed.only_looks() {
        return account.answer(&desk, 200);
    }
    let payload = signed.object()?;
    let mut txn = desk.cx.txn();
    let mut account: Account = txn.get(&account_key(&account.id))?.ok_or_else(Error::not_found)?;
    if let Some(contacts) = contacts(payload.get("contact"))? {
        account.contact = contacts;
    }
    match payload.get("status").map(|status| status.as_str().unwrap_or_default()) {
        None | Some("valid") => {}
        Some("deactivated") => account.status = Status::Deactivated,
        Some(_) => return problem(Kind::Malformed, "an account can only become deactivated"),
    }
    txn.put(&account_key(&account.id), &account)?;
    Ok(account.answer(&desk, 200)?.with(txn))
}

pub async fn key_change(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::signed(cx, place, Who::Account, exchange).await
}

/// RFC 8555 section 7.3.5: signed by the old key, and within, by the new one.
async fn exchange(desk: Arc<Desk>, signed: Signed) -> Result<Answer, Fault> {
    let account = signed.account()?;
    let inner = Unverified::parse(&signed.payload)?;
    let super::jws::Signer::Key(key) = inner.signer()? else {
        return problem(Kind::Malformed, "key change: the inner request has to carry the new key");
    };
    let inner = inner.verify(key)?;
    if inner.url != signed.verified.url || !inner.nonce.is_empty() {
        return problem(Kind::Malformed, "key change: the inner request must have the same url, and no nonce");
    }
    let payload = Json::parse(&inner.payload)?;
    let named = payload.at("account").and_then(Json::as_str).unwrap_or_default();
    let old = payload.at("oldKey").map(Jwk::from_json).transpose()?;
    if named != account.address(&desk) || old.as_ref() != Some(&signed.verified.key) {
        return problem(Kind::Malformed, "key change: want the account's address, and the key that it has");
    }
    let thumbprint = digest(&inner.key)?;
    let mut txn = desk.cx.txn();
    let place = thumbprint_key(&desk.scope, &thumbprint);
    if let Some(other) = txn.get::<String>(&place)? {
        let taken = Problem::new(Kind::Malformed, "another account has this key").status(409);
        let answer = Answer::problem(&taken);
        return Ok(answer.header("location", desk.at(&format!("account/{other}"))));
    }
    let mut account: Account = txn.get(&account_key(&account.id))?.ok_or_else(Error::not_found)?;
    txn.delete(&thumbprint_key(&desk.scope, &account.thumbprint));
    account.jwk = inner.key.json()?.text();
    account.thumbprint = thumbprint;
    txn.put(&place, &account.id)?;
    txn.put(&account_key(&account.id), &account)?;
    Ok(account.answer(&desk, 200)?.with(txn))
}

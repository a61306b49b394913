//! Orders: what an account wants certified, what it has proved of it, and the certificate.
//!
//!     acme/order/<account>/<id>             the order
//!     acme/ending/<when>/<account>/<id>     when it is of no use any more
//!     acme/cert/<serial>                    whose a certificate is, and by which order it was replaced

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::authorization::{Authz, Status as AuthzStatus, authz_key};
use super::desk::{self, Answer, Desk, Office, Place, Signed, Who};
use super::identifier::Identifier;
use super::problem::{Fault, Kind, Problem, problem};
use super::renewal;
use crate::barrier::{Txn, View};
use crate::base::{Error, Json, Key, Result, Timestamp, Ttl, ids, time};
use crate::crypto::x509::{Certificate, Request};
use crate::engine::{Cx, Reply};
use crate::secrets::pki::admission::{self, Ask, Asked, Facts};
use crate::secrets::pki::certify::Manner;
use crate::secrets::pki::issuer::{self, Issuer};
use crate::secrets::pki::store::{self, Stored, certificate_key};
use crate::secrets::pki::{Pki, issue};

/// The most identifiers of an order.
const IDENTIFIERS_MAX: usize = 100;
/// The most orders that an account has at one time.
const ORDERS_MAX: usize = 1000;
/// How long an order waits for its proofs.
const OPEN: Ttl = Ttl::from_seconds(86_400);

/// An order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: String,
    identifiers: Vec<Identifier>,
    authorizations: Vec<String>,
    /// Until when its proofs count.
    expires: Timestamp,
    /// The end that was asked for.
    #[serde(default)]
    not_after: Option<String>,
    /// The serial number of its certificate.
    #[serde(default)]
    serial: Option<String>,
    /// The serial number of the certificate that it takes the place of.
    #[serde(default)]
    replaces: Option<String>,
}

/// Whose a certificate is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Issued {
    /// The account.
    pub account: String,
    /// What was proved for it.
    pub identifiers: Vec<Identifier>,
    /// The order that took its place.
    #[serde(default)]
    pub replaced_by: Option<String>,
}

/// The identifiers of an order, each of which its account has proved at this moment.
#[derive(Debug)]
pub struct Proved(BTreeSet<Identifier>);

impl Proved {
    /// What was proved.
    pub const fn identifiers(&self) -> &BTreeSet<Identifier> {
        &self.0
    }

    /// For tests of what needs it.
    #[cfg(test)]
    pub fn of(identifiers: impl IntoIterator<Item = Identifier>) -> Self {
        Self(identifiers.into_iter().collect())
    }
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Pending,
    Ready,
    Valid,
    Invalid,
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        }
    }
}

fn orders_key(account: &str) -> Key {
    Key::new("acme/order").join(account)
}

fn order_key(account: &str, id: &str) -> Key {
    orders_key(account).join(id)
}

/// Orders in the order of their ends.
pub fn ending_key() -> Key {
    Key::new("acme/ending")
}

/// Whose a certificate is.
pub fn issued_key(serial: &str) -> Key {
    Key::new("acme/cert").join(serial)
}

impl Order {
    /// Its authorizations, as they are in storage.
    fn authorizations(&self, view: &View, account: &str) -> Result<Vec<Authz>> {
        let load = |id: &String| view.get::<Authz>(&authz_key(account, id)).transpose();
        self.authorizations.iter().filter_map(load).collect()
    }

    fn status(&self, authorizations: &[Authz], now: Timestamp) -> Status {
        if self.serial.is_some() {
            return Status::Valid;
        }
        let states: Vec<AuthzStatus> = authorizations.iter().map(|authz| authz.status(now)).collect();
        if now >= self.expires || states.len() != self.authorizations.len() {
            return Status::Invalid;
        }
        match states {
            states if states.iter().all(|state| *state == AuthzStatus::Valid) => Status::Ready,
            states if states.iter().all(|state| matches!(state, AuthzStatus::Valid | AuthzStatus::Pending)) => {
                Status::Pending
            }
            _ => Status::Invalid,
        }
    }

    /// What was proved, if all of it was.
    fn proved(&self, authorizations: &[Authz], now: Timestamp) -> Option<Proved> {
        let (true, false) = (self.status(authorizations, now) == Status::Ready, self.identifiers.is_empty()) else {
            return None;
        };
        let proved = |wanted: &Identifier| {
            let (base, wildcard) = wanted.base();
            authorizations.iter().any(|authz| authz.identifier == base && authz.wildcard == wildcard)
        };
        self.identifiers.iter().all(proved).then(|| Proved(self.identifiers.iter().cloned().collect()))
    }

    fn answer(&self, desk: &Desk, account: &str, http: u16) -> Result<Answer, Fault> {
        let authorizations = self.authorizations(desk.cx.view(), account)?;
        Ok(self.shown(desk, &authorizations, http))
    }

    fn shown(&self, desk: &Desk, authorizations: &[Authz], http: u16) -> Answer {
        let status = self.status(authorizations, desk.cx.now());
        let address = desk.at(&format!("order/{}", self.id));
        let links = self.authorizations.iter().map(|id| desk.at(&format!("authorization/{id}"))).collect::<Vec<_>>();
        let mut members = vec![
            ("status", Json::from(status.word())),
            ("expires", self.expires.to_string().into()),
            ("identifiers", Json::Array(self.identifiers.iter().map(Identifier::json).collect())),
            ("authorizations", links.into()),
            ("finalize", format!("{address}/finalize").into()),
        ];
        if let Some(end) = &self.not_after {
            members.push(("notAfter", end.clone().into()));
        }
        if self.serial.is_some() {
            members.push(("certificate", format!("{address}/cert").into()));
        }
        if status == Status::Invalid
            && let Some(failure) = authorizations.iter().find_map(Authz::failure)
        {
            members.push(("error", failure));
        }
        Answer::json(http, &Json::object(members)).header("location", address)
    }
}

pub async fn new_order(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::signed(cx, place, Who::Account, open).await
}

async fn open(desk: Arc<Desk>, signed: Signed) -> Result<Answer, Fault> {
    let account = signed.account()?;
    let payload = signed.object()?;
    let cx = &desk.cx;
    let Some(Json::Array(list)) = payload.get("identifiers") else {
        return problem(Kind::Malformed, "an order needs a list of identifiers");
    };
    if list.is_empty() || list.len() > IDENTIFIERS_MAX {
        return problem(Kind::Malformed, format!("an order has 1 to {IDENTIFIERS_MAX} identifiers"));
    }
    let mut identifiers = list.iter().map(Identifier::read).collect::<Result<Vec<_>, _>>()?;
    identifiers.sort();
    identifiers.dedup();
    let office = desk.office()?;
    for identifier in &identifiers {
        // What the role would refuse in the end is not worth a proof.
        if let Err(error) = admission::check_name(&office.role, &identifier.name(), "") {
            return problem(Kind::RejectedIdentifier, error.to_string());
        }
    }
    if payload.get("notBefore").is_some_and(|value| *value != Json::Null) {
        return problem(Kind::Malformed, "notBefore is for the role to say");
    }
    let not_after = match payload.get("notAfter") {
        None | Some(Json::Null) => None,
        Some(value) => {
            let text = value.as_str().unwrap_or_default();
            crate::secrets::pki::lifetime::parse_end("notAfter", text)?;
            Some(text.to_owned())
        }
    };
    let replaces = match payload.get("replaces").and_then(Json::as_str) {
        Some(id) => Some(renewal::replaced(cx, id, &account.id, &identifiers)?),
        None => None,
    };
    if cx.list(&orders_key(&account.id))?.len() >= ORDERS_MAX {
        return problem(Kind::RateLimited, format!("an account has at most {ORDERS_MAX} orders at one time"));
    }
    let mut txn = cx.txn();
    let id = ids::uuid(cx.rng());
    let expires = time::after(cx.now(), OPEN);
    let mut authorizations = Vec::new();
    for identifier in &identifiers {
        let authz = Authz::new(cx, &id, identifier, expires);
        txn.create(&authz_key(&account.id, &authz.id), &authz)?;
        authorizations.push(authz);
    }
    let order = Order {
        id,
        identifiers,
        authorizations: authorizations.iter().map(|authz| authz.id.clone()).collect(),
        expires,
        not_after,
        serial: None,
        replaces,
    };
    txn.create(&order_key(&account.id, &order.id), &order)?;
    txn.create(&ending_key().at(expires).join(&account.id).join(&order.id), &())?;
    Ok(order.shown(&desk, &authorizations, 201).with(txn))
}

fn mine(desk: &Desk, account: &str, txn: &mut Txn) -> Result<Order, Fault> {
    let id = desk.place.id.clone().unwrap_or_default();
    match txn.get(&order_key(account, &id))? {
        Some(order) => Ok(order),
        None => Err(Problem::new(Kind::Malformed, "there is no such order").status(404).into()),
    }
}

pub async fn order(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::signed(cx, place, Who::Account, |desk, signed| async move {
        let account = signed.account()?.id.clone();
        mine(&desk, &account, &mut desk.cx.txn())?.answer(&desk, &account, 200)
    })
    .await
}

pub async fn orders(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::signed(cx, place, Who::Account, |desk, signed| async move {
        let ids = desk.cx.list(&orders_key(&signed.account()?.id))?;
        let addresses: Vec<String> = ids.iter().map(|id| desk.at(&format!("order/{id}"))).collect();
        Ok(Answer::json(200, &Json::object([("orders", Json::from(addresses))])))
    })
    .await
}

pub async fn finalize(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::signed(cx, place, Who::Account, conclude).await
}

async fn conclude(desk: Arc<Desk>, signed: Signed) -> Result<Answer, Fault> {
    let cx = &desk.cx;
    let account = signed.account()?.id.clone();
    let mut txn = cx.txn();
    let mut order = mine(&desk, &account, &mut txn)?;
    let mut authorizations = Vec::new();
    for id in &order.authorizations {
        // Read in this transaction: what is given up while the certificate is signed takes it back.
        authorizations.extend(txn.get::<Authz>(&authz_key(&account, id))?);
    }
    let Some(proved) = order.proved(&authorizations, cx.now()) else {
        return match order.serial {
            Some(_) => Ok(order.shown(&desk, &authorizations, 200)),
            None => problem(Kind::OrderNotReady, "not all identifiers of the order are proved"),
        };
    };
    let payload = signed.object()?;
    let text = payload.get("csr").and_then(Json::as_str).unwrap_or_default();
    let request = match BASE64.decode(text).ok().map(|der| Request::from_der(&der)) {
        Some(Ok(request)) => request,
        Some(Err(error)) => return problem(Kind::BadCsr, error.to_string()),
        None => return problem(Kind::BadCsr, "csr: no base64url"),
    };
    if *request.public_key() == *signed.verified.key.key() {
        return problem(Kind::BadCsr, "the key of an account is not for certificates");
    }
    let Office { role, role_name, authority } = desk.office()?;
    let facts = Facts {
        display_name: String::new(),
        now: cx.now(),
        limits: cx.limits,
        issuer_end: (authority.certificate.not_after(), authority.issuer.beyond),
        chance: cx.rng().below(u64::MAX),
    };
    let asked = Asked::only_until(order.not_after.clone());
    let admitted = match admission::admit(&role, Ask::Proved(&request, &proved), &asked, &facts) {
        Ok(admitted) => admitted,
        Err(Error::Invalid(text)) => return problem(Kind::BadCsr, text),
        Err(other) => return Err(other.into()),
    };
    let manner = Manner { bits: role.signature_bits, pss: role.use_pss };
    let certified = issue::signed(cx, admitted, authority.clone(), manner).await?;
    let certificate = &certified.certificate;
    let serial = certificate.serial_text();
    store::add(&mut txn, certificate, &authority.issuer, &role_name)?;
    let issued = Issued { account: account.clone(), identifiers: order.identifiers.clone(), replaced_by: None };
    txn.create(&issued_key(&serial), &issued)?;
    if let Some(old) = &order.replaces {
        // Two orders for one certificate: the first to end is the one that replaced it.
        if let Some(mut before) = txn.get::<Issued>(&issued_key(old))?.filter(|one| one.replaced_by.is_none()) {
            before.replaced_by = Some(order.id.clone());
            txn.put(&issued_key(old), &before)?;
        }
    }
    order.serial = Some(serial);
    txn.put(&order_key(&account, &order.id), &order)?;
    Ok(order.shown(&desk, &authorizations, 200).with(txn))
}

pub async fn certificate(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::signed(cx, place, Who::Account, |desk, signed| async move {
        let account = signed.account()?.id.clone();
        let order = mine(&desk, &account, &mut desk.cx.txn())?;
        let stored = match &order.serial {
            Some(serial) => desk.cx.get::<Stored>(&certificate_key(serial))?,
            None => return problem(Kind::OrderNotReady, "the order has no certificate yet"),
        };
        let Some(stored) = stored else {
            return Err(Problem::new(Kind::Malformed, "the certificate is gone").status(404).into());
        };
        let chains = chains(&desk.cx, &stored)?;
        let which = desk.place.part.as_deref().map_or(Ok(0), str::parse::<usize>).ok();
        let Some(chain) = which.and_then(|which| chains.get(which)) else {
            return Err(Problem::new(Kind::Malformed, "there is no such chain").status(404).into());
        };
        let text = [stored.certificate.as_str(), chain.as_str()].map(|pem| format!("{}\n", pem.trim_end())).concat();
        let mut answer = Answer::bytes(200, "application/pem-certificate-chain", text.into_bytes());
        let address = desk.at(&format!("order/{}/cert", order.id));
        for other in (0..chains.len()).filter(|other| Some(*other) != which) {
            let at = if other == 0 { address.clone() } else { format!("{address}/{other}") };
            answer = answer.header("link", format!("<{at}>;rel=\"alternate\""));
        }
        Ok(answer)
    })
    .await
}

/// The chains above a certificate: its issuer's first, then those of other issuers with the same name and key.
fn chains(cx: &Cx<Pki>, stored: &Stored) -> Result<Vec<String>> {
    let mut issuers = issuer::all(cx.view())?;
    issuers.retain(|one| one.list == stored.list);
    issuers.sort_by_key(|one| one.id != stored.issuer_id);
    let mut chains = Vec::new();
    for one in &issuers {
        chains.push(without_root(one)?);
    }
    Ok(chains)
}

/// A chain for a server to send: a root is left out, unless it is the issuer itself, which clients want to see.
fn without_root(issuer: &Issuer) -> Result<String> {
    let mut kept = Vec::new();
    for (at, pem) in issuer.chain.iter().enumerate() {
        let certificate = Certificate::from_pem(pem)?;
        if at == 0 || certificate.subject() != certificate.issuer() {
            kept.push(pem.trim_end());
        }
    }
    Ok(kept.join("\n"))
}

/// Removes an order whose time is over, with its authorizations; or finds that it is still of use.
///
/// # Errors
/// Those of storage.
pub fn end(cx: &Cx<Pki>, txn: &mut Txn, account: &str, id: &str) -> Result<bool> {
    let Some(order) = txn.get::<Order>(&order_key(account, id))? else { return Ok(false) };
    let certificate = order.serial.as_ref().map(|serial| cx.get::<Stored>(&certificate_key(serial))).transpose()?;
    if let Some(stored) = certificate.flatten()
        && stored.not_after > cx.now()
    {
        txn.overwrite(&ending_key().at(stored.not_after).join(account).join(id), &())?;
        return Ok(false);
    }
    for authz in &order.authorizations {
        txn.delete(&authz_key(account, authz));
    }
    txn.delete(&order_key(account, id));
    Ok(true)
}

/// What is told of an account's orders to who rules over the mount; it has a thousand at most.
///
/// # Errors
/// Those of storage.
pub fn of_account(cx: &Cx<Pki>, account: &str) -> Result<Vec<Json>> {
    let orders: Vec<(Key, Order)> = cx.view().read(|reading| reading.first(&orders_key(account), ORDERS_MAX))?;
    let about = |(_, order): (Key, Order)| {
        let authorizations = order.authorizations(cx.view(), account)?;
        let status = order.status(&authorizations, cx.now());
        let stored = order.serial.as_ref().map(|serial| cx.get::<Stored>(&certificate_key(serial))).transpose()?;
        let end = stored.flatten().map(|stored| stored.not_after);
        let names: Vec<String> = order.identifiers.iter().map(Identifier::text).collect();
        Ok(Json::object([
            ("cert_expiry", Json::from(end.map(|at| at.to_string()).unwrap_or_default())),
            ("cert_serial_number", order.serial.clone().unwrap_or_default().into()),
            ("identifiers", names.into()),
            ("order_expiry", order.expires.to_string().into()),
            ("order_id", order.id.into()),
            ("status", status.word().into()),
        ]))
    };
    orders.into_iter().map(about).collect()
}

/// Whether an account has orders.
///
/// # Errors
/// Those of storage.
pub fn has_orders(cx: &Cx<Pki>, account: &str) -> Result<bool> {
    let first = cx.view().read(|reading| reading.first_keys(&orders_key(account), 1))?;
    Ok(!first.is_empty())
}

/// The identifiers that an account has proved, by authorizations that still count.
///
/// # Errors
/// Those of storage.
pub fn proved_by(cx: &Cx<Pki>, account: &str) -> Result<BTreeSet<(Identifier, bool)>> {
    let mut proved = BTreeSet::new();
    for id in cx.list(&Key::new("acme/authz").join(account))? {
        if let Some(authz) = cx.get::<Authz>(&authz_key(account, &id))?
            && authz.status(cx.now()) == AuthzStatus::Valid
        {
            proved.insert((authz.identifier, authz.wildcard));
        }
    }
    Ok(proved)
}

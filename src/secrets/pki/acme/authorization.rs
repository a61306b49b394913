//! Authorizations: what an account has proved of one identifier, by one of the challenges.
//!
//!     acme/authz/<account>/<id>                 the authorization with its challenges
//!     acme/work/<when>/<account>/<id>/<kind>    a challenge that is to be looked at again
//!
//! A challenge is looked at when its client says that it is ready; if that fails, again from the background, a few times
//! and ever later: names and servers take a while to be seen everywhere.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::account::{Account, account_key};
use super::config;
use super::desk::{self, Answer, Desk, Place, Signed, Who};
use super::identifier::Identifier;
use super::problem::{Fault, Kind, Problem, problem};
use super::validate::{self, Task};
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::key::Segment;
use crate::base::time::nanoseconds;
use crate::base::{Error, Json, Key, Result, Timestamp, Ttl, time};
use crate::crypto::base62;
use crate::engine::{Cx, Reply};
use crate::secrets::pki::Pki;

/// The pauses before a challenge is looked at again, in seconds; after the last one it has failed.
const PAUSES: [u64; 4] = [2, 5, 15, 60];
/// How many challenges one step of the background looks at, all at once.
const AT_ONCE: usize = 8;
/// Letters of a token: some 190 bits.
const TOKEN_LETTERS: usize = 32;

/// An authorization.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Authz {
    /// Its id.
    pub id: String,
    /// The order that it was made for.
    pub order: String,
    /// What is to be proved.
    pub identifier: Identifier,
    /// Whether it is for the wildcard below the identifier.
    pub wildcard: bool,
    /// How far it is.
    status: Status,
    /// Until when it is good.
    pub expires: Timestamp,
    challenges: Vec<Challenge>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Challenge {
    kind: validate::Kind,
    token: String,
    status: Status,
    attempts: usize,
    #[serde(default)]
    validated: Option<Timestamp>,
    /// The problem of the last attempt, as JSON.
    #[serde(default)]
    error: Option<String>,
}

/// How far an authorization or a challenge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing was tried.
    Pending,
    /// It was tried, and will be again.
    Processing,
    /// It is proved.
    Valid,
    /// It is not.
    Invalid,
    /// Its holder gave it up.
    Deactivated,
    /// Its time is over.
    Expired,
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Deactivated => "deactivated",
            Self::Expired => "expired",
        }
    }
}

/// An authorization's place.
pub fn authz_key(account: &str, id: &str) -> Key {
    Key::new("acme/authz").join(account).join(id)
}

fn work_key() -> Key {
    Key::new("acme/work")
}

fn work_row(at: Timestamp, account: &str, authz: &str, kind: validate::Kind) -> Key {
    work_key().at(at).join(account).join(authz).join(kind.word())
}

impl Authz {
    /// A new one, with the challenges that can prove such an identifier.
    pub fn new(cx: &Cx<Pki>, order: &str, wanted: &Identifier, expires: Timestamp) -> Self {
        use validate::Kind::{Dns01, Http01, TlsAlpn01};
        let (identifier, wildcard) = wanted.base();
        let kinds: &[validate::Kind] = match (&identifier, wildcard) {
            (Identifier::Dns(_), true) => &[Dns01],
            (Identifier::Dns(_), false) => &[Http01, Dns01, TlsAlpn01],
            (Identifier::Ip(_), _) => &[Http01, TlsAlpn01],
        };
        // One token for all: a client that tries another challenge has nothing to guess.
        let token = base62(cx.rng(), TOKEN_LETTERS).reveal().clone();
        let challenge = |kind: &validate::Kind| Challenge {
            kind: *kind,
            token: token.clone(),
            status: Status::Pending,
            attempts: 0,
            validated: None,
            error: None,
        };
        Self {
            id: crate::base::ids::uuid(cx.rng()),
            order: order.to_owned(),
            identifier,
            wildcard,
            status: Status::Pending,
            expires,
            challenges: kinds.iter().map(challenge).collect(),
        }
    }

    /// How far it is at this moment.
    pub fn status(&self, now: Timestamp) -> Status {
        match self.status {
            Status::Pending | Status::Valid if now >= self.expires => Status::Expired,
            other => other,
        }
    }

    /// The problem of the challenge that failed, if one did.
    pub fn failure(&self) -> Option<Json> {
        let failed = self.challenges.iter().find(|challenge| challenge.status == Status::Invalid)?;
        failed.error.as_ref().and_then(|text| Json::parse(text.as_bytes()).ok())
    }

    fn json(&self, desk: &Desk) -> Json {
        let now = desk.cx.now();
        let challenges = self.challenges.iter().map(|one| self.challenge_json(desk, one).into()).collect();
        let mut members = vec![
            ("identifier", self.identifier.json()),
            ("status", self.status(now).word().into()),
            ("expires", self.expires.to_string().into()),
            ("challenges", Json::Array(challenges)),
        ];
        if self.wildcard {
            members.push(("wildcard", true.into()));
        }
        Json::object(members)
    }

    fn challenge_json(&self, desk: &Desk, challenge: &Challenge) -> Map {
        let mut members = Map::from(
            [
                ("type", Json::from(challenge.kind.word())),
                ("url", desk.at(&format!("challenge/{}/{}", self.id, challenge.kind.word())).into()),
                ("status", challenge.status.word().into()),
                ("token", challenge.token.clone().into()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if let Some(at) = challenge.validated {
            members.insert("validated".into(), at.to_string().into());
        }
        if let Some(error) = challenge.error.as_ref().and_then(|text| Json::parse(text.as_bytes()).ok()) {
            members.insert("error".into(), error);
        }
        members
    }

    /// Takes in what an attempt found; when to try again, if it is to be.
    fn settle(&mut self, kind: validate::Kind, found: &Result<(), Problem>, now: Timestamp) -> Option<Timestamp> {
        let challenge = self.challenges.iter_mut().find(|one| one.kind == kind)?;
        let pause = PAUSES.get(challenge.attempts).copied();
        challenge.attempts += 1;
        match (found, pause) {
            (Ok(()), _) => {
                challenge.status = Status::Valid;
                challenge.validated = Some(now);
                challenge.error = None;
                self.status = Status::Valid;
                None
            }
            (Err(problem), Some(seconds)) => {
                challenge.status = Status::Processing;
                challenge.error = Some(problem.json().text());
                Some(time::after(now, Ttl::from_seconds(seconds)))
            }
            (Err(problem), None) => {
                challenge.status = Status::Invalid;
                challenge.error = Some(problem.json().text());
                self.status = Status::Invalid;
                None
            }
        }
    }
}

fn mine(desk: &Desk, account: &Account, txn: &mut Txn) -> Result<Authz, Fault> {
    let id = desk.place.id.clone().unwrap_or_default();
    match txn.get(&authz_key(&account.id, &id))? {
        Some(authz) => Ok(authz),
        None => Err(Problem::new(Kind::Malformed, "there is no such authorization").status(404).into()),
    }
}

pub async fn authorization(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::signed(cx, place, Who::Account, show).await
}

async fn show(desk: Arc<Desk>, signed: Signed) -> Result<Answer, Fault> {
    let mut txn = desk.cx.txn();
    let account = signed.account()?;
    let mut authz = mine(&desk, account, &mut txn)?;
    if signed.only_looks() {
        return Ok(Answer::json(200, &authz.json(&desk)));
    }
    if signed.object()?.get("status").and_then(Json::as_str) != Some("deactivated") {
        return problem(Kind::Malformed, "an authorization can only become deactivated");
    }
    authz.status = Status::Deactivated;
    txn.put(&authz_key(&account.id, &authz.id), &authz)?;
    Ok(Answer::json(200, &authz.json(&desk)).with(txn))
}

pub async fn challenge(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::signed(cx, place, Who::Account, respond).await
}

async fn respond(desk: Arc<Desk>, signed: Signed) -> Result<Answer, Fault> {
    let account = signed.account()?;
    let mut txn = desk.cx.txn();
    let mut authz = mine(&desk, account, &mut txn)?;
    let kind = desk.place.part.as_deref().and_then(validate::Kind::parse);
    let found = authz.challenges.iter().find(|one| Some(one.kind) == kind).cloned();
    let Some(challenge) = found else {
        return Err(Problem::new(Kind::Malformed, "there is no such challenge").status(404).into());
    };
    let now = desk.cx.now();
    let untouched = challenge.status == Status::Pending && authz.status(now) == Status::Pending;
    if signed.only_looks() || !untouched {
        return Ok(challenge_answer(&desk, &authz, challenge.kind));
    }
    signed.object()?;
    let task = Task {
        kind: challenge.kind,
        identifier: authz.identifier.clone(),
        token: challenge.token,
        thumbprint: account.thumbprint().to_owned(),
    };
    let outcome = match desk.cx.engine().validations.clone().try_acquire_owned() {
        Ok(_place) => validate::attempt(&desk.cx, &desk.config, &task).await,
        Err(_) => Err(Problem::new(Kind::Connection, "not looked at yet")),
    };
    if let Some(next) = authz.settle(task.kind, &outcome, now) {
        txn.create(&work_row(next, &account.id, &authz.id, task.kind), &())?;
    }
    txn.put(&authz_key(&account.id, &authz.id), &authz)?;
    Ok(challenge_answer(&desk, &authz, task.kind).with(txn))
}

fn challenge_answer(desk: &Desk, authz: &Authz, kind: validate::Kind) -> Answer {
    let Some(challenge) = authz.challenges.iter().find(|one| one.kind == kind) else {
        return Answer::bytes(404, "application/json", Vec::new());
    };
    let answer = Answer::json(200, &authz.challenge_json(desk, challenge).into());
    let up = format!("<{}>;rel=\"up\"", desk.at(&format!("authorization/{}", authz.id)));
    let answer = answer.header("link", up);
    if challenge.status == Status::Processing { answer.header("retry-after", "2") } else { answer }
}

/// Looks again at challenges whose time has come.
///
/// # Errors
/// Those of storage.
pub async fn look_again(cx: &Cx<Pki>) -> Result<Option<Txn>> {
    let now = nanoseconds(cx.now()).max(0).unsigned_abs();
    let rows = cx.view().read(|reading| reading.first_keys(&work_key(), AT_ONCE))?;
    let due: Vec<Key> = rows
        .into_iter()
        .filter(|key| key.segments().next().and_then(Segment::number).is_some_and(|when| when <= now))
        .collect();
    if due.is_empty() {
        return Ok(None);
    }
    let config = config::load(cx)?;
    let mut txn = cx.txn();
    let mut open = Vec::new();
    for row in due {
        txn.delete(&work_key().append(&row));
        let names: Vec<&str> =
            row.segments().filter_map(|part| if let Segment::Name(name) = part { Some(name) } else { None }).collect();
        let [account, id, kind] = names[..] else { continue };
        let Some(kind) = validate::Kind::parse(kind) else { continue };
        let holder: Option<Account> = cx.get(&account_key(account))?;
        let authz: Option<Authz> = txn.get(&authz_key(account, id))?;
        let (Some(holder), Some(authz)) = (holder, authz) else { continue };
        let waits = authz.status(cx.now()) == Status::Pending && holder.check_in_use().is_ok() && config.enabled;
        let Some(challenge) = authz.challenges.iter().find(|one| one.kind == kind).filter(|_| waits) else { continue };
        let task = Task {
            kind,
            identifier: authz.identifier.clone(),
            token: challenge.token.clone(),
            thumbprint: holder.thumbprint().to_owned(),
        };
        open.push((holder.id, authz, task));
    }
    let attempts = open.iter().map(|(_, _, task)| validate::attempt(cx, &config, task));
    let outcomes = futures_util::future::join_all(attempts).await;
    for ((account, mut authz, task), outcome) in open.into_iter().zip(outcomes) {
        // The same authorization may be there twice, by two of its challenges: what the first found counts.
        let key = authz_key(&account, &authz.id);
        authz = txn.get(&key)?.ok_or_else(|| Error::internal("an authorization went while it was looked at"))?;
        if authz.status != Status::Pending {
            continue;
        }
        if let Some(next) = authz.settle(task.kind, &outcome, cx.now()) {
            txn.overwrite(&work_row(next, &account, &authz.id, task.kind), &())?;
        }
        txn.put(&key, &authz)?;
    }
    Ok(Some(txn))
}

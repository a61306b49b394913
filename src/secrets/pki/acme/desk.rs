//! The frame around each ACME request: which directory it came to, who signed it, the nonce it spends, the headers of
//! its answer. Clients need no tuned headers: what RFC 8555 wants is in every answer from here.

use std::future::Future;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::account::{self, Account};
use super::config::{self, Config, EabPolicy, Policy};
use super::jws::{Signer, Unverified, Verified};
use super::nonce;
use super::problem::{self, Fault, Kind, Problem, problem};
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::{Error, Json, Result};
use crate::engine::{Body, Cx, Reply};
use crate::params;
use crate::secrets::pki::admission;
use crate::secrets::pki::authority::Authority;
use crate::secrets::pki::issuer::Cluster;
use crate::secrets::pki::role::Role;
use crate::secrets::pki::store::config_key;
use crate::secrets::pki::{Pki, roles};

/// The media type of a request.
const JOSE: &str = "application/jose+json";
/// What a path keeps as it is.
const IN_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b'@').remove(b':');

params! {
    /// What the path says: the directory, and what below it is meant.
    pub struct Place {
        /// The issuer, if the directory has one.
        issuer_ref: Option<String>,
        /// The role, if the directory has one.
        role: Option<String>,
        /// The account, order or authorization.
        id: Option<String>,
        /// The kind of challenge, or which of several chains.
        part: Option<String>,
    }
}

/// A directory at work on one request.
pub struct Desk {
    /// The request.
    pub cx: Cx<Pki>,
    /// Where it came to.
    pub place: Place,
    /// The settings.
    pub config: Config,
    /// The directory's address, with its slash; the addresses of all its things begin with it.
    pub base: String,
    /// The directory by itself, such as `roles/web/`; empty for the default one.
    pub scope: String,
    /// The address that the request came to.
    url: String,
}

/// Who has to sign.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// An account of this directory.
    Account,
    /// Whoever has the key that comes along.
    Newcomer,
    /// Either.
    Anybody,
}

/// A request that was signed by who it says it is.
pub struct Signed {
    /// What it carries.
    pub payload: Vec<u8>,
    /// The account behind it.
    pub account: Option<Account>,
    /// The key.
    pub verified: Verified,
}

impl Signed {
    /// The account. Who asks for it has asked for [`Who::Account`].
    pub fn account(&self) -> Result<&Account, Fault> {
        self.account.as_ref().ok_or_else(|| Error::internal("a request without its account").into())
    }

    /// The payload as an object.
    pub fn object(&self) -> Result<Map, Fault> {
        match Json::parse(&self.payload)? {
            Json::Object(map) => Ok(map),
            _ => problem(Kind::Malformed, "the payload is no object"),
        }
    }

    /// Whether it only asks to see: a payload of nothing (RFC 8555 section 6.3).
    pub fn only_looks(&self) -> bool {
        self.payload.is_empty()
    }
}

/// An answer in the making.
pub struct Answer {
    status: u16,
    media_type: &'static str,
    headers: Vec<(&'static str, String)>,
    bytes: Vec<u8>,
    txn: Option<Txn>,
}

impl Answer {
    /// An object.
    pub fn json(status: u16, json: &Json) -> Self {
        Self::bytes(status, "application/json", json.text().into_bytes())
    }

    /// Bytes.
    pub const fn bytes(status: u16, media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { status, media_type, headers: Vec::new(), bytes, txn: None }
    }

    /// A problem, where something is written down beside it.
    pub fn problem(problem: &Problem) -> Self {
        Self::bytes(problem.code(), problem::MEDIA_TYPE, problem.json().text().into_bytes())
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With this change.
    #[must_use]
    pub fn with(mut self, txn: Txn) -> Self {
        self.txn = Some(txn);
        self
    }
}

/// What a directory signs, resolved.
pub struct Office {
    /// The role.
    pub role: Role,
    /// Its name; empty for none.
    pub role_name: String,
    /// Who signs.
    pub authority: Arc<Authority>,
}

impl Desk {
    /// The desk of a request; none where ACME is off.
    ///
    /// # Errors
    /// Those of storage.
    pub fn open(cx: Cx<Pki>, place: Place) -> Result<Option<Self>> {
        let config = config::load(&cx)?;
        let cluster: Cluster = cx.get(&config_key("cluster"))?.unwrap_or_default();
        if !config.enabled || cluster.path.is_empty() {
            return Ok(None);
        }
        let mut scope = String::new();
        if let Some(issuer) = &place.issuer_ref {
            scope.push_str(&format!("issuer/{issuer}/"));
        }
        if let Some(role) = &place.role {
            scope.push_str(&format!("roles/{role}/"));
        }
        let root = cluster.path.trim_end_matches('/');
        let base = format!("{root}/{}acme/", utf8_percent_encode(&scope, IN_PATH));
        let below = cx.path.as_str().get(cx.mount.path.as_str().len()..).unwrap_or_default();
        let url = format!("{root}/{}", utf8_percent_encode(below, IN_PATH));
        Ok(Some(Self { cx, place, config, base, scope, url }))
    }

    /// An address below the directory.
    pub fn at(&self, below: &str) -> String {
        format!("{}{below}", self.base)
    }

    /// What follows a prefix in an address of this directory.
    pub fn within<'a>(&self, address: &'a str, prefix: &str) -> Option<&'a str> {
        address.strip_prefix(self.base.as_str())?.strip_prefix(prefix).filter(|id| !id.is_empty())
    }

    /// The role and the issuer of this directory.
    ///
    /// # Errors
    /// The problems `unauthorized` and `serverInternal`, for what the settings do not let this directory sign.
    pub fn office(&self) -> Result<Office, Fault> {
        let named = match (&self.place.role, self.config.policy()?) {
            (Some(name), _) => Some(name.clone()),
            (None, Policy::Role(name)) => Some(name),
            (None, Policy::Verbatim) => None,
            (None, Policy::Forbid) => {
                return problem(Kind::Unauthorized, "this directory signs nothing: use that of a role");
            }
        };
        if named.as_ref().is_some_and(|name| !self.config.allows_role(name)) {
            return problem(Kind::Unauthorized, "the role of this directory may not be used by ACME");
        }
        let role = match &named {
            None => Arc::new(admission::proved_role()),
            Some(name) => match roles::load(&self.cx, name) {
                Ok(role) => role,
                Err(Error::Invalid(text)) => return Err(Problem::new(Kind::Malformed, text).status(404).into()),
                Err(other) => return Err(other.into()),
            },
        };
        if role.no_store {
            return problem(Kind::Unauthorized, "a role with no_store cannot be used by ACME");
        }
        // Nobody has an identity here: what a template would have said allows nothing.
        let role = role.filled(&crate::policy::NoFacts)?;
        let reference = self.place.issuer_ref.clone().unwrap_or_else(|| role.issuer_ref.clone());
        let authority = match self.cx.view().read(|reading| self.cx.engine().authorities.issuing(reading, &reference)) {
            Ok(authority) => authority,
            Err(Error::Invalid(text)) if self.place.issuer_ref.is_some() => {
                return Err(Problem::new(Kind::Malformed, text).status(404).into());
            }
            Err(Error::Invalid(text)) => return problem(Kind::ServerInternal, text),
            Err(other) => return Err(other.into()),
        };
        if !self.config.allows_issuer(&authority.issuer.id, &authority.issuer.name) {
            return problem(Kind::Unauthorized, "the issuer of this directory may not be used by ACME");
        }
        Ok(Office { role: role.into_owned().for_acme(&self.config), role_name: named.unwrap_or_default(), authority })
    }

    /// The request, if it is signed by who it says it is, and its nonce, spent.
    fn admit(&self, who: Who, txn: &mut Txn) -> Result<Signed, Fault> {
        let raw = self.cx.raw.clone().unwrap_or_default();
        let media_type = self.cx.header("content-type").unwrap_or_default();
        if media_type.split(';').next().unwrap_or_default().trim() != JOSE {
            let wrong = Problem::new(Kind::Malformed, format!("want a body of the type {JOSE}"));
            return Err(wrong.status(415).into());
        }
        let request = Unverified::parse(&raw.body)?;
        let (key, account) = match request.signer()? {
            Signer::Key(key) if who != Who::Account => (key, None),
            Signer::Account(address) if who != Who::Newcomer => {
                let account = account::find(self, &address, txn)?;
                (account.key()?, Some(account))
            }
            Signer::Key(_) => return problem(Kind::Malformed, "JWS: want 'kid', the address of an account"),
            Signer::Account(_) => return problem(Kind::Malformed, "JWS: want 'jwk', the key itself"),
        };
        let verified = request.verify(key)?;
        if verified.url != self.url {
            return problem(Kind::Unauthorized, "JWS: 'url' is not where the request was sent");
        }
        nonce::spend(self.cx.view(), self.cx.now(), &verified.nonce, txn)?;
        if let Some(account) = &account {
            account.check_in_use()?;
            if self.config.eab_policy == EabPolicy::Everybody && account.eab.is_none() {
                return problem(Kind::ExternalAccountRequired, "the account is not bound to an external one");
            }
        }
        Ok(Signed { payload: verified.payload.clone(), account, verified })
    }

    /// Turns an answer into a reply with the headers of this directory.
    fn reply(&self, answer: Answer) -> Result<Reply> {
        let mut reply = Reply::raw(answer.status, answer.media_type, answer.bytes);
        if let Body::Raw { headers, .. } = &mut reply.body {
            headers.push(("replay-nonce", nonce::fresh(self.cx.view(), self.cx.now(), self.cx.rng())?));
            headers.push(("link", format!("<{}>;rel=\"index\"", self.at("directory"))));
            headers.extend(answer.headers);
        }
        Ok(match answer.txn {
            Some(txn) => reply.with(txn),
            None => reply,
        })
    }

    fn refusal(&self, problem: &Problem, spent: Txn) -> Result<Reply> {
        self.reply(Answer::problem(problem).with(spent))
    }
}

/// The answer where ACME is off: as if it were not there.
fn off() -> Reply {
    Reply::raw(404, "application/json", Vec::new())
}

/// Answers what needs no signature.
///
/// # Errors
/// Those of storage.
pub fn open_to_all(cx: Cx<Pki>, place: Place, f: impl FnOnce(&Desk) -> Result<Answer, Fault>) -> Result<Reply> {
    let Some(desk) = Desk::open(cx, place)? else { return Ok(off()) };
    match f(&desk) {
        Ok(answer) => desk.reply(answer),
        Err(Fault::Problem(problem)) => desk.refusal(&problem, desk.cx.txn()),
        Err(Fault::Error(error)) => Err(error),
    }
}

/// Answers a signed request. Its nonce is spent whatever comes of it, once the signature was found good.
///
/// # Errors
/// Those of storage; a conflict, for the vault to run the request again.
pub async fn signed<F, Fut>(cx: Cx<Pki>, place: Place, who: Who, f: F) -> Result<Reply>
where
    F: FnOnce(std::sync::Arc<Desk>, Signed) -> Fut,
    Fut: Future<Output = Result<Answer, Fault>>,
{
    let Some(desk) = Desk::open(cx, place)? else { return Ok(off()) };
    let desk = std::sync::Arc::new(desk);
    let mut spent = desk.cx.txn();
    let admitted = desk.admit(who, &mut spent);
    let outcome = match admitted {
        Ok(signed) => f(desk.clone(), signed).await,
        Err(fault) => Err(fault),
    };
    match outcome {
        Ok(mut answer) => {
            if let Some(txn) = answer.txn.take() {
                spent.merge(txn);
            }
            desk.reply(answer.with(spent))
        }
        Err(Fault::Problem(problem)) => desk.refusal(&problem, spent),
        Err(Fault::Error(error)) => Err(error),
    }
}

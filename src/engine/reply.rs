//! What a handler answers, with the change that goes with it.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Stream};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::token_rules::TokenKind;
use super::{Cx, Engine, MakesTokens};
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::{Json, Ttl, is_default};

/// An answer, and the change to commit before it is given.
pub struct Reply {
    /// What the client gets.
    pub body: Body,
    /// Words for people beside it.
    pub warnings: Vec<String>,
    /// A status other than the body's own, such as 404 with data for a deleted version.
    pub status: Option<u16>,
    /// The change.
    pub txn: Option<Txn>,
    /// Wrapped for so long, as the answer to this path, whatever was asked for: for what was wrapped before.
    pub rewrap: Option<(Ttl, String)>,
    /// How long the data are good for, where no lease stands behind them.
    pub lease_duration: Option<Ttl>,
    /// The handle of the secret within, which who gets the answer wrapped may know.
    pub accessor: Option<String>,
}

/// The kinds of answer.
pub enum Body {
    /// 204.
    Empty,
    /// The `data` of the envelope.
    Data(Map),
    /// Data that is taken back when its lease ends.
    Leased(Leased),
    /// A token to be made.
    Login(Admitted),
    /// A login that is none: what it would give is told, and nothing is made.
    Simulated(Simulated),
    /// An answer that was made before: what a wrapping token holds.
    Whole(Json),
    /// Bytes as they are: CRL, OCSP, ACME.
    Raw {
        /// The HTTP status.
        status: u16,
        /// The media type.
        media_type: &'static str,
        /// More headers.
        headers: Vec<(&'static str, String)>,
        /// The body.
        bytes: Vec<u8>,
    },
    /// Bytes that come over time. They end with the vault, and with the caller's right to them; they are never wrapped, and
    /// the request's own bound of time is over when they begin.
    Stream {
        /// The media type.
        media_type: &'static str,
        /// The body, piece by piece: none is asked for before the client has taken the one before.
        pieces: Pieces,
    },
}

/// What a streaming answer consists of.
pub type Pieces = BoxStream<'static, Vec<u8>>;

/// Data under a lease.
pub struct Leased {
    /// The `data` of the envelope.
    pub data: Map,
    /// How long; 0 for the mount's default.
    pub ttl: Ttl,
    /// At most, with all renewals; 0 for the mount's.
    pub max_ttl: Ttl,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// What the engine needs to renew or revoke it.
    pub internal: Json,
}

/// Whom an auth method recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The name, canonical, unique within the mount.
    pub name: String,
    /// What the method knows of it.
    pub metadata: BTreeMap<String, String>,
}

/// A login that succeeded: what its token shall be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Login {
    /// The name that logs show; the vault puts the mount's in front.
    #[serde(skip_serializing_if = "is_default")]
    pub display_name: String,
    /// The policies that the method gives.
    #[serde(skip_serializing_if = "is_default")]
    pub policies: Vec<String>,
    /// Without the policy `default`.
    #[serde(skip_serializing_if = "is_default")]
    pub no_default_policy: bool,
    /// What the token carries for people.
    #[serde(skip_serializing_if = "is_default")]
    pub metadata: BTreeMap<String, String>,
    /// Who it is, for identity.
    #[serde(skip_serializing_if = "is_default")]
    pub alias: Option<Alias>,
    /// The groups that the method counts it among, by the names that group aliases of its mount have. The vault makes the
    /// entity a member of exactly those external groups of this mount.
    pub groups: Vec<String>,
    /// 0 for the mount's default.
    #[serde(skip_serializing_if = "is_default")]
    pub ttl: Ttl,
    /// 0 for the mount's.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ttl: Ttl,
    /// A hard end; 0 for none.
    #[serde(skip_serializing_if = "is_default")]
    pub explicit_max_ttl: Ttl,
    /// For tokens that live as long as they are renewed; 0 for none.
    #[serde(skip_serializing_if = "is_default")]
    pub period: Ttl,
    /// 0 for no count.
    #[serde(skip_serializing_if = "is_default")]
    pub num_uses: u64,
    /// Where the token may be used from; empty for anywhere.
    #[serde(skip_serializing_if = "is_default")]
    pub bound_cidrs: Vec<IpNet>,
    /// Service, batch, or as the mount says.
    #[serde(skip_serializing_if = "is_default")]
    pub kind: TokenKind,
    /// Whether it can be renewed.
    #[serde(skip_serializing_if = "is_default")]
    pub renewable: bool,
    /// What the method needs to renew it.
    #[serde(skip_serializing_if = "is_default")]
    pub internal: Json,
    /// For tokens made by tokens; the vault takes it from `auth/token/` alone.
    #[serde(skip)]
    pub child: Option<Child>,
    /// For a login that had to wait for a second factor; the vault takes it from `sys/` alone.
    #[serde(skip)]
    pub resumed: Option<Resumed>,
}

/// A login as an answer. Only [`Reply::login`] makes one, for engines of a class that makes tokens.
pub struct Admitted(Box<Login>);

impl Admitted {
    /// What the token shall be.
    pub fn login(self) -> Login {
        *self.0
    }
}

/// What a method says of a login that is only asked about.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    /// What the method knows of it, for the answer.
    pub about: Map,
    /// All that stands against it, each in words that hold no secret.
    pub reasons: Vec<String>,
    /// The login, if nothing does.
    pub login: Option<Box<Login>>,
}

/// Where a login that had to wait came from.
#[derive(Clone, Debug, Default)]
pub struct Resumed {
    /// The accessor of the auth mount.
    pub mount_accessor: String,
    /// The path of the login.
    pub path: String,
}

/// What is particular to a token that a token makes.
#[derive(Clone, Debug, Default)]
pub struct Child {
    /// The digest of the parent; empty for an orphan.
    pub parent: String,
    /// A text that was asked for.
    pub text: Option<crate::base::Secret<String>>,
    /// The token role; may be empty.
    pub role: String,
    /// The path that the token says it comes from.
    pub path: String,
    /// The entity of the parent; may be empty.
    pub entity_id: String,
    /// Without an end, as only root may ask.
    pub endless: bool,
}

/// A method's word on a renewal: what of the login changed. 0 keeps what was.
#[derive(Clone, Debug, Default)]
pub struct Renewal {
    /// The time to give.
    pub ttl: Ttl,
    /// At most, from the issue.
    pub max_ttl: Ttl,
    /// The period.
    pub period: Ttl,
    /// The groups that the method counts it among now, as in [`Login::groups`]; `None` where it does not tell.
    pub groups: Option<Vec<String>>,
    /// The method knows no more of this login: the token keeps the end it has, and nothing is answered.
    pub gone: bool,
}

impl Reply {
    fn of(body: Body, txn: Option<Txn>) -> Self {
        Self { body, warnings: Vec::new(), status: None, txn, rewrap: None, lease_duration: None, accessor: None }
    }

    /// 204, after this change.
    pub fn empty(txn: Txn) -> Self {
        Self::of(Body::Empty, Some(txn))
    }

    /// 204, nothing changed.
    pub fn nothing() -> Self {
        Self::of(Body::Empty, None)
    }

    /// Data.
    pub fn data(data: impl Into<Map>) -> Self {
        Self::of(Body::Data(data.into()), None)
    }

    /// Data, written as `serde_json::json!` writes it. Anything but an object is an empty one.
    pub fn json(data: serde_json::Value) -> Self {
        match Json::from(data) {
            Json::Object(map) => Self::data(map),
            _ => Self::data(Map::new()),
        }
    }

    /// A list of names; none is 404 without a text, as Vault answers.
    pub fn list(keys: Vec<impl Into<Json>>) -> Self {
        let keys: Vec<Json> = keys.into_iter().map(Into::into).collect();
        if keys.is_empty() {
            let mut reply = Self::data(Map::new());
            reply.status = Some(404);
            return reply;
        }
        Self::data([("keys".to_owned(), Json::Array(keys))])
    }

    /// Data under a lease.
    pub fn leased(leased: Leased) -> Self {
        Self::of(Body::Leased(leased), None)
    }

    /// A login, by an engine that may answer with one.
    pub fn login<E: Engine>(_: &Cx<E>, login: Login) -> Self
    where
        E::Class: MakesTokens,
    {
        Self::of(Body::Login(Admitted(Box::new(login))), None)
    }

    /// A login that is only asked about: what the method knows of it, and the login or all that stands against it.
    pub fn simulated(about: impl Into<Map>, judged: Result<Login, Vec<String>>) -> Self {
        let (login, reasons) = match judged {
            Ok(login) => (Some(Box::new(login)), Vec::new()),
            Err(reasons) => (None, reasons),
        };
        Self::of(Body::Simulated(Simulated { about: about.into(), reasons, login }), None)
    }

    /// An answer that was made before.
    pub fn whole(response: Json) -> Self {
        Self::of(Body::Whole(response), None)
    }

    /// Bytes as they are.
    pub fn raw(status: u16, media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self::of(Body::Raw { status, media_type, headers: Vec::new(), bytes }, None)
    }

    /// Bytes that come over time; dropped when the client goes away.
    pub fn stream(media_type: &'static str, pieces: impl Stream<Item = Vec<u8>> + Send + 'static) -> Self {
        Self::of(Body::Stream { media_type, pieces: pieces.boxed() }, None)
    }

    /// With this change.
    #[must_use]
    pub fn with(mut self, txn: Txn) -> Self {
        self.txn = Some(txn);
        self
    }

    /// With this status.
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Wrapped once more.
    #[must_use]
    pub fn rewrapped(mut self, ttl: Ttl, path: String) -> Self {
        self.rewrap = Some((ttl, path));
        self
    }

    /// Good for so long, without a lease.
    #[must_use]
    pub const fn lasting(mut self, ttl: Ttl) -> Self {
        self.lease_duration = Some(ttl);
        self
    }

    /// With the handle of the secret within.
    #[must_use]
    pub fn accessor(mut self, accessor: impl Into<String>) -> Self {
        self.accessor = Some(accessor.into());
        self
    }

    /// With these words.
    #[must_use]
    pub fn warning(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }
}

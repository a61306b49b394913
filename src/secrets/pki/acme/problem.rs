//! What an ACME client is told when it cannot be helped: problem documents (RFC 7807, RFC 8555 section 6.7).

use crate::base::json::Map;
use crate::base::{Error, Json};

/// The media type.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The kinds of problem, by the word that RFC 8555 and 9773 have for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    AccountDoesNotExist,
    AlreadyReplaced,
    AlreadyRevoked,
    BadCsr,
    BadNonce,
    BadPublicKey,
    BadRevocationReason,
    BadSignatureAlgorithm,
    Connection,
    Dns,
    ExternalAccountRequired,
    IncorrectResponse,
    InvalidContact,
    Malformed,
    OrderNotReady,
    RateLimited,
    RejectedIdentifier,
    ServerInternal,
    Tls,
    Unauthorized,
    UnsupportedIdentifier,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::AccountDoesNotExist => "accountDoesNotExist",
            Self::AlreadyReplaced => "alreadyReplaced",
            Self::AlreadyRevoked => "alreadyRevoked",
            Self::BadCsr => "badCSR",
            Self::BadNonce => "badNonce",
            Self::BadPublicKey => "badPublicKey",
            Self::BadRevocationReason => "badRevocationReason",
            Self::BadSignatureAlgorithm => "badSignatureAlgorithm",
            Self::Connection => "connection",
            Self::Dns => "dns",
            Self::ExternalAccountRequired => "externalAccountRequired",
            Self::IncorrectResponse => "incorrectResponse",
            Self::InvalidContact => "invalidContact",
            Self::Malformed => "malformed",
            Self::OrderNotReady => "orderNotReady",
            Self::RateLimited => "rateLimited",
            Self::RejectedIdentifier => "rejectedIdentifier",
            Self::ServerInternal => "serverInternal",
            Self::Tls => "tls",
            Self::Unauthorized => "unauthorized",
            Self::UnsupportedIdentifier => "unsupportedIdentifier",
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::ExternalAccountRequired | Self::OrderNotReady | Self::Unauthorized => 403,
            Self::AlreadyReplaced => 409,
            Self::RateLimited => 429,
            Self::ServerInternal => 500,
            _ => 400,
        }
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    status: u16,
    more: Option<(&'static str, Vec<String>)>,
}

impl Problem {
    /// A problem of this kind, in words.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), status: kind.status(), more: None }
    }

    /// With this status.
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With a list of what would be right.
    #[must_use]
    pub fn instead(mut self, member: &'static str, list: &[&str]) -> Self {
        self.more = Some((member, list.iter().map(|&one| one.to_owned()).collect()));
        self
    }

    /// Its HTTP status.
    pub const fn code(&self) -> u16 {
        self.status
    }

    /// The document.
    pub fn json(&self) -> Json {
        let mut map = Map::new();
        map.insert("type".into(), format!("urn:ietf:params:acme:error:{}", self.kind.word()).into());
        map.insert("detail".into(), self.detail.clone().into());
        map.insert("status".into(), Json::from(u64::from(self.status)));
        if let Some((member, list)) = &self.more {
            map.insert((*member).into(), list.clone().into());
        }
        map.into()
    }
}

/// Why a request is not answered as it wished.
#[derive(Debug)]
pub enum Fault {
    /// What the client is told.
    Problem(Problem),
    /// What only the vault can deal with, such as a conflict: the request runs again.
    Error(Error),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(text) => Self::Problem(Problem::new(Kind::Malformed, text)),
            Error::NotFound(_) => Self::Problem(Problem::new(Kind::Malformed, "nothing there").status(404)),
            Error::TooLarge => Self::Problem(Problem::new(Kind::Malformed, "the request is too large").status(413)),
            Error::Unavailable(text) => Self::Problem(Problem::new(Kind::ServerInternal, text).status(503)),
            other => Self::Error(other),
        }
    }
}

impl From<crate::crypto::Error> for Fault {
    fn from(error: crate::crypto::Error) -> Self {
        Error::from(error).into()
    }
}

/// A problem as the way out of a function.
pub fn problem<T>(kind: Kind, detail: impl Into<String>) -> Result<T, Fault> {
    Err(Problem::new(kind, detail).into())
}

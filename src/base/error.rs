//! The one kind of error: a variant for each thing that a caller can act on, one place for its status.

use std::fmt;

/// The result of nearly everything.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as somebody can do something about it. None carries a secret's value.
#[derive(Debug)]
pub enum Error {
    /// The request is wrong; the text says what to change.
    Invalid(String),
    /// A login whose proof does not fit: it counts towards a lockout.
    Credentials(String),
    /// No valid token came with the request.
    BadToken,
    /// The token's policies do not allow it (or what is asked for does not exist: the same answer).
    Denied,
    /// A denial whose reason the client may know.
    Forbidden(String),
    /// Nothing there; the texts may be none.
    NotFound(Vec<String>),
    /// No engine answers at this path.
    NoHandler(String),
    /// The engine has no such path.
    UnsupportedPath,
    /// The path has no such operation.
    UnsupportedOperation,
    /// No path has such an HTTP method.
    Method,
    /// The request body is too large.
    TooLarge,
    /// The request body is of a kind that is not read.
    MediaType(String),
    /// A rate limit said no.
    RateLimited,
    /// A row changed since it was read: run again.
    Conflict,
    /// It is not known whether a commit reached the disk.
    Unknown,
    /// The barrier is closed.
    Sealed,
    /// No shares exist yet.
    Uninitialized,
    /// Something that the answer needs is away for a moment; the text names it.
    Unavailable(String),
    /// A fault of ours; the cause is for the log.
    Internal(anyhow::Error),
}

impl Error {
    /// The request is wrong; the text says what to change.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// A fault of ours.
    pub fn internal(text: impl fmt::Display) -> Self {
        Self::Internal(anyhow::anyhow!("{text}"))
    }

    /// Nothing there, and nothing to say about it.
    pub const fn not_found() -> Self {
        Self::NotFound(Vec::new())
    }

    /// The HTTP status. The only place where one is chosen for an error.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) | Self::Credentials(_) => 400,
            Self::BadToken | Self::Denied | Self::Forbidden(_) => 403,
            Self::NotFound(_) | Self::NoHandler(_) | Self::UnsupportedPath => 404,
            Self::UnsupportedOperation | Self::Method => 405,
            Self::TooLarge => 413,
            Self::MediaType(_) => 415,
            Self::RateLimited => 429,
            Self::Internal(_) => 500,
            Self::Conflict | Self::Unknown | Self::Sealed | Self::Uninitialized | Self::Unavailable(_) => 503,
        }
    }

    /// The texts for the client's `errors`. Clients match on them: see the golden test below.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Invalid(text)
            | Self::Credentials(text)
            | Self::Unavailable(text)
            | Self::MediaType(text)
            | Self::Forbidden(text) => vec![text.clone()],
            Self::BadToken => vec!["permission denied".into()],
            Self::Denied => vec!["1 error occurred:\n\t* permission denied\n\n".into()],
            Self::NotFound(texts) => texts.clone(),
            Self::NoHandler(path) => vec![format!("no handler for route \"{path}\". route entry not found.")],
            Self::UnsupportedPath => vec!["1 error occurred:\n\t* unsupported path\n\n".into()],
            Self::UnsupportedOperation => vec!["1 error occurred:\n\t* unsupported operation\n\n".into()],
            Self::Method => Vec::new(),
            Self::TooLarge => vec!["http: request body too large".into()],
            Self::RateLimited => vec!["request path rate limit quota exceeded".into()],
            Self::Conflict => vec!["too many writers at once, try again".into()],
            Self::Unknown => vec!["the commit could not be confirmed; read before trying again".into()],
            Self::Sealed => vec!["Vault is sealed".into()],
            Self::Uninitialized => vec!["Vault is not initialized".into()],
            Self::Internal(_) => vec!["internal error".into()],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internal(cause) => write!(f, "{cause:#}"),
            other => match other.texts().first() {
                Some(text) => f.write_str(text.trim()),
                None => f.write_str("not found"),
            },
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(cause: std::io::Error) -> Self {
        Self::Internal(cause.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_clients_match_on_stay() {
        let golden: [(Error, u16, &str); 8] = [
            (Error::BadToken, 403, "permission denied"),
            (Error::Denied, 403, "1 error occurred:\n\t* permission denied\n\n"),
            (Error::NoHandler("a/b".into()), 404, "no handler for route \"a/b\". route entry not found."),
            (Error::UnsupportedPath, 404, "1 error occurred:\n\t* unsupported path\n\n"),
            (Error::UnsupportedOperation, 405, "1 error occurred:\n\t* unsupported operation\n\n"),
            (Error::TooLarge, 413, "http: request body too large"),
            (Error::Sealed, 503, "Vault is sealed"),
            (Error::internal("a cause with details"), 500, "internal error"),
        ];
        for (error, status, text) in golden {
            assert_eq!((error.status(), error.texts()), (status, vec![text.to_owned()]));
        }
    }
}

//! What can go wrong between a client and its server, one variant for each thing a caller can do.

use hyper::body::Bytes;
use serde_json::Value;

use super::Method;

/// `Result` with this module's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request brought no usable reply. No variant carries a secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The server answered, and said no.
    #[error("{}", api_text(*status, errors))]
    Api {
        /// The HTTP status, 400 or more.
        status: u16,
        /// The texts of `errors`; clients match on them. May be empty.
        errors: Vec<String>,
        /// Whether the body was not Vault's JSON, so that `errors` holds its text.
        raw: bool,
        /// The request's method as it was sent.
        method: Method,
        /// The request's path from `/v1/` on, with its query.
        path: String,
    },
    /// The server could not be reached, or fell silent.
    #[error("{0}")]
    Transport(String),
    /// No trust was established: a certificate, a name or a key did not fit.
    #[error("{0}")]
    Tls(String),
    /// The reply was not what the API promises.
    #[error("{0}")]
    Decode(String),
    /// The reply was larger than `REPLY_BYTES_MAX`.
    #[error("the reply is larger than 32 MiB")]
    TooLarge,
    /// A setting, a path or a token cannot be used; nothing was sent.
    #[error("{0}")]
    Invalid(String),
}

/// The longest part of a body that is not JSON which a message shows, in bytes.
const RAW_TEXT_BYTES_MAX: usize = 4096;

impl Error {
    /// The status of the server's refusal, if it was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the server refused with this text, in part or whole.
    pub fn says(&self, text: &str) -> bool {
        matches!(self, Self::Api { errors, .. } if errors.iter().any(|err| err.contains(text)))
    }

    /// Whether trying later may help without any change: the network, a sealed or busy server.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Api { status, .. } => matches!(status, 412 | 429) || (*status >= 500 && *status != 501),
            Self::Transport(_) => true,
            Self::Tls(_) | Self::Decode(_) | Self::TooLarge | Self::Invalid(_) => false,
        }
    }

    pub(super) fn from_reply(method: Method, path: String, status: u16, body: &Bytes) -> Self {
        let listed = serde_json::from_slice::<Value>(body).ok().and_then(|body| {
            let list = body.get("errors")?.as_array()?.clone();
            Some(list.into_iter().map(|err| match err {
                Value::String(text) => text,
                other => other.to_string(),
            }))
        });
        match listed {
            Some(errors) => Self::Api { status, errors: errors.collect(), raw: false, method, path },
            None if body.is_empty() => Self::Api { status, errors: Vec::new(), raw: false, method, path },
            None => {
                let shown = &body[..body.len().min(RAW_TEXT_BYTES_MAX)];
                let text = String::from_utf8_lossy(shown).into_owned();
                Self::Api { status, errors: vec![text], raw: true, method, path }
            }
        }
    }
}

fn api_text(status: u16, errors: &[String]) -> String {
    if errors.is_empty() {
        format!("the server answered {status}")
    } else {
        format!("the server answered {status}: {}", errors.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &'static str) -> Error {
        Error::from_reply(Method::Get, "/v1/a".into(), status, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn a_body_that_is_not_json_is_kept_as_text_within_its_bound() {
        let Error::Api { errors, raw, .. } = of(502, "<html>bad gateway</html>") else { panic!() };
        assert!(raw);
        assert_eq!(errors, ["<html>bad gateway</html>"]);
        let long = Bytes::from(vec![b'x'; 100_000]);
        let Error::Api { errors, .. } = Error::from_reply(Method::Get, String::new(), 502, &long) else { panic!() };
        assert_eq!(errors[0].len(), RAW_TEXT_BYTES_MAX);
    }

    #[test]
    fn empty_bodies_and_empty_lists_have_no_texts() {
        for body in ["", r#"{"errors":[]}"#] {
            let Error::Api { errors, raw, .. } = of(404, body) else { panic!() };
            assert!(errors.is_empty() && !raw);
        }
    }

    #[test]
    fn texts_can_be_asked_for() {
        let err = of(403, r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#);
        assert!(err.says("permission denied"));
        assert!(!err.says("sealed"));
        assert!(!err.is_transient());
        assert!(of(503, r#"{"errors":["Vault is sealed"]}"#).is_transient());
        assert!(!of(501, "").is_transient());
    }
}

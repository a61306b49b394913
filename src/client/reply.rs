//! A reply as the API shapes it, read from its JSON once; tokens go into `Secret` at once.

use std::{collections::BTreeMap, fmt};

use hyper::{HeaderMap, body::Bytes};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Error, Result};
use crate::base::Secret;

/// A reply of any status, not interpreted.
#[derive(Clone)]
pub struct RawReply {
    /// The HTTP status.
    pub status: u16,
    /// The reply's headers.
    pub headers: HeaderMap,
    /// The body, of at most `REPLY_BYTES_MAX`; it may hold secrets.
    pub body: Bytes,
}

/// A reply in Vault's envelope. Where the server sends a bare object (`sys/seal-status`,
/// `sys/init`), that object is `data`.
#[derive(Clone, Default)]
pub struct Reply {
    /// The HTTP status: 200, 202, 204, or 404 with substance.
    pub status: u16,
    /// The server's id of the request; empty in a wrapped reply.
    pub request_id: String,
    /// The lease, or empty.
    pub lease_id: String,
    /// Whether the lease can be renewed.
    pub renewable: bool,
    /// The lease's life, in seconds.
    pub lease_duration: u64,
    /// The data, `Null` when there is none; it may hold secrets.
    pub data: Value,
    /// Where the reply waits, when it was wrapped.
    pub wrap_info: Option<WrapInfo>,
    /// The new or renewed token, after a login.
    pub auth: Option<Auth>,
    /// What the server wants to be known.
    pub warnings: Vec<String>,
}

/// A wrapping token and what it opens.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct WrapInfo {
    /// The single-use token.
    #[serde(deserialize_with = "lenient")]
    pub token: Secret<String>,
    /// Its accessor.
    #[serde(deserialize_with = "lenient")]
    pub accessor: String,
    /// Its life, in seconds.
    pub ttl: u64,
    /// When it was made, as RFC 3339.
    #[serde(deserialize_with = "lenient")]
    pub creation_time: String,
    /// The path whose reply waits.
    #[serde(deserialize_with = "lenient")]
    pub creation_path: String,
    /// The accessor of the token inside, after a wrapped login.
    #[serde(deserialize_with = "lenient")]
    pub wrapped_accessor: String,
}

/// A token and what it may do.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Auth {
    /// The token.
    #[serde(deserialize_with = "lenient")]
    pub client_token: Secret<String>,
    /// Its accessor; empty for batch tokens.
    #[serde(deserialize_with = "lenient")]
    pub accessor: String,
    /// All its policies.
    #[serde(deserialize_with = "lenient")]
    pub policies: Vec<String>,
    /// The token's own policies.
    #[serde(deserialize_with = "lenient")]
    pub token_policies: Vec<String>,
    /// The policies of its identity.
    #[serde(deserialize_with = "lenient")]
    pub identity_policies: Vec<String>,
    /// What the auth method noted.
    #[serde(deserialize_with = "lenient")]
    pub metadata: BTreeMap<String, String>,
    /// Its life, in seconds; 0 for a root token.
    pub lease_duration: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// The entity, or empty.
    #[serde(deserialize_with = "lenient")]
    pub entity_id: String,
    /// `service` or `batch`.
    #[serde(deserialize_with = "lenient")]
    pub token_type: String,
    /// Whether it has no parent.
    pub orphan: bool,
    /// Uses left; 0 means no count.
    pub num_uses: u64,
    /// What must be proved before the token is real; `Null` if nothing.
    pub mfa_requirement: Value,
}

impl Reply {
    /// Reads a body. An empty one is an empty reply; what is not a JSON object is [`Error::Decode`].
    pub(super) fn parse(status: u16, body: &Bytes) -> Result<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { status, ..Self::default() });
        }
        let mut body: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|err| Error::Decode(format!("the reply is not a JSON object: {}", place(&err))))?;
        const ENVELOPE: [&str; 6] = ["request_id", "lease_id", "auth", "wrap_info", "warnings", "data"];
        let enveloped = ENVELOPE.iter().any(|name| body.contains_key(*name));
        if !enveloped {
            let data = if body.keys().all(|name| name == "errors") { Value::Null } else { Value::Object(body) };
            return Ok(Self { status, data, ..Self::default() });
        }
        let mut take = |name: &str| body.remove(name).unwrap_or(Value::Null);
        Ok(Self {
            status,
            request_id: part("request_id", take("request_id"))?,
            lease_id: part("lease_id", take("lease_id"))?,
            renewable: part("renewable", take("renewable"))?,
            lease_duration: part("lease_duration", take("lease_duration"))?,
            data: take("data"),
            wrap_info: part("wrap_info", take("wrap_info"))?,
            auth: part("auth", take("auth"))?,
            warnings: part("warnings", take("warnings"))?,
        })
    }

    /// One field of `data`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.data.get(name)
    }

    /// A field of `data` that must be a string. [`Error::Decode`] names it when it is not.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.field(name)
            .and_then(Value::as_str)
            .ok_or_else(|| Error::Decode(format!("the reply has no text \"{name}\"")))
    }

    /// The names of a list reply (`data.keys`).
    pub fn keys(&self) -> Vec<&str> {
        let keys = self.field("keys").and_then(Value::as_array);
        keys.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether there is data or a warning: what makes a 404 more than "not there".
    pub(super) fn has_substance(&self) -> bool {
        let data = match &self.data {
            Value::Null => false,
            Value::Object(map) => !map.is_empty(),
            _ => true,
        };
        data || !self.warnings.is_empty()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("request_id", &self.request_id)
            .field("lease_duration", &self.lease_duration)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RawReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawReply")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// One part of the envelope; `null` is its default. serde's message may quote the value, so only
/// the part's name is told.
fn part<T: Default + for<'de> Deserialize<'de>>(name: &str, value: Value) -> Result<T> {
    if value.is_null() {
        return Ok(T::default());
    }
    serde_json::from_value(value).map_err(|_| Error::Decode(format!("the reply's \"{name}\" has an unexpected form")))
}

/// `null` counts as absent, which Go's encoder writes for empty lists and maps.
fn lenient<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// Where a parse failed, without the text that failed.
fn place(err: &serde_json::Error) -> String {
    format!("line {}, column {}", err.line(), err.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &'static str) -> Result<Reply> {
        Reply::parse(200, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn what_is_not_an_object_is_refused_without_quoting_it() {
        for bad in ["hvs.secret", "[1]", "{\"data\":", "\"hvs.secret\"", "<html>"] {
            let err = parse(bad).unwrap_err();
            assert!(matches!(err, Error::Decode(_)), "{bad}");
            assert!(!err.to_string().contains("hvs"), "{err}");
        }
        let err = parse(r#"{"auth":"hvs.secret"}"#).unwrap_err();
        assert_eq!(err.to_string(), "the reply's \"auth\" has an unexpected form");
    }

    #[test]
    fn debug_shows_neither_token_nor_data() {
        let reply = parse(
            r#"{"request_id":"r","data":{"password":"swordfish"},"auth":{"client_token":"hvs.abc"},
                "wrap_info":{"token":"hvs.def","ttl":60}}"#,
        )
        .unwrap();
        let shown = format!("{reply:?} {:?} {:?}", reply.auth, reply.wrap_info);
        for secret in ["swordfish", "hvs.abc", "hvs.def"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn an_envelope_is_taken_apart() {
        let reply = parse(
            r#"{"request_id":"r","lease_id":"l","renewable":true,"lease_duration":60,"data":null,"wrap_info":null,
               "warnings":["w"],"auth":{"client_token":"t","accessor":"a","policies":["default"],"metadata":null,
               "token_policies":null,"lease_duration":30,"renewable":true,"unknown":1}}"#,
        )
        .unwrap();
        assert_eq!((reply.lease_id.as_str(), reply.lease_duration, reply.renewable), ("l", 60, true));
        assert_eq!(reply.warnings, ["w"]);
        let auth = reply.auth.unwrap();
        assert_eq!(auth.client_token.reveal(), "t");
        assert_eq!(auth.policies, ["default"]);
        assert!(auth.metadata.is_empty() && auth.token_policies.is_empty());
    }

    #[test]
    fn a_bare_object_is_data() {
        let reply = parse(r#"{"sealed":true,"t":3}"#).unwrap();
        assert_eq!(reply.field("sealed"), Some(&Value::Bool(true)));
        assert!(reply.has_substance());
        assert!(!parse(r#"{"errors":[]}"#).unwrap().has_substance());
        assert!(!parse("").unwrap().has_substance());
    }

    #[test]
    fn lists_give_their_names() {
        let reply = parse(r#"{"data":{"keys":["a","b/"]}}"#).unwrap();
        assert_eq!(reply.keys(), ["a", "b/"]);
        assert!(parse(r#"{"data":null}"#).unwrap().keys().is_empty());
    }
}

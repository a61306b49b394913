//! The facts of one audit entry, borrowed from the request that is being served.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::headers::Header;
use super::memo::{Hashes, Memo};
use crate::base::json::Map;
use crate::base::{Secret, Timestamp, Ttl};

/// What one line of the log says. What is empty or absent is not written.
#[derive(Clone, Copy, Default)]
pub struct Entry<'a> {
    /// When.
    pub time: Timestamp,
    /// What was asked.
    pub request: RequestFacts<'a>,
    /// By whom, once that is known.
    pub auth: Option<AuthFacts<'a>>,
    /// What was answered; for [`super::Broker::response`].
    pub response: Option<ResponseFacts<'a>>,
    /// Why it was refused, as the client reads it; shown as it is, so it must not carry a value.
    pub error: &'a str,
    /// Keys of the request whose strings the mount's tuning leaves in the clear.
    pub non_hmac_request_keys: &'a [String],
    /// The same of the response.
    pub non_hmac_response_keys: &'a [String],
    /// Spares the second entry of a request half of its work. Only for a response whose `request`, `auth` and key
    /// lists are those of the request's entry: what the memo holds is written instead of them.
    pub memo: Option<&'a Memo>,
    /// Spares all entries of a session the hashing of `request.client_token` and of its accessor: only with the session
    /// of that token.
    pub hashes: Option<&'a Hashes>,
}

// Without Debug, and so is the entry: headers are in the clear.
/// What was asked.
#[derive(Clone, Copy)]
pub struct RequestFacts<'a> {
    /// The request's id.
    pub id: &'a str,
    /// `read`, `create`, `update`, `patch`, `delete`, `list`, `revoke`, `renew`, …
    pub operation: &'a str,
    /// The mount's path, with its slash.
    pub mount_point: &'a str,
    /// The engine's type.
    pub mount_type: &'a str,
    /// The mount's accessor.
    pub mount_accessor: &'a str,
    /// `secret` or `auth`.
    pub mount_class: &'a str,
    /// The whole path.
    pub path: &'a str,
    /// The body and the query.
    pub data: &'a Map,
    /// The token that came with it.
    pub client_token: Option<&'a Secret<String>>,
    /// That token's accessor.
    pub client_token_accessor: &'a str,
    /// From where.
    pub remote_address: Option<IpAddr>,
    /// From which port; 0 is not written.
    pub remote_port: u16,
    /// How long the answer shall stay wrapped, if it shall.
    pub wrap_ttl: Option<Ttl>,
    /// The headers that are audited.
    pub headers: &'a [Header],
    /// Top-level fields of `data` that are secret whatever their type: their numbers and booleans are hashed too.
    pub secret_fields: &'a [&'a str],
}

impl Default for RequestFacts<'_> {
    fn default() -> Self {
        /// An empty map to borrow: no state.
        static NOTHING: Map = Map::new();
        Self {
            id: "",
            operation: "",
            mount_point: "",
            mount_type: "",
            mount_accessor: "",
            mount_class: "",
            path: "",
            data: &NOTHING,
            client_token: None,
            client_token_accessor: "",
            remote_address: None,
            remote_port: 0,
            wrap_ttl: None,
            headers: &[],
            secret_fields: &[],
        }
    }
}

/// A token's facts: of the one that asks, or of the one that was issued.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthFacts<'a> {
    /// The token.
    pub client_token: Option<&'a Secret<String>>,
    /// Its accessor.
    pub accessor: &'a str,
    /// The name that logs show.
    pub display_name: &'a str,
    /// All its policies.
    pub policies: &'a [String],
    /// Those of the token itself.
    pub token_policies: &'a [String],
    /// Those of its entity and groups.
    pub identity_policies: &'a [String],
    /// What the token carries for people; in the clear, as in Vault.
    pub metadata: Option<&'a BTreeMap<String, String>>,
    /// Its entity.
    pub entity_id: &'a str,
    /// Whether this login made that entity.
    pub entity_created: bool,
    /// `service`, `batch`, `default`.
    pub token_type: &'a str,
    /// How long it was given.
    pub token_ttl: Ttl,
    /// Since when.
    pub token_issue_time: Option<Timestamp>,
    /// How many uses it was given; 0 for no count.
    pub num_uses: u64,
    /// How many are left; 0 for no count.
    pub remaining_uses: u64,
    /// Without the policy `default`.
    pub no_default_policy: bool,
    /// Whether the policies admitted the request. Not written of a token that was issued.
    pub allowed: bool,
    /// The policies that did.
    pub granting_policies: &'a [String],
}

/// What was answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseFacts<'a> {
    /// The data.
    pub data: Option<&'a Map>,
    /// The token that was issued.
    pub auth: Option<AuthFacts<'a>>,
    /// The lease that was given.
    pub lease_id: &'a str,
    /// How the answer was wrapped.
    pub wrap_info: Option<WrapFacts<'a>>,
    /// Where the client was sent.
    pub redirect: &'a str,
    /// Words for people.
    pub warnings: &'a [String],
}

/// How an answer was wrapped.
#[derive(Clone, Copy, Debug)]
pub struct WrapFacts<'a> {
    /// The wrapping token.
    pub token: &'a Secret<String>,
    /// Its accessor.
    pub accessor: &'a str,
    /// How long it lives.
    pub ttl: Ttl,
    /// Since when.
    pub creation_time: Timestamp,
    /// The path of the request whose answer it holds.
    pub creation_path: &'a str,
    /// The accessor of the token inside.
    pub wrapped_accessor: &'a str,
}

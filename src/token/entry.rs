//! One token, as stored.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::base::{Json, Timestamp, Ttl, is_default};

/// Stored, or carrying its own facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Stored, with an accessor and children.
    #[default]
    Service,
    /// Not stored.
    Batch,
}

impl Kind {
    /// The API's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }
}

/// How often a token may still be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Use {
    /// As often as its time allows.
    #[default]
    Free,
    /// So many more times.
    Counted(u64),
}

/// What a token may do, and how long. Only what is not as by default is written down: there are many of these rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Token {
    /// The digest of its text.
    pub id: String,
    /// The handle that cannot be used as a token.
    #[serde(skip_serializing_if = "is_default")]
    pub accessor: String,
    /// The digest of the token it dies with; empty for orphans.
    #[serde(skip_serializing_if = "is_default")]
    pub parent: String,
    /// Stored or not.
    pub kind: Kind,
    /// Its own policies, sorted.
    #[serde(skip_serializing_if = "is_default")]
    pub policies: Vec<String>,
    /// The path of the request that made it.
    #[serde(skip_serializing_if = "is_default")]
    pub path: String,
    /// What it carries for people.
    #[serde(skip_serializing_if = "is_default")]
    pub meta: BTreeMap<String, String>,
    /// The name that logs show.
    #[serde(skip_serializing_if = "is_default")]
    pub display_name: String,
    /// How often it may still be used.
    #[serde(skip_serializing_if = "is_default")]
    pub uses: Use,
    /// When it was made.
    pub created: Timestamp,
    /// What it was given at first; 0 for no end.
    #[serde(skip_serializing_if = "is_default")]
    pub creation_ttl: Ttl,
    /// When it was renewed last.
    #[serde(skip_serializing_if = "is_default")]
    pub renewed: Option<Timestamp>,
    /// When it ends; `None` for never.
    #[serde(skip_serializing_if = "is_default")]
    pub expires: Option<Timestamp>,
    /// A hard end, as a span from the issue; 0 for none.
    #[serde(skip_serializing_if = "is_default")]
    pub explicit_max_ttl: Ttl,
    /// The longest life that its method gave, as a span from the issue; 0 for the mount's.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ttl: Ttl,
    /// The span of each renewal of a periodic token; 0 if it is none.
    #[serde(skip_serializing_if = "is_default")]
    pub period: Ttl,
    /// Whether it can be renewed.
    #[serde(skip_serializing_if = "is_default")]
    pub renewable: bool,
    /// The entity behind it; may be empty.
    #[serde(skip_serializing_if = "is_default")]
    pub entity_id: String,
    /// The token role that it was made by; may be empty.
    #[serde(skip_serializing_if = "is_default")]
    pub role: String,
    /// Where it may be used from; empty for anywhere.
    #[serde(skip_serializing_if = "is_default")]
    pub bound_cidrs: Vec<IpNet>,
    /// The accessor of the auth mount whose login made it; empty for tokens made by tokens.
    #[serde(skip_serializing_if = "is_default")]
    pub mount_accessor: String,
    /// What the method needs to renew it.
    #[serde(skip_serializing_if = "is_default")]
    pub internal: Json,
}

impl Token {
    /// Whether its time is over. The very moment of its end counts as over.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// Whether it may be used from this address. Without an address, only what is not bound may.
    pub fn admits(&self, address: Option<IpAddr>) -> bool {
        self.bound_cidrs.is_empty()
            || address.is_some_and(|a| {
                let a = a.to_canonical();
                self.bound_cidrs.iter().any(|net| net.contains(&a))
            })
    }

    /// What is left of its life; 0 for a token without an end.
    pub fn ttl(&self, now: Timestamp) -> Ttl {
        self.expires.map_or(Ttl::ZERO, |expires| crate::base::time::until(now, expires))
    }

    /// Whether it has the policy `root`.
    pub fn is_root(&self) -> bool {
        self.policies.iter().any(|p| p == "root")
    }
}

//! What the door needs to know before it looks at a request: who may ask across origins, and the headers of the web page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::barrier::View;
use crate::base::{Key, Result};

/// Headers that clients of the API send: allowed across origins without being named.
pub const HEADERS: [&str; 10] = [
    "Content-Type",
    "X-Requested-With",
    "X-Vault-AWS-IAM-Server-ID",
    "X-Vault-MFA",
    "X-Vault-No-Request-Forwarding",
    "X-Vault-Wrap-Format",
    "X-Vault-Wrap-TTL",
    "X-Vault-Policy-Override",
    "Authorization",
    "X-Vault-Token",
];

/// Who may ask from a page of another origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cors {
    /// Whether anybody may.
    pub enabled: bool,
    /// The origins; `*` alone for all.
    pub origins: Vec<String>,
    /// Headers beside [`HEADERS`].
    pub headers: Vec<String>,
    /// Whether browsers may send what they remember.
    pub credentials: bool,
}

impl Cors {
    /// Whether a page of this origin may ask.
    pub fn admits(&self, origin: &str) -> bool {
        self.origins.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(origin))
    }

    /// All headers that such a page may send.
    pub fn all_headers(&self) -> Vec<String> {
        HEADERS.iter().map(|h| (*h).to_owned()).chain(self.headers.iter().cloned()).collect()
    }
}

/// What the door knows.
#[derive(Clone, Debug, Default)]
pub struct Front {
    /// Who may ask across origins.
    pub cors: Cors,
    /// Headers of the web page, by name.
    pub page_headers: PageHeaders,
}

/// Headers by their names in lower case.
pub type PageHeaders = BTreeMap<String, Vec<String>>;

/// Where the rules for other origins lie.
pub fn cors_key() -> Key {
    Key::new("core/front/cors")
}

/// Where the headers of the web page lie.
pub fn page_headers_key() -> Key {
    Key::new("core/front/page-headers")
}

impl Front {
    /// As it is stored.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(view: &View) -> Result<Self> {
        view.read(|r| {
            Ok(Self {
                cors: r.get(&cors_key())?.unwrap_or_default(),
                page_headers: r.get(&page_headers_key())?.unwrap_or_default(),
            })
        })
    }

    /// Whether a key of the store is a part of it.
    pub fn owns(key: &Key) -> bool {
        key.below(&Key::new("core/front")).is_some()
    }
}

//! What an order asks a certificate for: host names, some with a wildcard, and addresses (RFC 8555, RFC 8738).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::problem::{Fault, Kind, problem};
use crate::base::Json;
use crate::crypto::x509::AltName;
use crate::secrets::pki::names;

/// One identifier. Host names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
pub enum Identifier {
    /// A host name, perhaps below `*.`.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl Identifier {
    /// Reads one of an order's identifiers.
    ///
    /// # Errors
    /// The problems `unsupportedIdentifier` and `malformed`.
    pub fn read(json: &Json) -> Result<Self, Fault> {
        let member = |name: &str| json.at(name).and_then(Json::as_str).unwrap_or_default();
        let value = member("value");
        match member("type") {
            "dns" => {
                let name = value.to_ascii_lowercase();
                match names::is_dns(&name) {
                    true => Ok(Self::Dns(name)),
                    false => problem(Kind::Malformed, "an identifier is no host name"),
                }
            }
            "ip" => match value.parse::<IpAddr>() {
                Ok(address) if address.to_string() == value.to_ascii_lowercase() => Ok(Self::Ip(address)),
                _ => problem(Kind::Malformed, "an identifier is no address in its usual form"),
            },
            _ => problem(Kind::UnsupportedIdentifier, "identifiers are of the type dns or ip"),
        }
    }

    /// The identifier of a name in a request, if it can be one.
    pub fn of(name: &AltName) -> Option<Self> {
        match name {
            AltName::Dns(name) => Some(Self::Dns(name.to_ascii_lowercase())),
            AltName::Ip(address) => Some(Self::Ip(*address)),
            _ => None,
        }
    }

    /// The name or the address alone.
    pub fn text(&self) -> String {
        match self {
            Self::Dns(name) => name.clone(),
            Self::Ip(address) => address.to_string(),
        }
    }

    /// The name that goes into the certificate.
    pub fn name(&self) -> AltName {
        match self {
            Self::Dns(name) => AltName::Dns(name.clone()),
            Self::Ip(address) => AltName::Ip(*address),
        }
    }

    /// What has to be proved for it: the name below the wildcard, and whether there was one.
    pub fn base(&self) -> (Self, bool) {
        match self {
            Self::Dns(name) => match name.strip_prefix("*.") {
                Some(base) => (Self::Dns(base.to_owned()), true),
                None => (self.clone(), false),
            },
            Self::Ip(_) => (self.clone(), false),
        }
    }

    /// As an order and an authorization show it.
    pub fn json(&self) -> Json {
        let (kind, value) = match self {
            Self::Dns(name) => ("dns", name.clone()),
            Self::Ip(address) => ("ip", address.to_string()),
        };
        Json::object([("type", Json::from(kind)), ("value", value.into())])
    }
}

//! `config/acme`: whether anybody may ask, in the name of which roles and issuers, and what is reached to check them.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::nonce;
use crate::base::{Error, Result, Ttl};
use crate::engine::{Cx, Reply};
use crate::params;
use crate::secrets::pki::Pki;
use crate::secrets::pki::issuer::Cluster;
use crate::secrets::pki::store::config_key;

/// The most entries of a list here.
const LIST_MAX: usize = 1000;

params! {
    /// The settings of ACME.
    pub struct AcmeParams {
        /// Whether it answers.
        enabled: Option<bool>,
        /// The issuers that may be asked, by id or name; `*` for all.
        allowed_issuers: Option<Vec<String>>,
        /// The roles that may be asked; `*` for all.
        allowed_roles: Option<Vec<String>>,
        /// Whether a role's extended key usages are taken over; else certificates are for TLS servers.
        allow_role_ext_key_usage: Option<bool>,
        /// What a directory without a role signs: sign-verbatim, forbid, or role:<name>.
        default_directory_policy: Option<String>,
        /// The DNS server that is asked, as <address>:<port>; the system's if empty.
        dns_resolver: Option<String>,
        /// Who needs an external account: not-required, new-account-required or always-required.
        eab_policy: Option<String>,
        /// The longest time to live of a certificate.
        max_ttl: Option<Ttl>,
        /// Networks that are reached although they are private, or this machine's.
        allowed_networks: Option<Vec<IpNet>>,
        /// The port of http-01, where it is not 80: for machines behind a translation of ports, and tests.
        http_01_port: Option<u64>,
        /// The port of tls-alpn-01, where it is not 443.
        tls_alpn_01_port: Option<u64>,
    }
}

/// `config/acme`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    pub enabled: bool,
    pub allowed_issuers: Vec<String>,
    pub allowed_roles: Vec<String>,
    pub allow_role_ext_key_usage: bool,
    pub default_directory_policy: String,
    pub dns_resolver: String,
    pub eab_policy: EabPolicy,
    pub max_ttl: Ttl,
    pub allowed_networks: Vec<IpNet>,
    pub http_01_port: u16,
    pub tls_alpn_01_port: u16,
}

/// Who needs an external account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EabPolicy {
    /// Nobody.
    #[default]
    #[serde(rename = "not-required")]
    Nobody,
    /// Whoever makes an account.
    #[serde(rename = "new-account-required")]
    Newcomers,
    /// Whoever does anything.
    #[serde(rename = "always-required")]
    Everybody,
}

/// What a directory without a role signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Any proved name.
    Verbatim,
    /// Nothing.
    Forbid,
    /// What this role allows.
    Role(String),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            allowed_issuers: vec!["*".into()],
            allowed_roles: vec!["*".into()],
            allow_role_ext_key_usage: false,
            default_directory_policy: "sign-verbatim".into(),
            dns_resolver: String::new(),
            eab_policy: EabPolicy::Nobody,
            max_ttl: Ttl::from_seconds(90 * 86_400),
            allowed_networks: Vec::new(),
            http_01_port: 80,
            tls_alpn_01_port: 443,
        }
    }
}

impl Config {
    /// What a directory without a role signs.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a word that is none.
    pub fn policy(&self) -> Result<Policy> {
        match self.default_directory_policy.as_str() {
            "sign-verbatim" => Ok(Policy::Verbatim),
            "forbid" => Ok(Policy::Forbid),
            other => match other.strip_prefix("role:").filter(|name| !name.is_empty()) {
                Some(name) => Ok(Policy::Role(name.to_owned())),
                None => Err(Error::invalid("default_directory_policy: want sign-verbatim, forbid or role:<name>")),
            },
        }
    }

    /// Whether the role may be asked.
    pub fn allows_role(&self, name: &str) -> bool {
        self.allowed_roles.iter().any(|one| one == "*" || one == name)
    }

    /// Whether the issuer may be asked.
    pub fn allows_issuer(&self, id: &str, name: &str) -> bool {
        self.allowed_issuers.iter().any(|one| one == "*" || one == id || (!name.is_empty() && one == name))
    }

    fn checked(self) -> Result<Self> {
        let lists = [self.allowed_issuers.len(), self.allowed_roles.len(), self.allowed_networks.len()];
        if lists.into_iter().any(|length| length > LIST_MAX) {
            return Err(Error::invalid(format!("a list of config/acme has at most {LIST_MAX} entries")));
        }
        if self.allowed_issuers.is_empty() || self.allowed_roles.is_empty() {
            return Err(Error::invalid("allowed_issuers and allowed_roles must not be empty; '*' stands for all"));
        }
        if let Policy::Role(name) = self.policy()?
            && !self.allows_role(&name)
        {
            return Err(Error::invalid("default_directory_policy: its role is not in allowed_roles"));
        }
        if !self.dns_resolver.is_empty() && self.dns_resolver.parse::<std::net::SocketAddr>().is_err() {
            return Err(Error::invalid("dns_resolver: want an address and a port, such as 10.0.0.1:53"));
        }
        Ok(self)
    }
}

/// Reads the settings; those of a mount that has none are off.
///
/// # Errors
/// Those of storage.
pub fn load(cx: &Cx<Pki>) -> Result<Config> {
    Ok(cx.get::<Config>(&config_key("acme"))?.unwrap_or_default())
}

pub async fn read(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    shown(&load(&cx)?)
}

pub async fn write(cx: Cx<Pki>, p: AcmeParams) -> Result<Reply> {
    let mut txn = cx.txn();
    let mut config: Config = txn.get(&config_key("acme"))?.unwrap_or_default();
    macro_rules! take {
        ($($field:ident)*) => { $( if let Some(value) = p.$field { config.$field = value; } )* };
    }
    take!(enabled allowed_issuers allowed_roles allow_role_ext_key_usage default_directory_policy dns_resolver);
    take!(max_ttl allowed_networks);
    if let Some(word) = p.eab_policy {
        config.eab_policy = match word.as_str() {
            "not-required" => EabPolicy::Nobody,
            "new-account-required" => EabPolicy::Newcomers,
            "always-required" => EabPolicy::Everybody,
            _ => {
                return Err(Error::invalid("eab_policy: want not-required, new-account-required or always-required"));
            }
        };
    }
    let port = |field: &str, value: u64| {
        let port = u16::try_from(value).ok().filter(|port| *port != 0);
        port.ok_or_else(|| Error::invalid(format!("{field}: want a port")))
    };
    if let Some(value) = p.http_01_port {
        config.http_01_port = port("http_01_port", value)?;
    }
    if let Some(value) = p.tls_alpn_01_port {
        config.tls_alpn_01_port = port("tls_alpn_01_port", value)?;
    }
    let config = config.checked()?;
    if config.enabled {
        let cluster: Cluster = cx.get(&config_key("cluster"))?.unwrap_or_default();
        if cluster.path.is_empty() {
            let missing = "config/cluster has no path: ACME clients must be told where the mount is, as they see it";
            return Err(Error::invalid(missing));
        }
        nonce::prepare(&mut txn, cx.rng())?;
    }
    txn.put(&config_key("acme"), &config)?;
    Ok(shown(&config)?.with(txn))
}

fn shown(config: &Config) -> Result<Reply> {
    Ok(Reply::json(serde_json::to_value(config).map_err(Error::internal)?))
}

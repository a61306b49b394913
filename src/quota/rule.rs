//! One rate limit, and which requests it covers.

use serde::{Deserialize, Serialize};

use super::Asked;
use crate::base::{Name, Ttl};

/// Paths that are never limited unless somebody says otherwise: what it takes to open a node and to see whether it lives.
pub const DEFAULT_EXEMPT: [&str; 7] = [
    "sys/generate-recovery-token/attempt",
    "sys/generate-recovery-token/update",
    "sys/generate-root/attempt",
    "sys/generate-root/update",
    "sys/health",
    "sys/seal-status",
    "sys/unseal",
];

/// What is said about all rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Paths without a limit beside [`DEFAULT_EXEMPT`]; one that ends in `*` or `/` stands for all below it.
    pub exempt_paths: Vec<String>,
    /// Whether refusals are audited.
    pub audit_refusals: bool,
    /// Whether clients are told how they stand.
    pub tell: bool,
}

impl Config {
    /// Whether nothing limits this path.
    pub fn exempts(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        DEFAULT_EXEMPT.contains(&path)
            || self.exempt_paths.iter().any(|known| match known.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None if known.ends_with('/') => path.starts_with(known.as_str()),
                None => path == known,
            })
    }

    /// All paths without a limit, sorted.
    pub fn all_exempt(&self) -> Vec<String> {
        let own = self.exempt_paths.iter().cloned();
        let mut all: Vec<String> = DEFAULT_EXEMPT.iter().map(|p| (*p).to_owned()).chain(own).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Which paths a rule covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// All.
    #[default]
    Everything,
    /// What lies in a mount, whatever its path is now.
    Mount {
        /// Its uuid.
        uuid: String,
        /// The path within, empty for all of it; one that ends in `*` stands for all that begin so.
        below: String,
    },
}

impl Scope {
    /// Whether it is a part of this mount.
    pub fn is_of(&self, mount: &str) -> bool {
        matches!(self, Self::Mount { uuid, .. } if uuid == mount)
    }
}

/// A rate limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: Name,
    /// Which paths it covers.
    pub scope: Scope,
    /// Only logins of this role.
    pub role: Option<String>,
    /// Accepted and shown: there are no namespaces to inherit it.
    pub inheritable: bool,
    /// Requests of one client in an interval.
    pub rate: f64,
    /// How long an interval is.
    pub interval: Ttl,
    /// How long a client who asked too often is refused; 0 until the interval ends.
    pub block_interval: Ttl,
}

impl Rule {
    /// Less for the more particular of two rules: a role before a path, a longer path before a shorter one.
    pub fn rank(&self) -> (bool, bool, std::cmp::Reverse<usize>, Name) {
        let (everything, length) = match &self.scope {
            Scope::Everything => (true, 0),
            // The whole path comes before the same with a star.
            Scope::Mount { below, .. } => (false, 2 * below.len() + usize::from(!below.ends_with('*'))),
        };
        (self.role.is_none(), everything, std::cmp::Reverse(length), self.name.clone())
    }

    /// Whether it is about this request.
    pub fn covers(&self, asked: &Asked<'_>) -> bool {
        match &self.scope {
            Scope::Everything => true,
            Scope::Mount { uuid, below } => asked.mount.is_some_and(|(mount, skip)| {
                let own = asked.path.get(skip..).unwrap_or_default().trim_end_matches('/');
                mount == uuid
                    && match below.strip_suffix('*') {
                        _ if below.is_empty() => true,
                        Some(prefix) => own.starts_with(prefix),
                        None => own == below.trim_end_matches('/'),
                    }
            }),
        }
    }

    /// Whole requests of one client in an interval; at least one, else nobody could ever ask.
    pub fn room(&self) -> u64 {
        (self.rate.round() as u64).max(1)
    }
}

//! What the vault's own engines tell of the process around it, given at construction.

use std::sync::Arc;

use crate::base::Ttl;
use crate::base::json::Map;
use crate::config;
use crate::engine::UserLockout;
use crate::telemetry::{Followers, Level, Log, Metrics};

/// The process, as far as `sys/` shows it.
#[derive(Clone, Default)]
pub struct Facts {
    /// The configuration without its secrets.
    pub config: Map,
    /// The log, and the level that the configuration gave it.
    pub log: Option<(Arc<Log>, Level)>,
    /// Who follows the log as it is written.
    pub followers: Option<Arc<Followers>>,
    /// When failed logins lock a user out, where the mount does not say.
    pub lockout: Vec<config::UserLockout>,
    /// The metric registers; they outlive a seal.
    pub metrics: Arc<Metrics>,
    /// Whether `sys/internal/inspect` answers.
    pub introspection: bool,
    /// How metrics are shown.
    pub telemetry: config::TelemetryConfig,
    /// The cluster's name, which metrics carry, where the configuration gives one.
    pub cluster_name: String,
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Facts(..)")
    }
}

impl Facts {
    /// The rule for logins at a mount of this kind: the mount's own, else the configuration's, else Vault's default.
    pub fn lockout(&self, kind: &str, tuned: Option<&UserLockout>) -> UserLockout {
        if let Some(tuned) = tuned {
            return tuned.clone();
        }
        let rule = |method: &str| self.lockout.iter().find(|rule| rule.method == method);
        rule(kind).or_else(|| rule("all")).map_or_else(UserLockout::default, |rule| UserLockout {
            threshold: u64::from(rule.threshold),
            duration: Ttl::from_seconds(rule.duration.as_secs()),
            counter_reset: Ttl::from_seconds(rule.counter_reset.as_secs()),
            disabled: rule.disable,
        })
    }
}

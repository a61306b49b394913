//! The paths whose requests need the capability `sudo`, for those who have no server at hand.
//!
//! The route tables say it, one endpoint at a time; a test holds this list to them. Engines that can be mounted anywhere are
//! not in it.

use super::pattern::Pattern;
use crate::base::Path;

/// As paths of rules; what is open at its end stands for itself as well.
pub const SUDO: &[&str] = &[
    "auth/token/accessors",
    "auth/token/accessors/",
    "auth/token/create-orphan",
    "auth/token/revoke-orphan",
    "auth/token/tidy",
    "sys/audit",
    "sys/audit-heads",
    "sys/audit/*",
    "sys/auth/*",
    "sys/config/auditing/request-headers",
    "sys/config/auditing/request-headers/+",
    "sys/config/cors",
    "sys/config/state/sanitized",
    "sys/config/ui/headers",
    "sys/config/ui/headers/",
    "sys/config/ui/headers/+",
    "sys/generate-root",
    "sys/generate-root/attempt",
    "sys/generate-root/update",
    "sys/host-info",
    "sys/in-flight-req",
    "sys/internal/counters/activity/export",
    "sys/internal/counters/entities",
    "sys/internal/counters/tokens",
    "sys/internal/denials",
    "sys/internal/denials/+",
    "sys/internal/explain",
    "sys/internal/inspect/router/+",
    "sys/leases",
    "sys/leases/lookup/*",
    "sys/leases/revoke-force/*",
    "sys/leases/revoke-prefix/*",
    "sys/leases/tidy",
    "sys/loggers",
    "sys/loggers/+",
    "sys/monitor",
    "sys/policies/apply/+",
    "sys/policies/sets",
    "sys/raw/*",
    "sys/rekey-recovery-key/init",
    "sys/rekey-recovery-key/update",
    "sys/rekey-recovery-key/verify",
    "sys/rekey/backup",
    "sys/rekey/init",
    "sys/rekey/recovery-key-backup",
    "sys/rekey/update",
    "sys/rekey/verify",
    "sys/remount",
    "sys/revoke-force/*",
    "sys/revoke-prefix/*",
    "sys/rotate",
    "sys/rotate/config",
    "sys/rotate/keyring",
    "sys/rotate/keyring/config",
    "sys/rotate/recovery/backup",
    "sys/rotate/recovery/init",
    "sys/rotate/recovery/update",
    "sys/rotate/recovery/verify",
    "sys/rotate/root/backup",
    "sys/rotate/root/init",
    "sys/rotate/root/update",
    "sys/rotate/root/verify",
    "sys/seal",
    "sys/step-down",
];

/// Whether a request to this path needs `sudo`.
pub fn needs_sudo(path: &Path) -> bool {
    let path = path.as_str();
    SUDO.iter().any(|pattern| Pattern::new(pattern).matches(path))
}

/// Whether every path that a rule covers needs `sudo`.
pub(super) fn only_sudo(rule: &Pattern) -> bool {
    SUDO.iter().any(|pattern| Pattern::new(pattern).contains(rule))
}

//! How often a client may ask: decided before its body is read and before anybody is authenticated.

use std::net::IpAddr;

use super::route::Target;
use super::run::frame;
use crate::base::{Error, Path};
use crate::engine::{Args, Claimed};
use crate::quota::{Asked, Verdict};
use crate::vault::Vault;
use crate::vault::request::{Inbound, Refusal};

impl Vault {
    /// Decides about a request by its path alone.
    pub fn admit(&self, path: &Path, client: IpAddr) -> Verdict {
        if self.read_through()
            && let Err(error) = self.reload_quotas()
        {
            tracing::debug!(%error, "the limits cannot be read");
        }
        if self.quotas.in_force().rules.is_empty() {
            return Verdict::default();
        }
        self.asked(path, client, |asked| self.counted(self.quotas.admit(asked, self.clock.monotonic())))
    }

    /// Decides about a login by the role that its body names.
    pub fn admit_login(&self, inbound: &Inbound) -> Verdict {
        let Some(client) = inbound.remote.map(|a| a.ip()) else { return Verdict::default() };
        let role = {
            let routed = self.route(inbound.clone());
            routed.target.as_ref().ok().and_then(|target| self.claim(&routed.inbound, target, Claimed::Role))
        };
        self.asked(&inbound.path, client, |asked| {
            self.counted(self.quotas.admit_role(asked, role.as_deref(), self.clock.monotonic()))
        })
    }

    fn asked<R>(&self, path: &Path, client: IpAddr, decide: impl FnOnce(&Asked<'_>) -> R) -> R {
        let table = self.mounts.table();
        let mount = table.find(path.as_str()).map(|e| (e.mount.uuid.as_str(), e.mount.path.as_str().len()));
        decide(&Asked { path: path.as_str(), mount, client })
    }

    fn counted(&self, verdict: Verdict) -> Verdict {
        if let Some(rule) = verdict.rule.as_ref().filter(|_| verdict.refused) {
            self.metrics().count("quota.rate_limit.violation", vec![("name", rule.as_str().to_owned())], 1);
        }
        verdict
    }

    /// Who wants in, or as what, if this is a login.
    pub(in crate::vault) fn claim(&self, inbound: &Inbound, target: &Target, what: Claimed) -> Option<String> {
        if !target.endpoint().is_login() {
            return None;
        }
        let frame = frame(self, inbound, target, None, false);
        let mut args = Args::new(target.captures.clone(), inbound.body.as_ref().clone());
        // Where it cannot be told, the login itself will say why.
        target.endpoint().claim(target.entry.engine.any(), frame, &mut args, what).unwrap_or_default()
    }

    /// What is told about limits: whether clients hear how they stand.
    pub fn tells_limits(&self) -> bool {
        self.quotas.in_force().config.tell
    }

    /// Records a request that a limit refuses, where the configuration says so.
    pub async fn refuse_limited(&self, inbound: Inbound) -> Refusal {
        if !self.quotas.in_force().config.audit_refusals {
            return Refusal(Error::RateLimited);
        }
        let routed = self.route(inbound);
        self.refuse(&routed, Error::RateLimited).await
    }
}

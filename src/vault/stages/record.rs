//! Proof that an audit device holds the request, granted or denied.

use std::sync::Arc;

use super::decide::Permit;
use super::route::Target;
use super::{Decided, Routed};
use crate::audit::{AuthFacts, Entry, RequestFacts};
use crate::base::{Error, Operation, Result, Ttl};
use crate::vault::Vault;
use crate::vault::request::{Inbound, Refusal};
use crate::vault::sessions::Session;

/// A request that may run: granted, and on record.
pub struct Recorded {
    /// The request.
    pub inbound: Inbound,
    /// Where it goes.
    pub target: Target,
    /// Who asks.
    pub session: Option<Arc<Session>>,
    /// Why it may.
    pub permit: Permit,
    /// Revoked after the answer is released.
    pub last_use: Option<String>,
    /// That the devices hold the request, or have been handed it.
    pub proof: Proof,
}

/// What stands behind a request that runs.
pub enum Proof {
    /// A device holds it.
    Held(crate::audit::Recorded),
    /// The devices have been handed it, and hold it before the answer leaves. Only for what changes nothing at all.
    Handed(crate::audit::Begun),
}

impl Recorded {
    /// How long the answer shall wait, wrapped; `None` to give it at once.
    pub fn wrap_ttl(&self) -> Option<Ttl> {
        self.inbound.wrap_ttl.filter(|ttl| !ttl.is_zero())
    }
}

impl Vault {
    pub(in crate::vault) async fn record(&self, decided: Decided) -> Result<Recorded, Refusal> {
        let Decided { routed, session, last_use, verdict, denial } = decided;
        let error = verdict.as_ref().err().map(Error::to_string).unwrap_or_default();
        let target = routed.target.as_ref().ok();
        let allowed = verdict.is_ok();
        let creating = verdict.as_ref().is_ok_and(Permit::creating);
        let inert = allowed && last_use.is_none() && is_inert(target, &routed.inbound);
        let proof = {
            let fields = secret_fields(target, &routed.inbound);
            let asker = session.as_deref().map(|s| (s, allowed));
            let mut entry = entry(self, &routed.inbound, target, asker, &fields, creating);
            entry.error = &error;
            let start = self.clock.monotonic();
            let handed = if inert {
                Ok(Proof::Handed(self.audit.begin(&entry)))
            } else {
                self.audit.request(&entry).await.map(Proof::Held)
            };
            self.note_audit(start, true, handed.is_err());
            handed
        };
        if let (Some(denial), Some(session)) = (denial, &session) {
            tracing::debug!(request = %routed.inbound.id, ?denial, "denied by policy");
            self.keep_denial(&routed.inbound, target, session, &denial);
        }
        let outcome = match (proof, verdict, routed.target) {
            (Err(error), ..) => Err(error),
            (_, Err(error), _) | (_, _, Err(error)) => Err(error),
            (Ok(proof), Ok(permit), Ok(target)) => Ok((proof, permit, target)),
        };
        match outcome {
            Ok((proof, permit, target)) => {
                Ok(Recorded { inbound: routed.inbound, target, session, permit, last_use, proof })
            }
            Err(error) => {
                self.revoke_last(last_use).await;
                Err(Refusal(error))
            }
        }
    }

    /// Records a request that reaches no engine, and gives its refusal: that of the audit log if it cannot be recorded.
    pub(in crate::vault) async fn refuse(&self, routed: &Routed, error: Error) -> Refusal {
        let text = error.to_string();
        if matches!(error, Error::BadToken | Error::Forbidden(_)) {
            self.keep_refusal(&routed.inbound);
        }
        let target = routed.target.as_ref().ok();
        let fields = secret_fields(target, &routed.inbound);
        let mut entry = entry(self, &routed.inbound, target, None, &fields, false);
        entry.error = &text;
        let start = self.clock.monotonic();
        let recorded = self.audit.request(&entry).await;
        self.note_audit(start, true, recorded.is_err());
        match recorded {
            Ok(_) => Refusal(error),
            Err(unrecorded) => Refusal(unrecorded),
        }
    }

    /// Notes how long the audit log took, and whether no device took the entry.
    pub(in crate::vault) fn note_audit(&self, start: std::time::Duration, request: bool, failed: bool) {
        let (metrics, now) = (self.metrics(), self.clock.monotonic());
        let (summary, failures) = if request {
            (&metrics.audit_request, &metrics.audit_request_failure)
        } else {
            (&metrics.audit_response, &metrics.audit_response_failure)
        };
        summary.observe(now.saturating_sub(start), now);
        failures.add(u64::from(failed));
    }

    /// Revokes a token whose last use this was.
    pub(in crate::vault) async fn revoke_last(&self, last_use: Option<String>) {
        if let Some(digest) = last_use
            && let Err(error) = self.revoke_token_tree(&digest).await
        {
            // It has no use left; the sweep takes its rows when its time is over.
            tracing::warn!(%error, "a spent token could not be revoked yet");
        }
    }
}

/// Whether a request changes nothing, whatever it answers: then its answer and itself are recorded together.
fn is_inert(target: Option<&Target>, inbound: &Inbound) -> bool {
    matches!(inbound.operation, Operation::Read | Operation::List)
        && inbound.wrap_ttl.is_none()
        && target.is_some_and(|t| t.endpoint().inert)
}

/// The names of secret fields that the endpoint takes.
pub fn secret_fields(target: Option<&Target>, inbound: &Inbound) -> Vec<&'static str> {
    let handling = target.and_then(|t| t.handling(inbound).ok());
    handling.map(|h| h.fields.iter().filter(|f| f.secret).map(|f| f.name).collect()).unwrap_or_default()
}

/// What audit says of who asks.
fn auth_facts(session: &Session, allowed: bool) -> AuthFacts<'_> {
    let token = session.token.as_ref();
    AuthFacts {
        client_token: None,
        accessor: &token.accessor,
        display_name: &token.display_name,
        policies: &session.policies,
        token_policies: &token.policies,
        identity_policies: &session.identity_policies,
        metadata: Some(&token.meta),
        entity_id: &token.entity_id,
        token_type: token.kind.word(),
        token_ttl: token.creation_ttl,
        token_issue_time: Some(token.created),
        num_uses: match token.uses {
            crate::token::Use::Counted(left) => left,
            crate::token::Use::Free => 0,
        },
        allowed,
        ..AuthFacts::default()
    }
}

/// The entry of a request; the session is that of its token, with whether its policies admit the request.
pub fn entry<'a>(
    vault: &Vault,
    inbound: &'a Inbound,
    target: Option<&'a Target>,
    asker: Option<(&'a Session, bool)>,
    secret_fields: &'a [&'a str],
    creating: bool,
) -> Entry<'a> {
    let mount = target.map(|t| t.entry.mount.as_ref());
    let auth = asker.map(|(session, allowed)| auth_facts(session, allowed));
    Entry {
        time: vault.clock.now(),
        request: RequestFacts {
            id: &inbound.id,
            operation: if creating { "create" } else { inbound.operation.word() },
            mount_point: mount.map_or("", |m| m.path.as_str()),
            mount_type: mount.map_or("", |m| m.kind.as_str()),
            mount_accessor: mount.map_or("", |m| m.accessor.as_str()),
            mount_class: mount.map_or("", |m| if m.is_auth() { "auth" } else { "secret" }),
            path: inbound.path.as_str(),
            data: &inbound.body,
            client_token: inbound.token.as_ref(),
            client_token_accessor: auth.as_ref().map_or("", |a| a.accessor),
            remote_address: inbound.remote.map(|a| a.ip()),
            remote_port: inbound.remote.map_or(0, |a| a.port()),
            wrap_ttl: inbound.wrap_ttl,
            headers: &inbound.headers,
            secret_fields,
        },
        auth,
        response: None,
        error: "",
        memo: Some(&inbound.memo),
        hashes: asker.map(|(session, _)| &session.hashes),
        non_hmac_request_keys: mount.map_or(&[], |m| m.config.audit_non_hmac_request_keys.as_slice()),
        non_hmac_response_keys: mount.map_or(&[], |m| m.config.audit_non_hmac_response_keys.as_slice()),
    }
}

//! The engine's answer, with its change not yet committed.

use std::sync::Arc;

use super::Recorded;
use super::route::Target;
use crate::base::{Error, Result, limits};
use crate::engine::{Args, Body, Caller, Claimed, Frame, Reply, UserLockout};
use crate::system;
use crate::vault::Vault;
use crate::vault::request::Inbound;
use crate::vault::sessions::Session;

/// What the engine said.
pub struct Answered {
    /// The answer.
    pub reply: Reply,
}

impl Vault {
    pub(in crate::vault) async fn run(&self, recorded: &Recorded) -> Result<Answered> {
        let inbound = &recorded.inbound;
        let target = &recorded.target;
        let handling = target.handling(inbound)?;
        let frame = frame(self, inbound, target, recorded.session.as_deref(), recorded.permit.create_only());
        let suspect = self.suspect(recorded)?;
        let mut args = Args::new(target.captures.clone(), inbound.body.as_ref().clone());
        let answer = handling.run(target.entry.engine.any(), frame, &mut args)?;
        let mut ignored: Vec<&str> =
            if target.endpoint().open || target.endpoint().raw { Vec::new() } else { args.left().collect() };
        ignored.retain(|name| name.len() <= 256 && !name.chars().any(char::is_control));
        let warning = (!ignored.is_empty())
            .then(|| format!("Endpoint ignored these unrecognized parameters: [{}]", ignored.join(", ")));
        let mut reply = match answer.await {
            Err(error @ Error::Credentials(_)) => {
                // Counted before it is told: else a client that hangs up would try for nothing.
                if let Some((mount, name, rule)) = &suspect {
                    self.commit(self.lockouts.failed(mount, name, rule, self.clock.now())).await?;
                }
                return Err(error);
            }
            other => other?,
        };
        if let (Body::Login(_), Some((mount, name, _))) = (&reply.body, &suspect)
            && let Some(forget) = self.lockouts.forget(mount, name)?
        {
            match &mut reply.txn {
                Some(txn) => txn.merge(forget),
                None => reply.txn = Some(forget),
            }
        }
        reply.warnings.extend(warning);
        Ok(Answered { reply })
    }
}

/// Whose failures a login counts: the mount's accessor, the name, and the rule.
type Suspect = (String, String, UserLockout);

impl Vault {
    /// Whom a login would lock out if it fails; `None` for what is no login, or of nobody.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for who is locked out, whatever he proves.
    fn suspect(&self, recorded: &Recorded) -> Result<Option<Suspect>> {
        let target = &recorded.target;
        if !target.endpoint().is_login() {
            return Ok(None);
        }
        let mount = &target.entry.mount;
        let rule = self.settings.facts.lockout(&mount.kind, mount.config.user_lockout.as_ref());
        if rule.disabled {
            return Ok(None);
        }
        let alias = self.claim(&recorded.inbound, target, Claimed::Alias);
        let Some(name) = alias.filter(|name| name.len() <= limits::LOCKOUT_NAME_BYTES) else {
            return Ok(None);
        };
        if self.lockouts.locked(&mount.accessor, &name, &rule, self.clock.now())? {
            return Err(Error::Forbidden("permission denied".into()));
        }
        Ok(Some((mount.accessor.clone(), name, rule)))
    }
}

/// What a handler is given beside its engine and parameters.
pub fn frame(vault: &Vault, inbound: &Inbound, target: &Target, session: Option<&Session>, create_only: bool) -> Frame {
    let mut caller = session.map_or_else(Arc::default, |s| s.caller.clone());
    if system::is_own(&target.entry.mount.kind) {
        caller = Arc::new(Caller { text: inbound.token.clone(), ..Caller::clone(&caller) });
    }
    Frame {
        mount: target.entry.mount.clone(),
        limits: target.entry.mount.limits(vault.settings.limits),
        view: target.entry.view.clone(),
        clock: vault.clock.clone(),
        rng: vault.rng.clone(),
        request_id: inbound.id.clone(),
        operation: inbound.operation,
        path: Arc::new(inbound.path.clone()),
        caller,
        client_addr: inbound.remote.map(|a| a.ip().to_canonical()),
        client_cert: inbound.client_cert.clone(),
        raw: target.endpoint().raw.then(|| Arc::new((inbound.raw)().let_through(&target.entry.mount.config))),
        create_only,
        wrapping: inbound.wrap_ttl.is_some_and(|ttl| !ttl.is_zero()),
        outbound: vault.settings.outbound.clone(),
        passwords: vault.passwords.clone(),
        folded: target.folded,
    }
}

/// A frame for work that no client asked for.
pub fn own_frame(vault: &Vault, entry: &crate::mount::Entry, path: crate::base::Path) -> Frame {
    Frame {
        mount: entry.mount.clone(),
        limits: entry.mount.limits(vault.settings.limits),
        view: entry.view.clone(),
        clock: vault.clock.clone(),
        rng: vault.rng.clone(),
        request_id: crate::base::ids::uuid(vault.rng.as_ref()).into(),
        operation: crate::base::Operation::Update,
        path: Arc::new(path),
        caller: Arc::default(),
        client_addr: None,
        client_cert: None,
        raw: None,
        create_only: false,
        wrapping: false,
        outbound: vault.settings.outbound.clone(),
        passwords: vault.passwords.clone(),
        folded: false,
    }
}

/// The mount of this accessor, for work on what came from it.
pub fn entry_of(vault: &Vault, accessor: &str) -> Result<Arc<crate::mount::Entry>> {
    let table = vault.mounts.table();
    table.accessor(accessor).cloned().ok_or_else(|| Error::invalid("no mount of this accessor"))
}

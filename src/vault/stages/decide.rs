//! Whether the policies admit it.

use std::sync::Arc;

use super::route::Target;
use super::run::frame;
use super::{Recorded, Routed, Spent};
use crate::base::{Error, Operation, Result};
use crate::engine::Args;
use crate::policy::{Decision, Denial, Grant, Query};
use crate::vault::Vault;
use crate::vault::request::Inbound;
use crate::vault::sessions::Session;

/// A request with its verdict.
pub struct Decided {
    /// The request and where it goes.
    pub routed: Routed,
    /// Who asks.
    pub session: Option<Arc<Session>>,
    /// Revoked after the answer is released.
    pub last_use: Option<String>,
    /// Whether it may.
    pub verdict: Result<Permit, Error>,
    /// Why not, for those who may ask later.
    pub denial: Option<Denial>,
}

/// Why a request may run.
pub enum Permit {
    /// Its endpoint needs no token.
    Public,
    /// Policies grant it.
    Granted {
        /// What they say.
        grant: Grant,
        /// Whether they grant the creation alone, and would deny the same as an update.
        create_only: bool,
    },
}

impl Permit {
    /// Whether it was granted as the creation of something new.
    pub fn creating(&self) -> bool {
        matches!(self, Self::Granted { grant, .. } if grant.creates())
    }

    /// Whether it must not change what another made in the meantime.
    pub fn create_only(&self) -> bool {
        matches!(self, Self::Granted { create_only: true, .. })
    }
}

impl Vault {
    pub(in crate::vault) fn decide(&self, spent: Spent) -> Decided {
        let Spent { mut routed, session, last_use } = spent;
        let Some(session) = session else {
            let verdict = match std::mem::replace(&mut routed.target, Err(Error::UnsupportedPath)) {
                Ok(target) => {
                    routed.target = Ok(target);
                    Ok(Permit::Public)
                }
                Err(error) => Err(error),
            };
            return Decided { routed, session: None, last_use, verdict, denial: None };
        };
        let target = routed.target.as_ref().ok();
        let exists = target.is_none_or(|target| self.exists(&routed.inbound, target, &session));
        let query = query(&routed.inbound, target, exists);
        let (verdict, denial) = match session.acl.check(&query) {
            Decision::Deny(denial) => (Err(Error::Denied), Some(denial)),
            // Only who may act at a path is told that nothing is there.
            Decision::Allow(grant) => match std::mem::replace(&mut routed.target, Err(Error::UnsupportedPath)) {
                Err(error) => (Err(error), None),
                Ok(target) => {
                    routed.target = Ok(target);
                    let update = Query { creates: false, ..query };
                    let create_only = grant.creates() && !matches!(session.acl.check(&update), Decision::Allow(_));
                    (Ok(Permit::Granted { grant, create_only }), None)
                }
            },
        };
        Decided { routed, session: Some(session), last_use, verdict, denial }
    }

    /// Decides once more about a request that was to create what another writer has made meanwhile: it may be an update
    /// as well, or it may not run.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub(in crate::vault) fn decide_again(&self, recorded: &mut Recorded) -> Result<()> {
        let Some(session) = recorded.session.as_deref().filter(|_| recorded.permit.creating()) else { return Ok(()) };
        if !self.exists(&recorded.inbound, &recorded.target, session) {
            return Ok(());
        }
        match session.acl.check(&query(&recorded.inbound, Some(&recorded.target), true)) {
            Decision::Allow(grant) => {
                recorded.permit = Permit::Granted { grant, create_only: false };
                Ok(())
            }
            Decision::Deny(_) => Err(Error::Denied),
        }
    }

    /// Whether what an upsert names exists. Where that cannot be told, it is an update, and the handler will say why.
    pub(in crate::vault) fn exists(&self, inbound: &Inbound, target: &Target, session: &Session) -> bool {
        let Ok(handling) = target.handling(inbound) else { return true };
        if !handling.upserts() {
            return true;
        }
        let frame = frame(self, inbound, target, Some(session), false);
        let mut args = Args::new(target.captures.clone(), inbound.body.as_ref().clone());
        handling.exists(target.entry.engine.any(), frame, &mut args).unwrap_or(true)
    }
}

/// The question that a request puts to the policies.
pub fn query<'a>(inbound: &'a Inbound, target: Option<&Target>, exists: bool) -> Query<'a> {
    Query {
        operation: inbound.operation,
        creates: inbound.operation == Operation::Update && !exists,
        sudo: target.is_some_and(|t| t.endpoint().sudo),
        path: &inbound.path,
        parameters: Some(&inbound.body),
        wrap: inbound.wrap_ttl,
    }
}

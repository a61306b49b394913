//! One use of a counted token, taken exactly, before anything is done with it.

use std::sync::Arc;

use super::{Identified, Routed};
use crate::base::Error;
use crate::token::Use;
use crate::vault::Vault;
use crate::vault::sessions::Session;

/// A request whose token may be used once more, now.
pub struct Spent {
    /// The request and where it goes.
    pub routed: Routed,
    /// Who asks.
    pub session: Option<Arc<Session>>,
    /// The token's digest, if this was its last use: it is revoked after the answer is released.
    pub last_use: Option<String>,
}

impl Vault {
    pub(in crate::vault) async fn spend(&self, identified: Identified) -> Result<Spent, (Routed, Error)> {
        let Identified { routed, session } = identified;
        let counted = session.as_ref().filter(|s| matches!(s.token.uses, Use::Counted(_)));
        let Some(counted) = counted else { return Ok(Spent { routed, session, last_use: None }) };
        let digest = counted.token.id.clone();
        if let Err(error) = self.commit(self.tokens.spend(&digest)).await {
            return Err((routed, error));
        }
        // What is left is read again, so that `lookup-self` shows it; a zero is revoked by whoever sees it.
        let left = self.tokens.get(&digest).ok().flatten();
        let last = left.as_ref().is_none_or(|t| t.uses == Use::Counted(0));
        let session = session.map(|s| match left {
            Some(token) => Arc::new(Session {
                token: Arc::new(token),
                policies: s.policies.clone(),
                identity_policies: s.identity_policies.clone(),
                acl: s.acl.clone(),
                policy_epoch: s.policy_epoch,
                identity_epoch: s.identity_epoch,
                caller: s.caller.clone(),
                hashes: Default::default(),
                month: Default::default(),
            }),
            None => s,
        });
        Ok(Spent { routed, session, last_use: last.then_some(digest) })
    }
}

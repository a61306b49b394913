//! Who asks: the token's facts, its identity and its compiled policies.

use std::sync::Arc;

use super::Routed;
use crate::base::{Error, Result, Secret};
use crate::engine::{Caller, CallerFacts};
use crate::identity::Standing;
use crate::policy::{Acl, NoFacts, Policy};
use crate::token::{Kind, Token, Tokens, Use};
use crate::vault::Vault;
use crate::vault::acls::Source;
use crate::vault::sessions::{Session, Sessions};

/// A request that knows who asks.
pub struct Identified {
    /// The request and where it goes.
    pub routed: Routed,
    /// Who asks; `None` where the endpoint needs no token.
    pub session: Option<Arc<Session>>,
}

impl Vault {
    #[expect(clippy::result_large_err, reason = "the request goes on either way: a refusal is recorded")]
    pub(in crate::vault) fn authenticate(&self, routed: Routed) -> Result<Identified, (Routed, Error)> {
        if routed.public {
            return Ok(Identified { routed, session: None });
        }
        let session = match &routed.inbound.token {
            None => Err(Error::BadToken),
            Some(token) => self.session(token),
        };
        let session = session.and_then(|session| {
            let address = routed.inbound.remote.map(|a| a.ip());
            if session.token.admits(address) { Ok(session) } else { Err(Error::BadToken) }
        });
        match session {
            Ok(session) => {
                self.note_client(&session);
                Ok(Identified { routed, session: Some(session) })
            }
            Err(error) => Err((routed, error)),
        }
    }

    /// The session of a token's text.
    ///
    /// # Errors
    /// [`Error::BadToken`] for what is unknown, ended, spent, or whose parent, mount or entity is gone.
    pub(in crate::vault) fn session(&self, text: &Secret<String>) -> Result<Arc<Session>> {
        if !Tokens::plausible(text.reveal()) {
            return Err(Error::BadToken);
        }
        let digest = self.tokens.digest(text);
        let through = self.read_through();
        let seen = self.sessions.seen(&digest);
        let now = self.clock.now();
        if !through
            && let Some(session) = Sessions::find(&seen, &digest)
            && session.policy_epoch == self.policies.epoch()
            && session.identity_epoch == self.epochs.of(&session.token.entity_id)
        {
            self.check_alive(&session.token, now)?;
            return Ok(session);
        }
        let policy_epoch = self.policies.epoch();
        let token = self.stored(text)?.ok_or(Error::BadToken)?;
        self.check_alive(&token, now)?;
        let session = Arc::new(self.compile(token, policy_epoch, through)?);
        if !through && session.token.uses == Use::Free {
            self.sessions.offer(&seen, session.clone());
        }
        Ok(session)
    }

    /// The token of a text, as it is stored or sealed in the text itself; whether it is valid is not asked.
    pub(in crate::vault) fn stored(&self, text: &Secret<String>) -> Result<Option<Token>> {
        if !Tokens::plausible(text.reveal()) {
            return Ok(None);
        }
        let digest = self.tokens.digest(text);
        if !Tokens::is_batch(text.reveal()) {
            return self.tokens.get(&digest);
        }
        Ok(self.tokens.open_batch(text).map(|token| Token { id: digest, ..token }))
    }

    fn check_alive(&self, token: &Token, now: crate::base::Timestamp) -> Result<()> {
        if self.ended(token, now)?.is_some() { Err(Error::BadToken) } else { Ok(()) }
    }

    /// Why a token cannot be used any more, in words for `explain`. Compared at every use.
    pub(in crate::vault) fn ended(&self, token: &Token, now: crate::base::Timestamp) -> Result<Option<&'static str>> {
        if token.expired(now) {
            return Ok(Some("the token's time is over"));
        }
        if token.uses == Use::Counted(0) {
            return Ok(Some("the token's uses are spent"));
        }
        if !token.mount_accessor.is_empty() && self.mounts.table().accessor(&token.mount_accessor).is_none() {
            return Ok(Some("the auth mount that the token came from is gone"));
        }
        if token.kind == Kind::Batch && !token.parent.is_empty() {
            let parent = self.tokens.get(&token.parent)?;
            if parent.is_none_or(|parent| parent.expired(now)) {
                return Ok(Some("the batch token's parent is gone"));
            }
        }
        Ok(None)
    }

    /// Compiles the policies of a token, those of its identity at this moment included.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when its entity is disabled or gone.
    pub(in crate::vault) fn compile(&self, mut token: Token, policy_epoch: u64, through: bool) -> Result<Session> {
        let mut identity_epoch = self.epochs.of(&token.entity_id);
        let mut standing = self.identities.standing(&token.entity_id)?;
        if let Some(merged) = standing.as_ref().map(|s| s.entity.id.clone()).filter(|id| *id != token.entity_id) {
            // From here on the changes of the entity that took the token's own in are those that count.
            identity_epoch = self.epochs.of(&merged);
            standing = self.identities.standing(&merged)?;
            token.entity_id = merged;
        }
        let refused = match &standing {
            Some(standing) => standing.entity.disabled,
            None => !token.entity_id.is_empty(),
        };
        if refused {
            return Err(Error::Forbidden("permission denied".into()));
        }
        let identity_policies = standing.as_ref().map(Standing::policies).unwrap_or_default();
        let mut names = [token.policies.clone(), identity_policies.clone()].concat();
        names.sort_unstable();
        names.dedup();
        let compile = || {
            if token.is_root() {
                return Ok(Acl::compile(&[Arc::new(Policy::root())], &NoFacts));
            }
            let mut policies = Vec::new();
            for name in names.iter().filter(|name| *name != "root") {
                policies.extend(self.policies.get(name, through)?);
            }
            Ok(match &standing {
                Some(standing) => Acl::compile(&policies, standing),
                None => Acl::compile(&policies, &NoFacts),
            })
        };
        // Root is `root` alone: a token that only names it has other rules than one that is it.
        let acl = if through || token.is_root() {
            Arc::new(compile()?)
        } else {
            let (names, entity_id) = (names.clone(), token.entity_id.clone());
            self.acls.of(Source { names, policy_epoch, entity_id, identity_epoch }, compile)?
        };
        let facts = standing.map_or_else(CallerFacts::default, |standing| CallerFacts::new(Arc::new(standing)));
        let caller = Arc::new(caller(&token, &names, facts));
        Ok(Session {
            token: Arc::new(token),
            policies: names,
            identity_policies,
            acl,
            policy_epoch,
            identity_epoch,
            caller,
            hashes: Default::default(),
            month: Default::default(),
        })
    }
}

/// What an engine may know of who asks.
fn caller(token: &Token, policies: &[String], facts: CallerFacts) -> Caller {
    Caller {
        token_id: token.id.clone(),
        accessor: token.accessor.clone(),
        display_name: token.display_name.clone(),
        policies: policies.to_vec(),
        entity_id: token.entity_id.clone(),
        batch: token.kind == Kind::Batch,
        root: token.is_root(),
        facts,
        text: None,
    }
}

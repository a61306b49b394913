//! Who asks: the token's facts, its identity and its compiled policies.

use std::borrow::Cow;
use std::sync::Arc;

use super::Routed;
use crate::base::{Error, Result, Secret};
use crate::engine::Caller;
use crate::identity::Entity;
use crate::policy::{Acl, Fact, Facts, Field, NoFacts, Policy};
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
            Ok(session) => Ok(Identified { routed, session: Some(session) }),
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
        let token = if Tokens::is_batch(text.reveal()) {
            self.tokens.open_batch(text).map(|mut token| {
                token.id.clone_from(&digest);
                token
            })
        } else {
            self.tokens.get(&digest)?
        };
        let token = token.ok_or(Error::BadToken)?;
        self.check_alive(&token, now)?;
        let session = Arc::new(self.compile(token, policy_epoch, through)?);
        if !through && session.token.uses == Use::Free {
            self.sessions.offer(&seen, session.clone());
        }
        Ok(session)
    }

    /// What is compared at every use.
    fn check_alive(&self, token: &Token, now: crate::base::Timestamp) -> Result<()> {
        if token.expired(now) || token.uses == Use::Counted(0) {
            return Err(Error::BadToken);
        }
        if !token.mount_accessor.is_empty() && self.mounts.table().accessor(&token.mount_accessor).is_none() {
            return Err(Error::BadToken);
        }
        if token.kind == Kind::Batch && !token.parent.is_empty() {
            let parent = self.tokens.get(&token.parent)?.ok_or(Error::BadToken)?;
            if parent.expired(now) {
                return Err(Error::BadToken);
            }
        }
        Ok(())
    }

    /// Compiles the policies of a token.
    ///
    /// # Errors
    /// [`Error::BadToken`] when its entity is disabled.
    pub(in crate::vault) fn compile(&self, token: Token, policy_epoch: u64, through: bool) -> Result<Session> {
        let identity_epoch = self.epochs.of(&token.entity_id);
        let entity = self.identities.entity(&token.entity_id)?;
        if entity.as_ref().is_some_and(|e| e.disabled) {
            return Err(Error::Forbidden("permission denied".into()));
        }
        let identity_policies = entity.as_ref().map(|e| e.policies.clone()).unwrap_or_default();
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
            Ok(match &entity {
                Some(entity) => Acl::compile(&policies, &Known(entity)),
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
        let caller = Arc::new(caller(&token, &names));
        Ok(Session {
            token: Arc::new(token),
            policies: names,
            identity_policies,
            acl,
            policy_epoch,
            identity_epoch,
            caller,
            hashes: Default::default(),
        })
    }
}

/// What an engine may know of who asks.
fn caller(token: &Token, policies: &[String]) -> Caller {
    Caller {
        token_id: token.id.clone(),
        accessor: token.accessor.clone(),
        display_name: token.display_name.clone(),
        policies: policies.to_vec(),
        entity_id: token.entity_id.clone(),
        batch: token.kind == Kind::Batch,
        root: token.is_root(),
        text: None,
    }
}

/// What templated policies may say of an entity.
struct Known<'a>(&'a Entity);

impl Facts for Known<'_> {
    fn fact(&self, fact: &Fact) -> Option<Cow<'_, str>> {
        let entity = self.0;
        let text = match fact {
            Fact::Entity(Field::Id) => Some(&entity.id),
            Fact::Entity(Field::Name) => Some(&entity.name),
            Fact::Entity(Field::Metadata(key)) => entity.metadata.get(key.as_ref()),
            Fact::Alias { accessor, field } => {
                let alias = entity.aliases.iter().find(|a| a.mount_accessor == accessor.as_ref())?;
                match field {
                    Field::Id => Some(&alias.id),
                    Field::Name => Some(&alias.name),
                    Field::Metadata(key) => alias.metadata.get(key.as_ref()),
                    Field::CustomMetadata(_) => None,
                }
            }
            _ => None,
        };
        text.map(|text| Cow::Borrowed(text.as_str()))
    }
}

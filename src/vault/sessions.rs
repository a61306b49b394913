//! Sessions: a token's facts made ready, in a fixed array of slots indexed by the token's digest.
//!
//! A loader offers its session by compare-and-swap with the slot that it saw before it opened its snapshot; an
//! invalidation replaces the slot, also an empty one. A plain store would now and then bring a revoked session back.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use arc_swap::{ArcSwap, Guard};

use crate::base::limits;
use crate::engine::Caller;
use crate::policy::Acl;
use crate::token::Token;

/// A token with its policies compiled.
pub struct Session {
    /// The token.
    pub token: Arc<Token>,
    /// All its policies, those of its entity included, sorted.
    pub policies: Vec<String>,
    /// Those of its entity.
    pub identity_policies: Vec<String>,
    /// What they allow.
    pub acl: Arc<Acl>,
    /// The state of all policies that it was compiled from.
    pub policy_epoch: u64,
    /// The state of its entity that it was compiled from.
    pub identity_epoch: u64,
    /// What an engine may know of it.
    pub caller: Arc<Caller>,
    /// What the audit log shows of its token.
    pub hashes: crate::audit::Hashes,
    /// The month in which its client was noted.
    pub month: AtomicU32,
}

/// What a slot holds. Its address is its generation.
#[derive(Default)]
pub struct Slot(Option<Arc<Session>>);

/// The slots.
pub struct Sessions {
    slots: Box<[ArcSwap<Slot>]>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { slots: (0..limits::SESSION_SLOTS).map(|_| ArcSwap::default()).collect() }
    }
}

impl Sessions {
    fn slot(&self, digest: &str) -> &ArcSwap<Slot> {
        // The digest is a keyed hash: its letters are as good as random.
        let hash = digest.bytes().take(12).fold(0usize, |h, b| h.wrapping_mul(67).wrapping_add(usize::from(b)));
        &self.slots[hash % self.slots.len()]
    }

    /// What the slot holds now, to be handed to [`Sessions::offer`].
    pub fn seen(&self, digest: &str) -> Guard<Arc<Slot>> {
        self.slot(digest).load()
    }

    /// The session of this digest in what was seen.
    pub fn find(seen: &Guard<Arc<Slot>>, digest: &str) -> Option<Arc<Session>> {
        seen.0.as_ref().filter(|s| s.token.id == digest).cloned()
    }

    /// Keeps a session, unless the slot changed since it was seen.
    pub fn offer(&self, seen: &Guard<Arc<Slot>>, session: Arc<Session>) {
        let slot = self.slot(&session.token.id);
        slot.compare_and_swap(seen, Arc::new(Slot(Some(session))));
    }

    /// Forgets the session of this digest, and refuses those whose loading is under way.
    pub fn forget(&self, digest: &str) {
        self.slot(digest).store(Arc::new(Slot(None)));
    }

    /// Forgets all.
    pub fn clear(&self) {
        for slot in &self.slots {
            slot.store(Arc::new(Slot(None)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn session() -> Arc<Session> {
        Arc::new(Session {
            token: Arc::new(Token { id: "abc".into(), ..Token::default() }),
            policies: Vec::new(),
            identity_policies: Vec::new(),
            acl: Arc::default(),
            policy_epoch: 0,
            identity_epoch: 0,
            caller: Arc::default(),
            hashes: Default::default(),
            month: Default::default(),
        })
    }

    /// Races a loader against a revoker; counts how often the revoked session is there afterwards.
    fn races(offer: impl Fn(&Sessions, &Guard<Arc<Slot>>, Arc<Session>) + Sync) -> usize {
        let mut came_back = 0;
        for _ in 0..20_000 {
            let sessions = Sessions::default_for_test();
            let revoked = AtomicBool::new(false);
            std::thread::scope(|_| {
                // The loader sees the slot, then reads the store; the revoker writes the store, then forgets. Here their
                // steps are laid out in the worst order: read, revoke, offer.
                let seen = sessions.seen("abc");
                let alive = !revoked.load(Ordering::SeqCst);
                revoked.store(true, Ordering::SeqCst);
                sessions.forget("abc");
                if alive {
                    offer(&sessions, &seen, session());
                }
            });
            came_back += usize::from(Sessions::find(&sessions.seen("abc"), "abc").is_some());
        }
        came_back
    }

    impl Sessions {
        fn default_for_test() -> Self {
            Self { slots: (0..1).map(|_| ArcSwap::default()).collect() }
        }
    }

    #[test]
    fn a_revoked_session_never_comes_back() {
        assert_eq!(races(|sessions, seen, session| sessions.offer(seen, session)), 0);
    }

    #[test]
    fn with_a_plain_store_it_would() {
        let back = races(|sessions, _, session| sessions.slot("abc").store(Arc::new(Slot(Some(session)))));
        assert_eq!(back, 20_000);
    }

    #[test]
    fn one_slot_serves_only_its_own_digest() {
        let sessions = Sessions::default();
        let seen = sessions.seen("abc");
        sessions.offer(&seen, session());
        assert!(Sessions::find(&sessions.seen("abc"), "abc").is_some());
        assert!(Sessions::find(&sessions.seen("abc"), "abd").is_none());
        sessions.clear();
        assert!(Sessions::find(&sessions.seen("abc"), "abc").is_none());
    }
}

//! Answers to OCSP at hand: a fleet that staples asks the same again and again, and a signature a minute is enough for it.
//!
//! What is said of a certificate is read from the store for each question. An answer is given again only if it says exactly
//! this, was signed by this very issuer, and a moment ago; so a revocation is told at once. Whoever sends a nonce wants an
//! answer of their own, and gets one. All of it may be dropped at any moment.

use std::hash::{Hash as _, Hasher};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::authority::Authority;
use crate::base::{Timestamp, Ttl, time};
use crate::crypto::x509::{CertId, CertStatus};

/// Places for answers, in groups: of those that share a group the oldest gives way.
const GROUPS: usize = 1024;
/// Of some 700 bytes each, beside what they say: together three or four MiB.
const GROUP: usize = 4;
/// So long an answer is given again.
pub const FRESH: Ttl = Ttl::from_seconds(60);
/// Questions about more than this are seldom asked twice.
const IDS: usize = 2;

/// What is said of each.
pub type Statuses = Vec<(CertId, CertStatus)>;

struct Answer {
    authority: Arc<Authority>,
    statuses: Statuses,
    expiry: Ttl,
    at: Timestamp,
    der: Vec<u8>,
}

/// The places.
pub struct Answers(Box<[Group]>);

type Group = [ArcSwapOption<Answer>; GROUP];

impl Answers {
    /// With nothing in it.
    pub fn new() -> Self {
        Self((0..GROUPS).map(|_| Group::default()).collect())
    }

    /// The answer that says this, if there is one.
    pub fn find(
        &self,
        authority: &Arc<Authority>,
        statuses: &[(CertId, CertStatus)],
        expiry: Ttl,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        self.group(statuses)?.iter().find_map(|place| {
            let place = place.load();
            let found = place.as_ref()?;
            let fresh = found.at <= now && now < time::after(found.at, FRESH);
            let same = Arc::ptr_eq(&found.authority, authority) && found.statuses == *statuses;
            (same && fresh && found.expiry == expiry).then(|| found.der.clone())
        })
    }

    /// Keeps an answer, in the place of another.
    pub fn keep(&self, authority: Arc<Authority>, statuses: Statuses, expiry: Ttl, at: Timestamp, der: &[u8]) {
        let Some(group) = self.group(&statuses) else { return };
        let age = |place: &&ArcSwapOption<Answer>| {
            // One about the same certificate goes first: it says something else, or is old.
            place.load().as_ref().map(|kept| (about(&kept.statuses) != about(&statuses), kept.at))
        };
        if let Some(place) = group.iter().min_by_key(age) {
            place.store(Some(Arc::new(Answer { authority, statuses, expiry, at, der: der.to_vec() })));
        }
    }

    /// Lets go of all of them, and of the issuers that they hold.
    pub fn forget(&self) {
        self.0.iter().flatten().for_each(|place| place.store(None));
    }

    fn group(&self, statuses: &[(CertId, CertStatus)]) -> Option<&Group> {
        let (first, _) = statuses.first().filter(|_| statuses.len() <= IDS)?;
        let mut hasher = std::hash::DefaultHasher::new();
        first.serial().hash(&mut hasher);
        Some(&self.0[usize::try_from(hasher.finish() % self.0.len() as u64).unwrap_or_default()])
    }
}

fn about(statuses: &Statuses) -> Option<&CertId> {
    statuses.first().map(|(id, _)| id)
}

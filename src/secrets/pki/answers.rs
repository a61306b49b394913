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

/// Places for answers of some 700 bytes each, beside what they say: a MiB or two.
const PLACES: usize = 1024;
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
pub struct Answers(Box<[ArcSwapOption<Answer>]>);

impl Answers {
    /// With nothing in it.
    pub fn new() -> Self {
        Self((0..PLACES).map(|_| ArcSwapOption::empty()).collect())
    }

    /// The answer that says this, if there is one.
    pub fn find(
        &self,
        authority: &Arc<Authority>,
        statuses: &[(CertId, CertStatus)],
        expiry: Ttl,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        let place = self.place(statuses)?.load();
        let found = place.as_ref()?;
        let fresh = found.at <= now && now < time::after(found.at, FRESH);
        let same = Arc::ptr_eq(&found.authority, authority) && found.statuses == *statuses && found.expiry == expiry;
        (same && fresh).then(|| found.der.clone())
    }

    /// Keeps an answer, in the place of another.
    pub fn keep(&self, authority: Arc<Authority>, statuses: Statuses, expiry: Ttl, at: Timestamp, der: &[u8]) {
        if let Some(place) = self.place(&statuses) {
            place.store(Some(Arc::new(Answer { authority, statuses, expiry, at, der: der.to_vec() })));
        }
    }

    /// Lets go of all of them, and of the issuers that they hold.
    pub fn forget(&self) {
        self.0.iter().for_each(|place| place.store(None));
    }

    fn place(&self, statuses: &[(CertId, CertStatus)]) -> Option<&ArcSwapOption<Answer>> {
        let (first, _) = statuses.first().filter(|_| statuses.len() <= IDS)?;
        let mut hasher = std::hash::DefaultHasher::new();
        first.serial().hash(&mut hasher);
        Some(&self.0[usize::try_from(hasher.finish() % self.0.len() as u64).unwrap_or_default()])
    }
}

//! Whether a certificate that is held was revoked: the server is asked by serial number, now and then and after it was away.
//!
//! A server that does not tell, by its policy or because it keeps no certificates, leaves them good until their end.

use tracing::{debug, info, warn};

use super::{Around, Change, Job, RECONNECT_SPREAD, RETRY_WAIT_MAX, RETRY_WAIT_MIN, Slot};
use crate::agent::certificate;
use crate::agent::fetch::Failure;
use crate::agent::pace::{Backoff, Due, share};
use crate::agent::template::Dependency;
use crate::base::{Clock, Rng};
use std::time::Duration;

/// Where and when to ask.
pub(super) struct Look {
    pub(super) path: String,
    pub(super) due: Due,
    backoff: Backoff,
    /// The server does not tell; only another token or its return is a reason to ask again.
    refused: bool,
}

impl Slot {
    /// Asks about the certificate that is held now, after so long.
    pub(super) fn look_after(&mut self, dependency: &Dependency, wait: Duration, clock: &dyn Clock) {
        let path = self.value.as_ref().and_then(|value| certificate::status_path(dependency, value));
        // What was said of the one before is not said again.
        let refused = self.look.as_ref().is_some_and(|look| look.refused);
        let look = |path| Look {
            path,
            due: Due::after(clock, wait),
            backoff: Backoff::new(RETRY_WAIT_MIN, RETRY_WAIT_MAX),
            refused,
        };
        self.look = path.map(look);
    }

    /// Asks about a certificate of an earlier run: nobody knows what has happened since.
    pub(super) fn look_soon(&mut self, dependency: &Dependency, clock: &dyn Clock, rng: &dyn Rng) {
        self.look_after(dependency, share(RECONNECT_SPREAD, 0, 1000, rng), clock);
    }

    /// Asks within ten seconds and not at once, if there is anything to ask.
    pub(super) fn hurry_look(&mut self, clock: &dyn Clock, rng: &dyn Rng) {
        let soon = share(RECONNECT_SPREAD, 0, 1000, rng);
        if let Some(look) = self.look.as_mut().filter(|look| soon < look.due.left(clock)) {
            look.due = Due::after(clock, soon);
        }
    }

    /// The server said whether a certificate was revoked, or did not.
    pub(super) fn looked(
        &mut self,
        dependency: &Dependency,
        outcome: Result<bool, Failure>,
        around: Around<'_>,
        news: &mut bool,
    ) -> Change {
        let Some(look) = &mut self.look else { return Change::None };
        let path = dependency.shown();
        match outcome {
            Ok(false) => {
                look.backoff.reset();
                look.refused = false;
                look.due = Due::after(around.clock, around.interval());
            }
            Ok(true) => {
                warn!(path, "the certificate was revoked; a new one is fetched");
                self.look = None;
                self.revoked = true;
                self.job = Job::Fetch;
                self.due = Due::after(around.clock, Duration::ZERO);
                *news = true;
            }
            Err(failure) if failure.is_refusal() => {
                if std::mem::replace(&mut look.refused, true) {
                    debug!(path, error = %failure, "the server still does not tell of revocations");
                } else {
                    warn!(path, error = %failure, "the server does not tell whether the certificate was revoked; it is kept until its end");
                }
                look.backoff.reset();
                look.due = Due::after(around.clock, Duration::MAX);
            }
            Err(failure) => {
                if look.backoff.failures() == 0 {
                    info!(path, error = %failure, "whether the certificate was revoked is not known now");
                }
                look.due = Due::after(around.clock, look.backoff.next(around.rng));
            }
        }
        Change::None
    }
}

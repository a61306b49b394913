//! Whether a certificate that is held was revoked: the server is asked by serial number, now and then and after it was away.
//!
//! A server that does not tell, by its policy or because it keeps no certificates, leaves them good until their end.

use tracing::{debug, info, warn};

use super::{Change, Job, RECONNECT_SPREAD, RETRY_WAIT_MAX, RETRY_WAIT_MIN, Settings, Slot, Store};
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
}

impl Store {
    /// The server said whether a certificate was revoked, or did not.
    pub(in crate::agent) fn looked(
        &mut self,
        dependency: &Dependency,
        outcome: Result<bool, Failure>,
        settings: &Settings,
        clock: &dyn Clock,
        rng: &dyn Rng,
    ) -> Change {
        let Some(slot) = self.slots.get_mut(dependency) else { return Change::None };
        slot.in_flight = false;
        let Some(look) = &mut slot.look else { return Change::None };
        let later = || Due::after(clock, share(settings.static_interval, 950, 1050, rng));
        match outcome {
            Ok(false) => {
                look.backoff.reset();
                look.refused = false;
                look.due = later();
            }
            Ok(true) => {
                warn!(path = dependency.shown(), "the certificate was revoked; a new one is fetched");
                slot.look = None;
                slot.revoked = true;
                slot.job = Job::Fetch;
                slot.due = Due::after(clock, Duration::ZERO);
                self.news = true;
            }
            Err(failure) if failure.is_refusal() => {
                if std::mem::replace(&mut look.refused, true) {
                    debug!(path = dependency.shown(), error = %failure, "the server still does not tell of revocations");
                } else {
                    let path = dependency.shown();
                    warn!(path, error = %failure, "the server does not tell whether the certificate was revoked; it is kept until its end");
                }
                look.backoff.reset();
                look.due = Due::after(clock, Duration::MAX);
            }
            Err(failure) => {
                let first = look.backoff.failures() == 0;
                let wait = look.backoff.next(rng);
                look.due = Due::after(clock, wait);
                slot.unreached = true;
                if first {
                    info!(path = dependency.shown(), error = %failure, "whether the certificate was revoked is not known now");
                }
                return Change::None;
            }
        }
        if std::mem::take(&mut slot.unreached) {
            self.reconnected(clock, rng);
        }
        Change::None
    }
}

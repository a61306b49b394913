//! What the outcome of a fetch or of a renewal does to a dependency.

use std::time::Duration;

use tracing::{debug, warn};

use super::{Change, Job, RECONNECT_SPREAD, REFRESH_MIN, Settings, Slot, Store};
use crate::agent::certificate;
use crate::agent::fetch::{Failure, Fetched, Life};
use crate::agent::pace::{Due, share};
use crate::agent::template::{Dependency, Value};
use crate::base::{Clock, Rng, Timestamp};

/// What came of a job.
pub(in crate::agent) enum Done {
    /// Of a fetch: the value.
    Fetched(Result<Fetched, Failure>),
    /// Of a renewal: how long the lease is now.
    Renewed(Result<Duration, Failure>),
    /// Of a look: whether the certificate was revoked.
    Looked(Result<bool, Failure>),
}

impl Done {
    /// Why it came to nothing.
    pub(in crate::agent) fn failure(&self) -> Option<&Failure> {
        match self {
            Done::Fetched(outcome) => outcome.as_ref().err(),
            Done::Renewed(outcome) => outcome.as_ref().err(),
            Done::Looked(outcome) => outcome.as_ref().err(),
        }
    }
}

/// What decides when to act again.
#[derive(Clone, Copy)]
pub(in crate::agent) struct Around<'a> {
    pub settings: &'a Settings,
    pub clock: &'a dyn Clock,
    pub rng: &'a dyn Rng,
}

impl Around<'_> {
    /// After how long what tells of no end is asked for again: the interval, give or take a twentieth.
    pub(super) fn interval(&self) -> Duration {
        share(self.settings.static_interval, 950, 1050, self.rng)
    }
}

impl Store {
    /// Takes in what came of a job, of the token with this serial.
    pub(in crate::agent) fn settle(
        &mut self,
        dependency: &Dependency,
        done: Done,
        serial: u64,
        around: Around<'_>,
    ) -> Change {
        let Some(slot) = self.slots.get_mut(dependency) else { return Change::None };
        slot.in_flight = false;
        let back = slot.reach.note(done.failure().is_none_or(Failure::met_server));
        let change = match done {
            Done::Fetched(outcome) => slot.fetched(dependency, outcome, serial, around, &mut self.news),
            Done::Renewed(outcome) => slot.renewed(dependency, outcome, around, &mut self.news),
            Done::Looked(outcome) => slot.looked(dependency, outcome, around, &mut self.news),
        };
        if back {
            self.reconnected(around.clock, around.rng);
        }
        change
    }

    /// The server is back: what failed is tried, and what was leased or issued is looked at, within ten seconds and not at
    /// once.
    pub(in crate::agent) fn reconnected(&mut self, clock: &dyn Clock, rng: &dyn Rng) {
        self.returned = true;
        for slot in self.slots.values_mut().filter(|slot| !slot.in_flight) {
            let leased = matches!(slot.life, Life::Leased { .. }) && matches!(slot.job, Job::Renew(_));
            if slot.backoff.failures() > 0 || leased {
                let soon = share(RECONNECT_SPREAD, 0, 1000, rng);
                if soon < slot.due.left(clock) {
                    slot.due = Due::after(clock, soon);
                }
            }
            slot.hurry_look(clock, rng);
        }
    }
}

impl Slot {
    /// The outcome of a fetch.
    fn fetched(
        &mut self,
        dependency: &Dependency,
        outcome: Result<Fetched, Failure>,
        serial: u64,
        around: Around<'_>,
        news: &mut bool,
    ) -> Change {
        let Around { settings, clock, rng } = around;
        let older = |fetched: &Fetched| self.value.as_ref().is_some_and(|old| is_older(old, &fetched.value));
        let fetched = match outcome {
            Ok(fetched) if !self.forced && older(&fetched) => {
                // A server that was put back to a copy of itself: what is known is newer.
                let failure = Failure::new("the server answers with an older state than was seen before");
                return self.failed(dependency, failure, around);
            }
            Ok(fetched) => fetched,
            Err(failure) => {
                if failure.absent && self.value.is_some() && self.life == Life::Static && !self.revoked {
                    warn!(
                        path = dependency.shown(),
                        "the secret was removed; what was rendered stays and is not remembered"
                    );
                    self.revoked = true;
                    *news = true;
                }
                return self.failed(dependency, failure, around);
            }
        };
        debug!(path = dependency.shown(), "fetched");
        let changed = !self.value.as_ref().is_some_and(|old| same_content(old, &fetched.value));
        self.value = Some(fetched.value);
        self.at = clock.now();
        *news = true;
        self.refusal = None;
        self.tentative = false;
        self.revoked = false;
        self.forced = false;
        self.serial = serial;
        self.backoff.reset();
        self.job = Job::Fetch;
        self.lease_end = None;
        let wait = match &fetched.life {
            Life::Static => around.interval(),
            Life::Leased { time, .. } if time.is_zero() => around.interval(),
            Life::Leased { id, time, renewable } => {
                self.lease = *time;
                self.lease_end = Some(Due::after(clock, *time));
                if *renewable {
                    self.job = Job::Renew(id.clone());
                }
                share(*time, settings.lease_threshold.saturating_sub(27), settings.lease_threshold, rng)
            }
            Life::Certificate { from, until } => certificate_wait(*from, *until, clock.now(), rng),
            Life::Rotated(time) => *time,
            Life::Once => Duration::MAX,
            Life::Watched(index) => {
                self.job = Job::Watch(*index);
                Duration::ZERO
            }
        };
        let limit = match &fetched.life {
            Life::Certificate { until, .. } => {
                Duration::try_from(until.duration_since(clock.now())).ok().map(|left| left.saturating_mul(95) / 100)
            }
            Life::Leased { time, .. } if self.job == Job::Fetch => Some(time.saturating_mul(90) / 100),
            _ => None,
        };
        let wait = match (&settings.windows, limit) {
            (Some(windows), Some(limit)) => windows.plan(clock.now(), wait, limit, rng).unwrap_or_else(|| {
                warn!(path = dependency.shown(), "no change window comes before the end: the change will be outside");
                wait
            }),
            _ => wait,
        };
        self.life = fetched.life;
        self.source = fetched.source;
        match self.life {
            Life::Certificate { .. } => {
                self.look_after(dependency, around.interval(), clock);
            }
            _ => self.look = None,
        }
        let again = std::mem::take(&mut self.again);
        self.due = Due::after(clock, if again { Duration::ZERO } else { wait.max(REFRESH_MIN) });
        if changed { Change::Value } else { Change::None }
    }

    /// The outcome of a renewal.
    fn renewed(
        &mut self,
        dependency: &Dependency,
        outcome: Result<Duration, Failure>,
        around: Around<'_>,
        news: &mut bool,
    ) -> Change {
        let Around { settings, clock, rng } = around;
        match outcome {
            Ok(time) => {
                self.backoff.reset();
                self.lease_end = Some(Due::after(clock, time));
                // Near its longest life, a lease gets less and less: a new one must come before its end.
                if time < self.lease / 2 {
                    self.job = Job::Fetch;
                }
                let most = settings.lease_threshold;
                self.due = Due::after(clock, share(time, most.saturating_sub(27), most, rng).max(REFRESH_MIN));
                Change::None
            }
            Err(failure) => {
                if failure.is_refusal() || self.lease_end.is_none_or(|end| end.has_come(clock)) {
                    warn!(path = dependency.shown(), error = %failure, "the lease cannot be renewed; a new one is fetched");
                    self.job = Job::Fetch;
                    self.due = Due::after(clock, Duration::ZERO);
                    self.revoked = true;
                    *news = true;
                    return Change::None;
                }
                self.failed(dependency, failure, around)
            }
        }
    }

    fn failed(&mut self, dependency: &Dependency, failure: Failure, around: Around<'_>) -> Change {
        let Around { settings, clock, rng } = around;
        let wait = self.backoff.next(rng);
        self.due = Due::after(clock, wait);
        if matches!(self.job, Job::Watch(_)) {
            // The index may be of a Consul that has lost its state.
            self.job = Job::Fetch;
        }
        warn!(
            path = dependency.shown(),
            error = %failure,
            wait_seconds = wait.as_secs_f32(),
            keeps_value = self.value.is_some(),
            "fetching failed"
        );
        if self.value.is_some() {
            return Change::None;
        }
        let text = format!("{}: {failure}", dependency.shown());
        let news = failure.is_refusal() && self.refusal.as_ref().is_none_or(|old| old.text != failure.text);
        if news {
            self.refusal = Some(failure);
        }
        match settings.retries_max {
            Some(most) if self.backoff.failures() > most => Change::Exhausted(text),
            _ if news => Change::Value,
            _ => Change::None,
        }
    }
}

/// Whether two answers hold the same, apart from the ids of requests and leases.
fn same_content(old: &Value, new: &Value) -> bool {
    match (old.key("Data"), new.key("Data")) {
        (Some(a), Some(b))
            if old.key("Auth").is_none_or(Value::is_nil) && new.key("WrapInfo").is_none_or(Value::is_nil) =>
        {
            a.same(b)
        }
        _ => old.same(new),
    }
}

/// Whether a versioned secret is an earlier version of the known one: by its number, and by its time, since the numbers of
/// one that was removed and made again begin anew.
fn is_older(known: &Value, new: &Value) -> bool {
    let stand = |value: &Value| {
        let metadata = value.key("Data")?.key("metadata")?;
        let created = metadata.key("created_time")?.as_str()?.parse::<Timestamp>().ok()?;
        Some((metadata.key("version")?.as_int()?, created))
    };
    match (stand(known), stand(new)) {
        (Some((known, before)), Some((new, then))) => new < known && then < before,
        _ => false,
    }
}

/// How long until a certificate is issued again: somewhere between two thirds and nine tenths of its life.
pub(super) fn certificate_wait(from: Timestamp, until: Timestamp, now: Timestamp, rng: &dyn Rng) -> Duration {
    let spent = certificate::spent(from, until, now);
    if spent >= 900 {
        return Duration::ZERO;
    }
    let life = Duration::try_from(until.duration_since(from)).unwrap_or(Duration::ZERO);
    let gone = Duration::try_from(now.duration_since(from)).unwrap_or(Duration::ZERO);
    share(life, spent.max(667), 900, rng).saturating_sub(gone)
}

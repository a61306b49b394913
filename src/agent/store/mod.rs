//! What the templates need, each thing once: its value, how long that is good for, and when to act again.
//!
//! A value stays until a better one has come. A server that is away, or that refuses, takes nothing away.

mod look;
mod outcome;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cache::Remembered;
use super::certificate::{self, Recovered};
use super::fetch::{Failure, Life};
use super::pace::{Backoff, Due};
use super::reach::Reach;
use super::template::{Answer, Dependency, Value};
use super::windows::Windows;
use crate::base::{Clock, Rng, Timestamp};
use look::Look;
use outcome::certificate_wait;
pub(super) use outcome::{Around, Done};

/// The first wait after a failed fetch.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(250);
/// The longest.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(60);
/// The least time between two fetches of one thing that both went well.
const REFRESH_MIN: Duration = Duration::from_millis(500);

/// Over how long a time the work of a reconnection is spread.
const RECONNECT_SPREAD: Duration = Duration::from_secs(8);

/// What to do next for a dependency.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Job {
    Fetch,
    Renew(String),
    /// Wait in Consul for what comes after this index.
    Watch(u64),
    /// Ask at this path whether the certificate was revoked.
    Look(String),
}

/// One dependency.
struct Slot {
    value: Option<Value>,
    life: Life,
    /// The first life of a lease, against which a renewed one is measured.
    lease: Duration,
    /// When the lease has run out.
    lease_end: Option<Due>,
    /// The server said no, and there is no value from before.
    refusal: Option<Failure>,
    job: Job,
    due: Due,
    backoff: Backoff,
    in_flight: bool,
    /// Which token it was fetched with.
    serial: u64,
    /// Found in files, but not all of it: only good if it renders what is there.
    tentative: bool,
    /// Files were searched already.
    searched: bool,
    /// The path of whose changes a server can tell.
    source: Option<String>,
    /// It has changed while it was being fetched: what comes may be the old.
    again: bool,
    /// Somebody asked for a new value: also an older one is taken.
    forced: bool,
    /// When the server last gave or confirmed the value.
    at: Timestamp,
    /// Where and when to ask whether the certificate was revoked.
    look: Option<Look>,
    /// The server said that the value is good no more: it is not remembered, whether or not there is a better one.
    revoked: bool,
    /// How the last try went.
    reach: Reach,
}

/// All dependencies of all templates.
#[derive(Default)]
pub(super) struct Store {
    slots: BTreeMap<Dependency, Slot>,
    /// What an earlier run has left, by identity; each is taken once.
    recalled: BTreeMap<String, Remembered>,
    /// Something worth remembering has come, or what was remembered is good no more.
    pub(super) news: bool,
    /// The server was away and answers again.
    pub(super) returned: bool,
}

/// What a result has changed.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// Nothing that a template could see.
    None,
    /// The value, or that there is none.
    Value,
    /// It failed more often than is bearable, and there is no value.
    Exhausted(String),
}

impl Store {
    /// Wants a dependency, from now on.
    pub(super) fn want(&mut self, dependency: &Dependency, clock: &dyn Clock) {
        if self.slots.contains_key(dependency) {
            return;
        }
        let mut slot = Slot {
            value: None,
            life: Life::Once,
            lease: Duration::ZERO,
            lease_end: None,
            refusal: None,
            job: Job::Fetch,
            due: Due::after(clock, Duration::ZERO),
            backoff: Backoff::new(RETRY_WAIT_MIN, RETRY_WAIT_MAX),
            in_flight: false,
            serial: 0,
            tentative: false,
            searched: false,
            source: None,
            again: false,
            forced: false,
            at: clock.now(),
            look: None,
            revoked: false,
            reach: Reach::default(),
        };
        if let Some((remembered, value)) = self
            .recalled
            .remove(&identity(dependency))
            .and_then(|one| Value::from_json(&one.value).ok().map(|value| (one, value)))
        {
            let second = |second| Timestamp::from_second(second).unwrap_or(Timestamp::MIN);
            slot.value = Some(value);
            slot.searched = true;
            slot.at = second(remembered.at);
            match remembered.certificate {
                Some((from, until)) => {
                    let (from, until) = (second(from), second(until));
                    slot.life = Life::Certificate { from, until };
                    slot.due = Due::after(clock, certificate_wait(from, until, clock.now(), &Middle));
                    slot.look_soon(dependency, clock, &Middle);
                }
                // What is remembered is looked at as soon as the server can be asked.
                None if !remembered.once => slot.life = Life::Static,
                None => slot.due = Due::after(clock, Duration::MAX),
            }
        }
        self.slots.insert(dependency.clone(), slot);
    }

    /// Takes what an earlier run has left.
    pub(super) fn recall(&mut self, all: Vec<Remembered>) {
        self.recalled = all.into_iter().map(|one| (one.id.clone(), one)).collect();
    }

    /// All that is worth remembering.
    pub(super) fn remember(&self) -> Vec<Remembered> {
        let known = self.slots.iter().filter(|(_, slot)| !slot.tentative && !slot.revoked);
        let remembered = known.filter_map(|(dependency, slot)| {
            Some(Remembered {
                id: identity(dependency),
                value: slot.value.as_ref()?.to_json()?,
                at: slot.at.as_second(),
                certificate: match slot.life {
                    Life::Certificate { from, until } => Some((from.as_second(), until.as_second())),
                    _ => None,
                },
                once: slot.life == Life::Once,
            })
        });
        remembered.collect()
    }

    /// Whether all of these can be shown unchanged for as long as one likes.
    pub(super) fn can_wait(&self, used: &BTreeSet<Dependency>) -> bool {
        used.iter().all(|dependency| {
            self.slots
                .get(dependency)
                .is_none_or(|slot| matches!(slot.life, Life::Static | Life::Once | Life::Watched(_)))
        })
    }

    /// Forgets what no template uses any more.
    pub(super) fn keep_only(&mut self, used: &BTreeSet<Dependency>) {
        self.slots.retain(|dependency, slot| slot.in_flight || used.contains(dependency));
    }

    /// What a template sees.
    pub(super) fn answer(&self, dependency: &Dependency) -> Answer {
        match self.slots.get(dependency) {
            Some(Slot { value: Some(value), .. }) => Answer::Ready(value.clone()),
            Some(Slot { refusal: Some(failure), .. }) => Answer::Failed(failure.text.clone()),
            _ => Answer::Pending,
        }
    }

    /// Whether its value was found in files, incompletely.
    pub(super) fn is_tentative(&self, dependency: &Dependency) -> bool {
        self.slots.get(dependency).is_some_and(|slot| slot.tentative)
    }

    /// A tentative value has rendered what was there: it is right.
    pub(super) fn accept(&mut self, dependency: &Dependency) {
        if let Some(slot) = self.slots.get_mut(dependency) {
            slot.tentative = false;
        }
    }

    /// A tentative value has rendered something else: it must be fetched after all.
    pub(super) fn reject(&mut self, dependency: &Dependency, clock: &dyn Clock) {
        if let Some(slot) = self.slots.get_mut(dependency).filter(|slot| slot.tentative) {
            slot.tentative = false;
            slot.value = None;
            slot.due = Due::after(clock, Duration::ZERO);
        }
    }

    /// Certificates that nobody has looked for in files yet.
    pub(super) fn unsearched(&mut self) -> Vec<Dependency> {
        let mut found = Vec::new();
        for (dependency, slot) in &mut self.slots {
            if slot.value.is_none() && !slot.searched && certificate::issues(dependency) {
                slot.searched = true;
                found.push(dependency.clone());
            }
        }
        found
    }

    /// Takes a certificate that was found in files.
    pub(super) fn recovered(&mut self, dependency: &Dependency, found: Recovered, clock: &dyn Clock, rng: &dyn Rng) {
        if let Some(slot) = self.slots.get_mut(dependency) {
            slot.value = Some(found.value);
            slot.tentative = !found.complete;
            slot.life = Life::Certificate { from: found.from, until: found.until };
            slot.due = Due::after(clock, certificate_wait(found.from, found.until, clock.now(), rng));
            slot.look_soon(dependency, clock, rng);
        }
    }

    /// What is due now, at most so many, marked as in flight.
    /// Watches wait in Consul and do not count. Without a token, only Consul can be asked.
    pub(super) fn take_due(&mut self, most: usize, has_token: bool, clock: &dyn Clock) -> Vec<(Dependency, Job)> {
        let (mut due, mut count) = (Vec::new(), 0);
        for (dependency, slot) in &mut self.slots {
            let counts = !matches!(slot.job, Job::Watch(_));
            if slot.in_flight || counts && count == most || !has_token && !dependency.kind.is_consul() {
                continue;
            }
            let job = match slot.due.has_come(clock) {
                true => slot.job.clone(),
                false => match slot.look.as_ref().filter(|look| look.due.has_come(clock)) {
                    Some(look) => Job::Look(look.path.clone()),
                    None => continue,
                },
            };
            count += usize::from(counts);
            slot.in_flight = true;
            due.push((dependency.clone(), job));
        }
        due
    }

    /// How long until something is due.
    pub(super) fn wait(&self, has_token: bool, clock: &dyn Clock) -> Option<Duration> {
        let waiting = self
            .slots
            .iter()
            .filter(|(dependency, slot)| !slot.in_flight && (has_token || dependency.kind.is_consul()));
        let left = |slot: &Slot| {
            let look = slot.look.as_ref().map_or(Duration::MAX, |look| look.due.left(clock));
            slot.due.left(clock).min(look)
        };
        waiting.map(|(_, slot)| left(slot)).min()
    }

    /// There is a new token: what was leased by an older one dies with that, what was refused may now be given.
    /// What was issued is looked at: time has passed without a token.
    pub(super) fn renewed_token(&mut self, serial: u64, clock: &dyn Clock, rng: &dyn Rng) {
        for slot in self.slots.values_mut() {
            let dying = matches!(slot.life, Life::Leased { .. }) && slot.value.is_some() && slot.serial != serial;
            if dying || slot.backoff.failures() > 0 {
                if dying {
                    slot.job = Job::Fetch;
                }
                slot.due = Due::after(clock, Duration::ZERO);
            }
            slot.hurry_look(clock, rng);
        }
    }

    /// Somebody wants new values of these, whatever their lives say.
    pub(super) fn rotate(&mut self, wanted: &BTreeSet<Dependency>, clock: &dyn Clock) {
        for dependency in wanted {
            if let Some(slot) = self.slots.get_mut(dependency).filter(|_| !dependency.kind.is_consul()) {
                slot.job = Job::Fetch;
                slot.forced = true;
                slot.due = Due::after(clock, Duration::ZERO);
            }
        }
    }

    /// Whether a new value that somebody asked for has not come yet.
    pub(super) fn awaits_forced(&self, used: &BTreeSet<Dependency>) -> bool {
        used.iter().any(|dependency| self.slots.get(dependency).is_some_and(|slot| slot.forced))
    }

    /// The paths of whose changes a server can tell.
    pub(super) fn sources(&self) -> BTreeSet<String> {
        self.slots.values().filter_map(|slot| slot.source.clone()).collect()
    }

    /// The server told that what lies at a path has changed.
    pub(super) fn changed(&mut self, path: &str, clock: &dyn Clock) {
        for slot in self.slots.values_mut().filter(|slot| slot.source.as_deref() == Some(path)) {
            slot.again = slot.in_flight;
            slot.due = Due::after(clock, Duration::ZERO);
        }
    }

    /// Somebody asked for a fresh look: all that can be read without a price is read again.
    pub(super) fn refresh_static(&mut self, clock: &dyn Clock) {
        for slot in self.slots.values_mut() {
            if matches!(slot.life, Life::Static) && slot.value.is_some() {
                slot.due = Due::after(clock, Duration::ZERO);
            }
        }
    }
}

/// What the store is told about retries and intervals.
pub(super) struct Settings {
    pub static_interval: Duration,
    pub retries_max: Option<u32>,
    /// After which part of a lease's life it is renewed at the latest, in thousandths.
    pub lease_threshold: u32,
    /// When changes are welcome, if not always.
    pub windows: Option<Windows>,
}

/// The middle of every range: what is recalled at a start is spread already.
struct Middle;

impl Rng for Middle {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0x7f);
    }
}

/// A dependency's name in the cache.
fn identity(dependency: &Dependency) -> String {
    format!("{:?}\0{}\0{:?}", dependency.kind, dependency.path, dependency.parameters)
}

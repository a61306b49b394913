//! What the templates need, each thing once: its value, how long that is good for, and when to act again.
//!
//! A value stays until a better one has come. A server that is away, or that refuses, takes nothing away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tracing::{debug, warn};

use super::cache::Remembered;
use super::certificate::{self, Recovered};
use super::fetch::{Failure, Fetched, Life};
use super::pace::{Backoff, Due, share};
use super::template::{Answer, Dependency, Value};
use super::windows::Windows;
use crate::base::{Clock, Rng, Timestamp};

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
    /// When the server last gave or confirmed the value.
    at: Timestamp,
}

/// All dependencies of all templates.
#[derive(Default)]
pub(super) struct Store {
    slots: BTreeMap<Dependency, Slot>,
    /// What an earlier run has left, by identity; each is taken once.
    recalled: BTreeMap<String, Remembered>,
    /// Something worth remembering has come.
    pub(super) news: bool,
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
            at: clock.now(),
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
        let known = self.slots.iter().filter(|(_, slot)| !slot.tentative);
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
        }
    }

    /// What is due now, at most so many, marked as in flight.
    /// Watches wait in Consul and do not count. Without a token, only Consul can be asked.
    pub(super) fn take_due(&mut self, most: usize, has_token: bool, clock: &dyn Clock) -> Vec<(Dependency, Job)> {
        let (mut due, mut count) = (Vec::new(), 0);
        for (dependency, slot) in &mut self.slots {
            let counts = !matches!(slot.job, Job::Watch(_));
            if slot.in_flight
                || counts && count == most
                || !has_token && !dependency.kind.is_consul()
                || !slot.due.has_come(clock)
            {
                continue;
            }
            count += usize::from(counts);
            slot.in_flight = true;
            due.push((dependency.clone(), slot.job.clone()));
        }
        due
    }

    /// How long until something is due.
    pub(super) fn wait(&self, has_token: bool, clock: &dyn Clock) -> Option<Duration> {
        let waiting = self
            .slots
            .iter()
            .filter(|(dependency, slot)| !slot.in_flight && (has_token || dependency.kind.is_consul()));
        waiting.map(|(_, slot)| slot.due.left(clock)).min()
    }

    /// There is a new token: what was leased by an older one dies with that, what was refused may now be given.
    pub(super) fn renewed_token(&mut self, serial: u64, clock: &dyn Clock) {
        for slot in self.slots.values_mut() {
            let dying = matches!(slot.life, Life::Leased { .. }) && slot.value.is_some() && slot.serial != serial;
            if dying || slot.backoff.failures() > 0 {
                if dying {
                    slot.job = Job::Fetch;
                }
                slot.due = Due::after(clock, Duration::ZERO);
            }
        }
    }

    /// Somebody wants new values of these, whatever their lives say.
    pub(super) fn rotate(&mut self, wanted: &BTreeSet<Dependency>, clock: &dyn Clock) {
        for dependency in wanted {
            if let Some(slot) = self.slots.get_mut(dependency).filter(|_| !dependency.kind.is_consul()) {
                slot.job = Job::Fetch;
                slot.due = Due::after(clock, Duration::ZERO);
            }
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

    /// The outcome of a fetch.
    pub(super) fn fetched(
        &mut self,
        dependency: &Dependency,
        outcome: Result<Fetched, Failure>,
        serial: u64,
        settings: &Settings,
        clock: &dyn Clock,
        rng: &dyn Rng,
    ) -> Change {
        let Some(slot) = self.slots.get_mut(dependency) else { return Change::None };
        slot.in_flight = false;
        let fetched = match outcome {
            Ok(fetched) => fetched,
            Err(failure) => return slot.failed(dependency, failure, settings, clock, rng),
        };
        debug!(path = dependency.shown(), "fetched");
        let returned = slot.backoff.failures() > 0;
        let changed = !slot.value.as_ref().is_some_and(|old| same_content(old, &fetched.value));
        slot.value = Some(fetched.value);
        slot.at = clock.now();
        self.news = true;
        slot.refusal = None;
        slot.tentative = false;
        slot.serial = serial;
        slot.backoff.reset();
        slot.job = Job::Fetch;
        slot.lease_end = None;
        let wait = match &fetched.life {
            Life::Static => share(settings.static_interval, 950, 1050, rng),
            Life::Leased { time, .. } if time.is_zero() => share(settings.static_interval, 950, 1050, rng),
            Life::Leased { id, time, renewable } => {
                slot.lease = *time;
                slot.lease_end = Some(Due::after(clock, *time));
                if *renewable {
                    slot.job = Job::Renew(id.clone());
                }
                share(*time, settings.lease_threshold.saturating_sub(27), settings.lease_threshold, rng)
            }
            Life::Certificate { from, until } => certificate_wait(*from, *until, clock.now(), rng),
            Life::Rotated(time) => *time,
            Life::Once => Duration::MAX,
            Life::Watched(index) => {
                slot.job = Job::Watch(*index);
                Duration::ZERO
            }
        };
        let limit = match &fetched.life {
            Life::Certificate { until, .. } => {
                Duration::try_from(until.duration_since(clock.now())).ok().map(|left| left.saturating_mul(95) / 100)
            }
            Life::Leased { time, .. } if slot.job == Job::Fetch => Some(time.saturating_mul(90) / 100),
            _ => None,
        };
        let wait = match (&settings.windows, limit) {
            (Some(windows), Some(limit)) => windows.plan(clock.now(), wait, limit, rng).unwrap_or_else(|| {
                warn!(path = dependency.shown(), "no change window comes before the end: the change will be outside");
                wait
            }),
            _ => wait,
        };
        slot.life = fetched.life;
        slot.due = Due::after(clock, wait.max(REFRESH_MIN));
        if returned {
            self.reconnected(clock, rng);
        }
        if changed { Change::Value } else { Change::None }
    }

    /// The server is back: what failed is tried, and what was leased is looked at, within ten seconds and not at once.
    fn reconnected(&mut self, clock: &dyn Clock, rng: &dyn Rng) {
        for slot in self.slots.values_mut().filter(|slot| !slot.in_flight) {
            let leased = matches!(slot.life, Life::Leased { .. }) && matches!(slot.job, Job::Renew(_));
            if slot.backoff.failures() > 0 || leased {
                let soon = share(RECONNECT_SPREAD, 0, 1000, rng);
                if soon < slot.due.left(clock) {
                    slot.due = Due::after(clock, soon);
                }
            }
        }
    }

    /// The outcome of a renewal.
    pub(super) fn renewed(
        &mut self,
        dependency: &Dependency,
        outcome: Result<Duration, Failure>,
        settings: &Settings,
        clock: &dyn Clock,
        rng: &dyn Rng,
    ) -> Change {
        let Some(slot) = self.slots.get_mut(dependency) else { return Change::None };
        slot.in_flight = false;
        match outcome {
            Ok(time) => {
                slot.backoff.reset();
                slot.lease_end = Some(Due::after(clock, time));
                // Near its longest life, a lease gets less and less: a new one must come before its end.
                if time < slot.lease / 2 {
                    slot.job = Job::Fetch;
                }
                let most = settings.lease_threshold;
                slot.due = Due::after(clock, share(time, most.saturating_sub(27), most, rng).max(REFRESH_MIN));
                Change::None
            }
            Err(failure) => {
                if failure.is_refusal() || slot.lease_end.is_none_or(|end| end.has_come(clock)) {
                    warn!(path = dependency.shown(), error = %failure, "the lease cannot be renewed; a new one is fetched");
                    slot.job = Job::Fetch;
                    slot.due = Due::after(clock, Duration::ZERO);
                    return Change::None;
                }
                slot.failed(dependency, failure, settings, clock, rng)
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

impl Slot {
    fn failed(
        &mut self,
        dependency: &Dependency,
        failure: Failure,
        settings: &Settings,
        clock: &dyn Clock,
        rng: &dyn Rng,
    ) -> Change {
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

/// How long until a certificate is issued again: somewhere between two thirds and nine tenths of its life.
fn certificate_wait(from: Timestamp, until: Timestamp, now: Timestamp, rng: &dyn Rng) -> Duration {
    let spent = certificate::spent(from, until, now);
    if spent >= 900 {
        return Duration::ZERO;
    }
    let life = Duration::try_from(until.duration_since(from)).unwrap_or(Duration::ZERO);
    let gone = Duration::try_from(now.duration_since(from)).unwrap_or(Duration::ZERO);
    share(life, spent.max(667), 900, rng).saturating_sub(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::template::Kind;
    use crate::base::time::ManualClock;
    use crate::crypto::random::testing::Seeded;

    const SETTINGS: Settings = Settings {
        static_interval: Duration::from_secs(300),
        retries_max: Some(2),
        lease_threshold: 667,
        windows: None,
    };

    fn dependency(path: &str) -> Dependency {
        Dependency { kind: Kind::Read, path: path.to_owned(), parameters: Vec::new(), computed: false }
    }

    fn data(text: &str, life: Life) -> Fetched {
        Fetched { value: Value::map([("Data", Value::text(text)), ("RequestID", Value::text("r"))]), life }
    }

    fn leased(seconds: u64) -> Life {
        Life::Leased { id: "l".to_owned(), time: Duration::from_secs(seconds), renewable: true }
    }

    fn away() -> Failure {
        Failure { text: "away".to_owned(), status: None }
    }

    struct World {
        store: Store,
        clock: ManualClock,
        rng: Seeded,
        it: Dependency,
    }

    impl World {
        fn new() -> World {
            let clock = ManualClock::at(Timestamp::from_second(1_700_000_000).unwrap());
            let mut store = Store::default();
            let it = dependency("a");
            store.want(&it, &clock);
            World { store, clock, rng: Seeded::new(1), it }
        }
        fn due(&mut self) -> Option<Job> {
            self.store.take_due(10, true, &self.clock).pop().map(|(_, job)| job)
        }
        fn fetched(&mut self, outcome: Result<Fetched, Failure>) -> Change {
            let it = self.it.clone();
            self.store.fetched(&it, outcome, 1, &SETTINGS, &self.clock, &self.rng)
        }
        fn renewed(&mut self, outcome: Result<Duration, Failure>) -> Change {
            let it = self.it.clone();
            self.store.renewed(&it, outcome, &SETTINGS, &self.clock, &self.rng)
        }
        fn pass(&self, seconds: u64) {
            self.clock.advance(Duration::from_secs(seconds));
        }
    }

    #[test]
    fn a_failure_takes_no_value_away() {
        let mut world = World::new();
        world.due();
        assert_eq!(world.fetched(Ok(data("v", Life::Static))), Change::Value);
        for failure in [away(), Failure { text: "no".to_owned(), status: Some(403) }, away(), away(), away()] {
            world.pass(400);
            assert_eq!(world.due(), Some(Job::Fetch));
            assert_eq!(world.fetched(Err(failure)), Change::None);
            assert!(matches!(world.store.answer(&world.it), Answer::Ready(_)));
        }
    }

    #[test]
    fn without_a_value_a_refusal_is_told_once_and_retries_end() {
        let mut world = World::new();
        world.due();
        let refused = || Err(Failure { text: "no".to_owned(), status: Some(403) });
        assert_eq!(world.fetched(refused()), Change::Value);
        assert!(matches!(world.store.answer(&world.it), Answer::Failed(text) if text == "no"));
        assert_eq!(world.fetched(refused()), Change::None);
        assert!(matches!(world.fetched(refused()), Change::Exhausted(_)));
        // It heals.
        world.pass(100);
        assert_eq!(world.fetched(Ok(data("v", Life::Static))), Change::Value);
        assert!(matches!(world.store.answer(&world.it), Answer::Ready(_)));
    }

    #[test]
    fn the_same_content_is_no_change() {
        let mut world = World::new();
        world.due();
        world.fetched(Ok(data("v", Life::Static)));
        assert_eq!(world.due(), None);
        world.pass(316);
        assert_eq!(world.due(), Some(Job::Fetch));
        let mut again = data("v", Life::Static);
        again.value = Value::map([("Data", Value::text("v")), ("RequestID", Value::text("other"))]);
        assert_eq!(world.fetched(Ok(again)), Change::None);
        world.pass(316);
        world.due();
        assert_eq!(world.fetched(Ok(data("w", Life::Static))), Change::Value);
    }

    #[test]
    fn a_lease_is_renewed_at_two_thirds_and_replaced_when_it_ends() {
        let mut world = World::new();
        world.due();
        world.fetched(Ok(data("v", leased(90))));
        world.pass(57);
        assert_eq!(world.due(), None);
        world.pass(4);
        assert_eq!(world.due(), Some(Job::Renew("l".to_owned())));
        assert_eq!(world.renewed(Ok(Duration::from_secs(90))), Change::None);
        world.pass(61);
        assert_eq!(world.due(), Some(Job::Renew("l".to_owned())));
        // The longest life is near.
        world.renewed(Ok(Duration::from_secs(30)));
        world.pass(21);
        assert_eq!(world.due(), Some(Job::Fetch));
        world.fetched(Ok(data("w", leased(90))));
        world.pass(61);
        world.due();
        // The server is away until the lease is over: then a new one is fetched.
        world.renewed(Err(away()));
        world.pass(1);
        assert_eq!(world.due(), Some(Job::Renew("l".to_owned())));
        world.pass(60);
        world.renewed(Err(away()));
        assert_eq!(world.due(), Some(Job::Fetch));
        world.fetched(Ok(data("x", leased(90))));
        world.pass(61);
        world.due();
        world.renewed(Err(Failure { text: "lease not found".to_owned(), status: Some(400) }));
        assert_eq!(world.due(), Some(Job::Fetch));
    }

    #[test]
    fn a_new_token_replaces_leases_and_nothing_else() {
        let mut world = World::new();
        world.due();
        world.fetched(Ok(data("v", leased(900))));
        world.store.renewed_token(1, &world.clock);
        assert_eq!(world.due(), None);
        world.store.renewed_token(2, &world.clock);
        assert_eq!(world.due(), Some(Job::Fetch));
        let now = world.clock.now();
        let until = now + jiff::SignedDuration::from_secs(3600);
        world.fetched(Ok(data("cert", Life::Certificate { from: now, until })));
        world.store.renewed_token(3, &world.clock);
        assert_eq!(world.due(), None);
    }

    #[test]
    fn certificates_are_spread_between_two_thirds_and_nine_tenths() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let rng = Seeded::new(7);
        let waits: Vec<u64> = (0..200).map(|_| certificate_wait(at(0), at(1000), at(0), &rng).as_secs()).collect();
        assert!(waits.iter().all(|wait| (667..=900).contains(wait)));
        assert!(waits.iter().max().unwrap() - waits.iter().min().unwrap() > 150);
        for _ in 0..50 {
            assert!(certificate_wait(at(0), at(1000), at(800), &rng) <= Duration::from_secs(100));
        }
        assert!(certificate_wait(at(0), at(1000), at(900), &rng).is_zero());
        assert!(certificate_wait(at(0), at(1000), at(5000), &rng).is_zero());
    }
}

//! A dependency through fetches, failures and time.

use super::outcome::certificate_wait;
use super::*;
use crate::agent::fetch::Fetched;
use crate::agent::template::Kind;
use crate::base::time::ManualClock;
use crate::crypto::random::testing::Seeded;

const SETTINGS: Settings =
    Settings { static_interval: Duration::from_secs(300), retries_max: Some(2), lease_threshold: 667, windows: None };

fn dependency(path: &str) -> Dependency {
    Dependency { kind: Kind::Read, path: path.to_owned(), parameters: Vec::new(), computed: false }
}

fn data(text: &str, life: Life) -> Fetched {
    Fetched::new(Value::map([("Data", Value::text(text)), ("RequestID", Value::text("r"))]), life)
}

fn leased(seconds: u64) -> Life {
    Life::Leased { id: "l".to_owned(), time: Duration::from_secs(seconds), renewable: true }
}

fn away() -> Failure {
    Failure::new("away")
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
        let around = Around { settings: &SETTINGS, clock: &self.clock, rng: &self.rng };
        self.store.settle(&it, Done::Fetched(outcome), 1, around)
    }
    fn renewed(&mut self, outcome: Result<Duration, Failure>) -> Change {
        let it = self.it.clone();
        let around = Around { settings: &SETTINGS, clock: &self.clock, rng: &self.rng };
        self.store.settle(&it, Done::Renewed(outcome), 1, around)
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
    for failure in [away(), Failure::answered("no", 403), away(), away(), away()] {
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
    let refused = || Err(Failure::answered("no", 403));
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
    world.renewed(Err(Failure::answered("lease not found", 400)));
    assert_eq!(world.due(), Some(Job::Fetch));
}

#[test]
fn a_new_token_replaces_leases_and_nothing_else() {
    let mut world = World::new();
    world.due();
    world.fetched(Ok(data("v", leased(900))));
    world.store.renewed_token(1, &world.clock, &world.rng);
    assert_eq!(world.due(), None);
    world.store.renewed_token(2, &world.clock, &world.rng);
    assert_eq!(world.due(), Some(Job::Fetch));
    let now = world.clock.now();
    let until = now + jiff::SignedDuration::from_secs(3600);
    world.fetched(Ok(data("cert", Life::Certificate { from: now, until })));
    world.store.renewed_token(3, &world.clock, &world.rng);
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

//! When to do something: moments that no jump of a clock can put off, and waits that grow.

use std::time::Duration;

use crate::base::{Clock, Rng, Timestamp};

/// The longest sleep, so that a wall clock that was set, or a machine that slept, is noticed.
pub(super) const NAP_MAX: Duration = Duration::from_secs(60);

/// A moment on both clocks: it has come when it has come on either.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    wall: Timestamp,
    monotonic: Duration,
}

impl Due {
    /// So long from now.
    pub(super) fn after(clock: &dyn Clock, wait: Duration) -> Due {
        let wall = jiff::SignedDuration::try_from(wait).ok().and_then(|wait| clock.now().checked_add(wait).ok());
        Due { wall: wall.unwrap_or(Timestamp::MAX), monotonic: clock.monotonic().saturating_add(wait) }
    }

    /// How long until then; zero when it has come.
    pub(super) fn left(&self, clock: &dyn Clock) -> Duration {
        let wall = Duration::try_from(self.wall.duration_since(clock.now())).unwrap_or(Duration::ZERO);
        wall.min(self.monotonic.saturating_sub(clock.monotonic()))
    }

    /// Whether it has come.
    pub(super) fn has_come(&self, clock: &dyn Clock) -> bool {
        self.left(clock).is_zero()
    }
}

/// A share of a time, drawn evenly between two parts of a thousand.
pub(super) fn share(time: Duration, from: u32, to: u32, rng: &dyn Rng) -> Duration {
    let thousandths =
        from.saturating_add(u32::try_from(rng.below(u64::from(to.saturating_sub(from)) + 1)).unwrap_or(0));
    time.saturating_mul(thousandths) / 1000
}

/// Sleeps until a moment has come.
pub(super) async fn sleep_until(due: Due, clock: &dyn Clock) {
    loop {
        let left = due.left(clock);
        if left.is_zero() {
            return;
        }
        clock.sleep(left.min(NAP_MAX)).await;
    }
}

/// Waits that double from a least to a most, each drawn from its upper half.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    least: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(least: Duration, most: Duration) -> Backoff {
        Backoff { least, most, failures: 0 }
    }

    /// How many waits there were since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The next wait.
    pub(super) fn next(&mut self, rng: &dyn Rng) -> Duration {
        let wait = self.least.saturating_mul(1 << self.failures.min(20)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        share(wait, 500, 1000, rng)
    }

    /// It worked: the next wait is the least again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::ManualClock;
    use crate::crypto::random::testing::Seeded;

    #[test]
    fn a_wait_is_bounded_and_never_nothing() {
        let rng = Seeded::new(1);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        for n in 0..100 {
            let wait = backoff.next(&rng);
            assert!(wait >= Duration::from_millis(500) && wait <= Duration::from_secs(60), "{n}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next(&rng) <= Duration::from_secs(1));
    }

    #[test]
    fn a_moment_comes() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let due = Due::after(&clock, Duration::from_secs(10));
        assert!(!due.has_come(&clock));
        clock.advance(Duration::from_secs(10));
        assert!(due.has_come(&clock));
        // An endless wait does not overflow.
        assert!(!Due::after(&clock, Duration::MAX).has_come(&clock));
    }
}

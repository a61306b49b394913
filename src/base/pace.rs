//! How background work makes room for requests: between its steps it rests for several times as long as they took.

use std::time::Duration;

/// How long rests are.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How many times as long as the step before it: with 4, others have four fifths of the time.
    pub times: u32,
    /// No rest is longer: what took long may have waited for something else than this machine.
    pub most: Duration,
}

impl Pace {
    /// The rest after a step that took so long.
    pub fn rest(&self, took: Duration) -> Duration {
        took.saturating_mul(self.times).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_as_long_as_the_step_was_so_many_times_and_has_an_end() {
        let (second, pace) = (Duration::from_secs(1), Pace { times: 4, most: Duration::from_secs(10) });
        let rests = [Duration::ZERO, second, second * 2, second * 3, Duration::MAX].map(|took| pace.rest(took));
        assert_eq!(rests, [Duration::ZERO, second * 4, second * 8, second * 10, second * 10]);
    }
}

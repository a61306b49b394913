//! How taking back makes room for requests: after each step it rests, while there are any. What is late rests less, and at
//! last not at all, so that what ends is never more than what is taken back.

use std::time::Duration;

use super::Vault;
use crate::base::{Pace, Timestamp, time};

/// Others keep seven eighths of the machine.
const PACE: Pace = Pace { times: 7, most: Duration::from_millis(500) };
/// Whoever is so late does not rest.
const LATE: Duration = Duration::from_secs(60);

/// The beginning of a step.
pub struct Step {
    began: Duration,
    answers: u64,
}

impl Vault {
    /// Begins a step of background work.
    pub(super) fn step(&self) -> Step {
        Step { began: self.clock.monotonic(), answers: self.answers() }
    }

    /// Ends a step whose work was due then, and rests.
    pub(super) async fn rest(&self, step: Step, due: Timestamp) {
        if self.answers() == step.answers {
            return;
        }
        let took = self.clock.monotonic().saturating_sub(step.began);
        let late = Duration::from_secs(time::until(due, self.clock.now()).seconds());
        let rest = rest(took, late);
        if !rest.is_zero() {
            self.clock.sleep(rest).await;
        }
    }

    fn answers(&self) -> u64 {
        self.metrics().responses.seen().map(|(_, count)| count).sum()
    }
}

fn rest(took: Duration, late: Duration) -> Duration {
    let hurry = 1.0 - (late.as_secs_f64() / LATE.as_secs_f64()).min(1.0);
    PACE.rest(took).mul_f64(hurry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_leaves_seven_eighths_to_others_unless_it_is_late() {
        let (step, second) = (Duration::from_millis(10), Duration::from_secs(1));
        assert_eq!(rest(step, Duration::ZERO), step * 7);
        assert_eq!(rest(step, second * 30), step * 7 / 2);
        assert_eq!(rest(step, second * 60), Duration::ZERO);
        assert_eq!(rest(step, second * 6000), Duration::ZERO);
        assert_eq!(rest(second, Duration::ZERO), PACE.most);
        assert_eq!(rest(Duration::ZERO, Duration::ZERO), Duration::ZERO);
    }
}

//! Counter, gauge, summary: one atomic addition each, or a few.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// It only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Relaxed);
    }

    /// How many.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// It goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Moves it.
    pub fn add(&self, by: i64) {
        self.0.fetch_add(by, Relaxed);
    }

    /// Puts it.
    pub fn set(&self, to: i64) {
        self.0.store(to, Relaxed);
    }

    /// Where it is.
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// The codes that an answer can have.
const CODES: std::ops::Range<u16> = 100..600;

/// How many answers had which status code: a counter for each, so that an answer takes no lock.
pub struct Statuses(Box<[Counter]>);

impl Default for Statuses {
    fn default() -> Self {
        Self(CODES.map(|_| Counter::default()).collect())
    }
}

impl Statuses {
    /// One more of this code.
    pub fn note(&self, code: u16) {
        if let Some(counter) = code.checked_sub(CODES.start).and_then(|at| self.0.get(usize::from(at))) {
            counter.add(1);
        }
    }

    /// The codes that there were, and how often.
    pub fn seen(&self) -> impl Iterator<Item = (u16, u64)> {
        CODES.zip(self.0.iter().map(Counter::value)).filter(|(_, count)| *count > 0)
    }
}

/// Smallest and largest power of two, in nanoseconds, that are told apart: a microsecond and two minutes.
const POWERS: std::ops::Range<u32> = 10..37;
/// Buckets of one power of two: a quantile is right within six parts in a hundred.
const STEPS: usize = 8;
const BUCKETS: usize = (POWERS.end - POWERS.start) as usize * STEPS;
/// How long a window is; quantiles are over this one and the one before.
const WINDOW: Duration = Duration::from_secs(30);

struct Window {
    number: AtomicU64,
    buckets: [AtomicU32; BUCKETS],
}

impl Default for Window {
    fn default() -> Self {
        Self { number: AtomicU64::new(0), buckets: [const { AtomicU32::new(0) }; BUCKETS] }
    }
}

/// How long something takes: count and sum of all time, quantiles of the last minute.
#[derive(Default)]
pub struct Summary {
    count: AtomicU64,
    nanos: AtomicU64,
    windows: Box<[Window; 2]>,
}

impl Summary {
    /// Notes one duration.
    pub fn observe(&self, took: Duration, now: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
        let number = number(now);
        let window = &self.windows[usize::from(number % 2 == 1)];
        let before = window.number.load(Relaxed);
        // Whoever is first in a new window empties it. A note that another makes in this very moment may be lost: it is one of many.
        if before != number && window.number.compare_exchange(before, number, Relaxed, Relaxed).is_ok() {
            window.buckets.iter().for_each(|bucket| bucket.store(0, Relaxed));
        }
        window.buckets[bucket(nanos)].fetch_add(1, Relaxed);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// All of them together, in milliseconds, as Vault counts.
    pub fn sum_ms(&self) -> f64 {
        self.nanos.load(Relaxed) as f64 / 1e6
    }

    /// These quantiles of the last minute, in milliseconds; `None` when nothing happened.
    pub fn quantiles_ms(&self, wanted: &[f64], now: Duration) -> Option<Vec<f64>> {
        let current = number(now);
        let recent: Vec<&Window> = self.windows.iter().filter(|w| w.number.load(Relaxed) + 1 >= current).collect();
        let counts: Vec<u64> =
            (0..BUCKETS).map(|at| recent.iter().map(|w| u64::from(w.buckets[at].load(Relaxed))).sum()).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return None;
        }
        let quantile = |q: f64| {
            let rank = ((total as f64 * q).ceil() as u64).clamp(1, total);
            let mut seen = 0;
            let at = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            middle_ms(at.unwrap_or(BUCKETS - 1))
        };
        Some(wanted.iter().map(|q| quantile(*q)).collect())
    }
}

/// Windows are counted from 2, so that an empty one is of none.
fn number(now: Duration) -> u64 {
    now.as_secs() / WINDOW.as_secs() + 2
}

fn bucket(nanos: u64) -> usize {
    let power = nanos.max(1).ilog2();
    if power < POWERS.start {
        return 0;
    }
    if power >= POWERS.end {
        return BUCKETS - 1;
    }
    let step = (nanos >> (power - 3)) & 7;
    (power - POWERS.start) as usize * STEPS + usize::try_from(step).unwrap_or(0)
}

fn middle_ms(bucket: usize) -> f64 {
    let (power, step) = (POWERS.start + (bucket / STEPS) as u32, (bucket % STEPS) as f64);
    2f64.powi(power as i32) * (1.0 + (step + 0.5) / STEPS as f64) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_near_and_old_ones_are_forgotten() {
        let summary = Summary::default();
        let at = Duration::from_secs;
        assert_eq!(summary.quantiles_ms(&[0.5], at(0)), None);
        for ms in 1..=1000u64 {
            summary.observe(Duration::from_millis(ms), at(1));
        }
        let near = |found: f64, wanted: f64| assert!((found / wanted - 1.0).abs() < 0.13, "{found} for {wanted}");
        let found = summary.quantiles_ms(&[0.5, 0.9, 0.99], at(20)).unwrap();
        near(found[0], 500.0);
        near(found[1], 900.0);
        near(found[2], 990.0);
        summary.observe(Duration::from_millis(5), at(40));
        near(summary.quantiles_ms(&[0.5], at(45)).unwrap()[0], 500.0);
        near(summary.quantiles_ms(&[0.5], at(70)).unwrap()[0], 5.0);
        assert_eq!(summary.quantiles_ms(&[0.5], at(300)), None);
        assert_eq!(summary.count(), 1001);
        near(summary.sum_ms(), 500_505.0);
    }

    #[test]
    fn the_very_short_and_the_very_long_have_a_place() {
        for nanos in [0, 1, 1023, 1024, u64::from(u32::MAX), u64::MAX] {
            assert!(bucket(nanos) < BUCKETS, "{nanos}");
        }
    }
}

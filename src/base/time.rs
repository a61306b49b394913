//! Time as an argument: moments, spans of seconds, and the clock that is handed down from the door.

use std::fmt;
use std::time::Duration;

pub use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BoxFuture, Error, Result};

/// Where the present moment comes from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// A clock that never goes back, for measuring how old a cache is.
    fn monotonic(&self) -> Duration;
    /// Waits for this long.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clock. Made once, at the door.
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// Starts at the present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    #[expect(clippy::new_without_default, reason = "a clock is made at the door only")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that a test holds in its hand.
pub struct ManualClock {
    nanos: tokio::sync::watch::Sender<i64>,
    start: i64,
}

impl ManualClock {
    /// Stands at this moment until [`ManualClock::advance`].
    pub fn at(moment: Timestamp) -> Self {
        let nanos = nanoseconds(moment);
        Self { nanos: tokio::sync::watch::Sender::new(nanos), start: nanos }
    }

    /// Moves on, and wakes the sleepers whose time has come.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        self.nanos.send_modify(|nanos| *nanos = nanos.saturating_add(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(*self.nanos.borrow())).unwrap_or(Timestamp::MAX)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_nanos((*self.nanos.borrow() - self.start).unsigned_abs())
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut nanos = self.nanos.subscribe();
        let wait = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        let until = nanos.borrow().saturating_add(wait);
        Box::pin(async move {
            while *nanos.borrow_and_update() < until {
                if nanos.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        })
    }
}

/// Nanoseconds since 1970, saturating in the year 2262.
pub fn nanoseconds(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_nanosecond()).unwrap_or(i64::MAX)
}

/// This moment and so many seconds, saturating at the end of time.
pub fn after(moment: Timestamp, ttl: Ttl) -> Timestamp {
    let seconds = i64::try_from(ttl.seconds()).unwrap_or(i64::MAX).min(TTL_MAX_SECONDS);
    moment.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// Whole seconds from `now` until `then`, rounded up, 0 if it has passed.
pub fn until(now: Timestamp, then: Timestamp) -> Ttl {
    let nanos = then.as_nanosecond().saturating_sub(now.as_nanosecond());
    if nanos <= 0 {
        return Ttl::ZERO;
    }
    Ttl::from_seconds(u64::try_from((nanos + 999_999_999) / 1_000_000_000).unwrap_or(u64::MAX))
}

/// A hundred years: longer promises are mistakes.
const TTL_MAX_SECONDS: i64 = 100 * 366 * 86_400;

/// A span of whole seconds, as the API counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ttl(u64);

impl Ttl {
    /// No time at all; in most settings it means "not set".
    pub const ZERO: Self = Self(0);

    /// So many seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// In seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Whether it is 0.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// This, or the other where this is not set.
    pub const fn or(self, other: Self) -> Self {
        if self.0 == 0 { other } else { self }
    }

    /// The lesser of the two that are set.
    pub fn capped(self, cap: Self) -> Self {
        if cap.0 == 0 {
            self
        } else if self.0 == 0 {
            cap
        } else {
            self.min(cap)
        }
    }

    /// As a duration of the standard library.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// Reads a span as Vault does: `"90"` and `"90s"` are seconds, `"1h30m"`, `"1.5h"`, `"2d"`, `"1w"`.
    ///
    /// # Errors
    /// [`Error::Invalid`] without the text: unknown unit, negative, longer than a hundred years.
    pub fn parse(text: &str) -> Result<Self> {
        let nanos = parse_nanos(text.trim())?;
        if nanos < 0 {
            return Err(Error::invalid("a duration cannot be negative"));
        }
        let seconds = i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX);
        if seconds > TTL_MAX_SECONDS {
            return Err(Error::invalid("a duration cannot be longer than a hundred years"));
        }
        Ok(Self(seconds.unsigned_abs()))
    }
}

fn parse_nanos(text: &str) -> Result<i128> {
    let bad = || Error::invalid("expected a duration such as 30, \"30s\", \"5m\" or \"1h30m\"");
    if text.is_empty() {
        return Ok(0);
    }
    if text.len() > 64 {
        return Err(bad());
    }
    let (sign, mut rest) = match text.as_bytes()[0] {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if rest.is_empty() {
        return Err(bad());
    }
    if rest.bytes().all(|b| b.is_ascii_digit()) {
        let seconds: i128 = rest.parse().map_err(|_| bad())?;
        return Ok(sign * seconds.saturating_mul(1_000_000_000));
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        if number == 0 || number > 24 {
            return Err(bad());
        }
        let unit = rest[number..].bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let scale: i128 = match &rest[number..number + unit] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 7 * 86_400_000_000_000,
            _ => return Err(bad()),
        };
        let (whole, fraction) = rest[..number].split_once('.').unwrap_or((&rest[..number], ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(bad());
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
        total = total.saturating_add(whole.saturating_mul(scale));
        if !fraction.is_empty() {
            let digits: i128 = fraction.parse().map_err(|_| bad())?;
            let tens = 10_i128.checked_pow(fraction.len() as u32).ok_or_else(bad)?;
            total = total.saturating_add(digits.saturating_mul(scale) / tens);
        }
        rest = &rest[number + unit..];
    }
    Ok(sign * total)
}

impl fmt::Display for Ttl {
    /// As Go prints a duration: `1h0m0s`, `30s`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (h, m, s) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        match (h, m) {
            (0, 0) => write!(f, "{s}s"),
            (0, m) => write!(f, "{m}m{s}s"),
            (h, m) => write!(f, "{h}h{m}m{s}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_not_a_duration() {
        for text in ["1x", "h", "-1s", "1.2.3s", "1e9", ".s", "99999999999999999999h", "1 h", "--1"] {
            assert!(Ttl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_vault_reads_them() {
        for (text, seconds) in
            [("", 0), ("90", 90), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172_800), ("1500ms", 1)]
        {
            assert_eq!(Ttl::parse(text).unwrap().seconds(), seconds, "{text}");
        }
    }

    #[test]
    fn remaining_time_is_rounded_up_and_never_negative() {
        let now = Timestamp::from_second(1000).unwrap();
        let then = Timestamp::from_millisecond(1_001_500).unwrap();
        assert_eq!(until(now, then).seconds(), 2);
        assert_eq!(until(then, now), Ttl::ZERO);
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_hand_moves_the_clock() {
        let clock = std::sync::Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        let sleeper = tokio::spawn(clock.sleep(Duration::from_secs(10)));
        clock.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
    }
}

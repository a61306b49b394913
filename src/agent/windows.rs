//! When changes are welcome: days and hours in a time zone, and days that are none.
//!
//! A renewal that would fall outside is planned earlier, into a window; a change that can wait, waits for the next one.

use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::base::Rng;

/// How far ahead a window is looked for, in days.
const DAYS_MAX: i64 = 40;

/// The calendar of the configuration.
#[derive(Clone, Debug)]
pub struct Windows {
    /// Where the clock hangs.
    pub zone: TimeZone,
    /// Days on which changes are welcome.
    pub days: Vec<Weekday>,
    /// From when until when on such a day; an end before the start is on the next day.
    pub hours: (Time, Time),
    /// Days that are none, such as holidays.
    pub except: Vec<Date>,
}

impl Windows {
    /// The window of a day, if it has one.
    fn of(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        if !self.days.contains(&day.weekday()) || self.except.contains(&day) {
            return None;
        }
        let (from, to) = self.hours;
        let last = if to > from { day } else { day.checked_add(1.day()).ok()? };
        let at = |day: Date, time: Time| {
            day.to_datetime(time).to_zoned(self.zone.clone()).ok().map(|zoned| zoned.timestamp())
        };
        Some((at(day, from)?, at(last, to)?))
    }

    /// Windows around a moment, in order, so many days back and ahead.
    fn around(&self, moment: Timestamp, back: i64, ahead: i64) -> impl Iterator<Item = (Timestamp, Timestamp)> + '_ {
        let today = moment.to_zoned(self.zone.clone()).date();
        (-back..=ahead).filter_map(move |days| self.of(today.checked_add(days.days()).ok()?))
    }

    /// Whether changes are welcome now.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.around(now, 1, 0).any(|(from, to)| from <= now && now < to)
    }

    /// When the next window opens.
    pub fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        self.around(now, 0, DAYS_MAX).map(|(from, _)| from).find(|from| *from > now)
    }

    /// How long to wait instead of `wait`, so that the change falls into a window: the last one before that moment, or
    /// the first after it that is over before `limit`. `None` when there is no such window.
    pub fn plan(&self, now: Timestamp, wait: Duration, limit: Duration, rng: &dyn Rng) -> Option<Duration> {
        let after = |wait: Duration| now.checked_add(SignedDuration::try_from(wait).ok()?).ok();
        let (wanted, limit) = (after(wait)?, after(limit)?);
        if self.is_open(wanted) {
            return Some(wait);
        }
        let back = (wait.as_secs() / 86_400).min(DAYS_MAX.unsigned_abs()) as i64 + 2;
        let earlier = self.around(wanted, back, 0).filter(|(_, to)| *to <= wanted && *to > now).last();
        let (from, to) = match earlier {
            Some((from, to)) => (from.max(now), to),
            None => self.around(wanted, 1, DAYS_MAX).find(|(from, _)| *from > wanted && *from < limit)?,
        };
        // Many agents share a calendar: they do not all come at its first second.
        let width = to.min(limit).duration_since(from).as_secs().max(0).unsigned_abs();
        let at = from.checked_add(SignedDuration::from_secs(i64::try_from(rng.below(width / 2 + 1)).ok()?)).ok()?;
        Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::testing::Seeded;

    fn evenings() -> Windows {
        Windows {
            zone: TimeZone::UTC,
            days: vec![Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday],
            hours: (Time::constant(18, 0, 0, 0), Time::constant(22, 0, 0, 0)),
            except: vec![Date::constant(2026, 12, 25)],
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_renewal_is_brought_forward_into_a_window() {
        let (windows, rng) = (evenings(), Seeded::new(1));
        // Monday noon; the renewal would come on Tuesday at noon, and comes on Monday evening.
        let now = at("2026-11-23T12:00:00Z");
        for _ in 0..50 {
            let wait = windows.plan(now, 24 * HOUR, 40 * HOUR, &rng).unwrap();
            assert!(wait >= 6 * HOUR && wait <= 8 * HOUR, "{wait:?}");
        }
        // What falls into a window stays.
        assert_eq!(windows.plan(now, 7 * HOUR, 9 * HOUR, &rng), Some(7 * HOUR));
    }

    #[test]
    fn without_an_earlier_window_a_later_one_serves_unless_it_is_too_late() {
        let (windows, rng) = (evenings(), Seeded::new(1));
        let now = at("2026-11-23T08:00:00Z");
        let wait = windows.plan(now, 2 * HOUR, 20 * HOUR, &rng).unwrap();
        assert!(wait >= 10 * HOUR && wait <= 12 * HOUR, "{wait:?}");
        assert_eq!(windows.plan(now, 2 * HOUR, 4 * HOUR, &rng), None);
    }

    #[test]
    fn weekends_holidays_and_nights_are_known() {
        let windows = evenings();
        assert!(windows.is_open(at("2026-11-24T18:00:00Z")));
        assert!(!windows.is_open(at("2026-11-24T22:00:00Z")));
        assert!(!windows.is_open(at("2026-11-28T19:00:00Z")));
        assert!(!windows.is_open(at("2026-12-25T19:00:00Z")));
        assert_eq!(windows.opens(at("2026-11-27T23:00:00Z")), Some(at("2026-11-30T18:00:00Z")));
        let night = Windows { hours: (Time::constant(22, 0, 0, 0), Time::constant(4, 0, 0, 0)), ..evenings() };
        assert!(night.is_open(at("2026-11-28T03:00:00Z")) && !night.is_open(at("2026-11-28T05:00:00Z")));
    }
}

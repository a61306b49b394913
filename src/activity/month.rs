//! A month of the calendar, in UTC, as a number: what comes later is greater.

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::base::Timestamp;

/// A month. 0 is none: the year 0 is before anything here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Month(pub u32);

impl Month {
    /// That of a moment.
    pub fn of(moment: Timestamp) -> Self {
        let day = Offset::UTC.to_datetime(moment);
        let year = u32::try_from(day.year()).unwrap_or(0);
        Self(year * 12 + u32::from(day.month().unsigned_abs()) - 1)
    }

    /// So many months before.
    pub const fn before(self, months: u32) -> Self {
        Self(self.0.saturating_sub(months))
    }

    /// Its first moment.
    pub fn start(self) -> Timestamp {
        let year = i16::try_from(self.0 / 12).unwrap_or(9999);
        let month = i8::try_from(self.0 % 12 + 1).unwrap_or(1);
        let first = Date::new(year, month, 1).and_then(|day| day.to_zoned(TimeZone::UTC));
        first.map_or(Timestamp::MAX, |first| first.timestamp())
    }

    /// Its last second.
    pub fn end(self) -> Timestamp {
        let next = Self(self.0 + 1).start();
        next.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap_or(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_begins_and_ends_where_the_calendar_says() {
        for (moment, start, end) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-31T23:59:59Z"),
            ("2024-02-29T23:59:59Z", "2024-02-01T00:00:00Z", "2024-02-29T23:59:59Z"),
            ("2025-12-31T23:59:59.999Z", "2025-12-01T00:00:00Z", "2025-12-31T23:59:59Z"),
        ] {
            let month = Month::of(at(moment));
            assert_eq!((month.start(), month.end()), (at(start), at(end)), "{moment}");
        }
    }

    #[test]
    fn months_follow_each_other_over_the_turn_of_the_year() {
        let january = Month::of(at("2026-01-15T00:00:00Z"));
        assert_eq!(january.before(1), Month::of(at("2025-12-15T00:00:00Z")));
        assert_eq!(january.before(13).start(), at("2024-12-01T00:00:00Z"));
        assert!(january.before(1) < january);
    }
}

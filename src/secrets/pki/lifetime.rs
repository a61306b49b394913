//! From when until when a certificate is valid: what was asked for, within the role, the mount and the issuer.

use serde::{Deserialize, Serialize};

use crate::base::{Error, Result, Timestamp, Ttl, time};
use crate::engine::Limits;

/// A span of validity, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// From when.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// What happens when a certificate would outlive its issuer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beyond {
    /// It is refused.
    #[default]
    Err,
    /// It ends with its issuer.
    Truncate,
    /// It is made; those who check the chain will refuse it one day.
    Permit,
}

impl Beyond {
    /// The API's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Err => "err",
            Self::Truncate => "truncate",
            Self::Permit => "permit",
        }
    }

    /// Reads the API's word.
    ///
    /// # Errors
    /// [`Error::Invalid`] for any other.
    pub fn parse(word: &str) -> Result<Self> {
        match word {
            "err" | "" => Ok(Self::Err),
            "truncate" => Ok(Self::Truncate),
            "permit" => Ok(Self::Permit),
            _ => Err(Error::invalid("leaf_not_after_behavior must be err, truncate or permit")),
        }
    }
}

/// What decides.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// The time to live that was asked for; 0 for none.
    pub ttl: Ttl,
    /// The end that was asked for; empty for none.
    pub not_after: &'a str,
    /// The role's time to live; 0 for the mount's.
    pub role_ttl: Ttl,
    /// The role's longest; 0 for the mount's.
    pub role_max_ttl: Ttl,
    /// The role's fixed end; empty for none.
    pub role_not_after: &'a str,
    /// The beginning that was asked for; empty for none.
    pub not_before: &'a str,
    /// The role's fixed beginning; empty for none.
    pub role_not_before: &'a str,
    /// How long before now it begins.
    pub not_before_duration: Ttl,
    /// What may be asked for.
    pub bounds: Bounds,
}

/// How far a moment that was asked for may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Anywhere.
    Permit,
    /// Within what the time to live, or the duration before now, would give.
    Limited,
    /// Nothing may be asked for.
    Forbid,
}

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// As a beginning.
    pub not_before: Bound,
    /// As an end.
    pub not_after: Bound,
}

impl Bounds {
    /// For a CA: it may end when it likes. That it begins in the past helps nobody.
    pub const CA: Self = Self { not_before: Bound::Permit, not_after: Bound::Permit };

    /// Reads a role's words; any other than the known ones is the usual.
    pub fn parse(not_before: &str, not_after: &str) -> Self {
        let bound = |word: &str| match word {
            "permit" => Bound::Permit,
            "forbid" => Bound::Forbid,
            _ => Bound::Limited,
        };
        Self { not_before: bound(not_before), not_after: bound(not_after) }
    }
}

impl Lifetime {
    /// The same, ending earlier by a part of `jitter` that `chance` picks; what is left is half of its time at least.
    #[must_use]
    pub fn sooner(self, now: Timestamp, jitter: Ttl, chance: u64) -> Self {
        let left = time::until(now, self.not_after).seconds();
        let most = jitter.seconds().min(left / 2);
        let by = i64::try_from(chance % (most + 1)).unwrap_or(0);
        let not_after = self.not_after.checked_sub(jiff::SignedDuration::from_secs(by)).unwrap_or(self.not_after);
        Self { not_after, ..self }
    }
}

impl Terms<'_> {
    /// The lifetime, and words for people if it is not what was asked for.
    ///
    /// # Errors
    /// [`Error::Invalid`] for both a time and an end, an end that is no date or has passed, and one beyond the issuer's.
    pub fn lifetime(
        &self,
        now: Timestamp,
        limits: Limits,
        issuer: Option<(Timestamp, Beyond)>,
    ) -> Result<(Lifetime, Option<String>)> {
        if !self.ttl.is_zero() && !self.not_after.is_empty() {
            return Err(Error::invalid(
                "either ttl or not_after should be provided, both should not be provided in the same request",
            ));
        }
        let mut warning = None;
        let max = self.role_max_ttl.capped(limits.max_ttl);
        let mut not_after = if !self.not_after.is_empty() {
            let end = parse_end("not_after", self.not_after)?;
            if self.bounds.not_after == Bound::Forbid {
                return Err(Error::invalid("not_after: the role allows none to be asked for"));
            }
            if self.bounds.not_after == Bound::Limited && end > time::after(now, max) {
                return Err(Error::invalid(format!("not_after is later than the longest time to live, {max}, allows")));
            }
            end
        } else if self.ttl.is_zero() && !self.role_not_after.is_empty() {
            parse_end("not_after", self.role_not_after)?
        } else {
            let mut ttl = self.ttl.or(self.role_ttl).or(limits.default_ttl);
            if ttl > max && !max.is_zero() {
                warning = Some(format!("TTL {ttl} is longer than permitted maxTTL {max}, so maxTTL is being used"));
                ttl = max;
            }
            time::after(now, ttl)
        };
        if issuer.is_some_and(|(end, _)| end <= now) {
            return Err(Error::invalid("the issuer's certificate has expired"));
        }
        if let Some((end, beyond)) = issuer
            && not_after > end
        {
            match beyond {
                Beyond::Err => {
                    return Err(Error::invalid(format!(
                        "cannot satisfy request, as TTL would result in notAfter of {not_after} that is beyond the \
                         expiration of the CA certificate at {end}"
                    )));
                }
                Beyond::Truncate => not_after = end,
                Beyond::Permit => {}
            }
        }
        let (now, not_after) = (whole(now), whole(not_after));
        if not_after <= now {
            return Err(Error::invalid("the certificate would have ended already"));
        }
        let back = jiff::SignedDuration::from_secs(i64::try_from(self.not_before_duration.seconds()).unwrap_or(0));
        let usual = now.checked_sub(back).unwrap_or(now);
        let not_before = match (self.not_before, self.role_not_before) {
            ("", "") => usual,
            ("", role) => parse_end("not_before", role)?,
            (asked, _) => {
                let beginning = parse_end("not_before", asked)?;
                match self.bounds.not_before {
                    Bound::Permit => beginning,
                    Bound::Limited if beginning >= usual => beginning,
                    Bound::Limited => {
                        return Err(Error::invalid("not_before is further back than the role's not_before_duration"));
                    }
                    Bound::Forbid => return Err(Error::invalid("not_before: the role allows none to be asked for")),
                }
            }
        };
        if not_before >= not_after {
            return Err(Error::invalid("not_before is not before the end of the certificate"));
        }
        Ok((Lifetime { not_before, not_after }, warning))
    }
}

/// A beginning or an end as the API has it: RFC 3339.
///
/// # Errors
/// [`Error::Invalid`] which names the field, for anything else.
pub fn parse_end(field: &str, text: &str) -> Result<Timestamp> {
    // RFC 5280's "no end" is the last second of the year 9999, a little later than `Timestamp` goes.
    if text == "9999-12-31T23:59:59Z" {
        return Ok(Timestamp::MAX);
    }
    text.parse::<Timestamp>()
        .map(whole)
        .map_err(|_| Error::invalid(format!("{field}: want a date such as 2029-12-31T23:59:59Z")))
}

/// Without the fraction of a second: certificates have none.
fn whole(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { default_ttl: Ttl::from_seconds(7200), max_ttl: Ttl::from_seconds(36_000) };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn terms() -> Terms<'static> {
        Terms {
            ttl: Ttl::ZERO,
            not_after: "",
            role_ttl: Ttl::ZERO,
            role_max_ttl: Ttl::ZERO,
            role_not_after: "",
            not_before: "",
            role_not_before: "",
            not_before_duration: Ttl::from_seconds(30),
            bounds: Bounds::parse("duration", "ttl-limited"),
        }
    }

    fn length(terms: &Terms<'_>) -> i64 {
        let now = at("2026-01-01T00:00:00.5Z");
        let (lifetime, _) = terms.lifetime(now, LIMITS, None).unwrap();
        lifetime.not_after.as_second() - lifetime.not_before.as_second()
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let now = at("2026-01-01T00:00:00Z");
        let refused = |terms: Terms<'_>, issuer| terms.lifetime(now, LIMITS, issuer).unwrap_err().to_string();
        let both = Terms { ttl: Ttl::from_seconds(5), not_after: "2026-01-01T01:00:00Z", ..terms() };
        assert!(refused(both, None).contains("both should not"));
        for end in ["junk", "2025-12-31T00:00:00Z", "2026-02-01T00:00:00Z", "2026-01-01"] {
            refused(Terms { not_after: end, ..terms() }, None);
        }
        refused(Terms { role_not_after: "junk", ..terms() }, None);
        let forbidden = Bounds::parse("forbid", "forbid");
        refused(Terms { not_after: "2026-01-01T01:00:00Z", bounds: forbidden, ..terms() }, None);
        refused(Terms { not_before: "2026-01-01T00:00:00Z", bounds: forbidden, ..terms() }, None);
        for beginning in ["junk", "2025-12-31T23:59:00Z", "2026-01-01T05:00:00Z"] {
            refused(Terms { not_before: beginning, ..terms() }, None);
        }
        let ends = at("2026-01-01T00:10:00Z");
        assert!(refused(terms(), Some((ends, Beyond::Err))).contains("beyond the expiration of the CA"));
        // An issuer that has ended issues nothing, whatever it was told to do with a later end.
        for beyond in [Beyond::Err, Beyond::Truncate, Beyond::Permit] {
            assert!(refused(terms(), Some((at("2025-06-01T00:00:00Z"), beyond))).contains("has expired"));
        }
    }

    #[test]
    fn jitter_brings_the_end_forward_and_never_by_more_than_half() {
        let now = at("2026-01-01T00:00:00Z");
        let (whole, _) = terms().lifetime(now, LIMITS, None).unwrap();
        assert_eq!(whole.sooner(now, Ttl::ZERO, 12345), whole);
        let ends: std::collections::BTreeSet<_> =
            (0..1000).map(|chance| whole.sooner(now, Ttl::from_seconds(600), chance * 7919).not_after).collect();
        assert!(ends.len() > 300, "spread over the seconds: {}", ends.len());
        assert!(ends.iter().all(|end| *end <= whole.not_after && *end >= at("2026-01-01T01:50:00Z")));
        assert_eq!(whole.sooner(now, Ttl::from_seconds(1 << 40), 3600).not_after, at("2026-01-01T01:00:00Z"));
    }

    #[test]
    fn a_beginning_may_be_asked_for_within_the_bounds() {
        let now = at("2026-01-01T00:00:00Z");
        let began = |terms: Terms<'_>| terms.lifetime(now, LIMITS, None).unwrap().0.not_before;
        assert_eq!(began(Terms { not_before: "2026-01-01T00:00:10Z", ..terms() }), at("2026-01-01T00:00:10Z"));
        let free = Bounds::parse("permit", "permit");
        let long_ago = Terms { not_before: "2020-01-01T00:00:00Z", bounds: free, ..terms() };
        assert_eq!(began(long_ago), at("2020-01-01T00:00:00Z"));
        let role = Terms { role_not_before: "2025-01-01T00:00:00Z", ..terms() };
        assert_eq!(began(role), at("2025-01-01T00:00:00Z"));
        let far = Terms { not_after: "2027-01-01T00:00:00Z", bounds: free, ..terms() };
        assert_eq!(far.lifetime(now, LIMITS, None).unwrap().0.not_after, at("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn the_least_of_all_limits_counts() {
        let seconds = Ttl::from_seconds;
        assert_eq!(length(&terms()), 7230);
        assert_eq!(length(&Terms { role_ttl: seconds(60), ..terms() }), 90);
        assert_eq!(length(&Terms { role_ttl: seconds(60), ttl: seconds(600), ..terms() }), 630);
        assert_eq!(length(&Terms { ttl: seconds(90_000), ..terms() }), 36_030);
        assert_eq!(length(&Terms { ttl: seconds(90_000), role_max_ttl: seconds(100), ..terms() }), 130);
        assert_eq!(length(&Terms { ttl: seconds(90_000), role_max_ttl: seconds(80_000), ..terms() }), 36_030);
        assert_eq!(length(&Terms { not_after: "2026-01-01T01:00:00Z", ..terms() }), 3630);
        let now = at("2026-01-01T00:00:00Z");
        let ends = at("2026-01-01T00:10:00Z");
        let (lifetime, _) = terms().lifetime(now, LIMITS, Some((ends, Beyond::Truncate))).unwrap();
        assert_eq!(lifetime.not_after, ends);
        let (_, warning) = Terms { ttl: seconds(90_000), ..terms() }.lifetime(now, LIMITS, None).unwrap();
        assert!(warning.unwrap().contains("longer than permitted"));
    }
}

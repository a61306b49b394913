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
    /// How long before now it begins.
    pub not_before_duration: Ttl,
    /// Whether an end that was asked for may lie beyond the longest time to live: for a root only.
    pub free_end: bool,
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
            let end = parse_end(self.not_after)?;
            if !self.free_end && end > time::after(now, max) {
                return Err(Error::invalid(format!("not_after is later than the longest time to live, {max}, allows")));
            }
            end
        } else if self.ttl.is_zero() && !self.role_not_after.is_empty() {
            parse_end(self.role_not_after)?
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
        let not_before = now.checked_sub(back).unwrap_or(now);
        Ok((Lifetime { not_before, not_after }, warning))
    }
}

/// An end as the API has it: RFC 3339.
///
/// # Errors
/// [`Error::Invalid`] for anything else.
pub fn parse_end(text: &str) -> Result<Timestamp> {
    // RFC 5280's "no end" is the last second of the year 9999, a little later than `Timestamp` goes.
    if text == "9999-12-31T23:59:59Z" {
        return Ok(Timestamp::MAX);
    }
    text.parse::<Timestamp>()
        .map(whole)
        .map_err(|_| Error::invalid("not_after: want a date such as 2029-12-31T23:59:59Z"))
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
            not_before_duration: Ttl::from_seconds(30),
            free_end: false,
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
        let ends = at("2026-01-01T00:10:00Z");
        assert!(refused(terms(), Some((ends, Beyond::Err))).contains("beyond the expiration of the CA"));
        // An issuer that has ended issues nothing, whatever it was told to do with a later end.
        for beyond in [Beyond::Err, Beyond::Truncate, Beyond::Permit] {
            assert!(refused(terms(), Some((at("2025-06-01T00:00:00Z"), beyond))).contains("has expired"));
        }
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

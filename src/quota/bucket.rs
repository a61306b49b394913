//! What each client has used of each rule: so many requests from the first one on, anew when the interval is over.
//!
//! In the memory of one node, bounded: when there are more clients than places, those whose interval is over make room, and when
//! that does not help the newcomers share one place, so that the limit holds for all of them together.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Rule;
use crate::base::limits;

/// How a client stands with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests in an interval.
    pub limit: u64,
    /// What is left of them.
    pub remaining: u64,
    /// When there is room again.
    pub reset: Duration,
}

/// The client, or `None` for all who found no place; by the rule's name, since rules change.
type Place = (String, Option<IpAddr>);

#[derive(Clone, Copy, Debug)]
struct Used {
    count: u64,
    ends: Duration,
    blocked: Option<Duration>,
}

const SHARDS: usize = 16;

/// The places. A shard is locked for a few instructions.
#[derive(Default)]
pub struct Buckets {
    shards: [Mutex<HashMap<Place, Used>>; SHARDS],
    hasher: RandomState,
}

impl Buckets {
    /// Whether a request would pass.
    pub fn has_room(&self, rule: &Rule, client: IpAddr, now: Duration) -> bool {
        let place = (rule.name.as_str().to_owned(), Some(network(client)));
        let shard = self.shard(&place).lock().unwrap_or_else(PoisonError::into_inner);
        shard.get(&place).is_none_or(|used| {
            used.blocked.is_none_or(|until| now >= until) && (now >= used.ends || used.count < rule.room())
        })
    }

    /// Takes one request, and says whether it is one too many.
    pub fn take(&self, rule: &Rule, client: IpAddr, now: Duration) -> (Standing, bool) {
        let mut place = (rule.name.as_str().to_owned(), Some(network(client)));
        let mut shard = self.shard(&place).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= limits::QUOTA_CLIENTS / SHARDS && !shard.contains_key(&place) {
            shard.retain(|_, used| used.ends.max(used.blocked.unwrap_or_default()) > now);
            if shard.len() >= limits::QUOTA_CLIENTS / SHARDS {
                place.1 = None;
            }
        }
        let limit = rule.room();
        let used = shard.entry(place).or_insert(Used { count: 0, ends: now, blocked: None });
        if let Some(until) = used.blocked {
            if now < until {
                return (Standing { limit, remaining: 0, reset: until - now }, true);
            }
            *used = Used { count: 0, ends: now, blocked: None };
        }
        if now >= used.ends {
            *used = Used { count: 0, ends: now + rule.interval.duration(), blocked: None };
        }
        let mut reset = used.ends - now;
        if used.count >= limit {
            if !rule.block_interval.is_zero() {
                used.blocked = Some(now + rule.block_interval.duration());
                reset = rule.block_interval.duration();
            }
            return (Standing { limit, remaining: 0, reset }, true);
        }
        used.count += 1;
        (Standing { limit, remaining: limit - used.count, reset }, false)
    }

    fn shard(&self, place: &Place) -> &Mutex<HashMap<Place, Used>> {
        let hash = self.hasher.hash_one(place);
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)]
    }
}

/// A client of IPv6 has a whole /64 to itself.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Name, Ttl};
    use crate::quota::Scope;

    fn rule(rate: f64, interval: u64, block: u64) -> Rule {
        Rule {
            name: Name::parse("r").unwrap(),
            scope: Scope::Everything,
            role: None,
            inheritable: false,
            rate,
            interval: Ttl::from_seconds(interval),
            block_interval: Ttl::from_seconds(block),
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_too_many_is_refused_until_the_interval_is_over() {
        let (buckets, rule, client) = (Buckets::default(), rule(2.0, 10, 0), "10.0.0.1".parse().unwrap());
        assert_eq!(buckets.take(&rule, client, at(0)), (Standing { limit: 2, remaining: 1, reset: at(10) }, false));
        assert_eq!(buckets.take(&rule, client, at(1)), (Standing { limit: 2, remaining: 0, reset: at(9) }, false));
        assert!(!buckets.has_room(&rule, client, at(9)));
        assert_eq!(buckets.take(&rule, client, at(9)), (Standing { limit: 2, remaining: 0, reset: at(1) }, true));
        assert!(!buckets.take(&rule, client, at(10)).1);
        // Another client has a place of its own, another address of the same /64 has not.
        assert!(!buckets.take(&rule, "10.0.0.2".parse().unwrap(), at(9)).1);
        for (address, refused) in [("2001:db8::1", false), ("2001:db8::2", false), ("2001:db8::3", true)] {
            assert_eq!(buckets.take(&rule, address.parse().unwrap(), at(0)).1, refused, "{address}");
        }
    }

    #[test]
    fn a_blocked_client_stays_blocked_though_the_interval_is_over() {
        let (buckets, rule, client) = (Buckets::default(), rule(1.0, 1, 60), "10.0.0.1".parse().unwrap());
        assert!(!buckets.take(&rule, client, at(0)).1);
        assert!(buckets.take(&rule, client, at(0)).1);
        assert!(buckets.take(&rule, client, at(59)).1);
        assert!(!buckets.take(&rule, client, at(60)).1);
    }

    #[test]
    fn more_clients_than_places_share_one_and_the_limit_holds() {
        let (buckets, rule) = (Buckets::default(), rule(1.0, 1000, 0));
        let many = u32::try_from(limits::QUOTA_CLIENTS * 2).unwrap();
        let passed = (0..many).filter(|n| !buckets.take(&rule, IpAddr::from(n.to_be_bytes()), at(0)).1).count();
        assert!(passed <= limits::QUOTA_CLIENTS + SHARDS, "{passed}");
        let held: usize = buckets.shards.iter().map(|s| s.lock().unwrap().len()).sum();
        assert!(held <= limits::QUOTA_CLIENTS + SHARDS, "{held}");
        // Once their time is over, there is room again.
        assert!(!buckets.take(&rule, "250.1.1.1".parse().unwrap(), at(1001)).1);
    }
}

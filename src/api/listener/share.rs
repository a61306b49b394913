//! How many connections each client address has, so that one of them cannot take every place.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counts of one listener; touched when a connection begins and when it ends.
#[derive(Clone)]
pub(super) struct Shares {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
}

impl Shares {
    pub(super) fn new(most: usize) -> Self {
        Self { counts: Arc::default(), most }
    }

    /// One more connection of this address, given back when the share is dropped. None when it has too many.
    pub(super) fn take(&self, address: IpAddr) -> Option<Share> {
        let owner = owner(address);
        let mut counts = self.counts();
        let count = counts.entry(owner).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Share { shares: self.clone(), owner })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Counting cannot panic half way.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection.
pub(super) struct Share {
    shares: Shares,
    owner: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.shares.counts();
        if let Some(count) = counts.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.owner);
            }
        }
    }
}

/// Whoever has one address of a /64 has them all.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_has_its_share_gets_no_more_until_one_ends() {
        let shares = Shares::new(2);
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        let first = shares.take(one).unwrap();
        let _second = shares.take("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert!(shares.take(one).is_none());
        assert!(shares.take("10.0.0.2".parse().unwrap()).is_some());
        drop(first);
        assert!(shares.take(one).is_some());
    }

    #[test]
    fn addresses_of_one_network_share_and_leave_nothing_behind() {
        let shares = Shares::new(1);
        let held = shares.take("2001:db8::1".parse().unwrap()).unwrap();
        assert!(shares.take("2001:db8::2".parse().unwrap()).is_none());
        assert!(shares.take("2001:db8:0:1::1".parse().unwrap()).is_some());
        drop(held);
        assert!(shares.counts().is_empty());
    }
}

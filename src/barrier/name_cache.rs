//! Encrypted names at hand: what a key's stored form is, so that it is not encrypted again at each use.
//!
//! A name always encrypts to the same bytes, and these decrypt to it, so nothing here can be wrong or old, and anything may be dropped at any
//! moment: a fixed number of places in sets of a few, each of which holds the last keys that fell to it. It lives and ends with the keyring,
//! so that a sealed node keeps no name. Names are kept, never values.

use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

/// A key in one form and in the other.
struct Entry {
    from: Box<str>,
    to: Box<str>,
}

/// One place, and the hash of the key that was kept there last: who looks for another one passes by.
#[derive(Default)]
struct Place {
    hash: AtomicU32,
    entry: ArcSwapOption<Entry>,
}

/// Places that a key may fall to: with a single one, half full is half of the keys in each other's way.
const WAYS: usize = 4;

/// The places, in sets.
pub struct NameCache {
    sets: Box<[[Place; WAYS]]>,
    /// Which place of a full set is given up next.
    turn: AtomicUsize,
}

impl NameCache {
    /// With nothing in it, and room for so many keys.
    pub fn new(places: usize) -> Self {
        Self { sets: (0..places.div_ceil(WAYS)).map(|_| Default::default()).collect(), turn: AtomicUsize::new(0) }
    }

    /// Appends the other form of a key to `out`, if it is at hand; says whether it was.
    pub fn find(&self, from: &str, out: &mut String) -> bool {
        let (set, hash) = self.set(from);
        for place in set.iter().filter(|place| place.hash.load(Ordering::Relaxed) == hash) {
            let found = place.entry.load();
            if let Some(entry) = found.as_deref().filter(|entry| *entry.from == *from) {
                out.push_str(&entry.to);
                return true;
            }
        }
        false
    }

    /// Keeps a key in both forms, in the place of another.
    pub fn keep(&self, from: &str, to: &str) {
        // What is unusually long is seldom asked for twice, and would make the whole large.
        if from.len() > LONGEST || to.len() > LONGEST {
            return;
        }
        let (set, hash) = self.set(from);
        let taken = |place: &Place| place.hash.load(Ordering::Relaxed);
        let own = set.iter().find(|place| matches!(taken(place), taken if taken == hash || taken == 0));
        let place = own.unwrap_or_else(|| &set[self.turn.fetch_add(1, Ordering::Relaxed) % WAYS]);
        place.entry.store(Some(Arc::new(Entry { from: from.into(), to: to.into() })));
        // Whoever sees one without the other compares the keys, or misses.
        place.hash.store(hash, Ordering::Relaxed);
    }

    /// Where a key may be, and what marks it there; never 0, which marks an empty place.
    fn set(&self, from: &str) -> (&[Place; WAYS], u32) {
        // Whoever finds names that share a set gains nothing but that they are encrypted again.
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(from.as_bytes());
        let hash = hasher.finish();
        let set = usize::try_from(hash >> 32).unwrap_or_default() % self.sets.len();
        (&self.sets[set], (hash as u32).max(1))
    }

    /// How many keys are kept.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.sets.iter().flatten().filter(|place| place.entry.load().is_some()).count()
    }
}

/// Bytes of the longest key that is kept, in either form.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn find(cache: &NameCache, plain: &str) -> Option<String> {
        let mut out = "before/".to_owned();
        cache.find(plain, &mut out).then_some(out)
    }

    #[test]
    fn what_is_kept_is_found_and_nothing_else() {
        let cache = NameCache::new(64);
        cache.keep("a/b", "x/y");
        assert_eq!(find(&cache, "a/b").as_deref(), Some("before/x/y"));
        assert_eq!(find(&cache, "a/c"), None);
        assert_eq!(find(&cache, ""), None);
    }

    #[test]
    fn it_has_an_end() {
        let cache = NameCache::new(64);
        for n in 0..64 * 4 {
            cache.keep(&format!("key/{n}"), "stored");
        }
        assert!(cache.len() <= 64);
        // The last one is always there: it took its place.
        assert!(find(&cache, &format!("key/{}", 64 * 4 - 1)).is_some());
        let before = cache.len();
        cache.keep(&"long".repeat(200), "stored");
        assert_eq!((cache.len(), find(&cache, &"long".repeat(200))), (before, None));
    }

    #[test]
    fn keys_of_one_set_stay_beside_each_other_until_it_is_full() {
        let cache = NameCache::new(WAYS);
        let keys: Vec<String> = (0..=WAYS).map(|n| format!("key/{n}")).collect();
        for key in &keys[..WAYS] {
            cache.keep(key, "1");
            cache.keep(key, &key[4..]);
        }
        for key in &keys[..WAYS] {
            assert_eq!(find(&cache, key), Some(format!("before/{}", &key[4..])));
        }
        cache.keep(&keys[WAYS], "new");
        assert_eq!((cache.len(), find(&cache, &keys[WAYS]).as_deref()), (WAYS, Some("before/new")));
        assert_eq!(keys.iter().filter(|key| find(&cache, key).is_some()).count(), WAYS);
    }
}

//! Encrypted names at hand: what a key's stored form is, so that it is not encrypted again at each use.
//!
//! A name always encrypts to the same bytes, and these decrypt to it, so nothing here can be wrong or old, and anything may be dropped at any
//! moment: a fixed number of places, each of which holds the last key that fell to it. It lives and ends with the keyring,
//! so that a sealed node keeps no name. Names are kept, never values.

use std::hash::Hasher;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// A key in one form and in the other.
struct Entry {
    from: Box<str>,
    to: Box<str>,
}

/// The places.
pub struct NameCache {
    places: Box<[ArcSwapOption<Entry>]>,
}

impl NameCache {
    /// With nothing in it, and so many places.
    pub fn new(places: usize) -> Self {
        Self { places: (0..places).map(|_| ArcSwapOption::empty()).collect() }
    }

    /// Appends the other form of a key to `out`, if it is at hand; says whether it was.
    pub fn find(&self, from: &str, out: &mut String) -> bool {
        let found = self.place(from).load();
        match found.as_deref() {
            Some(entry) if *entry.from == *from => {
                out.push_str(&entry.to);
                true
            }
            _ => false,
        }
    }

    /// Keeps a key in both forms, in the place of another.
    pub fn keep(&self, from: &str, to: &str) {
        // What is unusually long is seldom asked for twice, and would make the whole large.
        if from.len() <= LONGEST && to.len() <= LONGEST {
            self.place(from).store(Some(Arc::new(Entry { from: from.into(), to: to.into() })));
        }
    }

    fn place(&self, from: &str) -> &ArcSwapOption<Entry> {
        // Whoever finds names that share a place gains nothing but that they are encrypted again.
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(from.as_bytes());
        let hash = usize::try_from(hasher.finish() >> 32).unwrap_or_default();
        &self.places[hash % self.places.len()]
    }

    /// How many keys are kept.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.places.iter().filter(|place| place.load().is_some()).count()
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
    fn two_keys_of_one_place_never_pass_for_each_other() {
        let cache = NameCache { places: Box::new([ArcSwapOption::empty()]) };
        cache.keep("one", "1");
        cache.keep("two", "2");
        assert_eq!((find(&cache, "one"), find(&cache, "two").as_deref()), (None, Some("before/2")));
    }
}

//! Rows at hand, as they lie in the file: what is read again and again is not looked up in it each time.
//!
//! SQLite forgets all pages of a connection as soon as another one has committed, so without this every read beside a
//! steady load of writes copies its pages anew. Rows here are as encrypted as in the file, and any may be dropped at any
//! moment. The rules that keep them true:
//!
//! 1. The writer forgets what it changed after the COMMIT and before it publishes the commit's position. Whoever reads at a
//!    position that was published finds no row that was changed up to there.
//! 2. A row is kept with the position of the snapshot that it was read from, and is only given to snapshots of that
//!    position or later ones.
//! 3. A reader offers a row by compare-and-swap with the place that it saw, and only if nothing of that place was changed
//!    after its snapshot: a forgotten row never comes back.
//!
//! A place holds a few rows, so that those which are asked for in turn are seldom in each other's way; large ones (an issuer
//! with its chain, a role, a policy) take the room of several.

use std::hash::Hasher;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::super::{Row, Version};
use crate::base::limits;

/// A row, or that there is none, as one snapshot had it.
struct Entry {
    key: Box<str>,
    hash: u64,
    row: Option<Row>,
    /// The snapshot's position.
    seen_at: Version,
}

/// Rows of one place.
const WAYS: usize = 4;
/// Bytes of their keys and values together: four of 2 KiB, or a large one alone.
const PLACE_BYTES: usize = WAYS * 2048;

/// One place. Its address is its generation.
#[derive(Default)]
struct Place {
    /// The last published change of a key that falls here.
    changed: Version,
    /// The newest first.
    entries: [Option<Arc<Entry>>; WAYS],
}

/// A place as a reader saw it, before he looked into the file.
pub struct Seen {
    place: Guard<Arc<Place>>,
    hash: u64,
}

/// The places.
pub struct Rows {
    places: Box<[ArcSwap<Place>]>,
}

impl Rows {
    /// With nothing in it.
    pub fn new() -> Self {
        Self { places: (0..limits::ROW_CACHE / WAYS).map(|_| ArcSwap::default()).collect() }
    }

    /// What this key's place holds now.
    pub fn seen(&self, key: &str) -> Seen {
        let hash = hash(key);
        Seen { place: self.place(hash).load(), hash }
    }

    /// The row of this key in a snapshot of this position, if that is known. The position must have been published.
    pub fn find<'a>(seen: &'a Seen, key: &str, position: Version) -> Option<&'a Option<Row>> {
        let mut entries = seen.place.entries.iter().flatten();
        let entry = entries.find(|entry| entry.hash == seen.hash && *entry.key == *key)?;
        (entry.seen_at <= position).then_some(&entry.row)
    }

    /// Keeps a row that a snapshot of this position had, unless its place changed since it was seen.
    pub fn offer(&self, seen: &Seen, key: &str, row: Option<&Row>, position: Version) {
        let bytes = |key: &str, row: Option<&Row>| key.len() + row.map_or(0, |row| row.value.len());
        let Seen { place: seen, hash } = seen;
        let Some(mut room) = PLACE_BYTES.checked_sub(bytes(key, row)).filter(|_| seen.changed <= position) else {
            return;
        };
        let new = Arc::new(Entry { key: key.into(), hash: *hash, row: row.cloned(), seen_at: position });
        let fits = |entry: &&Arc<Entry>| {
            let left = room.checked_sub(bytes(&entry.key, entry.row.as_ref()));
            room = left.unwrap_or(room);
            left.is_some()
        };
        let others = seen.entries.iter().flatten().filter(|entry| *entry.key != *key).filter(fits).cloned();
        let mut kept = std::iter::once(new).chain(others);
        let entries = std::array::from_fn(|_| kept.next());
        self.place(*hash).compare_and_swap(seen, Arc::new(Place { changed: seen.changed, entries }));
    }

    /// Forgets the row of this key, which a commit of this position changed, and refuses those that are being read.
    pub fn forget(&self, key: &str, position: Version) {
        let place = self.place(hash(key));
        place.rcu(|present| {
            let mut kept = present.entries.iter().flatten().filter(|entry| *entry.key != *key).cloned();
            Place { changed: present.changed.max(position), entries: std::array::from_fn(|_| kept.next()) }
        });
    }

    /// Forgets everything, and refuses all rows that were read before this position.
    pub fn clear(&self, position: Version) {
        for place in &self.places {
            place.store(Arc::new(Place { changed: position, ..Place::default() }));
        }
    }

    fn place(&self, hash: u64) -> &ArcSwap<Place> {
        &self.places[usize::try_from(hash >> 32).unwrap_or_default() % self.places.len()]
    }
}

/// Of the whole key: many end with the same number.
fn hash(key: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(key.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: Version) -> Row {
        Row { version, value: vec![7; 10] }
    }

    fn found(rows: &Rows, key: &str, position: Version) -> Option<Option<Version>> {
        Rows::find(&rows.seen(key), key, position).map(|row| row.as_ref().map(|row| row.version))
    }

    #[test]
    fn a_row_is_for_its_snapshot_and_later_ones() {
        let rows = Rows::new();
        rows.offer(&rows.seen("a"), "a", Some(&row(3)), 5);
        rows.offer(&rows.seen("none"), "none", None, 5);
        assert_eq!(found(&rows, "a", 5), Some(Some(3)));
        assert_eq!(found(&rows, "a", 9), Some(Some(3)));
        assert_eq!(found(&rows, "a", 4), None);
        assert_eq!(found(&rows, "none", 5), Some(None));
        assert_eq!(found(&rows, "b", 5), None);
    }

    #[test]
    fn what_a_commit_changed_never_comes_back() {
        let rows = Rows::new();
        rows.offer(&rows.seen("a"), "a", Some(&row(3)), 5);
        // The loader saw the place and opened its snapshot before the commit, and offers after it.
        let seen = rows.seen("a");
        rows.forget("a", 6);
        assert_eq!(found(&rows, "a", 6), None);
        rows.offer(&seen, "a", Some(&row(3)), 5);
        assert_eq!(found(&rows, "a", 6), None);
        // It opened its snapshot before the commit, and saw the place after it.
        rows.offer(&rows.seen("a"), "a", Some(&row(3)), 5);
        assert_eq!(found(&rows, "a", 6), None);
        rows.offer(&rows.seen("a"), "a", Some(&row(6)), 6);
        assert_eq!(found(&rows, "a", 6), Some(Some(6)));
    }

    #[test]
    fn another_key_of_the_same_place_stays() {
        let rows = Rows { places: Box::new([ArcSwap::default()]) };
        rows.offer(&rows.seen("a"), "a", Some(&row(3)), 5);
        rows.forget("b", 6);
        assert_eq!(found(&rows, "a", 6), Some(Some(3)));
        rows.clear(7);
        assert_eq!(found(&rows, "a", 7), None);
        rows.offer(&rows.seen("a"), "a", Some(&row(3)), 6);
        assert_eq!(found(&rows, "a", 7), None);
    }

    #[test]
    fn rows_of_one_place_stay_beside_each_other_until_it_is_full() {
        let rows = Rows { places: Box::new([ArcSwap::default()]) };
        let keys: Vec<String> = (0..=WAYS).map(|n| format!("key/{n}")).collect();
        for key in &keys[..WAYS] {
            rows.offer(&rows.seen(key), key, Some(&row(1)), 1);
            rows.offer(&rows.seen(key), key, Some(&row(3)), 5);
        }
        for key in &keys[..WAYS] {
            assert_eq!(found(&rows, key, 5), Some(Some(3)), "{key}");
        }
        rows.offer(&rows.seen(&keys[WAYS]), &keys[WAYS], None, 5);
        assert_eq!(found(&rows, &keys[WAYS], 5), Some(None));
        assert_eq!(found(&rows, &keys[0], 5), None, "the oldest made room");
        rows.forget(&keys[2], 6);
        let left: Vec<&String> = keys.iter().filter(|key| found(&rows, key, 6).is_some()).collect();
        assert_eq!(left, [&keys[1], &keys[3], &keys[4]]);
    }

    #[test]
    fn keys_that_end_alike_have_places_of_their_own() {
        let rows = Rows::new();
        let keys: Vec<String> = (0..1000).map(|n| format!("v/secret-{n}/!0000000000000000001")).collect();
        keys.iter().for_each(|key| rows.offer(&rows.seen(key), key, Some(&row(1)), 1));
        let kept = keys.iter().filter(|key| found(&rows, key, 1).is_some()).count();
        assert!(kept > 990, "{kept}");
    }

    #[test]
    fn it_has_an_end() {
        let rows = Rows::new();
        for n in 0..limits::ROW_CACHE * 2 {
            let key = format!("key/{n:08}");
            rows.offer(&rows.seen(&key), &key, Some(&row(1)), 1);
        }
        let kept: usize = rows.places.iter().map(|place| place.load().entries.iter().flatten().count()).sum();
        assert!(kept > limits::ROW_CACHE / 4 && kept <= limits::ROW_CACHE, "{kept}");
        let large = Row { version: 1, value: vec![0; PLACE_BYTES] };
        rows.offer(&rows.seen("large"), "large", Some(&large), 1);
        assert_eq!(found(&rows, "large", 1), None);
    }

    #[test]
    fn a_large_row_takes_the_room_of_several() {
        let rows = Rows { places: Box::new([ArcSwap::default()]) };
        let sized = |bytes| Row { version: 1, value: vec![0; bytes] };
        let offer = |key: &str, bytes| rows.offer(&rows.seen(key), key, Some(&sized(bytes)), 1);
        let there = |keys: &[&str]| keys.iter().map(|key| found(&rows, key, 1).is_some()).collect::<Vec<_>>();
        offer("a", 2000);
        offer("b", 2000);
        offer("c", 4000);
        assert_eq!(there(&["a", "b", "c"]), [true, true, true]);
        // The newest first, and of the others what fits beside it.
        offer("d", 6000);
        assert_eq!(there(&["a", "b", "c", "d"]), [false, true, false, true]);
        offer("e", PLACE_BYTES - 1);
        assert_eq!(there(&["b", "d", "e"]), [false, false, true]);
        offer("f", PLACE_BYTES);
        assert_eq!(there(&["e", "f"]), [true, false]);
    }
}

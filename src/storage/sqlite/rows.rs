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

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::super::{Row, Version};
use crate::base::limits;

/// A row, or that there is none, as one snapshot had it.
struct Entry {
    key: Box<str>,
    row: Option<Row>,
    /// The snapshot's position.
    seen_at: Version,
}

/// One place. Its address is its generation.
#[derive(Default)]
pub struct Place {
    /// The last published change of a key that falls here.
    changed: Version,
    entry: Option<Arc<Entry>>,
}

/// The places.
pub struct Rows {
    places: Box<[ArcSwap<Place>]>,
}

impl Rows {
    /// With nothing in it.
    pub fn new() -> Self {
        Self { places: (0..limits::ROW_CACHE).map(|_| ArcSwap::default()).collect() }
    }

    /// What this key's place holds now.
    pub fn seen(&self, key: &str) -> Guard<Arc<Place>> {
        self.place(key).load()
    }

    /// The row of this key in a snapshot of this position, if that is known. The position must have been published.
    pub fn find<'a>(seen: &'a Guard<Arc<Place>>, key: &str, position: Version) -> Option<&'a Option<Row>> {
        let entry = seen.entry.as_ref()?;
        (*entry.key == *key && entry.seen_at <= position).then_some(&entry.row)
    }

    /// Keeps a row that a snapshot of this position had, unless its place changed since it was seen.
    pub fn offer(&self, seen: &Guard<Arc<Place>>, key: &str, row: Option<&Row>, position: Version) {
        let bytes = key.len() + row.map_or(0, |row| row.value.len());
        if bytes > LARGEST || seen.changed > position {
            return;
        }
        let entry = Some(Arc::new(Entry { key: key.into(), row: row.cloned(), seen_at: position }));
        self.place(key).compare_and_swap(seen, Arc::new(Place { changed: seen.changed, entry }));
    }

    /// Forgets the row of this key, which a commit of this position changed, and refuses those that are being read.
    pub fn forget(&self, key: &str, position: Version) {
        let place = self.place(key);
        place.rcu(|present| Place {
            changed: present.changed.max(position),
            entry: present.entry.as_ref().filter(|entry| *entry.key != *key).cloned(),
        });
    }

    /// Forgets everything, and refuses all rows that were read before this position.
    pub fn clear(&self, position: Version) {
        for place in &self.places {
            place.store(Arc::new(Place { changed: position, entry: None }));
        }
    }

    fn place(&self, key: &str) -> &ArcSwap<Place> {
        // The last name of a stored key depends on all before it, and is as good as random.
        let hash = key.bytes().rev().take(16).fold(0usize, |hash, byte| {
            hash.wrapping_mul(0x0100_0000_01b3).wrapping_add(usize::from(byte)).rotate_left(7)
        });
        &self.places[hash % self.places.len()]
    }
}

/// Bytes of the largest key and row that are kept.
const LARGEST: usize = 2048;

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
    fn it_has_an_end() {
        let rows = Rows::new();
        for n in 0..limits::ROW_CACHE * 2 {
            let key = format!("key/{n:08}");
            rows.offer(&rows.seen(&key), &key, Some(&row(1)), 1);
        }
        let kept = rows.places.iter().filter(|place| place.load().entry.is_some()).count();
        assert!(kept > limits::ROW_CACHE / 4 && kept <= limits::ROW_CACHE, "{kept}");
        let large = Row { version: 1, value: vec![0; LARGEST] };
        rows.offer(&rows.seen("large"), "large", Some(&large), 1);
        assert_eq!(found(&rows, "large", 1), None);
    }
}

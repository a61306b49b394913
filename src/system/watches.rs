//! Who waits for a change, and the rows that each looks at.
//!
//! Nobody who waits reads the store: whoever commits tells which rows were written, as the caches are told. The order is what
//! makes it sound: enter first, then read the rows, then wait. What is committed in between rings.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::base::{Error, Key, Result, limits};

/// All who wait on this node.
#[derive(Default)]
pub struct Watches {
    /// How many there are, so that a commit that nobody waits for takes no lock.
    count: AtomicUsize,
    ended: AtomicBool,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    rows: HashMap<Key, Vec<Arc<Notify>>>,
    tokens: HashMap<String, usize>,
    rows_held: usize,
}

/// A place among those who wait; leaving gives it back.
pub struct Watch {
    watches: Arc<Watches>,
    token: String,
    rows: Vec<Key>,
    bell: Arc<Notify>,
}

impl Watches {
    /// Takes a place, for a token by its digest, at these rows (from the top of the store).
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the token has its share of places, [`Error::Unavailable`] when there is none left,
    /// [`Error::Sealed`] when the node closes.
    pub fn enter(self: &Arc<Self>, token: &str, rows: Vec<Key>) -> Result<Watch> {
        let bell = Arc::new(Notify::new());
        let mut places = self.lock();
        if self.ended() {
            return Err(Error::Sealed);
        }
        let own = places.tokens.get(token).copied().unwrap_or(0);
        if own >= limits::WATCHES_OF_TOKEN {
            return Err(Error::RateLimited);
        }
        let full = self.count() >= limits::WATCHES;
        if full || places.rows_held + rows.len() > limits::WATCH_ROWS {
            return Err(Error::Unavailable("too many wait for changes already".into()));
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        places.tokens.insert(token.to_owned(), own + 1);
        places.rows_held += rows.len();
        for row in &rows {
            places.rows.entry(row.clone()).or_default().push(bell.clone());
        }
        drop(places);
        Ok(Watch { watches: self.clone(), token: token.to_owned(), rows, bell })
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// These rows were written.
    pub fn changed(&self, rows: &[Key]) {
        if self.count() == 0 {
            return;
        }
        let places = self.lock();
        for row in rows {
            for bell in places.rows.get(row).into_iter().flatten() {
                bell.notify_one();
            }
        }
    }

    /// Something was written, and it is not known what.
    pub fn changed_somewhere(&self) {
        for bell in self.lock().rows.values().flatten() {
            bell.notify_one();
        }
    }

    /// Lets all go who wait, and nobody in any more.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.changed_somewhere();
    }

    /// Whether nobody may wait any more.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // Nothing panics while it is held.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Completes when one of its rows was written since it was made or last awaited.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut places = self.watches.lock();
        for row in &self.rows {
            if let Some(bells) = places.rows.get_mut(row) {
                if let Some(at) = bells.iter().position(|bell| Arc::ptr_eq(bell, &self.bell)) {
                    bells.swap_remove(at);
                }
                if bells.is_empty() {
                    places.rows.remove(row);
                }
            }
        }
        places.rows_held -= self.rows.len();
        match places.tokens.get_mut(&self.token) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(places.tokens.remove(&self.token)),
        }
        self.watches.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn row(name: &str) -> Key {
        Key::new(name)
    }

    #[test]
    fn a_change_rings_for_those_who_look_at_its_row_and_a_place_that_is_left_is_free() {
        let watches = Arc::new(Watches::default());
        watches.changed(&[row("a")]);
        let first = watches.enter("t", vec![row("a"), row("b")]).unwrap();
        let second = watches.enter("u", vec![row("b")]).unwrap();
        watches.changed(&[row("c")]);
        assert!(first.rung().now_or_never().is_none());
        watches.changed(&[row("a"), row("c")]);
        assert!(first.rung().now_or_never().is_some());
        assert!(first.rung().now_or_never().is_none(), "once");
        assert!(second.rung().now_or_never().is_none());
        drop(first);
        watches.changed_somewhere();
        assert!(second.rung().now_or_never().is_some());
        drop(second);
        let places = watches.lock();
        assert!(places.rows.is_empty() && places.tokens.is_empty() && places.rows_held == 0);
        assert_eq!(watches.count(), 0);
    }

    #[test]
    fn places_have_bounds_for_a_token_and_for_all() {
        let watches = Arc::new(Watches::default());
        let own: Vec<Watch> =
            (0..limits::WATCHES_OF_TOKEN).map(|_| watches.enter("t", vec![row("a")]).unwrap()).collect();
        assert!(matches!(watches.enter("t", vec![row("a")]), Err(Error::RateLimited)));
        drop(own);
        watches.enter("t", vec![row("a")]).unwrap();
        let all: Vec<Watch> =
            (0..limits::WATCHES).map(|n| watches.enter(&n.to_string(), vec![row("a")]).unwrap()).collect();
        assert!(matches!(watches.enter("t", vec![row("a")]), Err(Error::Unavailable(_))));
        drop(all);
        let many = |n: usize| (0..limits::WATCH_ROWS / 2 + n).map(|n| row(&n.to_string())).collect::<Vec<_>>();
        let half = watches.enter("t", many(0)).unwrap();
        assert!(matches!(watches.enter("u", many(1)), Err(Error::Unavailable(_))));
        drop(half);
        watches.enter("u", many(1)).unwrap();
    }

    #[test]
    fn at_the_end_all_are_let_go_and_nobody_comes_in() {
        let watches = Arc::new(Watches::default());
        let one = watches.enter("t", vec![row("a")]).unwrap();
        watches.end();
        assert!(one.rung().now_or_never().is_some());
        assert!(matches!(watches.enter("u", vec![row("a")]), Err(Error::Sealed)));
    }
}

//! The change feed inside one process: the last commits, and a wake-up for those who wait for the next.
//!
//! A commit is pushed before its author is answered, so that whoever holds an answer finds its commit here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Changes, Commit, Version};
use crate::base::limits;

/// Bytes of keys that are remembered at most: a few huge commits must not fill the memory.
const FEED_BYTES: usize = 4 << 20;
/// What one remembered commit and one remembered key cost beside their text, in bytes.
const OVERHEAD_BYTES: usize = 32;

/// The last [`limits::FEED_COMMITS`] commits of a store.
#[derive(Debug)]
pub struct Feed {
    ring: Mutex<Ring>,
    last: watch::Sender<Version>,
}

#[derive(Debug)]
struct Ring {
    /// Everything up to here is forgotten.
    base: Version,
    last: Version,
    commits: VecDeque<Commit>,
    bytes: usize,
}

impl Feed {
    /// An empty feed of a store that stands at `position`.
    #[must_use]
    pub fn new(position: Version) -> Self {
        let ring = Ring { base: position, last: position, commits: VecDeque::new(), bytes: 0 };
        Self { ring: Mutex::new(ring), last: watch::Sender::new(position) }
    }

    /// Adds commits, whose versions must rise, and wakes those who wait. The oldest are forgotten.
    pub fn push(&self, commits: impl IntoIterator<Item = Commit>) {
        let mut ring = self.lock();
        for commit in commits {
            ring.last = commit.version;
            ring.bytes += cost(&commit);
            ring.commits.push_back(commit);
            while ring.commits.len() > limits::FEED_COMMITS || ring.bytes > FEED_BYTES {
                let Some(oldest) = ring.commits.pop_front() else { break };
                ring.bytes -= cost(&oldest);
                ring.base = oldest.version;
            }
        }
        let last = ring.last;
        drop(ring);
        self.wake(last);
    }

    /// Forgets everything: what happened up to `position` is not known.
    pub fn lose(&self, position: Version) {
        let mut ring = self.lock();
        ring.commits.clear();
        ring.bytes = 0;
        ring.base = position;
        ring.last = position;
        drop(ring);
        self.wake(position);
    }

    /// What was committed after `from`.
    #[must_use]
    pub fn changes(&self, from: Version) -> Changes {
        if *self.last.borrow() == from {
            return Changes::Commits(Vec::new());
        }
        let ring = self.lock();
        // A position from the future belongs to a store that was since put back.
        if from < ring.base || from > ring.last {
            return Changes::Lost(ring.last);
        }
        let start = ring.commits.partition_point(|commit| commit.version <= from);
        Changes::Commits(ring.commits.range(start..).cloned().collect())
    }

    /// Completes at the next commit after the call.
    ///
    /// The subscription begins with the call, not with the first poll: make it, then ask [`Feed::changes`], then await.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut last = self.last.subscribe();
        async move {
            // An error means that the store is gone: there is nothing to wait for, and spinning would be worse.
            if last.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn wake(&self, last: Version) {
        self.last.send_modify(|known| *known = (*known).max(last));
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nothing panics while the ring is held: a poisoned lock holds a sound ring.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cost(commit: &Commit) -> usize {
    OVERHEAD_BYTES + commit.keys.iter().map(|key| key.len() + OVERHEAD_BYTES).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn commit(version: Version, key: &str) -> Commit {
        Commit { version, keys: Arc::new([key.to_owned()]) }
    }

    fn versions(changes: Changes) -> Result<Vec<Version>, Version> {
        match changes {
            Changes::Commits(commits) => Ok(commits.iter().map(|commit| commit.version).collect()),
            Changes::Lost(position) => Err(position),
        }
    }

    #[test]
    fn who_is_behind_has_lost() {
        let feed = Feed::new(10);
        assert_eq!(versions(feed.changes(9)), Err(10));
        assert_eq!(versions(feed.changes(11)), Err(10));
        assert_eq!(versions(feed.changes(10)), Ok(vec![]));
        let count = limits::FEED_COMMITS as Version;
        feed.push((0..=count).map(|n| commit(11 + n, "a")));
        assert_eq!(versions(feed.changes(10)), Err(11 + count));
        assert_eq!(versions(feed.changes(11)).map(|all| all.len()), Ok(limits::FEED_COMMITS));
        assert_eq!(versions(feed.changes(10 + count)), Ok(vec![11 + count]));
    }

    #[test]
    fn long_keys_do_not_fill_the_memory() {
        let feed = Feed::new(0);
        let long = "k".repeat(FEED_BYTES / 4);
        feed.push((1..=10).map(|n| commit(n, &long)));
        assert_eq!(versions(feed.changes(6)), Err(10));
        assert_eq!(versions(feed.changes(7)), Ok(vec![8, 9, 10]));
        feed.push([commit(11, &"k".repeat(FEED_BYTES + 1))]);
        assert_eq!(versions(feed.changes(10)), Err(11), "a commit that is too large is known as lost");
        assert_eq!(versions(feed.changes(11)), Ok(vec![]));
    }

    #[test]
    fn losing_is_told_to_everyone() {
        let feed = Feed::new(0);
        feed.push([commit(1, "a"), commit(2, "b")]);
        feed.lose(7);
        assert_eq!(versions(feed.changes(2)), Err(7));
        assert_eq!(versions(feed.changes(7)), Ok(vec![]));
    }

    #[tokio::test]
    async fn a_commit_between_asking_and_awaiting_wakes() {
        let feed = Feed::new(0);
        let changed = feed.changed();
        feed.push([commit(1, "a")]);
        changed.await;
        assert_eq!(versions(feed.changes(0)), Ok(vec![1]));
    }
}

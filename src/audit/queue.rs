//! What waits for one device: lines in a bounded buffer, and those who want to know that theirs is written.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwapOption;
use tracing::{info, warn};

use super::chain::Digest;
use crate::base::limits;

/// Bytes waiting for one device: as many usual lines as the queue may hold, and room for some very long ones.
/// A single line of any length is let into an empty queue.
const QUEUE_BYTES: usize = 64 << 20;
/// What is said of a device that hangs.
pub(super) const SLOW: &str = "does not write within its time";

/// The answer to one line, to come.
pub(super) enum Ticket {
    /// It is written.
    Written,
    /// It will not be.
    Refused,
    /// It is the n-th line of this batch.
    Waiting(Arc<Batch>, usize),
}

impl Ticket {
    /// Whether it is not known yet what became of the line.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self, Self::Waiting(batch, _) if batch.is_pending())
    }

    /// Whether the line is known to be written.
    pub(super) fn is_written(&self) -> bool {
        match self {
            Self::Written => true,
            Self::Refused => false,
            Self::Waiting(batch, line) => batch.holds(*line),
        }
    }

    /// Whether the line is written, once that is known.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<bool> {
        match self {
            Self::Written => Poll::Ready(true),
            Self::Refused => Poll::Ready(false),
            Self::Waiting(batch, line) => batch.poll(*line, cx),
        }
    }
}

/// Lines that are written together.
pub(super) struct Batch {
    /// How many lines, counted from the first, are in the file; `PENDING` until that is known.
    written: AtomicUsize,
    /// Who waits, by line.
    wakers: Mutex<Vec<Option<Waker>>>,
}

const PENDING: usize = usize::MAX;

impl Batch {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { written: AtomicUsize::new(PENDING), wakers: Mutex::default() })
    }

    pub(super) fn is_pending(&self) -> bool {
        self.written.load(Ordering::Acquire) == PENDING
    }

    fn holds(&self, line: usize) -> bool {
        let written = self.written.load(Ordering::Acquire);
        written != PENDING && line < written
    }

    fn poll(&self, line: usize, cx: &Context<'_>) -> Poll<bool> {
        if self.is_pending() {
            let mut wakers = lock(&self.wakers);
            // Once more, under the lock: `finish` takes the wakers after it set the count.
            if self.is_pending() {
                if wakers.len() <= line {
                    wakers.resize(line + 1, None);
                }
                if !wakers[line].as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    wakers[line] = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(line < self.written.load(Ordering::Acquire))
    }

    /// The first answer counts.
    pub(super) fn finish(&self, written: usize) {
        if self.written.compare_exchange(PENDING, written, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            let wakers = std::mem::take(&mut *lock(&self.wakers));
            wakers.into_iter().flatten().for_each(Waker::wake);
        }
    }
}

/// What a device and its thread share.
pub(super) struct Shared {
    path: String,
    queue: Mutex<Queue>,
    wake: Condvar,
    /// The batch that the thread writes.
    in_hand: ArcSwapOption<Batch>,
    /// What was in hand when somebody looked last.
    watched: ArcSwapOption<Batch>,
    /// A batch that takes too long.
    stuck: ArcSwapOption<Batch>,
    /// Whether the last line was refused for want of room: then the next one need not even be formatted.
    full: AtomicBool,
    pub(super) fault: Mutex<Option<String>>,
    lost: AtomicU64,
    written: AtomicU64,
    /// The number and the digest of the last line in the file.
    pub(super) last: Mutex<Option<(u64, Digest)>>,
}

pub(super) struct Queue {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    batch: Arc<Batch>,
    /// Whether the thread sleeps.
    idle: bool,
    pub(super) reopen: bool,
    /// Whether lines are refused.
    pub(super) closed: bool,
}

/// What the thread has to do next.
pub(super) struct Work {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<usize>,
    pub(super) batch: Arc<Batch>,
    pub(super) reopen: bool,
}

impl Shared {
    pub(super) fn new(path: &str) -> Arc<Self> {
        let queue = Queue {
            bytes: Vec::new(),
            ends: Vec::new(),
            batch: Batch::new(),
            idle: false,
            reopen: false,
            closed: false,
        };
        Arc::new(Self {
            path: path.to_owned(),
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            in_hand: ArcSwapOption::empty(),
            watched: ArcSwapOption::empty(),
            stuck: ArcSwapOption::empty(),
            full: AtomicBool::new(false),
            fault: Mutex::default(),
            lost: AtomicU64::new(0),
            written: AtomicU64::new(0),
            last: Mutex::default(),
        })
    }

    /// Whether there is no room for another line, which then counts as lost.
    pub(super) fn is_full(&self) -> bool {
        let full = self.full.load(Ordering::Relaxed);
        if full {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        full
    }

    /// Puts a line at the end. It is written once somebody rings.
    pub(super) fn push(&self, line: &[u8]) -> Ticket {
        let mut queue = lock(&self.queue);
        let full = queue.ends.len() >= limits::AUDIT_QUEUE
            || (!queue.ends.is_empty() && queue.bytes.len() + line.len() > QUEUE_BYTES);
        if queue.closed || full {
            self.full.store(full, Ordering::Relaxed);
            drop(queue);
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Ticket::Refused;
        }
        queue.bytes.extend_from_slice(line);
        let end = queue.bytes.len();
        queue.ends.push(end);
        Ticket::Waiting(Arc::clone(&queue.batch), queue.ends.len() - 1)
    }

    /// Wakes the thread, if lines wait and it sleeps.
    pub(super) fn ring(&self) {
        let mut queue = lock(&self.queue);
        let wake = !queue.ends.is_empty() && std::mem::take(&mut queue.idle);
        drop(queue);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Changes the queue, and wakes the thread.
    pub(super) fn change(&self, f: impl FnOnce(&mut Queue)) {
        let mut queue = lock(&self.queue);
        f(&mut queue);
        queue.idle = false;
        drop(queue);
        self.wake.notify_one();
    }

    /// Waits for lines, and gives the queue these empty buffers in exchange. None when the device is gone.
    pub(super) fn take(&self, bytes: Vec<u8>, ends: Vec<usize>) -> Option<Work> {
        let mut queue = lock(&self.queue);
        while queue.ends.is_empty() && !queue.reopen {
            if queue.closed {
                return None;
            }
            queue.idle = true;
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        self.full.store(false, Ordering::Relaxed);
        let batch = std::mem::replace(&mut queue.batch, Batch::new());
        self.in_hand.store(Some(Arc::clone(&batch)));
        Some(Work {
            bytes: std::mem::replace(&mut queue.bytes, bytes),
            ends: std::mem::replace(&mut queue.ends, ends),
            batch,
            reopen: std::mem::take(&mut queue.reopen),
        })
    }

    /// The batch in hand has this many lines in the file, counted from the first.
    pub(super) fn done(&self, batch: &Arc<Batch>, written: usize) {
        batch.finish(written);
        self.in_hand.store(None);
        if self.stuck.load().as_ref().is_some_and(|stuck| Arc::ptr_eq(stuck, batch)) {
            self.stuck.store(None);
            info!(device = %self.path, "audit device writes again");
        }
    }

    /// Lines that wait.
    pub(super) fn queued(&self) -> usize {
        lock(&self.queue).ends.len()
    }

    /// Lines that are written, and lines that are not and will not be.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.written.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }

    /// Marks the device as stuck if it is at the same batch as when this was called last, with the bound in between: nobody
    /// waits for a device that others make up for, and it shall be named all the same.
    pub(super) fn watch(&self) {
        let now = self.in_hand.load_full().or_else(|| {
            // Not even taken: opening the file hangs.
            let queue = lock(&self.queue);
            (!queue.ends.is_empty()).then(|| Arc::clone(&queue.batch))
        });
        let before = self.watched.swap(now.clone());
        if let (Some(now), Some(before)) = (now, before)
            && Arc::ptr_eq(&now, &before)
        {
            self.mark_stuck(&now);
        }
    }

    /// This batch takes too long.
    pub(super) fn mark_stuck(&self, batch: &Arc<Batch>) {
        if batch.is_pending() && !self.is_stuck() {
            self.stuck.store(Some(Arc::clone(batch)));
            warn!(device = %self.path, "audit device {SLOW}");
        }
    }

    /// Nobody will write what waits any more.
    pub(super) fn end(&self) {
        let waiting = {
            let mut queue = lock(&self.queue);
            queue.closed = true;
            Arc::clone(&queue.batch)
        };
        *lock(&self.fault) = Some("its thread has ended".to_owned());
        for batch in self.in_hand.load_full().iter().chain([&waiting]) {
            batch.finish(0);
        }
    }

    /// Whether a batch that takes too long is still being written.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.load().as_ref().is_some_and(|batch| batch.is_pending())
    }

    /// Remembers how the last batch went, and logs when that is news.
    pub(super) fn note(&self, written: u64, lost: usize, trouble: Option<&io::Error>) {
        self.written.fetch_add(written, Ordering::Relaxed);
        self.lost.fetch_add(lost as u64, Ordering::Relaxed);
        let now = trouble.map(ToString::to_string);
        let mut fault = lock(&self.fault);
        if *fault != now {
            match &now {
                Some(cause) => warn!(device = %self.path, cause, "audit device does not work"),
                None => info!(device = %self.path, "audit device works again"),
            }
            *fault = now;
        }
    }
}

/// What a panic left behind is whole: every change under these locks is a single step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

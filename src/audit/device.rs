//! One audit device: a bounded queue, and a thread that writes what waits in it.
//!
//! Callers format their line, copy it to the end of the queue's buffer, ring for the thread and wait. The thread takes the
//! whole buffer, gives an empty one in its place, and writes with one write(2); then all of the batch are told how many of
//! its lines are in the file. While it writes the next batch gathers, so the busier the server, the fewer calls and
//! switches for each line. For the same reason callers ring only after the others that are ready to run have added
//! their lines: waking the thread costs more than all else that is done for a line.
//!
//! Callers never write themselves, although that saves the switch when nothing else waits: write(2) on a throttled
//! disk or a dead network file system cannot be interrupted, and would hold an async worker for as long as that
//! lasts. Only this thread can hang; its callers leave after their bound, and other devices go on.
//!
//! The thread alone decides the order of lines, and it knows where each one ends: what shall depend on the line
//! before (a number, a chained digest) belongs between taking a batch and writing it.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwapOption;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::config::{DeviceConfig, Plan, Target};
use super::entry::Entry;
use super::file::Sink;
use super::format::{Format, Stage};
use crate::base::{Error, Result, limits};
use crate::crypto::HmacKey;

/// Bytes waiting for one device: as many usual lines as the queue may hold, and room for some very long ones.
/// A single line of any length is let into an empty queue.
const QUEUE_BYTES: usize = 64 << 20;
/// Buffers that grew beyond this are given back after their batch.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// How a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The device's path, with its slash.
    pub path: String,
    /// What is wrong; none while it writes.
    pub fault: Option<String>,
    /// Lines that wait.
    pub queued: usize,
    /// Lines that this device did not write since it was opened.
    pub lost: u64,
}

/// An enabled device.
pub(super) struct Device {
    config: DeviceConfig,
    target: Option<Target>,
    format: Option<Format>,
    lane: Lane,
}

enum Lane {
    /// Every line counts as written.
    Discard,
    /// No line can be written; why.
    Broken(String),
    /// The thread's queue.
    Thread(Arc<Shared>),
}

impl Device {
    /// Opens a device that was enabled before. What cannot be opened now is tried again at each batch of lines: it
    /// must not stand in the way of unsealing.
    pub(super) fn open(config: DeviceConfig, plan: Result<Plan>) -> Self {
        match plan {
            Ok(plan) => {
                let (target, format) = (Some(plan.target.clone()), Some(Format::new(&config, &plan)));
                let lane = lane(&config, plan);
                Self { config, target, format, lane }
            }
            Err(error) => {
                warn!(device = %config.path, cause = %error, "audit device does not work");
                Self { config, target: None, format: None, lane: Lane::Broken(error.to_string()) }
            }
        }
    }

    pub(super) fn config(&self) -> &DeviceConfig {
        &self.config
    }

    pub(super) fn path(&self) -> &str {
        &self.config.path
    }

    /// The path, for errors.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.config.path)
    }

    /// Whether both write into the same file, as far as their paths say.
    pub(super) fn shares_its_file(&self, target: &Target) -> bool {
        match (&self.target, target) {
            (Some(Target::Discard), _) | (_, Target::Discard) | (None, _) => false,
            (Some(one), other) => one == other || (one.path().is_some() && one.path() == other.path()),
        }
    }

    /// Formats the entry and puts it into the queue. It is written once somebody rings.
    pub(super) fn submit(&self, stage: Stage, entry: &Entry<'_>) -> Ticket {
        match (&self.lane, &self.format) {
            (Lane::Thread(shared), Some(format)) => shared.push(&format.line(stage, entry)),
            (Lane::Discard, _) => Ticket::Written,
            (Lane::Broken(_), _) | (Lane::Thread(_), None) => Ticket::Refused,
        }
    }

    /// Puts nothing into the queue: it is done when all before it is.
    pub(super) fn flush(&self) -> Ticket {
        match &self.lane {
            Lane::Thread(shared) => {
                let ticket = shared.push(b"");
                shared.ring();
                ticket
            }
            Lane::Discard => Ticket::Written,
            Lane::Broken(_) => Ticket::Refused,
        }
    }

    /// Wakes the thread, if lines wait and it sleeps.
    pub(super) fn ring(&self) {
        if let Lane::Thread(shared) = &self.lane {
            shared.ring();
        }
    }

    /// Opens the file again before the next line.
    pub(super) fn reopen(&self) {
        if let Lane::Thread(shared) = &self.lane {
            shared.change(|queue| queue.reopen = true);
        }
    }

    /// Whether the batch that somebody waited for in vain is still being written.
    pub(super) fn is_stuck(&self) -> bool {
        matches!(&self.lane, Lane::Thread(shared) if shared.is_stuck())
    }

    /// Says that this ticket was waited for in vain.
    pub(super) fn gave_up(&self, ticket: &Ticket) {
        if let (Lane::Thread(shared), Ticket::Waiting(batch, _)) = (&self.lane, ticket)
            && !shared.is_stuck()
            && batch.is_pending()
        {
            shared.stuck.store(Some(Arc::clone(batch)));
            warn!(device = %self.config.path, "audit device {SLOW}");
        }
    }

    pub(super) fn health(&self) -> Health {
        let mut health = Health { path: self.config.path.clone(), fault: None, queued: 0, lost: 0 };
        match &self.lane {
            Lane::Discard => {}
            Lane::Broken(cause) => health.fault = Some(cause.clone()),
            Lane::Thread(shared) => {
                health.queued = lock(&shared.queue).ends.len();
                health.lost = shared.lost.load(Ordering::Relaxed);
                health.fault = match shared.is_stuck() {
                    true => Some(SLOW.to_owned()),
                    false => lock(&shared.fault).clone(),
                };
            }
        }
        health
    }

    /// The hash that this device's log shows for a value.
    pub(super) fn hash(&self, value: &str) -> String {
        let key = HmacKey::new(self.config.salt.reveal());
        super::format::hash(&key, value.as_bytes())
    }
}

impl Drop for Device {
    /// The thread writes what waits, and ends.
    fn drop(&mut self) {
        if let Lane::Thread(shared) = &self.lane {
            shared.change(|queue| queue.closed = true);
        }
    }
}

/// Opens the file of a device that an operator enables, on a thread of its own.
///
/// # Errors
/// `Invalid` when it cannot be used, `Unavailable` when that is not known within the bound.
pub(super) async fn probe(plan: Plan) -> Result<()> {
    if plan.target == Target::Discard {
        return Ok(());
    }
    let (tell, told) = oneshot::channel();
    let open = move || {
        // Nobody listening any more means that the bound is over.
        let _ = tell.send(Sink::open(&plan, true).and_then(|sink| sink.has_room()));
    };
    std::thread::Builder::new().name("audit-probe".into()).spawn(open)?;
    match tokio::time::timeout(BOUND, told).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(Error::invalid(format!("the audit file cannot be opened and written: {error}"))),
        Ok(Err(_)) | Err(_) => Err(Error::Unavailable("the audit file was not opened within its time".into())),
    }
}

/// How long a caller waits for a device.
pub(super) const BOUND: std::time::Duration = std::time::Duration::from_millis(limits::AUDIT_MILLISECONDS);
const SLOW: &str = "does not write within its time";

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

    /// Whether the line is written.
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
    fn new() -> Arc<Self> {
        Arc::new(Self { written: AtomicUsize::new(PENDING), wakers: Mutex::default() })
    }

    fn is_pending(&self) -> bool {
        self.written.load(Ordering::Acquire) == PENDING
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
    fn finish(&self, written: usize) {
        if self.written.compare_exchange(PENDING, written, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            let wakers = std::mem::take(&mut *lock(&self.wakers));
            wakers.into_iter().flatten().for_each(Waker::wake);
        }
    }
}

/// What a device and its thread share.
struct Shared {
    path: String,
    queue: Mutex<Queue>,
    wake: Condvar,
    /// A batch that somebody waited for in vain.
    stuck: ArcSwapOption<Batch>,
    fault: Mutex<Option<String>>,
    lost: AtomicU64,
}

struct Queue {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    batch: Arc<Batch>,
    /// Whether the thread sleeps.
    idle: bool,
    reopen: bool,
    /// Whether lines are refused.
    closed: bool,
}

/// What the thread has to do next.
struct Work {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    batch: Arc<Batch>,
    reopen: bool,
}

impl Shared {
    fn new(path: &str) -> Arc<Self> {
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
            stuck: ArcSwapOption::empty(),
            fault: Mutex::default(),
            lost: AtomicU64::new(0),
        })
    }

    fn push(&self, line: &[u8]) -> Ticket {
        let mut queue = lock(&self.queue);
        let full = queue.ends.len() >= limits::AUDIT_QUEUE
            || (!queue.ends.is_empty() && queue.bytes.len() + line.len() > QUEUE_BYTES);
        if queue.closed || full {
            drop(queue);
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Ticket::Refused;
        }
        queue.bytes.extend_from_slice(line);
        let end = queue.bytes.len();
        queue.ends.push(end);
        Ticket::Waiting(Arc::clone(&queue.batch), queue.ends.len() - 1)
    }

    fn ring(&self) {
        let mut queue = lock(&self.queue);
        let wake = !queue.ends.is_empty() && std::mem::take(&mut queue.idle);
        drop(queue);
        if wake {
            self.wake.notify_one();
        }
    }

    fn change(&self, f: impl FnOnce(&mut Queue)) {
        let mut queue = lock(&self.queue);
        f(&mut queue);
        queue.idle = false;
        drop(queue);
        self.wake.notify_one();
    }

    /// Waits for lines, and gives the queue these empty buffers in exchange. None when the device is gone.
    fn take(&self, bytes: Vec<u8>, ends: Vec<usize>) -> Option<Work> {
        let mut queue = lock(&self.queue);
        while queue.ends.is_empty() && !queue.reopen {
            if queue.closed {
                return None;
            }
            queue.idle = true;
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        Some(Work {
            bytes: std::mem::replace(&mut queue.bytes, bytes),
            ends: std::mem::replace(&mut queue.ends, ends),
            batch: std::mem::replace(&mut queue.batch, Batch::new()),
            reopen: std::mem::take(&mut queue.reopen),
        })
    }

    fn is_stuck(&self) -> bool {
        self.stuck.load().as_ref().is_some_and(|batch| batch.is_pending())
    }

    /// Remembers how the last batch went, and logs when that is news.
    fn note(&self, lost: usize, trouble: Option<&io::Error>) {
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

#[cfg(test)]
impl Device {
    /// A device whose thread never comes back from its file.
    pub(super) fn hanging(path: &str) -> Self {
        let config = super::config::tests::config(path, &[("file_path", "discard")]);
        let format = config.plan(&super::config::Rules::default()).map(|plan| Format::new(&config, &plan)).ok();
        let lane = Lane::Thread(Shared::new(&config.path));
        Self { config, target: None, format, lane }
    }
}

fn lane(config: &DeviceConfig, plan: Plan) -> Lane {
    if plan.target == Target::Discard {
        return Lane::Discard;
    }
    let shared = Shared::new(&config.path);
    let desk = Desk { shared: Arc::clone(&shared), plan, sink: None, current: None };
    match std::thread::Builder::new().name("audit".into()).spawn(move || desk.run()) {
        Ok(_) => Lane::Thread(shared),
        Err(error) => Lane::Broken(format!("the audit device's thread cannot be started: {error}")),
    }
}

/// The thread's side.
struct Desk {
    shared: Arc<Shared>,
    plan: Plan,
    sink: Option<Sink>,
    /// The batch in hand.
    current: Option<Arc<Batch>>,
}

impl Desk {
    fn run(mut self) {
        let opened = Sink::open(&self.plan, false).map(|sink| self.sink = Some(sink));
        self.shared.note(0, opened.err().as_ref());
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        while let Some(mut work) = self.shared.take(bytes, ends) {
            self.current = Some(Arc::clone(&work.batch));
            let (lines, trouble) = self.write(&work);
            // A batch without a byte, of a flush or a new opening, proves nothing of a disk that is full.
            if trouble.is_some() || !work.bytes.is_empty() {
                self.shared.note(work.ends.len() - lines, trouble.as_ref());
            }
            work.batch.finish(lines);
            self.current = None;
            work.bytes.clear();
            work.ends.clear();
            work.bytes.shrink_to(BUFFER_KEPT_BYTES);
            (bytes, ends) = (work.bytes, work.ends);
        }
    }

    /// How many lines are in the file, and what went wrong, which may be something even when all are.
    fn write(&mut self, work: &Work) -> (usize, Option<io::Error>) {
        let mut trouble = None;
        // Looked at for each batch: a line in a file that was removed is a line that nobody reads.
        if work.reopen || !self.sink.as_ref().is_some_and(Sink::is_in_place) {
            match Sink::open(&self.plan, false) {
                Ok(sink) => self.sink = Some(sink),
                // A rotation that left something unfit in the place: the old file goes on, and the fault shows.
                Err(error) => {
                    self.sink = self.sink.take().filter(Sink::has_a_name);
                    trouble = Some(error);
                }
            }
        }
        let Some(sink) = &mut self.sink else { return (0, trouble) };
        let (lines, result) = sink.append(&work.bytes, &work.ends);
        (lines, result.err().or(trouble))
    }
}

impl Drop for Desk {
    /// However the thread ends, nobody waits for it.
    fn drop(&mut self) {
        let batch = {
            let mut queue = lock(&self.shared.queue);
            queue.closed = true;
            Arc::clone(&queue.batch)
        };
        *lock(&self.shared.fault) = Some("its thread has ended".to_owned());
        for batch in self.current.iter().chain([&batch]) {
            batch.finish(0);
        }
    }
}

/// What a panic left behind is whole: every change under these locks is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

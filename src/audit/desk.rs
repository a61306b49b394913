//! The thread of one device: it takes what waits, gives each line its link, and writes with one write(2).

use std::io;
use std::sync::Arc;

use super::chain::{Chain, Digest, START, Sealed};
use super::config::Plan;
use super::file::Sink;
use super::queue::{Shared, Work, lock};

/// Buffers that grew beyond this are given back after their batch.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// What a device's chain begins with.
pub(super) struct Start {
    /// The chain's id.
    pub(super) id: String,
    /// The last line that is known of the device, where its file does not tell.
    pub(super) before: Option<Digest>,
}

/// The thread's side of a device.
pub(super) struct Desk {
    shared: Arc<Shared>,
    plan: Plan,
    start: Start,
    sink: Option<Sink>,
    chain: Option<Chain>,
    sealed: Sealed,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>, plan: Plan, start: Start) -> Self {
        Self { shared, plan, start, sink: None, chain: None, sealed: Sealed::default() }
    }

    pub(super) fn run(mut self) {
        let opened = self.open();
        self.shared.note(0, 0, opened.err().as_ref());
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        while let Some(mut work) = self.shared.take(bytes, ends) {
            let before = self.last();
            let (lines, trouble) = self.write(&work);
            let last = self.last();
            // A batch without a byte, of a flush or a new opening, proves nothing of a disk that is full.
            if trouble.is_some() || !work.bytes.is_empty() {
                self.shared.note(last - before, work.ends.len() - lines, trouble.as_ref());
            }
            self.shared.done(&work.batch, lines);
            work.bytes.clear();
            work.ends.clear();
            work.bytes.shrink_to(BUFFER_KEPT_BYTES);
            self.sealed.bytes.clear();
            self.sealed.bytes.shrink_to(BUFFER_KEPT_BYTES);
            (bytes, ends) = (work.bytes, work.ends);
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let sink = Sink::open(&self.plan, false)?;
        let chain = self.chain.get_or_insert_with(|| {
            let before = sink.last_digest().or(self.start.before).unwrap_or(START);
            Chain::new(std::mem::take(&mut self.start.id), before)
        });
        if sink.is_torn() {
            chain.tear();
        }
        self.sink = Some(sink);
        Ok(())
    }

    /// The number of the last line in the file.
    fn last(&self) -> u64 {
        self.chain.as_ref().and_then(Chain::last).map_or(0, |(seq, _)| seq)
    }

    /// How many lines are in the file, and what went wrong, which may be something even when all are.
    fn write(&mut self, work: &Work) -> (usize, Option<io::Error>) {
        let mut trouble = None;
        // Looked at for each batch: a line in a file that was removed is a line that nobody reads.
        if (work.reopen || !self.sink.as_ref().is_some_and(Sink::is_in_place))
            && let Err(error) = self.open()
        {
            // A rotation that left something unfit in the place: the old file goes on, and the fault shows.
            self.sink = self.sink.take().filter(Sink::has_a_name);
            trouble = Some(error);
        }
        let (Some(sink), Some(chain)) = (&mut self.sink, &mut self.chain) else { return (0, trouble) };
        chain.seal(&work.bytes, &work.ends, &mut self.sealed);
        let (lines, result) = sink.append(&self.sealed.bytes, &self.sealed.ends);
        chain.wrote(&self.sealed, lines);
        if sink.is_torn() {
            chain.tear();
        }
        if let Some(last) = chain.last() {
            *lock(&self.shared.last) = Some(last);
        }
        (lines, result.err().or(trouble))
    }
}

impl Drop for Desk {
    /// However the thread ends, nobody waits for it.
    fn drop(&mut self) {
        self.shared.end();
    }
}

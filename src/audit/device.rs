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
//! The thread alone decides the order of lines, so it gives each its link of the chain, between taking a batch and
//! writing it (`desk`).

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::warn;

use super::config::{DeviceConfig, Plan, Target};
use super::desk::{Desk, Start};
use super::entry::Entry;
use super::file::Sink;
use super::format::{Format, Stage};
use super::head::Head;
use super::queue::{SLOW, Shared, Ticket, lock};
use crate::base::{Error, Result, limits};
use crate::crypto::HmacKey;

/// How a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The device's path, with its slash.
    pub path: String,
    /// What is wrong; none while it writes.
    pub fault: Option<String>,
    /// Lines that wait.
    pub queued: usize,
    /// Lines that this device wrote since it was opened.
    pub written: u64,
    /// Lines that this device did not write since it was opened.
    pub lost: u64,
}

/// An enabled device.
pub(super) struct Device {
    config: DeviceConfig,
    target: Option<Target>,
    format: Option<Format>,
    lane: Lane,
    /// The id of its chain.
    chain: String,
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
    pub(super) fn open(config: DeviceConfig, plan: Result<Plan>, start: Start) -> Self {
        let chain = start.id.clone();
        match plan {
            Ok(plan) => {
                let (target, format) = (Some(plan.target.clone()), Some(Format::new(&config, &plan)));
                let lane = lane(&config, plan, start);
                Self { config, target, format, lane, chain }
            }
            Err(error) => {
                warn!(device = %config.path, cause = %error, "audit device does not work");
                Self { config, target: None, format: None, lane: Lane::Broken(error.to_string()), chain }
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
            (Lane::Thread(shared), Some(_)) if shared.is_full() => Ticket::Refused,
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
        if let (Lane::Thread(shared), Ticket::Waiting(batch, _)) = (&self.lane, ticket) {
            shared.mark_stuck(batch);
        }
    }

    /// Looks whether the device hangs: to be called again and again, with the bound in between.
    pub(super) fn watch(&self) {
        if let Lane::Thread(shared) = &self.lane {
            shared.watch();
        }
    }

    /// How far its chain has come, not signed; none before its first line.
    pub(super) fn head(&self, node: &str) -> Option<Head> {
        let Lane::Thread(shared) = &self.lane else { return None };
        let last = *lock(&shared.last);
        last.map(|last| Head::new(&self.config.path, node, &self.chain, last))
    }

    pub(super) fn health(&self) -> Health {
        let mut health = Health { path: self.config.path.clone(), fault: None, queued: 0, written: 0, lost: 0 };
        match &self.lane {
            Lane::Discard => {}
            Lane::Broken(cause) => health.fault = Some(cause.clone()),
            Lane::Thread(shared) => {
                health.queued = shared.queued();
                (health.written, health.lost) = shared.counts();
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

#[cfg(test)]
impl Device {
    /// A device whose thread never comes back from its file.
    pub(super) fn hanging(path: &str) -> Self {
        let config = super::config::tests::config(path, &[("file_path", "discard")]);
        let format = config.plan(&super::config::Rules::default()).map(|plan| Format::new(&config, &plan)).ok();
        let lane = Lane::Thread(Shared::new(&config.path));
        Self { config, target: None, format, lane, chain: String::new() }
    }
}

fn lane(config: &DeviceConfig, plan: Plan, start: Start) -> Lane {
    if plan.target == Target::Discard {
        return Lane::Discard;
    }
    let shared = Shared::new(&config.path);
    let desk = Desk::new(Arc::clone(&shared), plan, start);
    match std::thread::Builder::new().name("audit".into()).spawn(move || desk.run()) {
        Ok(_) => Lane::Thread(shared),
        Err(error) => Lane::Broken(format!("the audit device's thread cannot be started: {error}")),
    }
}

//! One child process: started once everything is rendered, restarted when something changed, its end is the agent's end.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::Child;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::config::Exec;
use super::pace::{Backoff, Due, share, sleep_until};
use super::process::{self, Children, exit_code};
use super::render::Progress;
use crate::base::{Clock, Rng};

/// The longest wait between two attempts to start a child.
const START_WAIT_MAX: Duration = Duration::from_secs(30);

/// The signals that the agent listens to.
pub(super) struct Signals {
    hangup: unix::Signal,
    interrupt: unix::Signal,
    terminate: unix::Signal,
    child: unix::Signal,
    /// In tests, signals come from here, since those of the process belong to all tests.
    #[cfg(test)]
    pub(super) given: Option<tokio::sync::mpsc::UnboundedReceiver<Signal>>,
}

impl Signals {
    /// Takes over the signals; from now on they do not end the process.
    pub(super) fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: unix::signal(SignalKind::hangup())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            child: unix::signal(SignalKind::child())?,
            #[cfg(test)]
            given: None,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self, children: &Children) -> Signal {
        #[cfg(test)]
        if let Some(given) = &mut self.given {
            match given.recv().await {
                Some(signal) => return signal,
                None => std::future::pending().await,
            }
        }
        loop {
            tokio::select! {
                _ = self.hangup.recv() => return Signal::HUP,
                _ = self.interrupt.recv() => return Signal::INT,
                _ = self.terminate.recv() => return Signal::TERM,
                _ = self.child.recv() => children.reap_orphans(),
            }
        }
    }
}

/// A running child.
struct Running {
    child: Child,
    pid: Option<Pid>,
    revision: u64,
}

/// Runs the child until it ends (a hang-up is for both, child and agent), or until `work`, which renders for it, ends with an error. Gives the exit code.
pub(super) async fn supervise(
    exec: &Exec,
    mut progress: watch::Receiver<Progress>,
    signals: &mut Signals,
    work: impl Future<Output = Result<(), String>>,
    (children, hangup): (&Children, &(dyn Fn() + Sync)),
    clock: &Arc<dyn Clock>,
    rng: &Arc<dyn Rng>,
) -> u8 {
    tokio::pin!(work);
    let mut running: Option<Running> = None;
    let mut backoff = Backoff::new(Duration::from_secs(1), START_WAIT_MAX);
    // The agent was told to end: the child's end is awaited until then.
    let mut ending: Option<Due> = None;
    // Something has changed: the child hears of it then.
    let mut changing: Option<Due> = None;
    loop {
        let now = progress.borrow_and_update().clone();
        if ending.is_none() {
            let outdated = running.as_ref().is_some_and(|running| running.revision != now.revision);
            if outdated && exec.restart && changing.is_none() {
                changing = Some(Due::after(&**clock, share(exec.splay, 0, 1000, &**rng)));
            }
            if changing.is_some_and(|due| due.has_come(&**clock)) {
                changing = None;
                running = match (running.take(), exec.reload_signal) {
                    (Some(old), Some(signal)) => {
                        info!("what was rendered has changed; the child is told to read it");
                        process::signal(old.pid, signal);
                        Some(Running { revision: now.revision, ..old })
                    }
                    (Some(old), None) => {
                        info!("what was rendered has changed; the child is restarted");
                        stop(old, exec, children, clock).await;
                        None
                    }
                    (None, _) => None,
                };
            }
            if running.is_none() && now.complete {
                running = start(exec, &now, children);
                if running.is_none() {
                    let wait = backoff.next(&**rng);
                    clock.sleep(wait).await;
                    if backoff.failures() > 3 {
                        return 127;
                    }
                    continue;
                }
                backoff.reset();
            }
        }
        let pid = running.as_ref().and_then(|running| running.pid);
        let end = async {
            match &mut running {
                Some(running) => running.child.wait().await,
                None => std::future::pending().await,
            }
        };
        let until = async |due: Option<Due>| match due {
            Some(due) => sleep_until(due, &**clock).await,
            None => std::future::pending().await,
        };
        tokio::select! {
            status = end => {
                children.ended(pid);
                return status.map_or(1, exit_code);
            }
            signal = signals.next(children) => {
                if pid.is_none() && signal != Signal::HUP {
                    return 0;
                }
                process::signal(pid, signal);
                if signal == Signal::HUP {
                    hangup();
                } else {
                    ending = ending.or(Some(Due::after(&**clock, exec.stop_time)));
                }
            }
            () = until(changing), if ending.is_none() => {}
            () = until(ending) => {
                warn!("the child does not stop and is killed");
                process::signal(pid, Signal::KILL);
                ending = Some(Due::after(&**clock, exec.stop_time));
            }
            ended = &mut work => {
                if let Err(text) = ended {
                    error!(error = %text, "the agent ends");
                }
                if let Some(old) = running.take() {
                    stop(old, exec, children, clock).await;
                }
                return 1;
            }
            _ = progress.changed() => {}
        }
    }
}

fn start(exec: &Exec, progress: &Progress, children: &Children) -> Option<Running> {
    let rendered = progress.variables.iter();
    let mut variables = exec.variables.of(std::env::vars_os());
    variables.extend(rendered.map(|(name, value)| (OsString::from(name), OsString::from_vec(value.clone()))));
    match children.spawn(&exec.words, Some(variables), std::process::Stdio::inherit()) {
        Ok((child, pid)) => {
            info!(pid = child.id(), "the child is started");
            Some(Running { child, pid, revision: progress.revision })
        }
        Err(error) => {
            error!(%error, "the child could not be started");
            None
        }
    }
}

async fn stop(mut old: Running, exec: &Exec, children: &Children, clock: &Arc<dyn Clock>) {
    process::signal(old.pid, exec.stop_signal);
    let due = Due::after(&**clock, exec.stop_time);
    let ended = tokio::select! {
        _ = old.child.wait() => true,
        () = sleep_until(due, &**clock) => false,
    };
    if !ended {
        warn!("the child does not stop and is killed");
        process::signal(old.pid, Signal::KILL);
        let _ = old.child.wait().await;
    }
    children.ended(old.pid);
}

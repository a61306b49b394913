//! Child processes: the commands of templates, and who else must be waited for when the agent is process 1.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};
use tokio::process::Child;
use tracing::{info, warn};

use super::config::Command;
use super::pace::{Due, sleep_until};
use crate::base::Clock;

/// The children that have an owner here, who waits for them.
#[derive(Clone, Default)]
pub(super) struct Children(Arc<Mutex<BTreeSet<i32>>>);

impl Children {
    /// Starts a program in a process group of its own, so that a signal to the agent's group does not reach it twice. Without
    /// variables it has ours.
    pub(super) fn spawn(
        &self,
        words: &[String],
        variables: Option<Vec<(OsString, OsString)>>,
        stdin: Stdio,
    ) -> std::io::Result<(Child, Option<Pid>)> {
        let (program, arguments) = words.split_first().ok_or_else(|| std::io::Error::other("no program"))?;
        let mut command = tokio::process::Command::new(program);
        if let Some(variables) = variables {
            command.env_clear().envs(variables);
        }
        let child = command.args(arguments).stdin(stdin).process_group(0).kill_on_drop(true).spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            self.known().insert(pid.as_raw_nonzero().get());
        }
        Ok((child, pid))
    }

    /// Its owner has seen the end of a child.
    pub(super) fn ended(&self, pid: Option<Pid>) {
        if let Some(pid) = pid {
            self.known().remove(&pid.as_raw_nonzero().get());
        }
    }

    /// Waits for ended processes that have no owner. Only process 1 inherits such.
    pub(super) fn reap_orphans(&self) {
        if std::process::id() != 1 {
            return;
        }
        let children = std::fs::read_to_string("/proc/self/task/1/children").unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            if !self.known().contains(&pid) {
                let _ = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeSet<i32>> {
        // A set of numbers is whole at any moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a signal to a child and what it has started.
pub(super) fn signal(pid: Option<Pid>, signal: Signal) {
    if let Some(pid) = pid {
        let _ = kill_process_group(pid, signal);
    }
}

/// Runs a template's command to its end, or kills it when its time is up.
pub(super) async fn run_command(command: Command, children: Children, clock: Arc<dyn Clock>) {
    let program = command.words.first().map_or("", String::as_str).to_owned();
    let (mut child, pid) = match children.spawn(&command.words, None, Stdio::null()) {
        Ok(started) => started,
        Err(error) => return warn!(program, %error, "the command could not be started"),
    };
    let due = Due::after(&*clock, command.timeout);
    let ended = tokio::select! {
        ended = child.wait() => ended,
        () = sleep_until(due, &*clock) => {
            warn!(program, timeout_seconds = command.timeout.as_secs(), "the command took too long and is killed");
            signal(pid, Signal::KILL);
            child.wait().await
        }
    };
    children.ended(pid);
    match ended {
        Ok(status) if status.success() => info!(program, "the command succeeded"),
        Ok(status) => warn!(program, code = exit_code(status), "the command failed"),
        Err(error) => warn!(program, %error, "the command's end was not seen"),
    }
}

/// A process's exit code as a shell counts it: 128 and the number of the signal that ended it.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}

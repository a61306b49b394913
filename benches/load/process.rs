//! Processes that are started, looked at, and always ended.
//!
//! Each leaves a file with its pid as name in a folder while it lives: whatever happens to the bench, the script ends those
//! that are left.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// How long a process has to end by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running process of ours.
pub struct Child {
    child: std::process::Child,
    mark: PathBuf,
}

/// What a process holds in memory, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// `VmRSS`.
    pub resident: u64,
    /// `RssAnon`.
    pub anonymous: u64,
    /// `VmHWM`: the most that was ever resident.
    pub peak: u64,
}

impl Child {
    /// Starts it, with its mark below `folder`.
    pub fn start(mut command: Command, folder: &Path) -> Result<Self> {
        let marks = folder.join("pids");
        std::fs::create_dir_all(&marks)?;
        let child = command.spawn().map_err(|cause| format!("{:?}: {cause}", command.get_program()))?;
        let mark = marks.join(child.id().to_string());
        let child = Self { child, mark };
        std::fs::write(&child.mark, "")?;
        Ok(child)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The other end of its standard output, if that is a pipe.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Fails if it ended already.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("a process ended too early: {status}").into()),
        }
    }

    pub fn memory(&self) -> Result<Memory> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let field = |name: &str| -> Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such field in status")?;
            Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?)
        };
        Ok(Memory { resident: field("VmRSS:")?, anonymous: field("RssAnon:")?, peak: field("VmHWM:")? })
    }

    /// Asks it to end, and waits.
    pub fn stop(self) -> Result<()> {
        if let Some(pid) = Pid::from_raw(i32::try_from(self.pid())?) {
            kill_process(pid, Signal::TERM)?;
        }
        self.wait()
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err("a process does not end".into())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only when it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.mark);
    }
}

/// The processor time that a process has used, its own and the kernel's for it.
pub fn cpu(pid: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold anything; after it come the state and numbers, utime and stime as 12th and 13th.
    let after = text.rsplit_once(')').ok_or("stat is unreadable")?.1;
    let mut fields = after.split_ascii_whitespace().skip(11);
    let mut ticks = || -> Result<u64> { Ok(fields.next().ok_or("stat is too short")?.parse()?) };
    let ticks = ticks()? + ticks()?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

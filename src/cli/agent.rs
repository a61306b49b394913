//! `warifu agent`: reads the configuration and hands it to the agent.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use super::face::{self, complain};
use crate::agent::{self, Surroundings};
use crate::base::footprint;
use crate::base::time::SystemClock;
use crate::crypto::SystemRng;
use crate::telemetry::{Format, Level, Log};

/// Log in, render templates, keep them fresh, and supervise a process.
#[derive(Parser, Debug)]
#[command(name = "warifu agent", disable_help_subcommand = true)]
struct Flags {
    /// The configuration file.
    #[arg(long = "config")]
    config: PathBuf,
    /// End once everything is rendered; over the configuration's.
    #[arg(long = "exit-after-auth")]
    exit_after_auth: bool,
    /// The least severe line that is logged.
    #[arg(long = "log-level", env = "VAULT_LOG_LEVEL")]
    log_level: Option<Level>,
    /// How a line of the log looks.
    #[arg(long = "log-format", env = "VAULT_LOG_FORMAT")]
    log_format: Option<Format>,
    /// A file for the log, besides the standard error stream.
    #[arg(long = "log-file", env = "VAULT_LOG_FILE")]
    log_file: Option<PathBuf>,
}

/// Runs an agent until it is told to stop, or its child ends.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let flags: Flags = match face::flags(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let mut config = match agent::load(&flags.config) {
        Ok(config) => config,
        Err(error) => return complain(&error),
    };
    config.exit_after_auth |= flags.exit_after_auth;
    // What is said on the command line goes before the configuration.
    let level = flags.log_level.or(config.log_level).unwrap_or_default();
    let format = flags.log_format.or(config.log_format).unwrap_or_default();
    let started = match flags.log_file.as_ref().or(config.log_file.as_ref()) {
        Some(path) => match OpenOptions::new().append(true).create(true).mode(0o640).open(path) {
            Ok(file) => Log::start_with_file(level, format, file),
            Err(error) => return complain(&format!("{}: {error}", path.display())),
        },
        None => Log::start(level, format),
    };
    if let Err(error) = started {
        return complain(&error.to_string());
    }
    let path = flags.config;
    let reread: agent::Reread = Arc::new(move || agent::load(&path));
    agent::run(config, Surroundings { reread: Some(reread), ..surroundings() })
}

/// The machine's clock, chance and environment.
pub(super) fn surroundings() -> Surroundings {
    Surroundings {
        clock: Arc::new(SystemClock::new()),
        rng: Arc::new(SystemRng::new()),
        environment: Arc::new(|name: &str| std::env::var_os(name)),
        reread: None,
        at_rest: Arc::new(|| {
            footprint::give_back();
            footprint::give_back_code();
        }),
    }
}

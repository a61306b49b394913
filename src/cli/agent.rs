//! `warifu agent`: reads the configuration and hands it to the agent.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use super::face::{self, complain};
use crate::agent::{self, Surroundings};
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
    #[arg(long = "log-level", env = "VAULT_LOG_LEVEL", default_value = "info")]
    log_level: Level,
    /// How a line of the log looks.
    #[arg(long = "log-format", env = "VAULT_LOG_FORMAT", default_value = "standard")]
    log_format: Format,
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
    if let Err(error) = Log::start(flags.log_level, flags.log_format) {
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
    }
}

//! `warifu template`: renders once, or only says what would come out, or only looks for mistakes.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::agent::surroundings;
use super::face::{self, complain};
use crate::agent::{self, Config};
use crate::telemetry::{Format, Level, Log};

/// Render templates once.
#[derive(Parser, Debug)]
#[command(name = "warifu template", disable_help_subcommand = true)]
struct Flags {
    /// A configuration of the agent or of consul-template.
    #[arg(long = "config")]
    config: Option<PathBuf>,
    /// A file: SOURCE:DESTINATION of a template. May be repeated.
    #[arg(long = "template")]
    template: Vec<String>,
    /// Print what would be written, and write nothing.
    #[arg(long = "dry")]
    dry: bool,
    /// Only read the configuration and the templates; ask no server.
    #[arg(long = "check")]
    check: bool,
    /// As consul-template's; rendering once is all that this command does.
    #[arg(long = "once")]
    once: bool,
    /// The least severe line that is logged.
    #[arg(long = "log-level", env = "VAULT_LOG_LEVEL", default_value = "warn")]
    log_level: Level,
}

/// Renders once. A template that fails makes the exit code 1.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let flags: Flags = match face::flags(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let _ = flags.once;
    let config = match &flags.config {
        Some(path) => agent::load_for_once(path),
        None => Ok(Config::bare()),
    };
    let mut config = match config {
        Ok(config) => config,
        Err(error) => return complain(&error),
    };
    for pair in &flags.template {
        let Some((source, destination)) = pair.split_once(':') else {
            return complain("-template must be of the form SOURCE:DESTINATION");
        };
        config.add_file(source.into(), destination.into());
    }
    if flags.check {
        let wrong = agent::check(&config);
        for error in &wrong {
            let _ = writeln!(std::io::stderr(), "Error: {error}");
        }
        return if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if let Err(error) = Log::start(flags.log_level, Format::Standard) {
        return complain(&error.to_string());
    }
    if flags.dry {
        config.print_only();
    }
    match agent::once(config, surroundings()) {
        Ok(rendered) if flags.dry => {
            let mut out = std::io::stdout().lock();
            for (name, content) in rendered {
                let written =
                    writeln!(out, "> {name}").and_then(|()| out.write_all(&content)).and_then(|()| writeln!(out));
                if written.is_err() {
                    return ExitCode::FAILURE;
                }
            }
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

//! `warifu run`: gets secrets into variables and files, then becomes a program, or stays beside it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::agent::surroundings;
use super::face::{self, complain};
use crate::agent::{self, Config};
use crate::telemetry::{Format, Level, Log};

/// Run a program with secrets in its environment or in files. Without -supervise this process becomes the program;
/// with it, the program is restarted when a secret changes, signals are passed on, and orphans are reaped.
#[derive(Parser, Debug)]
#[command(name = "warifu run", disable_help_subcommand = true)]
struct Flags {
    /// A configuration of the agent, for its login, its templates, its variables.
    #[arg(long = "config")]
    config: Option<PathBuf>,
    /// A variable: NAME=PATH#FIELD of a secret. May be repeated.
    #[arg(long = "env")]
    env: Vec<String>,
    /// A file: SOURCE:DESTINATION of a template. May be repeated.
    #[arg(long = "template")]
    template: Vec<String>,
    /// Stay, and keep the secrets fresh.
    #[arg(long = "supervise")]
    supervise: bool,
    /// Do not restart the program when a secret changes.
    #[arg(long = "no-restart")]
    no_restart: bool,
    /// The least severe line that is logged.
    #[arg(long = "log-level", env = "VAULT_LOG_LEVEL", default_value = "warn")]
    log_level: Level,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

/// Runs a program. Gives its exit code when it was supervised.
pub fn main(mut args: Vec<OsString>) -> ExitCode {
    // What comes after `--` is the program's, whatever it looks like.
    let at = args.iter().position(|word| word == OsStr::new("--"));
    let program: Vec<OsString> = at.map(|at| args.split_off(at).split_off(1)).unwrap_or_default();
    if at.is_some() {
        args.extend(program.first().cloned());
    }
    let mut flags: Flags = match face::flags(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if at.is_some() {
        flags.program = program;
    }
    if let Err(error) = Log::start(flags.log_level, Format::Standard) {
        return complain(&error.to_string());
    }
    let mut config = match config(&flags) {
        Ok(config) => config,
        Err(error) => return complain(&error),
    };
    if flags.supervise {
        let words: Result<Vec<String>, OsString> = flags.program.into_iter().map(OsString::into_string).collect();
        let Ok(words) = words else { return complain("with -supervise, the program and its arguments must be UTF-8") };
        config.supervise(words, !flags.no_restart);
        return agent::run(config, surroundings());
    }
    let variables = match agent::once(config, surroundings()) {
        Ok(variables) => variables,
        Err(error) => return complain(&error),
    };
    let Some((name, rest)) = flags.program.split_first() else { return complain("no program is given") };
    let variables = variables.into_iter().map(|(name, value)| (name, OsString::from_vec(value)));
    // On success this does not return.
    let error = std::process::Command::new(name).args(rest).envs(variables).exec();
    complain(&format!("{}: {error}", name.display()))
}

fn config(flags: &Flags) -> Result<Config, String> {
    let mut config = match &flags.config {
        Some(path) => agent::load_for_once(path)?,
        None => Config::bare(),
    };
    for pair in &flags.env {
        let parts = pair.split_once('=').and_then(|(name, rest)| Some((name, rest.rsplit_once('#')?)));
        let (name, (path, field)) = parts.ok_or("-env must be of the form NAME=PATH#FIELD")?;
        config.add_variable(name, path, field)?;
    }
    for pair in &flags.template {
        let (source, destination) = pair.split_once(':').ok_or("-template must be of the form SOURCE:DESTINATION")?;
        config.add_file(source.into(), destination.into());
    }
    Ok(config)
}

//! What the long-running commands share: their flags after their name, and a complaint with its exit code.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use super::argv;

/// Reads the flags of `PROGRAM COMMAND FLAG…`; what is to be told instead is told, and its exit code given.
pub(super) fn flags<T: Parser>(mut args: Vec<OsString>) -> Result<T, ExitCode> {
    args.remove(1);
    argv::parse(args).map_err(|told| {
        let text = told.text.trim_end();
        // Nobody is left to tell when this fails.
        let _ = match told.code {
            0 => writeln!(std::io::stdout(), "{text}"),
            _ => writeln!(std::io::stderr(), "{text}"),
        };
        ExitCode::from(told.code)
    })
}

/// Says what is wrong; the exit code for it.
pub(super) fn complain(error: &str) -> ExitCode {
    // Nobody is left to tell when this fails.
    let _ = writeln!(std::io::stderr(), "Error: {error}");
    ExitCode::FAILURE
}

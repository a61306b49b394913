//! The load behind `scripts/bench`: a client that costs little, the physical limits, and the run that puts them side by side.
//!
//! `load run` is the whole run. The other words are processes of their own which it starts, so that a limit has its own
//! memory and can be slowed alone.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

mod agent;
mod audit;
mod client;
mod crowd;
mod drive;
mod ends;
mod fleet;
mod limits;
mod logins;
mod options;
mod pki;
mod pki_scale;
mod plant;
mod process;
mod report;
mod rounds;
mod scale;
mod server;
mod setup;
mod side;
mod template;

use std::process::ExitCode;

/// Every failure ends the run with its text.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["axum", body] => limits::axum(body),
        ["commits", folder, seconds] => limits::commits(folder, seconds),
        ["run", rest @ ..] => options::Options::parse(rest).and_then(|options| rounds::run(&options)),
        _ => {
            eprintln!("this is started by scripts/bench");
            return ExitCode::SUCCESS;
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

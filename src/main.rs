//! The one binary; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    warifu::cli::main(std::env::args_os())
}

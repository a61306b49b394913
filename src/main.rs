//! The one binary; everything it does is in the library.

use std::process::ExitCode;

use warifu::base::footprint::keep_small;
use warifu::base::wipe::Wiping;

/// Memory is wiped when it is given back: what held a secret holds nothing afterwards.
#[global_allocator]
static ALLOCATOR: Wiping = Wiping::system();

fn main() -> ExitCode {
    keep_small();
    warifu::cli::main(std::env::args_os())
}

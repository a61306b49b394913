//! All that the server logs while the tests run, so that a story can look for what must not be there.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static START: Once = Once::new();

/// Begins to keep what is logged, at every level.
pub fn keep() {
    START.call_once(|| {
        let log = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| Lines)
            .finish();
        tracing::subscriber::set_global_default(log).unwrap();
    });
}

/// What was logged so far, by all tests of this process.
pub fn text() -> String {
    String::from_utf8_lossy(&LINES.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// Named for the trait bound of `with_writer`: a closure that makes a writer is one.
const _: fn() = || {
    fn check<T: for<'a> MakeWriter<'a>>(_: T) {}
    check(|| Lines);
};

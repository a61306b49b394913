//! All that the server logs while the tests run, so that a story can look for what must not be there, or follow it.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};
use warifu::telemetry::{Followers, follow};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static FOLLOWERS: OnceLock<Arc<Followers>> = OnceLock::new();

/// Begins to keep what is logged, at every level. Who follows it can be told to a server.
pub fn keep() -> Arc<Followers> {
    let start = || {
        let (followers, mut parts) = follow::parts();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Lines);
        parts.push(lines.with_filter(LevelFilter::TRACE).boxed());
        tracing::subscriber::set_global_default(Registry::default().with(parts)).unwrap();
        followers
    };
    FOLLOWERS.get_or_init(start).clone()
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

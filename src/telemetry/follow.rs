//! Who follows the log as it is written. Each has a queue with a bound: who reads too slowly loses lines and is told how
//! many, and the log waits for nobody.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tracing::Metadata;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{Layer, Registry, reload};

use super::log::{self, Format, Level};
use crate::base::limits;

/// A part of a subscriber.
pub type Part = Box<dyn Layer<Registry> + Send + Sync>;

/// Those who follow, in either format. A format that nobody follows costs nothing.
pub struct Followers {
    formats: [Desk; 2],
    ids: AtomicU64,
    /// One at a time changes how much is handed out: else an older wish could come into force last.
    turn: Mutex<()>,
}

struct Desk {
    format: Format,
    seats: Seats,
    filter: reload::Handle<Targets, Registry>,
}

#[derive(Clone, Default)]
struct Seats(Arc<Mutex<Vec<Seat>>>);

struct Seat {
    id: u64,
    level: LevelFilter,
    lines: mpsc::Sender<Piece>,
    lost: u64,
}

/// A line, and how many were lost before it.
struct Piece {
    lost: u64,
    line: Arc<[u8]>,
}

/// One who follows; dropped, it is forgotten.
pub struct Follower {
    id: u64,
    format: Format,
    lines: mpsc::Receiver<Piece>,
    followers: Arc<Followers>,
}

/// The followers, of whom there is none yet, and the parts of a subscriber that hand them their lines.
pub fn parts() -> (Arc<Followers>, Vec<Part>) {
    let mut parts = Vec::new();
    let formats = [Format::Standard, Format::Json].map(|format| {
        let (filter, handle) = reload::Layer::new(targets(LevelFilter::OFF));
        let seats = Seats::default();
        parts.push(log::lines(format, seats.clone()).with_filter(filter).boxed());
        Desk { format, seats, filter: handle }
    });
    (Arc::new(Followers { formats, ids: AtomicU64::new(0), turn: Mutex::default() }), parts)
}

/// Of the libraries only what is wrong, at whatever level: what they say of sending a line would be the next line.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_target("warifu", level).with_default(level.min(LevelFilter::ERROR))
}

impl Followers {
    /// Follows the log from now on, at this level whatever the log's own is.
    pub fn follow(self: &Arc<Self>, level: Level, format: Format) -> Follower {
        let (sender, lines) = mpsc::channel(limits::LOG_LINES);
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        self.change(format, |seats| seats.push(Seat { id, level: log::filter(level), lines: sender, lost: 0 }));
        Follower { id, format, lines, followers: self.clone() }
    }

    fn change(&self, format: Format, change: impl FnOnce(&mut Vec<Seat>)) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(desk) = self.formats.iter().find(|desk| desk.format == format) else { return };
        let mut seats = desk.seats.lock();
        change(&mut seats);
        let level = seats.iter().map(|seat| seat.level).max().unwrap_or(LevelFilter::OFF);
        drop(seats);
        // It fails only when the log is gone, and then there are no lines.
        let _ = desk.filter.reload(targets(level));
    }
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_out(&self, level: tracing::Level, line: &[u8]) {
        let mut whole: Option<Arc<[u8]>> = None;
        for seat in self.lock().iter_mut().filter(|seat| level <= seat.level) {
            match seat.lines.try_reserve() {
                Ok(place) => {
                    let line = whole.get_or_insert_with(|| line.into()).clone();
                    place.send(Piece { lost: std::mem::take(&mut seat.lost), line });
                }
                Err(_) => seat.lost += 1,
            }
        }
    }
}

impl Follower {
    /// The next lines: one of the log, after one that says how many were lost before it, if any were.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        let Piece { lost, line } = self.lines.recv().await?;
        let mut bytes = if lost == 0 { Vec::new() } else { self.loss(lost) };
        bytes.extend_from_slice(&line);
        Some(bytes)
    }

    fn loss(&self, lost: u64) -> Vec<u8> {
        let text = "lines were lost here: they came faster than they were read";
        match self.format {
            Format::Standard => format!("{lost} {text}\n"),
            Format::Json => format!("{}\n", serde_json::json!({"level": "WARN", "message": text, "lost": lost})),
        }
        .into_bytes()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.followers.change(self.format, |seats| seats.retain(|seat| seat.id != self.id));
    }
}

/// Where one event is written to: the formatter writes it in one piece.
struct Line<'a> {
    seats: &'a Seats,
    level: tracing::Level,
}

impl io::Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.seats.hand_out(self.level, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Seats {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { seats: self, level: tracing::Level::ERROR }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Line<'a> {
        Line { seats: self, level: *of.level() }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn logging(act: impl FnOnce(&Arc<Followers>)) {
        let (followers, parts) = parts();
        tracing::subscriber::with_default(Registry::default().with(parts), || act(&followers));
    }

    /// All that waits.
    fn read(follower: &mut Follower) -> String {
        let mut text = Vec::new();
        while let Some(Some(piece)) = follower.next().now_or_never() {
            text.extend(piece);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn who_reads_too_slowly_loses_lines_and_is_told_how_many() {
        logging(|followers| {
            let mut slow = followers.follow(Level::Info, Format::Standard);
            for n in 0..limits::LOG_LINES + 7 {
                tracing::info!("line <{n}>");
            }
            let text = read(&mut slow);
            assert_eq!(text.lines().count(), limits::LOG_LINES, "{text}");
            assert!(!text.contains("lost"), "what was lost is told where it was: {text}");
            tracing::info!("the next");
            let text = read(&mut slow);
            assert!(text.starts_with("7 lines were lost here") && text.contains("the next"), "{text}");
            tracing::info!("one more");
            assert!(!read(&mut slow).contains("lost"));
        });
    }

    #[test]
    fn each_gets_its_own_level_and_format_and_nothing_of_before_or_of_the_libraries() {
        logging(|followers| {
            tracing::error!("before");
            let mut errors = followers.follow(Level::Error, Format::Standard);
            let mut all = followers.follow(Level::Trace, Format::Json);
            tracing::error!("broken");
            tracing::trace!("detail");
            tracing::debug!(target: "h2::codec", "a frame was sent");
            let (errors, all) = (read(&mut errors), read(&mut all));
            assert!(errors.contains("broken") && errors.lines().count() == 1, "{errors}");
            let messages: Vec<serde_json::Value> = all.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            assert_eq!(
                messages.iter().map(|m| m["message"].as_str().unwrap()).collect::<Vec<_>>(),
                ["broken", "detail"]
            );
        });
    }

    #[test]
    fn nothing_is_formatted_when_nobody_follows_any_more() {
        logging(|followers| {
            let formats = |level| {
                let filter = &followers.formats[0].filter;
                filter.with_current(|targets| targets.would_enable("warifu::vault", &level)).unwrap()
            };
            drop(followers.follow(Level::Trace, Format::Standard));
            assert!(!formats(tracing::Level::ERROR));
            let _one = followers.follow(Level::Warn, Format::Standard);
            assert!(formats(tracing::Level::WARN) && !formats(tracing::Level::INFO));
        });
    }
}

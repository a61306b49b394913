//! The log: lines on the standard error stream, for people or as JSON.
//!
//! Nothing secret is logged anywhere; what is filtered here is only how much.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::follow::{self, Followers, Part};

/// Least severe line that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Everything, the HTTP library's doings included.
    Trace,
    /// What a developer asks.
    Debug,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What an operator should look at.
    Warn,
    /// What is broken.
    Error,
    /// Nothing.
    Off,
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Ok(match text.trim().to_ascii_lowercase().as_str() {
            "trace" => Self::Trace,
            "debug" => Self::Debug,
            "" | "info" | "notice" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "err" | "error" => Self::Error,
            "off" => Self::Off,
            _ => return Err(UnknownLevel),
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Off => "off",
        })
    }
}

/// A level that is not one of trace, debug, info, warn, error, off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log level must be trace, debug, info, warn, error or off")]
pub struct UnknownLevel;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Standard,
    /// One JSON object a line.
    Json,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "standard" => Ok(Self::Standard),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

/// A format that is not one of standard, json.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log format must be standard or json")]
pub struct UnknownFormat;

/// The hold on a running log: its level can be changed, on SIGHUP for example.
pub struct Log {
    filter: reload::Handle<Targets, Registry>,
    levels: Mutex<Levels>,
    followers: Arc<Followers>,
}

/// The parts whose levels can be set one by one: layers of the server.
pub const LOGGERS: [&str; 18] = [
    "api", "agent", "audit", "auth", "barrier", "cli", "identity", "lease", "mount", "node", "policy", "quota", "seal",
    "secrets", "storage", "system", "token", "vault",
];

#[derive(Clone, Debug)]
struct Levels {
    all: Level,
    own: BTreeMap<String, Level>,
}

impl Log {
    /// Begins to log to the standard error stream, for the whole process.
    ///
    /// # Errors
    /// When the process logs already.
    pub fn start(level: Level, format: Format) -> Result<Self, tracing::subscriber::SetGlobalDefaultError> {
        let (subscriber, log) = subscriber(level, format, std::io::stderr);
        tracing::subscriber::set_global_default(subscriber)?;
        Ok(log)
    }

    /// Begins to log to the standard error stream and to a file.
    ///
    /// # Errors
    /// When the process logs already.
    pub fn start_with_file(
        level: Level,
        format: Format,
        file: File,
    ) -> Result<Self, tracing::subscriber::SetGlobalDefaultError> {
        let (subscriber, log) = subscriber(level, format, std::io::stderr.and(Arc::new(file)));
        tracing::subscriber::set_global_default(subscriber)?;
        Ok(log)
    }

    /// Who follows it as it is written.
    pub const fn followers(&self) -> &Arc<Followers> {
        &self.followers
    }

    /// Logs as much as this from now on.
    pub fn set_level(&self, level: Level) {
        self.change(|levels| *levels = Levels { all: level, own: BTreeMap::new() });
    }

    /// Logs as much as this of one part from now on; `None`: as much as of all others.
    pub fn set_logger(&self, name: &str, level: Option<Level>) {
        self.change(|levels| {
            match level {
                Some(level) => levels.own.insert(name.to_owned(), level),
                None => levels.own.remove(name),
            };
        });
    }

    /// How much is logged of each part.
    pub fn levels(&self) -> Vec<(&'static str, Level)> {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        LOGGERS.iter().map(|name| (*name, levels.own.get(*name).copied().unwrap_or(levels.all))).collect()
    }

    fn change(&self, change: impl FnOnce(&mut Levels)) {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut levels);
        let own = levels.own.iter().map(|(name, level)| (format!("warifu::{name}"), filter(*level)));
        // It fails only when the log is gone, and then nobody misses the line.
        let _ = self.filter.reload(targets(levels.all).with_targets(own));
    }
}

/// A subscriber of its own, for [`Log::start`] and for tests.
fn subscriber<W>(level: Level, format: Format, to: W) -> (impl tracing::Subscriber + Send + Sync, Log)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(targets(level));
    let (followers, mut parts) = follow::parts();
    parts.push(lines(format, to).with_filter(filter).boxed());
    let levels = Mutex::new(Levels { all: level, own: BTreeMap::new() });
    (Registry::default().with(parts), Log { filter: handle, levels, followers })
}

/// What makes lines of events.
pub(super) fn lines<W>(format: Format, to: W) -> Part
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(to);
    match format {
        Format::Standard => lines.with_ansi(false).with_target(false).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    }
}

/// Ours at the level that was asked for; of the libraries only what is wrong, unless everything was asked for.
fn targets(level: Level) -> Targets {
    let ours = filter(level);
    let others = if level == Level::Trace { LevelFilter::DEBUG } else { ours.min(LevelFilter::ERROR) };
    Targets::new().with_target("warifu", ours).with_default(others)
}

pub(super) const fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
        Level::Off => LevelFilter::OFF,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: Level, format: Format, act: impl FnOnce(&Log)) -> String {
        let sink = Sink::default();
        let to = sink.clone();
        let (subscriber, log) = subscriber(level, format, move || to.clone());
        tracing::subscriber::with_default(subscriber, || act(&log));
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_unknown_level_or_format_is_refused() {
        assert_eq!("loud".parse::<Level>(), Err(UnknownLevel));
        assert_eq!("xml".parse::<Format>(), Err(UnknownFormat));
    }

    #[test]
    fn what_is_below_the_level_is_not_logged_until_the_level_changes() {
        let lines = logged(Level::Warn, Format::Standard, |log| {
            tracing::info!("one");
            tracing::warn!("two");
            log.set_level(Level::Info);
            tracing::info!("three");
            log.set_level(Level::Off);
            tracing::error!("four");
        });
        assert!(!lines.contains("one") && lines.contains("two"), "{lines}");
        assert!(lines.contains("three") && !lines.contains("four"), "{lines}");
    }

    #[test]
    fn one_part_can_say_more_than_the_others() {
        let lines = logged(Level::Warn, Format::Standard, |log| {
            log.set_logger("audit", Some(Level::Debug));
            tracing::debug!(target: "warifu::audit::file", "one");
            tracing::debug!(target: "warifu::vault", "two");
            assert!(log.levels().contains(&("audit", Level::Debug)) && log.levels().contains(&("vault", Level::Warn)));
            log.set_logger("audit", None);
            tracing::debug!(target: "warifu::audit::file", "three");
        });
        assert!(lines.contains("one") && !lines.contains("two") && !lines.contains("three"), "{lines}");
    }

    #[test]
    fn libraries_speak_only_of_errors() {
        let lines = logged(Level::Info, Format::Standard, |_| {
            tracing::warn!(target: "hyper::proto", "chatter");
            tracing::error!(target: "hyper::proto", "broken");
        });
        assert!(!lines.contains("chatter") && lines.contains("broken"), "{lines}");
    }

    #[test]
    fn a_json_line_is_one_object_even_with_a_line_break_in_a_field() {
        let lines = logged(Level::Info, Format::Json, |_| tracing::info!(mount = "a\nb", "mount enabled"));
        assert_eq!(lines.lines().count(), 1, "{lines}");
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!((&line["message"], &line["mount"]), (&"mount enabled".into(), &"a\nb".into()));
        assert_eq!(line["level"], "INFO");
    }
}

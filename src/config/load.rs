//! Files and folders to one configuration: reading, merging, and the checks that need the whole.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::ignored::{self, Ignored};
use super::{Config, ListenerConfig, listener, seal, stanza};
use crate::base::Ttl;
use crate::hcl::{self, Attr, Body, Span};

/// Most files of one folder: more is the wrong folder.
const FILES_MAX: usize = 256;

/// Keys at the top of a file that have an effect.
const KEYS: &[&str] = &[
    "storage",
    "backend",
    "listener",
    "seal",
    "initialize",
    "api_addr",
    "cluster_addr",
    "cluster_name",
    "default_lease_ttl",
    "max_lease_ttl",
    "default_max_request_duration",
    "log_level",
    "log_format",
    "pid_file",
    "disable_mlock",
    "ui",
    "enable_ui",
    "raw_storage_endpoint",
    "introspection_endpoint",
    "audit_directory",
    "unsafe_allow_api_audit_creation",
    "disable_unauthed_rekey_endpoints",
    "disable_unauthed_generate_root_endpoints",
    "telemetry",
    "user_lockout",
    "audit",
];

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that cannot be read.
    #[error("{}: cannot be read: {cause}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A folder that is no configuration.
    #[error("{}: {message}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Something in a file, with its place.
    #[error(transparent)]
    Document(#[from] hcl::Error),
}

/// Something without effect, with its place: `FILE:LINE:COL: "KEY" …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(hcl::Error);

impl Warning {
    pub(super) fn new(error: hcl::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(super) fn load(paths: &[&Path], base: Config) -> Result<(Config, Vec<Warning>), Error> {
    let mut bodies = Vec::new();
    for path in paths {
        for file in files(path)? {
            let text = text(&file)?;
            bodies.push(hcl::parse(&file.display().to_string(), text)?);
        }
    }
    merge(&bodies, base)
}

/// Applies documents in order.
pub(super) fn merge(bodies: &[Body], mut config: Config) -> Result<(Config, Vec<Warning>), Error> {
    let mut warnings = Vec::new();
    let mut listeners = Vec::new();
    let mut duration = None;
    for body in bodies {
        set(&mut duration, body, "default_max_request_duration", |attr| within(attr, DAY).map(Some))?;
    }
    for body in bodies {
        let mut own = Vec::new();
        apply(&mut config, body, &mut own)?;
        listen(&mut listeners, body, duration.unwrap_or(super::REQUEST_DURATION), &mut own)?;
        own.sort_by_key(|warning: &Warning| warning.0.span());
        warnings.append(&mut own);
    }
    if !listeners.is_empty() {
        config.listeners = listeners.into_iter().map(|placed| placed.listener).collect();
    } else if let Some(duration) = duration {
        config.listeners.iter_mut().for_each(|listener| listener.max_request_duration = duration);
    }
    Ok((config, warnings))
}

/// A listener, and where it was said.
struct Placed {
    file: Arc<str>,
    span: Span,
    listener: ListenerConfig,
}

fn listen(
    listeners: &mut Vec<Placed>,
    body: &Body,
    max_request_duration: Duration,
    warnings: &mut Vec<Warning>,
) -> hcl::Result<()> {
    for block in body.labelled("listener")? {
        let listener = listener::read(&block, max_request_duration, warnings)?;
        if let Some(other) = listeners.iter().find(|other| clash(&other.listener, &listener)) {
            let message =
                format!("there is already a listener at {}, of {}:{}", listener.address, other.file, other.span);
            return Err(body.error(block.span(), message));
        }
        listeners.push(Placed { file: body.file().clone(), span: block.span(), listener });
    }
    Ok(())
}

/// Everything but the listeners.
fn apply(config: &mut Config, body: &Body, warnings: &mut Vec<Warning>) -> hcl::Result<()> {
    only(body, KEYS, ignored::TOP, warnings)?;
    if let Some(storage) = stanza::storage(body, warnings)? {
        config.storage = storage;
    }
    seal::read(&mut config.seal, body, warnings)?;
    set(&mut config.api_addr, body, "api_addr", |attr| url(attr).map(Some))?;
    set(&mut config.cluster_addr, body, "cluster_addr", |attr| url(attr).map(Some))?;
    set(&mut config.cluster_name, body, "cluster_name", |attr| named(attr).map(Some))?;
    set(&mut config.default_lease_ttl, body, "default_lease_ttl", ttl)?;
    set(&mut config.max_lease_ttl, body, "max_lease_ttl", ttl)?;
    if config.default_lease_ttl > config.max_lease_ttl
        && let Some(attr) = [body.attr("default_lease_ttl")?, body.attr("max_lease_ttl")?].into_iter().flatten().next()
    {
        return Err(attr.error("conflicts: default_lease_ttl must not be longer than max_lease_ttl"));
    }
    set(&mut config.log_level, body, "log_level", |attr| parsed(attr, "trace, debug, info, warn, error or off"))?;
    set(&mut config.log_format, body, "log_format", |attr| parsed(attr, "standard or json"))?;
    set(&mut config.pid_file, body, "pid_file", |attr| path(attr).map(Some))?;
    set(&mut config.disable_mlock, body, "disable_mlock", |attr| attr.as_bool())?;
    set(&mut config.ui, body, "enable_ui", |attr| attr.as_bool())?;
    set(&mut config.ui, body, "ui", |attr| attr.as_bool())?;
    set(&mut config.raw_storage_endpoint, body, "raw_storage_endpoint", |attr| attr.as_bool())?;
    set(&mut config.introspection_endpoint, body, "introspection_endpoint", |attr| attr.as_bool())?;
    set(&mut config.audit_directory, body, "audit_directory", |attr| path(attr).map(Some))?;
    let key = "unsafe_allow_api_audit_creation";
    set(&mut config.unsafe_allow_api_audit_creation, body, key, |attr| attr.as_bool())?;
    let key = "disable_unauthed_rekey_endpoints";
    set(&mut config.disable_unauthed_rekey_endpoints, body, key, |attr| attr.as_bool())?;
    let key = "disable_unauthed_generate_root_endpoints";
    set(&mut config.disable_unauthed_generate_root_endpoints, body, key, |attr| attr.as_bool())?;
    stanza::telemetry(&mut config.telemetry, body, warnings)?;
    stanza::user_lockout(&mut config.user_lockout, body)?;
    stanza::audit(&mut config.audit, body)
}

/// Port 0 is whichever is free, so it never clashes.
fn clash(one: &ListenerConfig, other: &ListenerConfig) -> bool {
    one.address == other.address && one.address.port() != 0
}

/// Warns of keys without effect, and fails on those that nobody knows.
pub(super) fn only(body: &Body, keys: &[&str], ignored: &[Ignored], warnings: &mut Vec<Warning>) -> hcl::Result<()> {
    let mut known = keys.to_vec();
    known.extend(ignored.iter().map(|(key, _)| key));
    body.only(&known)?;
    for item in body.items() {
        if let Some((key, why)) = ignored.iter().find(|(key, _)| *key == item.key().text()) {
            warnings.push(Warning(body.error(item.key().span(), format!("\"{key}\" has no effect: {why}"))));
        }
    }
    Ok(())
}

/// Sets `field` if the body has `key`.
pub(super) fn set<'a, T>(
    field: &mut T,
    body: &'a Body,
    key: &str,
    read: impl FnOnce(&Attr<'a>) -> hcl::Result<T>,
) -> hcl::Result<()> {
    if let Some(attr) = body.attr(key)? {
        *field = read(&attr)?;
    }
    Ok(())
}

/// Longest duration of a request or a pause.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// A duration from a millisecond to `max`.
pub(super) fn within(attr: &Attr<'_>, max: Duration) -> hcl::Result<Duration> {
    let duration = attr.as_duration()?;
    if duration < Duration::from_millis(1) || duration > max {
        return Err(attr.error(format_args!("must be longer than 0 and at most {}", Ttl::from_seconds(max.as_secs()))));
    }
    Ok(duration)
}

fn ttl(attr: &Attr<'_>) -> hcl::Result<Ttl> {
    let seconds = attr.as_duration()?.as_secs();
    if seconds == 0 || seconds > 100 * 366 * 86_400 {
        return Err(attr.error("must be at least a second and at most a hundred years"));
    }
    Ok(Ttl::from_seconds(seconds))
}

fn url(attr: &Attr<'_>) -> hcl::Result<String> {
    let text = attr.as_str()?.trim();
    let wrong = || attr.error("must be a URL such as \"https://vault.example.com:8200\"");
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let clean = rest.bytes().all(|b| b.is_ascii_graphic() && !br#""'<>{}\^`"#.contains(&b));
    if !matches!(scheme, "http" | "https") || rest.is_empty() || rest.starts_with(['/', ':', '?', '#']) || !clean {
        return Err(wrong());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A short text without control characters that is not empty.
pub(super) fn named(attr: &Attr<'_>) -> hcl::Result<String> {
    let text = attr.as_str()?;
    if text.is_empty() || text.len() > crate::base::limits::NAME_BYTES || text.chars().any(char::is_control) {
        return Err(attr.error("must be a text of 1 to 512 bytes without control characters"));
    }
    Ok(text.to_owned())
}

/// A file's path.
pub(super) fn path(attr: &Attr<'_>) -> hcl::Result<PathBuf> {
    let text = attr.as_str()?;
    if text.is_empty() || text.contains('\0') {
        return Err(attr.error("must be a path"));
    }
    Ok(PathBuf::from(text))
}

/// Whatever its type reads from text; `wanted` says what that is.
pub(super) fn parsed<T: std::str::FromStr>(attr: &Attr<'_>, wanted: &str) -> hcl::Result<T> {
    attr.as_str()?.parse().map_err(|_| attr.error(format_args!("must be {wanted}")))
}

/// The file itself, or the configuration files of a folder in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |cause| Error::Unreadable { file: path.to_owned(), cause };
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let folder = |message: &str| Error::Folder { folder: path.to_owned(), message: message.to_owned() };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let wanted = matches!(file.extension().and_then(|extension| extension.to_str()), Some("hcl" | "json"));
        // What editors leave behind is not meant.
        let hidden = file.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with(['.', '#']));
        if wanted && !hidden {
            files.push(file);
        }
        if files.len() > FILES_MAX {
            return Err(folder("too many files for a configuration"));
        }
    }
    if files.is_empty() {
        return Err(folder("no *.hcl or *.json file in this folder"));
    }
    files.sort();
    Ok(files)
}

/// A file's bytes, no more than a document may have: a device or a disk image is not read to its end.
fn text(file: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |cause| Error::Unreadable { file: file.to_owned(), cause };
    let mut text = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened.take(hcl::INPUT_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

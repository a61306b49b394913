//! The server's configuration: Vault's files, HCL1 or JSON, checked as a whole before anything starts.
//!
//! A key that Vault or OpenBao know and warifu has no use for is a warning. Any other unknown key is an error: a setting
//! that is silently without effect is worse than a server that does not start.

mod ignored;
mod listener;
mod load;
mod sanitized;
mod seal;
mod stanza;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::{Ttl, limits};
use crate::hcl;
use crate::telemetry::{Format, Level};

pub use listener::{Address, ClientCerts, Forwarded, ListenerConfig, Tls, TlsVersion};
pub use load::{Error, Warning};
pub use seal::{StaticKey, StaticSeal};
pub use stanza::{AuditDevice, Storage, TelemetryConfig, UserLockout};

/// The lease that is given when nobody says how long: 32 days, as Vault's.
pub const LEASE_TTL: Ttl = Ttl::from_seconds(768 * 3600);

/// The whole configuration, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where everything is kept.
    pub storage: Storage,
    /// Where clients are listened to; never empty.
    pub listeners: Vec<ListenerConfig>,
    /// The URL under which clients reach this node.
    pub api_addr: Option<String>,
    /// The URL under which other nodes reach this one; only told, never used.
    pub cluster_addr: Option<String>,
    /// The cluster's name; made up at init when absent.
    pub cluster_name: Option<String>,
    /// Lease where neither mount nor role says one.
    pub default_lease_ttl: Ttl,
    /// Longest lease where the mount does not say one.
    pub max_lease_ttl: Ttl,
    /// Least severe line that is logged.
    pub log_level: Level,
    /// How a line looks.
    pub log_format: Format,
    /// File that is given the process id while the server runs.
    pub pid_file: Option<PathBuf>,
    /// Whether key pages may be swapped.
    pub disable_mlock: bool,
    /// Whether the web page is served.
    pub ui: bool,
    /// Whether `sys/raw` answers.
    pub raw_storage_endpoint: bool,
    /// Whether `sys/internal/inspect` answers.
    pub introspection_endpoint: bool,
    /// Folder in which file audit devices made over the API may write.
    pub audit_directory: Option<PathBuf>,
    /// Whether audit devices made over the API may write anywhere.
    pub unsafe_allow_api_audit_creation: bool,
    /// Whether rekeying needs a token.
    pub disable_unauthed_rekey_endpoints: bool,
    /// Whether generating a root token needs a token.
    pub disable_unauthed_generate_root_endpoints: bool,
    /// Metrics.
    pub telemetry: TelemetryConfig,
    /// When failed logins lock a user out, by kind of auth method (`all` for each).
    pub user_lockout: Vec<UserLockout>,
    /// Audit devices that are always there.
    pub audit: Vec<AuditDevice>,
    /// What opens the store without shares.
    pub seal: Option<StaticSeal>,
}

impl Config {
    /// What holds when no file says anything: a SQLite store at `store`, and one listener on the loopback interface.
    pub fn new(store: impl Into<PathBuf>) -> Self {
        Self {
            storage: Storage::Sqlite { path: store.into() },
            listeners: vec![ListenerConfig::new(Address::loopback())],
            api_addr: None,
            cluster_addr: None,
            cluster_name: None,
            default_lease_ttl: LEASE_TTL,
            max_lease_ttl: LEASE_TTL,
            log_level: Level::Info,
            log_format: Format::Standard,
            pid_file: None,
            disable_mlock: false,
            ui: false,
            raw_storage_endpoint: false,
            introspection_endpoint: false,
            audit_directory: None,
            unsafe_allow_api_audit_creation: false,
            disable_unauthed_rekey_endpoints: true,
            disable_unauthed_generate_root_endpoints: true,
            telemetry: TelemetryConfig::default(),
            user_lockout: Vec::new(),
            audit: Vec::new(),
            seal: None,
        }
    }

    /// A server to try things on: everything in memory, plain HTTP at `listen`, the web page on.
    pub fn dev(listen: SocketAddr) -> Self {
        let listener = ListenerConfig { tls: Tls::Disabled, ..ListenerConfig::new(Address::from(listen)) };
        Self {
            storage: Storage::Memory,
            listeners: vec![listener],
            ui: true,
            disable_mlock: true,
            ..Self::new(PathBuf::new())
        }
    }

    /// Reads one file, or the `*.hcl` and `*.json` of a folder in the order of their names, over the defaults with the
    /// store at `store`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(path: &Path, store: &Path) -> Result<(Self, Vec<Warning>), Error> {
        Self::load(&[path], Self::new(store))
    }

    /// Reads several files or folders in order over `base`. What is said later counts; listeners, lockout rules and audit
    /// devices add up, and the base's listeners stay only when no file names one.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and column. Nothing of an erroneous configuration is returned.
    pub fn load<P: AsRef<Path>>(paths: &[P], base: Self) -> Result<(Self, Vec<Warning>), Error> {
        let paths: Vec<&Path> = paths.iter().map(AsRef::as_ref).collect();
        load::load(&paths, base)
    }

    /// As [`Config::load`] for a server to try things on: its own listener is there beside those of the files.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_dev<P: AsRef<Path>>(paths: &[P], listen: SocketAddr) -> Result<(Self, Vec<Warning>), Error> {
        let base = Self::dev(listen);
        let own = base.listeners.clone();
        let (mut config, warnings) = Self::load(paths, Self { listeners: Vec::new(), ..base })?;
        config.listeners.splice(0..0, own);
        Ok((config, warnings))
    }

    /// Reads one document that is already in memory; `file` is its name in errors.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(file: &str, text: &str, store: &Path) -> Result<(Self, Vec<Warning>), Error> {
        let body = hcl::parse(file, text)?;
        load::merge(&[body], Self::new(store))
    }

    /// The folder in which the store lives, where other files of the server may stand beside it.
    pub fn folder(&self) -> Option<&Path> {
        match &self.storage {
            Storage::Memory => None,
            Storage::Sqlite { path } => match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => Some(folder),
                _ => Some(Path::new(".")),
            },
        }
    }
}

/// Longest time one request may take where the configuration does not say.
const REQUEST_DURATION: Duration = Duration::from_secs(limits::REQUEST_SECONDS);

#[cfg(test)]
mod tests;

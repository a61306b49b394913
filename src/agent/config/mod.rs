//! The agent's configuration, in vault-agent's words: what it says, and how the environment adds to it.

mod read;

use std::path::PathBuf;
use std::time::Duration;

use crate::client::Settings;

/// All of it.
#[derive(Debug)]
pub struct Config {
    /// How to reach the server, as far as the file says.
    pub vault: Vault,
    /// How to get a token, and where to put it.
    pub auto_auth: Option<AutoAuth>,
    /// What to render, files first.
    pub templates: Vec<TemplateConfig>,
    /// The child to run, once everything is rendered.
    pub exec: Option<Exec>,
    /// End after the first token and the first rendering of everything.
    pub exit_after_auth: bool,
    /// Where to write the process id.
    pub pid_file: Option<PathBuf>,
    /// For the door that sets up the log.
    pub log_level: Option<String>,
    /// For the door that sets up the log.
    pub log_format: Option<String>,
    /// End with an error when a fetch has failed for good.
    pub exit_on_retry_failure: bool,
    /// How often secrets without a lease are read again.
    pub static_interval: Duration,
    /// Fetches at once.
    pub connections_max: usize,
}

/// The server.
#[derive(Debug, Default)]
pub struct Vault {
    address: Option<String>,
    namespace: Option<String>,
    ca_cert: Option<PathBuf>,
    ca_path: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    tls_server_name: Option<String>,
    tls_skip_verify: bool,
    /// Tries again after a failure, before it counts; `None` is without end.
    pub retries_max: Option<u32>,
}

/// A login and its sinks.
#[derive(Debug)]
pub struct AutoAuth {
    /// How to log in.
    pub method: Method,
    /// The namespace of the login.
    pub namespace: Option<String>,
    /// The wait after the first failure; it doubles.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// End when a login fails.
    pub exit_on_err: bool,
    /// Where tokens go.
    pub sinks: Vec<Sink>,
}

/// A way to log in.
#[derive(Debug)]
pub enum Method {
    /// With a role id and, unless the role needs none, a secret id.
    AppRole {
        /// Where the method is mounted, such as `auth/approle`.
        mount: String,
        /// Holds the role id.
        role_id: PathBuf,
        /// Holds the secret id or what it is wrapped in.
        secret_id: Option<PathBuf>,
        /// Whether the file of the secret id is removed when read.
        remove: bool,
        /// The secret id is wrapped, and was made at this path.
        wrapping_path: Option<String>,
    },
    /// With a token that lies in a file.
    TokenFile(PathBuf),
}

/// A file that gets the token.
#[derive(Debug)]
pub struct Sink {
    /// Where.
    pub path: PathBuf,
    /// The mode of the file.
    pub mode: u32,
    /// Wrap the token for this long.
    pub wrap_ttl: Option<String>,
}

/// One template.
#[derive(Debug)]
pub struct TemplateConfig {
    /// Where its text comes from.
    pub source: Source,
    /// Where its output goes.
    pub target: Target,
    /// What opens an action, if not `{{`.
    pub left: String,
    /// What closes it, if not `}}`.
    pub right: String,
    /// A missing key is an error.
    pub error_on_missing_key: bool,
    /// What to run when the file changed.
    pub command: Option<Command>,
    /// How long to wait for more changes: at least, at most.
    pub wait: Option<(Duration, Duration)>,
    /// The folder that `file` may read below.
    pub sandbox: Option<PathBuf>,
}

/// The text of a template.
#[derive(Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The text itself, and its place in the configuration.
    Inline(String, String),
}

/// Where output goes.
#[derive(Debug)]
pub enum Target {
    /// To a file.
    File(Destination),
    /// To a variable of the child's environment.
    Variable(String),
}

/// A file to write.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Where.
    pub path: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// Its owner: a name or a number.
    pub user: Option<String>,
    /// Its group: a name or a number.
    pub group: Option<String>,
    /// Make missing folders.
    pub create_folders: bool,
    /// Keep the previous content beside it, as `.bak`.
    pub backup: bool,
}

/// Something to run. Equal ones run once for several changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub words: Vec<String>,
    /// Killed after this.
    pub timeout: Duration,
}

/// The child.
#[derive(Debug)]
pub struct Exec {
    /// Program and arguments.
    pub words: Vec<String>,
    /// Whether it is restarted when something rendered changed.
    pub restart: bool,
    /// What asks it to stop.
    pub stop_signal: rustix::process::Signal,
}

impl Vault {
    /// How to reach the server. The environment, read through `lookup`, goes before the file, as in vault-agent.
    ///
    /// # Errors
    /// A variable is unusable.
    pub fn settings(&self, lookup: impl Fn(&str) -> Option<std::ffi::OsString>) -> crate::client::Result<Settings> {
        // These speak to clients of an agent, not to the agent.
        let foreign = ["AGENT_ADDR", "TOKEN", "WRAP_TTL"];
        let lookup = |name: &str| {
            let bare = name.strip_prefix("VAULT_").or_else(|| name.strip_prefix("BAO_")).unwrap_or(name);
            if foreign.contains(&bare) { None } else { lookup(name) }
        };
        let has = |name: &str| {
            ["VAULT_", "BAO_"].iter().any(|prefix| lookup(&format!("{prefix}{name}")).is_some_and(|v| !v.is_empty()))
        };
        let mut settings = Settings::from_env(lookup)?;
        if let (Some(address), false) = (&self.address, has("ADDR")) {
            settings.address.clone_from(address);
        }
        settings.namespace = settings.namespace.or_else(|| self.namespace.clone());
        settings.ca_cert = settings.ca_cert.or_else(|| self.ca_cert.clone());
        settings.ca_path = settings.ca_path.or_else(|| self.ca_path.clone());
        settings.client_cert = settings.client_cert.or_else(|| self.client_cert.clone());
        settings.client_key = settings.client_key.or_else(|| self.client_key.clone());
        settings.tls_server_name = settings.tls_server_name.or_else(|| self.tls_server_name.clone());
        if !has("SKIP_VERIFY") {
            settings.tls_skip_verify = self.tls_skip_verify;
        }
        // The agent's own loops try again, and they know what for.
        settings.retries_max = 0;
        settings.timeout = settings.timeout.min(Duration::from_secs(60));
        Ok(settings)
    }
}

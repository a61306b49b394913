//! The agent's configuration, in vault-agent's words: what it says, and how the environment adds to it.

mod child;
#[cfg(test)]
mod defaults;
mod extra;
mod method;
mod read;
mod server;
mod templates;
#[cfg(test)]
mod tests;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use crate::client::Settings;
use crate::telemetry::{Format, Level};

pub use child::{Exec, Variables};

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
    /// The least severe line that is logged, for the door that sets up the log.
    pub log_level: Option<Level>,
    /// How a line of the log looks, for the same door.
    pub log_format: Option<Format>,
    /// Where the log goes besides the standard error stream.
    pub log_file: Option<PathBuf>,
    /// End with an error when a fetch has failed for good.
    pub exit_on_retry_failure: bool,
    /// How often secrets without a lease are read again.
    pub static_interval: Duration,
    /// Fetches at once.
    pub connections_max: usize,
    /// After which part of a lease it is renewed, in thousandths.
    pub lease_threshold: u32,
    /// How to reach Consul, when templates ask it.
    pub consul: Option<Consul>,
    /// Where local requests are taken.
    pub listeners: Vec<Listener>,
    /// When local requests get the agent's token.
    pub proxy_token: ProxyToken,
    /// Where the last known good is kept, and for how long it is good.
    pub cache: Option<Cache>,
    /// The socket for Envoy.
    pub sds: Option<super::sds::Settings>,
    /// When changes are welcome, if not always.
    pub windows: Option<super::windows::Windows>,
    /// A template that fails is the end: for those who render once and wait for the outcome.
    pub fail_fast: bool,
}

/// Consul's place.
#[derive(Debug, Default)]
pub struct Consul {
    /// `http://host:port`, `https://…` or `unix://…`.
    pub address: Option<String>,
    /// The token, if the file has it.
    pub token: Option<crate::base::Secret<String>>,
    /// The authority to trust.
    pub ca_cert: Option<PathBuf>,
    /// Our certificate.
    pub client_cert: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
    /// The name to expect.
    pub server_name: Option<String>,
}

/// Where local requests are taken.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where.
    pub place: Place,
    /// Whether a request must say `X-Vault-Request`.
    pub require_header: bool,
    /// Whether only health and metrics are answered here.
    pub metrics_only: bool,
    /// Whether `quit` is answered.
    pub quit: bool,
    /// Whether `rotate` is answered.
    pub rotate: bool,
}

/// The place of a listener.
#[derive(Clone, Debug)]
pub enum Place {
    /// An address of this host.
    Tcp(String),
    /// A socket.
    Unix(Socket),
}

/// A Unix socket of ours.
#[derive(Clone, Debug)]
pub struct Socket {
    /// Where.
    pub path: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// Its owner: a name or a number.
    pub user: Option<String>,
    /// Its group: a name or a number.
    pub group: Option<String>,
}

/// When a local request gets the agent's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyToken {
    /// Never.
    No,
    /// When it has none.
    IfMissing,
    /// Always, in place of its own.
    Force,
}

/// The last known good.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The file.
    pub path: PathBuf,
    /// How old a value may be at a start.
    pub max_stale: Duration,
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
    /// A token that the file holds, as consul-template's may.
    pub token: Option<crate::base::Secret<String>>,
    /// A file that holds a token, which an agent keeps fresh.
    pub token_file: Option<PathBuf>,
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
    /// With a token that is known already, from the configuration or the environment.
    Token(crate::base::Secret<String>),
    /// With a JWT that lies in a file: the methods `jwt` and `kubernetes`.
    Jwt {
        /// Where the method is mounted.
        mount: String,
        /// The role.
        role: String,
        /// Holds the JWT.
        path: PathBuf,
        /// Whether the file is removed when read.
        remove: bool,
    },
    /// With a client certificate.
    Cert {
        /// Where the method is mounted.
        mount: String,
        /// The role, if one is asked for.
        name: Option<String>,
        /// The authority to trust in place of the server's settings.
        ca_cert: Option<PathBuf>,
        /// Our certificate in place of the server's settings.
        client_cert: Option<PathBuf>,
        /// Its key.
        client_key: Option<PathBuf>,
    },
}

/// A file that gets the token.
#[derive(Debug)]
pub struct Sink {
    /// Where.
    pub path: PathBuf,
    /// The mode of the file.
    pub mode: u32,
    /// Its owner, if not ours.
    pub owner: Option<u32>,
    /// Its group, if not ours.
    pub group: Option<u32>,
    /// Wrap the token for this long.
    pub wrap_ttl: Option<String>,
}

/// One template.
#[derive(Debug, PartialEq)]
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
    /// Functions that it may not use.
    pub denied: Vec<String>,
}

/// The text of a template.
#[derive(Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The text itself, and its place in the configuration.
    Inline(String, String),
}

/// The same text is the same template, wherever it now stands.
impl PartialEq for Source {
    fn eq(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::File(one), Source::File(two)) => one == two,
            (Source::Inline(one, _), Source::Inline(two, _)) => one == two,
            _ => false,
        }
    }
}

/// Where output goes.
#[derive(Debug, PartialEq)]
pub enum Target {
    /// To a file.
    File(Destination),
    /// To a variable of the child's environment.
    Variable(String),
    /// To Envoy, under a name.
    Envoy(String, super::sds::Kind),
}

impl Target {
    /// What a rotation calls it.
    pub fn name(&self) -> String {
        match self {
            Target::File(destination) => destination.path.display().to_string(),
            Target::Variable(name) | Target::Envoy(name, _) => name.clone(),
        }
    }
}

/// A file to write.
#[derive(Clone, Debug, PartialEq)]
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

impl Config {
    /// A configuration that says nothing: the environment says where the server is and what the token.
    #[must_use]
    pub fn bare() -> Config {
        read::bare()
    }

    /// Renders once, and any failure is the end.
    pub(super) fn only_once(&mut self) {
        self.exit_after_auth = true;
        self.fail_fast = true;
        self.exec = None;
        self.listeners.clear();
        self.sds = None;
        self.templates.retain(|template| !matches!(template.target, Target::Envoy(..)));
    }

    /// The files by which the agent proves who it is, where its token goes, and what it remembers.
    pub(super) fn private_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            [&self.vault.token_file, &self.vault.client_key].into_iter().flatten().cloned().collect();
        if let Some(auth) = &self.auto_auth {
            match &auth.method {
                Method::AppRole { role_id, secret_id, .. } => {
                    files.push(role_id.clone());
                    files.extend(secret_id.clone());
                }
                Method::TokenFile(path) | Method::Jwt { path, .. } => files.push(path.clone()),
                Method::Cert { client_key, .. } => files.extend(client_key.clone()),
                Method::Token(_) => {}
            }
            files.extend(auth.sinks.iter().map(|sink| sink.path.clone()));
        }
        if let Some(consul) = &self.consul {
            files.extend(consul.client_key.clone());
        }
        if let Some(cache) = &self.cache {
            files.extend([cache.path.clone(), super::cache::key_path(&cache.path)]);
        }
        files
    }

    /// What the store of dependencies is told.
    pub(super) fn store_settings(&self) -> super::store::Settings {
        super::store::Settings {
            static_interval: self.static_interval,
            retries_max: self.vault.retries_max,
            lease_threshold: self.lease_threshold,
            windows: self.windows.clone(),
        }
    }

    /// Runs this beside the rendering.
    pub fn supervise(&mut self, words: Vec<String>, restart: bool) {
        self.exec = Some(Exec { restart, ..Exec::of(words) });
        self.exit_after_auth = false;
    }

    /// Adds a variable with a field of a secret.
    ///
    /// # Errors
    /// The name cannot be a variable's.
    pub fn add_variable(&mut self, name: &str, path: &str, field: &str) -> Result<(), String> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err("the name of a variable is empty or has a '='".to_owned());
        }
        let (path, field) = (serde_json::json!(path), serde_json::json!(field));
        // A versioned store has the fields one level deeper.
        let text = format!(
            "{{{{ with secret {path} }}}}{{{{ if .Data.data }}}}{{{{ index .Data.data {field} }}}}{{{{ else }}}}\
             {{{{ index .Data {field} }}}}{{{{ end }}}}{{{{ end }}}}"
        );
        self.templates.push(TemplateConfig {
            source: Source::Inline(text, format!("-env {name}")),
            target: Target::Variable(name.to_owned()),
            left: String::new(),
            right: String::new(),
            error_on_missing_key: true,
            command: None,
            wait: None,
            sandbox: None,
            denied: Vec::new(),
        });
        Ok(())
    }

    /// Adds a template of a file to a file.
    pub fn add_file(&mut self, source: PathBuf, path: PathBuf) {
        let destination =
            Destination { path, mode: 0o600, user: None, group: None, create_folders: true, backup: false };
        self.templates.push(TemplateConfig {
            source: Source::File(source),
            target: Target::File(destination),
            left: String::new(),
            right: String::new(),
            error_on_missing_key: false,
            command: None,
            wait: None,
            sandbox: None,
            denied: Vec::new(),
        });
    }

    /// Turns every file into something to print.
    pub fn print_only(&mut self) {
        for template in &mut self.templates {
            if let Target::File(destination) = &template.target {
                template.target = Target::Variable(destination.path.display().to_string());
            }
            template.command = None;
            // Nothing is written, so nothing may be written besides either.
            template.sandbox = None;
        }
        self.cache = None;
        self.pid_file = None;
    }
}

impl Vault {
    /// Whether the file says what the token is, or where.
    fn has_token(&self) -> bool {
        self.token.is_some() || self.token_file.is_some()
    }

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

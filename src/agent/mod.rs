//! The sidecar: keeps a token, renders templates, supervises a child. A client of the server like any other.
//!
//! What is rendered stays until something better is there: a server that is away changes nothing.

mod cache;
mod certificate;
pub mod config;
mod consul;
#[cfg(test)]
mod fake;
mod fetch;
mod file;
mod listener;
mod login;
mod pace;
mod process;
mod push;
mod reach;
mod reload;
mod render;
pub mod sds;
mod socket;
mod store;
mod supervise;
pub mod template;
#[cfg(test)]
mod tests;
pub mod windows;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::base::{Clock, Rng, Secret};
use crate::client::{Client, Jitter, Settings};

pub use config::Config;
pub use reload::Reread;
pub use render::Environment;

use cache::Cache;
use config::Method;
use login::Login;
use process::Children;
use render::{Orders, Progress, Renderer, Tools};
use supervise::{Signals, supervise};

/// Where Consul's agent listens when nothing is said.
const CONSUL_ADDRESS_DEFAULT: &str = "http://127.0.0.1:8500";

/// Reloads that wait for the rendering at most.
const RELOADS: usize = 2;

/// What the agent takes from outside.
#[derive(Clone)]
pub struct Surroundings {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// The environment variables.
    pub environment: Environment,
    /// Where the configuration is read again.
    pub reread: Option<Reread>,
    /// Told when all is rendered and nothing has happened for a while.
    pub at_rest: Arc<dyn Fn() + Send + Sync>,
}

/// Reads a configuration file.
///
/// # Errors
/// It cannot be read, or it is wrong; the text names the place.
pub fn load(path: &std::path::Path) -> Result<Config, String> {
    let text = file::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Config::parse(&path.display().to_string(), &text).map_err(|error| error.to_string())
}

/// Reads a configuration of the agent or of consul-template for who renders once.
///
/// # Errors
/// As [`load`].
pub fn load_for_once(path: &std::path::Path) -> Result<Config, String> {
    let text = file::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Config::parse_for_once(&path.display().to_string(), &text).map_err(|error| error.to_string())
}

/// Reads all templates and says what is wrong with them.
#[must_use]
pub fn check(config: &Config) -> Vec<String> {
    let functions = template::Functions::agent();
    config.templates.iter().filter_map(|one| render::parse(one, &functions).err()).collect()
}

/// Renders once, on this thread; gives the variables.
///
/// # Errors
/// The login or a template failed.
pub fn once(
    mut config: Config,
    surroundings: Surroundings,
) -> Result<std::collections::BTreeMap<String, Vec<u8>>, String> {
    config.only_once();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut signals = Signals::new().map_err(|error| error.to_string())?;
        let (progress, rendered) = watch::channel(Progress::default());
        work_in(config, surroundings, &mut signals, (progress, rendered.clone())).await?;
        let variables = rendered.borrow().variables.clone();
        Ok(std::sync::Arc::unwrap_or_clone(variables))
    })
}

/// Runs an agent to its end, on this thread. Its log goes to `tracing`; the exit code is that of the child, if there is
/// one, 0 after a signal or when `exit_after_auth` is done, 1 after an error.
pub fn run(config: Config, surroundings: Surroundings) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        let mut signals = Signals::new().map_err(|error| error.to_string())?;
        work(config, surroundings, &mut signals).await
    });
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            error!(error, "the agent ends");
            ExitCode::FAILURE
        }
    }
}

/// The agent itself.
async fn work(config: Config, surroundings: Surroundings, signals: &mut Signals) -> Result<u8, String> {
    work_in(config, surroundings, signals, watch::channel(Progress::default())).await
}

async fn work_in(
    config: Config,
    surroundings: Surroundings,
    signals: &mut Signals,
    (progress, rendered): (watch::Sender<Progress>, watch::Receiver<Progress>),
) -> Result<u8, String> {
    let Surroundings { clock, rng, environment, reread, at_rest } = surroundings;
    let reloader = reload::Reloader::new(&config, reread);
    let _pid_file = config.pid_file.clone().map(write_pid).transpose()?;
    let mut settings = config.vault.settings(|name| environment(name)).map_err(|error| error.to_string())?;
    let for_store = config.store_settings();
    let private = config.private_files();
    let auto_auth = config.auto_auth.or_else(|| known_token(&config.vault, &environment));
    if let Some(Method::Cert { ca_cert, client_cert, client_key, .. }) = auto_auth.as_ref().map(|auth| &auth.method) {
        settings.ca_cert = ca_cert.clone().or(settings.ca_cert);
        settings.client_cert = client_cert.clone().or(settings.client_cert);
        settings.client_key = client_key.clone().or(settings.client_key);
    }
    let chance = rng.clone();
    let jitter: Jitter = Arc::new(move || chance.below(1 << 20) as f64 / f64::from(1 << 20));
    let client = Client::new(&settings, jitter.clone()).map_err(|error| error.to_string())?;
    let consul = config.consul.as_ref().map(|consul| consul_of(consul, &environment, jitter)).transpose()?;
    let cache = match &config.cache {
        Some(cache) => {
            let id = std::fs::read("/etc/machine-id").unwrap_or_default();
            if id.trim_ascii().is_empty() {
                warn!("this host has no /etc/machine-id: whoever has the cache and its key file can open it elsewhere");
            }
            let seconds = i64::try_from(cache.max_stale.as_secs()).unwrap_or(i64::MAX);
            Some((Cache::open(&cache.path, id.trim_ascii(), &*rng)?, seconds))
        }
        None => None,
    };

    let children = Children::default();
    let suspicion = Arc::new(Notify::new());
    let (reload, reloads) = mpsc::channel(RELOADS);
    let hangup = || {
        // With so many under way, another brings nothing new.
        let _ = reload.try_send(reloader.reload());
    };
    let quit = Arc::new(Notify::new());
    let (sessions, session) = watch::channel(None);
    let (published, secrets) = watch::channel(sds::Secrets::default());
    let (ask, rotations) = mpsc::channel(4);
    let board = sds::Board::default();
    // A socket that cannot be had ends the agent before anything is fetched.
    let mut served = JoinSet::new();
    if let Some(settings) = &config.sds {
        let listener = socket::bind(&settings.socket)?;
        served.spawn(sds::serve(listener, settings.clone(), secrets, board.clone()));
    }
    for rules in &config.listeners {
        let shared = listener::Shared {
            client: client.clone(),
            session: session.clone(),
            progress: rendered.clone(),
            rotations: ask.clone(),
            quit: quit.clone(),
            board: board.clone(),
            token: config.proxy_token,
        };
        let bound = listener::bind(rules).await?;
        served.spawn(listener::serve(bound, rules.clone(), shared));
    }
    let orders = Orders {
        store: for_store,
        templates: config.templates,
        connections_max: config.connections_max,
        exit_on_retry_failure: config.exit_on_retry_failure,
        once: config.exit_after_auth,
        fail_fast: config.fail_fast,
        cache,
        private,
    };
    let login = auto_auth.map(|auth| Login::new(auth, client, clock.clone(), rng.clone(), suspicion.clone()));
    let tools = Tools {
        clock: clock.clone(),
        rng: rng.clone(),
        environment,
        children: children.clone(),
        suspicion,
        consul,
        published,
        at_rest,
    };
    let renderer = Renderer::new(orders, tools);
    // Without a login there is no sender from the start: else who renders once would wait for one.
    let login = login.map(|login| login.run(sessions));
    let work = async {
        let login = async {
            match login {
                Some(login) => login.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Err(error) = login => Err(error),
            ended = renderer.run(session, reloads, progress, rotations) => ended,
        }
    };
    if let Some(exec) = &config.exec {
        return Ok(supervise(exec, rendered, signals, work, (&children, &hangup), &clock, &rng).await);
    }
    tokio::pin!(work);
    loop {
        tokio::select! {
            ended = &mut work => return ended.map(|()| 0),
            () = quit.notified() => return Ok(0),
            signal = signals.next(&children) => match signal {
                Signal::HUP => hangup(),
                _ => {
                    info!("told to end");
                    return Ok(0);
                }
            }
        }
    }
}

/// A login with a token that is known already: the configuration's or of the file that it names, or as consul-template has it, the environment's.
fn known_token(vault: &config::Vault, environment: &Environment) -> Option<config::AutoAuth> {
    let from_environment =
        || ["VAULT_TOKEN", "BAO_TOKEN"].iter().find_map(|name| environment(name)?.into_string().ok());
    let method = match (&vault.token, &vault.token_file) {
        (Some(token), _) => Method::Token(token.clone()),
        (None, Some(path)) => Method::TokenFile(path.clone()),
        (None, None) => Method::Token(Secret::new(from_environment()?)),
    };
    Some(config::AutoAuth {
        method,
        namespace: None,
        backoff_min: Duration::from_secs(1),
        backoff_max: Duration::from_secs(60),
        exit_on_err: false,
        sinks: Vec::new(),
    })
}

/// A client of Consul. The file goes before the environment, as in consul-template.
fn consul_of(consul: &config::Consul, environment: &Environment, jitter: Jitter) -> Result<consul::Consul, String> {
    let variable =
        |name| environment(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
    let address = consul.address.clone().or_else(|| {
        let address = variable("CONSUL_HTTP_ADDR")?;
        Some(if address.contains("://") { address } else { format!("http://{address}") })
    });
    let settings = Settings {
        address: address.unwrap_or_else(|| CONSUL_ADDRESS_DEFAULT.to_owned()),
        ca_cert: consul.ca_cert.clone(),
        client_cert: consul.client_cert.clone(),
        client_key: consul.client_key.clone(),
        tls_server_name: consul.server_name.clone(),
        retries_max: 0,
        ..Settings::default()
    };
    let client = Client::new(&settings, jitter).map_err(|error| format!("consul: {error}"))?;
    let token = consul.token.clone().or_else(|| variable("CONSUL_HTTP_TOKEN").map(Secret::new));
    Ok(consul::Consul { client, token })
}

fn write_pid(path: PathBuf) -> Result<file::Removed, String> {
    std::fs::write(&path, format!("{}\n", std::process::id()))
        .map_err(|error| format!("pid file {}: {error}", path.display()))?;
    Ok(file::Removed(path))
}

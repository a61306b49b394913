//! The sidecar: keeps a token, renders templates, supervises a child. A client of the server like any other.
//!
//! What is rendered stays until something better is there: a server that is away changes nothing.

mod certificate;
pub mod config;
#[cfg(test)]
mod fake;
mod fetch;
mod file;
mod login;
mod pace;
mod process;
mod render;
mod store;
mod supervise;
pub mod template;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::Signal;
use tokio::sync::{Notify, watch};
use tracing::{error, info};

use crate::base::{Clock, Rng};
use crate::client::Client;

pub use config::Config;
pub use render::Environment;

use login::Login;
use process::Children;
use render::{Orders, Progress, Renderer, Tools};
use supervise::{Signals, supervise};

/// What the agent takes from outside.
#[derive(Clone)]
pub struct Surroundings {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// The environment variables.
    pub environment: Environment,
}

/// Reads a configuration file.
///
/// # Errors
/// It cannot be read, or it is wrong; the text names the place.
pub fn load(path: &std::path::Path) -> Result<Config, String> {
    let text = file::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Config::parse(&path.display().to_string(), &text).map_err(|error| error.to_string())
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
    let Surroundings { clock, rng, environment } = surroundings;
    let _pid_file = config.pid_file.map(write_pid).transpose()?;
    let settings = config.vault.settings(|name| environment(name)).map_err(|error| error.to_string())?;
    let chance = rng.clone();
    let jitter = Arc::new(move || chance.below(1 << 20) as f64 / f64::from(1 << 20));
    let client = Client::new(&settings, jitter).map_err(|error| error.to_string())?;
    let auto_auth = config.auto_auth.ok_or("no auto_auth")?; // the configuration's reader refuses this

    let children = Children::default();
    let suspicion = Arc::new(Notify::new());
    let reload = Arc::new(Notify::new());
    let (sessions, session) = watch::channel(None);
    let (progress, rendered) = watch::channel(Progress::default());
    let login = Login::new(auto_auth, client, clock.clone(), rng.clone(), suspicion.clone());
    let orders = Orders {
        templates: config.templates,
        store: store::Settings { static_interval: config.static_interval, retries_max: config.vault.retries_max },
        connections_max: config.connections_max,
        exit_on_retry_failure: config.exit_on_retry_failure,
        once: config.exit_after_auth,
    };
    let tools = Tools { clock: clock.clone(), rng: rng.clone(), environment, children: children.clone(), suspicion };
    let renderer = Renderer::new(orders, tools);
    let work = async {
        tokio::select! {
            Err(error) = login.run(sessions) => Err(error),
            ended = renderer.run(session, reload.clone(), progress) => ended,
        }
    };
    if let Some(exec) = &config.exec {
        return Ok(supervise(exec, rendered, signals, work, &children, &clock, &rng).await);
    }
    tokio::pin!(work);
    loop {
        tokio::select! {
            ended = &mut work => return ended.map(|()| 0),
            signal = signals.next(&children) => match signal {
                Signal::HUP => reload.notify_one(),
                _ => {
                    info!("told to end");
                    return Ok(0);
                }
            }
        }
    }
}

fn write_pid(path: PathBuf) -> Result<file::Removed, String> {
    std::fs::write(&path, format!("{}\n", std::process::id()))
        .map_err(|error| format!("pid file {}: {error}", path.display()))?;
    Ok(file::Removed(path))
}

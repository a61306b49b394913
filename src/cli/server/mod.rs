//! `warifu server`: reads the configuration, opens the store, listens, and ends in good order.

mod dev;
mod diagnose;
mod run;

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

pub(super) use diagnose::Diagnose;

use super::face::{self, complain};
use crate::base::{Clock, Rng, time::SystemClock};
use crate::config::Config;
use crate::crypto::SystemRng;

/// Where the store is when no configuration says so.
const STORE: &str = "warifu.db";

/// Start a server.
#[derive(Parser, Debug)]
#[command(name = "warifu server", disable_help_subcommand = true)]
struct Flags {
    /// A configuration file, or a folder of them; can be given several times.
    #[arg(long = "config")]
    config: Vec<PathBuf>,
    /// A server to try things on: in memory, unsealed, plain HTTP.
    #[arg(long = "dev")]
    dev: bool,
    /// The root token of a -dev server.
    #[arg(long = "dev-root-token-id", env = "VAULT_DEV_ROOT_TOKEN_ID")]
    dev_root_token_id: Option<String>,
    /// Where a -dev server listens.
    #[arg(long = "dev-listen-address", env = "VAULT_DEV_LISTEN_ADDRESS", default_value = "127.0.0.1:8200")]
    dev_listen_address: SocketAddr,
    /// Do not keep the root token of a -dev server in the token file.
    #[arg(long = "dev-no-store-token")]
    dev_no_store_token: bool,
    /// A -dev server with TLS; its CA is written to vault-ca.pem.
    #[arg(long = "dev-tls")]
    dev_tls: bool,
    /// Where a -dev server with TLS writes its files.
    #[arg(long = "dev-tls-cert-dir")]
    dev_tls_cert_dir: Option<PathBuf>,
    /// The least severe line that is logged; over the configuration's.
    #[arg(long = "log-level", env = "VAULT_LOG_LEVEL")]
    log_level: Option<String>,
    /// How a line of the log looks; over the configuration's.
    #[arg(long = "log-format", env = "VAULT_LOG_FORMAT")]
    log_format: Option<String>,
    /// Accepted for scripts that pass it.
    #[arg(long = "exit-on-core-shutdown", hide = true)]
    exit_on_core_shutdown: bool,
    /// Read the configuration, say what is wrong with it, and end.
    #[arg(long = "test-config")]
    test_config: bool,
}

/// Runs a server until it is told to stop.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let flags: Flags = match face::flags(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    match start(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("{error:#}")),
    }
}

fn start(flags: Flags) -> anyhow::Result<()> {
    let dev = flags.dev || flags.dev_tls;
    if !dev && flags.config.is_empty() {
        anyhow::bail!("must specify at least one config path using -config, or -dev for a server to try things on");
    }
    let (mut config, mut warnings) = if dev {
        Config::load_dev(&flags.config, flags.dev_listen_address)?
    } else {
        Config::load(&flags.config, Config::new(STORE))?
    };
    if let Some(level) = &flags.log_level {
        config.log_level = level.parse()?;
    }
    if let Some(format) = &flags.log_format {
        config.log_format = format.parse()?;
    }
    run::check(&config)?;
    if flags.test_config {
        for warning in warnings.drain(..) {
            writeln!(std::io::stderr(), "warning: {warning}")?;
        }
        return Ok(());
    }
    let hardened = crate::base::process::harden();
    let files = crate::base::process::raise_open_files();
    let log = Arc::new(crate::telemetry::Log::start(config.log_level, config.log_format)?);
    for warning in hardened.into_iter().chain(files.err()) {
        tracing::warn!("{warning}");
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let rng: Arc<dyn Rng> = Arc::new(SystemRng::new());
    if flags.dev_tls {
        dev::tls(&mut config, flags.dev_tls_cert_dir.as_deref(), clock.now(), rng.as_ref())?;
    }
    let dev = dev.then_some(dev::Dev { root_token: flags.dev_root_token_id, store_token: !flags.dev_no_store_token });
    let (files, fixed) = (flags.config, flags.log_level.is_some());
    let reread: run::Reread = Box::new(move || {
        if fixed || files.is_empty() {
            return None;
        }
        match Config::load(&files, Config::new(STORE)) {
            Ok((config, _)) => Some(config.log_level),
            Err(error) => {
                tracing::error!(%error, "the configuration could not be read again; the log level stays");
                None
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("warifu")
        .max_blocking_threads(32)
        .build()?;
    runtime.block_on(run::run(config, clock, rng, log, reread, dev))
}

//! The parts of a running server, put together and taken apart again.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::dev::Dev;
use crate::api::Api;
use crate::api::listener::{Certificates, Listener, ensure_self_signed};
use crate::base::{Clock, Rng};
use crate::config::{Config, StaticKey, StaticSeal, Storage, Tls};
use crate::engine::Limits;
use crate::node::{Node, NodeSettings};
use crate::seal;
use crate::storage::{self, memory::Memory, sqlite::Sqlite};
use crate::system::Facts;
use crate::telemetry::{Level, Log};
use crate::vault::Settings;

/// Reads the log's level again; none where it cannot be read, or does not come from a file.
pub type Reread = Box<dyn Fn() -> Option<Level>>;

/// Runs a server by this configuration.
///
/// # Errors
/// When the store cannot be opened or an address cannot be listened at; nothing is started then.
pub async fn run(
    config: Config,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    log: Arc<Log>,
    reread: Reread,
    dev: Option<Dev>,
) -> anyhow::Result<()> {
    let (storage, failed) = open(&config)?;
    let node = Node::open(storage, clock.clone(), rng.clone(), settings(&config, log.clone()))?;
    open_itself(&node).await;
    let (stop, stopped) = watch::channel(false);
    let (mut listeners, mut certificates) = (Vec::new(), Certified { node: node.clone(), of: Vec::new() });
    for rules in &config.listeners {
        let with_tls = certificate(&config, rules, clock.now(), rng.as_ref())?.map(Arc::new);
        let listener = Listener::bind(rules, with_tls.clone()).await?;
        certificates.of.extend(with_tls.map(|certificate| (listener.local_addr().to_string(), certificate)));
        listeners.push(listener);
    }
    certificates.measure();
    let mut out = std::io::stdout();
    let _ = writeln!(out, "==> warifu server configuration:\n");
    for (listener, rules) in listeners.iter().zip(&config.listeners) {
        let tls = if rules.tls == Tls::Disabled { "disabled" } else { "enabled" };
        let _ = writeln!(out, "    Listener: tcp (addr: \"{}\", tls: \"{tls}\")", listener.local_addr());
    }
    let _ = writeln!(out, "     Storage: {}", storage_word(&config));
    let _ = writeln!(out, "     Version: {}\n", super::super::version::line("warifu"));
    if let Some(path) = &config.pid_file {
        std::fs::write(path, format!("{}\n", std::process::id()))?;
    }
    let api = Api::new(node.clone(), rng.clone());
    let mut serving = Vec::new();
    let address = listeners.first().map(Listener::local_addr);
    for listener in listeners {
        let (api, mut stopped) = (api.clone(), stopped.clone());
        let shutdown = async move {
            // The sender lives as long as the server: an error means the same as true.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        serving.push(tokio::spawn(listener.serve(
            move |request, connection| {
                let api = api.clone();
                async move { api.answer(request, connection).await }
            },
            shutdown,
        )));
    }
    if let (Some(dev), Some(address)) = (dev, address) {
        let tls = config.listeners.first().is_some_and(|l| l.tls != Tls::Disabled);
        dev.prepare(&node, rng.as_ref(), address, tls).await?;
    }
    tokio::spawn(give_back(clock.clone()));
    let _ = writeln!(out, "==> warifu server started! Log data will stream in below:\n");
    let _ = out.flush();
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    watch_signals(&node, &certificates, failed, &log, reread.as_ref()).await?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping");
    node.hang_up();
    stop.send_replace(true);
    for task in serving {
        let _ = task.await;
    }
    if let Ok(vault) = node.vault() {
        vault.audit().flush().await;
    }
    node.seal().await;
    if let Some(path) = &config.pid_file {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// How often free memory goes back to the system.
const GIVE_BACK: Duration = Duration::from_secs(2);

/// Gives free memory back now and then: a crowd that came and went must not cost for ever.
async fn give_back(clock: Arc<dyn Clock>) {
    loop {
        clock.sleep(GIVE_BACK).await;
        let _ = tokio::task::spawn_blocking(crate::base::footprint::give_back).await;
    }
}

/// The store that the configuration names, and the word that it failed for good.
type Opened = (Arc<dyn storage::Storage>, watch::Receiver<bool>);

fn open(config: &Config) -> anyhow::Result<Opened> {
    Ok(match &config.storage {
        Storage::Memory => (Arc::new(Memory::new()), watch::channel(false).1),
        Storage::Sqlite { path } => {
            let store = Sqlite::open(path).map_err(|e| anyhow::anyhow!("storage {}: {e}", path.display()))?;
            let failed = store.failed();
            (Arc::new(store), failed)
        }
    })
}

fn storage_word(config: &Config) -> String {
    match &config.storage {
        Storage::Memory => "inmem".to_owned(),
        Storage::Sqlite { path } => format!("sqlite ({})", path.display()),
    }
}

/// The audit devices' settings.
fn audit_rules(config: &Config) -> crate::audit::Rules {
    let beside = config.folder().map(|folder| folder.join("audit"));
    crate::audit::Rules {
        directory: config.audit_directory.clone().or(beside),
        unsafe_anywhere: config.unsafe_allow_api_audit_creation,
        declared: config.audit.iter().map(declared).collect(),
        node: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    }
}

/// Whether what the configuration says can be done, as far as that shows without touching anything.
///
/// # Errors
/// For an audit device that cannot be.
pub fn check(config: &Config) -> anyhow::Result<()> {
    Ok(audit_rules(config).check()?)
}

fn settings(config: &Config, log: Arc<Log>) -> NodeSettings {
    NodeSettings {
        vault: Settings {
            limits: Limits { default_ttl: config.default_lease_ttl, max_ttl: config.max_lease_ttl },
            audit_rules: audit_rules(config),
            raw_storage: config.raw_storage_endpoint,
            api_addr: config.api_addr.clone(),
            outbound: crate::outbound::Network::new(),
            facts: Facts {
                config: config.sanitized(),
                followers: Some(log.followers().clone()),
                log: Some((log, config.log_level)),
                lockout: config.user_lockout.clone(),
                metrics: Arc::default(),
                introspection: config.introspection_endpoint,
                telemetry: config.telemetry.clone(),
                cluster_name: config.cluster_name.clone().unwrap_or_default(),
            },
        },
        open_rekey: !config.disable_unauthed_rekey_endpoints,
        open_generate_root: !config.disable_unauthed_generate_root_endpoints,
        cluster_name: config.cluster_name.clone(),
        static_seal: config.seal.as_ref().map(static_seal),
    }
}

fn static_seal(config: &StaticSeal) -> Arc<seal::StaticSeal> {
    let named = |key: &StaticKey| seal::Named { id: key.id.clone(), key: key.key.clone() };
    Arc::new(seal::StaticSeal::new(named(&config.current), config.previous.as_ref().map(named), config.disabled))
}

/// A store that opens by itself is opened before anybody is listened to; one that cannot be waits, sealed, for who mends it.
async fn open_itself(node: &Node) {
    match node.open_itself().await {
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "the store does not open by itself and stays sealed"),
    }
}

fn declared(device: &crate::config::AuditDevice) -> crate::audit::Declared {
    crate::audit::Declared {
        kind: device.kind.clone(),
        path: device.path.clone(),
        description: device.description.clone(),
        options: device.options.iter().cloned().collect(),
    }
}

fn certificate(
    config: &Config,
    rules: &crate::config::ListenerConfig,
    now: crate::base::Timestamp,
    rng: &dyn Rng,
) -> anyhow::Result<Option<Certificates>> {
    let (cert, key) = match &rules.tls {
        Tls::Disabled => return Ok(None),
        Tls::Files { cert, key } => (cert.clone(), key.clone()),
        Tls::SelfSigned => {
            let folder = config.folder().unwrap_or_else(|| std::path::Path::new("."));
            let made = ensure_self_signed(folder, &[rules.address.host().to_owned()], now, rng)?;
            let _ = writeln!(
                std::io::stdout(),
                "==> self-signed certificate: {}\n    SHA-256 fingerprint: {}",
                made.cert.display(),
                made.fingerprint
            );
            (made.cert, made.key)
        }
    };
    Ok(Some(Certificates::load(rules, &cert, &key)?))
}

/// The listeners that have a certificate, by their addresses.
struct Certified {
    node: Arc<Node>,
    of: Vec<(String, Arc<Certificates>)>,
}

impl Certified {
    /// Reads them again.
    fn reload(&self) {
        for (_, certificate) in &self.of {
            match certificate.reload() {
                Ok(()) => tracing::info!("certificate read again"),
                Err(error) => tracing::error!(%error, "the certificate could not be read again; the old one stays"),
            }
        }
        self.measure();
    }

    /// Says in the metrics until when each is valid.
    fn measure(&self) {
        let ends = self.of.iter().map(|(address, certificate)| {
            (vec![("address", address.clone())], certificate.not_after().as_second() as f64)
        });
        self.node.registers().replace("listener.certificate.not_after_seconds", ends);
    }
}

/// Answers signals until one says stop, or the store fails for good.
async fn watch_signals(
    node: &Arc<Node>,
    certificates: &Certified,
    mut failed: watch::Receiver<bool>,
    log: &Log,
    reread: &dyn Fn() -> Option<Level>,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut sound = true;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => {
                node.reopen_audit();
                if let Some(level) = reread() {
                    log.set_level(level);
                    tracing::info!(%level, "log level read again");
                }
                certificates.reload();
            }
            changed = failed.wait_for(|failed| *failed), if sound => {
                sound = false;
                if changed.is_ok() {
                    tracing::error!("the store failed twice in a row: sealing");
                    node.seal().await;
                }
            }
        }
    }
}

//! `debug`: what an operator gathers when something is wrong, in a folder that can be given to others: the machine, the
//! server's status, configuration without secrets, metrics, requests at work, the log while it lasts. No token, no secret.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{
    context::{Cx, items},
    failure::{Doing, Failure, Outcome},
};
use crate::base::Ttl;
use crate::client::{self, Client, Request, Streaming};

/// Gather what is needed to find out what is wrong with a server, in a folder of its own.
#[derive(Args, Debug)]
pub struct Debug {
    /// For how long to gather.
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    duration: String,
    /// So long between two looks at the machine, the status and the requests at work.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    interval: String,
    /// So long between two looks at the metrics.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    metrics_interval: String,
    /// The folder, which must not exist yet; vault-debug-TIME if absent.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// The least severe lines of the log to gather.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// How lines of the log look: standard or json.
    #[arg(long, value_name = "FORMAT", default_value = "standard")]
    log_format: String,
    /// What to gather: config, host, log, metrics, replication-status, requests, server-status; all if absent. May be
    /// repeated.
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Not supported: the folder stays a folder. Accepted as false.
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true")]
    compress: String,
}

/// What is gathered again and again: the target, its file, its path.
const LOOKS: [(&str, &str, &str); 4] = [
    ("host", "host_info.json", "sys/host-info"),
    ("replication-status", "replication_status.json", "sys/replication/status"),
    ("requests", "requests.json", "sys/in-flight-req"),
    ("server-status", "server_status.json", "sys/seal-status"),
];
const METRICS: (&str, &str, &str) = ("metrics", "metrics.json", "sys/metrics");
const CONFIG: (&str, &str, &str) = ("config", "config.json", "sys/config/state/sanitized");
const LOG: (&str, &str, &str) = ("log", "vault.log", "sys/monitor");
/// Most looks of one kind: more is a monitor, not a debugging.
const LOOKS_MAX: u64 = 10_000;

impl Debug {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let span = |flag: &str, text: &str| {
            let span = Ttl::parse(text).map(Ttl::duration);
            span.map_err(|_| Failure::Local(format!("-{flag} must be a duration such as 30s or 2m")))
        };
        let duration = span("duration", &self.duration)?;
        let interval = span("interval", &self.interval)?.max(Duration::from_secs(1));
        let metrics = span("metrics-interval", &self.metrics_interval)?.max(Duration::from_secs(1));
        if duration.as_secs() / interval.min(metrics).as_secs() > LOOKS_MAX {
            return Err(Failure::local("the intervals are too short for this duration"));
        }
        if self.compress != "false" {
            return Err(Failure::local("-compress is not supported: pack the folder with tar"));
        }
        let targets = self.targets()?;
        // The moment is the server's; one that does not answer at all is told before anything is made.
        let health = Request::read("sys/health").query_all(&[("sealedcode", "200"), ("uninitcode", "200")]);
        let health = cx.aside(health.without_token()).await.doing("Error reading the server's health")?;
        let since = health.field("server_time_utc").and_then(Value::as_i64).unwrap_or_default();
        let folder = self.output.clone().unwrap_or_else(|| PathBuf::from(format!("vault-debug-{since}")));
        let mut bundle = Bundle::create(cx.client()?, folder, targets)?;
        cx.say(&format!("==> Gathering for {} s into {}", duration.as_secs(), bundle.folder.display()))?;
        bundle.look(CONFIG).await?;
        let query = [("log_level", self.log_level.as_str()), ("log_format", self.log_format.as_str())];
        let mut log = bundle.follow(&query).await?;
        let (mut looks, mut counts) = (tokio::time::interval(interval), tokio::time::interval(metrics));
        let mut end = std::pin::pin!(tokio::time::sleep(duration));
        loop {
            tokio::select! {
                biased;
                _ = looks.tick() => {
                    for what in LOOKS {
                        bundle.look(what).await?;
                    }
                }
                _ = counts.tick() => bundle.look(METRICS).await?,
                piece = next(&mut log) => match piece {
                    Some(Ok(bytes)) => bundle.append(LOG.1, &bytes)?,
                    ended => {
                        log = None;
                        if let Some(Err(error)) = ended {
                            bundle.complain(LOG.0, &error);
                        }
                    }
                },
                () = &mut end => break,
            }
        }
        let errors = bundle.errors.len();
        let index = json!({
            "server": cx.address(),
            "version": health.field("version"),
            "since": since,
            "duration_seconds": duration.as_secs(),
            "interval_seconds": interval.as_secs(),
            "metrics_interval_seconds": metrics.as_secs(),
        });
        let folder = bundle.close(index)?;
        if errors > 0 {
            cx.warn(&format!("{errors} times something could not be gathered: see index.json"))?;
        }
        cx.success(&format!("Bundle written to: {}", folder.display()))
    }

    fn targets(&self) -> Outcome<Vec<String>> {
        let known = || LOOKS.iter().chain([&METRICS, &CONFIG, &LOG]).map(|(target, ..)| (*target).to_owned());
        let named = items(&self.target);
        match named.iter().find(|name| !known().any(|target| target == **name)) {
            Some(name) => Err(Failure::Local(format!("-target knows no \"{name}\""))),
            None if named.is_empty() => Ok(known().collect()),
            None => Ok(named),
        }
    }
}

/// The next piece of the log, or never, where there is none.
async fn next(log: &mut Option<Streaming>) -> Option<Result<hyper::body::Bytes, client::Error>> {
    match log {
        Some(log) => log.next().await,
        None => std::future::pending().await,
    }
}

/// A folder in the making.
struct Bundle {
    client: Client,
    folder: PathBuf,
    targets: Vec<String>,
    files: BTreeMap<&'static str, File>,
    errors: Vec<Value>,
}

impl Bundle {
    fn create(client: Client, folder: PathBuf, targets: Vec<String>) -> Outcome<Self> {
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|error| Failure::Local(format!("Error creating {}: {error}", folder.display())))?;
        Ok(Self { client, folder, targets, files: BTreeMap::new(), errors: Vec::new() })
    }

    fn wants(&self, target: &str) -> bool {
        self.targets.iter().any(|wanted| wanted == target)
    }

    fn complain(&mut self, target: &str, error: &client::Error) {
        self.errors.push(json!({"target": target, "error": error.to_string()}));
    }

    fn cannot(&self, error: &io::Error) -> Failure {
        Failure::Local(format!("Error writing to {}: {error}", self.folder.display()))
    }

    /// Gathers what a path answers now, as one more element of the array in its file.
    async fn look(&mut self, (target, file, path): (&'static str, &'static str, &str)) -> Outcome {
        if !self.wants(target) {
            return Ok(());
        }
        match self.client.send(Request::read(path).unwrapped()).await {
            Ok(reply) => {
                let before = if self.files.contains_key(file) { ",\n" } else { "[\n" };
                self.append(file, format!("{before}{}", reply.data).as_bytes())
            }
            Err(error) => {
                self.complain(target, &error);
                Ok(())
            }
        }
    }

    async fn follow(&mut self, query: &[(&str, &str)]) -> Outcome<Option<Streaming>> {
        if !self.wants(LOG.0) {
            return Ok(None);
        }
        match self.client.stream(Request::read(LOG.2).query_all(query).unwrapped()).await {
            Ok(log) => Ok(Some(log)),
            Err(error) => {
                self.complain(LOG.0, &error);
                Ok(None)
            }
        }
    }

    fn append(&mut self, file: &'static str, bytes: &[u8]) -> Outcome {
        let written = match self.files.entry(file) {
            Entry::Occupied(open) => open.into_mut().write_all(bytes),
            Entry::Vacant(place) => {
                let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(self.folder.join(file));
                made.and_then(|made| place.insert(made).write_all(bytes))
            }
        };
        written.map_err(|error| self.cannot(&error))
    }

    /// Ends the arrays, and says in a file of its own what was gathered.
    fn close(mut self, mut index: Value) -> Outcome<PathBuf> {
        let files: Vec<&'static str> = self.files.keys().copied().collect();
        for file in files.iter().filter(|file| file.ends_with(".json")) {
            self.append(file, b"\n]\n")?;
        }
        index["targets"] = self.targets.clone().into();
        index["files"] = files.into();
        index["errors"] = std::mem::take(&mut self.errors).into();
        self.append("index.json", format!("{index:#}\n").as_bytes())?;
        Ok(self.folder)
    }
}

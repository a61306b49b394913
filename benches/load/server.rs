//! A warifu server under load: its folder, its start, and starting it again.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;
use crate::client::{Connection, Target, request};
use crate::process::Child;

/// How long a server may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked.
const POLL: Duration = Duration::from_micros(500);

/// A running server, and where to start it again.
pub struct Server {
    pub child: Child,
    pub target: Target,
    place: Place,
}

/// Where a server lives, and as what it is started.
#[derive(Clone)]
pub struct Place {
    pub warifu: PathBuf,
    /// The run's folder, for marks.
    pub run: PathBuf,
    /// The server's own.
    pub folder: PathBuf,
    pub address: SocketAddr,
    pub tls: bool,
    /// The library that slows flushes, if they are to be slow.
    pub slow: Option<PathBuf>,
}

impl Place {
    /// A folder with a configuration, and a port that is free.
    pub fn make(warifu: &Path, run: &Path, name: &str, tls: bool, slow: Option<&Path>) -> Result<Self> {
        let folder = run.join(name);
        std::fs::create_dir_all(folder.join("audit"))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let place = Self {
            warifu: warifu.into(),
            run: run.into(),
            address: (Ipv4Addr::LOCALHOST, port).into(),
            tls,
            slow: slow.map(Into::into),
            folder,
        };
        let at = place.folder.display();
        let encryption = if tls { "" } else { "tls_disable = true" };
        let text = format!(
            "storage \"sqlite\" {{\n  path = \"{at}/store/warifu.db\"\n}}\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  {encryption}\n}}\n\
             audit_directory = \"{at}/audit\"\nlog_level = \"warn\"\n"
        );
        std::fs::write(place.folder.join("warifu.hcl"), text)?;
        Ok(place)
    }

    /// With these settings too.
    pub fn with(self, settings: &str) -> Result<Self> {
        let file = self.folder.join("warifu.hcl");
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(file, format!("{text}{settings}\n"))?;
        Ok(self)
    }

    /// Where the number of slowed flushes is written when the server ends.
    pub fn flushes(&self) -> PathBuf {
        self.folder.join("flushes")
    }

    fn target(&self) -> Result<Target> {
        if !self.tls {
            return Ok(Target::plain(self.address));
        }
        let certificate = std::fs::read_dir(self.folder.join("store"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_string_lossy().ends_with("cert.pem"))
            .ok_or("the server has made no certificate")?;
        Target::tls(self.address, &std::fs::read(certificate)?)
    }
}

impl Server {
    /// Starts it and waits for its first answer; gives the time that took.
    pub async fn start(place: Place) -> Result<(Self, Duration)> {
        let mut command = Command::new(&place.warifu);
        command.arg("server").arg(format!("-config={}", place.folder.join("warifu.hcl").display()));
        command.env_clear().current_dir(&place.folder).stdin(Stdio::null());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(place.folder.join("log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        if let Some(library) = &place.slow {
            command.env("LD_PRELOAD", library).env("SLOW_FSYNC_COUNT", place.flushes());
        }
        let health = request("GET", "sys/health", None, None);
        let begun = Instant::now();
        let mut child = Child::start(command, &place.run)?;
        loop {
            // Asked for in full each time: the certificate may come into being with the server.
            let answered = async {
                let target = place.target()?;
                Connection::open(&target).await?.send(&health).await?;
                Result::Ok(target)
            };
            if let Ok(target) = answered.await {
                return Ok((Self { child, target, place }, begun.elapsed()));
            }
            child.check().map_err(|error| format!("{error}; {}", place.last_words()))?;
            if begun.elapsed() > PATIENCE {
                return Err(format!("the server does not answer; {}", place.last_words()).into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends it in good order, starts it, and offers its unseal key; gives the time to the first answer.
    pub async fn restart(self, key: &str) -> Result<(Self, Duration)> {
        let place = self.place.clone();
        self.child.stop()?;
        let (server, took) = Self::start(place).await?;
        server.connect().await?.call("POST", "sys/unseal", None, Some(json!({ "key": key }))).await?;
        Ok((server, took))
    }

    /// The same; gives the time from the unseal key to a good answer to this request.
    pub async fn restart_timed(self, key: &str, first: &[u8]) -> Result<(Self, Duration)> {
        let place = self.place.clone();
        self.child.stop()?;
        let (server, _) = Self::start(place).await?;
        let mut to = server.connect().await?;
        let begun = Instant::now();
        to.call("POST", "sys/unseal", None, Some(json!({ "key": key }))).await?;
        match to.send(first).await? {
            200..300 => Ok((server, begun.elapsed())),
            status => Err(format!("the first answer after the unseal is {status}").into()),
        }
    }

    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.target).await
    }

    /// Ends it; gives how often it flushed, if it was slowed.
    pub fn stop(self) -> Result<Option<u64>> {
        let flushes = self.place.flushes();
        self.child.stop()?;
        if self.place.slow.is_none() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(flushes).map_err(|_| "the slowing library was not loaded")?;
        Ok(Some(text.trim().parse()?))
    }

    /// Where its audit device writes.
    pub fn audit_file(&self) -> PathBuf {
        self.place.folder.join("audit/audit.log")
    }

    /// The URL of the API.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.place.tls { "https" } else { "http" }, self.place.address)
    }
}

impl Place {
    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        text.lines().rev().take(3).collect::<Vec<_>>().join(" | ")
    }
}

/// Bare axum with an answer of this content, as a process of its own.
pub struct Axum {
    pub child: Child,
    pub target: Target,
}

impl Axum {
    pub fn start(run: &Path, answer: &[u8]) -> Result<Self> {
        let body = run.join("answer.json");
        std::fs::write(&body, answer)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("axum").arg(body).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = Child::start(command, run)?;
        let out = child.stdout().ok_or("axum has no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let target = Target::plain((Ipv4Addr::LOCALHOST, line.trim().parse()?).into());
        Ok(Self { child, target })
    }
}

/// Single commits per second, as a process of its own. Each slowed one was a flush, or it is no limit.
pub fn commits(run: &Path, folder: &Path, time: Duration, slow: Option<&Path>) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("commits").arg(folder).arg(time.as_secs_f64().to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
    let count = folder.join("limit-flushes");
    if let Some(library) = slow {
        command.env("LD_PRELOAD", library).env("SLOW_FSYNC_COUNT", &count);
    }
    let mut child = Child::start(command, run)?;
    let out = child.stdout().ok_or("commits have no output")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    child.wait()?;
    let (made, rate) = line.trim().split_once(' ').ok_or("commits were not counted")?;
    let made: u64 = made.parse()?;
    if slow.is_some() {
        let flushes: u64 = std::fs::read_to_string(count)?.trim().parse()?;
        if flushes < made {
            return Err(format!("of {made} commits only {flushes} were flushed").into());
        }
    }
    Ok(rate.parse()?)
}

/// A text in an answer.
pub fn text<'a>(answer: &'a Value, pointer: &str) -> Result<&'a str> {
    answer.pointer(pointer).and_then(Value::as_str).ok_or_else(|| format!("the answer has no {pointer}").into())
}

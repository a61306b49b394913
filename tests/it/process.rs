//! The real binary, for stories in which the server is killed or finds its store in a bad state.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::http::Http;

/// A folder with a configuration and a store.
pub struct Place {
    pub folder: tempfile::TempDir,
    /// What stands in the environment; nothing else does.
    pub environment: Vec<(String, String)>,
}

/// A running process.
pub struct Process {
    child: Child,
    pub http: Http,
    /// What it wrote to its standard output after it had started.
    pub out: Arc<Mutex<Vec<String>>>,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "storage \"file\" {{\n  path = \"{}\"\n}}\nlistener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}}\ndisable_mlock = true\nlog_level = \"warn\"\n",
            folder.path().join("data").display()
        );
        std::fs::write(folder.path().join("server.hcl"), config).unwrap();
        Self { folder, environment: Vec::new() }
    }

    /// The file of the store, once there is one.
    pub fn store(&self) -> PathBuf {
        find_store(self.folder.path()).expect("no store in the folder")
    }

    fn command(&self) -> Command {
        // A shell that gives everybody every right: what must be closed, the server closes itself.
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "umask 000; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_warifu"))
            .arg("server")
            .arg(format!("-config={}", self.folder.path().join("server.hcl").display()))
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts it and waits until it listens.
    pub async fn start(&self) -> Process {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut child = self.command().stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = None;
        let started = tokio::time::timeout(Duration::from_secs(30), async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, rest)) = line.split_once("addr: \"") {
                    address = rest.split('"').next().and_then(|a| a.parse().ok());
                }
                if line.contains("server started") {
                    return true;
                }
            }
            false
        });
        let started = started.await.unwrap_or(false);
        let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(started, "the server did not start: {}", log());
        let out = Arc::new(Mutex::new(Vec::new()));
        let seen = out.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                seen.lock().unwrap().push(line);
            }
        });
        Process { child, http: Http::new(address.unwrap()), out }
    }

    /// Starts it where it must not start: its words on the standard error stream.
    pub async fn refuses(&self) -> String {
        let mut child = self.command().stderr(Stdio::piped()).spawn().unwrap();
        let mut text = String::new();
        let mut stderr = child.stderr.take().unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), async {
            stderr.read_to_string(&mut text).await.unwrap();
            child.wait().await.unwrap()
        });
        let status = ended.await.expect("it went on");
        assert_eq!(status.code(), Some(1), "{text}");
        text
    }
}

/// The store in a folder or below it: a file that begins as SQLite's do, or the largest there is.
fn find_store(folder: &Path) -> Option<PathBuf> {
    let mut found = None;
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found = found.or_else(|| find_store(&path));
        } else if std::fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0")) {
            found = Some(path);
        }
    }
    found
}

impl Process {
    /// Makes the store with one share; the share. The client is root's from then on.
    pub async fn init(&mut self) -> String {
        let made = self.http.put("sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await.ok();
        let share = made.json["keys_base64"][0].as_str().unwrap().to_owned();
        self.http = self.http.with(made.json["root_token"].as_str().unwrap());
        self.open(&share).await;
        share
    }

    pub async fn open(&self, share: &str) {
        let status = self.http.put("sys/unseal", json!({"key": share})).await.ok();
        assert_eq!(status.json["sealed"], false);
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Asks it to end, and waits until it has: its exit code.
    pub async fn end(mut self) -> Option<i32> {
        self.end_softly().await
    }

    /// As [`Process::end`], with what it wrote still to be read.
    pub async fn end_softly(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        ended.expect("it went on").unwrap().code()
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

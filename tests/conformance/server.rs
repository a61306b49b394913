//! The server under test: started with a configuration of its own, or one that already runs.
//!
//! A started server is ended by its own process id when its value is dropped, also when the runner panics.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::http::{Answer, Client, Identity, Request};
use crate::scenario::Needs;
use crate::tool::{openssl, text};
use crate::values::Vars;

const START_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// A server to send requests to.
pub struct Server {
    client: Client,
    process: Option<Process>,
    folder: PathBuf,
    address: String,
    port: u16,
    tls: bool,
    /// The root token, once there is one.
    pub token: Option<String>,
    unseal_key: Option<String>,
}

struct Process {
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// Writes a configuration into the (empty) folder; the server is not started yet.
    pub fn prepare(program: &Path, folder: PathBuf, needs: &Needs) -> Result<Server, String> {
        let port = free_port()?;
        let config = folder.join("server.hcl");
        let content = configuration(&folder, port, needs)?;
        std::fs::write(&config, content).map_err(|e| format!("configuration: {e}"))?;
        let scheme = if needs.tls { "https" } else { "http" };
        let log = folder.join("server.log");
        Ok(Server {
            client: Client::new("127.0.0.1", port, needs.tls),
            process: Some(Process { program: program.to_owned(), config, log, child: None }),
            address: format!("{scheme}://127.0.0.1:{port}"),
            folder,
            port,
            tls: needs.tls,
            token: None,
            unseal_key: None,
        })
    }

    /// A server which already runs, at an URL without a path.
    pub fn running(url: &str, token: Option<&str>, folder: PathBuf) -> Result<Server, String> {
        let (scheme, rest) = url.split_once("://").ok_or("--addr: the scheme is missing")?;
        let authority = rest.trim_end_matches('/');
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err("--addr: the scheme is neither http nor https".to_owned()),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| "--addr: the port is not a number")?),
            None => (authority, 8200),
        };
        Ok(Server {
            client: Client::new(host, port, tls),
            process: None,
            address: format!("{scheme}://{host}:{port}"),
            folder,
            port,
            tls,
            token: token.map(str::to_owned),
            unseal_key: None,
        })
    }

    /// Starts the process and waits until it answers.
    pub fn start(&mut self) -> Result<(), String> {
        let Some(process) = self.process.as_mut() else {
            return Err("a server given by --addr cannot be started".to_owned());
        };
        process.spawn(&self.folder)?;
        let started = Instant::now();
        while started.elapsed() < START_MAX {
            if !self.is_alive() {
                return Err(format!("the server ended while starting{}", self.log_tail()));
            }
            let headers = BTreeMap::new();
            let timeout = Duration::from_secs(5);
            let probe = Request {
                method: "GET",
                path: "/v1/sys/seal-status",
                headers: &headers,
                body: None,
                identity: None,
                timeout,
            };
            if self.client.send(&probe).is_ok() {
                self.client.close();
                return Ok(());
            }
            self.client.close();
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("the server did not answer within {} s{}", START_MAX.as_secs(), self.log_tail()))
    }

    /// Ends the process and starts it anew with the same configuration.
    pub fn restart(&mut self) -> Result<(), String> {
        self.stop();
        self.start()
    }

    /// Whether the process still runs; a server given by its address counts as running.
    pub fn is_alive(&mut self) -> bool {
        match self.process.as_mut() {
            Some(process) => process.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))),
            None => true,
        }
    }

    /// Initialises with a single share and unseals.
    pub fn init(&mut self) -> Result<(), String> {
        let init = self.put("/v1/sys/init", &json!({"secret_shares": 1, "secret_threshold": 1}))?;
        let key = init["keys"][0].as_str().ok_or_else(|| format!("init answered {init}"))?.to_owned();
        self.token = init["root_token"].as_str().map(str::to_owned);
        let unseal = self.put("/v1/sys/unseal", &json!({"key": key}))?;
        self.unseal_key = Some(key);
        if unseal["sealed"] != json!(false) {
            return Err(format!("unseal answered {unseal}"));
        }
        Ok(())
    }

    /// Sends a request. TLS requests never share a connection, so that none shows another's certificate.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &BTreeMap<String, String>,
        body: Option<&[u8]>,
        identity: Option<&Identity>,
    ) -> Result<Answer, String> {
        if self.tls {
            self.client.close();
        }
        self.client.send(&Request { method, path, headers, body, identity, timeout: ANSWER_MAX })
    }

    /// The variables that every scenario starts with.
    pub fn vars(&self) -> Vars {
        let mut vars = Vars::new();
        vars.insert("dir".to_owned(), json!(text(&self.folder)));
        vars.insert("port".to_owned(), json!(self.port.to_string()));
        vars.insert("addr".to_owned(), json!(self.address));
        if let Some(token) = &self.token {
            vars.insert("root".to_owned(), json!(token));
        }
        if let Some(key) = &self.unseal_key {
            vars.insert("unseal_key".to_owned(), json!(key));
        }
        vars
    }

    /// The end of the server's log, for a report; empty when there is none.
    pub fn log_tail(&self) -> String {
        const LINES: usize = 12;
        let log = self.process.as_ref().and_then(|process| std::fs::read(&process.log).ok()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LINES)..];
        tail.iter().map(|line| format!("\n      log: {line}")).collect()
    }

    /// Ends the process: asks first, then kills.
    pub fn stop(&mut self) {
        self.client.close();
        if let Some(process) = self.process.as_mut() {
            process.stop();
        }
    }

    fn put(&mut self, path: &str, body: &Value) -> Result<Value, String> {
        let headers = BTreeMap::from([("Content-Type".to_owned(), "application/json".to_owned())]);
        let answer = self.send("PUT", path, &headers, Some(body.to_string().as_bytes()), None)?;
        serde_json::from_slice(&answer.body)
            .map_err(|_| format!("{path} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Process {
    fn spawn(&mut self, folder: &Path) -> Result<(), String> {
        let open = || OpenOptions::new().create(true).append(true).open(&self.log);
        let log = |file: std::io::Result<File>| file.map(Stdio::from).map_err(|e| format!("log: {e}"));
        let mut command = Command::new(&self.program);
        command
            .arg("server")
            .arg(format!("-config={}", self.config.display()))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log(open())?)
            .stderr(log(open())?);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["VAULT_", "BAO_", "WARIFU_"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        let child = command.spawn().map_err(|e| format!("{}: {e}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // Until it was waited for, the process id cannot belong to anyone else.
        if matches!(child.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
            let asked = Instant::now();
            while asked.elapsed() < STOP_MAX && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
        }
        let _ = child.wait();
    }
}

/// A port that nobody listens on at this moment.
pub fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(|e| format!("free port: {e}"))?;
    Ok(listener.local_addr().map_err(|e| format!("free port: {e}"))?.port())
}

fn configuration(folder: &Path, port: u16, needs: &Needs) -> Result<String, String> {
    let storage = needs.storage.as_deref().unwrap_or("inmem");
    let place = match storage {
        "file" => format!("  path = \"{}\"\n", folder.join("data").display()),
        _ => String::new(),
    };
    let (scheme, tls) = if needs.tls {
        let (cert, key) = (text(&folder.join("tls.crt")), text(&folder.join("tls.key")));
        let made = openssl(
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "30",
                "-subj",
                "/CN=127.0.0.1",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                &key,
                "-out",
                &cert,
            ],
            b"",
        )?;
        if !made.ok {
            return Err("openssl made no certificate".to_owned());
        }
        ("https", format!("  tls_cert_file = \"{cert}\"\n  tls_key_file = \"{key}\"\n"))
    } else {
        ("http", "  tls_disable = 1\n".to_owned())
    };
    Ok(format!(
        r#"storage "{storage}" {{
{place}}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
{tls}  disable_unauthed_rekey_endpoints = false
  disable_unauthed_generate_root_endpoints = false
}}
api_addr = "{scheme}://127.0.0.1:{port}"
disable_mlock = true
ui = false
log_level = "error"
unsafe_allow_api_audit_creation = true
telemetry {{
  disable_hostname = true
  prometheus_retention_time = "30s"
}}
"#
    ))
}

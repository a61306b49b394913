//! A throw-away PostgreSQL for the scenarios about database credentials, started when the first of them wants it.
//!
//! It refuses to run as root, so root starts it as another user. It is ended by its process id when dropped.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::server::free_port;

const USER: &str = "pgroot";
const PASSWORD: &str = "rootpw";
const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(10);

/// The database of a run; not started until asked for.
pub struct Database {
    folder: PathBuf,
    started: Mutex<Option<Result<Postgres, String>>>,
}

impl Database {
    pub fn new(folder: &Path) -> Database {
        Database { folder: folder.to_owned(), started: Mutex::new(None) }
    }

    /// The port on 127.0.0.1, or why there is none.
    pub fn port(&self) -> Result<u16, String> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        match started.get_or_insert_with(|| Postgres::start(&self.folder)) {
            Ok(postgres) => Ok(postgres.port),
            Err(reason) => Err(reason.clone()),
        }
    }
}

struct Postgres {
    port: u16,
    child: Child,
}

impl Postgres {
    fn start(base: &Path) -> Result<Postgres, String> {
        let folder = base.join("postgres");
        let io = |e: std::io::Error| format!("PostgreSQL: {e}");
        std::fs::create_dir(&folder).map_err(io)?;
        let user = other_user()?;
        if let Some((uid, gid)) = user {
            std::fs::set_permissions(base, PermissionsExt::from_mode(0o755)).map_err(io)?;
            chown(&folder, Some(uid), Some(gid)).map_err(io)?;
        }
        let password = folder.join("password");
        std::fs::write(&password, format!("{PASSWORD}\n")).map_err(io)?;
        std::fs::set_permissions(&password, PermissionsExt::from_mode(0o644)).map_err(io)?;
        let data = folder.join("data");
        let command = |program: &str| {
            let mut command = Command::new(program);
            let path = std::env::var_os("PATH").unwrap_or_default();
            command.env_clear().env("PATH", path).env("LC_ALL", "C").env("HOME", &folder).current_dir(&folder);
            command.arg("-D").arg(&data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        let mut init = command("initdb");
        init.args(["-U", USER, "-A", "md5", "-E", "UTF8", "--no-locale", "-N", "--pwfile"]).arg(&password);
        let made = init.status().map_err(|e| format!("initdb: {e}"))?;
        if !made.success() {
            return Err("initdb made no database".to_owned());
        }
        let port = free_port()?;
        let mut run = command("postgres");
        run.args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=60"] {
            run.args(["-c", setting]);
        }
        let child = run.spawn().map_err(|e| format!("postgres: {e}"))?;
        let postgres = Postgres { port, child };
        let started = Instant::now();
        while started.elapsed() < START_MAX {
            if query(port, USER, PASSWORD, "postgres", "select 1")?.0 {
                return Ok(postgres);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("PostgreSQL did not answer".to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Until it was waited for, the process id cannot belong to anyone else. INT is its fast shutdown.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
            let asked = Instant::now();
            while asked.elapsed() < STOP_MAX && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// The step `LOCAL pg`: runs a statement with a role; tells whether it worked, and the rows.
pub fn statement(arguments: &Value) -> Result<Value, String> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str);
    let needed = |name: &str| text(name).ok_or_else(|| format!("argument '{name}' is not a text"));
    let port = arguments.get("port").map(crate::values::to_text).and_then(|port| port.parse().ok());
    let port = port.ok_or("argument 'port' is not a number")?;
    let database = text("db").unwrap_or("postgres");
    let (ok, output) = query(port, needed("user")?, text("password").unwrap_or_default(), database, needed("sql")?)?;
    Ok(json!({"ok": ok, "rows": output.lines().collect::<Vec<_>>()}))
}

fn query(port: u16, user: &str, password: &str, database: &str, sql: &str) -> Result<(bool, String), String> {
    let output = Command::new("psql")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", user, "-d", database, "-AtX", "-c", sql])
        .env("PGPASSWORD", password)
        .env("PGCONNECT_TIMEOUT", "5")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("psql: {e}"))?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// For root, the ids of a user to become.
fn other_user() -> Result<Option<(u32, u32)>, String> {
    if !rustix::process::getuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(|e| format!("the list of users: {e}"))?;
    let ids = |wanted: &str| {
        let fields: Vec<&str> =
            users.lines().map(|line| line.split(':').collect()).find(|f: &Vec<_>| f[0] == wanted)?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    let found = ["postgres", "confpg", "nobody"].iter().find_map(|name| ids(name));
    found.map(Some).ok_or_else(|| "there is no user to run PostgreSQL as".to_owned())
}

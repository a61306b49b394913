//! `operator diagnose`: what would keep the server from starting, or trouble it, found out without starting it. Nothing is
//! changed: a store that is not there is not made, and one that is in use is left alone.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::super::context::{Cx, Format};
use super::super::failure::{Failure, Outcome};
use super::{STORE, run};
use crate::base::{Clock, Error, Timestamp, process, time::SystemClock};
use crate::config::{Config, ListenerConfig, Storage, Tls};
use crate::crypto::x509::Certificate;
use crate::storage::sqlite::Sqlite;
use crate::telemetry::host;

/// Look for what would keep a server from starting: its configuration, storage, certificates, addresses, disk, clock.
/// The exit code is 0 where all is well, 2 where something deserves a look, 1 where something is wrong.
#[derive(Args, Debug)]
pub struct Diagnose {
    /// A configuration file, or a folder of them; can be given several times.
    #[arg(long, value_name = "PATH")]
    config: Vec<PathBuf>,
    /// A check to leave out, by its name; can be given several times.
    #[arg(long, value_name = "NAME")]
    skip: Vec<String>,
    /// Accepted for scripts that pass it.
    #[arg(long, hide = true)]
    debug: bool,
}

/// Fewer open files than this are fewer than a listener's connections.
const FILES: u64 = 1024;
/// Less free space than this, in bytes, is little.
const SPACE: u64 = 1 << 30;
/// A certificate that ends within this many seconds is to be renewed.
const SOON: i64 = 30 * 86_400;
/// Files are not written so many seconds ahead of a clock that is right.
const AHEAD: i64 = 120;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Ok,
    Skipped,
    Warning,
    Failure,
}

impl Status {
    /// In JSON.
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warn",
            Self::Failure => "fail",
        }
    }

    /// For people.
    const fn mark(self) -> &'static str {
        match self {
            Self::Ok => "[ success ]",
            Self::Skipped => "[ skipped ]",
            Self::Warning => "[ warning ]",
            Self::Failure => "[ failure ]",
        }
    }
}

/// One check: what was looked at, and what was found.
struct Check {
    name: String,
    status: Status,
    message: String,
    warnings: Vec<String>,
    children: Vec<Self>,
}

impl Check {
    fn ok(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            status: Status::Ok,
            message: String::new(),
            warnings: Vec::new(),
            children: Vec::new(),
        }
    }

    fn says(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    fn fails(mut self, message: impl std::fmt::Display) -> Self {
        self.status = Status::Failure;
        self.says(message.to_string())
    }

    fn warns(mut self, warning: impl Into<String>) -> Self {
        self.status = self.status.max(Status::Warning);
        self.warnings.push(warning.into());
        self
    }

    /// What is wrong below is wrong with the whole.
    fn of(name: &str, children: Vec<Self>) -> Self {
        let worst = children.iter().map(|child| child.status).max().filter(|worst| *worst > Status::Skipped);
        Self { status: worst.unwrap_or(Status::Ok), children, ..Self::ok(name) }
    }

    fn json(&self) -> Value {
        let mut value = json!({"name": self.name, "status": self.status.word()});
        if !self.message.is_empty() {
            value["message"] = self.message.as_str().into();
        }
        if !self.warnings.is_empty() {
            value["warnings"] = self.warnings.clone().into();
        }
        if !self.children.is_empty() {
            value["children"] = self.children.iter().map(Self::json).collect();
        }
        value
    }

    fn lines(&self, depth: usize, lines: &mut Vec<String>) {
        let indent = "  ".repeat(depth);
        let colon = if self.message.is_empty() { "" } else { ": " };
        lines.push(format!("{indent}{} {}{colon}{}", self.status.mark(), self.name, self.message));
        lines.extend(self.warnings.iter().map(|warning| format!("{indent}  {warning}")));
        self.children.iter().for_each(|child| child.lines(depth + 1, lines));
    }
}

impl Diagnose {
    pub fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        if self.config.is_empty() {
            cx.warn("Must specify a configuration file using -config.")?;
            return Err(Failure::Exit(3));
        }
        let whole = diagnose(&self.config, SystemClock::new().now(), &|name| {
            self.skip.iter().any(|skip| skip.eq_ignore_ascii_case(name))
        });
        if matches!(cx.format(), Format::Table) {
            let mut lines = Vec::new();
            whole.lines(0, &mut lines);
            cx.say(&lines.join("\n"))?;
        } else {
            cx.value(&whole.json())?;
        }
        match whole.status {
            Status::Ok | Status::Skipped => Ok(()),
            Status::Warning => Err(Failure::Exit(2)),
            Status::Failure => Err(Failure::Exit(1)),
        }
    }
}

fn diagnose(files: &[PathBuf], now: Timestamp, skips: &dyn Fn(&str) -> bool) -> Check {
    let check = |name: &str, look: &dyn Fn(&str) -> Check| match skips(name) {
        true => Check { status: Status::Skipped, ..Check::ok(name) },
        false => look(name),
    };
    let mut checks = vec![check("Check Operating System", &system)];
    match Config::load(files, Config::new(STORE)) {
        Err(error) => checks.push(Check::ok("Parse Configuration").fails(error)),
        Ok((config, warnings)) => {
            let parsed = Check::ok("Parse Configuration");
            checks.push(warnings.iter().fold(parsed, |check, warning| check.warns(warning.to_string())));
            checks.push(check("Check Storage", &|name| storage(name, &config)));
            checks.push(check("Check Audit Devices", &|name| match run::check(&config) {
                Ok(()) => Check::ok(name),
                Err(error) => Check::ok(name).fails(error),
            }));
            checks.push(check("Start Listeners", &|name| {
                Check::of(name, config.listeners.iter().flat_map(|rules| [bind(rules), tls(rules, now)]).collect())
            }));
            checks.push(check("Check Clock", &|name| clock(name, &config, now)));
        }
    }
    Check::of("Vault Diagnose", checks)
}

fn system(name: &str) -> Check {
    let files = Check::ok("Check Open File Limits");
    let files = match process::open_files_at_most() {
        Some(most) if most < FILES => {
            files.warns(format!("at most {most} files can be open: raise the limit to {FILES} or more (LimitNOFILE)"))
        }
        Some(most) => files.says(format!("at most {most}")),
        None => files,
    };
    Check::of(name, vec![files])
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn storage(name: &str, config: &Config) -> Check {
    let Storage::Sqlite { path } = &config.storage else {
        return Check::ok(name).warns("the store is in memory: it ends with the server");
    };
    let space = Check::ok("Check Disk Usage");
    let space = match host::space(folder_of(path)) {
        Some((_, free)) if free < SPACE => space.warns(format!("only {} MiB are free", free >> 20)),
        Some((total, free)) if free < total / 20 => space.warns("the disk is more than 95 percent full"),
        Some(_) => space,
        None => space.warns("how full the disk is cannot be told"),
    };
    Check::of(name, vec![open(path), space])
}

/// Opens a store that is there and not in use, as the server would.
fn open(path: &Path) -> Check {
    let check = Check::ok("Create Storage Backend");
    if !path.exists() {
        return match std::fs::metadata(folder_of(path)) {
            Ok(folder) if folder.permissions().readonly() => check.fails("the folder of the store cannot be written"),
            Ok(_) => check.says("there is no store yet: the server makes one when it starts"),
            Err(error) => check.warns(format!("the folder of the store: {error}; the server tries to make it")),
        };
    }
    let store = match Sqlite::open(path) {
        Ok(store) => store,
        Err(Error::Unavailable(text)) => return check.warns(format!("{text}: it was not looked into")),
        Err(error) => return check.fails(error),
    };
    match crate::seal::config(&store) {
        Ok(Some(seal)) => check.says(format!("a store of the seal type {}", seal.kind())),
        Ok(None) => check.says("a store that is not initialized yet"),
        Err(error) => check.fails(error),
    }
}

fn bind(rules: &ListenerConfig) -> Check {
    let check = Check::ok(format!("Create Listener {}", rules.address));
    let host = if rules.address.host().is_empty() { "::" } else { rules.address.host() };
    match TcpListener::bind((host, rules.address.port())) {
        Ok(_) => check,
        Err(error) => check.fails(error),
    }
}

fn tls(rules: &ListenerConfig, now: Timestamp) -> Check {
    let check = Check::ok(format!("Check Listener TLS {}", rules.address));
    let (cert, key) = match &rules.tls {
        Tls::Disabled => return check.warns("TLS is disabled in a listener: tokens and secrets pass in the clear"),
        Tls::SelfSigned => {
            return check.says("the server signs its certificate itself: clients have to be told to trust it");
        }
        Tls::Files { cert, key } => (cert, key),
    };
    if let Err(error) = crate::api::listener::Certificates::load(rules, cert, key) {
        return check.fails(error);
    }
    let leaf = std::fs::read_to_string(cert).map_err(|error| error.to_string());
    let leaf = leaf.and_then(|text| Certificate::from_pem(&text).map_err(|error| error.to_string()));
    match leaf {
        Err(error) => check.fails(error),
        Ok(leaf) if leaf.not_after() <= now => check.fails(format!("the certificate ended at {}", leaf.not_after())),
        Ok(leaf) if leaf.not_before() > now => {
            check.fails(format!("the certificate begins at {} only", leaf.not_before()))
        }
        Ok(leaf) if leaf.not_after().as_second() - now.as_second() < SOON => {
            check.warns(format!("the certificate ends soon, at {}", leaf.not_after()))
        }
        Ok(leaf) => check.says(format!("the certificate ends at {}", leaf.not_after())),
    }
}

/// A clock that is wrong ends leases and certificates at the wrong time.
fn clock(name: &str, config: &Config, now: Timestamp) -> Check {
    let check = Check::ok(name);
    if crate::BUILD_DATE.parse::<Timestamp>().is_ok_and(|built| now < built) {
        return check.fails(format!("it says {now}, which is before this server was made"));
    }
    let Storage::Sqlite { path } = &config.storage else { return check };
    let written = std::fs::metadata(path).and_then(|file| file.modified()).ok();
    match written.and_then(|moment| Timestamp::try_from(moment).ok()) {
        Some(written) if written.as_second() - now.as_second() > AHEAD => {
            check.warns(format!("it says {now}, and the store was last written at {written}: one of them was wrong"))
        }
        _ => check.says(now.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::listener::ensure_self_signed;
    use crate::crypto::SystemRng;

    const PLAIN: &str = "listener \"tcp\" { address = \"127.0.0.1:0\" tls_disable = true }";

    fn now() -> Timestamp {
        SystemClock::new().now()
    }

    /// A folder with a store's place in it, and what was found by the name of each check.
    struct Bench(tempfile::TempDir);

    impl Bench {
        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn with_tls(&self, cert: &Path, key: &Path) -> String {
            let (cert, key) = (cert.display(), key.display());
            format!(
                "listener \"tcp\" {{ address = \"127.0.0.1:0\" tls_cert_file = \"{cert}\" tls_key_file = \"{key}\" }}"
            )
        }

        fn look(&self, listener: &str, now: Timestamp, skip: &str) -> BTreeMap<String, (Status, String)> {
            fn walk(check: &Check, found: &mut BTreeMap<String, (Status, String)>) {
                let said = format!("{}{}", check.message, check.warnings.join(" "));
                found.insert(check.name.clone(), (check.status, said));
                check.children.iter().for_each(|child| walk(child, found));
            }
            let file = self.path("server.hcl");
            let storage = format!("storage \"sqlite\" {{ path = \"{}\" }}", self.path("store.db").display());
            std::fs::write(&file, format!("{storage}\n{listener}\n")).unwrap();
            let mut found = BTreeMap::new();
            walk(&diagnose(&[file], now, &|name| name == skip), &mut found);
            found
        }
    }

    #[test]
    fn a_store_is_looked_into_and_neither_made_nor_changed() {
        let bench = Bench(tempfile::tempdir().unwrap());
        let store = bench.path("store.db");
        let of = |found: &BTreeMap<String, (Status, String)>| found["Create Storage Backend"].clone();
        let (status, said) = of(&bench.look(PLAIN, now(), ""));
        assert!(status == Status::Ok && said.contains("no store yet"), "{said}");
        assert!(!store.exists());
        std::fs::write(&store, "not a store at all").unwrap();
        let found = bench.look(PLAIN, now(), "");
        assert_eq!((of(&found).0, found["Vault Diagnose"].0), (Status::Failure, Status::Failure));
        assert_eq!(std::fs::read_to_string(&store).unwrap(), "not a store at all");
        assert_eq!(bench.look(PLAIN, now(), "Check Storage")["Check Storage"].0, Status::Skipped);
        std::fs::remove_file(&store).unwrap();
        let open = Sqlite::open(&store).unwrap();
        let (status, said) = of(&bench.look(PLAIN, now(), ""));
        assert!(status == Status::Warning && said.contains("not looked into"), "{said}");
        drop(open);
        let (status, said) = of(&bench.look(PLAIN, now(), ""));
        assert!(status == Status::Ok && said.contains("not initialized yet"), "{said}");
    }

    #[test]
    fn an_address_in_use_and_a_certificate_that_does_not_serve_are_told() {
        let bench = Bench(tempfile::tempdir().unwrap());
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let found =
            bench.look(&format!("listener \"tcp\" {{ address = \"{address}\" tls_disable = true }}"), now(), "");
        assert_eq!(found[&format!("Create Listener {address}")].0, Status::Failure);
        assert_eq!(found[&format!("Check Listener TLS {address}")].0, Status::Warning);
        let made = ensure_self_signed(bench.0.path(), &[], now(), &SystemRng::new()).unwrap();
        let of = |moment: Timestamp| {
            let found = bench.look(&bench.with_tls(&made.cert, &made.key), moment, "");
            found["Check Listener TLS 127.0.0.1:0"].clone()
        };
        let leaf = Certificate::from_pem(&std::fs::read_to_string(&made.cert).unwrap()).unwrap();
        let days = |days: i64| jiff::SignedDuration::from_hours(24 * days);
        let end = leaf.not_after();
        assert_eq!(of(now()).0, Status::Ok);
        assert_eq!(of(end.checked_sub(days(29)).unwrap()).0, Status::Warning);
        assert!(of(end.checked_add(days(1)).unwrap()).1.contains("ended at"));
        assert!(of(leaf.not_before().checked_sub(days(1)).unwrap()).1.contains("begins at"));
        std::fs::write(bench.path("no.pem"), "no certificate").unwrap();
        let found = bench.look(&bench.with_tls(&bench.path("no.pem"), &made.key), now(), "");
        assert_eq!(found["Check Listener TLS 127.0.0.1:0"].0, Status::Failure);
    }

    #[test]
    fn a_clock_that_was_set_back_is_told() {
        let bench = Bench(tempfile::tempdir().unwrap());
        drop(Sqlite::open(&bench.path("store.db")).unwrap());
        assert_eq!(bench.look(PLAIN, now(), "")["Check Clock"].0, Status::Ok);
        let hour = jiff::SignedDuration::from_hours(1);
        let found = bench.look(PLAIN, now().checked_sub(hour).unwrap(), "");
        assert_eq!(found["Check Clock"].0, Status::Warning, "{found:?}");
        let found = bench.look(PLAIN, "2020-01-01T00:00:00Z".parse().unwrap(), "");
        assert_eq!(found["Check Clock"].0, Status::Failure);
    }
}

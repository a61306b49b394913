//! The health of a mount of the type pki: a list of checks, each of which says what it looked at and what it found.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::super::context::{Cx, folder};
use super::super::failure::{Failure, Outcome};
use super::super::pairs;
use super::{Issuer, issuers};
use crate::base::{Timestamp, Ttl};
use crate::client::{self, Reply, Request};
use crate::crypto::x509::Crl;

/// Check the health of a mount.
#[derive(Args, Debug)]
pub struct HealthCheck {
    /// Only list the checks.
    #[arg(long)]
    list: bool,
    /// Only the checks that the configuration switches on.
    #[arg(long)]
    default_disabled: bool,
    /// A file of JSON with settings of the checks, by their names.
    #[arg(long, value_name = "FILE")]
    health_config: Option<String>,
    /// From which finding on the exit code is not 0.
    #[arg(long, value_name = "LEVEL", default_value = "default")]
    return_indicator: Indicator,
    /// The mount.
    mount: Option<String>,
}

/// From which finding on the exit code tells of it.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Indicator {
    /// As informational.
    Default,
    /// From a word of information on.
    Informational,
    /// From a warning on.
    Warning,
    /// Only what is critical.
    Critical,
    /// Only what may not be looked at.
    Permission,
}

/// How bad it is; the number is the exit code, as Vault's command line has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Ok = 0,
    Informational = 2,
    Warning = 3,
    Critical = 4,
    Forbidden = 6,
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Informational => "informational",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Forbidden => "insufficient_permissions",
        }
    }
}

const CHECKS: [(&str, &str); 14] = [
    ("ca_validity_period", "issuers that end soon"),
    ("crl_validity_period", "revocation lists that end soon"),
    ("hardware_backed_root", "whether the keys of roots are in hardware"),
    ("root_issued_leaves", "leaves that a root signed itself"),
    ("role_allows_localhost", "roles that allow localhost"),
    ("role_allows_glob_wildcards", "roles that allow wildcards by a pattern"),
    ("role_no_store_false", "roles that store short-lived certificates"),
    ("audit_visibility", "whether the audit log shows what certificates say"),
    ("allow_if_modified_since", "whether unchanged lists are sent again"),
    ("enable_auto_tidy", "whether old certificates go by themselves"),
    ("tidy_last_run", "when they last went"),
    ("too_many_certs", "how many certificates are stored"),
    ("enable_acme_issuance", "whether certificates can be had by ACME"),
    ("allow_acme_headers", "whether ACME's headers reach its clients"),
];

/// What of a request and of an answer is no secret, and useful in an audit log.
const REQUEST_KEYS: [&str; 7] = ["alt_names", "common_name", "csr", "ip_sans", "serial_number", "ttl", "uri_sans"];
const RESPONSE_KEYS: [&str; 4] = ["certificate", "expiration", "issuing_ca", "serial_number"];

/// Settings of the checks, by their names: whether each is on, and its own.
struct Settings {
    all: serde_json::Map<String, Value>,
    on: bool,
}

impl Settings {
    fn load(file: Option<&str>, disabled: bool, stdin: &mut dyn std::io::Read) -> Outcome<Self> {
        let all = match file {
            Some(file) => serde_json::from_str(&pairs::text(file, stdin)?)
                .map_err(|_| Failure::local("The settings of the checks: want a JSON object"))?,
            None => serde_json::Map::new(),
        };
        if let Some(unknown) = all.keys().find(|name| !CHECKS.iter().any(|(check, _)| check == name)) {
            return Err(Failure::local(format!("The settings of the checks: there is no check {unknown}")));
        }
        Ok(Self { all, on: !disabled })
    }

    fn wants(&self, check: &str) -> bool {
        self.of(check, "enabled").and_then(Value::as_bool).unwrap_or(self.on)
    }

    fn of(&self, check: &str, name: &str) -> Option<&Value> {
        self.all.get(check)?.get(name)
    }

    fn number(&self, check: &str, name: &str) -> Option<i64> {
        self.of(check, name)?.as_i64()
    }

    /// A span of time, such as 60d, in days.
    fn days(&self, check: &str, name: &str) -> Option<i64> {
        let span = Ttl::parse(self.of(check, name)?.as_str()?).ok()?;
        i64::try_from(span.seconds() / 86_400).ok()
    }
}

struct Finding {
    check: &'static str,
    status: Status,
    endpoint: String,
    message: String,
}

struct Checkup<'a> {
    mount: &'a str,
    now: Timestamp,
    settings: Settings,
    found: Vec<Finding>,
}

impl HealthCheck {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let settings = Settings::load(self.health_config.as_deref(), self.default_disabled, cx.world.stdin)?;
        if self.list {
            let mut rows = vec![vec!["check".to_owned(), "looks at".to_owned()]];
            let on = CHECKS.iter().filter(|(name, _)| settings.wants(name));
            rows.extend(on.map(|(name, about)| vec![(*name).to_owned(), (*about).to_owned()]));
            return cx.table(&rows);
        }
        let mount = self.mount.as_deref().map(folder);
        let mount = mount.ok_or_else(|| Failure::local("Name the mount, such as: pki health-check pki"))?;
        let health = cx.aside(Request::read("sys/seal-status")).await.is_ok();
        if !health {
            return Err(Failure::Remote("The server cannot be asked".into()));
        }
        let mut checkup = Checkup { mount: &mount, now: now(), settings, found: Vec::new() };
        let known = checkup.issuers(cx).await?;
        checkup.leaves(cx, &known).await?;
        checkup.roles(cx).await?;
        checkup.settings(cx).await?;
        let worst = checkup.found.iter().map(|one| one.status).max().unwrap_or(Status::Ok);
        checkup.show(cx)?;
        let told = match self.return_indicator {
            Indicator::Default | Indicator::Informational => worst > Status::Ok,
            Indicator::Warning => worst >= Status::Warning,
            Indicator::Critical => worst >= Status::Critical,
            Indicator::Permission => worst == Status::Forbidden,
        };
        if told { Err(Failure::Exit(worst as u8)) } else { Ok(()) }
    }
}

#[expect(clippy::disallowed_methods, reason = "a command that runs once looks at the clock of the machine it runs on")]
fn now() -> Timestamp {
    Timestamp::now()
}

impl Checkup<'_> {
    fn say(&mut self, check: &'static str, status: Status, endpoint: impl Into<String>, message: impl Into<String>) {
        if self.settings.wants(check) {
            self.found.push(Finding { check, status, endpoint: endpoint.into(), message: message.into() });
        }
    }

    /// Reads a path; what may not be read is a finding, what is not there is nothing.
    async fn read(&mut self, cx: &mut Cx<'_, '_>, check: &'static str, request: Request) -> Outcome<Option<Reply>> {
        let path = request.path_and_query();
        match cx.ask(request).await {
            Ok(reply) => Ok(reply),
            Err(Failure::Client(_, client::Error::Api { status: 403, .. })) => {
                self.say(check, Status::Forbidden, path, "the token may not read this");
                Ok(None)
            }
            Err(Failure::Client(_, client::Error::Api { status: 400..=404, .. })) => Ok(None),
            Err(other) => Err(other),
        }
    }

    async fn issuers(&mut self, cx: &mut Cx<'_, '_>) -> Outcome<Vec<Issuer>> {
        let mut known = Vec::new();
        let mut lists = Vec::new();
        for path in issuers(cx, self.mount).await? {
            let issuer = match Issuer::load(cx, &path).await {
                Ok(issuer) => issuer,
                Err(Failure::Client(_, client::Error::Api { status: 403, .. })) => {
                    self.say("ca_validity_period", Status::Forbidden, path, "the token may not read this");
                    continue;
                }
                Err(other) => return Err(other),
            };
            let end = issuer.certificate.not_after();
            let days = (end.as_second() - self.now.as_second()) / 86_400;
            let root = issuer.certificate.issuer() == issuer.certificate.subject();
            let of = if root { "root" } else { "intermediate" };
            let bounds = if root { [180, 365, 730] } else { [30, 60, 180] };
            let words = ["critical", "warning", "informational"];
            let days_of = |at: usize| {
                let name = format!("{of}_expiry_{}", words[at]);
                self.settings.days("ca_validity_period", &name).unwrap_or(bounds[at])
            };
            let (critical, warning, information) = (days_of(0), days_of(1), days_of(2));
            let status = match days {
                _ if end <= self.now => Status::Critical,
                days if days < critical => Status::Critical,
                days if days < warning => Status::Warning,
                days if days < information => Status::Informational,
                _ => Status::Ok,
            };
            self.say("ca_validity_period", status, &path, format!("ends in {days} days, at {end}"));
            if root {
                let words = "its key is encrypted in the store, as all keys are; none is in hardware";
                self.say("hardware_backed_root", Status::Informational, &path, words);
            }
            self.list(cx, &path, &mut lists).await?;
            known.push(issuer);
        }
        if known.is_empty() {
            self.say(
                "ca_validity_period",
                Status::Informational,
                format!("{}issuers", self.mount),
                "there is no issuer",
            );
        }
        Ok(known)
    }

    async fn list(&mut self, cx: &mut Cx<'_, '_>, issuer: &str, seen: &mut Vec<Vec<u8>>) -> Outcome {
        let path = format!("{issuer}/crl");
        let Some(reply) = self.read(cx, "crl_validity_period", Request::read(&path)).await? else { return Ok(()) };
        let list = reply.text("crl").ok().and_then(|pem| Crl::from_pem(pem).ok());
        let Some(list) = list else {
            self.say("crl_validity_period", Status::Critical, path, "the list cannot be read");
            return Ok(());
        };
        // Issuers with one name and key share a list.
        if seen.contains(&list.der().to_vec()) {
            return Ok(());
        }
        seen.push(list.der().to_vec());
        let end = list.next_update().unwrap_or(Timestamp::MAX);
        let whole = (end.as_second() - list.this_update().as_second()).max(1);
        let left = (end.as_second() - self.now.as_second()) * 100 / whole;
        let status = match left {
            left if left <= 5 => Status::Critical,
            left if left <= 20 => Status::Warning,
            _ => Status::Ok,
        };
        self.say("crl_validity_period", status, path, format!("{} entries, valid until {end}", list.len()));
        Ok(())
    }

    async fn leaves(&mut self, cx: &mut Cx<'_, '_>, known: &[Issuer]) -> Outcome {
        let path = format!("{}certs/detailed/", self.mount);
        let request = Request::list(&path).query("limit", "100");
        let Some(reply) = self.read(cx, "root_issued_leaves", request).await? else { return Ok(()) };
        let roots: Vec<&str> = known
            .iter()
            .filter(|issuer| issuer.certificate.issuer() == issuer.certificate.subject())
            .filter_map(|issuer| issuer.path.rsplit('/').next())
            .collect();
        let empty = serde_json::Map::new();
        let info = reply.field("key_info").and_then(Value::as_object).unwrap_or(&empty);
        let by_root = |one: &&Value| {
            let role = one["role"].as_str().unwrap_or_default();
            !role.is_empty() && roots.contains(&one["issuer_id"].as_str().unwrap_or_default())
        };
        let count = info.values().filter(by_root).count();
        let (status, message) = match count {
            0 => (Status::Ok, "none of the certificates that were looked at".to_owned()),
            count => (Status::Warning, format!("{count} leaves by a root: let an intermediate sign them")),
        };
        self.say("root_issued_leaves", status, path, message);
        Ok(())
    }

    async fn roles(&mut self, cx: &mut Cx<'_, '_>) -> Outcome {
        let list = Request::list(&format!("{}roles/", self.mount));
        let Some(reply) = self.read(cx, "role_allows_localhost", list).await? else { return Ok(()) };
        let names: Vec<String> = reply.keys().iter().map(|name| (*name).to_owned()).collect();
        for name in names {
            let path = format!("{}roles/{name}", self.mount);
            let Some(role) = self.read(cx, "role_allows_localhost", Request::read(&path)).await? else { continue };
            let set = |field: &str| role.field(field).and_then(Value::as_bool).unwrap_or(false);
            let domains = role.field("allowed_domains").and_then(Value::as_array).cloned().unwrap_or_default();
            if set("allow_localhost") && !set("allow_any_name") {
                self.say("role_allows_localhost", Status::Warning, &path, "allow_localhost is on, as by default");
            }
            let star = domains.iter().any(|domain| domain.as_str().is_some_and(|domain| domain.contains('*')));
            if star && set("allow_glob_domains") && set("allow_wildcard_certificates") {
                self.say("role_allows_glob_wildcards", Status::Warning, &path, "patterns may match wildcards");
            }
            let ttl = role.field("ttl").and_then(Value::as_u64).unwrap_or(0);
            if !set("no_store") && ttl != 0 && ttl <= Ttl::from_seconds(72 * 3600).seconds() {
                let words = "certificates live for three days at most and are stored: no_store would save room";
                self.say("role_no_store_false", Status::Informational, &path, words);
            }
        }
        Ok(())
    }

    async fn settings(&mut self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = format!("{}config/auto-tidy", self.mount);
        if let Some(auto) = self.read(cx, "enable_auto_tidy", Request::read(&path)).await? {
            let on = auto.field("enabled").and_then(Value::as_bool).unwrap_or(false);
            let status = if on { Status::Ok } else { Status::Informational };
            self.say("enable_auto_tidy", status, path, if on { "on" } else { "off: old certificates stay" });
        }
        let path = format!("{}tidy-status", self.mount);
        if let Some(tidy) = self.read(cx, "tidy_last_run", Request::read(&path)).await? {
            let last = tidy.field("time_finished").and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
            let days = last.map(|at| (self.now.as_second() - at.as_second()) / 86_400);
            let (status, message) = match days {
                None => (Status::Informational, "never".to_owned()),
                Some(days) if days > 7 => (Status::Warning, format!("{days} days ago")),
                Some(days) => (Status::Ok, format!("{days} days ago")),
            };
            self.say("tidy_last_run", status, path, message);
        }
        let path = format!("{}certs/", self.mount);
        if let Some(certs) = self.read(cx, "too_many_certs", Request::list(&path)).await? {
            let count = certs.keys().len();
            // What a list of all still takes without trouble; the store itself does not mind.
            let most = |name: &str| self.settings.number("too_many_certs", name);
            let status = match i64::try_from(count).unwrap_or(i64::MAX) {
                count if most("count_critical").is_some_and(|most| count > most) => Status::Critical,
                count if most("count_warning").is_some_and(|most| count > most) => Status::Warning,
                count if count > 250_000 => Status::Informational,
                _ => Status::Ok,
            };
            self.say("too_many_certs", status, path, format!("{count} certificates are stored"));
        }
        let path = format!("{}config/acme", self.mount);
        if let Some(acme) = self.read(cx, "enable_acme_issuance", Request::read(&path)).await? {
            let on = acme.field("enabled").and_then(Value::as_bool).unwrap_or(false);
            let status = if on { Status::Ok } else { Status::Informational };
            self.say("enable_acme_issuance", status, &path, if on { "on" } else { "off" });
            let words = "they are sent whatever the mount allows";
            self.say("allow_acme_headers", Status::Ok, path, words);
        }
        self.tuning(cx).await
    }

    /// What the mount was tuned to.
    async fn tuning(&mut self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = format!("sys/mounts/{}tune", self.mount);
        let Some(tuned) = self.read(cx, "audit_visibility", Request::read(&path)).await? else { return Ok(()) };
        let names = |field: &str| -> Vec<String> {
            let list = tuned.field(field).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
        };
        for (field, wanted) in [("request", &REQUEST_KEYS[..]), ("response", &RESPONSE_KEYS[..])] {
            let shown = names(&format!("audit_non_hmac_{field}_keys"));
            let absent: Vec<&str> =
                wanted.iter().filter(|name| !shown.iter().any(|shown| shown == *name)).copied().collect();
            let (status, message) = match absent.is_empty() {
                true => (Status::Ok, format!("{field}s show what certificates say")),
                false => (
                    Status::Informational,
                    format!("audit_non_hmac_{field}_keys without {}: only their digests are seen", absent.join(", ")),
                ),
            };
            self.say("audit_visibility", status, &path, message);
        }
        let keys = names("audit_non_hmac_response_keys");
        if keys.iter().any(|name| name == "private_key") {
            self.say("audit_visibility", Status::Critical, &path, "private keys are written into the audit log");
        }
        let words = "an answer always has the whole list or certificate; no header changes that";
        self.say("allow_if_modified_since", Status::Ok, path, words);
        Ok(())
    }

    fn show(&self, cx: &mut Cx<'_, '_>) -> Outcome {
        if !cx.is_table() {
            let mut map = serde_json::Map::new();
            for one in &self.found {
                let about = json!({"status": one.status.word(), "endpoint": one.endpoint, "message": one.message});
                if let Value::Array(list) = map.entry(one.check).or_insert_with(|| json!([])) {
                    list.push(about);
                }
            }
            return cx.value(&map.into());
        }
        for (check, _) in CHECKS {
            let found: Vec<&Finding> = self.found.iter().filter(|one| one.check == check).collect();
            if found.is_empty() {
                continue;
            }
            cx.say(&format!("{check}\n{}", "-".repeat(check.len())))?;
            let mut rows = vec![["status", "endpoint", "message"].map(str::to_owned).to_vec()];
            rows.extend(
                found.iter().map(|one| vec![one.status.word().into(), one.endpoint.clone(), one.message.clone()]),
            );
            cx.table(&rows)?;
            cx.say("")?;
        }
        Ok(())
    }
}

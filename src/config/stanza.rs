//! The smaller blocks: `storage`, `telemetry`, `user_lockout`, `audit`.

use std::path::PathBuf;
use std::time::Duration;

use super::Warning;
use super::ignored;
use super::load::{DAY, named, only, path, set, within};
use crate::base::limits;
use crate::hcl::{self, Body};

/// Name of the store inside the folder that `storage "file"` names.
const FILE_NAME: &str = "warifu.db";

/// Where everything is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// One SQLite file.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// Nothing is kept beyond the process.
    Memory,
}

/// Metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// How long a metric that is not touched any more is still shown; none: metrics are off.
    pub prometheus_retention: Option<Duration>,
    /// Whether metrics are shown without a token, on every listener.
    pub unauthenticated_metrics_access: bool,
    /// How often what there is gets counted; none: never.
    pub usage_gauge_period: Option<Duration>,
    /// What names begin with.
    pub prefix: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            prometheus_retention: Some(DAY),
            unauthenticated_metrics_access: false,
            usage_gauge_period: Some(Duration::from_secs(600)),
            prefix: "vault".to_owned(),
        }
    }
}

/// When failed logins lock a user out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLockout {
    /// `all`, or a kind of auth method.
    pub method: String,
    /// Failures in a row that lock.
    pub threshold: u32,
    /// How long a lock lasts.
    pub duration: Duration,
    /// How long a failure is remembered.
    pub counter_reset: Duration,
    /// Whether nobody is locked out.
    pub disable: bool,
}

/// An audit device that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditDevice {
    /// `file`, `socket`, `syslog`.
    pub kind: String,
    /// The device's name.
    pub path: String,
    /// What people are told.
    pub description: String,
    /// Its options as text.
    pub options: Vec<(String, String)>,
}

/// The store, if this document names one; `backend` is the old word.
pub(super) fn storage(body: &Body, warnings: &mut Vec<Warning>) -> hcl::Result<Option<Storage>> {
    let mut blocks = body.labelled("storage")?;
    blocks.extend(body.labelled("backend")?);
    if let Some(second) = blocks.get(1) {
        return Err(body.error(second.span(), "there is more than one storage"));
    }
    let Some(block) = blocks.pop() else { return Ok(None) };
    let kind = block.label()?;
    Ok(Some(match kind {
        "sqlite" => {
            block.only(&["path"])?;
            Storage::Sqlite { path: path(&block.require("path")?)? }
        }
        "file" => {
            block.only(&["path"])?;
            Storage::Sqlite { path: path(&block.require("path")?)?.join(FILE_NAME) }
        }
        "inmem" | "inmem_ha" | "inmem_transactional" | "inmem_transactional_ha" => {
            for item in block.items() {
                let message = format!("\"{}\" has no effect: storage in memory has no settings", item.key().text());
                warnings.push(Warning::new(block.error(item.key().span(), message)));
            }
            Storage::Memory
        }
        other => {
            let message = format!("storage \"{other}\" is not available, use \"sqlite\", \"file\" or \"inmem\"");
            return Err(body.error(block.span(), message));
        }
    }))
}

pub(super) fn telemetry(to: &mut TelemetryConfig, body: &Body, warnings: &mut Vec<Warning>) -> hcl::Result<()> {
    let Some(block) = body.block("telemetry")? else { return Ok(()) };
    let keys = ["prometheus_retention_time", "unauthenticated_metrics_access", "usage_gauge_period", "metrics_prefix"];
    only(block.body(), &keys, ignored::TELEMETRY, warnings)?;
    set(&mut to.prometheus_retention, block.body(), "prometheus_retention_time", |attr| {
        let retention = attr.as_duration()?;
        Ok((!retention.is_zero()).then_some(retention))
    })?;
    set(&mut to.usage_gauge_period, block.body(), "usage_gauge_period", |attr| {
        if attr.as_str().is_ok_and(|word| word == "none") {
            return Ok(None);
        }
        let period = attr.as_duration()?;
        // More often would count all day.
        Ok((!period.is_zero()).then_some(period.max(Duration::from_secs(30))))
    })?;
    set(&mut to.prefix, block.body(), "metrics_prefix", |attr| {
        let prefix = attr.as_string()?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if prefix.len() > 64 || !prefix.chars().all(fits) {
            return Err(attr.error("must be letters, digits and underscores, 64 at most"));
        }
        Ok(prefix)
    })?;
    let key = "unauthenticated_metrics_access";
    set(&mut to.unauthenticated_metrics_access, block.body(), key, |attr| attr.as_bool())
}

pub(super) fn user_lockout(to: &mut Vec<UserLockout>, body: &Body) -> hcl::Result<()> {
    for block in body.labelled("user_lockout")? {
        let method = block.label()?;
        if !["all", "userpass", "approle", "ldap"].contains(&method) {
            let message =
                format!("user_lockout \"{method}\" is not known, use \"all\", \"userpass\", \"approle\" or \"ldap\"");
            return Err(body.error(block.span(), message));
        }
        block.only(&["lockout_threshold", "lockout_duration", "lockout_counter_reset", "disable_lockout"])?;
        let mut rule = UserLockout {
            method: method.to_owned(),
            threshold: 5,
            duration: Duration::from_secs(900),
            counter_reset: Duration::from_secs(900),
            disable: false,
        };
        set(&mut rule.threshold, block.body(), "lockout_threshold", |attr| {
            let threshold = attr.as_int_in(1..=1_000_000)?;
            Ok(u32::try_from(threshold).unwrap_or(u32::MAX))
        })?;
        set(&mut rule.duration, block.body(), "lockout_duration", |attr| within(attr, 366 * DAY))?;
        set(&mut rule.counter_reset, block.body(), "lockout_counter_reset", |attr| within(attr, 366 * DAY))?;
        set(&mut rule.disable, block.body(), "disable_lockout", |attr| attr.as_bool())?;
        // A later file's word on the same method counts.
        to.retain(|other| other.method != rule.method);
        to.push(rule);
    }
    Ok(())
}

/// `audit "file" "name" { description = … options { … } }`.
pub(super) fn audit(to: &mut Vec<AuditDevice>, body: &Body) -> hcl::Result<()> {
    for block in audit_blocks(body)? {
        let (kind, name, span, inner) = block;
        if !["file", "socket", "syslog"].contains(&kind) {
            return Err(
                body.error(span, format!("audit \"{kind}\" is not known, use \"file\", \"socket\" or \"syslog\""))
            );
        }
        if name.is_empty() || name.len() > limits::NAME_BYTES {
            return Err(body.error(span, "an audit device needs a name, as in audit \"file\" \"main\" { }"));
        }
        inner.only(&["description", "options", "local"])?;
        if to.iter().any(|device| device.path == name) {
            return Err(body.error(span, format!("there is already an audit device \"{name}\"")));
        }
        let mut device = AuditDevice {
            kind: kind.to_owned(),
            path: name.to_owned(),
            description: String::new(),
            options: Vec::new(),
        };
        set(&mut device.description, inner, "description", |attr| named(attr))?;
        if let Some(options) = inner.block("options")? {
            for attr in options.attrs()? {
                device.options.push((attr.name().to_owned(), attr.as_string()?));
            }
        }
        to.push(device);
    }
    Ok(())
}

/// Kind, name, place and content of each device, whether its two labels stand before the brace or are keys within.
fn audit_blocks(body: &Body) -> hcl::Result<Vec<(&str, &str, hcl::Span, &Body)>> {
    let mut devices = Vec::new();
    for block in body.blocks("audit")? {
        match block.labels() {
            [kind, name] => devices.push((kind.text(), name.text(), block.span(), block.body())),
            [kind] => {
                for item in block.body().items() {
                    let hcl::Kind::Object(inner) = item.value().kind() else {
                        return Err(
                            body.error(block.span(), "an audit device needs a name, as in audit \"file\" \"main\" { }")
                        );
                    };
                    devices.push((kind.text(), item.key().text(), item.key().span(), inner));
                }
            }
            [] => {
                for item in block.body().items() {
                    let hcl::Kind::Object(names) = item.value().kind() else {
                        return Err(
                            body.error(item.key().span(), "\"audit\" needs a kind, as in audit \"file\" \"main\" { }")
                        );
                    };
                    for (name, inner) in names.items().iter().map(|name| (name.key(), name.value())) {
                        let hcl::Kind::Object(inner) = inner.kind() else {
                            return Err(body.error(name.span(), "an audit device must be a block"));
                        };
                        devices.push((item.key().text(), name.text(), name.span(), inner));
                    }
                }
            }
            [_, _, third, ..] => return Err(body.error(third.span(), "\"audit\" takes two labels")),
        }
    }
    Ok(devices)
}

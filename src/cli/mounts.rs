//! What `secrets`, `auth` and `audit` share: the settings of a mount, and tables of mounts.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    context::{Cx, clean, folder, items},
    failure::{Doing, Failure, Outcome},
    pairs,
    table::go,
};
use crate::client::Request;

/// Settings that can be given when a mount is made and changed later.
#[derive(Args, Debug)]
pub struct Tunable {
    /// A text for people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How long leases and tokens live by default.
    #[arg(long, value_name = "DURATION")]
    default_lease_ttl: Option<String>,
    /// How long they live at most.
    #[arg(long, value_name = "DURATION")]
    max_lease_ttl: Option<String>,
    /// Request fields that audit logs in clear; may be repeated.
    #[arg(long, value_name = "NAME")]
    audit_non_hmac_request_keys: Vec<String>,
    /// Response fields that audit logs in clear; may be repeated.
    #[arg(long, value_name = "NAME")]
    audit_non_hmac_response_keys: Vec<String>,
    /// Whether the mount is shown to who is not logged in: unauth or hidden.
    #[arg(long, value_name = "unauth|hidden")]
    listing_visibility: Option<String>,
    /// Request headers that are handed to the mount; may be repeated.
    #[arg(long, value_name = "NAME")]
    passthrough_request_headers: Vec<String>,
    /// Response headers that the mount may set; may be repeated.
    #[arg(long, value_name = "NAME")]
    allowed_response_headers: Vec<String>,
    /// An option of the mount, as k=v; may be repeated.
    #[arg(long, value_name = "K=V")]
    options: Vec<String>,
    /// The version of the mount's kind (kv: 1 or 2).
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// The kind of tokens that logins give (auth methods only).
    #[arg(long, value_name = "KIND")]
    token_type: Option<String>,
    /// Accepted: there is one version.
    #[arg(long, value_name = "VERSION")]
    plugin_version: Option<String>,
    /// Failed logins in a row that lock a user out (auth methods only).
    #[arg(long, value_name = "N")]
    user_lockout_threshold: Option<u64>,
    /// How long a user is locked out.
    #[arg(long, value_name = "DURATION")]
    user_lockout_duration: Option<String>,
    /// How long a failed login is remembered.
    #[arg(long, value_name = "DURATION")]
    user_lockout_counter_reset_duration: Option<String>,
    /// Lock nobody out.
    #[arg(long)]
    user_lockout_disable: Option<bool>,
}

/// Settings that are given when a mount is made.
#[derive(Args, Debug)]
pub struct Making {
    /// Where it is mounted, if not under its own name.
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Not replicated to other clusters.
    #[arg(long)]
    local: bool,
    /// Encrypted once more by the seal.
    #[arg(long)]
    seal_wrap: bool,
    /// Never cached.
    #[arg(long)]
    force_no_cache: bool,
    #[command(flatten)]
    tunable: Tunable,
}

impl Tunable {
    /// The settings that were given, flat as `tune` takes them.
    pub fn body(&self) -> Outcome<Map<String, Value>> {
        let mut body = self.config();
        if let Some(text) = &self.description {
            body.insert("description".into(), text.as_str().into());
        }
        let options = self.options()?;
        if !options.is_empty() {
            body.insert("options".into(), options.into());
        }
        Ok(body)
    }

    fn config(&self) -> Map<String, Value> {
        let mut config = Map::new();
        for (name, text) in [
            ("default_lease_ttl", &self.default_lease_ttl),
            ("max_lease_ttl", &self.max_lease_ttl),
            ("listing_visibility", &self.listing_visibility),
            ("token_type", &self.token_type),
            ("plugin_version", &self.plugin_version),
        ] {
            if let Some(text) = text {
                config.insert(name.into(), text.as_str().into());
            }
        }
        let lockout = self.lockout();
        if !lockout.is_empty() {
            config.insert("user_lockout_config".into(), lockout.into());
        }
        for (name, list) in [
            ("audit_non_hmac_request_keys", &self.audit_non_hmac_request_keys),
            ("audit_non_hmac_response_keys", &self.audit_non_hmac_response_keys),
            ("passthrough_request_headers", &self.passthrough_request_headers),
            ("allowed_response_headers", &self.allowed_response_headers),
        ] {
            if !list.is_empty() {
                // An empty item takes the setting back.
                config.insert(name.into(), items(list).into());
            }
        }
        config
    }

    fn lockout(&self) -> Map<String, Value> {
        let given = [
            ("lockout_threshold", self.user_lockout_threshold.map(Value::from)),
            ("lockout_duration", self.user_lockout_duration.clone().map(Value::from)),
            ("lockout_counter_reset_duration", self.user_lockout_counter_reset_duration.clone().map(Value::from)),
            ("lockout_disable", self.user_lockout_disable.map(Value::from)),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    fn options(&self) -> Outcome<Map<String, Value>> {
        let mut options = pairs::plain(&self.options)?;
        if let Some(version) = self.version {
            options.insert("version".into(), version.to_string().into());
        }
        Ok(options)
    }
}

impl Making {
    /// The body that makes a mount of this kind.
    pub fn body(&self, kind: &str) -> Outcome<Map<String, Value>> {
        let mut config = self.tunable.config();
        if self.force_no_cache {
            config.insert("force_no_cache".into(), true.into());
        }
        let mut body = Map::new();
        body.insert("type".into(), kind.into());
        body.insert("description".into(), self.tunable.description.clone().unwrap_or_default().into());
        body.insert("config".into(), config.into());
        body.insert("local".into(), self.local.into());
        body.insert("seal_wrap".into(), self.seal_wrap.into());
        let options = self.tunable.options()?;
        body.insert("options".into(), if options.is_empty() { Value::Null } else { options.into() });
        Ok(body)
    }
}

/// A column's title, and what it shows of a mount.
pub type Column = (&'static str, fn(&Value) -> String);

/// Shows a table of mounts: one column for each pair of a title and what it shows.
pub fn show(cx: &mut Cx<'_, '_>, mounts: &Value, columns: &[Column]) -> Outcome {
    if !cx.is_table() {
        return cx.value(mounts);
    }
    let mut rows =
        vec![std::iter::once("Path").chain(columns.iter().map(|(title, _)| *title)).map(str::to_owned).collect()];
    for (path, mount) in mounts.as_object().into_iter().flatten() {
        let cells = columns.iter().map(|(_, cell)| cell(mount));
        rows.push(std::iter::once(path.clone()).chain(cells).collect::<Vec<_>>());
    }
    cx.table(&rows)
}

/// A field of a mount, empty if it is not there.
pub fn text(mount: &Value, pointer: &str) -> String {
    mount.pointer(pointer).filter(|value| !value.is_null()).map(go).unwrap_or_default()
}

/// A lease's time: 0 stands for the system's own.
pub fn ttl(mount: &Value, pointer: &str) -> String {
    match text(mount, pointer).as_str() {
        "" | "0" => "system".to_owned(),
        text => text.to_owned(),
    }
}

/// Whether a mount is shared with other clusters.
pub fn replication(mount: &Value) -> String {
    if mount.get("local") == Some(&json!(true)) { "local".to_owned() } else { "replicated".to_owned() }
}

/// Mounts something elsewhere and waits until it is done.
pub async fn remount(cx: &mut Cx<'_, '_>, kind: &str, source: &str, destination: &str) -> Outcome {
    let (from, to) = (folder(source), folder(destination));
    let body = json!({"from": clean(&from), "to": clean(&to)});
    let request = Request::write("sys/remount").json(&body)?;
    let what = format!("Error moving {kind} {from} to {to}");
    let begun = cx.send(request).await.doing(&what)?;
    let Some(id) = begun.field("migration_id").and_then(Value::as_str) else {
        return cx.success(&format!("Moved {kind} {from} to: {to}"));
    };
    if cx.is_table() {
        cx.say(&format!("Started moving {kind} {from} to {to}, with migration ID {id}"))?;
    }
    for _ in 0..MOVE_CHECKS_MAX {
        let status = cx.aside(Request::read(&format!("sys/remount/status/{id}"))).await.doing(&what)?;
        match status.data.pointer("/migration_info/status").and_then(Value::as_str) {
            Some("success") => {
                return cx.success(&format!("Finished moving {kind} {from} to {to}, with migration ID {id}"));
            }
            Some("failure") => return Err(Failure::Remote(format!("{what}: the server gave up"))),
            _ => tokio::time::sleep(MOVE_CHECK_WAIT).await,
        }
    }
    Err(Failure::Remote(format!("{what}: still under way, with migration ID {id}")))
}

/// How often a move is asked about: with the wait, five minutes, after which leases in millions are the cause.
const MOVE_CHECKS_MAX: u32 = 600;
const MOVE_CHECK_WAIT: Duration = Duration::from_millis(500);

/// The columns that a detailed table of secrets engines and auth methods adds.
pub const DETAILED: &[Column] = &[
    ("Plugin", |mount| text(mount, "/type")),
    ("Accessor", |mount| text(mount, "/accessor")),
    ("Default TTL", |mount| ttl(mount, "/config/default_lease_ttl")),
    ("Max TTL", |mount| ttl(mount, "/config/max_lease_ttl")),
    ("Force No Cache", |mount| text(mount, "/config/force_no_cache")),
    ("Replication", replication),
    ("Seal Wrap", |mount| text(mount, "/seal_wrap")),
    ("External Entropy Access", |mount| text(mount, "/external_entropy_access")),
    ("Options", |mount| mount.get("options").filter(|options| !options.is_null()).map_or_else(|| "map[]".into(), go)),
    ("Description", |mount| text(mount, "/description")),
    ("UUID", |mount| text(mount, "/uuid")),
    ("Version", |mount| text(mount, "/plugin_version")),
    ("Running Version", |mount| text(mount, "/running_plugin_version")),
    ("Running SHA256", |mount| text(mount, "/running_sha256")),
    ("Deprecation Status", |mount| text(mount, "/deprecation_status")),
];

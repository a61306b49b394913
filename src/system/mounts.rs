//! `sys/mounts`, `sys/auth`, `sys/remount`: enabling, tuning, moving and disabling engines.

use std::collections::BTreeMap;

use super::Sys;
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::{Error, Json, MountPath, Result, Ttl, header, ids, limits};
use crate::engine::{Cx, Mount, MountConfig, Reply, Routes, TokenKind, UserLockout};
use crate::mount::catalog::{self, Class};
use crate::mount::{Stored, guard_key, leaving_key, table_key};
use crate::params;

/// Paths that belong to the vault itself.
const OWN: [&str; 4] = ["sys/", "identity/", "cubbyhole/", "auth/token/"];

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("mounts", "List the secrets engines.", |at| at.read(list_secrets).flat())
        .at("mounts/{path..}", "Enable, read, tune and disable a secrets engine.", |at| {
            at.read(read_secret).update(enable_secret).delete(disable_secret).flat()
        })
        .at("auth", "List the auth methods.", |at| at.read(list_auth).flat())
        .at("auth/{path..}", "Enable, read, tune and disable an auth method.", |at| {
            at.read(read_auth).update(enable_auth).delete(disable_auth).sudo().flat()
        })
        .at("remount", "Move a mount.", |at| at.update(remount).sudo().flat())
        .at("remount/status/{id}", "How far a move is.", |at| at.read(remount_status))
}

params! {
    /// A mount by its path.
    pub struct ByPath {
        /// Its path; with `/tune` behind it, its settings.
        path: String,
    }
    /// A new mount, or new settings of one.
    pub struct Write {
        /// Its path; with `/tune` behind it, its settings.
        path: String,
        /// The type of the engine.
        kind: Option<String> = "type",
        /// Words for people.
        description: Option<String>,
        /// Settings, as tune takes them.
        config: Json,
        /// The type's own options.
        options: Option<BTreeMap<String, String>>,
        /// Accepted and shown.
        local: Option<bool>,
        /// Accepted and shown.
        seal_wrap: Option<bool>,
        /// The type, as some clients spell it.
        plugin_name: Option<String>,
        /// Accepted and ignored: nothing lies outside the store.
        external_entropy_access: Option<bool>,
        /// What tune takes.
        tune: Tune,
    }
    /// A move.
    pub struct Remount {
        /// Where it is.
        from: Option<String>,
        /// Where it shall be.
        to: Option<String>,
    }
    /// A move by its id.
    pub struct ById {
        /// Its id.
        id: String,
    }
}

params! {
    /// Settings, each as it was where it is absent.
    pub struct Tune {
        /// Default lease time.
        default_lease_ttl: Option<Json>,
        /// Longest lease time.
        max_lease_ttl: Option<Json>,
        /// `unauth`, `hidden` or empty.
        listing_visibility: Option<String>,
        /// Accepted and shown.
        force_no_cache: Option<bool>,
        /// Request fields that audit shows as they are.
        audit_non_hmac_request_keys: Option<Vec<String>>,
        /// Response fields that audit shows as they are.
        audit_non_hmac_response_keys: Option<Vec<String>>,
        /// Headers that engines may see.
        passthrough_request_headers: Option<Vec<String>>,
        /// Headers that engines may answer with.
        allowed_response_headers: Option<Vec<String>>,
        /// Kind of tokens of an auth method.
        token_type: Option<String>,
        /// Lockout after failed logins.
        user_lockout_config: Json,
        /// Accepted and ignored.
        plugin_version: Option<String>,
    }
}

impl crate::engine::Param for Tune {
    fn fields(_: &'static str, _: &'static str) -> Vec<crate::engine::Field> {
        <Self as crate::engine::Params>::fields()
    }
    fn take(_: &'static str, args: &mut crate::engine::Args) -> Result<Self> {
        <Self as crate::engine::Params>::parse(args)
    }
}

impl Tune {
    fn of(json: Json) -> Result<Self> {
        let map = match json {
            Json::Null => Map::new(),
            Json::Object(map) => map,
            _ => return Err(Error::invalid("error converting input for field 'config': expected an object")),
        };
        <Self as crate::engine::Params>::parse(&mut crate::engine::Args::new(Vec::new(), map))
    }

    fn apply(self, config: &mut MountConfig, auth: bool) -> Result<()> {
        if let Some(v) = self.default_lease_ttl {
            config.default_lease_ttl = lease_time("default_lease_ttl", v)?;
        }
        if let Some(v) = self.max_lease_ttl {
            config.max_lease_ttl = lease_time("max_lease_ttl", v)?;
        }
        if !config.max_lease_ttl.is_zero() && config.default_lease_ttl > config.max_lease_ttl {
            return Err(Error::invalid("given default lease TTL greater than max lease TTL"));
        }
        if let Some(v) = self.listing_visibility {
            if !["", "hidden", "unauth"].contains(&v.as_str()) {
                return Err(Error::invalid("invalid listing_visibility: expected 'hidden', 'unauth' or nothing"));
            }
            config.listing_visibility = v;
        }
        if let Some(v) = self.force_no_cache {
            config.force_no_cache = v;
        }
        let lists = [
            (self.audit_non_hmac_request_keys, &mut config.audit_non_hmac_request_keys),
            (self.audit_non_hmac_response_keys, &mut config.audit_non_hmac_response_keys),
        ];
        for (given, kept) in lists {
            if let Some(v) = given {
                *kept = v;
            }
        }
        let lists = [
            ("passthrough_request_headers", self.passthrough_request_headers, &mut config.passthrough_request_headers),
            ("allowed_response_headers", self.allowed_response_headers, &mut config.allowed_response_headers),
        ];
        for (field, given, kept) in lists {
            if let Some(names) = given {
                *kept = header::names(field, &names, limits::MOUNT_HEADERS)?;
            }
        }
        if let Some(v) = self.token_type {
            if !auth {
                return Err(Error::invalid("'token_type' is for auth methods only"));
            }
            let kind = TokenKind::parse(&v).map_err(|_| Error::invalid("invalid value for 'token_type'"))?;
            config.token_type = kind.word().to_owned();
        }
        if let Json::Object(map) = self.user_lockout_config {
            config.user_lockout = Some(lockout(map, config.user_lockout.take().unwrap_or_default())?);
        }
        Ok(())
    }
}

fn lease_time(field: &str, value: Json) -> Result<Ttl> {
    use crate::engine::params::Scalar;
    if value.as_str() == Some("system") {
        return Ok(Ttl::ZERO);
    }
    Ttl::read(value).map_err(|what| Error::invalid(format!("error converting input for field '{field}': {what}")))
}

fn lockout(map: Map, mut lockout: UserLockout) -> Result<UserLockout> {
    let mut args = crate::engine::Args::new(Vec::new(), map);
    use crate::engine::Param;
    if let Some(v) = <Option<u64> as Param>::take("lockout_threshold", &mut args)? {
        lockout.threshold = v;
    }
    if let Some(v) = <Option<Ttl> as Param>::take("lockout_duration", &mut args)? {
        lockout.duration = v;
    }
    for name in ["lockout_counter_reset", "lockout_counter_reset_duration"] {
        if let Some(v) = <Option<Ttl> as Param>::take(name, &mut args)? {
            lockout.counter_reset = v;
        }
    }
    if let Some(v) = <Option<bool> as Param>::take("lockout_disable", &mut args)? {
        lockout.disabled = v;
    }
    if lockout.threshold == 0 {
        return Err(Error::invalid("'lockout_threshold' must be at least 1; 'lockout_disable' locks nobody out"));
    }
    Ok(lockout)
}

/// A mount as `sys/mounts` shows it.
pub fn show(mount: &Mount) -> Json {
    let c = &mount.config;
    let mut config = Map::from(
        [
            ("default_lease_ttl", Json::from(c.default_lease_ttl.seconds())),
            ("max_lease_ttl", c.max_lease_ttl.seconds().into()),
            ("force_no_cache", c.force_no_cache.into()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    );
    extras(mount, &mut config);
    let options: Map = mount.options.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    Json::object([
        ("type", Json::from(mount.kind.as_str())),
        ("description", mount.description.as_str().into()),
        ("accessor", mount.accessor.as_str().into()),
        ("uuid", mount.uuid.as_str().into()),
        ("local", mount.local.into()),
        ("seal_wrap", mount.seal_wrap.into()),
        ("external_entropy_access", false.into()),
        ("options", options.into()),
        ("config", config.into()),
        ("plugin_version", "".into()),
        ("running_plugin_version", concat!("v", env!("CARGO_PKG_VERSION"), "+builtin.warifu").into()),
        ("running_sha256", "".into()),
    ])
}

/// The settings that are shown only where they are set.
fn extras(mount: &Mount, config: &mut Map) {
    let c = &mount.config;
    if mount.is_auth() {
        let kind = if c.token_type.is_empty() || c.token_type == "default" { "default-service" } else { &c.token_type };
        config.insert("token_type".into(), kind.into());
    }
    if !c.listing_visibility.is_empty() {
        config.insert("listing_visibility".into(), c.listing_visibility.as_str().into());
    }
    for (name, list) in [
        ("audit_non_hmac_request_keys", &c.audit_non_hmac_request_keys),
        ("audit_non_hmac_response_keys", &c.audit_non_hmac_response_keys),
        ("passthrough_request_headers", &c.passthrough_request_headers),
        ("allowed_response_headers", &c.allowed_response_headers),
    ] {
        if !list.is_empty() {
            config.insert(name.into(), list.clone().into());
        }
    }
    if let Some(l) = &c.user_lockout {
        let lockout = Json::object([
            ("lockout_threshold", Json::from(l.threshold)),
            ("lockout_duration", l.duration.seconds().into()),
            ("lockout_counter_reset_duration", l.counter_reset.seconds().into()),
            ("lockout_disable", l.disabled.into()),
        ]);
        config.insert("user_lockout_config".into(), lockout);
    }
}

fn list(cx: &Cx<Sys>, class: Class) -> Reply {
    let table = cx.engine().handles.mounts.table();
    let prefix = if class == Class::Auth { "auth/" } else { "" };
    let mounts = table.iter().map(|e| &e.mount).filter(|m| m.is_auth() == (class == Class::Auth));
    Reply::data(mounts.map(|m| (m.path.as_str()[prefix.len()..].to_owned(), show(m))).collect::<Map>())
}

async fn list_secrets(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(list(&cx, Class::Secret))
}

async fn list_auth(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(list(&cx, Class::Auth))
}

/// The mount that a path of `sys/mounts` or `sys/auth` names, and whether its settings are meant.
fn named(class: Class, path: &str) -> Result<(MountPath, bool)> {
    let (path, tune) = match path.trim_end_matches('/').strip_suffix("/tune") {
        Some(path) => (path, true),
        None => (path, false),
    };
    let path = if class == Class::Auth { format!("auth/{path}") } else { path.to_owned() };
    Ok((MountPath::parse(&path)?, tune))
}

fn absent(class: Class, path: &MountPath) -> Error {
    match class {
        Class::Secret => Error::invalid(format!("No secret engine mount at {path}")),
        Class::Auth => Error::invalid(format!("No auth engine at {}", path.as_str().trim_start_matches("auth/"))),
    }
}

fn read(cx: &Cx<Sys>, class: Class, path: &str) -> Result<Reply> {
    let (path, tune) = named(class, path)?;
    let table = cx.engine().handles.mounts.table();
    let mount = table.at(path.as_str()).map(|e| e.mount.clone()).ok_or_else(|| absent(class, &path))?;
    if !tune {
        return match show(&mount) {
            Json::Object(map) => Ok(Reply::data(map)),
            _ => Err(Error::internal("a mount is shown as an object")),
        };
    }
    let limits = mount.limits(cx.engine().handles.limits);
    let mut data = Map::from(
        [
            ("description", Json::from(mount.description.as_str())),
            ("default_lease_ttl", limits.default_ttl.seconds().into()),
            ("max_lease_ttl", limits.max_ttl.seconds().into()),
            ("force_no_cache", mount.config.force_no_cache.into()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    );
    extras(&mount, &mut data);
    if !mount.options.is_empty() {
        let options: Map = mount.options.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
        data.insert("options".into(), options.into());
    }
    Ok(Reply::data(data))
}

async fn read_secret(cx: Cx<Sys>, p: ByPath) -> Result<Reply> {
    read(&cx, Class::Secret, &p.path)
}

async fn read_auth(cx: Cx<Sys>, p: ByPath) -> Result<Reply> {
    read(&cx, Class::Auth, &p.path)
}

fn write(cx: &Cx<Sys>, class: Class, p: Write) -> Result<Reply> {
    let (path, tune) = named(class, &p.path)?;
    if tune { change(cx, class, &path, p) } else { enable(cx, class, path, p) }
}

async fn enable_secret(cx: Cx<Sys>, p: Write) -> Result<Reply> {
    write(&cx, Class::Secret, p)
}

async fn enable_auth(cx: Cx<Sys>, p: Write) -> Result<Reply> {
    write(&cx, Class::Auth, p)
}

fn enable(cx: &Cx<Sys>, class: Class, path: MountPath, p: Write) -> Result<Reply> {
    let shown = if class == Class::Auth { &path.as_str()["auth/".len()..] } else { path.as_str() };
    if class == Class::Secret && path.as_str().starts_with("auth/") {
        return Err(Error::invalid("cannot mount under \"auth/\""));
    }
    let word = p.kind.filter(|k| !k.is_empty() && k != "plugin").or(p.plugin_name).unwrap_or_default();
    if word.is_empty() {
        return Err(Error::invalid("missing type of the engine"));
    }
    let mut options = p.options.unwrap_or_default();
    let kind = catalog::resolve(class, &word, &mut options)?;
    let mut config = MountConfig::default();
    Tune::of(p.config)?.apply(&mut config, class == Class::Auth)?;
    p.tune.apply(&mut config, class == Class::Auth)?;
    let mount = new_mount(cx.rng(), path.clone(), kind.word, p.description.unwrap_or_default(), options, config);
    let mount = Mount { local: p.local.unwrap_or(false), seal_wrap: p.seal_wrap.unwrap_or(false), ..mount };
    let mut txn = cx.engine().handles.view.txn();
    let mut stored: Stored = txn.get(&table_key())?.unwrap_or_default();
    if stored.mounts.len() >= limits::MOUNTS {
        return Err(Error::invalid(format!("at most {} mounts", limits::MOUNTS)));
    }
    let clash = |m: &&Mount| m.path.as_str().starts_with(path.as_str()) || path.as_str().starts_with(m.path.as_str());
    if stored.mounts.iter().any(|m| clash(&m)) || OWN.iter().any(|own| path.as_str().starts_with(own)) {
        return Err(Error::invalid(format!("path is already in use at {shown}")));
    }
    add(&mut txn, &mut stored, &mount)?;
    let view = crate::mount::view_of(cx.engine().handles.view.barrier(), &mount.uuid);
    let mut first = view.txn();
    // The guard is made in this very commit.
    kind.enable(&mount, &mut first)?;
    first.forget_guard(&guard_key(&mount.uuid));
    txn.put(&table_key(), &stored)?;
    txn.merge(first);
    Ok(Reply::empty(txn))
}

/// A mount that is new: its own uuid and accessor.
pub fn new_mount(
    rng: &dyn crate::base::Rng,
    path: MountPath,
    kind: &str,
    description: String,
    options: BTreeMap<String, String>,
    config: MountConfig,
) -> Mount {
    let auth = path.as_str().starts_with("auth/");
    let prefix = if auth { format!("auth_{kind}") } else { kind.to_owned() };
    Mount {
        path,
        kind: kind.to_owned(),
        accessor: format!("{prefix}_{}", ids::letters(rng, 8).reveal().to_lowercase()),
        uuid: ids::uuid(rng),
        description,
        options,
        config,
        local: false,
        seal_wrap: false,
    }
}

/// Adds a mount to the table, and its guard to the change.
///
/// # Errors
/// When it cannot be written down.
pub fn add(txn: &mut Txn, stored: &mut Stored, mount: &Mount) -> Result<()> {
    txn.create(&guard_key(&mount.uuid), &())?;
    stored.mounts.push(mount.clone());
    Ok(())
}

fn change(cx: &Cx<Sys>, class: Class, path: &MountPath, p: Write) -> Result<Reply> {
    let mut txn = cx.engine().handles.view.txn();
    let mut stored: Stored = txn.get(&table_key())?.unwrap_or_default();
    let mount = stored.mounts.iter_mut().find(|m| m.path == *path).ok_or_else(|| absent(class, path))?;
    if path.as_str() == "auth/token/" && p.tune.token_type.is_some() {
        return Err(Error::invalid("'token_type' cannot be set for 'token/' or 'token' auth mounts"));
    }
    if let Some(description) = p.description {
        mount.description = description;
    }
    let auth = mount.is_auth();
    p.tune.apply(&mut mount.config, auth)?;
    let mut upgrading = false;
    if let Some(options) = p.options {
        for (key, value) in options {
            if mount.kind == "kv" && key == "version" {
                let was = mount.options.get("version").map_or("1", String::as_str);
                match (was, value.as_str()) {
                    (was, now) if was == now => {}
                    ("1", "2") => upgrading = true,
                    ("2", "1") => return Err(Error::invalid("cannot downgrade mount from version 2")),
                    _ => return Err(Error::invalid("the option 'version' of a kv mount is 1 or 2")),
                }
            }
            mount.options.insert(key, value);
        }
    }
    if upgrading {
        let view = crate::mount::view_of(cx.engine().handles.view.barrier(), &mount.uuid);
        txn.merge(crate::secrets::kv::upgrade(&view, cx.now())?);
    }
    txn.put(&table_key(), &stored)?;
    let reply = Reply::empty(txn);
    Ok(if upgrading {
        reply.warning("The data is versioned from now on; each secret is its first version.")
    } else {
        reply
    })
}

async fn disable(cx: &Cx<Sys>, class: Class, path: &str) -> Result<Reply> {
    let (path, _) = named(class, path)?;
    if OWN.contains(&path.as_str()) {
        return Err(Error::invalid(format!("cannot unmount \"{path}\"")));
    }
    let mut txn = cx.engine().handles.view.txn();
    let mut stored: Stored = txn.get(&table_key())?.unwrap_or_default();
    let Some(at) = stored.mounts.iter().position(|m| m.path == path) else { return Ok(Reply::nothing()) };
    let mount = stored.mounts.remove(at);
    // From this commit on nothing is written there any more; what is left is removed in steps, also after a crash.
    txn.delete(&guard_key(&mount.uuid));
    txn.overwrite(&leaving_key(&mount.uuid), &mount)?;
    txn.put(&table_key(), &stored)?;
    txn.merge(cx.engine().handles.quotas.remove_of(&mount.uuid));
    if mount.is_auth() {
        txn.merge(cx.engine().handles.lockouts.forget_mount(&mount.accessor)?);
    }
    let work = cx.engine().handles.work()?;
    work.commit(txn).await?;
    work.unmounted().await?;
    Ok(Reply::nothing())
}

async fn disable_secret(cx: Cx<Sys>, p: ByPath) -> Result<Reply> {
    disable(&cx, Class::Secret, &p.path).await
}

async fn disable_auth(cx: Cx<Sys>, p: ByPath) -> Result<Reply> {
    disable(&cx, Class::Auth, &p.path).await
}

/// Where a finished move is remembered: clients ask how far it is.
fn moved_key(id: &str) -> crate::base::Key {
    crate::base::Key::new("core/moved").join(id)
}

async fn remount(cx: Cx<Sys>, p: Remount) -> Result<Reply> {
    let (Some(from), Some(to)) = (p.from.filter(|p| !p.is_empty()), p.to.filter(|p| !p.is_empty())) else {
        return Err(Error::invalid("both 'from' and 'to' path must be specified as a string"));
    };
    let (from, to) = (MountPath::parse(&from)?, MountPath::parse(&to)?);
    let auth = from.as_str().starts_with("auth/");
    if to.as_str().starts_with("auth/") != auth {
        return Err(Error::invalid("cannot move a secrets engine to an auth method's path, or the reverse"));
    }
    if OWN.iter().any(|own| from.as_str() == *own || to.as_str().starts_with(own)) || to.as_str() == "auth/" {
        return Err(Error::invalid("cannot move to or from a path of the system's own"));
    }
    let mut txn = cx.engine().handles.view.txn();
    let mut stored: Stored = txn.get(&table_key())?.unwrap_or_default();
    let Some(at) = stored.mounts.iter().position(|m| m.path == from) else {
        return Err(Error::invalid("no matching mount at the path in 'from'"));
    };
    let clash = |m: &Mount| m.path.as_str().starts_with(to.as_str()) || to.as_str().starts_with(m.path.as_str());
    if stored.mounts.iter().enumerate().any(|(i, m)| i != at && clash(m)) {
        return Err(Error::invalid("existing mount at the path in 'to'"));
    }
    stored.mounts[at].path = to.clone();
    txn.put(&table_key(), &stored)?;
    let id = ids::uuid(cx.rng());
    txn.create(&moved_key(&id), &(from, to))?;
    Ok(Reply::data([("migration_id".to_owned(), Json::from(id))]).with(txn))
}

async fn remount_status(cx: Cx<Sys>, p: ById) -> Result<Reply> {
    let moved: Option<(MountPath, MountPath)> = cx.engine().handles.view.get(&moved_key(&p.id))?;
    let (from, to) = moved.ok_or_else(Error::not_found)?;
    let info = Json::object([
        ("source_mount", Json::from(from.as_str())),
        ("target_mount", to.as_str().into()),
        ("status", "success".into()),
    ]);
    Ok(Reply::data([("migration_id".to_owned(), Json::from(p.id)), ("migration_info".to_owned(), info)]))
}

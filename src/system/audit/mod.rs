//! `sys/audit`: the devices of the audit log.

mod headers;
mod heads;

pub use headers::rules as header_rules;
pub use heads::{checkpoint, heads};

use super::Sys;
use crate::audit::{Declared, DeviceConfig};
use crate::barrier::{Txn, View};
use crate::base::json::Map;
use crate::base::{Error, Json, Key, MountPath, Result, Rng, Secret, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Where the devices lie in the store.
pub fn key() -> Key {
    Key::new("core/audit")
}

/// Whether a change of this key, from the top of the store, changes what is audited.
pub fn owns(key: &Key) -> bool {
    *key == self::key() || *key == headers::key()
}

/// What makes the stored devices those of the configuration and those that were enabled over the API; none when they are.
/// A device of both is the configuration's; hashes and accessor stay what they were.
///
/// # Errors
/// When they cannot be read or written down.
pub fn declare(view: &View, declared: &[Declared], rng: &dyn Rng) -> Result<Option<Txn>> {
    let mut txn = view.txn();
    let stored: Vec<DeviceConfig> = txn.get(&key())?.unwrap_or_default();
    let rows = declared.iter().map(|device| {
        let mut row = device.row(rng);
        if let Some(known) = stored.iter().find(|known| known.path == row.path) {
            row.accessor.clone_from(&known.accessor);
            row.salt.clone_from(&known.salt);
            row.local = known.local;
        }
        row
    });
    let mut next: Vec<DeviceConfig> = rows.collect();
    let named = next.len();
    next.extend(
        stored
            .iter()
            .filter(|row| !row.declared && next.iter().all(|d| d.path != row.path))
            .cloned()
            .collect::<Vec<_>>(),
    );
    let same =
        next.len() == stored.len() && next.iter().take(named).all(|row| stored.iter().any(|known| known.same_as(row)));
    if same {
        return Ok(None);
    }
    txn.put(&key(), &next)?;
    Ok(Some(txn))
}

/// The devices, as stored.
///
/// # Errors
/// When they cannot be read.
pub fn devices(view: &View) -> Result<Vec<DeviceConfig>> {
    Ok(view.get(&key())?.unwrap_or_default())
}

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("audit", "List the audit devices.", |at| at.read(list).sudo().flat())
        .at("audit/{path..}", "Enable and disable an audit device.", |at| at.update(enable).delete(disable).sudo())
        .and(headers::routes)
        .and(heads::routes)
        .at("audit-hash/{path..}", "The hash of a text, as a device writes it.", |at| at.update(hash).flat())
}

params! {
    /// A new device.
    pub struct Enable {
        /// Its path.
        path: String,
        /// Its type: `file`.
        kind: String = "type",
        /// Words for people.
        description: Option<String>,
        /// The type's own options.
        options: std::collections::BTreeMap<String, String>,
        /// Accepted: one data centre has no use for it.
        local: Option<bool>,
    }
    /// A device by its path.
    pub struct ByPath {
        /// Its path.
        path: String,
    }
    /// A text to hash.
    pub struct Hash {
        /// The device's path.
        path: String,
        /// The text.
        input: Option<Secret<String>>,
    }
}

fn show(device: &DeviceConfig) -> Json {
    let options: Map = device.options.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    Json::object([
        ("type", Json::from(device.kind.as_str())),
        ("path", device.path.as_str().into()),
        ("description", device.description.as_str().into()),
        ("options", options.into()),
        ("local", device.local.into()),
        ("accessor", device.accessor.as_str().into()),
    ])
}

async fn list(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let devices = devices(&cx.engine().handles.view)?;
    Ok(Reply::data(devices.iter().map(|d| (d.path.as_str().to_owned(), show(d))).collect::<Map>()))
}

async fn enable(cx: Cx<Sys>, p: Enable) -> Result<Reply> {
    let path = MountPath::parse(&p.path)?;
    let mut txn = cx.engine().handles.view.txn();
    let mut devices: Vec<DeviceConfig> = txn.get(&key())?.unwrap_or_default();
    if devices.iter().any(|d| path.as_str().starts_with(&d.path) || d.path.starts_with(path.as_str())) {
        return Err(Error::invalid("path already in use"));
    }
    if devices.len() >= limits::AUDIT_DEVICES {
        return Err(Error::invalid(format!("at most {} audit devices can be enabled", limits::AUDIT_DEVICES)));
    }
    let mut device = DeviceConfig::new(&p.kind, path.as_str(), p.options, cx.rng());
    device.description = p.description.unwrap_or_default();
    device.local = p.local.unwrap_or(false);
    // Opens the file once, so that a device which cannot work is never enabled.
    cx.engine().handles.audit.probe(&device).await?;
    devices.push(device);
    txn.put(&key(), &devices)?;
    Ok(Reply::empty(txn))
}

async fn disable(cx: Cx<Sys>, p: ByPath) -> Result<Reply> {
    let path = MountPath::parse(&p.path)?;
    let mut txn = cx.engine().handles.view.txn();
    let mut devices: Vec<DeviceConfig> = txn.get(&key())?.unwrap_or_default();
    if devices.iter().any(|d| d.path == path.as_str() && d.declared) {
        return Err(Error::invalid("the server's configuration names this device: it is disabled there"));
    }
    devices.retain(|d| d.path != path.as_str());
    txn.put(&key(), &devices)?;
    // The last word on its chain.
    if let Some(heads) = checkpoint(&cx.engine().handles.view, &cx.engine().handles.audit, cx.now())? {
        txn.merge(heads);
    }
    Ok(Reply::empty(txn))
}

async fn hash(cx: Cx<Sys>, p: Hash) -> Result<Reply> {
    let path = MountPath::parse(&p.path)?;
    let input = p.input.ok_or_else(|| Error::invalid("the 'input' parameter is empty"))?;
    let hash = cx.engine().handles.audit.hash(path.as_str(), &input)?;
    Ok(Reply::data([("hash".to_owned(), Json::from(hash))]))
}

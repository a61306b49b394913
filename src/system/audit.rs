//! `sys/audit`: the devices of the audit log.

use super::Sys;
use crate::audit::DeviceConfig;
use crate::barrier::View;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, MountPath, Result, Secret};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Where the devices lie in the store.
pub fn key() -> Key {
    Key::new("core/audit")
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
    devices.retain(|d| d.path != path.as_str());
    txn.put(&key(), &devices)?;
    Ok(Reply::empty(txn))
}

async fn hash(cx: Cx<Sys>, p: Hash) -> Result<Reply> {
    let path = MountPath::parse(&p.path)?;
    let input = p.input.ok_or_else(|| Error::invalid("the 'input' parameter is empty"))?;
    let hash = cx.engine().handles.audit.hash(path.as_str(), &input)?;
    Ok(Reply::data([("hash".to_owned(), Json::from(hash))]))
}

//! The configuration as `sys/config/state/sanitized` tells it: what it says, without what opens anything.

use super::{Address, Config, Storage, Tls};
use crate::base::Json;
use crate::base::json::Map;

impl Config {
    /// Without secrets, and without the paths of files.
    pub fn sanitized(&self) -> Map {
        let text = |value: &Option<String>| Json::from(value.clone().unwrap_or_default());
        let listeners = self.listeners.iter().map(|listener| {
            let config = Json::object([
                ("address", Json::from(shown(&listener.address))),
                ("tls_disable", (listener.tls == Tls::Disabled).into()),
            ]);
            Json::object([("type", Json::from("tcp")), ("config", config)])
        });
        let storage = match self.storage {
            Storage::Memory => "inmem",
            _ => "sqlite",
        };
        [
            ("api_addr", text(&self.api_addr)),
            ("cluster_addr", text(&self.cluster_addr)),
            ("cluster_name", text(&self.cluster_name)),
            ("default_lease_ttl", self.default_lease_ttl.seconds().into()),
            ("max_lease_ttl", self.max_lease_ttl.seconds().into()),
            ("disable_mlock", self.disable_mlock.into()),
            ("enable_ui", self.ui.into()),
            ("raw_storage_endpoint", self.raw_storage_endpoint.into()),
            ("introspection_endpoint", self.introspection_endpoint.into()),
            ("log_level", self.log_level.to_string().into()),
            ("log_format", format!("{:?}", self.log_format).to_lowercase().into()),
            ("listeners", Json::Array(listeners.collect())),
            ("storage", Json::object([("type", Json::from(storage))])),
            ("seals", Json::Array(Vec::new())),
        ]
        .map(|(k, v)| (k.to_owned(), v))
        .into()
    }
}

fn shown(address: &Address) -> String {
    address.to_string()
}

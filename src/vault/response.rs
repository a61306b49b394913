//! The answer to a request, in the shape of Vault's envelope, before it becomes bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::json::{self, Map};
use crate::base::secret::stored;
use crate::base::{Json, Secret, Timestamp, Ttl};

/// The envelope.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Response {
    /// The lease of the data; empty if none.
    pub lease_id: String,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// How long it is.
    pub lease_duration: Ttl,
    /// The data.
    pub data: Option<Map>,
    /// Where the answer waits instead.
    pub wrap_info: Option<WrapInfo>,
    /// Words for people.
    pub warnings: Vec<String>,
    /// A token that was made or renewed.
    pub auth: Option<AuthInfo>,
}

/// A token, as its owner sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthInfo {
    /// The token.
    #[serde(serialize_with = "stored")]
    pub client_token: Secret<String>,
    /// Its accessor.
    pub accessor: String,
    /// All policies.
    pub policies: Vec<String>,
    /// Those of the token itself.
    pub token_policies: Vec<String>,
    /// Those of its entity.
    pub identity_policies: Vec<String>,
    /// What it carries for people.
    pub metadata: BTreeMap<String, String>,
    /// How long it is.
    pub lease_duration: Ttl,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// The entity behind it.
    pub entity_id: String,
    /// `service` or `batch`.
    pub token_type: String,
    /// Whether it dies with no other.
    pub orphan: bool,
    /// How often it may be used; 0 for no count.
    pub num_uses: u64,
    /// The name that logs show.
    pub display_name: String,
    /// What is still asked for, in place of a token.
    #[serde(default)]
    pub mfa_requirement: Json,
}

/// Where a wrapped answer waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WrapInfo {
    /// The token that opens it, once.
    #[serde(serialize_with = "stored")]
    pub token: Secret<String>,
    /// Its accessor.
    pub accessor: String,
    /// How long it waits.
    pub ttl: Ttl,
    /// Since when.
    pub creation_time: Timestamp,
    /// For which path.
    pub creation_path: String,
    /// The accessor of the token within, if a token is within.
    pub wrapped_accessor: String,
}

impl Response {
    /// An envelope with data only.
    pub fn data(data: Map) -> Self {
        Self { data: Some(data), ..Self::default() }
    }

    /// Writes Vault's envelope. `flat` puts the data at the top level too.
    pub fn write(&self, request_id: &str, flat: bool, to: &mut Vec<u8>) {
        to.extend_from_slice(b"{\"request_id\":");
        json::write_string(if self.wrap_info.is_some() { "" } else { request_id }, to);
        to.extend_from_slice(b",\"lease_id\":");
        json::write_string(&self.lease_id, to);
        to.extend_from_slice(if self.renewable { b",\"renewable\":true" } else { b",\"renewable\":false" });
        to.extend_from_slice(b",\"lease_duration\":");
        to.extend_from_slice(itoa::Buffer::new().format(self.lease_duration.seconds()).as_bytes());
        to.extend_from_slice(b",\"data\":");
        match &self.data {
            Some(data) => json::write_object(data, to),
            None => to.extend_from_slice(b"null"),
        }
        to.extend_from_slice(b",\"wrap_info\":");
        self.wrap_info.as_ref().map_or(Json::Null, WrapInfo::json).write(to);
        to.extend_from_slice(b",\"warnings\":");
        if self.warnings.is_empty() {
            to.extend_from_slice(b"null");
        } else {
            Json::from(self.warnings.clone()).write(to);
        }
        to.extend_from_slice(b",\"auth\":");
        self.auth.as_ref().map_or(Json::Null, AuthInfo::json).write(to);
        if flat && let Some(data) = &self.data {
            for (key, value) in data {
                to.push(b',');
                json::write_string(key, to);
                to.push(b':');
                value.write(to);
            }
        }
        to.push(b'}');
    }
}

impl AuthInfo {
    fn json(&self) -> Json {
        let metadata: Map = self.metadata.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
        let mut json = Map::from(
            [
                ("client_token", Json::from(self.client_token.reveal().as_str())),
                ("accessor", self.accessor.as_str().into()),
                ("policies", self.policies.clone().into()),
                ("token_policies", self.token_policies.clone().into()),
                ("metadata", if metadata.is_empty() { Json::Null } else { metadata.into() }),
                ("lease_duration", self.lease_duration.seconds().into()),
                ("renewable", self.renewable.into()),
                ("entity_id", self.entity_id.as_str().into()),
                ("token_type", self.token_type.as_str().into()),
                ("orphan", self.orphan.into()),
                ("mfa_requirement", self.mfa_requirement.clone()),
                ("num_uses", self.num_uses.into()),
            ]
            .map(|(k, v)| (k.to_owned(), v)),
        );
        if !self.identity_policies.is_empty() {
            json.insert("identity_policies".into(), self.identity_policies.clone().into());
        }
        Json::Object(json)
    }
}

impl WrapInfo {
    fn json(&self) -> Json {
        let mut json = Map::from(
            [
                ("token", Json::from(self.token.reveal().as_str())),
                ("accessor", self.accessor.as_str().into()),
                ("ttl", self.ttl.seconds().into()),
                ("creation_time", self.creation_time.to_string().into()),
                ("creation_path", self.creation_path.as_str().into()),
            ]
            .map(|(k, v)| (k.to_owned(), v)),
        );
        if !self.wrapped_accessor.is_empty() {
            json.insert("wrapped_accessor".into(), self.wrapped_accessor.as_str().into());
        }
        Json::Object(json)
    }
}

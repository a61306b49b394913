//! The scenario files: one recorded story each, read strictly so that no key is silently without effect.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A recorded story: requests in order with what a reference server answered.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    pub area: String,
    #[serde(rename = "about")]
    _about: String,
    #[serde(default)]
    pub server: Needs,
    pub steps: Vec<Step>,
}

/// What kind of server a scenario wants.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Needs {
    /// Not initialised, and alone on its server.
    pub fresh: bool,
    /// Initialised and unsealed, and alone on its server.
    pub own: bool,
    /// Storage type for the configuration; `inmem` when absent.
    pub storage: Option<String>,
    pub tls: bool,
    pub postgres: bool,
}

/// One request, or one action of the runner, with its expectation.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub id: String,
    /// `METHOD /v1/path`, `LOCAL name` or `RESTART`.
    #[serde(rename = "do")]
    pub action: String,
    /// `root` (when absent), `none` or `$var`.
    #[serde(default = "root")]
    pub token: String,
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    #[serde(default, deserialize_with = "present")]
    pub body: Option<Value>,
    pub raw: Option<String>,
    /// Length in bytes of a body of filler.
    pub raw_size: Option<usize>,
    pub client_cert: Option<Value>,
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    #[serde(default)]
    pub sleep_ms: u64,
    pub until: Option<BTreeMap<String, Value>>,
    #[serde(default = "until_ms")]
    pub until_ms: u64,
    #[serde(default)]
    pub check: Vec<Check>,
    /// Preparation outside the server: not scored.
    #[serde(default)]
    pub uncounted: bool,
    /// Hints for the recorder, without meaning here.
    #[serde(default, rename = "record")]
    _record: Option<Value>,
    pub expect: Expect,
}

/// A look inside a part of the answer: where it is, what it is.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub at: String,
    pub kind: String,
}

/// The recorded expectation of a step.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub status: u16,
    #[serde(default)]
    pub status_also: Vec<u16>,
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    #[serde(default, deserialize_with = "present")]
    pub body: Option<Value>,
    #[serde(default)]
    pub empty: bool,
    #[serde(default)]
    pub nonempty: bool,
    #[serde(default, deserialize_with = "present")]
    pub text: Option<Value>,
    #[serde(default)]
    pub facts: BTreeMap<String, Value>,
}

impl Scenario {
    /// `area/name`, as the scope file and the report write it.
    pub fn id(&self) -> String {
        format!("{}/{}", self.area, self.name)
    }

    /// Whether it must not share a server with others.
    pub fn is_alone(&self) -> bool {
        let needs = &self.server;
        needs.fresh || needs.own || needs.tls || needs.storage.is_some()
    }
}

/// All scenarios below a folder `AREA/NAME.json`, sorted by area and name.
pub fn load(folder: &Path) -> Result<Vec<Scenario>, String> {
    let mut scenarios = Vec::new();
    for area in entries(folder)? {
        for file in entries(&folder.join(&area))? {
            let Some(name) = file.strip_suffix(".json") else { continue };
            let path = folder.join(&area).join(&file);
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{area}/{file}: {e}"))?;
            let scenario: Scenario = serde_json::from_str(&text).map_err(|e| format!("{area}/{file}: {e}"))?;
            if scenario.area != area || scenario.name != name {
                return Err(format!("{area}/{file}: says it is {}", scenario.id()));
            }
            scenarios.push(scenario);
        }
    }
    Ok(scenarios)
}

fn entries(folder: &Path) -> Result<Vec<String>, String> {
    let listing = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> = listing.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn root() -> String {
    "root".to_owned()
}

fn until_ms() -> u64 {
    4000
}

// `"body": null` is a body; a missing key is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

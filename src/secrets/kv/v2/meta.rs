//! What is kept about a secret beside its data: settings, versions, and the rules by which versions come and go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::json::Map;
use crate::base::time::after;
use crate::base::{Error, Json, Result, Timestamp, Ttl};

/// Versions that are kept where nothing else is said.
pub const VERSIONS_DEFAULT: u32 = 10;
/// The most versions that can be kept. All are told of in one row, and are removed together.
pub const VERSIONS_MAX: u32 = 1_000;
/// Most pairs of custom metadata.
const CUSTOM_PAIRS: usize = 64;
/// Longest key of custom metadata, in bytes.
const CUSTOM_KEY_BYTES: usize = 128;
/// Longest value of custom metadata, in bytes.
const CUSTOM_VALUE_BYTES: usize = 512;

/// The settings of the mount.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    /// 0 for [`VERSIONS_DEFAULT`].
    pub max_versions: u32,
    /// Every write names the version that it follows.
    pub cas_required: bool,
    /// How long a version can be read; 0 for ever.
    pub delete_version_after: Ttl,
}

/// What is known of one version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Version {
    /// Its number, from 1.
    pub n: u64,
    /// When it was written.
    pub created: Timestamp,
    /// From when on it is deleted; may lie ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Timestamp>,
    /// Whether its data are gone for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destroyed: bool,
}

/// What a read of the latest version needs of [`Meta`]: the rest of the row is skipped.
#[derive(Deserialize)]
pub struct Head {
    /// As in [`Meta`].
    #[serde(default)]
    pub custom: BTreeMap<String, String>,
    /// As in [`Meta`].
    pub latest: Option<Version>,
}

/// The metadata of a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Meta {
    /// Words of its owners.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<String, String>,
    /// The latest version, if there was one.
    pub latest: Option<Version>,
    /// When it was first written.
    pub created: Timestamp,
    /// When a version or the metadata were last written.
    pub updated: Timestamp,
    /// The first version that may still be there; 0 as long as none was dropped.
    pub oldest: u64,
    /// 0 for the mount's.
    pub max_versions: u32,
    /// As in [`Config`]; either of them is enough.
    pub cas_required: bool,
    /// 0 for the mount's; the lesser of the two counts.
    pub delete_version_after: Ttl,
    /// The versions before the latest, in the order of their numbers.
    pub older: Vec<Version>,
}

impl Version {
    /// Whether its data can be read.
    pub fn readable(&self, now: Timestamp) -> bool {
        !self.destroyed && self.deletion.is_none_or(|at| now < at)
    }

    /// As the API shows it beside its data.
    pub fn show(&self, custom: &BTreeMap<String, String>) -> Map {
        let mut data = self.outline();
        data.insert("version".into(), self.n.into());
        data.insert("custom_metadata".into(), show_custom(custom));
        data
    }

    fn outline(&self) -> Map {
        Map::from(
            [
                ("created_time", Json::from(self.created.to_string())),
                ("deletion_time", self.deletion.map_or_else(String::new, |at| at.to_string()).into()),
                ("destroyed", self.destroyed.into()),
            ]
            .map(|(k, v)| (k.to_owned(), v)),
        )
    }
}

impl Meta {
    /// Of a secret without a version.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            custom: BTreeMap::new(),
            latest: None,
            created: now,
            updated: now,
            oldest: 0,
            max_versions: 0,
            cas_required: false,
            delete_version_after: Ttl::ZERO,
            older: Vec::new(),
        }
    }

    /// Of a secret that was written before its mount was versioned.
    pub fn adopted(upgraded: Timestamp) -> Self {
        let first = Version { n: 1, created: upgraded, deletion: None, destroyed: false };
        Self { latest: Some(first), oldest: 1, ..Self::new(upgraded) }
    }

    /// The number of the latest version; 0 if there is none.
    pub fn current(&self) -> u64 {
        self.latest.as_ref().map_or(0, |v| v.n)
    }

    /// All versions that are known, in the order of their numbers.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.older.iter().chain(&self.latest)
    }

    /// The version of this number.
    pub fn version(&self, n: u64) -> Option<&Version> {
        self.versions().find(|v| v.n == n)
    }

    /// The version of this number, to change it.
    pub fn version_mut(&mut self, n: u64) -> Option<&mut Version> {
        self.older.iter_mut().chain(&mut self.latest).find(|v| v.n == n)
    }

    /// Checks what a writer says of the version that it follows.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is another, or where nothing is said and something must be.
    pub fn check(&self, cas: Option<i64>, config: &Config) -> Result<()> {
        match cas {
            Some(n) if u64::try_from(n) != Ok(self.current()) => {
                Err(Error::invalid("check-and-set parameter did not match the current version"))
            }
            None if config.cas_required || self.cas_required => {
                Err(Error::invalid("check-and-set parameter required for this call"))
            }
            _ => Ok(()),
        }
    }

    /// Adds a version. Gives the numbers of those that are too many now and whose data are to be removed.
    pub fn add(&mut self, config: &Config, now: Timestamp) -> Vec<u64> {
        let n = self.current() + 1;
        let lasts = self.delete_version_after.capped(config.delete_version_after);
        let deletion = (!lasts.is_zero()).then(|| after(now, lasts));
        self.older.extend(self.latest.take());
        self.latest = Some(Version { n, created: now, deletion, destroyed: false });
        self.updated = now;
        let kept = [self.max_versions, config.max_versions].into_iter().find(|max| *max > 0);
        let last_dropped = n.saturating_sub(u64::from(kept.unwrap_or(VERSIONS_DEFAULT)));
        if last_dropped == 0 {
            return Vec::new();
        }
        self.oldest = self.oldest.max(last_dropped + 1);
        let dropped = self.older.iter().map(|v| v.n).filter(|n| *n <= last_dropped).collect();
        self.older.retain(|v| v.n > last_dropped);
        dropped
    }

    /// As the API shows it.
    pub fn show(&self) -> Map {
        let versions: Map = self.versions().map(|v| (v.n.to_string(), Json::Object(v.outline()))).collect();
        Map::from(
            [
                ("cas_required", Json::from(self.cas_required)),
                ("created_time", self.created.to_string().into()),
                ("current_version", self.current().into()),
                ("custom_metadata", show_custom(&self.custom)),
                ("delete_version_after", self.delete_version_after.to_string().into()),
                ("max_versions", self.max_versions.into()),
                ("oldest_version", self.oldest.into()),
                ("updated_time", self.updated.to_string().into()),
                ("versions", versions.into()),
            ]
            .map(|(k, v)| (k.to_owned(), v)),
        )
    }
}

fn show_custom(custom: &BTreeMap<String, String>) -> Json {
    if custom.is_empty() {
        return Json::Null;
    }
    Json::Object(custom.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect())
}

/// Custom metadata within their limits.
///
/// # Errors
/// [`Error::Invalid`].
pub fn check_custom(custom: &BTreeMap<String, String>) -> Result<()> {
    let wrong = |what: &str| Err(Error::invalid(format!("custom_metadata validation failed: {what}")));
    if custom.len() > CUSTOM_PAIRS {
        return wrong(&format!("at most {CUSTOM_PAIRS} keys"));
    }
    for (key, value) in custom {
        if key.is_empty() || key.len() > CUSTOM_KEY_BYTES {
            return wrong(&format!("a key has 1 to {CUSTOM_KEY_BYTES} bytes"));
        }
        if value.len() > CUSTOM_VALUE_BYTES {
            return wrong(&format!("a value has at most {CUSTOM_VALUE_BYTES} bytes"));
        }
        if key.chars().chain(value.chars()).any(char::is_control) {
            return wrong("a control character");
        }
    }
    Ok(())
}

/// A number of versions within its limits.
///
/// # Errors
/// [`Error::Invalid`].
pub fn check_max_versions(max: i64) -> Result<u32> {
    u32::try_from(max)
        .ok()
        .filter(|n| *n <= VERSIONS_MAX)
        .ok_or_else(|| Error::invalid(format!("field 'max_versions': expected 0 to {VERSIONS_MAX}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_writer_who_saw_another_version_is_refused() {
        let mut meta = Meta::new(at(1));
        let config = Config::default();
        assert!(meta.check(Some(1), &config).is_err());
        assert!(meta.check(Some(-1), &config).is_err());
        assert!(meta.check(Some(0), &config).is_ok());
        meta.add(&config, at(2));
        // A deleted secret is no new secret.
        meta.version_mut(1).unwrap().deletion = Some(at(2));
        assert!(meta.check(Some(0), &config).is_err());
        assert!(meta.check(Some(1), &config).is_ok());
        assert!(meta.check(None, &config).is_ok());
        assert!(meta.check(None, &Config { cas_required: true, ..Config::default() }).is_err());
        meta.cas_required = true;
        assert!(meta.check(None, &config).is_err());
    }

    #[test]
    fn versions_beyond_the_limit_are_dropped_oldest_first() {
        let mut meta = Meta::new(at(1));
        let config = Config::default();
        for _ in 0..10 {
            assert!(meta.add(&config, at(2)).is_empty());
        }
        assert_eq!(meta.oldest, 0);
        assert_eq!(meta.add(&config, at(3)), [1]);
        assert_eq!(meta.add(&config, at(3)), [2]);
        assert_eq!((meta.oldest, meta.current()), (3, 12));
        assert_eq!(meta.add(&Config { max_versions: 4, ..config.clone() }, at(4)), [3, 4, 5, 6, 7, 8, 9]);
        meta.max_versions = 1;
        assert_eq!(meta.add(&config, at(5)), [10, 11, 12, 13]);
        assert_eq!(meta.versions().map(|v| v.n).collect::<Vec<_>>(), [14]);
        assert_eq!(meta.oldest, 14);
    }

    #[test]
    fn the_shorter_of_two_lives_counts() {
        let config = Config { delete_version_after: Ttl::from_seconds(60), ..Config::default() };
        let mut meta = Meta::new(at(0));
        for (own, deletion) in [(0, Some(60)), (30, Some(30)), (90, Some(60))] {
            meta.delete_version_after = Ttl::from_seconds(own);
            meta.add(&config, at(0));
            assert_eq!(meta.latest.as_ref().unwrap().deletion, deletion.map(at));
        }
        let last = meta.latest.unwrap();
        assert!(last.readable(at(59)));
        assert!(!last.readable(at(60)));
    }

    #[test]
    fn a_row_is_read_back_and_its_head_alone() {
        let mut meta = Meta::adopted(at(5));
        meta.custom.insert("a".into(), "b".into());
        meta.add(&Config::default(), at(6));
        let text = serde_json::to_string(&meta).unwrap();
        let back: Meta = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        let head: Head = serde_json::from_str(&text).unwrap();
        assert_eq!((head.latest.unwrap().n, head.custom.len()), (2, 1));
    }

    #[test]
    fn custom_metadata_have_limits() {
        let pair = |k: &str, v: &str| BTreeMap::from([(k.to_owned(), v.to_owned())]);
        for bad in [pair("", "v"), pair(&"k".repeat(129), "v"), pair("k", &"v".repeat(513)), pair("k", "a\nb")] {
            assert!(check_custom(&bad).is_err());
        }
        assert!(check_custom(&pair(&"k".repeat(128), &"v".repeat(512))).is_ok());
        assert!(check_custom(&(0..65).map(|i| (i.to_string(), String::new())).collect()).is_err());
        assert!(check_max_versions(-1).is_err() && check_max_versions(1001).is_err());
    }
}

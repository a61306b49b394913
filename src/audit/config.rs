//! What an operator asks of an audit device, read into what the device will do.
//!
//! A device writes where it is told over the API, so everything here is an allow-list: one type, known options, a
//! mode that nobody can execute, a file below one folder.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::secret::stored;
use crate::base::{Error, Result, Rng, Secret};

/// Longest prefix of a line, in bytes: a word or two for a log shipper.
const PREFIX_BYTES: usize = 128;
/// Longest description, path of a device, or option, in bytes.
const TEXT_BYTES: usize = 4096;
/// The length of a new salt.
const SALT_BYTES: usize = 32;
/// Read and write for the owner.
const MODE_DEFAULT: u32 = 0o600;

/// One audit device as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceConfig {
    /// The kind of device; only `file`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The device's name, with its slash: `file/`.
    pub path: String,
    /// Words for people.
    pub description: String,
    /// As they were given.
    pub options: BTreeMap<String, String>,
    /// The device's handle.
    pub accessor: String,
    /// Whether other clusters leave it alone.
    pub local: bool,
    /// Whether the server's configuration names it: then it may write anywhere, and the API cannot disable it.
    #[serde(default)]
    pub declared: bool,
    /// The key of its hashes.
    #[serde(serialize_with = "stored")]
    pub salt: Secret<Vec<u8>>,
}

/// A device that the server's configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The kind of device.
    pub kind: String,
    /// Its path.
    pub path: String,
    /// Words for people.
    pub description: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

/// What the server's configuration says of audit devices.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The folder below which audit files lie; none for nowhere.
    pub directory: Option<PathBuf>,
    /// Whether the operator lets devices write anywhere, and to character devices.
    pub unsafe_anywhere: bool,
    /// Devices that are always there.
    pub declared: Vec<Declared>,
    /// What this node is called in the heads of its chains.
    pub node: String,
}

impl Rules {
    /// Whether all devices of the configuration can be made. Touches no file.
    ///
    /// # Errors
    /// [`Error::Invalid`] which names the device and the option.
    pub fn check(&self) -> Result<()> {
        for device in &self.declared {
            let row = device.row(&NoChance);
            row.check(self).map_err(|error| Error::invalid(format!("audit device \"{}\": {error}", row.path)))?;
        }
        Ok(())
    }
}

/// For a row that is looked at and thrown away.
struct NoChance;

impl Rng for NoChance {
    fn fill(&self, _: &mut [u8]) {}
}

impl Declared {
    /// As it is stored, with an accessor and a salt of its own.
    pub fn row(&self, rng: &dyn Rng) -> DeviceConfig {
        let mut row = DeviceConfig::new(&self.kind, &self.path, self.options.clone(), rng);
        row.description.clone_from(&self.description);
        row.declared = true;
        row
    }
}

impl DeviceConfig {
    /// A new device, with an accessor and a salt of its own. `path` gains its slash.
    pub fn new(kind: &str, path: &str, options: BTreeMap<String, String>, rng: &dyn Rng) -> Self {
        let (mut handle, mut salt) = ([0; 4], Secret::new(vec![0; SALT_BYTES]));
        rng.fill(&mut handle);
        rng.fill(salt.reveal_mut());
        Self {
            kind: kind.to_owned(),
            path: format!("{}/", path.trim_matches('/')),
            description: String::new(),
            options,
            accessor: format!("audit_{kind}_{}", hex::encode(handle)),
            local: false,
            declared: false,
            salt,
        }
    }

    /// Whether a device could be made of this. Touches no file: that is [`super::Broker::probe`].
    ///
    /// # Errors
    /// [`Error::Invalid`] which names the option, never its value.
    pub fn check(&self, rules: &Rules) -> Result<()> {
        self.plan(rules).map(drop)
    }

    /// Whether both say the same, the words for people too.
    pub fn same_as(&self, other: &Self) -> bool {
        self.works_as(other) && self.description == other.description
    }

    /// Whether a device of the one is a device of the other: all is the same but the words for people.
    pub(super) fn works_as(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.path == other.path
            && self.options == other.options
            && self.declared == other.declared
            && self.accessor == other.accessor
            && self.salt.same_as(other.salt.reveal())
    }

    pub(super) fn plan(&self, rules: &Rules) -> Result<Plan> {
        if self.kind != "file" {
            return Err(Error::invalid("unknown audit type; the only one is \"file\""));
        }
        if self.path.len() < 2 || !self.path.ends_with('/') || !plain(&self.path) {
            return Err(Error::invalid("the path of an audit device must be printable and not empty"));
        }
        if self.description.len() > TEXT_BYTES {
            return Err(Error::invalid("'description' is too long"));
        }
        let mut plan = Plan {
            target: Target::Discard,
            log_raw: false,
            hmac_accessor: true,
            elide_list_responses: false,
            mode: Some(MODE_DEFAULT),
            prefix: String::new(),
        };
        let mut file = None;
        for (name, value) in &self.options {
            if value.len() > TEXT_BYTES {
                return Err(Error::invalid(format!("audit option '{}' is too long", named(name))));
            }
            match name.as_str() {
                "file_path" => file = Some(value),
                "path" if self.options.contains_key("file_path") => {
                    return Err(Error::invalid("audit options 'file_path' and 'path' exclude each other"));
                }
                "path" => file = Some(value),
                "log_raw" => plan.log_raw = boolean(name, value)?,
                "hmac_accessor" => plan.hmac_accessor = boolean(name, value)?,
                "elide_list_responses" => plan.elide_list_responses = boolean(name, value)?,
                "mode" => plan.mode = mode(value)?,
                "format" if value == "json" => {}
                "format" => return Err(Error::invalid("audit option 'format' must be \"json\"")),
                "prefix" if value.len() <= PREFIX_BYTES && plain(value) => plan.prefix.clone_from(value),
                "prefix" => {
                    return Err(Error::invalid(format!(
                        "audit option 'prefix' allows at most {PREFIX_BYTES} printable characters of ASCII"
                    )));
                }
                _ => return Err(Error::invalid(format!("unknown audit option '{}'", named(name)))),
            }
        }
        let file = file.ok_or_else(|| Error::invalid("audit option 'file_path' is required"))?;
        plan.target = target(file, rules, self.declared)?;
        Ok(plan)
    }
}

/// What a device does: its options, read.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) log_raw: bool,
    pub(super) hmac_accessor: bool,
    pub(super) elide_list_responses: bool,
    /// The file's mode; none leaves that of an existing file.
    pub(super) mode: Option<u32>,
    pub(super) prefix: String,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Nowhere, as Vault's `discard`.
    Discard,
    /// The server's standard output.
    Stdout,
    /// Into the file of this path below this folder, without any link on the way.
    Below(PathBuf, PathBuf),
    /// Into this file, character device or FIFO, wherever it is. Only its last part may not be a link.
    Anywhere(PathBuf),
}

impl Target {
    /// The whole path; none of what is no file.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Discard | Self::Stdout => None,
            Self::Below(directory, rest) => Some(directory.join(rest)),
            Self::Anywhere(path) => Some(path.clone()),
        }
    }
}

fn target(file: &str, rules: &Rules, declared: bool) -> Result<Target> {
    match file {
        "discard" | "/dev/null" => return Ok(Target::Discard),
        "stdout" | "/dev/stdout" => return Ok(Target::Stdout),
        _ => {}
    }
    let wrong = || Error::invalid("audit option 'file_path' must be an absolute path of plain parts to a file");
    let path = Path::new(file);
    if !path.is_absolute() || file.ends_with('/') || file.bytes().any(|b| b.is_ascii_control()) {
        return Err(wrong());
    }
    // `components` swallows inner dots, so the text itself is looked at too.
    if file.split('/').any(|part| part == "." || part == "..") {
        return Err(wrong());
    }
    if rules.unsafe_anywhere || declared {
        return Ok(Target::Anywhere(path.to_owned()));
    }
    let outside =
        || Error::Forbidden("audit option 'file_path' is not below the folder that the configuration allows".into());
    let directory = rules.directory.as_deref().ok_or_else(outside)?;
    let rest = path.strip_prefix(directory).map_err(|_| outside())?;
    if rest.components().next().is_none() || !rest.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(outside());
    }
    Ok(Target::Below(directory.to_owned(), rest.to_owned()))
}

/// Octal, with or without `0o`. Four zeros leave an existing file's mode as it is, as in Vault.
fn mode(text: &str) -> Result<Option<u32>> {
    let wrong = || Error::invalid("audit option 'mode' must be octal, such as \"0600\"");
    let digits = text.strip_prefix("0o").unwrap_or(text);
    if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let mode = u32::from_str_radix(digits, 8).map_err(|_| wrong())?;
    if mode & !0o666 != 0 {
        return Err(Error::invalid("audit option 'mode' allows reading and writing only"));
    }
    if mode != 0 && mode & 0o600 != 0o600 {
        return Err(Error::invalid("audit option 'mode' must let the owner read and write"));
    }
    Ok((mode != 0).then_some(mode))
}

/// As Go reads booleans.
fn boolean(name: &str, text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!("audit option '{name}' must be true or false"))),
    }
}

fn plain(text: &str) -> bool {
    text.len() <= TEXT_BYTES && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// An option's name, fit for an error.
fn named(name: &str) -> &str {
    if name.len() <= 64 && plain(name) { name } else { "?" }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Bytes that count up: no chance in tests.
    pub(in super::super) struct Counter;

    impl Rng for Counter {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.iter_mut().enumerate().for_each(|(i, byte)| *byte = i as u8);
        }
    }

    pub(in super::super) fn config(path: &str, options: &[(&str, &str)]) -> DeviceConfig {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        DeviceConfig::new("file", path, options, &Counter)
    }

    fn refused(options: &[(&str, &str)]) -> String {
        let rules = Rules { directory: Some("/logs".into()), ..Rules::default() };
        let error = config("file", options).check(&rules).unwrap_err();
        assert!(matches!(error.status(), 400 | 403), "{error}");
        let text = error.to_string();
        assert!(!text.contains("canary"), "{text}");
        text
    }

    #[test]
    fn what_is_not_known_is_refused_by_its_name() {
        let file = ("file_path", "/logs/a");
        let kind = DeviceConfig::new("canary", "a", BTreeMap::new(), &Counter);
        let text = kind.check(&Rules::default()).unwrap_err().to_string();
        assert!(text.starts_with("unknown audit type") && !text.contains("canary"));
        assert!(refused(&[]).contains("'file_path'"));
        assert_eq!(refused(&[file, ("color", "canary")]), "unknown audit option 'color'");
        assert_eq!(refused(&[file, ("a\nb", "canary")]), "unknown audit option '?'");
        assert!(refused(&[file, ("format", "canary")]).contains("'format'"));
        assert!(refused(&[file, ("log_raw", "canary")]).contains("'log_raw'"));
        assert!(refused(&[file, ("path", "/logs/canary")]).contains("exclude"));
        for prefix in ["canary\n", "canary\u{7f}", "canaré", &"x".repeat(PREFIX_BYTES + 1)] {
            assert!(refused(&[file, ("prefix", prefix)]).contains("'prefix'"));
        }
        assert!(refused(&[file, ("prefix", &"x".repeat(TEXT_BYTES + 1))]).contains("too long"));
    }

    #[test]
    fn modes_that_could_run_or_lock_us_out_are_refused() {
        let modes = [
            "0700", "0610", "0601", "4600", "2600", "1600", "junk", "", "0o", "-600", "0666666", "0800", "0400", "0200",
        ];
        for mode in modes {
            assert!(refused(&[("file_path", "/logs/a"), ("mode", mode)]).contains("'mode'"), "{mode}");
        }
        for (text, mode) in [("0640", Some(0o640)), ("600", Some(0o600)), ("0o660", Some(0o660)), ("0000", None)] {
            assert_eq!(super::mode(text).unwrap(), mode);
        }
    }

    #[test]
    fn files_lie_below_the_one_folder() {
        let paths = ["/etc/canary", "/logs", "/logs/", "/logs/../canary", "/logs/./canary", "/logscanary/a", "canary"];
        for path in paths {
            refused(&[("file_path", path)]);
            refused(&[("path", path)]);
        }
        let plan = |path: &str, rules: &Rules| config("a", &[("path", path)]).plan(rules);
        let rules = Rules { directory: Some("/logs".into()), ..Rules::default() };
        assert_eq!(plan("/logs/a/b", &rules).unwrap().target, Target::Below("/logs".into(), "a/b".into()));
        assert_eq!(plan("discard", &Rules::default()).unwrap().target, Target::Discard);
        assert_eq!(plan("stdout", &Rules::default()).unwrap().target, Target::Stdout);
        assert!(plan("/logs/a", &Rules::default()).is_err());
        let anywhere = Rules { unsafe_anywhere: true, ..Rules::default() };
        assert_eq!(plan("/etc/a", &anywhere).unwrap().target, Target::Anywhere("/etc/a".into()));
        assert!(plan("/etc/../a", &anywhere).is_err());
    }

    #[test]
    fn what_the_configuration_names_may_lie_anywhere_and_is_checked_first() {
        let device = |path: &str, file: &str| Declared {
            kind: "file".into(),
            path: path.into(),
            options: BTreeMap::from([("file_path".into(), file.into())]),
            ..Declared::default()
        };
        let rules = |devices: &[Declared]| Rules { declared: devices.to_vec(), ..Rules::default() };
        assert!(rules(&[device("a", "/var/log/a")]).check().is_ok());
        assert!(!device("a", "/var/log/a").row(&Counter).works_as(&config("a", &[("file_path", "/var/log/a")])));
        let error = rules(&[device("a", "/a"), device("b", "relative")]).check().unwrap_err().to_string();
        assert!(error.contains("\"b/\"") && error.contains("'file_path'"), "{error}");
        let socket = Declared { kind: "socket".into(), ..device("c", "/c") };
        assert!(rules(&[socket]).check().unwrap_err().to_string().contains("unknown audit type"));
    }

    #[test]
    fn it_rests_with_its_salt_and_shows_none() {
        let config = config("file", &[("file_path", "/logs/a")]);
        assert_eq!((config.path.as_str(), config.accessor.as_str()), ("file/", "audit_file_00010203"));
        assert_eq!(config.salt.reveal().len(), SALT_BYTES);
        assert!(format!("{config:?}").contains("salt: Secret(..)"));
        let text = serde_json::to_string(&config).unwrap();
        let back: DeviceConfig = serde_json::from_str(&text).unwrap();
        assert!(back.works_as(&config));
        assert!(text.contains(r#""type":"file""#));
    }
}

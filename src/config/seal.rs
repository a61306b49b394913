//! `seal "static" { current_key_id, current_key, previous_key_id, previous_key, disabled }`, and `seal "shamir"`, which says nothing.
//!
//! A key is 32 bytes: `file:///path` of a file that holds them raw, in hex or in base64, `env://NAME`, or the text itself.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::Warning;
use super::load::named;
use crate::base::Secret;
use crate::hcl::{self, Attr, Body};

/// A key's length.
const KEY_BYTES: usize = 32;
/// More than any spelling of a key.
const FILE_BYTES: u64 = 4096;

/// A seal that opens by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticSeal {
    /// What the store is to be sealed with.
    pub current: StaticKey,
    /// What it may still be sealed with.
    pub previous: Option<StaticKey>,
    /// The store is to leave this seal.
    pub disabled: bool,
}

/// A key, and the name that the store knows it by.
#[derive(Clone, Debug)]
pub struct StaticKey {
    /// Its name.
    pub id: String,
    /// 32 bytes.
    pub key: Secret<Vec<u8>>,
}

impl PartialEq for StaticKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.key.same_as(other.key.reveal())
    }
}

/// The seal of this document, if it names one.
pub(super) fn read(to: &mut Option<StaticSeal>, body: &Body, warnings: &mut Vec<Warning>) -> hcl::Result<()> {
    let blocks = body.labelled("seal")?;
    for block in &blocks {
        match block.label()? {
            "shamir" => {}
            "static" if to.is_some() => {
                return Err(body.error(block.span(), "there is more than one seal \"static\""));
            }
            "static" => {
                let known = ["current_key_id", "current_key", "previous_key_id", "previous_key", "disabled"];
                block.only(&known)?;
                let inner = block.body();
                let pair = |id: &str, key: &str, warnings: &mut Vec<Warning>| -> hcl::Result<StaticKey> {
                    Ok(StaticKey { id: named(&inner.require(id)?)?, key: secret(&inner.require(key)?, warnings)? })
                };
                let current = pair("current_key_id", "current_key", warnings)?;
                let wants_previous = inner.attr("previous_key_id")?.is_some() || inner.attr("previous_key")?.is_some();
                let previous = match wants_previous {
                    true => Some(pair("previous_key_id", "previous_key", warnings)?),
                    false => None,
                };
                if previous.as_ref().is_some_and(|p| p.id == current.id) {
                    let attr = inner.require("previous_key_id")?;
                    return Err(attr.error("must differ from current_key_id"));
                }
                let disabled = inner.attr("disabled")?.map_or(Ok(false), |attr| attr.as_bool())?;
                *to = Some(StaticSeal { current, previous, disabled });
            }
            kind => {
                let message = format!("seal \"{kind}\" is not available, use \"shamir\" or \"static\"");
                return Err(body.error(block.span(), message));
            }
        }
    }
    match body.items().iter().find(|item| item.key().text() == "initialize") {
        Some(item) => Err(body.error(item.key().span(), "\"initialize\" is not available: run the operator's init")),
        None => Ok(()),
    }
}

/// A key, wherever it is. An error names the place and never the key.
fn secret(attr: &Attr<'_>, warnings: &mut Vec<Warning>) -> hcl::Result<Secret<Vec<u8>>> {
    let text = attr.as_str()?;
    let bytes = if let Some(path) = text.strip_prefix("file://") {
        let unreadable = |cause: std::io::Error| attr.error(format_args!("names a file that cannot be read: {cause}"));
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o077 != 0 {
            warnings.push(Warning::new(attr.error("names a file that others may read or change: chmod 0400 it")));
        }
        let mut bytes = Secret::new(Vec::new());
        file.take(FILE_BYTES).read_to_end(bytes.reveal_mut()).map_err(unreadable)?;
        bytes
    } else if let Some(name) = text.strip_prefix("env://") {
        let value =
            std::env::var_os(name).ok_or_else(|| attr.error("names an environment variable that is not set"))?;
        Secret::new(value.into_encoded_bytes())
    } else {
        Secret::new(text.as_bytes().to_vec())
    };
    decoded(bytes.reveal()).ok_or_else(|| attr.error("must be a key of 32 bytes: raw, in hex or in base64"))
}

fn decoded(bytes: &[u8]) -> Option<Secret<Vec<u8>>> {
    if bytes.len() == KEY_BYTES {
        return Some(Secret::new(bytes.to_vec()));
    }
    let text = bytes.trim_ascii();
    let readings = [hex::decode(text).ok(), STANDARD.decode(text).ok(), STANDARD_NO_PAD.decode(text).ok()];
    readings.into_iter().flatten().map(Secret::new).find(|key| key.reveal().len() == KEY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> hcl::Result<(Option<StaticSeal>, usize)> {
        let (mut seal, mut warnings) = (None, Vec::new());
        read(&mut seal, &hcl::parse("server.hcl", text)?, &mut warnings)?;
        Ok((seal, warnings.len()))
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_place_and_without_its_text() {
        for (key, why) in [
            ("canary", "32 bytes"),
            ("file:///nonexistent/canary-file", "cannot be read"),
            ("env://WARIFU_NO_SUCH_VARIABLE", "not set"),
        ] {
            let text = format!("seal \"static\" {{\n  current_key_id = \"a\"\n  current_key = \"{key}\"\n}}");
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains("server.hcl:3:") && error.contains(why), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
        for text in [
            "seal \"transit\" {}",
            "seal \"static\" {}",
            "seal \"static\" { current_key_id = \"a\" }",
            "seal \"static\" { current_key_id = \"a\" unknown = 1 }",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_is_read_raw_in_hex_and_in_base64_and_an_open_file_is_told() {
        let key: Vec<u8> = (100..132).collect();
        let folder = tempfile::tempdir().unwrap();
        let spellings =
            [key.clone(), hex::encode(&key).into_bytes(), format!("{}\n", STANDARD.encode(&key)).into_bytes()];
        for (at, bytes) in spellings.into_iter().enumerate() {
            let path = folder.path().join(at.to_string());
            std::fs::write(&path, bytes).unwrap();
            let (mode, warnings) = if at == 0 { (0o644, 1) } else { (0o400, 0) };
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let text =
                format!("seal \"static\" {{ current_key_id = \"a\" current_key = \"file://{}\" }}", path.display());
            let (seal, told) = parse(&text).unwrap();
            assert_eq!(seal.unwrap().current.key.reveal(), &key);
            assert_eq!(told, warnings);
        }
        let text = format!("seal \"static\" {{ current_key_id = \"a\" current_key = \"{}\" }}", hex::encode(&key));
        assert!(!format!("{:?}", parse(&text).unwrap().0).contains(&hex::encode(&key)[..8]));
    }
}

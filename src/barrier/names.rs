//! Encrypted names: each segment of a key by AES-SIV, its parent as associated data.
//!
//! Equal names under one parent are equal in storage (that is how they are found); elsewhere they differ. An ordered
//! segment stays readable behind a `!`, which base64url never has.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::keyring::Keyring;
use crate::base::key::Segment;
use crate::base::{Key, Result};

/// The stored form of these segments below `parent` (itself in stored form, empty for the top).
pub fn seal_segments<'a>(keys: &Keyring, parent: &str, segments: impl Iterator<Item = Segment<'a>>) -> Result<String> {
    let mut path = String::with_capacity(parent.len() + 96);
    path.push_str(parent);
    for segment in segments {
        let sealed = match segment {
            Segment::Ordered(number) => format!("!{number}"),
            Segment::Name(name) => BASE64.encode(keys.names().seal(&[path.as_bytes()], name.as_bytes())?),
        };
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&sealed);
    }
    Ok(path)
}

/// The stored form of a whole key.
pub fn seal_key(keys: &Keyring, key: &Key) -> Result<String> {
    seal_segments(keys, "", key.segments())
}

/// Opens one stored segment (without a slash) below its stored parent.
pub fn open_segment(keys: &Keyring, parent: &str, stored: &str) -> Option<String> {
    if let Some(number) = stored.strip_prefix('!') {
        return Some(format!("\u{1}{number}"));
    }
    let bytes = BASE64.decode(stored).ok()?;
    String::from_utf8(keys.names().open(&[parent.as_bytes()], &bytes).ok()?).ok()
}

/// Opens a whole stored key.
pub fn open_key(keys: &Keyring, stored: &str) -> Option<Key> {
    open_below(keys, "", stored)
}

/// Opens what follows a stored parent.
pub fn open_below(keys: &Keyring, parent: &str, rest: &str) -> Option<Key> {
    let mut path = parent.to_owned();
    let mut key = Key::default();
    for segment in rest.split('/').filter(|s| !s.is_empty()) {
        let plain = open_segment(keys, &path, segment)?;
        key = match Segment::of(&plain) {
            Segment::Name(name) => key.join(name),
            ordered => key.ordered(ordered.number()?),
        };
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(segment);
    }
    Some(key)
}

//! Encrypted names: each segment of a key by AES-SIV, its parent as associated data.
//!
//! Equal names under one parent are equal in storage (that is how they are found); elsewhere they differ. An ordered
//! segment stays readable behind a `!`, which base64url never has.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::keyring::Keyring;
use crate::base::key::{ORDERED, Segment};
use crate::base::{Key, Result};

/// The stored form of a key below a prefix, both as [`Key::as_str`] has them.
///
/// The names above the last one are nearly always those of other keys too, and the whole key is often that of the request
/// before: both are looked for among those at hand, and only what follows is encrypted.
pub fn seal_below(keys: &Keyring, prefix: &Key, key: &Key) -> Result<String> {
    match (prefix.as_str(), key.as_str()) {
        ("", plain) | (plain, "") => seal(keys, plain),
        (prefix, key) => {
            let mut plain = String::with_capacity(prefix.len() + key.len() + 1);
            plain.push_str(prefix);
            plain.push('/');
            plain.push_str(key);
            seal(keys, &plain)
        }
    }
}

/// The stored form of a whole key.
pub fn seal_key(keys: &Keyring, key: &Key) -> Result<String> {
    seal(keys, key.as_str())
}

fn seal(keys: &Keyring, plain: &str) -> Result<String> {
    let mut stored = String::with_capacity(plain.len() * 2 + 96);
    // Moments come once: keys from the first one on are not kept.
    let lasting = plain.find(ORDERED).unwrap_or(plain.len());
    let mut done = plain[..lasting].trim_end_matches('/').len();
    while !keys.known_names().find(&plain[..done], &mut stored) {
        match plain[..done].rfind('/') {
            Some(slash) => done = slash,
            None => {
                done = 0;
                break;
            }
        }
    }
    for name in plain[done..].split('/').filter(|name| !name.is_empty()) {
        let sealed = match Segment::of(name) {
            Segment::Ordered(number) => format!("!{number}"),
            Segment::Name(name) => BASE64.encode(keys.names().seal(&[stored.as_bytes()], name.as_bytes())?),
        };
        if !stored.is_empty() {
            stored.push('/');
        }
        stored.push_str(&sealed);
        // Where this name ends within the key: it is a part of that very text.
        done = name.as_ptr().addr() - plain.as_ptr().addr() + name.len();
        if done < lasting || lasting == plain.len() {
            keys.known_names().keep(&plain[..done], &stored);
        }
    }
    Ok(stored)
}

/// Opens one stored segment (without a slash) below its stored parent.
pub fn open_segment(keys: &Keyring, parent: &str, stored: &str) -> Option<String> {
    if let Some(number) = stored.strip_prefix('!') {
        return Some(format!("\u{1}{number}"));
    }
    let bytes = BASE64.decode(stored).ok()?;
    String::from_utf8(keys.names().open(&[parent.as_bytes()], &bytes).ok()?).ok()
}

/// Opens a whole stored key. Its folder is nearly always that of other keys too.
pub fn open_key(keys: &Keyring, stored: &str) -> Option<Key> {
    let Some((folder, name)) = stored.rsplit_once('/') else { return open_below(keys, "", stored) };
    let mut plain = String::new();
    let folder_key = if keys.opened_names().find(folder, &mut plain) {
        Key::new(&plain)
    } else {
        let key = open_below(keys, "", folder)?;
        // Moments come once.
        if !key.as_str().contains(ORDERED) {
            keys.opened_names().keep(folder, key.as_str());
        }
        key
    };
    Some(folder_key.append(&open_below(keys, folder, name)?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::crypto::random::testing::Seeded;

    /// As the names would be without any at hand.
    fn plainly(keys: &Keyring, key: &Key) -> String {
        key.segments().fold(String::new(), |path, segment| {
            let sealed = match segment {
                Segment::Ordered(number) => format!("!{number}"),
                Segment::Name(name) => BASE64.encode(keys.names().seal(&[path.as_bytes()], name.as_bytes()).unwrap()),
            };
            if path.is_empty() { sealed } else { format!("{path}/{sealed}") }
        })
    }

    fn some_keys() -> Vec<Key> {
        let moment = Timestamp::from_second(9).unwrap();
        let mut keys = vec![Key::default(), Key::new("a"), Key::new("a/b/c"), Key::new("a/b"), Key::new("a/bc")];
        keys.push(Key::new("a/expiry").at(moment).join("b"));
        keys.push(Key::new("a/expiry").at(moment).join("b/c"));
        keys.push(Key::default().at(moment).join("a"));
        keys.push(Key::new("a/b/c/d/e/f"));
        keys
    }

    #[test]
    fn names_at_hand_are_those_that_would_be_made() {
        let keyring = Keyring::create(&Seeded::new(1), Timestamp::UNIX_EPOCH).unwrap();
        // Twice, and from the longest to the shortest: whatever is kept from before.
        let keys = some_keys();
        for key in keys.iter().chain(keys.iter().rev()) {
            let stored = seal_key(&keyring, key).unwrap();
            assert_eq!(stored, plainly(&keyring, key), "{key:?}");
            assert_eq!(open_key(&keyring, &stored).unwrap(), *key);
            for prefix in &keys {
                let whole = prefix.clone().append(key);
                assert_eq!(seal_below(&keyring, prefix, key).unwrap(), plainly(&keyring, &whole));
            }
        }
    }

    #[test]
    fn moments_are_not_kept() {
        let keyring = Keyring::create(&Seeded::new(1), Timestamp::UNIX_EPOCH).unwrap();
        for second in 0..100 {
            let key = Key::new("a/expiry").at(Timestamp::from_second(second).unwrap()).join("b");
            seal_key(&keyring, &key).unwrap();
        }
        assert_eq!(keyring.known_names().len(), 2);
    }
}

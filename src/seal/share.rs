//! A share as text: hex if it is hex of the right length, else base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::base::{Error, Result, Secret};

/// A share's length: 32 bytes of the key and the point; a key that is its own share has no point.
const LENGTHS: [usize; 2] = [32, 33];

/// Reads a share.
///
/// # Errors
/// [`Error::Invalid`].
pub fn parse(text: &Secret<String>) -> Result<Secret<Vec<u8>>> {
    let text = text.reveal().trim();
    if text.is_empty() {
        return Err(Error::invalid("'key' must be specified in request body as JSON, or 'reset' set to true"));
    }
    let bad = || Error::invalid("'key' must be a valid hex or base64 string");
    if text.len() > 256 {
        return Err(bad());
    }
    let bytes = match hex::decode(text).map(Secret::new) {
        Ok(bytes) if LENGTHS.contains(&bytes.reveal().len()) => bytes,
        _ => Secret::new(BASE64.decode(text).map_err(|_| bad())?),
    };
    match bytes.reveal().len() {
        n if LENGTHS.contains(&n) => Ok(bytes),
        n if n < LENGTHS[0] => Err(Error::invalid("key is shorter than minimum 32 bytes")),
        _ => Err(Error::invalid("key is longer than maximum 33 bytes")),
    }
}

/// A share in hex.
pub fn text_hex(share: &Secret<Vec<u8>>) -> Secret<String> {
    Secret::new(hex::encode(share.reveal()))
}

/// A share in base64.
pub fn text_base64(share: &Secret<Vec<u8>>) -> Secret<String> {
    Secret::new(BASE64.encode(share.reveal()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_share_is_refused_without_its_text() {
        for text in ["", "canary", "zz", &"ab".repeat(31), &"ab".repeat(34), &"a".repeat(300)] {
            let error = parse(&Secret::from(text)).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn hex_and_base64_are_read_alike() {
        let share = Secret::new((0..33).collect::<Vec<u8>>());
        assert_eq!(parse(&text_hex(&share)).unwrap().reveal(), share.reveal());
        assert_eq!(parse(&text_base64(&share)).unwrap().reveal(), share.reveal());
    }
}

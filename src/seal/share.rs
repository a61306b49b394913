//! A share as text: with a label that can be checked, or plain as Vault's: hex if it is hex of the right length, else base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::SealConfig;
use crate::base::{Error, Result, Secret};
use crate::crypto::label::{self, Labelled};

/// A share's length: 32 bytes of the key and the point; a key that is its own share has no point.
const LENGTHS: [usize; 2] = [32, 33];

/// A share that somebody gave.
#[derive(Clone, Debug)]
pub struct Share {
    /// Its bytes.
    pub bytes: Secret<Vec<u8>>,
    /// What its label says; `None` for a plain one.
    pub label: Option<Label>,
}

/// What the label of a share says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    store: String,
    generation: u32,
    /// Which share it is, from 1.
    pub index: u8,
}

impl Share {
    /// Refuses a share whose label says that it cannot be of use: another store's, or one from before the last rekey.
    /// A plain share says nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the reason.
    pub fn check(&self, config: &SealConfig, generation: u32) -> Result<()> {
        let Some(label) = &self.label else { return Ok(()) };
        if label.store != label::mark(&config.cluster_id) {
            return Err(Error::invalid("this share belongs to another store: it was not counted"));
        }
        if label.generation != generation {
            return Err(Error::invalid(format!(
                "this share is of generation {}, and those that count are of generation {generation}: it was not counted",
                label.generation
            )));
        }
        Ok(())
    }

    /// The reason to refuse a share that was given before; a plain one cannot tell its holder more than that.
    pub fn repeated(&self) -> Option<Error> {
        let label = self.label.as_ref()?;
        Some(Error::invalid(format!("share {} was given already: it was not counted again", label.index)))
    }
}

/// Reads a share.
///
/// # Errors
/// [`Error::Invalid`]: for a labelled one, with the reason.
pub fn parse(text: &Secret<String>) -> Result<Share> {
    if label::is_labelled(text.reveal()) {
        let Labelled { store, generation, index, share, .. } = Labelled::parse(text)?;
        return Ok(Share { bytes: share, label: Some(Label { store, generation, index }) });
    }
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
        n if LENGTHS.contains(&n) => Ok(Share { bytes, label: None }),
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
        for text in ["", "canary", "zz", &"ab".repeat(31), &"ab".repeat(34), &"a".repeat(300), "wfs1-canary"] {
            let error = parse(&Secret::from(text)).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn hex_and_base64_are_read_alike() {
        let share = Secret::new((0..33).collect::<Vec<u8>>());
        assert_eq!(parse(&text_hex(&share)).unwrap().bytes.reveal(), share.reveal());
        assert_eq!(parse(&text_base64(&share)).unwrap().bytes.reveal(), share.reveal());
    }
}

//! Encryption to a person: the age format (age-encryption.org/v1) with X25519 recipients, through the `age` crate.
//!
//! The file key and the ephemeral share are drawn by that crate from the system itself: they cannot be handed to it.

use std::str::FromStr;

use super::error::{Error, Result};
use crate::base::Secret;

/// Longest recipient that is read, in bytes: `age1` and 58 letters.
const RECIPIENT_BYTES: usize = 128;

/// Somebody's public key, `age1…`.
#[derive(Clone)]
pub struct Recipient(age::x25519::Recipient);

impl Recipient {
    /// Reads one.
    ///
    /// # Errors
    /// `Invalid` for what is no X25519 recipient of age.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || Error::invalid("no recipient of age: it begins with 'age1' and is made by age-keygen");
        if text.len() > RECIPIENT_BYTES {
            return Err(bad());
        }
        age::x25519::Recipient::from_str(text.trim()).map(Self).map_err(|_| bad())
    }

    /// Encrypts a text to this recipient alone; the answer is armoured.
    ///
    /// # Errors
    /// `Primitive` if age cannot, which it always can.
    pub fn encrypt(&self, text: &Secret<String>) -> Result<String> {
        age::encrypt_and_armor(&self.0, text.reveal().as_bytes()).map_err(|_| Error::Primitive("encrypting to age"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_recipient_reads_it() {
        let (own, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let recipient = Recipient::parse(&own.to_public().to_string()).unwrap();
        let sent = recipient.encrypt(&Secret::from("a share")).unwrap();
        assert!(sent.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") && !sent.contains("a share"));
        assert!(age::decrypt(&other, sent.as_bytes()).is_err());
        assert_eq!(age::decrypt(&own, sent.as_bytes()).unwrap(), b"a share");
    }

    #[test]
    fn what_is_no_recipient_is_refused_without_its_text() {
        let secret = "AGE-SECRET-KEY-1CANARY";
        for text in ["", "age1", secret, "ssh-ed25519 AAAA", &"age1".repeat(64)] {
            let Err(error) = Recipient::parse(text) else { panic!("taken") };
            assert!(!error.to_string().contains("CANARY"));
        }
    }
}

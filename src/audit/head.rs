//! A chain's head: how far it has come, signed. Who keeps it elsewhere can tell later whether what it vouches for is whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::chain::{Digest, START};
use crate::base::{Result, Timestamp};
use crate::crypto::{PrivateKey, PublicKey, SignatureAlgorithm};

/// Before all that a head's signature covers, so that it is good for nothing else.
const PURPOSE: &str = "warifu audit head 1";

/// How far a chain has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The device's path.
    pub device: String,
    /// The node that writes.
    pub node: String,
    /// The chain.
    pub chain: String,
    /// The number of its last line.
    pub seq: u64,
    /// That line's digest, in hexadecimal digits.
    pub digest: String,
    /// When it was signed.
    pub time: Timestamp,
    /// Ed25519, in base64; empty before it is signed.
    #[serde(default)]
    pub signature: String,
}

/// What is exported: heads, and the key that signed them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Heads {
    /// PEM.
    pub public_key: String,
    /// One for each chain.
    pub heads: Vec<Head>,
}

impl Head {
    /// Of a chain whose last line is this one; not signed yet.
    pub(super) fn new(device: &str, node: &str, chain: &str, last: (u64, Digest)) -> Self {
        Self {
            device: device.to_owned(),
            node: node.to_owned(),
            chain: chain.to_owned(),
            seq: last.0,
            digest: hex::encode(last.1),
            time: Timestamp::UNIX_EPOCH,
            signature: String::new(),
        }
    }

    /// The digest of its last line; none if that is not one.
    pub(super) fn last_digest(&self) -> Option<Digest> {
        let mut digest = START;
        hex::decode_to_slice(&self.digest, &mut digest).ok()?;
        Some(digest)
    }

    /// Signs it as of this moment.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&mut self, key: &PrivateKey, now: Timestamp) -> Result<()> {
        self.time = now;
        let algorithm = SignatureAlgorithm::for_key(key.kind(), None, false)?;
        self.signature = BASE64.encode(key.sign(algorithm, &self.message())?);
        Ok(())
    }

    /// Whether this key signed it as it is.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let Ok(signature) = BASE64.decode(&self.signature) else { return false };
        let Ok(algorithm) = SignatureAlgorithm::for_key(key.kind(), None, false) else { return false };
        key.verify(algorithm, &self.message(), &signature).is_ok()
    }

    /// A list in JSON: no text can pass for two.
    fn message(&self) -> Vec<u8> {
        let fields = (PURPOSE, &self.device, &self.node, &self.chain, self.seq, &self.digest, self.time.to_string());
        serde_json::to_vec(&fields).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyKind;

    #[test]
    fn a_signature_is_good_for_one_head_and_one_key() {
        let (key, other) =
            (PrivateKey::generate(KeyKind::Ed25519).unwrap(), PrivateKey::generate(KeyKind::Ed25519).unwrap());
        let mut head = Head::new("file/", "node", "00", (7, [1; 32]));
        assert!(!head.is_signed_by(key.public()));
        head.sign(&key, Timestamp::UNIX_EPOCH).unwrap();
        assert!(head.is_signed_by(key.public()) && !head.is_signed_by(other.public()));
        let changes: [fn(&mut Head); 6] = [
            |head| head.seq += 1,
            |head| head.digest = "00".into(),
            |head| head.device.push('x'),
            |head| head.node.push('x'),
            |head| head.chain.push('0'),
            |head| head.time = Timestamp::MAX,
        ];
        for change in changes {
            let mut changed = head.clone();
            change(&mut changed);
            assert!(!changed.is_signed_by(key.public()));
        }
        let text = serde_json::to_string(&head).unwrap();
        assert_eq!(serde_json::from_str::<Head>(&text).unwrap(), head);
    }
}

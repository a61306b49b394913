//! The keyed digests under which role ids and secret ids are stored: of no use without the barrier's keys, and different in each mount.

use crate::barrier::View;
use crate::base::Result;
use crate::crypto::HmacKey;

/// The digests of one mount.
pub struct Digests(HmacKey);

impl Digests {
    /// Of the mount that this view belongs to.
    ///
    /// # Errors
    /// [`crate::base::Error::Sealed`].
    pub fn of(view: &View) -> Result<Self> {
        let key = view.barrier().derive(&format!("approle {}", view.prefix().as_str()))?;
        Ok(Self(HmacKey::new(key.reveal())))
    }

    /// Of a role id.
    pub fn role_id(&self, text: &str) -> String {
        hex::encode(self.0.sign(&[b"role id\0", text.as_bytes()]))
    }

    /// Of a secret id.
    pub fn secret_id(&self, text: &str) -> String {
        hex::encode(self.0.sign(&[b"secret id\0", text.as_bytes()]))
    }
}

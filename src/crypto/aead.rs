//! AES-256-GCM with a cached key schedule that is wiped when dropped.
//!
//! A nonce must never be used twice with one key: callers draw 96 random bits and count the uses.

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce, Tag};

use super::error::{Error, Result};
use super::locked::Locked;
use crate::base::Secret;

/// The length of a key, in bytes.
pub const KEY_LEN: usize = 32;
/// The length of a nonce, in bytes.
pub const NONCE_LEN: usize = 12;
/// What sealing adds to a plaintext, in bytes.
pub const TAG_LEN: usize = 16;

/// A key ready for use, on pages of its own: a move leaves no copy of the schedule behind.
pub struct AeadKey(Locked<Aes256Gcm>);

impl AeadKey {
    /// Expands the key.
    ///
    /// # Errors
    /// `Primitive` when there is no memory for its page.
    pub fn new(key: &Secret<[u8; KEY_LEN]>) -> Result<Self> {
        Self::expand(key.reveal())
    }

    /// Expands a key of which only storage knows the length.
    ///
    /// # Errors
    /// `Invalid` when it is not 32 bytes long.
    pub fn from_bytes(key: &Secret<Vec<u8>>) -> Result<Self> {
        match <&[u8; KEY_LEN]>::try_from(key.reveal().as_slice()) {
            Ok(key) => Self::expand(key),
            Err(_) => Err(Error::invalid("an AES-256 key has 32 bytes")),
        }
    }

    /// Encrypts and authenticates: ciphertext followed by the tag.
    ///
    /// # Errors
    /// `Primitive` for a plaintext beyond 64 GiB.
    pub fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(plaintext.len() + TAG_LEN);
        self.seal_onto(nonce, aad, plaintext, &mut out)?;
        Ok(out)
    }

    /// As [`AeadKey::seal`], appended to a header that is already in `out`.
    ///
    /// # Errors
    /// As for `seal`; `out` is then what it was.
    pub fn seal_onto(&self, nonce: [u8; NONCE_LEN], aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        // Reserved at once: a vector that grows would leave the plaintext in the old place.
        out.reserve(plaintext.len() + TAG_LEN);
        out.extend_from_slice(plaintext);
        match self.0.encrypt_inout_detached(&Nonce::from(nonce), aad, (&mut out[start..]).into()) {
            Ok(tag) => {
                out.extend_from_slice(&tag);
                Ok(())
            }
            Err(_) => {
                out.truncate(start);
                Err(Error::Primitive("AES-256-GCM"))
            }
        }
    }

    /// Checks and decrypts what [`AeadKey::seal`] returned.
    ///
    /// # Errors
    /// `Open` when key, nonce, associated data or ciphertext differ, or it is shorter than a tag.
    pub fn open(&self, nonce: [u8; NONCE_LEN], aad: &[u8], sealed: &[u8]) -> Result<Secret<Vec<u8>>> {
        let (body, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Error::Open)?;
        let mut plaintext = Secret::new(body.to_vec());
        self.0
            .decrypt_inout_detached(
                &Nonce::from(nonce),
                aad,
                plaintext.reveal_mut().as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .map_err(|_| Error::Open)?;
        Ok(plaintext)
    }

    /// Whether it stays out of swap.
    pub const fn is_locked(&self) -> bool {
        self.0.is_locked()
    }

    fn expand(key: &[u8; KEY_LEN]) -> Result<Self> {
        let cipher = Aes256Gcm::new(<&Key<Aes256Gcm>>::from(key));
        Locked::new(cipher).map(Self).map_err(|_| Error::Primitive("memory for a key"))
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> AeadKey {
        AeadKey::from_bytes(&Secret::new(hex::decode(text).unwrap())).unwrap()
    }

    fn nonce(text: &str) -> [u8; 12] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// Test cases 13, 14 and 16 of the GCM submission to NIST.
    #[test]
    fn nist_vectors() {
        let zero = key(&"00".repeat(32));
        let sealed = zero.seal([0; 12], b"", b"").unwrap();
        assert_eq!(hex::encode(sealed), "530f8afbc74536b9a963b4f1c4cb738b");
        let sealed = zero.seal([0; 12], b"", &[0; 16]).unwrap();
        assert_eq!(hex::encode(sealed), "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");

        let key = key("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let nonce = nonce("cafebabefacedbaddecaf888");
        let aad = hex::decode("feedfacedeadbeeffeedfacedeadbeefabaddad2").unwrap();
        let plaintext = hex::decode(concat!(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ))
        .unwrap();
        let sealed = key.seal(nonce, &aad, &plaintext).unwrap();
        assert_eq!(
            hex::encode(&sealed),
            concat!(
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa",
                "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
                "76fc6ece0f4e1768cddf8853bb2d551b"
            )
        );
        assert_eq!(key.open(nonce, &aad, &sealed).unwrap().reveal(), &plaintext);
    }

    #[test]
    fn any_changed_bit_keeps_it_closed() {
        let key = key(&"07".repeat(32));
        let sealed = key.seal([1; 12], b"path", b"value").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(key.open([1; 12], b"path", &changed), Err(Error::Open)));
        }
        assert!(key.open([2; 12], b"path", &sealed).is_err());
        assert!(key.open([1; 12], b"elsewhere", &sealed).is_err());
        assert!(key.open([1; 12], b"path", &sealed[1..]).is_err());
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        for len in [0, 16, 31, 33, 64] {
            assert!(AeadKey::from_bytes(&Secret::new(vec![0; len])).is_err());
        }
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", key(&"ab".repeat(32))), "AeadKey(..)");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(key: [u8; 32], nonce: [u8; 12], aad: Vec<u8>, plaintext: Vec<u8>, header: Vec<u8>) {
            let key = AeadKey::new(&Secret::new(key)).unwrap();
            let mut out = header.clone();
            key.seal_onto(nonce, &aad, &plaintext, &mut out).unwrap();
            prop_assert_eq!(&out[..header.len()], &header[..]);
            let opened = key.open(nonce, &aad, &out[header.len()..]).unwrap();
            prop_assert_eq!(opened.reveal(), &plaintext);
        }

        #[test]
        fn garbage_stays_closed(nonce: [u8; 12], aad: Vec<u8>, garbage: Vec<u8>) {
            prop_assert!(AeadKey::new(&Secret::new([9; 32])).unwrap().open(nonce, &aad, &garbage).is_err());
        }
    }
}

//! AES-SIV (RFC 5297) for names: the same name always seals to the same bytes, and only those open.
//!
//! ```text
//! synthetic IV (16) ‖ ciphertext (as long as the name)
//! ```
//!
//! Equal names under one key show as equal: each place that must not be comparable with another
//! brings its own associated data.

use std::fmt;

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;

use super::error::{Error, Result};
use super::locked::Locked;
use crate::base::Secret;

/// The length of a key, in bytes: half for the authentication, half for the encryption.
pub const KEY_LEN: usize = 64;
/// What sealing adds to a name, in bytes.
pub const IV_LEN: usize = 16;
/// How many strings of associated data S2V takes beside the name.
pub const AAD_MAX: usize = 126;

/// A key for names. Each call expands the key anew: it needs no lock, and many threads may call.
pub struct NameKey(Locked<[u8; KEY_LEN]>);

impl NameKey {
    /// Takes the key.
    ///
    /// # Errors
    /// `Primitive` when there is no memory for its page.
    pub fn new(key: &Secret<[u8; KEY_LEN]>) -> Result<Self> {
        Locked::new(*key.reveal()).map(Self).map_err(|_| Error::Primitive("memory for a key"))
    }

    /// Takes a key of which only storage knows the length.
    ///
    /// # Errors
    /// `Invalid` when it is not 64 bytes long.
    pub fn from_bytes(key: &Secret<Vec<u8>>) -> Result<Self> {
        let mut own = Secret::new([0; KEY_LEN]);
        if key.reveal().len() != KEY_LEN {
            return Err(Error::invalid("an AES-SIV key has 64 bytes"));
        }
        own.reveal_mut().copy_from_slice(key.reveal());
        Self::new(&own)
    }

    /// Encrypts a name, always to the same bytes for the same associated data.
    ///
    /// # Errors
    /// `Primitive` for more than [`AAD_MAX`] strings of associated data.
    pub fn seal(&self, aad: &[&[u8]], name: &[u8]) -> Result<Vec<u8>> {
        self.cipher().encrypt(aad, name).map_err(|_| Error::Primitive("AES-SIV"))
    }

    /// Decrypts what [`NameKey::seal`] returned.
    ///
    /// # Errors
    /// `Open` when key, associated data or bytes differ, or they are shorter than the IV.
    pub fn open(&self, aad: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>> {
        self.cipher().decrypt(aad, sealed).map_err(|_| Error::Open)
    }

    /// Boxed, so that what the crate does not wipe is wiped when the heap gets it back.
    fn cipher(&self) -> Box<Aes256Siv> {
        Box::new(Aes256Siv::new((&*self.0).into()))
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use aes_siv::siv::Aes128Siv;
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    /// RFC 5297 A.1 and A.2. They are for 128-bit keys: the construction is the same.
    #[test]
    fn rfc_5297_vectors() {
        let key = bytes("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
        let aad = bytes("101112131415161718191a1b1c1d1e1f2021222324252627");
        let mut siv = Aes128Siv::new(key.as_slice().try_into().unwrap());
        assert_eq!(
            hex::encode(siv.encrypt([&aad], &bytes("112233445566778899aabbccddee")).unwrap()),
            "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"
        );

        let key = bytes("7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f");
        let aad = [
            bytes("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100"),
            bytes("102030405060708090a0"),
            bytes("09f911029d74e35bd84156c5635688c0"),
        ];
        let mut siv = Aes128Siv::new(key.as_slice().try_into().unwrap());
        assert_eq!(
            hex::encode(siv.encrypt(&aad, b"this is some plaintext to encrypt using SIV-AES").unwrap()),
            concat!(
                "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17",
                "dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d"
            )
        );
    }

    /// The 256-bit form, against what OpenSSL answered.
    #[test]
    fn the_256_bit_form_stays() {
        let key: Vec<u8> = (0..64).collect();
        let key = NameKey::from_bytes(&Secret::new(key)).unwrap();
        assert_eq!(hex::encode(key.seal(&[b"place"], b"name").unwrap()), SEALED_NAME);
    }

    const SEALED_NAME: &str = "147da9815284bb6dedd56e764a92049aaf002a40";

    #[test]
    fn any_changed_bit_keeps_it_closed() {
        let key = NameKey::new(&Secret::new([7; 64])).unwrap();
        let sealed = key.seal(&[b"a", b"b"], b"name").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(key.open(&[b"a", b"b"], &changed), Err(Error::Open)));
        }
        // Where one string ends and the next begins counts.
        assert!(key.open(&[b"ab"], &sealed).is_err());
        assert!(key.open(&[b"b", b"a"], &sealed).is_err());
        assert!(key.open(&[b"a", b"b"], &sealed[..15]).is_err());
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        for len in [0, 32, 63, 65] {
            assert!(NameKey::from_bytes(&Secret::new(vec![0; len])).is_err());
        }
    }

    #[test]
    fn too_much_associated_data_is_an_error() {
        let key = NameKey::new(&Secret::new([7; 64])).unwrap();
        assert!(key.seal(&[b"x".as_slice(); AAD_MAX], b"").is_ok());
        assert!(key.seal(&[b"x".as_slice(); AAD_MAX + 1], b"").is_err());
        assert!(key.open(&[b"x".as_slice(); AAD_MAX + 1], &[0; 16]).is_err());
    }

    #[test]
    fn many_threads_share_a_key() {
        let key = NameKey::new(&Secret::new([3; 64])).unwrap();
        let expected = key.seal(&[], b"shared").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(key.seal(&[], b"shared").unwrap(), expected));
            }
        });
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", NameKey::new(&Secret::new([0xab; 64])).unwrap()), "NameKey(..)");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_is_always_the_same(name: Vec<u8>, aad: Vec<u8>) {
            let key = NameKey::new(&Secret::new([5; 64])).unwrap();
            let sealed = key.seal(&[&aad], &name).unwrap();
            prop_assert_eq!(sealed.len(), name.len() + IV_LEN);
            prop_assert_eq!(&sealed, &key.seal(&[&aad], &name).unwrap());
            prop_assert_eq!(key.open(&[&aad], &sealed).unwrap(), name);
        }

        #[test]
        fn garbage_stays_closed(garbage: Vec<u8>, aad: Vec<u8>) {
            prop_assert!(NameKey::new(&Secret::new([5; 64])).unwrap().open(&[&aad], &garbage).is_err());
        }
    }
}

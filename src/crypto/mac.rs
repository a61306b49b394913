//! SHA-256 in its three uses: digest, HMAC, HKDF; with the comparison that goes with them, and MD5 for names only.

use std::fmt;

use md5::Digest;
use ring::{digest, hkdf, hmac};
use subtle::ConstantTimeEq;

use super::error::{Error, Result};
use crate::base::Secret;

/// The length of a digest and of a tag, in bytes.
pub const LEN: usize = 32;
/// The most that HKDF-SHA256 gives, in bytes.
pub const HKDF_MAX: usize = 255 * LEN;

/// SHA-256 of the bytes.
pub fn sha256(data: &[u8]) -> [u8; LEN] {
    whole(digest::digest(&digest::SHA256, data).as_ref())
}

/// SHA-256 of the parts one after another (their borders do not count).
pub fn sha256_of(parts: &[&[u8]]) -> [u8; LEN] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    whole(context.finish().as_ref())
}

/// MD5 of the bytes: broken as a digest, and here only because templates of consul-template name files by it.
pub fn md5(data: &[u8]) -> [u8; 16] {
    md5::Md5::digest(data).into()
}

/// HMAC-SHA256 over the parts one after another (their borders do not count).
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; LEN] {
    HmacKey::new(key).sign(parts)
}

/// An HMAC-SHA256 key with its first blocks computed. Boxed: the heap wipes what `ring` does not.
#[derive(Clone)]
pub struct HmacKey(Box<hmac::Key>);

impl HmacKey {
    /// Prepares a key of any length.
    pub fn new(key: &[u8]) -> Self {
        Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The tag of the parts one after another (their borders do not count).
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; LEN] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        whole(context.sign().as_ref())
    }

    /// Whether the tag belongs to the parts, in constant time.
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        same(&self.sign(parts), tag)
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(..)")
    }
}

/// HKDF-SHA256 (RFC 5869): fills `out` with key material for one purpose.
///
/// # Errors
/// `Invalid` for more than [`HKDF_MAX`] bytes.
pub fn hkdf_sha256(ikm: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<()> {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(ikm)
        .expand(info, Len(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| Error::invalid("HKDF-SHA256 gives at most 8160 bytes"))
}

/// As [`hkdf_sha256`], for a key of a fixed length; `label` names the purpose.
///
/// # Errors
/// `Invalid` for more than [`HKDF_MAX`] bytes.
pub fn derive_key<const N: usize>(ikm: &[u8], salt: &[u8], label: &str) -> Result<Secret<[u8; N]>> {
    let mut key = Secret::new([0; N]);
    hkdf_sha256(ikm, salt, &[label.as_bytes()], key.reveal_mut())?;
    Ok(key)
}

/// Compares in a time that depends on the lengths only.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// A digest of SHA-256 is 32 bytes long: `ring` says so in its constants, not in its types.
fn whole(digest: &[u8]) -> [u8; LEN] {
    let mut out = [0; LEN];
    out.copy_from_slice(digest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    #[test]
    fn sha256_of_abc() {
        assert_eq!(sha256(b"abc"), sha256_of(&[b"a", b"", b"bc"]));
        assert_eq!(hex::encode(sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn md5_of_abc() {
        assert_eq!(hex::encode(md5(b"abc")), "900150983cd24fb0d6963f7d28e17f72");
    }

    /// RFC 4231, cases 1, 2, 6 (a key longer than a block).
    #[test]
    fn rfc_4231_vectors() {
        for (key, parts, tag) in [
            (
                vec![0x0b; 20],
                [b"Hi There".as_slice(), b""],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe".to_vec(),
                [b"what do ya ", b"want for nothing?"],
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                [b"Test Using Larger Than Block-Size Key - ", b"Hash Key First"],
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex::encode(hmac_sha256(&key, &parts)), tag);
            assert!(HmacKey::new(&key).verify(&parts, &bytes(tag)));
        }
    }

    /// RFC 5869, cases 1 and 3.
    #[test]
    fn rfc_5869_vectors() {
        let mut okm = [0; 42];
        let info = bytes("f0f1f2f3f4f5f6f7f8f9");
        hkdf_sha256(&[0x0b; 22], &bytes("000102030405060708090a0b0c"), &[&info[..4], &info[4..]], &mut okm).unwrap();
        assert_eq!(
            hex::encode(okm),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
        hkdf_sha256(&[0x0b; 22], b"", &[], &mut okm).unwrap();
        assert_eq!(
            hex::encode(okm),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
        );
    }

    #[test]
    fn hkdf_has_an_end() {
        assert!(hkdf_sha256(b"ikm", b"", &[], &mut vec![0; HKDF_MAX]).is_ok());
        assert!(hkdf_sha256(b"ikm", b"", &[], &mut vec![0; HKDF_MAX + 1]).is_err());
    }

    #[test]
    fn labels_keep_keys_apart() {
        let a = derive_key::<32>(b"root", b"", "values").unwrap();
        let b = derive_key::<32>(b"root", b"", "names").unwrap();
        assert_ne!(a.reveal(), b.reveal());
    }

    #[test]
    fn a_shortened_or_changed_tag_is_refused() {
        let key = HmacKey::new(b"key");
        let mut tag = key.sign(&[b"message"]);
        assert!(!key.verify(&[b"message"], &tag[..31]));
        assert!(!key.verify(&[b"message"], b""));
        tag[31] ^= 1;
        assert!(!key.verify(&[b"message"], &tag));
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", HmacKey::new(b"canary")), "HmacKey(..)");
    }
}

//! The last known good: what the store holds, in a file, under a key that is bound to this host.
//!
//!     nonce (12) ‖ ciphertext of a JSON list ‖ tag (16)
//!
//! The key comes from a random file beside the cache and from the host's own id: neither alone opens it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::file;
use crate::base::{Rng, Secret, Timestamp};
use crate::crypto::{AeadKey, hkdf_sha256};

/// The first bytes of a key's derivation and the associated data of the file.
const LABEL: &[u8] = b"warifu agent cache 1";
/// Bytes of the nonce before the ciphertext.
const NONCE_LEN: usize = 12;

/// One remembered dependency.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// Which one.
    pub id: String,
    /// Its value as JSON.
    pub value: String,
    /// When the server last said so, in seconds.
    pub at: i64,
    /// From when and until when, for a certificate.
    pub certificate: Option<(i64, i64)>,
    /// Whether it is the answer to a write, which is not asked again.
    pub once: bool,
}

/// The file and its key.
pub(super) struct Cache {
    path: PathBuf,
    key: AeadKey,
    /// What was written last, so that it is written once.
    written: Option<[u8; 32]>,
}

impl Cache {
    /// Opens a cache, making its key when there is none.
    ///
    /// # Errors
    /// The key can neither be read nor made.
    pub(super) fn open(path: &Path, machine_id: &[u8], rng: &dyn Rng) -> Result<Cache, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("cache {}: {error}", path.display());
        let key_path = key_path(path);
        let random = match file::read(&key_path) {
            Ok(bytes) if bytes.len() == 32 => Secret::new(bytes),
            Ok(_) => return Err(wrong(&"its key file has an unexpected length")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut bytes = vec![0; 32];
                rng.fill(&mut bytes);
                file::put_private(&key_path, &bytes, 0o600, rng).map_err(|error| wrong(&error))?;
                Secret::new(bytes)
            }
            Err(error) => return Err(wrong(&error)),
        };
        let mut derived = [0; 32];
        hkdf_sha256(random.reveal(), machine_id, &[LABEL], &mut derived).map_err(|error| wrong(&error))?;
        let key = AeadKey::new(&Secret::new(derived)).map_err(|error| wrong(&error))?;
        Ok(Cache { path: path.to_owned(), key, written: None })
    }

    /// What was remembered and is young enough. A file that does not open is told and passed over.
    pub(super) fn load(&self, max_stale_seconds: i64, now: Timestamp) -> Vec<Remembered> {
        let sealed = match file::read(&self.path) {
            Ok(sealed) => sealed,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    warn!(path = %self.path.display(), %error, "the cache cannot be read");
                }
                return Vec::new();
            }
        };
        let opened = sealed.split_first_chunk::<NONCE_LEN>().and_then(|(nonce, rest)| {
            let plain = self.key.open(*nonce, LABEL, rest).ok()?;
            serde_json::from_slice::<Vec<Remembered>>(plain.reveal()).ok()
        });
        let Some(all) = opened else {
            warn!(path = %self.path.display(), "the cache is damaged or of another host; it is not used");
            return Vec::new();
        };
        let now = now.as_second();
        let count = all.len();
        let young: Vec<Remembered> = all
            .into_iter()
            .filter(|one| now.saturating_sub(one.at) <= max_stale_seconds && one.at <= now.saturating_add(300))
            .filter(|one| one.certificate.is_none_or(|(_, until)| now < until))
            .collect();
        info!(count = young.len(), too_old = count - young.len(), "the last known good was found");
        young
    }

    /// Writes what is to be remembered, if it has changed.
    pub(super) fn save(&mut self, all: &[Remembered], rng: &dyn Rng) {
        let Ok(plain) = serde_json::to_vec(all).map(Secret::new) else { return };
        let digest = crate::crypto::sha256(plain.reveal());
        if self.written == Some(digest) {
            return;
        }
        let mut nonce = [0; NONCE_LEN];
        rng.fill(&mut nonce);
        let mut sealed = nonce.to_vec();
        let done = self.key.seal_onto(nonce, LABEL, plain.reveal(), &mut sealed).is_ok()
            && file::put_private(&self.path, &sealed, 0o600, rng).is_ok();
        if done {
            self.written = Some(digest);
        } else {
            warn!(path = %self.path.display(), "the cache could not be written");
        }
    }
}

/// Where the key of a cache lies.
pub(super) fn key_path(path: &Path) -> PathBuf {
    let mut key_path = path.as_os_str().to_owned();
    key_path.push(".key");
    PathBuf::from(key_path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::testing::Seeded;

    fn one(at: i64, certificate: Option<(i64, i64)>) -> Remembered {
        Remembered { id: "a".to_owned(), value: "\"canary\"".to_owned(), at, certificate, once: false }
    }

    #[test]
    fn another_host_a_damaged_file_and_old_age_give_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, rng) = (folder.path().join("cache"), Seeded::new(1));
        let now = Timestamp::from_second(1000).unwrap();
        let mut cache = Cache::open(&path, b"host-1", &rng).unwrap();
        assert!(cache.load(60, now).is_empty());
        cache.save(&[one(990, None), one(900, None), one(990, Some((0, 995)))], &rng);
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
        assert_eq!(cache.load(60, now).len(), 1);
        assert_eq!(Cache::open(&path, b"host-1", &rng).unwrap().load(60, now).len(), 1);
        assert!(Cache::open(&path, b"host-2", &rng).unwrap().load(60, now).is_empty());
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            std::fs::write(&path, broken).unwrap();
            assert!(cache.load(60, now).is_empty());
        }
        std::fs::write(&path, b"short").unwrap();
        assert!(cache.load(60, now).is_empty());
        std::fs::write(folder.path().join("cache.key"), b"short").unwrap();
        assert!(Cache::open(&path, b"host-1", &rng).is_err());
    }
}

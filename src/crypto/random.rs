//! The system's random generator behind `base::Rng`, with the text form of random tokens.

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroize;

use crate::base::{Rng, Secret};

/// The letters of a token's text.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The largest multiple of 62 in a byte: from here on a byte is drawn anew, else some letters would be likelier.
const ZONE: u8 = 248;

/// The operating system's generator.
#[derive(Debug, Clone)]
pub struct SystemRng(SystemRandom);

impl SystemRng {
    /// A handle; it holds nothing.
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Default for SystemRng {
    fn default() -> Self {
        Self::new()
    }
}

impl Rng for SystemRng {
    /// # Panics
    /// When the kernel refuses random bytes. There is nothing a vault may do without them, and
    /// going on with a buffer of zeros would be the one unforgivable answer.
    fn fill(&self, buffer: &mut [u8]) {
        if self.0.fill(buffer).is_err() {
            panic!("the system's random generator failed");
        }
    }
}

/// A random text of `len` letters and digits (5.95 bits each), without bias.
pub fn base62(rng: &dyn Rng, len: usize) -> Secret<String> {
    let mut text = Secret::new(String::with_capacity(len));
    let mut drawn = [0; 32];
    while text.reveal().len() < len {
        rng.fill(&mut drawn);
        let wanted = len - text.reveal().len();
        for byte in drawn.iter().filter(|byte| **byte < ZONE).take(wanted) {
            text.reveal_mut().push(char::from(BASE62[usize::from(byte % 62)]));
        }
    }
    drawn.zeroize();
    text
}

/// A generator for tests: the same seed, the same bytes.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::base::Rng;
    use crate::crypto::mac::hmac_sha256;

    /// HMAC of a counter.
    pub struct Seeded {
        seed: u64,
        count: AtomicU64,
    }

    impl Seeded {
        pub fn new(seed: u64) -> Self {
            Self { seed, count: AtomicU64::new(0) }
        }
    }

    impl Rng for Seeded {
        fn fill(&self, buffer: &mut [u8]) {
            for chunk in buffer.chunks_mut(32) {
                let count = self.count.fetch_add(1, Ordering::Relaxed);
                let block = hmac_sha256(&self.seed.to_le_bytes(), &[&count.to_le_bytes()]);
                chunk.copy_from_slice(&block[..chunk.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Seeded;
    use super::*;

    #[test]
    fn two_draws_differ() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        SystemRng::new().fill(&mut a);
        SystemRng::new().fill(&mut b);
        assert_ne!(a, b);
        assert_ne!(a, [0; 32]);
        SystemRng::new().fill(&mut []);
    }

    #[test]
    fn a_token_has_its_length_and_only_letters_and_digits() {
        for len in [0, 1, 24, 31, 32, 33, 300] {
            let text = base62(&SystemRng::new(), len);
            assert_eq!(text.reveal().len(), len);
            assert!(text.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn every_letter_is_as_likely() {
        let text = base62(&Seeded::new(1), 62_000);
        for letter in BASE62 {
            let count = text.reveal().bytes().filter(|byte| byte == letter).count();
            // 1000 expected; six standard deviations are 188.
            assert!((812..1188).contains(&count), "{} came {count} times", char::from(*letter));
        }
    }
}

//! Identifiers: UUIDs, accessors, and text of random letters.

use super::{Rng, Secret};

/// A random UUID (RFC 9562, version 4), in its usual text.
pub fn uuid(rng: &dyn Rng) -> String {
    let mut b = [0; 16];
    rng.fill(&mut b);
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in b.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// So many random letters and digits: 5.95 bits each.
pub fn letters(rng: &dyn Rng, count: usize) -> Secret<String> {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(count);
    let mut buffer = [0; 64];
    while text.len() < count {
        rng.fill(&mut buffer);
        for byte in buffer {
            // 248 is the largest multiple of 62 in a byte: what lies above would favour some letters.
            if byte < 248 && text.len() < count {
                text.push(char::from(ALPHABET[usize::from(byte % 62)]));
            }
        }
    }
    zeroize::Zeroize::zeroize(&mut buffer);
    Secret::new(text)
}

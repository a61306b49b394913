//! One-time codes of a shared secret: HOTP (RFC 4226) counted by time (RFC 6238).

use ring::hmac;

use super::error::{Error, Result};

/// The digest behind the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtpHash {
    /// What every app knows. Its weakness, collisions, does not touch HMAC.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl OtpHash {
    /// The API's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// The digest of this word.
    ///
    /// # Errors
    /// `Invalid` for any other.
    pub fn parse(word: &str) -> Result<Self> {
        [Self::Sha1, Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|hash| hash.name() == word)
            .ok_or_else(|| Error::invalid("the algorithm must be SHA1, SHA256 or SHA512"))
    }
}

/// The code of a secret at a count, in so many digits (6 to 8).
pub fn hotp(hash: OtpHash, secret: &[u8], count: u64, digits: u32) -> String {
    let algorithm = match hash {
        OtpHash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        OtpHash::Sha256 => hmac::HMAC_SHA256,
        OtpHash::Sha512 => hmac::HMAC_SHA512,
    };
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), &count.to_be_bytes());
    let tag = tag.as_ref();
    // The last four bits say where in the tag the code begins: at most at 15 of 20 bytes.
    let at = usize::from(tag[tag.len() - 1] & 0xf);
    let number = u32::from_be_bytes([tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]]);
    let digits = digits.clamp(6, 8);
    format!("{:0width$}", number % 10u32.pow(digits), width = digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standards() {
        // RFC 4226, appendix D.
        let secret = b"12345678901234567890";
        for (count, code) in ["755224", "287082", "359152", "969429", "338314", "254676"].iter().enumerate() {
            assert_eq!(hotp(OtpHash::Sha1, secret, count as u64, 6), *code);
        }
        // RFC 6238, appendix B, at 59 s.
        assert_eq!(hotp(OtpHash::Sha1, secret, 1, 8), "94287082");
        assert_eq!(hotp(OtpHash::Sha256, b"12345678901234567890123456789012", 1, 8), "46119246");
        let long = b"1234567890123456789012345678901234567890123456789012345678901234";
        assert_eq!(hotp(OtpHash::Sha512, long, 1, 8), "90693936");
    }
}

//! X.509: names, extensions, certificates, requests and revocation lists, written and read.
//!
//! What is signed is verified over the bytes that came, and names are carried as the bytes they
//! are: nothing here is decoded and encoded again on its way into a certificate.

mod alt_name;
mod certificate;
mod crl;
#[cfg(test)]
mod cross_checks;
pub mod extension;
mod name;
mod ocsp;
mod ocsp_question;
mod path;
mod request;

use std::time::Duration;

use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Encode, Reader, Sequence, SliceReader, Tag, Tagged};
use jiff::Timestamp;
use spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

pub use alt_name::AltName;
pub use certificate::{Certificate, CertificateSpec};
pub use crl::{CRL_MAX, Crl, CrlSpec, Reason, Revoked};
pub use der::asn1::ObjectIdentifier as Oid;
pub use extension::{Extension, KeyUsage};
pub use name::{DistinguishedName, Subject};
pub use ocsp::{CertId, CertStatus, IssuerDigests, OcspRefusal, OcspRequest, OcspSpec};
pub use ocsp_question::{ANSWER_MAX as OCSP_ANSWER_MAX, OcspAnswer, OcspQuestion};
pub use path::{INTERMEDIATES_MAX, client_path};
pub use request::{Request, RequestSpec};

use super::error::{Error, Result};
use super::keys::{PrivateKey, PublicKey, SignatureAlgorithm};
use crate::base::Rng;

/// The length of a serial number that is made here, in bytes; its first bit is 0.
pub const SERIAL_LEN: usize = 20;

/// A random serial number: 159 bits, never 0.
pub fn random_serial(rng: &dyn Rng) -> [u8; SERIAL_LEN] {
    let mut serial = [0; SERIAL_LEN];
    while serial == [0; SERIAL_LEN] {
        rng.fill(&mut serial);
        serial[0] &= 0x7f;
    }
    serial
}

/// The text of a serial number: hexadecimal pairs with colons.
pub fn serial_text(serial: &[u8]) -> String {
    let significant = serial.iter().position(|byte| *byte != 0).unwrap_or(serial.len());
    let pairs: Vec<String> = serial[significant..].iter().map(|byte| format!("{byte:02x}")).collect();
    if pairs.is_empty() { "00".into() } else { pairs.join(":") }
}

/// Reads [`serial_text`], also with dashes between the pairs.
///
/// # Errors
/// `Invalid` for anything else, or for more than 20 bytes.
pub fn parse_serial(text: &str) -> Result<Vec<u8>> {
    let malformed = || Error::invalid("serial number: want hexadecimal pairs with colons or dashes");
    if text.len() > SERIAL_LEN * 3 {
        return Err(malformed());
    }
    let byte = |pair: &str| {
        let hex = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten().ok_or_else(malformed)
    };
    text.split([':', '-']).map(byte).collect()
}

/// SEQUENCE { what is signed, algorithm, signature }: the outside of everything here.
#[derive(Sequence)]
struct Signed<'a> {
    body: AnyRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitStringRef<'a>,
}

/// What [`open`] found. The body is the bytes as they came.
struct Opened<'a> {
    body: &'a [u8],
    algorithm: AlgorithmIdentifierOwned,
    signature: &'a [u8],
}

/// Splits the outside from the inside. `what` is for the error's text.
fn open<'a>(der: &'a [u8], max: usize, what: &str) -> Result<Opened<'a>> {
    let malformed = || Error::invalid(format!("{what}: malformed"));
    if der.len() > max {
        return Err(Error::invalid(format!("{what}: too long")));
    }
    let outside = AnyRef::from_der(der).map_err(|_| malformed())?;
    let mut inside = SliceReader::new(outside.value()).map_err(|_| malformed())?;
    let body = inside.tlv_bytes().map_err(|_| malformed())?;
    let signed = Signed::from_der(der).map_err(|_| malformed())?;
    Ok(Opened { body, algorithm: signed.algorithm, signature: signed.signature.as_bytes().ok_or_else(malformed)? })
}

/// Signs the body and puts the outside around it.
fn seal(body: &[u8], key: &PrivateKey, algorithm: SignatureAlgorithm) -> Result<Vec<u8>> {
    let refused = |_| Error::Primitive("encoding a signed structure");
    let signature = key.sign(algorithm, body)?;
    let signed = Signed {
        body: AnyRef::from_der(body).map_err(refused)?,
        algorithm: algorithm.identifier()?,
        signature: BitStringRef::from_bytes(&signature).map_err(refused)?,
    };
    signed.to_der().map_err(refused)
}

/// Verifies the signature over the bytes as they came.
fn verify(der: &[u8], max: usize, what: &str, key: &PublicKey) -> Result<()> {
    let opened = open(der, max, what)?;
    key.verify(SignatureAlgorithm::of(&opened.algorithm)?, opened.body, opened.signature)
}

/// The elements inside a SEQUENCE, SET or constructed context tag, at most `max` of them.
fn elements<'a>(whole: AnyRef<'a>, tag: Option<Tag>, max: usize) -> Option<Vec<AnyRef<'a>>> {
    if tag.is_some_and(|tag| whole.tag() != tag) {
        return None;
    }
    let mut reader = SliceReader::new(whole.value()).ok()?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        if found.len() == max {
            return None;
        }
        found.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(found)
}

/// A moment as RFC 5280 wants it: UTCTime until 2049, GeneralizedTime after. `Timestamp::MAX`
/// stands for the last second of the year 9999, which says "no end".
fn time(moment: Timestamp) -> Result<Time> {
    if moment.as_second() == Timestamp::MAX.as_second() {
        return Ok(Time::INFINITY);
    }
    let outside = || Error::invalid("a date before 1970 cannot be in a certificate");
    let seconds = u64::try_from(moment.as_second()).map_err(|_| outside())?;
    der::DateTime::from_unix_duration(Duration::from_secs(seconds)).map(Time::from).map_err(|_| outside())
}

/// The other way; what lies beyond `Timestamp::MAX` becomes it.
fn moment(time: Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod testing {
    use std::path::Path;
    use std::process::Command;

    /// Runs openssl in a folder; what it wrote, and whether it was content.
    pub fn openssl(folder: &Path, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    pub fn at(text: &str) -> jiff::Timestamp {
        text.parse().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::random::testing::Seeded;

    #[test]
    fn serial_numbers_that_are_none_are_refused() {
        for text in ["", ":", "0", "0g", "+1", "01:", "0102", "01:2", "é1", &"01:".repeat(21)] {
            assert!(parse_serial(text).is_err(), "{text}");
        }
    }

    #[test]
    fn serial_numbers_are_positive_and_their_text_reads_back() {
        for seed in 0..200 {
            let serial = random_serial(&Seeded::new(seed));
            assert!(serial[0] < 0x80);
            let read = parse_serial(&serial_text(&serial)).unwrap();
            assert!(serial.ends_with(&read));
        }
        assert_eq!(serial_text(&[0, 0x0a, 0xff]), "0a:ff");
        assert_eq!(parse_serial("0A-ff").unwrap(), [10, 255]);
    }

    #[test]
    fn moments_round_trip_and_the_end_of_time_is_kept() {
        for text in ["1970-01-01T00:00:00Z", "2049-12-31T23:59:59Z", "2050-01-01T00:00:00Z", "9000-06-01T00:00:00Z"] {
            let asked = testing::at(text);
            assert_eq!(moment(time(asked).unwrap()), asked);
        }
        assert!(matches!(time(testing::at("2049-12-31T23:59:59Z")).unwrap(), Time::UtcTime(_)));
        assert!(matches!(time(testing::at("2050-01-01T00:00:00Z")).unwrap(), Time::GeneralTime(_)));
        assert_eq!(moment(time(Timestamp::MAX).unwrap()), Timestamp::MAX);
        assert!(time(testing::at("1969-12-31T23:59:59Z")).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(garbage: Vec<u8>, text: String) {
            let _ = parse_serial(&text);
            let _ = Certificate::from_der(&garbage);
            let _ = Request::from_der(&garbage);
            let _ = Crl::from_der(&garbage);
            let _ = DistinguishedName::from_der(&garbage);
        }
    }
}

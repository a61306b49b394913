//! OCSP (RFC 6960): what somebody asks about certificates, and signed answers.
//!
//!     request:  SEQUENCE { SEQUENCE { [0] version?, [1] name?, SEQUENCE OF SEQUENCE { id, … }, [2] extensions? }, … }
//!     answer:   SEQUENCE { ENUMERATED status, [0] { SEQUENCE { type, OCTET STRING of what `seal` makes } }? }

use der::asn1::{AnyRef, GeneralizedTime, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Tag, TagNumber, Tagged};
use jiff::Timestamp;
use sha1::Digest;
use spki::AlgorithmIdentifierRef;

use super::certificate::Certificate;
use super::crl::Reason;
use super::elements;
use crate::crypto::error::{Error, Result};
use crate::crypto::keys::{PrivateKey, SignatureAlgorithm};

/// The longest request that is read, in bytes.
pub const REQUEST_MAX: usize = 16 * 1024;
/// How many certificates one request may ask about.
pub const IDS_MAX: usize = 32;
/// The longest nonce that is given back, in bytes (RFC 8954 has 32, RFC 9654 128).
pub const NONCE_MAX: usize = 128;

pub(super) const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
pub(super) const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// Which certificate is asked about: digests of its issuer's name and key, and its serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertId {
    der: Vec<u8>,
    sha256: bool,
    name_hash: Vec<u8>,
    key_hash: Vec<u8>,
    serial: Vec<u8>,
}

impl CertId {
    /// That of a certificate with this serial number, by SHA-1: every responder knows it, and nothing rests on its strength.
    pub(super) fn of(issuer: &Certificate, serial: &[u8]) -> Result<Self> {
        let key = issuer.public_key()?;
        let digest = |bytes: &[u8]| sha1::Sha1::digest(bytes).to_vec();
        let (name_hash, key_hash) = (digest(issuer.subject().der()), digest(key.bits()));
        let algorithm = AlgorithmIdentifierRef { oid: SHA1, parameters: Some(AnyRef::NULL) };
        let number = UintRef::new(serial).map_err(|_| Error::invalid("OCSP request: no serial number"))?;
        let parts = [
            der_of(&algorithm)?,
            wrap(Tag::OctetString, &name_hash)?,
            wrap(Tag::OctetString, &key_hash)?,
            der_of(&number)?,
        ];
        let der = wrap(Tag::Sequence, &parts.concat())?;
        Ok(Self { der, sha256: false, name_hash, key_hash, serial: number.as_bytes().to_vec() })
    }

    /// As it stands in a request or an answer.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(super) fn read(any: AnyRef<'_>) -> Option<Self> {
        let parts = elements(any, Some(Tag::Sequence), 4)?;
        let [algorithm, name, key, serial] = parts.as_slice() else { return None };
        let algorithm = AlgorithmIdentifierRef::from_der(&algorithm.to_der().ok()?).ok()?.oid;
        if algorithm != SHA1 && algorithm != SHA256 {
            return None;
        }
        let octets = |any: &AnyRef<'_>| (any.tag() == Tag::OctetString).then(|| any.value().to_vec());
        Some(Self {
            der: any.to_der().ok()?,
            sha256: algorithm == SHA256,
            name_hash: octets(name)?,
            key_hash: octets(key)?,
            serial: serial.decode_as::<UintRef<'_>>().ok()?.as_bytes().to_vec(),
        })
    }

    /// Whether this is the issuer that is meant.
    pub fn is_of(&self, issuer: &IssuerDigests) -> bool {
        match self.sha256 {
            true => self.name_hash == issuer.sha256.0 && self.key_hash == issuer.sha256.1,
            false => self.name_hash == issuer.sha1.0 && self.key_hash == issuer.sha1.1,
        }
    }

    /// The serial number, big-endian.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

/// An issuer as requests tell of it: digests of its name and of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerDigests {
    sha1: ([u8; 20], [u8; 20]),
    sha256: ([u8; 32], [u8; 32]),
}

impl IssuerDigests {
    /// Those of this certificate's subject.
    ///
    /// # Errors
    /// As for [`Certificate::public_key`].
    pub fn of(issuer: &Certificate) -> Result<Self> {
        let (name, key) = (issuer.subject().der(), issuer.public_key()?);
        let sha1 = |bytes: &[u8]| sha1::Sha1::digest(bytes).into();
        let sha256 = crate::crypto::sha256;
        Ok(Self { sha1: (sha1(name), sha1(key.bits())), sha256: (sha256(name), sha256(key.bits())) })
    }
}

/// A request that was read. Whether it is signed does not count.
#[derive(Debug, Clone)]
pub struct OcspRequest {
    /// What is asked about, in order; one at least.
    pub ids: Vec<CertId>,
    /// The value of the nonce's extension, to be given back.
    pub nonce: Option<Vec<u8>>,
}

impl OcspRequest {
    /// Reads DER.
    ///
    /// # Errors
    /// `Invalid` when it is malformed, too long, asks about nothing or about more than `IDS_MAX` certificates.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        if der.len() > REQUEST_MAX {
            return Err(Error::invalid("OCSP request: too long"));
        }
        Self::read(der).ok_or_else(|| Error::invalid("OCSP request: malformed"))
    }

    fn read(der: &[u8]) -> Option<Self> {
        let outside = elements(AnyRef::from_der(der).ok()?, Some(Tag::Sequence), 2)?;
        let mut ids = Vec::new();
        let mut nonce = None;
        for part in elements(*outside.first()?, Some(Tag::Sequence), 4)? {
            if part.tag() == Tag::Sequence {
                for one in elements(part, None, IDS_MAX)? {
                    ids.push(CertId::read(*elements(one, Some(Tag::Sequence), 2)?.first()?)?);
                }
            } else if part.tag() == context(2) {
                let extensions = Vec::<x509_cert::ext::Extension>::from_der(part.value()).ok()?;
                let found = extensions.into_iter().find(|extension| extension.extn_id == NONCE);
                nonce = found.map(|extension| extension.extn_value.into_bytes().into());
            }
        }
        let nonce = nonce.filter(|value: &Vec<u8>| !value.is_empty() && value.len() <= NONCE_MAX + 4);
        (!ids.is_empty()).then_some(Self { ids, nonce })
    }
}

/// What is said of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertStatus {
    /// It is not revoked.
    Good,
    /// It is, since then.
    Revoked(Timestamp, Reason),
    /// Somebody else has to be asked.
    Unknown,
}

/// What an answer is to say.
#[derive(Debug, Clone)]
pub struct OcspSpec {
    /// What is said of each.
    pub statuses: Vec<(CertId, CertStatus)>,
    /// When it is said.
    pub this_update: Timestamp,
    /// When it will be said anew.
    pub next_update: Option<Timestamp>,
    /// The request's nonce.
    pub nonce: Option<Vec<u8>>,
    /// The certificate of a responder whom the issuer named, sent along; none where the issuer itself answers.
    pub responder: Option<Certificate>,
}

impl OcspSpec {
    /// Writes and signs a successful answer, in the name of the key's owner.
    ///
    /// # Errors
    /// `Unsupported` when the key has no such signature.
    pub fn sign(&self, key: &PrivateKey, algorithm: SignatureAlgorithm) -> Result<Vec<u8>> {
        let responder = wrap(context(2), &wrap(Tag::OctetString, &key.public().key_id())?)?;
        let mut singles = Vec::new();
        for (id, status) in &self.statuses {
            let mut single = id.der.clone();
            single.extend(status.write()?);
            single.extend(moment(self.this_update)?);
            if let Some(next) = self.next_update {
                single.extend(wrap(context(0), &moment(next)?)?);
            }
            singles.extend(wrap(Tag::Sequence, &single)?);
        }
        let mut body = [responder, moment(self.this_update)?, wrap(Tag::Sequence, &singles)?].concat();
        if let Some(nonce) = &self.nonce {
            let extension = [der_of(&NONCE)?, wrap(Tag::OctetString, nonce)?].concat();
            let extensions = wrap(Tag::Sequence, &wrap(Tag::Sequence, &extension)?)?;
            body.extend(wrap(context(1), &extensions)?);
        }
        let mut basic = super::seal(&wrap(Tag::Sequence, &body)?, key, algorithm)?;
        if let Some(responder) = &self.responder {
            let signed = AnyRef::from_der(&basic).map_err(|_| Error::Primitive("encoding an OCSP answer"))?;
            let certificates = wrap(context(0), &wrap(Tag::Sequence, responder.der())?)?;
            basic = wrap(Tag::Sequence, &[signed.value(), &certificates].concat())?;
        }
        let bytes = [der_of(&BASIC)?, wrap(Tag::OctetString, &basic)?].concat();
        let bytes = wrap(context(0), &wrap(Tag::Sequence, &bytes)?)?;
        wrap(Tag::Sequence, &[wrap(Tag::Enumerated, &[0])?, bytes].concat())
    }
}

impl CertStatus {
    fn write(self) -> Result<Vec<u8>> {
        let plain = |number| Tag::ContextSpecific { constructed: false, number: TagNumber(number) };
        match self {
            Self::Good => wrap(plain(0), &[]),
            Self::Unknown => wrap(plain(2), &[]),
            Self::Revoked(at, reason) => {
                let mut inside = moment(at)?;
                if reason != Reason::Unspecified {
                    let reason = reason.to_der().map_err(|_| Error::Primitive("encoding a reason"))?;
                    inside.extend(wrap(context(0), &reason)?);
                }
                wrap(context(1), &inside)
            }
        }
    }
}

/// Why there is no answer. Such a word is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum OcspRefusal {
    /// The request is none.
    Malformed = 1,
    /// Something is broken here.
    Internal = 2,
    /// Not now.
    TryLater = 3,
    /// Not a responder for this issuer.
    Unauthorized = 6,
}

impl OcspRefusal {
    /// The DER.
    pub const fn der(self) -> [u8; 5] {
        // SEQUENCE of 3 bytes, ENUMERATED of 1.
        [0x30, 0x03, 0x0a, 0x01, self as u8]
    }
}

pub(super) const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

pub(super) fn wrap(tag: Tag, inside: &[u8]) -> Result<Vec<u8>> {
    AnyRef::new(tag, inside).and_then(|any| any.to_der()).map_err(|_| Error::Primitive("encoding an OCSP answer"))
}

pub(super) fn der_of(value: &impl Encode) -> Result<Vec<u8>> {
    value.to_der().map_err(|_| Error::Primitive("encoding an OCSP answer"))
}

/// Always GeneralizedTime here, unlike in certificates.
fn moment(at: Timestamp) -> Result<Vec<u8>> {
    let outside = || Error::invalid("a date before 1970 cannot be in an OCSP answer");
    let seconds = u64::try_from(at.as_second()).map_err(|_| outside())?;
    let time = GeneralizedTime::from_unix_duration(std::time::Duration::from_secs(seconds)).map_err(|_| outside())?;
    der_of(&time)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, openssl};
    use super::*;
    use crate::crypto::keys::{Curve, KeyKind};
    use crate::crypto::x509::{CertificateSpec, Subject, extension};

    fn issuer(kind: KeyKind) -> (PrivateKey, Certificate, SignatureAlgorithm) {
        let key = PrivateKey::generate(kind).unwrap();
        let algorithm = SignatureAlgorithm::for_key(kind, None, false).unwrap();
        let subject = Subject::common("OCSP Root").encode().unwrap();
        let spec = CertificateSpec {
            serial: vec![1],
            issuer: subject.clone(),
            subject,
            public_key: key.public().clone(),
            not_before: at("2026-01-01T00:00:00Z"),
            not_after: at("2036-01-01T00:00:00Z"),
            extensions: vec![
                extension::basic_constraints(true, None).unwrap(),
                extension::subject_key_id(&key.public().key_id()).unwrap(),
            ],
        };
        let certificate = spec.sign(&key, algorithm).unwrap();
        (key, certificate, algorithm)
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for der in [&b""[..], b"junk", &[0x30, 0], &[0x30, 2, 0x30, 0], &[0x30, 4, 0x30, 2, 0x30, 0], &[0x30, 0x84]] {
            assert!(OcspRequest::from_der(der).is_err(), "{der:?}");
        }
        assert!(OcspRequest::from_der(&vec![0x30; REQUEST_MAX + 1]).is_err());
    }

    #[test]
    fn a_request_cut_anywhere_is_refused_or_read_but_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let (_, certificate, _) = issuer(KeyKind::Ec(Curve::P256));
        std::fs::write(path.join("ca.pem"), certificate.pem().unwrap()).unwrap();
        let (ok, text) = openssl(path, &["ocsp", "-issuer", "ca.pem", "-serial", "0xabcdef", "-reqout", "q.der"]);
        assert!(ok, "{text}");
        let der = std::fs::read(path.join("q.der")).unwrap();
        for length in 0..der.len() {
            assert!(OcspRequest::from_der(&der[..length]).is_err());
        }
        for place in 0..der.len() {
            for change in [1, 0x80, 0xff] {
                let mut other = der.clone();
                other[place] ^= change;
                let _ = OcspRequest::from_der(&other);
            }
        }
    }

    #[test]
    fn openssl_asks_and_believes() {
        for kind in [KeyKind::Ec(Curve::P256), KeyKind::Ec(Curve::P384), KeyKind::Rsa(2048)] {
            for digest in ["-sha1", "-sha256"] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path();
                let (key, certificate, algorithm) = issuer(kind);
                std::fs::write(path.join("ca.pem"), certificate.pem().unwrap()).unwrap();
                let ask = ["-serial", "0x0a", "-serial", "0x00ff", "-serial", "0x7b"];
                let ask = [&["ocsp", digest, "-issuer", "ca.pem"][..], &ask].concat();
                let (ok, text) = openssl(path, &[&ask[..], &["-reqout", "q.der"]].concat());
                assert!(ok, "{text}");
                let request = OcspRequest::from_der(&std::fs::read(path.join("q.der")).unwrap()).unwrap();
                assert!(request.nonce.is_some());
                assert!(request.ids.iter().all(|id| id.is_of(&IssuerDigests::of(&certificate).unwrap())));
                assert_eq!(request.ids[1].serial(), [0xff]);
                let (_, stranger, _) = issuer(kind);
                assert!(!request.ids[0].is_of(&IssuerDigests::of(&stranger).unwrap()));
                let statuses = [
                    CertStatus::Good,
                    CertStatus::Revoked(at("2026-02-01T00:00:00Z"), Reason::KeyCompromise),
                    CertStatus::Unknown,
                ];
                let spec = OcspSpec {
                    statuses: request.ids.into_iter().zip(statuses).collect(),
                    this_update: at("2026-03-01T00:00:00Z"),
                    next_update: Some(at("2035-03-01T00:00:00Z")),
                    nonce: request.nonce,
                    responder: None,
                };
                std::fs::write(path.join("a.der"), spec.sign(&key, algorithm).unwrap()).unwrap();
                // The request is made again with another nonce, so that only the rest can be compared.
                let more = ["-no_nonce", "-respin", "a.der", "-CAfile", "ca.pem", "-resp_text"];
                let (ok, text) = openssl(path, &[&ask[..], &more].concat());
                assert!(ok && text.contains("Response verify OK"), "{text}");
                for wanted in ["0x0a: good", "0x00ff: revoked", "0x7b: unknown", "keyCompromise", "OCSP Nonce"] {
                    assert!(text.contains(wanted), "{wanted} not in {text}");
                }
            }
        }
    }

    #[test]
    fn a_refusal_is_what_openssl_calls_it() {
        let folder = tempfile::tempdir().unwrap();
        for (refusal, word) in [
            (OcspRefusal::Malformed, "malformedrequest"),
            (OcspRefusal::Internal, "internalerror"),
            (OcspRefusal::TryLater, "trylater"),
            (OcspRefusal::Unauthorized, "unauthorized"),
        ] {
            std::fs::write(folder.path().join("a.der"), refusal.der()).unwrap();
            let (_, text) = openssl(folder.path(), &["ocsp", "-respin", "a.der", "-noverify"]);
            assert!(text.contains(word), "{text}");
        }
    }
}

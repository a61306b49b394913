//! OCSP (RFC 6960) from the side of who asks: the question, and whether an answer may be believed.
//!
//! An answer counts when the issuer of the certificate signed it, or somebody whom the issuer or the asker named for it; when it is about this
//! very certificate of this very issuer; and when it gives back our nonce, if it gives one back. Dates are the asker's to judge.

use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use jiff::Timestamp;
use spki::AlgorithmIdentifierOwned;

use super::certificate::Certificate;
use super::crl::Reason;
use super::extension::{KeyUsage, OCSP_SIGNING};
use super::name::DistinguishedName;
use super::ocsp::{BASIC, CertId, CertStatus, IssuerDigests, NONCE, context, der_of, wrap};
use super::{elements, extension};
use crate::crypto::error::{Error, Result};
use crate::crypto::keys::{PublicKey, SignatureAlgorithm};

/// The longest answer that is read, in bytes.
pub const ANSWER_MAX: usize = 64 * 1024;
/// The most certificates that an answer may bring.
const CERTIFICATES_MAX: usize = 8;
/// The most certificates that one answer may speak of.
const SINGLES_MAX: usize = 64;

/// A question about one certificate.
#[derive(Debug, Clone)]
pub struct OcspQuestion {
    id: CertId,
    issuer: Certificate,
    digests: IssuerDigests,
    nonce: Vec<u8>,
}

/// An answer whose signature and subject were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OcspAnswer {
    /// What is said.
    pub status: CertStatus,
    /// Since when it is known to be so.
    pub this_update: Timestamp,
    /// When it will be said anew.
    pub next_update: Option<Timestamp>,
    /// Whether it gives back our nonce, and so was made for this question.
    pub fresh: bool,
}

impl OcspQuestion {
    /// About a certificate of this issuer; the nonce should be drawn for it.
    ///
    /// # Errors
    /// `Invalid` when the issuer's key cannot be read.
    pub fn new(certificate: &Certificate, issuer: &Certificate, nonce: &[u8]) -> Result<Self> {
        let (id, digests) = (CertId::of(issuer, certificate.serial())?, IssuerDigests::of(issuer)?);
        Ok(Self { id, issuer: issuer.clone(), digests, nonce: nonce.to_vec() })
    }

    /// The request.
    ///
    /// # Errors
    /// `Primitive` if it cannot be written down.
    pub fn der(&self) -> Result<Vec<u8>> {
        let list = wrap(Tag::Sequence, &wrap(Tag::Sequence, self.id.der())?)?;
        let nonce = wrap(Tag::OctetString, &wrap(Tag::OctetString, &self.nonce)?)?;
        let extension = wrap(Tag::Sequence, &[der_of(&NONCE)?, nonce].concat())?;
        let extensions = wrap(context(2), &wrap(Tag::Sequence, &extension)?)?;
        wrap(Tag::Sequence, &wrap(Tag::Sequence, &[list, extensions].concat())?)
    }

    /// What an answer says, if it may be believed. `trusted` are responders, or CAs of responders, that the asker names beside the issuer.
    ///
    /// # Errors
    /// `Invalid` when it is malformed, a refusal, or about something else; `Signature` when none signed it who may.
    pub fn believed(&self, der: &[u8], trusted: &[Certificate], now: Timestamp) -> Result<OcspAnswer> {
        if der.len() > ANSWER_MAX {
            return Err(Error::invalid("OCSP answer: too long"));
        }
        let basic = basic(der)?;
        let signed = Signed::read(&basic).ok_or_else(malformed)?;
        let said = Said::read(signed.body).ok_or_else(malformed)?;
        self.check_signer(&signed, &said.responder, trusted, now)?;
        if said.nonce.as_ref().is_some_and(|nonce| *nonce != self.nonce) {
            return Err(Error::invalid("OCSP answer: made for another question"));
        }
        let about_it = |single: &&Single| single.id.serial() == self.id.serial() && single.id.is_of(&self.digests);
        let single = said.singles.iter().find(about_it);
        let single = single.ok_or_else(|| Error::invalid("OCSP answer: about another certificate"))?;
        Ok(OcspAnswer {
            status: single.status,
            this_update: single.this_update,
            next_update: single.next_update,
            fresh: said.nonce.is_some(),
        })
    }

    fn check_signer(
        &self,
        signed: &Signed<'_>,
        responder: &Responder,
        trusted: &[Certificate],
        now: Timestamp,
    ) -> Result<()> {
        let named = |certificate: &&Certificate| responder.is(certificate);
        let right = |certificate: &Certificate| signed.is_by(certificate);
        if named(&&self.issuer) && right(&self.issuer) {
            return Ok(());
        }
        if trusted.iter().filter(named).any(|one| one.is_valid_at(now) && right(one)) {
            return Ok(());
        }
        let delegates = |certificate: &Certificate| {
            certificate.is_valid_at(now)
                && certificate.ext_key_usage().is_ok_and(|usages| usages.contains(&OCSP_SIGNING))
                && certificate.key_usage().is_ok_and(|u| u.is_none_or(|u| u.has(KeyUsage::DIGITAL_SIGNATURE)))
        };
        let authorities = || std::iter::once(&self.issuer).chain(trusted.iter().filter(|ca| ca.is_valid_at(now)));
        for certificate in signed.certificates.iter().filter(named).filter(|one| delegates(one)) {
            if authorities().any(|ca| certificate.verify_by(ca).is_ok()) && right(certificate) {
                return Ok(());
            }
        }
        Err(Error::Signature)
    }
}

fn malformed() -> Error {
    Error::invalid("OCSP answer: malformed")
}

/// The signed part of a successful answer.
fn basic(der: &[u8]) -> Result<Vec<u8>> {
    let read = || -> Option<(u8, Option<Vec<u8>>)> {
        let outside = elements(AnyRef::from_der(der).ok()?, Some(Tag::Sequence), 2)?;
        let status = outside.first().filter(|any| any.tag() == Tag::Enumerated)?;
        let [status] = status.value() else { return None };
        let Some(bytes) = outside.get(1) else { return Some((*status, None)) };
        let inside = elements(*bytes, Some(context(0)), 1)?;
        let parts = elements(*inside.first()?, Some(Tag::Sequence), 2)?;
        let [kind, octets] = parts.as_slice() else { return None };
        let known = kind.decode_as::<ObjectIdentifier>().ok()? == BASIC && octets.tag() == Tag::OctetString;
        known.then(|| (*status, Some(octets.value().to_vec())))
    };
    match read().ok_or_else(malformed)? {
        (0, Some(basic)) => Ok(basic),
        (0, None) => Err(malformed()),
        _ => Err(Error::invalid("OCSP answer: the responder refuses to say")),
    }
}

/// SEQUENCE { what is signed, algorithm, signature, [0] certificates? }.
struct Signed<'a> {
    body: &'a [u8],
    algorithm: AlgorithmIdentifierOwned,
    signature: &'a [u8],
    certificates: Vec<Certificate>,
}

impl<'a> Signed<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let outside = AnyRef::from_der(der).ok()?;
        let body = SliceReader::new(outside.value()).ok()?.tlv_bytes().ok()?;
        let parts = elements(outside, Some(Tag::Sequence), 4)?;
        let [_, algorithm, signature, rest @ ..] = parts.as_slice() else { return None };
        let certificates = match rest.first() {
            Some(some) => {
                elements(*elements(*some, Some(context(0)), 1)?.first()?, Some(Tag::Sequence), CERTIFICATES_MAX)?
            }
            None => Vec::new(),
        };
        Some(Self {
            body,
            algorithm: algorithm.decode_as().ok()?,
            signature: signature.decode_as::<BitStringRef<'_>>().ok()?.as_bytes()?,
            // One that cannot be read signed nothing that is believed.
            certificates: certificates
                .iter()
                .filter_map(|any| Certificate::from_der(&der_of(any).ok()?).ok())
                .collect(),
        })
    }

    fn is_by(&self, certificate: &Certificate) -> bool {
        let verified =
            |key: &PublicKey| key.verify(SignatureAlgorithm::of(&self.algorithm)?, self.body, self.signature);
        certificate.public_key().and_then(|key| verified(&key)).is_ok()
    }
}

/// Who says to have signed.
enum Responder {
    Name(Vec<u8>),
    KeyHash(Vec<u8>),
}

impl Responder {
    fn is(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Name(name) => certificate.subject().der() == name,
            Self::KeyHash(hash) => certificate.public_key().is_ok_and(|key| key.key_id() == hash.as_slice()),
        }
    }
}

/// SEQUENCE { [0] version?, responder, when, SEQUENCE OF what is said, [1] extensions? }.
struct Said {
    responder: Responder,
    singles: Vec<Single>,
    nonce: Option<Vec<u8>>,
}

struct Single {
    id: CertId,
    status: CertStatus,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
}

impl Said {
    fn read(der: &[u8]) -> Option<Self> {
        let mut parts = elements(AnyRef::from_der(der).ok()?, Some(Tag::Sequence), 5)?;
        if parts.first()?.tag() == context(0) {
            let version = parts.remove(0);
            if version.value() != [0x02, 0x01, 0x00] {
                return None;
            }
        }
        let [responder, _produced, singles, rest @ ..] = parts.as_slice() else { return None };
        let inside = *elements(*responder, None, 1)?.first()?;
        let responder = match responder.tag() {
            tag if tag == context(1) => Responder::Name(DistinguishedName::from_any(inside).ok()?.der().to_vec()),
            tag if tag == context(2) && inside.tag() == Tag::OctetString => Responder::KeyHash(inside.value().to_vec()),
            _ => return None,
        };
        let singles = elements(*singles, Some(Tag::Sequence), SINGLES_MAX)?;
        Some(Self {
            responder,
            singles: singles.into_iter().map(Single::read).collect::<Option<_>>()?,
            nonce: match rest {
                [] => None,
                [extensions] => nonce(*extensions)?,
                _ => return None,
            },
        })
    }
}

/// The nonce among the extensions; nothing at all if there is one that must be understood and is not.
fn nonce(tagged: AnyRef<'_>) -> Option<Option<Vec<u8>>> {
    let found = extensions(tagged)?;
    if found.iter().any(|one| one.critical && one.oid != NONCE) {
        return None;
    }
    let Some(nonce) = found.into_iter().find(|one| one.oid == NONCE) else { return Some(None) };
    let inside = AnyRef::from_der(&nonce.value).ok().filter(|any| any.tag() == Tag::OctetString)?;
    Some(Some(inside.value().to_vec()))
}

fn extensions(tagged: AnyRef<'_>) -> Option<Vec<extension::Extension>> {
    let inside = elements(tagged, Some(context(1)), 1)?;
    extension::read_all(Some(inside.first()?.decode_as().ok()?)).ok()
}

impl Single {
    fn read(any: AnyRef<'_>) -> Option<Self> {
        let parts = elements(any, Some(Tag::Sequence), 5)?;
        let [id, status, this_update, rest @ ..] = parts.as_slice() else { return None };
        let mut next_update = None;
        for part in rest {
            if part.tag() == context(0) && next_update.is_none() {
                next_update = Some(moment(*elements(*part, None, 1)?.first()?)?);
            } else if extensions(*part)?.iter().any(|one| one.critical) {
                return None;
            }
        }
        let plain = |number| Tag::ContextSpecific { constructed: false, number: TagNumber(number) };
        let status = match status.tag() {
            tag if tag == plain(0) && status.value().is_empty() => CertStatus::Good,
            tag if tag == plain(2) && status.value().is_empty() => CertStatus::Unknown,
            // Why is not told to anybody.
            tag if tag == context(1) => {
                CertStatus::Revoked(moment(*elements(*status, None, 2)?.first()?)?, Reason::Unspecified)
            }
            _ => return None,
        };
        Some(Self { id: CertId::read(*id)?, status, this_update: moment(*this_update)?, next_update })
    }
}

fn moment(any: AnyRef<'_>) -> Option<Timestamp> {
    let time = any.decode_as::<GeneralizedTime>().ok()?;
    Timestamp::from_second(i64::try_from(time.to_unix_duration().as_secs()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::{at, openssl};
    use super::super::{CertificateSpec, OcspRequest, OcspSpec, Subject};
    use super::*;
    use crate::crypto::keys::{Curve, Hash, KeyKind, PrivateKey};

    const ES256: SignatureAlgorithm = SignatureAlgorithm::Ecdsa(Hash::Sha256);
    const NONCE_HERE: [u8; 32] = [7; 32];

    struct One {
        key: PrivateKey,
        certificate: Certificate,
    }

    fn one(name: &str, serial: u8, by: Option<&One>, usages: &[ObjectIdentifier], until: &str) -> One {
        let key = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
        let subject = Subject::common(name).encode().unwrap();
        let ca = usages.is_empty();
        let mut extensions = vec![
            extension::basic_constraints(ca, None).unwrap(),
            extension::subject_key_id(&key.public().key_id()).unwrap(),
        ];
        if !ca {
            extensions.push(extension::ext_key_usage(usages).unwrap());
        }
        let spec = CertificateSpec {
            serial: vec![serial],
            issuer: by.map_or_else(|| subject.clone(), |by| by.certificate.subject().clone()),
            subject,
            public_key: key.public().clone(),
            not_before: at("2026-01-01T00:00:00Z"),
            not_after: at(until),
            extensions,
        };
        let certificate = spec.sign(by.map_or(&key, |by| &by.key), ES256).unwrap();
        One { key, certificate }
    }

    fn ca(name: &str) -> One {
        one(name, 1, None, &[], "2036-01-01T00:00:00Z")
    }

    fn now() -> Timestamp {
        at("2027-01-01T00:00:00Z")
    }

    /// What a responder says to a question; `as_it_was` changes what it is about to say.
    fn said(question: &OcspQuestion, by: &One, delegate: bool, change: impl FnOnce(&mut OcspSpec)) -> Vec<u8> {
        let request = OcspRequest::from_der(&question.der().unwrap()).unwrap();
        let mut spec = OcspSpec {
            statuses: request.ids.into_iter().map(|id| (id, CertStatus::Good)).collect(),
            this_update: now(),
            next_update: Some(at("2027-01-02T00:00:00Z")),
            nonce: request.nonce,
            responder: delegate.then(|| by.certificate.clone()),
        };
        change(&mut spec);
        spec.sign(&by.key, ES256).unwrap()
    }

    #[test]
    fn nobody_but_the_issuer_and_whom_it_named_is_believed() {
        let (root, other, twin) = (ca("Root"), ca("Other"), ca("Root"));
        let leaf = one("leaf", 9, Some(&root), &[SERVER], "2030-01-01T00:00:00Z");
        let question = OcspQuestion::new(&leaf.certificate, &root.certificate, &NONCE_HERE).unwrap();
        let by = |signer: Option<&One>, usage, until| one("Responder", 5, signer, &[usage], until);
        let refused = |name: &str, der: Vec<u8>, trusted: &[Certificate]| {
            assert!(question.believed(&der, trusted, now()).is_err(), "{name}");
        };
        refused("another CA", said(&question, &other, false, |_| {}), &[]);
        refused("another CA, sent along", said(&question, &other, true, |_| {}), &[]);
        refused("another CA of the same name", said(&question, &twin, true, |_| {}), &[]);
        let delegates = [
            ("no usage", by(Some(&root), SERVER, "2030-01-01T00:00:00Z")),
            ("ended", by(Some(&root), OCSP_SIGNING, "2026-06-01T00:00:00Z")),
            ("by itself", by(None, OCSP_SIGNING, "2030-01-01T00:00:00Z")),
            ("another CA's", by(Some(&other), OCSP_SIGNING, "2030-01-01T00:00:00Z")),
            ("the twin's", by(Some(&twin), OCSP_SIGNING, "2030-01-01T00:00:00Z")),
        ];
        for (name, delegate) in &delegates {
            refused(name, said(&question, delegate, true, |_| {}), &[]);
        }
        let delegate = by(Some(&root), OCSP_SIGNING, "2030-01-01T00:00:00Z");
        refused("not sent along", said(&question, &delegate, false, |_| {}), &[]);

        let believed = |der: Vec<u8>, trusted: &[Certificate]| question.believed(&der, trusted, now()).unwrap();
        assert_eq!(believed(said(&question, &root, false, |_| {}), &[]).status, CertStatus::Good);
        assert!(believed(said(&question, &delegate, true, |_| {}), &[]).fresh);
        // Whom the asker names: the responder itself, or its CA.
        believed(said(&question, &other, false, |_| {}), std::slice::from_ref(&other.certificate));
        believed(said(&question, &delegates[3].1, true, |_| {}), std::slice::from_ref(&other.certificate));
        refused(
            "its CA is not its licence",
            said(&question, &leaf, true, |_| {}),
            std::slice::from_ref(&other.certificate),
        );
    }

    const SERVER: ObjectIdentifier = extension::SERVER_AUTH;

    #[test]
    fn an_answer_to_another_question_is_none() {
        let (root, twin) = (ca("Root"), ca("Root"));
        let leaf = |serial, by| one("leaf", serial, Some(by), &[SERVER], "2030-01-01T00:00:00Z").certificate;
        let question = OcspQuestion::new(&leaf(9, &root), &root.certificate, &NONCE_HERE).unwrap();
        let others = [
            OcspQuestion::new(&leaf(9, &root), &root.certificate, &[8; 32]).unwrap(),
            OcspQuestion::new(&leaf(10, &root), &root.certificate, &NONCE_HERE).unwrap(),
            OcspQuestion::new(&leaf(9, &twin), &twin.certificate, &NONCE_HERE).unwrap(),
        ];
        for other in &others {
            assert!(question.believed(&said(other, &root, false, |_| {}), &[], now()).is_err());
        }
        // One without a nonce is believed, and is not fresh.
        let plain = said(&question, &root, false, |spec| spec.nonce = None);
        assert!(!question.believed(&plain, &[], now()).unwrap().fresh);
        for refusal in [&[0x30, 0x03, 0x0a, 0x01, 0x03][..], &[0x30, 0x03, 0x0a, 0x01, 0x00], b"", b"<html>"] {
            assert!(question.believed(refusal, &[], now()).is_err());
        }
        assert!(question.believed(&vec![0x30; ANSWER_MAX + 1], &[], now()).is_err());
    }

    #[test]
    fn an_answer_that_was_changed_or_cut_says_nothing_else() {
        let root = ca("Root");
        let leaf = one("leaf", 9, Some(&root), &[SERVER], "2030-01-01T00:00:00Z");
        let delegate = one("Responder", 5, Some(&root), &[OCSP_SIGNING], "2030-01-01T00:00:00Z");
        let question = OcspQuestion::new(&leaf.certificate, &root.certificate, &NONCE_HERE).unwrap();
        let revoked = CertStatus::Revoked(at("2026-12-01T00:00:00Z"), Reason::Unspecified);
        let der = said(&question, &delegate, true, |spec| spec.statuses[0].1 = revoked);
        let answer = question.believed(&der, &[], now()).unwrap();
        assert_eq!(answer.status, revoked);
        for length in 0..der.len() {
            assert!(question.believed(&der[..length], &[], now()).is_err());
        }
        for place in 0..der.len() {
            for change in [1, 0x80] {
                let mut other = der.clone();
                other[place] ^= change;
                assert!(
                    question.believed(&other, &[], now()).is_ok_and(|said| said == answer)
                        || question.believed(&other, &[], now()).is_err()
                );
            }
        }
    }

    #[test]
    fn openssl_is_understood_and_understands() {
        let folder = tempfile::tempdir().unwrap();
        let path: &Path = folder.path();
        let root = ca("Root");
        let delegate = one("Responder", 5, Some(&root), &[OCSP_SIGNING], "2036-01-01T00:00:00Z");
        for (name, one) in [("ca", &root), ("delegate", &delegate)] {
            std::fs::write(path.join(format!("{name}.pem")), one.certificate.pem().unwrap()).unwrap();
            std::fs::write(path.join(format!("{name}.key")), one.key.pkcs8_pem().unwrap().reveal()).unwrap();
        }
        let index =
            "V\t350101000000Z\t\t09\tunknown\t/CN=leaf\nR\t350101000000Z\t260601000000Z\t0A\tunknown\t/CN=leaf\n";
        std::fs::write(path.join("index.txt"), index).unwrap();
        for (serial, good, revoked) in [(9, true, false), (10, false, true), (11, false, false)] {
            let leaf = one("leaf", serial, Some(&root), &[SERVER], "2035-01-01T00:00:00Z");
            let question = OcspQuestion::new(&leaf.certificate, &root.certificate, &NONCE_HERE).unwrap();
            std::fs::write(path.join("q.der"), question.der().unwrap()).unwrap();
            for signer in ["ca", "delegate"] {
                let (cert, key) = (format!("{signer}.pem"), format!("{signer}.key"));
                let ask = ["ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", &cert, "-rkey", &key];
                let more = ["-reqin", "q.der", "-respout", "a.der", "-ndays", "1"];
                let (ok, text) = openssl(path, &[&ask[..], &more].concat());
                assert!(ok, "{text}");
                let der = std::fs::read(path.join("a.der")).unwrap();
                let answer = question.believed(&der, &[], now()).unwrap();
                assert!(answer.fresh && answer.next_update.is_some());
                assert_eq!(answer.status == CertStatus::Good, good);
                assert_eq!(matches!(answer.status, CertStatus::Revoked(..)), revoked);
            }
        }
    }
}

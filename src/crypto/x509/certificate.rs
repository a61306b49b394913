//! Certificates: made from a specification, read from what people bring.

use std::fmt;

use der::asn1::{AnyRef, ObjectIdentifier, OctetString};
use der::{Decode, Encode, Sequence};
use jiff::Timestamp;
use spki::AlgorithmIdentifierOwned;
use x509_cert::Version;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Validity;

use super::alt_name::AltName;
use super::extension::{self, Extension, KeyUsage, id};
use super::name::DistinguishedName;
use crate::crypto::error::{Error, Result};
use crate::crypto::keys::{PrivateKey, PublicKey, SignatureAlgorithm};
use crate::crypto::pem::{self, Label};

/// The longest certificate that is read, in bytes.
pub const CERTIFICATE_MAX: usize = 128 * 1024;
const WHAT: &str = "certificate";

/// What a certificate is to say.
#[derive(Debug, Clone)]
pub struct CertificateSpec {
    /// The serial number, big-endian, positive, at most 20 bytes.
    pub serial: Vec<u8>,
    /// Who signs: the subject of the issuer's certificate, byte for byte.
    pub issuer: DistinguishedName,
    /// Who is meant.
    pub subject: DistinguishedName,
    /// The key that is certified.
    pub public_key: PublicKey,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when. `Timestamp::MAX` says "no end" (9999-12-31T23:59:59Z).
    pub not_after: Timestamp,
    /// The extensions, in this order.
    pub extensions: Vec<Extension>,
}

impl CertificateSpec {
    /// Writes and signs it.
    ///
    /// # Errors
    /// `Invalid` for a serial number that is 0 or too long, for an end before the start, for the
    /// same extension twice; `Unsupported` when the key has no such signature.
    pub fn sign(&self, key: &PrivateKey, algorithm: SignatureAlgorithm) -> Result<Certificate> {
        if self.not_after < self.not_before {
            return Err(Error::invalid("certificate: it would end before it starts"));
        }
        if self.serial.iter().all(|byte| *byte == 0) {
            return Err(Error::invalid("certificate: the serial number must not be 0"));
        }
        let refused = |_| Error::Primitive("encoding a certificate");
        let validity = Validity::new(super::time(self.not_before)?, super::time(self.not_after)?);
        let body = Body {
            version: Version::V3,
            serial: SerialNumber::new(&self.serial)
                .map_err(|_| Error::invalid("certificate: the serial number is longer than 20 bytes"))?,
            algorithm: algorithm.identifier()?,
            issuer: self.issuer.any()?,
            validity,
            subject: self.subject.any()?,
            public_key: AnyRef::from_der(self.public_key.spki()).map_err(refused)?,
            issuer_id: None,
            subject_id: None,
            extensions: extension::write_all(&self.extensions)?,
        };
        let der = super::seal(&body.to_der().map_err(refused)?, key, algorithm)?;
        if der.len() > CERTIFICATE_MAX {
            return Err(Error::invalid("certificate: too long"));
        }
        // As reading it back would give it, which a test holds: it costs as much again as the signature.
        Ok(Certificate {
            der,
            serial: unsigned(&self.serial).to_vec(),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            spki: self.public_key.spki().to_vec(),
            not_before: super::moment(validity.not_before),
            not_after: super::moment(validity.not_after),
            extensions: self.extensions.clone(),
        })
    }
}

/// TBSCertificate of RFC 5280, with what must keep its bytes left undecoded.
#[derive(Sequence)]
struct Body<'a> {
    #[asn1(context_specific = "0", default = "Default::default")]
    version: Version,
    serial: SerialNumber,
    algorithm: AlgorithmIdentifierOwned,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    public_key: AnyRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    issuer_id: Option<der::asn1::BitString>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    subject_id: Option<der::asn1::BitString>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<x509_cert::ext::Extension>>,
}

/// A certificate that was read. Nothing about it is believed yet: see [`Certificate::verify_by`].
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    serial: Vec<u8>,
    issuer: DistinguishedName,
    subject: DistinguishedName,
    spki: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    extensions: Vec<Extension>,
}

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// `Invalid` when it is malformed or too long, has the same extension twice, or has some in a version without.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let malformed = || Error::invalid("certificate: malformed");
        let opened = super::open(der, CERTIFICATE_MAX, WHAT)?;
        let body = Body::from_der(opened.body).map_err(|_| malformed())?;
        if body.algorithm != opened.algorithm {
            return Err(Error::invalid("certificate: two different signature algorithms"));
        }
        if body.version != Version::V3 && body.extensions.is_some() {
            return Err(Error::invalid("certificate: extensions in a version that has none"));
        }
        Ok(Self {
            der: der.to_vec(),
            serial: serial_of(&body.serial)?,
            issuer: DistinguishedName::from_any(body.issuer)?,
            subject: DistinguishedName::from_any(body.subject)?,
            spki: body.public_key.to_der().map_err(|_| malformed())?,
            not_before: super::moment(body.validity.not_before),
            not_after: super::moment(body.validity.not_after),
            extensions: extension::read_all(body.extensions)?,
        })
    }

    /// Reads the first `CERTIFICATE` block.
    ///
    /// # Errors
    /// As for [`Certificate::from_der`], or when there is none.
    pub fn from_pem(text: &str) -> Result<Self> {
        Self::from_der(&pem::first(text.as_bytes(), Label::Certificate)?)
    }

    /// Reads all `CERTIFICATE` blocks, in order.
    ///
    /// # Errors
    /// As for [`Certificate::from_der`]; none at all is no error.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>> {
        let blocks = pem::blocks(text.as_bytes())?;
        let certificates = blocks.iter().filter(|block| block.label == Label::Certificate);
        certificates.map(|block| Self::from_der(block.der.reveal())).collect()
    }

    /// The DER that it was read from.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The `CERTIFICATE` block.
    ///
    /// # Errors
    /// As for [`pem::encode`].
    pub fn pem(&self) -> Result<String> {
        pem::encode(Label::Certificate, &self.der)
    }

    /// The serial number, big-endian, without leading zeros.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The serial number as the API writes it.
    pub fn serial_text(&self) -> String {
        super::serial_text(&self.serial)
    }

    /// Who signed, as it says.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// Who is meant.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// From when it is valid.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when it is valid, that second included.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether it is valid at this moment, as far as the dates go.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now.as_second() <= self.not_after.as_second()
    }

    /// The key that is certified.
    ///
    /// # Errors
    /// As for [`PublicKey::from_spki`].
    pub fn public_key(&self) -> Result<PublicKey> {
        PublicKey::from_spki(&self.spki)
    }

    /// The key that is certified, as SubjectPublicKeyInfo, of whatever kind.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// All extensions.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The value of one extension, in DER.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.oid == oid)
    }

    /// How it was signed.
    ///
    /// # Errors
    /// As for [`SignatureAlgorithm::of`].
    pub fn signature_algorithm(&self) -> Result<SignatureAlgorithm> {
        SignatureAlgorithm::of(&super::open(&self.der, CERTIFICATE_MAX, WHAT)?.algorithm)
    }

    /// Whether it says to be a CA's, with how many CAs allowed below it.
    ///
    /// # Errors
    /// `Invalid` when its basicConstraints are malformed.
    pub fn ca(&self) -> Result<Option<PathLen>> {
        let constraints: Option<BasicConstraints> = extension::find(&self.extensions, id::BASIC_CONSTRAINTS)?;
        Ok(constraints.filter(|constraints| constraints.ca).map(|constraints| PathLen(constraints.path_len_constraint)))
    }

    /// Whether it says to be a CA's; malformed counts as no.
    pub fn is_ca(&self) -> bool {
        matches!(self.ca(), Ok(Some(_)))
    }

    /// What the key may be used for; none when nothing is said.
    ///
    /// # Errors
    /// `Invalid` when it is malformed.
    pub fn key_usage(&self) -> Result<Option<KeyUsage>> {
        KeyUsage::read(&self.extensions)
    }

    /// The extended key usages; none when nothing is said.
    ///
    /// # Errors
    /// `Invalid` when they are malformed.
    pub fn ext_key_usage(&self) -> Result<Vec<ObjectIdentifier>> {
        Ok(extension::find(&self.extensions, id::EXT_KEY_USAGE)?.unwrap_or_default())
    }

    /// subjectKeyIdentifier.
    ///
    /// # Errors
    /// `Invalid` when it is malformed.
    pub fn subject_key_id(&self) -> Result<Option<Vec<u8>>> {
        let id: Option<OctetString> = extension::find(&self.extensions, id::SUBJECT_KEY_ID)?;
        Ok(id.map(|id| id.as_bytes().to_vec()))
    }

    /// The key identifier of authorityKeyIdentifier.
    ///
    /// # Errors
    /// `Invalid` when it is malformed.
    pub fn authority_key_id(&self) -> Result<Option<Vec<u8>>> {
        let id: Option<AuthorityKeyIdentifier> = extension::find(&self.extensions, id::AUTHORITY_KEY_ID)?;
        Ok(id.and_then(|id| id.key_identifier).map(|id| id.as_bytes().to_vec()))
    }

    /// The alternative names; none when nothing is said.
    ///
    /// # Errors
    /// `Invalid` when they are malformed.
    pub fn alt_names(&self) -> Result<Vec<AltName>> {
        match self.extension(id::ALT_NAMES) {
            Some(extension) => AltName::decode_all(&extension.value),
            None => Ok(Vec::new()),
        }
    }

    /// The addresses of OCSP responders that its issuer wrote into it; what is no address of the web is left out.
    ///
    /// # Errors
    /// `Invalid` when they are malformed.
    pub fn ocsp_servers(&self) -> Result<Vec<String>> {
        extension::ocsp_servers(&self.extensions)
    }

    /// Checks that this certificate was signed by that one: the names meet, that one is a CA's
    /// whose key may sign certificates, and the signature is right. Dates, path lengths, name
    /// constraints and revocation are not looked at.
    ///
    /// # Errors
    /// `Invalid` when that one is no issuer of this, `Signature` when the signature is wrong.
    pub fn verify_by(&self, issuer: &Self) -> Result<()> {
        if self.issuer != issuer.subject {
            return Err(Error::invalid("certificate: its issuer has another name"));
        }
        if !issuer.is_ca() {
            return Err(Error::invalid("certificate: its issuer is not a CA"));
        }
        if issuer.key_usage()?.is_some_and(|usage| !usage.has(KeyUsage::CERT_SIGN)) {
            return Err(Error::invalid("certificate: its issuer's key may not sign certificates"));
        }
        self.verify_by_key(&issuer.public_key()?)
    }

    /// Whether it claims to be signed by its own key: it has its issuer's name, and names no other key.
    pub fn is_own_issuer(&self) -> bool {
        let other = self.authority_key_id().ok().flatten();
        self.subject == self.issuer && (other.is_none() || other == self.subject_key_id().ok().flatten())
    }

    /// Checks the signature only.
    ///
    /// # Errors
    /// `Signature` when it is wrong, `Unsupported` for an algorithm that is not dealt with.
    pub fn verify_by_key(&self, key: &PublicKey) -> Result<()> {
        super::verify(&self.der, CERTIFICATE_MAX, WHAT, key)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, {})", self.serial_text(), self.subject)
    }
}

/// How many CAs may follow below a CA; none is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathLen(pub Option<u8>);

/// The bytes of a serial number that is one: a negative one would be read as another's.
fn serial_of(number: &SerialNumber) -> Result<Vec<u8>> {
    let malformed = || Error::invalid("certificate: a serial number that is negative or longer than 20 bytes");
    let content = number.to_der().map_err(|_| malformed())?.split_off(2);
    let significant = unsigned(&content);
    if content.first().is_some_and(|first| *first >= 0x80) || significant.len() > super::SERIAL_LEN {
        return Err(malformed());
    }
    Ok(significant.to_vec())
}

/// Without the leading zero that keeps a number positive.
fn unsigned(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[start.min(bytes.len().saturating_sub(1))..]
}

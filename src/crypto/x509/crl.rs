//! Certificate revocation lists, complete and delta.

use std::collections::HashMap;
use std::fmt;

use der::asn1::{AnyRef, Uint};
use der::{Decode, Encode, Enumerated, Sequence, Tag};
use jiff::Timestamp;
use spki::AlgorithmIdentifierOwned;
use x509_cert::Version;
use x509_cert::crl::RevokedCert;
use x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;

use super::certificate::Certificate;
use super::extension::{self, Extension, KeyUsage, id};
use super::name::DistinguishedName;
use crate::crypto::error::{Error, Result};
use crate::crypto::keys::{PrivateKey, PublicKey, SignatureAlgorithm};
use crate::crypto::pem::{self, Label};

/// The longest list that is read, in bytes: some hundred thousand entries.
pub const CRL_MAX: usize = 16 * 1024 * 1024;
const WHAT: &str = "revocation list";

/// Why a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum Reason {
    /// Not said. Such an entry has no reason code at all, as RFC 5280 asks.
    Unspecified = 0,
    /// The key is known to somebody else.
    KeyCompromise = 1,
    /// The CA's key is.
    CaCompromise = 2,
    /// The names are no longer true.
    AffiliationChanged = 3,
    /// There is another one.
    Superseded = 4,
    /// No longer needed.
    CessationOfOperation = 5,
    /// On hold.
    CertificateHold = 6,
    /// No longer on hold; in a delta list only.
    RemoveFromCrl = 8,
    /// A right was taken away.
    PrivilegeWithdrawn = 9,
    /// The attribute authority's key is known to somebody else.
    AaCompromise = 10,
}

impl Reason {
    /// The reason of this number; those that say nothing of a single certificate, and unknown ones, are not said.
    pub const fn of(code: u8) -> Self {
        match code {
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            9 => Self::PrivilegeWithdrawn,
            10 => Self::AaCompromise,
            _ => Self::Unspecified,
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The serial number, big-endian.
    pub serial: Vec<u8>,
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// What a list is to say.
#[derive(Debug, Clone)]
pub struct CrlSpec {
    /// Who signs: the subject of the issuer's certificate, byte for byte.
    pub issuer: DistinguishedName,
    /// The subjectKeyIdentifier of the issuer's certificate, whatever it is made of.
    pub authority_key_id: Vec<u8>,
    /// The list's number; it only ever grows.
    pub number: u64,
    /// For a delta list: the number of the complete list that it adds to.
    pub base: Option<u64>,
    /// When it was made.
    pub this_update: Timestamp,
    /// When there will be another one.
    pub next_update: Timestamp,
    /// The entries, as [`Revoked::der`] writes them, one after the other: a long list is made of what was written before.
    pub entries: Vec<u8>,
    /// Other extensions of the list.
    pub extensions: Vec<Extension>,
}

impl CrlSpec {
    /// Writes and signs it; the DER.
    ///
    /// # Errors
    /// `Invalid` for an end before the start, `Unsupported` when the key has no such signature.
    pub fn sign(&self, key: &PrivateKey, algorithm: SignatureAlgorithm) -> Result<Vec<u8>> {
        let refused = |_| Error::Primitive("encoding a revocation list");
        if self.next_update < self.this_update {
            return Err(Error::invalid("revocation list: it would end before it starts"));
        }
        let mut extensions = vec![
            extension::authority_key_id(&self.authority_key_id)?,
            extension::crl_number(&self.number.to_be_bytes())?,
        ];
        if let Some(base) = self.base {
            extensions.push(extension::delta_crl(&base.to_be_bytes())?);
        }
        extensions.extend(self.extensions.iter().cloned());
        let entries = AnyRef::new(Tag::Sequence, &self.entries).map_err(refused)?;
        let body = Written {
            version: Version::V2,
            algorithm: algorithm.identifier()?,
            issuer: self.issuer.any()?,
            this_update: super::time(self.this_update)?,
            next_update: Some(super::time(self.next_update)?),
            revoked: (!self.entries.is_empty()).then_some(entries),
            extensions: extension::write_all(&extensions)?,
        };
        super::seal(&body.to_der().map_err(refused)?, key, algorithm)
    }
}

impl Revoked {
    /// The entry in DER.
    ///
    /// # Errors
    /// `Invalid` for a serial number that is none.
    pub fn der(&self) -> Result<Vec<u8>> {
        self.write()?.to_der().map_err(|_| Error::Primitive("encoding a revocation"))
    }

    /// Several, one after the other.
    ///
    /// # Errors
    /// As for [`Revoked::der`].
    pub fn all(entries: &[Self]) -> Result<Vec<u8>> {
        Ok(entries.iter().map(Self::der).collect::<Result<Vec<_>>>()?.concat())
    }

    fn write(&self) -> Result<RevokedCert> {
        let extensions = match self.reason {
            Reason::Unspecified => None,
            reason => {
                let value = reason.to_der().map_err(|_| Error::Primitive("encoding a reason"))?;
                Some(vec![extension::raw(id::REASON, false, value)?.write()?])
            }
        };
        Ok(RevokedCert {
            serial_number: SerialNumber::new(&self.serial)
                .map_err(|_| Error::invalid("revocation list: a serial number is longer than 20 bytes"))?,
            revocation_date: super::time(self.at)?,
            crl_entry_extensions: extensions,
        })
    }
}

/// TBSCertList of RFC 5280 as it is written, with entries that are encoded already.
#[derive(Sequence)]
struct Written<'a> {
    version: Version,
    algorithm: AlgorithmIdentifierOwned,
    issuer: AnyRef<'a>,
    this_update: Time,
    next_update: Option<Time>,
    revoked: Option<AnyRef<'a>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<x509_cert::ext::Extension>>,
}

/// TBSCertList of RFC 5280 as it is read, with the issuer's name left undecoded.
#[derive(Sequence)]
struct Body<'a> {
    version: Version,
    algorithm: AlgorithmIdentifierOwned,
    issuer: AnyRef<'a>,
    this_update: Time,
    next_update: Option<Time>,
    revoked: Option<Vec<RevokedCert>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<x509_cert::ext::Extension>>,
}

/// A list that was read. Nothing about it is believed yet: see [`Crl::verify_by`].
#[derive(Clone)]
pub struct Crl {
    der: Vec<u8>,
    issuer: DistinguishedName,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
    revoked: HashMap<Vec<u8>, Timestamp>,
    extensions: Vec<Extension>,
}

impl Crl {
    /// Reads DER.
    ///
    /// # Errors
    /// `Invalid` when it is malformed, too long, or of version 1.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let opened = super::open(der, CRL_MAX, WHAT)?;
        let body = Body::from_der(opened.body).map_err(|_| Error::invalid("revocation list: malformed"))?;
        if body.version != Version::V2 || body.algorithm != opened.algorithm {
            return Err(Error::invalid("revocation list: malformed"));
        }
        let entries = body.revoked.unwrap_or_default();
        Ok(Self {
            der: der.to_vec(),
            issuer: DistinguishedName::from_any(body.issuer)?,
            this_update: super::moment(body.this_update),
            next_update: body.next_update.map(super::moment),
            revoked: entries
                .into_iter()
                .map(|entry| {
                    (significant(entry.serial_number.as_bytes()).to_vec(), super::moment(entry.revocation_date))
                })
                .collect(),
            extensions: extension::read_all(body.extensions)?,
        })
    }

    /// Reads the first `X509 CRL` block.
    ///
    /// # Errors
    /// As for [`Crl::from_der`], or when there is none.
    pub fn from_pem(text: &str) -> Result<Self> {
        Self::from_der(&pem::first(text.as_bytes(), Label::Crl)?)
    }

    /// The DER that it was read from.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The `X509 CRL` block.
    ///
    /// # Errors
    /// As for [`pem::encode`].
    pub fn pem(&self) -> Result<String> {
        pem::encode(Label::Crl, &self.der)
    }

    /// Who signed, as it says.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// When it was made.
    pub fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// When there should be another one.
    pub fn next_update(&self) -> Option<Timestamp> {
        self.next_update
    }

    /// Its number, big-endian.
    ///
    /// # Errors
    /// `Invalid` when it is malformed.
    pub fn number(&self) -> Result<Option<Vec<u8>>> {
        let number: Option<Uint> = extension::find(&self.extensions, id::CRL_NUMBER)?;
        Ok(number.map(|number| number.as_bytes().to_vec()))
    }

    /// Whether it is a delta list.
    pub fn is_delta(&self) -> bool {
        self.extensions.iter().any(|extension| extension.oid == id::DELTA_CRL)
    }

    /// Whether the list speaks of this certificate of its issuer. One that adds to another list, is about some reasons only or about other
    /// issuers too, or has an extension that must be understood and is not, speaks of none.
    pub fn covers(&self, certificate: &Certificate) -> bool {
        let known = |extension: &Extension| !extension.critical || extension.oid == id::ISSUING_DISTRIBUTION_POINT;
        if self.is_delta() || !self.extensions.iter().all(known) {
            return false;
        }
        match extension::find::<IssuingDistributionPoint>(&self.extensions, id::ISSUING_DISTRIBUTION_POINT) {
            Ok(None) => true,
            Ok(Some(part)) => {
                let others =
                    part.indirect_crl || part.only_contains_attribute_certs || part.only_some_reasons.is_some();
                let unfit =
                    if certificate.is_ca() { part.only_contains_user_certs } else { part.only_contains_ca_certs };
                !others && !unfit
            }
            Err(_) => false,
        }
    }

    /// Since when the certificate of this serial number is revoked, if it is.
    pub fn revoked(&self, serial: &[u8]) -> Option<Timestamp> {
        self.revoked.get(significant(serial)).copied()
    }

    /// The entries, in no order; the reasons are not kept.
    pub fn entries(&self) -> impl Iterator<Item = Revoked> + '_ {
        let entry = |(serial, at): (&Vec<u8>, &Timestamp)| Revoked {
            serial: serial.clone(),
            at: *at,
            reason: Reason::Unspecified,
        };
        self.revoked.iter().map(entry)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// Checks that the list was signed by that certificate's key: the names meet, the key may sign
    /// lists, and the signature is right. Dates are not looked at.
    ///
    /// # Errors
    /// `Invalid` when that one is not its issuer, `Signature` when the signature is wrong.
    pub fn verify_by(&self, issuer: &Certificate) -> Result<()> {
        if self.issuer != *issuer.subject() {
            return Err(Error::invalid("revocation list: its issuer has another name"));
        }
        if issuer.key_usage()?.is_some_and(|usage| !usage.has(KeyUsage::CRL_SIGN)) {
            return Err(Error::invalid("revocation list: its issuer's key may not sign lists"));
        }
        self.verify_by_key(&issuer.public_key()?)
    }

    /// Checks the signature only.
    ///
    /// # Errors
    /// `Signature` when it is wrong, `Unsupported` for an algorithm that is not dealt with.
    pub fn verify_by_key(&self, key: &PublicKey) -> Result<()> {
        super::verify(&self.der, CRL_MAX, WHAT, key)
    }
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crl({}, {} entries)", self.issuer, self.revoked.len())
    }
}

fn significant(serial: &[u8]) -> &[u8] {
    let start = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[start..]
}

//! Certification requests (PKCS#10): read with suspicion, made for intermediates.
//!
//! A request is a wish. Only its key is proven (by its signature); every name and extension in it
//! must be allowed by somebody else before it goes anywhere.

use std::fmt;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Encode, Sequence, Tag, TagNumber, Tagged};

use super::alt_name::AltName;
use super::elements;
use super::extension::{self, Extension, KeyUsage, id};
use super::name::DistinguishedName;
use crate::crypto::error::{Error, Result};
use crate::crypto::keys::{PrivateKey, PublicKey, SignatureAlgorithm};
use crate::crypto::pem::{self, Label};

/// The longest request that is read, in bytes.
pub const REQUEST_MAX: usize = 128 * 1024;
/// How many attributes a request may have.
pub const ATTRIBUTES_MAX: usize = 16;
const WHAT: &str = "certificate request";

const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
const ATTRIBUTES_TAG: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };

/// What a request is to ask for.
#[derive(Debug, Clone)]
pub struct RequestSpec {
    /// Who asks.
    pub subject: DistinguishedName,
    /// The extensions that are wished for.
    pub extensions: Vec<Extension>,
}

impl RequestSpec {
    /// Writes it for this key, and signs it with it.
    ///
    /// # Errors
    /// `Invalid` for the same extension twice, `Unsupported` when the key has no such signature.
    pub fn sign(&self, key: &PrivateKey, algorithm: SignatureAlgorithm) -> Result<Request> {
        let refused = |_| Error::Primitive("encoding a certificate request");
        let wrap = |tag, inside: &[u8]| AnyRef::new(tag, inside).and_then(|any| any.to_der()).map_err(refused);
        let mut attributes = Vec::new();
        if let Some(extensions) = extension::write_all(&self.extensions)? {
            let set = wrap(Tag::Set, &extensions.to_der().map_err(refused)?)?;
            attributes = wrap(Tag::Sequence, &[EXTENSION_REQUEST.to_der().map_err(refused)?, set].concat())?;
        }
        let body = Body {
            version: 0,
            subject: self.subject.any()?,
            public_key: AnyRef::from_der(key.public().spki()).map_err(refused)?,
            attributes: Some(AnyRef::new(ATTRIBUTES_TAG, &attributes).map_err(refused)?),
        };
        Request::from_der(&super::seal(&body.to_der().map_err(refused)?, key, algorithm)?)
    }
}

/// CertificationRequestInfo of RFC 2986; some leave out the attributes.
#[derive(Sequence)]
struct Body<'a> {
    version: u8,
    subject: AnyRef<'a>,
    public_key: AnyRef<'a>,
    attributes: Option<AnyRef<'a>>,
}

/// A request that was read, and whose key is known to be the asker's.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    der: Vec<u8>,
    subject: DistinguishedName,
    public_key: PublicKey,
    extensions: Vec<Extension>,
}

impl Request {
    /// Reads DER and verifies the signature: there is no request without a proof of its key.
    ///
    /// # Errors
    /// `Invalid` when it is malformed or too long, `Signature` when it is not signed by its own
    /// key, `Unsupported` for a kind of key or signature that is not dealt with.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let malformed = || Error::invalid("certificate request: malformed");
        let opened = super::open(der, REQUEST_MAX, WHAT)?;
        let body = Body::from_der(opened.body).map_err(|_| malformed())?;
        if body.version != 0 {
            return Err(malformed());
        }
        let public_key = PublicKey::from_spki(&body.public_key.to_der().map_err(|_| malformed())?)?;
        let extensions = match body.attributes {
            Some(attributes) => requested(attributes).ok_or_else(malformed)?,
            None => None,
        };
        let request = Self {
            der: der.to_vec(),
            subject: DistinguishedName::from_any(body.subject)?,
            public_key,
            extensions: extension::read_all(extensions)?,
        };
        super::verify(der, REQUEST_MAX, WHAT, &request.public_key)?;
        Ok(request)
    }

    /// Reads the first `CERTIFICATE REQUEST` block.
    ///
    /// # Errors
    /// As for [`Request::from_der`], or when there is none.
    pub fn from_pem(text: &str) -> Result<Self> {
        Self::from_der(&pem::first(text.as_bytes(), Label::Request)?)
    }

    /// The DER that it was read from.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The `CERTIFICATE REQUEST` block.
    ///
    /// # Errors
    /// As for [`pem::encode`].
    pub fn pem(&self) -> Result<String> {
        pem::encode(Label::Request, &self.der)
    }

    /// Who asks, as they say.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The key, which the asker has.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// All extensions that are wished for.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The alternative names that are wished for.
    ///
    /// # Errors
    /// `Invalid` when they are malformed.
    pub fn alt_names(&self) -> Result<Vec<AltName>> {
        match self.extensions.iter().find(|extension| extension.oid == id::ALT_NAMES) {
            Some(extension) => AltName::decode_all(&extension.value),
            None => Ok(Vec::new()),
        }
    }

    /// The key usage that is wished for.
    ///
    /// # Errors
    /// `Invalid` when it is malformed.
    pub fn key_usage(&self) -> Result<Option<KeyUsage>> {
        KeyUsage::read(&self.extensions)
    }

    /// The extended key usages that are wished for.
    ///
    /// # Errors
    /// `Invalid` when they are malformed.
    pub fn ext_key_usage(&self) -> Result<Vec<ObjectIdentifier>> {
        Ok(extension::find(&self.extensions, id::EXT_KEY_USAGE)?.unwrap_or_default())
    }

    /// Whether it wishes to be a CA's.
    ///
    /// # Errors
    /// `Invalid` when its basicConstraints are malformed.
    pub fn wants_ca(&self) -> Result<bool> {
        let constraints: Option<x509_cert::ext::pkix::BasicConstraints> =
            extension::find(&self.extensions, id::BASIC_CONSTRAINTS)?;
        Ok(constraints.is_some_and(|constraints| constraints.ca))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.subject)
    }
}

/// The extensions among the attributes: outer none is malformed, inner none is "not there".
#[expect(clippy::option_option, reason = "the two are different answers")]
fn requested(attributes: AnyRef<'_>) -> Option<Option<Vec<x509_cert::ext::Extension>>> {
    let mut found = None;
    if attributes.tag() != ATTRIBUTES_TAG {
        return None;
    }
    for attribute in elements(attributes, None, ATTRIBUTES_MAX)? {
        let pair = elements(attribute, Some(Tag::Sequence), 2)?;
        let [oid, values] = pair.as_slice() else { return None };
        let oid: ObjectIdentifier = oid.decode_as().ok()?;
        if oid != EXTENSION_REQUEST {
            continue;
        }
        let values = elements(*values, Some(Tag::Set), 1)?;
        let [value] = values.as_slice() else { return None };
        let extensions = Vec::<x509_cert::ext::Extension>::from_der(&value.to_der().ok()?).ok()?;
        if found.replace(extensions).is_some() {
            return None;
        }
    }
    Some(found)
}

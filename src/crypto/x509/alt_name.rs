//! The names in a subjectAltName, and in the constraints on them.

use std::net::IpAddr;

use der::asn1::{Ia5String, ObjectIdentifier, OctetString, Utf8StringRef};
use der::{Any, Decode, Encode};
use x509_cert::ext::pkix::name::{GeneralName, OtherName};

use crate::crypto::error::{Error, Result};

/// How many names one certificate or request may have.
pub const NAMES_MAX: usize = 1024;
/// The longest name, in bytes.
pub const LEN_MAX: usize = 2048;

/// One name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AltName {
    /// A host name, or a pattern with a leading `*.`.
    Dns(String),
    /// A mail address.
    Email(String),
    /// An address.
    Ip(IpAddr),
    /// A URI.
    Uri(String),
    /// A name of somebody else's type: the type, and the value in DER.
    Other(ObjectIdentifier, Vec<u8>),
    /// A kind that is read only to be noticed: a directory name, an EDI party, a registered id.
    Unsupported(&'static str),
}

impl AltName {
    /// A UTF-8 text under somebody else's type, as the API's `other_sans` has it.
    ///
    /// # Errors
    /// `Invalid` when the type is no object identifier.
    pub fn other_utf8(oid: &str, text: &str) -> Result<Self> {
        let oid = ObjectIdentifier::new(oid).map_err(|_| Error::invalid("other name: malformed object identifier"))?;
        let value = Utf8StringRef::new(text).and_then(|text| text.to_der());
        Ok(Self::Other(oid, value.map_err(|_| Error::invalid("other name: malformed text"))?))
    }

    /// The text of a name of somebody else's type, when it is a UTF-8 text.
    pub fn other_text(&self) -> Option<String> {
        match self {
            Self::Other(_, der) => Utf8StringRef::from_der(der).ok().map(|text| text.as_str().to_owned()),
            _ => None,
        }
    }

    pub(super) fn encode(&self) -> Result<GeneralName> {
        let ia5 = |text: &str| {
            if text.is_empty() || text.len() > LEN_MAX {
                return Err(Error::invalid("alternative name: empty or too long"));
            }
            Ia5String::new(text).map_err(|_| Error::invalid("alternative name: only ASCII is possible there"))
        };
        Ok(match self {
            Self::Dns(name) => GeneralName::DnsName(ia5(name)?),
            Self::Email(name) => GeneralName::Rfc822Name(ia5(name)?),
            Self::Uri(name) => GeneralName::UniformResourceIdentifier(ia5(name)?),
            Self::Ip(address) => GeneralName::IpAddress(octets(*address)?),
            Self::Other(oid, value) => GeneralName::OtherName(OtherName {
                type_id: *oid,
                value: Any::from_der(value).map_err(|_| Error::invalid("other name: malformed value"))?,
            }),
            Self::Unsupported(kind) => {
                return Err(Error::unsupported(format!("an alternative name of the kind {kind}")));
            }
        })
    }

    pub(super) fn decode(name: &GeneralName) -> Result<Self> {
        let malformed = || Error::invalid("alternative name: malformed");
        Ok(match name {
            GeneralName::DnsName(name) => Self::Dns(name.as_str().to_owned()),
            GeneralName::Rfc822Name(name) => Self::Email(name.as_str().to_owned()),
            GeneralName::UniformResourceIdentifier(name) => Self::Uri(name.as_str().to_owned()),
            GeneralName::IpAddress(bytes) => Self::Ip(address(bytes.as_bytes()).ok_or_else(malformed)?),
            GeneralName::OtherName(other) => Self::Other(other.type_id, other.value.to_der().map_err(|_| malformed())?),
            GeneralName::DirectoryName(_) => Self::Unsupported("directory name"),
            GeneralName::EdiPartyName(_) => Self::Unsupported("EDI party name"),
            GeneralName::RegisteredId(_) => Self::Unsupported("registered id"),
        })
    }

    /// The names of an extension's value.
    pub(super) fn decode_all(der: &[u8]) -> Result<Vec<Self>> {
        // A name of a kind that the decoder does not know at all (x400Address) ends up here too.
        let names = Vec::<GeneralName>::from_der(der).map_err(|_| Error::invalid("alternative names: malformed"))?;
        if names.len() > NAMES_MAX {
            return Err(Error::invalid("alternative names: too many"));
        }
        names.iter().map(Self::decode).collect()
    }
}

fn octets(address: IpAddr) -> Result<OctetString> {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    OctetString::new(bytes).map_err(|_| Error::Primitive("encoding an address"))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

//! The extensions of certificates and lists: each a function from what is meant to what is written.

use std::fmt;

use der::asn1::{Any, BitString, Ia5String, ObjectIdentifier, OctetString, Uint, Utf8StringRef};
use der::flagset::FlagSet;
use der::{Decode, Encode};
use ipnet::IpNet;
use x509_cert::ext::pkix::certpolicy::{DisplayText, PolicyInformation, PolicyQualifierInfo, UserNotice};
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::crl::dp::{DistributionPoint, IssuingDistributionPoint};
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{AccessDescription, AuthorityKeyIdentifier, BasicConstraints};

use super::alt_name::{AltName, NAMES_MAX};
use crate::crypto::error::{Error, Result};

/// How many extensions a certificate or request may have.
pub const EXTENSIONS_MAX: usize = 64;

/// Object identifiers of the extensions.
pub mod id {
    use super::ObjectIdentifier;

    const fn at(arc: &str) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(arc)
    }

    /// subjectKeyIdentifier.
    pub const SUBJECT_KEY_ID: ObjectIdentifier = at("2.5.29.14");
    /// keyUsage.
    pub const KEY_USAGE: ObjectIdentifier = at("2.5.29.15");
    /// subjectAltName.
    pub const ALT_NAMES: ObjectIdentifier = at("2.5.29.17");
    /// basicConstraints.
    pub const BASIC_CONSTRAINTS: ObjectIdentifier = at("2.5.29.19");
    /// cRLNumber.
    pub const CRL_NUMBER: ObjectIdentifier = at("2.5.29.20");
    /// reasonCode, of an entry in a list.
    pub const REASON: ObjectIdentifier = at("2.5.29.21");
    /// deltaCRLIndicator.
    pub const DELTA_CRL: ObjectIdentifier = at("2.5.29.27");
    /// issuingDistributionPoint.
    pub const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = at("2.5.29.28");
    /// nameConstraints.
    pub const NAME_CONSTRAINTS: ObjectIdentifier = at("2.5.29.30");
    /// cRLDistributionPoints.
    pub const CRL_DISTRIBUTION_POINTS: ObjectIdentifier = at("2.5.29.31");
    /// certificatePolicies.
    pub const POLICIES: ObjectIdentifier = at("2.5.29.32");
    /// authorityKeyIdentifier.
    pub const AUTHORITY_KEY_ID: ObjectIdentifier = at("2.5.29.35");
    /// extKeyUsage.
    pub const EXT_KEY_USAGE: ObjectIdentifier = at("2.5.29.37");
    /// freshestCRL.
    pub const FRESHEST_CRL: ObjectIdentifier = at("2.5.29.46");
    /// authorityInfoAccess.
    pub const AUTHORITY_INFO_ACCESS: ObjectIdentifier = at("1.3.6.1.5.5.7.1.1");
    /// id-pkix-ocsp-nocheck, for the certificate of an OCSP responder.
    pub const OCSP_NO_CHECK: ObjectIdentifier = at("1.3.6.1.5.5.7.48.1.5");
    /// acmeIdentifier of RFC 8737.
    pub const ACME_IDENTIFIER: ObjectIdentifier = at("1.3.6.1.5.5.7.1.31");
}

/// Object identifiers of the extended key usages, by the names that the API gives them.
pub const EXT_KEY_USAGES: [(&str, ObjectIdentifier); 14] = [
    ("Any", ObjectIdentifier::new_unwrap("2.5.29.37.0")),
    ("ServerAuth", SERVER_AUTH),
    ("ClientAuth", CLIENT_AUTH),
    ("CodeSigning", ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3")),
    ("EmailProtection", ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.4")),
    ("IPSECEndSystem", ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.5")),
    ("IPSECTunnel", ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.6")),
    ("IPSECUser", ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.7")),
    ("TimeStamping", ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8")),
    ("OCSPSigning", OCSP_SIGNING),
    ("MicrosoftServerGatedCrypto", ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.10.3.3")),
    ("NetscapeServerGatedCrypto", ObjectIdentifier::new_unwrap("2.16.840.1.113730.4.1")),
    ("MicrosoftCommercialCodeSigning", ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.22")),
    ("MicrosoftKernelCodeSigning", ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.61.1.1")),
];
/// TLS servers.
pub const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// TLS clients.
pub const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// OCSP responders.
pub const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");

/// The extended key usage of this name: upper or lower case, with or without `ExtKeyUsage` before it.
pub fn ext_key_usage_of(name: &str) -> Option<ObjectIdentifier> {
    let name = name.trim();
    let name = strip_prefix_ignoring_case(name, "ExtKeyUsage").unwrap_or(name);
    EXT_KEY_USAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, oid)| *oid)
}

/// The access method of OCSP responders in authorityInfoAccess.
const OCSP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");

/// One extension: type, whether it must be understood, value in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Its type.
    pub oid: ObjectIdentifier,
    /// Whether who does not know it must refuse the certificate.
    pub critical: bool,
    /// Its value, in DER.
    pub value: Vec<u8>,
}

impl Extension {
    fn of(oid: ObjectIdentifier, critical: bool, value: &impl Encode) -> Result<Self> {
        let value = value.to_der().map_err(|_| Error::Primitive("encoding an extension"))?;
        Ok(Self { oid, critical, value })
    }

    pub(super) fn write(&self) -> Result<x509_cert::ext::Extension> {
        Ok(x509_cert::ext::Extension {
            extn_id: self.oid,
            critical: self.critical,
            extn_value: OctetString::new(self.value.clone()).map_err(|_| Error::invalid("extension: too long"))?,
        })
    }
}

/// For encoding: none becomes nothing at all, because an empty list must not be written.
pub(super) fn write_all(extensions: &[Extension]) -> Result<Option<Vec<x509_cert::ext::Extension>>> {
    distinct(extensions)?;
    if extensions.is_empty() {
        return Ok(None);
    }
    extensions.iter().map(Extension::write).collect::<Result<Vec<_>>>().map(Some)
}

/// From decoding; the same type twice is refused, since readers differ in which they believe.
pub(super) fn read_all(extensions: Option<Vec<x509_cert::ext::Extension>>) -> Result<Vec<Extension>> {
    let read: Vec<Extension> = extensions
        .unwrap_or_default()
        .into_iter()
        .map(|each| Extension {
            oid: each.extn_id,
            critical: each.critical,
            value: each.extn_value.into_bytes().into(),
        })
        .collect();
    distinct(&read)?;
    Ok(read)
}

fn distinct(extensions: &[Extension]) -> Result<()> {
    if extensions.len() > EXTENSIONS_MAX {
        return Err(Error::invalid("extensions: more than 64"));
    }
    for (place, one) in extensions.iter().enumerate() {
        if extensions[..place].iter().any(|other| other.oid == one.oid) {
            return Err(Error::invalid(format!("extensions: {} is there twice", one.oid)));
        }
    }
    Ok(())
}

/// The value of the extension of this type, decoded; none when it is absent.
pub(super) fn find<'a, T: Decode<'a>>(extensions: &'a [Extension], oid: ObjectIdentifier) -> Result<Option<T>> {
    let Some(extension) = extensions.iter().find(|extension| extension.oid == oid) else { return Ok(None) };
    match T::from_der(&extension.value) {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Error::invalid(format!("extension {oid}: malformed"))),
    }
}

/// basicConstraints, critical. A path length counts for a CA only.
pub fn basic_constraints(ca: bool, path_len: Option<u8>) -> Result<Extension> {
    let value = BasicConstraints { ca, path_len_constraint: path_len.filter(|_| ca) };
    Extension::of(id::BASIC_CONSTRAINTS, true, &value)
}

/// keyUsage, critical.
pub fn key_usage(usage: KeyUsage) -> Result<Extension> {
    let bits = x509_cert::ext::pkix::KeyUsage(FlagSet::new_truncated(usage.0));
    Extension::of(id::KEY_USAGE, true, &bits)
}

/// extKeyUsage.
pub fn ext_key_usage(usages: &[ObjectIdentifier]) -> Result<Extension> {
    Extension::of(id::EXT_KEY_USAGE, false, &usages.to_vec())
}

/// subjectKeyIdentifier: as a rule [`PublicKey::key_id`](crate::crypto::PublicKey::key_id).
pub fn subject_key_id(key_id: &[u8]) -> Result<Extension> {
    Extension::of(id::SUBJECT_KEY_ID, false, &octets(key_id)?)
}

/// authorityKeyIdentifier: the subjectKeyIdentifier of the issuer, whatever it is made of.
pub fn authority_key_id(key_id: &[u8]) -> Result<Extension> {
    let value = AuthorityKeyIdentifier { key_identifier: Some(octets(key_id)?), ..Default::default() };
    Extension::of(id::AUTHORITY_KEY_ID, false, &value)
}

/// subjectAltName; critical when the subject is empty (RFC 5280 §4.2.1.6).
///
/// # Errors
/// `Invalid` for a name that is not ASCII, empty or too long, or for too many of them.
pub fn alt_names(names: &[AltName], critical: bool) -> Result<Extension> {
    if names.len() > NAMES_MAX {
        return Err(Error::invalid("alternative names: too many"));
    }
    let names = names.iter().map(AltName::encode).collect::<Result<Vec<GeneralName>>>()?;
    Extension::of(id::ALT_NAMES, critical, &names)
}

/// cRLDistributionPoints: one point for each address.
///
/// # Errors
/// `Invalid` for an address that is not ASCII.
pub fn crl_distribution_points(uris: &[String]) -> Result<Extension> {
    Extension::of(id::CRL_DISTRIBUTION_POINTS, false, &points(uris)?)
}

/// freshestCRL: where the delta lists are.
///
/// # Errors
/// As for [`crl_distribution_points`].
pub fn freshest_crl(uris: &[String]) -> Result<Extension> {
    Extension::of(id::FRESHEST_CRL, false, &points(uris)?)
}

/// authorityInfoAccess: where to ask about revocation, and where the issuer's certificate is.
///
/// # Errors
/// `Invalid` for an address that is not ASCII.
pub fn authority_info_access(ocsp: &[String], ca_issuers: &[String]) -> Result<Extension> {
    const CA_ISSUERS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.2");
    let mut value = Vec::new();
    for (access_method, uris) in [(OCSP, ocsp), (CA_ISSUERS, ca_issuers)] {
        for uri in uris {
            value.push(AccessDescription { access_method, access_location: location(uri)? });
        }
    }
    Extension::of(id::AUTHORITY_INFO_ACCESS, false, &value)
}

/// The addresses of OCSP responders; those that are no `http` or `https` addresses are left out.
pub(super) fn ocsp_servers(extensions: &[Extension]) -> Result<Vec<String>> {
    let access: Vec<AccessDescription> = find(extensions, id::AUTHORITY_INFO_ACCESS)?.unwrap_or_default();
    let address = |one: AccessDescription| match one.access_location {
        GeneralName::UniformResourceIdentifier(uri) if one.access_method == OCSP => Some(uri.as_str().to_owned()),
        _ => None,
    };
    let of_the_web = |uri: &String| uri.starts_with("http://") || uri.starts_with("https://");
    Ok(access.into_iter().filter_map(address).filter(of_the_web).collect())
}

/// A certificate policy: its identifier, where its statement is, what to show to people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The object identifier, in dots.
    pub oid: String,
    /// The address of the practice statement.
    pub cps: Option<String>,
    /// A text for people, at most 200 characters (RFC 5280 §4.2.1.4).
    pub notice: Option<String>,
}

/// certificatePolicies.
///
/// # Errors
/// `Invalid` for an identifier that is none, an address that is not ASCII or a text too long.
pub fn policies(policies: &[Policy]) -> Result<Extension> {
    const CPS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.2.1");
    const NOTICE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.2.2");
    let refused = |_| Error::Primitive("encoding a policy");
    let mut value = Vec::new();
    for policy in policies {
        let mut qualifiers = Vec::new();
        if let Some(cps) = &policy.cps {
            let qualifier = Any::encode_from(&ascii(cps)?).map_err(refused)?;
            qualifiers.push(PolicyQualifierInfo { policy_qualifier_id: CPS, qualifier: Some(qualifier) });
        }
        if let Some(notice) = &policy.notice {
            if notice.chars().count() > 200 {
                return Err(Error::invalid("policy: a notice has at most 200 characters"));
            }
            let notice = UserNotice { notice_ref: None, explicit_text: Some(DisplayText::Utf8String(notice.clone())) };
            let qualifier = Any::encode_from(&notice).map_err(refused)?;
            qualifiers.push(PolicyQualifierInfo { policy_qualifier_id: NOTICE, qualifier: Some(qualifier) });
        }
        value.push(PolicyInformation {
            policy_identifier: oid(&policy.oid)?,
            policy_qualifiers: (!qualifiers.is_empty()).then_some(qualifiers),
        });
    }
    Extension::of(id::POLICIES, false, &value)
}

/// A set of names that a CA may or may not certify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subtree {
    /// A domain and all below it; with a leading dot only those below.
    Dns(String),
    /// A range of addresses.
    Ip(IpNet),
    /// A mail address, a host, or with a leading dot a domain.
    Email(String),
    /// A host, or with a leading dot a domain, of URIs.
    Uri(String),
}

/// nameConstraints, critical as RFC 5280 asks.
///
/// # Errors
/// `Invalid` for a name that is not ASCII.
pub fn name_constraints(permitted: &[Subtree], excluded: &[Subtree]) -> Result<Extension> {
    let trees = |trees: &[Subtree]| -> Result<Option<Vec<GeneralSubtree>>> {
        let trees = trees
            .iter()
            .map(|tree| Ok(GeneralSubtree { base: tree.encode()?, minimum: 0, maximum: None }))
            .collect::<Result<Vec<_>>>()?;
        Ok((!trees.is_empty()).then_some(trees))
    };
    let value = x509_cert::ext::pkix::NameConstraints {
        permitted_subtrees: trees(permitted)?,
        excluded_subtrees: trees(excluded)?,
    };
    Extension::of(id::NAME_CONSTRAINTS, true, &value)
}

impl Subtree {
    fn encode(&self) -> Result<GeneralName> {
        Ok(match self {
            Self::Dns(name) => GeneralName::DnsName(ascii(name)?),
            Self::Email(name) => GeneralName::Rfc822Name(ascii(name)?),
            Self::Uri(name) => GeneralName::UniformResourceIdentifier(ascii(name)?),
            Self::Ip(IpNet::V4(net)) => {
                GeneralName::IpAddress(octets(&[net.network().octets(), net.netmask().octets()].concat())?)
            }
            Self::Ip(IpNet::V6(net)) => {
                GeneralName::IpAddress(octets(&[net.network().octets(), net.netmask().octets()].concat())?)
            }
        })
    }
}

/// id-pkix-ocsp-nocheck.
pub fn ocsp_no_check() -> Result<Extension> {
    Extension::of(id::OCSP_NO_CHECK, false, &der::asn1::Null)
}

/// cRLNumber, from big-endian bytes.
pub fn crl_number(number: &[u8]) -> Result<Extension> {
    Extension::of(id::CRL_NUMBER, false, &uint(number)?)
}

/// deltaCRLIndicator, critical: the number of the complete list that this one adds to.
pub fn delta_crl(base: &[u8]) -> Result<Extension> {
    Extension::of(id::DELTA_CRL, true, &uint(base)?)
}

/// issuingDistributionPoint, critical.
pub fn issuing_distribution_point(uris: &[String]) -> Result<Extension> {
    let value = IssuingDistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(
            uris.iter().map(|uri| location(uri)).collect::<Result<Vec<_>>>()?,
        )),
        only_contains_user_certs: false,
        only_contains_ca_certs: false,
        only_some_reasons: None,
        indirect_crl: false,
        only_contains_attribute_certs: false,
    };
    Extension::of(id::ISSUING_DISTRIBUTION_POINT, true, &value)
}

/// What a key may be used for: a set of bits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// digitalSignature.
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    /// contentCommitment, once called nonRepudiation.
    pub const CONTENT_COMMITMENT: Self = Self(1 << 1);
    /// keyEncipherment; no use for a key on a curve.
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    /// dataEncipherment.
    pub const DATA_ENCIPHERMENT: Self = Self(1 << 3);
    /// keyAgreement.
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    /// keyCertSign.
    pub const CERT_SIGN: Self = Self(1 << 5);
    /// cRLSign.
    pub const CRL_SIGN: Self = Self(1 << 6);
    /// encipherOnly.
    pub const ENCIPHER_ONLY: Self = Self(1 << 7);
    /// decipherOnly.
    pub const DECIPHER_ONLY: Self = Self(1 << 8);

    const NAMES: [(&'static str, Self); 9] = [
        ("DigitalSignature", Self::DIGITAL_SIGNATURE),
        ("ContentCommitment", Self::CONTENT_COMMITMENT),
        ("KeyEncipherment", Self::KEY_ENCIPHERMENT),
        ("DataEncipherment", Self::DATA_ENCIPHERMENT),
        ("KeyAgreement", Self::KEY_AGREEMENT),
        ("CertSign", Self::CERT_SIGN),
        ("CRLSign", Self::CRL_SIGN),
        ("EncipherOnly", Self::ENCIPHER_ONLY),
        ("DecipherOnly", Self::DECIPHER_ONLY),
    ];

    /// The usage of this name: upper or lower case, with or without `KeyUsage` before it.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.trim();
        let name = strip_prefix_ignoring_case(name, "KeyUsage").unwrap_or(name);
        Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, usage)| *usage)
    }

    /// The names of those that are in the set.
    pub fn names(self) -> Vec<&'static str> {
        Self::NAMES.iter().filter(|(_, usage)| self.has(*usage)).map(|(name, _)| *name).collect()
    }

    /// Both together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This without the other.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of the other are in this.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether none is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn read(extensions: &[Extension]) -> Result<Option<Self>> {
        let bits: Option<BitString> = find(extensions, id::KEY_USAGE)?;
        Ok(bits.map(|bits| {
            let set = bits.bits().take(9).enumerate().filter(|(_, bit)| *bit);
            set.fold(Self::default(), |usage, (place, _)| usage.with(Self(1 << place)))
        }))
    }
}

impl fmt::Debug for KeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyUsage({})", self.names().join(", "))
    }
}

fn points(uris: &[String]) -> Result<Vec<DistributionPoint>> {
    let point = |uri: &String| {
        Ok(DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![location(uri)?])),
            reasons: None,
            crl_issuer: None,
        })
    };
    uris.iter().map(point).collect()
}

fn location(uri: &str) -> Result<GeneralName> {
    ascii(uri).map(GeneralName::UniformResourceIdentifier)
}

fn ascii(text: &str) -> Result<Ia5String> {
    Ia5String::new(text).map_err(|_| Error::invalid("extension: only ASCII is possible there"))
}

fn octets(bytes: &[u8]) -> Result<OctetString> {
    OctetString::new(bytes).map_err(|_| Error::Primitive("encoding an extension"))
}

fn uint(bytes: &[u8]) -> Result<Uint> {
    Uint::new(bytes).map_err(|_| Error::Primitive("encoding a number"))
}

/// Reads an object identifier in dots.
///
/// # Errors
/// `Invalid` when it is none.
pub fn oid(text: &str) -> Result<ObjectIdentifier> {
    ObjectIdentifier::new(text).map_err(|_| Error::invalid("malformed object identifier"))
}

/// An extension that the caller has in DER already.
///
/// # Errors
/// `Invalid` when the value is no DER.
pub fn raw(oid: ObjectIdentifier, critical: bool, value: Vec<u8>) -> Result<Extension> {
    if der::asn1::AnyRef::from_der(&value).is_err() {
        return Err(Error::invalid(format!("extension {oid}: malformed")));
    }
    Ok(Extension { oid, critical, value })
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// A UTF-8 text as the value of an extension.
pub fn utf8(oid: ObjectIdentifier, text: &str) -> Result<Extension> {
    let text = Utf8StringRef::new(text).map_err(|_| Error::invalid("extension: malformed text"))?;
    Extension::of(oid, false, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_written_are_refused() {
        assert!(alt_names(&[AltName::Dns("bücher.example".into())], false).is_err());
        assert!(alt_names(&[AltName::Dns(String::new())], false).is_err());
        assert!(alt_names(&vec![AltName::Dns("a".into()); NAMES_MAX + 1], false).is_err());
        assert!(alt_names(&[AltName::Unsupported("directory name")], false).is_err());
        assert!(AltName::other_utf8("1.2.x", "").is_err());
        assert!(crl_distribution_points(&["http://ü".into()]).is_err());
        assert!(policies(&[Policy { oid: "no".into(), ..Policy::default() }]).is_err());
        assert!(raw(id::ALT_NAMES, false, vec![0x30, 5]).is_err());
    }

    #[test]
    fn an_extension_may_be_there_once() {
        let twice = vec![basic_constraints(true, None).unwrap(); 2];
        assert!(write_all(&twice).is_err());
        assert!(write_all(&[]).unwrap().is_none());
    }

    #[test]
    fn usages_have_names() {
        let usage = KeyUsage::of_name("keyusagecertsign").unwrap().with(KeyUsage::of_name("CRLSign").unwrap());
        assert_eq!(usage.names(), ["CertSign", "CRLSign"]);
        assert_eq!(KeyUsage::of_name("Certificate"), None);
        assert_eq!(KeyUsage::of_name("é"), None);
        assert_eq!(ext_key_usage_of("serverauth"), Some(SERVER_AUTH));
        assert_eq!(ext_key_usage_of("ExtKeyUsageOCSPSigning"), Some(OCSP_SIGNING));
    }

    #[test]
    fn usages_are_written_and_read() {
        for bits in 1..512 {
            let extension = key_usage(KeyUsage(bits)).unwrap();
            assert_eq!(KeyUsage::read(&[extension]).unwrap(), Some(KeyUsage(bits)));
        }
    }

    #[test]
    fn names_are_written_and_read() {
        let names = vec![
            AltName::Dns("*.example.com".into()),
            AltName::Email("jo@example.com".into()),
            AltName::Ip("192.0.2.1".parse().unwrap()),
            AltName::Ip("2001:db8::1".parse().unwrap()),
            AltName::Uri("spiffe://example/jo".into()),
            AltName::other_utf8("1.3.6.1.4.1.311.20.2.3", "jo@corp").unwrap(),
        ];
        let extension = alt_names(&names, true).unwrap();
        assert_eq!(AltName::decode_all(&extension.value).unwrap(), names);
        assert_eq!(names[5].other_text().unwrap(), "jo@corp");
    }
}

//! Distinguished names, kept as the DER they came in.
//!
//! A name is an identity: an issuer's must appear in what it signs byte for byte, with each
//! attribute, however often it is repeated and in whatever string type.

use std::fmt;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Encode, Tag, Tagged};

use super::elements;
use crate::crypto::error::{Error, Result};

/// The longest name that is read, in bytes.
pub const NAME_MAX: usize = 16 * 1024;
/// How many attributes a name may have.
pub const ATTRIBUTES_MAX: usize = 128;
/// The longest value that is written, in bytes.
pub const VALUE_MAX: usize = 1024;

const fn at(arc: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(arc)
}

const COMMON_NAME: ObjectIdentifier = at("2.5.4.3");
const SERIAL_NUMBER: ObjectIdentifier = at("2.5.4.5");
const COUNTRY: ObjectIdentifier = at("2.5.4.6");
const LOCALITY: ObjectIdentifier = at("2.5.4.7");
const PROVINCE: ObjectIdentifier = at("2.5.4.8");
const STREET: ObjectIdentifier = at("2.5.4.9");
const ORGANIZATION: ObjectIdentifier = at("2.5.4.10");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = at("2.5.4.11");
const POSTAL_CODE: ObjectIdentifier = at("2.5.4.17");
const USER_ID: ObjectIdentifier = at("0.9.2342.19200300.100.1.1");
const DOMAIN_COMPONENT: ObjectIdentifier = at("0.9.2342.19200300.100.1.25");
const EMAIL: ObjectIdentifier = at("1.2.840.113549.1.9.1");

/// The short names of RFC 4514, as far as there are any.
const SHORT: [(ObjectIdentifier, &str); 12] = [
    (COMMON_NAME, "CN"),
    (SERIAL_NUMBER, "SERIALNUMBER"),
    (COUNTRY, "C"),
    (LOCALITY, "L"),
    (PROVINCE, "ST"),
    (STREET, "STREET"),
    (ORGANIZATION, "O"),
    (ORGANIZATIONAL_UNIT, "OU"),
    (POSTAL_CODE, "POSTALCODE"),
    (USER_ID, "UID"),
    (DOMAIN_COMPONENT, "DC"),
    (EMAIL, "emailAddress"),
];

/// The parts of a name that the API speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// CN; none when empty.
    pub common_name: String,
    /// serialNumber (of the subject, not of the certificate); none when empty.
    pub serial_number: String,
    /// C.
    pub country: Vec<String>,
    /// ST.
    pub province: Vec<String>,
    /// L.
    pub locality: Vec<String>,
    /// street.
    pub street_address: Vec<String>,
    /// postalCode.
    pub postal_code: Vec<String>,
    /// O.
    pub organization: Vec<String>,
    /// OU.
    pub organizational_unit: Vec<String>,
    /// UID.
    pub user_ids: Vec<String>,
}

impl Subject {
    /// Only a common name.
    pub fn common(name: impl Into<String>) -> Self {
        Self { common_name: name.into(), ..Self::default() }
    }

    /// Writes the name in the order and form that Go (and so Vault) writes it: the values of one
    /// type together in one set.
    ///
    /// # Errors
    /// `Invalid` for more than 128 values, an empty one or one beyond 1024 bytes.
    pub fn encode(&self) -> Result<DistinguishedName> {
        let one = |value: &String| if value.is_empty() { Vec::new() } else { vec![value.clone()] };
        let mut sets = vec![
            (COUNTRY, self.country.clone()),
            (PROVINCE, self.province.clone()),
            (LOCALITY, self.locality.clone()),
            (STREET, self.street_address.clone()),
            (POSTAL_CODE, self.postal_code.clone()),
            (ORGANIZATION, self.organization.clone()),
            (ORGANIZATIONAL_UNIT, self.organizational_unit.clone()),
            (COMMON_NAME, one(&self.common_name)),
            (SERIAL_NUMBER, one(&self.serial_number)),
        ];
        sets.extend(self.user_ids.iter().map(|id| (USER_ID, vec![id.clone()])));
        if sets.iter().map(|(_, values)| values.len()).sum::<usize>() > ATTRIBUTES_MAX {
            return Err(Error::invalid("the subject has too many values"));
        }
        let mut inside = Vec::new();
        for (oid, values) in sets.iter().filter(|(_, values)| !values.is_empty()) {
            let mut set = values.iter().map(|value| attribute(*oid, value)).collect::<Result<Vec<_>>>()?;
            set.sort();
            inside.extend(wrap(Tag::Set, &set.concat())?);
        }
        Ok(DistinguishedName(wrap(Tag::Sequence, &inside)?))
    }
}

/// A distinguished name, as DER.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DistinguishedName(Vec<u8>);

impl DistinguishedName {
    /// Takes DER that is a name in shape; its bytes stay what they are.
    ///
    /// # Errors
    /// `Invalid` when it is not, or is too long or has too many attributes.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let fits = der.len() <= NAME_MAX && walk(der).is_some();
        if fits { Ok(Self(der.to_vec())) } else { Err(Error::invalid("name: malformed or too long")) }
    }

    pub(super) fn from_any(any: AnyRef<'_>) -> Result<Self> {
        Self::from_der(&any.to_der().map_err(|_| Error::invalid("name: malformed"))?)
    }

    /// The DER.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn any(&self) -> Result<AnyRef<'_>> {
        AnyRef::from_der(&self.0).map_err(|_| Error::invalid("name: malformed"))
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.attributes().is_empty()
    }

    /// All attributes in order: type and text. A value that is no text is shown in hexadecimal.
    pub fn attributes(&self) -> Vec<(ObjectIdentifier, String)> {
        let sets = walk(&self.0).unwrap_or_default();
        sets.into_iter().flatten().map(|(oid, value)| (oid, text(value))).collect()
    }

    /// The parts that the API speaks of; others are left out.
    pub fn subject(&self) -> Subject {
        let mut subject = Subject::default();
        for (oid, value) in self.attributes() {
            let many = match oid {
                // The last one counts, as in Go.
                COMMON_NAME => {
                    subject.common_name = value;
                    continue;
                }
                SERIAL_NUMBER => {
                    subject.serial_number = value;
                    continue;
                }
                COUNTRY => &mut subject.country,
                PROVINCE => &mut subject.province,
                LOCALITY => &mut subject.locality,
                STREET => &mut subject.street_address,
                POSTAL_CODE => &mut subject.postal_code,
                ORGANIZATION => &mut subject.organization,
                ORGANIZATIONAL_UNIT => &mut subject.organizational_unit,
                USER_ID => &mut subject.user_ids,
                _ => continue,
            };
            many.push(value);
        }
        subject
    }

    /// The common name, if there is one.
    pub fn common_name(&self) -> Option<String> {
        let name = self.subject().common_name;
        (!name.is_empty()).then_some(name)
    }
}

/// As RFC 4514 has it: the last attribute first.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets = walk(&self.0).unwrap_or_default();
        for (place, set) in sets.into_iter().rev().enumerate() {
            for (nth, (oid, value)) in set.into_iter().enumerate() {
                let between = match (place, nth) {
                    (0, 0) => "",
                    (_, 0) => ",",
                    _ => "+",
                };
                match SHORT.iter().find(|(known, _)| *known == oid) {
                    Some((_, short)) => write!(f, "{between}{short}={}", escaped(&text(value)))?,
                    None => write!(f, "{between}{oid}={}", escaped(&text(value)))?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistinguishedName({self})")
    }
}

type Attribute<'a> = (ObjectIdentifier, AnyRef<'a>);

/// SEQUENCE OF SET OF SEQUENCE { type, value }. The order inside a set is left alone: some CAs
/// did not sort, and their names are what they are.
fn walk(der: &[u8]) -> Option<Vec<Vec<Attribute<'_>>>> {
    let mut count = 0;
    let mut name = Vec::new();
    for set in elements(AnyRef::from_der(der).ok()?, Some(Tag::Sequence), ATTRIBUTES_MAX)? {
        let mut attributes = Vec::new();
        for pair in elements(set, Some(Tag::Set), ATTRIBUTES_MAX)? {
            let pair = elements(pair, Some(Tag::Sequence), 2)?;
            let [oid, value] = pair.as_slice() else { return None };
            attributes.push((oid.decode_as().ok()?, *value));
            count += 1;
        }
        if attributes.is_empty() || count > ATTRIBUTES_MAX {
            return None;
        }
        name.push(attributes);
    }
    Some(name)
}

fn attribute(oid: ObjectIdentifier, value: &str) -> Result<Vec<u8>> {
    if value.is_empty() || value.len() > VALUE_MAX {
        return Err(Error::invalid("a value of the subject is empty or longer than 1024 bytes"));
    }
    let printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
    let tag = if value.bytes().all(printable) { Tag::PrintableString } else { Tag::Utf8String };
    let refused = |_| Error::Primitive("encoding a name");
    wrap(Tag::Sequence, &[oid.to_der().map_err(refused)?, wrap(tag, value.as_bytes())?].concat())
}

fn wrap(tag: Tag, inside: &[u8]) -> Result<Vec<u8>> {
    AnyRef::new(tag, inside).and_then(|any| any.to_der()).map_err(|_| Error::Primitive("encoding a name"))
}

fn text(value: AnyRef<'_>) -> String {
    let bytes = value.value();
    let readable = match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
        Tag::TeletexString => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    };
    readable.unwrap_or_else(|| format!("#{}", hex::encode(value.to_der().unwrap_or_default())))
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (place, letter) in value.chars().enumerate() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', letter]),
            '#' if place == 0 => out.push_str("\\#"),
            ' ' if place == 0 || place == last => out.push_str("\\ "),
            control if control.is_control() => {
                let mut bytes = [0; 4];
                for byte in control.encode_utf8(&mut bytes).bytes() {
                    out.push_str(&format!("\\{byte:02X}"));
                }
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full() -> Subject {
        Subject {
            common_name: "*.example.com".into(),
            serial_number: "12-3".into(),
            country: vec!["CH".into()],
            province: vec!["BE".into()],
            locality: vec!["Bern".into()],
            street_address: vec!["Gasse 1".into()],
            postal_code: vec!["3000".into()],
            organization: vec!["Example & Söhne".into(), "Zweite".into()],
            organizational_unit: vec!["ops".into(), "dev".into(), "a longer one".into()],
            user_ids: vec!["jo".into()],
        }
    }

    /// The same name, as Go's crypto/x509/pkix wrote it.
    const FULL_BY_GO: &str = concat!(
        "3081de310b3009060355040613024348310b3009060355040813024245310d300b060355040713044265726e31",
        "10300e0603550409130747617373652031310d300b06035504111304333030303128300d060355040a13065a77",
        "656974653017060355040a0c104578616d706c6520262053c3b6686e65312d300a060355040b1303646576300a",
        "060355040b13036f70733013060355040b130c61206c6f6e676572206f6e653116301406035504030c0d2a2e65",
        "78616d706c652e636f6d310d300b0603550405130431322d3331123010060a0992268993f22c64010113026a6f"
    );

    #[test]
    fn too_much_is_refused() {
        let many = Subject { organizational_unit: vec!["x".into(); ATTRIBUTES_MAX + 1], ..Subject::default() };
        assert!(many.encode().is_err());
        assert!(Subject::common("x".repeat(VALUE_MAX + 1)).encode().is_err());
        let empty = Subject { organization: vec![String::new()], ..Subject::default() };
        assert!(empty.encode().is_err());
    }

    #[test]
    fn names_are_written_as_go_writes_them() {
        assert_eq!(hex::encode(full().encode().unwrap().der()), FULL_BY_GO);
    }

    #[test]
    fn every_value_is_read_back() {
        let mut read = full().encode().unwrap().subject();
        read.organization.sort();
        read.organizational_unit.sort();
        let mut asked = full();
        asked.organizational_unit.sort();
        assert_eq!(read, asked);
        assert!(Subject::default().encode().unwrap().is_empty());
    }

    #[test]
    fn strange_names_keep_their_bytes() {
        // DC=com, DC=example, then a set that is not sorted (OU=b + OU=a), then CN in UTF-16.
        let set = |parts: &[Vec<u8>]| wrap(Tag::Set, &parts.concat()).unwrap();
        let pair = |oid: ObjectIdentifier, tag: Tag, value: &[u8]| {
            wrap(Tag::Sequence, &[oid.to_der().unwrap(), wrap(tag, value).unwrap()].concat()).unwrap()
        };
        let der = wrap(
            Tag::Sequence,
            &[
                set(&[pair(DOMAIN_COMPONENT, Tag::Ia5String, b"com")]),
                set(&[pair(DOMAIN_COMPONENT, Tag::Ia5String, b"example")]),
                set(&[
                    pair(ORGANIZATIONAL_UNIT, Tag::Utf8String, b"b"),
                    pair(ORGANIZATIONAL_UNIT, Tag::Utf8String, b"a"),
                ]),
                set(&[pair(COMMON_NAME, Tag::BmpString, &[0, b'A', 0, b'D'])]),
            ]
            .concat(),
        )
        .unwrap();
        let name = DistinguishedName::from_der(&der).unwrap();
        assert_eq!(name.der(), der);
        assert_eq!(name.to_string(), "CN=AD,OU=b+OU=a,DC=example,DC=com");
        assert_eq!(name.common_name().unwrap(), "AD");
    }

    #[test]
    fn display_escapes() {
        let name = Subject::common(" a,b+\"c\\\n#").encode().unwrap();
        assert_eq!(name.to_string(), r#"CN=\ a\,b\+\"c\\\0A#"#);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(place: usize, byte: u8) {
            let mut der = hex::decode(FULL_BY_GO).unwrap();
            let place = place % der.len();
            der[place] = byte;
            if let Ok(name) = DistinguishedName::from_der(&der) {
                let _ = (name.to_string(), name.subject(), name.attributes());
            }
        }
    }
}

//! What a client's certificate must say beside its signature: names, units, extensions.

use std::collections::BTreeMap;

use super::role::Role;
use crate::base::{glob, limits};
use crate::crypto::x509::{AltName, Certificate, Extension, extension};

/// Whether the certificate says what the role asks for. What cannot be read says nothing.
pub fn fits(role: &Role, certificate: &Certificate) -> bool {
    let subject = certificate.subject().subject();
    let common: Vec<String> = certificate.subject().common_name().into_iter().collect();
    let names = certificate.alt_names().unwrap_or_default();
    let of = |kind: fn(&AltName) -> Option<&String>| names.iter().filter_map(kind).cloned().collect::<Vec<String>>();
    let dns = of(|name| if let AltName::Dns(text) = name { Some(text) } else { None });
    let mail = of(|name| if let AltName::Email(text) = name { Some(text) } else { None });
    let uri = of(|name| if let AltName::Uri(text) = name { Some(text) } else { None });
    let any = [common.clone(), dns.clone(), mail.clone()].concat();
    one_fits(&role.allowed_names, &any)
        && one_fits(&role.allowed_common_names, &common)
        && one_fits(&role.allowed_dns_sans, &dns)
        && one_fits(&role.allowed_email_sans, &mail)
        && one_fits(&role.allowed_uri_sans, &uri)
        && one_fits(&role.allowed_organizational_units, &subject.organizational_unit)
        && role.required_extensions.iter().all(|asked| extension_fits(asked, certificate))
}

fn one_fits(patterns: &[String], values: &[String]) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| values.iter().any(|value| glob::fits(pattern, value)))
}

fn extension_fits(asked: &str, certificate: &Certificate) -> bool {
    let (in_hex, rest) = match asked.strip_prefix("hex:") {
        Some(rest) => (true, rest),
        None => (false, asked),
    };
    let Some((oid, pattern)) = rest.split_once(':') else { return false };
    let Some(found) = extension::oid(oid).ok().and_then(|oid| certificate.extension(oid)) else { return false };
    let value = if in_hex { hex::encode(&found.value) } else { text_of(found).unwrap_or_default() };
    glob::fits(pattern, &value)
}

/// The metadata that the role takes from extensions: their text, under the identifier with dashes.
pub fn metadata(role: &Role, certificate: &Certificate) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    for oid in &role.allowed_metadata_extensions {
        let found = extension::oid(oid).ok().and_then(|oid| certificate.extension(oid)).and_then(text_of);
        let fits = |text: &String| text.len() <= limits::METADATA_BYTES && !text.contains(char::is_control);
        if let Some(text) = found.filter(fits) {
            metadata.insert(oid.replace('.', "-"), text);
        }
    }
    metadata
}

/// The text of an extension whose value is one: UTF8String, PrintableString or IA5String.
fn text_of(extension: &Extension) -> Option<String> {
    use der::Decode;
    use der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
    let bytes = &extension.value;
    let text = Utf8StringRef::from_der(bytes).map(|t| t.as_str().to_owned());
    let text = text.or_else(|_| PrintableStringRef::from_der(bytes).map(|t| t.as_str().to_owned()));
    text.or_else(|_| Ia5StringRef::from_der(bytes).map(|t| t.as_str().to_owned())).ok()
}

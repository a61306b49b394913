//! Certificates: reading the life of a new one, and finding again what an earlier run has rendered.
//!
//! A restart must not cost a certificate. What the destinations hold is taken apart into PEM blocks; a certificate whose
//! key is among them, which is still good, and which is what the template asks for, is taken as if it had been issued.

use jiff::SignedDuration;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::template::{Dependency, Kind, Value};
use crate::base::Timestamp;

/// The most PEM blocks of one file.
const BLOCKS_MAX: usize = 64;

/// From when until when the certificate of an issue's answer is valid.
pub(super) fn validity(data: &Value) -> Option<(Timestamp, Timestamp)> {
    let pem = data.key("certificate")?.as_str()?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    span(&certificate)
}

fn span(certificate: &X509Certificate) -> Option<(Timestamp, Timestamp)> {
    let validity = certificate.validity();
    Some((
        Timestamp::from_second(validity.not_before.timestamp()).ok()?,
        Timestamp::from_second(validity.not_after.timestamp()).ok()?,
    ))
}

/// What `pkiCert` gives, from the answer of an issue: PEM with a newline at each end.
pub(super) fn pki_cert(data: &Value) -> Option<Value> {
    let text = |name: &str| data.key(name).and_then(Value::as_str).map(line_end);
    let cert = text("certificate")?;
    let key = text("private_key")?;
    let chain = match data.key("ca_chain") {
        Some(Value::List(chain)) => chain.iter().filter_map(Value::as_str).map(line_end).collect(),
        _ => Vec::new(),
    };
    let ca = text("issuing_ca").or_else(|| chain.first().cloned()).unwrap_or_default();
    let fields = [
        ("Cert", Value::text(cert)),
        ("Key", Value::text(key)),
        ("CA", Value::text(ca)),
        ("CAChain", Value::list(chain.into_iter().map(Value::text))),
    ];
    // Older templates reach the same through `.Data`.
    let data = Value::map(fields.clone());
    Some(Value::map(fields.into_iter().chain([("Data", data)])))
}

/// Where the server tells whether the certificate of a value was revoked: `mount/cert/serial`.
pub(super) fn status_path(dependency: &Dependency, value: &Value) -> Option<String> {
    let pem = value.key("Cert").or_else(|| value.key("Data")?.key("certificate"))?.as_str()?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let mut words: Vec<&str> = dependency.path.split('/').collect();
    let verb = words.iter().rposition(|word| matches!(*word, "issue" | "sign"))?;
    words.truncate(verb);
    // `mount/issuer/name/issue/role`
    if let [.., "issuer", _] = words[..] {
        words.truncate(words.len() - 2);
    }
    (!words.is_empty()).then(|| format!("{}/cert/{}", words.join("/"), serial(&certificate)))
}

/// A serial number as the API writes it.
fn serial(certificate: &X509Certificate) -> String {
    let bytes = certificate.raw_serial();
    // DER puts a zero before a first bit that is one.
    let bytes = bytes.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn line_end(pem: &str) -> String {
    format!("{}\n", pem.trim_end())
}

/// A certificate found again.
pub(super) struct Recovered {
    /// The value that the dependency would have had.
    pub value: Value,
    /// From when the certificate is valid.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Whether all parts of the value were found. If not, what is rendered from it must be what is there already.
    pub complete: bool,
}

/// Whether a dependency issues certificates, so that it is worth a look.
pub(super) fn issues(dependency: &Dependency) -> bool {
    dependency.kind == Kind::Certificate
        || dependency.kind == Kind::Write && dependency.path.split('/').any(|part| part == "issue")
}

/// Looks for a dependency's certificate in files rendered before. Only one that is valid now is found.
pub(super) fn recover(dependency: &Dependency, files: &[Vec<u8>], now: Timestamp) -> Option<Recovered> {
    let mut certificates = Vec::new();
    let mut keys = Vec::new();
    for block in files.iter().flat_map(|file| blocks(file)) {
        // A block that cannot be read is none of ours: the files hold other things too.
        if block.starts_with("-----BEGIN CERTIFICATE-----") {
            certificates.extend(CertificateDer::from_pem_slice(block.as_bytes()).ok().map(|der| (der, block)));
        } else if block.contains("PRIVATE KEY-----") {
            keys.extend(public_key(&block).map(|public| (public, block)));
        }
    }
    let parsed: Vec<(X509Certificate, &String)> =
        certificates.iter().filter_map(|(der, pem)| Some((X509Certificate::from_der(der).ok()?.1, pem))).collect();
    // The latest, should a backup lie among the files.
    let (leaf, pem, key) = parsed
        .iter()
        .filter(|(certificate, _)| !certificate.is_ca() && fits(certificate, dependency))
        .filter(|(certificate, _)| span(certificate).is_some_and(|(from, until)| from <= now && now < until))
        .filter_map(|(certificate, pem)| {
            let key = keys.iter().find(|(public, _)| public == certificate.public_key().raw)?;
            Some((certificate, *pem, &key.1))
        })
        .max_by_key(|(certificate, ..)| certificate.validity().not_after.timestamp())?;
    let (from, until) = span(leaf)?;
    // From issuer to issuer; other authorities may lie among the files.
    let mut chain: Vec<&String> = Vec::new();
    let mut wanted = leaf.issuer();
    while let Some((issuer, pem)) = parsed.iter().find(|(found, _)| found.is_ca() && found.subject() == wanted) {
        if chain.contains(pem) {
            break;
        }
        chain.push(pem);
        wanted = issuer.issuer();
    }
    let complete = dependency.kind == Kind::Certificate && !chain.is_empty();
    let data = Value::map([
        ("certificate", Value::text(pem)),
        ("private_key", Value::text(key)),
        ("issuing_ca", chain.first().map_or(Value::Nil, Value::text)),
        ("ca_chain", Value::list(chain.into_iter().map(Value::text))),
        ("serial_number", Value::text(serial(leaf))),
        ("expiration", Value::Int(until.as_second())),
    ]);
    let value = match dependency.kind {
        Kind::Certificate => pki_cert(&data)?,
        _ => Value::map([("Data", data)]),
    };
    Some(Recovered { value, from, until, complete })
}

/// The public half of a private key, as a certificate would hold it.
fn public_key(pem: &str) -> Option<Vec<u8>> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    let key = rustls::crypto::ring::sign::any_supported_type(&der).ok()?;
    key.public_key().map(|public| public.as_ref().to_vec())
}

/// Whether a private key is that of a certificate.
pub(super) fn belongs(certificate: &CertificateDer, key: &PrivateKeyDer) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    rustls::crypto::ring::sign::any_supported_type(key)
        .ok()
        .and_then(|key| key.public_key().map(|public| public.as_ref() == certificate.public_key().raw))
        .unwrap_or(false)
}

/// Whether a certificate has the names that the parameters ask for.
fn fits(certificate: &X509Certificate, dependency: &Dependency) -> bool {
    let common = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let alternatives: Vec<String> = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| extension.value.general_names.iter().filter_map(name_text).collect())
        .unwrap_or_default();
    let has = |wanted: &str| {
        common.is_some_and(|name| name.eq_ignore_ascii_case(wanted))
            || alternatives.iter().any(|name| name.eq_ignore_ascii_case(wanted))
    };
    dependency.parameters.iter().all(|(name, value)| match name.as_str() {
        "common_name" => has(value),
        "alt_names" | "ip_sans" | "uri_sans" => {
            value.split(',').map(str::trim).filter(|wanted| !wanted.is_empty()).all(has)
        }
        _ => true,
    })
}

fn name_text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(std::net::Ipv4Addr::from(v4).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string()),
        },
        _ => None,
    }
}

/// The PEM blocks of a file, also where they are indented or inside a JSON string, without a final newline.
pub(super) fn blocks(file: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(file) else { return Vec::new() };
    let text = text.replace("\\n", "\n");
    let mut found = Vec::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find("-----BEGIN ") {
        rest = &rest[start..];
        let Some(end) = rest.find("-----END ") else { break };
        let Some(close) = rest[end + 9..].find("-----") else { break };
        let end = end + 9 + close + 5;
        let lines: Vec<&str> = rest[..end].lines().map(str::trim).collect();
        found.push(lines.join("\n"));
        rest = &rest[end..];
        if found.len() == BLOCKS_MAX {
            break;
        }
    }
    found
}

/// How far a certificate's life has gone, in thousandths.
pub(super) fn spent(from: Timestamp, until: Timestamp, now: Timestamp) -> u32 {
    let whole = until.duration_since(from);
    let gone = now.duration_since(from);
    if whole <= SignedDuration::ZERO || gone <= SignedDuration::ZERO {
        return if whole <= SignedDuration::ZERO { 1000 } else { 0 };
    }
    u32::try_from(gone.as_secs().saturating_mul(1000) / whole.as_secs().max(1)).unwrap_or(1000).min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_is_found_plain_indented_and_in_json() {
        let plain = "x\n-----BEGIN A-----\nQUI=\n-----END A-----\ny -----BEGIN B-----\nQg==\n-----END B-----";
        let expected = ["-----BEGIN A-----\nQUI=\n-----END A-----", "-----BEGIN B-----\nQg==\n-----END B-----"];
        assert_eq!(blocks(plain.as_bytes()), expected);
        assert_eq!(blocks(plain.replace('\n', "\n    ").as_bytes()), expected);
        assert_eq!(blocks(plain.replace('\n', "\\n").as_bytes()), expected);
        for broken in ["-----BEGIN A-----", "-----BEGIN A-----\n-----END A", "", "-----END A-----"] {
            assert!(blocks(broken.as_bytes()).is_empty());
        }
        assert_eq!(blocks(&b"-----BEGIN A----- -----END A-----".repeat(1000)).len(), BLOCKS_MAX);
    }

    #[test]
    fn a_life_is_spent_in_thousandths() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(spent(at(0), at(100), at(67)), 670);
        assert_eq!(spent(at(0), at(100), at(-5)), 0);
        assert_eq!(spent(at(0), at(100), at(500)), 1000);
        assert_eq!(spent(at(10), at(10), at(10)), 1000);
    }
}

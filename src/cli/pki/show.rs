//! A certificate in words: for whom, by whom, until when, for what, and what is odd about it.

use clap::Args;
use serde_json::json;

use super::super::context::{Cx, clean};
use super::super::failure::{Doing, Failure, Outcome};
use super::super::{pairs, table::duration};
use super::certificate_of;
use crate::client::Request;
use crate::crypto::sha256;
use crate::crypto::x509::{AltName, Certificate, extension};

/// Explain a certificate in words.
#[derive(Args, Debug)]
pub struct Show {
    /// A file of PEM, - for standard input, or a path of the API such as pki/cert/SERIAL or pki/issuer/default.
    what: String,
}

impl Show {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = clean(&self.what).to_owned();
        let remote = path.contains("/cert/") || path.contains("/issuer/");
        let certificate = if remote && !std::path::Path::new(&self.what).exists() {
            let reply = cx.send(Request::read(&path)).await.doing(format!("Error reading {path}"))?;
            certificate_of(&reply)?
        } else {
            let text = pairs::text(&self.what, cx.world.stdin)?;
            Certificate::from_pem(&text).map_err(|error| Failure::local(error.to_string()))?
        };
        let lines = words(&certificate);
        if cx.is_table() {
            return cx.columns(&lines.into_iter().map(|(name, text)| vec![name.to_owned(), text]).collect::<Vec<_>>());
        }
        let mut map = serde_json::Map::new();
        for (name, text) in lines {
            map.insert(name.trim_end_matches(':').replace(' ', "_"), json!(text));
        }
        cx.value(&map.into())
    }
}

/// What there is to say, line by line.
fn words(certificate: &Certificate) -> Vec<(&'static str, String)> {
    let dn = |name: &crate::crypto::x509::DistinguishedName| {
        let parts: Vec<String> = name.attributes().iter().map(|(oid, text)| format!("{}={text}", short(oid))).collect();
        if parts.is_empty() { "nobody: the names below count".to_owned() } else { parts.join(", ") }
    };
    let own = certificate.issuer() == certificate.subject() && certificate.verify_by(certificate).is_ok();
    let mut lines = vec![("for:", dn(certificate.subject()))];
    for name in certificate.alt_names().unwrap_or_default() {
        lines.push((
            "",
            match &name {
                AltName::Dns(text) => format!("the host {text}"),
                AltName::Email(text) => format!("the mail address {text}"),
                AltName::Ip(address) => format!("the address {address}"),
                AltName::Uri(uri) if uri.starts_with("spiffe://") => format!("the workload {uri}"),
                AltName::Uri(uri) => format!("the URI {uri}"),
                AltName::Other(oid, _) => format!("{} of the type {oid}", name.other_text().unwrap_or_default()),
                AltName::Unsupported(kind) => format!("a name of the kind {kind}"),
            },
        ));
    }
    lines.push(("by:", if own { "itself".to_owned() } else { dn(certificate.issuer()) }));
    let life = certificate.not_after().as_second() - certificate.not_before().as_second();
    lines.push(("from:", certificate.not_before().to_string()));
    lines.push(("until:", format!("{} ({} in all)", certificate.not_after(), duration(life.unsigned_abs()))));
    lines.push(("serial number:", certificate.serial_text()));
    let kind = match certificate.ca() {
        Ok(Some(length)) => match length.0 {
            Some(0) => "a CA that signs no other CA".to_owned(),
            Some(length) => format!("a CA with at most {length} below it"),
            None => "a CA".to_owned(),
        },
        _ => "no CA".to_owned(),
    };
    lines.push(("what:", kind));
    if let Ok(Some(usage)) = certificate.key_usage() {
        lines.push(("key usage:", usage.names().join(", ")));
    }
    let usages = certificate.ext_key_usage().unwrap_or_default();
    if !usages.is_empty() {
        let name = |oid: &crate::crypto::x509::Oid| {
            let known = extension::EXT_KEY_USAGES.iter().find(|(_, known)| known == oid);
            known.map_or_else(|| oid.to_string(), |(name, _)| (*name).to_owned())
        };
        lines.push(("good for:", usages.iter().map(name).collect::<Vec<_>>().join(", ")));
    }
    match certificate.public_key() {
        Ok(key) => lines.push(("key:", key.kind().to_string())),
        Err(error) => lines.push(("key:", format!("not understood: {error}"))),
    }
    if let Ok(algorithm) = certificate.signature_algorithm() {
        lines.push(("signed with:", algorithm.name().to_owned()));
    }
    for extension in certificate.extensions().iter().filter(|one| one.critical && !understood(&one.oid)) {
        lines.push(("note:", format!("a critical extension {} that few understand", extension.oid)));
    }
    lines.push(("SHA-256:", hex::encode(sha256(certificate.der()))));
    lines
}

fn understood(oid: &crate::crypto::x509::Oid) -> bool {
    use extension::id;
    [id::BASIC_CONSTRAINTS, id::KEY_USAGE, id::EXT_KEY_USAGE, id::ALT_NAMES, id::NAME_CONSTRAINTS, id::POLICIES]
        .contains(oid)
}

/// The short word for a part of a name.
fn short(oid: &crate::crypto::x509::Oid) -> String {
    let known = [
        ("2.5.4.3", "CN"),
        ("2.5.4.5", "serialNumber"),
        ("2.5.4.6", "C"),
        ("2.5.4.7", "L"),
        ("2.5.4.8", "ST"),
        ("2.5.4.9", "street"),
        ("2.5.4.10", "O"),
        ("2.5.4.11", "OU"),
        ("2.5.4.17", "postalCode"),
        ("0.9.2342.19200300.100.1.1", "UID"),
        ("0.9.2342.19200300.100.1.25", "DC"),
    ];
    let text = oid.to_string();
    known.iter().find(|(known, _)| *known == text).map_or(text.clone(), |(_, word)| (*word).to_owned())
}

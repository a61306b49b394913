//! The three challenges: what is asked, and what answer proves that somebody rules over a name
//! (RFC 8555 sections 8.3 and 8.4, RFC 8737, RFC 8738).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsConnector;

use super::config::Config;
use super::identifier::Identifier;
use super::problem::{Kind as Problems, Problem};
use super::reach::Reach;
use crate::crypto::x509::{AltName, Certificate, extension};
use crate::crypto::{same, sha256, viewer};
use crate::engine::Cx;
use crate::secrets::pki::Pki;

/// How long one attempt may take in all: its client waits for it.
const ATTEMPT: Duration = Duration::from_secs(8);
const ALPN: &[u8] = b"acme-tls/1";

/// A kind of challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A file below `/.well-known/acme-challenge/`.
    #[serde(rename = "http-01")]
    Http01,
    /// A text at `_acme-challenge`.
    #[serde(rename = "dns-01")]
    Dns01,
    /// A certificate that only such a handshake sees.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl Kind {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }

    /// The kind of this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Http01, Self::Dns01, Self::TlsAlpn01].into_iter().find(|kind| kind.word() == word)
    }
}

/// What is to be looked at.
pub struct Task {
    /// How.
    pub kind: Kind,
    /// The name, without its wildcard.
    pub identifier: Identifier,
    /// The challenge's token.
    pub token: String,
    /// The thumbprint of the account's key.
    pub thumbprint: String,
}

impl Task {
    fn key_authorization(&self) -> String {
        format!("{}.{}", self.token, self.thumbprint)
    }

    fn host(&self) -> String {
        match &self.identifier {
            Identifier::Dns(name) => name.clone(),
            Identifier::Ip(address @ IpAddr::V4(_)) => address.to_string(),
            Identifier::Ip(address) => format!("[{address}]"),
        }
    }
}

/// Looks once.
///
/// # Errors
/// The problem that stood in the way; it says nothing of what else was seen there.
pub async fn attempt(cx: &Cx<Pki>, config: &Config, task: &Task) -> Result<(), Problem> {
    let reach = Reach::new(config, cx.outbound.as_ref(), cx.rng());
    let look = async {
        match task.kind {
            Kind::Http01 => http(&reach, task).await,
            Kind::Dns01 => dns(&reach, task).await,
            Kind::TlsAlpn01 => alpn(&reach, config.tls_alpn_01_port, task).await,
        }
    };
    match tokio::time::timeout(ATTEMPT, look).await {
        Ok(found) => found,
        Err(_) => Err(Problem::new(Problems::Connection, "it took too long")),
    }
}

fn wrong(what: &str) -> Problem {
    Problem::new(Problems::IncorrectResponse, format!("{what} is not what the challenge asks for"))
}

async fn http(reach: &Reach<'_>, task: &Task) -> Result<(), Problem> {
    let path = format!("/.well-known/acme-challenge/{}", task.token);
    let got = reach.get(&task.host(), &path).await?;
    match same(got.trim_ascii_end(), task.key_authorization().as_bytes()) {
        true => Ok(()),
        false => Err(wrong("the file")),
    }
}

async fn dns(reach: &Reach<'_>, task: &Task) -> Result<(), Problem> {
    let Identifier::Dns(name) = &task.identifier else { return Err(wrong("an address")) };
    let wanted = BASE64.encode(sha256(task.key_authorization().as_bytes()));
    let texts = reach.texts(&format!("_acme-challenge.{name}")).await?;
    match texts.iter().any(|text| same(text, wanted.as_bytes())) {
        true => Ok(()),
        false => Err(wrong("the text")),
    }
}

async fn alpn(reach: &Reach<'_>, port: u16, task: &Task) -> Result<(), Problem> {
    let failed = |what: &str| Problem::new(Problems::Tls, what);
    let stream = reach.connect(&task.host(), port).await?;
    // The certificate is the answer: no CA has signed it yet.
    let builder = viewer().map_err(|_| failed("TLS cannot be set up"))?;
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let asked = match &task.identifier {
        Identifier::Dns(name) => name.clone(),
        Identifier::Ip(address) => reverse(*address),
    };
    let name = ServerName::try_from(asked).map_err(|_| failed("the host is no name"))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = stream.map_err(|_| failed("the host does not answer in TLS"))?;
    let (_, connection) = stream.get_ref();
    if connection.alpn_protocol() != Some(ALPN) {
        return Err(failed("the host does not speak acme-tls/1"));
    }
    let shown = connection.peer_certificates().and_then(|chain| chain.first());
    let certificate = shown.and_then(|der| Certificate::from_der(der).ok()).ok_or_else(|| wrong("the certificate"))?;
    match answers(&certificate, task) {
        true => Ok(()),
        false => Err(wrong("the certificate")),
    }
}

/// Whether a certificate answers: this one name, and the digest of the key authorization, marked critical.
fn answers(certificate: &Certificate, task: &Task) -> bool {
    let name = match &task.identifier {
        Identifier::Dns(name) => AltName::Dns(name.clone()),
        Identifier::Ip(address) => AltName::Ip(*address),
    };
    let names = certificate.alt_names().unwrap_or_default();
    let one = match &names[..] {
        [AltName::Dns(shown)] => AltName::Dns(shown.to_ascii_lowercase()) == name,
        [other] => *other == name,
        _ => false,
    };
    let digest = [&[0x04, 0x20], &sha256(task.key_authorization().as_bytes())[..]].concat();
    let proof = certificate.extension(extension::id::ACME_IDENTIFIER);
    one && proof.is_some_and(|proof| proof.critical && same(&proof.value, &digest))
}

/// The name of an address in the other direction.
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(four) => {
            let [a, b, c, d] = four.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(six) => {
            let digits: Vec<String> = six
                .octets()
                .iter()
                .rev()
                .flat_map(|byte| [byte & 15, byte >> 4])
                .map(|half| format!("{half:x}"))
                .collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_names_in_the_other_direction() {
        assert_eq!(reverse("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        let six = reverse("2001:db8::1".parse().unwrap());
        assert!(six.starts_with("1.0.0.0.") && six.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"), "{six}");
    }
}

//! A CA under load: what it signs, unstored and stored, and what it answers about certificates, beside what one core can sign.

use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value, json};

use crate::Result;
use crate::client::{Connection, request};
use crate::drive::each;
use crate::server::{Server, text};
use crate::setup::{Requests, Setup, der_of};

/// As many connections as the goals are for.
pub const CONNECTIONS: usize = 64;
/// Certificates that are asked about.
const ASKED: usize = 1000;
/// Requests for certificates that are sent around.
const REQUESTS: usize = 16;

/// What a CA is asked to do.
pub struct Ca {
    /// Certificates with keys, not stored.
    pub unstored: Requests,
    /// Certificates for requests, not stored.
    pub sign: Requests,
    /// Questions about certificates that are stored.
    pub ocsp: Requests,
    root: String,
    issuer: Issuer,
}

/// An issuer as OCSP tells of it.
struct Issuer {
    name: Vec<u8>,
    key: Vec<u8>,
}

impl Ca {
    /// Makes the CA of a server ready, which has one from [`Setup::make`].
    pub async fn make(server: &Server, setup: &Setup) -> Result<Self> {
        let root = setup.root.clone();
        let mut to = server.connect().await?;
        let mut post = async |path: &str, body: Value| to.call("POST", path, Some(&root), Some(body)).await;
        let role = json!({ "allow_any_name": true, "key_type": "ec", "key_bits": 256, "no_store": true });
        post("pki/roles/unstored", role).await?;
        let role = json!({ "allow_any_name": true, "key_type": "any", "no_store": true });
        post("pki/roles/sign", role).await?;
        post("sys/mounts/requests", json!({ "type": "pki" })).await?;
        let mut sign = Vec::new();
        for index in 0..REQUESTS {
            let asked = json!({ "common_name": format!("host-{index}.bench.internal"), "key_type": "ec" });
            let made = post("requests/intermediate/generate/internal", asked).await?;
            let body = json!({ "csr": text(&made, "/data/csr")?, "common_name": "host.bench.internal" }).to_string();
            sign.push(request("POST", "pki/sign/sign", Some(&root), Some(body.as_bytes())));
        }
        let unstored = (0..ASKED).map(|index| {
            let body = json!({ "common_name": format!("host-{index}.bench.internal"), "ttl": "24h" }).to_string();
            request("POST", "pki/issue/unstored", Some(&root), Some(body.as_bytes()))
        });
        let unstored = unstored.collect();
        let pem = to.call("GET", "pki/cert/ca", None, None).await?;
        let issuer = Issuer::of(&der_of(text(&pem, "/data/certificate")?)?)?;
        let mut ca = Self { unstored, sign: sign.into(), ocsp: Arc::new([]), root, issuer };
        let serials = ca.issued(server, "bench", "24h", ASKED).await?;
        ca.ocsp = serials.iter().map(|serial| ca.question(serial)).collect::<Result<Vec<_>>>()?.into();
        Ok(ca)
    }

    /// Has so many certificates issued by a role; their serial numbers.
    pub async fn issued(&self, server: &Server, role: &str, ttl: &str, count: usize) -> Result<Vec<String>> {
        let body = json!({ "common_name": "host-1.bench.internal", "ttl": ttl }).to_string();
        let request = request("POST", &format!("pki/issue/{role}"), Some(&self.root), Some(body.as_bytes()));
        let serial = |body: &[u8]| -> Result<String> {
            let answer: Value = serde_json::from_slice(body)?;
            Ok(text(&answer, "/data/serial_number")?.to_owned())
        };
        each(&server.target, count, CONNECTIONS, &|_| request.clone(), &serial).await
    }

    /// Has these certificates revoked.
    pub async fn revoked(&self, server: &Server, serials: &[String]) -> Result<()> {
        let request = |index: usize| self.revocation(&serials[index]);
        each(&server.target, serials.len(), CONNECTIONS, &request, &|_| Ok(())).await.map(drop)
    }

    /// The request to revoke one.
    pub fn revocation(&self, serial: &str) -> Vec<u8> {
        let body = json!({ "serial_number": serial }).to_string();
        request("POST", "pki/revoke", Some(&self.root), Some(body.as_bytes()))
    }

    /// Whether a certificate is revoked, as OCSP asks. Nothing of it is cached by a nonce.
    fn question(&self, serial: &str) -> Result<Vec<u8>> {
        let mut number = vec![0];
        for pair in serial.split(':') {
            number.push(u8::from_str_radix(pair, 16)?);
        }
        let start = usize::from(number[1] < 0x80);
        const SHA1: [u8; 9] = [0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00];
        let id = [wrap(0x30, &SHA1), wrap(4, &self.issuer.name), wrap(4, &self.issuer.key), wrap(2, &number[start..])];
        let list = wrap(0x30, &wrap(0x30, &wrap(0x30, &id.concat())));
        let mut bytes = request("POST", "pki/ocsp", None, Some(&wrap(0x30, &wrap(0x30, &list))));
        let after_line = bytes.iter().position(|byte| *byte == b'\n').ok_or("the request has no line")? + 1;
        bytes.splice(after_line..after_line, *b"content-type: application/ocsp-request\r\n");
        Ok(bytes)
    }
}

impl Issuer {
    /// Digests of the name and the key in a certificate that signed itself.
    fn of(der: &[u8]) -> Result<Self> {
        let body = inside(inside(der)?.0)?.0;
        let mut rest = body;
        let mut parts = Vec::new();
        // version, serial number, algorithm, issuer, validity, subject, key
        for _ in 0..7 {
            let (_, after) = inside(rest)?;
            parts.push(&rest[..rest.len() - after.len()]);
            rest = after;
        }
        let (_, bits) = inside(inside(parts[6])?.0)?;
        let key = inside(bits)?.0.get(1..).ok_or("the key is empty")?;
        let sha1 = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec();
        Ok(Self { name: sha1(parts[5]), key: sha1(key) })
    }
}

/// The content of a DER value, and what comes after it.
fn inside(der: &[u8]) -> Result<(&[u8], &[u8])> {
    let short = || "the DER is too short";
    let first = usize::from(*der.get(1).ok_or_else(short)?);
    let (start, length) = if first < 0x80 {
        (2, first)
    } else {
        let bytes = der.get(2..2 + (first & 0x7f)).ok_or_else(short)?;
        (2 + bytes.len(), bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    };
    Ok((der.get(start..start + length).ok_or_else(short)?, &der[start + length..]))
}

fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = vec![tag];
    match u8::try_from(length) {
        Ok(length) if length < 0x80 => der.push(length),
        Ok(length) => der.extend([0x81, length]),
        Err(_) => der.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    der.extend(content);
    der
}

/// How long something took that a server was asked for, again and again, one after the other: the median.
pub async fn timed(to: &mut Connection, requests: &[Vec<u8>]) -> Result<Duration> {
    let mut times = Vec::new();
    for request in requests {
        let begun = std::time::Instant::now();
        match to.send(request).await? {
            200..300 => times.push(begun.elapsed()),
            status => return Err(format!("{status} {}", String::from_utf8_lossy(to.body()).trim()).into()),
        }
    }
    times.sort();
    times.get(times.len() / 2).copied().ok_or_else(|| "nothing was timed".into())
}

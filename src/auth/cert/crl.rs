//! `crls/`: revocation lists, and whether a certificate is on one.
//!
//! A list is asked about the certificates of its issuer only, by the issuer's whole name: serial numbers of another CA mean nothing. Lists are
//! read from storage at the first login that needs them, also after a restart; a parsed one is kept under its revision, which never changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Cert;
use crate::base::{Error, Json, Key, Name, Result, ids, limits};
use crate::crypto::pem::{self, Label};
use crate::crypto::x509::{Certificate, Crl};
use crate::engine::{Cx, Page, Reply, Routes};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<Cert>) -> Routes<Cert> {
    routes.at("crls/", "List the revocation lists.", |at| at.list(list)).at(
        "crls/{name!}",
        "Read, write and delete a revocation list.",
        |at| at.read(read).update(write).delete(delete),
    )
}

/// The lists that were parsed, by their revisions.
#[derive(Default)]
pub struct Lists(Mutex<HashMap<String, Arc<Crl>>>);

/// Which list, as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    revision: String,
    /// The issuer's name in DER, in hexadecimal.
    issuer: String,
}

fn folder() -> Key {
    Key::new("crl")
}

fn data_key(revision: &str) -> Key {
    Key::new("crl-data").join(revision)
}

params! {
    /// A revocation list.
    pub struct ByName {
        /// Its name.
        name: Name,
    }
    /// A revocation list.
    pub struct Write {
        /// Its name.
        name: Name,
        /// The list, in PEM or in base64 of DER.
        crl: Option<String>,
        /// Refused: lists are brought, not fetched.
        url: Option<String>,
    }
}

async fn list(cx: Cx<Cert>, p: Page) -> Result<Reply> {
    Ok(Reply::list(p.of(cx.list(&folder())?)))
}

async fn read(cx: Cx<Cert>, p: ByName) -> Result<Reply> {
    let header: Option<Header> = cx.get(&folder().join(p.name.as_str()))?;
    let header = header.ok_or_else(|| Error::invalid(format!("no such CRL \"{}\"", p.name)))?;
    let crl = load(&cx, &header.revision)?;
    let mut serials = crate::base::json::Map::new();
    for entry in crl.entries().take(limits::BATCH_KEYS) {
        serials.insert(decimal(&entry.serial), Json::Object(crate::base::json::Map::new()));
    }
    Ok(Reply::data(
        [("count", Json::from(u64::try_from(crl.len()).unwrap_or(u64::MAX))), ("serials", Json::Object(serials))]
            .map(|(k, v)| (k.to_owned(), v)),
    ))
}

async fn write(cx: Cx<Cert>, p: Write) -> Result<Reply> {
    if p.url.is_some_and(|url| !url.is_empty()) {
        return Err(Error::invalid("field 'url': lists are not fetched; give the list itself as 'crl'"));
    }
    let text = p.crl.filter(|text| !text.trim().is_empty()).ok_or_else(|| Error::invalid("missing crl"))?;
    let wrong = || Error::invalid("failed to parse CRL");
    let der = match pem::first(text.as_bytes(), Label::Crl) {
        Ok(der) => der,
        Err(_) => STANDARD.decode(text.trim()).map_err(|_| wrong())?,
    };
    let crl = Crl::from_der(&der).map_err(|_| wrong())?;
    let header = Header { revision: ids::uuid(cx.rng()), issuer: hex::encode(crl.issuer().der()) };
    let key = folder().join(p.name.as_str());
    let mut txn = cx.txn();
    if let Some(old) = txn.get::<Header>(&key)? {
        txn.delete(&data_key(&old.revision));
    }
    txn.create(&data_key(&header.revision), &STANDARD.encode(&der))?;
    txn.put(&key, &header)?;
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<Cert>, p: ByName) -> Result<Reply> {
    let key = folder().join(p.name.as_str());
    let mut txn = cx.txn();
    if let Some(old) = txn.get::<Header>(&key)? {
        txn.delete(&data_key(&old.revision));
        txn.delete(&key);
    }
    Ok(Reply::empty(txn))
}

fn load(cx: &Cx<Cert>, revision: &str) -> Result<Arc<Crl>> {
    // Nothing is left half done by a panic: an entry is whole or absent.
    let held = || cx.engine().lists.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = held().get(revision) {
        return Ok(found.clone());
    }
    let text: Option<String> = cx.get(&data_key(revision))?;
    let der = text.and_then(|text| STANDARD.decode(text).ok());
    let der = der.ok_or_else(|| Error::Unavailable("a revocation list changed while it was read, try again".into()))?;
    let crl = Arc::new(Crl::from_der(&der)?);
    let mut lists = held();
    // Those that were replaced are never asked for again; a bound is simpler than to know which.
    if lists.len() >= limits::REVOCATION_LISTS_AT_HAND {
        lists.clear();
    }
    lists.insert(revision.to_owned(), crl.clone());
    Ok(crl)
}

/// Whether one of these is revoked. A list that cannot be read is an error, never a no.
///
/// # Errors
/// Those of storage, and for a stored list that is broken.
pub fn any_revoked(cx: &Cx<Cert>, path: &[Certificate]) -> Result<bool> {
    for name in cx.list(&folder())? {
        let Some(header) = cx.get::<Header>(&folder().join(&name))? else { continue };
        let of_issuer = |certificate: &&Certificate| hex::encode(certificate.issuer().der()) == header.issuer;
        for certificate in path.iter().filter(of_issuer) {
            if load(cx, &header.revision)?.revoked(certificate.serial()).is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A serial number as a decimal, as this API has always written it.
pub fn decimal(big_endian: &[u8]) -> String {
    let mut digits = vec![0_u8];
    for byte in big_endian {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) * 256;
            *digit = (carry % 10) as u8;
            carry /= 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn serial_numbers_are_written_in_decimals() {
        assert_eq!(decimal(&[]), "0");
        assert_eq!(decimal(&[0]), "0");
        assert_eq!(decimal(&[0x03, 0xea]), "1002");
        assert_eq!(decimal(&[0xff; 8]), u64::MAX.to_string());
        assert_eq!(decimal(&[0xff; 16]), u128::MAX.to_string());
    }
}

//! `crls/`: revocation lists, brought as text or fetched from an address.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Cert;
use super::lists::{Header, List, folder, load};
use super::refresh::{self, fetched};
use crate::base::{Error, Json, Name, Result, Timestamp, limits};
use crate::crypto::pem::{self, Label};
use crate::crypto::x509::Crl;
use crate::engine::{Cx, Page, Reply, Routes};
use crate::outbound::Address;
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<Cert>) -> Routes<Cert> {
    routes.at("crls/", "List the revocation lists.", |at| at.list(list)).at(
        "crls/{name!}",
        "Read, write and delete a revocation list.",
        |at| at.read(read).update(write).delete(delete),
    )
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
        /// Where it is fetched from, now and again; instead of 'crl'.
        url: Option<String>,
    }
}

async fn list(cx: Cx<Cert>, p: Page) -> Result<Reply> {
    Ok(Reply::list(p.of(cx.list(&folder())?)))
}

async fn read(cx: Cx<Cert>, p: ByName) -> Result<Reply> {
    let header: Option<Header> = cx.get(&folder().join(p.name.as_str()))?;
    let header = header.ok_or_else(|| Error::invalid(format!("no such CRL \"{}\"", p.name)))?;
    let list = load(&cx, &header)?;
    let mut serials = crate::base::json::Map::new();
    for entry in list.crl.entries().take(limits::BATCH_KEYS) {
        serials.insert(decimal(&entry.serial), Json::Object(crate::base::json::Map::new()));
    }
    let date = |at: Option<Timestamp>| at.map_or(Json::Null, |at| at.to_string().into());
    let cdp = match header.url.is_empty() {
        true => Json::Null,
        false => Json::object([
            ("url".to_owned(), Json::from(header.url.as_str())),
            ("valid_until".to_owned(), date(list.ends(&header))),
        ]),
    };
    Ok(Reply::data(
        [
            ("cdp", cdp),
            ("count", Json::from(u64::try_from(list.crl.len()).unwrap_or(u64::MAX))),
            ("next_update", date(list.crl.next_update())),
            ("serials", Json::Object(serials)),
            ("this_update", date(Some(list.crl.this_update()))),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    ))
}

async fn write(cx: Cx<Cert>, p: Write) -> Result<Reply> {
    let given = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let key = folder().join(p.name.as_str());
    let mut txn = cx.txn();
    let old: Option<Header> = txn.get(&key)?;
    if old.is_none() && cx.list(&folder())?.len() >= limits::REVOCATION_LISTS {
        return Err(Error::invalid(format!("at most {} revocation lists", limits::REVOCATION_LISTS)));
    }
    let (crl, url) = match (given(p.crl), given(p.url)) {
        (Some(text), None) => (parsed(&text)?, String::new()),
        (None, Some(url)) => {
            let address = Address::parse(&url).map_err(|error| Error::invalid(format!("field 'url': {error}")))?;
            (fetched(&cx, address).await?, url)
        }
        (None, None) => return Err(Error::invalid("missing crl")),
        (Some(_), Some(_)) => return Err(Error::invalid("fields 'crl' and 'url': only one of them can be given")),
    };
    refresh::check(&cx, &crl)?;
    // Whoever writes says which list it is to be: an older one, or another issuer's, may come back in this way only.
    refresh::put(&cx, &mut txn, &p.name, old, List::of(crl), url)?;
    Ok(Reply::empty(txn))
}

fn parsed(text: &str) -> Result<Crl> {
    let wrong = || Error::invalid("failed to parse CRL");
    let der = match pem::first(text.as_bytes(), Label::Crl) {
        Ok(der) => der,
        Err(_) => STANDARD.decode(text).map_err(|_| wrong())?,
    };
    Crl::from_der(&der).map_err(|_| wrong())
}

async fn delete(cx: Cx<Cert>, p: ByName) -> Result<Reply> {
    let key = folder().join(p.name.as_str());
    let mut txn = cx.txn();
    if let Some(old) = txn.get::<Header>(&key)? {
        txn.delete(&old.data());
        txn.delete(&key);
    }
    Ok(Reply::empty(txn))
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

//! What anybody may read: certificates of issuers, their chains, certificates by serial number.

use std::collections::BinaryHeap;

use super::Pki;
use super::issuer::{Issuer, IssuersConfig, find};
use super::modified::dated;
use super::output::{der_of, trimmed};
use super::store::{Stored, canonical_serial, certificate_key, certificates_key, config_key};
use crate::barrier::Cursor;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Result, Timestamp};
use crate::crypto::x509::Certificate;
use crate::engine::{Cx, Reply};
use crate::params;

/// The media type of a certificate in DER.
pub const CERTIFICATE: &str = "application/pkix-cert";
/// The media type of certificates in PEM.
pub const CHAIN: &str = "application/pem-certificate-chain";

/// The most names of one list, which has no end in Vault: some 6 MiB of text.
const LISTED_MAX: usize = 100_000;
/// The most certificates of one detailed list: each of them is read.
const DETAILED_MAX: usize = 1000;

params! {
    /// One issuer.
    pub struct OneIssuer {
        /// Its id or name, or default.
        issuer_ref: String,
    }
    /// A part of a list.
    pub struct Page {
        /// Only what comes after this.
        after: Option<String>,
        /// At most so many.
        limit: Option<i64>,
        /// Accepted: the path says it.
        detailed: Option<bool>,
    }
    /// One certificate.
    pub struct OneSerial {
        /// Its serial number.
        serial: String,
    }
}

/// The default issuer, if there is one, and when that changed last.
fn default_issuer(cx: &Cx<Pki>) -> Result<(Option<Issuer>, Option<Timestamp>)> {
    match issuer_of(cx, "default") {
        Ok((issuer, modified)) => Ok((Some(issuer), modified)),
        Err(Error::Invalid(_)) => Ok((None, None)),
        Err(other) => Err(other),
    }
}

/// The issuer behind a reference, and when what references lead to changed last.
fn issuer_of(cx: &Cx<Pki>, reference: &str) -> Result<(Issuer, Option<Timestamp>)> {
    cx.view().read(|reading| {
        let config: IssuersConfig = reading.get(&config_key("issuers"))?.unwrap_or_default();
        Ok((find(reading, reference)?, config.modified))
    })
}

/// Bytes, or an empty answer where there is nothing yet.
pub fn raw(media_type: &'static str, bytes: Option<Vec<u8>>) -> Reply {
    match bytes {
        Some(bytes) => Reply::raw(200, media_type, bytes),
        None => Reply::raw(204, media_type, Vec::new()),
    }
}

pub async fn ca_der(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let (issuer, modified) = default_issuer(&cx)?;
    let der = issuer.map(|issuer| der_of(&issuer.certificate)).transpose()?;
    Ok(dated(&cx, modified, raw(CERTIFICATE, der)))
}

pub async fn ca_pem(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let (issuer, modified) = default_issuer(&cx)?;
    Ok(dated(&cx, modified, raw(CHAIN, issuer.map(|issuer| trimmed(issuer.certificate).into_bytes()))))
}

/// PEM, though under the media type that Vault gives it.
pub async fn ca_chain(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let (issuer, modified) = default_issuer(&cx)?;
    Ok(dated(&cx, modified, raw(CERTIFICATE, issuer.map(|issuer| trimmed(issuer.chain.concat()).into_bytes()))))
}

pub async fn cert_ca(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let issuer = cx.view().read(|reading| find(reading, "default"))?;
    Ok(Reply::data(certificate_data(&issuer, trimmed(issuer.certificate.clone()))))
}

pub async fn cert_ca_chain(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let issuer = cx.view().read(|reading| find(reading, "default"))?;
    let mut data = certificate_data(&issuer, trimmed(issuer.chain.concat()));
    data.insert("ca_chain".into(), trimmed(issuer.chain.concat()).into());
    Ok(Reply::data(data))
}

fn certificate_data(issuer: &Issuer, certificate: String) -> Map {
    let revoked = issuer.revoked.map_or(0, |at| at.as_second());
    let mut data = Map::from(
        [
            ("certificate", Json::from(certificate)),
            ("issuer_id", issuer.id.clone().into()),
            ("revocation_time", revoked.into()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let text = issuer.revoked.map(|at| at.to_string()).unwrap_or_default();
    data.insert("revocation_time_rfc3339".into(), text.into());
    data
}

fn stored(cx: &Cx<Pki>, serial: &str) -> Result<Stored> {
    // What is no serial number is not there either.
    let serial = canonical_serial(serial).map_err(|_| Error::not_found())?;
    cx.get(&certificate_key(&serial))?.ok_or_else(Error::not_found)
}

pub async fn cert(cx: Cx<Pki>, p: OneSerial) -> Result<Reply> {
    let stored = stored(&cx, &p.serial)?;
    let text = stored.revoked.map(|at| at.to_string()).unwrap_or_default();
    Ok(Reply::data([
        ("certificate".to_owned(), Json::from(stored.certificate)),
        ("issuer_id".to_owned(), stored.issuer_id.into()),
        ("revocation_time".to_owned(), stored.revoked.map_or(0, |at| at.as_second()).into()),
        ("revocation_time_rfc3339".to_owned(), text.into()),
    ]))
}

pub async fn cert_raw(cx: Cx<Pki>, p: OneSerial) -> Result<Reply> {
    Ok(raw(CERTIFICATE, Some(der_of(&stored(&cx, &p.serial)?.certificate)?)))
}

pub async fn cert_raw_pem(cx: Cx<Pki>, p: OneSerial) -> Result<Reply> {
    Ok(raw(CHAIN, Some(trimmed(stored(&cx, &p.serial)?.certificate).into_bytes())))
}

pub async fn list_certs(cx: Cx<Pki>, p: Page) -> Result<Reply> {
    listed(&cx, vec![certificates_key()], &p).await
}

/// The names below these keys as far as one answer holds them.
///
/// # Errors
/// Those of storage.
pub async fn listed(cx: &Cx<Pki>, folders: Vec<Key>, p: &Page) -> Result<Reply> {
    let (serials, more) = serials(cx, folders, p, LISTED_MAX).await?;
    let asked = p.limit.and_then(|limit| usize::try_from(limit).ok());
    let whole = asked.is_none_or(|limit| limit == 0 || limit > LISTED_MAX);
    // Who asked for a stretch knows that there may be more.
    Ok(told(Reply::list(serials), more && whole))
}

/// The certificates with what is known of each, at most a thousand at once.
pub async fn list_detailed(cx: Cx<Pki>, p: Page) -> Result<Reply> {
    let (serials, more) = serials(&cx, vec![certificates_key()], &p, DETAILED_MAX).await?;
    let mut info = Map::new();
    for serial in &serials {
        let Some(stored) = cx.get::<Stored>(&certificate_key(serial))? else { continue };
        info.insert(serial.clone(), detail(&stored)?);
    }
    let mut reply = Reply::list(serials);
    if let crate::engine::Body::Data(data) = &mut reply.body
        && !info.is_empty()
    {
        data.insert("key_info".into(), info.into());
    }
    Ok(told(reply, more))
}

fn told(reply: Reply, more: bool) -> Reply {
    if more { reply.warning("there are more: ask again with after set to the last of these") } else { reply }
}

/// A stretch of the names below these keys, in order, at most so many, and whether there are more behind it. Names lie in the store in no order: all are looked at, step by step, and no more of them are held than are shown.
async fn serials(cx: &Cx<Pki>, folders: Vec<Key>, p: &Page, most: usize) -> Result<(Vec<String>, bool)> {
    let asked = p.limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    let limit = asked.unwrap_or(most).min(most);
    let after = p.after.as_deref().unwrap_or_default();
    let (mut held, mut more) = (BinaryHeap::new(), false);
    for folder in folders {
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor.take() {
            let (names, next) = cx.view().names_step(&folder, &from)?;
            for name in names.into_iter().filter(|name| name.as_str() > after) {
                held.push(name);
                if held.len() > limit {
                    held.pop();
                    more = true;
                }
            }
            cursor = next;
            tokio::task::yield_now().await;
        }
    }
    Ok((held.into_sorted_vec(), more))
}

/// What is known of a stored certificate.
///
/// # Errors
/// [`Error::Internal`] if what is stored is none.
pub fn detail(stored: &Stored) -> Result<Json> {
    let certificate = Certificate::from_pem(&stored.certificate)?;
    let name = certificate.subject().common_name().unwrap_or_default();
    Ok(Json::object([
        ("common_name", Json::from(name)),
        ("expiration", stored.not_after.as_second().into()),
        ("issuer_id", stored.issuer_id.clone().into()),
        ("not_after", stored.not_after.to_string().into()),
        ("not_before", certificate.not_before().to_string().into()),
        ("revocation_time", stored.revoked.map_or(0, |at| at.as_second()).into()),
        ("role", stored.role.clone().into()),
    ]))
}

pub async fn issuer_json(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    let issuer = cx.view().read(|reading| find(reading, &p.issuer_ref))?;
    Ok(Reply::data([
        ("ca_chain".to_owned(), Json::from(issuer.chain.clone())),
        ("certificate".to_owned(), issuer.certificate.into()),
        ("issuer_id".to_owned(), issuer.id.into()),
        ("issuer_name".to_owned(), issuer.name.into()),
    ]))
}

pub async fn issuer_der(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    let (issuer, modified) = issuer_of(&cx, &p.issuer_ref)?;
    Ok(dated(&cx, modified, raw(CERTIFICATE, Some(der_of(&issuer.certificate)?))))
}

pub async fn issuer_pem(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    let (issuer, modified) = issuer_of(&cx, &p.issuer_ref)?;
    Ok(dated(&cx, modified, raw(CHAIN, Some(issuer.certificate.into_bytes()))))
}

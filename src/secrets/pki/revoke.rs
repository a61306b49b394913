//! Revoking certificates: by serial number, by the certificate itself, by who has its key, by its lease.

use super::Pki;
use super::crl::{self, CrlConfig, Entry};
use super::issuer::{self, Issuer};
use super::read::{Page, listed};
use super::store::{self, Stored, all_revoked_key, canonical_serial, certificate_key, config_key, revoked_key};
use crate::barrier::Txn;
use crate::base::{Error, Json, Result, Secret, Timestamp};
use crate::crypto::PrivateKey;
use crate::crypto::x509::{Certificate, Reason};
use crate::engine::{Cx, Reply};
use crate::params;

params! {
    /// A certificate to revoke.
    pub struct Revoke {
        /// Its serial number.
        serial_number: Option<String>,
        /// The certificate, in PEM.
        certificate: Option<String>,
    }
    /// A certificate to revoke, by who has its key.
    pub struct RevokeWithKey {
        /// Its serial number.
        serial_number: Option<String>,
        /// The certificate, in PEM.
        certificate: Option<String>,
        /// Its private key, in PEM.
        private_key: Secret<String>,
    }
}

pub async fn revoke(cx: Cx<Pki>, p: Revoke) -> Result<Reply> {
    let mut txn = cx.txn();
    let serial = named(&cx, &mut txn, p.serial_number, p.certificate)?;
    let at = set_revoked(&cx, &mut txn, &serial, Reason::Unspecified)?;
    Ok(told(at).with(txn))
}

pub async fn revoke_with_key(cx: Cx<Pki>, p: RevokeWithKey) -> Result<Reply> {
    let mut txn = cx.txn();
    let serial = named(&cx, &mut txn, p.serial_number, p.certificate)?;
    let stored: Option<Stored> = txn.get(&certificate_key(&serial))?;
    let stored = stored.ok_or_else(|| unknown(&serial))?;
    let key = PrivateKey::from_pem(p.private_key.reveal().as_bytes())?;
    if Certificate::from_pem(&stored.certificate)?.spki() != key.public().spki() {
        return Err(Error::invalid("the private key is not that of the certificate"));
    }
    let at = set_revoked(&cx, &mut txn, &serial, Reason::Unspecified)?;
    Ok(told(at).with(txn))
}

fn told(at: Timestamp) -> Reply {
    Reply::data([
        ("revocation_time".to_owned(), Json::from(at.as_second())),
        ("revocation_time_rfc3339".to_owned(), at.to_string().into()),
        ("state".to_owned(), "revoked".into()),
    ])
}

fn unknown(serial: &str) -> Error {
    Error::invalid(format!("certificate with serial {serial} not found"))
}

/// The serial number that is meant. A certificate that is not stored becomes so, if an issuer of this mount signed it.
fn named(cx: &Cx<Pki>, txn: &mut Txn, serial: Option<String>, certificate: Option<String>) -> Result<String> {
    match (serial.filter(|text| !text.is_empty()), certificate.filter(|text| !text.is_empty())) {
        (Some(_), Some(_)) => {
            Err(Error::invalid("must provide either the certificate or the serial to revoke, not both"))
        }
        (None, None) => Err(Error::invalid("the serial number or certificate to revoke must be provided")),
        (Some(serial), None) => canonical_serial(&serial),
        (None, Some(pem)) => {
            let certificate = Certificate::from_pem(&pem)?;
            let serial = certificate.serial_text();
            match txn.get::<Stored>(&certificate_key(&serial))? {
                Some(stored) if Certificate::from_pem(&stored.certificate)? == certificate => Ok(serial),
                Some(_) => Err(Error::invalid("another certificate has this serial number here")),
                None => {
                    let issuer = signer_of(cx, &certificate)?;
                    store::add(txn, &certificate, &issuer, "")?;
                    Ok(serial)
                }
            }
        }
    }
}

fn signer_of(cx: &Cx<Pki>, certificate: &Certificate) -> Result<Issuer> {
    for issuer in issuer::all(cx.view())? {
        if certificate.verify_by(&Certificate::from_pem(&issuer.certificate)?).is_ok() {
            return Ok(issuer);
        }
    }
    Err(Error::invalid("no issuer of this mount signed the certificate"))
}

/// Marks a stored certificate as revoked. Who revokes again learns since when it is.
///
/// # Errors
/// [`Error::Invalid`] for what is not stored, an issuer's own, or has ended.
pub fn set_revoked(cx: &Cx<Pki>, txn: &mut Txn, serial: &str, reason: Reason) -> Result<Timestamp> {
    let key = certificate_key(serial);
    let stored: Stored = txn.get(&key)?.ok_or_else(|| unknown(serial))?;
    if let Some(at) = stored.revoked {
        return Ok(at);
    }
    if cx.engine().roster.all(cx.view())?.iter().any(|issuer| issuer.is(serial, &stored.certificate)) {
        return Err(Error::invalid("this is the certificate of an issuer: revoke it at issuer/:issuer_ref/revoke"));
    }
    let config: CrlConfig = cx.get(&config_key("crl"))?.unwrap_or_default();
    if stored.not_after < cx.now() && !config.allow_expired_cert_revocation {
        return Err(Error::invalid("the certificate has expired already"));
    }
    let at = cx.now();
    crl::add(txn, &stored.list, serial, &Entry { at, not_after: stored.not_after, reason: reason as u8 })?;
    store::mark_revoked(txn, serial, stored, at)?;
    Ok(at)
}

/// Takes back what was leased; nothing to do for what is gone or revoked.
///
/// # Errors
/// Those of storage.
pub fn revoke_leased(cx: &Cx<Pki>, internal: &Json) -> Result<Txn> {
    let mut txn = cx.txn();
    let serial = internal.at("serial_number").and_then(Json::as_str).unwrap_or_default().to_owned();
    let stored: Option<Stored> = txn.get(&certificate_key(&serial))?;
    // A lease ends with its certificate: an expired one has no place in a list.
    if stored.is_some_and(|stored| stored.revoked.is_none() && stored.not_after > cx.now()) {
        set_revoked(cx, &mut txn, &serial, Reason::Unspecified)?;
    }
    Ok(txn)
}

/// Puts a revoked issuer into the list of the one that signed it, if that one is here and another.
///
/// # Errors
/// Those of storage.
pub fn revoke_issuer(cx: &Cx<Pki>, txn: &mut Txn, revoked: &Issuer) -> Result<()> {
    let certificate = Certificate::from_pem(&revoked.certificate)?;
    let at = revoked.revoked.unwrap_or_else(|| cx.now());
    let serial = certificate.serial_text();
    let key = certificate_key(&serial);
    if let Some(stored) = txn.get::<Stored>(&key)?
        && stored.certificate == revoked.certificate
        && stored.revoked.is_none()
    {
        store::mark_revoked(txn, &serial, stored, at)?;
    }
    let Ok(parent) = signer_of(cx, &certificate) else { return Ok(()) };
    if parent.list == revoked.list {
        return Ok(());
    }
    crl::add(txn, &parent.list, &serial, &Entry { at, not_after: certificate.not_after(), reason: 0 })
}

pub async fn list_revoked(cx: Cx<Pki>, p: Page) -> Result<Reply> {
    let lists = cx.list(&all_revoked_key())?;
    let folders = lists.iter().map(|list| revoked_key(list.trim_end_matches('/'))).collect();
    listed(&cx, folders, &p).await
}

/// One data centre has no other to wait for.
pub async fn list_queue(_: Cx<Pki>, (): ()) -> Result<Reply> {
    Ok(Reply::list(Vec::<String>::new()))
}

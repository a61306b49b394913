//! Revocation lists at rest and at hand, and whether a certificate is on one.
//!
//! A list is asked about the certificates of its issuer only: by the issuer's whole name, and by the key that signed both. Where there are lists
//! under an issuer's name and none of them counts (another key signed it, it has ended), nothing is known of its certificates: nobody gets
//! in with them. Lists are read from storage at the first login that needs them, also after a restart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Cert;
use crate::base::{Error, Key, Result, Timestamp, Ttl, limits, time};
use crate::crypto::x509::{Certificate, Crl};
use crate::engine::Cx;

/// Which list, as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// Names the bytes of the list, which never change under it.
    pub revision: String,
    /// The issuer's name in DER, in hexadecimal.
    pub issuer: String,
    /// Where it is fetched from; empty for one that was brought.
    pub url: String,
    /// When it was fetched last, whether or not it was a new one.
    pub fetched: Option<Timestamp>,
    /// When it is to be fetched again.
    pub due: Option<Timestamp>,
    /// How often in a row that failed.
    pub failures: u32,
}

impl Header {
    /// Where the bytes lie.
    pub fn data(&self) -> Key {
        Key::new("crl-data").join(&self.revision)
    }
}

/// Where the headers lie.
pub fn folder() -> Key {
    Key::new("crl")
}

/// A list that was parsed, and by whose key it was found to be signed.
pub struct List {
    pub crl: Crl,
    // A list has one signer: who asks with another certificate of the same name is answered by a comparison of keys.
    signer: OnceLock<Vec<u8>>,
}

impl List {
    /// A list whose signature was not looked at.
    pub const fn of(crl: Crl) -> Self {
        Self { crl, signer: OnceLock::new() }
    }

    /// Until when it counts; none for ever.
    pub fn ends(&self, header: &Header) -> Option<Timestamp> {
        let undated = header.fetched.map(|at| time::after(at, Ttl::from_seconds(limits::CRL_UNDATED_SECONDS)));
        self.crl.next_update().or(undated)
    }

    fn signed_by(&self, issuer: &Certificate) -> bool {
        if let Some(signer) = self.signer.get() {
            return signer == issuer.spki();
        }
        let signed = self.crl.verify_by(issuer).is_ok();
        if signed {
            // Who was faster has found the same.
            let _ = self.signer.set(issuer.spki().to_vec());
        }
        signed
    }
}

/// The lists at hand, by their revisions.
#[derive(Default)]
pub struct Lists(Mutex<HashMap<String, Arc<List>>>);

/// The list of a header.
///
/// # Errors
/// Those of storage, and for a stored list that is broken.
pub fn load(cx: &Cx<Cert>, header: &Header) -> Result<Arc<List>> {
    // Nothing is left half done by a panic: an entry is whole or absent.
    let held = || cx.engine().lists.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = held().get(&header.revision) {
        return Ok(found.clone());
    }
    let text: Option<String> = cx.get(&header.data())?;
    let der = text.and_then(|text| STANDARD.decode(text).ok());
    let der = der.ok_or_else(|| Error::Unavailable("a revocation list changed while it was read, try again".into()))?;
    let list = Arc::new(List::of(Crl::from_der(&der)?));
    let mut lists = held();
    // Those that were replaced are never asked for again; a bound is simpler than to know which.
    if lists.len() >= limits::REVOCATION_LISTS_AT_HAND {
        lists.clear();
    }
    lists.insert(header.revision.clone(), list.clone());
    Ok(list)
}

/// Whether one of these is revoked: a path from the client's certificate to the trusted one. `others` are certificates among which the issuer
/// of a certificate is looked for whose issuer is not on the path.
///
/// # Errors
/// [`Error::Unavailable`] where there should be a list that counts and there is none; those of storage. Never a no instead.
pub fn any_revoked(cx: &Cx<Cert>, path: &[Certificate], others: &[Certificate]) -> Result<bool> {
    let headers = cx.list(&folder())?.into_iter().map(|name| cx.get::<Header>(&folder().join(&name)));
    let headers: Vec<Header> = headers.filter_map(Result::transpose).collect::<Result<_>>()?;
    for (place, certificate) in path.iter().enumerate() {
        let name = hex::encode(certificate.issuer().der());
        let of_issuer: Vec<&Header> = headers.iter().filter(|header| header.issuer == name).collect();
        if of_issuer.is_empty() {
            continue;
        }
        let issuer = path.get(place + 1).or_else(|| issuer_of(certificate, path, others));
        let mut counts = false;
        for header in of_issuer {
            let list = load(cx, header)?;
            match issuer {
                Some(issuer) if !list.signed_by(issuer) => continue,
                Some(_) => {}
                // Nobody at hand knows the issuer's key. What the operator brought is believed, what came from the network is not.
                None if header.url.is_empty() => {}
                None if list.crl.revoked(certificate.serial()).is_none() => continue,
                None => {}
            }
            if list.crl.revoked(certificate.serial()).is_some() {
                return Ok(true);
            }
            let ended = list.ends(header).is_some_and(|end| end < cx.now());
            counts |= !ended && list.crl.covers(certificate);
        }
        if !counts {
            tracing::warn!(mount = %cx.mount.path, "no revocation list of an issuer counts any more: its certificates are refused");
            return Err(Error::Unavailable(
                "whether the certificate is revoked cannot be told: its issuer's list has ended, or is another's"
                    .into(),
            ));
        }
    }
    Ok(false)
}

/// The one whose key signed it.
pub fn issuer_of<'a>(
    certificate: &Certificate,
    path: &'a [Certificate],
    others: &'a [Certificate],
) -> Option<&'a Certificate> {
    path.iter().chain(others).find(|other| certificate.verify_by(other).is_ok())
}

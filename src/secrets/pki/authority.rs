//! Issuers ready to sign: certificate and key parsed, addresses filled in, and kept at hand while nothing of them changes.
//!
//! What is at hand was made of rows with certain versions, and is used only while those very rows stand in the snapshot
//! of whoever asks: no row's version ever comes again, so that on no node an issuer signs as it was a moment ago. All of it
//! may be dropped at any moment. Keys lie in aws-lc's memory, which is wiped when the last one at work with them is done;
//! the places go with the engine, when the vault is sealed or the mount is gone.

use std::hash::{Hash as _, Hasher};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::certify;
use super::crl::algorithm_of;
use super::issuer::{Cluster, Issuer, StoredKey, Urls, What, filled, find, issuer_key, key_key, resolve};
use super::store::config_key;
use crate::barrier::Reading;
use crate::base::{Error, Result};
use crate::crypto::x509::{Certificate, Extension};
use crate::crypto::{PrivateKey, SignatureAlgorithm};
use crate::storage::Version;

/// Places for issuers at hand: a mount has one or two at work, and more share places.
const PLACES: usize = 16;

/// An issuer with its key, ready to sign.
pub struct Authority {
    /// The issuer.
    pub issuer: Issuer,
    /// Its certificate, parsed.
    pub certificate: Certificate,
    /// Its key, parsed.
    pub key: PrivateKey,
    /// Its key's identifier, as those that it signs have it.
    pub key_id: Vec<u8>,
    /// What certificates say of it: who signed, and where the world finds things.
    pub extensions: Vec<Extension>,
    /// What its complete lists say of its delta lists.
    pub freshest: Option<Extension>,
}

impl Authority {
    /// Puts together what was read; the addresses with their templates filled in.
    ///
    /// # Errors
    /// Those of the encoding, and of a certificate that is none.
    pub fn new(issuer: Issuer, key: PrivateKey, urls: &Urls) -> Result<Self> {
        let certificate = Certificate::from_pem(&issuer.certificate)?;
        let key_id = match certificate.subject_key_id()? {
            Some(id) => id,
            None => certificate.public_key()?.key_id().to_vec(),
        };
        let extensions = certify::issuer_extensions(&key_id, urls)?;
        let freshest = certify::freshest(urls)?;
        Ok(Self { issuer, certificate, key, key_id, extensions, freshest })
    }

    /// How its lists and its answers to OCSP are signed.
    ///
    /// # Errors
    /// As for [`SignatureAlgorithm::for_key`].
    pub fn list_algorithm(&self) -> Result<SignatureAlgorithm> {
        let kind = self.key.kind();
        match algorithm_of(kind, &self.issuer.revocation_signature_algorithm) {
            Some(algorithm) => Ok(algorithm),
            None => Ok(SignatureAlgorithm::for_key(kind, None, false)?),
        }
    }

    fn read(reading: &Reading<'_>, issuer: Issuer) -> Result<Self> {
        let key = reading.get::<StoredKey>(&key_key(&issuer.key_id))?.filter(|_| !issuer.key_id.is_empty());
        let key = key.ok_or_else(|| Error::invalid("the issuer has no private key"))?.parse()?;
        let urls = match issuer.urls.is_empty() {
            true => reading.get::<Urls>(&config_key("urls"))?.unwrap_or_default(),
            false => issuer.urls.clone(),
        };
        let urls = if urls.enable_templating {
            filled(&urls, &reading.get::<Cluster>(&config_key("cluster"))?.unwrap_or_default(), &issuer.id)?
        } else {
            urls
        };
        Self::new(issuer, key, &urls)
    }
}

/// The versions of all rows that an authority is made of: the issuer, its key, the mount's addresses, what their
/// templates stand for.
type Rows = [Option<Version>; 4];

struct AtHand {
    rows: Rows,
    authority: Arc<Authority>,
}

/// The places.
pub struct Authorities(Box<[ArcSwapOption<AtHand>]>);

impl Authorities {
    /// With nothing in it.
    pub fn new() -> Self {
        Self((0..PLACES).map(|_| ArcSwapOption::empty()).collect())
    }

    /// The issuer behind a reference with its key, for signing certificates.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none, or it may not sign certificates.
    pub fn issuing(&self, reading: &Reading<'_>, reference: &str) -> Result<Arc<Authority>> {
        let id = resolve(reading, What::Issuer, reference)?;
        let may = |issuer: &Issuer| issuer.usage.issuing && issuer.revoked.is_none();
        let refused = || Error::invalid("the issuer is not allowed to issue certificates");
        if let Some(authority) = self.at_hand(reading, &id)? {
            return if may(&authority.issuer) { Ok(authority) } else { Err(refused()) };
        }
        let issuer = find(reading, reference)?;
        // Before the key is looked at: what an issuer may not do does not depend on it.
        if may(&issuer) { self.made(reading, issuer) } else { Err(refused()) }
    }

    /// The issuer of this id with its key, whatever it is to sign.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none, or its key is not known.
    pub fn signer(&self, reading: &Reading<'_>, id: &str) -> Result<Arc<Authority>> {
        match self.at_hand(reading, id)? {
            Some(authority) => Ok(authority),
            None => self.made(reading, reading.get(&issuer_key(id))?.ok_or_else(|| What::Issuer.unknown())?),
        }
    }

    fn at_hand(&self, reading: &Reading<'_>, id: &str) -> Result<Option<Arc<Authority>>> {
        let place = self.place(id).load();
        let Some(found) = place.as_ref().filter(|found| found.authority.issuer.id == id) else { return Ok(None) };
        if rows(reading, &found.authority.issuer)? == found.rows {
            return Ok(Some(found.authority.clone()));
        }
        // Perhaps its key is gone from the store: then it is gone from here.
        self.place(id).store(None);
        Ok(None)
    }

    /// Lets go of all keys: one of them was deleted.
    pub fn forget(&self) {
        self.0.iter().for_each(|place| place.store(None));
    }

    fn made(&self, reading: &Reading<'_>, issuer: Issuer) -> Result<Arc<Authority>> {
        let rows = rows(reading, &issuer)?;
        let authority = Arc::new(Authority::read(reading, issuer)?);
        let kept = AtHand { rows, authority: authority.clone() };
        self.place(&authority.issuer.id).store(Some(Arc::new(kept)));
        Ok(authority)
    }

    fn place(&self, id: &str) -> &ArcSwapOption<AtHand> {
        let mut hasher = std::hash::DefaultHasher::new();
        id.hash(&mut hasher);
        &self.0[usize::try_from(hasher.finish() % self.0.len() as u64).unwrap_or_default()]
    }
}

fn rows(reading: &Reading<'_>, issuer: &Issuer) -> Result<Rows> {
    let keys = [issuer_key(&issuer.id), key_key(&issuer.key_id), config_key("urls"), config_key("cluster")];
    let mut versions = Rows::default();
    for (version, key) in versions.iter_mut().zip(&keys) {
        *version = reading.version(key)?;
    }
    Ok(versions)
}

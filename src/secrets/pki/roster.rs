//! Who the issuers of a mount are, at a glance: whose name and key a question about a certificate means, and which stored
//! certificates are issuers' own.
//!
//! It is made when somebody asks and the set of issuers has changed since; every change to the set writes `config/issuers`,
//! so that the version of this one row says whether it still stands.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::issuer::{self, Issuer};
use super::store::config_key;
use crate::barrier::View;
use crate::base::Result;
use crate::crypto::sha256;
use crate::crypto::x509::{Certificate, IssuerDigests};
use crate::storage::Version;

/// What is known of one.
pub struct Known {
    /// Its id.
    pub id: String,
    /// The name of its list.
    pub list: String,
    /// Its name and key, as OCSP tells of them.
    pub digests: IssuerDigests,
    serial: String,
    certificate: [u8; 32],
}

impl Known {
    fn of(issuer: &Issuer) -> Result<Self> {
        let certificate = Certificate::from_pem(&issuer.certificate)?;
        Ok(Self {
            id: issuer.id.clone(),
            list: issuer.list.clone(),
            digests: IssuerDigests::of(&certificate)?,
            serial: certificate.serial_text(),
            certificate: sha256(issuer.certificate.as_bytes()),
        })
    }

    /// Whether this is its certificate, in the PEM in which it is stored.
    pub fn is(&self, serial: &str, certificate: &str) -> bool {
        self.serial == serial && self.certificate == sha256(certificate.as_bytes())
    }
}

/// The issuers, as one state of the store had them.
#[derive(Default)]
pub struct Roster(ArcSwapOption<(Option<Version>, Arc<[Known]>)>);

impl Roster {
    /// All issuers.
    ///
    /// # Errors
    /// Those of storage.
    pub fn all(&self, view: &View) -> Result<Arc<[Known]>> {
        let version = view.read(|reading| reading.version(&config_key("issuers")))?;
        if let Some(found) = self.0.load().as_ref().filter(|found| found.0 == version) {
            return Ok(found.1.clone());
        }
        let (version, issuers) =
            view.read(|reading| Ok((reading.version(&config_key("issuers"))?, issuer::all_in(reading)?)))?;
        let known: Arc<[Known]> = issuers.iter().map(Known::of).collect::<Result<Vec<_>>>()?.into();
        self.0.store(Some(Arc::new((version, known.clone()))));
        Ok(known)
    }
}

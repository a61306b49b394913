//! Where things lie below a PKI mount.
//!
//!     role/<name>                     a role
//!     issuer/<id>, issuer-name/<name> an issuer, and the id behind its name
//!     key/<id>, key-name/<name>       a private key, and the id behind its name
//!     config/<what>                   settings
//!     cert/<serial>                   a certificate
//!     expiry/<when>/<serial>          the same, in the order of their ends
//!     expired/<kind>/<when>/<serial>  those that ended long ago and are kept all the same; see `tidy`
//!     revoked/<list>/<serial>         what a list says; issuers with one name and key share a list
//!     crl/<list>/…                    its entries in the order of their coming, and the list as signed; see `crl`
//!     tidy/run                        the last tidying, or the one at work
//!     acme/…                          see `acme`

use serde::{Deserialize, Serialize};

use super::issuer::Issuer;
use super::tidy;
use crate::barrier::Txn;
use crate::base::{Error, Key, Result, Timestamp};
use crate::crypto::x509::{self, Certificate};

/// A role's place.
pub fn role_key(name: &str) -> Key {
    roles_key().join(name)
}

/// All roles.
pub fn roles_key() -> Key {
    Key::new("role")
}

/// A certificate's place; the serial in the API's form.
pub fn certificate_key(serial: &str) -> Key {
    certificates_key().join(serial)
}

/// All certificates.
pub fn certificates_key() -> Key {
    Key::new("cert")
}

/// All certificates in the order of their ends.
pub fn expiry_key() -> Key {
    Key::new("expiry")
}

/// What a list says.
pub fn revoked_key(list: &str) -> Key {
    all_revoked_key().join(list)
}

/// What all lists say.
pub fn all_revoked_key() -> Key {
    Key::new("revoked")
}

/// All lists.
pub fn lists_key() -> Key {
    Key::new("crl")
}

/// A setting's place.
pub fn config_key(what: &str) -> Key {
    Key::new("config").join(what)
}

/// A stored certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// The certificate, in PEM.
    pub certificate: String,
    /// The id of its issuer.
    pub issuer_id: String,
    /// The role in whose name it was made; empty for CAs and for what was asked for without one.
    #[serde(default)]
    pub role: String,
    /// The list that it would be in; see [`super::issuer::Issuer::list`].
    pub list: String,
    /// Its end.
    pub not_after: Timestamp,
    /// Since when it is revoked.
    #[serde(default)]
    pub revoked: Option<Timestamp>,
}

/// What the index of ends says of a certificate.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ends {
    /// As [`Stored::role`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// The id of its issuer.
    pub issuer_id: String,
    /// Whether it is revoked, and its end moves nobody.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
}

impl Stored {
    /// Where it stands in the index of ends, and what that says.
    pub fn ends(&self, serial: &str) -> (Key, Ends) {
        let revoked = self.revoked.is_some();
        let ends = Ends { role: self.role.clone(), issuer_id: self.issuer_id.clone(), revoked };
        (expiry_key().at(self.not_after).join(serial), ends)
    }
}

/// Marks a certificate as revoked since then, in its own row and in the index of ends.
///
/// # Errors
/// [`Error::Internal`] if it was not read in this transaction.
pub fn mark_revoked(txn: &mut Txn, serial: &str, mut stored: Stored, at: Timestamp) -> Result<()> {
    stored.revoked = Some(at);
    txn.put(&certificate_key(serial), &stored)?;
    if stored.not_after <= at {
        return tidy::mark_revoked(txn, serial, &stored);
    }
    let (place, ends) = stored.ends(serial);
    txn.overwrite(&place, &ends)
}

/// Adds a certificate that was just made, in the name of a role if there is one.
///
/// # Errors
/// [`Error::Internal`] if it cannot be written down.
pub fn add(txn: &mut Txn, certificate: &Certificate, issuer: &Issuer, role: &str) -> Result<()> {
    let serial = certificate.serial_text();
    let stored = Stored {
        certificate: certificate.pem()?,
        issuer_id: issuer.id.clone(),
        role: role.to_owned(),
        list: issuer.list.clone(),
        not_after: certificate.not_after(),
        revoked: None,
    };
    txn.create(&certificate_key(&serial), &stored)?;
    let (place, ends) = stored.ends(&serial);
    txn.create(&place, &ends)
}

/// A serial number from outside, in the API's form.
///
/// # Errors
/// [`Error::Invalid`] for what is none.
pub fn canonical_serial(text: &str) -> Result<String> {
    let bytes = x509::parse_serial(&text.trim().to_ascii_lowercase())
        .map_err(|_| Error::invalid("serial number: want hexadecimal pairs with colons or dashes"))?;
    Ok(x509::serial_text(&bytes))
}

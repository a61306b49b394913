//! Signing: from what was admitted to a certificate.

use super::admission::{Admitted, LeafKey};
use super::authority::Authority;
use super::issuer::Urls;
use crate::base::{Error, Result, Rng, Secret};
use crate::crypto::x509::{self, Certificate, CertificateSpec, Extension, extension};
use crate::crypto::{Hash, KeyKind, PrivateKey, SignatureAlgorithm};

/// How a signature is wished for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// The digest; 0 for what suits the key.
    pub bits: u32,
    /// RSA-PSS.
    pub pss: bool,
}

impl Manner {
    /// The algorithm for a key of this kind. A curve has its own digest, whatever is wished for.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a digest that is none.
    pub fn algorithm(self, kind: KeyKind) -> Result<SignatureAlgorithm> {
        let hash = Hash::of_bits(self.bits)?;
        let hash = if matches!(kind, KeyKind::Rsa(_)) { hash } else { None };
        Ok(SignatureAlgorithm::for_key(kind, hash, self.pss)?)
    }
}

/// A certificate, and its key if it was made here.
pub struct Certified {
    /// The certificate.
    pub certificate: Certificate,
    /// The key.
    pub key: Option<PrivateKey>,
}

/// Signs what was admitted.
///
/// # Errors
/// Those of the encoding, as for a name that is too long.
pub fn leaf(admitted: &Admitted, authority: &Authority, manner: Manner, rng: &dyn Rng) -> Result<Certified> {
    let made = match admitted.key() {
        LeafKey::Make(kind) => Some(PrivateKey::generate(*kind)?),
        LeafKey::Given(_) => None,
    };
    let public = match (admitted.key(), &made) {
        (LeafKey::Given(key), _) => key,
        (_, Some(key)) => key.public(),
        (LeafKey::Make(_), None) => return Err(Error::internal("a key was not made")),
    };
    let mut extensions = admitted.extensions(public.kind())?;
    extensions.push(extension::subject_key_id(&public.key_id())?);
    extensions.extend(authority.extensions.iter().cloned());
    if !admitted.names().is_empty() {
        extensions.push(extension::alt_names(admitted.names(), admitted.subject().is_empty())?);
    }
    let lifetime = admitted.lifetime();
    let spec = CertificateSpec {
        serial: x509::random_serial(rng).to_vec(),
        issuer: authority.certificate.subject().clone(),
        subject: admitted.subject().clone(),
        public_key: public.clone(),
        not_before: lifetime.not_before,
        not_after: lifetime.not_after,
        extensions,
    };
    let certificate = spec.sign(&authority.key, manner.algorithm(authority.key.kind())?)?;
    Ok(Certified { certificate, key: made })
}

/// What a certificate says of its issuer.
///
/// # Errors
/// Those of the encoding.
pub fn issuer_extensions(key_id: &[u8], urls: &Urls) -> Result<Vec<Extension>> {
    let mut found = vec![extension::authority_key_id(key_id)?];
    found.extend(address_extensions(urls)?);
    Ok(found)
}

/// Where the world finds things.
///
/// # Errors
/// [`Error::Invalid`] for an address that is not ASCII.
pub fn address_extensions(urls: &Urls) -> Result<Vec<Extension>> {
    let mut found = Vec::new();
    if !urls.ocsp_servers.is_empty() || !urls.issuing_certificates.is_empty() {
        found.push(extension::authority_info_access(&urls.ocsp_servers, &urls.issuing_certificates)?);
    }
    if !urls.crl_distribution_points.is_empty() {
        found.push(extension::crl_distribution_points(&urls.crl_distribution_points)?);
    }
    found.extend(freshest(urls)?);
    Ok(found)
}

/// Where the delta lists are: certificates say it, and so do complete lists.
///
/// # Errors
/// [`Error::Invalid`] for an address that is not ASCII.
pub fn freshest(urls: &Urls) -> Result<Option<Extension>> {
    let deltas = &urls.delta_crl_distribution_points;
    Ok((!deltas.is_empty()).then(|| extension::freshest_crl(deltas)).transpose()?)
}

/// The PEM of a key as the API gives it out.
///
/// # Errors
/// As for [`PrivateKey::pkcs8_pem`].
pub fn key_pem(key: &PrivateKey, pkcs8: bool) -> Result<Secret<String>> {
    Ok(if pkcs8 { key.pkcs8_pem()? } else { key.traditional_pem()? })
}

//! Whether a client's certificate leads to a trusted CA: names, dates, usages, path lengths and signatures, by webpki.

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::Certificate;
use crate::crypto::error::{Error, Result};
use crate::crypto::tls;

/// The most certificates that a client may bring beside its own.
pub const INTERMEDIATES_MAX: usize = 8;

/// The certificates from the client's own to the one that is trusted, both among them.
///
/// # Errors
/// `Invalid` when there is no such path at this moment.
pub fn client_path(chain: &[Vec<u8>], anchors: &[Certificate], now: Timestamp) -> Result<Vec<Certificate>> {
    let none = || Error::invalid("the certificate leads to no trusted one");
    let (own, others) = chain.split_first().ok_or_else(none)?;
    if others.len() > INTERMEDIATES_MAX {
        return Err(Error::invalid("the certificate comes with too many others"));
    }
    let own_der = CertificateDer::from(own.as_slice());
    let leaf = EndEntityCert::try_from(&own_der).map_err(|_| none())?;
    let others: Vec<CertificateDer<'_>> = others.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    // A certificate that is no CA's is compared as a whole, and never signs.
    let cas: Vec<&Certificate> = anchors.iter().filter(|anchor| anchor.is_ca() && anchor.is_valid_at(now)).collect();
    let ders: Vec<CertificateDer<'_>> = cas.iter().map(|ca| CertificateDer::from(ca.der())).collect();
    let trusted: Vec<_> = ders.iter().filter_map(|der| anchor_from_trusted_cert(der).ok()).collect();
    let seconds = u64::try_from(now.as_second()).map_err(|_| none())?;
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let algorithms = tls::provider().signature_verification_algorithms.all;
    let path = leaf
        .verify_for_usage(algorithms, &trusted, &others, time, KeyUsage::client_auth(), None, None)
        .map_err(|_| none())?;
    let mut found = vec![Certificate::from_der(own)?];
    for certificate in path.intermediate_certificates() {
        found.push(Certificate::from_der(&certificate.der())?);
    }
    // Which of the trusted ones it was: the one that signed the last of the path. webpki has checked that it is there.
    let last = found.last().ok_or_else(none)?;
    let anchor = cas.into_iter().find(|ca| last.verify_by(ca).is_ok()).ok_or_else(none)?;
    found.push(anchor.clone());
    Ok(found)
}

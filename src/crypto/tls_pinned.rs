//! A server that shows a certificate which is trusted by itself.
//!
//! A path of certificates ends at an authority, and an authority's certificate is no server's: so it is read strictly. But
//! who hands over a server's own certificate as the one to trust means that very certificate, also where it was made by a
//! tool that marks every self-signed one as an authority.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::error::{Error, Result};
use super::x509::Certificate;

/// Believes what the trusted certificates sign, and each of them as it is.
#[derive(Debug)]
pub(super) struct PinnedOrSigned {
    trusted: Vec<CertificateDer<'static>>,
    signed: Arc<WebPkiServerVerifier>,
}

impl PinnedOrSigned {
    /// Of these certificates.
    ///
    /// # Errors
    /// `Invalid` without any, or when one is unfit.
    pub(super) fn new(trusted: Vec<CertificateDer<'static>>, roots: RootCertStore) -> Result<Self> {
        let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), super::tls::provider())
            .build()
            .map_err(|_| Error::invalid("there is no trusted certificate"))?;
        Ok(Self { trusted, signed })
    }

    fn is_pinned(
        &self,
        shown: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<bool, rustls::Error> {
        if !self.trusted.iter().any(|trusted| trusted == shown) {
            return Ok(false);
        }
        let read = Certificate::from_der(shown).map_err(|_| rustls::Error::from(CertificateError::BadEncoding))?;
        let now = i64::try_from(now.as_secs()).ok().and_then(|now| Timestamp::from_second(now).ok());
        if !now.is_some_and(|now| read.is_valid_at(now)) {
            return Err(CertificateError::Expired.into());
        }
        let parsed = rustls::server::ParsedCertificate::try_from(shown)?;
        rustls::client::verify_server_name(&parsed, name)?;
        Ok(true)
    }
}

impl ServerCertVerifier for PinnedOrSigned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.is_pinned(shown, name, now)? {
            return Ok(ServerCertVerified::assertion());
        }
        self.signed.verify_server_cert(shown, between, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// A certificate that signs itself and is marked as an authority, with the moments of its validity as they are.
    fn made(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn verdict(trusted: &CertificateDer<'static>, shown: &CertificateDer<'_>, name: &str) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let verifier = PinnedOrSigned::new(vec![trusted.clone()], roots).unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(shown, &[], &name, &[], now).is_ok()
    }

    #[test]
    fn another_certificate_name_or_time_is_refused() {
        let own = made("vault.test", |_| {});
        assert!(!verdict(&own, &made("vault.test", |_| {}), "vault.test"), "another key under the same name");
        assert!(!verdict(&own, &own, "other.test"));
        let past = made("vault.test", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
        assert!(!verdict(&past, &past, "vault.test"));
        assert!(PinnedOrSigned::new(Vec::new(), RootCertStore::empty()).is_err());
    }

    #[test]
    fn a_server_s_own_certificate_is_believed_although_it_is_marked_as_an_authority() {
        let own = made("vault.test", |_| {});
        assert!(verdict(&own, &own, "vault.test"));
    }
}

//! A TLS client that wants to see a certificate, whatever it is: for who asks a host to show one as an answer.
//!
//! Nobody's signature on the certificate is asked for, nor is what it says of itself: it may have critical extensions
//! that a chain's check would refuse to read (RFC 8737 wants one). That its key made the handshake is checked.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::error::Result;
use super::keys::{Curve, Hash, KeyKind, SignatureAlgorithm};
use super::tls::{Versions, client_builder};
use super::x509::Certificate;

/// The start of such a client's configuration.
///
/// # Errors
/// `Primitive` if the provider fails.
pub fn viewer() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let builder = client_builder(Versions::Both)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(Viewer)))
}

#[derive(Debug)]
struct Viewer;

impl ServerCertVerifier for Viewer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify(message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify(message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.iter().map(|(scheme, ..)| *scheme).collect()
    }
}

/// What is understood: the scheme, our name for it, and the curve that TLS 1.3 ties it to.
const SCHEMES: [(SignatureScheme, SignatureAlgorithm, Option<Curve>); 10] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureAlgorithm::Ecdsa(Hash::Sha256), Some(Curve::P256)),
    (SignatureScheme::ECDSA_NISTP384_SHA384, SignatureAlgorithm::Ecdsa(Hash::Sha384), Some(Curve::P384)),
    (SignatureScheme::ECDSA_NISTP521_SHA512, SignatureAlgorithm::Ecdsa(Hash::Sha512), Some(Curve::P521)),
    (SignatureScheme::ED25519, SignatureAlgorithm::Ed25519, None),
    (SignatureScheme::RSA_PSS_SHA256, SignatureAlgorithm::RsaPss(Hash::Sha256), None),
    (SignatureScheme::RSA_PSS_SHA384, SignatureAlgorithm::RsaPss(Hash::Sha384), None),
    (SignatureScheme::RSA_PSS_SHA512, SignatureAlgorithm::RsaPss(Hash::Sha512), None),
    (SignatureScheme::RSA_PKCS1_SHA256, SignatureAlgorithm::RsaPkcs1(Hash::Sha256), None),
    (SignatureScheme::RSA_PKCS1_SHA384, SignatureAlgorithm::RsaPkcs1(Hash::Sha384), None),
    (SignatureScheme::RSA_PKCS1_SHA512, SignatureAlgorithm::RsaPkcs1(Hash::Sha512), None),
];

fn verify(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    thirteen: bool,
) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
    let refused = || rustls::Error::General("the handshake is not signed by the certificate's key".into());
    let known = SCHEMES.iter().find(|(scheme, ..)| *scheme == signed.scheme);
    let (_, algorithm, curve) = known.ok_or_else(refused)?;
    let certificate = Certificate::from_der(certificate).map_err(|_| refused())?;
    let key = certificate.public_key().map_err(|_| refused())?;
    // TLS 1.3 has no PKCS#1 in a handshake, and one curve for each digest.
    let fits = match (thirteen, algorithm, key.kind()) {
        (true, SignatureAlgorithm::RsaPkcs1(_), _) => false,
        (true, _, KeyKind::Ec(of)) => *curve == Some(of),
        _ => true,
    };
    if !fits || key.verify(*algorithm, message, signed.signature()).is_err() {
        return Err(refused());
    }
    Ok(HandshakeSignatureValid::assertion())
}

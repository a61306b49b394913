//! TLS: which algorithms, whose certificates, and how they are exchanged while running.
//!
//! Ciphers and key exchange are ring's, with X25519MLKEM768 offered first: what is recorded of a
//! vault's traffic today should not open when somebody has a quantum computer. Signatures are
//! aws-lc's, which knows P-521. No provider is installed for the process: every configuration is
//! made through [`server_builder`] or [`client_builder`].

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion, WantsVerifier,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::error::{Error, Result};
use super::keys::{Curve, Hash, KeyKind, PrivateKey, SignatureAlgorithm};
use super::pem::TEXT_MAX;
use super::tls_pinned::PinnedOrSigned;
use super::x509::{AltName, Certificate, CertificateSpec, KeyUsage, Subject, extension, random_serial};
use crate::base::{Rng, Secret};

/// The versions that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 only.
    Only12,
    /// 1.3 only.
    Only13,
}

impl Versions {
    /// From the configuration's `tls_min_version` and `tls_max_version`.
    ///
    /// # Errors
    /// `Invalid` for another word, or a least version above the greatest; `Unsupported` for 1.0
    /// and 1.1.
    pub fn between(min: &str, max: &str) -> Result<Self> {
        let known = |field: &str, word: &str, unset: u8| match word {
            "" => Ok(unset),
            "tls12" => Ok(2),
            "tls13" => Ok(3),
            "tls10" | "tls11" => Err(Error::unsupported(format!("{field}: TLS before 1.2"))),
            _ => Err(Error::invalid(format!("{field}: want tls12 or tls13"))),
        };
        match (known("tls_min_version", min, 2)?, known("tls_max_version", max, 3)?) {
            (2, 2) => Ok(Self::Only12),
            (2, _) => Ok(Self::Both),
            (_, 3) => Ok(Self::Only13),
            _ => Err(Error::invalid("tls_min_version: is above tls_max_version")),
        }
    }

    fn list(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Both => vec![&TLS13, &TLS12],
            Self::Only12 => vec![&TLS12],
            Self::Only13 => vec![&TLS13],
        }
    }
}

/// The algorithms: see the head of this file.
pub fn provider() -> Arc<CryptoProvider> {
    let signatures = rustls::crypto::aws_lc_rs::default_provider();
    let mut provider = rustls::crypto::ring::default_provider();
    provider.kx_groups.insert(0, rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768);
    provider.signature_verification_algorithms = signatures.signature_verification_algorithms;
    provider.key_provider = signatures.key_provider;
    Arc::new(provider)
}

/// The start of a server's configuration.
///
/// # Errors
/// `Primitive` if the provider has no cipher for a version.
pub fn server_builder(versions: Versions) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions.list())
        .map_err(|_| Error::Primitive("TLS configuration"))
}

/// The start of a client's configuration.
///
/// # Errors
/// `Primitive` if the provider has no cipher for a version.
pub fn client_builder(versions: Versions) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions.list())
        .map_err(|_| Error::Primitive("TLS configuration"))
}

/// Which client certificates a listener asks for.
#[derive(Debug, Clone)]
pub enum ClientCerts {
    /// None.
    None,
    /// Any, if the client has one. The auth method decides what it is worth.
    Any,
    /// One that is signed by these, or no connection.
    Required(Vec<Certificate>),
}

/// A server's configuration; ALPN is for the caller to set.
///
/// # Errors
/// `Invalid` when a CA for clients cannot be one, `Primitive` if the provider fails.
pub fn server_config(
    versions: Versions,
    clients: &ClientCerts,
    certificate: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig> {
    let builder = server_builder(versions)?;
    let builder = match clients {
        ClientCerts::None => builder.with_no_client_auth(),
        ClientCerts::Any => builder.with_client_cert_verifier(Arc::new(AnyClientCert::new())),
        ClientCerts::Required(authorities) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authorities)?), provider())
                .build()
                .map_err(|_| Error::invalid("tls_client_ca_file: no certificate in it"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    Ok(builder.with_cert_resolver(certificate))
}

/// A client's configuration up to its own certificate, trusting what these certificates sign, and each of them as it is.
///
/// # Errors
/// `Invalid` when one of them is unfit.
pub fn client_of(authorities: &[Certificate]) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let trusted = authorities.iter().map(|one| CertificateDer::from(one.der().to_vec())).collect();
    client_trusting(trusted, roots(authorities)?)
}

/// As [`client_of`], for certificates that are in a store already.
///
/// # Errors
/// `Invalid` without any.
pub fn client_trusting(
    trusted: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let verifier = PinnedOrSigned::new(trusted, roots)?;
    Ok(client_builder(Versions::Both)?.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

/// A client's configuration that believes any server. Only for somebody who asked for it in so many
/// words (`VAULT_SKIP_VERIFY`): whoever is between then reads everything.
///
/// # Errors
/// `Primitive` if the provider fails.
pub fn client_that_trusts_anybody() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let verifier = AnyServerCert(provider().signature_verification_algorithms);
    Ok(client_builder(Versions::Both)?.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

/// A store of trusted certificates.
///
/// # Errors
/// `Invalid` when one of them is unfit.
pub fn roots(authorities: &[Certificate]) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for authority in authorities {
        store
            .add(CertificateDer::from(authority.der().to_vec()))
            .map_err(|_| Error::invalid("a trusted certificate is unfit for it"))?;
    }
    Ok(store)
}

/// Reads a certificate chain and its key from two PEM texts.
///
/// # Errors
/// `Invalid` when one is malformed or empty, or the key is not the first certificate's.
pub fn certified_key(chain: &[u8], key: &Secret<Vec<u8>>) -> Result<CertifiedKey> {
    let text = std::str::from_utf8(chain).map_err(|_| Error::invalid("certificate: not a text"))?;
    let chain = Certificate::all_from_pem(text)?;
    certified(&chain, &PrivateKey::from_pem(key.reveal())?)
}

/// As [`certified_key`], from two files (or one that holds both, named twice).
///
/// # Errors
/// As for it; `Invalid` with the file's name when one cannot be read.
pub fn load_certified_key(chain: &Path, key: &Path) -> Result<CertifiedKey> {
    let (chain_pem, key_pem) = (read(chain)?, read(key)?);
    certified_key(chain_pem.reveal(), &key_pem)
        .map_err(|cause| Error::invalid(format!("{} with {}: {cause}", chain.display(), key.display())))
}

/// Puts a chain and its key together.
///
/// # Errors
/// `Invalid` when the chain is empty or the key is not the first certificate's.
pub fn certified(chain: &[Certificate], key: &PrivateKey) -> Result<CertifiedKey> {
    let first = chain.first().ok_or_else(|| Error::invalid("certificate: none in the PEM text"))?;
    if first.spki() != key.public().spki() {
        return Err(Error::invalid("the private key is not that of the first certificate"));
    }
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.pkcs8()?.reveal().clone()));
    let signer = provider().key_provider.load_private_key(der).map_err(|_| Error::unsupported("the key for TLS"))?;
    let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
    Ok(CertifiedKey::new(chain, signer))
}

/// Makes a certificate that signs itself, for a listener that has none yet: P-256, for servers.
///
/// # Errors
/// `Invalid` for a name that cannot be in a certificate.
pub fn self_signed(
    names: &[AltName],
    not_before: Timestamp,
    not_after: Timestamp,
    rng: &dyn Rng,
) -> Result<(Certificate, PrivateKey)> {
    let key = PrivateKey::generate(KeyKind::Ec(Curve::P256))?;
    let name = Subject::common("warifu self-signed").encode()?;
    let spec = CertificateSpec {
        serial: random_serial(rng).to_vec(),
        issuer: name.clone(),
        subject: name,
        public_key: key.public().clone(),
        not_before,
        not_after,
        extensions: vec![
            extension::basic_constraints(false, None)?,
            extension::key_usage(KeyUsage::DIGITAL_SIGNATURE)?,
            extension::ext_key_usage(&[extension::SERVER_AUTH])?,
            extension::subject_key_id(&key.public().key_id())?,
            extension::alt_names(names, false)?,
        ],
    };
    Ok((spec.sign(&key, SignatureAlgorithm::Ecdsa(Hash::Sha256))?, key))
}

/// A listener's certificate, which can be exchanged while connections come in.
pub struct ListenerCert(ArcSwap<CertifiedKey>);

impl ListenerCert {
    /// Starts with this one.
    pub fn new(certificate: CertifiedKey) -> Self {
        Self(ArcSwap::from_pointee(certificate))
    }

    /// From now on this one; handshakes under way keep theirs.
    pub fn replace(&self, certificate: CertifiedKey) {
        self.0.store(Arc::new(certificate));
    }
}

impl ResolvesServerCert for ListenerCert {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for ListenerCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListenerCert(..)")
    }
}

/// Asks for a client's certificate, takes any, and makes sure that the client has its key.
///
/// A certificate that came this way authenticates nobody: it was not checked against any CA.
#[derive(Debug)]
pub struct AnyClientCert(WebPkiSupportedAlgorithms);

impl AnyClientCert {
    /// With the algorithms of [`provider`].
    pub fn new() -> Self {
        Self(provider().signature_verification_algorithms)
    }
}

impl Default for AnyClientCert {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientCertVerifier for AnyClientCert {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Several algorithms may go with one scheme: that of TLS 1.2 does not say which curve.
        let key = key_of(certificate)?;
        let key = webpki::RawPublicKeyEntity::try_from(&key).map_err(|_| unreadable())?;
        let fitting = self.0.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let algorithms = fitting.map_or(&[][..], |(_, algorithms)| *algorithms);
        if algorithms.iter().any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok()) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature_with_raw_key(message, &key_of(certificate)?, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// The key of a client's certificate. It is taken out of whatever certificate can be read at all: webpki, which rustls would ask, reads none
/// of version 1, and clients with such certificates are about.
fn key_of(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, rustls::Error> {
    let (rest, certificate) = X509Certificate::from_der(certificate).map_err(|_| unreadable())?;
    if !rest.is_empty() {
        return Err(unreadable());
    }
    Ok(SubjectPublicKeyInfoDer::from(certificate.public_key().raw.to_vec()))
}

fn unreadable() -> rustls::Error {
    rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding)
}

/// Takes any server's certificate: see [`client_that_trusts_anybody`].
#[derive(Debug)]
struct AnyServerCert(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyServerCert {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Reads a file that should be a PEM text, but not more of it than one may be long.
fn read(path: &Path) -> Result<Secret<Vec<u8>>> {
    let failed = |cause: std::io::Error| Error::invalid(format!("{}: {}", path.display(), cause.kind()));
    let mut text = Secret::new(Vec::new());
    let file = std::fs::File::open(path).map_err(failed)?;
    // One more than may be, so that the reader of the PEM notices.
    file.take(TEXT_MAX as u64 + 1).read_to_end(text.reveal_mut()).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rustls::{ClientConnection, NamedGroup, ServerConnection};
    use rustls_pki_types::pem::PemObject;

    use super::*;
    use crate::crypto::random::testing::Seeded;

    fn made(name: &str) -> (Certificate, PrivateKey) {
        let (from, to) = ("2020-01-01T00:00:00Z".parse().unwrap(), "2060-01-01T00:00:00Z".parse().unwrap());
        self_signed(&[AltName::Dns(name.into())], from, to, &Seeded::new(5)).unwrap()
    }

    /// Carries the bytes between the two until neither has more to say.
    fn shake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), rustls::Error> {
        for _ in 0..10 {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            let mut bytes = Cursor::new(bytes);
            while server.read_tls(&mut bytes).unwrap() > 0 {
                server.process_new_packets()?;
            }
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            let mut bytes = Cursor::new(bytes);
            while client.read_tls(&mut bytes).unwrap() > 0 {
                client.process_new_packets()?;
            }
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok(())
    }

    fn connect(
        client: ClientConfig,
        server: &Arc<ServerConfig>,
    ) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
        let mut client = ClientConnection::new(Arc::new(client), "vault.test".try_into().unwrap())?;
        let mut server = ServerConnection::new(server.clone())?;
        shake(&mut client, &mut server)?;
        Ok((client, server))
    }

    fn listener(clients: &ClientCerts, versions: Versions) -> (Certificate, Arc<ListenerCert>, Arc<ServerConfig>) {
        let (certificate, key) = made("vault.test");
        let listener = Arc::new(ListenerCert::new(certified(std::slice::from_ref(&certificate), &key).unwrap()));
        let config = server_config(versions, clients, listener.clone()).unwrap();
        (certificate, listener, Arc::new(config))
    }

    #[test]
    fn the_key_exchange_withstands_quantum_computers() {
        let (certificate, _, server) = listener(&ClientCerts::None, Versions::Both);
        let client = client_of(&[certificate]).unwrap().with_no_client_auth();
        let (client, server) = connect(client, &server).unwrap();
        let group = client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        assert_eq!(server.negotiated_key_exchange_group().unwrap().name(), group);
    }

    #[test]
    fn a_server_with_another_certificate_is_refused() {
        let (_, _, server) = listener(&ClientCerts::None, Versions::Both);
        let client = client_of(&[made("vault.test").0]).unwrap().with_no_client_auth();
        assert!(connect(client, &server).is_err());
        let client = client_that_trusts_anybody().unwrap().with_no_client_auth();
        connect(client, &server).unwrap();
    }

    #[test]
    fn any_client_certificate_is_taken_but_its_key_is_asked_for() {
        for versions in [Versions::Only12, Versions::Only13] {
            let (certificate, _, server) = listener(&ClientCerts::Any, versions);
            let trusting = || client_of(std::slice::from_ref(&certificate)).unwrap();

            let (_, connection) = connect(trusting().with_no_client_auth(), &server).unwrap();
            assert!(connection.peer_certificates().is_none());

            let (own, key) = made("client");
            let identity = certified(std::slice::from_ref(&own), &key).unwrap();
            let client = trusting().with_client_cert_resolver(Arc::new(Fixed(Arc::new(identity))));
            let (_, connection) = connect(client, &server).unwrap();
            assert_eq!(connection.peer_certificates().unwrap()[0].as_ref(), own.der());

            let (_, stranger) = made("client");
            let signer = certified(&[made_for(&stranger)], &stranger).unwrap().key;
            let stolen = CertifiedKey::new(vec![CertificateDer::from(own.der().to_vec())], signer);
            let client = trusting().with_client_cert_resolver(Arc::new(Fixed(Arc::new(stolen))));
            assert!(connect(client, &server).is_err());
        }
    }

    /// Made by `openssl req` and `openssl x509 -req` without extensions, which gives version 1.
    #[test]
    fn a_client_certificate_of_version_1_is_taken_too() {
        for versions in [Versions::Only12, Versions::Only13] {
            let (certificate, _, server) = listener(&ClientCerts::Any, versions);
            let trusting = || client_of(std::slice::from_ref(&certificate)).unwrap();
            let pem = include_bytes!("../../tests/golden/tls/version-1.pem");
            let own = CertificateDer::from_pem_slice(pem).unwrap();
            let right = include_bytes!("../../tests/golden/tls/version-1.key");
            let wrong = made("client").1.pkcs8_pem().unwrap();
            for (key, taken) in [(right.as_slice(), true), (wrong.reveal().as_bytes(), false)] {
                let key = PrivateKeyDer::from_pem_slice(key).unwrap();
                let signer = provider().key_provider.load_private_key(key).unwrap();
                let identity = CertifiedKey::new(vec![own.clone()], signer);
                let client = trusting().with_client_cert_resolver(Arc::new(Fixed(Arc::new(identity))));
                assert_eq!(connect(client, &server).is_ok(), taken);
            }
        }
    }

    #[test]
    fn a_required_client_certificate_is_required() {
        let (authority, key) = made("client");
        let (certificate, _, server) = listener(&ClientCerts::Required(vec![made("other").0]), Versions::Both);
        let trusting = || client_of(std::slice::from_ref(&certificate)).unwrap();
        assert!(connect(trusting().with_no_client_auth(), &server).is_err());
        let identity = Fixed(Arc::new(certified(&[authority], &key).unwrap()));
        assert!(connect(trusting().with_client_cert_resolver(Arc::new(identity)), &server).is_err());
        let (own, key) = made("vault.test");
        let resolver = Arc::new(ListenerCert::new(certified(&[own], &key).unwrap()));
        assert!(server_config(Versions::Both, &ClientCerts::Required(Vec::new()), resolver).is_err());
    }

    #[test]
    fn keys_of_every_kind_serve() {
        for kind in [KeyKind::Ec(Curve::P384), KeyKind::Ec(Curve::P521), KeyKind::Rsa(2048), KeyKind::Ed25519] {
            let key = PrivateKey::generate(kind).unwrap();
            let certificate = made_for(&key);
            let resolver = ListenerCert::new(certified(std::slice::from_ref(&certificate), &key).unwrap());
            let server = server_config(Versions::Both, &ClientCerts::None, Arc::new(resolver)).unwrap();
            let client = client_of(&[certificate]).unwrap().with_no_client_auth();
            connect(client, &Arc::new(server)).unwrap();
        }
    }

    #[test]
    fn a_new_certificate_takes_effect_with_the_next_connection() {
        let (first, listener, server) = listener(&ClientCerts::None, Versions::Both);
        let (second, key) = made("vault.test");
        let roots = [first.clone(), second.clone()];
        let seen = |connection: &ClientConnection| connection.peer_certificates().unwrap()[0].as_ref().to_vec();
        let (client, _) = connect(client_of(&roots).unwrap().with_no_client_auth(), &server).unwrap();
        assert_eq!(seen(&client), first.der());
        listener.replace(certified(std::slice::from_ref(&second), &key).unwrap());
        let (client, _) = connect(client_of(&roots).unwrap().with_no_client_auth(), &server).unwrap();
        assert_eq!(seen(&client), second.der());
    }

    #[test]
    fn files_are_read_and_a_wrong_pair_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let missing = load_certified_key(&chain, &key).unwrap_err().to_string();
        assert!(missing.contains("chain.pem"), "{missing}");
        let (certificate, private) = made("vault.test");
        std::fs::write(&chain, certificate.pem().unwrap()).unwrap();
        std::fs::write(&key, private.traditional_pem().unwrap().reveal()).unwrap();
        assert_eq!(load_certified_key(&chain, &key).unwrap().cert.len(), 1);
        std::fs::write(&key, made("vault.test").1.pkcs8_pem().unwrap().reveal()).unwrap();
        let wrong = load_certified_key(&chain, &key).unwrap_err().to_string();
        assert!(wrong.ends_with("the private key is not that of the first certificate"), "{wrong}");
        std::fs::write(&chain, "").unwrap();
        assert!(load_certified_key(&chain, &key).is_err());
        std::fs::write(&chain, vec![b'\n'; TEXT_MAX + 1]).unwrap();
        assert!(load_certified_key(&chain, &key).is_err());
    }

    #[test]
    fn versions_are_read_from_the_configuration() {
        assert_eq!(Versions::between("", "").unwrap(), Versions::Both);
        assert_eq!(Versions::between("tls13", "").unwrap(), Versions::Only13);
        assert_eq!(Versions::between("tls12", "tls12").unwrap(), Versions::Only12);
        for (min, max) in [("tls13", "tls12"), ("tls10", ""), ("", "tls11"), ("1.2", "")] {
            assert!(Versions::between(min, max).is_err(), "{min} {max}");
        }
    }

    #[test]
    fn openssl_trusts_what_signs_itself_when_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, _) = made("vault.test");
        std::fs::write(folder.path().join("self"), certificate.pem().unwrap()).unwrap();
        let output = std::process::Command::new("openssl")
            .args(["verify", "-CAfile", "self", "-purpose", "sslserver", "-verify_hostname", "vault.test", "self"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A certificate for a key of any kind, signed by itself.
    fn made_for(key: &PrivateKey) -> Certificate {
        let name = Subject::common("any").encode().unwrap();
        let spec = CertificateSpec {
            serial: vec![1],
            issuer: name.clone(),
            subject: name,
            public_key: key.public().clone(),
            not_before: "2020-01-01T00:00:00Z".parse().unwrap(),
            not_after: "2060-01-01T00:00:00Z".parse().unwrap(),
            extensions: vec![extension::alt_names(&[AltName::Dns("vault.test".into())], false).unwrap()],
        };
        spec.sign(key, SignatureAlgorithm::for_key(key.kind(), None, false).unwrap()).unwrap()
    }

    #[derive(Debug)]
    struct Fixed(Arc<CertifiedKey>);

    impl rustls::client::ResolvesClientCert for Fixed {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
        fn has_certs(&self) -> bool {
            true
        }
    }
}

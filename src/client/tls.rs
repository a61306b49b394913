//! Whom a client trusts and who it says it is: from the settings to a `rustls` configuration.

use std::{fs, io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Error, Result, Settings};
use crate::crypto::tls;

/// The largest file of certificates or keys that is read: a whole system bundle has room.
const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The most files of a folder of certificates.
const CA_FILES_MAX: usize = 1_000;

/// A ready configuration and the name to ask for, if not the host.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the certificates and keys that the settings name. The system's roots are loaded only
    /// if no others are named.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let unfit = |err: crate::crypto::Error| Error::Tls(err.to_string());
        let builder = if settings.tls_skip_verify {
            tls::client_that_trusts_anybody().map_err(unfit)?
        } else {
            let (store, named) = roots(settings)?;
            tls::client_trusting(named, store).map_err(unfit)?
        };
        let mut config = match (&settings.client_cert, &settings.client_key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let chain = certificates("client certificate", &read(cert)?)?;
                let key = PrivateKeyDer::from_pem_slice(&read(key)?)
                    .map_err(|_| Error::Tls(format!("client key: no key in \"{}\"", key.display())))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|err| Error::Tls(format!("client certificate and key: {err}")))?
            }
            (Some(_), None) => return Err(Error::Tls("a client certificate needs a client key".into())),
            (None, Some(_)) => return Err(Error::Tls("a client key needs a client certificate".into())),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let server_name = match &settings.tls_server_name {
            Some(name) => Some(
                ServerName::try_from(name.clone())
                    .map_err(|_| Error::Tls("the TLS server name is not a host name".into()))?,
            ),
            None => None,
        };
        Ok(Self { config: Arc::new(config), server_name })
    }

    pub(super) async fn connect(self, host: &str, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = match self.server_name {
            Some(name) => name,
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        TlsConnector::from(self.config).connect(name, tcp).await
    }
}

/// What is trusted, and those among it that the settings name.
fn roots(settings: &Settings) -> Result<(RootCertStore, Vec<CertificateDer<'static>>)> {
    let mut store = RootCertStore::empty();
    let mut trusted = Vec::new();
    let mut named = false;
    let mut add = |certs: Vec<CertificateDer<'static>>| {
        for cert in certs {
            trusted.push(cert.clone());
            store.add(cert).map_err(|err| Error::Tls(format!("CA certificate: {err}")))?;
        }
        Ok::<_, Error>(())
    };
    if let Some(bytes) = &settings.ca_cert_bytes {
        add(certificates("CA certificate", bytes)?)?;
        named = true;
    }
    if let Some(path) = &settings.ca_cert {
        add(certificates("CA certificate", &read(path)?)?)?;
        named = true;
    }
    if let Some(folder) = settings.ca_path.as_ref().filter(|_| settings.ca_cert.is_none()) {
        let entries = fs::read_dir(folder).map_err(|err| unreadable(folder, &err))?;
        for entry in entries.take(CA_FILES_MAX) {
            let path = entry.map_err(|err| unreadable(folder, &err))?.path();
            if path.is_file() {
                add(certificates("CA certificate", &read(&path)?)?)?;
            }
        }
        named = true;
    }
    if !named {
        // Single bad certificates of a system are not this client's affair; having none is.
        let (_, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if store.is_empty() {
        return Err(Error::Tls("no CA certificate to trust was found".into()));
    }
    Ok((store, trusted))
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let certs: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<std::result::Result<_, _>>()
        .map_err(|err| Error::Tls(format!("{what}: {err}")))?;
    if certs.is_empty() {
        return Err(Error::Tls(format!("{what}: no certificate in PEM found")));
    }
    Ok(certs)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let length = fs::metadata(path).map_err(|err| unreadable(path, &err))?.len();
    if length > PEM_BYTES_MAX {
        return Err(Error::Tls(format!("\"{}\" is larger than 4 MiB", path.display())));
    }
    fs::read(path).map_err(|err| unreadable(path, &err))
}

fn unreadable(path: &Path, err: &io::Error) -> Error {
    Error::Tls(format!("reading \"{}\": {err}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: Settings) -> String {
        match Tls::new(&settings) {
            Err(Error::Tls(text)) => text,
            _ => panic!("accepted"),
        }
    }

    #[test]
    fn half_an_identity_and_empty_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        fs::write(&empty, "").unwrap();
        assert!(refused(Settings { ca_cert: Some(empty.clone()), ..Settings::default() }).contains("no certificate"));
        let absent = dir.path().join("absent.pem");
        assert!(refused(Settings { ca_cert: Some(absent), ..Settings::default() }).contains("absent.pem"));
        let half = Settings { tls_skip_verify: true, client_cert: Some(empty), ..Settings::default() };
        assert!(refused(half).contains("needs a client key"));
        let name =
            Settings { tls_skip_verify: true, tls_server_name: Some("not a name".into()), ..Settings::default() };
        assert!(refused(name).contains("server name"));
    }
}

//! A listener's certificates: read from files, exchanged while connections stay open, or made by the server itself.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;

use crate::base::{Rng, Timestamp, Ttl, time};
use crate::config::{self, ListenerConfig, TlsVersion};
use crate::crypto::tls::{self, ClientCerts, ListenerCert, Versions};
use crate::crypto::x509::{AltName, Certificate};
use crate::crypto::{self, sha256};

/// What is spoken inside TLS, the better first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Longest file of certificates.
const FILE_BYTES: u64 = 1 << 20;
/// How long a certificate that the server made lasts: ten years. Nobody but its users' pins would notice a shorter one.
const SELF_SIGNED: Ttl = Ttl::from_seconds(3652 * 86_400);
/// How far other machines' clocks may be behind.
const CLOCKS_APART: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// What is wrong with a certificate, a key, or their files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read or written.
    #[error("{}: {cause}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A key that others may read.
    #[error("{}: the key may be read by others, want mode 0600", .0.display())]
    Exposed(PathBuf),
    /// Certificates and keys that do not serve.
    #[error(transparent)]
    Crypto(#[from] crypto::Error),
}

/// The certificates of a listener, as files that are read again on demand.
pub struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    versions: Versions,
    clients: config::ClientCerts,
    current: ArcSwap<Served>,
}

/// What new connections get.
struct Served {
    config: Arc<ServerConfig>,
    not_after: Timestamp,
}

impl Certificates {
    /// Reads the chain and the key for a listener with these rules.
    ///
    /// # Errors
    /// Names the file that is unfit.
    pub fn load(rules: &ListenerConfig, cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let versions = match (rules.tls_min, rules.tls_max) {
            (TlsVersion::Tls13, _) => Versions::Only13,
            (_, TlsVersion::Tls12) => Versions::Only12,
            (TlsVersion::Tls12, TlsVersion::Tls13) => Versions::Both,
        };
        let current = ArcSwap::from_pointee(read(versions, &rules.client_certs, cert, key)?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), versions, clients: rules.client_certs.clone(), current })
    }

    /// Reads the files again. From then on new connections get what is in them; open ones are not disturbed.
    ///
    /// # Errors
    /// As [`Certificates::load`]; then everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(read(self.versions, &self.clients, &self.cert, &self.key)?));
        Ok(())
    }

    /// Until when the certificate is valid that new connections get.
    pub fn not_after(&self) -> Timestamp {
        self.current.load().not_after
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }
}

fn read(versions: Versions, clients: &config::ClientCerts, cert: &Path, key: &Path) -> Result<Served, TlsError> {
    let clients = match clients {
        config::ClientCerts::Asked => ClientCerts::Any,
        config::ClientCerts::NotAsked => ClientCerts::None,
        config::ClientCerts::Required { ca } => ClientCerts::Required(certificates(ca)?),
    };
    let listener = tls::load_certified_key(cert, key)?;
    let first = Certificate::from_der(listener.cert.first().map(AsRef::as_ref).unwrap_or_default())?;
    let listener = ListenerCert::new(listener);
    let mut config = tls::server_config(versions, &clients, Arc::new(listener))?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(Served { config: Arc::new(config), not_after: first.not_after() })
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, TlsError> {
    let named = |cause| TlsError::File { file: file.to_owned(), cause };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(named)?;
    io::Read::read_to_string(&mut io::Read::take(opened, FILE_BYTES), &mut text).map_err(named)?;
    let unfit = |cause: crypto::Error| named(io::Error::new(io::ErrorKind::InvalidData, cause));
    let found = Certificate::all_from_pem(&text).map_err(unfit)?;
    if found.is_empty() {
        return Err(named(io::Error::new(io::ErrorKind::InvalidData, "no certificate in it")));
    }
    Ok(found)
}

/// A certificate that the server made for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfSigned {
    /// The certificate's file; clients can be told to trust it.
    pub cert: PathBuf,
    /// The key's file, mode 0600.
    pub key: PathBuf,
    /// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` shows it.
    pub fingerprint: String,
    /// Whether it was made just now.
    pub made: bool,
}

/// The self-signed certificate in `folder`, which is made if there is none that still serves. `names` are host names and
/// addresses; those of the loopback interface are added. One that is there stays as it is, whatever its names: clients
/// may have pinned it.
///
/// # Errors
/// When a file cannot be read or written, when a name cannot be in a certificate, or when others may read the key.
pub fn ensure_self_signed(
    folder: &Path,
    names: &[String],
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<SelfSigned, TlsError> {
    let (cert, key) = (folder.join("tls-self-signed.pem"), folder.join("tls-self-signed.key"));
    if let Some(fingerprint) = existing(&cert, &key, now)? {
        return Ok(SelfSigned { cert, key, fingerprint, made: false });
    }
    let mut alt_names: Vec<AltName> = Vec::new();
    let loopback = ["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
    for name in names.iter().chain(&loopback) {
        // "Every interface" is nobody's name.
        if name.is_empty() || name.parse().is_ok_and(|address: IpAddr| address.is_unspecified()) {
            continue;
        }
        let name = name.parse::<IpAddr>().map_or_else(|_| AltName::Dns(name.clone()), AltName::Ip);
        if !alt_names.contains(&name) {
            alt_names.push(name);
        }
    }
    let from = now.checked_sub(CLOCKS_APART).unwrap_or(now);
    let (made, private) = tls::self_signed(&alt_names, from, time::after(now, SELF_SIGNED), rng)?;
    // The key first: a certificate without its key is noticed at the next start, and both are made anew.
    place(&key, private.pkcs8_pem()?.reveal().as_bytes(), 0o600)?;
    place(&cert, made.pem()?.as_bytes(), 0o644)?;
    Ok(SelfSigned { cert, key, fingerprint: fingerprint(&made), made: true })
}

/// The fingerprint of what is there, or none if it is absent, past its end or not a pair.
fn existing(cert: &Path, key: &Path, now: Timestamp) -> Result<Option<String>, TlsError> {
    let mode = match std::fs::metadata(key) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(TlsError::File { file: key.to_owned(), cause }),
    };
    if mode & 0o077 != 0 {
        return Err(TlsError::Exposed(key.to_owned()));
    }
    let Ok(certified) = tls::load_certified_key(cert, key) else { return Ok(None) };
    let Some(first) = certified.cert.first() else { return Ok(None) };
    let Ok(first) = Certificate::from_der(first) else { return Ok(None) };
    Ok((first.not_after() > now.checked_add(CLOCKS_APART).unwrap_or(now)).then(|| fingerprint(&first)))
}

fn fingerprint(certificate: &Certificate) -> String {
    sha256(certificate.der()).iter().fold(String::with_capacity(96), |mut text, byte| {
        let separator = if text.is_empty() { "" } else { ":" };
        // Writing into a text cannot fail.
        let _ = write!(text, "{separator}{byte:02X}");
        text
    })
}

/// Writes a file that is there whole or not at all, with its final mode from the beginning.
fn place(file: &Path, content: &[u8], mode: u32) -> Result<(), TlsError> {
    let named = |cause| TlsError::File { file: file.to_owned(), cause };
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    match std::fs::remove_file(&beside) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(named(cause)),
        _ => {}
    }
    let mut opened =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(named)?;
    opened.write_all(content).map_err(named)?;
    opened.sync_all().map_err(named)?;
    std::fs::rename(&beside, file).map_err(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;
    use crate::crypto::SystemRng;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn ensure(folder: &Path, now: Timestamp) -> Result<SelfSigned, TlsError> {
        ensure_self_signed(
            folder,
            &["vault.example", "10.0.0.1", "", "0.0.0.0"].map(str::to_owned),
            now,
            &SystemRng::new(),
        )
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let made = ensure(folder.path(), now()).unwrap();
        std::fs::set_permissions(&made.key, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = ensure(folder.path(), now()).unwrap_err().to_string();
        assert_eq!(error, format!("{}: the key may be read by others, want mode 0600", made.key.display()));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = ensure(&folder.path().join("absent"), now()).unwrap_err().to_string();
        assert!(error.contains("absent/tls-self-signed.key: No such file"), "{error}");
    }

    #[test]
    fn a_half_pair_and_one_past_its_end_are_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let first = ensure(folder.path(), now()).unwrap();
        std::fs::remove_file(&first.cert).unwrap();
        let second = ensure(folder.path(), now()).unwrap();
        assert!(second.made && second.fingerprint != first.fingerprint);
        let third = ensure(folder.path(), "2036-06-01T00:00:00Z".parse().unwrap()).unwrap();
        assert!(third.made && third.fingerprint != second.fingerprint);
    }

    #[test]
    fn what_was_made_once_stays_and_names_what_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        let made = ensure(folder.path(), now()).unwrap();
        assert!(made.made);
        assert_eq!(std::fs::metadata(&made.key).unwrap().permissions().mode() & 0o777, 0o600);
        let again = ensure_self_signed(folder.path(), &[], now(), &SystemRng::new()).unwrap();
        assert_eq!(again, SelfSigned { made: false, ..made.clone() });
        let text = std::fs::read_to_string(&made.cert).unwrap();
        let names = Certificate::from_pem(&text).unwrap().alt_names().unwrap();
        for name in ["vault.example", "localhost"] {
            assert!(names.contains(&AltName::Dns(name.into())), "{name}");
        }
        for address in ["10.0.0.1", "127.0.0.1", "::1"] {
            assert!(names.contains(&AltName::Ip(address.parse().unwrap())), "{address}");
        }
        assert_eq!(names.len(), 5);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_reload_that_fails_changes_nothing_and_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let made = ensure(folder.path(), now()).unwrap();
        let mut rules = ListenerConfig::new(Address::loopback());
        let certificates = Certificates::load(&rules, &made.cert, &made.key).unwrap();
        let before = certificates.current();
        std::fs::write(&made.cert, "nonsense").unwrap();
        let error = certificates.reload().unwrap_err().to_string();
        assert!(error.contains("tls-self-signed.pem"), "{error}");
        assert!(Arc::ptr_eq(&before, &certificates.current()));
        rules.client_certs = config::ClientCerts::Required { ca: made.key.clone() };
        let error = Certificates::load(&rules, &made.cert, &made.key).err().unwrap().to_string();
        assert!(error.contains("tls-self-signed.key"), "{error}");
    }
}

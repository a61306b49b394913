//! Envoy's secret discovery service over a Unix socket: what the templates render goes to Envoy and to no disk.
//!
//! Envoy keeps what it has until something better comes: a stream that breaks, or an agent that waits for the server,
//! takes nothing away. What each Envoy has confirmed or refused can be asked for.

mod stream;
mod wire;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tracing::{info, warn};

use super::config::Socket;
use super::socket::ACCEPT_PAUSE;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Envoys that are served at once.
const CONNECTIONS_MAX: usize = 64;
/// Streams of one Envoy: each of its secrets may have one.
const STREAMS_MAX: u32 = 256;
/// The most Envoys whose state is kept.
const PEERS_MAX: usize = 256;

/// Where to listen, and who may ask.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The socket.
    pub socket: Socket,
    /// The users that may connect besides our own; none means whoever the mode lets in.
    pub uids: Vec<u32>,
}

/// What a secret is to Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A certificate chain with its key.
    Certificate,
    /// Authorities to trust.
    Validation,
    /// Bytes.
    Generic,
}

/// A secret as it goes out.
#[derive(Clone)]
pub(super) struct Published {
    /// The encoded message; it may hold a key.
    message: Arc<Vec<u8>>,
    /// Changes with the content, and says nothing about it.
    pub version: String,
}

/// All secrets by name.
pub(super) type Secrets = Arc<BTreeMap<String, Published>>;

impl Published {
    /// Encodes a rendered text, after a look at whether it can be what it should be.
    pub(super) fn new(name: &str, kind: Kind, content: &[u8], version: u64) -> Result<Published, &'static str> {
        let message = match kind {
            Kind::Generic => wire::generic(name, content),
            Kind::Validation => {
                if certificates(content).is_empty() {
                    return Err("it holds no certificate of an authority");
                }
                wire::validation_context(name, content)
            }
            Kind::Certificate => {
                let chain = certificates(content);
                let leaf = chain.first().ok_or("it holds no certificate")?;
                let (key, pem) = private_key(content).ok_or("it holds no private key")?;
                if !super::certificate::belongs(leaf, &key) {
                    return Err("its certificate and its private key do not belong together");
                }
                wire::tls_certificate(name, pem_of(content, "CERTIFICATE").as_bytes(), pem.as_bytes())
            }
        };
        Ok(Published { message: Arc::new(message.0), version: version.to_string() })
    }
}

impl Published {
    /// Whether two are alike to Envoy.
    pub(super) fn same(&self, other: &Published) -> bool {
        self.message == other.message
    }
}

fn certificates(content: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(content).filter_map(Result::ok).collect()
}

fn private_key(content: &[u8]) -> Option<(PrivateKeyDer<'static>, String)> {
    let pem = pem_of(content, "PRIVATE KEY");
    Some((PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?, pem))
}

/// The PEM blocks whose label ends like this, one after the other.
fn pem_of(content: &[u8], label: &str) -> String {
    let blocks = super::certificate::blocks(content);
    let wanted = blocks.iter().filter(|block| block.lines().next().is_some_and(|line| line.contains(label)));
    wanted.map(|block| format!("{block}\n")).collect()
}

/// What one Envoy has said about one secret.
#[derive(Clone, Default)]
struct Said {
    confirmed: Option<String>,
    refused: Option<(String, String)>,
}

/// What the Envoys have said, for whoever asks.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<Mutex<BTreeMap<(String, String), Said>>>);

impl Board {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<(String, String), Said>> {
        // Each row is whole at any moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, node: &str, name: &str, change: impl FnOnce(&mut Said)) {
        let mut rows = self.rows();
        let key = (node.to_owned(), name.to_owned());
        if rows.len() < PEERS_MAX * 8 || rows.contains_key(&key) {
            change(rows.entry(key).or_default());
        }
    }

    /// How many refusals stand.
    pub(super) fn refusals(&self) -> usize {
        self.rows().values().filter(|said| said.refused.is_some()).count()
    }

    /// All rows, as JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        let rows = self.rows();
        let row = |((node, name), said): (&(String, String), &Said)| {
            serde_json::json!({
                "node": node, "secret": name, "confirmed_version": said.confirmed,
                "refused_version": said.refused.as_ref().map(|(version, _)| version),
                "refused_because": said.refused.as_ref().map(|(_, why)| why),
            })
        };
        serde_json::Value::Array(rows.iter().map(row).collect())
    }
}

/// Serves for as long as it is polled.
pub(super) async fn serve(
    listener: UnixListener,
    settings: Settings,
    secrets: watch::Receiver<Secrets>,
    board: Board,
) -> Infallible {
    info!(path = %settings.socket.path.display(), "secrets are served to Envoy");
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let own = rustix::process::geteuid().as_raw();
    loop {
        // A closed semaphore does not happen: nobody closes it.
        let Ok(place) = places.clone().acquire_owned().await else { std::future::pending().await };
        let socket: UnixStream = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let uid = socket.peer_cred().map(|peer| peer.uid());
        if !settings.uids.is_empty() && !uid.as_ref().is_ok_and(|uid| *uid == own || settings.uids.contains(uid)) {
            warn!(uid = uid.unwrap_or(u32::MAX), "a user who may not have secrets asked for them");
            continue;
        }
        let (secrets, board) = (secrets.clone(), board.clone());
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let (secrets, board) = (secrets.clone(), board.clone());
                async move { Ok::<_, Infallible>(stream::answer(request, secrets, board)) }
            });
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(STREAMS_MAX)
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

/// A gRPC message: a byte that says not compressed, its length, itself.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(message.len() + 5);
    frame.push(0);
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(message);
    Bytes::from(frame)
}

impl Kind {
    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Certificate => "tls_certificate",
            Kind::Validation => "validation_context",
            Kind::Generic => "generic",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_certificate_is_not_published() {
        let refused = |kind, content: &str| Published::new("a", kind, content.as_bytes(), 1).err().unwrap_or("fine");
        assert!(refused(Kind::Certificate, "").contains("no certificate"));
        let key = |()| rcgen::KeyPair::generate().unwrap();
        let (one, other) = (key(()), key(()));
        let certificate = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&one).unwrap().pem();
        assert!(refused(Kind::Certificate, &certificate).contains("no private key"));
        let mixed = format!("{certificate}{}", other.serialize_pem());
        assert!(refused(Kind::Certificate, &mixed).contains("do not belong together"));
        let right = format!("{certificate}{}", one.serialize_pem());
        assert_eq!(refused(Kind::Certificate, &right), "fine");
        assert!(refused(Kind::Validation, "none").contains("authority"));
        assert_eq!(refused(Kind::Generic, ""), "fine");
    }
}

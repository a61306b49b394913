//! A listening socket and its connections: accept, TLS, HTTP/1.1 and HTTP/2, and the end of it all.
//!
//! Nothing that a client does ends the loop: what goes wrong with a connection ends that connection, and what goes wrong
//! with accepting is waited out.

mod body;
mod connection;
mod forwarded;
mod guard;
mod share;
mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, warn};

use crate::base::limits;
use crate::config::{Address, ListenerConfig};

pub use body::Body;
pub use connection::Connection;
pub use forwarded::ForwardedError;
pub use tls::{Certificates, SelfSigned, TlsError, ensure_self_signed};

use connection::Phase;
use share::Shares;

/// First pause after accepting failed, for want of file descriptors usually; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(20);
/// Longest pause after accepting failed.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What one listener spends at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; the next waits in the kernel's queue.
    pub connections: usize,
    /// Connections at once of one client address (of one /64 network in IPv6); more are closed unanswered.
    pub connections_per_address: usize,
    /// How long a client may take for its TLS handshake.
    pub handshake: Duration,
    /// Largest sum of a request's header bytes.
    pub header_bytes: usize,
    /// Streams of one HTTP/2 connection at once.
    pub streams: u32,
    /// How long requests in flight get at the end.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS,
            // One address cannot take every place, and the address of a proxy still has most of them.
            connections_per_address: limits::CONNECTIONS / 4 * 3,
            handshake: Duration::from_secs(limits::HANDSHAKE_SECONDS),
            header_bytes: limits::HEADER_BYTES,
            streams: limits::HTTP2_STREAMS,
            drain: Duration::from_secs(limits::DRAIN_SECONDS),
        }
    }
}

/// A bound socket that does not answer yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    rules: Arc<ListenerConfig>,
    certificates: Option<Arc<Certificates>>,
    limits: Limits,
}

impl Listener {
    /// Binds the address of `rules`. With `certificates` it speaks TLS, else plain HTTP.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub async fn bind(rules: &ListenerConfig, certificates: Option<Arc<Certificates>>) -> io::Result<Self> {
        Self::bind_within(rules, certificates, Limits::default()).await
    }

    /// As [`Listener::bind`], with other limits.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub async fn bind_within(
        rules: &ListenerConfig,
        certificates: Option<Arc<Certificates>>,
        limits: Limits,
    ) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot listen at {}: {error}", rules.address));
        let socket = socket(&rules.address).await.map_err(named)?;
        let address = socket.local_addr().map_err(named)?;
        Ok(Self { socket, address, rules: Arc::new(rules.clone()), certificates, limits })
    }

    /// Where it listens, with the port that the system chose if it was asked to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers with `handler` until `shutdown`; then accepts nothing more, lets what is in flight end, and closes
    /// what has not ended within the limit.
    ///
    /// A request's future is dropped when its client goes away. A handler that panics answers 500.
    pub async fn serve<H, F>(self, handler: H, shutdown: impl Future<Output = ()>)
    where
        H: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let Self { socket, rules, certificates, limits, .. } = self;
        let (phase, _) = watch::channel(Phase::Open);
        let door = connection::Door { rules, certificates, limits, handler };
        tokio::select! {
            biased;
            () = shutdown => {}
            () = accept(&socket, &door, &phase) => {}
        }
        drop(socket);
        phase.send_replace(Phase::Draining);
        if tokio::time::timeout(limits.drain, phase.closed()).await.is_err() {
            phase.send_replace(Phase::Closed);
            phase.closed().await;
        }
    }
}

/// Accepts for ever.
async fn accept<H, F>(socket: &TcpListener, door: &connection::Door<H>, phase: &watch::Sender<Phase>)
where
    H: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(door.limits.connections));
    let shares = Shares::new(door.limits.connections_per_address);
    let mut pause = PAUSE;
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, remote) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) if of_client(&error) => continue,
            Err(error) => {
                warn!(%error, "cannot accept connections, trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
                continue;
            }
        };
        pause = PAUSE;
        let Some(share) = shares.take(remote.ip()) else {
            debug!(%remote, "too many connections of one address");
            continue;
        };
        let door = door.clone();
        let phase = phase.subscribe();
        tokio::spawn(async move {
            let _held = (place, share);
            door.enter(stream, remote, phase).await;
        });
    }
}

/// Whether accepting failed because of that one client.
fn of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut)
}

/// No host is every interface: of both kinds of address, or of the old kind where the system knows no other.
async fn socket(address: &Address) -> io::Result<TcpListener> {
    if !address.host().is_empty() {
        return bind(address.host(), address.port()).await;
    }
    match bind("::", address.port()).await {
        Ok(socket) => Ok(socket),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => bind("0.0.0.0", address.port()).await,
    }
}

/// Listens at the first address of a host that can be had.
async fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        match listen(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// With room for many that come at once: whoever finds none tries again only after a second.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart need not wait for the connections of the last run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::BACKLOG)
}

/// Small answers leave at once.
fn prepare(stream: &TcpStream) {
    // A socket that refuses it is closing; the first read will tell.
    let _ = stream.set_nodelay(true);
}

#[cfg(test)]
mod tests;

//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, error};

use super::guard::{Guard, Opening};
use super::{Body, Certificates, ForwardedError, Limits, forwarded, prepare};
use crate::config::ListenerConfig;

/// Bytes of a connection's input that are kept in memory at most; headers have to fit, with the request line.
const BUFFER_BYTES: usize = 64 << 10;
/// Bytes that one HTTP/2 stream may send ahead of who reads it.
const STREAM_WINDOW: u32 = 128 << 10;
/// Bytes that the streams of one HTTP/2 connection may send ahead together.
const CONNECTION_WINDOW: u32 = 512 << 10;
/// How often a peer on HTTP/2 is asked whether it is still there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// What a client is told that speaks plain HTTP where TLS is spoken; Go's server says the same.
const PLAIN_ON_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Who is at the other end, and by which rules he is served. One for all requests of a connection.
#[derive(Debug)]
pub struct Connection {
    /// The other end.
    pub remote: SocketAddr,
    /// The chain that the client showed, leaf first. Shown is not proven to be anybody: the auth method judges.
    pub client_cert: Option<Vec<CertificateDer<'static>>>,
    /// Whether it is encrypted.
    pub tls: bool,
    /// The listener's rules.
    pub rules: Arc<ListenerConfig>,
    in_flight: AtomicU32,
    ended: AtomicU32,
}

impl Connection {
    /// The client's address, which a proxy may have told, if the rules believe it.
    ///
    /// # Errors
    /// When the rules refuse the request: 400.
    pub fn client_address(&self, headers: &HeaderMap) -> Result<SocketAddr, ForwardedError> {
        forwarded::client(self.rules.forwarded.as_ref(), self.remote, headers)
    }

    /// A connection for tests of what is above, which needs no socket.
    pub fn detached(remote: SocketAddr, rules: Arc<ListenerConfig>) -> Self {
        let zero = || AtomicU32::new(0);
        Self { remote, client_cert: None, tls: false, rules, in_flight: zero(), ended: zero() }
    }

    /// Requests that are being answered.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// How many requests were answered, modulo 2³².
    pub(super) fn ended(&self) -> u32 {
        self.ended.load(Ordering::Acquire)
    }
}

/// A request in flight: from its headers until the body of its answer is dropped.
#[derive(Debug)]
pub(super) struct Flight(Arc<Connection>);

impl Flight {
    fn begin(connection: &Arc<Connection>) -> Arc<Self> {
        connection.in_flight.fetch_add(1, Ordering::AcqRel);
        Arc::new(Self(connection.clone()))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // In this order: whoever sees nothing in flight sees also that something ended.
        self.0.ended.fetch_add(1, Ordering::AcqRel);
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How far the listener is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Serving.
    Open,
    /// No further requests.
    Draining,
    /// Over.
    Closed,
}

/// What every connection of a listener needs.
#[derive(Clone)]
pub(super) struct Door<H> {
    pub(super) rules: Arc<ListenerConfig>,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) limits: Limits,
    pub(super) handler: H,
}

impl<H, F> Door<H>
where
    H: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    /// Serves one connection until it ends.
    pub(super) async fn enter(self, stream: TcpStream, remote: SocketAddr, mut phase: watch::Receiver<Phase>) {
        prepare(&stream);
        // A listener that drains has no use for a connection without a request.
        let ended = |phase: &Phase| *phase != Phase::Open;
        let served = match self.certificates.clone() {
            None => {
                let mut stream = stream;
                let opening = timeout(self.rules.header_timeout, Opening::read(&mut stream));
                let opening = tokio::select! {
                    opening = opening => opening,
                    _ = phase.wait_for(ended) => return,
                };
                let Ok(Ok((opening, http2))) = opening else { return };
                let connection = self.connection(remote, None, false);
                self.serve(stream, opening, http2, connection, phase).await
            }
            Some(certificates) => {
                // Boxed: it is large, and gone before the first request.
                let handshake = Box::pin(timeout(self.limits.handshake, handshake(stream, certificates)));
                let stream = tokio::select! {
                    stream = handshake => stream,
                    _ = phase.wait_for(ended) => return,
                };
                let stream = match stream {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return debug!(%remote, %error, "tls handshake failed"),
                    Err(_) => return debug!(%remote, "tls handshake timed out"),
                };
                let session = stream.get_ref().1;
                let http2 = session.alpn_protocol() == Some(b"h2");
                let chain = session.peer_certificates().map(|chain| chain.iter().map(|der| der.clone().into_owned()));
                let connection = self.connection(remote, chain.map(Iterator::collect), true);
                self.serve(stream, Opening::none(), http2, connection, phase).await
            }
        };
        if let Err(error) = served {
            debug!(%remote, %error, "connection ended");
        }
    }

    fn connection(
        &self,
        remote: SocketAddr,
        client_cert: Option<Vec<CertificateDer<'static>>>,
        tls: bool,
    ) -> Arc<Connection> {
        Arc::new(Connection { client_cert, tls, ..Connection::detached(remote, self.rules.clone()) })
    }

    async fn serve<S>(
        self,
        stream: S,
        opening: Opening,
        http2: bool,
        connection: Arc<Connection>,
        phase: watch::Receiver<Phase>,
    ) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(Guard::new(stream, opening, connection.clone(), http2));
        let handler = self.handler;
        let service = service_fn(move |request| {
            let flight = Flight::begin(&connection);
            let answer = handler(request, connection.clone());
            async move {
                // Nothing of ours is left half changed in memory: what a handler changes, it commits.
                let answer = AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| panicked());
                Ok::<_, Infallible>(answer.map(|body| body.counted(flight)))
            }
        });
        if http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .keep_alive_interval(PING.0)
                .keep_alive_timeout(PING.1)
                .max_concurrent_streams(self.limits.streams)
                .max_header_list_size(u32::try_from(self.limits.header_bytes).unwrap_or(u32::MAX))
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW);
            let serving = builder.serve_connection(stream, service);
            until_closed(serving, |serving| serving.graceful_shutdown(), phase).await
        } else {
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .max_header_size(self.limits.header_bytes)
                .max_buf_size(self.limits.header_bytes.max(BUFFER_BYTES));
            let serving = builder.serve_connection(stream, service);
            until_closed(serving, |serving| serving.graceful_shutdown(), phase).await
        }
    }
}

/// Drives a connection to its end, which the listener's end hastens.
async fn until_closed<C>(
    serving: C,
    drain: impl FnOnce(Pin<&mut C>),
    mut phase: watch::Receiver<Phase>,
) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut serving = pin!(serving);
    tokio::select! {
        biased;
        ended = serving.as_mut() => return ended,
        _ = phase.wait_for(|phase| *phase != Phase::Open) => drain(serving.as_mut()),
    }
    tokio::select! {
        biased;
        ended = serving => ended,
        _ = phase.wait_for(|phase| *phase == Phase::Closed) => Ok(()),
    }
}

async fn handshake(
    mut stream: TcpStream,
    certificates: Arc<Certificates>,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // Each method of HTTP begins with a letter, and no record of TLS does.
    if first[0].is_ascii_uppercase() {
        stream.write_all(PLAIN_ON_TLS).await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "plain http"));
    }
    tokio_rustls::TlsAcceptor::from(certificates.current()).accept(stream).await
}

/// The hook of the process has written the panic to the log.
fn panicked() -> Response<Body> {
    error!("a request's handler panicked");
    let mut answer = Response::new(Body::whole("{\"errors\":[\"internal error\"]}\n"));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

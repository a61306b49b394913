//! From an address to a byte stream: TCP, a Unix socket, TLS on top when the scheme asks for it.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Uri,
    http::uri::{Authority, Scheme},
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tower::Service;

use super::{Error, Result, tls::Tls};

/// How long a connection may take to stand, handshake included: shorter than a request's time, so
/// that a host that drops packets leaves time for another attempt.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(20);

/// An address taken apart.
pub(super) struct Place {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) prefix: String,
    socket: Option<PathBuf>,
}

impl Place {
    pub(super) fn parse(address: &str) -> Result<Self> {
        let invalid = |why: &str| Error::Invalid(format!("address: {why}"));
        if let Some(path) = address.strip_prefix("unix://") {
            if !Path::new(path).is_absolute() {
                return Err(invalid("a unix address needs an absolute path"));
            }
            return Ok(Self {
                scheme: Scheme::HTTP,
                authority: Authority::from_static("localhost"),
                prefix: String::new(),
                socket: Some(path.into()),
            });
        }
        let uri: Uri = address.parse().map_err(|_| invalid("not an address like https://host:port"))?;
        let scheme = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => scheme.clone(),
            _ => return Err(invalid("must begin with https://, http:// or unix://")),
        };
        let authority = uri.authority().cloned().ok_or_else(|| invalid("has no host"))?;
        if authority.host().is_empty() {
            return Err(invalid("has no host"));
        }
        if authority.as_str().contains('@') {
            return Err(invalid("must not contain a user or a password"));
        }
        if uri.query().is_some() {
            return Err(invalid("must not contain a query"));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme, authority, prefix, socket: None })
    }
}

/// Makes the pool's connections.
#[derive(Clone)]
pub(super) struct Connector {
    socket: Option<Arc<Path>>,
    tls: Option<Tls>,
}

impl Connector {
    pub(super) fn new(place: &Place, tls: Option<Tls>) -> Self {
        Self { socket: place.socket.as_deref().map(Arc::from), tls }
    }

    async fn connect(self, to: Uri) -> io::Result<Wire> {
        if let Some(socket) = self.socket {
            return Ok(Wire(TokioIo::new(Box::new(UnixStream::connect(&*socket).await?))));
        }
        let host = to.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let secure = to.scheme() == Some(&Scheme::HTTPS);
        let port = to.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port)).await?;
        // Requests are small; waiting for more to send only delays them.
        tcp.set_nodelay(true)?;
        if !secure {
            return Ok(Wire(TokioIo::new(Box::new(tcp))));
        }
        let tls = self.tls.ok_or_else(|| io::Error::other("TLS was not set up for this address"))?;
        Ok(Wire(TokioIo::new(Box::new(tls.connect(host, tcp).await?))))
    }
}

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_TIME_MAX, connector.connect(to)).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "connecting took too long")),
            }
        })
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One connection of any kind.
pub(super) struct Wire(TokioIo<Box<dyn Stream>>);

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Turns the pool's error into ours: TLS apart, the innermost cause in words.
pub(super) fn explain(address: &str, err: &hyper_util::client::legacy::Error) -> Error {
    let mut cause: &(dyn std::error::Error + 'static) = err;
    loop {
        // An `io::Error` hides what it wraps behind `get_ref`; its `source` skips a level.
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Error::Tls(format!("TLS with {address}: {tls}"));
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            None => break,
        }
    }
    let what = if err.is_connect() { "connecting to" } else { "talking to" };
    Error::Transport(format!("{what} {address}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_addresses_are_refused() {
        for bad in [
            "",
            "127.0.0.1:8200",
            "ftp://host",
            "https://",
            "unix://relative",
            "http://u:p@host",
            "http://host?x=1",
            "http://ho st",
        ] {
            assert!(matches!(Place::parse(bad), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn addresses_come_apart() {
        let place = Place::parse("https://[::1]:8200/vault/").unwrap();
        assert_eq!((place.authority.host(), place.prefix.as_str()), ("[::1]", "/vault"));
        assert_eq!(place.scheme, Scheme::HTTPS);
        let place = Place::parse("unix:///run/agent.sock").unwrap();
        assert_eq!(place.socket.as_deref(), Some(Path::new("/run/agent.sock")));
    }
}

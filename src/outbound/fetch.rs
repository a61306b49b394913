//! One HTTP request and its whole answer.
//!
//! No redirect is followed, so that whoever answers cannot send the server to another place; the caller sees the status and decides.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Outbound, Stream};
use crate::base::{Error, Result, Secret, limits};
use crate::crypto::tls::{self, Versions};
use crate::crypto::x509::Certificate;

/// Which addresses may be connected to, asked after names were looked up.
pub type Guard = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// An `http` or `https` address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// With TLS.
    pub secure: bool,
    /// The host, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What the `Host` header says.
    authority: String,
    /// Path and query.
    target: String,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`Error::Invalid`], which does not repeat it.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::invalid(format!("an address {what}"));
        if text.len() > limits::OUTBOUND_ADDRESS_BYTES {
            return Err(wrong("is too long"));
        }
        let uri: hyper::Uri = text.parse().map_err(|_| wrong("cannot be read"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("must begin with https:// or http://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("must not contain a user or a password"));
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            target: uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str).to_owned(),
        })
    }
}

impl Address {
    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// A request.
#[derive(Clone)]
pub struct Fetch {
    address: Address,
    body: Option<Vec<u8>>,
    headers: Vec<(&'static str, Secret<String>)>,
    authorities: Vec<Certificate>,
    guard: Option<Guard>,
    answer_bytes: usize,
    time: Duration,
}

/// An answer.
#[derive(Debug)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Fetched {
    /// One header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("host", &self.address.host).finish_non_exhaustive()
    }
}

impl Fetch {
    /// GET.
    pub const fn get(address: Address) -> Self {
        Self {
            address,
            body: None,
            headers: Vec::new(),
            authorities: Vec::new(),
            guard: None,
            answer_bytes: limits::OUTBOUND_ANSWER_BYTES,
            time: Duration::from_secs(limits::OUTBOUND_SECONDS),
        }
    }

    /// POST.
    pub fn post(address: Address, media_type: &str, body: Vec<u8>) -> Self {
        Self { body: Some(body), ..Self::get(address) }.header("content-type", Secret::new(media_type.to_owned()))
    }

    /// With this header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: Secret<String>) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Trusts these instead of the machine's authorities; none of them means the machine's.
    #[must_use]
    pub fn trusting(mut self, authorities: Vec<Certificate>) -> Self {
        self.authorities = authorities;
        self
    }

    /// Connects only to addresses of which the guard says yes.
    #[must_use]
    pub fn guarded(mut self, guard: Guard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Reads so many bytes of an answer and no more.
    #[must_use]
    pub const fn at_most(mut self, bytes: usize) -> Self {
        self.answer_bytes = bytes;
        self
    }

    /// Takes so long and no longer.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }
}

/// Sends a request and reads the answer, whatever its status.
///
/// # Errors
/// [`Error::Unavailable`] when no whole answer came within the bounds, with words that name neither address nor content.
pub async fn fetch(outbound: &dyn Outbound, request: Fetch) -> Result<Fetched> {
    let time = request.time;
    timeout(time, exchange(outbound, request))
        .await
        .unwrap_or_else(|_| Err(Error::Unavailable("a request to another server took too long".into())))
}

async fn exchange(outbound: &dyn Outbound, request: Fetch) -> Result<Fetched> {
    let stream = connect(outbound, &request).await?;
    let broken = |_| Error::Unavailable("a request to another server broke off".into());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let work = async {
        let answer = sender.send_request(message(&request)?).await.map_err(broken)?;
        let (head, body) = answer.into_parts();
        let headers = head
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
        let headers = headers.collect();
        let body = Limited::new(body, request.answer_bytes).collect().await.map_err(|_| {
            Error::Unavailable("the answer of another server broke off, or is longer than what is read".into())
        })?;
        Ok(Fetched { status: head.status.as_u16(), headers, body: body.to_bytes().to_vec() })
    };
    // The connection lives as long as the exchange and is driven beside it: no task is left behind.
    tokio::pin!(work, connection);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = &mut connection, if open => open = false,
        }
    }
}

fn message(request: &Fetch) -> Result<hyper::Request<Full<Bytes>>> {
    let unfit = |_| Error::invalid("a header for another server has characters that no header can carry");
    let address = &request.address;
    let method = if request.body.is_some() { hyper::Method::POST } else { hyper::Method::GET };
    let body = request.body.clone();
    let mut message = hyper::Request::builder()
        .method(method)
        .uri(&address.target)
        .body(Full::new(Bytes::from(body.clone().unwrap_or_default())))
        .map_err(|_| Error::invalid("an address cannot be asked for"))?;
    let headers = message.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(&address.authority).map_err(unfit)?);
    headers.insert(USER_AGENT, HeaderValue::from_static("warifu"));
    if let Some(body) = body {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    for (name, value) in &request.headers {
        let mut value = HeaderValue::from_str(value.reveal()).map_err(unfit)?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(message)
}

/// Tries the addresses of the host in turn, and speaks TLS on the first that takes the connection.
async fn connect(outbound: &dyn Outbound, request: &Fetch) -> Result<Box<dyn Stream>> {
    let address = &request.address;
    let found = match address.host.parse::<IpAddr>() {
        Ok(ip) => vec![(ip, address.port).into()],
        Err(_) => outbound.addresses(address.host.clone(), address.port).await?,
    };
    let mut failed = Error::Unavailable("no address of that host may be connected to".into());
    for at in found {
        if request.guard.as_ref().is_some_and(|admits| !admits(at.ip())) {
            continue;
        }
        match outbound.dial(at).await {
            Ok(stream) if address.secure => return secure(outbound, request, stream).await,
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn secure(outbound: &dyn Outbound, request: &Fetch, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>> {
    let builder = if request.authorities.is_empty() {
        tls::client_builder(Versions::Both).map(|builder| builder.with_root_certificates(outbound.roots()))
    } else {
        tls::client_of(&request.authorities)
    };
    let mut config = builder.map_err(|error| Error::invalid(error.to_string()))?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(request.address.host.clone())
        .map_err(|_| Error::invalid("the host of an address is no name for TLS"))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        Error::Unavailable(match tls {
            Some(tls) => format!("TLS with another server: {tls}"),
            None => format!("TLS with another server: {}", error.kind()),
        })
    })?;
    Ok(Box::new(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_none_are_refused_without_repeating_them() {
        for bad in ["", "canary", "ftp://canary/", "https://", "https://canary:p@host/", "http://ca nary/", "//canary"]
        {
            let error = Address::parse(bad).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert!(Address::parse(&format!("https://h/{}", "a".repeat(limits::OUTBOUND_ADDRESS_BYTES))).is_err());
    }

    #[test]
    fn addresses_come_apart() {
        let address = Address::parse("https://[::1]:8443/keys?x=1").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.secure), ("::1", 8443, true));
        assert_eq!(address.target, "/keys?x=1");
        let address = Address::parse("http://issuer.test").unwrap();
        assert_eq!((address.port, address.secure, address.target.as_str()), (80, false, "/"));
    }
}

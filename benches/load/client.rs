//! HTTP/1.1 as cheap as it gets: the bytes of a request are made once, and of an answer only status and length are read.
//!
//! The client shares its cores with the server, so whatever it does not do is the server's. One request is under way on a
//! connection at a time, and answers must have a `content-length`.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Result;

/// Where requests go, and how.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub tls: Option<TlsConnector>,
}

impl Target {
    /// Plain HTTP at this address.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// TLS at this address, trusting exactly the certificate in this PEM.
    pub fn tls(address: SocketAddr, pem: &[u8]) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem)?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { address, tls: Some(TlsConnector::from(Arc::new(config))) })
    }
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, token: Option<&str>, body: Option<&[u8]>) -> Vec<u8> {
    let token = token.map(|token| format!("x-vault-token: {token}\r\n")).unwrap_or_default();
    let length = body.map(|body| format!("content-length: {}\r\n", body.len())).unwrap_or_default();
    let mut bytes = format!("{method} /v1/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{token}{length}\r\n").into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that is kept.
pub struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    body: std::ops::Range<usize>,
}

impl Connection {
    /// Connects, and shakes hands if there is TLS.
    pub async fn open(target: &Target) -> Result<Self> {
        let tcp = TcpStream::connect(target.address).await?;
        tcp.set_nodelay(true)?;
        let stream = match &target.tls {
            None => Stream::Plain(tcp),
            Some(connector) => {
                let name = ServerName::from(target.address.ip());
                Stream::Tls(Box::new(connector.connect(name, tcp).await?))
            }
        };
        Ok(Self { stream, buffer: vec![0; 16 << 10], body: 0..0 })
    }

    /// Sends a request and waits for the whole answer; gives its status.
    pub async fn send(&mut self, request: &[u8]) -> Result<u16> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(request).await?,
            Stream::Tls(stream) => stream.write_all(request).await?,
        }
        let mut filled = 0;
        let (status, body) = loop {
            filled += self.fill(filled).await?;
            if let Some(head) = head(&self.buffer[..filled])? {
                break head;
            }
        };
        while filled < body.end {
            filled += self.fill(filled).await?;
        }
        if filled > body.end {
            return Err("the answer is longer than it says".into());
        }
        self.body = body;
        Ok(status)
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    /// Sends a request and takes the answer as JSON; any status but a success is an error with the server's words.
    pub async fn call(&mut self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Result<Value> {
        let body = body.map(|body| body.to_string());
        let status = self.send(&request(method, path, token, body.as_deref().map(str::as_bytes))).await?;
        if status >= 300 {
            let text = String::from_utf8_lossy(self.body());
            return Err(format!("{method} {path}: {status} {}", text.trim()).into());
        }
        if self.body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(self.body())?) }
    }

    async fn fill(&mut self, filled: usize) -> Result<usize> {
        if filled == self.buffer.len() {
            self.buffer.resize(filled * 2, 0);
        }
        let room = &mut self.buffer[filled..];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(room).await?,
            Stream::Tls(stream) => stream.read(room).await?,
        };
        if read == 0 { Err("the server closed the connection".into()) } else { Ok(read) }
    }
}

/// Status and place of the body, once the header is there whole.
fn head(bytes: &[u8]) -> Result<Option<(u16, std::ops::Range<usize>)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let digits = bytes.get(9..12).filter(|_| bytes.starts_with(b"HTTP/1.1 ")).ok_or("this is not HTTP/1.1")?;
    let status = number(digits)?;
    let status = u16::try_from(status)?;
    let mut length = None;
    let mut at = 12;
    while at < end {
        let line_end = bytes[at..=end].iter().position(|byte| *byte == b'\r').map_or(end, |found| at + found);
        let line = &bytes[at..line_end];
        if line.len() > 15 && line[..15].eq_ignore_ascii_case(b"content-length:") {
            length = Some(number(line[15..].trim_ascii())?);
        }
        at = line_end + 2;
    }
    let length = match (length, status) {
        (Some(length), _) => length,
        (None, 204 | 304) => 0,
        (None, _) => return Err("the answer has no content-length".into()),
    };
    Ok(Some((status, end + 4..end + 4 + length)))
}

fn number(digits: &[u8]) -> Result<usize> {
    Ok(std::str::from_utf8(digits)?.parse()?)
}

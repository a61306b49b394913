//! A blocking HTTP/1.1 client that sends requests exactly as written and keeps one connection open.
//!
//! Certificates of the server are not verified: it is a throw-away server on the loopback address.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

const LINE_MAX: u64 = 64 * 1024;
const HEADERS_MAX: usize = 200;
const BODY_MAX: u64 = 256 * 1024 * 1024;

/// One request, its path already encoded.
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a BTreeMap<String, String>,
    pub body: Option<&'a [u8]>,
    pub identity: Option<&'a Identity>,
    pub timeout: Duration,
}

/// A certificate with its key (PEM texts) that the client shows in a TLS handshake.
pub struct Identity {
    pub cert: String,
    pub key: String,
}

/// What came back; header names in lower case, the first of each name.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection to one address, made when needed and again when it was cut.
pub struct Client {
    host: String,
    port: u16,
    tls: bool,
    open: Option<(BufReader<Box<dyn Stream>>, TcpStream)>,
}

impl Client {
    pub fn new(host: &str, port: u16, tls: bool) -> Client {
        Client { host: host.to_owned(), port, tls, open: None }
    }

    /// Forgets the open connection.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Sends and reads the whole answer. A connection cut before the answer is tried once more, unless the request
    /// shows a client certificate; then it has a connection of its own.
    pub fn send(&mut self, request: &Request<'_>) -> Result<Answer, String> {
        let bytes = self.encode(request)?;
        if request.identity.is_some() {
            let (mut stream, socket) = self.connect(request.identity)?;
            set_timeout(&socket, request.timeout)?;
            return exchange(&mut stream, request.method, &bytes).map(|(answer, _)| answer).map_err(Cut::text);
        }
        let mut retried = false;
        loop {
            if self.open.is_none() {
                self.open = Some(self.connect(None)?);
            }
            let Some((stream, socket)) = self.open.as_mut() else { continue };
            set_timeout(socket, request.timeout)?;
            match exchange(stream, request.method, &bytes) {
                Ok((answer, reusable)) => {
                    if !reusable {
                        self.close();
                    }
                    return Ok(answer);
                }
                Err(Cut::Early(_)) if !retried => retried = true,
                Err(cut) => {
                    self.close();
                    return Err(cut.text());
                }
            }
            self.close();
        }
    }

    fn encode(&self, request: &Request<'_>) -> Result<Vec<u8>, String> {
        let clean = |text: &str| !text.bytes().any(|b| b <= b' ' || b == 0x7f);
        if !clean(request.path) || !clean(request.method) || !request.path.is_ascii() {
            return Err("the path is not one that can be sent".to_owned());
        }
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
        head += &format!("Host: {}:{}\r\n", self.host, self.port);
        for (name, value) in request.headers {
            if format!("{name}{value}").contains(['\r', '\n']) {
                return Err(format!("header '{name}' has a line break"));
            }
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = request.body {
            head += &format!("Content-Length: {}\r\n", body.len());
        } else if matches!(request.method, "POST" | "PUT" | "PATCH") {
            head += "Content-Length: 0\r\n";
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(request.body.unwrap_or_default());
        Ok(bytes)
    }

    fn connect(&self, identity: Option<&Identity>) -> Result<(BufReader<Box<dyn Stream>>, TcpStream), String> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).map_err(|e| format!("connect: {e}"))?;
        set_timeout(&socket, Duration::from_secs(10))?;
        // The head and body leave in one write; waiting for more would only add delays.
        socket.set_nodelay(true).map_err(|e| e.to_string())?;
        let handle = socket.try_clone().map_err(|e| e.to_string())?;
        let stream: Box<dyn Stream> = if self.tls {
            let config = tls_config(identity)?;
            let name = ServerName::try_from(self.host.clone()).map_err(|e| e.to_string())?;
            let session = ClientConnection::new(Arc::new(config), name).map_err(|e| e.to_string())?;
            Box::new(StreamOwned::new(session, socket))
        } else {
            Box::new(socket)
        };
        Ok((BufReader::new(stream), handle))
    }
}

fn set_timeout(socket: &TcpStream, timeout: Duration) -> Result<(), String> {
    socket
        .set_read_timeout(Some(timeout))
        .and_then(|()| socket.set_write_timeout(Some(timeout)))
        .map_err(|e| format!("timeout: {e}"))
}

/// Where an exchange broke off: before the first byte of an answer, or inside it.
enum Cut {
    Early(String),
    Late(String),
}

impl Cut {
    fn text(self) -> String {
        match self {
            Cut::Early(text) | Cut::Late(text) => text,
        }
    }
}

/// Writes the request, reads the answer and tells whether the connection may be used again.
fn exchange(stream: &mut BufReader<Box<dyn Stream>>, method: &str, bytes: &[u8]) -> Result<(Answer, bool), Cut> {
    let sent = stream.get_mut().write_all(bytes).and_then(|()| stream.get_mut().flush());
    sent.map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Cut::Late(format!("send: {e}")),
        _ => Cut::Early(format!("send: {e}")),
    })?;
    match stream.fill_buf() {
        Ok([]) => return Err(Cut::Early("the server closed the connection without an answer".to_owned())),
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {
            return Err(Cut::Early(format!("receive: {e}")));
        }
        Err(e) => return Err(Cut::Late(format!("receive: {e}"))),
    }
    read_answer(stream, method).map_err(Cut::Late)
}

/// Reads one answer, interim ones left out; the flag says whether the connection can carry another request.
pub fn read_answer(stream: &mut impl BufRead, method: &str) -> Result<(Answer, bool), String> {
    loop {
        let status_line = read_line(stream)?;
        let mut words = status_line.splitn(3, ' ');
        let version = words.next().unwrap_or_default().to_owned();
        let status: u16 = words
            .next()
            .filter(|_| version.starts_with("HTTP/1."))
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| format!("not a status line: {status_line:?}"))?;
        let headers = read_headers(stream)?;
        if (100..200).contains(&status) {
            continue;
        }
        let connection = headers.get("connection").map(|value| value.to_ascii_lowercase());
        let mut reusable = version == "HTTP/1.1" && connection.as_deref() != Some("close");
        let body = if method == "HEAD" || status == 204 || status == 304 {
            Vec::new()
        } else if headers.get("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            read_chunks(stream)?
        } else if let Some(length) = headers.get("content-length") {
            let length: u64 = length.trim().parse().map_err(|_| "bad content-length".to_owned())?;
            read_exactly(stream, length)?
        } else {
            reusable = false;
            let mut body = Vec::new();
            stream.take(BODY_MAX).read_to_end(&mut body).map_err(|e| format!("receive: {e}"))?;
            body
        };
        return Ok((Answer { status, headers, body }, reusable));
    }
}

fn read_line(stream: &mut impl BufRead) -> Result<String, String> {
    let mut line = Vec::new();
    stream.take(LINE_MAX).read_until(b'\n', &mut line).map_err(|e| format!("receive: {e}"))?;
    if line.pop() != Some(b'\n') {
        return Err("the answer ends inside a line".to_owned());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    // Header bytes above ASCII are Latin-1 by the letter of HTTP/1.1.
    Ok(line.into_iter().map(char::from).collect())
}

fn read_headers(stream: &mut impl BufRead) -> Result<BTreeMap<String, String>, String> {
    let mut headers = BTreeMap::new();
    for _ in 0..HEADERS_MAX {
        let line = read_line(stream)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| format!("not a header: {line:?}"))?;
        headers.entry(name.trim().to_ascii_lowercase()).or_insert_with(|| value.trim().to_owned());
    }
    Err("too many headers".to_owned())
}

fn read_chunks(stream: &mut impl BufRead) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).map_err(|_| format!("not a chunk size: {line:?}"))?;
        if size == 0 {
            read_headers(stream)?;
            return Ok(body);
        }
        body.extend(read_exactly(stream, size)?);
        if body.len() as u64 > BODY_MAX {
            return Err("the answer is too long".to_owned());
        }
        read_line(stream)?;
    }
}

fn read_exactly(stream: &mut impl BufRead, length: u64) -> Result<Vec<u8>, String> {
    if length > BODY_MAX {
        return Err("the answer is too long".to_owned());
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body).map_err(|e| format!("receive: {e}"))?;
    if body.len() as u64 != length {
        return Err(format!("the answer ends after {} of {length} bytes", body.len()));
    }
    Ok(body)
}

fn tls_config(identity: Option<&Identity>) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = CertificateDer::pem_slice_iter(identity.cert.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| format!("client certificate: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|e| format!("client key: {e}"))?;
    builder.with_client_auth_cert(chain, key).map_err(|e| format!("client certificate: {e}"))
}

/// Accepts every server certificate; signatures in the handshake are still checked.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
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
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! A client that says exactly what it is told to, and answers that a story can lean on.

use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A client of one server, with the token that it shows unless a call says otherwise.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    /// With TLS, a connection for each call.
    tls: Option<TlsConnector>,
    address: SocketAddr,
    token: Option<String>,
}

/// One request in the making.
#[must_use]
pub struct Call {
    http: Http,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status; 0 if there was no answer at all.
    pub status: u16,
    /// The body.
    pub text: String,
    /// The body as JSON; `null` if it is none.
    pub json: Value,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    what: String,
}

impl Http {
    /// A client without a token.
    pub fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(512).build_http();
        Self { client, tls: None, address, token: None }
    }

    /// The same client, speaking TLS by this configuration.
    pub fn over_tls(&self, config: ClientConfig) -> Self {
        Self { tls: Some(TlsConnector::from(Arc::new(config))), ..self.clone() }
    }

    /// The same client with this token.
    pub fn with(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same client without a token.
    pub fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// The token that it shows.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Where the server is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Any request below `/v1/`.
    pub fn call(&self, method: &str, path: &str) -> Call {
        let mut headers = Vec::new();
        if let Some(token) = &self.token {
            headers.push(("x-vault-token".to_owned(), token.clone()));
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Call { http: self.clone(), method, path: format!("/v1/{path}"), headers, body: Vec::new() }
    }

    pub fn get(&self, path: &str) -> Call {
        self.call("GET", path)
    }

    pub fn list(&self, path: &str) -> Call {
        self.call("LIST", path)
    }

    pub fn delete(&self, path: &str) -> Call {
        self.call("DELETE", path)
    }

    pub fn put(&self, path: &str, body: Value) -> Call {
        self.call("PUT", path).json(&body)
    }

    pub fn patch(&self, path: &str, body: Value) -> Call {
        self.call("PATCH", path).json(&body).header("content-type", "application/merge-patch+json")
    }

    /// A policy of this text.
    pub async fn policy(&self, name: &str, text: &str) {
        self.put(&format!("sys/policies/acl/{name}"), serde_json::json!({"policy": text})).await.ok();
    }

    /// A new token; the body is that of `auth/token/create`.
    pub async fn token_of(&self, body: Value) -> String {
        self.put("auth/token/create", body).await.ok().auth()["client_token"].as_str().unwrap().to_owned()
    }

    /// Whether the token can look at itself. Anything but yes and 403 is a failure of the test.
    pub async fn alive(&self, token: &str) -> bool {
        let answer = self.with(token).get("auth/token/lookup-self").await;
        assert!(matches!(answer.status, 200 | 403), "{answer:?}");
        answer.status == 200
    }
}

impl Call {
    pub fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self
    }

    pub fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With another token.
    pub fn by(mut self, token: &str) -> Self {
        self.headers.retain(|(name, _)| name != "x-vault-token");
        self.header("x-vault-token", token)
    }

    /// To be answered wrapped.
    pub fn wrapped(self, ttl: &str) -> Self {
        self.header("x-vault-wrap-ttl", ttl)
    }

    fn request(self, what: &str) -> Request<Full<Bytes>> {
        let uri = format!("http://{}{}", self.http.address, self.path);
        let mut request = Request::builder().method(self.method).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::from(self.body)).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Sends it, and gives its answer to be read as it comes.
    pub async fn streaming(self) -> Streaming {
        let client = self.http.client.clone();
        let (head, body) = client.request(self.request("a stream")).await.unwrap().into_parts();
        assert_eq!(head.status, 200);
        Streaming { body, text: String::new() }
    }

    /// Sends it, and hangs up when the head of the answer is there.
    pub async fn status(self) -> u16 {
        let client = self.http.client.clone();
        client.request(self.request("a status")).await.unwrap().status().as_u16()
    }

    async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        let http = self.http.clone();
        let request = self.request(&what);
        let none =
            |text: String| Answer { status: 0, text, json: Value::Null, headers: Vec::new(), what: what.clone() };
        let sent = tokio::time::timeout(Duration::from_secs(60), async {
            let answer = match &http.tls {
                None => http.client.request(request).await.map_err(|e| format!("{e:?}"))?,
                Some(tls) => once(tls, http.address, request).await?,
            };
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|e| format!("{e:?}"))?.to_bytes();
            Ok::<_, String>((head, body))
        });
        let (head, body) = match sent.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return none(error),
            Err(_) => return none("no answer within a minute".into()),
        };
        let text = String::from_utf8_lossy(&body).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap_or_default().to_owned())
        };
        Answer { status: head.status.as_u16(), json, text, headers: head.headers.iter().map(header).collect(), what }
    }
}

/// One request over a connection of its own.
async fn once(
    tls: &TlsConnector,
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, String> {
    let tcp = TcpStream::connect(address).await.map_err(|e| format!("{e:?}"))?;
    let name = ServerName::from(address.ip());
    let stream = tls.connect(name, tcp).await.map_err(|e| format!("{e:?}"))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|e| format!("{e:?}"))?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|e| format!("{e:?}"))
}

/// An answer that comes over time.
pub struct Streaming {
    body: Incoming,
    /// What has come so far.
    pub text: String,
}

impl Streaming {
    /// Waits for the next piece; false at the end.
    pub async fn more(&mut self) -> bool {
        let frame = tokio::time::timeout(Duration::from_secs(60), self.body.frame()).await.expect("nothing comes");
        let Some(frame) = frame else { return false };
        let bytes = frame.unwrap().into_data().unwrap_or_default();
        self.text.push_str(&String::from_utf8_lossy(&bytes));
        true
    }

    /// Waits until these words have come.
    pub async fn until(&mut self, words: &str) {
        while !self.text.contains(words) {
            assert!(self.more().await, "it ended without {words:?}: {}", self.text);
        }
    }

    /// Waits for the end.
    pub async fn ends(&mut self) {
        while self.more().await {}
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl Answer {
    /// Whether it is a success.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// It must be a success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.succeeded(), "{} answered {}: {}", self.what, self.status, self.text);
        self
    }

    /// It must have this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} answered {}: {}", self.what, self.status, self.text);
        self
    }

    /// It must be a refusal of this status with these words somewhere in its errors.
    #[track_caller]
    pub fn refused(self, status: u16, words: &str) -> Self {
        let answer = self.is(status);
        assert!(answer.errors().contains(words), "{} answered {:?}, not {words:?}", answer.what, answer.errors());
        answer
    }

    /// `errors`, in one text.
    pub fn errors(&self) -> String {
        let texts = self.json["errors"].as_array().cloned().unwrap_or_default();
        texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
    }

    /// A header's first value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub fn data(&self) -> &Value {
        &self.json["data"]
    }

    pub fn auth(&self) -> &Value {
        &self.json["auth"]
    }

    /// The token under which an answer waits.
    #[track_caller]
    pub fn wrapping_token(&self) -> String {
        self.json["wrap_info"]["token"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }

    /// Status and body, for comparing two answers; what is different in each answer is left out.
    pub fn shape(&self) -> (u16, Value) {
        let mut json = self.json.clone();
        if let Some(map) = json.as_object_mut() {
            map.remove("request_id");
        }
        (self.status, json)
    }
}

/// Sends bytes as they are and reads until the server closes, or says nothing for a while.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match tokio::time::timeout(Duration::from_secs(20), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) | Err(_) => break,
            Ok(Ok(n)) => text.extend_from_slice(&buffer[..n]),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A raw request line for a path which no honest client would send, answered with its status and body.
pub async fn raw_path(http: &Http, method: &str, path: &[u8]) -> (u16, String) {
    let mut bytes = format!("{method} /v1/").into_bytes();
    bytes.extend_from_slice(path);
    bytes.extend_from_slice(
        format!(
            " HTTP/1.1\r\nhost: x\r\nx-vault-token: {}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}",
            http.token()
        )
        .as_bytes(),
    );
    let text = raw(http.address(), &bytes).await;
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, text)
}

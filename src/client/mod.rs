//! A typed HTTP client of Vault's API: one address, one token, a small pool of kept connections.
//!
//! The token travels only in its header and only to the address of the settings; nothing here
//! prints a token, a request's body or a reply's data, not even in `Debug`.

mod connect;
mod error;
mod reply;
mod request;
mod settings;
mod tls;

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Uri,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue, LOCATION},
    http::{
        response::Parts,
        uri::{Authority, Scheme},
    },
};
use hyper_util::{
    client::legacy::Client as Pool,
    rt::{TokioExecutor, TokioTimer},
};
use serde_json::Value;

use crate::base::Secret;

pub use error::{Error, Result};
pub use reply::{Auth, RawReply, Reply, WrapInfo};
pub use request::{Method, Request};
pub use settings::Settings;

/// A number in `0.0..1.0`, drawn before each wait so that many clients do not come back at once.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// The largest reply that is read: what the server takes as the largest request.
pub const REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The longest wait between two attempts, before jitter.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(16);
/// Idle connections that are kept; an agent rarely asks for more than this at once.
const IDLE_CONNECTIONS_MAX: usize = 4;
/// How long an idle connection is kept: below the server's own limit, so that it seldom closes first.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// A client of one server. Cloning is cheap; clones share the pool of connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    token: Option<Arc<Secret<String>>>,
    namespace: Option<String>,
    wrap_ttl: Option<String>,
}

struct Shared {
    pool: Pool<connect::Connector, Full<Bytes>>,
    address: String,
    scheme: Scheme,
    authority: Authority,
    /// What stands before `/v1/` when the address has a path.
    prefix: String,
    retries_max: u32,
    retry_wait: Duration,
    timeout: Duration,
    redirects: bool,
    jitter: Jitter,
}

impl Client {
    /// Makes a client; it connects with the first request. Fails when an address, a certificate
    /// or a key of the settings cannot be used.
    pub fn new(settings: &Settings, jitter: Jitter) -> Result<Self> {
        let place = connect::Place::parse(&settings.address)?;
        let tls = if place.scheme == Scheme::HTTPS { Some(tls::Tls::new(settings)?) } else { None };
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_TIME_MAX)
            .build(connect::Connector::new(&place, tls));
        if let Some(token) = &settings.token {
            request::check_token(token)?;
        }
        Ok(Self {
            shared: Arc::new(Shared {
                pool,
                address: settings.address.clone(),
                scheme: place.scheme,
                authority: place.authority,
                prefix: place.prefix,
                retries_max: settings.retries_max,
                retry_wait: settings.retry_wait,
                timeout: settings.timeout,
                redirects: settings.redirects,
                jitter,
            }),
            token: settings.token.clone().map(Arc::new),
            namespace: settings.namespace.clone(),
            wrap_ttl: settings.wrap_ttl.clone(),
        })
    }

    /// The same server with another token, or none. Fails when the token cannot be a header.
    pub fn with_token(&self, token: Option<Secret<String>>) -> Result<Self> {
        if let Some(token) = &token {
            request::check_token(token)?;
        }
        Ok(Self { token: token.map(Arc::new), ..self.clone() })
    }

    /// The same server in another namespace.
    pub fn with_namespace(&self, namespace: Option<String>) -> Self {
        Self { namespace, ..self.clone() }
    }

    /// The same server, every reply wrapped for this long (`"5m"`, `"300"`), or none wrapped.
    pub fn with_wrap_ttl(&self, wrap_ttl: Option<String>) -> Self {
        Self { wrap_ttl, ..self.clone() }
    }

    /// The token that requests carry.
    pub fn token(&self) -> Option<&Secret<String>> {
        self.token.as_deref()
    }

    /// The namespace that requests name.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The wrapping time that requests ask for.
    pub fn wrap_ttl(&self) -> Option<&str> {
        self.wrap_ttl.as_deref()
    }

    /// The server's address as the settings gave it.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// The whole address of a request's path, as messages show it.
    pub fn url(&self, path: &str) -> String {
        if self.shared.address.starts_with("unix:") {
            format!("{}://{}{path}", self.shared.scheme, self.shared.authority)
        } else {
            format!("{}{path}", self.shared.address.trim_end_matches('/'))
        }
    }

    /// Reads a path below `/v1/`. What does not exist is `None`; a 404 that carries data or
    /// warnings (a deleted version) is a reply with `status` 404.
    pub async fn read(&self, path: &str) -> Result<Option<Reply>> {
        self.ask(Request::read(path)).await
    }

    /// Reads a path with query parameters, as [`Client::read`].
    pub async fn read_with(&self, path: &str, query: &[(&str, &str)]) -> Result<Option<Reply>> {
        self.ask(Request::read(path).query_all(query)).await
    }

    /// Lists a path. What has no entries is `None`.
    pub async fn list(&self, path: &str) -> Result<Option<Reply>> {
        self.ask(Request::list(path)).await
    }

    /// Writes (creates or updates) with a JSON body.
    pub async fn write(&self, path: &str, body: &Value) -> Result<Reply> {
        self.send(Request::write(path).json(body)?).await
    }

    /// Merges a JSON patch into what is there.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Reply> {
        self.send(Request::patch(path).json(body)?).await
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Result<Reply> {
        self.send(Request::delete(path)).await
    }

    /// As [`Client::send`], and what does not exist is `None`.
    pub async fn ask(&self, request: Request) -> Result<Option<Reply>> {
        match self.send(request).await {
            Ok(reply) => Ok(Some(reply)),
            Err(Error::Api { status: 404, .. }) => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Sends a request and reads the reply as Vault's JSON. A status of 400 or more is
    /// [`Error::Api`], save a 404 that carries data or warnings.
    pub async fn send(&self, request: Request) -> Result<Reply> {
        let method = request.method();
        let path = request.path_and_query();
        let raw = self.raw(request).await?;
        if raw.status < 400 {
            return Reply::parse(raw.status, &raw.body);
        }
        if raw.status == 404 {
            // The body of a 404 may be anything; only one with substance is a reply.
            if let Ok(reply) = Reply::parse(404, &raw.body)
                && reply.has_substance()
            {
                return Ok(reply);
            }
        }
        Err(Error::from_reply(method, path, raw.status, &raw.body))
    }

    /// Sends a request and returns whatever came, of any status, as it came. Retries and the one
    /// redirect are done here, all within one timeout.
    pub async fn raw(&self, request: Request) -> Result<RawReply> {
        let limit = request.timeout_or(self.shared.timeout);
        match tokio::time::timeout(limit, self.attempts(&request)).await {
            Ok(result) => result,
            Err(_) => {
                Err(Error::Transport(format!("no answer from {} within {} s", self.shared.address, limit.as_secs())))
            }
        }
    }

    /// Sends a request whose reply comes over time, and waits for its head only: no retry, no redirect. A status of 400 or
    /// more is [`Error::Api`].
    pub async fn stream(&self, request: Request) -> Result<Streaming> {
        let limit = request.timeout_or(self.shared.timeout);
        let uri = self.uri(&request.path_and_query())?;
        let late = || Error::Transport(format!("no answer from {} within {} s", self.shared.address, limit.as_secs()));
        let opened = tokio::time::timeout(limit, self.open(&request, &uri)).await.map_err(|_| late())?;
        let (head, body) = opened.map_err(|failure| failure.error)?;
        let status = head.status.as_u16();
        if status < 400 {
            return Ok(Streaming { body });
        }
        let body = tokio::time::timeout(limit, whole(body, &request)).await.map_err(|_| late())?;
        let body = body.map_err(|failure| failure.error)?;
        Err(Error::from_reply(request.method(), request.path_and_query(), status, &body))
    }

    async fn attempts(&self, request: &Request) -> Result<RawReply> {
        let mut uri = self.uri(&request.path_and_query())?;
        let mut redirected = false;
        let mut attempt = 0;
        loop {
            let outcome = self.attempt(request, &uri).await;
            let again = match &outcome {
                Ok(reply) => retried_status(reply.status),
                Err(Failure { again, .. }) => *again,
            };
            if again && attempt < self.shared.retries_max {
                tokio::time::sleep(self.wait_before(attempt)).await;
                attempt += 1;
                continue;
            }
            let reply = outcome.map_err(|failure| failure.error)?;
            if matches!(reply.status, 307 | 308) && self.shared.redirects && !redirected {
                uri = self.redirect(&reply.headers)?;
                redirected = true;
                continue;
            }
            return Ok(reply);
        }
    }

    async fn attempt(&self, request: &Request, uri: &Uri) -> Result<RawReply, Failure> {
        let (head, body) = self.open(request, uri).await?;
        let body = whole(body, request).await?;
        Ok(RawReply { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Sends once, and waits for the head of the reply.
    async fn open(&self, request: &Request, uri: &Uri) -> Result<(Parts, Incoming), Failure> {
        let mut message = hyper::Request::builder().method(request.verb()).uri(uri.clone());
        if let Some(headers) = message.headers_mut() {
            self.headers(request, headers).map_err(Failure::last)?;
        }
        let message = message
            .body(Full::new(request.body()))
            .map_err(|err| Failure::last(Error::Invalid(format!("request: {err}"))))?;
        let answer = self.shared.pool.request(message).await.map_err(|err| {
            // A request that never left may always go again; one that left only if asking twice
            // is the same as asking once.
            let again = err.is_connect() || request.is_read();
            let error = connect::explain(&self.shared.address, &err);
            Failure { again: again && !matches!(error, Error::Tls(_)), error }
        })?;
        Ok(answer.into_parts())
    }

    fn headers(&self, request: &Request, headers: &mut HeaderMap) -> Result<()> {
        if !request.is_bare() {
            headers.insert("x-vault-request", HeaderValue::from_static("true"));
        }
        if let Some(token) = self.token.as_deref().filter(|_| request.carries_token()) {
            let mut value = HeaderValue::from_str(token.reveal())
                .map_err(|_| Error::Invalid("the token has characters that no header can carry".into()))?;
            value.set_sensitive(true);
            headers.insert("x-vault-token", value);
        }
        if let Some(namespace) = self.namespace.as_deref().filter(|name| !name.is_empty() && !request.is_bare()) {
            headers.insert("x-vault-namespace", plain_header("namespace", namespace)?);
        }
        if let Some(ttl) = request.wrap_ttl_or(self.wrap_ttl.as_deref()) {
            headers.insert("x-vault-wrap-ttl", plain_header("wrap TTL", ttl)?);
        }
        if let Some(content_type) = request.content_type() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in request.extra_headers() {
            headers.insert(name, value.clone());
        }
        Ok(())
    }

    fn uri(&self, path_and_query: &str) -> Result<Uri> {
        Uri::builder()
            .scheme(self.shared.scheme.clone())
            .authority(self.shared.authority.clone())
            .path_and_query(format!("{}{path_and_query}", self.shared.prefix))
            .build()
            .map_err(|_| Error::Invalid("the path cannot be part of an address".into()))
    }

    /// Where a redirect points: to the same host over the same scheme, so that no token is
    /// carried elsewhere.
    fn redirect(&self, headers: &HeaderMap) -> Result<Uri> {
        let refused = |why: &str| Error::Transport(format!("redirect refused: {why}"));
        let to = headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| refused("no readable location"))?;
        let to: Uri = to.parse().map_err(|_| refused("the location is not an address"))?;
        let Some(authority) = to.authority() else {
            let path = to.path_and_query().map_or("/", |path| path.as_str());
            return Uri::builder()
                .scheme(self.shared.scheme.clone())
                .authority(self.shared.authority.clone())
                .path_and_query(path)
                .build()
                .map_err(|_| refused("the location is not an address"));
        };
        if authority.host() != self.shared.authority.host() || authority.as_str().contains('@') {
            return Err(refused("the location is another host"));
        }
        if to.scheme() != Some(&self.shared.scheme) {
            return Err(refused("the location has another scheme"));
        }
        Ok(to)
    }

    fn wait_before(&self, attempt: u32) -> Duration {
        let doubled = self.shared.retry_wait.saturating_mul(1_u32 << attempt.min(16));
        let share = Some((self.shared.jitter)()).filter(|share| (0.0..=1.0).contains(share)).unwrap_or(0.0);
        doubled.min(RETRY_WAIT_MAX).mul_f64(1.0 + share / 2.0)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.shared.address)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// All of a body that is not too large.
async fn whole(body: Incoming, request: &Request) -> Result<Bytes, Failure> {
    let collected = Limited::new(body, REPLY_BYTES_MAX).collect().await.map_err(|err| {
        if err.downcast_ref::<LengthLimitError>().is_some() {
            Failure::last(Error::TooLarge)
        } else {
            let error = Error::Transport(format!("the reply broke off: {err}"));
            Failure { again: request.is_read(), error }
        }
    })?;
    Ok(collected.to_bytes())
}

/// A reply that comes over time. Dropped, the server is told that nobody listens.
pub struct Streaming {
    body: Incoming,
}

impl Streaming {
    /// The next bytes as they come; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            match self.body.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => return Some(Ok(data)),
                    // Trailers are of no use here.
                    Err(_) => continue,
                },
                Err(err) => return Some(Err(Error::Transport(format!("the reply broke off: {err}")))),
            }
        }
    }
}

/// An attempt that brought no reply, and whether another may.
struct Failure {
    again: bool,
    error: Error,
}

impl Failure {
    fn last(error: Error) -> Self {
        Self { again: false, error }
    }
}

/// Statuses after which the same request may succeed: 412 says that a node has not seen a write
/// yet, 501 says that it never will.
fn retried_status(status: u16) -> bool {
    status == 412 || (status >= 500 && status != 501)
}

fn plain_header(what: &str, value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value).map_err(|_| Error::Invalid(format!("{what}: has characters that no header can carry")))
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

//! Local listeners: health, metrics, rotation, and a proxy that adds the agent's token to requests for the server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tracing::{info, warn};

use super::config::{Listener, Place, ProxyToken};
use super::login::Session;
use super::render::Progress;
use super::sds::Board;
use super::socket::{self, ACCEPT_PAUSE};
use crate::client::{self, Client, Method};

/// Connections that are served at once.
const CONNECTIONS_MAX: usize = 128;
/// The largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 32 << 20;
/// How long a client may take to send its headers.
const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
/// How long it may take to send the body: one that trickles in does not hold a place for ever.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);
/// The longest request for a rotation, in bytes.
const ROTATE_BYTES_MAX: usize = 8192;

/// What a rotation asks for, and where the answer goes: whether there is such a template.
pub(super) type Rotation = (String, oneshot::Sender<bool>);

/// What the listeners use.
#[derive(Clone)]
pub(super) struct Shared {
    pub client: Client,
    pub session: watch::Receiver<Option<Session>>,
    pub progress: watch::Receiver<Progress>,
    pub rotations: mpsc::Sender<Rotation>,
    pub quit: Arc<Notify>,
    pub board: Board,
    pub token: ProxyToken,
}

/// A socket that waits.
pub(super) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Takes the place of a listener.
///
/// # Errors
/// It is taken, or cannot be.
pub(super) async fn bind(listener: &Listener) -> Result<Bound, String> {
    match &listener.place {
        Place::Tcp(address) => {
            let bound = TcpListener::bind(address).await.map_err(|error| format!("listener {address}: {error}"))?;
            info!(address = %bound.local_addr().map_err(|error| error.to_string())?, "listening");
            Ok(Bound::Tcp(bound))
        }
        Place::Unix(place) => Ok(Bound::Unix(socket::bind(place)?)),
    }
}

/// Serves for as long as it is polled.
pub(super) async fn serve(bound: Bound, rules: Listener, shared: Shared) -> Infallible {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let rules = Arc::new(rules);
    loop {
        // Nobody closes the semaphore.
        let Ok(place) = places.clone().acquire_owned().await else { std::future::pending().await };
        let (rules, shared) = (rules.clone(), shared.clone());
        let accepted = match &bound {
            Bound::Tcp(listener) => listener.accept().await.map(|(socket, _)| {
                tokio::spawn(async move {
                    let _place = place;
                    connection(socket, rules, shared).await;
                });
            }),
            Bound::Unix(listener) => listener.accept().await.map(|(socket, _)| {
                tokio::spawn(async move {
                    let _place = place;
                    connection(socket, rules, shared).await;
                });
            }),
        };
        if let Err(error) = accepted {
            warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

async fn connection(socket: impl AsyncRead + AsyncWrite + Unpin, rules: Arc<Listener>, shared: Shared) {
    let service = service_fn(move |request| {
        let (rules, shared) = (rules.clone(), shared.clone());
        async move { Ok::<_, Infallible>(answer(request, &rules, &shared).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

fn json(status: u16, body: &serde_json::Value) -> Response<Full<Bytes>> {
    respond(status, "application/json", body.to_string().into())
}

fn failed(status: u16, text: &str) -> Response<Full<Bytes>> {
    json(status, &serde_json::json!({ "errors": [text] }))
}

fn respond(status: u16, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(hyper::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn answer(request: Request<Incoming>, rules: &Listener, shared: &Shared) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    match (request.method().as_str(), path.as_str()) {
        ("GET" | "HEAD", "/agent/v1/health") => return health(shared),
        ("GET", "/agent/v1/metrics") => return respond(200, "text/plain; version=0.0.4", metrics(shared).into()),
        ("GET", "/agent/v1/sds") => return json(200, &shared.board.json()),
        _ => {}
    }
    // A page in a browser cannot send this header: it is what keeps other sites from using the agent.
    let marked = request.headers().get("x-vault-request").is_some_and(|value| value == "true");
    if rules.require_header && !marked {
        return failed(412, "missing 'X-Vault-Request' header");
    }
    match (request.method().as_str(), path.as_str()) {
        ("POST" | "PUT", "/agent/v1/quit") if rules.quit => {
            shared.quit.notify_one();
            respond(204, "application/json", Bytes::new())
        }
        ("POST" | "PUT", "/agent/v1/rotate") if rules.rotate => rotate(request, shared).await,
        (_, path) if path.starts_with("/v1/") && !rules.metrics_only => pass_on(request, shared).await,
        _ => failed(404, "no such path here"),
    }
}

/// All of a body, or why not.
async fn whole(body: Incoming, most: usize) -> Result<Bytes, Response<Full<Bytes>>> {
    match tokio::time::timeout(BODY_TIME_MAX, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(failed(413, "the body is too long or broke off")),
        Err(_) => Err(failed(408, "the body came too slowly")),
    }
}

/// 200 once everything has been rendered, 503 until then.
fn health(shared: &Shared) -> Response<Full<Bytes>> {
    let progress = shared.progress.borrow().clone();
    let body = serde_json::json!({
        "rendered": progress.complete, "templates": progress.templates, "templates_rendered": progress.rendered,
        "authenticated": shared.session.borrow().is_some(), "sds_refusals": shared.board.refusals(),
    });
    json(if progress.complete { 200 } else { 503 }, &body)
}

fn metrics(shared: &Shared) -> String {
    let progress = shared.progress.borrow().clone();
    let rows = [
        ("warifu_agent_rendered", "gauge", usize::from(progress.complete)),
        ("warifu_agent_templates", "gauge", progress.templates),
        ("warifu_agent_templates_rendered", "gauge", progress.rendered),
        ("warifu_agent_changes_total", "counter", usize::try_from(progress.revision).unwrap_or(usize::MAX)),
        ("warifu_agent_authenticated", "gauge", usize::from(shared.session.borrow().is_some())),
        ("warifu_agent_sds_refusals", "gauge", shared.board.refusals()),
    ];
    rows.iter().map(|(name, kind, value)| format!("# TYPE {name} {kind}\n{name} {value}\n")).collect()
}

async fn rotate(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let body = match whole(request.into_body(), ROTATE_BYTES_MAX).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(name) = body.get("template").and_then(serde_json::Value::as_str) else {
        return failed(400, "\"template\" is missing");
    };
    let (said, known) = oneshot::channel();
    if shared.rotations.send((name.to_owned(), said)).await.is_err() {
        return failed(503, "nothing is rendered");
    }
    match known.await {
        Ok(true) => respond(204, "application/json", Bytes::new()),
        _ => failed(404, "no template has this destination or name"),
    }
}

/// Sends a request on as it is, with a token where the configuration says so.
async fn pass_on(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let Some(method) = method(request.method().as_str()) else { return failed(405, "unsupported method") };
    let (head, body) = request.into_parts();
    let body = match whole(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let own = head.headers.get("x-vault-token").or_else(|| head.headers.get("authorization"));
    let adds = match shared.token {
        ProxyToken::No => false,
        ProxyToken::IfMissing => own.is_none(),
        ProxyToken::Force => true,
    };
    let mut client = shared.client.clone();
    if adds {
        let session = shared.session.borrow().clone();
        match session {
            Some(session) => client = session.client,
            None => return failed(503, "the agent has no token yet"),
        }
    }
    let mut onward = client::Request::verbatim(method, path).bytes(body).as_given();
    for (name, value) in &head.headers {
        let skipped = ["host", "connection", "content-length", "transfer-encoding", "expect", "te", "upgrade"];
        let replaced = adds && ["x-vault-token", "authorization"].contains(&name.as_str());
        if !replaced && !skipped.contains(&name.as_str()) {
            onward = onward.header(name.clone(), value.clone());
        }
    }
    if !adds {
        onward = onward.without_token();
    }
    match client.raw(onward).await {
        Ok(reply) => {
            let mut response = Response::new(Full::new(reply.body));
            *response.status_mut() =
                hyper::StatusCode::from_u16(reply.status).unwrap_or(hyper::StatusCode::BAD_GATEWAY);
            for (name, value) in &reply.headers {
                if kept(name) {
                    response.headers_mut().append(name.clone(), value.clone());
                }
            }
            response
        }
        Err(error) => failed(502, &error.to_string()),
    }
}

fn kept(name: &HeaderName) -> bool {
    !["connection", "content-length", "transfer-encoding", "keep-alive"].contains(&name.as_str())
}

fn method(word: &str) -> Option<Method> {
    let all = [Method::Get, Method::Put, Method::Post, Method::Patch, Method::Delete, Method::Head, Method::List];
    all.into_iter().find(|method| method.as_str() == word)
}

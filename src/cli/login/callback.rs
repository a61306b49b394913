//! The local listener to which a browser comes back from the issuer: it serves one login and nothing else.
//!
//! Any page in any browser of this machine can send requests here. So only the state of the very login that waits is listened to; all
//! else gets a page of fixed words, and the login goes on waiting. Nothing that a browser brings is ever shown in a page.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::super::failure::{Failure, Outcome};
use crate::base::json::Map;
use crate::base::{Json, Secret, form};

/// Where the browser comes back to.
pub const PATH: &str = "/oidc/callback";
/// Connections that are served at once: browsers open some that they never use.
const CONNECTIONS_MAX: usize = 16;
/// The longest form that an issuer makes a browser send, in bytes.
const FORM_BYTES_MAX: usize = 64 << 10;
/// How long a browser may take to send what it has, and then to take the page.
const BROWSER_TIME_MAX: Duration = Duration::from_secs(10);
/// How long to wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an issuer may say instead of a code (RFC 6749, section 4.1.2.1; OpenID Connect Core, section 3.1.2.6). Its own words are not repeated:
/// they come from the browser.
const REFUSALS: [&str; 12] = [
    "access_denied",
    "account_selection_required",
    "consent_required",
    "interaction_required",
    "invalid_request",
    "invalid_request_uri",
    "invalid_scope",
    "login_required",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_response_type",
];

/// A page, by what there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The login succeeded.
    SignedIn,
    /// It failed.
    Failed,
    /// The request is of no login that waits here.
    Foreign,
    /// Nothing of the kind is here.
    Nothing,
}

/// A browser that came back, and waits for its page.
pub struct Visit {
    /// The issuer's code, or why there is none.
    pub said: Result<Secret<String>, &'static str>,
    page: oneshot::Sender<Page>,
    ended: oneshot::Receiver<()>,
}

/// A socket that waits for a browser.
pub struct Callback {
    socket: TcpListener,
    port: u16,
}

impl Callback {
    /// Takes the port at that address; 0 for any that is free.
    pub async fn bind(address: &str, port: u16) -> Outcome<Self> {
        let failed = |err| Failure::Local(format!("Error listening at {address}:{port} for the browser: {err}"));
        let mut places: Vec<_> = tokio::net::lookup_host((address, port)).await.map_err(failed)?.collect();
        // Browsers try both kinds; what else listens on this machine is more often of the older one.
        places.sort_by_key(std::net::SocketAddr::is_ipv6);
        let socket = TcpListener::bind(places.as_slice()).await.map_err(failed)?;
        let port = socket.local_addr().map_err(failed)?.port();
        Ok(Self { socket, port })
    }

    /// The port that was taken.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Waits for the browser of the login with this state.
    pub async fn visit(self, state: Secret<String>) -> Visit {
        let (visits, mut arrived) = mpsc::channel(1);
        let desk = Arc::new(Desk { state, visits });
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                Some(visit) = arrived.recv() => return visit,
                accepted = self.socket.accept() => accepted,
            };
            match (accepted, places.clone().try_acquire_owned()) {
                (Ok((socket, _)), Ok(place)) => {
                    let desk = desk.clone();
                    tokio::spawn(async move {
                        let _place = place;
                        connection(socket, desk).await;
                    });
                }
                // One too many is closed: whoever holds the others is cut off in a moment.
                (Ok(_), Err(_)) => {}
                (Err(_), _) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

impl Visit {
    /// Shows the page, and waits until the browser has it.
    pub async fn show(self, page: Page) {
        if self.page.send(page).is_ok() {
            let _ = tokio::time::timeout(BROWSER_TIME_MAX, self.ended).await;
        }
    }
}

/// What the connections share.
struct Desk {
    state: Secret<String>,
    visits: mpsc::Sender<Visit>,
}

async fn connection(socket: TcpStream, desk: Arc<Desk>) {
    let (_open, ended) = oneshot::channel();
    let ended = Arc::new(Mutex::new(Some(ended)));
    let service = service_fn(move |request| {
        let (desk, ended) = (desk.clone(), ended.clone());
        async move {
            let page = answer(request, &desk, &ended).await.unwrap_or_else(|page| page);
            Ok::<_, Infallible>(respond(page))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(BROWSER_TIME_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    desk: &Desk,
    ended: &Mutex<Option<oneshot::Receiver<()>>>,
) -> Result<Page, Page> {
    if request.uri().path() != PATH {
        return Err(Page::Nothing);
    }
    let brought = match *request.method() {
        Method::GET => form::parse(request.uri().query().unwrap_or_default()),
        Method::POST => {
            let body = Limited::new(request.into_body(), FORM_BYTES_MAX).collect();
            let body = tokio::time::timeout(BROWSER_TIME_MAX, body).await;
            let bytes = body.map_err(|_| Page::Foreign)?.map_err(|_| Page::Foreign)?.to_bytes();
            form::parse(std::str::from_utf8(&bytes).map_err(|_| Page::Foreign)?)
        }
        _ => return Err(Page::Nothing),
    };
    let said = desk.said(&brought.map_err(|_| Page::Foreign)?).ok_or(Page::Foreign)?;
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(Page::Foreign)?;
    let (page, shown) = oneshot::channel();
    // Who comes second finds that the login has ended.
    desk.visits.try_send(Visit { said, page, ended }).map_err(|_| Page::Foreign)?;
    shown.await.map_err(|_| Page::Failed)
}

impl Desk {
    /// The code or the refusal, if it is of this login.
    fn said(&self, brought: &Map) -> Option<Result<Secret<String>, &'static str>> {
        let word = |name: &str| brought.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
        if !self.state.same_as(word("state")?.as_bytes()) {
            return None;
        }
        match (word("error"), word("code")) {
            (Some(error), _) => Some(Err(REFUSALS.into_iter().find(|known| *known == error).unwrap_or("an error"))),
            (None, Some(code)) => Some(Ok(Secret::new(code.to_owned()))),
            (None, None) => None,
        }
    }
}

fn respond(page: Page) -> Response<Full<Bytes>> {
    let (status, words) = match page {
        Page::SignedIn => (200, "You are signed in. This window can be closed."),
        Page::Failed => (400, "The login failed. The program in which it was begun says why."),
        Page::Foreign => (400, "This is not the login that was begun here, or it has ended already."),
        Page::Nothing => (404, "There is nothing here."),
    };
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Login</title></head><body><p>{words}</p></body></html>\n"
    );
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (REFERRER_POLICY, "no-referrer"),
        (CONNECTION, "close"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a browser gets, given all that it sends.
    async fn sent(port: u16, text: &str) -> String {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        socket.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn get(target: &str) -> String {
        format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n")
    }

    fn post(form: &str) -> String {
        format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{form}", form.len())
    }

    async fn waiting() -> (u16, tokio::task::JoinHandle<Visit>) {
        let callback = Callback::bind("127.0.0.1", 0).await.unwrap();
        (callback.port(), tokio::spawn(callback.visit(Secret::new("right".to_owned()))))
    }

    #[tokio::test]
    async fn what_is_of_another_login_gets_a_page_and_ends_nothing() {
        let (port, visit) = waiting().await;
        for (request, status) in [
            (get("/"), 404),
            (get("/favicon.ico"), 404),
            (get("/oidc/callback/x?state=right&code=canary"), 404),
            (format!("DELETE {PATH}?state=right&code=canary HTTP/1.1\r\nhost: x\r\n\r\n"), 404),
            (get(PATH), 400),
            (get(&format!("{PATH}?code=canary")), 400),
            (get(&format!("{PATH}?state=wrong&code=canary")), 400),
            (get(&format!("{PATH}?state=right")), 400),
            (get(&format!("{PATH}?state=wrong&state=right&code=canary")), 400),
            (get(&format!("{PATH}?state=righ%74%&code=canary")), 400),
            (get(&format!("{PATH}?state=wrong&error=access_denied")), 400),
            (post("state=wrong&code=canary"), 400),
            (post(&format!("state=right&code={}", "x".repeat(FORM_BYTES_MAX))), 400),
        ] {
            let answer = sent(port, &request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
            assert!(!answer.contains("canary"), "{answer}");
        }
        assert!(!visit.is_finished());
        visit.abort();
    }

    #[tokio::test]
    async fn a_browser_waits_for_its_page_and_who_comes_second_ends_nothing() {
        let (port, visit) = waiting().await;
        // Connections that say nothing take no place that the browser needs.
        let _idle = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let browser = tokio::spawn(async move { sent(port, &post("state=right&code=c%2Bd")).await });
        let visit = visit.await.unwrap();
        assert_eq!(visit.said.as_ref().unwrap().reveal(), "c+d");
        visit.show(Page::SignedIn).await;
        let answer = browser.await.unwrap();
        assert!(answer.contains("signed in") && answer.contains("default-src 'none'"), "{answer}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_words_that_are_known() {
        for (word, told) in [("access_denied", "access_denied"), ("%1b%5B2Jcanary", "an error")] {
            let (port, visit) = waiting().await;
            let browser = tokio::spawn(async move {
                sent(port, &get(&format!("{PATH}?state=right&error={word}&error_description=canary"))).await
            });
            let visit = visit.await.unwrap();
            assert_eq!(visit.said.as_ref().unwrap_err(), &told);
            visit.show(Page::Failed).await;
            let answer = browser.await.unwrap();
            assert!(answer.contains("login failed") && !answer.contains("canary"), "{answer}");
        }
    }
}

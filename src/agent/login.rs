//! Keeps a token alive: logs in, renews ahead of the end, logs in anew when that no longer helps, fills the sinks.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::config::{AutoAuth, Method, Sink};
use super::fetch::{Failure, send};
use super::file;
use super::pace::{Backoff, Due, share, sleep_until};
use super::template::Value;
use crate::base::{Clock, Rng, Secret};
use crate::client::{Client, Request};

/// The least time between two looks at a token that somebody suspects.
const SUSPICION_WAIT: Duration = Duration::from_secs(30);

/// The least time between two renewals, however short a token's life is.
const RENEWAL_MIN: Duration = Duration::from_secs(1);

/// A client with a token, and the how-manieth token it is.
#[derive(Clone)]
pub(super) struct Session {
    pub client: Client,
    pub serial: u64,
    /// All sinks have it.
    pub filled: bool,
    /// How often the server was found again after it was away.
    pub returns: u64,
}

/// A token's life.
struct Token {
    secret: Secret<String>,
    /// `None` when it has no end.
    time: Option<Duration>,
    renewable: bool,
}

/// What the login has read and must not lose, since its file may be gone.
#[derive(Default)]
struct Memory {
    secret_id: Option<Secret<String>>,
    wrapping_token: Option<Secret<String>>,
    jwt: Option<Secret<String>>,
}

/// The task of the login.
pub(super) struct Login {
    config: AutoAuth,
    client: Client,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    memory: Memory,
    /// Woken by who was refused and thinks that the token is dead.
    suspicion: Arc<Notify>,
}

impl Login {
    pub(super) fn new(
        config: AutoAuth,
        client: Client,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        suspicion: Arc<Notify>,
    ) -> Login {
        Login { config, client, clock, rng, memory: Memory::default(), suspicion }
    }

    /// Logs in and stays logged in; each new token is announced after the sinks have it.
    ///
    /// # Errors
    /// A login failed and the configuration wants the end then.
    pub(super) async fn run(mut self, sessions: watch::Sender<Option<Session>>) -> Result<Infallible, String> {
        let mut serial = 0;
        let mut last: Option<Secret<String>> = None;
        loop {
            let token = self.login().await?;
            // A file of a token gives the same one again, until somebody changes it.
            if !last.as_ref().is_some_and(|last| last.same_as(token.secret.reveal().as_bytes())) {
                serial += 1;
                info!(serial, "logged in");
            }
            last = Some(token.secret.clone());
            let client = self.bare().with_token(Some(token.secret.clone())).map_err(|error| error.to_string())?;
            let client = client.with_namespace(self.client.namespace().map(str::to_owned));
            let filled = self.fill_sinks(&client, &token).await;
            let mut session = Session { client, serial, filled, returns: 0 };
            sessions.send_replace(Some(session.clone()));
            self.keep(&mut session, token, &sessions).await;
        }
    }

    /// The client of the login itself: no token, the method's namespace.
    fn bare(&self) -> Client {
        match &self.config.namespace {
            Some(namespace) => self.client.with_namespace(Some(namespace.clone())),
            None => self.client.clone(),
        }
    }

    async fn login(&mut self) -> Result<Token, String> {
        let mut backoff = Backoff::new(self.config.backoff_min, self.config.backoff_max);
        loop {
            match self.attempt().await {
                Ok(token) => return Ok(token),
                Err(failure) if self.config.exit_on_err || self.is_final(&failure) => {
                    return Err(format!("login failed: {failure}"));
                }
                Err(failure) => {
                    let wait = backoff.next(&*self.rng);
                    warn!(error = %failure, wait_seconds = wait.as_secs_f32(), "login failed");
                    sleep_until(Due::after(&*self.clock, wait), &*self.clock).await;
                }
            }
        }
    }

    /// Whether another attempt would be the same: a token that was given once and for all, and that the server does not take.
    fn is_final(&self, failure: &Failure) -> bool {
        matches!(self.config.method, Method::Token(_)) && failure.is_refusal()
    }

    async fn attempt(&mut self) -> Result<Token, Failure> {
        let client = self.bare();
        match &self.config.method {
            Method::TokenFile(_) | Method::Token(_) => {
                let token = match &self.config.method {
                    Method::TokenFile(path) => Secret::new(file::read_line(path).map_err(|e| unreadable("token", &e))?),
                    Method::Token(token) => token.clone(),
                    _ => return Err(failure("no token is known")),
                };
                let known = with_token(&client, &token)?;
                let reply = send(&known, Request::read("auth/token/lookup-self"), false).await?;
                let data = reply.key("data").cloned().unwrap_or_default();
                Ok(Token {
                    secret: token,
                    time: seconds(&data, "ttl"),
                    renewable: data.key("renewable").is_some_and(Value::truth),
                })
            }
            Method::AppRole { mount, role_id, secret_id, remove, wrapping_path } => {
                let role = Secret::new(file::read_line(role_id).map_err(|e| unreadable("role id", &e))?);
                let mut body = serde_json::Map::new();
                body.insert("role_id".to_owned(), role.reveal().clone().into());
                if let Some(path) = secret_id {
                    let secret = self.memory.secret_id(&client, path, *remove, wrapping_path.as_deref()).await?;
                    body.insert("secret_id".to_owned(), secret.reveal().clone().into());
                }
                login_at(&client, mount, &body).await
            }
            Method::Jwt { mount, role, path, remove } => {
                match file::read_line(path) {
                    Ok(jwt) => {
                        self.memory.jwt = Some(Secret::new(jwt));
                        if *remove && let Err(error) = std::fs::remove_file(path) {
                            warn!(path = %path.display(), %error, "the file of the JWT could not be removed");
                        }
                    }
                    // What was read and removed is good until it expires.
                    Err(_) if *remove && self.memory.jwt.is_some() => {}
                    Err(error) => return Err(unreadable("JWT", &error)),
                }
                let jwt = self.memory.jwt.as_ref().ok_or_else(|| failure("no JWT is known"))?;
                let mut body = serde_json::Map::new();
                body.insert("role".to_owned(), role.clone().into());
                body.insert("jwt".to_owned(), jwt.reveal().clone().into());
                login_at(&client, mount, &body).await
            }
            Method::Cert { mount, name, .. } => {
                let mut body = serde_json::Map::new();
                body.extend(name.clone().map(|name| ("name".to_owned(), name.into())));
                login_at(&client, mount, &body).await
            }
        }
    }

    /// Returns when a new login is needed.
    async fn keep(&self, session: &mut Session, token: Token, sessions: &watch::Sender<Option<Session>>) {
        let client = session.client.clone();
        let first = token.time;
        let mut time = token.time;
        let mut backoff = Backoff::new(self.config.backoff_min, self.config.backoff_max);
        let mut end = time.map(|time| Due::after(&*self.clock, time));
        let renewal = |time| Due::after(&*self.clock, share(time, 600, 700, &*self.rng).max(RENEWAL_MIN));
        let mut next = time.map(renewal);
        let mut sinks = Backoff::new(self.config.backoff_min, self.config.backoff_max);
        let mut sinks_next = Due::after(&*self.clock, sinks.next(&*self.rng));
        let mut looked = Due::after(&*self.clock, Duration::ZERO);
        loop {
            let until = async {
                match next {
                    Some(due) => sleep_until(due, &*self.clock).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = until => {}
                () = sleep_until(sinks_next, &*self.clock), if !session.filled => {
                    session.filled = self.fill_sinks(&client, &token).await;
                    if session.filled {
                        sessions.send_replace(Some(session.clone()));
                    }
                    sinks_next = Due::after(&*self.clock, sinks.next(&*self.rng));
                    continue;
                }
                () = self.suspicion.notified() => {
                    if looked.has_come(&*self.clock) {
                        looked = Due::after(&*self.clock, SUSPICION_WAIT);
                        let look = send(&client, Request::read("auth/token/lookup-self"), false).await;
                        if look.is_err_and(|failure| failure.status == Some(403)) {
                            warn!("the token is no longer valid");
                            return;
                        }
                    }
                    continue;
                }
            }
            if !token.renewable {
                return;
            }
            let request = Request::write("auth/token/renew-self");
            match send(&client, request, false).await {
                Ok(reply) => {
                    if backoff.failures() > 0 {
                        session.returns += 1;
                        sessions.send_replace(Some(session.clone()));
                    }
                    backoff.reset();
                    time = reply.key("auth").and_then(|auth| seconds(auth, "lease_duration"));
                    // Near its longest life, a token gets less and less: better a new one in time.
                    let short = matches!((first, time), (Some(first), Some(time)) if time < first / 3);
                    let Some(time) = time.filter(|_| !short) else { return };
                    end = Some(Due::after(&*self.clock, time));
                    next = Some(renewal(time));
                }
                Err(failure) if failure.is_refusal() => {
                    warn!(error = %failure, "the token cannot be renewed");
                    return;
                }
                Err(failure) => {
                    if end.is_none_or(|end| end.has_come(&*self.clock)) {
                        return;
                    }
                    let wait = backoff.next(&*self.rng);
                    warn!(error = %failure, wait_seconds = wait.as_secs_f32(), "renewing the token failed");
                    next = Some(Due::after(&*self.clock, wait));
                }
            }
        }
    }

    /// Whether all sinks have the token.
    async fn fill_sinks(&self, client: &Client, token: &Token) -> bool {
        let mut all = true;
        for sink in &self.config.sinks {
            if let Err(error) = self.fill(client, token, sink).await {
                warn!(path = %sink.path.display(), %error, "the sink could not be written");
                all = false;
            }
        }
        all
    }

    async fn fill(&self, client: &Client, token: &Token, sink: &Sink) -> Result<(), String> {
        let content = match &sink.wrap_ttl {
            None => token.secret.clone(),
            Some(ttl) => {
                let body = serde_json::json!({ "token": token.secret.reveal() });
                let request = Request::write("sys/wrapping/wrap").json(&body).map_err(|error| error.to_string())?;
                let reply = client.send(request.wrapped(ttl)).await.map_err(|error| error.to_string())?;
                let info = reply.wrap_info.ok_or("the answer is not wrapped")?;
                Secret::new(
                    serde_json::json!({
                        "token": info.token.reveal(),
                        "accessor": info.accessor,
                        "ttl": info.ttl,
                        "creation_time": info.creation_time,
                        "creation_path": info.creation_path,
                        "wrapped_accessor": info.wrapped_accessor,
                    })
                    .to_string(),
                )
            }
        };
        let owner = (sink.owner, sink.group);
        file::put_owned(&sink.path, content.reveal().as_bytes(), sink.mode, owner, &*self.rng)
            .map_err(|error| error.to_string())
    }
}

/// Logs in with a body, which may hold secrets: the server's text is shown, since it names what is wrong.
async fn login_at(
    client: &Client,
    mount: &str,
    body: &serde_json::Map<String, serde_json::Value>,
) -> Result<Token, Failure> {
    let request = Request::write(&format!("{mount}/login")).json(body).map_err(|error| failure(error.to_string()))?;
    let reply = send(client, request, false).await?;
    let auth = reply.key("auth").filter(|auth| auth.truth()).ok_or_else(|| failure("the answer has no token"))?;
    Ok(Token {
        secret: text(auth, "client_token").ok_or_else(|| failure("the answer has no token"))?,
        time: seconds(auth, "lease_duration"),
        renewable: auth.key("renewable").is_some_and(Value::truth),
    })
}

impl Memory {
    /// The secret id: what the file holds now, or what it held before it was removed.
    async fn secret_id(
        &mut self,
        client: &Client,
        path: &std::path::Path,
        remove: bool,
        wrapping_path: Option<&str>,
    ) -> Result<&Secret<String>, Failure> {
        match file::read_line(path) {
            Ok(line) => {
                let line = Secret::new(line);
                if wrapping_path.is_some() {
                    self.wrapping_token = Some(line)
                } else {
                    self.secret_id = Some(line)
                }
                if remove && let Err(error) = std::fs::remove_file(path) {
                    warn!(path = %path.display(), %error, "the file of the secret id could not be removed");
                }
            }
            Err(error) if self.secret_id.is_none() && self.wrapping_token.is_none() => {
                return Err(unreadable("secret id", &error));
            }
            Err(_) => {}
        }
        if let (Some(token), Some(expected)) = (&self.wrapping_token, wrapping_path) {
            let unwrapped = unwrap(client, token, expected).await;
            match unwrapped {
                Ok(secret) => {
                    self.secret_id = Some(secret);
                    self.wrapping_token = None;
                }
                Err(failure) => {
                    if failure.is_refusal() {
                        // Used up by us, or by somebody who should not have had it: it is of no use any more.
                        self.wrapping_token = None;
                    }
                    if self.secret_id.is_none() || !remove {
                        return Err(failure);
                    }
                    warn!(error = %failure, "the secret id could not be unwrapped; the one known before is used");
                }
            }
        }
        self.secret_id.as_ref().ok_or_else(|| failure("no secret id is known"))
    }
}

/// Opens a wrapped secret id, after a look at where it was made: a token wrapped by somebody else is not used.
async fn unwrap(client: &Client, token: &Secret<String>, expected: &str) -> Result<Secret<String>, Failure> {
    let named = |failure: Failure| Failure {
        text: match failure.is_refusal() {
            true => format!("the wrapped secret id is not valid: used already, intercepted or expired ({failure})"),
            false => format!("unwrapping the secret id: {failure}"),
        },
        ..failure
    };
    let body = serde_json::json!({ "token": token.reveal() });
    let lookup = Request::write("sys/wrapping/lookup").json(&body).map_err(|e| failure(e.to_string()))?;
    let reply = send(client, lookup, true).await.map_err(named)?;
    let made_at = reply.key("data").and_then(|data| data.key("creation_path")).and_then(Value::as_str);
    if made_at.map(|path| path.trim_matches('/')) != Some(expected) {
        return Err(Failure::answered("the wrapped secret id was made at another path than expected", 400));
    }
    let reply = send(&with_token(client, token)?, Request::write("sys/wrapping/unwrap"), true).await.map_err(named)?;
    let data = reply.key("data").ok_or_else(|| failure("the wrapped answer has no secret id"))?;
    text(data, "secret_id").ok_or_else(|| failure("the wrapped answer has no secret id"))
}

fn with_token(client: &Client, token: &Secret<String>) -> Result<Client, Failure> {
    client.with_token(Some(token.clone())).map_err(|error| failure(error.to_string()))
}

fn text(value: &Value, key: &str) -> Option<Secret<String>> {
    value.key(key)?.as_str().filter(|text| !text.is_empty()).map(Secret::from)
}

/// A number of seconds, unless it is zero.
fn seconds(value: &Value, key: &str) -> Option<Duration> {
    let seconds = value.key(key)?.as_int().and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0)?;
    Some(Duration::from_secs(seconds))
}

fn failure(text: impl Into<String>) -> Failure {
    Failure::new(text)
}

fn unreadable(what: &str, error: &std::io::Error) -> Failure {
    failure(format!("the file of the {what} cannot be read: {error}"))
}

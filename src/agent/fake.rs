//! A server for the agent's tests: small, in memory, and true to the contract: tokens, wrapping, secrets, leases,
//! certificates that are real. It can be away, slow, refusing, or talk rubbish.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::base::Clock;
use crate::base::time::ManualClock;

/// The server's insides, which tests may change at any moment.
#[derive(Default)]
pub(super) struct State {
    /// Accepts no request: the connection is closed.
    pub away: bool,
    /// How long each answer takes.
    pub delay: Duration,
    /// Answers with this instead.
    pub overrides: BTreeMap<String, (u16, String)>,
    /// What lies at `kv/`, a versioned store.
    pub kv: BTreeMap<String, Value>,
    pub secret_ids: BTreeSet<String>,
    /// Wrapping tokens: what is inside, and where it was made.
    pub wrapped: BTreeMap<String, (Value, String)>,
    pub tokens: BTreeSet<String>,
    /// What a login's token is given.
    pub token_ttl: u64,
    pub token_renewable: bool,
    /// What a renewal of a token gives.
    pub renewal_ttl: u64,
    pub lease_ttl: u64,
    pub leases: BTreeSet<String>,
    pub certificate_seconds: i64,
    /// The serial numbers of all certificates, and whether each was revoked.
    pub certificates: BTreeMap<String, bool>,
    /// Whether it can be asked to wait for a change.
    pub push: bool,
    /// When each login was, in seconds.
    pub logins: Vec<i64>,
    /// Every request: method and path.
    pub seen: Vec<String>,
    /// How many requests came, also while it is away.
    pub tried: u64,
    counter: u64,
}

impl State {
    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// How many requests had this method and path.
    pub fn count_of(&self, request: &str) -> usize {
        self.seen.iter().filter(|seen| *seen == request).count()
    }
}

#[derive(Clone)]
pub(super) struct Fake {
    state: Arc<Mutex<State>>,
    clock: Arc<ManualClock>,
    ca: Arc<Authority>,
    pub address: String,
}

struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Fake {
    pub async fn start(clock: Arc<ManualClock>) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
        let certificate = params.self_signed(&key).unwrap();
        let ca = Arc::new(Authority { pem: certificate.pem(), issuer: rcgen::Issuer::new(params, key) });
        let state = State {
            token_ttl: 3600,
            token_renewable: true,
            renewal_ttl: 3600,
            lease_ttl: 900,
            certificate_seconds: 86_400,
            secret_ids: BTreeSet::from(["secret-id".to_owned()]),
            ..State::default()
        };
        let fake = Fake { state: Arc::new(Mutex::new(state)), clock, ca, address };
        let served = fake.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let fake = served.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| fake.clone().serve(request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        fake
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn serve(self, request: hyper::Request<Incoming>) -> Result<hyper::Response<Full<Bytes>>, std::io::Error> {
        let method = request.method().as_str().to_owned();
        let path = request.uri().path().trim_start_matches("/v1/").to_owned();
        let list = request.uri().query().is_some_and(|query| query.contains("list=true"));
        let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (token, wrap) = (header("x-vault-token").unwrap_or_default(), header("x-vault-wrap-ttl"));
        let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let delay = {
            let mut state = self.state();
            state.tried += 1;
            state.delay
        };
        tokio::time::sleep(delay).await;
        if path == "sys/internal/watch" && self.state().push {
            self.wait_for_change(&body).await;
        }
        let mut state = self.state();
        if state.away {
            return Err(std::io::Error::other("away"));
        }
        let seen = format!("{} {path}", if list { "LIST" } else { method.as_str() });
        state.seen.push(seen.clone());
        let (status, answer) = match state.overrides.get(&path) {
            Some((status, text)) => (*status, text.clone()),
            None => {
                let (status, answer) = self.answer(&mut state, &seen, &token, wrap.as_deref(), &body);
                (status, if answer.is_null() { String::new() } else { answer.to_string() })
            }
        };
        Ok(hyper::Response::builder().status(status).body(Full::new(Bytes::from(answer))).unwrap())
    }

    /// Waits, as long as the client wants, until one of its paths has another version than it says.
    async fn wait_for_change(&self, body: &Value) {
        let end = self.clock.monotonic() + Duration::from_secs(body["wait"].as_u64().unwrap_or_default());
        while self.clock.monotonic() < end && !self.state().away && news(&self.state(), body).is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn answer(&self, state: &mut State, seen: &str, token: &str, wrap: Option<&str>, body: &Value) -> (u16, Value) {
        let denied = (403, json!({ "errors": ["permission denied"] }));
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        match seen {
            "PUT auth/approle/login" => {
                if text("role_id") != "role-id" || !state.secret_ids.contains(&text("secret_id")) {
                    return (400, json!({ "errors": ["invalid role or secret ID"] }));
                }
                let token = format!("hvs.token{}", state.count());
                state.logins.push(self.clock.now().as_second());
                state.tokens.insert(token.clone());
                let auth = json!({ "client_token": token, "lease_duration": state.token_ttl, "renewable": state.token_renewable });
                return (200, json!({ "request_id": "r", "auth": auth, "data": null }));
            }
            "PUT sys/wrapping/lookup" => {
                return match state.wrapped.get(&text("token")) {
                    Some((_, path)) => (200, json!({ "data": { "creation_path": path } })),
                    None => (400, json!({ "errors": ["wrapping token is not valid or does not exist"] })),
                };
            }
            "PUT sys/wrapping/unwrap" => {
                return match state.wrapped.remove(token) {
                    Some((data, _)) => (200, json!({ "data": data })),
                    None => (400, json!({ "errors": ["wrapping token is not valid or does not exist"] })),
                };
            }
            _ => {}
        }
        let (method, path) = seen.split_once(' ').unwrap_or_default();
        let absent = (404, json!({ "errors": [] }));
        // Anybody may ask for these.
        if let Some(serial) = path.strip_prefix("pki/cert/") {
            return match state.certificates.get(serial) {
                Some(revoked) => (
                    200,
                    json!({ "data": { "certificate": "…", "revocation_time": i64::from(*revoked) * 1_700_000_000 } }),
                ),
                None => absent,
            };
        }
        if !state.tokens.contains(token) {
            return denied;
        }
        match (method, path) {
            ("GET", "auth/token/lookup-self") => {
                (200, json!({ "data": { "ttl": state.token_ttl, "renewable": state.token_renewable } }))
            }
            ("PUT", "auth/token/renew-self") => {
                let auth = json!({ "client_token": token, "lease_duration": state.renewal_ttl, "renewable": true });
                (200, json!({ "auth": auth }))
            }
            ("PUT", "sys/wrapping/wrap") => {
                let wrapping = format!("hvs.wrapping{}", state.count());
                state.wrapped.insert(wrapping.clone(), (body.clone(), "sys/wrapping/wrap".to_owned()));
                (
                    200,
                    json!({ "wrap_info": { "token": wrapping, "ttl": wrap.and_then(|ttl| ttl.parse::<u64>().ok()), "creation_path": "sys/wrapping/wrap" } }),
                )
            }
            ("PUT", "sys/leases/renew") => match state.leases.contains(&text("lease_id")) {
                true => {
                    (200, json!({ "lease_id": text("lease_id"), "lease_duration": state.lease_ttl, "renewable": true }))
                }
                false => (400, json!({ "errors": ["lease not found"] })),
            },
            ("PUT", "sys/internal/watch") if state.push => {
                let changed = news(state, body);
                match changed.is_empty() {
                    true => (204, Value::Null),
                    false => (200, json!({ "data": { "changed": changed } })),
                }
            }
            ("GET", path) if path.starts_with("sys/internal/ui/mounts/kv") => {
                (200, json!({ "data": { "path": "kv/", "type": "kv", "options": { "version": "2" } } }))
            }
            ("GET", path) if path.starts_with("kv/data/") => match state.kv.get(&path[8..]) {
                Some(data) => (
                    200,
                    json!({ "request_id": state.counter, "lease_id": "", "lease_duration": 0, "data": { "data": data, "metadata": { "version": 1 } } }),
                ),
                None => absent,
            },
            ("LIST", path) if path.starts_with("kv/metadata") => {
                let keys: Vec<&String> = state.kv.keys().collect();
                (200, json!({ "data": { "keys": keys } }))
            }
            ("GET", "database/creds/app") => {
                let n = state.count();
                let lease = format!("database/creds/app/{n}");
                state.leases.insert(lease.clone());
                (
                    200,
                    json!({ "lease_id": lease, "lease_duration": state.lease_ttl, "renewable": true, "data": { "username": format!("u{n}") } }),
                )
            }
            ("PUT", "pki/issue/app") => {
                let (certificate, key) = self.issue(state, &text("common_name"));
                (
                    200,
                    json!({ "lease_id": "", "data": {
                    "certificate": certificate.trim_end(), "private_key": key.trim_end(), "issuing_ca": self.ca.pem.trim_end(),
                    "ca_chain": [self.ca.pem.trim_end()], "serial_number": "00" } }),
                )
            }
            _ => absent,
        }
    }

    fn issue(&self, state: &mut State, common_name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![common_name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let serial = state.count();
        state.certificates.insert(format!("{serial:02x}"), false);
        params.serial_number = Some(serial.into());
        let now = self.clock.now().as_second();
        params.not_before = time::OffsetDateTime::from_unix_timestamp(now - 30).unwrap();
        params.not_after = time::OffsetDateTime::from_unix_timestamp(now + state.certificate_seconds).unwrap();
        (params.signed_by(&key, &self.ca.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// The paths of a request for changes whose version is another than it says.
fn news(state: &State, body: &Value) -> serde_json::Map<String, Value> {
    let mut changed = serde_json::Map::new();
    for (path, known) in body["paths"].as_object().into_iter().flatten() {
        let there = path.strip_prefix("kv/data/").and_then(|name| state.kv.get(name));
        let version = Value::from(format!("v{}", there.map(Value::to_string).unwrap_or_default()));
        if version != *known {
            changed.insert(path.clone(), version);
        }
    }
    changed
}

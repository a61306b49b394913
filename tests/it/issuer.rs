//! An issuer of signed tokens, real over HTTP: discovery, a key set that can turn, a token endpoint that holds PKCE to its word; and, at
//! the same door, the token review of a Kubernetes API.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use warifu::crypto::{Curve, Hash, Jwk, KeyKind, PrivateKey, SignatureAlgorithm, sha256};

/// What a code stands for.
struct Code {
    claims: Value,
    challenge: String,
    redirect_uri: String,
}

#[derive(Default)]
struct State {
    keys: Vec<(String, Arc<PrivateKey>)>,
    codes: BTreeMap<String, Code>,
    /// The tokens that the cluster vouches for, and what it says of them.
    vouched: BTreeMap<String, Value>,
    /// What was asked of the token review.
    reviews: Vec<(Value, String)>,
    silent: bool,
}

/// The issuer.
pub struct Issuer {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    /// Starts it with one key, named `k1`.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let asked: Arc<AtomicUsize> = Arc::default();
        let (shared, count) = (state.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, count) = (shared.clone(), count.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, address, shared.clone(), count.clone()));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        let issuer = Self { address, state, asked };
        issuer.turn("k1");
        issuer
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes a new key of this name instead of all others.
    pub fn turn(&self, kid: &str) {
        let key = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
        self.state.lock().unwrap().keys = vec![(kid.to_owned(), Arc::new(key))];
    }

    /// Answers nothing any more, or again.
    pub fn silent(&self, silent: bool) {
        self.state.lock().unwrap().silent = silent;
    }

    /// How often its key set was asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The public key in PEM.
    pub fn pem(&self) -> String {
        self.state.lock().unwrap().keys[0].1.public().pem().unwrap()
    }

    /// A token with these claims, by its present key.
    pub fn token(&self, claims: &Value) -> String {
        let (kid, key) = self.state.lock().unwrap().keys[0].clone();
        sign(&json!({"alg": "ES256", "kid": kid, "typ": "JWT"}), claims, &key)
    }

    /// A code, as somebody gets it who has logged in at this address with these claims.
    pub fn log_in(&self, auth_url: &str, claims: Value) -> (String, String) {
        let query = auth_url.split_once('?').unwrap().1;
        let pairs: BTreeMap<String, String> = form(query);
        assert_eq!(pairs["response_type"], "code");
        assert_eq!(pairs["code_challenge_method"], "S256");
        let mut claims = claims;
        claims["iss"] = self.url().into();
        claims["aud"] = pairs["client_id"].clone().into();
        if claims["nonce"].is_null() {
            claims["nonce"] = pairs["nonce"].clone().into();
        }
        let mut state = self.state.lock().unwrap();
        let code = format!("code-{}", state.codes.len());
        let made =
            Code { claims, challenge: pairs["code_challenge"].clone(), redirect_uri: pairs["redirect_uri"].clone() };
        state.codes.insert(code.clone(), made);
        (pairs["state"].clone(), code)
    }

    /// The cluster vouches for this token with this status.
    pub fn vouch(&self, token: &str, status: Value) {
        self.state.lock().unwrap().vouched.insert(token.to_owned(), status);
    }

    /// What was asked of the token review: the question, and what came as `authorization`.
    pub fn reviews(&self) -> Vec<(Value, String)> {
        self.state.lock().unwrap().reviews.clone()
    }
}

/// Signs with a P-256 key, as JWS has it.
pub fn sign(header: &Value, claims: &Value, key: &PrivateKey) -> String {
    sign_text(&header.to_string(), &claims.to_string(), key)
}

/// The same, of texts that may be anything.
pub fn sign_text(header: &str, claims: &str, key: &PrivateKey) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let der = key.sign(SignatureAlgorithm::Ecdsa(Hash::Sha256), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(side_by_side(&der)))
}

/// The two numbers of a DER signature, 32 bytes each.
fn side_by_side(der: &[u8]) -> Vec<u8> {
    let number = |at: usize| {
        let length = usize::from(der[at + 1]);
        let bytes = &der[at + 2..at + 2 + length];
        let bytes = if bytes.len() > 32 { &bytes[1..] } else { bytes };
        ([vec![0; 32 - bytes.len()], bytes.to_vec()].concat(), at + 2 + length)
    };
    let (r, next) = number(2);
    let (s, _) = number(next);
    [r, s].concat()
}

fn form(text: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decode(k), decode(v))).collect()
}

async fn answer(
    request: Request<Incoming>,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    asked: Arc<AtomicUsize>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let url = format!("http://{address}");
    let path = request.uri().path().to_owned();
    let bearer = request.headers().get("authorization").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let mut state = state.lock().unwrap();
    let (status, json) = match path.as_str() {
        _ if state.silent => (500, json!({})),
        "/.well-known/openid-configuration" => (
            200,
            json!({
                "issuer": url, "jwks_uri": format!("{url}/keys"), "authorization_endpoint": format!("{url}/auth"),
                "token_endpoint": format!("{url}/token"), "userinfo_endpoint": format!("{url}/me"),
            }),
        ),
        "/keys" => {
            asked.fetch_add(1, Ordering::SeqCst);
            let keys = state.keys.iter().map(|(kid, key)| {
                let mut json: Value =
                    serde_json::from_str(&Jwk::of(key.public().clone()).json().unwrap().text()).unwrap();
                json["kid"] = kid.as_str().into();
                json
            });
            (200, json!({"keys": keys.collect::<Vec<_>>()}))
        }
        "/token" => token(&mut state, &form(std::str::from_utf8(&body).unwrap()), &bearer),
        "/me" => (200, json!({"sub": bearer.trim_start_matches("Bearer access-"), "team": "from-userinfo"})),
        "/apis/authentication.k8s.io/v1/tokenreviews" => {
            let question: Value = serde_json::from_slice(&body).unwrap();
            let said = state.vouched.get(question["spec"]["token"].as_str().unwrap()).cloned();
            state.reviews.push((question.clone(), bearer));
            let mut answer = question;
            answer["status"] = said.unwrap_or_else(|| json!({"authenticated": false, "error": "invalid bearer token"}));
            (201, answer)
        }
        _ => (404, json!({})),
    };
    let mut response = Response::new(Full::from(json.to_string()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
    Ok(response)
}

/// A code is taken once, from the client that it was made for, with the proof that the client began the login.
fn token(state: &mut State, fields: &BTreeMap<String, String>, authorization: &str) -> (u16, Value) {
    let basic = base64::engine::general_purpose::STANDARD.encode("warifu:its%2Dsecret");
    let Some(code) = state.codes.remove(&fields["code"]) else { return (400, json!({"error": "invalid_grant"})) };
    let challenge = URL_SAFE_NO_PAD.encode(sha256(fields["code_verifier"].as_bytes()));
    if authorization != format!("Basic {basic}")
        || fields["grant_type"] != "authorization_code"
        || fields["redirect_uri"] != code.redirect_uri
        || challenge != code.challenge
    {
        return (400, json!({"error": "invalid_grant"}));
    }
    let (kid, key) = state.keys[0].clone();
    let id_token = sign(&json!({"alg": "ES256", "kid": kid}), &code.claims, &key);
    let sub = code.claims["sub"].as_str().unwrap();
    (200, json!({"id_token": id_token, "access_token": format!("access-{sub}"), "token_type": "Bearer"}))
}

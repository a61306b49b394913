//! Somebody else's web server: what it answers at a path is a function of what it is sent, and may be changed at any time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

type Page = Arc<dyn Fn(&[u8]) -> (u16, Vec<u8>) + Send + Sync>;

#[derive(Default)]
struct State {
    pages: BTreeMap<String, Page>,
    asked: BTreeMap<String, usize>,
}

/// The server. It ends with the test.
pub struct Web {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Web {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                        let shared = shared.clone();
                        async move {
                            let path = request.uri().path().to_owned();
                            let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
                            let page = {
                                let mut state = shared.lock().unwrap();
                                *state.asked.entry(path.clone()).or_default() += 1;
                                state.pages.get(&path).cloned()
                            };
                            let (status, bytes) = page.map_or((404, Vec::new()), |page| page(&body));
                            let mut response = Response::new(Full::new(Bytes::from(bytes)));
                            *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
                            Ok::<_, Infallible>(response)
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on this is what is answered there.
    pub fn answers(&self, path: &str, page: impl Fn(&[u8]) -> (u16, Vec<u8>) + Send + Sync + 'static) {
        self.state.lock().unwrap().pages.insert(path.to_owned(), Arc::new(page));
    }

    /// From now on these bytes lie there.
    pub fn serves(&self, path: &str, bytes: Vec<u8>) {
        self.answers(path, move |_| (200, bytes.clone()));
    }

    /// How often something was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.state.lock().unwrap().asked.get(path).copied().unwrap_or_default()
    }
}

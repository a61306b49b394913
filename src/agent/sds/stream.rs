//! One stream of the secret discovery: what Envoy asks for is sent, and sent again when it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::sync::{mpsc, watch};
use tracing::{debug, error};

use super::wire::{self, Asked, SECRET_TYPE};
use super::{Board, Secrets, framed};

/// The largest request, in bytes: node metadata included.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The most secrets that one stream asks for.
const NAMES_MAX: usize = 1000;
/// The longest part of a refusal that is kept, in characters.
const REFUSAL_MAX: usize = 300;
/// The longest name of a node that is kept, in characters.
const NODE_MAX: usize = 128;

const SERVICE: &str = "/envoy.service.secret.v3.SecretDiscoveryService/";

/// Begins to answer a call.
pub(super) fn answer(
    request: hyper::Request<Incoming>,
    secrets: watch::Receiver<Secrets>,
    board: Board,
) -> hyper::Response<Outgoing> {
    let method = request.uri().path().strip_prefix(SERVICE).unwrap_or_default().to_owned();
    let delta = match method.as_str() {
        "StreamSecrets" | "FetchSecrets" => false,
        "DeltaSecrets" => true,
        _ => return response(Outgoing::Ended(Some(status("12", "no such method")))),
    };
    let (out, answers) = mpsc::channel(4);
    let stream = Stream {
        incoming: Inbox { body: request.into_body(), bytes: Vec::new() },
        out,
        secrets,
        board,
        delta,
        node: String::new(),
        names: BTreeSet::new(),
        sent: BTreeMap::new(),
        answers: BTreeMap::new(),
        count: 0,
    };
    let once = method == "FetchSecrets";
    tokio::spawn(stream.run(once));
    response(Outgoing::Streaming(answers))
}

fn response(body: Outgoing) -> hyper::Response<Outgoing> {
    let mut response = hyper::Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn status(code: &'static str, message: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    trailers.insert("grpc-message", HeaderValue::from_static(message));
    trailers
}

/// Frames that come as they are made, then the trailers.
pub(super) enum Outgoing {
    Streaming(mpsc::Receiver<Result<Bytes, HeaderMap>>),
    Ended(Option<HeaderMap>),
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let trailers = match &mut *self {
            Outgoing::Streaming(answers) => match answers.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(bytes))) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Poll::Ready(Some(Err(trailers))) => Some(trailers),
                Poll::Ready(None) => Some(status("0", "")),
            },
            Outgoing::Ended(trailers) => trailers.take(),
        };
        *self = Outgoing::Ended(None);
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

/// What comes from Envoy, cut into messages.
struct Inbox {
    body: Incoming,
    bytes: Vec<u8>,
}

impl Inbox {
    /// The next message, `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, &'static str> {
        loop {
            if let Some((head, rest)) = self.bytes.split_first_chunk::<5>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if head[0] != 0 {
                    return Err("compressed messages are not understood");
                }
                if length > MESSAGE_BYTES_MAX {
                    return Err("the message is too long");
                }
                if rest.len() >= length {
                    let message = rest[..length].to_vec();
                    self.bytes.drain(..5 + length);
                    return Ok(Some(message));
                }
            }
            match self.body.frame().await {
                None | Some(Err(_)) => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.bytes.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

struct Stream {
    incoming: Inbox,
    out: mpsc::Sender<Result<Bytes, HeaderMap>>,
    secrets: watch::Receiver<Secrets>,
    board: Board,
    delta: bool,
    node: String,
    /// What Envoy wants.
    names: BTreeSet<String>,
    /// The version of each that it was sent last.
    sent: BTreeMap<String, String>,
    /// What each answer carried, until it is confirmed or refused.
    answers: BTreeMap<u64, Vec<(String, String)>>,
    count: u64,
}

impl Stream {
    async fn run(mut self, once: bool) {
        loop {
            tokio::select! {
                message = self.incoming.next() => {
                    let asked = match message {
                        Ok(None) => return,
                        Ok(Some(message)) => Asked::read(&message, self.delta).map_err(|()| "a malformed message"),
                        Err(text) => Err(text),
                    };
                    let taken = asked.and_then(|asked| self.take(asked));
                    if let Err(text) = taken {
                        let _ = self.out.send(Err(status("3", text))).await;
                        return;
                    }
                }
                changed = self.secrets.changed(), if !once => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            if self.send().await.is_err() || once {
                return;
            }
        }
    }

    /// Learns from a message.
    fn take(&mut self, asked: Asked) -> Result<(), &'static str> {
        if !asked.type_url.is_empty() && asked.type_url != SECRET_TYPE {
            return Err("another type than secrets");
        }
        if let Some(node) = asked.node {
            self.node = node.chars().filter(|c| !c.is_control()).take(NODE_MAX).collect();
        }
        if let Some(carried) = asked.nonce.parse().ok().and_then(|nonce: u64| self.answers.remove(&nonce)) {
            for (name, version) in carried {
                match &asked.refusal {
                    None => {
                        debug!(node = self.node, secret = name, version, "confirmed");
                        self.board.note(&self.node, &name, |said| {
                            said.confirmed = Some(version);
                            said.refused = None;
                        });
                    }
                    Some(why) => {
                        let why: String = why.chars().filter(|c| !c.is_control()).take(REFUSAL_MAX).collect();
                        error!(
                            node = self.node,
                            secret = name,
                            version,
                            why,
                            "Envoy refuses a secret and keeps the old"
                        );
                        self.board.note(&self.node, &name, |said| said.refused = Some((version, why)));
                    }
                }
            }
        }
        if self.delta {
            for name in asked.unsubscribed {
                self.names.remove(&name);
                self.sent.remove(&name);
            }
            self.names.extend(asked.names);
        } else {
            self.names = asked.names.into_iter().collect();
            let names = &self.names;
            self.sent.retain(|name, _| names.contains(name));
        }
        if self.names.len() > NAMES_MAX { Err("too many names") } else { Ok(()) }
    }

    /// Sends what Envoy wants and has not been sent. Nothing is said of what is not there yet: Envoy waits.
    async fn send(&mut self) -> Result<(), ()> {
        let secrets = self.secrets.borrow_and_update().clone();
        let wanted: Vec<(&String, &super::Published)> =
            self.names.iter().filter_map(|name| Some((name, secrets.get(name)?))).collect();
        let news: Vec<_> =
            wanted.iter().filter(|(name, secret)| self.sent.get(*name) != Some(&secret.version)).copied().collect();
        if news.is_empty() {
            return Ok(());
        }
        self.count += 1;
        let nonce = self.count.to_string();
        let message = if self.delta {
            let parts: Vec<(&str, &str, &[u8])> = news
                .iter()
                .map(|(name, secret)| (name.as_str(), secret.version.as_str(), secret.message.as_slice()))
                .collect();
            wire::delta(&nonce, &nonce, &parts)
        } else {
            let parts: Vec<&[u8]> = wanted.iter().map(|(_, secret)| secret.message.as_slice()).collect();
            wire::whole(&nonce, &nonce, &parts)
        };
        let carried: Vec<(String, String)> =
            news.iter().map(|(name, secret)| ((*name).clone(), secret.version.clone())).collect();
        self.sent.extend(carried.iter().cloned());
        // Only the last few can still be answered.
        while self.answers.len() > 16 {
            self.answers.pop_first();
        }
        self.answers.insert(self.count, carried);
        self.out.send(Ok(framed(&message))).await.map_err(|_| ())
    }
}

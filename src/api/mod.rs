//! Listeners, headers, bytes in and out, and the few routes that work while sealed.

mod cors;
mod decode;
mod encode;
mod limit;
pub mod listener;
mod public;
mod room;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::base::{Error, Operation, Rng, limits};
use crate::node::Node;
use crate::vault::{Inbound, Outbound, Refusal};
use cors::Crossing;
use listener::{Body, Connection};
use room::{Lent, Room};

/// The API of one node.
#[derive(Clone)]
pub struct Api {
    node: Arc<Node>,
    rng: Arc<dyn Rng>,
    room: Room,
}

impl Api {
    /// Over this node.
    pub fn new(node: Arc<Node>, rng: Arc<dyn Rng>) -> Self {
        Self { node, rng, room: Room::new() }
    }

    /// Answers one request, within the time that a request may take.
    pub async fn answer(self, request: Request<Incoming>, connection: Arc<Connection>) -> Response<Body> {
        let mut bound = connection.rules.max_request_duration;
        if request.uri().path().strip_prefix("/v1/") == Some(WATCH) {
            bound += Duration::from_secs(limits::WATCH_SECONDS);
        }
        let response = match tokio::time::timeout(bound, self.route(request, &connection)).await {
            Ok(response) => response,
            Err(_) => encode::error(&Error::Unavailable("the request took too long".into())),
        };
        self.node.registers().responses.note(response.status().as_u16());
        response
    }

    async fn route(&self, request: Request<Incoming>, connection: &Connection) -> Response<Body> {
        let front = self.node.vault().map(|vault| vault.front());
        let crossing = match &front {
            Ok(front) => cors::judge(&front.cors, request.method(), request.headers()),
            Err(_) => Crossing::None,
        };
        if let Crossing::Answered(answer) = crossing {
            return answer;
        }
        let mut answer = match request.uri().path().starts_with("/v1/") {
            true => self.below_v1(request, connection).await,
            false => {
                let page_headers = front.map(|front| front.page_headers.clone()).unwrap_or_default();
                encode::elsewhere(request.uri().path(), &page_headers)
            }
        };
        if let Crossing::Allowed(marks) = crossing {
            marks.put(answer.headers_mut());
        }
        answer
    }

    async fn below_v1(&self, request: Request<Incoming>, connection: &Connection) -> Response<Body> {
        let below = request.uri().path().strip_prefix("/v1/").unwrap_or_default();
        if below.len() > 3 * limits::PATH_BYTES {
            return encode::error(&Error::invalid("the path is too long"));
        }
        let vault = self.node.vault();
        if public::answers(&self.node, request.method(), below, &request, connection) {
            if let Ok(vault) = &vault
                && let Ok(path) = crate::base::Path::decode(below)
                && let Ok(client) = connection.client_address(request.headers())
            {
                let verdict = vault.admit(&path, client.ip());
                if verdict.refused {
                    return limit::refused(&verdict, vault.tells_limits(), &Refusal(Error::RateLimited));
                }
            }
            return public::answer(&self.node, request, connection).await;
        }
        // Before the body is read: a sealed node has no use for it.
        let Ok(vault) = vault else { return encode::error(&Error::Sealed) };
        let (parts, incoming) = request.into_parts();
        let head = match decode::head(&parts, connection) {
            Ok(head) => head,
            Err(error) => return encode::error(&error),
        };
        let mut verdict = vault.admit(&head.path, head.remote.ip());
        if verdict.refused {
            let refusal = vault.refuse_limited(decode::bodiless(head, self.rng.as_ref())).await;
            return limit::refused(&verdict, vault.tells_limits(), &refusal);
        }
        // Kept until the answer is there: the body lives as long.
        let mut lent = Lent::default();
        let body = match decode::body(&parts.headers, incoming, connection, &self.room, &mut lent).await {
            Ok(body) => body,
            Err(error) => return encode::error(&error),
        };
        let inbound = match decode::whole(head, parts, body, connection, self.rng.as_ref()) {
            Ok(inbound) => inbound,
            Err(error) => return encode::error(&error),
        };
        if verdict.by_role {
            verdict = vault.admit_login(&inbound);
            if verdict.refused {
                let refusal = vault.refuse_limited(inbound).await;
                return limit::refused(&verdict, vault.tells_limits(), &refusal);
            }
        }
        let mut answer = self.run(inbound).await;
        if let Some(standing) = verdict.standing.filter(|_| vault.tells_limits()) {
            limit::mark(&standing, answer.headers_mut());
        }
        answer
    }

    async fn run(&self, inbound: Inbound) -> Response<Body> {
        let head = inbound.head;
        let reads = matches!(inbound.operation, Operation::Read | Operation::List) || inbound.path.as_str() == WATCH;
        let answered = if reads && inbound.wrap_ttl.is_none() {
            self.node.handle(inbound).await
        } else {
            // A client that goes away does not stop half-way what changes something: caches follow their commit.
            let node = self.node.clone();
            match tokio::spawn(async move { node.handle(inbound).await }).await {
                Ok(answered) => answered,
                Err(_) => Err(Refusal(Error::internal("a handler panicked"))),
            }
        };
        match answered {
            Ok(outbound) if head => encode::outbound(outbound).map(|_| Body::empty()),
            Ok(outbound) => encode::outbound(outbound),
            Err(Refusal(error)) => {
                if let Error::Internal(cause) = &error {
                    tracing::error!(cause = %format!("{cause:#}"), "internal error");
                }
                encode::error(&error)
            }
        }
    }
}

/// Where a request waits: it may take as much longer as it waits at most, and ends with its client.
const WATCH: &str = "sys/internal/watch";

/// So that encode is seen to take an answer that was released, and nothing else.
type Answer = Outbound;

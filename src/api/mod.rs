//! Listeners, headers, bytes in and out, and the few routes that work while sealed.

mod decode;
mod encode;
mod form;
pub mod listener;
mod public;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::base::{Error, Operation, Rng, limits};
use crate::node::Node;
use crate::vault::{Outbound, Refusal};
use listener::{Body, Connection};

/// The API of one node.
#[derive(Clone)]
pub struct Api {
    node: Arc<Node>,
    rng: Arc<dyn Rng>,
}

impl Api {
    /// Over this node.
    pub const fn new(node: Arc<Node>, rng: Arc<dyn Rng>) -> Self {
        Self { node, rng }
    }

    /// Answers one request, within the time that a request may take.
    pub async fn answer(self, request: Request<Incoming>, connection: Arc<Connection>) -> Response<Body> {
        let bound = connection.rules.max_request_duration;
        match tokio::time::timeout(bound, self.route(request, &connection)).await {
            Ok(response) => response,
            Err(_) => encode::error(&Error::Unavailable("the request took too long".into())),
        }
    }

    async fn route(&self, request: Request<Incoming>, connection: &Connection) -> Response<Body> {
        let path = request.uri().path();
        let Some(below) = path.strip_prefix("/v1/") else { return encode::elsewhere(path) };
        if below.len() > 3 * limits::PATH_BYTES {
            return encode::error(&Error::invalid("the path is too long"));
        }
        if public::answers(&self.node, request.method(), below, &request, connection) {
            return public::answer(&self.node, request, connection).await;
        }
        // Before the body is read: a sealed node has no use for it.
        if self.node.vault().is_err() {
            return encode::error(&Error::Sealed);
        }
        let inbound = match decode::decode(request, connection, self.rng.as_ref()).await {
            Ok(inbound) => inbound,
            Err(error) => return encode::error(&error),
        };
        let reads = matches!(inbound.operation, Operation::Read | Operation::List) && inbound.wrap_ttl.is_none();
        let answered = if reads {
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

/// So that encode is seen to take an answer that was released, and nothing else.
type Answer = Outbound;

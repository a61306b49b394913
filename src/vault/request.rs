//! The way of a request, stage by stage. Each stage consumes the value of the one before, so none can be skipped.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Vault;
use super::response::Response;
use crate::base::json::Map;
use crate::base::{Error, Operation, Path, Result, Secret, Ttl, limits};
use crate::engine::{ClientCert, Pieces, RawRequest};

/// A request, decoded: the path canonical, the body parsed once.
#[derive(Clone)]
pub struct Inbound {
    /// Its id, for logs and the audit log.
    pub id: Arc<str>,
    /// The verb.
    pub operation: Operation,
    /// The path below `/v1/`.
    pub path: Path,
    /// The token, if one came along.
    pub token: Option<Secret<String>>,
    /// Body and query together.
    pub body: Arc<Map>,
    /// Whether it only asks what the path is for.
    pub help: bool,
    /// How long the client wants the answer to wait, wrapped.
    pub wrap_ttl: Option<Ttl>,
    /// Where the connection comes from.
    pub remote: Option<SocketAddr>,
    /// What the client showed in its handshake.
    pub client_cert: Option<ClientCert>,
    /// A read whose answer is to have no body (HTTP's HEAD): only endpoints that take raw requests answer it.
    pub head: bool,
    /// Bytes and headers, made for those endpoints only that ask for them.
    pub raw: Arc<dyn Fn() -> RawRequest + Send + Sync>,
    /// Headers that its audit entries show; the vault picks them.
    pub headers: Vec<crate::audit::Header>,
    /// What the two audit entries of this request share, hashed once.
    pub memo: Arc<crate::audit::Memo>,
}

/// An answer that may leave: an audit device holds it, if there is any.
pub struct Outbound {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub content: Content,
    _released: crate::audit::Released,
}

/// The kinds of body.
pub enum Content {
    /// None.
    Empty,
    /// Vault's envelope.
    Envelope {
        /// The request's id.
        request_id: Arc<str>,
        /// What it says.
        response: Box<Response>,
        /// Whether the data stands at the top level too.
        flat: bool,
    },
    /// A list of errors, with data for those few that have some.
    Errors(Vec<String>),
    /// Bytes as they are.
    Raw {
        /// The media type.
        media_type: &'static str,
        /// More headers.
        headers: Vec<(&'static str, String)>,
        /// The body.
        bytes: Vec<u8>,
    },
    /// Bytes that come over time.
    Stream {
        /// The media type.
        media_type: &'static str,
        /// The body, piece by piece.
        pieces: Pieces,
    },
}

impl Outbound {
    pub(super) const fn new(status: u16, content: Content, released: crate::audit::Released) -> Self {
        Self { status, content, _released: released }
    }
}

/// A request that reached no engine: a status and texts from the fixed table.
#[derive(Debug)]
pub struct Refusal(pub Error);

impl Vault {
    /// Answers one request.
    ///
    /// # Errors
    /// A refusal, where no engine was reached or its answer could not be recorded.
    pub async fn handle(&self, mut inbound: Inbound) -> Result<Outbound, Refusal> {
        self.settle_doubt().map_err(Refusal)?;
        inbound.headers = self.audit.pick_headers(|| (inbound.raw)().headers);
        if inbound.help {
            return self.help(inbound).await;
        }
        let start = self.clock.monotonic();
        let routed = self.route(inbound);
        let authenticated = self.authenticate(routed);
        let now = self.clock.monotonic();
        self.metrics().fetch_acl_and_token.observe(now.saturating_sub(start), now);
        let identified = match authenticated {
            Ok(identified) => identified,
            Err((routed, error)) => return Err(self.refuse(&routed, error).await),
        };
        let spent = match self.spend(identified).await {
            Ok(spent) => spent,
            Err((routed, error)) => return Err(self.refuse(&routed, error).await),
        };
        let decided = self.decide(spent);
        let now = self.clock.monotonic();
        self.metrics().check_token.observe(now.saturating_sub(start), now);
        let mut recorded = match self.record(decided).await {
            Ok(recorded) => recorded,
            Err(refusal) => return Err(refusal),
        };
        let settled = self.run_and_settle(&mut recorded).await;
        let mount = recorded.target.entry.mount.clone();
        let (operation, creates) = (recorded.inbound.operation, recorded.permit.creating());
        let login = mount.is_auth() && recorded.target.endpoint().public;
        let waited = recorded.target.endpoint().waits;
        let released = self.release(recorded, settled).await;
        if waited {
            return released;
        }
        self.note(Some(mount.path.as_str()), operation, creates, login, start);
        released
    }

    /// Runs the engine and commits what it changed; again, a bounded number of times, where another writer was faster.
    async fn run_and_settle(&self, recorded: &mut super::stages::Recorded) -> Result<super::stages::Settled> {
        for attempt in 0..limits::CONFLICT_RETRIES {
            let settled = match self.run(recorded).await {
                Ok(answered) => self.settle(recorded, answered).await,
                Err(error) => Err(error),
            };
            if !matches!(settled, Err(Error::Conflict)) {
                return settled;
            }
            self.decide_again(recorded)?;
            // The commits of others take a flush each; after a few tries it is fair to let them pass.
            if attempt >= 2 {
                let pause = self.rng.below(1 + attempt as u64 * 2);
                self.clock.sleep(std::time::Duration::from_millis(pause)).await;
            }
        }
        Err(Error::Conflict)
    }
}

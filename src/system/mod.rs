//! The engines that are always there: `sys/`, `auth/token/`, `identity/`, `cubbyhole/`.
//!
//! They turn requests into calls on the stores, which reach them as [`Handles`] at construction.

pub mod audit;
pub mod cubbyhole;
mod facts;
pub mod front;
pub mod identity;
pub mod mounts;
pub mod openapi;
pub mod policies;
mod sys;
mod token;
pub mod versions;
pub mod watches;

use std::sync::{Arc, Weak};

pub use facts::Facts;
pub use sys::{Rotation, StoredPolicies, Sys, ceremony};
pub use token::TokenEngine;

use crate::activity::Activity;
use crate::audit::Broker;
use crate::barrier::View;
use crate::base::json::Map;
use crate::base::{BoxFuture, Error, Json, Path, Result, Secret, Ttl};
use crate::engine::{AnyEngine, ClientCert, Limits, Mount, Mounted};
use crate::identity::Identities;
use crate::lease::Leases;
use crate::mount::Mounts;
use crate::policy::Query;
use crate::quota::{Lockouts, Quotas};
use crate::token::{Token, Tokens};

/// What only a node can do. Implemented by the node.
pub trait Control: Send + Sync {
    /// Closes the barrier of this node.
    fn seal(&self) -> BoxFuture<'_, Result<()>>;
    /// Lets another node take over the background tasks.
    fn step_down(&self) -> BoxFuture<'_, Result<()>>;
    /// Adds a term to the keyring.
    fn rotate(&self) -> BoxFuture<'_, Result<()>>;
    /// Rereads the keyring, after another node changed it.
    ///
    /// # Errors
    /// When it does not open any more.
    fn keyring_changed(&self) -> Result<()>;
    /// What `sys/key-status` says.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    fn key_status(&self) -> Result<Map>;
    /// One step of a ceremony.
    fn ceremony(&self, kind: CeremonyKind, step: CeremonyStep) -> BoxFuture<'_, Result<Map>>;
    /// What `sys/seal-status` says.
    fn seal_status(&self) -> Map;
    /// The metrics, with what of them is measured when they are asked for.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a format that is not known or not enabled.
    fn metrics(&self, format: &str) -> Result<(&'static str, Vec<u8>)>;
    /// Requests at work in this node, by their ids.
    fn in_flight(&self) -> Map;
}

/// What a quorum of shares allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CeremonyKind {
    /// New unseal shares.
    Rekey,
    /// New recovery shares, where the store opens by itself.
    RecoveryRekey,
    /// A root token.
    Root,
}

/// A step of a ceremony.
pub enum CeremonyStep {
    /// How far it is.
    Status,
    /// Starts a rekey.
    Rekey(crate::seal::Plan),
    /// Starts the making of a root token, under a one-time pad that was given or is to be made.
    Root(Option<Secret<String>>),
    /// Gives a share, in hex or base64 or with its label.
    Offer(Offering),
    /// Ends it without a result.
    Cancel(Claim),
    /// How far the second round of a rekey is.
    Verification,
    /// Gives a new share to the second round.
    Verify(Offering),
    /// Begins the second round anew.
    VerifyAgain(Claim),
}

/// A share, and the round that it is for.
pub struct Offering {
    /// The share as text.
    pub key: Secret<String>,
    /// The round's nonce.
    pub nonce: String,
}

/// Whose ceremony is meant.
pub struct Claim {
    /// Its nonce; may be empty.
    pub nonce: String,
    /// Whoever asks has no token: the nonce has to show that it is theirs.
    pub anonymous: bool,
}

/// What is to be taken back.
pub enum Revocation<'a> {
    /// A token by its digest, with all its children.
    Token(&'a str),
    /// A token by its digest; its children become orphans.
    TokenAlone(&'a str),
    /// A lease by its id.
    Lease(&'a str),
    /// All that came from a path or from below it.
    Below(&'a str),
    /// The same, whatever the engines say.
    Force(&'a str),
}

/// A token's new end, as an answer that is complete; none where its method knows no more of it.
pub struct Renewed(pub Option<Json>);

/// A lease's new end.
pub struct RenewedLease {
    /// From now.
    pub ttl: Ttl,
    /// Whether it can be renewed again.
    pub renewable: bool,
}

/// A request to be explained.
pub struct Question {
    /// Whose it is.
    pub token: Token,
    /// The token is none, only a set of policies: its standing is not asked.
    pub is_policies: bool,
    /// Where.
    pub path: String,
    /// `create`, `read`, `update`, `patch`, `delete` or `list`.
    pub operation: String,
    /// With what.
    pub parameters: Map,
    /// For how long the answer would be wrapped.
    pub wrap: Option<Ttl>,
    /// From where; where that is not said, it is not asked.
    pub address: Option<std::net::IpAddr>,
}

/// What the vault does for its own engines. Implemented by the vault.
pub trait Work: Send + Sync {
    /// Takes back. Done when answered; safe to repeat.
    fn revoke<'a>(&'a self, what: Revocation<'a>) -> BoxFuture<'a, Result<()>>;
    /// Commits a change at once, for handlers that have more to do after it.
    fn commit(&self, txn: crate::barrier::Txn) -> BoxFuture<'_, Result<()>>;
    /// Writes down who used the server up to now.
    fn write_clients(&self) -> BoxFuture<'_, Result<()>>;
    /// Finishes taking down mounts that have left the table.
    fn unmounted(&self) -> BoxFuture<'_, Result<()>>;
    /// Gives a token a new end. `increment` is what is asked for, 0 for what it had; `shown` is the certificate of who asks.
    fn renew_token<'a>(
        &'a self,
        token: &'a Token,
        text: Secret<String>,
        increment: Ttl,
        shown: Option<ClientCert>,
    ) -> BoxFuture<'a, Result<Renewed>>;
    /// Gives a lease a new end.
    fn renew_lease<'a>(&'a self, id: &'a str, increment: Ttl) -> BoxFuture<'a, Result<RenewedLease>>;
    /// What a token may do at a path, in words.
    ///
    /// # Errors
    /// When its policies cannot be read.
    fn capabilities(&self, token: &Token, path: &Path) -> Result<Vec<&'static str>>;
    /// Whether a token may do anything at or below a prefix.
    ///
    /// # Errors
    /// When its policies cannot be read.
    fn sees(&self, token: &Token, prefix: &str) -> Result<bool>;
    /// Whether a token may do this.
    ///
    /// # Errors
    /// When its policies cannot be read.
    fn may(&self, token: &Token, asked: &Query<'_>) -> Result<bool>;
    /// Which of these paths a token may read, in their order.
    ///
    /// # Errors
    /// When its policies cannot be read.
    fn readable(&self, token: &Token, paths: &[Path]) -> Result<Vec<bool>>;
    /// All that a token may do, as `sys/internal/ui/resultant-acl` shows it.
    ///
    /// # Errors
    /// When its policies cannot be read.
    fn outline(&self, token: &Token) -> Result<Map>;
    /// How a request would be decided now, and why.
    ///
    /// # Errors
    /// When the question is malformed, or something cannot be read.
    fn explain(&self, question: &Question) -> Result<Map>;
    /// How a denied request was decided, and how it would be now.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no such denial is kept on this node.
    fn explain_denial(&self, request_id: &str) -> Result<Map>;
    /// The denials that this node keeps, the newest first.
    fn denials(&self) -> Vec<Json>;
    /// The token of a text, if it is valid now.
    ///
    /// # Errors
    /// [`Error::BadToken`].
    fn token_of(&self, text: &Secret<String>) -> Result<Token>;
}

/// What the system's engines work with.
#[derive(Clone)]
pub struct Handles {
    /// The whole store.
    pub view: View,
    /// Tokens.
    pub tokens: Arc<Tokens>,
    /// Leases.
    pub leases: Arc<Leases>,
    /// Identities.
    pub identities: Arc<Identities>,
    /// The mounts in force.
    pub mounts: Arc<Mounts>,
    /// The audit log.
    pub audit: Arc<Broker>,
    /// Rate limits.
    pub quotas: Arc<Quotas>,
    /// Failed logins.
    pub lockouts: Arc<Lockouts>,
    /// Who used the server, by month.
    pub activity: Arc<Activity>,
    /// Who waits for a change.
    pub watches: Arc<watches::Watches>,
    /// What only a node can do.
    pub control: Arc<dyn Control>,
    /// What only the vault can do. Weak, since the vault holds its engines.
    pub work: Weak<dyn Work>,
    /// The system's lease times.
    pub limits: Limits,
    /// Whether `sys/raw` answers.
    pub raw_storage: bool,
    /// Where clients reach this server, if that is configured.
    pub api_addr: Option<String>,
    /// What is told of the process.
    pub facts: Facts,
}

impl Handles {
    /// The vault.
    ///
    /// # Errors
    /// [`Error::Sealed`] when it is gone.
    pub fn work(&self) -> Result<Arc<dyn Work>> {
        self.work.upgrade().ok_or(Error::Sealed)
    }
}

/// Whether a type is one of the vault's own.
pub fn is_own(kind: &str) -> bool {
    matches!(kind, "system" | "token" | "identity" | "cubbyhole")
}

/// Opens one of the vault's own engines; `None` for a type of the catalog.
pub fn open(mount: &Mount, view: &View, handles: &Handles) -> Option<Result<Arc<dyn AnyEngine>>> {
    Some(match mount.kind.as_str() {
        "system" => Ok(Mounted::of(Sys { handles: handles.clone() })),
        "token" => Ok(Mounted::of(TokenEngine { handles: handles.clone() })),
        "identity" => Ok(Mounted::of(identity::IdentityEngine { handles: handles.clone() })),
        "cubbyhole" => Mounted::<cubbyhole::Cubbyhole>::open(mount, view),
        _ => return None,
    })
}

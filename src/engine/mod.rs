//! The contract between the vault and its engines.
//!
//! An engine is a type with a route table; a row of it is the single declaration of an endpoint. Handlers take an owned
//! [`Cx`] and parsed parameters, and return their change inside a [`Reply`]: they never commit by themselves.

pub mod class;
mod cx;
mod page;
pub mod params;
mod reply;
mod routes;
mod token_rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use class::{Class, MakesTokens};
pub use cx::{Caller, CallerFacts, ClientCert, Cx, Frame, PasswordPolicies, RawRequest};
pub use page::{Page, page};
pub use params::{Args, Field, Param, Params, Rest};
pub use reply::{Admitted, Alias, Body, Child, Leased, Login, Pieces, Renewal, Reply, Resumed, Simulated};
pub use routes::{At, Claimed, Endpoint, Handling, Matched, Routes, Table};
pub use token_rules::{OlderTokenParams, TokenKind, TokenParams, TokenRules, policy_names, show_network, within};

use crate::barrier::{Txn, View};
use crate::base::{BoxFuture, Json, Key, MountPath, Result, Ttl, header};
use crate::telemetry::metrics::Labels;

/// What an engine knows of its mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is, with `auth/` in front for auth methods.
    pub path: MountPath,
    /// The type under which it was enabled.
    pub kind: String,
    /// The handle that identity and audit use.
    pub accessor: String,
    /// The prefix of its data; stays the same when it is moved.
    pub uuid: String,
    /// Words for people.
    pub description: String,
    /// The type's own options, such as KV's `version`.
    pub options: BTreeMap<String, String>,
    /// What was tuned.
    pub config: MountConfig,
    /// Accepted and shown; one data centre has no use for it.
    pub local: bool,
    /// Accepted and shown: everything is encrypted alike.
    pub seal_wrap: bool,
}

/// The tunable settings of a mount, as `sys/mounts/:path/tune` has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountConfig {
    /// 0 for the system's.
    pub default_lease_ttl: Ttl,
    /// 0 for the system's.
    pub max_lease_ttl: Ttl,
    /// `unauth`, `hidden` or empty.
    pub listing_visibility: String,
    /// Accepted and shown.
    pub force_no_cache: bool,
    /// Fields of requests that audit shows as they are.
    pub audit_non_hmac_request_keys: Vec<String>,
    /// Fields of responses that audit shows as they are.
    pub audit_non_hmac_response_keys: Vec<String>,
    /// Headers that engines may see.
    pub passthrough_request_headers: Vec<String>,
    /// Headers that engines may answer with.
    pub allowed_response_headers: Vec<String>,
    /// For auth methods: `default-service`, `default-batch`, `service`, `batch`.
    pub token_type: String,
    /// For userpass and approle: lockout after failed logins; `None` for the default.
    pub user_lockout: Option<UserLockout>,
}

/// When failed logins lock a user, as `user_lockout_config` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserLockout {
    /// Failures in a row.
    pub threshold: u64,
    /// How long the lock lasts.
    pub duration: Ttl,
    /// When an unfinished row of failures is forgotten.
    pub counter_reset: Ttl,
    /// Never lock.
    pub disabled: bool,
}

impl Default for UserLockout {
    fn default() -> Self {
        let quarter = Ttl::from_seconds(900);
        Self { threshold: 5, duration: quarter, counter_reset: quarter, disabled: false }
    }
}

/// The lease times that apply at a mount, in effect: its own within the system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Where nothing is asked for.
    pub default_ttl: Ttl,
    /// At most.
    pub max_ttl: Ttl,
}

impl MountConfig {
    /// Whether an engine may answer with this header: those that the protocols of engines consist of, and those that are
    /// tuned.
    pub fn lets_out(&self, name: &str) -> bool {
        const ALWAYS: [&str; 9] = [
            "cache-control",
            "content-disposition",
            "etag",
            "expires",
            "last-modified",
            "link",
            "location",
            "replay-nonce",
            "retry-after",
        ];
        let tuned = || self.allowed_response_headers.iter().any(|n| n.eq_ignore_ascii_case(name));
        ALWAYS.contains(&name) || (tuned() && !header::is_credential(name) && !header::is_framing(name))
    }
}

impl Mount {
    /// The lease times in effect.
    pub fn limits(&self, system: Limits) -> Limits {
        let max_ttl = self.config.max_lease_ttl.or(system.max_ttl);
        Limits { default_ttl: self.config.default_lease_ttl.or(system.default_ttl).min(max_ttl), max_ttl }
    }

    /// Whether it is an auth method.
    pub fn is_auth(&self) -> bool {
        self.path.as_str().starts_with("auth/")
    }
}

/// A kind of secrets engine, auth method or system engine.
pub trait Engine: Sized + Send + Sync + 'static {
    /// What it is, and so whether it can answer with a login.
    type Class: Class;

    /// The word under which it is enabled.
    const TYPE: &'static str;

    /// Its endpoints.
    fn routes() -> Routes<Self>;

    /// Makes the engine ready. Only reads; may run on two nodes at once.
    ///
    /// # Errors
    /// When its configuration cannot be read.
    fn open(mount: &Mount, view: &View) -> Result<Self>;

    /// What a new mount needs in storage, written in the commit that makes it.
    ///
    /// # Errors
    /// [`crate::base::Error::Invalid`] for options that the type does not have.
    fn enable(_mount: &Mount, _txn: &mut Txn) -> Result<()> {
        Ok(())
    }

    /// Decides whether a login's token may be renewed, and for how long.
    fn renew_login(_cx: Cx<Self>, _login: Login) -> BoxFuture<'static, Result<Renewal>> {
        Box::pin(async { Ok(Renewal::default()) })
    }

    /// Decides whether a lease may be renewed, and for how long.
    fn renew_lease(_cx: Cx<Self>, _internal: Json) -> BoxFuture<'static, Result<Renewal>> {
        Box::pin(async { Ok(Renewal::default()) })
    }

    /// Takes back what was leased. Idempotent: it may run again.
    fn revoke_lease(cx: Cx<Self>, _internal: Json) -> BoxFuture<'static, Result<Txn>> {
        Box::pin(async move { Ok(cx.txn()) })
    }

    /// The row, in the mount's part of the store, that is written whenever what a read of this path shows changes: whoever
    /// waits for a change looks at it. `None` where there is no such row.
    fn row_behind(_path: &str) -> Option<Key> {
        None
    }

    /// Whether [`Engine::tend`] is to be called for mounts of this type.
    const TENDED: bool = false;

    /// One bounded step of the work that nobody asks for, such as removing what has ended. It is called again and again
    /// by whoever holds the task lock, finds in storage what is due, and does nothing where nothing is. Idempotent.
    fn tend(_cx: Cx<Self>) -> BoxFuture<'static, Result<Option<Txn>>> {
        Box::pin(async { Ok(None) })
    }

    /// What metrics show of a mount of this type, counted in steps now and then on each node. No answer waits for it.
    fn measure(_cx: Cx<Self>) -> BoxFuture<'static, Result<Vec<Sample>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// One value among metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The gauge; it begins with `secrets.`
    pub name: &'static str,
    /// What tells this value from others of the gauge.
    pub labels: Labels,
    /// The value.
    pub value: f64,
}

/// An engine of some type, as the vault holds it.
pub trait AnyEngine: Send + Sync {
    /// Its endpoints.
    fn table(&self) -> &Table;
    /// Itself, for its handlers.
    fn any(&self) -> Arc<dyn std::any::Any + Send + Sync>;
    /// [`Engine::renew_login`].
    fn renew_login(&self, frame: Frame, login: Login) -> BoxFuture<'static, Result<Renewal>>;
    /// [`Engine::renew_lease`].
    fn renew_lease(&self, frame: Frame, internal: Json) -> BoxFuture<'static, Result<Renewal>>;
    /// [`Engine::revoke_lease`].
    fn revoke_lease(&self, frame: Frame, internal: Json) -> BoxFuture<'static, Result<Txn>>;
    /// [`Engine::row_behind`].
    fn row_behind(&self, path: &str) -> Option<Key>;
    /// [`Engine::TENDED`].
    fn tended(&self) -> bool;
    /// [`Engine::tend`].
    fn tend(&self, frame: Frame) -> BoxFuture<'static, Result<Option<Txn>>>;
    /// [`Engine::measure`].
    fn measure(&self, frame: Frame) -> BoxFuture<'static, Result<Vec<Sample>>>;
}

/// An engine with its table.
pub struct Mounted<E> {
    engine: Arc<E>,
    table: Table,
}

impl<E: Engine> Mounted<E> {
    /// Opens an engine for this mount.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open(mount: &Mount, view: &View) -> Result<Arc<dyn AnyEngine>> {
        Ok(Self::of(E::open(mount, view)?))
    }

    /// An engine that was made by hand: the system's engines get handles.
    pub fn of(engine: E) -> Arc<dyn AnyEngine> {
        Arc::new(Self { engine: Arc::new(engine), table: E::routes().into_table() })
    }

    fn cx(&self, frame: Frame) -> Cx<E> {
        Cx::new(self.engine.clone(), frame)
    }
}

impl<E: Engine> AnyEngine for Mounted<E> {
    fn table(&self) -> &Table {
        &self.table
    }
    fn any(&self) -> Arc<dyn std::any::Any + Send + Sync> {
        self.engine.clone()
    }
    fn renew_login(&self, frame: Frame, login: Login) -> BoxFuture<'static, Result<Renewal>> {
        E::renew_login(self.cx(frame), login)
    }
    fn renew_lease(&self, frame: Frame, internal: Json) -> BoxFuture<'static, Result<Renewal>> {
        E::renew_lease(self.cx(frame), internal)
    }
    fn revoke_lease(&self, frame: Frame, internal: Json) -> BoxFuture<'static, Result<Txn>> {
        E::revoke_lease(self.cx(frame), internal)
    }
    fn row_behind(&self, path: &str) -> Option<Key> {
        E::row_behind(path)
    }
    fn tended(&self) -> bool {
        E::TENDED
    }
    fn tend(&self, frame: Frame) -> BoxFuture<'static, Result<Option<Txn>>> {
        E::tend(self.cx(frame))
    }
    fn measure(&self, frame: Frame) -> BoxFuture<'static, Result<Vec<Sample>>> {
        E::measure(self.cx(frame))
    }
}

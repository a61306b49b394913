//! What a handler is given: its engine, its part of the store, time, chance, and the facts of the request.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Limits, Mount, MountConfig};
use crate::barrier::{Txn, View};
use crate::base::{Clock, Error, Key, Name, Operation, Path, Result, Rng, Timestamp, header};
use crate::outbound::Outbound;
use crate::policy::{Fact, Facts, PasswordPolicy};

/// Who asks, after authentication. Empty for endpoints that need no token.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The keyed digest under which the token is stored; empty without a token.
    pub token_id: String,
    /// The token's accessor; empty for batch tokens.
    pub accessor: String,
    /// The name that logs show.
    pub display_name: String,
    /// All policies, those of the identity included.
    pub policies: Vec<String>,
    /// The entity behind the token; may be empty.
    pub entity_id: String,
    /// Whether it is a batch token.
    pub batch: bool,
    /// Whether it is a root token.
    pub root: bool,
    /// What templates in an engine's settings may say of them.
    pub facts: CallerFacts,
    /// The token itself, for the vault's own engines alone.
    pub text: Option<crate::base::Secret<String>>,
}

/// What is known of the identity behind a token; nothing without one.
#[derive(Clone, Default)]
pub struct CallerFacts(Option<Arc<dyn Facts + Send + Sync>>);

impl CallerFacts {
    /// Those of somebody.
    pub fn new(facts: Arc<dyn Facts + Send + Sync>) -> Self {
        Self(Some(facts))
    }
}

impl Facts for CallerFacts {
    fn fact(&self, fact: &Fact) -> Option<Cow<'_, str>> {
        self.0.as_ref()?.fact(fact)
    }
}

impl fmt::Debug for CallerFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerFacts(..)")
    }
}

/// A certificate that the client showed in its TLS handshake. It proves a key, nothing else: the chain was not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCert {
    /// The certificates as sent, the client's own first, in DER.
    pub chain: Arc<[Vec<u8>]>,
}

/// The server's password policies, for engines that make passwords or are given them.
pub trait PasswordPolicies: Send + Sync {
    /// The one of this name.
    ///
    /// # Errors
    /// When it cannot be read.
    fn named(&self, name: &Name) -> Result<Option<PasswordPolicy>>;
}

/// The bytes of a request, for endpoints that say `.raw()`.
#[derive(Clone, Debug, Default)]
pub struct RawRequest {
    /// The HTTP method.
    pub method: String,
    /// Headers, names in lower case; those that carry tokens are not among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl RawRequest {
    /// What of it an engine gets to see: what every endpoint needs to read a body and to choose a form for its answer, and
    /// what the mount lets through.
    #[must_use]
    pub fn let_through(mut self, config: &MountConfig) -> Self {
        const ALWAYS: [&str; 3] = ["accept", "content-type", "if-modified-since"];
        let passes = |name: &str| config.passthrough_request_headers.iter().any(|n| n.eq_ignore_ascii_case(name));
        self.headers.retain(|(name, _)| ALWAYS.contains(&name.as_str()) || (passes(name) && !header::is_hidden(name)));
        self
    }
}

/// All that a handler gets beside its engine and parameters.
#[derive(Clone)]
pub struct Frame {
    /// The mount at which the request arrived.
    pub mount: Arc<Mount>,
    /// The lease times in effect there.
    pub limits: Limits,
    /// The mount's part of the store.
    pub view: View,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// The request's id.
    pub request_id: Arc<str>,
    /// The verb.
    pub operation: Operation,
    /// The whole canonical path.
    pub path: Arc<Path>,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// Where the connection comes from.
    pub client_addr: Option<IpAddr>,
    /// What the client showed in its handshake.
    pub client_cert: Option<ClientCert>,
    /// For `.raw()` endpoints.
    pub raw: Option<Arc<RawRequest>>,
    /// The caller may create here, but not change what exists: a handler that finds something there answers
    /// [`crate::base::Error::Denied`]. Another may have made it since the policies were asked.
    pub create_only: bool,
    /// Whether the answer will be wrapped.
    pub wrapping: bool,
    /// The way to other servers.
    pub outbound: Arc<dyn Outbound>,
    /// What passwords are to be like.
    pub passwords: Arc<dyn PasswordPolicies>,
    /// Whether a name in the path was given in another case than its own.
    pub folded: bool,
}

/// A request at its handler.
pub struct Cx<E> {
    engine: Arc<E>,
    frame: Frame,
}

impl<E> Cx<E> {
    pub(super) const fn new(engine: Arc<E>, frame: Frame) -> Self {
        Self { engine, frame }
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<E> {
        &self.engine
    }

    /// The facts, for handing on.
    pub const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.frame.clock.now()
    }

    /// Chance.
    pub fn rng(&self) -> &dyn Rng {
        self.frame.rng.as_ref()
    }

    /// The mount's part of the store.
    pub fn view(&self) -> &View {
        &self.frame.view
    }

    /// What lies there, for who makes it or changes it.
    ///
    /// # Errors
    /// [`Error::Denied`] when there is something and the caller may only create: also what came in between is not overwritten.
    /// Those of storage.
    pub fn writable<T: DeserializeOwned>(&self, txn: &mut Txn, key: &Key) -> Result<Option<T>> {
        let old = txn.get(key)?;
        if old.is_some() && self.create_only { Err(Error::Denied) } else { Ok(old) }
    }

    /// A transaction on the mount's part of the store.
    pub fn txn(&self) -> Txn {
        self.frame.view.txn()
    }

    /// Reads one value.
    ///
    /// # Errors
    /// As [`View::get`].
    pub fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        self.frame.view.get(key)
    }

    /// Lists the names below a key.
    ///
    /// # Errors
    /// As [`View::list`].
    pub fn list(&self, folder: &Key) -> Result<Vec<String>> {
        self.frame.view.list(folder)
    }

    /// One header of a `.raw()` request.
    pub fn header(&self, name: &str) -> Option<&str> {
        let raw = self.frame.raw.as_ref()?;
        raw.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

impl<E> Deref for Cx<E> {
    type Target = Frame;
    fn deref(&self) -> &Frame {
        &self.frame
    }
}

impl<E> Clone for Cx<E> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), frame: self.frame.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_sees_what_its_mount_lets_through_and_never_a_credential() {
        let given = ["accept", "content-type", "x-let-through", "x-other", "authorization", "x-vault-token"];
        let raw = RawRequest {
            headers: given.iter().map(|name| ((*name).to_owned(), "v".to_owned())).collect(),
            ..RawRequest::default()
        };
        let seen = |config: &MountConfig| {
            let seen = raw.clone().let_through(config);
            seen.headers.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(seen(&MountConfig::default()), ["accept", "content-type"]);
        // As a store that was made before names were checked may have it.
        let names = ["X-Let-Through", "Authorization", "x-vault-token"].map(str::to_owned).to_vec();
        let tuned = MountConfig { passthrough_request_headers: names, ..MountConfig::default() };
        assert_eq!(seen(&tuned), ["accept", "content-type", "x-let-through"]);
    }
}

//! The quota store: how often a client may ask, and how often fail. The former is decided before anybody is authenticated and before a
//! body is read.
//!
//!     core/quota/config            exemptions, and what is told about a refusal
//!     core/quota/rule/<name>       a rate limit
//!
//! Rules are in storage; how much of one a client has used is in the memory of one node, by design: a limit protects that node.

mod bucket;
mod lockout;
mod rule;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

pub use bucket::Standing;
pub use lockout::Lockouts;
pub use rule::{Config, DEFAULT_EXEMPT, Rule, Scope};

use crate::barrier::{Barrier, Txn, View};
use crate::base::{Key, Name, Result};
use bucket::Buckets;

/// A request, as far as it is known before its body.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The path below `/v1/`.
    pub path: &'a str,
    /// The mount's uuid, and where its own part of the path begins.
    pub mount: Option<(&'a str, usize)>,
    /// Who asks.
    pub client: IpAddr,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The rule that applied, if any.
    pub rule: Option<Name>,
    /// How the client stands with it.
    pub standing: Option<Standing>,
    /// Whether the request is refused.
    pub refused: bool,
    /// Whether the rule depends on the role that the body names: to be asked again once it is read.
    pub by_role: bool,
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct InForce {
    /// What is said about all of them.
    pub config: Config,
    /// The rules, the most particular first.
    pub rules: Vec<Rule>,
}

/// The store, and what clients have used.
pub struct Quotas {
    view: View,
    in_force: ArcSwap<InForce>,
    buckets: Buckets,
}

impl Quotas {
    /// Opens the store; reads nothing until [`Quotas::reload`].
    pub fn open(barrier: &Arc<Barrier>) -> Self {
        Self { view: barrier.view().sub("core/quota"), in_force: ArcSwap::default(), buckets: Buckets::default() }
    }

    /// Whether a key of the store is one of its own.
    pub fn owns(key: &Key) -> bool {
        key.below(&Key::new("core/quota")).is_some()
    }

    /// Puts in force what is stored.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn reload(&self) -> Result<()> {
        let (config, mut rules) = self.view.read(|r| {
            let config: Config = r.get(&config_key())?.unwrap_or_default();
            let mut rules = Vec::new();
            for name in r.list(&folder())? {
                rules.extend(r.get::<Rule>(&folder().join(&name))?);
            }
            Ok((config, rules))
        })?;
        rules.sort_by_key(Rule::rank);
        self.in_force.store(Arc::new(InForce { config, rules }));
        Ok(())
    }

    /// The rules of this moment.
    pub fn in_force(&self) -> Guard<Arc<InForce>> {
        self.in_force.load()
    }

    /// Decides about a request by its path. Where a rule for a role may apply, the request passes as long as one of the rules
    /// that may be meant has room for this client, and [`Quotas::admit_role`] takes it from the right one.
    pub fn admit(&self, asked: &Asked<'_>, now: Duration) -> Verdict {
        let in_force = self.in_force.load();
        if in_force.rules.is_empty() || in_force.config.exempts(asked.path) {
            return Verdict::default();
        }
        let general = in_force.rules.iter().find(|rule| rule.role.is_none() && rule.covers(asked));
        let mut by_role = in_force.rules.iter().filter(|rule| rule.role.is_some() && rule.covers(asked)).peekable();
        if by_role.peek().is_some() {
            let room = |rule: &Rule| self.buckets.has_room(rule, asked.client, now);
            let refused = !by_role.any(room) && general.is_some_and(|rule| !room(rule));
            return match general.filter(|_| refused) {
                Some(rule) => self.take(rule, asked, now),
                None => Verdict { by_role: true, ..Verdict::default() },
            };
        }
        general.map_or_else(Verdict::default, |rule| self.take(rule, asked, now))
    }

    /// Decides about a login whose role is known by now.
    pub fn admit_role(&self, asked: &Asked<'_>, role: Option<&str>, now: Duration) -> Verdict {
        let in_force = self.in_force.load();
        let covers = |rule: &&Rule| rule.covers(asked);
        let own = in_force.rules.iter().filter(covers).find(|r| r.role.is_some() && r.role.as_deref() == role);
        let general = in_force.rules.iter().filter(covers).find(|r| r.role.is_none());
        own.or(general).map_or_else(Verdict::default, |rule| self.take(rule, asked, now))
    }

    fn take(&self, rule: &Rule, asked: &Asked<'_>, now: Duration) -> Verdict {
        let (standing, refused) = self.buckets.take(rule, asked.client, now);
        Verdict { rule: Some(rule.name.clone()), standing: Some(standing), refused, by_role: false }
    }

    /// A rule by its name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn rule(&self, name: &Name) -> Result<Option<Rule>> {
        self.view.get(&folder().join(name.as_str()))
    }

    /// The names of all rules.
    ///
    /// # Errors
    /// As [`Quotas::rule`].
    pub fn names(&self) -> Result<Vec<String>> {
        self.view.list(&folder())
    }

    /// Changes a rule, or makes one.
    ///
    /// # Errors
    /// What `change` answers; as [`Quotas::rule`].
    pub fn write(&self, name: &Name, change: impl FnOnce(Option<Rule>) -> Result<Rule>) -> Result<Txn> {
        let mut txn = self.view.txn();
        let key = folder().join(name.as_str());
        let rule = change(txn.get(&key)?)?;
        txn.put(&key, &rule)?;
        Ok(txn)
    }

    /// Removes a rule.
    pub fn remove(&self, name: &Name) -> Txn {
        let mut txn = self.view.txn();
        txn.delete(&folder().join(name.as_str()));
        txn
    }

    /// Removes the rules of a mount that goes away.
    pub fn remove_of(&self, uuid: &str) -> Txn {
        let mut txn = self.view.txn();
        for rule in self.in_force.load().rules.iter().filter(|rule| rule.scope.is_of(uuid)) {
            txn.delete(&folder().join(rule.name.as_str()));
        }
        txn
    }

    /// Writes what is said about all rules.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) -> Result<Txn> {
        let mut txn = self.view.txn();
        let mut config: Config = txn.get(&config_key())?.unwrap_or_default();
        change(&mut config);
        txn.put(&config_key(), &config)?;
        Ok(txn)
    }
}

fn folder() -> Key {
    Key::new("rule")
}

fn config_key() -> Key {
    Key::new("config")
}

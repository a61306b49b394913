//! What exists only while unsealed: the stores, the mounts, the stages of a request, the background tasks.
//!
//! Whoever holds a [`Vault`] is unsealed: it can only be built from an open [`Barrier`].

mod acls;
mod background;
mod caches;
mod clients;
mod denials;
mod epochs;
mod explain;
mod measure;
mod own;
mod pace;
mod policies;
pub mod request;
mod response;
mod revoke;
mod rotation;
mod sessions;
mod stages;
mod streams;
mod tending;
mod work;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

pub use request::{Content, Inbound, Outbound, Refusal};
pub use response::{AuthInfo, Response, WrapInfo};

use arc_swap::ArcSwap;

use crate::activity::Activity;
use crate::audit::Broker;
use crate::barrier::{Barrier, Txn};
use crate::base::{Clock, Error, Result, Rng, limits};
use crate::engine::{AnyEngine, Limits, Mount, PasswordPolicies};
use crate::identity::Identities;
use crate::lease::Leases;
use crate::mount::{Mounts, catalog};
use crate::quota::{Lockouts, Quotas};
use crate::storage::Version;
use crate::system::front::Front;
use crate::system::{self, Control, Facts, Handles};
use crate::telemetry::{Meter, metrics};
use crate::token::Tokens;

/// What the configuration says, as far as the vault needs it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The system's lease times.
    pub limits: Limits,
    /// Where audit files may lie.
    pub audit_rules: crate::audit::Rules,
    /// Whether `sys/raw` answers.
    pub raw_storage: bool,
    /// Where clients reach this server, if that is configured.
    pub api_addr: Option<String>,
    /// How engines reach other servers.
    pub outbound: Arc<dyn crate::outbound::Outbound>,
    /// What is told of the process around it.
    pub facts: Facts,
}

/// An unsealed store and all that works on it.
pub struct Vault {
    barrier: Arc<Barrier>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    settings: Settings,
    tokens: Arc<Tokens>,
    leases: Arc<Leases>,
    identities: Arc<Identities>,
    mounts: Arc<Mounts>,
    audit: Arc<Broker>,
    quotas: Arc<Quotas>,
    lockouts: Arc<Lockouts>,
    activity: Arc<Activity>,
    front: ArcSwap<Front>,
    policies: policies::Policies,
    passwords: Arc<dyn PasswordPolicies>,
    denials: denials::Denials,
    sessions: sessions::Sessions,
    acls: acls::Acls,
    epochs: epochs::Epochs,
    control: Arc<dyn Control>,
    handles: Handles,
    /// Held from reading what a reload reads until it is in force: else the slower of two reloads brings an older state back.
    /// How far the feed was followed.
    position: AtomicU64,
    /// Monotonic milliseconds of the start of the last poll that brought the caches up to date.
    polled_ms: AtomicU64,
    stopping: AtomicBool,
    streams: streams::Streams,
    /// Whether this node holds the task lock, as far as its sweep knows.
    leading: AtomicBool,
    /// The task lock is to be let go.
    stepping_down: AtomicBool,
    /// How often something may have been committed that the caches did not hear of.
    doubts: AtomicU64,
    /// Up to which of them the caches began anew.
    settled: AtomicU64,
    /// One at a time reads the mounts or the audit devices and puts them in force: else what was read first could be put
    /// in force last.
    turn: std::sync::Mutex<()>,
}

impl Vault {
    /// Builds the vault of an open barrier. Reads the mount table and the audit devices, nothing else: its cost does not
    /// grow with leases, tokens or certificates.
    ///
    /// # Errors
    /// When they cannot be read, or an audit device cannot be opened.
    pub fn open(
        barrier: Arc<Barrier>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        settings: Settings,
        control: Arc<dyn Control>,
    ) -> Result<Arc<Self>> {
        let position = barrier.storage().position()?;
        let tokens = Arc::new(Tokens::open(&barrier)?);
        let leases = Arc::new(Leases::open(&barrier));
        let identities = Arc::new(Identities::open(&barrier));
        let mounts = Arc::new(Mounts::default());
        let audit = Arc::new(Broker::new(settings.audit_rules.clone(), rng.clone()));
        let quotas = Arc::new(Quotas::open(&barrier));
        let lockouts = Arc::new(Lockouts::open(&barrier)?);
        let activity = Arc::new(Activity::open(&barrier)?);
        let polled_ms = AtomicU64::new(milliseconds(clock.monotonic()));
        let vault = Arc::new_cyclic(|weak: &std::sync::Weak<Self>| {
            let work: std::sync::Weak<dyn system::Work> = weak.clone();
            let handles = Handles {
                view: barrier.view(),
                tokens: tokens.clone(),
                leases: leases.clone(),
                identities: identities.clone(),
                mounts: mounts.clone(),
                audit: audit.clone(),
                quotas: quotas.clone(),
                lockouts: lockouts.clone(),
                activity: activity.clone(),
                watches: Arc::default(),
                control: control.clone(),
                work,
                limits: settings.limits,
                raw_storage: settings.raw_storage,
                api_addr: settings.api_addr.clone(),
                facts: settings.facts.clone(),
            };
            Self {
                policies: policies::Policies::new(barrier.view()),
                passwords: Arc::new(system::StoredPolicies(barrier.view())),
                denials: denials::Denials::default(),
                sessions: sessions::Sessions::default(),
                acls: acls::Acls::default(),
                epochs: epochs::Epochs::default(),
                barrier,
                clock,
                rng,
                settings,
                tokens,
                leases,
                identities,
                mounts,
                audit,
                quotas,
                lockouts,
                activity,
                front: ArcSwap::default(),
                control,
                handles,
                position: AtomicU64::new(position),
                polled_ms,
                stopping: AtomicBool::new(false),
                streams: streams::Streams::default(),
                leading: AtomicBool::new(false),
                stepping_down: AtomicBool::new(false),
                doubts: AtomicU64::new(0),
                settled: AtomicU64::new(0),
                turn: std::sync::Mutex::default(),
            }
        });
        vault.barrier.measure(Meter { metrics: vault.settings.facts.metrics.clone(), clock: vault.clock.clone() });
        vault.reload_mounts()?;
        match system::audit::heads(&vault.barrier.view()) {
            Ok(heads) => vault.audit.remember(heads),
            // A chain that begins anew is no reason to stay sealed.
            Err(error) => tracing::warn!(%error, "the heads of the audit logs cannot be read"),
        }
        vault.reload_audit()?;
        vault.reload_front()?;
        vault.quotas.reload()?;
        Ok(vault)
    }

    /// Commits a transaction, and lets every cache of this node forget what it changed before anyone is answered.
    ///
    /// # Errors
    /// As [`Barrier::commit`].
    pub async fn commit(&self, txn: Txn) -> Result<Version> {
        let touched = txn.touched();
        let start = self.clock.monotonic();
        let committed = self.barrier.commit(txn).await;
        let now = self.clock.monotonic();
        self.settings.facts.metrics.barrier(metrics::Barrier::Put, now.saturating_sub(start), now);
        // Where nobody knows whether it happened, it may have.
        if matches!(committed, Ok(_) | Err(Error::Unknown)) && self.forget(&touched).is_err() {
            self.doubts.fetch_add(1, Ordering::SeqCst);
        }
        committed
    }

    fn reload_mounts(&self) -> Result<()> {
        // Nothing is left half done by a panic: what the lock protects is swapped in whole.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.mounts.reload(&self.barrier, &|mount: &Mount, view| -> Result<Arc<dyn AnyEngine>> {
            match system::open(mount, view, &self.handles) {
                Some(engine) => engine,
                None => catalog::open(mount, view),
            }
        })
    }

    fn reload_audit(&self) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.barrier.view();
        self.audit.reload(system::audit::devices(&view)?);
        self.audit.show_headers(system::audit::header_rules(&view)?);
        Ok(())
    }

    fn reload_front(&self) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.front.store(Arc::new(Front::load(&self.barrier.view())?));
        Ok(())
    }

    fn reload_quotas(&self) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.quotas.reload()
    }

    /// What the door needs to know before it looks at a request.
    pub fn front(&self) -> Arc<Front> {
        if self.read_through()
            && let Err(error) = self.reload_front()
        {
            tracing::debug!(%error, "what the door should know cannot be read");
        }
        self.front.load_full()
    }

    /// Has the audit devices of the configuration in force, before the first request.
    ///
    /// # Errors
    /// Those of storage.
    pub async fn declare_audit(&self) -> Result<()> {
        for _ in 0..limits::CONFLICT_RETRIES {
            let declared = &self.audit.rules().declared;
            let Some(txn) = system::audit::declare(&self.barrier.view(), declared, self.rng.as_ref())? else {
                return Ok(());
            };
            match self.commit(txn).await {
                Err(Error::Conflict) => {}
                other => return other.map(drop),
            }
        }
        Err(Error::Conflict)
    }

    /// Signs and stores how far the chains of the audit devices have come.
    ///
    /// # Errors
    /// Those of storage.
    pub async fn checkpoint_audit(&self) -> Result<()> {
        match system::audit::checkpoint(&self.barrier.view(), &self.audit, self.clock.now())? {
            Some(txn) => match self.commit(txn).await {
                // Another node made the key meanwhile: the next time will do.
                Ok(_) | Err(Error::Conflict) => Ok(()),
                Err(error) => Err(error),
            },
            None => Ok(()),
        }
    }

    /// Has the audit devices write what they hold, and keeps where they stopped: before the keys go.
    pub async fn close_audit(&self) {
        self.audit.flush().await;
        let bound = std::time::Duration::from_secs(limits::DRAIN_SECONDS);
        match tokio::time::timeout(bound, self.checkpoint_audit()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last heads of the audit logs could not be stored"),
            Err(_) => tracing::warn!("the last heads of the audit logs could not be stored in time"),
        }
    }

    /// The audit log.
    pub fn audit(&self) -> &Arc<Broker> {
        &self.audit
    }

    /// The mounts in force.
    pub fn mounts(&self) -> &Arc<Mounts> {
        &self.mounts
    }

    /// The barrier.
    pub fn barrier(&self) -> &Arc<Barrier> {
        &self.barrier
    }

    /// The token store.
    pub fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// Lets another node do the background work; this one asks for it again later.
    pub fn release_task_lock(&self) {
        self.stepping_down.store(true, Ordering::SeqCst);
    }

    /// How many wait for a change.
    pub fn watching(&self) -> usize {
        self.handles.watches.count()
    }

    /// Takes the keys away and ends the background tasks.
    pub fn seal(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.hang_up();
        self.barrier.seal();
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The life of one server: uninitialized, sealed, active, behind one atomic pointer.
//!
//! Only `Active` carries a vault. Code that holds the vault is unsealed; there is no flag to ask.

mod ceremony;
mod control;
mod flights;
mod genesis;
mod health;
mod metrics;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

pub use health::{Health, HealthQuery};

use crate::barrier::RootKey;
use crate::base::json::Map;
use crate::base::{Clock, Error, Json, Result, Rng, Secret, Timestamp, limits};
use crate::seal::{self, Handout, Migration, Opened, Progress, SealConfig, Sealed, Shape, Share, StaticSeal};
use crate::storage::Storage;
use crate::vault::{Inbound, Outbound, Refusal, Settings, Vault};

/// What the configuration says of a node.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// What the vault needs.
    pub vault: Settings,
    /// Rekey without a token.
    pub open_rekey: bool,
    /// Generate-root without a token.
    pub open_generate_root: bool,
    /// The name that `sys/health` shows; else the one made at init.
    pub cluster_name: Option<String>,
    /// The keys that open the store by themselves, if the configuration has any.
    pub static_seal: Option<Arc<StaticSeal>>,
}

enum State {
    Uninitialized,
    // Taken out and put back under the lock of ceremonies, since offering a share consumes it.
    Sealed { config: SealConfig, progress: usize, nonce: String },
    Active(Arc<Active>),
}

/// An open store.
struct Active {
    vault: Arc<Vault>,
    config: SealConfig,
    root_key: Arc<RootKey>,
    since: Timestamp,
}

/// One server.
pub struct Node {
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    settings: NodeSettings,
    state: ArcSwap<State>,
    /// The sealed store with its offered shares; the lock makes ceremonies happen one after the other.
    sealed: Mutex<Option<Sealed>>,
    in_flight: AtomicUsize,
    flights: flights::Flights,
    me: std::sync::Weak<Self>,
}

impl Node {
    /// A node over this store, sealed or uninitialised.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        settings: NodeSettings,
    ) -> Result<Arc<Self>> {
        let config = seal::config(storage.as_ref())?;
        let static_seal = settings.static_seal.clone();
        let sealed = config.clone().map(|config| Sealed::new(storage.clone(), rng.clone(), config, static_seal));
        let state = match config {
            None => State::Uninitialized,
            Some(config) => State::Sealed { config, progress: 0, nonce: String::new() },
        };
        Ok(Arc::new_cyclic(|me| Self {
            storage,
            clock,
            rng,
            settings,
            state: ArcSwap::from_pointee(state),
            sealed: Mutex::new(sealed),
            in_flight: AtomicUsize::new(0),
            flights: flights::Flights::default(),
            me: me.clone(),
        }))
    }

    /// Answers a request to an engine.
    ///
    /// # Errors
    /// A refusal: sealed, too busy, or what the stages say.
    pub async fn handle(&self, inbound: Inbound) -> Result<Outbound, Refusal> {
        let _place = self.enter().ok_or_else(|| Refusal(Error::Unavailable("too many requests at once".into())))?;
        let vault = self.vault().map_err(Refusal)?;
        let _boarded = self.flights.board(&inbound, self.clock.now());
        vault.handle(inbound).await
    }

    /// The vault, while there is one.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn vault(&self) -> Result<Arc<Vault>> {
        match self.state.load().as_ref() {
            State::Active(active) => Ok(active.vault.clone()),
            State::Sealed { .. } | State::Uninitialized => Err(Error::Sealed),
        }
    }

    fn active(&self) -> Result<Arc<Active>> {
        match self.state.load().as_ref() {
            State::Active(active) => Ok(active.clone()),
            State::Sealed { .. } | State::Uninitialized => Err(Error::Sealed),
        }
    }

    fn enter(&self) -> Option<Place<'_>> {
        let before = self.in_flight.fetch_add(1, Ordering::SeqCst);
        let place = Place(&self.in_flight);
        (before < limits::IN_FLIGHT).then_some(place)
    }

    /// Whether shares exist.
    pub fn initialized(&self) -> bool {
        // Another node may have done it.
        if let State::Uninitialized = self.state.load().as_ref() {
            return seal::config(self.storage.as_ref()).ok().flatten().is_some();
        }
        true
    }

    /// Makes the store. The root token is valid once it is unsealed.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is made already or the shape is bad; those of storage.
    pub async fn initialize(&self, shape: Shape, handout: &Handout) -> Result<(Map, Secret<String>)> {
        let mut sealed = self.sealed.lock().await;
        let mut root_token = None;
        // A seal that is to be left is none to begin with.
        let own = self.settings.static_seal.as_deref().filter(|seal| !seal.is_leaving());
        let wanted = (shape, handout);
        let made = seal::initialize(&self.storage, &self.rng, self.clock.as_ref(), wanted, own, |barrier| {
            let (txn, token) = genesis::first_rows(barrier, self.clock.now())?;
            root_token = Some(token);
            Ok(txn)
        })
        .await?;
        // From here on nothing may fail: the shares exist nowhere else.
        let config = made.config;
        *sealed = Some(self.closed(config.clone()));
        self.state.store(Arc::new(State::Sealed { config, progress: 0, nonce: String::new() }));
        drop(sealed);
        if let Err(error) = self.open_itself().await {
            tracing::error!(%error, "the new store does not open by itself");
        }
        let root_token = root_token.ok_or_else(|| Error::internal("init made no root token"))?;
        Ok((made.shares, root_token))
    }

    /// Whether a store that is made now opens by itself, so that its shares are recovery shares.
    pub fn begins_by_itself(&self) -> bool {
        self.settings.static_seal.as_ref().is_some_and(|seal| !seal.is_leaving())
    }

    fn closed(&self, config: SealConfig) -> Sealed {
        Sealed::new(self.storage.clone(), self.rng.clone(), config, self.settings.static_seal.clone())
    }

    fn migration(&self, config: &SealConfig) -> Option<Migration> {
        Migration::wanted(config, self.settings.static_seal.as_deref())
    }

    /// Opens a store that is sealed with a static key of the configuration, and puts it under the current one if it lies
    /// under the one before. `false` for a store that waits for shares.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the configuration has not the key; those of storage.
    pub async fn open_itself(&self) -> Result<bool> {
        let mut place = self.sealed.lock().await;
        if self.vault().is_ok() {
            return Ok(true);
        }
        let Some(mut config) = seal::config(self.storage.as_ref())? else { return Ok(false) };
        if !config.opens_itself() || self.migration(&config).is_some() {
            return Ok(false);
        }
        let sealed = self.closed(config.clone());
        let opened = sealed.open_itself()?;
        if let Some(own) = &self.settings.static_seal
            && let Some(next) = seal::renew_static_key(&opened.barrier, &opened.root_key, &config, own).await?
        {
            tracing::info!(key_id = own.key_id(), "the root key lies under another static key now");
            config = next;
        }
        *place = Some(self.closed(config.clone()));
        self.activate(opened, config).await.map(|()| true)
    }

    /// Takes a share. Unsealed already is no error.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no share or does not open, and where only one of caller and configuration wants the
    /// seal migrated.
    pub async fn unseal(&self, share: Share, migrate: bool) -> Result<()> {
        let mut place = self.sealed.lock().await;
        if self.vault().is_ok() {
            return Ok(());
        }
        let sealed = match place.take() {
            Some(sealed) => sealed,
            // Initialised by another node since this one started.
            None => {
                let config = seal::config(self.storage.as_ref())?;
                let config = config.ok_or_else(|| Error::invalid("Vault is not initialized"))?;
                self.closed(config)
            }
        };
        let migration = self.migration(sealed.config());
        if migrate != migration.is_some() {
            *place = Some(sealed);
            return Err(Error::invalid(if migrate {
                "can't perform a seal migration: the configuration asks for none"
            } else {
                "the configuration asks for a seal migration: give each share with 'migrate'"
            }));
        }
        let spare = self.closed(sealed.config().clone());
        match sealed.offer(share) {
            Progress::Waiting(sealed) => {
                self.show(&sealed);
                *place = Some(sealed);
                Ok(())
            }
            Progress::Rejected(sealed, error) => {
                self.show(&sealed);
                *place = Some(sealed);
                Err(error)
            }
            Progress::Open(opened) => {
                let mut config = spare.config().clone();
                self.show(&spare);
                *place = Some(spare);
                if let (Some(migration), Some(own)) = (migration, &self.settings.static_seal) {
                    config = migration.make(&opened, &config, own).await?;
                    *place = Some(self.closed(config.clone()));
                    tracing::info!(seal = config.kind(), "the seal was migrated");
                }
                self.activate(opened, config).await
            }
        }
    }

    async fn activate(&self, opened: Opened, config: SealConfig) -> Result<()> {
        let control = Arc::new(control::NodeControl::new(self.me.clone()));
        let vault =
            Vault::open(opened.barrier, self.clock.clone(), self.rng.clone(), self.settings.vault.clone(), control)?;
        if !vault.barrier().keys()?.is_locked() {
            tracing::warn!(
                "the pages of keys could not be locked: they may be swapped (see the limit on locked memory)"
            );
        }
        vault.declare_audit().await?;
        vault.start();
        let active = Active { vault, config, root_key: opened.root_key, since: self.clock.now() };
        self.state.store(Arc::new(State::Active(Arc::new(active))));
        tracing::info!("unsealed");
        Ok(())
    }

    fn show(&self, sealed: &Sealed) {
        self.state.store(Arc::new(State::Sealed {
            config: sealed.config().clone(),
            progress: sealed.progress(),
            nonce: sealed.nonce().to_owned(),
        }));
    }

    /// Forgets the shares that were offered.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is not sealed.
    pub async fn reset_unseal(&self) -> Result<()> {
        let mut place = self.sealed.lock().await;
        if self.vault().is_ok() {
            return Err(Error::invalid("vault is unsealed"));
        }
        if let Some(sealed) = place.take() {
            let sealed = sealed.reset();
            self.show(&sealed);
            *place = Some(sealed);
        }
        Ok(())
    }

    /// Ends the answers that stream, and those that wait for a change: the server is about to stop, and nothing else would end them.
    pub fn hang_up(&self) {
        if let Ok(vault) = self.vault() {
            vault.hang_up();
        }
    }

    /// Closes the store: no new request gets in, those in flight get a bounded time, then the keys go.
    pub async fn seal(&self) {
        let mut place = self.sealed.lock().await;
        let Ok(active) = self.active() else { return };
        let config = seal::config(self.storage.as_ref()).ok().flatten().unwrap_or_else(|| active.config.clone());
        let sealed = self.closed(config);
        self.show(&sealed);
        *place = Some(sealed);
        active.vault.hang_up();
        let step = Duration::from_millis(5);
        let mut left = Duration::from_secs(limits::DRAIN_SECONDS);
        while self.in_flight.load(Ordering::SeqCst) > 0 && !left.is_zero() {
            self.clock.sleep(step).await;
            left = left.saturating_sub(step);
        }
        active.vault.close_clients().await;
        active.vault.close_audit().await;
        active.vault.seal();
        tracing::info!("sealed");
    }

    /// Puts a chosen text in the place of a root token, for servers to try things on.
    ///
    /// # Errors
    /// [`Error::Sealed`], [`Error::Invalid`] for a text that cannot be a token.
    pub async fn replace_root_token(&self, old: &Secret<String>, new: &Secret<String>) -> Result<()> {
        let vault = self.vault()?;
        if !crate::token::Tokens::plausible(new.reveal()) {
            return Err(Error::invalid("the text cannot be a token"));
        }
        let tokens = vault.tokens();
        let token = genesis::root_token_of(tokens, new, self.rng.as_ref(), self.clock.now());
        let mut txn = tokens.create(&token)?;
        if let Some(old) = tokens.get(&tokens.digest(old))? {
            txn.merge(tokens.remove(&old));
        }
        vault.commit(txn).await.map(drop)
    }

    /// The stores' audit devices open their files anew.
    pub fn reopen_audit(&self) {
        if let Ok(vault) = self.vault() {
            vault.audit().reopen();
        }
    }

    /// Whether rekey (or else generate-root) answers without a token.
    pub const fn ceremony_is_open(&self, rekey: bool) -> bool {
        if rekey { self.settings.open_rekey } else { self.settings.open_generate_root }
    }

    /// What only this node can do, for endpoints that answer without a token.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn control(&self) -> Result<Arc<dyn crate::system::Control>> {
        self.active()?;
        Ok(Arc::new(control::NodeControl::new(self.me.clone())))
    }

    /// What `sys/seal-status` says.
    pub fn seal_status(&self) -> Map {
        let state = self.state.load();
        let (initialized, sealed, config, progress, nonce) = match state.as_ref() {
            State::Uninitialized => (self.initialized(), true, None, 0, ""),
            State::Sealed { config, progress, nonce } => (true, true, Some(config), *progress, nonce.as_str()),
            State::Active(active) => (true, false, Some(&active.config), 0, ""),
        };
        let own = if self.begins_by_itself() { "static" } else { "shamir" };
        let mut map = Map::from(
            [
                ("type", Json::from(config.map_or(own, SealConfig::kind))),
                ("initialized", initialized.into()),
                ("sealed", sealed.into()),
                ("t", config.map_or(0, |c| c.threshold).into()),
                ("n", config.map_or(0, |c| c.shares).into()),
                ("progress", progress.into()),
                ("nonce", nonce.into()),
                ("version", crate::API_VERSION.into()),
                ("build_date", crate::BUILD_DATE.into()),
                ("migration", config.is_some_and(|c| self.migration(c).is_some()).into()),
                ("recovery_seal", config.map_or(self.begins_by_itself(), SealConfig::opens_itself).into()),
                ("storage_type", self.storage.kind().into()),
            ]
            .map(|(k, v)| (k.to_owned(), v)),
        );
        if let (false, Some(config)) = (sealed, config) {
            map.insert("cluster_name".into(), self.cluster_name(config).into());
            map.insert("cluster_id".into(), config.cluster_id.as_str().into());
        }
        map
    }

    fn cluster_name<'a>(&'a self, config: &'a SealConfig) -> &'a str {
        self.settings.cluster_name.as_deref().unwrap_or(&config.cluster_name)
    }
}

/// A request at work; leaving gives the place back.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

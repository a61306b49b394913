//! A real server inside the test: node, API and listener, over any storage, on a clock that the test moves.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use warifu::api::Api;
use warifu::api::listener::{Limits as Bounds, Listener};
use warifu::audit::Rules;
use warifu::base::time::ManualClock;
use warifu::base::{BoxFuture, Clock, Rng, Timestamp, Ttl};
use warifu::config::{Address, ListenerConfig, Tls};
use warifu::crypto::SystemRng;
use warifu::engine::Limits;
use warifu::node::{Node, NodeSettings};
use warifu::outbound::{Network, Outbound};
use warifu::seal::StaticSeal;
use warifu::storage::Storage;
use warifu::storage::memory::Memory;
use warifu::system::Facts;
use warifu::vault::{Settings, Vault};

use crate::http::Http;
use crate::logs;

/// The longest life of tokens and leases in these servers, in seconds.
pub const MAX_TTL: u64 = 32 * 86_400;

/// Time stands still until the test moves it. Pauses of a blink (between two tries of a commit, or while requests drain)
/// are real, since nobody would move the clock for them.
pub struct Hand(ManualClock);

impl Hand {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(ManualClock::at(Timestamp::from_second(1_767_225_600).unwrap())))
    }

    pub fn advance(&self, seconds: u64) {
        self.0.advance(Duration::from_secs(seconds));
    }

    pub fn advance_by(&self, by: Duration) {
        self.0.advance(by);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration < Duration::from_millis(100) {
            return Box::pin(tokio::time::sleep(duration));
        }
        self.0.sleep(duration)
    }
}

/// How a server is to be.
pub struct Plan {
    pub storage: Arc<dyn Storage>,
    pub clock: Arc<Hand>,
    pub rules: ListenerConfig,
    pub bounds: Bounds,
    /// Where audit files may lie.
    pub audit_folder: Option<PathBuf>,
    /// Whether audit files may lie anywhere.
    pub audit_anywhere: bool,
    /// What else the configuration says of audit.
    pub audit: Rules,
    /// Whether rekey and generate-root need no token.
    pub open_ceremonies: bool,
    /// What opens the store without shares.
    pub static_seal: Option<Arc<StaticSeal>>,
    /// How engines reach other servers.
    pub outbound: Arc<dyn Outbound>,
    /// Whether `sys/raw` answers.
    pub raw_storage: bool,
    /// What is told of the process.
    pub facts: Facts,
}

impl Plan {
    pub fn over(storage: Arc<dyn Storage>) -> Self {
        let address = Address::from("127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap());
        Self {
            storage,
            clock: Hand::new(),
            rules: ListenerConfig { tls: Tls::Disabled, ..ListenerConfig::new(address) },
            bounds: Bounds::default(),
            audit_folder: None,
            audit_anywhere: false,
            audit: Rules::default(),
            open_ceremonies: false,
            static_seal: None,
            outbound: Network::new(),
            raw_storage: false,
            facts: Facts::default(),
        }
    }

    pub fn memory() -> Self {
        Self::over(Arc::new(Memory::new()))
    }

    /// Starts it; it is sealed or uninitialised.
    pub async fn start(self) -> Server {
        let facts = Facts { followers: Some(logs::keep()), ..self.facts.clone() };
        let rng: Arc<dyn Rng> = Arc::new(SystemRng::new());
        let settings = NodeSettings {
            vault: Settings {
                limits: Limits { default_ttl: Ttl::from_seconds(MAX_TTL), max_ttl: Ttl::from_seconds(MAX_TTL) },
                audit_rules: Rules {
                    directory: self.audit_folder.clone(),
                    unsafe_anywhere: self.audit_anywhere,
                    ..self.audit.clone()
                },
                raw_storage: self.raw_storage,
                api_addr: None,
                outbound: self.outbound.clone(),
                facts,
            },
            open_rekey: self.open_ceremonies,
            open_generate_root: self.open_ceremonies,
            cluster_name: None,
            static_seal: self.static_seal.clone(),
        };
        let node = Node::open(self.storage.clone(), self.clock.clone(), rng.clone(), settings).unwrap();
        // One that cannot be opened so waits, sealed, as it does in the real server.
        let _ = node.open_itself().await;
        let listener = Listener::bind_within(&self.rules, None, self.bounds).await.unwrap();
        let http = Http::new(listener.local_addr());
        let api = Api::new(node.clone(), rng);
        let (stop, mut stopped) = watch::channel(false);
        let serving = tokio::spawn(listener.serve(
            move |request, connection| {
                let api = api.clone();
                async move { api.answer(request, connection).await }
            },
            async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            },
        ));
        Server { node, http, plan: self, shares: Vec::new(), stop, serving: Some(serving) }
    }

    /// Starts it, makes its store with one share, and opens it.
    pub async fn ready(self) -> Server {
        let mut server = self.start().await;
        server.init(1, 1).await;
        server.open().await;
        server
    }
}

/// A server that runs. It is a client of itself, with the root token once there is one.
pub struct Server {
    pub node: Arc<Node>,
    pub http: Http,
    pub plan: Plan,
    /// The shares of its seal.
    pub shares: Vec<String>,
    stop: watch::Sender<bool>,
    serving: Option<JoinHandle<()>>,
}

impl Deref for Server {
    type Target = Http;
    fn deref(&self) -> &Http {
        &self.http
    }
}

impl Server {
    /// In memory, open, with root's token.
    pub async fn new() -> Self {
        Plan::memory().ready().await
    }

    pub async fn init(&mut self, shares: u64, threshold: u64) {
        let body = json!({"secret_shares": shares, "secret_threshold": threshold});
        let answer = self.http.put("sys/init", body).await.ok();
        let keys = answer.json["keys_base64"].as_array().unwrap();
        self.shares = keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        self.http = self.http.with(answer.json["root_token"].as_str().unwrap());
    }

    /// Unseals with as many shares as it takes.
    pub async fn open(&self) {
        for share in &self.shares {
            let status = self.http.put("sys/unseal", json!({"key": share})).await.ok();
            if status.json["sealed"] == false {
                return;
            }
        }
        panic!("the shares do not open the store");
    }

    /// Another server over the same storage, by the same clock: the same one after a restart, or its neighbour.
    pub async fn again(&self) -> Self {
        self.again_over(self.plan.storage.clone()).await
    }

    /// As [`Server::again`], seeing the storage through something else.
    pub async fn again_over(&self, storage: Arc<dyn Storage>) -> Self {
        let plan = Plan {
            storage,
            clock: self.plan.clock.clone(),
            rules: self.plan.rules.clone(),
            bounds: self.plan.bounds,
            audit_folder: self.plan.audit_folder.clone(),
            audit_anywhere: self.plan.audit_anywhere,
            audit: self.plan.audit.clone(),
            open_ceremonies: self.plan.open_ceremonies,
            static_seal: self.plan.static_seal.clone(),
            outbound: self.plan.outbound.clone(),
            raw_storage: self.plan.raw_storage,
            facts: self.plan.facts.clone(),
        };
        let mut server = plan.start().await;
        server.shares = self.shares.clone();
        server.http = server.http.with(self.http.token());
        server
    }

    /// The same server after a crash: what was in memory is gone, nothing was said to the end.
    pub async fn crashed(self) -> Self {
        let next = self.again().await;
        if let Ok(vault) = self.node.vault() {
            vault.seal();
        }
        next.open().await;
        next
    }

    pub fn vault(&self) -> Arc<Vault> {
        self.node.vault().unwrap()
    }

    pub fn clock(&self) -> &Hand {
        &self.plan.clock
    }

    /// One round of taking back what has ended, as the background does it.
    pub async fn sweep(&self) {
        self.vault().sweep_once().await.unwrap();
    }

    /// A KV mount.
    pub async fn kv(&self, path: &str, version: u8) {
        let body = json!({"type": "kv", "options": {"version": version.to_string()}});
        self.http.put(&format!("sys/mounts/{path}"), body).await.ok();
    }

    /// An auth method.
    pub async fn auth(&self, path: &str, kind: &str) {
        self.http.put(&format!("sys/auth/{path}"), json!({"type": kind})).await.ok();
    }

    /// How many tokens there are.
    pub async fn tokens(&self) -> usize {
        let answer = self.http.list("auth/token/accessors").await.ok();
        answer.data()["keys"].as_array().map_or(0, Vec::len)
    }

    pub async fn lookup(&self, token: &str) -> Value {
        self.http.put("auth/token/lookup", json!({"token": token})).await.ok().data().clone()
    }

    /// Waits for what the background does on its own.
    pub async fn eventually<F, Fut>(&self, what: &str, mut holds: F)
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = bool>,
    {
        for _ in 0..500 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never came true: {what}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
        if let Ok(vault) = self.node.vault() {
            vault.seal();
        }
    }
}

/// Starts these calls all at once; waits for their answers.
pub fn at_once<T, F>(calls: impl IntoIterator<Item = F>) -> BoxFuture<'static, Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<JoinHandle<T>> = calls.into_iter().map(tokio::spawn).collect();
    Box::pin(async move {
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        answers
    })
}

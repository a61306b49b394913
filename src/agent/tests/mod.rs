//! The agent against a server that keeps the contract, sad stories first.

mod away;
mod certificates;
mod hostile;
mod logins;
mod outages;
mod processes;
mod push;
mod reload;
mod revoked;

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tracing_subscriber::fmt::MakeWriter;

use super::fake::{Fake, State};
use super::supervise::Signals;
use super::{Config, Surroundings, work};
use crate::base::time::ManualClock;
use crate::base::{Clock as _, Timestamp};
use crate::crypto::random::testing::Seeded;

/// A folder, a clock, a server; agents come and go.
struct World {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    fake: Fake,
    log: Log,
    /// How many agents there were: each has chances of its own.
    agents: AtomicU64,
    /// How often one of them said that it is at rest.
    rests: Arc<AtomicU64>,
    _guard: tracing::subscriber::DefaultGuard,
}

struct Agent {
    task: JoinHandle<Result<u8, String>>,
    signals: UnboundedSender<Signal>,
}

impl Agent {
    /// The end of a process that nobody asked for.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    async fn end(self) -> Result<u8, String> {
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("the agent ends").unwrap()
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;
    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

impl World {
    async fn new() -> World {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let clock = Arc::new(ManualClock::at(Timestamp::from_second(1_800_000_000).unwrap()));
        let fake = Fake::start(clock.clone()).await;
        let (agents, rests) = (AtomicU64::new(1), Arc::default());
        let world = World { folder: tempfile::tempdir().unwrap(), clock, fake, log, agents, rests, _guard: guard };
        world.write("role", "role-id\n");
        world.write("secret", "secret-id\n");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn logged(&self) -> String {
        String::from_utf8_lossy(&self.log.0.lock().unwrap()).into_owned()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.fake.state()
    }

    fn secret(&self, path: &str, data: serde_json::Value) {
        self.state().kv.insert(path.to_owned(), data);
    }

    /// Starts an agent with a login that works and what else is given; `DIR` stands for the folder.
    fn agent(&self, rest: &str) -> Agent {
        self.agent_with("remove_secret_id_file_after_reading = false", "", rest)
    }

    fn agent_with(&self, method: &str, sinks: &str, rest: &str) -> Agent {
        self.agent_of(&self.config(method, sinks, rest))
    }

    /// The text of a configuration.
    fn config(&self, method: &str, sinks: &str, rest: &str) -> String {
        format!(
            r#"vault {{ address = "{}" }}
               auto_auth {{
                 method "approle" {{
                   config {{ role_id_file_path = "DIR/role"
                     secret_id_file_path = "DIR/secret"
                     {method} }} }}
                 {sinks} }}
               {rest}"#,
            self.fake.address
        )
    }

    fn agent_of(&self, text: &str) -> Agent {
        let text = text.replace("DIR", &self.folder.path().display().to_string());
        let config = Config::parse("agent.hcl", text.as_bytes()).unwrap();
        let environment: super::Environment = Arc::new(|name| (name == "REGION").then(|| "eu".into()));
        // What is read again is the file "agent.hcl" of the folder, once there is one.
        let (file, folder) = (self.path("agent.hcl"), self.folder.path().display().to_string());
        let reread: super::Reread = Arc::new(move || {
            let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?.replace("DIR", &folder);
            Config::parse("agent.hcl", text.as_bytes()).map_err(|error| error.to_string())
        });
        let reread = self.path("agent.hcl").exists().then_some(reread);
        let rng = Arc::new(Seeded::new(self.agents.fetch_add(1, Ordering::Relaxed)));
        let rests = self.rests.clone();
        let at_rest = Arc::new(move || {
            rests.fetch_add(1, Ordering::Relaxed);
        });
        let surroundings = Surroundings { clock: self.clock.clone(), rng, environment, reread, at_rest };
        let (signals, given) = unbounded_channel();
        let task = tokio::spawn(async move {
            let mut signals = Signals::new().unwrap();
            signals.given = Some(given);
            work(config, surroundings, &mut signals).await
        });
        Agent { task, signals }
    }

    /// Waits until something is true, while the clock goes on by a step each time.
    async fn until(&self, what: &str, step: Duration, mut is: impl FnMut() -> bool) {
        for _ in 0..2000 {
            if is() {
                return;
            }
            self.clock.advance(step);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let log = self.logged();
        let log: Vec<&str> = log.lines().filter(|line| line.contains("warifu::agent")).collect();
        panic!("never: {what}\n{}", log.join("\n"));
    }

    async fn has(&self, name: &str, text: &str) {
        self.until(&format!("{name} has {text}"), Duration::from_millis(200), || self.text(name) == text).await;
    }

    async fn logs(&self, text: &str) {
        self.until(&format!("the log has {text}"), Duration::from_millis(200), || self.logged().contains(text)).await;
    }

    /// Waits until all have done what they have to do at this moment of the clock: on a busy machine they come after it.
    async fn settled(&self) {
        let (mut before, mut still) = (self.state().tried, 0);
        while still < 10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let now = self.state().tried;
            still = if now == before { still + 1 } else { 0 };
            before = now;
        }
    }

    /// What Envoy would be given under this name.
    async fn served(&self, name: &str) -> String {
        let Ok(socket) = tokio::net::UnixStream::connect(self.path("sds.sock")).await else { return String::new() };
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
        let mut message = vec![0, 0, 0, 0, u8::try_from(4 + name.len() + kind.len()).unwrap()];
        for (field, text) in [(3 << 3 | 2, name), (4 << 3 | 2, kind)] {
            message.extend([field, u8::try_from(text.len()).unwrap()]);
            message.extend(text.as_bytes());
        }
        let request = hyper::Request::post("http://agent/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets");
        let request = request.body(Full::new(hyper::body::Bytes::from(message))).unwrap();
        let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        String::from_utf8_lossy(&answer.to_bytes()).into_owned()
    }

    /// The server is away for so many minutes.
    async fn away(&self, minutes: u32) {
        self.state().away = true;
        for _ in 0..6 * minutes {
            self.clock.advance(Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        self.settled().await;
    }

    /// How long something takes once the server is back, from the first request that it answers on. The clock waits until all
    /// have done what they have to do: a busy machine takes no time of theirs.
    async fn returns(&self, what: &str, mut is: impl FnMut() -> bool) -> Duration {
        self.state().seen.clear();
        self.state().away = false;
        self.until("a first request", Duration::from_millis(200), || !self.state().seen.is_empty()).await;
        self.settled().await;
        let back = self.clock.monotonic();
        for _ in 0..100 {
            if is() {
                return self.clock.monotonic() - back;
            }
            self.clock.advance(Duration::from_millis(500));
            self.settled().await;
        }
        panic!("never: {what}\n{}", self.logged());
    }

    /// Gives an agent the time to do what it should not do.
    async fn nothing_more(&self) {
        for _ in 0..20 {
            self.clock.advance(Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn template(name: &str, contents: &str, rest: &str) -> String {
    format!("template {{ destination = \"DIR/{name}\"\n contents = <<EOT\n{contents}\nEOT\n{rest} }}\n")
}

const PLAIN: &str = r#"{{ with secret "kv/data/app" }}{{ .Data.data.password }}{{ end }}"#;

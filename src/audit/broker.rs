//! The broker: hands each entry to all devices, and the proof to whoever waited for one of them.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::chain::ID_LETTERS;
use super::config::{DeviceConfig, Plan, Rules};
use super::desk::Start;
use super::device::{self, BOUND, Device, Health};
use super::entry::Entry;
use super::format::Stage;
use super::head::Head;
use super::headers::{Header, HeaderRules};
use super::queue::Ticket;
use crate::base::{Error, Result, Rng, Secret};

/// Proof that an audit device holds the request, granted or denied.
#[derive(Debug)]
#[must_use]
pub struct Recorded(());

/// Proof that an audit device holds the response.
#[derive(Debug)]
#[must_use]
pub struct Released(());

/// A request that the devices have been handed, and may not have written yet. Nothing of its answer leaves before they have.
#[must_use]
pub struct Begun(Sent);

/// What devices were handed, with the tickets for it.
struct Sent(Vec<(Arc<Device>, Ticket)>);

impl Sent {
    /// Whether some device may still write it, and none has. One that refused it keeps nobody from ringing for the others.
    fn is_pending(&self) -> bool {
        self.0.iter().any(|(_, ticket)| ticket.is_pending()) && !self.0.iter().any(|(_, ticket)| ticket.is_written())
    }

    /// Has the devices write what waits.
    fn ring(&self) {
        self.0.iter().filter(|(_, ticket)| ticket.is_pending()).for_each(|(device, _)| device.ring());
    }
}

impl Drop for Sent {
    /// Also when nobody waits any more, because the client has gone away, the lines are written.
    fn drop(&mut self) {
        self.ring();
    }
}

/// The enabled devices. Entries read them without a lock.
pub struct Broker {
    devices: ArcSwap<Vec<Arc<Device>>>,
    headers: ArcSwap<HeaderRules>,
    rules: Rules,
    rng: Arc<dyn Rng>,
    /// Heads of chains of former starts.
    heads: ArcSwap<Vec<Head>>,
    /// How long an entry waits for its devices.
    bound: Duration,
    /// One change at a time.
    turn: Mutex<()>,
}

impl Broker {
    /// Without any device yet.
    pub fn new(rules: Rules, rng: Arc<dyn Rng>) -> Self {
        Self {
            devices: ArcSwap::default(),
            headers: ArcSwap::default(),
            rules,
            rng,
            heads: ArcSwap::default(),
            bound: BOUND,
            turn: Mutex::new(()),
        }
    }

    /// As [`Broker::new`] and [`Broker::reload`].
    pub fn open(rows: Vec<DeviceConfig>, rules: Rules, rng: Arc<dyn Rng>) -> Self {
        let broker = Self::new(rules, rng);
        broker.reload(rows);
        broker
    }

    /// Makes the enabled devices those that are stored: new ones are opened, those that stay go on, and those that
    /// are gone write what they hold.
    ///
    /// One that cannot be opened counts as a device that fails, and is tried again with each entry. It does not fail
    /// here, so that it cannot keep the server sealed.
    pub fn reload(&self, rows: Vec<DeviceConfig>) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.devices.load();
        let keep_or_open = |row: DeviceConfig| {
            let known = before.iter().find(|device| device.config().works_as(&row));
            known.cloned().unwrap_or_else(|| {
                let (plan, start) = (row.plan(&self.rules), self.start(&row));
                Arc::new(Device::open(row, plan, start))
            })
        };
        self.devices.store(Arc::new(rows.into_iter().map(keep_or_open).collect()));
    }

    /// What a new chain of this device begins with.
    fn start(&self, row: &DeviceConfig) -> Start {
        let mut id = [0; ID_LETTERS / 2];
        self.rng.fill(&mut id);
        let heads = self.heads.load();
        let own = heads.iter().filter(|head| head.device == row.path && head.node == self.rules.node);
        let before = own.max_by_key(|head| head.time).and_then(Head::last_digest);
        Start { id: hex::encode(id), before }
    }

    /// Takes in the heads that are stored: a device whose file is gone goes on from them. Before [`Broker::reload`].
    pub fn remember(&self, heads: Vec<Head>) {
        self.heads.store(Arc::new(heads));
    }

    /// How far the chain of each device has come, not signed yet.
    pub fn heads(&self) -> Vec<Head> {
        self.devices.load().iter().filter_map(|device| device.head(&self.rules.node)).collect()
    }

    /// Looks whether a device hangs: to be called again and again, with [`Broker::BOUND`] in between.
    pub fn watch(&self) {
        self.devices.load().iter().for_each(|device| device.watch());
    }

    /// How long an entry waits for its devices.
    pub const BOUND: Duration = BOUND;

    /// Has entries show these headers from now on.
    pub fn show_headers(&self, rules: HeaderRules) {
        self.headers.store(Arc::new(rules));
    }

    /// Those of a request's headers that its entries show; without any rule they are not even asked for.
    pub fn pick_headers(&self, given: impl FnOnce() -> Vec<(String, String)>) -> Vec<Header> {
        let rules = self.headers.load();
        if rules.is_empty() { Vec::new() } else { rules.pick(&given()) }
    }

    /// The devices of the configuration.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether this can be one more device: its options, its path, and its file, which is made if it is missing.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Forbidden`] when the row or its file is unfit or in use,
    /// [`Error::Unavailable`] when the file cannot be opened within the bound.
    pub async fn probe(&self, config: &DeviceConfig) -> Result<()> {
        let plan = config.plan(&self.rules)?;
        self.is_free(config, &plan)?;
        device::probe(plan).await
    }

    /// Records a request before it runs. Without any device it succeeds.
    ///
    /// # Errors
    /// [`Error::Unavailable`], naming the devices, when none wrote within `limits::AUDIT_MILLISECONDS`.
    pub async fn request(&self, entry: &Entry<'_>) -> Result<Recorded> {
        self.write(Stage::Request, entry).await.map(Recorded)
    }

    /// Records a response before it leaves. Without any device it succeeds.
    ///
    /// # Errors
    /// As [`Broker::request`].
    pub async fn response(&self, entry: &Entry<'_>) -> Result<Released> {
        self.write(Stage::Response, entry).await.map(Released)
    }

    /// The hash that a device's log shows for this value.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is no such device.
    pub fn hash(&self, path: &str, input: &Secret<String>) -> Result<String> {
        let devices = self.devices.load();
        let device = devices.iter().find(|device| is_at(device, path));
        Ok(device.ok_or_else(|| Error::invalid("unknown audit backend"))?.hash(input.reveal()))
    }

    /// Has every device open its file anew before its next line. Does not wait for it.
    pub fn reopen(&self) {
        self.devices.load().iter().for_each(|device| device.reopen());
    }

    /// How each device is.
    pub fn health(&self) -> Vec<Health> {
        self.devices.load().iter().map(|device| device.health()).collect()
    }

    /// Waits until every device has written what it holds, or cannot, or its time is over: before the process ends.
    pub async fn flush(&self) {
        let tickets: Vec<Ticket> = self.devices.load().iter().map(|device| device.flush()).collect();
        let all = poll_fn(|cx| {
            let waiting = tickets.iter().filter(|ticket| ticket.poll(cx).is_pending()).count();
            if waiting == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        // A device that is late has said so itself.
        let _ = tokio::time::timeout(self.bound, all).await;
    }

    /// Hands a request to the devices and does not wait: for what changes nothing, whose answer waits for both lines.
    pub fn begin(&self, entry: &Entry<'_>) -> Begun {
        Begun(self.submit(Stage::Request, entry))
    }

    /// Records the response to a request that [`Broker::begin`] handed over, once both are written.
    ///
    /// # Errors
    /// As [`Broker::request`].
    pub async fn finish(&self, begun: Begun, entry: &Entry<'_>) -> Result<Released> {
        let response = self.submit(Stage::Response, entry);
        // Written already, most of the time, when the response is: a device keeps the order of its lines.
        self.wait(Stage::Response, response).await?;
        self.wait(Stage::Request, begun.0).await.map(Released)
    }

    async fn write(&self, stage: Stage, entry: &Entry<'_>) -> Result<()> {
        let sent = self.submit(stage, entry);
        self.wait(stage, sent).await
    }

    fn submit(&self, stage: Stage, entry: &Entry<'_>) -> Sent {
        let devices = self.devices.load();
        Sent(devices.iter().map(|device| (Arc::clone(device), device.submit(stage, entry))).collect())
    }

    async fn wait(&self, stage: Stage, sent: Sent) -> Result<()> {
        if sent.0.is_empty() {
            return Ok(());
        }
        if sent.is_pending() {
            // Whatever else is ready on this thread adds its lines first, and the device is woken once for all.
            tokio::task::yield_now().await;
            sent.ring();
        }
        let mut first = true;
        // The first device to write is enough: a slow one holds up itself alone.
        let any = poll_fn(|cx| {
            let mut hope = false;
            for (device, ticket) in &sent.0 {
                match ticket.poll(cx) {
                    Poll::Ready(true) => return Poll::Ready(true),
                    Poll::Ready(false) => {}
                    // Somebody waited for this device in vain already: nobody else needs to.
                    Poll::Pending => hope |= !first || !device.is_stuck(),
                }
            }
            first = false;
            if hope { Poll::Pending } else { Poll::Ready(false) }
        });
        let written = tokio::time::timeout(self.bound, any).await;
        if matches!(written, Ok(true)) {
            return Ok(());
        }
        if written.is_err() {
            sent.0.iter().for_each(|(device, ticket)| device.gave_up(ticket));
        }
        Err(unavailable(stage, &sent.0))
    }

    fn is_free(&self, config: &DeviceConfig, plan: &Plan) -> Result<()> {
        let devices = self.devices.load();
        if devices.iter().any(|device| is_at(device, &config.path)) {
            return Err(Error::invalid("path already in use"));
        }
        if devices.iter().any(|device| device.shares_its_file(&plan.target)) {
            return Err(Error::invalid("another audit device writes to this file"));
        }
        Ok(())
    }
}

fn is_at(device: &Device, path: &str) -> bool {
    device.path().trim_end_matches('/') == path.trim_end_matches('/')
}

fn unavailable(stage: Stage, sent: &[(Arc<Device>, Ticket)]) -> Error {
    let device = |(device, _): &(Arc<Device>, Ticket)| match device.health().fault {
        Some(fault) => format!("{} ({fault})", device.quoted()),
        None => format!("{} (its queue is full)", device.quoted()),
    };
    let devices: Vec<String> = sent.iter().map(device).collect();
    Error::Unavailable(format!("no audit device recorded the {}: {}", stage.word(), devices.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::config::tests::{Counter, config};
    use super::super::entry::RequestFacts;
    use super::*;
    use crate::base::json::Map;
    use crate::base::{Json, limits};

    fn anywhere() -> Rules {
        Rules { unsafe_anywhere: true, ..Rules::default() }
    }

    fn file(path: &str, file: &Path) -> DeviceConfig {
        config(path, &[("file_path", file.to_str().unwrap())])
    }

    fn full(path: &str) -> DeviceConfig {
        file(path, Path::new("/dev/full"))
    }

    fn entry(path: &str) -> Entry<'_> {
        Entry { request: RequestFacts { path, ..RequestFacts::default() }, ..Entry::default() }
    }

    fn paths(file: &Path) -> Vec<String> {
        let text = fs::read_to_string(file).unwrap();
        let path = |line: &str| {
            let json = Json::parse(line.as_bytes()).unwrap();
            json.at("request").unwrap().at("path").unwrap().as_str().unwrap().to_owned()
        };
        text.lines().map(path).collect()
    }

    fn broker(rows: Vec<DeviceConfig>) -> Broker {
        Broker::open(rows, anywhere(), Arc::new(Counter))
    }

    #[test]
    fn waiting_can_move_between_threads() {
        fn check<T: Send>(_: &T) {}
        let (broker, entry) = (broker(Vec::new()), entry("a"));
        check(&broker.request(&entry));
        let row = full("a");
        check(&broker.probe(&row));
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_that_names_the_device() {
        let broker = broker(vec![full("one/"), full("two/")]);
        let error = broker.request(&entry("a")).await.unwrap_err();
        assert_eq!(error.status(), 503);
        let text = error.to_string();
        assert!(text.contains("\"one/\"") && text.contains("\"two/\"") && text.contains("No space left"), "{text}");
        assert!(broker.response(&entry("a")).await.is_err());
        let health = broker.health();
        assert!(health[0].fault.is_some() && health[0].lost == 2 && health[0].queued == 0, "{health:?}");
    }

    #[tokio::test]
    async fn a_failing_device_degrades_alone() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("a.log");
        let broker = broker(vec![full("bad"), file("good", &good)]);
        for path in ["a", "b", "c"] {
            let _ = broker.request(&entry(path)).await.unwrap();
        }
        broker.flush().await;
        assert_eq!(paths(&good), ["a", "b", "c"]);
        let health = broker.health();
        assert!(health[0].fault.is_some() && health[1].fault.is_none(), "{health:?}");
    }

    #[tokio::test]
    async fn a_hanging_device_costs_its_callers_the_bound_once() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("a.log");
        let mut broker = broker(Vec::new());
        broker.bound = Duration::from_millis(20);
        broker.devices.store(Arc::new(vec![Arc::new(Device::hanging("nfs"))]));
        let error = broker.request(&entry("a")).await.unwrap_err();
        assert!(error.status() == 503 && error.to_string().contains("\"nfs/\""), "{error}");
        assert!(broker.health()[0].fault.is_some());
        // The bound is now a time that no test would wait for.
        broker.bound = Duration::from_secs(1_000_000);
        assert!(broker.request(&entry("b")).await.is_err());
        let start = Start { id: "0".repeat(ID_LETTERS), before: None };
        let good_device = Device::open(file("good", &good), file("good", &good).plan(&anywhere()), start);
        let both = vec![broker.devices.load()[0].clone(), Arc::new(good_device)];
        broker.devices.store(Arc::new(both));
        let _ = broker.request(&entry("c")).await.unwrap();
        assert_eq!(paths(&good), ["c"]);
    }

    #[tokio::test]
    async fn the_queue_has_an_end() {
        let mut broker = broker(Vec::new());
        let device = Arc::new(Device::hanging("nfs"));
        for _ in 0..limits::AUDIT_QUEUE {
            assert!(matches!(device.flush(), Ticket::Waiting(..)));
        }
        broker.devices.store(Arc::new(vec![device]));
        broker.bound = Duration::from_secs(1_000_000);
        let error = broker.request(&entry("a")).await.unwrap_err();
        assert!(error.to_string().contains("its queue is full"), "{error}");
    }

    #[tokio::test]
    async fn a_device_whose_queue_is_full_keeps_nobody_from_the_one_that_writes() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("a.log");
        let mut broker = broker(vec![file("good", &good)]);
        let hanging = Arc::new(Device::hanging("nfs"));
        for _ in 0..limits::AUDIT_QUEUE {
            assert!(matches!(hanging.flush(), Ticket::Waiting(..)));
        }
        for both in [[hanging.clone(), broker.devices.load()[0].clone()], [broker.devices.load()[0].clone(), hanging]] {
            broker.devices.store(Arc::new(both.to_vec()));
            // A time that no test would wait for.
            broker.bound = Duration::from_secs(1_000_000);
            let _ = broker.request(&entry("a")).await.unwrap();
            let begun = broker.begin(&entry("b"));
            let _ = broker.finish(begun, &entry("b")).await.unwrap();
            broker
                .devices
                .store(Arc::new(vec![broker.devices.load().iter().find(|d| d.path() == "good/").unwrap().clone()]));
        }
        assert_eq!(paths(&good), ["a", "b", "b", "a", "b", "b"]);
    }

    #[tokio::test]
    async fn a_row_that_no_longer_fits_fails_but_does_not_keep_the_server_sealed() {
        let broker = Broker::open(vec![file("a", Path::new("/outside/a.log"))], Rules::default(), Arc::new(Counter));
        let error = broker.request(&entry("a")).await.unwrap_err();
        assert!(error.to_string().contains("\"a/\""), "{error}");
        broker.reload(Vec::new());
        let _ = broker.request(&entry("a")).await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_work_is_found_out_before() {
        let folder = tempfile::tempdir().unwrap();
        let (log, link) = (folder.path().join("a.log"), folder.path().join("link"));
        std::os::unix::fs::symlink(&log, &link).unwrap();
        let broker = broker(Vec::new());
        let missing = folder.path().join("no/such/folder");
        for path in [&link, &missing] {
            let error = broker.probe(&file("a", path)).await.unwrap_err();
            assert_eq!(error.status(), 400, "{error}");
        }
        broker.probe(&file("a", &log)).await.unwrap();
        assert!(log.exists());
        broker.reload(vec![file("a", &log)]);
        let other = folder.path().join("b.log");
        assert!(broker.probe(&file("a", &other)).await.unwrap_err().to_string().contains("in use"));
        assert!(broker.probe(&file("b", &log)).await.unwrap_err().to_string().contains("another audit device"));
        assert!(!other.exists());
    }

    #[tokio::test]
    async fn reload_keeps_what_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1.log"), folder.path().join("2.log"));
        let broker = broker(vec![file("one", &one)]);
        let first = broker.devices.load()[0].clone();
        let mut row = file("one", &one);
        row.description = "new words".to_owned();
        broker.reload(vec![row.clone(), file("two", &two)]);
        assert!(Arc::ptr_eq(&first, &broker.devices.load()[0]));
        let _ = broker.request(&entry("both")).await.unwrap();
        broker.flush().await;
        row.salt = Secret::new(b"another".to_vec());
        broker.reload(vec![row]);
        assert!(!Arc::ptr_eq(&first, &broker.devices.load()[0]));
        let _ = broker.request(&entry("one")).await.unwrap();
        broker.flush().await;
        assert_eq!(paths(&one), ["both", "one"]);
        assert_eq!(paths(&two), ["both"]);
    }

    #[tokio::test]
    async fn a_removed_file_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        let broker = broker(vec![file("a", &log)]);
        let _ = broker.request(&entry("lost")).await.unwrap();
        fs::remove_file(&log).unwrap();
        let _ = broker.request(&entry("kept")).await.unwrap();
        assert_eq!(paths(&log), ["kept"]);
    }

    #[tokio::test]
    async fn a_rotated_file_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (log, old) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
        let broker = broker(vec![file("a", &log)]);
        let _ = broker.request(&entry("before")).await.unwrap();
        fs::rename(&log, &old).unwrap();
        broker.reopen();
        let _ = broker.request(&entry("after")).await.unwrap();
        assert_eq!((paths(&old), paths(&log)), (vec!["before".to_owned()], vec!["after".to_owned()]));
        // Something unfit in the place: the file that is open goes on, and the fault shows.
        fs::rename(&log, &old).unwrap();
        std::os::unix::fs::symlink("/dev/null", &log).unwrap();
        let _ = broker.request(&entry("still")).await.unwrap();
        assert_eq!(paths(&old), ["after", "still"]);
        assert!(broker.health()[0].fault.as_ref().unwrap().contains("link"));
        fs::remove_file(&log).unwrap();
        let _ = broker.request(&entry("new")).await.unwrap();
        assert_eq!(paths(&log), ["new"]);
        assert_eq!(broker.health()[0].fault, None);
    }

    #[tokio::test]
    async fn a_device_that_goes_writes_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1.log"), folder.path().join("2.log"));
        let broker = broker(vec![file("one", &one), file("two", &two)]);
        for _ in 0..100 {
            let _ = broker.request(&entry("a")).await.unwrap();
        }
        broker.flush().await;
        assert_eq!((paths(&one).len(), paths(&two).len()), (100, 100));
    }

    #[tokio::test]
    async fn devices_keep_their_options_and_salts_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (closed, raw) = (folder.path().join("closed.log"), folder.path().join("raw.log"));
        let mut raw_row = config("raw", &[("file_path", raw.to_str().unwrap()), ("log_raw", "true")]);
        raw_row.salt = Secret::new(b"another".to_vec());
        let broker = broker(vec![file("closed", &closed), raw_row]);
        let data = Map::from([("pw".to_owned(), Json::from("canary"))]);
        let request = RequestFacts { data: &data, ..RequestFacts::default() };
        let _ = broker.request(&Entry { request, ..Entry::default() }).await.unwrap();
        broker.flush().await;
        let (closed, raw) = (fs::read_to_string(&closed).unwrap(), fs::read_to_string(&raw).unwrap());
        let hash = broker.hash("closed/", &"canary".into()).unwrap();
        assert!(closed.contains(&hash) && !closed.contains("canary") && raw.contains("canary"));
        assert!(hash.starts_with("hmac-sha256:") && hash.len() == 76);
        assert_ne!(hash, broker.hash("raw", &"canary".into()).unwrap());
        assert_eq!(broker.hash("none", &"x".into()).unwrap_err().status(), 400);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_writers_lose_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        let broker = Arc::new(broker(vec![file("a", &log)]));
        let writer = |task: usize| {
            let broker = Arc::clone(&broker);
            async move {
                for n in 0..50 {
                    let _ = broker.request(&entry(&format!("{task}/{n}"))).await.unwrap();
                }
            }
        };
        let tasks: Vec<_> = (0..32).map(|task| tokio::spawn(writer(task))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let written: std::collections::BTreeSet<String> = paths(&log).into_iter().collect();
        assert_eq!(written.len(), 32 * 50);
    }
}

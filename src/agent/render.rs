//! The loop that renders: fetches what templates need, writes what changed, runs their commands.
//!
//! Each template stands for itself: what fails in one is logged and leaves its file and the others alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::cache::Cache;
use super::certificate;
use super::config::{Command, Source, Target, TemplateConfig};
use super::consul::Consul;
use super::fetch::{self, Failure, Fetched};
use super::file::{self, Written};
use super::listener::Rotation;
use super::login::Session;
use super::pace::{Backoff, Due, NAP_MAX};
use super::process::{Children, run_command};
use super::sds::{Published, Secrets};
use super::store::{Change, Job, Settings, Store};
use super::template::{Answer, Dependency, FileWrite, Functions, Host, Limits, Options, Outcome, Template, Value};
use crate::base::{Clock, Rng};

/// How long commands wait for other changes that are under way.
const COMMAND_WAIT: Duration = Duration::from_secs(2);
/// The longest wait before a file that could not be written, or a source that could not be read, is tried again.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(60);

/// The most files that one template writes besides its own.
const WRITES_MAX: usize = 100;

/// Reads an environment variable.
pub type Environment = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// How far the rendering is.
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// All templates have been rendered.
    pub complete: bool,
    /// Grows with each change.
    pub revision: u64,
    /// The rendered variables.
    pub variables: Arc<BTreeMap<String, Vec<u8>>>,
    /// How many templates there are.
    pub templates: usize,
    /// How many of them have been rendered.
    pub rendered: usize,
}

/// What the rendering is told.
pub(super) struct Orders {
    pub templates: Vec<TemplateConfig>,
    pub store: Settings,
    pub connections_max: usize,
    pub exit_on_retry_failure: bool,
    /// End when all is done once.
    pub once: bool,
    /// End when a template fails.
    pub fail_fast: bool,
    /// Where the last known good is kept, and how old it may be.
    pub cache: Option<(Cache, i64)>,
}

/// What the rendering uses.
pub(super) struct Tools {
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub environment: Environment,
    pub children: Children,
    /// Told when the server refuses, since the token may be dead.
    pub suspicion: Arc<Notify>,
    /// Where Consul is, if templates may ask it.
    pub consul: Option<Consul>,
    /// Where what is for Envoy goes.
    pub published: watch::Sender<Secrets>,
}

/// The task of the rendering.
pub(super) struct Renderer {
    orders: Orders,
    tools: Tools,
    functions: Functions,
    limits: Limits,
    entries: Vec<Entry>,
    store: Store,
    fetches: JoinSet<(Dependency, u64, bool, Done)>,
    /// Commands of the changes so far, which wait for the rest of the set.
    gathered: Vec<Command>,
    gathered_until: Option<Due>,
    commands: VecDeque<Command>,
    running: JoinSet<()>,
    variables: BTreeMap<String, Vec<u8>>,
    revision: u64,
    changed: bool,
    /// The token that is known.
    serial: u64,
    /// Questions that wait in Consul.
    watching: usize,
}

enum Done {
    Fetched(Result<Fetched, Failure>),
    Renewed(Result<Duration, Failure>),
}

/// A template's state.
struct Entry {
    template: Option<Template>,
    used: BTreeSet<Dependency>,
    dirty: bool,
    rendered: bool,
    /// What was logged last, so that it is logged once.
    complaint: Option<String>,
    /// Waiting for more changes: until the first of these.
    quiet: Option<(Due, Due)>,
    retry: Option<Due>,
    backoff: Backoff,
    /// Somebody asked for it: no window is waited for.
    forced: bool,
}

impl Renderer {
    pub(super) fn new(orders: Orders, tools: Tools) -> Renderer {
        let entry = || Entry {
            template: None,
            used: BTreeSet::new(),
            dirty: true,
            rendered: false,
            complaint: None,
            quiet: None,
            retry: None,
            backoff: Backoff::new(Duration::from_secs(1), WRITE_WAIT_MAX),
            forced: false,
        };
        let entries = orders.templates.iter().map(|_| entry()).collect();
        Renderer {
            orders,
            tools,
            functions: Functions::agent(),
            limits: Limits::default(),
            entries,
            store: Store::default(),
            fetches: JoinSet::new(),
            gathered: Vec::new(),
            gathered_until: None,
            commands: VecDeque::new(),
            running: JoinSet::new(),
            variables: BTreeMap::new(),
            revision: 0,
            changed: false,
            serial: 0,
            watching: 0,
        }
    }

    /// Renders for as long as it is polled, or until all is done once.
    ///
    /// # Errors
    /// A fetch has failed for good, and the configuration wants the end then.
    pub(super) async fn run(
        mut self,
        mut sessions: watch::Receiver<Option<Session>>,
        reload: Arc<Notify>,
        progress: watch::Sender<Progress>,
        mut rotations: mpsc::Receiver<Rotation>,
    ) -> Result<(), String> {
        let clock = self.tools.clock.clone();
        if let Some((cache, max_stale)) = &self.orders.cache {
            self.store.recall(cache.load(*max_stale, clock.now()));
        }
        loop {
            let session = sessions.borrow_and_update().clone();
            if let Some(session) = session.as_ref().filter(|session| session.serial != self.serial) {
                self.serial = session.serial;
                self.store.renewed_token(session.serial, &*clock);
            }
            self.pass();
            self.start_fetches(session.as_ref());
            self.release(&progress);
            if let (Some((cache, _)), true) = (&mut self.orders.cache, std::mem::take(&mut self.store.news)) {
                cache.save(&self.store.remember(), &*self.tools.rng);
            }
            if let Some(text) = self.entries.iter().find_map(|entry| entry.complaint.clone())
                && self.orders.fail_fast
            {
                return Err(text);
            }
            // Without a login there is no sink to fill.
            let filled = sessions.has_changed().is_err() || session.as_ref().is_some_and(|session| session.filled);
            if self.orders.once && filled && self.is_done() {
                return Ok(());
            }
            let nap = self.nap(session.is_some());
            tokio::select! {
                Some(done) = self.fetches.join_next() => {
                    // A fetch does not panic; if it did, its slot would stay in flight until the next start.
                    if let Ok((dependency, serial, watched, done)) = done {
                        self.watching -= usize::from(watched);
                        self.settle(&dependency, serial, done)?;
                    }
                }
                Some(_) = self.running.join_next() => {}
                Some((name, said)) = rotations.recv() => {
                    // Whoever asked may have gone.
                    let _ = said.send(self.rotate(&name));
                }
                Ok(()) = sessions.changed() => {}
                () = reload.notified() => self.reload(),
                () = clock.sleep(nap) => {}
            }
        }
    }

    fn is_done(&self) -> bool {
        self.entries.iter().all(|entry| entry.rendered && !entry.dirty)
            && self.gathered.is_empty()
            && self.commands.is_empty()
            && self.running.is_empty()
    }

    fn nap(&self, has_token: bool) -> Duration {
        let clock = &*self.tools.clock;
        let entries = self.entries.iter().flat_map(|entry| {
            let quiet =
                entry.quiet.filter(|_| entry.dirty).map(|(least, most)| least.left(clock).min(most.left(clock)));
            [quiet, entry.retry.map(|due| due.left(clock))]
        });
        // What is due and cannot be fetched is woken by the token or by the end of another fetch.
        let can_fetch = self.fetches.len() - self.watching < self.orders.connections_max;
        let others = [self.store.wait(has_token, clock).filter(|_| can_fetch)];
        let gathered = [self.gathered_until.map(|due| due.left(clock))];
        let least = entries.chain(others).chain(gathered).flatten().min().unwrap_or(NAP_MAX);
        least.clamp(Duration::from_millis(5), NAP_MAX)
    }

    /// Renders what is dirty until nothing more can be done without a fetch.
    fn pass(&mut self) {
        let clock = self.tools.clock.clone();
        for entry in &mut self.entries {
            if entry.retry.is_some_and(|due| due.has_come(&*clock)) {
                entry.retry = None;
                entry.dirty = true;
            }
        }
        // Files may answer for certificates, which then may lead to more.
        loop {
            let mut worked = false;
            for i in 0..self.entries.len() {
                let entry = &self.entries[i];
                let waits =
                    entry.quiet.is_some_and(|(least, most)| !least.has_come(&*clock) && !most.has_come(&*clock));
                if entry.dirty && entry.retry.is_none() && !waits {
                    self.entries[i].dirty = false;
                    self.entries[i].quiet = None;
                    self.render(i);
                    worked = true;
                }
            }
            worked |= self.search_files();
            if !worked {
                break;
            }
        }
        let used: BTreeSet<Dependency> = self.entries.iter().flat_map(|entry| entry.used.iter().cloned()).collect();
        self.store.keep_only(&used);
    }

    /// Looks for certificates of an earlier run in what it rendered.
    fn search_files(&mut self) -> bool {
        let wanted = self.store.unsearched();
        if wanted.is_empty() {
            return false;
        }
        let files: Vec<Vec<u8>> = self
            .orders
            .templates
            .iter()
            .filter_map(|template| match &template.target {
                Target::File(destination) => file::read(&destination.path).ok(),
                Target::Variable(_) | Target::Envoy(..) => None,
            })
            .collect();
        let mut found_any = false;
        for dependency in wanted {
            let now = self.tools.clock.now();
            if let Some(found) = certificate::recover(&dependency, &files, now) {
                info!(path = dependency.shown(), "the certificate that was rendered before is still good");
                self.store.recovered(&dependency, found, &*self.tools.clock, &*self.tools.rng);
                self.mark(&dependency);
                found_any = true;
            }
        }
        found_any
    }

    /// A dependency has changed: its templates are to be rendered.
    fn mark(&mut self, dependency: &Dependency) {
        let clock = &*self.tools.clock;
        for (entry, config) in self.entries.iter_mut().zip(&self.orders.templates) {
            if !entry.used.contains(dependency) {
                continue;
            }
            entry.dirty = true;
            if let (Some((least, most)), true) = (config.wait, entry.rendered) {
                let until = entry.quiet.map_or_else(|| Due::after(clock, most), |(_, until)| until);
                entry.quiet = Some((Due::after(clock, least), until));
            }
        }
    }

    fn render(&mut self, i: usize) {
        if self.entries[i].template.is_none() && !self.load(i) {
            return;
        }
        let (entry, config) = (&mut self.entries[i], &self.orders.templates[i]);
        let Some(template) = &entry.template else { return };
        let mut host = View {
            store: &self.store,
            used: BTreeSet::new(),
            environment: &self.tools.environment,
            now: self.tools.clock.now().as_second(),
            roots: config.sandbox.as_slice(),
            writes: Vec::new(),
        };
        let outcome = template.render(&self.functions, &Value::Missing, &mut host, &self.limits);
        let (used, writes) = (host.used, host.writes);
        match outcome {
            Ok(Outcome::Rendered(content)) => {
                entry.used = used;
                self.write_files(i, &writes);
                self.deliver(i, &content);
            }
            Ok(Outcome::Pending(pending)) => {
                // The walk may have stopped short: what was used before is still wanted.
                entry.used.extend(used);
                for dependency in &pending {
                    self.store.want(dependency, &*self.tools.clock);
                    // An earlier run has left it: render again.
                    entry.dirty |= matches!(self.store.answer(dependency), Answer::Ready(_));
                }
            }
            Err(failure) => {
                entry.used.extend(used);
                self.complain(i, &failure.to_string(), "the template failed");
            }
        }
    }

    /// Writes what `writeToFile` asked for.
    fn write_files(&mut self, i: usize, writes: &[FileWrite]) {
        let Some(root) = self.orders.templates[i].sandbox.clone() else { return };
        for write in writes {
            if let Err(error) = file::put_below(&root, write, &*self.tools.rng) {
                self.complain(i, &error.to_string(), "writeToFile failed");
            }
        }
    }

    /// Gets new values for one template, whatever the age of those that it has.
    fn rotate(&mut self, name: &str) -> bool {
        let mut known = false;
        for (entry, config) in self.entries.iter_mut().zip(&self.orders.templates) {
            if config.target.name() == name {
                info!(template = name, "rotated on demand");
                self.store.rotate(&entry.used, &*self.tools.clock);
                entry.forced = true;
                known = true;
            }
        }
        known
    }

    /// Whether a change must wait for a window; then it is tried again at its start.
    fn waits_for_window(&mut self, i: usize, content: &[u8]) -> bool {
        let Some(windows) = &self.orders.store.windows else { return false };
        let (entry, now) = (&mut self.entries[i], self.tools.clock.now());
        if !entry.rendered || entry.forced || windows.is_open(now) {
            return false;
        }
        let same = match &self.orders.templates[i].target {
            Target::File(destination) => file::read(&destination.path).is_ok_and(|there| there == content),
            Target::Variable(name) => self.variables.get(name).is_some_and(|there| there == content),
            Target::Envoy(..) => false,
        };
        if same {
            return false;
        }
        if !self.store.can_wait(&entry.used) {
            warn!(
                template = self.orders.templates[i].target.name(),
                "changed outside the change window: it would expire"
            );
            return false;
        }
        let Some(opens) = windows.opens(now) else { return false };
        let wait = Duration::try_from(opens.duration_since(now)).unwrap_or(Duration::ZERO);
        entry.retry = Some(Due::after(&*self.tools.clock, wait));
        info!(template = self.orders.templates[i].target.name(), opens = %opens, "a change waits for its window");
        true
    }

    fn complain(&mut self, i: usize, text: &str, what: &'static str) {
        let entry = &mut self.entries[i];
        if entry.complaint.as_deref() != Some(text) {
            error!(error = text, keeps_file = true, "{what}");
            entry.complaint = Some(text.to_owned());
        }
    }

    /// Writes the output, and notes what follows from a change.
    fn deliver(&mut self, i: usize, content: &[u8]) {
        let config = &self.orders.templates[i];
        let tentative: Vec<Dependency> =
            self.entries[i].used.iter().filter(|dependency| self.store.is_tentative(dependency)).cloned().collect();
        if !tentative.is_empty() {
            let same = match &config.target {
                Target::File(destination) => file::read(&destination.path).is_ok_and(|there| there == content),
                Target::Variable(_) | Target::Envoy(..) => false,
            };
            for dependency in &tentative {
                if same {
                    self.store.accept(dependency);
                } else {
                    self.store.reject(dependency, &*self.tools.clock);
                }
            }
            if !same {
                // Render again to ask for it.
                self.entries[i].dirty = true;
                return;
            }
        }
        if self.waits_for_window(i, content) {
            return;
        }
        let config = &self.orders.templates[i];
        let changed = match &config.target {
            Target::Envoy(name, kind) => match Published::new(name, *kind, content, self.revision + 1) {
                Ok(secret) => self.tools.published.send_if_modified(|all| {
                    let fresh = all.get(name).is_none_or(|old| !old.same(&secret));
                    if fresh {
                        Arc::make_mut(all).insert(name.clone(), secret);
                    }
                    fresh
                }),
                Err(why) => {
                    let text = format!("{name}: {why}");
                    self.complain(i, &text, "ALARM: the secret for Envoy is unusable; the old one stays");
                    return;
                }
            },
            Target::File(destination) => match file::put(destination, content, &*self.tools.rng) {
                Ok(written) => written == Written::Changed,
                Err(failure) => {
                    let text = format!("{}: {failure}", destination.path.display());
                    let entry = &mut self.entries[i];
                    let wait = entry.backoff.next(&*self.tools.rng);
                    entry.retry = Some(Due::after(&*self.tools.clock, wait));
                    self.complain(i, &text, "the file could not be written");
                    return;
                }
            },
            Target::Variable(name) => {
                if content.contains(&0) {
                    let text = format!("{name}: a zero byte");
                    self.complain(i, &text, "the variable cannot be set");
                    return;
                }
                self.variables.insert(name.clone(), content.to_vec()).as_deref() != Some(content)
            }
        };
        let entry = &mut self.entries[i];
        entry.backoff.reset();
        entry.complaint = None;
        entry.rendered = true;
        entry.forced = false;
        if !changed {
            return;
        }
        if let Target::File(destination) = &config.target {
            info!(path = %destination.path.display(), "rendered");
        }
        self.changed = true;
        self.gathered_until.get_or_insert_with(|| Due::after(&*self.tools.clock, COMMAND_WAIT));
        if let Some(command) = &config.command
            && !self.gathered.contains(command)
        {
            self.gathered.push(command.clone());
        }
    }

    /// Reads and parses a template's source.
    fn load(&mut self, i: usize) -> bool {
        let config = &self.orders.templates[i];
        let parsed = parse(config, &self.functions);
        match parsed {
            Ok(template) => {
                self.entries[i].template = Some(template);
                true
            }
            Err(text) => {
                // A file may be put right; a text in the configuration cannot change.
                if matches!(config.source, Source::File(_)) {
                    let entry = &mut self.entries[i];
                    let wait = entry.backoff.next(&*self.tools.rng);
                    entry.retry = Some(Due::after(&*self.tools.clock, wait));
                }
                self.complain(i, &text, "the template cannot be read");
                false
            }
        }
    }

    fn start_fetches(&mut self, session: Option<&Session>) {
        let room = self.orders.connections_max.saturating_sub(self.fetches.len() - self.watching);
        for (dependency, job) in self.store.take_due(room, session.is_some(), &*self.tools.clock) {
            let (client, clock) = (session.map(|session| session.client.clone()), self.tools.clock.clone());
            let (serial, consul) = (session.map_or(0, |session| session.serial), self.tools.consul.clone());
            self.watching += usize::from(matches!(job, Job::Watch(_)));
            self.fetches.spawn(async move {
                let watched = matches!(job, Job::Watch(_));
                let absent = |what: &str| Err(Failure::new(format!("{what} is not configured")));
                let index = match job {
                    Job::Watch(index) => Some(index),
                    _ => None,
                };
                let done = match (job, client) {
                    _ if dependency.kind.is_consul() => Done::Fetched(match consul {
                        Some(consul) => consul.fetch(&dependency, index).await,
                        None => absent("Consul"),
                    }),
                    (Job::Renew(id), Some(client)) => Done::Renewed(fetch::renew_lease(&client, &id).await),
                    (_, Some(client)) => Done::Fetched(fetch::fetch(&client, &dependency, clock.now()).await),
                    (_, None) => Done::Fetched(absent("a login")),
                };
                (dependency, serial, watched, done)
            });
        }
    }

    fn settle(&mut self, dependency: &Dependency, serial: u64, done: Done) -> Result<(), String> {
        let (clock, rng) = (&*self.tools.clock, &*self.tools.rng);
        let failure = match &done {
            Done::Fetched(Err(failure)) | Done::Renewed(Err(failure)) => Some(failure),
            _ => None,
        };
        if failure.is_some_and(|failure| failure.status == Some(403)) {
            self.tools.suspicion.notify_one();
        }
        let change = match done {
            Done::Fetched(outcome) => self.store.fetched(dependency, outcome, serial, &self.orders.store, clock, rng),
            Done::Renewed(outcome) => self.store.renewed(dependency, outcome, &self.orders.store, clock, rng),
        };
        match change {
            Change::None => {}
            Change::Value => self.mark(dependency),
            Change::Exhausted(text) if self.orders.exit_on_retry_failure => return Err(text),
            Change::Exhausted(text) => {
                warn!(error = text, "retries are used up; it is tried on");
                self.mark(dependency);
            }
        }
        Ok(())
    }

    /// Lets commands run and tells of changes, once all that belongs together is there.
    fn release(&mut self, progress: &watch::Sender<Progress>) {
        let due = self.gathered_until.is_some_and(|due| due.has_come(&*self.tools.clock));
        if self.changed && (due || self.fetches.len() == self.watching) {
            self.changed = false;
            self.gathered_until = None;
            for command in self.gathered.drain(..) {
                if !self.commands.contains(&command) {
                    self.commands.push_back(command);
                }
            }
            self.revision += 1;
        }
        if self.running.is_empty()
            && let Some(command) = self.commands.pop_front()
        {
            self.running.spawn(run_command(command, self.tools.children.clone(), self.tools.clock.clone()));
        }
        let (templates, rendered) = (self.entries.len(), self.entries.iter().filter(|entry| entry.rendered).count());
        let complete = rendered == templates && !self.changed;
        let told = progress.borrow().revision == self.revision
            && progress.borrow().complete >= complete
            && progress.borrow().rendered == rendered;
        if !told {
            let complete = complete || progress.borrow().complete;
            let variables = Arc::new(self.variables.clone());
            progress.send_replace(Progress { complete, revision: self.revision, variables, templates, rendered });
        }
    }

    /// Reads sources and static secrets again. A source that is now wrong leaves the old one in use.
    fn reload(&mut self) {
        info!("reading templates and secrets again");
        for i in 0..self.entries.len() {
            let old = self.entries[i].template.take();
            if !self.load(i) {
                self.entries[i].template = old;
                self.entries[i].retry = None;
            }
            self.entries[i].dirty = true;
        }
        self.store.refresh_static(&*self.tools.clock);
    }
}

/// Reads and parses a template's source.
pub(super) fn parse(config: &TemplateConfig, functions: &Functions) -> Result<Template, String> {
    let options = Options {
        left: config.left.clone(),
        right: config.right.clone(),
        error_on_missing_key: config.error_on_missing_key,
    };
    match &config.source {
        Source::Inline(text, place) => {
            Template::parse(place, text, &options, functions).map_err(|error| error.to_string())
        }
        Source::File(path) => file::read(path)
            .map_err(|error| format!("{}: {error}", path.display()))
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| format!("{}: not UTF-8", path.display())))
            .and_then(|text| {
                let name = path.display().to_string();
                Template::parse(&name, &text, &options, functions).map_err(|error| error.to_string())
            }),
    }
}

/// What a template sees of the outside.
struct View<'a> {
    store: &'a Store,
    used: BTreeSet<Dependency>,
    environment: &'a Environment,
    now: i64,
    roots: &'a [PathBuf],
    writes: Vec<FileWrite>,
}

impl Host for View<'_> {
    fn lookup(&mut self, dependency: &Dependency) -> Answer {
        self.used.insert(dependency.clone());
        self.store.answer(dependency)
    }

    fn env(&self, name: &str) -> Option<String> {
        (self.environment)(name).and_then(|value| value.into_string().ok())
    }

    fn now(&self) -> i64 {
        self.now
    }

    fn file_roots(&self) -> &[PathBuf] {
        self.roots
    }

    fn write_file(&mut self, write: FileWrite) -> Result<(), String> {
        let allowed = self.roots.iter().any(|root| write.path.starts_with(root) && write.path != *root);
        if !allowed {
            return Err("the path is not below an allowed folder (\"sandbox_path\")".to_owned());
        }
        if self.writes.len() == WRITES_MAX {
            return Err(format!("more than {WRITES_MAX} files"));
        }
        self.writes.push(write);
        Ok(())
    }
}

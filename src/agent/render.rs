//! The loop that renders: fetches what templates need, writes what changed, runs their commands.
//!
//! Each template stands for itself: what fails in one is logged and leaves its file and the others alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::certificate;
use super::config::{Command, Source, Target, TemplateConfig};
use super::fetch::{self, Failure, Fetched};
use super::file::{self, Written};
use super::login::Session;
use super::pace::{Backoff, Due, NAP_MAX};
use super::process::{Children, run_command};
use super::store::{Change, Job, Settings, Store};
use super::template::{Answer, Dependency, Functions, Host, Limits, Options, Outcome, Template, Value};
use crate::base::{Clock, Rng};

/// How long commands wait for other changes that are under way.
const COMMAND_WAIT: Duration = Duration::from_secs(2);
/// The longest wait before a file that could not be written, or a source that could not be read, is tried again.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(60);

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
}

/// What the rendering is told.
pub(super) struct Orders {
    pub templates: Vec<TemplateConfig>,
    pub store: Settings,
    pub connections_max: usize,
    pub exit_on_retry_failure: bool,
    /// End when all is done once.
    pub once: bool,
}

/// What the rendering uses.
pub(super) struct Tools {
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub environment: Environment,
    pub children: Children,
    /// Told when the server refuses, since the token may be dead.
    pub suspicion: Arc<Notify>,
}

/// The task of the rendering.
pub(super) struct Renderer {
    orders: Orders,
    tools: Tools,
    functions: Functions,
    limits: Limits,
    entries: Vec<Entry>,
    store: Store,
    fetches: JoinSet<(Dependency, u64, Done)>,
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
    ) -> Result<(), String> {
        let clock = self.tools.clock.clone();
        loop {
            let session = sessions.borrow_and_update().clone();
            if let Some(session) = session.as_ref().filter(|session| session.serial != self.serial) {
                self.serial = session.serial;
                self.store.renewed_token(session.serial, &*clock);
            }
            self.pass();
            if let Some(session) = &session {
                self.start_fetches(session);
            }
            self.release(&progress);
            if self.orders.once && session.as_ref().is_some_and(|session| session.filled) && self.is_done() {
                return Ok(());
            }
            let nap = self.nap(session.is_some());
            tokio::select! {
                Some(done) = self.fetches.join_next() => {
                    // A fetch does not panic; if it did, its slot would stay in flight until the next start.
                    if let Ok((dependency, serial, done)) = done {
                        self.settle(&dependency, serial, done)?;
                    }
                }
                Some(_) = self.running.join_next() => {}
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
        let can_fetch = has_token && self.fetches.len() < self.orders.connections_max;
        let others = [self.store.wait(clock).filter(|_| can_fetch)];
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
                Target::Variable(_) => None,
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
        };
        let outcome = template.render(&self.functions, &Value::Missing, &mut host, &self.limits);
        let used = host.used;
        match outcome {
            Ok(Outcome::Rendered(content)) => {
                entry.used = used;
                self.deliver(i, &content);
            }
            Ok(Outcome::Pending(pending)) => {
                // The walk may have stopped short: what was used before is still wanted.
                entry.used.extend(used);
                for dependency in &pending {
                    self.store.want(dependency, &*self.tools.clock);
                }
            }
            Err(failure) => {
                entry.used.extend(used);
                self.complain(i, &failure.to_string(), "the template failed");
            }
        }
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
                Target::Variable(_) => false,
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
        let changed = match &config.target {
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
        let options = Options {
            left: config.left.clone(),
            right: config.right.clone(),
            error_on_missing_key: config.error_on_missing_key,
        };
        let parsed = match &config.source {
            Source::Inline(text, place) => {
                Template::parse(place, text, &options, &self.functions).map_err(|error| error.to_string())
            }
            Source::File(path) => file::read(path)
                .map_err(|error| format!("{}: {error}", path.display()))
                .and_then(|bytes| String::from_utf8(bytes).map_err(|_| format!("{}: not UTF-8", path.display())))
                .and_then(|text| {
                    let name = path.display().to_string();
                    Template::parse(&name, &text, &options, &self.functions).map_err(|error| error.to_string())
                }),
        };
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

    fn start_fetches(&mut self, session: &Session) {
        let room = self.orders.connections_max.saturating_sub(self.fetches.len());
        for (dependency, job) in self.store.take_due(room, &*self.tools.clock) {
            let (client, serial, clock) = (session.client.clone(), session.serial, self.tools.clock.clone());
            self.fetches.spawn(async move {
                let done = match job {
                    Job::Fetch => Done::Fetched(fetch::fetch(&client, &dependency, clock.now()).await),
                    Job::Renew(id) => Done::Renewed(fetch::renew_lease(&client, &id).await),
                };
                (dependency, serial, done)
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
        if self.changed && (due || self.fetches.is_empty()) {
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
        let complete = self.entries.iter().all(|entry| entry.rendered) && !self.changed;
        let told = progress.borrow().revision == self.revision && progress.borrow().complete >= complete;
        if !told {
            let complete = complete || progress.borrow().complete;
            let variables = Arc::new(self.variables.clone());
            progress.send_replace(Progress { complete, revision: self.revision, variables });
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

/// What a template sees of the outside.
struct View<'a> {
    store: &'a Store,
    used: BTreeSet<Dependency>,
    environment: &'a Environment,
    now: i64,
    roots: &'a [PathBuf],
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
}

//! The loop that renders: fetches what templates need, writes what changed, runs their commands.
//!
//! Each template stands for itself: what fails in one is logged and leaves its file and the others alone.

mod fetching;
mod pass;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tracing::info;

use super::cache::Cache;
use super::config::{Command, Target, TemplateConfig};
use super::consul::Consul;
use super::listener::Rotation;
use super::login::Session;
use super::pace::{Backoff, Due, NAP_MAX};
use super::process::Children;
use super::push::Push;
use super::reload;
use super::sds::Secrets;
use super::store::{Done, Settings, Store};
use super::template::{Dependency, Functions, Limits, Template};
use crate::base::{Clock, Rng};

pub(super) use view::parse;

/// How long commands wait for other changes that are under way.
const COMMAND_WAIT: Duration = Duration::from_secs(2);
/// The longest wait before a file that could not be written, or a source that could not be read, is tried again.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long nothing has happened when the agent is at rest.
const REST: Duration = Duration::from_secs(1);

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
    /// Files that no template may read.
    pub private: Vec<PathBuf>,
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
    /// Told when all is rendered and nothing has happened for a while.
    pub at_rest: Arc<dyn Fn() + Send + Sync>,
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
    /// How often the login has found the server again.
    returns: u64,
    /// Questions that wait in Consul.
    watching: usize,
    push: Push,
    /// When the agent is at rest, if nothing happens until then.
    rest: Option<Due>,
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

impl Entry {
    fn new() -> Entry {
        Entry {
            template: None,
            used: BTreeSet::new(),
            dirty: true,
            rendered: false,
            complaint: None,
            quiet: None,
            retry: None,
            backoff: Backoff::new(Duration::from_secs(1), WRITE_WAIT_MAX),
            forced: false,
        }
    }
}

impl Renderer {
    pub(super) fn new(orders: Orders, tools: Tools) -> Renderer {
        let entries = orders.templates.iter().map(|_| Entry::new()).collect();
        let push = Push::new(&*tools.clock);
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
            returns: 0,
            watching: 0,
            push,
            rest: None,
        }
    }

    /// Renders for as long as it is polled, or until all is done once.
    ///
    /// # Errors
    /// A fetch has failed for good, and the configuration wants the end then.
    pub(super) async fn run(
        mut self,
        mut sessions: watch::Receiver<Option<Session>>,
        mut reloads: mpsc::Receiver<Option<reload::Change>>,
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
                self.store.renewed_token(session.serial, &*clock, &*self.tools.rng);
            }
            if let Some(session) = session.as_ref().filter(|session| session.returns != self.returns) {
                self.returns = session.returns;
                self.store.reconnected(&*clock, &*self.tools.rng);
            }
            if std::mem::take(&mut self.store.returned) {
                // The token may have been revoked meanwhile.
                self.tools.suspicion.notify_one();
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
            if !self.orders.once {
                self.push.keep(session.as_ref(), self.store.sources(), &*clock);
            }
            if self.rest.is_some_and(|due| due.has_come(&*clock)) {
                self.rest = None;
                if self.is_done() {
                    (self.tools.at_rest)();
                }
            }
            let nap = self.nap(session.is_some());
            let mut napped = false;
            tokio::select! {
                Some(done) = self.fetches.join_next() => {
                    // A fetch does not panic; if it did, its slot would stay in flight until the next start.
                    if let Ok((dependency, serial, watched, done)) = done {
                        self.watching -= usize::from(watched);
                        self.settle(&dependency, serial, done)?;
                    }
                }
                Some(_) = self.running.join_next() => {}
                Some(answer) = self.push.answered() => {
                    for path in self.push.settle(answer, &*clock, &*self.tools.rng) {
                        self.store.changed(&path, &*clock);
                    }
                    if self.push.returned() {
                        self.store.reconnected(&*clock, &*self.tools.rng);
                    }
                }
                Some((name, said)) = rotations.recv() => {
                    // Whoever asked may have gone.
                    let _ = said.send(self.rotate(&name));
                }
                Ok(()) = sessions.changed() => {}
                Some(change) = reloads.recv() => self.reload(change),
                () = clock.sleep(nap) => napped = true,
            }
            if !napped {
                self.rest = Some(Due::after(&*clock, REST));
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
        let others = others.into_iter().chain([self.push.wait(clock).filter(|_| has_token)]);
        let own = [self.gathered_until, self.rest].map(|due| due.map(|due| due.left(clock)));
        let least = entries.chain(others).chain(own).flatten().min().unwrap_or(NAP_MAX);
        least.clamp(Duration::from_millis(5), NAP_MAX)
    }

    /// Takes a new configuration, and reads sources and static secrets again. A source that is now wrong leaves the old one
    /// in use; a template that stayed as it was keeps all that it has.
    fn reload(&mut self, change: Option<reload::Change>) {
        info!("reading templates and secrets again");
        if let Some(change) = change {
            self.orders.store = change.store;
            self.orders.connections_max = change.connections_max;
            self.orders.exit_on_retry_failure = change.exit_on_retry_failure;
            self.replace_templates(change.templates);
        }
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

    fn replace_templates(&mut self, templates: Vec<TemplateConfig>) {
        let mut old: Vec<_> = self.orders.templates.drain(..).zip(self.entries.drain(..)).collect();
        for config in templates {
            let kept = old.iter().position(|(known, _)| *known == config).map(|at| old.swap_remove(at).1);
            if kept.is_none() {
                info!(template = config.target.name(), "a template is new, or has changed");
            }
            self.entries.push(kept.unwrap_or_else(Entry::new));
            self.orders.templates.push(config);
        }
        for (gone, _) in old {
            if self.orders.templates.iter().any(|template| template.target == gone.target) {
                continue;
            }
            info!(template = gone.target.name(), "a template is gone; its file stays as it is");
            match gone.target {
                Target::File(_) => {}
                Target::Variable(name) => self.changed |= self.variables.remove(&name).is_some(),
                Target::Envoy(name, _) => {
                    self.tools.published.send_if_modified(|all| Arc::make_mut(all).remove(&name).is_some());
                }
            }
        }
    }
}

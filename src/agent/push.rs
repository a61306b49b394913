//! Push instead of polling: one request that waits in the server until a secret that was read has changed.
//!
//! A server that does not know it is asked again after an hour; until then, and beside it, secrets are read every so often.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{debug, info};

use super::fetch::{Failure, send};
use super::login::Session;
use super::pace::{Backoff, Due};
use super::reach::Reach;
use super::template::Value;
use crate::base::{Clock, Rng};
use crate::client::{Client, Request};

/// How long the server shall wait for a change.
const WAIT: Duration = Duration::from_secs(50);
/// How much longer its answer may take.
const GRACE: Duration = Duration::from_secs(15);
/// The least time between two requests, and how long a set of paths must have stood still.
const PAUSE: Duration = Duration::from_millis(200);
/// What is answered before this time, and says nothing, comes from nobody who waits.
const HASTE: Duration = Duration::from_secs(1);
/// When a server that knows no push is asked again.
const ABSENCE: Duration = Duration::from_secs(3600);
/// Paths that a server takes; more are read every so often.
const PATHS_MAX: usize = 256;
/// The longest version that is believed.
const VERSION_BYTES: usize = 256;

/// What the server said, of the token with this serial.
pub(super) type Answer = (u64, Result<Value, Failure>);

/// The request, the paths that it names, and when there is to be another.
pub(super) struct Push {
    /// What is waited for, with the version that was last told.
    versions: BTreeMap<String, Option<String>>,
    /// What the server will not watch.
    unwatched: BTreeSet<String>,
    request: JoinSet<Answer>,
    began: Duration,
    due: Due,
    backoff: Backoff,
    serial: u64,
    works: bool,
    reach: Reach,
    /// The server was away, and has answered since.
    returned: bool,
}

impl Push {
    pub(super) fn new(clock: &dyn Clock) -> Push {
        Push {
            versions: BTreeMap::new(),
            unwatched: BTreeSet::new(),
            request: JoinSet::new(),
            began: Duration::ZERO,
            due: Due::after(clock, Duration::ZERO),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            serial: 0,
            works: false,
            reach: Reach::default(),
            returned: false,
        }
    }

    /// Has a request wait for these paths, if there is a token and it is time.
    pub(super) fn keep(&mut self, session: Option<&Session>, mut paths: BTreeSet<String>, clock: &dyn Clock) {
        let Some(session) = session else { return };
        if session.serial != self.serial {
            // Another token may see what this one did not.
            self.serial = session.serial;
            self.unwatched.clear();
            self.backoff.reset();
            self.start_anew(clock);
        }
        paths.retain(|path| !self.unwatched.contains(path));
        while paths.len() > PATHS_MAX {
            paths.pop_last();
        }
        let is_new = paths.iter().any(|path| !self.versions.contains_key(path));
        self.versions.retain(|path, _| paths.contains(path));
        for path in paths {
            self.versions.entry(path).or_default();
        }
        if is_new && self.backoff.failures() == 0 {
            self.start_anew(clock);
        }
        if self.request.is_empty() && !self.versions.is_empty() && self.due.has_come(clock) {
            self.began = clock.monotonic();
            self.request.spawn(ask(session.client.clone(), session.serial, self.versions.clone()));
        }
    }

    fn start_anew(&mut self, clock: &dyn Clock) {
        self.request.abort_all();
        self.request = JoinSet::new();
        self.due = Due::after(clock, PAUSE);
    }

    /// How long until there is to be a request; `None` while there is one.
    pub(super) fn wait(&self, clock: &dyn Clock) -> Option<Duration> {
        (self.request.is_empty() && !self.versions.is_empty()).then(|| self.due.left(clock))
    }

    /// Whether the server answers again after it was away: told once.
    pub(super) fn returned(&mut self) -> bool {
        std::mem::take(&mut self.returned)
    }

    /// The answer, once it is there.
    pub(super) async fn answered(&mut self) -> Option<Answer> {
        loop {
            // What was given up is none.
            if let Ok(answer) = self.request.join_next().await? {
                return Some(answer);
            }
        }
    }

    /// The paths that have changed, by an answer.
    pub(super) fn settle(&mut self, (serial, answer): Answer, clock: &dyn Clock, rng: &dyn Rng) -> Vec<String> {
        self.returned |= self.reach.note(answer.as_ref().err().is_none_or(Failure::met_server));
        if serial != self.serial {
            return Vec::new();
        }
        let data = match answer {
            Ok(reply) => reply.key("data").cloned().unwrap_or_default(),
            Err(failure) => {
                let absent = matches!(failure.status, Some(400 | 403 | 404 | 405));
                let wait = if absent { ABSENCE } else { self.backoff.next(rng) };
                debug!(error = %failure, wait_seconds = wait.as_secs_f32(), "no push of changes");
                self.works = false;
                self.due = Due::after(clock, wait);
                return Vec::new();
            }
        };
        let mut changed = Vec::new();
        if let Some(Value::Map(told)) = data.key("changed") {
            for (path, version) in told.iter() {
                let version = version.as_str().filter(|version| version.len() <= VERSION_BYTES);
                let (Some(known), Some(version)) = (self.versions.get_mut(path.lossy().as_ref()), version) else {
                    continue;
                };
                if known.as_deref() != Some(version) {
                    *known = Some(version.to_owned());
                    changed.push(path.lossy().into_owned());
                }
            }
        }
        let mut left = false;
        if let Some(Value::List(paths)) = data.key("unwatched") {
            for path in paths.iter().filter_map(Value::as_str) {
                left |= self.versions.remove(path).is_some();
                self.unwatched.insert(path.to_owned());
            }
        }
        let took = clock.monotonic().saturating_sub(self.began);
        if changed.is_empty() && !left && took < HASTE {
            self.due = Due::after(clock, self.backoff.next(rng));
            return changed;
        }
        if !std::mem::replace(&mut self.works, true) {
            info!("the server tells of changes");
        }
        self.backoff.reset();
        self.due = Due::after(clock, PAUSE);
        changed
    }
}

async fn ask(client: Client, serial: u64, versions: BTreeMap<String, Option<String>>) -> Answer {
    let body = serde_json::json!({ "paths": versions, "wait": WAIT.as_secs() });
    let answer = match Request::write("sys/internal/watch").json(&body) {
        Ok(request) => send(&client, request.timeout(WAIT + GRACE), false).await,
        Err(error) => Err(Failure::new(error.to_string())),
    };
    (serial, answer)
}

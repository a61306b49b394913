//! What is fetched for the templates, and what follows from its outcome.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::warn;

use super::{Progress, Renderer};
use crate::agent::fetch::{self, Failure};
use crate::agent::login::Session;
use crate::agent::process::run_command;
use crate::agent::store::{Around, Change, Done, Job};
use crate::agent::template::Dependency;

impl Renderer {
    pub(super) fn start_fetches(&mut self, session: Option<&Session>) {
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
                    (Job::Look(path), Some(client)) => {
                        Done::Looked(fetch::is_revoked(&client, &path, dependency.computed).await)
                    }
                    (_, Some(client)) => Done::Fetched(fetch::fetch(&client, &dependency, clock.now()).await),
                    (_, None) => Done::Fetched(absent("a login")),
                };
                (dependency, serial, watched, done)
            });
        }
    }

    pub(super) fn settle(&mut self, dependency: &Dependency, serial: u64, done: Done) -> Result<(), String> {
        if done.failure().is_some_and(|failure| failure.status == Some(403)) {
            self.tools.suspicion.notify_one();
        }
        let around = Around { settings: &self.orders.store, clock: &*self.tools.clock, rng: &*self.tools.rng };
        match self.store.settle(dependency, done, serial, around) {
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
    pub(super) fn release(&mut self, progress: &watch::Sender<Progress>) {
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
            && progress.borrow().rendered == rendered
            && progress.borrow().templates == templates;
        if !told {
            let complete = complete || progress.borrow().complete;
            let variables = Arc::new(self.variables.clone());
            progress.send_replace(Progress { complete, revision: self.revision, variables, templates, rendered });
        }
    }
}

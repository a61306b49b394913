//! One pass over the templates: what is dirty is rendered, what changed is written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use super::view::View;
use super::{COMMAND_WAIT, Renderer, parse};
use crate::agent::certificate;
use crate::agent::config::{Source, Target};
use crate::agent::file::{self, Written};
use crate::agent::pace::Due;
use crate::agent::sds::Published;
use crate::agent::template::{Answer, Dependency, FileWrite, Outcome, Value};

impl Renderer {
    /// Renders what is dirty until nothing more can be done without a fetch.
    pub(super) fn pass(&mut self) {
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
    pub(super) fn mark(&mut self, dependency: &Dependency) {
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
            private: &self.orders.private,
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
    pub(super) fn rotate(&mut self, name: &str) -> bool {
        let mut known = false;
        for (entry, config) in self.entries.iter_mut().zip(&self.orders.templates) {
            if config.target.name() == name {
                info!(template = name, "rotated on demand");
                self.store.rotate(&entry.used, &*self.tools.clock);
                entry.forced = true;
                // What waits for a window waits no longer.
                entry.dirty |= entry.retry.take().is_some();
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
        entry.forced &= self.store.awaits_forced(&entry.used);
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
    pub(super) fn load(&mut self, i: usize) -> bool {
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
}

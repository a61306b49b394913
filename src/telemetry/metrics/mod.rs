//! The metric registers: counted without a lock, shown under the names that Vault's dashboards ask for.
//!
//! Names are written with dots and without a prefix here; `text` and `json` write them as their readers expect. A label has few
//! values by construction, and a bound all the same: beyond [`limits::METRIC_LABELS`] series of one name, the rest share one.

mod cells;
mod json;
mod process;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

pub use cells::{Counter, Gauge, Statuses, Summary};

use crate::base::json::Map;
use crate::base::{Clock, Operation, Timestamp, limits};

/// Labels of one series, in order.
pub type Labels = Vec<(&'static str, String)>;

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// What the barrier does.
#[derive(Clone, Copy, Debug)]
pub enum Barrier {
    /// Reads a value.
    Get,
    /// Lists names.
    List,
    /// Commits.
    Put,
}

/// The times of operations on one mount: create, and then as [`Operation`].
#[derive(Default)]
struct Route([Summary; 6]);

const ROUTE_WORDS: [&str; 6] = ["read", "update", "patch", "delete", "list", "create"];

/// The registers.
#[derive(Default)]
pub struct Metrics {
    /// Requests that showed a token.
    pub handle_request: Summary,
    /// Logins.
    pub handle_login_request: Summary,
    /// From a token's text to its session.
    pub fetch_acl_and_token: Summary,
    /// The whole of what precedes an engine.
    pub check_token: Summary,
    /// Until a request is in the audit log.
    pub audit_request: Summary,
    /// Until a response is.
    pub audit_response: Summary,
    /// Requests that no device took.
    pub audit_request_failure: Counter,
    /// Responses that no device took.
    pub audit_response_failure: Counter,
    /// Renewing a lease.
    pub renew: Summary,
    /// Renewing a token.
    pub renew_token: Summary,
    /// Revoking a lease, its engine included.
    pub revoke: Summary,
    /// Leases and tokens that were made.
    pub leases_created: Counter,
    /// Leases and tokens that were taken back.
    pub leases_removed: Counter,
    /// Revocations that failed, to be tried again.
    pub revoke_failures: Counter,
    /// Answers by their status code, those to strangers too.
    pub responses: Statuses,
    /// Leases and tokens with an end, as of the last count and what happened since.
    pub leases: Gauge,
    barrier: [Summary; 3],
    routes: ArcSwap<HashMap<String, Arc<Route>>>,
    labelled: Mutex<BTreeMap<&'static str, Family>>,
}

struct Family {
    shape: Shape,
    series: BTreeMap<Labels, f64>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics(..)")
    }
}

/// One series, as it is shown.
enum Shown<'a> {
    Value(Shape, f64),
    Summary(&'a Summary),
}

impl Metrics {
    /// Notes how long the barrier took.
    pub fn barrier(&self, what: Barrier, took: Duration, now: Duration) {
        self.barrier[what as usize].observe(took, now);
    }

    /// Notes how long an operation on a mount took, from the request to its answer.
    pub fn route(&self, mount: &str, operation: Operation, creates: bool, took: Duration, now: Duration) {
        let index = if creates { 5 } else { operation as usize };
        let known = self.routes.load();
        let route = match known.get(mount) {
            Some(route) => route.clone(),
            None => {
                // Nobody is told apart beyond the bound.
                let mount = if known.len() < limits::METRIC_MOUNTS { mount } else { "others/" };
                let fresh = Arc::new(Route::default());
                self.routes.rcu(|known| {
                    let mut next = HashMap::clone(known);
                    next.entry(mount.to_owned()).or_insert_with(|| fresh.clone());
                    next
                });
                self.routes.load().get(mount).cloned().unwrap_or(fresh)
            }
        };
        route.0[index].observe(took, now);
    }

    /// Adds to a counter with labels.
    pub fn count(&self, name: &'static str, labels: Labels, by: u64) {
        self.labelled(name, Shape::Counter, labels, |value| *value += by as f64);
    }

    /// Sets a gauge with labels.
    pub fn set(&self, name: &'static str, labels: Labels, value: f64) {
        self.labelled(name, Shape::Gauge, labels, |present| *present = value);
    }

    /// Replaces all series of a gauge: what is not named any more is gone.
    pub fn replace(&self, name: &'static str, series: impl IntoIterator<Item = (Labels, f64)>) {
        self.families().remove(name);
        for (labels, value) in series {
            self.labelled(name, Shape::Gauge, labels, |present| *present += value);
        }
    }

    /// Drops all gauges with labels whose names begin so.
    pub fn forget(&self, prefix: &str) {
        self.families().retain(|name, _| !name.starts_with(prefix));
    }

    fn families(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Family>> {
        self.labelled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn labelled(&self, name: &'static str, shape: Shape, labels: Labels, change: impl FnOnce(&mut f64)) {
        let mut families = self.families();
        let family = families.entry(name).or_insert_with(|| Family { shape, series: BTreeMap::new() });
        let known = family.series.contains_key(&labels) || family.series.len() < limits::METRIC_LABELS;
        let labels =
            if known { labels } else { labels.into_iter().map(|(key, _)| (key, "others".to_owned())).collect() };
        change(family.series.entry(labels).or_default());
    }

    /// All series, sorted by name.
    fn all(&self, visit: &mut dyn FnMut(&str, &Labels, Shown<'_>)) {
        let none = Labels::new();
        for (name, summary) in [
            ("core.handle_request", &self.handle_request),
            ("core.handle_login_request", &self.handle_login_request),
            ("core.fetch_acl_and_token", &self.fetch_acl_and_token),
            ("core.check_token", &self.check_token),
            ("audit.log_request", &self.audit_request),
            ("audit.log_response", &self.audit_response),
            ("expire.renew", &self.renew),
            ("expire.renew-token", &self.renew_token),
            ("expire.revoke", &self.revoke),
            ("barrier.get", &self.barrier[0]),
            ("barrier.list", &self.barrier[1]),
            ("barrier.put", &self.barrier[2]),
        ] {
            visit(name, &none, Shown::Summary(summary));
        }
        for (name, counter) in [
            ("audit.log_request_failure", &self.audit_request_failure),
            ("audit.log_response_failure", &self.audit_response_failure),
            ("expire.lease_creation", &self.leases_created),
            ("expire.lease_removal", &self.leases_removed),
            ("expire.lease_expiration.error", &self.revoke_failures),
        ] {
            visit(name, &none, Shown::Value(Shape::Counter, counter.value() as f64));
        }
        for (code, count) in self.responses.seen() {
            let labels = vec![("code", code.to_string()), ("type", format!("{}xx", code / 100))];
            visit("core.response_status_code", &labels, Shown::Value(Shape::Counter, count as f64));
        }
        visit("expire.num_leases", &none, Shown::Value(Shape::Gauge, self.leases.value() as f64));
        for (mount, route) in self.routes.load().iter() {
            let mount = mount.replace('/', "-");
            for (word, summary) in ROUTE_WORDS.iter().zip(&route.0).filter(|(_, summary)| summary.count() > 0) {
                visit(&format!("route.{word}.{mount}"), &none, Shown::Summary(summary));
            }
        }
        for (name, family) in self.families().iter() {
            for (labels, value) in &family.series {
                visit(name, labels, Shown::Value(family.shape, *value));
            }
        }
        process::measure(&mut |name, shape, value| visit(name, &none, Shown::Value(shape, value)));
    }

    /// In Prometheus' text format.
    pub fn text(&self, prefix: &str, now: Duration) -> Vec<u8> {
        text::write(self, prefix, now)
    }

    /// As Vault's own JSON has it.
    pub fn json(&self, prefix: &str, now: Timestamp, monotonic: Duration) -> Map {
        json::write(self, prefix, now, monotonic)
    }
}

/// The registers with the clock that they are read by.
#[derive(Clone)]
pub struct Meter {
    /// The registers.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Meter {
    /// Runs `f` and notes how long it took.
    pub fn timed<R>(&self, what: Barrier, f: impl FnOnce() -> R) -> R {
        let start = self.clock.monotonic();
        let answer = f();
        let now = self.clock.monotonic();
        self.metrics.barrier(what, now.saturating_sub(start), now);
        answer
    }
}

#[cfg(test)]
mod tests;

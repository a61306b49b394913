//! What the vault counts of itself: the way of each request, and, now and then, what there is.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Vault;
use super::stages::own_frame;
use crate::barrier::Cursor;
use crate::base::{Error, Key, Operation, Path, Result, Ttl};
use crate::telemetry::Metrics;
use crate::token::{self, Kind, Token};

/// After an unseal, the first count waits so long: the first requests come before it.
const FIRST_COUNT: Duration = Duration::from_secs(5);

/// How the names of engines' gauges begin.
const ENGINES: &str = "secrets.";

impl Vault {
    pub(super) fn metrics(&self) -> &Metrics {
        &self.settings.facts.metrics
    }

    /// Sets the gauges that cost nothing to read.
    pub fn measure(&self) {
        let metrics = self.metrics();
        let table = self.mounts.table();
        let auth = table.iter().filter(|e| e.mount.is_auth()).count();
        let entries =
            |kind: &str, number: usize| (vec![("type", kind.to_owned()), ("local", "false".to_owned())], number as f64);
        let secret = table.iter().count() - auth;
        metrics.replace("core.mount_table.num_entries", [entries("auth", auth), entries("logical", secret)]);
        // A list that is bounded: what is stuck is seldom, and what is beyond the bound is as bad.
        if let Ok(stuck) = self.leases.stuck(crate::base::limits::BATCH_KEYS) {
            metrics.set("expire.num_irrevocable_leases", Vec::new(), stuck.len() as f64);
        }
        let devices = self.audit.health();
        let of_device = |health: &crate::audit::Health, value: f64| (vec![("device", health.path.clone())], value);
        let working = |health: &crate::audit::Health| if health.fault.is_none() { 1.0 } else { 0.0 };
        metrics.replace("audit.device.healthy", devices.iter().map(|h| of_device(h, working(h))));
        metrics.replace("audit.device.queued", devices.iter().map(|h| of_device(h, h.queued as f64)));
        metrics.replace("audit.device.written", devices.iter().map(|h| of_device(h, h.written as f64)));
        metrics.replace("audit.device.lost", devices.iter().map(|h| of_device(h, h.lost as f64)));
        metrics.set("core.watches.num", Vec::new(), self.watching() as f64);
        metrics.set("quota.rate_limit.num", Vec::new(), self.quotas.in_force().rules.len() as f64);
    }

    /// Notes a request that has run its course.
    pub(super) fn note(&self, mount: Option<&str>, operation: Operation, creates: bool, login: bool, start: Duration) {
        let now = self.clock.monotonic();
        let took = now.saturating_sub(start);
        let metrics = self.metrics();
        if login { &metrics.handle_login_request } else { &metrics.handle_request }.observe(took, now);
        if let Some(mount) = mount {
            metrics.route(mount, operation, creates, took, now);
        }
    }

    /// Notes a token that was made.
    pub(super) fn note_token(&self, token: &Token, mount: &str, method: &str) {
        let metrics = self.metrics();
        metrics.count(
            "token.creation",
            vec![
                ("auth_method", method.to_owned()),
                ("cluster", self.settings.facts.cluster_name.clone()),
                ("creation_ttl", ttl_word(token.creation_ttl).to_owned()),
                ("mount_point", mount.to_owned()),
                ("namespace", "root".to_owned()),
                ("token_type", token.kind.word().to_owned()),
            ],
            1,
        );
        if token.kind == Kind::Service && token.expires.is_some() {
            metrics.leases_created.add(1);
            metrics.leases.add(1);
        }
    }

    /// Notes a lease, or a token with an end, that is gone.
    pub(super) fn note_removed(&self) {
        self.metrics().leases_removed.add(1);
        self.metrics().leases.add(-1);
    }

    /// Counts what there is, page by page.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn count_usage(&self) -> Result<()> {
        let metrics = self.metrics();
        let before = (metrics.leases_created.value(), metrics.leases_removed.value());
        let (view, [all, ..]) = self.leases.folders();
        let mut with_an_end = 0i64;
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor.take() {
            let (page, next) = view.count_step(&all, &from)?;
            with_an_end += i64::try_from(page).unwrap_or(0);
            cursor = next;
            tokio::task::yield_now().await;
        }
        let mut tokens = Tally::default();
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor.take() {
            let (page, next) = self.tokens.view().walk_step::<Token>(&token::ids(), &from)?;
            for (_, token) in &page {
                with_an_end += i64::from(token.expires.is_some());
                tokens.add(token, &self.method_of(token));
            }
            cursor = next;
            tokio::task::yield_now().await;
        }
        tokens.show(metrics, &self.settings.facts.cluster_name);
        let mut entities = 0;
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor.take() {
            let (page, next) = self.identities.view().count_step(&Key::new("entity/id"), &from)?;
            entities += page;
            cursor = next;
            tokio::task::yield_now().await;
        }
        metrics.set("identity.num_entities", Vec::new(), entities as f64);
        self.count_in_engines().await?;
        // What came and went meanwhile is not known to be in the count or not; the next one sees it.
        let during = (metrics.leases_created.value(), metrics.leases_removed.value());
        let drift = i64::try_from(during.0 - before.0).unwrap_or(0) - i64::try_from(during.1 - before.1).unwrap_or(0);
        metrics.leases.set(with_an_end.saturating_add(drift / 2));
        Ok(())
    }

    /// Lets each engine count what metrics show of its mount. One that cannot takes nothing from the others.
    async fn count_in_engines(&self) -> Result<()> {
        let table = self.mounts.table().clone();
        let mut gauges: BTreeMap<&'static str, Vec<_>> = BTreeMap::new();
        for entry in table.iter() {
            let path = Path::parse(entry.mount.path.as_str().trim_end_matches('/'))?;
            match entry.engine.measure(own_frame(self, entry, path)).await {
                Ok(samples) => {
                    samples
                        .into_iter()
                        .for_each(|one| gauges.entry(one.name).or_default().push((one.labels, one.value)));
                }
                Err(Error::Sealed) => return Err(Error::Sealed),
                Err(error) => tracing::debug!(mount = %entry.mount.path, %error, "a mount could not be counted"),
            }
        }
        // Also those of a mount that is gone, or has nothing to show any more.
        self.metrics().forget(ENGINES);
        gauges.into_iter().for_each(|(name, series)| self.metrics().replace(name, series));
        Ok(())
    }

    fn method_of(&self, token: &Token) -> String {
        if token.mount_accessor.is_empty() {
            return "token".to_owned();
        }
        let table = self.mounts.table();
        table.accessor(&token.mount_accessor).map_or_else(|| "gone".to_owned(), |e| e.mount.kind.clone())
    }
}

/// Counts now and then, until the vault is sealed or dropped.
pub async fn usage(vault: std::sync::Weak<Vault>) {
    let mut pause = FIRST_COUNT;
    loop {
        let Some(strong) = vault.upgrade() else { return };
        let (clock, period) = (strong.clock.clone(), strong.settings.facts.telemetry.usage_gauge_period);
        drop(strong);
        let Some(period) = period else { return };
        clock.sleep(pause).await;
        pause = period;
        let Some(strong) = vault.upgrade().filter(|v| !v.stopping.load(Ordering::SeqCst)) else { return };
        if let Err(error) = strong.count_usage().await {
            tracing::debug!(%error, "what there is could not be counted");
        }
    }
}

/// The spans that Vault sorts tokens into.
fn ttl_word(ttl: Ttl) -> &'static str {
    const SPANS: [(u64, &str); 9] = [
        (60, "1m"),
        (600, "10m"),
        (1200, "20m"),
        (3600, "1h"),
        (7200, "2h"),
        (86_400, "1d"),
        (2 * 86_400, "2d"),
        (7 * 86_400, "7d"),
        (30 * 86_400, "30d"),
    ];
    let seconds = if ttl.is_zero() { u64::MAX } else { ttl.seconds() };
    SPANS.iter().find(|(most, _)| seconds <= *most).map_or("+Inf", |(_, word)| word)
}

/// Tokens by what dashboards ask for.
#[derive(Default)]
struct Tally {
    all: u64,
    policies: BTreeMap<String, u64>,
    methods: BTreeMap<String, u64>,
    ttls: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, token: &Token, method: &str) {
        self.all += 1;
        for policy in &token.policies {
            *self.policies.entry(policy.clone()).or_default() += 1;
        }
        *self.methods.entry(method.to_owned()).or_default() += 1;
        *self.ttls.entry(ttl_word(token.creation_ttl)).or_default() += 1;
    }

    fn show(self, metrics: &Metrics, cluster: &str) {
        let labels = |key: &'static str, value: &str| {
            let own = (!key.is_empty()).then(|| (key, value.to_owned()));
            let rest = [("cluster", cluster.to_owned()), ("namespace", "root".to_owned())];
            own.into_iter().chain(rest).collect::<Vec<_>>()
        };
        metrics.replace("token.count", [(labels("", ""), self.all as f64)]);
        let rows = |key: &'static str, counts: BTreeMap<String, u64>| {
            counts.into_iter().map(|(value, n)| (labels(key, &value), n as f64)).collect::<Vec<_>>()
        };
        metrics.replace("token.count.by_policy", rows("policy", self.policies));
        metrics.replace("token.count.by_auth", rows("auth_method", self.methods));
        let ttls = self.ttls.into_iter().map(|(word, n)| (word.to_owned(), n)).collect();
        metrics.replace("token.count.by_ttl", rows("creation_ttl", ttls));
    }
}

//! The metrics of a node, and what of them is measured when somebody asks.

use super::{Node, State};
use crate::base::json;
use crate::base::{Error, Result};
use crate::telemetry::Metrics;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Node {
    /// All metrics: `prometheus`, or JSON where nothing is said.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a format that is not known or not enabled.
    pub fn metrics(&self, format: &str) -> Result<(&'static str, Vec<u8>)> {
        let facts = &self.settings.vault.facts;
        let metrics = &facts.metrics;
        let state = self.state.load();
        let (unsealed, cluster) = match state.as_ref() {
            State::Active(active) => {
                active.vault.measure();
                (1.0, self.cluster_name(&active.config))
            }
            State::Sealed { .. } | State::Uninitialized => (0.0, facts.cluster_name.as_str()),
        };
        let cluster = || vec![("cluster", cluster.to_owned())];
        metrics.replace("core.unsealed", [(cluster(), unsealed)]);
        // Every unsealed node serves.
        metrics.replace("core.active", [(cluster(), unsealed)]);
        let (progress, threshold) = match state.as_ref() {
            State::Sealed { config, progress, .. } => (*progress, config.threshold),
            State::Active(active) => (0, active.config.threshold),
            State::Uninitialized => (0, 0),
        };
        metrics.set("core.unseal.progress", Vec::new(), progress as f64);
        metrics.set("core.unseal.threshold", Vec::new(), f64::from(threshold));
        // To be held against the time at which it was asked for.
        metrics.set("core.clock_seconds", Vec::new(), self.clock.now().as_duration().as_secs_f64());
        metrics.set("core.in_flight_requests", Vec::new(), self.flights.count() as f64);
        let monotonic = self.clock.monotonic();
        match format {
            "" => {
                let mut bytes = Vec::new();
                json::write_object(&metrics.json(&facts.telemetry.prefix, self.clock.now(), monotonic), &mut bytes);
                Ok(("application/json", bytes))
            }
            "prometheus" if facts.telemetry.prometheus_retention.is_none() => {
                Err(Error::invalid("prometheus is not enabled"))
            }
            "prometheus" => Ok((TEXT, metrics.text(&facts.telemetry.prefix, monotonic))),
            _ => Err(Error::invalid("metric response format unknown")),
        }
    }

    /// The registers that this node counts in.
    pub fn registers(&self) -> &Metrics {
        &self.settings.vault.facts.metrics
    }

    /// Whether every listener shows metrics without a token.
    pub fn metrics_are_public(&self) -> bool {
        self.settings.vault.facts.telemetry.unauthenticated_metrics_access
    }
}

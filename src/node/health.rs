//! `sys/health`: what load balancers ask.

use super::{Node, State};
use crate::base::Json;
use crate::base::json::Map;

/// The codes that a caller wants instead of the usual ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct HealthQuery {
    /// For an active node.
    pub active: Option<u16>,
    /// For a sealed one.
    pub sealed: Option<u16>,
    /// For one without shares.
    pub uninitialized: Option<u16>,
}

/// The answer.
pub struct Health {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Map,
}

impl Node {
    /// How the node is: 200 active, 503 sealed, 501 without shares, unless the query says otherwise.
    pub fn health(&self, query: HealthQuery) -> Health {
        let state = self.state.load();
        let (status, initialized, sealed, config) = match state.as_ref() {
            State::Active(active) => (query.active.unwrap_or(200), true, false, Some(&active.config)),
            State::Sealed { .. } => (query.sealed.unwrap_or(503), true, true, None),
            State::Uninitialized if self.initialized() => (query.sealed.unwrap_or(503), true, true, None),
            State::Uninitialized => (query.uninitialized.unwrap_or(501), false, true, None),
        };
        let mode = if sealed { "unknown" } else { "disabled" };
        let mut body = Map::from(
            [
                ("initialized", Json::from(initialized)),
                ("sealed", sealed.into()),
                ("standby", sealed.into()),
                ("performance_standby", false.into()),
                ("replication_performance_mode", mode.into()),
                ("replication_dr_mode", mode.into()),
                ("server_time_utc", self.clock.now().as_second().into()),
                ("version", crate::API_VERSION.into()),
                ("enterprise", false.into()),
                ("echo_duration_ms", 0u64.into()),
                ("clock_skew_ms", 0u64.into()),
            ]
            .map(|(k, v)| (k.to_owned(), v)),
        );
        if let Some(config) = config {
            body.insert("cluster_name".into(), self.cluster_name(config).into());
            body.insert("cluster_id".into(), config.cluster_id.as_str().into());
        }
        Health { status, body }
    }
}

//! Requests at work in this node, in its memory: what hangs can be seen while it hangs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::json::Map;
use crate::base::{Json, Timestamp};
use crate::vault::Inbound;

struct Flight {
    since: Timestamp,
    remote: Option<SocketAddr>,
    path: String,
    method: &'static str,
}

/// The table. Its lock is held for a few instructions.
#[derive(Default)]
pub struct Flights(Mutex<HashMap<Arc<str>, Flight>>);

impl Flights {
    /// Notes a request until the guard is dropped.
    pub fn board(&self, inbound: &Inbound, since: Timestamp) -> Boarded<'_> {
        let flight = Flight {
            since,
            remote: inbound.remote,
            path: inbound.path.as_str().to_owned(),
            method: inbound.operation.word(),
        };
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.insert(inbound.id.clone(), flight);
        Boarded { table: self, id: inbound.id.clone() }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// As `sys/in-flight-req` shows them.
    pub fn show(&self) -> Map {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = table.iter().map(|(id, flight)| {
            let facts = Json::object([
                ("start_time", Json::from(flight.since.to_string())),
                ("client_remote_address", flight.remote.map(|a| a.to_string()).unwrap_or_default().into()),
                ("request_path", format!("/v1/{}", flight.path).into()),
                ("request_method", flight.method.into()),
            ]);
            (id.to_string(), facts)
        });
        shown.collect()
    }
}

/// A request that is noted.
pub struct Boarded<'a> {
    table: &'a Flights,
    id: Arc<str>,
}

impl Drop for Boarded<'_> {
    fn drop(&mut self) {
        self.table.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

//! A closed loop of connections: each sends its next request when the last one is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Result;
use crate::client::{Connection, Target};
use crate::process;

/// As many as the goals are for.
pub const CONNECTIONS: usize = 32;
/// Load before the clock runs, so that caches are warm and a pause before is not counted.
pub const WARM_UP: Duration = Duration::from_millis(300);

/// What a loop saw.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Successes per second.
    pub rate: f64,
    /// Answers that were none.
    pub failed: u64,
    /// What the first of them said.
    pub failure: Option<String>,
    /// Half of the answers came within this, in microseconds.
    pub p50: u32,
    /// Of a hundred answers one took longer, in microseconds.
    pub p99: u32,
    /// What the client's own processor time was for one request, in microseconds.
    pub client_cpu: f64,
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    latencies: Vec<u32>,
    failed: u64,
    failure: Option<String>,
}

/// Sends these requests around for so long.
pub async fn drive(target: &Target, requests: &Arc<[Vec<u8>]>, time: Duration) -> Result<Outcome> {
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(target).await?);
    }
    let cpu = process::cpu(std::process::id())?;
    let begun = Instant::now();
    let start = begun + WARM_UP;
    let end = start + time;
    let mut tasks = JoinSet::new();
    for (index, connection) in connections.into_iter().enumerate() {
        let first = index * requests.len() / CONNECTIONS;
        tasks.spawn(circle(connection, Arc::clone(requests), first, start, end));
    }
    let mut all = Seen::default();
    while let Some(seen) = tasks.join_next().await {
        let seen = seen?;
        all.latencies.extend(seen.latencies);
        all.failed += seen.failed;
        all.failure = all.failure.or(seen.failure);
    }
    let spent = process::cpu(std::process::id())?.saturating_sub(cpu);
    let count = all.latencies.len();
    let rate = count as f64 / time.as_secs_f64();
    all.latencies.sort_unstable();
    let at = |share: f64| all.latencies.get((count as f64 * share) as usize).copied().unwrap_or(0);
    let sent = rate * (time + WARM_UP).as_secs_f64();
    Ok(Outcome {
        rate,
        failed: all.failed,
        failure: all.failure,
        p50: at(0.5),
        p99: at(0.99),
        client_cpu: if count == 0 { 0.0 } else { spent.as_secs_f64() * 1e6 / sent },
    })
}

async fn circle(
    mut connection: Connection,
    requests: Arc<[Vec<u8>]>,
    first: usize,
    start: Instant,
    end: Instant,
) -> Seen {
    let mut seen = Seen::default();
    let mut sent = Instant::now();
    for request in requests.iter().cycle().skip(first) {
        let answer = connection.send(request).await;
        let now = Instant::now();
        let failure = match answer {
            Ok(200..300) => None,
            Ok(status) => Some(format!("{status} {}", String::from_utf8_lossy(connection.body()).trim())),
            Err(error) => {
                seen.failed += 1;
                seen.failure.get_or_insert(error.to_string());
                return seen;
            }
        };
        if now >= end {
            return seen;
        }
        match failure {
            Some(text) => {
                seen.failed += 1;
                seen.failure.get_or_insert(text);
            }
            None if sent >= start => {
                seen.latencies.push(u32::try_from((now - sent).as_micros()).unwrap_or(u32::MAX));
            }
            None => {}
        }
        sent = now;
    }
    seen
}

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
pub async fn drive(target: &Target, requests: &Arc<[Vec<u8>]>, time: Duration, count: usize) -> Result<Outcome> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(Connection::open(target).await?);
    }
    let cpu = process::cpu(std::process::id())?;
    let begun = Instant::now();
    let start = begun + WARM_UP;
    let end = start + time;
    let mut tasks = JoinSet::new();
    for (index, connection) in connections.into_iter().enumerate() {
        let first = index * requests.len() / count;
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

/// Sends so many requests, on so many connections; what each answer gives, in no order. All have to succeed.
pub async fn each<R: Send + 'static>(
    target: &Target,
    count: usize,
    connections: usize,
    request: &dyn Fn(usize) -> Vec<u8>,
    read: &dyn Fn(&[u8]) -> Result<R>,
) -> Result<Vec<R>> {
    let next = std::cell::Cell::new(0);
    let one = async || {
        let mut connection = Connection::open(target).await?;
        let mut all = Vec::new();
        while next.get() < count {
            let index = next.get();
            next.set(index + 1);
            match connection.send(&request(index)).await? {
                200..300 => all.push(read(connection.body())?),
                status => {
                    return Err(format!("{status} {}", String::from_utf8_lossy(connection.body()).trim()).into());
                }
            }
        }
        Result::Ok(all)
    };
    let done = futures_util::future::try_join_all((0..connections).map(|_| one())).await?;
    Ok(done.into_iter().flatten().collect())
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

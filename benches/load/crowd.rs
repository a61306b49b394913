//! Many clients that come at once, as after a deploy: each connects, logs in, reads five secrets, has a certificate issued.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::Result;
use crate::client::{Connection, Target};
use crate::server::text;
use crate::setup::{issue, login, read};

/// As many as the goal is for.
pub const CLIENTS: usize = 461;
/// Secrets that each reads.
const READS: usize = 5;

/// How a crowd fared.
pub struct Crowd {
    /// From the first connection to the last answer.
    pub took: Duration,
    /// Clients that were not served.
    pub failed: usize,
    /// What the first of them was told.
    pub failure: Option<String>,
}

/// Lets them come.
pub async fn crowd(target: &Target, role_id: &str, secret_id: &str) -> Result<Crowd> {
    let login: Arc<[u8]> = login(role_id, secret_id).into();
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for index in 0..CLIENTS {
        tasks.spawn(client(target.clone(), index, Arc::clone(&login)));
    }
    let mut crowd = Crowd { took: Duration::ZERO, failed: 0, failure: None };
    while let Some(done) = tasks.join_next().await {
        if let Err(error) = done? {
            crowd.failed += 1;
            crowd.failure.get_or_insert(error.to_string());
        }
    }
    crowd.took = begun.elapsed();
    Ok(crowd)
}

async fn client(target: Target, index: usize, login: Arc<[u8]>) -> Result<()> {
    let mut connection = Connection::open(&target).await?;
    served(&mut connection, &login).await?;
    let answer: Value = serde_json::from_slice(connection.body())?;
    let token = text(&answer, "/auth/client_token")?;
    for nth in 0..READS {
        served(&mut connection, &read(index * READS + nth, token)).await?;
    }
    served(&mut connection, &issue(index, token)).await
}

async fn served(connection: &mut Connection, request: &[u8]) -> Result<()> {
    match connection.send(request).await? {
        200..300 => Ok(()),
        status => Err(format!("{status} {}", String::from_utf8_lossy(connection.body()).trim()).into()),
    }
}

//! Many things put into a server over its API, by connections side by side: their writes share flushes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;
use crate::client::{Connection, request};
use crate::drive::each;
use crate::server::{Server, text};

/// Connections that plant.
const CONNECTIONS: usize = 64;
/// So many are planted between two words on how far it is.
const STEP: usize = 100_000;

/// Who plants, and where.
pub struct Planter<'a> {
    pub server: &'a Server,
    pub root: &'a str,
}

impl Planter<'_> {
    /// Has so many made by what `request` says of each; nothing of the answers is kept.
    pub async fn plant(&self, what: &str, count: usize, request: &dyn Fn(usize) -> Vec<u8>) -> Result<()> {
        let begun = Instant::now();
        let mut done = 0;
        while done < count {
            let step = STEP.min(count - done);
            each(&self.server.target, step, CONNECTIONS, &|index| request(done + index), &|_| Ok(())).await?;
            done += step;
            if count > STEP {
                eprintln!("  {done} {what} after {:.0} s", begun.elapsed().as_secs_f64());
            }
        }
        Ok(())
    }

    /// So many tokens, which end at a moment that `ttl` tells from now.
    pub async fn tokens(&self, count: usize, ttl: &dyn Fn() -> u64) -> Result<()> {
        let request = |_| {
            let body = json!({ "policies": ["default"], "ttl": format!("{}s", ttl()), "no_parent": true }).to_string();
            request("POST", "auth/token/create", Some(self.root), Some(body.as_bytes()))
        };
        self.plant("tokens", count, &request).await
    }

    /// So many leases, of certificates, which end likewise. Needs [`Planter::lessor`].
    pub async fn leases(&self, count: usize, ttl: &dyn Fn() -> u64) -> Result<()> {
        let request = |_| {
            let body = json!({ "common_name": "host.bench.internal", "ttl": format!("{}s", ttl()) }).to_string();
            request("POST", "leased/issue/bench", Some(self.root), Some(body.as_bytes()))
        };
        self.plant("leases", count, &request).await
    }

    /// A CA of small keys, whose certificates have leases.
    pub async fn lessor(&self) -> Result<()> {
        let mut to = self.server.connect().await?;
        let mut post = async |path: &str, body: Value| to.call("POST", path, Some(self.root), Some(body)).await;
        post("sys/mounts/leased", json!({ "type": "pki", "config": { "max_lease_ttl": "87600h" } })).await?;
        let ca = json!({ "common_name": "leases", "key_type": "ed25519", "ttl": "8760h" });
        post("leased/root/generate/internal", ca).await?;
        let role = json!({
            "allowed_domains": ["bench.internal"], "allow_subdomains": true, "key_type": "ed25519",
            "max_ttl": "72h", "generate_lease": true,
        });
        post("leased/roles/bench", role).await.map(drop)
    }

    /// What the server counts, by the name of its counter.
    pub async fn counter(&self, to: &mut Connection, name: &str) -> Result<f64> {
        let answer = to.call("GET", "sys/metrics", Some(self.root), None).await?;
        let found = ["Counters", "Gauges"].iter().find_map(|kind| {
            let rows = answer.get(kind)?.as_array()?;
            let row = rows.iter().find(|row| text(row, "/Name").is_ok_and(|own| own == name))?;
            row.get("Count").or_else(|| row.get("Value"))?.as_f64()
        });
        found.ok_or_else(|| format!("there is no counter {name}").into())
    }

    /// Waits until the server has no lease left that ends by itself but those of this many tokens and leases.
    pub async fn gone(&self, left: f64, patience: Duration) -> Result<()> {
        let (mut to, begun) = (self.server.connect().await?, Instant::now());
        while self.counter(&mut to, "vault.expire.num_leases").await? > left {
            if begun.elapsed() > patience {
                return Err("what has ended is still there".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

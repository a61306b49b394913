//! A store with a million tokens and a million leases beside an empty one: what must not grow with them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;
use crate::client::Connection;
use crate::options::Options;
use crate::plant::Planter;
use crate::process::Memory;
use crate::report::{Goal, Report, median};
use crate::rounds::{Series, load};
use crate::server::text;
use crate::side::Side;

/// Changes of policies that are timed.
const CHANGES: usize = 5;
/// A day: none of them ends meanwhile.
const TTL: u64 = 86_400;

/// The same work for both, and what is held in memory after it. The first count of what there is falls into that time.
async fn held(side: &Side, options: &Options) -> Result<Memory> {
    load("kv read", &side.server.target, side.server.child.pid(), &side.setup.read, options.time).await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    side.server.child.memory()
}

/// Fills one store and not the other, and compares.
pub async fn scale(options: &Options, report: &mut Report) -> Result<()> {
    let (empty, full) = (Side::make(options, "empty").await?, Side::make(options, "full").await?);
    let planter = Planter { server: &full.server, root: &full.setup.root };
    planter.lessor().await?;
    planter.tokens(options.tokens, &|| TTL).await?;
    planter.leases(options.tokens, &|| TTL).await?;
    let of = format!("{} tokens and leases", options.tokens);

    let (first, first_full) = (empty.setup.read[0].clone(), full.setup.read[0].clone());
    let ((empty, bare), (full, took)) = (empty.again(&first).await?, full.again(&first_full).await?);
    eprintln!("  the empty one answers {:.0} ms after the unseal key", bare.as_secs_f64() * 1000.0);
    report.plain(&format!("{of}: unseal to answer"), took.as_secs_f64() * 1000.0, " ms", Goal::Most(1000.0));
    let (least, most) = (held(&empty, options).await?, held(&full, options).await?);
    let resident = |memory: Memory| memory.resident as f64 / 1024.0;
    report.plain("empty server: resident", resident(least), " MiB", Goal::None);
    report.plain(&format!("{of}: resident"), resident(most), " MiB", Goal::None);
    report.plain(&format!("{of}: resident / empty"), resident(most) / resident(least), " ×", Goal::Most(1.5));

    let mut reads = Series::default();
    for _ in 0..options.rounds {
        let one =
            load("kv read, empty", &empty.server.target, empty.server.child.pid(), &empty.setup.read, options.time);
        let one = one.await?;
        let many = load("kv read, full", &full.server.target, full.server.child.pid(), &full.setup.read, options.time);
        reads.add(&many.await?, one.rate);
    }
    report.push(reads.row(&format!("{of}: kv read / empty"), Goal::None));

    let mut to = full.server.connect().await?;
    let mut others = Vec::new();
    for nth in 0..CHANGES {
        let text = format!(r#"path "secret/data/{nth}" {{ capabilities = ["read"] }}"#);
        others.push(applied(&mut to, &full.setup.root, "reader", &text).await?);
    }
    report.plain(&format!("{of}: policies applied"), median(&others), " ms", Goal::Most(50.0));
    // All tokens are looked at for one that may still write policies: it may take longer than a request may.
    let text = r#"path "sys/policies/*" { capabilities = ["read", "update", "list"] }"#;
    let own = format!("{of}: those of administrators");
    match applied(&mut to, &full.setup.root, "administrator", text).await {
        Ok(took) => report.plain(&own, took, " ms", Goal::None),
        Err(error) => report.absent(&own, Goal::None, &error.to_string()),
    }
    empty.server.stop()?;
    full.server.stop().map(drop)
}

/// How many milliseconds it takes to apply a policy.
async fn applied(to: &mut Connection, root: &str, name: &str, policy: &str) -> Result<f64> {
    let all = to.call("GET", "sys/policies/apply", Some(root), None).await?;
    let body: Value = json!({ "policies": { name: policy }, "state": text(&all, "/data/state")? });
    let begun = Instant::now();
    to.call("POST", "sys/policies/apply/bench", Some(root), Some(body)).await?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

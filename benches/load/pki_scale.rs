//! A CA with a million certificates beside one with a thousand: what must not grow with them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;
use crate::client::request;
use crate::options::Options;
use crate::pki::{self, Ca};
use crate::process::Memory;
use crate::report::{Goal, Report, median};
use crate::rounds::{Series, load};
use crate::side::Side;

/// Revocations that are timed one by one.
const TIMED: usize = 101;
/// Lists that are timed, each after a revocation.
const LISTS: usize = 5;

/// A server with a CA.
struct Authority {
    side: Side,
    ca: Ca,
}

impl Authority {
    async fn make(options: &Options, name: &str) -> Result<Self> {
        let side = Side::make(options, name).await?;
        let ca = Ca::make(&side.server, &side.setup).await?;
        Ok(Self { side, ca })
    }

    /// Starts it again; gives how long after the unseal key it answered for its CA.
    async fn again(self) -> Result<(Self, Duration)> {
        let (side, took) = self.side.again(&self.ca.ocsp[0]).await?;
        Ok((Self { side, ca: self.ca }, took))
    }

    /// The same work for both, and what is held in memory after it.
    async fn held(&self, options: &Options) -> Result<Memory> {
        load("OCSP", &self.side.server.target, self.side.server.child.pid(), &self.ca.ocsp, options.time).await?;
        load(
            "unstored certificate",
            &self.side.server.target,
            self.side.server.child.pid(),
            &self.ca.unstored,
            options.time,
        )
        .await?;
        let mut to = self.side.server.connect().await?;
        to.send(&request("GET", "pki/crl", None, None)).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.side.server.child.memory()
    }
}

/// Fills one CA and not the other, and compares.
pub async fn scale(options: &Options, report: &mut Report) -> Result<()> {
    let (small, large) = (Authority::make(options, "small").await?, Authority::make(options, "large").await?);
    let (count, revoked) = (options.certificates, options.certificates / 10);
    let begun = Instant::now();
    // Half of them have ended when all are there.
    large.ca.issued(&large.side.server, "bench", "1s", count / 2).await?;
    let mut serials = large.ca.issued(&large.side.server, "bench", "24h", revoked + TIMED + LISTS).await?;
    large.ca.issued(&large.side.server, "bench", "24h", count - count / 2 - serials.len()).await?;
    let timed = serials.split_off(revoked);
    large.ca.revoked(&large.side.server, &serials).await?;
    eprintln!("  {count} certificates, {revoked} of them revoked, after {:.0} s", begun.elapsed().as_secs_f64());

    let ((small, _), (large, took)) = (small.again().await?, large.again().await?);
    let of = format!("{count} certificates");
    report.plain(&format!("{of}: unseal to answer"), took.as_secs_f64() * 1000.0, " ms", Goal::Most(1000.0));
    let (least, most) = (small.held(options).await?, large.held(options).await?);
    let grown = most.resident.saturating_sub(least.resident) as f64 / 1024.0;
    report.plain(&format!("{of}: memory above a small CA's"), grown, " MiB", Goal::Most(64.0));

    let mut ocsp = Series::default();
    for _ in 0..options.rounds {
        let few = load(
            "OCSP, small CA",
            &small.side.server.target,
            small.side.server.child.pid(),
            &small.ca.ocsp,
            options.time,
        )
        .await?;
        let many = load(
            "OCSP, large CA",
            &large.side.server.target,
            large.side.server.child.pid(),
            &large.ca.ocsp,
            options.time,
        )
        .await?;
        ocsp.add(&many, few.rate);
    }
    report.push(ocsp.row(&format!("{of}: OCSP / a small CA's"), Goal::Least(0.80)));

    let mut to = large.side.server.connect().await?;
    let revocations: Vec<Vec<u8>> = timed.iter().map(|serial| large.ca.revocation(serial)).collect();
    let took = pki::timed(&mut to, &revocations[LISTS..]).await?;
    report.plain(&format!("{of}: revocation"), took.as_secs_f64() * 1000.0, " ms", Goal::Most(50.0));
    let list = [request("GET", "pki/crl", None, None)];
    let mut times = Vec::new();
    for revocation in &revocations[..LISTS] {
        to.send(revocation).await?;
        times.push(pki::timed(&mut to, &list).await?.as_secs_f64() * 1000.0);
    }
    report.plain(&format!("{of}: list of {revoked}, signed anew"), median(&times), " ms", Goal::None);
    report.plain(
        &format!("{of}: the same list again"),
        pki::timed(&mut to, &list).await?.as_secs_f64() * 1000.0,
        " ms",
        Goal::None,
    );

    tidied(options, &large, &of, report).await?;
    small.side.server.stop()?;
    large.side.server.stop().map(drop)
}

/// What others get while those that ended are removed.
async fn tidied(options: &Options, authority: &Authority, of: &str, report: &mut Report) -> Result<()> {
    let mut to = authority.side.server.connect().await?;
    let root = authority.side.setup.root.clone();
    let mut others = Series::default();
    let (target, pid) = (&authority.side.server.target, authority.side.server.child.pid());
    let mut before = Vec::new();
    for _ in 0..options.rounds {
        before.push(load("unstored certificate", target, pid, &authority.ca.unstored, options.time).await?.rate);
    }
    let tidy = json!({ "tidy_cert_store": true, "safety_buffer": "1s" });
    to.call("POST", "pki/tidy", Some(&root), Some(tidy)).await?;
    for before in before {
        others.add(&load("unstored, while tidying", target, pid, &authority.ca.unstored, options.time).await?, before);
    }
    let status = to.call("GET", "pki/tidy-status", Some(&root), None).await?;
    if status.pointer("/data/state").and_then(Value::as_str) != Some("Running") {
        return Err("tidying was over before it was measured".into());
    }
    let removed = status.pointer("/data/cert_store_deleted_count").and_then(Value::as_f64).unwrap_or(0.0);
    report.push(others.row(&format!("{of}: others while half are tidied"), Goal::Least(0.75)));
    let seconds = (options.time + crate::drive::WARM_UP).as_secs_f64() * options.rounds as f64;
    report.plain(&format!("{of}: removed meanwhile"), removed / seconds, "/s", Goal::None);
    Ok(())
}

//! Ten thousand leases that end in one second, tokens and certificates, and what others get meanwhile.

use std::time::{Duration, Instant};

use crate::Result;
use crate::options::Options;
use crate::plant::Planter;
use crate::report::{Goal, Report, median};
use crate::rounds::{Series, load};
use crate::side::Side;

/// As many as the goal is for: half of them tokens, half leases of certificates.
const ENDING: usize = 10_000;
/// Planting is over by then.
const AHEAD: Duration = Duration::from_secs(12);
/// How long reads are counted, before and while they end.
const WINDOW: Duration = Duration::from_secs(1);
/// All have to be taken back after so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plants, waits for the second, and reads before and in it.
pub async fn ends(options: &Options, report: &mut Report) -> Result<()> {
    let Side { server, setup } = Side::make(options, "ends").await?;
    let planter = Planter { server: &server, root: &setup.root };
    planter.lessor().await?;
    let mut to = server.connect().await?;
    let (mut series, mut times) = (Series::default(), Vec::new());
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let left = planter.counter(&mut to, "vault.expire.num_leases").await?;
        let end = Instant::now() + AHEAD;
        // Whole seconds, so that all end in the second before the moment.
        let ttl = || (end - Instant::now()).as_secs().max(1);
        planter.tokens(ENDING / 2, &ttl).await?;
        planter.leases(ENDING / 2, &ttl).await?;
        let (target, pid) = (&server.target, server.child.pid());
        let before = load("kv read, before", target, pid, &setup.read, WINDOW).await?;
        let beginning = end - crate::drive::WARM_UP;
        if Instant::now() > beginning {
            return Err("planting took too long".into());
        }
        tokio::time::sleep_until(beginning.into()).await;
        let there = planter.counter(&mut to, "vault.expire.num_leases").await? - left;
        let during = load("kv read, while they end", target, pid, &setup.read, WINDOW).await?;
        let still = planter.counter(&mut to, "vault.expire.num_leases").await? - left;
        eprintln!("  {there:.0} were there when it began, {still:.0} when it was over");
        if there < ENDING as f64 * 0.9 || still <= 0.0 {
            eprintln!("  they ended beside what was measured");
        }
        series.add(&during, before.rate);
        planter.gone(left, PATIENCE).await?;
        times.push(end.elapsed().as_secs_f64());
    }
    report.push(series.row("kv read while 10,000 leases end / before", Goal::Least(0.80)));
    report.plain("10,000 leases of one second: all taken back", median(&times), " s", Goal::None);
    server.stop().map(drop)
}

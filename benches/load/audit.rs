//! What audit devices cost: reads with none, with one file, with two, and with two of which one takes nothing any more.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Result;
use crate::options::Options;
use crate::report::{Goal, Report, median};
use crate::rounds::{Series, load};
use crate::server::{Place, Server};
use crate::setup::Setup;
use crate::side::Side;

/// How often the server is asked whether a device hangs, with a quarter of a second in between.
const LOOKS: usize = 20;

/// Measures all four in each round, one after the other.
pub async fn audit(options: &Options, report: &mut Report) -> Result<()> {
    let place = Place::make(&options.warifu, &options.folder, "audited", options.tls, None)?
        .with("unsafe_allow_api_audit_creation = true")?;
    let folder = place.folder.join("audit");
    let Side { server, setup } = Side::at(options, place).await?;
    setup.audit(&server, false).await?;
    let devices = Devices { server: &server, setup: &setup, folder: &folder };
    let (mut one, mut two, mut hung) = (Series::default(), Series::default(), Series::default());
    let mut waits = Vec::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let read = async |what: &str| load(what, &server.target, server.child.pid(), &setup.read, options.time).await;
        let none = read("kv read, no audit").await?;
        devices.enable("first", "first.log").await?;
        one.add(&read("kv read, one file").await?, none.rate);
        devices.enable("second", "second.log").await?;
        let both = read("kv read, two files").await?;
        two.add(&both, none.rate);
        devices.disable("second").await?;
        // A pipe that nobody reads: writing to it waits for ever, once it is full.
        let pipe = format!("pipe-{round}");
        if !Command::new("mkfifo").arg(folder.join(&pipe)).status()?.success() {
            return Err("mkfifo fails".into());
        }
        devices.enable("second", &pipe).await?;
        let half = read("kv read, one of two hangs").await?;
        devices.hangs("second").await?;
        hung.add(&half, both.rate);
        waits.push(f64::from(half.p50) / f64::from(both.p50));
        devices.disable("second").await?;
        devices.disable("first").await?;
    }
    report.push(one.row("kv read, one audit file / none", Goal::Least(0.60)));
    report.push(two.row("kv read, two audit files / none", Goal::Least(0.45)));
    report.push(hung.row("kv read, one of two hangs / both well", Goal::Least(0.80)));
    report.plain("kv read, one of two hangs: p50 / both well", median(&waits), " ×", Goal::Most(1.5));
    server.stop()?;
    report.plain("audit verify", verified(options, &folder.join("first.log"))?, " lines/s", Goal::Least(200_000.0));
    Ok(())
}

/// How many lines a second are verified of this file, the start of the process included.
fn verified(options: &Options, file: &Path) -> Result<f64> {
    let lines = std::fs::read(file)?.iter().filter(|byte| **byte == b'\n').count();
    let begun = Instant::now();
    let status = Command::new(&options.warifu).args(["audit", "verify"]).arg(file).stdout(Stdio::null()).status()?;
    let took = begun.elapsed().as_secs_f64();
    if status.success() { Ok(lines as f64 / took) } else { Err("the audit log does not verify".into()) }
}

struct Devices<'a> {
    server: &'a Server,
    setup: &'a Setup,
    folder: &'a Path,
}

impl Devices<'_> {
    async fn enable(&self, name: &str, file: &str) -> Result<()> {
        let options = json!({ "type": "file", "options": { "file_path": self.folder.join(file) } });
        let mut to = self.server.connect().await?;
        to.call("POST", &format!("sys/audit/{name}"), Some(&self.setup.root), Some(options)).await.map(drop)
    }

    async fn disable(&self, name: &str) -> Result<()> {
        let mut to = self.server.connect().await?;
        to.call("DELETE", &format!("sys/audit/{name}"), Some(&self.setup.root), None).await.map(drop)
    }

    /// Fails unless the server says of this device that it hangs: else the measure would be of two that are well.
    async fn hangs(&self, name: &str) -> Result<()> {
        let mut to = self.server.connect().await?;
        let device = format!("{name}/");
        // The server looks every so often, and twice before it says so.
        for _ in 0..LOOKS {
            let metrics = to.call("GET", "sys/metrics", Some(&self.setup.root), None).await?;
            let healthy = metrics["Gauges"].as_array().into_iter().flatten().find(|gauge| {
                gauge["Name"] == "vault.audit.device.healthy" && gauge["Labels"]["device"] == device.as_str()
            });
            if healthy.and_then(|gauge| gauge["Value"].as_f64()) == Some(0.0) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Err("the device that should hang does not".into())
    }
}

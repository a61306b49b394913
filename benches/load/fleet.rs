//! As many agents as the model user has, all at once: what each costs, what they do when nothing happens, and how soon a
//! changed secret is in all their files.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::options::Options;
use crate::process::{Child, cpu};
use crate::server::Server;
use crate::setup::Setup;
use crate::{Result, agent};

/// How many there are.
pub const AGENTS: usize = 461;
/// How long all of them may take to start, and to hear of a change, before it counts as never.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long they are left alone before anything is looked at, so that what belongs to their start is over.
const REST: Duration = Duration::from_secs(8);
/// How long they are watched while nothing happens.
const IDLE: Duration = Duration::from_secs(20);
/// How many changes are made.
const CHANGES: usize = 5;

/// What was seen of them.
pub struct Seen {
    /// KiB of each, what is shared counted in proportion.
    pub share: f64,
    /// Percent of a core of each, while nothing happens.
    pub idle: f64,
    /// Seconds from the answer to a write until the value is in all files, one for each change.
    pub arrivals: Vec<f64>,
}

/// Starts them, looks at them, changes their secret.
pub async fn fleet(options: &Options, server: &Server, setup: &Setup) -> Result<Seen> {
    let (mut agents, mut files) = (Vec::new(), Vec::new());
    for n in 0..AGENTS {
        let folder = options.folder.join("fleet").join(n.to_string());
        agents.push(Child::start(agent::command(options, server, setup, &folder, "r-2")?, &options.folder)?);
        files.push(folder.join("out"));
    }
    until(&files, &mut agents, None)?;
    tokio::time::sleep(REST).await;
    let share = agents.iter().map(proportional).sum::<Result<f64>>()? / AGENTS as f64;
    let used = |agents: &[Child]| agents.iter().map(|agent| cpu(agent.pid())).sum::<Result<Duration>>();
    let before = used(&agents)?;
    tokio::time::sleep(IDLE).await;
    let idle = (used(&agents)? - before).as_secs_f64() / IDLE.as_secs_f64() / AGENTS as f64 * 100.0;
    let mut to = server.connect().await?;
    let mut arrivals = Vec::new();
    for n in 0..CHANGES {
        let value = format!("value number {n}");
        let body = json!({ "data": { "password": value } });
        to.call("POST", "secret/data/r-2", Some(&setup.root), Some(body)).await?;
        let begun = Instant::now();
        until(&files, &mut agents, Some(&value))?;
        arrivals.push(begun.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for agent in agents {
        agent.stop()?;
    }
    Ok(Seen { share, idle, arrivals })
}

/// Waits until all files are there, with this text if one is given.
fn until(files: &[PathBuf], agents: &mut [Child], text: Option<&str>) -> Result<()> {
    let begun = Instant::now();
    for (file, agent) in files.iter().zip(agents) {
        let is_there = || match text {
            None => file.exists(),
            Some(text) => std::fs::read_to_string(file).is_ok_and(|there| there == text),
        };
        while !is_there() {
            agent.check()?;
            if begun.elapsed() > PATIENCE {
                return Err("fleet: a file was not rendered in time".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}

fn proportional(agent: &Child) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", agent.pid()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss in smaps_rollup")?;
    Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?)
}

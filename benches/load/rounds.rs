//! The run: every round takes each measure right after its limit, so that a noisy machine disturbs both alike.
//!
//! Relations are medians of the rounds' own relations, never a value of one round over a limit of another.

use std::process::ExitCode;
use std::time::Duration;

use crate::client::Target;
use crate::drive::{CONNECTIONS, Outcome, drive};
use crate::options::Options;
use crate::process::{self, Memory};
use crate::report::{Goal, Report, Row, median};
use crate::server::{Axum, Place, Server, commits};
use crate::setup::{Requests, Setup};
use crate::side::Side;
use crate::{Result, agent, audit, crowd, ends, fleet, limits, logins, pki, pki_scale, scale, template};

/// How long after the last request memory is measured.
const AFTER: Duration = Duration::from_secs(5);
/// How often a start is timed.
const STARTS: usize = 5;

/// Runs all that is wanted, prints the table, and says whether the goals are kept.
pub fn run(options: &Options) -> Result<ExitCode> {
    eprintln!("load average: {}", load_average()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::default();
    runtime.block_on(async {
        if options.wants_any_of_one_server() {
            unslowed(options, &mut report).await?;
        }
        if options.wants("audit") {
            audit::audit(options, &mut report).await?;
        }
        if options.wants("ends") {
            ends::ends(options, &mut report).await?;
        }
        if options.wants("pki") {
            authority(options, &mut report).await?;
        }
        if options.wants("methods") {
            logins::methods(options, &mut report).await?;
        }
        if options.asks("scale") {
            scale::scale(options, &mut report).await?;
        }
        if options.asks("pki-scale") {
            pki_scale::scale(options, &mut report).await?;
        }
        if ["slow", "write", "login", "issue", "crowd", "pki"].iter().any(|measure| options.wants(measure)) {
            slowed(options, &mut report).await?;
        }
        Result::Ok(())
    })?;
    let binary = std::fs::metadata(&options.warifu)?.len();
    report.plain("release binary", mib(binary / 1024), " MiB", Goal::Most(25.0));
    println!();
    report.print();
    println!("\nload average: {}, cores: {}", load_average()?, std::thread::available_parallelism()?);
    if let Some(path) = &options.json {
        std::fs::write(path, report.json()?)?;
    }
    let missed = report.missed();
    println!("{missed} goals missed");
    Ok(if options.strict && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Values of one measure with the limits that were taken beside them.
#[derive(Default)]
pub struct Series {
    values: Vec<f64>,
    limits: Vec<f64>,
    fault: Option<String>,
}

impl Series {
    pub fn add(&mut self, outcome: &Outcome, limit: f64) {
        self.values.push(outcome.rate);
        self.limits.push(limit);
        if outcome.failed > 0 {
            let text: String = outcome.failure.iter().flat_map(|text| text.chars().take(200)).collect();
            self.fault.get_or_insert(format!("{} requests failed, the first with: {text}", outcome.failed));
        }
    }

    /// The line of this measure.
    pub fn row(&self, measure: &str, goal: Goal) -> Row {
        let relations: Vec<f64> = self.values.iter().zip(&self.limits).map(|(value, limit)| value / limit).collect();
        Row {
            measure: measure.into(),
            value: median(&self.values),
            unit: "/s",
            limit: Some(median(&self.limits)),
            judged: median(&relations),
            goal,
            fault: self.fault.clone(),
        }
    }
}

/// Loads a target and tells how it went.
pub async fn load(what: &str, target: &Target, pid: u32, requests: &Requests, time: Duration) -> Result<Outcome> {
    load_by(what, target, pid, requests, time, CONNECTIONS).await
}

async fn load_by(
    what: &str,
    target: &Target,
    pid: u32,
    requests: &Requests,
    time: Duration,
    connections: usize,
) -> Result<Outcome> {
    let before = process::cpu(pid)?;
    let outcome = drive(target, requests, time, connections).await?;
    // The loop also runs for a moment before the clock: the share is of both.
    let spent = process::cpu(pid)?.saturating_sub(before).as_secs_f64();
    let sent = (outcome.rate * (time.as_secs_f64() + crate::drive::WARM_UP.as_secs_f64())).max(1.0);
    eprintln!(
        "  {what:<28} {:>9.0}/s   p50 {:>6} µs   p99 {:>6} µs   cpu: server {:>6.1} µs, client {:>5.1} µs{}",
        outcome.rate,
        outcome.p50,
        outcome.p99,
        spent * 1e6 / sent,
        outcome.client_cpu,
        if outcome.failed > 0 { format!("   {} FAILED", outcome.failed) } else { String::new() },
    );
    Ok(outcome)
}

async fn unslowed(options: &Options, report: &mut Report) -> Result<()> {
    let place = Place::make(&options.warifu, &options.folder, "plain", options.tls, None)?;
    let disk = options.folder.join("limit");
    std::fs::create_dir_all(&disk)?;
    let Side { server, setup } = Side::at(options, place).await?;
    let axum = Axum::start(&options.folder, &setup.answer)?;
    let (mut audited, mut unaudited, mut share) = (Series::default(), Series::default(), Series::default());
    let mut writes: Vec<Series> = WRITES.iter().map(|_| Series::default()).collect();
    let (mut flushes, mut keys) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let bare = load("bare axum", &axum.target, axum.child.pid(), &setup.read, options.time).await?.rate;
        let pid = server.child.pid();
        if options.wants("read") {
            let with = load("kv read", &server.target, pid, &setup.read, options.time).await?;
            setup.audit(&server, false).await?;
            let without = load("kv read, no audit", &server.target, pid, &setup.read, options.time).await?;
            setup.audit(&server, true).await?;
            audited.add(&with, bare);
            share.add(&with, without.rate);
            unaudited.add(&without, bare);
        }
        for (write, series) in WRITES.iter().zip(&mut writes) {
            if options.wants(write.word) {
                let requests = (write.requests)(&setup);
                series.add(&load(write.name, &server.target, pid, requests, options.time).await?, bare);
            }
        }
        flushes.push(commits(&options.folder, &disk, options.time / 3, None)?);
        keys.push(limits::keys(options.time / 6)?);
    }
    let held = server.child.memory()?;
    if options.wants("read") {
        report.push(audited.row("kv v2 read, audit file / bare axum", Goal::Least(0.30)));
        report.push(share.row("kv v2 read, audit file / without", Goal::Least(0.60)));
        report.push(unaudited.row("kv v2 read, no audit / bare axum", Goal::None));
    }
    for (write, series) in WRITES.iter().zip(&writes).filter(|(write, _)| options.wants(write.word)) {
        report.push(series.row(&format!("{} / bare axum", write.name), Goal::Least(0.05)));
    }
    if options.wants("issue") {
        let (values, limits) = (writes[2].values.clone(), keys);
        let pairs = Series { values, limits, fault: None };
        report.push(pairs.row("stored certificate / ring's P-256 key + sign", Goal::None));
    }
    report.plain("sqlite, single commits on this disk", median(&flushes), "/s", Goal::None);
    if options.wants("crowd") {
        crowds(options, "461 clients at once", &server, &setup, report).await?;
    }
    memory(report, "server after load", held, Goal::Most(60.0));
    if options.wants("agent") {
        agents(options, &server, &setup, report);
    }
    if options.wants("template") {
        templates(options, report);
    }
    if options.wants("fleet") {
        fleets(options, &server, &setup, report).await;
    }
    starts(server, &setup, report).await
}

/// What a CA signs without storing it, beside what one core can do.
async fn authority(options: &Options, report: &mut Report) -> Result<()> {
    let Side { server, setup } = Side::make(options, "authority").await?;
    let ca = pki::Ca::make(&server, &setup).await?;
    let mut all = [
        ("unstored certificate / one core's key + sign", &ca.unstored, limits::Work::Pair, Goal::Least(0.25)),
        ("request signed / one core's verify + sign", &ca.sign, limits::Work::Verify, Goal::Least(0.20)),
        ("OCSP answer / one core's sign", &ca.ocsp, limits::Work::Sign, Goal::Least(0.20)),
    ]
    .map(|(name, requests, work, goal)| (name, requests, work, goal, Series::default()));
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for (name, requests, work, _, series) in &mut all {
            let limit = limits::one_core(*work, options.time / 6)?;
            let (target, pid) = (&server.target, server.child.pid());
            let short = name.split(" / ").next().unwrap_or(name);
            series.add(&load_by(short, target, pid, requests, options.time, pki::CONNECTIONS).await?, limit);
        }
    }
    for (name, _, _, goal, series) in &all {
        report.push(series.row(name, *goal));
    }
    server.stop().map(drop)
}

/// What is written, as which requests, and how many slowed commits each must be worth.
struct Write {
    word: &'static str,
    name: &'static str,
    requests: fn(&Setup) -> &Requests,
    commits: f64,
}

const WRITES: [Write; 3] = [
    Write { word: "write", name: "kv v2 write", requests: |setup| &setup.write, commits: 10.0 },
    Write { word: "login", name: "approle login", requests: |setup| &setup.login, commits: 8.0 },
    Write { word: "issue", name: "stored certificate", requests: |setup| &setup.issue, commits: 8.0 },
];

async fn slowed(options: &Options, report: &mut Report) -> Result<()> {
    let place = Place::make(&options.warifu, &options.folder, "slow", options.tls, Some(&options.slow))?;
    let disk = place.folder.clone();
    let Side { server, setup } = Side::at(options, place).await?;
    let mut writes: Vec<Series> = WRITES.iter().map(|_| Series::default()).collect();
    let mut issue = Series::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}, flushes of 2.5 ms", options.rounds);
        let limit = commits(&options.folder, &disk, options.time / 2, Some(&options.slow))?;
        for (write, series) in WRITES.iter().zip(&mut writes) {
            if options.wants(write.word) {
                let requests = (write.requests)(&setup);
                let outcome = load(write.name, &server.target, server.child.pid(), requests, options.time).await?;
                series.add(&outcome, limit);
            }
        }
        if options.wants("pki") {
            let (target, pid) = (&server.target, server.child.pid());
            let by = pki::CONNECTIONS;
            issue.add(&load_by("certificate, 64 at once", target, pid, &setup.issue, options.time, by).await?, limit);
        }
    }
    if options.wants("pki") {
        report.push(issue.row("certificate, 64 at once, slowed / commits", Goal::Least(12.0)));
    }
    for (write, series) in WRITES.iter().zip(&writes).filter(|(write, _)| options.wants(write.word)) {
        report.push(series.row(&format!("{}, slowed / slowed commits", write.name), Goal::Least(write.commits)));
    }
    if options.wants("crowd") {
        crowds(options, "461 clients at once, slowed", &server, &setup, report).await?;
    }
    // After the load, as it says: a moment later, not in the crowd.
    tokio::time::sleep(AFTER).await;
    memory(report, "server after slowed load", server.child.memory()?, Goal::Most(60.0));
    match server.stop()? {
        Some(0) | None => Err("the slowing library slowed nothing: the server flushes by other means".into()),
        Some(flushes) => {
            eprintln!("  the slowed server flushed {flushes} times");
            Ok(())
        }
    }
}

async fn crowds(options: &Options, name: &str, server: &Server, setup: &Setup, report: &mut Report) -> Result<()> {
    let (mut times, mut fault) = (Vec::new(), None);
    for _ in 0..options.rounds {
        let seen = crowd::crowd(&server.target, &setup.role_id, &setup.secret_id).await?;
        eprintln!("  {name}: {:.0} ms, {} not served", seen.took.as_secs_f64() * 1000.0, seen.failed);
        times.push(seen.took.as_secs_f64() * 1000.0);
        if let Some(text) = seen.failure {
            fault.get_or_insert(format!("{} of {} not served, the first: {text}", seen.failed, crowd::CLIENTS));
        }
    }
    let value = median(&times);
    let (measure, goal) = (name.to_owned(), Goal::Most(1000.0));
    report.push(Row { measure, value, unit: " ms", limit: None, judged: value, goal, fault });
    Ok(())
}

fn memory(report: &mut Report, whose: &str, held: Memory, goal: Goal) {
    report.plain(&format!("{whose}: resident"), mib(held.resident), " MiB", goal);
    report.plain(&format!("{whose}: anonymous"), mib(held.anonymous), " MiB", Goal::None);
    report.plain(&format!("{whose}: peak"), mib(held.peak), " MiB", Goal::None);
}

fn agents(options: &Options, server: &Server, setup: &Setup, report: &mut Report) {
    let (mut times, mut resident, mut anonymous) = (Vec::new(), Vec::new(), Vec::new());
    let (to_file, held, own) = ("agent: start to rendered file", "agent: resident", "agent: anonymous");
    for _ in 0..STARTS {
        match agent::start(options, server, setup) {
            Ok((took, memory)) => {
                times.push(took.as_secs_f64() * 1000.0);
                resident.push(mib(memory.resident));
                anonymous.push(mib(memory.anonymous));
            }
            Err(error) => {
                report.absent(to_file, Goal::Most(30.0), &error.to_string());
                return;
            }
        }
    }
    report.plain(to_file, median(&times), " ms", Goal::Most(30.0));
    report.plain(held, median(&resident), " MiB", Goal::Most(12.0));
    report.plain(own, median(&anonymous), " MiB", Goal::Most(4.0));
}

fn templates(options: &Options, report: &mut Report) {
    let (measure, goal) = ("template engine / Go's, in speed", Goal::Least(1.0));
    // Built by tests/clients/test_consul_template.py where there is Go.
    let runner = std::path::Path::new(".cache/consul-template-runner");
    match runner.is_file().then(|| template::both(options, runner)) {
        None => report.absent(measure, goal, "consul-template's runner is not built"),
        Some(Err(error)) => report.absent(measure, goal, &error.to_string()),
        Some(Ok((ours, theirs))) => report.plain(measure, theirs / ours, "", goal),
    }
}

async fn fleets(options: &Options, server: &Server, setup: &Setup, report: &mut Report) {
    let named = |what: &str| format!("{} agents: {what}", fleet::AGENTS);
    match fleet::fleet(options, server, setup).await {
        Ok(seen) => {
            report.plain(&named("proportional set of each"), mib(seen.share as u64), " MiB", Goal::Most(6.0));
            report.plain(&named("idle, of a core each"), seen.idle, " %", Goal::Most(0.1));
            report.plain(&named("a change in all files"), median(&seen.arrivals), " s", Goal::Most(2.0));
        }
        Err(error) => report.absent(&named("a change in all files"), Goal::Most(2.0), &error.to_string()),
    }
}

/// Starts of the server on the store that the load has left.
async fn starts(mut server: Server, setup: &Setup, report: &mut Report) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let (again, took) = server.restart(&setup.unseal_key).await?;
        times.push(took.as_secs_f64() * 1000.0);
        server = again;
    }
    report.plain("server: start to first answer", median(&times), " ms", Goal::Most(100.0));
    server.stop().map(|_| ())
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn load_average() -> Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_ascii_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

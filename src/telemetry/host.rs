//! The machine and the process, as the kernel tells of them.

use std::fs;
use std::path::Path;

use crate::base::Json;
use crate::base::json::Map;

/// Most processors that are shown one by one.
const PROCESSORS: usize = 1024;

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn object<const N: usize>(pairs: [(&str, Json); N]) -> Json {
    Json::object(pairs)
}

fn float(value: f64) -> Json {
    Json::Number(if value.is_finite() { format!("{value}") } else { "0".to_owned() }.into())
}

/// What `sys/host-info` shows, in the shape of Vault's. What cannot be read is left out.
pub fn describe() -> Map {
    let mut data = Map::new();
    data.insert("cpu".into(), processors());
    data.insert("cpu_times".into(), processor_times());
    data.insert("memory".into(), memory());
    data.insert("host".into(), host());
    data.insert("disk".into(), disk());
    data
}

/// `name: value` of one stanza of `/proc/cpuinfo` or `/proc/meminfo`.
fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn processors() -> Json {
    let info = text("/proc/cpuinfo");
    let stanzas = info.split("\n\n").filter(|s| !s.trim().is_empty()).take(PROCESSORS);
    let number = |s: &str, name: &str| field(s, name).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0);
    let word = |s: &str, name: &str| Json::from(field(s, name).unwrap_or_default());
    let shown = stanzas.enumerate().map(|(index, s)| {
        object([
            ("cpu", Json::from(index)),
            ("vendorId", word(s, "vendor_id")),
            ("family", word(s, "cpu family")),
            ("model", word(s, "model")),
            ("modelName", word(s, "model name")),
            ("coreId", word(s, "core id")),
            ("cores", 1u64.into()),
            ("mhz", float(number(s, "cpu MHz"))),
        ])
    });
    Json::Array(shown.collect())
}

fn processor_times() -> Json {
    let stat = text("/proc/stat");
    let names = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guestNice"];
    let lines = stat.lines().filter(|l| l.starts_with("cpu") && !l.starts_with("cpu ")).take(PROCESSORS);
    let shown = lines.map(|line| {
        let mut words = line.split_whitespace();
        let mut map = Map::from([("cpu".to_owned(), Json::from(words.next().unwrap_or_default()))]);
        for (name, ticks) in names.iter().zip(words) {
            // A hundred ticks a second, on every Linux that this runs on.
            map.insert((*name).into(), float(ticks.parse::<f64>().unwrap_or(0.0) / 100.0));
        }
        Json::Object(map)
    });
    Json::Array(shown.collect())
}

fn memory() -> Json {
    let info = text("/proc/meminfo");
    let bytes = |name: &str| {
        let kilobytes =
            field(&info, name).and_then(|v| v.split_whitespace().next()).and_then(|v| v.parse::<u64>().ok());
        kilobytes.unwrap_or(0).saturating_mul(1024)
    };
    let (total, available) = (bytes("MemTotal"), bytes("MemAvailable"));
    let used = total.saturating_sub(available);
    object([
        ("total", Json::from(total)),
        ("available", available.into()),
        ("used", used.into()),
        ("usedPercent", float(if total == 0 { 0.0 } else { used as f64 * 100.0 / total as f64 })),
        ("free", bytes("MemFree").into()),
        ("buffers", bytes("Buffers").into()),
        ("cached", bytes("Cached").into()),
        ("swaptotal", bytes("SwapTotal").into()),
        ("swapfree", bytes("SwapFree").into()),
    ])
}

fn host() -> Json {
    let stat = text("/proc/stat");
    let word = |name: &str| stat.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap_or(0);
    let uptime = text("/proc/uptime").split('.').next().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
    let release = text("/etc/os-release");
    let told = |name: &str| {
        let line = release.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        Json::from(line.unwrap_or_default().trim_matches('"'))
    };
    object([
        ("hostname", Json::from(crate::base::process::hostname())),
        ("os", std::env::consts::OS.into()),
        ("platform", told("ID")),
        ("platformVersion", told("VERSION_ID")),
        ("kernelVersion", text("/proc/sys/kernel/osrelease").trim().into()),
        ("kernelArch", std::env::consts::ARCH.into()),
        ("uptime", uptime.into()),
        ("bootTime", word("btime ").into()),
        ("procs", word("procs_running ").into()),
    ])
}

/// How many bytes the disk of a path has, and how many of them are free for this process.
pub fn space(path: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some((stat.f_blocks.saturating_mul(stat.f_frsize), stat.f_bavail.saturating_mul(stat.f_frsize)))
}

fn disk() -> Json {
    let path = Path::new("/");
    let Ok(stat) = rustix::fs::statvfs(path) else { return Json::Array(Vec::new()) };
    let (total, free) = (stat.f_blocks.saturating_mul(stat.f_frsize), stat.f_bavail.saturating_mul(stat.f_frsize));
    let used = total.saturating_sub(stat.f_bfree.saturating_mul(stat.f_frsize));
    Json::Array(vec![object([
        ("path", Json::from("/")),
        ("total", total.into()),
        ("free", free.into()),
        ("used", used.into()),
        ("usedPercent", float(if total == 0 { 0.0 } else { used as f64 * 100.0 / total as f64 })),
        ("inodesTotal", stat.f_files.into()),
        ("inodesFree", stat.f_ffree.into()),
    ])])
}

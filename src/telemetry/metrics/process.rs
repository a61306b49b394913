//! The process, as the kernel tells of it: the names that every Prometheus client library has.

use std::fs;

use super::Shape::{self, Counter, Gauge};

/// Tells what can be read; what cannot is left out.
pub fn measure(tell: &mut dyn FnMut(&str, Shape, f64)) {
    // Names with an equals sign in front are written as they are, without the prefix.
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(after_name) {
        let number = |at: usize| stat.get(at).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0);
        // A hundred ticks a second; times of the process are fields 14 and 15, its start is 22 (proc(5)), the first here is 3.
        tell("=process_cpu_seconds_total", Counter, (number(11) + number(12)) / 100.0);
        tell("=process_virtual_memory_bytes", Gauge, number(20));
        let resident = number(21) * rustix::param::page_size() as f64;
        tell("=process_resident_memory_bytes", Gauge, resident);
        tell("=process_start_time_seconds", Gauge, boot_time() + number(19) / 100.0);
        tell("=process_threads", Gauge, number(17));
        tell("runtime.sys_bytes", Gauge, number(20));
        tell("runtime.alloc_bytes", Gauge, resident);
    }
    // A process that nobody may look into may not count its own files either.
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        tell("=process_open_fds", Gauge, files.count() as f64);
    }
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if let Some(most) = files.current {
        tell("=process_max_fds", Gauge, most as f64);
    }
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        // What Go calls goroutines are tasks here.
        tell("runtime.num_goroutines", Gauge, runtime.metrics().num_alive_tasks() as f64);
    }
}

/// The fields behind the name, which may hold spaces.
fn after_name(stat: &str) -> Option<Vec<String>> {
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn boot_time() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0.0)
}

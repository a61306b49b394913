//! The template engine beside consul-template's, which is Go's: one template, both as processes, their own start taken off.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::options::Options;

/// How often each is run; the best counts, since only disturbance makes one slower.
const RUNS: usize = 7;

/// Control flow, maps, nested templates, formatting, functions: some two megabytes.
const TEMPLATE: &str = r#"{{ define "row" }}<{{ .a }}|{{ .b }}>{{ end -}}
{{ $m := parseJSON "{\"a\":\"text\",\"b\":17,\"list\":[\"x\",\"y\",\"z\"]}" -}}
{{ range $i := loop 50000 -}}
{{ if eq (modulo 3 $i) 0 }}{{ template "row" $m }}{{ else }}{{ printf "%05d %s %q" $i $m.a $m.a }}{{ end }}{{ range $k, $v := $m.list }}{{ $k }}={{ $v | toUpper }};{{ end }}
{{ end }}"#;

/// Seconds of ours and of theirs.
pub fn both(options: &Options, runner: &Path) -> Result<(f64, f64)> {
    let folder = options.folder.join("template");
    std::fs::create_dir_all(&folder)?;
    let at = |name: &str| folder.join(name).display().to_string();
    std::fs::write(at("empty"), "")?;
    std::fs::write(at("full"), TEMPLATE)?;
    let ours = |source: &str| {
        let mut command = Command::new(&options.warifu);
        command.arg("template").arg(format!("-template={}:{}", at(source), at("ours")));
        command
    };
    let theirs = |source: &str| {
        let mut command = Command::new(runner);
        command.args(["http://127.0.0.1:1", &at(source), &at("theirs")]);
        command
    };
    let times = (pure(&ours)?, pure(&theirs)?);
    if std::fs::read(at("ours"))? != std::fs::read(at("theirs"))? {
        return Err("template: the two differ".into());
    }
    Ok(times)
}

/// What the full template takes beyond an empty one.
fn pure(command: &dyn Fn(&str) -> Command) -> Result<f64> {
    let best = |source: &str| -> Result<Duration> {
        let mut best = Duration::MAX;
        for _ in 0..RUNS {
            let mut command = command(source);
            command.env_clear().env("VAULT_ADDR", "http://127.0.0.1:1").stdin(Stdio::null()).stdout(Stdio::null());
            let begun = Instant::now();
            let status = command.stderr(Stdio::null()).status()?;
            best = best.min(begun.elapsed());
            if !status.success() {
                return Err(format!("{:?} fails: {status}", command.get_program()).into());
            }
        }
        Ok(best)
    };
    Ok(best("full")?.saturating_sub(best("empty")?).as_secs_f64())
}

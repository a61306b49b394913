//! Prometheus' text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::{Labels, Metrics, Shape, Shown};

/// The quantiles that Vault shows.
pub const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// All series. Those of one name stand together under one TYPE, as the format asks.
pub fn write(metrics: &Metrics, prefix: &str, now: Duration) -> Vec<u8> {
    let mut families: BTreeMap<String, (&str, String)> = BTreeMap::new();
    metrics.all(&mut |name, labels, shown| {
        let name = full_name(name, prefix);
        let kind = match shown {
            Shown::Value(Shape::Counter, _) => "counter",
            Shown::Value(Shape::Gauge, _) => "gauge",
            Shown::Summary(_) => "summary",
        };
        let lines = &mut families.entry(name.clone()).or_insert_with(|| (kind, String::new())).1;
        // Writing into a string does not fail.
        let _ = match shown {
            Shown::Value(_, value) => writeln!(lines, "{name}{} {value}", braces(labels, None)),
            Shown::Summary(summary) => {
                let found = summary.quantiles_ms(&QUANTILES, now);
                for (at, quantile) in QUANTILES.iter().enumerate() {
                    let value = found.as_ref().and_then(|f| f.get(at)).map_or("NaN".to_owned(), f64::to_string);
                    let _ = writeln!(lines, "{name}{} {value}", braces(labels, Some(*quantile)));
                }
                let _ = writeln!(lines, "{name}_sum{} {}", braces(labels, None), summary.sum_ms());
                writeln!(lines, "{name}_count{} {}", braces(labels, None), summary.count())
            }
        };
    });
    let mut text = String::new();
    for (name, (kind, lines)) in families {
        let _ = write!(text, "# HELP {name} {name}\n# TYPE {name} {kind}\n{lines}");
    }
    text.into_bytes()
}

/// The name as Prometheus allows it.
fn full_name(name: &str, prefix: &str) -> String {
    let name = match name.strip_prefix('=') {
        Some(own) => own.to_owned(),
        None if prefix.is_empty() => name.to_owned(),
        None => format!("{prefix}.{name}"),
    };
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' }).collect()
}

fn braces(labels: &Labels, quantile: Option<f64>) -> String {
    let quantile = quantile.map(|q| ("quantile", q.to_string()));
    let all: Vec<String> = labels
        .iter()
        .cloned()
        .chain(quantile)
        .map(|(key, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{key}=\"{value}\"")
        })
        .collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

//! Metrics as Vault's own JSON has them: gauges, counters and samples, with dots in their names.

use std::time::Duration;

use super::{Labels, Metrics, Shape, Shown, text::QUANTILES};
use crate::base::json::Map;
use crate::base::{Json, Timestamp};

/// All series. Counts are of all time, since there is no interval that they would be cut into.
pub fn write(metrics: &Metrics, prefix: &str, now: Timestamp, monotonic: Duration) -> Map {
    let (mut gauges, mut counters, mut samples) = (Vec::new(), Vec::new(), Vec::new());
    metrics.all(&mut |name, labels, shown| {
        let name = match name.strip_prefix('=') {
            Some(own) => own.to_owned(),
            None if prefix.is_empty() => name.to_owned(),
            None => format!("{prefix}.{name}"),
        };
        match shown {
            Shown::Value(Shape::Gauge, value) => gauges.push(Json::object([
                ("Name", Json::from(name)),
                ("Value", number(value)),
                ("Labels", labelled(labels)),
            ])),
            Shown::Value(Shape::Counter, value) => counters.push(sample(&name, labels, value, value, None)),
            Shown::Summary(summary) if summary.count() > 0 => {
                let span = summary.quantiles_ms(&[0.0, 1.0, QUANTILES[0]], monotonic);
                samples.push(sample(&name, labels, summary.count() as f64, summary.sum_ms(), span));
            }
            Shown::Summary(_) => {}
        }
    });
    let second = now.to_string();
    let second = second.split(['.', 'Z']).next().unwrap_or_default().replace('T', " ");
    [
        ("Timestamp", Json::from(format!("{second} +0000 UTC"))),
        ("Gauges", Json::Array(gauges)),
        ("Points", Json::Array(Vec::new())),
        ("Counters", Json::Array(counters)),
        ("Samples", Json::Array(samples)),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into()
}

fn sample(name: &str, labels: &Labels, count: f64, sum: f64, span: Option<Vec<f64>>) -> Json {
    let mean = if count > 0.0 { sum / count } else { 0.0 };
    let (min, max) = span.map_or((mean, mean), |s| (s[0], s[1]));
    Json::object([
        ("Name", Json::from(name)),
        ("Count", number(count)),
        ("Rate", number(sum)),
        ("Sum", number(sum)),
        ("Min", number(min)),
        ("Max", number(max)),
        ("Mean", number(mean)),
        ("Labels", labelled(labels)),
    ])
}

fn labelled(labels: &Labels) -> Json {
    Json::Object(labels.iter().map(|(k, v)| ((*k).to_owned(), v.as_str().into())).collect())
}

fn number(value: f64) -> Json {
    Json::Number(if value.is_finite() { value.to_string() } else { "0".to_owned() }.into())
}

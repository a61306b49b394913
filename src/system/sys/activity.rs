//! `sys/internal/counters`: how many clients there were, month by month.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};

use super::Sys;
use crate::activity::{Counts, Month, Report, Tally};
use crate::barrier::Cursor;
use crate::base::json::Map;
use crate::base::{Error, Json, Result, Timestamp, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::system::Handles;

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("internal/counters/activity", "How many clients there were in a span of months.", |at| at.read(activity))
        .at("internal/counters/activity/monthly", "How many clients there were in this month so far.", |at| {
            at.read(monthly)
        })
        .at("internal/counters/activity/export", "Each client of a span of months, one a line.", |at| {
            at.read(export).sudo()
        })
        .at("internal/counters/config", "Whether clients are counted, and how long they are kept.", |at| {
            at.read(read_config).update(write_config)
        })
        .at("internal/counters/requests", "Requests are counted in the metrics.", |at| at.read(requests))
}

params! {
    /// A span of months.
    pub struct Span {
        /// A moment in the first month, as RFC 3339 or in seconds since 1970.
        start_time: Json,
        /// A moment in the last month; now if absent.
        end_time: Json,
        /// Accepted: there is one namespace.
        limit_namespaces: Option<u64>,
    }
    /// The clients of a span of months.
    pub struct Export {
        /// A moment in the first month, as RFC 3339 or in seconds since 1970.
        start_time: Json,
        /// A moment in the last month; now if absent.
        end_time: Json,
        /// `json`, an object a line, or `csv`.
        format: Option<String>,
    }
    /// What to change of the counting.
    pub struct WriteConfig {
        /// `default`, `enable` or `disable`.
        enabled: Option<String>,
        /// For how many months a client is kept after its last one.
        retention_months: Option<u64>,
        /// Months that a report reaches back where nothing is said.
        default_report_months: Option<u64>,
    }
}

/// The months that a report is about.
fn span(cx: &Cx<Sys>, start: &Json, end: &Json) -> Result<(Month, Month)> {
    let config = cx.engine().handles.activity.config()?;
    let now = Month::of(cx.now());
    let to = moment("end_time", end)?.map_or(now, Month::of).min(now);
    let first = to.before(config.default_report_months.saturating_sub(1));
    // What is older than what is kept was not counted to its end.
    let from = moment("start_time", start)?.map_or(first, Month::of).max(now.before(config.retention_months));
    if from > to { Err(Error::invalid("start_time is later than end_time")) } else { Ok((from, to)) }
}

async fn activity(cx: Cx<Sys>, p: Span) -> Result<Reply> {
    let (from, to) = span(&cx, &p.start_time, &p.end_time)?;
    let report = count(&cx, from, to).await?;
    let mounts = Mounts::of(&cx);
    let months = (from.0..=to.0).map(|month| mounts.month(&report, Month(month))).collect();
    Ok(Reply::data([
        ("start_time".to_owned(), Json::from(from.start().to_string())),
        ("end_time".to_owned(), to.end().to_string().into()),
        ("total".to_owned(), counts(report.all.total).into()),
        ("by_namespace".to_owned(), mounts.namespaces(&report.all)),
        ("months".to_owned(), Json::Array(months)),
    ]))
}

async fn monthly(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let now = Month::of(cx.now());
    let report = count(&cx, now, now).await?;
    let mounts = Mounts::of(&cx);
    let mut data = counts(report.all.total);
    data.insert("by_namespace".into(), mounts.namespaces(&report.all));
    data.insert("months".into(), Json::Array(vec![mounts.month(&report, now)]));
    Ok(Reply::data(data))
}

/// Page by page, so that no snapshot is held for long. Who came in the last seconds is written down first.
async fn count(cx: &Cx<Sys>, from: Month, to: Month) -> Result<Report> {
    cx.engine().handles.work()?.write_clients().await?;
    let mut report = Report::of(from, to);
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor.take() {
        let (page, next) = cx.engine().handles.activity.step(&at)?;
        for (_, client) in &page {
            report.add(client);
        }
        cursor = next;
        tokio::task::yield_now().await;
    }
    Ok(report)
}

const COLUMNS: [&str; 9] = [
    "entity_name",
    "client_id",
    "client_type",
    "namespace_id",
    "namespace_path",
    "mount_accessor",
    "mount_path",
    "mount_type",
    "client_first_used_time",
];

async fn export(cx: Cx<Sys>, p: Export) -> Result<Reply> {
    let csv = match p.format.as_deref().unwrap_or_default() {
        "" | "json" => false,
        "csv" => true,
        _ => return Err(Error::invalid("field 'format': expected json or csv")),
    };
    let span = span(&cx, &p.start_time, &p.end_time)?;
    let handles = cx.engine().handles.clone();
    handles.work()?.write_clients().await?;
    let mounts = Mounts::of(&cx);
    let header = if csv { format!("{}\n", COLUMNS.join(",")) } else { String::new() };
    let pages = stream::unfold(Some(Cursor::default()), move |cursor| {
        let page = cursor.map(|at| match page(&handles, &mounts, span, csv, &at) {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "the clients could not be exported to their end");
                // What is missing must be seen to be missing.
                ("{\"error\":\"the list breaks off here\"}\n".to_owned(), None)
            }
        });
        std::future::ready(page)
    });
    let pieces = stream::iter([header]).chain(pages).filter(|piece| std::future::ready(!piece.is_empty()));
    let media_type = if csv { "text/csv" } else { "application/json" };
    Ok(Reply::stream(media_type, pieces.map(String::into_bytes)))
}

/// The lines of one step of the walk, and where the next begins.
fn page(
    handles: &Handles,
    mounts: &Mounts,
    (from, to): (Month, Month),
    csv: bool,
    at: &Cursor,
) -> Result<(String, Option<Cursor>)> {
    let (clients, next) = handles.activity.step(at)?;
    let mut lines = String::new();
    for (key, client) in clients {
        let Some(first) = client.months.iter().find(|month| (from..=to).contains(month)) else { continue };
        let first = if Month::of(client.first) == *first { client.first } else { first.start() };
        let (path, kind) = mounts.of_accessor(&client.accessor);
        let name = match client.entity {
            true => handles.identities.standing(key.as_str())?.map(|s| s.entity.name).unwrap_or_default(),
            false => String::new(),
        };
        let kind_of = if client.entity { "entity" } else { "non-entity-token" };
        let first = first.to_string();
        let row: [&str; 9] = [name.as_str(), key.as_str(), kind_of, "root", "", &client.accessor, &path, &kind, &first];
        if csv {
            let cells = row.map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")));
            lines.push_str(&cells.join(","));
        } else {
            lines.push_str(&Json::object(COLUMNS.into_iter().zip(row.map(Json::from))).text());
        }
        lines.push('\n');
    }
    Ok((lines, next))
}

async fn read_config(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let config = cx.engine().handles.activity.config()?;
    let enabled = if config.enabled == "default" { "default-enabled" } else { &config.enabled };
    let (page, _) = cx.engine().handles.activity.step(&Cursor::default())?;
    Ok(Reply::data([
        ("enabled".to_owned(), Json::from(enabled)),
        ("retention_months".to_owned(), config.retention_months.into()),
        ("default_report_months".to_owned(), config.default_report_months.into()),
        ("queries_available".to_owned(), (!page.is_empty()).into()),
        ("reporting_enabled".to_owned(), false.into()),
    ]))
}

async fn write_config(cx: Cx<Sys>, p: WriteConfig) -> Result<Reply> {
    let months = |field: &str, given: u64, least: u32| {
        let fits = u32::try_from(given).ok().filter(|months| (least..=limits::CLIENT_MONTHS).contains(months));
        let most = limits::CLIENT_MONTHS;
        fits.ok_or_else(|| Error::invalid(format!("field '{field}': must be between {least} and {most}")))
    };
    let txn = cx.engine().handles.activity.set_config(|config| {
        if let Some(enabled) = p.enabled {
            if !["default", "enable", "disable"].contains(&enabled.as_str()) {
                return Err(Error::invalid("field 'enabled': expected default, enable or disable"));
            }
            config.enabled = enabled;
        }
        if let Some(given) = p.retention_months {
            config.retention_months = months("retention_months", given, 0)?;
        }
        if let Some(given) = p.default_report_months {
            config.default_report_months = months("default_report_months", given, 1)?;
        }
        Ok(())
    })?;
    Ok(Reply::empty(txn))
}

/// As Vault answers since it counts requests no more.
async fn requests(_: Cx<Sys>, _: ()) -> Result<Reply> {
    Err(Error::NotFound(vec!["The functionality has been removed on this path".into()]))
}

/// A moment as RFC 3339 or in seconds since 1970; none where nothing is given.
fn moment(field: &str, given: &Json) -> Result<Option<Timestamp>> {
    let text = match given {
        Json::Null => return Ok(None),
        Json::String(text) if text.is_empty() => return Ok(None),
        Json::String(text) => text.clone(),
        other => other.text(),
    };
    let seconds = text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let moment = seconds.or_else(|| text.parse().ok());
    moment.map(Some).ok_or_else(|| {
        Error::invalid(format!("field '{field}': expected a moment as RFC 3339 or in seconds since 1970"))
    })
}

fn counts(counts: Counts) -> Map {
    [
        ("clients", counts.all()),
        ("entity_clients", counts.entities),
        ("non_entity_clients", counts.others),
        // As they were called before.
        ("distinct_entities", counts.entities),
        ("non_entity_tokens", counts.others),
    ]
    .map(|(name, count)| (name.to_owned(), Json::from(count)))
    .into()
}

/// Path and type of the mounts that are there, by accessor.
struct Mounts(BTreeMap<String, (String, String)>);

impl Mounts {
    fn of(cx: &Cx<Sys>) -> Self {
        let table = cx.engine().handles.mounts.table();
        let named = table.iter().map(|entry| &entry.mount);
        Self(named.map(|m| (m.accessor.clone(), (m.path.as_str().to_owned(), m.kind.clone()))).collect())
    }

    fn of_accessor(&self, accessor: &str) -> (String, String) {
        let gone = || (format!("deleted mount; accessor \"{accessor}\""), String::new());
        self.0.get(accessor).cloned().unwrap_or_else(gone)
    }

    fn namespaces(&self, tally: &Tally) -> Json {
        if tally.total.all() == 0 {
            return Json::Array(Vec::new());
        }
        let mounts = tally.mounts.iter().map(|(accessor, of_mount)| {
            let (path, kind) = self.of_accessor(accessor);
            Json::object([
                ("mount_path", Json::from(path)),
                ("mount_type", kind.into()),
                ("counts", counts(*of_mount).into()),
            ])
        });
        Json::Array(vec![Json::object([
            ("namespace_id", Json::from("root")),
            ("namespace_path", "".into()),
            ("counts", counts(tally.total).into()),
            ("mounts", Json::Array(mounts.collect())),
        ])])
    }

    fn month(&self, report: &Report, month: Month) -> Json {
        let timestamp = Json::from(month.start().to_string());
        let Some((here, new)) = report.months.get(&month) else {
            return Json::object([
                ("timestamp", timestamp),
                ("counts", Json::Null),
                ("namespaces", Json::Null),
                ("new_clients", Json::Null),
            ]);
        };
        let new = Json::object([("counts", Json::Object(counts(new.total))), ("namespaces", self.namespaces(new))]);
        Json::object([
            ("timestamp", timestamp),
            ("counts", counts(here.total).into()),
            ("namespaces", self.namespaces(here)),
            ("new_clients", new),
        ])
    }
}

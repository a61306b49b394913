//! The forecast: which certificates end soon, read from the front of what is still to come in the index of ends. Its rows
//! say whose a certificate is, so that only those that are shown one by one are read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Pki;
use super::issuer::{What, resolve};
use super::read::detail;
use super::store::{Ends, Stored, certificate_key, expiry_key};
use crate::barrier::View;
use crate::base::json::Map;
use crate::base::key::Segment;
use crate::base::time::nanoseconds;
use crate::base::{Json, Key, Pace, Result, Timestamp, Ttl, limits, time};
use crate::engine::{Cx, Reply, Sample};
use crate::params;

/// The most certificates that one forecast counts: some hundred pages of the index.
const COUNTED_MAX: usize = 200_000;
/// The most that it shows one by one.
const SHOWN_MAX: usize = 500;
/// How far ahead metrics look: the words of their label, and the days.
const AHEAD: [(&str, u64); 3] = [("1d", 1), ("7d", 7), ("14d", 14)];

/// Between two pages of the count for metrics. Nobody waits for it: of a million certificates it takes a minute.
const PACE: Pace = Pace { times: 9, most: Duration::from_millis(50) };

params! {
    /// What is asked.
    pub struct Within {
        /// How far ahead.
        within: Option<Ttl>,
        /// How many are shown one by one.
        limit: Option<i64>,
        /// Only those of this role.
        role: Option<String>,
        /// Only those of this issuer: its id or name, or default.
        issuer_ref: Option<String>,
    }
}

/// The certificates from a moment on, page by page in the order of their ends.
struct Ahead<'a> {
    view: &'a View,
    from: Option<Key>,
    until: u64,
}

/// One of them: when it ends, its serial number, whose it is.
struct Ending {
    when: u64,
    serial: String,
    ends: Ends,
}

impl<'a> Ahead<'a> {
    fn of(view: &'a View, from: Timestamp, within: Ttl) -> Self {
        let until = nanoseconds(time::after(from, within)).max(0).unsigned_abs();
        Self { view, from: Some(Key::default().at(from)), until }
    }

    /// The next page, without the revoked; none at the end.
    fn page(&mut self) -> Result<Option<Vec<Ending>>> {
        let Some(from) = self.from.take() else { return Ok(None) };
        let rows: Vec<(Key, Ends)> =
            self.view.read(|reading| reading.after(&expiry_key(), &from, limits::BATCH_KEYS))?;
        let next = rows.last().filter(|_| rows.len() == limits::BATCH_KEYS).map(|(key, _)| key.clone());
        let mut found = Vec::with_capacity(rows.len());
        for (key, ends) in rows {
            let mut segments = key.segments();
            let when = segments.next().and_then(Segment::number);
            let (Some(when), Some(Segment::Name(serial))) = (when, segments.next()) else { continue };
            if when > self.until {
                return Ok(Some(found));
            }
            if !ends.revoked {
                found.push(Ending { when, serial: serial.to_owned(), ends });
            }
        }
        self.from = next;
        Ok(Some(found))
    }
}

/// Certificates that are not revoked and end within so long, in the order of their ends, counted by role and issuer.
pub async fn read(cx: Cx<Pki>, p: Within) -> Result<Reply> {
    let within = p.within.unwrap_or(Ttl::from_seconds(14 * 86_400));
    let shown_max = p.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(SHOWN_MAX).min(SHOWN_MAX);
    let issuer = p.issuer_ref.filter(|reference| !reference.is_empty());
    let issuer = issuer.map(|one| cx.view().read(|reading| resolve(reading, What::Issuer, &one))).transpose()?;
    let (mut counted, mut by_role, mut by_issuer) = (0usize, BTreeMap::new(), BTreeMap::new());
    let (mut shown, mut truncated) = (Vec::new(), false);
    let mut ahead = Ahead::of(cx.view(), cx.now(), within);
    'pages: while let Some(page) = ahead.page()? {
        // Others get their turn between two pages.
        tokio::task::yield_now().await;
        for Ending { serial, ends, .. } in page {
            let other_role = p.role.as_ref().is_some_and(|role| *role != ends.role);
            if other_role || issuer.as_ref().is_some_and(|issuer| *issuer != ends.issuer_id) {
                continue;
            }
            if counted == COUNTED_MAX {
                truncated = true;
                break 'pages;
            }
            counted += 1;
            if shown.len() < shown_max
                && let Some(stored) = cx.get::<Stored>(&certificate_key(&serial))?
                && let Json::Object(mut about) = detail(&stored)?
            {
                about.insert("serial_number".into(), serial.into());
                shown.push(Json::Object(about));
            }
            *by_role.entry(ends.role).or_insert(0u64) += 1;
            *by_issuer.entry(ends.issuer_id).or_insert(0u64) += 1;
        }
    }
    let counts = |counts: BTreeMap<String, u64>| -> Json {
        counts.into_iter().map(|(name, count)| (name, Json::from(count))).collect::<Map>().into()
    };
    let mut data = Map::new();
    data.insert("total".into(), counted.into());
    data.insert("truncated".into(), truncated.into());
    data.insert("within".into(), within.seconds().into());
    data.insert("by_role".into(), counts(by_role));
    data.insert("by_issuer".into(), counts(by_issuer));
    data.insert("certificates".into(), Json::Array(shown));
    Ok(Reply::data(data))
}

/// The same as metrics: how many end within a day, a week, two weeks, by role and issuer.
///
/// # Errors
/// Those of storage.
pub async fn measure(cx: &Cx<Pki>) -> Result<Vec<Sample>> {
    let now = cx.now();
    let until =
        AHEAD.map(|(_, days)| nanoseconds(time::after(now, Ttl::from_seconds(days * 86_400))).max(0).unsigned_abs());
    let mut counts: BTreeMap<(String, String), [u64; AHEAD.len()]> = BTreeMap::new();
    let longest = AHEAD.iter().map(|(_, days)| *days).max().unwrap_or_default();
    let mut ahead = Ahead::of(cx.view(), now, Ttl::from_seconds(longest * 86_400));
    loop {
        let begun = cx.clock.monotonic();
        let Some(page) = ahead.page()? else { break };
        for Ending { when, ends, .. } in page {
            let counts = counts.entry((ends.role, ends.issuer_id)).or_default();
            counts.iter_mut().zip(until).filter(|(_, until)| when <= *until).for_each(|(count, _)| *count += 1);
        }
        cx.clock.sleep(PACE.rest(cx.clock.monotonic().saturating_sub(begun))).await;
    }
    let mut samples = Vec::new();
    for ((role, issuer), counts) in counts {
        for ((word, _), count) in AHEAD.iter().zip(counts) {
            let labels = vec![
                ("issuer", issuer.clone()),
                ("mount_point", cx.mount.path.as_str().to_owned()),
                ("role", role.clone()),
                ("within", (*word).to_owned()),
            ];
            samples.push(Sample { name: "secrets.pki.certs_expiring", labels, value: count as f64 });
        }
    }
    Ok(samples)
}

//! The forecast: which certificates end soon, read from the front of what is still to come in the index of ends.

use std::collections::BTreeMap;

use super::Pki;
use super::read::detail;
use super::store::{Stored, certificate_key, expiry_key};
use crate::base::json::Map;
use crate::base::key::Segment;
use crate::base::time::nanoseconds;
use crate::base::{Json, Key, Result, Ttl, limits, time};
use crate::engine::{Cx, Reply};
use crate::params;

/// The most certificates that one forecast counts: each of them is read.
const COUNTED_MAX: usize = 20_000;
/// The most that it shows one by one.
const SHOWN_MAX: usize = 500;

params! {
    /// What is asked.
    pub struct Within {
        /// How far ahead.
        within: Option<Ttl>,
        /// How many are shown one by one.
        limit: Option<i64>,
        /// Only those of this role.
        role: Option<String>,
    }
}

/// Certificates that are not revoked and end within so long, in the order of their ends, counted by role and issuer.
pub async fn read(cx: Cx<Pki>, p: Within) -> Result<Reply> {
    let within = p.within.unwrap_or(Ttl::from_seconds(14 * 86_400));
    let shown_max = p.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(SHOWN_MAX).min(SHOWN_MAX);
    let last = nanoseconds(time::after(cx.now(), within)).max(0).unsigned_abs();
    let mut from = Key::default().at(cx.now());
    let (mut counted, mut by_role, mut by_issuer) = (0usize, BTreeMap::new(), BTreeMap::new());
    let mut shown = Vec::new();
    let mut truncated = false;
    'pages: loop {
        let keys = cx.view().read(|reading| reading.keys_after(&expiry_key(), &from, limits::BATCH_KEYS))?;
        let Some(end) = keys.last() else { break };
        from = end.clone();
        for key in &keys {
            let mut segments = key.segments();
            let when = segments.next().and_then(Segment::number);
            let (Some(when), Some(Segment::Name(serial))) = (when, segments.next()) else { continue };
            if when > last {
                break 'pages;
            }
            let Some(stored) = cx.get::<Stored>(&certificate_key(serial))? else { continue };
            if stored.revoked.is_some() || p.role.as_ref().is_some_and(|role| *role != stored.role) {
                continue;
            }
            if counted == COUNTED_MAX {
                truncated = true;
                break 'pages;
            }
            counted += 1;
            if shown.len() < shown_max {
                let mut about = detail(&stored)?;
                if let Json::Object(about) = &mut about {
                    about.insert("serial_number".into(), serial.into());
                }
                shown.push(about);
            }
            *by_role.entry(stored.role).or_insert(0u64) += 1;
            *by_issuer.entry(stored.issuer_id).or_insert(0u64) += 1;
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

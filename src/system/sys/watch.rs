//! `sys/internal/watch`: waits until a secret changes, so that nobody has to ask again and again.
//!
//! The client names paths with the version that it was last told, and is answered when one of them has another: at once, if it
//! has one already. A version is opaque and keyed: it shows neither what was written nor how busy the store is. What the client
//! may not read, what is not there to be watched, and what does not exist at all are named alike.

use super::Sys;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Path, Result, Secret, Ttl, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::system::Handles;

/// Letters of a version.
const VERSION_LETTERS: usize = 22;

/// Adds the endpoint.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes.at("internal/watch", "Wait until a secret changes.", |at| at.update(watch).waits())
}

params! {
    /// What a client holds.
    pub struct Held {
        /// Paths below /v1/, each with the version that was last told of it, or null.
        paths: Json,
        /// How long to wait, 55 seconds at most.
        wait: Option<Ttl>,
    }
}

/// A path that is watched.
struct Place {
    /// As the client wrote it.
    name: String,
    path: Path,
    version: Option<String>,
}

async fn watch(cx: Cx<Sys>, p: Held) -> Result<Reply> {
    let places = places(p.paths)?;
    let most = Ttl::from_seconds(limits::WATCH_SECONDS);
    let over = cx.clock.sleep(p.wait.unwrap_or(most).min(most).duration());
    tokio::pin!(over);
    let Handles { watches, tokens, .. } = &cx.engine().handles;
    // The token's own row, so that who loses his token waits no longer.
    let rows = places.iter().filter_map(|place| row_of(&cx, place)).chain([tokens.row(&cx.caller.token_id)]).collect();
    let waiting = watches.enter(&cx.caller.token_id, rows)?;
    loop {
        let news = look(&cx, &places)?;
        if !news.is_empty() {
            return Ok(Reply::data(news));
        }
        tokio::select! {
            () = waiting.rung() => {}
            () = &mut over => return Ok(Reply::nothing()),
        }
        if watches.ended() {
            return Err(Error::Sealed);
        }
    }
}

fn places(paths: Json) -> Result<Vec<Place>> {
    let Json::Object(map) = paths else { return Err(Error::invalid("field 'paths': expected an object")) };
    if map.is_empty() {
        return Err(Error::invalid("field 'paths': names no path"));
    }
    if map.len() > limits::WATCH_PATHS {
        return Err(Error::invalid(format!("field 'paths': at most {} paths", limits::WATCH_PATHS)));
    }
    let places = map.into_iter().map(|(name, version)| {
        let path = Path::parse(name.trim_start_matches('/'))?;
        let version = match version {
            Json::Null => None,
            Json::String(text) => Some(text),
            _ => return Err(Error::invalid("field 'paths': a version is a text or null")),
        };
        Ok(Place { name, path, version })
    });
    places.collect()
}

/// The row behind a path, from the top of the store.
fn row_of(cx: &Cx<Sys>, place: &Place) -> Option<Key> {
    let table = cx.engine().handles.mounts.table();
    let entry = table.find(place.path.as_str())?;
    let below = place.path.as_str().strip_prefix(entry.mount.path.as_str())?;
    Some(entry.view.absolute(&entry.engine.row_behind(below)?))
}

/// What the client does not know yet; asked anew each time, since tokens, policies and mounts change while it waits.
fn look(cx: &Cx<Sys>, places: &[Place]) -> Result<Map> {
    let handles = &cx.engine().handles;
    let work = handles.work()?;
    let token = work.token_of(cx.caller.text.as_ref().ok_or(Error::BadToken)?)?;
    let paths: Vec<Path> = places.iter().map(|place| place.path.clone()).collect();
    let rows: Vec<Option<Key>> = work
        .readable(&token, &paths)?
        .into_iter()
        .zip(places)
        .map(|(may, place)| row_of(cx, place).filter(|_| may))
        .collect();
    let (mut changed, mut unwatched) = (Map::new(), Vec::new());
    handles.view.read(|r| {
        (changed, unwatched) = (Map::new(), Vec::new());
        for (place, row) in places.iter().zip(&rows) {
            let Some(row) = row else {
                unwatched.push(Json::from(place.name.as_str()));
                continue;
            };
            let stored = r.version(row)?.unwrap_or(0);
            let mut version = handles.tokens.digest(&Secret::new(format!("watch {} {stored}", row.as_str())));
            version.truncate(VERSION_LETTERS);
            if place.version.as_ref() != Some(&version) {
                changed.insert(place.name.clone(), version.into());
            }
        }
        Ok(())
    })?;
    let mut news = Map::new();
    if !changed.is_empty() {
        news.insert("changed".into(), Json::Object(changed));
    }
    if !unwatched.is_empty() {
        news.insert("unwatched".into(), Json::Array(unwatched));
    }
    Ok(news)
}

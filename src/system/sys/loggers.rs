//! `sys/loggers`: how much of what this node logs, until it is started anew or told otherwise.

use super::Sys;
use crate::base::json::Map;
use crate::base::{Error, Json, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::telemetry::{Level, Log, log};

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("loggers", "The levels of all loggers.", |at| at.read(read_all).update(write_all).delete(reset_all).sudo())
        .at("loggers/{name}", "The level of one logger.", |at| {
            at.read(read_one).update(write_one).delete(reset_one).sudo()
        })
}

params! {
    /// A level for all.
    pub struct ForAll {
        /// `trace`, `debug`, `info`, `warn`, `error` or `off`.
        level: Option<String>,
    }
    /// A logger.
    pub struct ByName {
        /// Its name: a layer of the server.
        name: String,
    }
    /// A level for one.
    pub struct ForOne {
        /// Its name: a layer of the server.
        name: String,
        /// `trace`, `debug`, `info`, `warn`, `error` or `off`.
        level: Option<String>,
    }
}

fn log_of(cx: &Cx<Sys>) -> Result<(&Log, Level)> {
    let log = cx.engine().handles.facts.log.as_ref();
    log.map(|(log, level)| (log.as_ref(), *level)).ok_or_else(|| Error::invalid("this process has no log of its own"))
}

fn level(text: Option<String>) -> Result<Level> {
    let text = text.filter(|t| !t.is_empty()).ok_or_else(|| Error::invalid("level is required"))?;
    text.parse().map_err(|_| Error::invalid("field 'level': expected trace, debug, info, warn, error or off"))
}

fn known(name: &str) -> Result<()> {
    if log::LOGGERS.contains(&name) { Ok(()) } else { Err(Error::NotFound(vec!["no logger of this name".into()])) }
}

async fn read_all(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let levels = log_of(&cx)?.0.levels();
    Ok(Reply::data(
        levels.into_iter().map(|(name, level)| (name.to_owned(), Json::from(level.to_string()))).collect::<Map>(),
    ))
}

async fn write_all(cx: Cx<Sys>, p: ForAll) -> Result<Reply> {
    let level = level(p.level)?;
    log_of(&cx)?.0.set_level(level);
    Ok(Reply::nothing())
}

async fn reset_all(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let (log, level) = log_of(&cx)?;
    log.set_level(level);
    Ok(Reply::nothing())
}

async fn read_one(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    known(&p.name)?;
    let levels = log_of(&cx)?.0.levels();
    let level = levels.into_iter().find(|(name, _)| *name == p.name).map(|(_, level)| level.to_string());
    Ok(Reply::data([(p.name, Json::from(level))]))
}

async fn write_one(cx: Cx<Sys>, p: ForOne) -> Result<Reply> {
    known(&p.name)?;
    let level = level(p.level)?;
    log_of(&cx)?.0.set_logger(&p.name, Some(level));
    Ok(Reply::nothing())
}

async fn reset_one(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    known(&p.name)?;
    log_of(&cx)?.0.set_logger(&p.name, None);
    Ok(Reply::nothing())
}

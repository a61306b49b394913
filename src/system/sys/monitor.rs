//! `sys/monitor`: the log of this node as it is written, until the client has heard enough.

use futures_util::stream;

use super::Sys;
use crate::base::{Error, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::telemetry::{Format, Level};

/// Adds the endpoint.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes.at("monitor", "The log of this node, as it is written.", |at| at.read(monitor).sudo())
}

params! {
    /// How much of the log.
    pub struct Monitor {
        /// `trace`, `debug`, `info`, `warn` or `error`, whatever the level of the log itself is.
        log_level: Option<String>,
        /// `standard` or `json`.
        log_format: Option<String>,
    }
}

async fn monitor(cx: Cx<Sys>, p: Monitor) -> Result<Reply> {
    let level = p.log_level.unwrap_or_default().parse().ok().filter(|level| *level != Level::Off);
    let level = level.ok_or_else(|| Error::invalid("unknown log level"))?;
    let format: Format = p.log_format.unwrap_or_default().parse().map_err(|_| Error::invalid("unknown log format"))?;
    let followers = cx.engine().handles.facts.followers.as_ref();
    let followers = followers.ok_or_else(|| Error::invalid("this process has no log of its own"))?;
    let follower = followers.follow(level, format);
    let lines = stream::unfold(follower, |mut follower| async { follower.next().await.map(|lines| (lines, follower)) });
    Ok(Reply::stream("text/plain; charset=utf-8", lines))
}

//! `sys/capabilities*`: what a token may do at a path.

use super::Sys;
use crate::base::json::Map;
use crate::base::{Error, Json, Path, Result, Secret};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::token::Token;

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("capabilities", "What a token may do.", |at| at.update(of_token).flat())
        .at("capabilities-self", "What this token may do.", |at| at.update(of_self).flat())
        .at("capabilities-accessor", "What the token of an accessor may do.", |at| at.update(of_accessor).flat())
}

params! {
    /// Paths.
    pub struct Paths {
        /// The paths.
        paths: Vec<String>,
        /// The same, as older clients call it.
        path: Vec<String>,
        /// The token, where it is not the caller's.
        token: Option<Secret<String>>,
        /// The accessor of the token.
        accessor: Option<String>,
    }
}

async fn of_self(cx: Cx<Sys>, p: Paths) -> Result<Reply> {
    let work = cx.engine().handles.work()?;
    let text = cx.caller.text.clone().ok_or(Error::BadToken)?;
    answer(&cx, &work.token_of(&text)?, p)
}

async fn of_token(cx: Cx<Sys>, mut p: Paths) -> Result<Reply> {
    let text = p.token.take().filter(|t| !t.reveal().is_empty()).ok_or_else(|| Error::invalid("missing token"))?;
    let token = cx.engine().handles.work()?.token_of(&text).map_err(|_| Error::invalid("invalid token"))?;
    answer(&cx, &token, p)
}

async fn of_accessor(cx: Cx<Sys>, p: Paths) -> Result<Reply> {
    let accessor = p.accessor.clone().unwrap_or_default();
    let token = cx.engine().handles.tokens.by_accessor(&accessor)?;
    let token = token.filter(|t| !t.expired(cx.now())).ok_or_else(|| Error::invalid("invalid accessor"))?;
    answer(&cx, &token, p)
}

fn answer(cx: &Cx<Sys>, token: &Token, p: Paths) -> Result<Reply> {
    let paths = [p.paths, p.path].concat();
    if paths.is_empty() {
        return Err(Error::invalid("paths must be supplied"));
    }
    let work = cx.engine().handles.work()?;
    let mut data = Map::new();
    for path in &paths {
        let canonical = Path::parse(path.trim_start_matches('/'))?;
        let words: Vec<&str> = work.capabilities(token, &canonical)?;
        let words = Json::from(words);
        if paths.len() == 1 {
            data.insert("capabilities".into(), words.clone());
        }
        data.insert(path.clone(), words);
    }
    Ok(Reply::data(data))
}

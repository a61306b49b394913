//! `sys/wrapping/*`: answers that wait for whoever opens them first, and only once.

use super::Sys;
use crate::base::{Error, Json, Operation, Path, Result, Secret};
use crate::engine::{Cx, Reply, Rest, Routes};
use crate::params;
use crate::policy::Query;
use crate::system::cubbyhole::{Waiting, waiting_key};
use crate::token::{Token, Use};

/// Adds the endpoints. A wrapping token proves itself, so that unwrap and lookup look at it by their own means.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("wrapping/wrap", "Give back what was sent, to be wrapped.", |at| at.update(wrap).read(wrap))
        .at("wrapping/unwrap", "Open a wrapped answer.", |at| at.update(unwrap).public())
        .at("wrapping/lookup", "What is known of a wrapped answer.", |at| at.update(lookup).read(lookup).public())
        .at("wrapping/rewrap", "Wrap a wrapped answer anew.", |at| at.update(rewrap))
}

params! {
    /// Anything.
    pub struct Anything {
        /// The data.
        data: Rest,
    }
    /// A wrapping token.
    pub struct ByToken {
        /// The token, where it is not the caller's own.
        token: Option<Secret<String>>,
    }
}

fn not_valid() -> Error {
    Error::invalid("wrapping token is not valid or does not exist")
}

async fn wrap(cx: Cx<Sys>, p: Anything) -> Result<Reply> {
    if !cx.wrapping {
        return Err(Error::invalid("endpoint requires response wrapping to be used"));
    }
    Ok(Reply::data(p.data.0))
}

/// The wrapping token, what waits for it, and the caller's own token if it is another one. Without a token in the body,
/// the caller's own is meant; otherwise the caller must be allowed to be here at all.
fn find(cx: &Cx<Sys>, p: ByToken, free: bool) -> Result<(Token, Waiting, Option<Token>)> {
    let handles = &cx.engine().handles;
    let mut helper = None;
    // What is no wrapping token is told first: who holds a text can look it up without any right.
    if let Some(token) = p.token.as_ref().filter(|t| !t.reveal().is_empty())
        && handles.tokens.get(&handles.tokens.digest(token))?.is_none()
    {
        return Err(not_valid());
    }
    let text = match p.token.filter(|t| !t.reveal().is_empty()) {
        None => cx.caller.text.clone().ok_or(Error::BadToken)?,
        Some(token) => {
            if !free {
                let own = cx.caller.text.clone().ok_or(Error::BadToken)?;
                let work = handles.work()?;
                let here = Path::parse(cx.path.as_str())?;
                if own.reveal() != token.reveal() {
                    let own = work.token_of(&own)?;
                    if !own.admits(cx.client_addr) {
                        return Err(Error::BadToken);
                    }
                    if !work.may(&own, &Query::new(Operation::Update, &here))? {
                        return Err(Error::Denied);
                    }
                    helper = Some(own);
                }
            }
            token
        }
    };
    let token = handles.tokens.get(&handles.tokens.digest(&text))?.ok_or_else(not_valid)?;
    if token.expired(cx.now()) {
        return Err(not_valid());
    }
    let table = handles.mounts.table();
    let cubby = table.at("cubbyhole/").ok_or_else(|| Error::internal("no cubbyhole"))?;
    let waiting = cubby.view.get(&waiting_key(&token.id))?.ok_or_else(not_valid)?;
    Ok((token, waiting, helper))
}

/// The change that opens a wrapped answer: it fails for all but the first.
fn open(cx: &Cx<Sys>, token: &Token) -> Result<crate::barrier::Txn> {
    let handles = &cx.engine().handles;
    let table = handles.mounts.table();
    let cubby = table.at("cubbyhole/").ok_or_else(|| Error::internal("no cubbyhole"))?;
    let mut txn = cubby.view.txn();
    let key = waiting_key(&token.id);
    txn.get::<Waiting>(&key)?.ok_or_else(not_valid)?;
    txn.delete(&key);
    txn.merge(handles.tokens.remove(token));
    Ok(txn)
}

async fn unwrap(cx: Cx<Sys>, p: ByToken) -> Result<Reply> {
    let (token, waiting, helper) = find(&cx, p, false)?;
    let mut txn = open(&cx, &token)?;
    // The endpoint asks for no token, so nobody else has counted this use.
    if let Some(helper) = helper.filter(|t| t.uses != Use::Free) {
        txn.merge(cx.engine().handles.tokens.spend(&helper.id));
    }
    Ok(Reply::whole(waiting.response).with(txn))
}

async fn lookup(cx: Cx<Sys>, p: ByToken) -> Result<Reply> {
    let (_, waiting, _) = find(&cx, p, true)?;
    Ok(Reply::data([
        ("creation_path".to_owned(), Json::from(waiting.path)),
        ("creation_time".to_owned(), waiting.created.to_string().into()),
        ("creation_ttl".to_owned(), waiting.ttl.seconds().into()),
    ]))
}

async fn rewrap(cx: Cx<Sys>, p: ByToken) -> Result<Reply> {
    let (token, waiting, _) = find(&cx, p, false)?;
    let txn = open(&cx, &token)?;
    Ok(Reply::whole(waiting.response).with(txn).rewrapped(waiting.ttl, waiting.path))
}

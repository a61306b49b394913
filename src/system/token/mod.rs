//! `auth/token/`: tokens that make, look at, renew and revoke tokens.

mod create;
mod lookup;
mod renew;
mod revoke;
mod roles;

use super::Handles;
use crate::barrier::View;
use crate::base::{Error, Result, Secret};
use crate::engine::{Cx, Engine, Mount, Routes, class};
use crate::token::{Token, Tokens};

/// The engine.
pub struct TokenEngine {
    /// The stores.
    pub(super) handles: Handles,
}

impl Engine for TokenEngine {
    type Class = class::Own;

    const TYPE: &'static str = "token";

    fn routes() -> Routes<Self> {
        Routes::new("Tokens: making, looking up, renewing, revoking; token roles.")
            .and(create::routes)
            .and(lookup::routes)
            .and(renew::routes)
            .and(revoke::routes)
            .and(roles::routes)
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Err(Error::internal("the token engine is made with handles"))
    }
}

/// The caller's own token.
fn own(cx: &Cx<TokenEngine>) -> Result<(Token, Secret<String>)> {
    let text = cx.caller.text.clone().ok_or(Error::BadToken)?;
    Ok((of_text(cx, &text)?.ok_or(Error::BadToken)?, text))
}

/// The token of a text, if it is alive.
fn of_text(cx: &Cx<TokenEngine>, text: &Secret<String>) -> Result<Option<Token>> {
    let tokens = &cx.engine().handles.tokens;
    if !Tokens::plausible(text.reveal()) {
        return Ok(None);
    }
    let digest = tokens.digest(text);
    let token = if Tokens::is_batch(text.reveal()) {
        tokens.open_batch(text).map(|mut token| {
            token.id = digest;
            token
        })
    } else {
        tokens.get(&digest)?
    };
    Ok(token.filter(|t| !t.expired(cx.now())))
}

/// The token of an accessor, if it is alive.
fn of_accessor(cx: &Cx<TokenEngine>, accessor: &str) -> Result<Token> {
    let token = cx.engine().handles.tokens.by_accessor(accessor)?.filter(|t| !t.expired(cx.now()));
    token.ok_or_else(|| Error::invalid("1 error occurred:\n\t* invalid accessor\n\n"))
}

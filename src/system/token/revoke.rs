//! Revoking tokens.

use super::{TokenEngine, of_accessor, of_text};
use crate::base::{Error, Result, Secret};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::system::Revocation;
use crate::token::Kind;

/// Adds the endpoints.
pub fn routes(routes: Routes<TokenEngine>) -> Routes<TokenEngine> {
    routes
        .at("revoke", "Revoke a token and its children.", |at| at.update(revoke))
        .at("revoke-self", "Revoke this token and its children.", |at| at.update(revoke_self))
        .at("revoke-accessor", "Revoke the token of an accessor and its children.", |at| at.update(revoke_accessor))
        .at("revoke-orphan", "Revoke a token and let its children live.", |at| at.update(revoke_orphan).sudo())
        .at("tidy", "Look for what is left over: rows change together here, so there is nothing.", |at| {
            at.update(tidy).sudo()
        })
}

params! {
    /// A token, by itself or by its accessor.
    pub struct Which {
        /// The token.
        token: Option<Secret<String>>,
        /// The accessor of the token.
        accessor: Option<String>,
    }
}

fn given(token: Option<Secret<String>>) -> Result<Secret<String>> {
    token.filter(|t| !t.reveal().is_empty()).ok_or_else(|| Error::invalid("missing token ID"))
}

async fn revoke(cx: Cx<TokenEngine>, p: Which) -> Result<Reply> {
    let text = given(p.token)?;
    // What is gone already is revoked.
    if let Some(token) = of_text(&cx, &text)? {
        if token.kind == Kind::Batch {
            return Err(Error::invalid("batch tokens cannot be revoked"));
        }
        cx.engine().handles.work()?.revoke(Revocation::Token(&token.id)).await?;
    }
    Ok(Reply::nothing())
}

async fn revoke_self(cx: Cx<TokenEngine>, _: ()) -> Result<Reply> {
    if cx.caller.batch {
        return Err(Error::invalid("batch tokens cannot be revoked"));
    }
    cx.engine().handles.work()?.revoke(Revocation::Token(&cx.caller.token_id)).await?;
    Ok(Reply::nothing())
}

async fn revoke_accessor(cx: Cx<TokenEngine>, p: Which) -> Result<Reply> {
    let accessor = p.accessor.filter(|a| !a.is_empty()).ok_or_else(|| Error::invalid("missing accessor"))?;
    let token = of_accessor(&cx, &accessor)?;
    cx.engine().handles.work()?.revoke(Revocation::Token(&token.id)).await?;
    Ok(Reply::nothing())
}

async fn revoke_orphan(cx: Cx<TokenEngine>, p: Which) -> Result<Reply> {
    let text = given(p.token)?;
    let token = of_text(&cx, &text)?.ok_or_else(|| Error::invalid("token to revoke not found"))?;
    if token.kind == Kind::Batch {
        return Err(Error::invalid("batch tokens cannot be revoked"));
    }
    cx.engine().handles.work()?.revoke(Revocation::TokenAlone(&token.id)).await?;
    Ok(Reply::nothing())
}

async fn tidy(_: Cx<TokenEngine>, _: ()) -> Result<Reply> {
    Ok(Reply::nothing()
        .status(202)
        .warning("Tokens have no left-overs here: their rows change together, and expiry is swept all the time."))
}

//! Renewing tokens.

use super::{TokenEngine, of_accessor, of_text, own};
use crate::base::{Error, Result, Secret, Ttl};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::token::Token;

/// Adds the endpoints.
pub fn routes(routes: Routes<TokenEngine>) -> Routes<TokenEngine> {
    routes
        .at("renew", "Renew a token.", |at| at.update(renew))
        .at("renew/{token}", "Renew a token.", |at| at.update(renew))
        .at("renew-self", "Renew this token.", |at| at.update(renew_self))
        .at("renew-accessor", "Renew the token of an accessor.", |at| at.update(renew_accessor))
}

params! {
    /// A renewal.
    pub struct Renew {
        /// The token.
        token: Option<Secret<String>>,
        /// The accessor of the token.
        accessor: Option<String>,
        /// What is asked for, from now.
        increment: Option<Ttl>,
    }
}

async fn give(cx: &Cx<TokenEngine>, token: &Token, text: Secret<String>, increment: Option<Ttl>) -> Result<Reply> {
    let work = cx.engine().handles.work()?;
    let renewed = work.renew_token(token, text, increment.unwrap_or_default(), cx.client_cert.clone()).await?;
    Ok(renewed.0.map_or_else(Reply::nothing, Reply::whole))
}

async fn renew(cx: Cx<TokenEngine>, p: Renew) -> Result<Reply> {
    let text = p.token.filter(|t| !t.reveal().is_empty()).ok_or_else(|| Error::invalid("missing token ID"))?;
    let token = of_text(&cx, &text)?.ok_or_else(|| Error::invalid("token not found"))?;
    give(&cx, &token, text, p.increment).await
}

async fn renew_self(cx: Cx<TokenEngine>, p: Renew) -> Result<Reply> {
    let (token, text) = own(&cx)?;
    give(&cx, &token, text, p.increment).await
}

async fn renew_accessor(cx: Cx<TokenEngine>, p: Renew) -> Result<Reply> {
    let token = of_accessor(&cx, &p.accessor.unwrap_or_default())?;
    // Whoever has the accessor does not learn the token.
    give(&cx, &token, Secret::default(), p.increment).await
}

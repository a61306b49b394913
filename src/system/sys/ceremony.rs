//! `sys/seal`, `sys/rotate`, `sys/rekey`, `sys/generate-root`: what changes or closes the seal.

use super::Sys;
use crate::base::json::Map;
use crate::base::{Error, Result, Secret};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::system::CeremonyStep;

/// Adds the endpoints. Those of rekey and generate-root need a token unless the configuration says otherwise.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("seal", "Seal this node.", |at| at.update(seal).sudo())
        .at("step-down", "Let another node do the background work.", |at| at.update(step_down).sudo())
        .at("key-status", "The active term of the keyring.", |at| at.read(key_status).flat())
        .at("rotate", "Add a term to the keyring.", |at| at.update(rotate).sudo())
        .at("rotate/keyring", "Add a term to the keyring.", |at| at.update(rotate).sudo())
        .at("rekey/init", "Start, follow and cancel a rekey.", |at| {
            at.read(rekey_status).update(rekey_start).delete(rekey_cancel).sudo().flat()
        })
        .at("rekey/update", "Give a share to a rekey.", |at| at.update(rekey_offer).sudo().flat())
        .at("generate-root", "Start, follow and cancel the making of a root token.", |at| {
            at.read(root_status).update(root_start).delete(root_cancel).sudo().flat()
        })
        .at("generate-root/attempt", "Start, follow and cancel the making of a root token.", |at| {
            at.read(root_status).update(root_start).delete(root_cancel).sudo().flat()
        })
        .at("generate-root/update", "Give a share to the making of a root token.", |at| {
            at.update(root_offer).sudo().flat()
        })
}

params! {
    /// How a rekey shall end.
    pub struct StartRekey {
        /// How many shares to make.
        secret_shares: Option<u64>,
        /// How many of them open.
        secret_threshold: Option<u64>,
        /// Not supported: recipients of shares.
        pgp_keys: Vec<String>,
        /// Not supported.
        backup: Option<bool>,
        /// Not supported.
        require_verification: Option<bool>,
    }
    /// How a root token shall be given.
    pub struct StartRoot {
        /// A one-time pad as long as the token.
        otp: Option<Secret<String>>,
        /// Not supported: its recipient.
        pgp_key: Option<String>,
    }
    /// A share.
    pub struct Offer {
        /// The share, in hex or base64.
        key: Option<Secret<String>>,
        /// The ceremony's nonce.
        nonce: Option<String>,
    }
    /// Which ceremony to cancel.
    pub struct Cancel {
        /// Its nonce.
        nonce: Option<String>,
    }
}

async fn seal(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    cx.engine().handles.control.seal().await?;
    Ok(Reply::nothing())
}

async fn step_down(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    cx.engine().handles.control.step_down().await?;
    Ok(Reply::nothing())
}

async fn key_status(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(Reply::data(cx.engine().handles.control.key_status()?))
}

async fn rotate(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    cx.engine().handles.control.rotate().await?;
    Ok(Reply::nothing())
}

async fn rekey(cx: &Cx<Sys>, step: CeremonyStep<'_>) -> Result<Map> {
    cx.engine().handles.control.rekey(step).await
}

async fn rekey_status(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(Reply::data(rekey(&cx, CeremonyStep::Status).await?))
}

async fn rekey_start(cx: Cx<Sys>, p: StartRekey) -> Result<Reply> {
    if !p.pgp_keys.is_empty() || p.backup == Some(true) || p.require_verification == Some(true) {
        return Err(Error::invalid("'pgp_keys', 'backup' and 'require_verification' are not supported"));
    }
    let shares = (p.secret_shares.unwrap_or(0), p.secret_threshold.unwrap_or(0));
    Ok(Reply::data(rekey(&cx, CeremonyStep::Start { shares, otp: None }).await?))
}

async fn rekey_offer(cx: Cx<Sys>, p: Offer) -> Result<Reply> {
    let key = p.key.unwrap_or_default();
    let nonce = p.nonce.unwrap_or_default();
    Ok(Reply::data(rekey(&cx, CeremonyStep::Offer { key: &key, nonce: &nonce }).await?))
}

async fn rekey_cancel(cx: Cx<Sys>, _: Cancel) -> Result<Reply> {
    rekey(&cx, CeremonyStep::Cancel).await?;
    Ok(Reply::nothing())
}

async fn root(cx: &Cx<Sys>, step: CeremonyStep<'_>) -> Result<Map> {
    cx.engine().handles.control.generate_root(step).await
}

async fn root_status(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(Reply::data(root(&cx, CeremonyStep::Status).await?))
}

async fn root_start(cx: Cx<Sys>, p: StartRoot) -> Result<Reply> {
    if p.pgp_key.is_some_and(|k| !k.is_empty()) {
        return Err(Error::invalid("'pgp_key' is not supported"));
    }
    let otp = p.otp.as_ref().filter(|o| !o.reveal().is_empty());
    Ok(Reply::data(root(&cx, CeremonyStep::Start { shares: (0, 0), otp }).await?))
}

async fn root_offer(cx: Cx<Sys>, p: Offer) -> Result<Reply> {
    let key = p.key.unwrap_or_default();
    let nonce = p.nonce.unwrap_or_default();
    Ok(Reply::data(root(&cx, CeremonyStep::Offer { key: &key, nonce: &nonce }).await?))
}

async fn root_cancel(cx: Cx<Sys>, _: Cancel) -> Result<Reply> {
    root(&cx, CeremonyStep::Cancel).await?;
    Ok(Reply::nothing())
}

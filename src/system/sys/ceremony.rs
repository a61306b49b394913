//! `sys/seal`, `sys/rotate`, `sys/rekey`, `sys/generate-root`: what changes or closes the seal.

use base64::Engine as _;

use super::Sys;
use crate::base::{Error, Operation, Result, Secret};
use crate::engine::{Args, Cx, Params, Reply, Routes};
use crate::params;
use crate::seal::Plan;
use crate::system::{CeremonyKind, CeremonyStep, Claim, Offering};

/// Adds the endpoints. Those of rekey and generate-root need a token unless the configuration says otherwise.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("seal", "Seal this node.", |at| at.update(seal).sudo())
        .at("step-down", "Let another node do the background work.", |at| at.update(step_down).sudo())
        .at("key-status", "The active term of the keyring.", |at| at.read(key_status).flat())
        .at("rotate", "Add a term to the keyring.", |at| at.update(rotate).sudo())
        .at("rotate/keyring", "Add a term to the keyring.", |at| at.update(rotate).sudo())
        .at("rekey/init", "Start, follow and cancel a rekey.", |at| {
            at.read(status).update(start_rekey).delete(cancel).sudo().flat()
        })
        .at("rekey/update", "Give a share to a rekey.", |at| at.update(offer).sudo().flat())
        .at("rekey/verify", "Prove the new shares of a rekey.", |at| {
            at.read(verification).update(verify).delete(verify_again).sudo().flat()
        })
        .at("rekey-recovery-key/init", "Start, follow and cancel a rekey of the recovery shares.", |at| {
            at.read(status).update(start_rekey).delete(cancel).sudo().flat()
        })
        .at("rekey-recovery-key/update", "Give a recovery share to a rekey.", |at| at.update(offer).sudo().flat())
        .at("rekey-recovery-key/verify", "Prove the new recovery shares of a rekey.", |at| {
            at.read(verification).update(verify).delete(verify_again).sudo().flat()
        })
        .at("rekey/backup", "No backup of shares is kept here.", |at| at.read(backup).delete(no_backup).sudo())
        .at("rekey/recovery-key-backup", "No backup of shares is kept here.", |at| {
            at.read(backup).delete(no_backup).sudo()
        })
        .at("rotate/root/init", "As rekey/init, always with a token.", |at| {
            at.read(status).update(start_rekey).delete(cancel).sudo().flat()
        })
        .at("rotate/root/update", "As rekey/update, always with a token.", |at| at.update(offer).sudo().flat())
        .at("rotate/root/verify", "As rekey/verify, always with a token.", |at| {
            at.read(verification).update(verify).delete(verify_again).sudo().flat()
        })
        .at("rotate/root/backup", "No backup of shares is kept here.", |at| at.read(backup).delete(no_backup).sudo())
        .at("rotate/recovery/init", "As rekey-recovery-key/init, always with a token.", |at| {
            at.read(status).update(start_rekey).delete(cancel).sudo().flat()
        })
        .at("rotate/recovery/update", "As rekey-recovery-key/update, always with a token.", |at| {
            at.update(offer).sudo().flat()
        })
        .at("rotate/recovery/verify", "As rekey-recovery-key/verify, always with a token.", |at| {
            at.read(verification).update(verify).delete(verify_again).sudo().flat()
        })
        .at("rotate/recovery/backup", "No backup of shares is kept here.", |at| {
            at.read(backup).delete(no_backup).sudo()
        })
        .at("generate-root", "Start, follow and cancel the making of a root token.", |at| {
            at.read(status).update(start_root).delete(cancel).sudo().flat()
        })
        .at("generate-root/attempt", "Start, follow and cancel the making of a root token.", |at| {
            at.read(status).update(start_root).delete(cancel).sudo().flat()
        })
        .at("generate-root/update", "Give a share to the making of a root token.", |at| at.update(offer).sudo().flat())
        .at("decode-token", "Take the one-time pad off a root token that was made.", |at| at.update(decode).public())
}

params! {
    /// How a rekey shall end.
    pub struct StartRekey {
        /// How many shares to make.
        secret_shares: Option<u64>,
        /// How many of them open.
        secret_threshold: Option<u64>,
        /// Whether the shares are given with labels too.
        labelled_shares: Option<bool>,
        /// Recipients of age, one for each share: each share is encrypted to its own.
        age_recipients: Vec<String>,
        /// Whether the new shares count only after a quorum of them was given back.
        require_verification: Option<bool>,
        /// Not supported: recipients of shares.
        pgp_keys: Vec<String>,
        /// Not supported.
        backup: Option<bool>,
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
        /// The share, in hex or base64, or with its label.
        key: Option<Secret<String>>,
        /// The ceremony's nonce.
        nonce: Option<String>,
    }
    /// A root token under its one-time pad.
    pub struct Decode {
        /// What the making of the token answered, in base64.
        encoded_token: Option<Secret<String>>,
        /// The one-time pad.
        otp: Option<Secret<String>>,
    }
    /// Which ceremony to cancel.
    pub struct Cancel {
        /// Its nonce.
        nonce: Option<String>,
    }
}

impl StartRekey {
    fn step(self) -> Result<CeremonyStep> {
        if !self.pgp_keys.is_empty() || self.backup == Some(true) {
            return Err(Error::invalid("'pgp_keys' and 'backup' are not supported: 'age_recipients' is"));
        }
        Ok(CeremonyStep::Rekey(Plan {
            shares: self.secret_shares.unwrap_or(0),
            threshold: self.secret_threshold.unwrap_or(0),
            labelled: self.labelled_shares.unwrap_or(false),
            recipients: self.age_recipients,
            verify: self.require_verification.unwrap_or(false),
        }))
    }
}

impl StartRoot {
    fn step(self) -> Result<CeremonyStep> {
        if self.pgp_key.is_some_and(|k| !k.is_empty()) {
            return Err(Error::invalid("'pgp_key' is not supported"));
        }
        Ok(CeremonyStep::Root(self.otp.filter(|otp| !otp.reveal().is_empty())))
    }
}

impl From<Offer> for Offering {
    fn from(p: Offer) -> Self {
        Self { key: p.key.unwrap_or_default(), nonce: p.nonce.unwrap_or_default() }
    }
}

impl Cancel {
    fn claim(self, anonymous: bool) -> Claim {
        Claim { nonce: self.nonce.unwrap_or_default(), anonymous }
    }
}

/// The ceremony that a path below `sys/` belongs to, and the rest of the path, of those that may be open to callers without a token.
pub fn kind_of(path: &str) -> Option<(CeremonyKind, &str)> {
    [
        ("rekey-recovery-key", CeremonyKind::RecoveryRekey),
        ("rekey", CeremonyKind::Rekey),
        ("generate-root", CeremonyKind::Root),
    ]
    .into_iter()
    .find_map(|(word, kind)| {
        let rest = path.strip_prefix(word)?;
        let rest = if rest.is_empty() { "attempt" } else { rest.strip_prefix('/')? };
        let known = match kind {
            CeremonyKind::Root => matches!(rest, "attempt" | "update"),
            CeremonyKind::Rekey | CeremonyKind::RecoveryRekey => matches!(rest, "init" | "update" | "verify"),
        };
        known.then_some((kind, rest))
    })
}

/// The step that a caller without a token asks for.
///
/// # Errors
/// [`Error::Invalid`] for its parameters, [`Error::UnsupportedOperation`].
pub fn step_of(kind: CeremonyKind, rest: &str, operation: Operation, args: &mut Args) -> Result<CeremonyStep> {
    Ok(match (rest, operation) {
        ("init" | "attempt", Operation::Read) => CeremonyStep::Status,
        ("verify", Operation::Read) => CeremonyStep::Verification,
        ("init" | "attempt", Operation::Delete) => CeremonyStep::Cancel(Cancel::parse(args)?.claim(true)),
        ("verify", Operation::Delete) => CeremonyStep::VerifyAgain(Cancel::parse(args)?.claim(true)),
        ("update", Operation::Update) => CeremonyStep::Offer(Offer::parse(args)?.into()),
        ("verify", Operation::Update) => CeremonyStep::Verify(Offer::parse(args)?.into()),
        (_, Operation::Update) if kind == CeremonyKind::Root => StartRoot::parse(args)?.step()?,
        (_, Operation::Update) => StartRekey::parse(args)?.step()?,
        _ => return Err(Error::UnsupportedOperation),
    })
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

async fn take(cx: &Cx<Sys>, step: CeremonyStep) -> Result<Reply> {
    let below = cx.path.as_str().strip_prefix("sys/").unwrap_or_default();
    let kind = match (below.starts_with("rotate/root/"), below.starts_with("rotate/recovery/")) {
        (true, _) => CeremonyKind::Rekey,
        (_, true) => CeremonyKind::RecoveryRekey,
        _ => kind_of(below).ok_or_else(|| Error::internal("a ceremony at the path of none"))?.0,
    };
    let ends = matches!(step, CeremonyStep::Cancel(_));
    let map = cx.engine().handles.control.ceremony(kind, step).await?;
    Ok(if ends { Reply::nothing() } else { Reply::data(map) })
}

/// Vault keeps shares that were encrypted to PGP keys; here they are handed out once and kept by nobody.
async fn backup(_: Cx<Sys>, _: ()) -> Result<Reply> {
    Err(Error::invalid("no backed-up keys found"))
}

async fn no_backup(_: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(Reply::nothing())
}

async fn decode(_: Cx<Sys>, p: Decode) -> Result<Reply> {
    let given = |field: &str, value: Option<Secret<String>>| {
        value.filter(|v| !v.reveal().is_empty()).ok_or_else(|| Error::invalid(format!("missing {field}")))
    };
    let (encoded, otp) = (given("encoded_token", p.encoded_token)?, given("otp", p.otp)?);
    let wrong = || Error::invalid("field 'encoded_token': not base64 of a token under this one-time pad");
    let mixed = encoded.reveal().trim().trim_end_matches('=');
    let mixed = Secret::new(base64::engine::general_purpose::STANDARD_NO_PAD.decode(mixed).map_err(|_| wrong())?);
    if mixed.reveal().len() != otp.reveal().len() {
        return Err(wrong());
    }
    let bytes = mixed.reveal().iter().zip(otp.reveal().bytes()).map(|(a, b)| a ^ b).collect();
    let token = Secret::new(String::from_utf8(bytes).map_err(|_| wrong())?);
    if !crate::token::Tokens::plausible(token.reveal()) {
        return Err(wrong());
    }
    Ok(Reply::data([("token".to_owned(), crate::base::Json::from(token.reveal().as_str()))]))
}

async fn status(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    take(&cx, CeremonyStep::Status).await
}

async fn start_rekey(cx: Cx<Sys>, p: StartRekey) -> Result<Reply> {
    take(&cx, p.step()?).await
}

async fn start_root(cx: Cx<Sys>, p: StartRoot) -> Result<Reply> {
    take(&cx, p.step()?).await
}

async fn offer(cx: Cx<Sys>, p: Offer) -> Result<Reply> {
    take(&cx, CeremonyStep::Offer(p.into())).await
}

async fn cancel(cx: Cx<Sys>, p: Cancel) -> Result<Reply> {
    take(&cx, CeremonyStep::Cancel(p.claim(false))).await
}

async fn verification(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    take(&cx, CeremonyStep::Verification).await
}

async fn verify(cx: Cx<Sys>, p: Offer) -> Result<Reply> {
    take(&cx, CeremonyStep::Verify(p.into())).await
}

async fn verify_again(cx: Cx<Sys>, p: Cancel) -> Result<Reply> {
    take(&cx, CeremonyStep::VerifyAgain(p.claim(false))).await
}

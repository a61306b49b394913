//! The directory of an ACME server, and nonces for those who have none.

use super::config::EabPolicy;
use super::desk::{self, Answer, Place};
use crate::base::{Json, Result};
use crate::engine::{Cx, Reply};
use crate::secrets::pki::Pki;

pub async fn directory(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::open_to_all(cx, place, |desk| {
        desk.office()?;
        let mut members: Vec<(&str, Json)> = [
            ("keyChange", "key-change"),
            ("newAccount", "new-account"),
            ("newNonce", "new-nonce"),
            ("newOrder", "new-order"),
            ("renewalInfo", "renewal-info"),
            ("revokeCert", "revoke-cert"),
        ]
        .map(|(member, below)| (member, desk.at(below).into()))
        .into();
        let required = desk.config.eab_policy != EabPolicy::Nobody;
        members.push(("meta", Json::object([("externalAccountRequired", Json::from(required))])));
        Ok(Answer::json(200, &Json::object(members)))
    })
}

/// 200 for HEAD, 204 for GET (RFC 8555 section 7.2); the nonce is in the header, as in every answer.
pub async fn new_nonce(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    let head = cx.raw.as_ref().is_some_and(|raw| raw.method == "HEAD");
    let status = if head { 200 } else { 204 };
    desk::open_to_all(cx, place, |_| Ok(Answer::bytes(status, "application/octet-stream", Vec::new())))
}

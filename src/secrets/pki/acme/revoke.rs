//! Revoking by ACME (RFC 8555 section 7.6): by who got the certificate, who has its key, or who has proved all its names.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::desk::{self, Answer, Desk, Place, Signed, Who};
use super::identifier::Identifier;
use super::order::{self, Issued, issued_key};
use super::problem::{Fault, Kind, Problem, problem};
use crate::base::{Error, Json, Result};
use crate::crypto::x509::{Certificate, Reason};
use crate::engine::{Cx, Reply};
use crate::secrets::pki::Pki;
use crate::secrets::pki::revoke::set_revoked;
use crate::secrets::pki::store::{Stored, certificate_key};

pub async fn revoke_cert(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::signed(cx, place, Who::Anybody, revoke).await
}

async fn revoke(desk: Arc<Desk>, signed: Signed) -> Result<Answer, Fault> {
    let cx = &desk.cx;
    let payload = signed.object()?;
    let text = payload.get("certificate").and_then(Json::as_str).unwrap_or_default();
    let certificate = match BASE64.decode(text).ok().map(|der| Certificate::from_der(&der)) {
        Some(Ok(certificate)) => certificate,
        _ => return problem(Kind::Malformed, "certificate: no certificate in base64url"),
    };
    let reason = match payload.get("reason") {
        None | Some(Json::Null) => Reason::Unspecified,
        Some(Json::Number(code)) => match code.parse::<u8>().ok().map(|code| (code, Reason::of(code))) {
            Some((0, reason)) => reason,
            Some((1 | 3 | 4 | 5 | 9, reason)) => reason,
            _ => return problem(Kind::BadRevocationReason, "reason: want 0, 1, 3, 4, 5 or 9"),
        },
        Some(_) => return problem(Kind::BadRevocationReason, "reason: want a number"),
    };
    let mut txn = cx.txn();
    let serial = certificate.serial_text();
    let stored: Option<Stored> = txn.get(&certificate_key(&serial))?;
    // Byte for byte: a serial number alone is somebody else's word.
    let known = stored.filter(|stored| Certificate::from_pem(&stored.certificate).is_ok_and(|one| one == certificate));
    let Some(stored) = known else {
        return Err(Problem::new(Kind::Malformed, "there is no such certificate").status(404).into());
    };
    if !may(&desk, &signed, &certificate, &serial)? {
        return problem(Kind::Unauthorized, "the certificate is another's");
    }
    if stored.revoked.is_some() {
        return problem(Kind::AlreadyRevoked, "the certificate is revoked");
    }
    match set_revoked(cx, &mut txn, &serial, reason) {
        Ok(_) => Ok(Answer::bytes(200, "application/json", Vec::new()).with(txn)),
        Err(Error::Invalid(text)) => problem(Kind::Malformed, text),
        Err(other) => Err(other.into()),
    }
}

fn may(desk: &Desk, signed: &Signed, certificate: &Certificate, serial: &str) -> Result<bool, Fault> {
    let Some(account) = &signed.account else {
        return Ok(certificate.spki() == signed.verified.key.key().spki());
    };
    if desk.cx.get::<Issued>(&issued_key(serial))?.is_some_and(|issued| issued.account == account.id) {
        return Ok(true);
    }
    let names = certificate.alt_names()?;
    let identifiers: Vec<Identifier> = names.iter().filter_map(Identifier::of).collect();
    if names.is_empty() || identifiers.len() != names.len() {
        return Ok(false);
    }
    let proved = order::proved_by(&desk.cx, &account.id)?;
    Ok(identifiers.iter().all(|identifier| proved.contains(&identifier.base())))
}

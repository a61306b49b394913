//! OCSP: whether a certificate is revoked, said by its issuer's own key, about one certificate at a time.
//!
//! A serial number that is not in the list is good: certificates of roles with `no_store` are not known by number.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Pki;
use super::answers::{self, Statuses};
use super::authority::Authority;
use super::crl::{CrlConfig, Entry};
use super::store::{config_key, revoked_key};
use crate::base::{Error, Result, time};
use crate::crypto::x509::{self, CertStatus, OcspRefusal, OcspRequest, OcspSpec, Reason};
use crate::engine::{Cx, Reply};
use crate::params;

const ANSWER: &str = "application/ocsp-response";

params! {
    /// A question in the path.
    pub struct InPath {
        /// The request, in base64.
        request: String,
    }
}

pub async fn post(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let body = cx.raw.as_ref().map(|raw| raw.body.clone()).unwrap_or_default();
    answer(&cx, &body).await
}

pub async fn get(cx: Cx<Pki>, p: InPath) -> Result<Reply> {
    // A slash that no path can hold comes as the letter that the other alphabet has for it.
    match STANDARD.decode(p.request.replace('_', "/")) {
        Ok(der) => answer(&cx, &der).await,
        Err(_) => Ok(refused(400, OcspRefusal::Malformed)),
    }
}

fn refused(status: u16, refusal: OcspRefusal) -> Reply {
    Reply::raw(status, ANSWER, refusal.der().to_vec())
}

async fn answer(cx: &Cx<Pki>, der: &[u8]) -> Result<Reply> {
    let config: CrlConfig = cx.get(&config_key("crl"))?.unwrap_or_default();
    if config.ocsp_disable {
        return Ok(refused(401, OcspRefusal::Unauthorized));
    }
    let Ok(request) = OcspRequest::from_der(der) else { return Ok(refused(400, OcspRefusal::Malformed)) };
    let Some((authority, statuses)) = looked_up(cx, &request)? else {
        return Ok(refused(401, OcspRefusal::Unauthorized));
    };
    let (now, expiry, answers) = (cx.now(), config.ocsp_expiry(), &cx.engine().answers);
    // One that ends sooner than it would be given again is always made anew.
    let own = request.nonce.is_some() || expiry < answers::FRESH;
    if !own && let Some(der) = answers.find(&authority, &statuses, expiry, now) {
        return Ok(Reply::raw(200, ANSWER, der));
    }
    let kept = (!own).then(|| (authority.clone(), statuses.clone()));
    let spec = OcspSpec {
        statuses,
        this_update: now,
        next_update: (!expiry.is_zero()).then(|| time::after(now, expiry)),
        nonce: request.nonce,
        responder: None,
    };
    let kind = authority.key.kind();
    let sign = move || Ok(spec.sign(&authority.key, authority.list_algorithm()?)?);
    let der = cx.engine().workers.run(kind, sign).await?;
    if let Some((authority, statuses)) = kept {
        answers.keep(authority, statuses, expiry, now, &der);
    }
    Ok(Reply::raw(200, ANSWER, der))
}

/// The issuer that the first question is about, and what it says to each; none if it is not one that may answer here.
fn looked_up(cx: &Cx<Pki>, request: &OcspRequest) -> Result<Option<(Arc<Authority>, Statuses)>> {
    let roster = cx.engine().roster.all(cx.view())?;
    for known in roster.iter().filter(|known| request.ids.first().is_some_and(|id| id.is_of(&known.digests))) {
        let found = cx.view().read(|reading| {
            let authority = match cx.engine().authorities.signer(reading, &known.id) {
                Ok(authority) if authority.issuer.usage.ocsp => authority,
                // One without a key; another of this name and key may have it.
                Ok(_) | Err(Error::Invalid(_)) => return Ok(None),
                Err(other) => return Err(other),
            };
            let mut statuses = Vec::with_capacity(request.ids.len());
            for id in &request.ids {
                let status = if id.is_of(&known.digests) {
                    let place = revoked_key(&known.list).join(&x509::serial_text(id.serial()));
                    match reading.get::<Entry>(&place)? {
                        Some(entry) => CertStatus::Revoked(entry.at, Reason::of(entry.reason)),
                        None => CertStatus::Good,
                    }
                } else {
                    CertStatus::Unknown
                };
                statuses.push((id.clone(), status));
            }
            Ok(Some((authority, statuses)))
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

//! Revocation lists. A revocation adds an entry and counts; the list is signed anew when somebody asks for it and the
//! count has moved on, so that a thousand revocations cost one signature, and no list is ever out of date. What makes a
//! list of a hundred thousand entries cheap is in `entries` (what it is made of) and `signed` (how it is kept).

mod entries;
mod settings;
mod signed;

use super::Pki;
use super::issuer::{self, find};
use super::modified::dated;
use super::output::trimmed;
use super::read::{OneIssuer, raw};
use crate::base::{Error, Json, Result};
use crate::crypto::pem::{self, Label};
use crate::crypto::{Hash, KeyKind, SignatureAlgorithm};
use crate::engine::{Cx, Reply};

pub use entries::{Entry, add, tend};
pub use settings::{CrlConfig, read_config, write_config};
use signed::{Kind, List, list_of};

const DER: &str = "application/pkix-crl";
const PEM: &str = "application/x-pem-file";

/// The algorithm of this name, if a key of this kind has it.
pub fn algorithm_of(kind: KeyKind, name: &str) -> Option<SignatureAlgorithm> {
    let own = SignatureAlgorithm::for_key(kind, None, false).ok()?;
    let rsa =
        Hash::ALL.into_iter().flat_map(|hash| [SignatureAlgorithm::RsaPkcs1(hash), SignatureAlgorithm::RsaPss(hash)]);
    let all: Vec<SignatureAlgorithm> = if matches!(kind, KeyKind::Rsa(_)) { rsa.collect() } else { vec![own] };
    all.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
}

async fn of_default(cx: &Cx<Pki>, kind: Kind) -> Result<Option<List>> {
    match cx.view().read(|reading| find(reading, "default")) {
        Ok(issuer) => list_of(cx, issuer, kind, false).await,
        Err(Error::Invalid(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

fn as_pem(der: &[u8]) -> Result<String> {
    Ok(trimmed(pem::encode(Label::Crl, der)?))
}

fn answered(cx: &Cx<Pki>, list: Option<List>, in_pem: bool) -> Result<Reply> {
    let media_type = if in_pem { PEM } else { DER };
    let Some(List { der, made, txn }) = list else { return Ok(raw(media_type, None)) };
    let bytes = if in_pem { as_pem(&der)?.into_bytes() } else { der };
    let reply = dated(cx, Some(made), raw(media_type, Some(bytes)));
    Ok(match txn {
        Some(txn) => reply.with(txn),
        None => reply,
    })
}

fn as_json(list: Option<List>, field: &str) -> Result<Reply> {
    let List { der, txn, .. } = list.ok_or_else(Error::not_found)?;
    let reply = Reply::data([
        (field.to_owned(), Json::from(as_pem(&der)?)),
        ("revocation_time".to_owned(), 0.into()),
        ("revocation_time_rfc3339".to_owned(), "".into()),
    ]);
    Ok(match txn {
        Some(txn) => reply.with(txn),
        None => reply,
    })
}

pub async fn der(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    answered(&cx, of_default(&cx, Kind::Full).await?, false)
}
pub async fn in_pem(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    answered(&cx, of_default(&cx, Kind::Full).await?, true)
}
pub async fn delta_der(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    answered(&cx, of_default(&cx, Kind::Delta).await?, false)
}
pub async fn delta_pem(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    answered(&cx, of_default(&cx, Kind::Delta).await?, true)
}
pub async fn cert_crl(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    as_json(of_default(&cx, Kind::Full).await?, "certificate")
}
pub async fn cert_delta_crl(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    as_json(of_default(&cx, Kind::Delta).await?, "certificate")
}

async fn of_issuer(cx: &Cx<Pki>, reference: &str, kind: Kind) -> Result<Option<List>> {
    let issuer = cx.view().read(|reading| find(reading, reference))?;
    list_of(cx, issuer, kind, false).await
}

pub async fn issuer_json(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    as_json(of_issuer(&cx, &p.issuer_ref, Kind::Full).await?, "crl")
}
pub async fn issuer_der(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    answered(&cx, of_issuer(&cx, &p.issuer_ref, Kind::Full).await?, false)
}
pub async fn issuer_pem(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    answered(&cx, of_issuer(&cx, &p.issuer_ref, Kind::Full).await?, true)
}
pub async fn issuer_delta_json(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    as_json(of_issuer(&cx, &p.issuer_ref, Kind::Delta).await?, "crl")
}
pub async fn issuer_delta_der(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    answered(&cx, of_issuer(&cx, &p.issuer_ref, Kind::Delta).await?, false)
}
pub async fn issuer_delta_pem(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    answered(&cx, of_issuer(&cx, &p.issuer_ref, Kind::Delta).await?, true)
}

pub async fn rotate(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    rotate_all(&cx, Kind::Full).await
}
pub async fn rotate_delta(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    rotate_all(&cx, Kind::Delta).await
}

async fn rotate_all(cx: &Cx<Pki>, kind: Kind) -> Result<Reply> {
    let mut txn = cx.txn();
    let mut done: Vec<String> = Vec::new();
    for issuer in issuer::all(cx.view())? {
        let able = issuer.usage.crl && !issuer.key_id.is_empty() && !done.contains(&issuer.list);
        if !able {
            continue;
        }
        done.push(issuer.list.clone());
        if let Some(List { txn: Some(change), .. }) = list_of(cx, issuer, kind, true).await? {
            txn.merge(change);
        }
    }
    Ok(Reply::data([("success".to_owned(), Json::from(true))]).with(txn))
}

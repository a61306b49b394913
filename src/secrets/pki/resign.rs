//! Lists that are made by hand: those of several places put together, or of certificates that somebody names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Pki;
use super::issuer::{self, find};
use super::store::canonical_serial;
use crate::base::{Error, Json, Result, Timestamp, Ttl, time};
use crate::crypto::pem::{self, Label};
use crate::crypto::x509::{self, Certificate, Crl, CrlSpec, Reason, Revoked};
use crate::engine::{Cx, Reply};
use crate::params;

/// The most lists that are put together at once.
const LISTS_MAX: usize = 64;
/// The most entries of such a list.
const ENTRIES_MAX: usize = 100_000;

params! {
    /// Lists to put together.
    pub struct Resign {
        /// The issuer.
        issuer_ref: String,
        /// The lists, in PEM.
        crls: Vec<String>,
        /// The number of the new one.
        crl_number: i64,
        /// The number of the list that it adds to; -1 for a complete one.
        delta_crl_base_number: Option<i64>,
        /// How long it is valid.
        next_update: Option<Ttl>,
        /// pem or der.
        format: Option<String>,
    }
    /// A list of these.
    pub struct SignList {
        /// The issuer.
        issuer_ref: String,
        /// Objects with serial_number and revocation_time.
        revoked_certs: Option<Json>,
        /// The number of the list.
        crl_number: i64,
        /// The number of the list that it adds to; -1 for a complete one.
        delta_crl_base_number: Option<i64>,
        /// How long it is valid.
        next_update: Option<Ttl>,
        /// pem or der.
        format: Option<String>,
    }
}

struct Wanted {
    number: i64,
    base: Option<i64>,
    next_update: Option<Ttl>,
    der: bool,
    revoked: Vec<Revoked>,
}

pub async fn resign(cx: Cx<Pki>, p: Resign) -> Result<Reply> {
    let issuer = cx.view().read(|reading| find(reading, &p.issuer_ref))?;
    let certificate = Certificate::from_pem(&issuer.certificate)?;
    if p.crls.is_empty() || p.crls.len() > LISTS_MAX {
        return Err(Error::invalid(format!("crls: want 1 to {LISTS_MAX} lists")));
    }
    let mut revoked: Vec<Revoked> = Vec::new();
    for text in &p.crls {
        let list = Crl::from_pem(text)?;
        list.verify_by(&certificate).map_err(|_| Error::invalid("crls: one is not this issuer's"))?;
        revoked.extend(list.entries());
    }
    revoked.sort_by(|one, other| (&one.serial, one.at).cmp(&(&other.serial, other.at)));
    revoked.dedup_by(|later, earlier| later.serial == earlier.serial);
    let der = wants_der(p.format.as_deref())?;
    let wanted =
        Wanted { number: p.crl_number, base: p.delta_crl_base_number, next_update: p.next_update, der, revoked };
    signed(&cx, issuer, wanted).await
}

pub async fn sign(cx: Cx<Pki>, p: SignList) -> Result<Reply> {
    let issuer = cx.view().read(|reading| find(reading, &p.issuer_ref))?;
    let Json::Array(items) = p.revoked_certs.unwrap_or(Json::Array(Vec::new())) else {
        return Err(Error::invalid("revoked_certs: want a list of objects"));
    };
    if items.len() > ENTRIES_MAX {
        return Err(Error::invalid(format!("revoked_certs: at most {ENTRIES_MAX}")));
    }
    let mut revoked = Vec::new();
    for item in &items {
        let serial = item.at("serial_number").and_then(Json::as_str).unwrap_or_default();
        let serial = x509::parse_serial(&canonical_serial(serial)?)?;
        let at = match item.at("revocation_time") {
            None | Some(Json::Null) => cx.now(),
            Some(Json::String(text)) => {
                text.parse().map_err(|_| Error::invalid("revoked_certs: revocation_time is no date"))?
            }
            Some(Json::Number(text)) => {
                let seconds = text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
                seconds.ok_or_else(|| Error::invalid("revoked_certs: revocation_time is no date"))?
            }
            Some(_) => return Err(Error::invalid("revoked_certs: revocation_time is no date")),
        };
        if revoked.iter().any(|one: &Revoked| one.serial == serial) {
            return Err(Error::invalid("revoked_certs: one serial number is there twice"));
        }
        revoked.push(Revoked { serial, at, reason: Reason::Unspecified });
    }
    let der = wants_der(p.format.as_deref())?;
    let wanted =
        Wanted { number: p.crl_number, base: p.delta_crl_base_number, next_update: p.next_update, der, revoked };
    signed(&cx, issuer, wanted).await
}

fn wants_der(format: Option<&str>) -> Result<bool> {
    match format.unwrap_or("pem") {
        "pem" | "" => Ok(false),
        "der" => Ok(true),
        _ => Err(Error::invalid("format: want pem or der")),
    }
}

async fn signed(cx: &Cx<Pki>, issuer: issuer::Issuer, wanted: Wanted) -> Result<Reply> {
    if !issuer.usage.crl {
        return Err(Error::invalid("the issuer is not allowed to sign lists"));
    }
    let number = |field: &str, value: i64| {
        u64::try_from(value).map_err(|_| Error::invalid(format!("{field}: want a number that is not negative")))
    };
    let base = wanted.base.filter(|base| *base != -1).map(|base| number("delta_crl_base_number", base)).transpose()?;
    let authority = cx.view().read(|reading| cx.engine().authorities.signer(reading, &issuer.id))?;
    let spec = CrlSpec {
        issuer: authority.certificate.subject().clone(),
        authority_key_id: authority.key_id.clone(),
        number: number("crl_number", wanted.number)?,
        base,
        this_update: cx.now(),
        next_update: time::after(cx.now(), wanted.next_update.unwrap_or(Ttl::from_seconds(72 * 3600))),
        entries: Revoked::all(&wanted.revoked)?,
        extensions: Vec::new(),
    };
    let kind = authority.key.kind();
    let sign = move || Ok(spec.sign(&authority.key, authority.list_algorithm()?)?);
    let crl = cx.engine().workers.run(kind, sign).await?;
    let text = match wanted.der {
        true => STANDARD.encode(&crl),
        false => pem::encode(Label::Crl, &crl)?.trim_end().to_owned(),
    };
    Ok(Reply::data([("crl".to_owned(), Json::from(text))]))
}

//! CAs below others: a request for one, its certificate coming back, and signing one here.

use std::sync::Arc;

use super::Pki;
use super::admission::Asked;
use super::authority::Authority;
use super::certify::{self, Certified};
use super::issue::request;
use super::issuer;
use super::lifetime::Beyond;
use super::output::FormatParams;
use super::root::{CaParams, KeyParams, Origin, ca_key, ca_names};
use super::store;
use crate::base::{Error, Json, Result};
use crate::crypto::x509::{self, Certificate, CertificateSpec, Extension, RequestSpec, extension};
use crate::engine::{Cx, Reply};
use crate::params;

/// The longest identifier of a key, in bytes: as long as the longest digest.
const KEY_ID_MAX: usize = 64;

params! {
    /// A request for a CA to be.
    pub struct Generate {
        /// internal, exported, or existing.
        kind: String = "exported",
        /// Whether the request itself says that it is for a CA.
        add_basic_constraints: Option<bool>,
        /// Names.
        asked: Asked,
        /// Subject and limits.
        ca: CaParams,
        /// The key.
        key: KeyParams,
        /// How the answer is written.
        format: FormatParams,
    }
    /// A request for another certificate of a key that is here.
    pub struct CrossSign {
        /// Whether the request itself says that it is for a CA.
        add_basic_constraints: Option<bool>,
        /// Names.
        asked: Asked,
        /// Subject and limits.
        ca: CaParams,
        /// The key.
        key: KeyParams,
        /// How the answer is written.
        format: FormatParams,
    }
    /// A CA to be signed.
    pub struct SignIntermediate {
        /// The issuer; the default unless given.
        issuer_ref: Option<String>,
        /// The request, in PEM.
        csr: Option<String>,
        /// Whether subject and names are the request's.
        use_csr_values: Option<bool>,
        /// The identifier of its key, in hexadecimal; a digest of the key unless given.
        skid: Option<String>,
        /// Whether the issuer's leaf_not_after_behavior counts for it too.
        enforce_leaf_not_after_behavior: Option<bool>,
        /// Names and lifetime.
        asked: Asked,
        /// Subject and limits.
        ca: CaParams,
        /// How the answer is written.
        format: FormatParams,
    }
    /// A root to be signed by another.
    pub struct SignSelfIssued {
        /// The issuer; the default unless given.
        issuer_ref: Option<String>,
        /// The root's certificate, in PEM.
        certificate: Option<String>,
        /// Whether both must be signed alike.
        require_matching_certificate_algorithms: Option<bool>,
    }
}

pub async fn generate(cx: Cx<Pki>, p: Generate) -> Result<Reply> {
    let format = p.format.checked()?;
    let origin = Origin::parse(&p.kind)?;
    let subject = p.ca.subject(&p.asked).encode()?;
    let names = ca_names(&p.asked)?;
    let manner = p.ca.manner()?;
    let mut extensions: Vec<Extension> = Vec::new();
    if p.add_basic_constraints.unwrap_or(false) {
        extensions.push(extension::basic_constraints(true, None)?);
    }
    if !names.is_empty() {
        extensions.push(extension::alt_names(&names, false)?);
    }
    let key = ca_key(&cx, origin, &p.key).await?;
    let signing = key.key.clone();
    let kind = signing.kind();
    let sign = move || Ok(RequestSpec { subject, extensions }.sign(&signing, manner.algorithm(kind)?)?);
    let request = cx.engine().workers.run(kind, sign).await?;
    let mut data = format.requested(&request, key.exported.then_some(&*key.key))?;
    data.insert("key_id".into(), Json::from(key.row.id.clone()));
    data.insert("key_name".into(), Json::from(key.row.name.clone()));
    let mut txn = cx.txn();
    if key.fresh {
        issuer::add_key(&mut txn, &key.row)?;
    }
    Ok(Reply::data(data).with(txn))
}

pub async fn cross_sign(cx: Cx<Pki>, p: CrossSign) -> Result<Reply> {
    let CrossSign { add_basic_constraints, asked, ca, key, format } = p;
    generate(cx, Generate { kind: "existing".into(), add_basic_constraints, asked, ca, key, format }).await
}

fn authority(cx: &Cx<Pki>, reference: Option<&str>) -> Result<Arc<Authority>> {
    cx.view().read(|reading| cx.engine().authorities.issuing(reading, reference.unwrap_or("default")))
}

pub async fn sign(cx: Cx<Pki>, p: SignIntermediate) -> Result<Reply> {
    let format = p.format.checked()?;
    let request = request(p.csr)?;
    let authority = authority(&cx, p.issuer_ref.as_deref())?;
    let above = match authority.certificate.ca()? {
        Some(length) => length.0,
        None => return Err(Error::invalid("the issuer is not a CA")),
    };
    let (subject, names) = if p.use_csr_values.unwrap_or(false) {
        (request.subject().clone(), request.alt_names()?)
    } else {
        if p.asked.common_name.as_deref().unwrap_or_default().is_empty() {
            return Err(Error::invalid("the common_name field must be supplied, unless use_csr_values is true"));
        }
        (p.ca.subject(&p.asked).encode()?, ca_names(&p.asked)?)
    };
    // A CA may outlive the one that signs it: it can be signed again by the next.
    let enforced = p.enforce_leaf_not_after_behavior.unwrap_or(false);
    let end = (authority.certificate.not_after(), if enforced { authority.issuer.beyond } else { Beyond::Permit });
    let (lifetime, warning) = p.ca.lifetime(&cx, &p.asked, Some(end))?;
    let manner = p.ca.manner()?;
    let mut extensions = p.ca.extensions(above)?;
    let key_id = match p.skid.as_deref().filter(|skid| !skid.is_empty()) {
        Some(skid) => key_id_of(skid)?,
        None => request.public_key().key_id().to_vec(),
    };
    extensions.push(extension::subject_key_id(&key_id)?);
    extensions.extend(authority.extensions.iter().cloned());
    if !names.is_empty() {
        extensions.push(extension::alt_names(&names, subject.is_empty())?);
    }
    let spec = CertificateSpec {
        serial: x509::random_serial(cx.rng()).to_vec(),
        issuer: authority.certificate.subject().clone(),
        subject,
        public_key: request.public_key().clone(),
        not_before: lifetime.not_before,
        not_after: lifetime.not_after,
        extensions,
    };
    let certificate = signed(&cx, spec, authority.clone(), manner).await?;
    let mut txn = cx.txn();
    store::add(&mut txn, &certificate, &authority.issuer, "")?;
    let data = format.certified(&Certified { certificate, key: None }, &authority.issuer)?;
    let mut reply = Reply::data(data).with(txn);
    reply.warnings.extend(warning);
    Ok(reply)
}

/// A key's identifier from outside.
fn key_id_of(text: &str) -> Result<Vec<u8>> {
    let bytes = hex::decode(text.replace(':', "")).ok().filter(|bytes| (1..=KEY_ID_MAX).contains(&bytes.len()));
    bytes.ok_or_else(|| Error::invalid(format!("skid: want at most {KEY_ID_MAX} bytes in hexadecimal")))
}

async fn signed(
    cx: &Cx<Pki>,
    spec: CertificateSpec,
    authority: Arc<Authority>,
    manner: certify::Manner,
) -> Result<Certificate> {
    let kind = authority.key.kind();
    let algorithm = manner.algorithm(kind)?;
    cx.engine().workers.run(kind, move || Ok(spec.sign(&authority.key, algorithm)?)).await
}

/// Signs a root's certificate again, under this issuer: who trusts the old root then trusts what the new one signs.
pub async fn sign_self_issued(cx: Cx<Pki>, p: SignSelfIssued) -> Result<Reply> {
    let pem =
        p.certificate.filter(|pem| !pem.is_empty()).ok_or_else(|| Error::invalid("no certificate was provided"))?;
    let old = Certificate::from_pem(&pem)?;
    if !old.is_ca() || old.subject() != old.issuer() {
        return Err(Error::invalid("the certificate is not a CA's that issued itself"));
    }
    old.verify_by(&old)?;
    let authority = authority(&cx, p.issuer_ref.as_deref())?;
    if p.require_matching_certificate_algorithms.unwrap_or(false)
        && old.signature_algorithm()? != authority.certificate.signature_algorithm()?
    {
        return Err(Error::invalid("the certificate and the issuer's are not signed alike"));
    }
    use extension::id;
    let ours = [id::AUTHORITY_KEY_ID, id::AUTHORITY_INFO_ACCESS, id::CRL_DISTRIBUTION_POINTS];
    let kept = old.extensions().iter().filter(|one| !ours.contains(&one.oid)).cloned();
    let mut extensions: Vec<Extension> = kept.collect();
    extensions.extend(authority.extensions.iter().cloned());
    let spec = CertificateSpec {
        serial: x509::random_serial(cx.rng()).to_vec(),
        issuer: authority.certificate.subject().clone(),
        subject: old.subject().clone(),
        public_key: old.public_key()?,
        not_before: old.not_before(),
        not_after: old.not_after(),
        extensions,
    };
    let certificate = signed(&cx, spec, authority.clone(), certify::Manner::default()).await?;
    let mut txn = cx.txn();
    store::add(&mut txn, &certificate, &authority.issuer, "")?;
    Ok(Reply::data([
        ("certificate".to_owned(), Json::from(super::output::trimmed(certificate.pem()?))),
        ("issuing_ca".to_owned(), super::output::trimmed(authority.issuer.certificate.clone()).into()),
    ])
    .with(txn))
}

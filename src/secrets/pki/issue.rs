//! `issue`, `sign`, `sign-verbatim`: certificates in the name of a role.

use std::sync::Arc;

use super::Pki;
use super::admission::{self, Admitted, Ask, Asked, Facts, LeafKey};
use super::authority::Authority;
use super::certify::{self, Manner};
use super::output::FormatParams;
use super::role::Role;
use super::{roles, store};
use crate::base::{Error, Json, Result, time};
use crate::crypto::x509::Request;
use crate::engine::{Cx, Leased, Reply};
use crate::params;

params! {
    /// A certificate with a key that is made here.
    pub struct Issue {
        /// The issuer; the role's unless given.
        issuer_ref: Option<String>,
        /// Name of the role.
        role: String,
        /// Names and lifetime.
        asked: Asked,
        /// How the answer is written.
        format: FormatParams,
    }
    /// A certificate for a request.
    pub struct Sign {
        /// The issuer; the role's unless given.
        issuer_ref: Option<String>,
        /// Name of the role.
        role: String,
        /// The request, in PEM.
        csr: Option<String>,
        /// Names and lifetime.
        asked: Asked,
        /// How the answer is written.
        format: FormatParams,
    }
    /// A certificate for a request, with the names that it has.
    pub struct Verbatim {
        /// The issuer; the role's unless given.
        issuer_ref: Option<String>,
        /// Name of the role, if any.
        role: Option<String>,
        /// The request, in PEM.
        csr: Option<String>,
        /// Key usages, by name.
        key_usage: Option<Vec<String>>,
        /// Extended key usages, by name.
        ext_key_usage: Vec<String>,
        /// Extended key usages, by object identifier.
        ext_key_usage_oids: Vec<String>,
        /// Digest of the signature.
        signature_bits: Option<u64>,
        /// RSA-PSS, if the issuer's key is RSA.
        use_pss: Option<bool>,
        /// Names and lifetime.
        asked: Asked,
        /// How the answer is written.
        format: FormatParams,
    }
}

pub async fn issue(cx: Cx<Pki>, p: Issue) -> Result<Reply> {
    let role = roles::load(&cx, &p.role)?;
    let role = role.filled(&cx.caller.facts)?;
    certificate(&cx, &p.role, &role, Ask::Parameters, p.issuer_ref, &p.asked, &p.format).await
}

pub async fn sign(cx: Cx<Pki>, p: Sign) -> Result<Reply> {
    let role = roles::load(&cx, &p.role)?;
    let role = role.filled(&cx.caller.facts)?;
    let request = request(p.csr)?;
    certificate(&cx, &p.role, &role, Ask::Request(&request), p.issuer_ref, &p.asked, &p.format).await
}

pub async fn sign_verbatim(cx: Cx<Pki>, p: Verbatim) -> Result<Reply> {
    let of = match p.role.as_deref() {
        None | Some("") => None,
        Some(name) => Some(Role::clone(&*roles::load(&cx, name)?)),
    };
    let mut role = admission::verbatim_role(of, p.key_usage, (p.ext_key_usage, p.ext_key_usage_oids))?;
    if let Some(bits) = p.signature_bits {
        role.signature_bits = u32::try_from(bits).map_err(|_| Error::invalid("signature_bits: too large"))?;
    }
    role.use_pss = p.use_pss.unwrap_or(role.use_pss);
    let request = request(p.csr)?;
    certificate(
        &cx,
        p.role.as_deref().unwrap_or_default(),
        &role,
        Ask::Verbatim(&request),
        p.issuer_ref,
        &p.asked,
        &p.format,
    )
    .await
}

/// The request of a parameter; its signature is checked, so that its key is the asker's.
///
/// # Errors
/// [`Error::Invalid`] if there is none, or it is malformed.
pub fn request(pem: Option<String>) -> Result<Request> {
    let pem = pem.filter(|pem| !pem.trim().is_empty()).ok_or_else(|| Error::invalid("\"csr\" is empty"))?;
    Ok(Request::from_pem(&pem)?)
}

async fn certificate(
    cx: &Cx<Pki>,
    role_name: &str,
    role: &Role,
    ask: Ask<'_>,
    issuer_ref: Option<String>,
    asked: &Asked,
    format: &FormatParams,
) -> Result<Reply> {
    let format = format.checked()?;
    let reference = issuer_ref.unwrap_or_else(|| role.issuer_ref.clone());
    let authority = cx.view().read(|reading| cx.engine().authorities.issuing(reading, &reference))?;
    let facts = Facts {
        display_name: cx.caller.display_name.clone(),
        now: cx.now(),
        limits: cx.limits,
        issuer_end: (authority.certificate.not_after(), authority.issuer.beyond),
        chance: cx.rng().below(u64::MAX),
    };
    let mut admitted = admission::admit(role, ask, asked, &facts)?;
    let warnings = admitted.take_warnings();
    let manner = Manner { bits: role.signature_bits, pss: role.use_pss };
    let certified = signed(cx, admitted, authority.clone(), manner).await?;

    let data = format.certified(&certified, &authority.issuer)?;
    let certificate = &certified.certificate;
    let mut reply = if role.generate_lease {
        Reply::leased(Leased {
            data,
            ttl: time::until(cx.now(), certificate.not_after()),
            max_ttl: time::until(cx.now(), certificate.not_after()),
            renewable: false,
            internal: Json::object([("serial_number", Json::from(certificate.serial_text()))]),
        })
    } else {
        Reply::data(data)
    };
    if !role.no_store {
        let mut txn = cx.txn();
        store::add(&mut txn, certificate, &authority.issuer, role_name)?;
        reply = reply.with(txn);
    }
    reply.warnings.extend(warnings);
    Ok(reply)
}

/// Signs what was admitted, where there is room for work with keys of its kind.
///
/// # Errors
/// As for [`certify::leaf`].
pub async fn signed(
    cx: &Cx<Pki>,
    admitted: Admitted,
    authority: Arc<Authority>,
    manner: Manner,
) -> Result<certify::Certified> {
    let kind = match admitted.key() {
        LeafKey::Make(kind) if kind.name() == "rsa" => *kind,
        LeafKey::Make(_) | LeafKey::Given(_) => authority.key.kind(),
    };
    let rng = cx.rng.clone();
    cx.engine().workers.run(kind, move || certify::leaf(&admitted, &authority, manner, rng.as_ref())).await
}

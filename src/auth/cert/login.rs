//! `login`: the certificate of the handshake becomes a token.
//!
//! All that does not fit has one answer: that there is no such name, that its certificate is another, that a name in it is not allowed, that it
//! is revoked.

use std::collections::BTreeMap;

use super::Cert;
use super::bounds;
use super::config;
use super::crl::decimal;
use super::lists::{any_revoked, issuer_of};
use super::ocsp;
use super::role::{self, Role};
use crate::base::{Error, Json, Name, Result};
use crate::crypto::sha256;
use crate::crypto::x509::{Certificate, INTERMEDIATES_MAX, client_path};
use crate::engine::{Alias, Claimed, ClientCert, Cx, Login, Renewal, Reply, Routes};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Cert>) -> Routes<Cert> {
    routes.at("login", "Log in with the certificate of the connection.", |at| at.update(login).public().claims(claim))
}

params! {
    /// A login.
    pub struct Credentials {
        /// Which trusted certificate is meant; any if none is given.
        name: Option<String>,
    }
}

fn refused() -> Error {
    Error::invalid("invalid certificate or no client certificate supplied")
}

/// The trusted certificate that is meant, for those who limit its logins.
fn claim(_: &Cx<Cert>, p: &Credentials, what: Claimed) -> Result<Option<String>> {
    let name = p.name.as_deref().filter(|_| what == Claimed::Role).and_then(|name| Name::folded(name).ok());
    Ok(name.map(|name| name.as_str().to_owned()))
}

async fn login(cx: Cx<Cert>, p: Credentials) -> Result<Reply> {
    let shown = cx.client_cert.clone().ok_or_else(|| Error::invalid("client certificate must be supplied"))?;
    let names = match p.name.filter(|name| !name.is_empty()) {
        Some(name) => vec![name],
        None => cx.list(&role::folder())?,
    };
    let mut away = None;
    for name in names {
        let Ok(name) = Name::folded(&name) else { return Err(refused()) };
        let Some(role) = cx.get::<Role>(&role::key(&name))? else { continue };
        if !role.rules.admits(cx.client_addr) {
            continue;
        }
        match admitted(&cx, &role, &shown).await {
            Ok(Some(certificate)) => return Ok(Reply::login(&cx, token(&cx, &name, &role, &certificate)?)),
            Ok(None) => {}
            // Another role may know another way to tell.
            Err(error @ Error::Unavailable(_)) => away = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(away.unwrap_or_else(refused))
}

/// The client's certificate, if this role admits it now.
async fn admitted(cx: &Cx<Cert>, role: &Role, shown: &ClientCert) -> Result<Option<Certificate>> {
    Ok(judged(cx, role, shown).await?.ok())
}

/// The client's certificate, or what stands against it.
///
/// # Errors
/// [`Error::Unavailable`] where the responder that must be asked does not answer; when what the role trusts, or a list, cannot be read.
pub async fn judged(cx: &Cx<Cert>, role: &Role, shown: &ClientCert) -> Result<Result<Certificate, &'static str>> {
    let no_path =
        "no chain leads from it to a certificate that the role trusts, or a part of the chain is out of its time";
    let Some(path) = path(role, shown, cx)? else { return Ok(Err(no_path)) };
    let [own, above @ ..] = path.as_slice() else { return Ok(Err(no_path)) };
    if !bounds::fits(role, own) {
        return Ok(Err("a name, unit or extension is not as the role asks"));
    }
    // Where the path does not show who issued a certificate, one of those that came along or are trusted may have.
    let mut others = role.trusted()?;
    others.extend(shown.chain.iter().skip(1).take(INTERMEDIATES_MAX).filter_map(|der| Certificate::from_der(der).ok()));
    if any_revoked(cx, &path, &others)? {
        return Ok(Err("it, or one above it, is revoked"));
    }
    if role.ocsp.enabled {
        let issuer = above.first().or_else(|| issuer_of(own, &[], &others));
        if !ocsp::admits(cx, &role.ocsp, own, issuer).await? {
            return Ok(Err("the responder of its authority does not vouch for it"));
        }
    }
    Ok(path.into_iter().next().ok_or(no_path))
}

/// From the client's certificate to the one that the role trusts.
fn path(role: &Role, shown: &ClientCert, cx: &Cx<Cert>) -> Result<Option<Vec<Certificate>>> {
    let trusted = role.trusted()?;
    let Some(own) = shown.chain.first() else { return Ok(None) };
    // One that is trusted by itself: the same bytes, and so the same key, names and signature. A look-alike of the same serial number and
    // subject has others.
    let pinned = trusted.iter().find(|certificate| !certificate.is_ca() && certificate.der() == own.as_slice());
    if let Some(pinned) = pinned {
        return Ok(pinned.is_valid_at(cx.now()).then(|| vec![pinned.clone()]));
    }
    Ok(client_path(&shown.chain, &trusted, cx.now()).ok())
}

/// What an admitted login's token is to be.
///
/// # Errors
/// The certificate, or what is configured, cannot be read.
pub fn token(cx: &Cx<Cert>, name: &Name, role: &Role, certificate: &Certificate) -> Result<Login> {
    let colons = |id: Option<Vec<u8>>| {
        id.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
    };
    let common_name = certificate.subject().common_name().unwrap_or_default();
    let mut metadata = bounds::metadata(role, certificate);
    // Last, so that no extension passes for one of these.
    metadata.extend(
        [
            ("authority_key_id", colons(certificate.authority_key_id()?)),
            ("cert_name", name.as_str().to_owned()),
            ("common_name", common_name.clone()),
            ("serial_number", decimal(certificate.serial())),
            ("subject_key_id", colons(certificate.subject_key_id()?)),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    );
    let known = if config::of(cx)?.enable_identity_alias_metadata { metadata.clone() } else { BTreeMap::new() };
    // Without a common name there is nobody to tell apart from others: the token has no entity.
    let alias = (!common_name.is_empty()).then_some(Alias { name: common_name, metadata: known });
    Ok(Login {
        display_name: role.display_name.clone(),
        alias,
        metadata,
        internal: Json::object(
            [("name", name.as_str().to_owned()), ("certificate", fingerprint(certificate.der()))]
                .map(|(k, v)| (k, Json::from(v))),
        ),
        ..role.rules.login()
    })
}

fn fingerprint(der: &[u8]) -> String {
    hex::encode(sha256(der))
}

/// A token lives on only as long as its role is there, gives the same policies, and still admits the very certificate of the login, which
/// the connection must show.
///
/// # Errors
/// Why not.
pub async fn renew(cx: &Cx<Cert>, login: &Login) -> Result<Renewal> {
    let text = |field: &str| login.internal.at(field).and_then(Json::as_str).unwrap_or_default();
    let role: Option<Role> = cx.get(&role::key(&Name::parse(text("name"))?))?;
    let role = role.ok_or_else(|| Error::invalid("the trusted certificate does not exist any more, not renewing"))?;
    if role.rules.token_policies != login.policies {
        return Err(Error::invalid("policies have changed, not renewing"));
    }
    if !config::of(cx)?.disable_binding {
        let shown = cx.client_cert.as_ref().filter(|shown| !shown.chain.is_empty());
        let shown = shown.ok_or_else(|| Error::invalid("no client certificate found, not renewing"))?;
        if fingerprint(&shown.chain[0]) != text("certificate") {
            return Err(Error::invalid(
                "client identity during renewal not matching client identity used during login",
            ));
        }
        if admitted(cx, &role, shown).await?.is_none() {
            return Err(refused());
        }
    }
    Ok(role.rules.renewal())
}

//! `simulate`: which role would admit a certificate, what it would get, and what stands against it at the others. Nothing is made.
//!
//! A certificate is public: that somebody holds its key is for the login to find out.

use std::net::IpAddr;

use super::Cert;
use super::login::{judged, token};
use super::role::{self, Role};
use crate::base::{Error, Json, Name, Result, limits};
use crate::crypto::x509::Certificate;
use crate::engine::{ClientCert, Cx, Reply, Routes};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Cert>) -> Routes<Cert> {
    routes.at("simulate", "Say what a login would give, and what stands against it.", |at| at.update(simulate))
}

params! {
    /// A login that is none.
    pub struct Question {
        /// The certificates that the client would show, its own first, in PEM.
        certificate: String,
        /// Which trusted certificate is meant; any if none is given.
        name: Option<String>,
        /// The address that the login comes from; without it, one that is allowed.
        remote_address: Option<IpAddr>,
    }
}

async fn simulate(cx: Cx<Cert>, p: Question) -> Result<Reply> {
    let wrong = |words: &str| Error::invalid(format!("field 'certificate': {words}"));
    let chain = Certificate::all_from_pem(&p.certificate).map_err(|_| wrong("expected certificates in PEM"))?;
    if chain.is_empty() || chain.len() > limits::TRUSTED_CERTIFICATES {
        return Err(wrong("no certificate, or too many"));
    }
    let chain: Vec<Vec<u8>> = chain.iter().map(|certificate| certificate.der().to_vec()).collect();
    let shown = ClientCert { chain: chain.into() };
    let names = match p.name.filter(|name| !name.is_empty()) {
        Some(name) => {
            let name = Name::folded(&name).map_err(|e| Error::invalid(format!("field 'name': {e}")))?;
            cx.get::<Role>(&role::key(&name))?.ok_or_else(|| Error::invalid("there is no role of this name"))?;
            vec![name.as_str().to_owned()]
        }
        None => cx.list(&role::folder())?,
    };
    let mut against = Vec::new();
    for name in names {
        let name = Name::folded(&name)?;
        let Some(role) = cx.get::<Role>(&role::key(&name))? else { continue };
        let found = match role.rules.against(p.remote_address) {
            Some(words) => Err(words),
            None => match judged(&cx, &role, &shown).await {
                Ok(found) => found.map_err(str::to_owned),
                Err(Error::Unavailable(words)) => Err(words),
                Err(error) => return Err(error),
            },
        };
        match found {
            Ok(certificate) => {
                let about = [("name".to_owned(), Json::from(name.as_str()))];
                return Ok(Reply::simulated(about, Ok(token(&cx, &name, &role, &certificate)?)));
            }
            Err(words) => against.push(format!("{name}: {words}")),
        }
    }
    if against.is_empty() {
        against.push("there are no roles".into());
    }
    Ok(Reply::simulated([], Err(against)))
}

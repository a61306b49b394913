//! The PKI engine: issuers, roles, and the certificates that are made in their name.
//!
//! A request becomes a certificate in three steps, each a type: what is asked for, `admission::Admitted`, the signed
//! certificate. There is no way around the middle one for those who ask through a role.

mod acme;
mod admission;
mod answers;
mod authority;
mod certify;
mod chain;
mod config;
mod crl;
mod expiring;
mod import;
mod intermediate;
mod issue;
mod issuer;
mod issuers;
mod lifetime;
mod modified;
mod names;
mod ocsp;
mod output;
mod read;
mod resign;
mod revoke;
mod role;
mod roles;
mod root;
mod roster;
mod spiffe;
mod store;
mod tidy;
mod workers;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::barrier::{Txn, View};
use crate::base::{BoxFuture, Json, Result};
use crate::engine::{Cx, Engine, Mount, Routes, Sample, class};

/// The engine.
pub struct Pki {
    workers: workers::Workers,
    authorities: authority::Authorities,
    roles: roles::AtHand,
    roster: roster::Roster,
    answers: answers::Answers,
    lists: Semaphore,
    validations: Arc<Semaphore>,
}

impl Pki {
    /// Lets go of all keys at hand: one of them was deleted.
    fn forget_keys(&self) {
        self.authorities.forget();
        self.answers.forget();
    }
}

impl Engine for Pki {
    type Class = class::Secrets;

    const TYPE: &'static str = "pki";

    fn routes() -> Routes<Self> {
        Routes::new("A certificate authority.")
            .and(role_routes)
            .and(certificate_routes)
            .and(ca_routes)
            .and(issuer_routes)
            .and(public_routes)
            .and(list_routes)
            .and(unified_routes)
            .and(acme::routes)
    }

    fn open(_: &Mount, _: &View) -> Result<Self> {
        Ok(Self {
            workers: workers::Workers::new(),
            authorities: authority::Authorities::new(),
            roles: roles::AtHand::new(),
            roster: roster::Roster::default(),
            answers: answers::Answers::new(),
            lists: Semaphore::new(1),
            validations: Arc::new(Semaphore::new(acme::VALIDATIONS)),
        })
    }

    fn revoke_lease(cx: Cx<Self>, internal: Json) -> BoxFuture<'static, Result<Txn>> {
        Box::pin(async move { revoke::revoke_leased(&cx, &internal) })
    }

    const TENDED: bool = true;

    fn tend(cx: Cx<Self>) -> BoxFuture<'static, Result<Option<Txn>>> {
        Box::pin(async move {
            let done = [tidy::tend(&cx)?, crl::tend(&cx)?, acme::tend(&cx).await?];
            Ok(done.into_iter().flatten().reduce(|mut all, more| {
                all.merge(more);
                all
            }))
        })
    }

    fn measure(cx: Cx<Self>) -> BoxFuture<'static, Result<Vec<Sample>>> {
        Box::pin(async move { expiring::measure(&cx).await })
    }
}

fn role_routes(routes: Routes<Pki>) -> Routes<Pki> {
    routes.at("roles/", "List the roles.", |at| at.list(roles::list)).at("roles/{name}", "Manage a role.", |at| {
        at.read(roles::read).upsert(roles::exists, roles::write).patch(roles::patch).delete(roles::delete)
    })
}

fn certificate_routes(routes: Routes<Pki>) -> Routes<Pki> {
    routes
        .at("issue/{role}", "Make a key and a certificate.", |at| at.update(issue::issue))
        .at("issuer/{issuer_ref}/issue/{role}", "Make a key and a certificate by this issuer.", |at| {
            at.update(issue::issue)
        })
        .at("sign/{role}", "Make a certificate for a request.", |at| at.update(issue::sign))
        .at("issuer/{issuer_ref}/sign/{role}", "Make a certificate for a request by this issuer.", |at| {
            at.update(issue::sign)
        })
        .at("sign-verbatim", "Make a certificate for a request as it is.", |at| at.update(issue::sign_verbatim))
        .at("sign-verbatim/{role}", "Make a certificate for a request as it is, with a role's limits.", |at| {
            at.update(issue::sign_verbatim)
        })
        .at("issuer/{issuer_ref}/sign-verbatim", "Make a certificate for a request as it is, by this issuer.", |at| {
            at.update(issue::sign_verbatim)
        })
        .at(
            "issuer/{issuer_ref}/sign-verbatim/{role}",
            "Make a certificate for a request as it is, by this issuer, with a role's limits.",
            |at| at.update(issue::sign_verbatim),
        )
        .at("tidy", "Remove certificates that ended long ago.", |at| at.update(tidy::tidy))
        .at("tidy-status", "How tidying goes.", |at| at.read(tidy::status))
        .at("tidy-cancel", "End tidying before it is done.", |at| at.update(tidy::cancel))
        .at("config/auto-tidy", "Remove certificates that ended long ago without being asked.", |at| {
            at.read(tidy::read_auto).update(tidy::write_auto)
        })
        .at("revoke", "Revoke a certificate.", |at| at.update(revoke::revoke))
        .at("revoke-with-key", "Revoke a certificate by who has its key.", |at| at.update(revoke::revoke_with_key))
        .at("certs/", "List the certificates.", |at| at.list(read::list_certs))
        .at("certs/detailed/", "List the certificates with what is known of each.", |at| at.list(read::list_detailed))
        .at("certs/expiring", "Which certificates end soon.", |at| at.read(expiring::read))
        .at("certs/revoked/", "List the revoked certificates.", |at| at.list(revoke::list_revoked))
}

fn ca_routes(routes: Routes<Pki>) -> Routes<Pki> {
    routes
        .at("root/generate/{exported}", "Make a CA that signs itself.", |at| at.update(root::generate))
        .at("issuers/generate/root/{exported}", "Make a CA that signs itself.", |at| at.update(root::generate))
        .at("root/rotate/{exported}", "Make the CA that comes next.", |at| at.update(root::rotate))
        .at("root", "Delete all issuers and keys.", |at| at.delete(issuers::delete_all).sudo())
        .at("root/replace", "Make the next CA the default.", |at| at.update(config::replace_root))
        .at("intermediate/generate/{exported}", "Make a request for a CA.", |at| at.update(intermediate::generate))
        .at("issuers/generate/intermediate/{exported}", "Make a request for a CA.", |at| {
            at.update(intermediate::generate)
        })
        .at("intermediate/cross-sign", "Make a request with a key that is here.", |at| {
            at.update(intermediate::cross_sign)
        })
        .at("intermediate/set-signed", "Bring in the certificate of a request made here.", |at| {
            at.update(import::set_signed)
        })
        .at("root/sign-intermediate", "Sign a CA.", |at| at.update(intermediate::sign))
        .at("issuer/{issuer_ref}/sign-intermediate", "Sign a CA by this issuer.", |at| at.update(intermediate::sign))
        .at("root/sign-self-issued", "Sign a root.", |at| at.update(intermediate::sign_self_issued).sudo())
        .at("issuer/{issuer_ref}/sign-self-issued", "Sign a root by this issuer.", |at| {
            at.update(intermediate::sign_self_issued).sudo()
        })
        .at("config/ca", "Bring in CAs and their keys.", |at| at.update(import::bundle))
        .at("issuers/import/bundle", "Bring in CAs and their keys.", |at| at.update(import::bundle))
        .at("issuers/import/cert", "Bring in CAs.", |at| at.update(import::certificates))
        .at("config/urls", "The addresses that go into certificates.", |at| {
            at.read(config::read_urls).update(config::write_urls)
        })
        .at("config/cluster", "The mount's own addresses.", |at| {
            at.read(config::read_cluster).update(config::write_cluster)
        })
        .at("config/issuers", "The default issuer.", |at| at.read(config::read_issuers).update(config::write_issuers))
        .at("config/keys", "The default key.", |at| at.read(config::read_keys).update(config::write_keys))
}

fn issuer_routes(routes: Routes<Pki>) -> Routes<Pki> {
    routes
        .at("issuers/", "List the issuers.", |at| at.list(issuers::list).public())
        .at("issuer/{issuer_ref}", "Manage an issuer.", |at| {
            at.read(issuers::read).update(issuers::write).patch(issuers::patch).delete(issuers::delete)
        })
        .at("issuer/{issuer_ref}/revoke", "Revoke an issuer.", |at| at.update(issuers::revoke))
        .at("keys/", "List the keys.", |at| at.list(issuers::list_keys))
        .at("keys/generate/{exported}", "Make a key.", |at| at.update(issuers::generate_key))
        .at("keys/import", "Bring in a key.", |at| at.update(import::key))
        .at("key/{key_ref}", "Manage a key.", |at| {
            at.read(issuers::read_key).update(issuers::write_key).delete(issuers::delete_key)
        })
}

fn public_routes(routes: Routes<Pki>) -> Routes<Pki> {
    routes
        .at("ca", "The default issuer's certificate, in DER.", |at| at.read(read::ca_der).public().raw())
        .at("ca/pem", "The default issuer's certificate, in PEM.", |at| at.read(read::ca_pem).public().raw())
        .at("ca_chain", "The default issuer's chain, in PEM.", |at| at.read(read::ca_chain).public().raw())
        .at("cert/ca", "The default issuer's certificate.", |at| at.read(read::cert_ca).public())
        .at("cert/ca/raw", "The default issuer's certificate, in DER.", |at| at.read(read::ca_der).public().raw())
        .at("cert/ca/raw/pem", "The default issuer's certificate, in PEM.", |at| at.read(read::ca_pem).public().raw())
        .at("cert/ca_chain", "The default issuer's chain.", |at| at.read(read::cert_ca_chain).public())
        .at("cert/crl", "The default issuer's list.", |at| at.read(crl::cert_crl).public())
        .at("cert/delta-crl", "The default issuer's delta list.", |at| at.read(crl::cert_delta_crl).public())
        .at("cert/{serial}", "A certificate.", |at| at.read(read::cert).public())
        .at("cert/{serial}/raw", "A certificate, in DER.", |at| at.read(read::cert_raw).public())
        .at("cert/{serial}/raw/pem", "A certificate, in PEM.", |at| at.read(read::cert_raw_pem).public())
        .at("spiffe/bundle", "The roots of trust, as SPIFFE has them.", |at| at.read(spiffe::bundle).public())
        .at("issuer/{issuer_ref}/json", "An issuer's certificate and chain.", |at| at.read(read::issuer_json).public())
        .at("issuer/{issuer_ref}/der", "An issuer's certificate, in DER.", |at| {
            at.read(read::issuer_der).public().raw()
        })
        .at("issuer/{issuer_ref}/pem", "An issuer's certificate, in PEM.", |at| {
            at.read(read::issuer_pem).public().raw()
        })
}

/// What several clusters would share. One data centre has all of it: the same lists and answers as at the other paths.
fn unified_routes(routes: Routes<Pki>) -> Routes<Pki> {
    routes
        .at("unified-ocsp", "Ask about certificates by OCSP.", |at| at.update(ocsp::post).public().raw())
        .at("unified-ocsp/{request..}", "Ask about certificates by OCSP.", |at| at.read(ocsp::get).public())
        .at("unified-crl", "The default issuer's list, in DER.", |at| at.read(crl::der).public().raw())
        .at("unified-crl/pem", "The default issuer's list, in PEM.", |at| at.read(crl::in_pem).public().raw())
        .at("unified-crl/delta", "The default issuer's delta list, in DER.", |at| {
            at.read(crl::delta_der).public().raw()
        })
        .at("unified-crl/delta/pem", "The default issuer's delta list, in PEM.", |at| {
            at.read(crl::delta_pem).public().raw()
        })
        .at("cert/unified-crl", "The default issuer's list.", |at| at.read(crl::cert_crl).public())
        .at("cert/unified-delta-crl", "The default issuer's delta list.", |at| at.read(crl::cert_delta_crl).public())
        .at("issuer/{issuer_ref}/unified-crl", "An issuer's list.", |at| at.read(crl::issuer_json).public())
        .at("issuer/{issuer_ref}/unified-crl/der", "An issuer's list, in DER.", |at| {
            at.read(crl::issuer_der).public().raw()
        })
        .at("issuer/{issuer_ref}/unified-crl/pem", "An issuer's list, in PEM.", |at| {
            at.read(crl::issuer_pem).public().raw()
        })
        .at("issuer/{issuer_ref}/unified-crl/delta", "An issuer's delta list.", |at| {
            at.read(crl::issuer_delta_json).public()
        })
        .at("issuer/{issuer_ref}/unified-crl/delta/der", "An issuer's delta list, in DER.", |at| {
            at.read(crl::issuer_delta_der).public().raw()
        })
        .at("issuer/{issuer_ref}/unified-crl/delta/pem", "An issuer's delta list, in PEM.", |at| {
            at.read(crl::issuer_delta_pem).public().raw()
        })
        .at("certs/unified-revoked/", "List the revoked certificates.", |at| at.list(revoke::list_revoked))
        .at("certs/revocation-queue/", "List the revocations that wait for another cluster: none.", |at| {
            at.list(revoke::list_queue)
        })
        .at("issuer/{issuer_ref}/resign-crls", "Put lists of one issuer together.", |at| at.update(resign::resign))
        .at("issuer/{issuer_ref}/sign-revocation-list", "Sign a list of these certificates.", |at| {
            at.update(resign::sign).sudo()
        })
}

fn list_routes(routes: Routes<Pki>) -> Routes<Pki> {
    routes
        .at("config/crl", "The settings of revocation lists.", |at| at.read(crl::read_config).update(crl::write_config))
        .at("ocsp", "Ask about certificates by OCSP.", |at| at.update(ocsp::post).public().raw())
        .at("ocsp/{request..}", "Ask about certificates by OCSP.", |at| at.read(ocsp::get).public())
        .at("crl", "The default issuer's list, in DER.", |at| at.read(crl::der).public().raw())
        .at("crl/pem", "The default issuer's list, in PEM.", |at| at.read(crl::in_pem).public().raw())
        .at("crl/delta", "The default issuer's delta list, in DER.", |at| at.read(crl::delta_der).public().raw())
        .at("crl/delta/pem", "The default issuer's delta list, in PEM.", |at| at.read(crl::delta_pem).public().raw())
        .at("crl/rotate", "Sign all lists anew.", |at| at.read(crl::rotate))
        .at("crl/rotate-delta", "Sign all delta lists anew.", |at| at.read(crl::rotate_delta))
        .at("issuer/{issuer_ref}/crl", "An issuer's list.", |at| at.read(crl::issuer_json).public())
        .at("issuer/{issuer_ref}/crl/der", "An issuer's list, in DER.", |at| at.read(crl::issuer_der).public().raw())
        .at("issuer/{issuer_ref}/crl/pem", "An issuer's list, in PEM.", |at| at.read(crl::issuer_pem).public().raw())
        .at("issuer/{issuer_ref}/crl/delta", "An issuer's delta list.", |at| at.read(crl::issuer_delta_json).public())
        .at("issuer/{issuer_ref}/crl/delta/der", "An issuer's delta list, in DER.", |at| {
            at.read(crl::issuer_delta_der).public().raw()
        })
        .at("issuer/{issuer_ref}/crl/delta/pem", "An issuer's delta list, in PEM.", |at| {
            at.read(crl::issuer_delta_pem).public().raw()
        })
}

#[cfg(test)]
mod tests;

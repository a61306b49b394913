//! Login with a TLS certificate: who shows another one, or none, does not get in.

pub mod authority;
mod lists;
mod ocsp;

use std::sync::Arc;

use authority::{Identity, Wish};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use warifu::api::Api;
use warifu::api::listener::{Certificates, Limits, Listener, ensure_self_signed};
use warifu::base::Clock;
use warifu::config::{ListenerConfig, Tls};
use warifu::crypto::SystemRng;
use warifu::crypto::tls::client_that_trusts_anybody;
use warifu::crypto::x509::{AltName, Subject, extension};

use crate::http::{Answer, Http};
use crate::server::Server;

/// A second door of a server, with TLS.
pub struct Door {
    http: Http,
    _folder: TempDir,
    serving: JoinHandle<()>,
}

impl Door {
    pub async fn of(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rng = Arc::new(SystemRng::new());
        let made = ensure_self_signed(folder.path(), &[], server.clock().now(), rng.as_ref()).unwrap();
        let tls = Tls::Files { cert: made.cert.clone(), key: made.key.clone() };
        let rules = ListenerConfig { tls, ..server.plan.rules.clone() };
        let certificates = Arc::new(Certificates::load(&rules, &made.cert, &made.key).unwrap());
        let listener = Listener::bind_within(&rules, Some(certificates), Limits::default()).await.unwrap();
        let http = Http::new(listener.local_addr());
        let api = Api::new(server.node.clone(), rng);
        let serving = tokio::spawn(listener.serve(
            move |request, connection| {
                let api = api.clone();
                async move { api.answer(request, connection).await }
            },
            std::future::pending(),
        ));
        Self { http, _folder: folder, serving }
    }

    /// Where it is.
    pub fn address(&self) -> std::net::SocketAddr {
        self.http.address()
    }

    /// A client that shows this certificate.
    pub fn shows(&self, who: &Identity) -> Http {
        let (chain, key) = who.shown();
        self.http.over_tls(client_that_trusts_anybody().unwrap().with_client_auth_cert(chain, key).unwrap())
    }

    /// A client that shows none.
    fn anonymous(&self) -> Http {
        self.http.over_tls(client_that_trusts_anybody().unwrap().with_no_client_auth())
    }

    async fn login(&self, who: &Identity) -> Answer {
        self.shows(who).put("auth/cert/login", json!({})).await
    }

    async fn login_as(&self, who: &Identity, role: &str) -> Answer {
        self.shows(who).put("auth/cert/login", json!({"name": role})).await
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A server where certificates are a way in, and its door.
async fn ready() -> (Server, Door) {
    let server = Server::new().await;
    server.auth("cert", "cert").await;
    let door = Door::of(&server).await;
    (server, door)
}

async fn role(server: &Server, name: &str, certificate: &str, more: Value) {
    let mut body = json!({"certificate": certificate, "token_policies": "p", "token_ttl": "1h"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.put(&format!("auth/cert/certs/{name}"), body).await.ok();
}

const NO: &str = "invalid certificate or no client certificate supplied";

#[tokio::test]
async fn look_alikes_do_not_get_in() {
    let (server, door) = ready().await;
    let (root, twin) = (Identity::root("Root"), Identity::root("Root"));
    let wish = Wish { names: vec![AltName::Dns("a.test".into())], ..Wish::client("ann", 9) };
    let ann = root.signs(&wish);
    role(&server, "ca", &root.pem(), json!({})).await;
    role(&server, "pinned", &ann.pem(), json!({})).await;
    // The same subject, serial number and names: of a CA of the same name, of the same CA with another key, signed by itself; and a key
    // that goes with no certificate of the CA, shown with the CA's own beside it.
    let mut beside = twin.signs(&wish);
    beside.above = vec![root.certificate.clone()];
    let mut both = twin.signs(&wish);
    both.above = vec![ann.certificate.clone(), root.certificate.clone()];
    for other in [twin.signs(&wish), Identity::made(&wish, None), beside, both] {
        door.login(&other).await.refused(400, NO);
        door.login_as(&other, "ca").await.refused(400, NO);
        door.login_as(&other, "pinned").await.refused(400, NO);
    }
    let again = root.signs(&wish);
    door.login_as(&again, "pinned").await.refused(400, NO);
    // Neither does a CA let in what its certificate's owner signs who is no CA.
    let below = ann.signs(&Wish::client("bob", 10));
    door.login(&Identity { above: vec![ann.certificate.clone()], ..below }).await.refused(400, NO);
    door.anonymous().put("auth/cert/login", json!({})).await.refused(400, "client certificate must be supplied");
    // The plain door has no certificates, whatever a header says.
    for header in ["x-forwarded-client-cert", "client-cert", "x-ssl-cert", "ssl-client-cert", "x-tls-client-cert"] {
        let call = server.anonymous().put("auth/cert/login", json!({})).header(header, &ann.pem().replace('\n', "%0A"));
        call.await.refused(400, "client certificate must be supplied");
    }
    for (who, name) in [(&ann, "pinned"), (&ann, "ca"), (&again, "ca")] {
        let auth = door.login_as(who, name).await.ok().auth().clone();
        assert_eq!(auth["metadata"]["cert_name"], name);
        assert_eq!(auth["metadata"]["serial_number"], "9");
    }
}

#[tokio::test]
async fn a_certificate_counts_within_its_dates_and_for_clients_only() {
    let (server, door) = ready().await;
    let root = Identity::root("Root");
    role(&server, "ca", &root.pem(), json!({})).await;
    let wishes = [
        Wish { until: "2025-12-31T23:59:59Z", ..Wish::client("ann", 9) },
        Wish { usages: vec![extension::SERVER_AUTH], ..Wish::client("ann", 10) },
        Wish { usages: vec![extension::OCSP_SIGNING], ..Wish::client("ann", 11) },
    ];
    for wish in &wishes {
        door.login(&root.signs(wish)).await.refused(400, NO);
    }
    let soon = root.signs(&Wish { until: "2026-01-01T01:00:00Z", ..Wish::client("ann", 12) });
    door.login(&soon).await.ok();
    server.clock().advance(3601);
    door.login(&soon).await.refused(400, NO);
    // One that is trusted as it is ends too.
    let pinned = root.signs(&Wish { until: "2026-01-01T02:00:00Z", ..Wish::client("ann", 13) });
    role(&server, "pinned", &pinned.pem(), json!({})).await;
    door.login_as(&pinned, "pinned").await.ok();
    server.clock().advance(3600);
    door.login_as(&pinned, "pinned").await.refused(400, NO);
}

/// UTF8String, in DER.
fn utf8(text: &str) -> Vec<u8> {
    [&[0x0c, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

#[tokio::test]
async fn each_condition_admits_what_fits_it_and_nothing_else() {
    let (server, door) = ready().await;
    let root = Identity::root("Root");
    let oid = "1.2.3.45";
    let who = root.signs(&Wish {
        subject: Subject {
            common_name: "ann.eng".into(),
            organizational_unit: vec!["eng".into(), "ops".into()],
            ..Subject::default()
        },
        names: vec![
            AltName::Dns("a.test".into()),
            AltName::Email("ann@a.test".into()),
            AltName::Uri("spiffe://a.test/ns/prod/ann".into()),
        ],
        more: vec![extension::raw(extension::oid(oid).unwrap(), false, utf8("blue")).unwrap()],
        ..Wish::client("", 9)
    });
    let table = [
        ("allowed_common_names", json!(["*.eng"]), json!(["eng", "*.ops", "ANN", "ann.eng.x"])),
        ("allowed_dns_sans", json!(["*.test"]), json!(["test", "ann@a.test", "*.example"])),
        ("allowed_email_sans", json!(["*@a.test"]), json!(["ann@b.test", "a.test"])),
        ("allowed_uri_sans", json!(["spiffe://a.test/ns/prod/*"]), json!(["spiffe://a.test/ns/dev/*", "*.prod"])),
        ("allowed_organizational_units", json!(["ops"]), json!(["hr", "e"])),
        ("allowed_names", json!(["ann@a.test"]), json!(["spiffe://a.test/ns/prod/ann", "eng"])),
        ("allowed_names", json!(["a.test"]), json!(["b.test"])),
        ("allowed_names", json!(["ann.*"]), json!(["bob.*"])),
        ("required_extensions", json!([format!("{oid}:bl*"), "2.5.29.19:*"]), json!([format!("{oid}:red")])),
        ("required_extensions", json!([format!("hex:{oid}:0c04626c7565")]), json!([format!("hex:{oid}:0c04*66")])),
        ("required_extensions", json!([format!("{oid}:blue")]), json!([format!("{oid}:blue"), "1.2.3.46:*"])),
    ];
    for (field, fits, unfit) in table {
        role(&server, "r", &root.pem(), json!({field: unfit})).await;
        door.login(&who).await.refused(400, NO);
        role(&server, "r", &root.pem(), json!({field: fits})).await;
        door.login(&who).await.ok();
        server.delete("auth/cert/certs/r").await.ok();
    }
    // All of them together: one that fails is enough.
    let all =
        json!({"allowed_common_names": "ann.eng", "allowed_dns_sans": "a.test", "allowed_email_sans": "ann@a.test"});
    role(&server, "r", &root.pem(), all).await;
    door.login(&who).await.ok();
    role(&server, "r", &root.pem(), json!({"allowed_organizational_units": "hr"})).await;
    door.login(&who).await.refused(400, NO);
    // Who has no names at all fits no condition.
    let nobody = root.client("", 10);
    for field in ["allowed_dns_sans", "allowed_email_sans", "allowed_uri_sans", "allowed_organizational_units"] {
        server.delete("auth/cert/certs/r").await.ok();
        role(&server, "r", &root.pem(), json!({field: "*"})).await;
        door.login(&nobody).await.refused(400, NO);
    }
}

#[tokio::test]
async fn renewal_is_for_who_shows_the_very_certificate_of_the_login() {
    let (server, door) = ready().await;
    let root = Identity::root("Root");
    role(&server, "ca", &root.pem(), json!({})).await;
    let wish = Wish::client("ann", 9);
    let (ann, again) = (root.signs(&wish), root.signs(&wish));
    let token = door.login(&ann).await.ok().auth()["client_token"].as_str().unwrap().to_owned();
    let renew = |http: Http| {
        let call = http.with(&token).put("auth/token/renew-self", json!({}));
        async move { call.await }
    };
    renew(door.anonymous()).await.refused(400, "no client certificate found");
    renew(server.anonymous()).await.refused(400, "no client certificate found");
    // The same names and serial number, of the same CA: another certificate.
    renew(door.shows(&again)).await.refused(400, "not matching");
    renew(door.shows(&ann)).await.ok();
    let list = root.list(&[9], "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z").pem().unwrap();
    server.put("auth/cert/crls/c", json!({"crl": list})).await.ok();
    renew(door.shows(&ann)).await.refused(400, NO);
    server.put("auth/cert/config", json!({"disable_binding": true})).await.ok();
    renew(door.anonymous()).await.ok();
    role(&server, "ca", &root.pem(), json!({"token_policies": "other"})).await;
    renew(door.shows(&ann)).await.refused(400, "policies have changed");
}

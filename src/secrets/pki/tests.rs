//! Stories of a PKI mount, told through its route table, on one or two nodes over one store.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::Pki;
use crate::barrier::{Barrier, RootKey, Txn, View};
use crate::base::json::Map;
use crate::base::time::ManualClock;
use crate::base::{Clock, Error, Json, MountPath, Name, Operation, Path, Result, Timestamp, Ttl};
use crate::crypto::random::SystemRng;
use crate::crypto::x509::{AltName, Certificate, Crl, parse_serial};
use crate::engine::{AnyEngine, Args, Body, Caller, Frame, Limits, Mount, Mounted, PasswordPolicies, Reply};
use crate::policy::PasswordPolicy;
use crate::storage::Batch;
use crate::storage::memory::Memory;

struct NoPolicies;

impl PasswordPolicies for NoPolicies {
    fn named(&self, _: &Name) -> Result<Option<PasswordPolicy>> {
        Ok(None)
    }
}

struct Node {
    barrier: Arc<Barrier>,
    engine: Arc<dyn AnyEngine>,
    clock: Arc<ManualClock>,
    view: View,
    mount: Arc<Mount>,
}

async fn two_nodes() -> (Node, Node) {
    let storage = Arc::new(Memory::new());
    let rng = Arc::new(SystemRng::new());
    let now: Timestamp = "2026-11-22T04:00:00Z".parse().unwrap();
    let root = Arc::new(RootKey::random(rng.as_ref()).unwrap());
    let (barrier, row) = Barrier::create(storage.clone(), rng.clone(), &root, now).unwrap();
    barrier.storage().commit(Batch { changes: vec![row], ..Batch::default() }).await.unwrap();
    let clock = Arc::new(ManualClock::at(now));
    let other = Barrier::open(storage, rng, &root).unwrap();
    (Node::on(barrier, clock.clone()), Node::on(other, clock))
}

async fn one_node() -> Node {
    two_nodes().await.0
}

impl Node {
    fn on(barrier: Arc<Barrier>, clock: Arc<ManualClock>) -> Self {
        let mount = Mount {
            path: MountPath::parse("pki/").unwrap(),
            kind: "pki".into(),
            accessor: "pki_1".into(),
            uuid: "u".into(),
            description: String::new(),
            options: Default::default(),
            config: Default::default(),
            local: false,
            seal_wrap: false,
        };
        let view = barrier.view().sub("data").sub("u");
        let engine = Mounted::<Pki>::open(&mount, &view).unwrap();
        Self { barrier, engine, clock, view, mount: Arc::new(mount) }
    }

    /// One turn of the work that nobody asks for.
    async fn tend(&self) {
        let frame = self.frame(Operation::Update, Path::parse("pki").unwrap());
        if let Some(txn) = self.engine.tend(frame).await.unwrap() {
            self.barrier.commit(txn).await.unwrap();
        }
    }

    fn frame(&self, operation: Operation, path: Path) -> Frame {
        Frame {
            mount: self.mount.clone(),
            limits: Limits { default_ttl: Ttl::from_seconds(3600), max_ttl: Ttl::from_seconds(86_400 * 365) },
            view: self.view.clone(),
            clock: self.clock.clone(),
            rng: Arc::new(SystemRng::new()),
            request_id: "r".into(),
            operation,
            path: Arc::new(path),
            caller: Arc::new(Caller::default()),
            client_addr: None,
            client_cert: None,
            raw: None,
            create_only: false,
            wrapping: false,
            outbound: crate::outbound::Network::new(),
            passwords: Arc::new(NoPolicies),
            folded: false,
        }
    }

    /// Runs a handler; its change is not committed yet.
    async fn run(&self, operation: Operation, path: &str, body: &str) -> Result<Reply> {
        let path = Path::parse(&format!("pki/{path}"))?;
        let matched = self.engine.table().find(&path, 4, operation).map_err(|(error, _)| error)?;
        let handling = matched.endpoint.handling(operation).unwrap();
        let Json::Object(fields) = Json::parse(body.as_bytes())? else { panic!("an object") };
        let mut args = Args::new(matched.captures, fields);
        let running = handling.run(self.engine.any(), self.frame(operation, path), &mut args)?;
        let left: Vec<&str> = args.left().collect();
        assert!(left.is_empty(), "{left:?} are not declared");
        running.await
    }

    async fn commit(&self, txn: Option<Txn>) -> Result<()> {
        match txn {
            Some(txn) => self.barrier.commit(txn).await.map(|_| ()),
            None => Ok(()),
        }
    }

    async fn call(&self, operation: Operation, path: &str, body: &str) -> Result<Body> {
        let mut reply = self.run(operation, path, body).await?;
        self.commit(reply.txn.take()).await?;
        Ok(reply.body)
    }

    async fn write(&self, path: &str, body: &str) -> Result<Map> {
        match self.call(Operation::Update, path, body).await? {
            Body::Data(data) => Ok(data),
            Body::Leased(leased) => Ok(leased.data),
            _ => Ok(Map::new()),
        }
    }

    async fn raw(&self, path: &str) -> Vec<u8> {
        match self.call(Operation::Read, path, "{}").await.unwrap() {
            Body::Raw { bytes, .. } => bytes,
            _ => panic!("bytes"),
        }
    }

    async fn crl(&self) -> Crl {
        Crl::from_der(&self.raw("crl").await).unwrap()
    }

    async fn root(&self) -> Map {
        self.write("root/generate/internal", r#"{"common_name":"Root","key_type":"ec","ttl":"8000h"}"#).await.unwrap()
    }

    async fn role(&self, name: &str, more: &str) {
        let body = format!(r#"{{"allow_any_name":true,"key_type":"ec"{more}}}"#);
        self.write(&format!("roles/{name}"), &body).await.unwrap();
    }

    async fn issue(&self, role: &str) -> Map {
        self.write(&format!("issue/{role}"), r#"{"common_name":"a.test"}"#).await.unwrap()
    }

    async fn serial(&self) -> String {
        text(&self.issue("r").await, "serial_number")
    }

    async fn revoke(&self, serial: &str) -> Result<Map> {
        self.write("revoke", &format!(r#"{{"serial_number":"{serial}"}}"#)).await
    }
}

fn text(data: &Map, field: &str) -> String {
    data[field].as_str().unwrap().to_owned()
}

fn number(serial: &str) -> Vec<u8> {
    parse_serial(serial).unwrap()
}

#[tokio::test]
async fn without_an_issuer_there_is_nothing() {
    let node = one_node().await;
    for path in ["ca", "ca/pem", "ca_chain", "crl", "crl/pem", "crl/delta"] {
        let Body::Raw { status, bytes, .. } = node.call(Operation::Read, path, "{}").await.unwrap() else { panic!() };
        assert!(status == 204 && bytes.is_empty(), "{path}");
    }
    node.role("r", "").await;
    assert!(node.write("issue/r", r#"{"common_name":"a.test"}"#).await.is_err());
    assert!(node.write("issue/none", r#"{"common_name":"a.test"}"#).await.is_err());
    assert!(matches!(node.call(Operation::Read, "cert/aa", "{}").await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn what_is_not_stored_writes_nothing() {
    let node = one_node().await;
    node.root().await;
    node.role("r", r#","no_store":true,"generate_lease":true"#).await;
    let reply = node.run(Operation::Update, "issue/r", r#"{"common_name":"a.test"}"#).await.unwrap();
    assert!(reply.txn.is_none());
    assert!(matches!(reply.body, Body::Data(_)), "and has no lease");
}

#[tokio::test]
async fn a_role_does_not_outlive_its_limits_and_a_leaf_not_its_issuer() {
    let node = one_node().await;
    node.root().await;
    node.role("r", r#","max_ttl":"2h""#).await;
    let leaf = node.write("issue/r", r#"{"common_name":"a.test","ttl":"900h"}"#).await.unwrap();
    let certificate = Certificate::from_pem(&text(&leaf, "certificate")).unwrap();
    assert_eq!(certificate.not_after().as_second(), node.clock.now().as_second() + 7200);
    node.role("long", "").await;
    assert!(node.write("issue/long", r#"{"common_name":"a.test","ttl":"8500h"}"#).await.is_err());
    assert!(node.write("issue/r", r#"{"common_name":"a.test","not_after":"2026-11-25T00:00:00Z"}"#).await.is_err());
}

#[tokio::test]
async fn many_revocations_cost_one_signature_and_none_is_lost() {
    let (here, there) = two_nodes().await;
    here.root().await;
    here.role("r", r#","ttl":"100h""#).await;
    here.role("short", r#","ttl":"1h""#).await;
    let first = here.crl().await;
    assert!(first.is_empty());
    let mut serials = Vec::new();
    for _ in 0..20 {
        let serial = here.serial().await;
        here.revoke(&serial).await.unwrap();
        serials.push(serial);
    }
    let short = text(&here.issue("short").await, "serial_number");
    there.revoke(&short).await.unwrap();
    // The other node shows it at once, and both show the same list.
    let list = there.crl().await;
    assert_eq!(list.number().unwrap().unwrap(), [2]);
    assert_eq!(list.len(), 21);
    assert_eq!(here.crl().await.der(), list.der());
    // Who has ended leaves the list; who is revoked and has not, stays, however often it is made anew.
    here.clock.advance(Duration::from_secs(7200));
    here.call(Operation::Read, "crl/rotate", "{}").await.unwrap();
    let list = there.crl().await;
    assert_eq!(list.len(), 20);
    assert!(serials.iter().all(|serial| list.revoked(&number(serial)).is_some()));
    // A list that has ended is never given out.
    here.clock.advance(Duration::from_secs(73 * 3600));
    let list = here.crl().await;
    assert!(list.next_update().unwrap() > here.clock.now());
    assert_eq!(list.len(), 20);
}

#[tokio::test]
async fn a_delta_list_says_what_the_complete_one_does_not() {
    let node = one_node().await;
    node.root().await;
    node.role("r", "").await;
    let early = node.serial().await;
    node.revoke(&early).await.unwrap();
    assert_eq!(node.crl().await.len(), 1);
    node.write("config/crl", r#"{"auto_rebuild":true,"enable_delta":true}"#).await.unwrap();
    let late = node.serial().await;
    node.revoke(&late).await.unwrap();
    assert_eq!(node.crl().await.len(), 1, "the complete list waits");
    let delta = Crl::from_der(&node.raw("crl/delta").await).unwrap();
    assert!(delta.is_delta() && delta.len() == 1 && delta.revoked(&number(&late)).is_some());
    // Once the complete list is anew, nothing is left to add.
    node.call(Operation::Read, "crl/rotate", "{}").await.unwrap();
    assert_eq!(node.crl().await.len(), 2);
    let delta = Crl::from_der(&node.raw("crl/delta").await).unwrap();
    assert!(delta.is_empty());
    assert!(node.write("config/crl", r#"{"auto_rebuild":false}"#).await.is_err());
    assert!(node.write("config/crl", r#"{"expiry":"junk"}"#).await.is_err());
}

#[tokio::test]
async fn two_that_revoke_one_certificate_at_once_agree() {
    let (here, there) = two_nodes().await;
    here.root().await;
    here.role("r", "").await;
    let serial = here.serial().await;
    let body = format!(r#"{{"serial_number":"{serial}"}}"#);
    let mut one = here.run(Operation::Update, "revoke", &body).await.unwrap();
    let mut other = there.run(Operation::Update, "revoke", &body).await.unwrap();
    here.commit(one.txn.take()).await.unwrap();
    assert!(matches!(there.commit(other.txn.take()).await, Err(Error::Conflict)));
    let Body::Data(told) = one.body else { panic!() };
    here.clock.advance(Duration::from_secs(60));
    assert_eq!(there.revoke(&serial).await.unwrap()["revocation_time"], told["revocation_time"]);
    assert_eq!(there.crl().await.len(), 1);
}

#[tokio::test]
async fn two_issuers_made_at_once_do_not_get_one_name() {
    let (here, there) = two_nodes().await;
    let body = r#"{"common_name":"Root","key_type":"ec","issuer_name":"same"}"#;
    let mut one = here.run(Operation::Update, "root/generate/internal", body).await.unwrap();
    let mut other = there.run(Operation::Update, "root/generate/internal", body).await.unwrap();
    here.commit(one.txn.take()).await.unwrap();
    assert!(matches!(there.commit(other.txn.take()).await, Err(Error::Conflict)));
    assert!(there.write("root/generate/internal", body).await.is_err());
    for name in ["default", "a/b", "", "-a", "00000000-0000-0000-0000-000000000000"] {
        let body = format!(r#"{{"issuer_name":"{name}"}}"#);
        let wrong = here.write("issuer/same", &body).await.is_err();
        assert_eq!(wrong, !name.is_empty(), "{name:?}");
        here.write("issuer/default", r#"{"issuer_name":"same"}"#).await.unwrap();
    }
}

#[tokio::test]
async fn the_end_of_a_lease_revokes_once() {
    let node = one_node().await;
    node.root().await;
    node.role("r", r#","generate_lease":true,"ttl":"1h""#).await;
    let reply = node.run(Operation::Update, "issue/r", r#"{"common_name":"a.test"}"#).await.unwrap();
    node.commit(reply.txn).await.unwrap();
    let Body::Leased(leased) = reply.body else { panic!("a lease") };
    assert!(!leased.renewable && leased.ttl == Ttl::from_seconds(3600));
    for _ in 0..2 {
        let frame = node.frame(Operation::Update, Path::parse("pki/issue/r").unwrap());
        let txn = node.engine.revoke_lease(frame, leased.internal.clone()).await.unwrap();
        node.commit(Some(txn)).await.unwrap();
    }
    let list = node.crl().await;
    assert_eq!(list.number().unwrap().unwrap(), [1]);
    assert!(list.revoked(&number(&text(&leased.data, "serial_number"))).is_some());
}

#[tokio::test]
async fn only_who_has_the_key_or_the_certificate_revokes_with_it() {
    let node = one_node().await;
    let root = node.root().await;
    node.role("r", "").await;
    let (mine, other) = (node.issue("r").await, node.issue("r").await);
    let body = |serial: &Map, key: &Map| {
        Json::object([
            ("serial_number", Json::from(text(serial, "serial_number"))),
            ("private_key", text(key, "private_key").into()),
        ])
        .text()
    };
    assert!(node.write("revoke-with-key", &body(&mine, &other)).await.is_err());
    node.write("revoke-with-key", &body(&mine, &mine)).await.unwrap();
    assert!(node.revoke(&text(&root, "serial_number")).await.is_err(), "an issuer is not in its own list");
    assert!(node.revoke("00:11").await.is_err() && node.revoke("junk").await.is_err());
    // One that is not stored is known by its issuer's signature, and one of somebody else is not.
    node.role("ns", r#","no_store":true"#).await;
    let unknown = node.issue("ns").await;
    assert!(node.revoke(&text(&unknown, "serial_number")).await.is_err());
    let by_certificate = |data: &Map| Json::object([("certificate", Json::from(text(data, "certificate")))]).text();
    node.write("revoke", &by_certificate(&unknown)).await.unwrap();
    assert_eq!(node.crl().await.len(), 2);
    let stranger = one_node().await;
    stranger.root().await;
    stranger.role("r", "").await;
    assert!(node.write("revoke", &by_certificate(&stranger.issue("r").await)).await.is_err());
}

#[tokio::test]
async fn an_intermediate_comes_back_with_its_chain_and_its_leaves_verify() {
    let (above, below) = (one_node().await, one_node().await);
    let root = above.root().await;
    let csr = r#"{"common_name":"Intermediate","key_type":"ec","key_bits":384}"#;
    let csr = text(&below.write("intermediate/generate/internal", csr).await.unwrap(), "csr");
    let body =
        Json::object([("csr", Json::from(csr)), ("common_name", "Intermediate".into()), ("max_path_length", 0.into())]);
    let signed = above.write("root/sign-intermediate", &body.text()).await.unwrap();
    let both = format!("{}\n{}", text(&signed, "certificate"), text(&root, "certificate"));
    let body = Json::object([("certificate", Json::from(both))]);
    below.write("intermediate/set-signed", &body.text()).await.unwrap();
    below.role("r", "").await;
    let leaf = below.issue("r").await;
    let Json::Array(chain) = &leaf["ca_chain"] else { panic!() };
    assert_eq!(chain.len(), 2);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("root.pem"), text(&root, "certificate")).unwrap();
    std::fs::write(folder.path().join("mid.pem"), text(&signed, "certificate")).unwrap();
    std::fs::write(folder.path().join("leaf.pem"), text(&leaf, "certificate")).unwrap();
    let arguments = ["verify", "-x509_strict", "-attime", "1795320010", "-CAfile", "root.pem", "-untrusted", "mid.pem"];
    let output = Command::new("openssl").args(arguments).arg("leaf.pem").current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // No CA below one whose path has no more room.
    let csr = r#"{"common_name":"Third","key_type":"ec"}"#;
    let csr = text(&below.write("intermediate/generate/internal", csr).await.unwrap(), "csr");
    let body = Json::object([("csr", Json::from(csr)), ("common_name", "Third".into())]);
    assert!(below.write("root/sign-intermediate", &body.text()).await.is_err());
}

#[tokio::test]
async fn an_issuer_that_comes_twice_has_one_list() {
    let node = one_node().await;
    let old = node.root().await;
    node.role("r", "").await;
    let serial = node.serial().await;
    // The same name and key in another certificate: whoever checks cannot tell which of the two signed.
    let body = r#"{"common_name":"Root","key_ref":"default","ttl":"8000h","issuer_name":"again"}"#;
    node.write("root/generate/existing", body).await.unwrap();
    node.revoke(&serial).await.unwrap();
    for issuer in [text(&old, "issuer_id"), "again".to_owned()] {
        let list = Crl::from_der(&node.raw(&format!("issuer/{issuer}/crl/der")).await).unwrap();
        assert!(list.revoked(&number(&serial)).is_some());
    }
}

#[tokio::test]
async fn a_revoked_issuer_signs_lists_and_nothing_else() {
    let node = one_node().await;
    node.root().await;
    node.role("r", "").await;
    let serial = node.serial().await;
    node.write("issuer/default/revoke", "{}").await.unwrap();
    assert!(node.write("issue/r", r#"{"common_name":"a.test"}"#).await.is_err());
    // Not even when its usage is set again.
    let all = r#"{"usage":"issuing-certificates,crl-signing,ocsp-signing"}"#;
    node.write("issuer/default", all).await.unwrap();
    assert!(node.write("issue/r", r#"{"common_name":"a.test"}"#).await.is_err());
    node.revoke(&serial).await.unwrap();
    assert_eq!(node.crl().await.len(), 1);
}

#[tokio::test]
async fn a_request_by_path_cannot_be_widened_by_its_body() {
    let node = one_node().await;
    node.root().await;
    node.role("r", "").await;
    node.write("roles/narrow", r#"{"key_type":"ec","allowed_domains":"d.test","allow_bare_domains":true}"#)
        .await
        .unwrap();
    let body = r#"{"role":"r","common_name":"evil.test"}"#;
    assert!(node.write("issue/narrow", body).await.is_err(), "the path names the role");
    let leaf = node.write("issue/narrow", r#"{"common_name":"d.test","ip_sans":"10.0.0.1"}"#).await.unwrap();
    let names = Certificate::from_pem(&text(&leaf, "certificate")).unwrap().alt_names().unwrap();
    assert_eq!(names, [AltName::Dns("d.test".into()), AltName::Ip("10.0.0.1".parse().unwrap())]);
    let odd = r#"{"allowed_domains":"{{identity.nobody}}","allowed_domains_template":true}"#;
    assert!(node.write("roles/t", odd).await.is_err());
    for field in ["serial_number_source", "not_before_bound", "not_after_bound"] {
        assert!(node.write("roles/t", &format!(r#"{{"{field}":"odd"}}"#)).await.is_err(), "{field}");
    }
    assert!(node.write("roles/t", r#"{"ttl":"1h","ttl_jitter":"1h"}"#).await.is_err());
    assert!(node.write("roles/t", r#"{"key_usage":"CertSign"}"#).await.is_err());
}

#[tokio::test]
async fn tidying_takes_what_has_ended_and_nothing_that_a_list_needs() {
    let node = one_node().await;
    node.root().await;
    node.role("r", r#","ttl":"1h""#).await;
    node.role("long", r#","ttl":"1000h""#).await;
    let lasting = text(&node.issue("long").await, "serial_number");
    node.revoke(&lasting).await.unwrap();
    let mut old = Vec::new();
    for place in 0..6 {
        let serial = node.serial().await;
        if place < 3 {
            node.revoke(&serial).await.unwrap();
        }
        old.push(serial);
    }
    assert!(node.write("config/auto-tidy", r#"{"enabled":true}"#).await.is_err());
    node.clock.advance(Duration::from_secs(74 * 3600));
    let gone = async |serial: &str| {
        matches!(node.call(Operation::Read, &format!("cert/{serial}"), "{}").await, Err(Error::NotFound(_)))
    };
    // The revoked ones come first and are not to go: they do not stand in the way of the others.
    node.write("config/auto-tidy", r#"{"enabled":true,"tidy_cert_store":true}"#).await.unwrap();
    node.tend().await;
    for (place, serial) in old.iter().enumerate() {
        assert_eq!(gone(serial).await, place >= 3, "{place}");
    }
    node.write("tidy", r#"{"tidy_revoked_certs":true}"#).await.unwrap();
    for serial in &old {
        assert!(gone(serial).await);
    }
    assert!(!gone(&lasting).await);
    node.call(Operation::Read, "crl/rotate", "{}").await.unwrap();
    let list = node.crl().await;
    assert!(list.len() == 1 && list.revoked(&number(&lasting)).is_some());
}

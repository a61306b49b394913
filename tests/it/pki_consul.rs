//! Consul's Connect CA: the calls that its provider for Vault makes, with the two policies that Consul documents.
//!
//! The provider looks its token up and renews it, looks for the two mounts, makes what is missing if it may, has its
//! intermediate signed by the root, and signs leaves by request. At a rotation the old root signs the new one.

use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::http::{Answer, Http};
use crate::server::Server;

const TRUST_DOMAIN: &str = "spiffe://11111111-2222-3333-4444-555555555555.consul";

/// Consul makes and keeps both mounts.
const CONSUL_MANAGED: &str = r#"
    path "/sys/mounts" { capabilities = ["read"] }
    path "/sys/mounts/connect-root" { capabilities = ["create", "read", "update", "delete", "list"] }
    path "/sys/mounts/connect-inter" { capabilities = ["create", "read", "update", "delete", "list"] }
    path "/sys/mounts/connect-inter/tune" { capabilities = ["update"] }
    path "/connect-root/*" { capabilities = ["create", "read", "update", "delete", "list"] }
    path "/connect-inter/*" { capabilities = ["create", "read", "update", "delete", "list"] }
    path "auth/token/renew-self" { capabilities = ["update"] }
    path "auth/token/lookup-self" { capabilities = ["read"] }
"#;

/// The mounts are there, and the root is somebody else's: Consul may have its intermediate signed, and cross-sign.
const VAULT_MANAGED: &str = r#"
    path "/sys/mounts" { capabilities = ["read"] }
    path "/sys/mounts/connect-root" { capabilities = ["read"] }
    path "/sys/mounts/connect-inter" { capabilities = ["read"] }
    path "/sys/mounts/connect-inter/tune" { capabilities = ["update"] }
    path "/connect-root/" { capabilities = ["read"] }
    path "/connect-root/root/sign-intermediate" { capabilities = ["update"] }
    path "/connect-inter/*" { capabilities = ["create", "read", "update", "delete", "list"] }
    path "auth/token/renew-self" { capabilities = ["update"] }
    path "auth/token/lookup-self" { capabilities = ["read"] }
"#;

/// Consul's provider, as far as the CA sees it.
struct Provider {
    http: Http,
    root: &'static str,
    inter: &'static str,
}

impl Provider {
    async fn new(server: &Server, policy: &str) -> Self {
        server.policy("consul", policy).await;
        let token = server.token_of(json!({"policies": ["consul"], "period": "72h", "no_parent": true})).await;
        Self { http: server.with(&token), root: "connect-root", inter: "connect-inter" }
    }

    /// How a provider begins: its token, and the mount of the intermediate with its role.
    async fn configure(&self) -> Answer {
        let token = self.http.get("auth/token/lookup-self").await.ok();
        assert_eq!(token.data()["renewable"], true, "the watcher renews it");
        self.http.put("auth/token/renew-self", json!({"increment": token.data()["ttl"]})).await.ok();
        let mount = json!({"type": "pki", "description": "intermediate CA", "config": {"max_lease_ttl": "8760h"}});
        let there = self.http.get(&format!("{}/ca/pem", self.inter)).await;
        if there.status == 404 {
            self.http.put(&format!("sys/mounts/{}", self.inter), mount).await.is(204);
        } else {
            there.ok();
            self.http.put(&format!("sys/mounts/{}/tune", self.inter), json!({"max_lease_ttl": "8760h"})).await.is(204);
        }
        let role = json!({"allow_any_name": true, "allowed_uri_sans": "spiffe://*", "key_type": "any",
            "max_ttl": "72h0m0s", "no_store": true, "require_cn": false});
        self.http.put(&format!("{}/roles/leaf-cert", self.inter), role).await.ok();
        let tidy = json!({"enabled": true, "tidy_expired_issuers": true});
        self.http.put(&format!("{}/config/auto-tidy", self.inter), tidy).await
    }

    /// The root, made if there is none; its chain.
    async fn generate_root(&self) -> String {
        let there = self.http.get(&format!("{}/ca/pem", self.root)).await;
        if there.status == 404 {
            let config = json!({"max_lease_ttl": "87600h0m0s", "default_lease_ttl": "87600h0m0s"});
            let mount = json!({"type": "pki", "description": "root CA", "config": config});
            self.http.put(&format!("sys/mounts/{}", self.root), mount).await.is(204);
        }
        if there.status == 404 || there.text.is_empty() {
            let root = json!({"common_name": "pri-abc.vault.ca.11111111.consul", "uri_sans": TRUST_DOMAIN,
                "key_type": "ec", "key_bits": 256});
            self.http.put(&format!("{}/root/generate/internal", self.root), root).await.ok();
        }
        self.http.get(&format!("{}/ca_chain", self.root)).await.ok().text
    }

    /// A request for an intermediate, and the id of its key.
    async fn intermediate_csr(&self) -> (Value, String) {
        let csr = json!({"common_name": "pri-def.vault.ca.11111111.consul", "key_type": "ec", "key_bits": 256,
            "uri_sans": TRUST_DOMAIN});
        let made = self.http.put(&format!("{}/intermediate/generate/internal", self.inter), csr).await.ok();
        (made.data()["csr"].clone(), made.data()["key_id"].as_str().unwrap().to_owned())
    }

    /// Brings the intermediate in, and makes it the default by the key that it belongs to.
    async fn set_intermediate(&self, certificate: &Value, key_id: &str) {
        let set = json!({"certificate": certificate});
        let set = self.http.put(&format!("{}/intermediate/set-signed", self.inter), set).await.ok();
        let mapping = set.data()["mapping"].as_object().unwrap();
        let issuer = mapping.iter().find(|(_, key)| *key == key_id).unwrap().0;
        let config = format!("{}/config/issuers", self.inter);
        let mut settings = self.http.get(&config).await.ok().data().clone();
        settings["default"] = json!(issuer);
        self.http.put(&config, settings).await.ok();
    }

    async fn sign_intermediate(&self, csr: &Value) -> Answer {
        let sign = json!({"csr": csr, "use_csr_values": true, "format": "pem_bundle", "ttl": "8760h0m0s"});
        self.http.put(&format!("{}/root/sign-intermediate", self.root), sign).await
    }

    /// The intermediate that signs from now on.
    async fn generate_intermediate(&self) -> String {
        let (csr, key_id) = self.intermediate_csr().await;
        let signed = self.sign_intermediate(&csr).await.ok();
        self.set_intermediate(&signed.data()["certificate"], &key_id).await;
        self.http.get(&format!("{}/ca/pem", self.inter)).await.ok().text
    }

    async fn sign(&self, csr: &str) -> Answer {
        self.http.put(&format!("{}/sign/leaf-cert", self.inter), json!({"csr": csr, "ttl": "72h0m0s"})).await
    }

    async fn cross_sign(&self, root: &str) -> Answer {
        self.http.put(&format!("{}/root/sign-self-issued", self.root), json!({"certificate": root})).await
    }
}

fn der(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

/// Whether the second signed the first: by its key, under its name.
fn signed_by(pem: &str, by: &str) -> bool {
    let (pem, by) = (der(pem), der(by));
    let ((_, pem), (_, by)) = (X509Certificate::from_der(&pem).unwrap(), X509Certificate::from_der(&by).unwrap());
    pem.issuer() == by.subject() && pem.verify_signature(Some(by.public_key())).is_ok()
}

fn uri(text: &str) -> rcgen::SanType {
    rcgen::SanType::URI(rcgen::string::Ia5String::try_from(text).unwrap())
}

/// A request as Consul makes it for a service: its ID and no common name.
fn leaf_csr(edit: impl FnOnce(&mut rcgen::CertificateParams)) -> String {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    edit(&mut params);
    params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

fn service(name: &str) -> rcgen::SanType {
    uri(&format!("{TRUST_DOMAIN}/ns/default/dc/dc1/svc/{name}"))
}

#[tokio::test]
async fn consul_makes_its_mounts_and_signs_the_mesh() {
    let server = Server::new().await;
    let consul = Provider::new(&server, CONSUL_MANAGED).await;
    for path in ["connect-root/ca/pem", "connect-inter/ca/pem"] {
        consul.http.get(path).await.is(404);
    }
    let tidy = consul.configure().await.ok();
    assert_eq!(tidy.data()["tidy_expired_issuers"], true, "it reads the answer");
    assert!(consul.http.get("connect-inter/ca/pem").await.ok().text.is_empty(), "mounted, and nothing in it");
    let root = consul.generate_root().await;
    assert_eq!(root, consul.generate_root().await, "what is there is kept");
    assert!(signed_by(&root, &root));
    let inter = consul.generate_intermediate().await;
    assert!(signed_by(&inter, &root));

    let leaf = consul.sign(&leaf_csr(|p| p.subject_alt_names.push(service("web")))).await.ok();
    let pem = leaf.data()["certificate"].as_str().unwrap();
    assert!(signed_by(pem, &inter) && leaf.data()["issuing_ca"] == inter.trim_end(), "{leaf:?}");
    let bytes = der(pem);
    let (_, parsed) = X509Certificate::from_der(&bytes).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1, "{:?}", names.value);
    assert!(!parsed.is_ca() && parsed.subject().iter().next().is_none());
    let life = parsed.validity().not_after.timestamp() - parsed.validity().not_before.timestamp();
    assert!(life <= 72 * 3600 + 30, "{life}");
    // An agent's certificate has names and addresses beside its ID, with any kind of key.
    let agent = leaf_csr(|p| {
        p.subject_alt_names.push(uri(&format!("{TRUST_DOMAIN}/agent/client/dc/dc1/id/node-1")));
        for name in ["localhost", "node-1"] {
            let name = rcgen::string::Ia5String::try_from(name).unwrap();
            p.subject_alt_names.push(rcgen::SanType::DnsName(name));
        }
        for address in ["127.0.0.1", "::1"] {
            p.subject_alt_names.push(rcgen::SanType::IpAddress(address.parse().unwrap()));
        }
    });
    consul.sign(&agent).await.ok();
    // Leaves are many and short-lived: they are not kept.
    server.list("connect-inter/certs").await.is(404);
    // When Consul changes to another CA it takes its intermediate away.
    consul.http.delete("sys/mounts/connect-inter").await.ok();
    consul.http.get("connect-inter/ca/pem").await.is(404);
}

#[tokio::test]
async fn what_no_service_may_have_is_not_signed() {
    let server = Server::new().await;
    let consul = Provider::new(&server, CONSUL_MANAGED).await;
    consul.configure().await.ok();
    consul.generate_root().await;
    let early = consul.sign(&leaf_csr(|p| p.subject_alt_names.push(service("web")))).await;
    assert!((400..500).contains(&early.status), "there is no intermediate yet: {early:?}");
    consul.generate_intermediate().await;
    let two = leaf_csr(|p| p.subject_alt_names.extend([service("web"), service("api")]));
    let other = leaf_csr(|p| p.subject_alt_names.push(uri("https://a.test/")));
    let up = leaf_csr(|p| p.subject_alt_names.push(uri(&format!("{TRUST_DOMAIN}/ns/../svc/web"))));
    for csr in [two.as_str(), &other, &up, "", "-----BEGIN CERTIFICATE REQUEST-----"] {
        let answer = consul.sign(csr).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    let ca = leaf_csr(|p| {
        p.subject_alt_names.push(service("web"));
        p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        p.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    });
    let signed = consul.sign(&ca).await.ok();
    let bytes = der(signed.data()["certificate"].as_str().unwrap());
    let (_, signed) = X509Certificate::from_der(&bytes).unwrap();
    assert!(!signed.is_ca() && !signed.key_usage().unwrap().unwrap().value.key_cert_sign());
    let long = json!({"csr": leaf_csr(|p| p.subject_alt_names.push(service("web"))), "ttl": "8000h"});
    let long = consul.http.put("connect-inter/sign/leaf-cert", long).await.ok();
    let bytes = der(long.data()["certificate"].as_str().unwrap());
    let (_, long) = X509Certificate::from_der(&bytes).unwrap();
    let life = long.validity().not_after.timestamp() - long.validity().not_before.timestamp();
    assert!(life <= 72 * 3600 + 30, "the role's longest: {life}");
}

#[tokio::test]
async fn an_intermediate_follows_another_and_the_ended_one_is_tidied_away() {
    let server = Server::new().await;
    let consul = Provider::new(&server, CONSUL_MANAGED).await;
    consul.configure().await.ok();
    let root = consul.generate_root().await;
    let first = consul.generate_intermediate().await;
    let old = consul.sign(&leaf_csr(|p| p.subject_alt_names.push(service("web")))).await.ok();
    let second = consul.generate_intermediate().await;
    assert!(first != second && signed_by(&second, &root));
    let new = consul.sign(&leaf_csr(|p| p.subject_alt_names.push(service("web")))).await.ok();
    assert!(signed_by(new.data()["certificate"].as_str().unwrap(), &second));
    assert!(signed_by(old.data()["certificate"].as_str().unwrap(), &first), "who has the old leaf keeps its chain");
    let count = || async { server.list("connect-inter/issuers").await.ok().data()["keys"].as_array().unwrap().len() };
    assert_eq!(count().await, 3, "both, and the root that came with them");
    // Reconfigured (a Consul server that starts does so), it keeps what is there.
    consul.configure().await.ok();
    assert_eq!(consul.http.get("connect-inter/ca/pem").await.ok().text, second);
    // Two years later the first one is gone. The root lives on, and so does the default, though it has ended.
    server.clock().advance(2 * 366 * 86_400);
    server.vault().tend_once().await.unwrap();
    assert_eq!(count().await, 2);
    assert_eq!(server.get("connect-inter/ca/pem").await.ok().text, second);
    // The token's period is over: its calls are refused, and a server that comes back needs another.
    consul.http.get("auth/token/lookup-self").await.is(403);
    consul.sign(&leaf_csr(|p| p.subject_alt_names.push(service("web")))).await.is(403);
}

#[tokio::test]
async fn a_token_that_is_renewed_lives_on_beyond_its_period() {
    let server = Server::new().await;
    let consul = Provider::new(&server, CONSUL_MANAGED).await;
    consul.configure().await.ok();
    for _ in 0..30 {
        server.clock().advance(48 * 3600);
        let renewed = consul.http.put("auth/token/renew-self", json!({})).await.ok();
        assert_eq!(renewed.auth()["lease_duration"], 72 * 3600);
    }
    consul.configure().await.ok();
}

#[tokio::test]
async fn another_data_centre_has_its_intermediate_signed_by_the_first() {
    let server = Server::new().await;
    let primary = Provider::new(&server, CONSUL_MANAGED).await;
    primary.configure().await.ok();
    let root = primary.generate_root().await;
    let policy = r#"path "/sys/mounts/dc2-inter" { capabilities = ["create", "read", "update", "delete", "list"] }
        path "dc2-inter/*" { capabilities = ["create", "read", "update", "delete", "list"] }"#;
    server.policy("dc2", policy).await;
    let token = server.token_of(json!({"policies": ["dc2"], "period": "72h"})).await;
    let secondary = Provider { http: server.with(&token), root: "connect-root", inter: "dc2-inter" };
    secondary.configure().await.ok();
    let (csr, key_id) = secondary.intermediate_csr().await;
    // It is the primary that signs: the secondary's token has no right at the root.
    secondary.sign_intermediate(&csr).await.is(403);
    let sign =
        json!({"csr": csr, "use_csr_values": true, "format": "pem_bundle", "max_path_length": 0, "ttl": "8760h"});
    let signed = primary.http.put("connect-root/root/sign-intermediate", sign).await.ok();
    secondary.set_intermediate(&signed.data()["certificate"], &key_id).await;
    let inter = secondary.http.get("dc2-inter/ca/pem").await.ok().text;
    let bytes = der(&inter);
    let (_, parsed) = X509Certificate::from_der(&bytes).unwrap();
    let constraints = parsed.basic_constraints().unwrap().unwrap().value;
    assert!(constraints.ca && constraints.path_len_constraint == Some(0) && signed_by(&inter, &root));
    assert!(parsed.subject_alternative_name().unwrap().is_some(), "the trust domain is the request's");
    let leaf = secondary.sign(&leaf_csr(|p| p.subject_alt_names.push(service("web")))).await.ok();
    assert!(signed_by(leaf.data()["certificate"].as_str().unwrap(), &inter));
    let chain: Vec<&str> = leaf.data()["ca_chain"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(chain.first(), Some(&inter.trim_end()), "{chain:?}");
}

#[tokio::test]
async fn a_new_root_is_signed_by_the_old_one_by_who_may() {
    let server = Server::new().await;
    let sudo = r#"path "/connect-root/root/sign-self-issued" { capabilities = ["sudo", "update"] }
        path "/sys/mounts/next-root" { capabilities = ["create", "read", "update", "delete", "list"] }
        path "/next-root/*" { capabilities = ["create", "read", "update", "delete", "list"] }"#;
    let consul = Provider::new(&server, &format!("{CONSUL_MANAGED}{sudo}")).await;
    consul.configure().await.ok();
    let old_root = consul.generate_root().await;
    consul.generate_intermediate().await;

    // Other paths in the configuration: a second provider, whose root the first one signs.
    let next = Provider { http: consul.http.clone(), root: "next-root", inter: "connect-inter" };
    next.configure().await.ok();
    let new_root = next.generate_root().await;
    let crossed = consul.cross_sign(&new_root).await.ok();
    let crossed = crossed.data()["certificate"].as_str().unwrap();
    assert!(signed_by(crossed, &old_root) && !signed_by(crossed, &new_root));
    let inter = next.generate_intermediate().await;
    let leaf = next.sign(&leaf_csr(|p| p.subject_alt_names.push(service("web")))).await.ok();
    let leaf = leaf.data()["certificate"].as_str().unwrap();
    // Both ways up: to the new root, and over its second certificate to the old one.
    assert!(signed_by(leaf, &inter) && signed_by(&inter, &new_root) && signed_by(&inter, crossed));
    let (crossed, new) = (der(crossed), der(&new_root));
    let ((_, crossed), (_, new)) =
        (X509Certificate::from_der(&crossed).unwrap(), X509Certificate::from_der(&new).unwrap());
    assert!(crossed.is_ca() && crossed.subject() == new.subject() && crossed.public_key() == new.public_key());
    assert_eq!(crossed.tbs_certificate.subject_pki.raw, new.tbs_certificate.subject_pki.raw);

    // Only what signed itself is signed so, and only with sudo.
    let bad = consul.cross_sign(leaf).await;
    assert_eq!(bad.status, 400, "{bad:?}");
    consul.cross_sign(&inter).await.is(400);
    consul.cross_sign("").await.is(400);
    let bare = Provider::new(&server, CONSUL_MANAGED).await;
    bare.cross_sign(&new_root).await.is(403);
}

#[tokio::test]
async fn a_root_of_others_is_used_and_not_touched() {
    let server = Server::new().await;
    for mount in ["connect-root", "connect-inter"] {
        server
            .put(&format!("sys/mounts/{mount}"), json!({"type": "pki", "config": {"max_lease_ttl": "87600h"}}))
            .await
            .ok();
    }
    let root = json!({"common_name": "Company Root", "key_type": "ec", "ttl": "80000h"});
    server.put("connect-root/root/generate/internal", root).await.ok();
    let consul = Provider::new(&server, VAULT_MANAGED).await;
    consul.configure().await.ok();
    let root = consul.generate_root().await;
    let inter = consul.generate_intermediate().await;
    assert!(signed_by(&inter, &root));
    consul.sign(&leaf_csr(|p| p.subject_alt_names.push(service("web")))).await.ok();
    let again = json!({"common_name": "Consul Root", "key_type": "ec"});
    for (path, body) in [
        ("connect-root/root/generate/internal", again.clone()),
        ("connect-root/root/rotate/internal", again),
        ("connect-root/root/sign-self-issued", json!({"certificate": root})),
        ("connect-root/roles/any", json!({"allow_any_name": true})),
        ("connect-root/config/urls", json!({"issuing_certificates": "http://evil.test"})),
        ("connect-root/issue/any", json!({"common_name": "a.test"})),
        ("sys/mounts/connect-other", json!({"type": "pki"})),
        ("sys/mounts/connect-root", json!({"type": "pki"})),
        ("sys/mounts/connect-root/tune", json!({"max_lease_ttl": "1h"})),
    ] {
        consul.http.put(path, body).await.is(403);
    }
    for path in ["connect-root/root", "sys/mounts/connect-root", "sys/mounts/connect-inter"] {
        consul.http.delete(path).await.is(403);
    }
    assert_eq!(consul.http.get("connect-root/ca_chain").await.ok().text, root);
}

/// What consul-template renders for the agents of Consul and Nomad: a certificate for a server's name in its data centre,
/// with the addresses of this machine, by a token that may do nothing else.
#[tokio::test]
async fn agents_get_certificates_for_their_own_names_only() {
    let server = Server::new().await;
    server.put("sys/mounts/pki", json!({"type": "pki", "config": {"max_lease_ttl": "8760h"}})).await.ok();
    server
        .put("pki/root/generate/internal", json!({"common_name": "Agents", "key_type": "ec", "ttl": "8000h"}))
        .await
        .ok();
    for (role, domains) in [("consul-dc1", "dc1.consul"), ("nomad-cluster", "global.nomad")] {
        let role_of = json!({"allowed_domains": domains, "allow_subdomains": true, "key_type": "ec", "max_ttl": "720h",
            "generate_lease": true});
        server.put(&format!("pki/roles/{role}"), role_of).await.ok();
        server.policy(role, &format!(r#"path "pki/issue/{role}" {{ capabilities = ["update"] }}"#)).await;
    }
    let token = |policy: &str| server.token_of(json!({"policies": [policy], "period": "72h"}));
    let consul = server.with(&token("consul-dc1").await);
    let nomad = server.with(&token("nomad-cluster").await);
    let asked =
        |name: &str| json!({"common_name": name, "ttl": "24h", "alt_names": "localhost", "ip_sans": "127.0.0.1"});
    for (agent, path, name) in [
        (&consul, "pki/issue/consul-dc1", "server.dc1.consul"),
        (&nomad, "pki/issue/nomad-cluster", "client.global.nomad"),
    ] {
        let made = agent.put(path, asked(name)).await.ok();
        let bytes = der(made.data()["certificate"].as_str().unwrap());
        let (_, parsed) = X509Certificate::from_der(&bytes).unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len();
        assert_eq!(names, 3, "its name, localhost and 127.0.0.1");
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && usage.client_auth, "an agent calls and is called");
        let renewed = agent.put(path, asked(name)).await.ok();
        assert_ne!(made.data()["serial_number"], renewed.data()["serial_number"]);
        for other in ["server.dc2.consul", "dc1.consul", "server.dc1.consul.evil.test", "server.global.nomad.test"] {
            agent.put(path, asked(other)).await.is(400);
        }
    }
    consul.put("pki/issue/nomad-cluster", asked("server.global.nomad")).await.is(403);
    nomad.put("pki/issue/consul-dc1", asked("server.dc1.consul")).await.is(403);
    for path in ["pki/roles/consul-dc1", "pki/config/urls", "pki/root/generate/internal", "pki/revoke"] {
        consul.put(path, json!({})).await.is(403);
    }
}

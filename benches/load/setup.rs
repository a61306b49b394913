//! A fresh server made ready: initialised, unsealed, mounted, filled, and the requests that the load is made of.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::Result;
use crate::client::{Connection, request};
use crate::options::Options;
use crate::server::{Server, text};

/// Secrets that are read, and as many that are written.
pub const SECRETS: usize = 1000;
/// The content of a secret.
pub const PASSWORD: &str = "correct-horse-battery-staple-0123456789";

/// What a server is asked to do under load, and what is needed to ask.
pub struct Setup {
    pub root: String,
    pub unseal_key: String,
    pub role_id: String,
    pub secret_id: String,
    pub read: Requests,
    pub write: Requests,
    pub login: Requests,
    pub issue: Requests,
    /// An answer to a read.
    pub answer: Vec<u8>,
}

/// Requests that are sent around.
pub type Requests = Arc<[Vec<u8>]>;

impl Setup {
    /// Makes a new server ready for what is wanted.
    pub async fn make(server: &Server, options: &Options) -> Result<Self> {
        let mut to = server.connect().await?;
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let init = to.call("POST", "sys/init", None, Some(shares)).await?;
        let root = text(&init, "/root_token")?.to_owned();
        let unseal_key = text(&init, "/keys_base64/0")?.to_owned();
        to.call("POST", "sys/unseal", None, Some(json!({ "key": unseal_key }))).await?;
        let mut admin = Admin { to, root: root.clone() };
        admin.post("sys/mounts/secret", json!({ "type": "kv", "options": { "version": "2" } })).await?;
        let rules = json!({ "policy": POLICY });
        admin.post("sys/policies/acl/bench", rules).await?;
        let token = admin.post("auth/token/create", json!({ "policies": ["bench"], "ttl": "2h" })).await?;
        let token = text(&token, "/auth/client_token")?.to_owned();
        for index in 0..SECRETS {
            admin.post(&format!("secret/data/r-{index}"), secret(index)).await?;
        }
        admin.audit(Some(&server.audit_file())).await?;
        let (mut role_id, mut secret_id) = Default::default();
        if ["login", "crowd", "agent", "fleet"].iter().any(|measure| options.wants(measure)) {
            (role_id, secret_id) = admin.approle().await?;
        }
        if ["issue", "crowd", "pki", "pki-scale"].iter().any(|measure| options.wants(measure)) {
            admin.pki().await?;
        }

        let many = |make: &dyn Fn(usize) -> Vec<u8>| (0..SECRETS).map(make).collect::<Requests>();
        let read = many(&|index| read(index, &token));
        let write = many(&|index| {
            let body = secret(index).to_string();
            request("POST", &format!("secret/data/w-{index}"), Some(&token), Some(body.as_bytes()))
        });
        let login = many(&|_| login(&role_id, &secret_id));
        let issue = many(&|index| issue(index, &token));
        admin.to.send(&read[0]).await?;
        let answer = admin.to.body().to_vec();
        Ok(Self { root, unseal_key, role_id, secret_id, read, write, login, issue, answer })
    }

    /// Switches the audit file on or off.
    pub async fn audit(&self, server: &Server, on: bool) -> Result<()> {
        let file = server.audit_file();
        Admin { to: server.connect().await?, root: self.root.clone() }.audit(on.then_some(&file)).await
    }
}

/// Reads a secret.
pub fn read(index: usize, token: &str) -> Vec<u8> {
    request("GET", &format!("secret/data/r-{}", index % SECRETS), Some(token), None)
}

/// Logs in.
pub fn login(role_id: &str, secret_id: &str) -> Vec<u8> {
    let body = json!({ "role_id": role_id, "secret_id": secret_id }).to_string();
    request("POST", "auth/approle/login", None, Some(body.as_bytes()))
}

/// Has a certificate issued.
pub fn issue(index: usize, token: &str) -> Vec<u8> {
    let body = json!({ "common_name": format!("host-{index}.bench.internal"), "ttl": "24h" }).to_string();
    request("POST", "pki/issue/bench", Some(token), Some(body.as_bytes()))
}

const POLICY: &str = r#"
path "secret/data/*" { capabilities = ["create", "read", "update"] }
path "pki/issue/bench" { capabilities = ["create", "update"] }
"#;

fn secret(index: usize) -> Value {
    json!({ "data": {
        "username": format!("service-{index}"),
        "password": PASSWORD,
        "url": format!("postgres://db-{index}.internal:5432/orders"),
    } })
}

/// The first block of a PEM text.
pub fn der_of(pem: &str) -> Result<Vec<u8>> {
    use rustls_pki_types::pem::PemObject as _;
    Ok(rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes())?.to_vec())
}

struct Admin {
    to: Connection,
    root: String,
}

impl Admin {
    async fn post(&mut self, path: &str, body: Value) -> Result<Value> {
        self.to.call("POST", path, Some(&self.root), Some(body)).await
    }

    async fn audit(&mut self, file: Option<&Path>) -> Result<()> {
        if let Some(file) = file {
            self.post("sys/audit/file", json!({ "type": "file", "options": { "file_path": file } })).await?;
        } else {
            self.to.call("DELETE", "sys/audit/file", Some(&self.root), None).await?;
        }
        Ok(())
    }

    async fn approle(&mut self) -> Result<(String, String)> {
        self.post("sys/auth/approle", json!({ "type": "approle" })).await?;
        let role = json!({ "token_policies": ["bench"], "token_ttl": "1h", "token_max_ttl": "2h" });
        self.post("auth/approle/role/bench", role).await?;
        let root = self.root.clone();
        let id = self.to.call("GET", "auth/approle/role/bench/role-id", Some(&root), None).await?;
        let secret = self.post("auth/approle/role/bench/secret-id", json!({})).await?;
        Ok((text(&id, "/data/role_id")?.to_owned(), text(&secret, "/data/secret_id")?.to_owned()))
    }

    async fn pki(&mut self) -> Result<()> {
        self.post("sys/mounts/pki", json!({ "type": "pki", "config": { "max_lease_ttl": "87600h" } })).await?;
        let root = json!({ "common_name": "bench root", "key_type": "ec", "key_bits": 256, "ttl": "8760h" });
        self.post("pki/root/generate/internal", root).await?;
        let role = json!({
            "allowed_domains": ["bench.internal"], "allow_subdomains": true,
            "key_type": "ec", "key_bits": 256, "max_ttl": "72h", "no_store": false,
        });
        self.post("pki/roles/bench", role).await?;
        Ok(())
    }
}

//! `config`: the cluster, and whom to believe that it is the cluster.

use serde::{Deserialize, Serialize};

use super::Kubernetes;
use crate::auth::jws::VerifyKey;
use crate::base::secret::stored;
use crate::base::{Error, Json, Key, Result, Secret, limits};
use crate::crypto::x509::Certificate;
use crate::engine::{Cx, Reply, Routes};
use crate::outbound::Address;
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Kubernetes>) -> Routes<Kubernetes> {
    routes.at("config", "Read and write the cluster.", |at| at.read(read).update(write))
}

/// The configuration, as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The address of the API.
    pub kubernetes_host: String,
    /// Whom to trust for TLS there; empty for the machine's, or the pod's.
    pub kubernetes_ca_cert: String,
    /// What we show the API; empty for the pod's own, or the client's.
    #[serde(serialize_with = "stored")]
    pub token_reviewer_jwt: Secret<String>,
    /// Keys that sign service account tokens; without them the cluster alone checks.
    pub pem_keys: Vec<String>,
    /// The only issuer; empty for the usual one.
    pub issuer: String,
    /// Leave the issuer to the cluster.
    pub disable_iss_validation: bool,
    /// Do not look for the CA and token of the pod that this server may run in.
    pub disable_local_ca_jwt: bool,
}

impl Config {
    /// Whom to trust for TLS.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn authorities(text: &str) -> Result<Vec<Certificate>> {
        let wrong = || Error::invalid("field 'kubernetes_ca_cert': no certificates in PEM");
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let read = Certificate::all_from_pem(text).map_err(|_| wrong())?;
        if read.is_empty() { Err(wrong()) } else { Ok(read) }
    }

    /// The keys.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn keys(&self) -> Result<Vec<VerifyKey>> {
        self.pem_keys.iter().map(|pem| VerifyKey::from_pem(pem)).collect()
    }
}

/// Where it lies.
pub fn key() -> Key {
    Key::new("config")
}

params! {
    /// The cluster. A write replaces all that was there.
    pub struct Write {
        /// The address of the API.
        kubernetes_host: Option<String>,
        /// CA certificates in PEM for the API.
        kubernetes_ca_cert: Option<String>,
        /// What is shown to the API to have tokens reviewed.
        token_reviewer_jwt: Option<Secret<String>>,
        /// Public keys, or certificates, in PEM that sign service account tokens.
        pem_keys: Vec<String>,
        /// The only issuer.
        issuer: Option<String>,
        /// Leave the issuer to the cluster.
        disable_iss_validation: Option<bool>,
        /// Do not look for the CA and token of the pod that this server may run in.
        disable_local_ca_jwt: Option<bool>,
    }
}

async fn read(cx: Cx<Kubernetes>, _: ()) -> Result<Reply> {
    let config: Config = cx.get(&key())?.ok_or_else(Error::not_found)?;
    let pairs: [(&str, Json); 7] = [
        ("disable_iss_validation", config.disable_iss_validation.into()),
        ("disable_local_ca_jwt", config.disable_local_ca_jwt.into()),
        ("issuer", config.issuer.into()),
        ("kubernetes_ca_cert", config.kubernetes_ca_cert.into()),
        ("kubernetes_host", config.kubernetes_host.into()),
        ("pem_keys", config.pem_keys.into()),
        ("token_reviewer_jwt_set", (!config.token_reviewer_jwt.reveal().is_empty()).into()),
    ];
    Ok(Reply::data(pairs.map(|(k, v)| (k.to_owned(), v))))
}

async fn write(cx: Cx<Kubernetes>, p: Write) -> Result<Reply> {
    let config = Config {
        kubernetes_host: p.kubernetes_host.unwrap_or_default(),
        kubernetes_ca_cert: p.kubernetes_ca_cert.unwrap_or_default(),
        token_reviewer_jwt: p.token_reviewer_jwt.unwrap_or_default(),
        pem_keys: p.pem_keys,
        issuer: p.issuer.unwrap_or_default(),
        disable_iss_validation: p.disable_iss_validation.unwrap_or(true),
        disable_local_ca_jwt: p.disable_local_ca_jwt.unwrap_or(false),
    };
    if config.kubernetes_host.is_empty() {
        return Err(Error::invalid("no host provided"));
    }
    if config.disable_local_ca_jwt
        && config.kubernetes_ca_cert.is_empty()
        && config.kubernetes_host.starts_with("https:")
    {
        return Err(Error::invalid("kubernetes_ca_cert must be given when disable_local_ca_jwt is true"));
    }
    Address::parse(&config.kubernetes_host).map_err(|e| Error::invalid(format!("field 'kubernetes_host': {e}")))?;
    if config.pem_keys.len() > limits::JWKS_KEYS {
        return Err(Error::invalid(format!("field 'pem_keys': at most {} keys", limits::JWKS_KEYS)));
    }
    config.keys().map_err(|e| Error::invalid(format!("field 'pem_keys': {e}")))?;
    Config::authorities(&config.kubernetes_ca_cert)?;
    let mut txn = cx.txn();
    txn.overwrite(&key(), &config)?;
    Ok(Reply::empty(txn))
}

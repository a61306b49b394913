//! `config`: whom to believe. Exactly one source of keys: static ones, a key set's address, or discovery.

use serde::{Deserialize, Serialize};

use super::Jwt;
use super::keys;
use crate::auth::jws::{Algorithm, VerifyKey};
use crate::base::json::Map;
use crate::base::secret::stored;
use crate::base::{Error, Json, Key, Result, Secret, ids, limits};
use crate::crypto::pem::{self, Label};
use crate::crypto::x509::Certificate;
use crate::engine::{Cx, Reply, Routes};
use crate::outbound::Address;
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Jwt>) -> Routes<Jwt> {
    routes.at("config", "Read and write whom to believe.", |at| at.read(read).update(write))
}

/// The configuration, as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Changes with each write, so that keys of an older one are not taken for those of this one.
    pub revision: String,
    /// Public keys in PEM.
    pub jwt_validation_pubkeys: Vec<String>,
    /// The address of a key set.
    pub jwks_url: String,
    /// Whom to trust for TLS there; empty for the machine's.
    pub jwks_ca_pem: String,
    /// The issuer whose metadata says where its keys are.
    pub oidc_discovery_url: String,
    /// Whom to trust for TLS there.
    pub oidc_discovery_ca_pem: String,
    /// Who we are to the issuer.
    pub oidc_client_id: String,
    /// What proves it.
    #[serde(serialize_with = "stored")]
    pub oidc_client_secret: Secret<String>,
    /// `query`, `form_post` or empty.
    pub oidc_response_mode: String,
    /// Accepted and shown: the code alone is asked for.
    pub oidc_response_types: Vec<String>,
    /// The only issuer.
    pub bound_issuer: String,
    /// The only algorithms; empty for all that there are.
    pub jwt_supported_algs: Vec<Algorithm>,
    /// The role of a login that names none.
    pub default_role: String,
    /// Accepted and shown; there are no namespaces.
    pub namespace_in_state: bool,
}

impl Config {
    /// What may sign.
    pub fn algorithms(&self) -> &[Algorithm] {
        if self.jwt_supported_algs.is_empty() { &Algorithm::ALL } else { &self.jwt_supported_algs }
    }
}

/// Where it lies.
pub fn key() -> Key {
    Key::new("config")
}

/// The configuration that a login needs.
///
/// # Errors
/// [`Error::Invalid`], as Vault words it.
pub fn of(cx: &Cx<Jwt>) -> Result<Config> {
    cx.get(&key())?.ok_or_else(|| Error::invalid("could not load configuration"))
}

/// Certificates in PEM; none for empty text.
///
/// # Errors
/// [`Error::Invalid`] which names the field.
pub fn authorities(field: &str, text: &str) -> Result<Vec<Certificate>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let wrong = || Error::invalid(format!("field '{field}': no certificates in PEM"));
    let blocks = pem::blocks(text.as_bytes()).map_err(|_| wrong())?;
    let certificates = blocks.iter().filter(|block| block.label == Label::Certificate);
    let read: Vec<Certificate> = certificates
        .map(|block| Certificate::from_der(block.der.reveal()).map_err(|_| wrong()))
        .collect::<Result<_>>()?;
    if read.is_empty() { Err(wrong()) } else { Ok(read) }
}

params! {
    /// Whom to believe. A write replaces all that was there.
    pub struct Write {
        /// Public keys in PEM, or certificates.
        jwt_validation_pubkeys: Vec<String>,
        /// The address of a key set.
        jwks_url: Option<String>,
        /// CA certificates in PEM for that address.
        jwks_ca_pem: Option<String>,
        /// The issuer whose metadata says where its keys are.
        oidc_discovery_url: Option<String>,
        /// CA certificates in PEM for the issuer.
        oidc_discovery_ca_pem: Option<String>,
        /// Who we are to the issuer.
        oidc_client_id: Option<String>,
        /// What proves it.
        oidc_client_secret: Option<Secret<String>>,
        /// How the issuer answers: 'query' or 'form_post'.
        oidc_response_mode: Option<String>,
        /// What is asked of the issuer: 'code' only.
        oidc_response_types: Vec<String>,
        /// The only issuer.
        bound_issuer: Option<String>,
        /// The only signature algorithms.
        jwt_supported_algs: Vec<String>,
        /// The role of a login that names none.
        default_role: Option<String>,
        /// Accepted and shown; there are no namespaces.
        namespace_in_state: Option<bool>,
        /// Accepted when empty: no provider needs settings of its own here.
        provider_config: Json,
        /// Do not ask the issuer for its keys now.
        skip_jwks_validation: Option<bool>,
    }
}

async fn read(cx: Cx<Jwt>, _: ()) -> Result<Reply> {
    let config: Config = cx.get(&key())?.ok_or_else(Error::not_found)?;
    let words: Vec<String> = config.jwt_supported_algs.iter().map(|a| a.word().to_owned()).collect();
    let pairs: [(&str, Json); 13] = [
        ("bound_issuer", config.bound_issuer.into()),
        ("default_role", config.default_role.into()),
        ("jwks_ca_pem", config.jwks_ca_pem.into()),
        ("jwks_url", config.jwks_url.into()),
        ("jwt_supported_algs", words.into()),
        ("jwt_validation_pubkeys", config.jwt_validation_pubkeys.into()),
        ("namespace_in_state", config.namespace_in_state.into()),
        ("oidc_client_id", config.oidc_client_id.into()),
        ("oidc_discovery_ca_pem", config.oidc_discovery_ca_pem.into()),
        ("oidc_discovery_url", config.oidc_discovery_url.into()),
        ("oidc_response_mode", config.oidc_response_mode.into()),
        ("oidc_response_types", config.oidc_response_types.into()),
        ("provider_config", Json::Object(Map::new())),
    ];
    Ok(Reply::data(pairs.map(|(k, v)| (k.to_owned(), v))))
}

async fn write(cx: Cx<Jwt>, p: Write) -> Result<Reply> {
    let skip = p.skip_jwks_validation.unwrap_or(false);
    let config = checked(&cx, p)?;
    let mut warning = None;
    if config.jwt_validation_pubkeys.is_empty() {
        // A source that cannot be reached is most often a typing error: it is told now, not at the first login.
        match keys::look(&cx, &config).await {
            Ok(_) => {}
            Err(error) if skip => warning = Some(format!("the issuer's keys could not be read: {error}")),
            Err(error) => return Err(Error::invalid(format!("error checking the issuer's keys: {error}"))),
        }
    }
    let mut txn = cx.txn();
    txn.overwrite(&key(), &config)?;
    let reply = Reply::empty(txn);
    Ok(match warning {
        Some(text) => reply.warning(text),
        None => reply,
    })
}

fn checked(cx: &Cx<Jwt>, p: Write) -> Result<Config> {
    let config = Config {
        revision: ids::uuid(cx.rng()),
        jwt_validation_pubkeys: p.jwt_validation_pubkeys,
        jwks_url: p.jwks_url.unwrap_or_default(),
        jwks_ca_pem: p.jwks_ca_pem.unwrap_or_default(),
        oidc_discovery_url: p.oidc_discovery_url.unwrap_or_default(),
        oidc_discovery_ca_pem: p.oidc_discovery_ca_pem.unwrap_or_default(),
        oidc_client_id: p.oidc_client_id.unwrap_or_default(),
        oidc_client_secret: p.oidc_client_secret.unwrap_or_default(),
        oidc_response_mode: p.oidc_response_mode.unwrap_or_default(),
        oidc_response_types: p.oidc_response_types,
        bound_issuer: p.bound_issuer.unwrap_or_default(),
        jwt_supported_algs: Vec::new(),
        default_role: p.default_role.unwrap_or_default(),
        namespace_in_state: p.namespace_in_state.unwrap_or(true),
    };
    let sources =
        [!config.jwt_validation_pubkeys.is_empty(), !config.jwks_url.is_empty(), !config.oidc_discovery_url.is_empty()];
    if sources.into_iter().filter(|named| *named).count() != 1 {
        return Err(Error::invalid(
            "exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must be set",
        ));
    }
    if config.jwt_validation_pubkeys.len() > limits::JWKS_KEYS {
        return Err(Error::invalid(format!("field 'jwt_validation_pubkeys': at most {} keys", limits::JWKS_KEYS)));
    }
    for key in &config.jwt_validation_pubkeys {
        VerifyKey::from_pem(key).map_err(|e| Error::invalid(format!("field 'jwt_validation_pubkeys': {e}")))?;
    }
    for (field, url) in [("jwks_url", &config.jwks_url), ("oidc_discovery_url", &config.oidc_discovery_url)] {
        if !url.is_empty() {
            Address::parse(url).map_err(|e| Error::invalid(format!("field '{field}': {e}")))?;
        }
    }
    for (field, pem, of) in [
        ("jwks_ca_pem", &config.jwks_ca_pem, &config.jwks_url),
        ("oidc_discovery_ca_pem", &config.oidc_discovery_ca_pem, &config.oidc_discovery_url),
    ] {
        if !authorities(field, pem)?.is_empty() && of.is_empty() {
            return Err(Error::invalid(format!("field '{field}': there is no address that it is for")));
        }
    }
    let secret = !config.oidc_client_secret.reveal().is_empty();
    if secret && config.oidc_client_id.is_empty() {
        return Err(Error::invalid("'oidc_client_secret' needs an 'oidc_client_id'"));
    }
    if !config.oidc_client_id.is_empty() && config.oidc_discovery_url.is_empty() {
        return Err(Error::invalid("'oidc_client_id' needs an 'oidc_discovery_url'"));
    }
    if !matches!(config.oidc_response_mode.as_str(), "" | "query" | "form_post") {
        return Err(Error::invalid("field 'oidc_response_mode': only 'query' and 'form_post' are possible"));
    }
    if config.oidc_response_types.iter().any(|word| word != "code") {
        return Err(Error::invalid("field 'oidc_response_types': only 'code' is possible: no token passes a browser"));
    }
    if p.provider_config.as_object().is_some_and(|map| !map.is_empty()) {
        return Err(Error::invalid("field 'provider_config': no provider has settings of its own here"));
    }
    let algorithms = p.jwt_supported_algs.iter().map(|word| Algorithm::parse(word)).collect::<Option<Vec<_>>>();
    let jwt_supported_algs = algorithms.ok_or_else(|| Error::invalid("field 'jwt_supported_algs': unsupported"))?;
    Ok(Config { jwt_supported_algs, ..config })
}

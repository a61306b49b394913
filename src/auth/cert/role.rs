//! `certs/`: trusted certificates, what a client's must say, and what it gets.

use serde::{Deserialize, Serialize};

use super::{Cert, ocsp};
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Name, Result, Ttl, limits};
use crate::crypto::x509::{Certificate, extension};
use crate::engine::{Cx, OlderTokenParams, Page, Reply, Routes, TokenParams, TokenRules};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<Cert>) -> Routes<Cert> {
    routes.at("certs/", "List the trusted certificates.", |at| at.list(list)).at(
        "certs/{name!}",
        "Read, write and delete a trusted certificate.",
        |at| at.read(read).upsert(exists, write).delete(delete),
    )
}

/// A trusted certificate and its conditions, as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    /// PEM: CAs, or certificates that are trusted by themselves.
    pub certificate: String,
    /// The name that logs show.
    pub display_name: String,
    /// Patterns: one must fit the common name, a DNS name or a mail address.
    pub allowed_names: Vec<String>,
    /// Patterns for the common name.
    pub allowed_common_names: Vec<String>,
    /// Patterns for DNS names.
    pub allowed_dns_sans: Vec<String>,
    /// Patterns for mail addresses.
    pub allowed_email_sans: Vec<String>,
    /// Patterns for URIs.
    pub allowed_uri_sans: Vec<String>,
    /// Patterns for organizational units.
    pub allowed_organizational_units: Vec<String>,
    /// `oid:pattern`, all of which must fit.
    pub required_extensions: Vec<String>,
    /// Extensions whose text becomes metadata.
    pub allowed_metadata_extensions: Vec<String>,
    /// What OCSP responders are asked.
    pub ocsp: ocsp::Rules,
    /// What the tokens are like.
    pub rules: TokenRules,
}

impl Role {
    /// The certificates.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn trusted(&self) -> Result<Vec<Certificate>> {
        Ok(Certificate::all_from_pem(&self.certificate)?)
    }
}

/// Where one lies.
pub fn key(name: &Name) -> Key {
    folder().join(name.as_str())
}

/// Where all lie.
pub fn folder() -> Key {
    Key::new("cert")
}

params! {
    /// A trusted certificate.
    pub struct ByName {
        /// Its name.
        name: Name,
    }
    /// A trusted certificate; what is absent stays as it was.
    pub struct Write {
        /// Its name.
        name: Name,
        /// PEM: a CA's, or one that is trusted by itself; several in one text.
        certificate: Option<String>,
        /// The name that logs show.
        display_name: Option<String>,
        /// Patterns: one must fit the common name, a DNS name or a mail address.
        allowed_names: Option<Vec<String>>,
        /// Patterns for the common name.
        allowed_common_names: Option<Vec<String>>,
        /// Patterns for DNS names.
        allowed_dns_sans: Option<Vec<String>>,
        /// Patterns for mail addresses.
        allowed_email_sans: Option<Vec<String>>,
        /// Patterns for URIs.
        allowed_uri_sans: Option<Vec<String>>,
        /// Patterns for organizational units.
        allowed_organizational_units: Option<Vec<String>>,
        /// 'oid:pattern' for the text of an extension, or 'hex:oid:pattern' for its bytes; all must fit.
        required_extensions: Option<Vec<String>>,
        /// Object identifiers of extensions whose text becomes metadata.
        allowed_metadata_extensions: Option<Vec<String>>,
        /// Ask OCSP responders whether the client's certificate is revoked.
        ocsp_enabled: Option<bool>,
        /// PEM: responders, and CAs of responders, that are believed beside the certificate's issuer.
        ocsp_ca_certificates: Option<String>,
        /// Addresses of responders, instead of those that the certificate names.
        ocsp_servers_override: Option<Vec<String>>,
        /// Admit where no answer can be had.
        ocsp_fail_open: Option<bool>,
        /// Ask all responders, and admit only if all say good.
        ocsp_query_all_servers: Option<bool>,
        /// How old an answer may be; 0 for as it says itself.
        ocsp_this_update_max_age: Option<Ttl>,
        /// How often a responder is asked again that does not answer.
        ocsp_max_retries: Option<u64>,
        /// The older names of what the tokens are like.
        older: OlderTokenParams,
        /// What the tokens are like.
        token: TokenParams,
    }
}

async fn list(cx: Cx<Cert>, p: Page) -> Result<Reply> {
    Ok(Reply::list(p.of(cx.list(&folder())?)))
}

async fn read(cx: Cx<Cert>, p: ByName) -> Result<Reply> {
    let role: Role = cx.get(&key(&p.name))?.ok_or_else(Error::not_found)?;
    let list = |items: Vec<String>| if items.is_empty() { Json::Null } else { items.into() };
    let pairs: [(&str, Json); 17] = [
        ("allowed_common_names", list(role.allowed_common_names)),
        ("allowed_dns_sans", list(role.allowed_dns_sans)),
        ("allowed_email_sans", list(role.allowed_email_sans)),
        ("allowed_metadata_extensions", list(role.allowed_metadata_extensions)),
        ("allowed_names", list(role.allowed_names)),
        ("allowed_organizational_units", list(role.allowed_organizational_units)),
        ("allowed_uri_sans", list(role.allowed_uri_sans)),
        ("certificate", role.certificate.into()),
        ("display_name", role.display_name.into()),
        ("ocsp_ca_certificates", role.ocsp.ca_certificates.into()),
        ("ocsp_enabled", role.ocsp.enabled.into()),
        ("ocsp_fail_open", role.ocsp.fail_open.into()),
        ("ocsp_max_retries", role.ocsp.retries.into()),
        ("ocsp_query_all_servers", role.ocsp.query_all.into()),
        ("ocsp_servers_override", list(role.ocsp.servers)),
        ("ocsp_this_update_max_age", role.ocsp.max_age.seconds().into()),
        ("required_extensions", list(role.required_extensions)),
    ];
    let mut data = Map::from(pairs.map(|(k, v)| (k.to_owned(), v)));
    role.rules.show(&mut data);
    Ok(Reply::data(data))
}

fn exists(cx: &Cx<Cert>, p: &Write) -> Result<bool> {
    Ok(cx.get::<Role>(&key(&p.name))?.is_some())
}

async fn write(cx: Cx<Cert>, p: Write) -> Result<Reply> {
    let key = key(&p.name);
    let mut txn = cx.txn();
    let old: Option<Role> = cx.writable(&mut txn, &key)?;
    let mut role = old.unwrap_or_else(|| Role { display_name: p.name.as_str().to_owned(), ..Role::default() });
    if let Some(certificate) = p.certificate {
        role.certificate = certificate;
    }
    if let Some(name) = p.display_name.filter(|name| !name.is_empty()) {
        role.display_name = name;
    }
    for (place, given) in [
        (&mut role.allowed_names, p.allowed_names),
        (&mut role.allowed_common_names, p.allowed_common_names),
        (&mut role.allowed_dns_sans, p.allowed_dns_sans),
        (&mut role.allowed_email_sans, p.allowed_email_sans),
        (&mut role.allowed_uri_sans, p.allowed_uri_sans),
        (&mut role.allowed_organizational_units, p.allowed_organizational_units),
        (&mut role.required_extensions, p.required_extensions),
        (&mut role.allowed_metadata_extensions, p.allowed_metadata_extensions),
    ] {
        if let Some(list) = given {
            if list.len() > limits::ROLE_CONDITIONS {
                return Err(Error::invalid(format!("a list has at most {} entries", limits::ROLE_CONDITIONS)));
            }
            *place = list;
        }
    }
    let ocsp = &mut role.ocsp;
    ocsp.enabled = p.ocsp_enabled.unwrap_or(ocsp.enabled);
    ocsp.fail_open = p.ocsp_fail_open.unwrap_or(ocsp.fail_open);
    ocsp.query_all = p.ocsp_query_all_servers.unwrap_or(ocsp.query_all);
    ocsp.max_age = p.ocsp_this_update_max_age.unwrap_or(ocsp.max_age);
    ocsp.retries = p.ocsp_max_retries.unwrap_or(ocsp.retries);
    ocsp.ca_certificates = p.ocsp_ca_certificates.unwrap_or(std::mem::take(&mut ocsp.ca_certificates));
    ocsp.servers = p.ocsp_servers_override.unwrap_or(std::mem::take(&mut ocsp.servers));
    ocsp.check()?;
    role.rules.apply_older(p.older)?;
    role.rules.apply(p.token)?;
    check(&role)?;
    txn.put(&key, &role)?;
    Ok(Reply::empty(txn))
}

fn check(role: &Role) -> Result<()> {
    let trusted = role.trusted().map_err(|_| Error::invalid("failed to parse certificate"))?;
    if trusted.is_empty() {
        return Err(Error::invalid("failed to parse certificate"));
    }
    if trusted.len() > limits::TRUSTED_CERTIFICATES {
        return Err(Error::invalid(format!(
            "field 'certificate': at most {} certificates",
            limits::TRUSTED_CERTIFICATES
        )));
    }
    for asked in &role.required_extensions {
        let rest = asked.strip_prefix("hex:").unwrap_or(asked);
        let oid = rest.split_once(':').map(|(oid, _)| oid);
        if oid.is_none_or(|oid| extension::oid(oid).is_err()) {
            return Err(Error::invalid("field 'required_extensions': expected 'oid:pattern'"));
        }
    }
    if role.allowed_metadata_extensions.iter().any(|oid| extension::oid(oid).is_err()) {
        return Err(Error::invalid("field 'allowed_metadata_extensions': expected object identifiers"));
    }
    Ok(())
}

async fn delete(cx: Cx<Cert>, p: ByName) -> Result<Reply> {
    let mut txn = cx.txn();
    txn.delete(&key(&p.name));
    Ok(Reply::empty(txn))
}

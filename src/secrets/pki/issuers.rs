//! `issuers/`, `issuer/:ref`, `keys/`, `key/:ref`: what a mount has, and its names and settings.

use super::Pki;
use super::config::{UrlParams, changed_urls};
use super::issuer::{self, Issuer, IssuersConfig, KeysConfig, Usage, What, find, find_key, issuer_key, key_key};
use super::lifetime::Beyond;
use super::output::FormatParams;
use super::read::OneIssuer;
use super::role::Role;
use super::root::{KeyParams, Origin, ca_key};
use super::store::{config_key, role_key, roles_key};
use crate::base::json::Map;
use crate::base::{Error, Json, Result};
use crate::crypto::x509::Certificate;
use crate::engine::{Cx, Reply};
use crate::params;

params! {
    /// The settings of an issuer.
    pub struct IssuerParams {
        /// Its id or name, or default.
        issuer_ref: String,
        /// Its name.
        issuer_name: Option<String>,
        /// err, truncate or permit.
        leaf_not_after_behavior: Option<String>,
        /// The ids or names of its chain, itself first.
        manual_chain: Option<Vec<String>>,
        /// read-only, issuing-certificates, crl-signing, ocsp-signing.
        usage: Option<Vec<String>>,
        /// How its lists are signed.
        revocation_signature_algorithm: Option<String>,
        /// Where its certificate is.
        issuing_certificates: Option<Vec<String>>,
        /// Where its lists are.
        crl_distribution_points: Option<Vec<String>>,
        /// Where its delta lists are.
        delta_crl_distribution_points: Option<Vec<String>>,
        /// Where its OCSP responders are.
        ocsp_servers: Option<Vec<String>>,
        /// Whether templates in them are filled in.
        enable_aia_url_templating: Option<bool>,
    }
    /// One key.
    pub struct OneKey {
        /// Its id or name, or default.
        key_ref: String,
    }
    /// The settings of a key.
    pub struct WriteKey {
        /// Its id or name, or default.
        key_ref: String,
        /// Its name.
        key_name: Option<String>,
    }
    /// A key to be.
    pub struct GenerateKey {
        /// internal or exported.
        kind: String = "exported",
        /// The key.
        key: KeyParams,
        /// How the answer is written.
        format: FormatParams,
    }
}

pub async fn list(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let default = cx.get::<IssuersConfig>(&config_key("issuers"))?.unwrap_or_default().default;
    let mut info = Map::new();
    for issuer in issuer::all(cx.view())? {
        let serial = Certificate::from_pem(&issuer.certificate)?.serial_text();
        let about = Json::object([
            ("is_default", Json::from(issuer.id == default)),
            ("issuer_name", issuer.name.into()),
            ("key_id", issuer.key_id.into()),
            ("serial_number", serial.into()),
        ]);
        info.insert(issuer.id, about);
    }
    Ok(listed(info))
}

pub async fn list_keys(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let default = cx.get::<KeysConfig>(&config_key("keys"))?.unwrap_or_default().default;
    let mut info = Map::new();
    for key in issuer::all_keys(cx.view())? {
        let about = Json::object([("is_default", Json::from(key.id == default)), ("key_name", key.name.into())]);
        info.insert(key.id, about);
    }
    Ok(listed(info))
}

fn listed(info: Map) -> Reply {
    let keys: Vec<Json> = info.keys().map(|id| Json::from(id.as_str())).collect();
    let mut reply = Reply::list(keys);
    if let crate::engine::Body::Data(data) = &mut reply.body
        && !data.is_empty()
    {
        data.insert("key_info".into(), info.into());
    }
    reply
}

pub async fn read(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    let issuer = cx.view().read(|reading| find(reading, &p.issuer_ref))?;
    Ok(Reply::data(shown(&issuer)))
}

/// Writes all settings of an issuer: what is not given goes back to its default.
pub async fn write(cx: Cx<Pki>, p: IssuerParams) -> Result<Reply> {
    change(&cx, p, true)
}

/// Changes only what is given.
pub async fn patch(cx: Cx<Pki>, p: IssuerParams) -> Result<Reply> {
    change(&cx, p, false)
}

fn change(cx: &Cx<Pki>, p: IssuerParams, whole: bool) -> Result<Reply> {
    let mut txn = cx.txn();
    let id = cx.view().read(|reading| find(reading, &p.issuer_ref))?.id;
    let key = issuer_key(&id);
    let old: Issuer = txn.get(&key)?.ok_or_else(|| What::Issuer.unknown())?;
    let mut new = old.clone();
    if whole {
        new.name = String::new();
        new.beyond = Beyond::Err;
        new.manual_chain = Vec::new();
        new.usage = Usage::ALL;
        new.revocation_signature_algorithm = String::new();
        new.urls = issuer::Urls::default();
    }
    if let Some(name) = p.issuer_name {
        new.name = name;
    }
    if let Some(word) = p.leaf_not_after_behavior {
        new.beyond = Beyond::parse(&word)?;
    }
    if let Some(words) = p.usage {
        new.usage = Usage::parse(&words)?;
    }
    if let Some(name) = p.revocation_signature_algorithm {
        new.revocation_signature_algorithm = list_algorithm(&old, &name)?;
    }
    if old.revoked.is_some() {
        new.usage.issuing = false;
    }
    let urls = UrlParams {
        issuing_certificates: p.issuing_certificates,
        crl_distribution_points: p.crl_distribution_points,
        delta_crl_distribution_points: p.delta_crl_distribution_points,
        ocsp_servers: p.ocsp_servers,
        enable_templating: p.enable_aia_url_templating,
    };
    new.urls = changed_urls(new.urls, urls)?;
    if new.name != old.name {
        issuer::take_name(&mut txn, What::Issuer, &new.name, &id)?;
        issuer::drop_name(&mut txn, What::Issuer, &old.name);
        let config: IssuersConfig = txn.get(&config_key("issuers"))?.unwrap_or_default();
        txn.put(&config_key("issuers"), &IssuersConfig { modified: Some(cx.now()), ..config })?;
    }
    if let Some(references) = p.manual_chain {
        let ids = |reading: &crate::barrier::Reading<'_>| {
            references.iter().map(|one| Ok(find(reading, one)?.id)).collect::<Result<Vec<_>>>()
        };
        new.manual_chain = cx.view().read(ids)?;
        if new.manual_chain.first().is_some_and(|first| *first != id) {
            return Err(Error::invalid("manual_chain must begin with the issuer itself"));
        }
    }
    if new.manual_chain != old.manual_chain {
        // The set's guard: the chain is made of the others' certificates.
        let config: IssuersConfig = txn.get(&config_key("issuers"))?.unwrap_or_default();
        txn.put(&config_key("issuers"), &IssuersConfig { modified: Some(cx.now()), ..config })?;
        let mut issuers = issuer::all(cx.view())?;
        issuers.retain(|one| one.id != id);
        issuers.push(new.clone());
        let renewed = super::chain::renewed(&issuers, std::slice::from_ref(&id))?;
        if let Some(own) = renewed.into_iter().find(|one| one.id == id) {
            new.chain = own.chain;
        }
    }
    txn.put(&key, &new)?;
    Ok(Reply::data(shown(&new)).with(txn))
}

fn list_algorithm(issuer: &Issuer, name: &str) -> Result<String> {
    let kind = Certificate::from_pem(&issuer.certificate)?.public_key()?.kind();
    if name.is_empty() || super::crl::algorithm_of(kind, name).is_some() {
        return Ok(name.to_owned());
    }
    Err(Error::invalid("revocation_signature_algorithm: none, or none for this issuer's key"))
}

fn shown(issuer: &Issuer) -> Map {
    let manual = if issuer.manual_chain.is_empty() { Json::Null } else { issuer.manual_chain.clone().into() };
    let mut data = Map::from(
        [
            ("ca_chain", Json::from(issuer.chain.clone())),
            ("certificate", issuer.certificate.clone().into()),
            ("crl_distribution_points", issuer.urls.crl_distribution_points.clone().into()),
            ("delta_crl_distribution_points", issuer.urls.delta_crl_distribution_points.clone().into()),
            ("enable_aia_url_templating", issuer.urls.enable_templating.into()),
            ("issuer_id", issuer.id.clone().into()),
            ("issuer_name", issuer.name.clone().into()),
            ("issuing_certificates", issuer.urls.issuing_certificates.clone().into()),
            ("key_id", issuer.key_id.clone().into()),
            ("leaf_not_after_behavior", issuer.beyond.word().into()),
            ("manual_chain", manual),
            ("ocsp_servers", issuer.urls.ocsp_servers.clone().into()),
            ("revocation_signature_algorithm", issuer.revocation_signature_algorithm.clone().into()),
            ("revoked", issuer.revoked.is_some().into()),
            ("usage", issuer.usage.text().into()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if let Some(at) = issuer.revoked {
        data.insert("revocation_time".into(), at.as_second().into());
        data.insert("revocation_time_rfc3339".into(), at.to_string().into());
    }
    data
}

/// Revoking an issuer takes the issuing of certificates from it; it is in its parent's list if that is here too.
pub async fn revoke(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    let mut txn = cx.txn();
    let id = cx.view().read(|reading| find(reading, &p.issuer_ref))?.id;
    let key = issuer_key(&id);
    let mut issuer: Issuer = txn.get(&key)?.ok_or_else(|| What::Issuer.unknown())?;
    if issuer.revoked.is_none() {
        issuer.revoked = Some(cx.now());
        issuer.usage.issuing = false;
        txn.put(&key, &issuer)?;
        super::revoke::revoke_issuer(&cx, &mut txn, &issuer)?;
    }
    Ok(Reply::data(shown(&issuer)).with(txn))
}

pub async fn delete(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    let mut txn = cx.txn();
    let issuer = match cx.view().read(|reading| find(reading, &p.issuer_ref)) {
        Ok(issuer) => issuer,
        // Idempotent for what is gone; a reference that cannot lead anywhere is still an error.
        Err(Error::Invalid(_)) if p.issuer_ref != "default" => return Ok(Reply::nothing()),
        Err(other) => return Err(other),
    };
    let mut config: IssuersConfig = txn.get(&config_key("issuers"))?.unwrap_or_default();
    let mut warnings = Vec::new();
    if config.default == issuer.id {
        config.default = String::new();
        warnings.push("deleted the default issuer: there is none until one is set in config/issuers".to_owned());
    }
    config.modified = Some(cx.now());
    txn.put(&config_key("issuers"), &config)?;
    issuer::drop_name(&mut txn, What::Issuer, &issuer.name);
    txn.delete(&issuer_key(&issuer.id));
    let mut rest = issuer::all(cx.view())?;
    rest.retain(|one| one.id != issuer.id);
    for one in &mut rest {
        one.manual_chain.retain(|id| *id != issuer.id);
    }
    for one in super::chain::renewed(&rest, &[])? {
        txn.get::<Issuer>(&issuer_key(&one.id))?;
        txn.put(&issuer_key(&one.id), &one)?;
    }
    for role in roles_of(&cx, &issuer)? {
        warnings.push(format!("role '{role}' refers to the deleted issuer"));
    }
    let mut reply = Reply::empty(txn);
    reply.warnings = warnings;
    Ok(reply)
}

/// Deletes all issuers and keys; certificates and lists stay.
pub async fn delete_all(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let mut txn = cx.txn();
    txn.get::<IssuersConfig>(&config_key("issuers"))?;
    txn.get::<KeysConfig>(&config_key("keys"))?;
    txn.put(&config_key("issuers"), &IssuersConfig { modified: Some(cx.now()), ..IssuersConfig::default() })?;
    txn.put(&config_key("keys"), &KeysConfig::default())?;
    for issuer in issuer::all(cx.view())? {
        issuer::drop_name(&mut txn, What::Issuer, &issuer.name);
        txn.delete(&issuer_key(&issuer.id));
    }
    for key in issuer::all_keys(cx.view())? {
        issuer::drop_name(&mut txn, What::Key, &key.name);
        txn.delete(&key_key(&key.id));
    }
    cx.engine().forget_keys();
    Ok(Reply::empty(txn))
}

fn roles_of(cx: &Cx<Pki>, issuer: &Issuer) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in cx.list(&roles_key())? {
        let of = cx.get::<Role>(&role_key(&name))?.map(|role| role.issuer_ref).unwrap_or_default();
        if of == issuer.id || (!issuer.name.is_empty() && of == issuer.name) {
            found.push(name);
        }
    }
    Ok(found)
}

pub async fn read_key(cx: Cx<Pki>, p: OneKey) -> Result<Reply> {
    let key = cx.view().read(|reading| find_key(reading, &p.key_ref))?;
    Ok(key_data(&key.id, &key.name, &key.key_type))
}

fn key_data(id: &str, name: &str, key_type: &str) -> Reply {
    Reply::data([
        ("key_id".to_owned(), Json::from(id)),
        ("key_name".to_owned(), name.into()),
        ("key_type".to_owned(), key_type.into()),
    ])
}

pub async fn write_key(cx: Cx<Pki>, p: WriteKey) -> Result<Reply> {
    let mut txn = cx.txn();
    let id = cx.view().read(|reading| find_key(reading, &p.key_ref))?.id;
    let mut key: issuer::StoredKey = txn.get(&key_key(&id))?.ok_or_else(|| What::Key.unknown())?;
    let name = p.key_name.unwrap_or_default();
    if name != key.name {
        issuer::take_name(&mut txn, What::Key, &name, &id)?;
        issuer::drop_name(&mut txn, What::Key, &key.name);
        key.name = name;
        txn.put(&key_key(&id), &key)?;
    }
    Ok(key_data(&key.id, &key.name, &key.key_type).with(txn))
}

/// A key that an issuer uses can be deleted: the issuer stays, and signs nothing more.
pub async fn delete_key(cx: Cx<Pki>, p: OneKey) -> Result<Reply> {
    let mut txn = cx.txn();
    let key = match cx.view().read(|reading| find_key(reading, &p.key_ref)) {
        Ok(key) => key,
        Err(Error::Invalid(_)) if p.key_ref != "default" => return Ok(Reply::nothing()),
        Err(other) => return Err(other),
    };
    let mut warnings = Vec::new();
    let config: KeysConfig = txn.get(&config_key("keys"))?.unwrap_or_default();
    if config.default == key.id {
        txn.put(&config_key("keys"), &KeysConfig::default())?;
        warnings.push("deleted the default key: there is none until one is set in config/keys".to_owned());
    }
    issuer::drop_name(&mut txn, What::Key, &key.name);
    txn.delete(&key_key(&key.id));
    cx.engine().forget_keys();
    let mut reply = Reply::empty(txn);
    reply.warnings = warnings;
    Ok(reply)
}

pub async fn generate_key(cx: Cx<Pki>, p: GenerateKey) -> Result<Reply> {
    let origin = Origin::parse(&p.kind)?;
    if origin == Origin::Existing {
        return Err(Error::invalid("the kind must be internal or exported"));
    }
    let format = p.format.checked()?;
    let key = ca_key(&cx, origin, &p.key).await?;
    let mut txn = cx.txn();
    issuer::add_key(&mut txn, &key.row)?;
    let mut reply = key_data(&key.row.id, &key.row.name, &key.row.key_type).with(txn);
    if let crate::engine::Body::Data(data) = &mut reply.body
        && key.exported
    {
        format.add_key(&key.key, data)?;
    }
    Ok(reply)
}

//! `config/urls`, `config/cluster`, `config/issuers`, `config/keys`.

use super::Pki;
use super::issuer::{Cluster, IssuersConfig, KeysConfig, Urls, find, find_key, issuer_key, key_key};
use super::store::config_key;
use crate::base::{Error, Json, Result};
use crate::engine::{Cx, Reply};
use crate::params;

params! {
    /// The addresses that go into certificates.
    pub struct UrlParams {
        /// Where the issuer's certificate is.
        issuing_certificates: Option<Vec<String>>,
        /// Where its lists are.
        crl_distribution_points: Option<Vec<String>>,
        /// Where its delta lists are.
        delta_crl_distribution_points: Option<Vec<String>>,
        /// Where its OCSP responders are.
        ocsp_servers: Option<Vec<String>>,
        /// Whether templates in them are filled in.
        enable_templating: Option<bool>,
    }
    /// The mount's own addresses.
    pub struct ClusterParams {
        /// As clients of the API see it.
        path: Option<String>,
        /// As the world sees it.
        aia_path: Option<String>,
    }
    /// The default issuer.
    pub struct IssuersParams {
        /// Its id or name.
        default: Option<String>,
        /// Whether each new issuer with a key becomes the default.
        default_follows_latest_issuer: Option<bool>,
    }
    /// The default key.
    pub struct KeysParams {
        /// Its id or name.
        default: Option<String>,
    }
}

/// Checks an address, as far as it goes into certificates.
///
/// # Errors
/// [`Error::Invalid`] without the address.
pub fn check_url(text: &str) -> Result<()> {
    let bare = text.replace("{{issuer_id}}", "i").replace("{{cluster_path}}", "http://c");
    let bare = bare.replace("{{cluster_aia_path}}", "http://c");
    if text.len() > 1024 || !super::names::is_uri(&bare) {
        return Err(Error::invalid("one of the addresses is no URL"));
    }
    Ok(())
}

/// The addresses after what was given.
///
/// # Errors
/// [`Error::Invalid`] for one that is none.
pub fn changed_urls(mut urls: Urls, p: UrlParams) -> Result<Urls> {
    if let Some(value) = p.issuing_certificates {
        urls.issuing_certificates = value;
    }
    if let Some(value) = p.crl_distribution_points {
        urls.crl_distribution_points = value;
    }
    if let Some(value) = p.delta_crl_distribution_points {
        urls.delta_crl_distribution_points = value;
    }
    if let Some(value) = p.ocsp_servers {
        urls.ocsp_servers = value;
    }
    if let Some(value) = p.enable_templating {
        urls.enable_templating = value;
    }
    for url in urls.all() {
        check_url(url)?;
        if !urls.enable_templating && url.contains("{{") {
            return Err(Error::invalid("an address has a template, but enable_templating is false"));
        }
    }
    Ok(urls)
}

fn shown(value: &impl serde::Serialize) -> Result<Reply> {
    Ok(Reply::json(serde_json::to_value(value).map_err(Error::internal)?))
}

pub async fn read_urls(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    shown(&cx.get::<Urls>(&config_key("urls"))?.unwrap_or_default())
}

pub async fn write_urls(cx: Cx<Pki>, p: UrlParams) -> Result<Reply> {
    let mut txn = cx.txn();
    let key = config_key("urls");
    let urls = changed_urls(txn.get(&key)?.unwrap_or_default(), p)?;
    txn.put(&key, &urls)?;
    Ok(shown(&urls)?.with(txn))
}

pub async fn read_cluster(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    shown(&cx.get::<Cluster>(&config_key("cluster"))?.unwrap_or_default())
}

pub async fn write_cluster(cx: Cx<Pki>, p: ClusterParams) -> Result<Reply> {
    let mut txn = cx.txn();
    let key = config_key("cluster");
    let mut cluster: Cluster = txn.get(&key)?.unwrap_or_default();
    if let Some(path) = p.path {
        cluster.path = path;
    }
    if let Some(path) = p.aia_path {
        cluster.aia_path = path;
    }
    for path in [&cluster.path, &cluster.aia_path].into_iter().filter(|path| !path.is_empty()) {
        check_url(path)?;
    }
    txn.put(&key, &cluster)?;
    Ok(shown(&cluster)?.with(txn))
}

pub async fn read_issuers(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    shown_issuers(&cx.get::<IssuersConfig>(&config_key("issuers"))?.unwrap_or_default())
}

fn shown_issuers(config: &IssuersConfig) -> Result<Reply> {
    shown(&IssuersConfig { modified: None, ..config.clone() })
}

pub async fn write_issuers(cx: Cx<Pki>, p: IssuersParams) -> Result<Reply> {
    if p.default.is_none() && p.default_follows_latest_issuer.is_none() {
        return Err(Error::invalid("missing default"));
    }
    let mut txn = cx.txn();
    let key = config_key("issuers");
    let mut config: IssuersConfig = txn.get(&key)?.unwrap_or_default();
    if let Some(reference) = p.default {
        let issuer = cx.view().read(|reading| find(reading, &reference))?;
        if issuer.key_id.is_empty() {
            return Err(Error::invalid("the issuer has no private key and cannot be the default"));
        }
        txn.expect_present(&issuer_key(&issuer.id));
        config.default = issuer.id;
    }
    if let Some(follows) = p.default_follows_latest_issuer {
        config.default_follows_latest_issuer = follows;
    }
    config.modified = Some(cx.now());
    txn.put(&key, &config)?;
    Ok(shown_issuers(&config)?.with(txn))
}

/// `root/replace`: the issuer called `next`, unless another is named, becomes the default.
pub async fn replace_root(cx: Cx<Pki>, p: IssuersParams) -> Result<Reply> {
    let default = Some(p.default.unwrap_or_else(|| "next".into()));
    write_issuers(cx, IssuersParams { default, default_follows_latest_issuer: None }).await
}

pub async fn read_keys(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    shown(&cx.get::<KeysConfig>(&config_key("keys"))?.unwrap_or_default())
}

pub async fn write_keys(cx: Cx<Pki>, p: KeysParams) -> Result<Reply> {
    let reference = p.default.ok_or_else(|| Error::invalid("missing default"))?;
    let id = cx.view().read(|reading| find_key(reading, &reference))?.id;
    let mut txn = cx.txn();
    let key = config_key("keys");
    txn.get::<KeysConfig>(&key)?;
    txn.expect_present(&key_key(&id));
    txn.put(&key, &KeysConfig { default: id.clone() })?;
    Ok(Reply::data([("default".to_owned(), Json::from(id))]).with(txn))
}

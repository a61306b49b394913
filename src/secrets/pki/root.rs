//! `root/generate`, `root/rotate`: a CA that signs itself.

use std::sync::Arc;

use super::Pki;
use super::admission::{Asked, asked_names};
use super::certify::{self, Certified, Manner};
use super::issuer::{self, Cluster, Issuer, StoredKey, Urls};
use super::lifetime::{Bounds, Lifetime, Terms};
use super::names;
use super::output::{Format, FormatParams};
use super::store::{self, config_key};
use crate::base::{Error, Json, Result, Ttl, ids};
use crate::crypto::x509::{self, AltName, CertificateSpec, Extension, KeyUsage, Subject, extension};
use crate::crypto::{KeyKind, PrivateKey};
use crate::engine::{Args, Cx, Field, Param, Params, Reply};
use crate::params;

params! {
    /// Who a CA is, beyond its names.
    pub struct CaParams {
        /// O of the subject.
        organization: Vec<String>,
        /// OU of the subject.
        ou: Vec<String>,
        /// C of the subject.
        country: Vec<String>,
        /// L of the subject.
        locality: Vec<String>,
        /// ST of the subject.
        province: Vec<String>,
        /// Street of the subject.
        street_address: Vec<String>,
        /// Postal code of the subject.
        postal_code: Vec<String>,
        /// How many CAs may follow below; -1 for any number.
        max_path_length: Option<i64>,
        /// Domains that may be certified.
        permitted_dns_domains: Vec<String>,
        /// Domains that may not be certified.
        excluded_dns_domains: Vec<String>,
        /// Networks that may be certified.
        permitted_ip_ranges: Vec<ipnet::IpNet>,
        /// Networks that may not be certified.
        excluded_ip_ranges: Vec<ipnet::IpNet>,
        /// Mail addresses that may be certified.
        permitted_email_addresses: Vec<String>,
        /// Mail addresses that may not be certified.
        excluded_email_addresses: Vec<String>,
        /// Hosts of URIs that may be certified.
        permitted_uri_domains: Vec<String>,
        /// Hosts of URIs that may not be certified.
        excluded_uri_domains: Vec<String>,
        /// How long before now it begins.
        not_before_duration: Option<Ttl>,
        /// Digest of the signature.
        signature_bits: Option<u64>,
        /// RSA-PSS, if the key is RSA.
        use_pss: Option<bool>,
    }
    /// The key of a CA.
    pub struct KeyParams {
        /// rsa, ec, or ed25519.
        key_type: Option<String>,
        /// Size of the key; 0 for the default of its type.
        key_bits: Option<u64>,
        /// Name of the key.
        key_name: Option<String>,
        /// The key to use, for the kind existing.
        key_ref: Option<String>,
    }
    /// A CA to be.
    pub struct Generate {
        /// internal, exported, or existing.
        kind: String = "exported",
        /// Name of the issuer.
        issuer_name: Option<String>,
        /// Names and lifetime.
        asked: Asked,
        /// Subject and limits.
        ca: CaParams,
        /// The key.
        key: KeyParams,
        /// How the answer is written.
        format: FormatParams,
    }
}

macro_rules! group {
    ($($name:ident)*) => { $(
        impl Param for $name {
            fn fields(_: &'static str, _: &'static str) -> Vec<Field> {
                <Self as Params>::fields()
            }
            fn take(_: &'static str, args: &mut Args) -> Result<Self> {
                Self::parse(args)
            }
        }
    )* };
}
group!(CaParams KeyParams);

/// Where a CA's key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Made here, and kept here.
    Internal,
    /// Made here, and given out once.
    Exported,
    /// Here already.
    Existing,
}

impl Origin {
    /// Reads the API's word.
    ///
    /// # Errors
    /// [`Error::Invalid`] for any other, `kms` among them.
    pub fn parse(word: &str) -> Result<Self> {
        match word {
            "internal" => Ok(Self::Internal),
            "exported" => Ok(Self::Exported),
            "existing" => Ok(Self::Existing),
            "kms" => Err(Error::invalid("keys in a key management service are not supported")),
            _ => Err(Error::invalid("the kind must be internal, exported or existing")),
        }
    }
}

/// A CA's key, and its row if it is a new one.
pub struct CaKey {
    /// The key.
    pub key: Arc<PrivateKey>,
    /// Its row.
    pub row: StoredKey,
    /// Whether the row is to be stored.
    pub fresh: bool,
    /// Whether it is given out.
    pub exported: bool,
}

/// Makes or finds the key.
///
/// # Errors
/// [`Error::Invalid`] for a kind that is none, a name that is none or taken.
pub async fn ca_key(cx: &Cx<Pki>, origin: Origin, p: &KeyParams) -> Result<CaKey> {
    if origin == Origin::Existing {
        let reference = p.key_ref.clone().unwrap_or_else(|| "default".into());
        let row = cx.view().read(|reading| issuer::find_key(reading, &reference))?;
        let parsing = row.clone();
        let key = cx.engine().workers.run(row.kind()?, move || parsing.parse()).await?;
        return Ok(CaKey { key: Arc::new(key), row, fresh: false, exported: false });
    }
    let bits = u32::try_from(p.key_bits.unwrap_or_default()).map_err(|_| Error::invalid("key_bits: too large"))?;
    let kind = KeyKind::parse(p.key_type.as_deref().unwrap_or("rsa"), bits)?;
    let name = p.key_name.clone().unwrap_or_default();
    if !name.is_empty() {
        issuer::check_name(&name)?;
    }
    let id = ids::uuid(cx.rng());
    let made = move || {
        let key = PrivateKey::generate(kind)?;
        let row = StoredKey::new(id, name, &key)?;
        Ok((key, row))
    };
    let (key, row) = cx.engine().workers.run(kind, made).await?;
    Ok(CaKey { key: Arc::new(key), row, fresh: true, exported: origin == Origin::Exported })
}

impl CaParams {
    /// The subject.
    pub fn subject(&self, asked: &Asked) -> Subject {
        Subject {
            common_name: asked.common_name.clone().unwrap_or_default(),
            serial_number: asked.serial_number.clone().unwrap_or_default(),
            country: self.country.clone(),
            province: self.province.clone(),
            locality: self.locality.clone(),
            street_address: self.street_address.clone(),
            postal_code: self.postal_code.clone(),
            organization: self.organization.clone(),
            organizational_unit: self.ou.clone(),
            user_ids: asked.user_ids.clone(),
        }
    }

    /// How it is signed.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a digest that is none.
    pub fn manner(&self) -> Result<Manner> {
        let bits = u32::try_from(self.signature_bits.unwrap_or_default());
        let bits = bits.map_err(|_| Error::invalid("signature_bits: too large"))?;
        crate::crypto::Hash::of_bits(bits)?;
        Ok(Manner { bits, pss: self.use_pss.unwrap_or(false) })
    }

    /// What makes a certificate a CA's. `above` is the path length of the issuer, if it has one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a path length that is none or more than the issuer allows, or limits that are no names.
    pub fn extensions(&self, above: Option<u8>) -> Result<Vec<Extension>> {
        let asked = match self.max_path_length {
            None | Some(-1) => None,
            Some(length) => Some(u8::try_from(length).map_err(|_| Error::invalid("max_path_length: out of range"))?),
        };
        let length = match (asked, above) {
            (_, Some(0)) => return Err(Error::invalid("the issuer's path length allows no CA below it")),
            (Some(asked), Some(above)) if asked >= above => {
                return Err(Error::invalid("max_path_length must be less than the issuer's"));
            }
            (None, Some(above)) => Some(above - 1),
            (asked, _) => asked,
        };
        let usage = KeyUsage::CERT_SIGN.with(KeyUsage::CRL_SIGN);
        let mut found = vec![extension::key_usage(usage)?, extension::basic_constraints(true, length)?];
        let permitted = subtrees(
            &self.permitted_dns_domains,
            &self.permitted_ip_ranges,
            &self.permitted_email_addresses,
            &self.permitted_uri_domains,
        );
        let excluded = subtrees(
            &self.excluded_dns_domains,
            &self.excluded_ip_ranges,
            &self.excluded_email_addresses,
            &self.excluded_uri_domains,
        );
        if !permitted.is_empty() || !excluded.is_empty() {
            found.push(extension::name_constraints(&permitted, &excluded)?);
        }
        Ok(found)
    }

    /// The lifetime of a CA.
    ///
    /// # Errors
    /// As for [`Terms::lifetime`].
    pub fn lifetime(
        &self,
        cx: &Cx<Pki>,
        asked: &Asked,
        issuer: Option<(crate::base::Timestamp, super::lifetime::Beyond)>,
    ) -> Result<(Lifetime, Option<String>)> {
        let terms = Terms {
            ttl: asked.ttl.unwrap_or_default(),
            not_after: asked.not_after.as_deref().unwrap_or_default(),
            role_ttl: Ttl::ZERO,
            role_max_ttl: Ttl::ZERO,
            role_not_after: "",
            not_before: asked.not_before.as_deref().unwrap_or_default(),
            role_not_before: "",
            not_before_duration: self.not_before_duration.unwrap_or(Ttl::from_seconds(30)),
            bounds: Bounds::CA,
        };
        terms.lifetime(cx.now(), cx.limits, issuer)
    }
}

fn subtrees(dns: &[String], ip: &[ipnet::IpNet], email: &[String], uri: &[String]) -> Vec<extension::Subtree> {
    use extension::Subtree;
    let mut found: Vec<Subtree> = dns.iter().map(|name| Subtree::Dns(name.clone())).collect();
    found.extend(ip.iter().map(|net| Subtree::Ip(*net)));
    found.extend(email.iter().map(|name| Subtree::Email(name.clone())));
    found.extend(uri.iter().map(|name| Subtree::Uri(name.clone())));
    found
}

/// The alternative names of a CA: those asked for, and the common name if it is a name of that kind.
///
/// # Errors
/// As for [`asked_names`].
pub fn ca_names(asked: &Asked) -> Result<Vec<AltName>> {
    let mut found = asked_names(asked)?;
    let name = asked.common_name.clone().unwrap_or_default();
    if !asked.exclude_cn_from_sans.unwrap_or(false) {
        let own = match () {
            () if names::is_email(&name) => Some(AltName::Email(name)),
            () if names::is_dns(&name) => Some(AltName::Dns(name)),
            () => None,
        };
        if let Some(own) = own.filter(|own| !found.contains(own)) {
            found.insert(0, own);
        }
    }
    Ok(found)
}

pub async fn generate(cx: Cx<Pki>, p: Generate) -> Result<Reply> {
    make(cx, p, "").await
}

/// As `generate`, for the day when this root takes the place of the default: its name is `next` unless another is given.
pub async fn rotate(cx: Cx<Pki>, p: Generate) -> Result<Reply> {
    make(cx, p, "next").await
}

async fn make(cx: Cx<Pki>, p: Generate, unnamed: &str) -> Result<Reply> {
    let origin = Origin::parse(&p.kind)?;
    if p.asked.common_name.as_deref().unwrap_or_default().is_empty() {
        return Err(Error::invalid("the common_name field must be supplied"));
    }
    let format: Format = p.format.checked()?;
    let name = p.issuer_name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| unnamed.to_owned());
    if !name.is_empty() {
        issuer::check_name(&name)?;
    }
    let subject = p.ca.subject(&p.asked).encode()?;
    let names = ca_names(&p.asked)?;
    let mut extensions = p.ca.extensions(None)?;
    let (lifetime, warning) = p.ca.lifetime(&cx, &p.asked, None)?;
    let manner = p.ca.manner()?;
    let id = ids::uuid(cx.rng());
    extensions.extend(certify::address_extensions(&urls(&cx, &id)?)?);
    if !names.is_empty() {
        extensions.push(extension::alt_names(&names, false)?);
    }
    let key = ca_key(&cx, origin, &p.key).await?;
    let serial = x509::random_serial(cx.rng()).to_vec();
    let signing = key.key.clone();
    let kind = signing.kind();
    let sign = move || {
        let key_id = signing.public().key_id();
        extensions.push(extension::subject_key_id(&key_id)?);
        extensions.push(extension::authority_key_id(&key_id)?);
        let spec = CertificateSpec {
            serial,
            issuer: subject.clone(),
            subject,
            public_key: signing.public().clone(),
            not_before: lifetime.not_before,
            not_after: lifetime.not_after,
            extensions,
        };
        Ok(spec.sign(&signing, manner.algorithm(kind)?)?)
    };
    let certificate = cx.engine().workers.run(kind, sign).await?;

    let issuer = Issuer::new(id.clone(), name.clone(), Some(&key.row), &certificate)?;
    let mut txn = cx.txn();
    if key.fresh {
        issuer::add_key(&mut txn, &key.row)?;
    }
    issuer::add(&mut txn, cx.view(), cx.now(), vec![issuer.clone()], Vec::new())?;
    store::add(&mut txn, &certificate, &issuer, "")?;
    let mut data = format.certified(&Certified { certificate, key: None }, &issuer)?;
    data.remove("ca_chain");
    if key.exported {
        format.add_key(&key.key, &mut data)?;
    }
    data.insert("issuer_id".into(), id.into());
    data.insert("issuer_name".into(), name.into());
    data.insert("key_id".into(), key.row.id.into());
    data.insert("key_name".into(), Json::from(key.row.name));
    let mut reply = Reply::data(data).with(txn);
    reply.warnings.extend(warning);
    Ok(reply)
}

fn urls(cx: &Cx<Pki>, issuer_id: &str) -> Result<Urls> {
    cx.view().read(|reading| {
        let urls: Urls = reading.get(&config_key("urls"))?.unwrap_or_default();
        let cluster: Cluster = reading.get(&config_key("cluster"))?.unwrap_or_default();
        if urls.enable_templating { issuer::filled(&urls, &cluster, issuer_id) } else { Ok(urls) }
    })
}

//! Issuers and their keys as they are stored, and how they are found: by id, by name, or as the default.

use serde::{Deserialize, Serialize};

use super::lifetime::Beyond;
use super::store::config_key;
use crate::barrier::{Reading, Txn, View};
use crate::base::secret::stored;
use crate::base::{Error, Key, Result, Secret, Timestamp};
use crate::crypto::x509::Certificate;
use crate::crypto::{KeyKind, PrivateKey};

/// How many issuers, or keys, one mount may have: some operations look at all.
pub const ISSUERS_MAX: usize = 1000;

/// Where an issuer's own place is.
pub fn issuer_key(id: &str) -> Key {
    Key::new("issuer").join(id)
}

/// Where a private key's own place is.
pub fn key_key(id: &str) -> Key {
    Key::new("key").join(id)
}

/// What a reference may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An issuer.
    Issuer,
    /// A private key.
    Key,
}

impl What {
    fn name_key(self, name: &str) -> Key {
        Key::new(match self {
            Self::Issuer => "issuer-name",
            Self::Key => "key-name",
        })
        .join(name)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Key => "key",
        }
    }

    /// The error for a reference that leads nowhere. What was given is not repeated: a key or a token is easily pasted there.
    pub fn unknown(self) -> Error {
        Error::invalid(format!("unable to find PKI {} for reference", self.word()))
    }
}

/// `config/issuers`, and the guard of the set of issuers: each change to the set writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IssuersConfig {
    /// The id of the default issuer; may be empty.
    pub default: String,
    /// Whether each new issuer with a key becomes the default.
    pub default_follows_latest_issuer: bool,
    /// When the set of issuers, their names or their chains changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
}

/// `config/keys`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeysConfig {
    /// The id of the default key; may be empty.
    pub default: String,
}

/// Where the world finds things about an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Urls {
    /// Its certificate.
    pub issuing_certificates: Vec<String>,
    /// Its lists.
    pub crl_distribution_points: Vec<String>,
    /// Its delta lists.
    pub delta_crl_distribution_points: Vec<String>,
    /// Its OCSP responders.
    pub ocsp_servers: Vec<String>,
    /// Whether `{{issuer_id}}`, `{{cluster_path}}` and `{{cluster_aia_path}}` stand for something in them.
    pub enable_templating: bool,
}

impl Urls {
    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// All addresses.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        let lists = self.crl_distribution_points.iter().chain(&self.delta_crl_distribution_points);
        self.issuing_certificates.iter().chain(lists).chain(&self.ocsp_servers)
    }
}

/// `config/cluster`: what templates stand for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cluster {
    /// The mount's address as clients see it.
    pub path: String,
    /// The same for the world at large, perhaps without TLS.
    pub aia_path: String,
}

/// What an issuer may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Signing certificates.
    pub issuing: bool,
    /// Signing lists.
    pub crl: bool,
    /// Signing OCSP answers.
    pub ocsp: bool,
}

impl Usage {
    /// All of them.
    pub const ALL: Self = Self { issuing: true, crl: true, ocsp: true };

    /// Reads the API's words.
    ///
    /// # Errors
    /// [`Error::Invalid`] for any other.
    pub fn parse(words: &[String]) -> Result<Self> {
        let mut usage = Self { issuing: false, crl: false, ocsp: false };
        for word in words {
            match word.as_str() {
                "read-only" => {}
                "issuing-certificates" => usage.issuing = true,
                "crl-signing" => usage.crl = true,
                "ocsp-signing" => usage.ocsp = true,
                _ => {
                    return Err(Error::invalid(
                        "usage: want read-only, issuing-certificates, crl-signing or ocsp-signing",
                    ));
                }
            }
        }
        Ok(usage)
    }

    /// The API's words, joined.
    pub fn text(self) -> String {
        let words = [
            (self.crl, "crl-signing"),
            (self.issuing, "issuing-certificates"),
            (self.ocsp, "ocsp-signing"),
            (true, "read-only"),
        ];
        words.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect::<Vec<_>>().join(",")
    }
}

/// An issuer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Issuer {
    /// Its id.
    pub id: String,
    /// Its name; may be empty.
    pub name: String,
    /// The id of its key; empty where only the certificate is known.
    pub key_id: String,
    /// The name of its revocation list: a digest of its name and public key. Whoever checks a certificate knows no more
    /// of its issuer than these, so that issuers which have both in common must have one list.
    pub list: String,
    /// Its certificate, in PEM.
    pub certificate: String,
    /// Its certificate and those above it, in PEM, as far as this mount knows them.
    pub chain: Vec<String>,
    /// The ids of a chain set by hand.
    #[serde(default)]
    pub manual_chain: Vec<String>,
    /// What happens to certificates that would outlive it.
    pub beyond: Beyond,
    /// What it may be used for.
    pub usage: Usage,
    /// How its lists are signed; empty for what suits the key.
    pub revocation_signature_algorithm: String,
    /// Since when it is revoked.
    #[serde(default)]
    pub revoked: Option<Timestamp>,
    /// Its own addresses, instead of the mount's.
    #[serde(default)]
    pub urls: Urls,
}

impl Issuer {
    /// A new issuer, with Vault's defaults.
    ///
    /// # Errors
    /// As for [`Certificate::pem`].
    pub fn new(id: String, name: String, key: Option<&StoredKey>, certificate: &Certificate) -> Result<Self> {
        let pem = certificate.pem()?;
        let algorithm = match certificate.public_key() {
            Ok(key) => crate::crypto::SignatureAlgorithm::for_key(key.kind(), None, false)?.name().to_owned(),
            Err(_) => String::new(),
        };
        let identity = [certificate.subject().der(), certificate.spki()].concat();
        Ok(Self {
            id,
            name,
            list: hex::encode(&crate::crypto::sha256(&identity)[..16]),
            key_id: key.map(|key| key.id.clone()).unwrap_or_default(),
            chain: vec![pem.clone()],
            certificate: pem,
            manual_chain: Vec::new(),
            beyond: Beyond::Err,
            usage: Usage::ALL,
            revocation_signature_algorithm: algorithm,
            revoked: None,
            urls: Urls::default(),
        })
    }
}

/// A private key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredKey {
    /// Its id.
    pub id: String,
    /// Its name; may be empty.
    pub name: String,
    /// The API's word for its type.
    pub key_type: String,
    /// The public half, in PEM.
    pub public_key: String,
    /// The key, as PKCS#8 in PEM.
    #[serde(serialize_with = "stored")]
    pub private_key: Secret<String>,
}

impl StoredKey {
    /// A row for this key.
    ///
    /// # Errors
    /// As for [`PrivateKey::pkcs8_pem`].
    pub fn new(id: String, name: String, key: &PrivateKey) -> Result<Self> {
        Ok(Self {
            id,
            name,
            key_type: key.kind().name().to_owned(),
            public_key: key.public().pem()?,
            private_key: key.pkcs8_pem()?,
        })
    }

    /// The key itself.
    ///
    /// # Errors
    /// [`Error::Internal`] if what is stored is none.
    pub fn parse(&self) -> Result<PrivateKey> {
        PrivateKey::from_pem(self.private_key.reveal().as_bytes()).map_err(|_| Error::internal("a stored key is none"))
    }

    /// Its kind.
    ///
    /// # Errors
    /// [`Error::Internal`] if what is stored is none.
    pub fn kind(&self) -> Result<KeyKind> {
        let public = crate::crypto::PublicKey::from_pem(&self.public_key);
        Ok(public.map_err(|_| Error::internal("a stored key is none"))?.kind())
    }
}

/// The id behind a reference.
///
/// # Errors
/// [`Error::Invalid`] if it leads nowhere.
pub fn resolve(reading: &Reading<'_>, what: What, reference: &str) -> Result<String> {
    if reference == "default" {
        let id = match what {
            What::Issuer => reading.get::<IssuersConfig>(&config_key("issuers"))?.unwrap_or_default().default,
            What::Key => reading.get::<KeysConfig>(&config_key("keys"))?.unwrap_or_default().default,
        };
        if id.is_empty() {
            return Err(Error::invalid(format!("no default {} currently configured", what.word())));
        }
        return Ok(id);
    }
    if is_id(reference) {
        return Ok(reference.to_owned());
    }
    if check_name(reference).is_err() {
        return Err(what.unknown());
    }
    let id: Option<String> = reading.get(&what.name_key(reference))?;
    id.ok_or_else(|| what.unknown())
}

/// The issuer behind a reference.
///
/// # Errors
/// [`Error::Invalid`] if there is none.
pub fn find(reading: &Reading<'_>, reference: &str) -> Result<Issuer> {
    let id = resolve(reading, What::Issuer, reference)?;
    reading.get(&issuer_key(&id))?.ok_or_else(|| What::Issuer.unknown())
}

/// The key behind a reference.
///
/// # Errors
/// [`Error::Invalid`] if there is none.
pub fn find_key(reading: &Reading<'_>, reference: &str) -> Result<StoredKey> {
    let id = resolve(reading, What::Key, reference)?;
    reading.get(&key_key(&id))?.ok_or_else(|| What::Key.unknown())
}

/// The addresses with their templates filled in.
///
/// # Errors
/// [`Error::Invalid`] if what comes out is no address.
pub fn filled(urls: &Urls, cluster: &Cluster, issuer_id: &str) -> Result<Urls> {
    let fill = |uris: &[String]| {
        let fill = |uri: &String| {
            uri.replace("{{issuer_id}}", issuer_id)
                .replace("{{cluster_path}}", &cluster.path)
                .replace("{{cluster_aia_path}}", &cluster.aia_path)
        };
        uris.iter().map(fill).collect::<Vec<_>>()
    };
    let filled = Urls {
        issuing_certificates: fill(&urls.issuing_certificates),
        crl_distribution_points: fill(&urls.crl_distribution_points),
        delta_crl_distribution_points: fill(&urls.delta_crl_distribution_points),
        ocsp_servers: fill(&urls.ocsp_servers),
        enable_templating: true,
    };
    for uri in filled.all() {
        super::config::check_url(uri)?;
    }
    Ok(filled)
}

fn is_id(text: &str) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match dash(at) {
            true => byte == b'-',
            false => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

/// Checks a name for an issuer or a key: no reserved word, and nothing that could be an id.
///
/// # Errors
/// [`Error::Invalid`].
pub fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let edges = name.starts_with(['-', '.']) || name.ends_with(['-', '.']);
    if name.is_empty() || name.len() > 128 || !name.chars().all(fits) || edges || is_id(name) {
        return Err(Error::invalid("a name has at most 128 letters, digits and inner - . _, and is no id"));
    }
    if name.eq_ignore_ascii_case("default") {
        return Err(Error::invalid("reserved keyword 'default' can not be used as a name"));
    }
    Ok(())
}

/// Takes a name for this id in the transaction; an empty one is none.
///
/// # Errors
/// [`Error::Invalid`] if it is no name, or another has it.
pub fn take_name(txn: &mut Txn, what: What, name: &str, id: &str) -> Result<()> {
    if name.is_empty() {
        return Ok(());
    }
    check_name(name)?;
    let place = what.name_key(name);
    match txn.get::<String>(&place)? {
        Some(other) if other != id => Err(Error::invalid(format!("{} name already in use", what.word()))),
        _ => txn.put(&place, &id),
    }
}

/// Gives a name back.
pub fn drop_name(txn: &mut Txn, what: What, name: &str) {
    if !name.is_empty() {
        txn.delete(&what.name_key(name));
    }
}

/// All issuers of a mount.
///
/// # Errors
/// Those of storage.
pub fn all(view: &View) -> Result<Vec<Issuer>> {
    view.read(all_in)
}

/// All issuers in a snapshot.
///
/// # Errors
/// Those of storage.
pub fn all_in(reading: &Reading<'_>) -> Result<Vec<Issuer>> {
    Ok(reading.first(&Key::new("issuer"), ISSUERS_MAX)?.into_iter().map(|(_, row)| row).collect())
}

/// All keys of a mount.
///
/// # Errors
/// Those of storage.
pub fn all_keys(view: &View) -> Result<Vec<StoredKey>> {
    view.read(|reading| Ok(reading.first(&Key::new("key"), ISSUERS_MAX)?.into_iter().map(|(_, row)| row).collect()))
}

/// Adds a key; the first one becomes the default.
///
/// # Errors
/// [`Error::Invalid`] if its name is taken.
pub fn add_key(txn: &mut Txn, key: &StoredKey) -> Result<()> {
    let config: KeysConfig = txn.get(&config_key("keys"))?.unwrap_or_default();
    if config.default.is_empty() {
        txn.put(&config_key("keys"), &KeysConfig { default: key.id.clone() })?;
    }
    take_name(txn, What::Key, &key.name, &key.id)?;
    txn.create(&key_key(&key.id), key)
}

/// Adds issuers to those there are, puts back those that got a key, and renews the chains of all.
///
/// # Errors
/// [`Error::Invalid`] if a name is taken, or there are too many.
pub fn add(txn: &mut Txn, view: &View, now: Timestamp, new: Vec<Issuer>, relinked: Vec<Issuer>) -> Result<()> {
    let place = config_key("issuers");
    let mut config: IssuersConfig = txn.get(&place)?.unwrap_or_default();
    for issuer in new.iter().chain(&relinked) {
        let first = config.default.is_empty() || config.default_follows_latest_issuer;
        if first && !issuer.key_id.is_empty() {
            config.default.clone_from(&issuer.id);
        }
        take_name(txn, What::Issuer, &issuer.name, &issuer.id)?;
    }
    config.modified = Some(now);
    // Also without a change: two that add at once would each miss the other's certificate in the chains.
    txn.put(&place, &config)?;
    let mut known = all(view)?;
    if known.len() + new.len() > ISSUERS_MAX {
        return Err(Error::invalid(format!("a mount has at most {ISSUERS_MAX} issuers")));
    }
    let fresh: Vec<String> = new.iter().chain(&relinked).map(|issuer| issuer.id.clone()).collect();
    known.retain(|issuer| !fresh.contains(&issuer.id));
    let made: Vec<String> = new.iter().map(|issuer| issuer.id.clone()).collect();
    known.extend(new);
    known.extend(relinked);
    for issuer in super::chain::renewed(&known, &fresh)? {
        if made.contains(&issuer.id) {
            txn.create(&issuer_key(&issuer.id), &issuer)?;
        } else {
            txn.get::<Issuer>(&issuer_key(&issuer.id))?;
            txn.put(&issuer_key(&issuer.id), &issuer)?;
        }
    }
    Ok(())
}

//! Revocation lists. A revocation writes a row and counts; the list is signed anew when somebody asks for it and
//! the count has moved on, so that a thousand revocations cost one signature, and no list is ever out of date.
//!
//!     crl/<list>/count   how many revocations there were
//!     crl/<list>/full    the complete list, and the count that it has seen
//!     crl/<list>/delta   what the complete list does not say yet

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Pki;
use super::authority::Authority;
use super::issuer::{self, Issuer, find};
use super::output::trimmed;
use super::read::{OneIssuer, raw};
use super::store::{config_key, revoked_key};
use crate::barrier::{Reading, Txn};
use crate::base::{Error, Json, Key, Result, Timestamp, Ttl, time};
use crate::crypto::pem::{self, Label};
use crate::crypto::x509::{Crl, CrlSpec, Reason, Revoked};
use crate::crypto::{Hash, KeyKind, SignatureAlgorithm};
use crate::engine::{Cx, Reply};
use crate::params;

/// The most entries of a list: at some 40 bytes each, what those who check certificates still load.
const ENTRIES_MAX: usize = 250_000;
const DER: &str = "application/pkix-crl";
const PEM: &str = "application/x-pem-file";

params! {
    /// The settings of revocation lists.
    pub struct CrlParams {
        /// How long a list is valid.
        expiry: Option<String>,
        /// Serve empty lists.
        disable: Option<bool>,
        /// Whether OCSP is off.
        ocsp_disable: Option<bool>,
        /// How long an OCSP answer is valid.
        ocsp_expiry: Option<String>,
        /// Make the complete list anew only before it ends.
        auto_rebuild: Option<bool>,
        /// How long before its end.
        auto_rebuild_grace_period: Option<String>,
        /// Whether there are delta lists.
        enable_delta: Option<bool>,
        /// How often they are made anew, at most.
        delta_rebuild_interval: Option<String>,
        /// Whether certificates that have ended may be revoked.
        allow_expired_cert_revocation: Option<bool>,
    }
}

/// `config/crl`. Spans are kept as they were written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrlConfig {
    /// How long a list is valid.
    pub expiry: String,
    /// Serve empty lists.
    pub disable: bool,
    /// Whether OCSP is off.
    pub ocsp_disable: bool,
    /// How long an OCSP answer is valid.
    pub ocsp_expiry: String,
    /// Make the complete list anew only before it ends.
    pub auto_rebuild: bool,
    /// How long before its end.
    pub auto_rebuild_grace_period: String,
    /// Whether there are delta lists.
    pub enable_delta: bool,
    /// How often they are made anew, at most.
    pub delta_rebuild_interval: String,
    /// Whether certificates that have ended may be revoked.
    pub allow_expired_cert_revocation: bool,
    /// Counts the changes after which no list is what it was.
    pub epoch: u64,
}

impl Default for CrlConfig {
    fn default() -> Self {
        Self {
            expiry: "72h".into(),
            disable: false,
            ocsp_disable: false,
            ocsp_expiry: "12h".into(),
            auto_rebuild: false,
            auto_rebuild_grace_period: "12h".into(),
            enable_delta: false,
            delta_rebuild_interval: "15m".into(),
            allow_expired_cert_revocation: false,
            epoch: 0,
        }
    }
}

impl CrlConfig {
    fn checked(self) -> Result<Self> {
        let span = |field: &str, text: &str| {
            Ttl::parse(text).map_err(|_| Error::invalid(format!("{field}: want a span of time such as 72h")))
        };
        let expiry = span("expiry", &self.expiry)?;
        span("ocsp_expiry", &self.ocsp_expiry)?;
        let grace = span("auto_rebuild_grace_period", &self.auto_rebuild_grace_period)?;
        let interval = span("delta_rebuild_interval", &self.delta_rebuild_interval)?;
        if expiry.is_zero() {
            return Err(Error::invalid("expiry must not be 0"));
        }
        if self.auto_rebuild && grace >= expiry {
            return Err(Error::invalid("auto_rebuild_grace_period must be shorter than expiry"));
        }
        if self.enable_delta && !self.auto_rebuild {
            return Err(Error::invalid("enable_delta needs auto_rebuild"));
        }
        if self.enable_delta && interval >= expiry {
            return Err(Error::invalid("delta_rebuild_interval must be shorter than expiry"));
        }
        Ok(self)
    }

    fn expiry(&self) -> Ttl {
        // Checked when it was written.
        Ttl::parse(&self.expiry).unwrap_or(Ttl::from_seconds(72 * 3600))
    }

    /// How long an OCSP answer is valid; 0 for not said.
    pub fn ocsp_expiry(&self) -> Ttl {
        Ttl::parse(&self.ocsp_expiry).unwrap_or_default()
    }

    fn grace(&self) -> Ttl {
        Ttl::parse(&self.auto_rebuild_grace_period).unwrap_or_default()
    }
}

pub async fn read_config(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    shown(&cx.get::<CrlConfig>(&config_key("crl"))?.unwrap_or_default())
}

pub async fn write_config(cx: Cx<Pki>, p: CrlParams) -> Result<Reply> {
    let mut txn = cx.txn();
    let key = config_key("crl");
    let old: CrlConfig = txn.get(&key)?.unwrap_or_default();
    let mut config = old.clone();
    macro_rules! take {
        ($($field:ident)*) => { $( if let Some(value) = p.$field { config.$field = value; } )* };
    }
    take!(expiry disable ocsp_disable ocsp_expiry auto_rebuild auto_rebuild_grace_period enable_delta);
    take!(delta_rebuild_interval allow_expired_cert_revocation);
    let mut config = config.checked()?;
    if config.expiry != old.expiry || config.disable != old.disable {
        config.epoch += 1;
    }
    txn.put(&key, &config)?;
    Ok(shown(&config)?.with(txn))
}

fn shown(config: &CrlConfig) -> Result<Reply> {
    let mut value = serde_json::to_value(config).map_err(Error::internal)?;
    if let Some(map) = value.as_object_mut() {
        map.remove("epoch");
    }
    Ok(Reply::json(value))
}

/// One entry to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Since when.
    pub at: Timestamp,
    /// When the certificate ends, and the entry with it.
    pub not_after: Timestamp,
    /// Why, by the number that RFC 5280 has for it.
    #[serde(default)]
    pub reason: u8,
}

/// Adds an entry to a list.
///
/// # Errors
/// [`Error::Internal`] if it cannot be written down.
pub fn add(txn: &mut Txn, list: &str, serial: &str, entry: &Entry) -> Result<()> {
    // The certificate's own row decides between two that revoke it at once.
    txn.overwrite(&revoked_key(list).join(serial), entry)?;
    txn.update(&[count_key(list)], |rows| {
        let count: u64 = rows.get(0)?.unwrap_or_default();
        rows.put(0, &(count + 1))
    });
    Ok(())
}

fn count_key(list: &str) -> Key {
    Key::new("crl").join(list).join("count")
}

fn built_key(list: &str, kind: Kind) -> Key {
    Key::new("crl").join(list).join(match kind {
        Kind::Full => "full",
        Kind::Delta => "delta",
    })
}

/// Complete or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All that is revoked and has not ended.
    Full,
    /// What the complete list does not say yet.
    Delta,
}

/// A list as signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Built {
    der: String,
    number: u64,
    count: u64,
    epoch: u64,
    this_update: Timestamp,
    next_update: Timestamp,
}

impl Built {
    fn bytes(&self) -> Result<Vec<u8>> {
        STANDARD.decode(&self.der).map_err(|_| Error::internal("a stored list is none"))
    }
}

/// All that a list is made of, from one snapshot.
struct Sources {
    config: CrlConfig,
    count: u64,
    full: Option<Built>,
    delta: Option<Built>,
}

impl Sources {
    fn read(reading: &Reading<'_>, list: &str) -> Result<Self> {
        Ok(Self {
            config: reading.get(&config_key("crl"))?.unwrap_or_default(),
            count: reading.get(&count_key(list))?.unwrap_or_default(),
            full: reading.get(&built_key(list, Kind::Full))?,
            delta: reading.get(&built_key(list, Kind::Delta))?,
        })
    }

    /// The list that still says what it should, if there is one.
    fn current(&self, kind: Kind, now: Timestamp) -> Option<&Built> {
        let built = match kind {
            Kind::Full => self.full.as_ref()?,
            Kind::Delta => self.delta.as_ref()?,
        };
        let ends = if self.config.auto_rebuild { time::after(now, self.config.grace()) } else { now };
        // A delta list is as old as the complete list that it adds to.
        let based = kind == Kind::Full || self.full.as_ref().is_some_and(|full| full.number < built.number);
        let lasting = self.config.auto_rebuild && kind == Kind::Full;
        let fresh = built.epoch == self.config.epoch && ends < built.next_update && based;
        (fresh && (lasting || built.count == self.count)).then_some(built)
    }
}

/// The list of an issuer, signed anew if it has to be; with the change to commit then. None where the issuer cannot
/// sign lists and never has, or delta lists are off.
///
/// # Errors
/// Those of storage, of the signature.
async fn list_of(cx: &Cx<Pki>, issuer: Issuer, kind: Kind, anew: bool) -> Result<Option<(Vec<u8>, Option<Txn>)>> {
    let now = cx.now();
    let list = issuer.list.clone();
    let sources = cx.view().read(|reading| Sources::read(reading, &list))?;
    if kind == Kind::Delta && !sources.config.enable_delta {
        return Ok(None);
    }
    if let Some(built) = sources.current(kind, now).filter(|_| !anew) {
        return Ok(Some((built.bytes()?, None)));
    }
    if !issuer.usage.crl || issuer.key_id.is_empty() {
        let last = if kind == Kind::Full { sources.full } else { sources.delta };
        return last.map(|built| Ok((built.bytes()?, None))).transpose();
    }
    // One at a time: who asked while a list was signed takes that one.
    let _turn = cx.engine().lists.acquire().await.map_err(|_| Error::Sealed)?;
    let mut txn = cx.txn();
    let (sources, authority, entries) = cx.view().read(|reading| {
        let sources = Sources::read(reading, &list)?;
        let authority = cx.engine().authorities.signer(reading, &issuer.id)?;
        let entries: Vec<(Key, Entry)> = match sources.config.disable {
            true => Vec::new(),
            false => reading.first(&revoked_key(&list), ENTRIES_MAX + 1)?,
        };
        Ok((sources, authority, entries))
    })?;
    if entries.len() > ENTRIES_MAX {
        return Err(Error::Unavailable(format!("a list with more than {ENTRIES_MAX} entries")));
    }
    if kind == Kind::Delta && sources.full.is_none() {
        // Nothing to add to: the complete list comes first.
        return Ok(None);
    }
    let last = [&sources.full, &sources.delta].into_iter().flatten().map(|built| built.number).max().unwrap_or(0);
    let made = Making { authority, entries, kind, number: last + 1, now, sources };
    let (der, built) = cx.engine().workers.run(made.authority.key.kind(), move || made.sign()).await?;
    // Both are read, since the number has to be above either's.
    for other in [Kind::Full, Kind::Delta] {
        let seen: Option<Built> = txn.get(&built_key(&list, other))?;
        if seen.is_some_and(|seen| seen.number >= built.number) {
            return Err(Error::Conflict);
        }
    }
    txn.put(&built_key(&list, kind), &built)?;
    Ok(Some((der, Some(txn))))
}

struct Making {
    authority: Arc<Authority>,
    entries: Vec<(Key, Entry)>,
    kind: Kind,
    number: u64,
    now: Timestamp,
    sources: Sources,
}

impl Making {
    fn sign(self) -> Result<(Vec<u8>, Built)> {
        let base = match (self.kind, &self.sources.full) {
            (Kind::Delta, Some(full)) => Some((full.number, Crl::from_der(&full.bytes()?)?)),
            _ => None,
        };
        let mut revoked = Vec::with_capacity(self.entries.len());
        for (key, entry) in &self.entries {
            let serial = crate::crypto::x509::parse_serial(key.as_str())?;
            let said = base.as_ref().is_some_and(|(_, crl)| crl.revoked(&serial).is_some());
            if entry.not_after >= self.now && !said {
                revoked.push(Revoked { serial, at: entry.at, reason: Reason::of(entry.reason) });
            }
        }
        let next_update = time::after(self.now, self.sources.config.expiry());
        let spec = CrlSpec {
            issuer: self.authority.certificate.subject().clone(),
            authority_key_id: self.authority.key_id.clone(),
            number: self.number,
            base: base.map(|(number, _)| number),
            this_update: self.now,
            next_update,
            revoked,
            extensions: Vec::new(),
        };
        let crl = spec.sign(&self.authority.key, self.authority.list_algorithm()?)?;
        let built = Built {
            der: STANDARD.encode(crl.der()),
            number: self.number,
            count: self.sources.count,
            epoch: self.sources.config.epoch,
            this_update: self.now,
            next_update,
        };
        Ok((crl.der().to_vec(), built))
    }
}

/// The algorithm of this name, if a key of this kind has it.
pub fn algorithm_of(kind: KeyKind, name: &str) -> Option<SignatureAlgorithm> {
    let own = SignatureAlgorithm::for_key(kind, None, false).ok()?;
    let rsa =
        Hash::ALL.into_iter().flat_map(|hash| [SignatureAlgorithm::RsaPkcs1(hash), SignatureAlgorithm::RsaPss(hash)]);
    let all: Vec<SignatureAlgorithm> = if matches!(kind, KeyKind::Rsa(_)) { rsa.collect() } else { vec![own] };
    all.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
}

async fn of_default(cx: &Cx<Pki>, kind: Kind) -> Result<Option<(Vec<u8>, Option<Txn>)>> {
    match cx.view().read(|reading| find(reading, "default")) {
        Ok(issuer) => list_of(cx, issuer, kind, false).await,
        Err(Error::Invalid(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

fn as_pem(der: &[u8]) -> Result<String> {
    Ok(trimmed(pem::encode(Label::Crl, der)?))
}

fn answered(list: Option<(Vec<u8>, Option<Txn>)>, in_pem: bool) -> Result<Reply> {
    let media_type = if in_pem { PEM } else { DER };
    let Some((der, txn)) = list else { return Ok(raw(media_type, None)) };
    let bytes = if in_pem { as_pem(&der)?.into_bytes() } else { der };
    let reply = raw(media_type, Some(bytes));
    Ok(match txn {
        Some(txn) => reply.with(txn),
        None => reply,
    })
}

fn as_json(list: Option<(Vec<u8>, Option<Txn>)>, field: &str) -> Result<Reply> {
    let (der, txn) = list.ok_or_else(Error::not_found)?;
    let reply = Reply::data([
        (field.to_owned(), Json::from(as_pem(&der)?)),
        ("revocation_time".to_owned(), 0.into()),
        ("revocation_time_rfc3339".to_owned(), "".into()),
    ]);
    Ok(match txn {
        Some(txn) => reply.with(txn),
        None => reply,
    })
}

pub async fn der(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    answered(of_default(&cx, Kind::Full).await?, false)
}
pub async fn in_pem(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    answered(of_default(&cx, Kind::Full).await?, true)
}
pub async fn delta_der(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    answered(of_default(&cx, Kind::Delta).await?, false)
}
pub async fn delta_pem(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    answered(of_default(&cx, Kind::Delta).await?, true)
}
pub async fn cert_crl(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    as_json(of_default(&cx, Kind::Full).await?, "certificate")
}
pub async fn cert_delta_crl(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    as_json(of_default(&cx, Kind::Delta).await?, "certificate")
}

async fn of_issuer(cx: &Cx<Pki>, reference: &str, kind: Kind) -> Result<Option<(Vec<u8>, Option<Txn>)>> {
    let issuer = cx.view().read(|reading| find(reading, reference))?;
    list_of(cx, issuer, kind, false).await
}

pub async fn issuer_json(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    as_json(of_issuer(&cx, &p.issuer_ref, Kind::Full).await?, "crl")
}
pub async fn issuer_der(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    answered(of_issuer(&cx, &p.issuer_ref, Kind::Full).await?, false)
}
pub async fn issuer_pem(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    answered(of_issuer(&cx, &p.issuer_ref, Kind::Full).await?, true)
}
pub async fn issuer_delta_json(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    as_json(of_issuer(&cx, &p.issuer_ref, Kind::Delta).await?, "crl")
}
pub async fn issuer_delta_der(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    answered(of_issuer(&cx, &p.issuer_ref, Kind::Delta).await?, false)
}
pub async fn issuer_delta_pem(cx: Cx<Pki>, p: OneIssuer) -> Result<Reply> {
    answered(of_issuer(&cx, &p.issuer_ref, Kind::Delta).await?, true)
}

pub async fn rotate(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    rotate_all(&cx, Kind::Full).await
}
pub async fn rotate_delta(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    rotate_all(&cx, Kind::Delta).await
}

async fn rotate_all(cx: &Cx<Pki>, kind: Kind) -> Result<Reply> {
    let mut txn = cx.txn();
    let mut done: Vec<String> = Vec::new();
    for issuer in issuer::all(cx.view())? {
        let able = issuer.usage.crl && !issuer.key_id.is_empty() && !done.contains(&issuer.list);
        if !able {
            continue;
        }
        done.push(issuer.list.clone());
        if let Some((_, Some(change))) = list_of(cx, issuer, kind, true).await? {
            txn.merge(change);
        }
    }
    Ok(Reply::data([("success".to_owned(), Json::from(true))]).with(txn))
}

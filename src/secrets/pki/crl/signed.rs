//! Lists as they are signed and kept: which list stands, and the making of the next.
//!
//!     crl/<list>/full, delta           the number of the list, what it has seen, when it was made and ends
//!     crl/<list>/part/<number>/<i>     its bytes, in parts

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::entries::{self, Gathered};
use super::settings::CrlConfig;
use crate::barrier::{Reading, Txn};
use crate::base::{Error, Key, Result, Timestamp, time};
use crate::crypto::x509::CrlSpec;
use crate::engine::Cx;
use crate::secrets::pki::Pki;
use crate::secrets::pki::authority::Authority;
use crate::secrets::pki::issuer::Issuer;
use crate::secrets::pki::store::{config_key, lists_key};

/// Bytes of one part.
const PART: usize = 512 << 10;

/// Complete or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All that is revoked and has not ended.
    Full,
    /// What the complete list does not say yet.
    Delta,
}

/// A list, and the change to commit where it was signed just now.
pub struct List {
    /// The list.
    pub der: Vec<u8>,
    /// When it was made.
    pub made: Timestamp,
    /// The change.
    pub txn: Option<Txn>,
}

/// A list as signed, without its bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Built {
    number: u64,
    parts: u64,
    /// How many entries there were.
    count: u64,
    epoch: u64,
    this_update: Timestamp,
    next_update: Timestamp,
}

impl Built {
    fn bytes(&self, reading: &Reading<'_>, list: &str) -> Result<Vec<u8>> {
        let broken = || Error::internal("a stored list is none");
        let mut der = Vec::new();
        for index in 0..self.parts {
            let part: String = reading.get(&part_key(list, self.number, index))?.ok_or_else(broken)?;
            STANDARD.decode_vec(part, &mut der).map_err(|_| broken())?;
        }
        Ok(der)
    }
}

/// All that decides whether a list stands, from one snapshot.
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
            count: entries::count(reading, list)?,
            full: reading.get(&built_key(list, Kind::Full))?,
            delta: reading.get(&built_key(list, Kind::Delta))?,
        })
    }

    const fn last(&self, kind: Kind) -> Option<&Built> {
        match kind {
            Kind::Full => self.full.as_ref(),
            Kind::Delta => self.delta.as_ref(),
        }
    }

    /// The list that still says what it should, if there is one.
    fn current(&self, kind: Kind, now: Timestamp) -> Option<&Built> {
        let built = self.last(kind)?;
        let ends = if self.config.auto_rebuild { time::after(now, self.config.grace()) } else { now };
        // A delta list is as old as the complete list that it adds to.
        let based = kind == Kind::Full || self.full.as_ref().is_some_and(|full| full.number < built.number);
        let lasting = self.config.auto_rebuild && kind == Kind::Full;
        let fresh = built.epoch == self.config.epoch && ends < built.next_update && based;
        (fresh && (lasting || built.count == self.count)).then_some(built)
    }
}

enum Standing {
    /// There is none, and will be none.
    None,
    /// This one.
    This(Vec<u8>, Timestamp),
    /// It has to be signed anew.
    Outdated,
}

fn standing(cx: &Cx<Pki>, issuer: &Issuer, kind: Kind, anew: bool) -> Result<Standing> {
    let now = cx.now();
    cx.view().read(|reading| {
        let sources = Sources::read(reading, &issuer.list)?;
        if kind == Kind::Delta && !sources.config.enable_delta {
            return Ok(Standing::None);
        }
        let built = match sources.current(kind, now).filter(|_| !anew) {
            // Who cannot sign lists shows the last one.
            None if !issuer.usage.crl || issuer.key_id.is_empty() => sources.last(kind),
            None => return Ok(Standing::Outdated),
            found => found,
        };
        Ok(match built {
            Some(built) => Standing::This(built.bytes(reading, &issuer.list)?, built.this_update),
            None => Standing::None,
        })
    })
}

/// The list of an issuer, signed anew if it has to be. None where the issuer cannot sign lists and never has, or delta
/// lists are off.
///
/// # Errors
/// Those of storage, of the signature.
pub async fn list_of(cx: &Cx<Pki>, issuer: Issuer, kind: Kind, anew: bool) -> Result<Option<List>> {
    let found = |der, made| Ok(Some(List { der, made, txn: None }));
    match standing(cx, &issuer, kind, anew)? {
        Standing::None => return Ok(None),
        Standing::This(der, made) => return found(der, made),
        Standing::Outdated => {}
    }
    // One at a time: who asked while a list was signed takes that one.
    let _turn = cx.engine().lists.acquire().await.map_err(|_| Error::Sealed)?;
    match standing(cx, &issuer, kind, anew)? {
        Standing::None => return Ok(None),
        Standing::This(der, made) => return found(der, made),
        Standing::Outdated => {}
    }
    let authority = cx.view().read(|reading| cx.engine().authorities.signer(reading, &issuer.id))?;
    let (view, list, now, key) = (cx.view().clone(), issuer.list.clone(), cx.now(), authority.key.kind());
    let making = move || {
        let making = view.read(|reading| Making::read(reading, &list, kind, now))?;
        making.map(|making| making.signed(&authority)).transpose()
    };
    match cx.engine().workers.run(key, making).await? {
        Some(signed) => signed.kept(cx, &issuer.list, kind).map(Some),
        None => Ok(None),
    }
}

/// What goes into a list.
struct Making {
    entries: Gathered,
    number: u64,
    base: Option<u64>,
    count: u64,
    config: CrlConfig,
    now: Timestamp,
}

impl Making {
    /// None for a delta list where there is nothing to add to: the complete list comes first.
    fn read(reading: &Reading<'_>, list: &str, kind: Kind, now: Timestamp) -> Result<Option<Self>> {
        let Sources { config, count, full, delta } = Sources::read(reading, list)?;
        let (base, from) = match (kind, &full) {
            (Kind::Full, _) => (None, 0),
            (Kind::Delta, Some(full)) => (Some(full.number), full.count),
            (Kind::Delta, None) => return Ok(None),
        };
        let entries = match config.disable {
            true => Gathered::default(),
            false => entries::gather(reading, list, from, now)?,
        };
        // Above either's: both are numbered alike.
        let last = [full, delta].into_iter().flatten().map(|built| built.number).max().unwrap_or(0);
        Ok(Some(Self { entries, number: last + 1, base, count, config, now }))
    }

    fn signed(self, authority: &Authority) -> Result<Signed> {
        let next_update = time::after(self.now, self.config.expiry());
        let spec = CrlSpec {
            issuer: authority.certificate.subject().clone(),
            authority_key_id: authority.key_id.clone(),
            number: self.number,
            base: self.base,
            this_update: self.now,
            next_update,
            entries: self.entries.der,
            extensions: authority.freshest.iter().filter(|_| self.base.is_none()).cloned().collect(),
        };
        let der = spec.sign(&authority.key, authority.list_algorithm()?)?;
        let built = Built {
            number: self.number,
            parts: der.len().div_ceil(PART) as u64,
            count: self.count,
            epoch: self.config.epoch,
            this_update: self.now,
            next_update,
        };
        Ok(Signed { der, built, over: self.entries.over })
    }
}

/// A list that is not kept yet.
struct Signed {
    der: Vec<u8>,
    built: Built,
    over: Vec<Key>,
}

impl Signed {
    /// The list, with the change that keeps it in the place of the last one of its kind.
    fn kept(self, cx: &Cx<Pki>, list: &str, kind: Kind) -> Result<List> {
        let mut txn = cx.txn();
        for one in [Kind::Full, Kind::Delta] {
            // Both are read, since the number has to be above either's.
            let Some(seen) = txn.get::<Built>(&built_key(list, one))? else { continue };
            if seen.number >= self.built.number {
                return Err(Error::Conflict);
            }
            if one == kind {
                (0..seen.parts).for_each(|index| txn.delete(&part_key(list, seen.number, index)));
            }
        }
        txn.put(&built_key(list, kind), &self.built)?;
        for (index, part) in (0..).zip(self.der.chunks(PART)) {
            txn.create(&part_key(list, self.built.number, index), &STANDARD.encode(part))?;
        }
        self.over.iter().for_each(|chunk| txn.delete(chunk));
        Ok(List { der: self.der, made: self.built.this_update, txn: Some(txn) })
    }
}

fn built_key(list: &str, kind: Kind) -> Key {
    lists_key().join(list).join(match kind {
        Kind::Full => "full",
        Kind::Delta => "delta",
    })
}

fn part_key(list: &str, number: u64, index: u64) -> Key {
    lists_key().join(list).join("part").ordered(number).ordered(index)
}

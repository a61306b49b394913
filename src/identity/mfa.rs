//! A second factor at login: which logins need one, and the codes that prove it.
//!
//!     identity/mfa/method/<id>                       a method
//!     identity/mfa/secret/<method>/<entity>          the secret that an entity shares with us
//!     identity/mfa/enforcement/<name>                which logins need which methods
//!     identity/mfa/enforced                          written anew with every change of those
//!     identity/mfa/waiting/<id>                      a login that waits for its codes
//!     identity/mfa/used/<method>/<entity>/<count>    a code that was used
//!     identity/mfa/tries/<method>/<entity>           how often codes were tried lately
//!     identity/mfa/expiry/<time>/<what>/…            which waiting logins and used codes can go, and when
//!
//! All of it is in storage: a restart forgets no rule, and a code that one node took is used on all.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Identities, Standing, is_id};
use crate::barrier::Txn;
use crate::base::secret::stored;
use crate::base::{Error, Key, Result, Secret, Timestamp, Ttl, ids, limits, time};
use crate::crypto::otp::{OtpHash, hotp};
use crate::engine::Login;
use crate::storage::Version;

/// How long a login waits for its codes.
const WAIT: Ttl = Ttl::from_seconds(300);

/// A method: codes by time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Method {
    /// Its id.
    pub id: String,
    /// A name that people gave it; may be empty.
    pub name: String,
    /// Who the app says the code is for.
    pub issuer: String,
    /// How long a code lives, in seconds.
    pub period: u64,
    /// Bytes of a new secret.
    pub key_size: u64,
    /// The digest: `SHA1`, `SHA256`, `SHA512`.
    pub algorithm: String,
    /// Digits of a code.
    pub digits: u32,
    /// How many periods a clock may be off.
    pub skew: u64,
    /// Tries within one period.
    pub max_validation_attempts: u64,
    /// Accepted and shown; no picture is drawn.
    pub qr_size: u64,
    /// Whether an entity may make its own secret.
    pub enable_self_enrollment: bool,
}

/// Which logins need which methods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Enforcement {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Any one of these methods will do.
    pub mfa_method_ids: Vec<String>,
    /// Logins at these mounts.
    pub auth_method_accessors: Vec<String>,
    /// Logins at mounts of these types.
    pub auth_method_types: Vec<String>,
    /// Logins of members of these groups.
    pub identity_group_ids: Vec<String>,
    /// Logins of these entities.
    pub identity_entity_ids: Vec<String>,
}

impl Enforcement {
    fn applies(&self, accessor: &str, kind: &str, standing: &Standing) -> bool {
        self.auth_method_accessors.iter().any(|a| a == accessor)
            || self.auth_method_types.iter().any(|t| t == kind)
            || self.identity_entity_ids.contains(&standing.entity.id)
            || standing.groups().any(|g| self.identity_group_ids.contains(&g.id))
    }
}

/// The rules as they were when a row had this version, which no change of them leaves it.
pub(super) struct Rules {
    version: Option<Version>,
    all: Vec<Enforcement>,
}

/// A login that waits for its codes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// What the auth method said.
    pub login: Login,
    /// The mount.
    pub mount_accessor: String,
    /// The path of the login.
    pub path: String,
    /// Whose it is.
    pub entity_id: String,
    /// By the name of the rule, the methods of which any one will do.
    pub needs: BTreeMap<String, Vec<Method>>,
    /// Until when.
    pub expires: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Stored(#[serde(serialize_with = "stored")] Secret<Vec<u8>>);

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Tries {
    count: u64,
    until: Option<Timestamp>,
}

/// A method's place.
pub fn method_key(id: &str) -> Key {
    methods_key().join(id)
}

/// All methods.
pub fn methods_key() -> Key {
    Key::new("mfa/method")
}

/// A rule's place.
pub fn enforcement_key(name: &str) -> Key {
    enforcements_key().join(name)
}

/// All rules.
pub fn enforcements_key() -> Key {
    Key::new("mfa/enforcement")
}

/// The row that tells whether rules that were read before are those of now.
fn enforced_key() -> Key {
    Key::new("mfa/enforced")
}

fn secret_key(method: &str, entity: &str) -> Key {
    Key::new("mfa/secret").join(method).join(entity)
}

fn waiting_key(id: &str) -> Key {
    Key::new("mfa/waiting").join(id)
}

fn used_key(method: &str, entity: &str, count: u64) -> Key {
    Key::new("mfa/used").join(method).join(entity).join(&count.to_string())
}

fn tries_key(method: &str, entity: &str) -> Key {
    Key::new("mfa/tries").join(method).join(entity)
}

fn expiry_key() -> Key {
    Key::new("mfa/expiry")
}

impl Identities {
    /// All rules, in the order of their names.
    ///
    /// # Errors
    /// Those of storage.
    pub fn enforcements(&self) -> Result<Vec<Enforcement>> {
        self.view().read(|r| {
            let rows = r.first::<Enforcement>(&enforcements_key(), limits::MFA_ENFORCEMENTS)?;
            Ok(rows.into_iter().map(|(_, rule)| rule).collect())
        })
    }

    /// The same, for those who ask at every login: read anew only when one of them has changed.
    fn rules(&self) -> Result<Arc<Rules>> {
        self.view().read(|r| {
            let version = r.version(&enforced_key())?;
            if let Some(known) = self.rules.load_full().filter(|known| known.version == version) {
                return Ok(known);
            }
            let rows = r.first::<Enforcement>(&enforcements_key(), limits::MFA_ENFORCEMENTS)?;
            let read = Arc::new(Rules { version, all: rows.into_iter().map(|(_, rule)| rule).collect() });
            self.rules.store(Some(read.clone()));
            Ok(read)
        })
    }

    /// Writes a rule, which was read in this transaction.
    ///
    /// # Errors
    /// As [`Txn::put`].
    pub fn put_rule(&self, txn: &mut Txn, rule: &Enforcement) -> Result<()> {
        txn.put(&enforcement_key(&rule.name), rule)?;
        txn.overwrite(&enforced_key(), &())
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// As [`Txn::overwrite`].
    pub fn delete_rule(&self, txn: &mut Txn, name: &str) -> Result<()> {
        txn.delete(&enforcement_key(name));
        txn.overwrite(&enforced_key(), &())
    }

    /// What a login needs beside what it brought: by the name of each rule that applies, its methods.
    ///
    /// # Errors
    /// Those of storage.
    pub fn needs(&self, accessor: &str, kind: &str, standing: &Standing) -> Result<BTreeMap<String, Vec<Method>>> {
        let mut needs = BTreeMap::new();
        for rule in &self.rules()?.all {
            if rule.applies(accessor, kind, standing) {
                let mut methods = Vec::new();
                for id in &rule.mfa_method_ids {
                    methods.extend(self.view().get::<Method>(&method_key(id))?);
                }
                needs.insert(rule.name.clone(), methods);
            }
        }
        Ok(needs)
    }

    /// Lets a login wait for its codes, under the id that is given back.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn wait(&self, mut waiting: Waiting, now: Timestamp, rng: &dyn crate::base::Rng) -> Result<(String, Txn)> {
        let id = ids::uuid(rng);
        let expires = time::after(now, WAIT);
        waiting.expires = Some(expires);
        let mut txn = self.view().txn();
        txn.create(&waiting_key(&id), &waiting)?;
        txn.overwrite(&expiry_key().at(expires).join("waiting").join(&id), &())?;
        self.forget_old(&mut txn, now)?;
        Ok((id, txn))
    }

    /// The login that waits under an id, and its end.
    ///
    /// # Errors
    /// [`Error::Invalid`] if none does.
    pub fn waiting(&self, txn: &mut Txn, id: &str, now: Timestamp) -> Result<Waiting> {
        let found = if is_id(id) { txn.get::<Waiting>(&waiting_key(id))? } else { None };
        let found = found.filter(|w| w.expires.is_some_and(|end| now < end));
        found.ok_or_else(|| Error::invalid("invalid request ID"))
    }

    /// Ends the wait of a login.
    pub fn ready(&self, txn: &mut Txn, id: &str) {
        txn.delete(&waiting_key(id));
    }

    /// Counts a try of a code, before it is looked at.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when there were too many within a period.
    pub fn count_try(&self, method: &Method, entity: &str, now: Timestamp) -> Result<Txn> {
        let mut txn = self.view().txn();
        let key = tries_key(&method.id, entity);
        let mut tries: Tries = txn.get(&key)?.unwrap_or_default();
        if tries.until.is_none_or(|until| now >= until) {
            let until = time::after(now, Ttl::from_seconds(method.period.max(1)));
            tries = Tries { count: 0, until: Some(until) };
        }
        if tries.count >= method.max_validation_attempts.max(1) {
            return Err(Error::Forbidden(
                "maximum TOTP validation attempts exceeded, please try again after a while".into(),
            ));
        }
        tries.count += 1;
        txn.put(&key, &tries)?;
        Ok(txn)
    }

    /// Takes a code of an entity, once.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for one that is wrong or was used.
    pub fn take_code(
        &self,
        txn: &mut Txn,
        method: &Method,
        entity: &str,
        code: &Secret<String>,
        now: Timestamp,
    ) -> Result<()> {
        let refused = || Error::Forbidden("failed to validate TOTP passcode".into());
        let Stored(secret) = self.view().get(&secret_key(&method.id, entity))?.ok_or_else(refused)?;
        let code = normal(code);
        let hash = OtpHash::parse(&method.algorithm)?;
        let period = method.period.max(1);
        let count = u64::try_from(now.as_second()).unwrap_or(0) / period;
        let around = count.saturating_sub(method.skew)..=count.saturating_add(method.skew);
        // All are computed, whichever fits: time does not tell how far off a clock is.
        let mut fits = None;
        for count in around {
            if code.same_as(hotp(hash, secret.reveal(), count, method.digits).as_bytes()) {
                fits = Some(count);
            }
        }
        let count = fits.ok_or_else(refused)?;
        let key = used_key(&method.id, entity, count);
        if txn.get::<()>(&key)?.is_some() {
            return Err(Error::Forbidden("code already used; new code is available in a while".into()));
        }
        txn.create(&key, &())?;
        let until = time::after(now, Ttl::from_seconds(period.saturating_mul(2 * method.skew + 2)));
        let row = expiry_key().at(until).join("used").join(&method.id).join(entity).join(&count.to_string());
        txn.overwrite(&row, &())
    }

    /// Gives an entity a secret, unless it has one.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn enroll(&self, method: &str, entity: &str, secret: Secret<Vec<u8>>) -> Result<Option<Txn>> {
        let mut txn = self.view().txn();
        let key = secret_key(method, entity);
        if txn.get::<Stored>(&key)?.is_some() {
            return Ok(None);
        }
        txn.create(&key, &Stored(secret))?;
        Ok(Some(txn))
    }

    /// Takes the secret of an entity away.
    pub fn disenroll(&self, method: &str, entity: &str) -> Txn {
        let mut txn = self.view().txn();
        txn.delete(&secret_key(method, entity));
        txn
    }

    /// Removes a few of the rows whose time is over.
    fn forget_old(&self, txn: &mut Txn, now: Timestamp) -> Result<()> {
        for row in self.view().read(|r| r.first_keys(&expiry_key(), limits::MFA_SWEEP))? {
            let mut segments = row.segments();
            let due = segments.next().and_then(crate::base::key::Segment::number);
            if due.is_none_or(|nanos| nanos > time::nanoseconds(now).max(0).unsigned_abs()) {
                break;
            }
            let names = segments.filter_map(|s| match s {
                crate::base::key::Segment::Name(name) => Some(name),
                crate::base::key::Segment::Ordered(_) => None,
            });
            let what = names.fold(Key::new("mfa"), |key, name| key.join(name));
            txn.delete(&what);
            txn.delete(&expiry_key().append(&row));
        }
        Ok(())
    }
}

/// A code as it is compared: digits of all scripts' full width are digits, and spaces are nothing.
fn normal(code: &Secret<String>) -> Secret<String> {
    let digits = code.reveal().chars().take(limits::NAME_BYTES).filter(|c| !c.is_whitespace()).map(|c| match c {
        '\u{ff10}'..='\u{ff19}' => char::from(b'0' + u8::try_from(c as u32 - 0xff10).unwrap_or(0)),
        c => c,
    });
    Secret::new(digits.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_code_has_one_form() {
        for code in ["123456", " 123456", "123 456", "\u{ff11}\u{ff12}\u{ff13}456", "12\t3456\n"] {
            assert_eq!(normal(&code.into()).reveal(), "123456", "{code:?}");
        }
    }
}

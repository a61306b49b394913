//! `role/:name/secret-id` and `custom-secret-id`: proofs that a machine may be a role.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::AppRole;
use super::role::{self, Role, uses};
use super::sweep;
use crate::base::time::after;
use crate::base::{Error, Json, Key, Name, Result, Secret, Timestamp, Ttl, ids};
use crate::engine::params::check_metadata;
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Longest secret id that an operator may choose, in bytes.
const CUSTOM_BYTES: usize = 4096;

/// Adds the endpoints.
pub fn routes(routes: Routes<AppRole>) -> Routes<AppRole> {
    routes.at("role/{role_name!}/secret-id", "Make a secret id.", |at| at.update(generate)).at(
        "role/{role_name!}/custom-secret-id",
        "Take a secret id that was chosen.",
        |at| at.update(take),
    )
}

/// A secret id, as stored: all but itself.
#[derive(Clone, Serialize, Deserialize)]
pub struct SecretId {
    /// The handle that cannot log in.
    pub accessor: String,
    /// What tokens carry for people.
    pub metadata: BTreeMap<String, String>,
    /// Where logins may come from.
    pub cidr_list: Vec<IpNet>,
    /// Where tokens may be used, instead of where the role says.
    pub token_bound_cidrs: Vec<IpNet>,
    /// The life that it got.
    pub ttl: Ttl,
    /// Uses that are left; 0 for no count. The last use removes the row.
    pub uses: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When a use was last counted.
    pub updated: Timestamp,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

impl SecretId {
    /// Whether its time is over.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

/// The secret ids of the role with this id.
pub fn folder(role: &str) -> Key {
    Key::new("secret").join(role)
}

/// Where a secret id lies.
pub fn key(role: &str, digest: &str) -> Key {
    folder(role).join(digest)
}

/// The accessors of the role with this id.
pub fn accessors(role: &str) -> Key {
    Key::new("accessor").join(role)
}

/// Where the digest of an accessor's secret id lies.
pub fn accessor_key(role: &str, accessor: &str) -> Key {
    accessors(role).join(accessor)
}

/// The time index.
pub fn ends() -> Key {
    Key::new("expiry")
}

/// Where the end of a secret id is noted.
pub fn end_key(end: Timestamp, role: &str, digest: &str) -> Key {
    ends().at(end).join(role).join(digest)
}

/// All rows of a secret id.
pub fn rows(role: &str, digest: &str, secret: &SecretId) -> Vec<Key> {
    let end = secret.expires.map(|end| end_key(end, role, digest));
    [key(role, digest), accessor_key(role, &secret.accessor)].into_iter().chain(end).collect()
}

params! {
    /// A secret id to be made.
    pub struct Generate {
        /// The role's name.
        role_name: Name,
        /// What tokens carry for people: an object of texts, written as JSON.
        metadata: Option<String>,
        /// Networks from which logins may come.
        cidr_list: Option<Vec<IpNet>>,
        /// Networks from which tokens may be used.
        token_bound_cidrs: Option<Vec<IpNet>>,
        /// How often it can be used; 0 for no count.
        num_uses: Option<i64>,
        /// How long it lives; 0 for ever.
        ttl: Option<Ttl>,
    }
    /// A secret id that was chosen.
    pub struct Take {
        /// The role's name.
        role_name: Name,
        /// The secret id.
        secret_id: Option<Secret<String>>,
        /// What tokens carry for people: an object of texts, written as JSON.
        metadata: Option<String>,
        /// Networks from which logins may come.
        cidr_list: Option<Vec<IpNet>>,
        /// Networks from which tokens may be used.
        token_bound_cidrs: Option<Vec<IpNet>>,
        /// How often it can be used; 0 for no count.
        num_uses: Option<i64>,
        /// How long it lives; 0 for ever.
        ttl: Option<Ttl>,
    }
}

async fn generate(cx: Cx<AppRole>, p: Generate) -> Result<Reply> {
    let text = Secret::new(ids::uuid(cx.rng()));
    register(&cx, p, text)
}

async fn take(cx: Cx<AppRole>, p: Take) -> Result<Reply> {
    let text = p.secret_id.filter(|s| !s.reveal().is_empty()).ok_or_else(|| Error::invalid("missing secret_id"))?;
    if text.reveal().len() > CUSTOM_BYTES {
        return Err(Error::invalid(format!("field 'secret_id': at most {CUSTOM_BYTES} bytes")));
    }
    let Take { role_name, metadata, cidr_list, token_bound_cidrs, num_uses, ttl, .. } = p;
    register(&cx, Generate { role_name, metadata, cidr_list, token_bound_cidrs, num_uses, ttl }, text)
}

fn register(cx: &Cx<AppRole>, p: Generate, text: Secret<String>) -> Result<Reply> {
    let now = cx.now();
    let mut txn = cx.txn();
    // The commit fails if the role changes or goes meanwhile: nothing is ever put below a role that is gone.
    let role: Role = txn.get(&role::key(&p.role_name))?.ok_or_else(|| role::unknown(&p.role_name))?;
    if !role.bind_secret_id {
        return Err(Error::invalid("bind_secret_id is not set on the role"));
    }
    // 0 is without end, as the role says; what ends, ends within the mount's limit.
    let ttl = life(p.ttl, role.secret_id_ttl)?.min(cx.limits.max_ttl);
    let secret = SecretId {
        accessor: ids::uuid(cx.rng()),
        metadata: metadata(p.metadata.as_deref().unwrap_or_default())?,
        cidr_list: within("cidr_list", p.cidr_list, &role.secret_id_bound_cidrs)?,
        token_bound_cidrs: within("token_bound_cidrs", p.token_bound_cidrs, &role.rules.token_bound_cidrs)?,
        ttl,
        uses: count(p.num_uses, role.secret_id_num_uses)?,
        created: now,
        updated: now,
        expires: (!ttl.is_zero()).then(|| after(now, ttl)),
    };
    let digest = cx.engine().digests().secret_id(text.reveal());
    let key = key(&role.id, &digest);
    if let Some(old) = txn.get::<SecretId>(&key)? {
        if !old.expired(now) {
            return Err(Error::invalid("the secret_id is registered already"));
        }
        for row in rows(&role.id, &digest, &old) {
            txn.delete(&row);
        }
    }
    txn.put(&key, &secret)?;
    txn.create(&accessor_key(&role.id, &secret.accessor), &digest)?;
    if let Some(end) = secret.expires {
        txn.overwrite(&end_key(end, &role.id, &digest), &secret.accessor)?;
    }
    sweep::some(cx, &mut txn)?;
    let reply = Reply::data(
        [
            ("secret_id", Json::from(text.reveal().as_str())),
            ("secret_id_accessor", secret.accessor.as_str().into()),
            ("secret_id_ttl", secret.ttl.seconds().into()),
            ("secret_id_num_uses", secret.uses.into()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    );
    Ok(reply.accessor(secret.accessor).with(txn))
}

/// Metadata of a secret id: an object whose values are texts.
fn metadata(text: &str) -> Result<BTreeMap<String, String>> {
    let wrong = || Error::invalid("field 'metadata': expected an object of texts, written as JSON");
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    let Ok(Json::Object(map)) = Json::parse(text.as_bytes()) else { return Err(wrong()) };
    let pairs = map
        .into_iter()
        .map(|(key, value)| match value {
            Json::String(value) => Ok((key, value)),
            _ => Err(wrong()),
        })
        .collect::<Result<_>>()?;
    check_metadata("metadata", &pairs)?;
    Ok(pairs)
}

/// A number of uses, no more than the role allows.
fn count(asked: Option<i64>, role: u64) -> Result<u64> {
    let Some(asked) = asked else { return Ok(role) };
    let asked = uses("num_uses", asked)?;
    if role > 0 && (asked == 0 || asked > role) {
        return Err(Error::invalid("num_uses cannot be higher than the role's secret_id_num_uses"));
    }
    Ok(asked)
}

/// A life, no longer than the role allows.
fn life(asked: Option<Ttl>, role: Ttl) -> Result<Ttl> {
    let Some(asked) = asked else { return Ok(role) };
    if !role.is_zero() && (asked.is_zero() || asked > role) {
        return Err(Error::invalid("ttl cannot be longer than the role's secret_id_ttl"));
    }
    Ok(asked)
}

/// Networks that lie within those of the role.
fn within(field: &str, asked: Option<Vec<IpNet>>, role: &[IpNet]) -> Result<Vec<IpNet>> {
    let asked = asked.unwrap_or_default();
    if !role.is_empty() && asked.iter().any(|net| !role.iter().any(|outer| outer.contains(net))) {
        return Err(Error::invalid(format!("field '{field}': a network lies outside of those of the role")));
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn a_secret_id_gets_no_more_than_its_role_allows() {
        assert!(count(Some(-1), 0).is_err());
        assert!(count(Some(0), 5).is_err());
        assert!(count(Some(6), 5).is_err());
        assert_eq!((count(None, 5).unwrap(), count(Some(5), 5).unwrap(), count(Some(9), 0).unwrap()), (5, 5, 9));
        let s = Ttl::from_seconds;
        assert!(life(Some(s(0)), s(60)).is_err());
        assert!(life(Some(s(61)), s(60)).is_err());
        assert_eq!((life(None, s(60)).unwrap(), life(Some(s(9)), s(0)).unwrap()), (s(60), s(9)));
    }

    #[test]
    fn its_networks_lie_within_the_roles() {
        let role = nets(&["10.0.0.0/8", "fd00::/8"]);
        for bad in
            [nets(&["192.168.0.0/16"]), nets(&["10.1.0.0/16", "11.0.0.0/8"]), nets(&["0.0.0.0/0"]), nets(&["::/0"])]
        {
            assert!(within("cidr_list", Some(bad), &role).is_err());
        }
        assert!(within("cidr_list", Some(nets(&["10.1.2.3/32", "fd00:1::/32"])), &role).is_ok());
        assert!(within("cidr_list", Some(nets(&["192.168.0.0/16"])), &[]).is_ok());
    }

    #[test]
    fn metadata_are_texts_in_an_object() {
        for bad in ["notjson", "[]", "{\"n\":5}", "{\"a\":{}}", "{\"\":\"x\"}", "{\"a\":\"\\n\"}"] {
            assert_eq!(metadata(bad).unwrap_err().status(), 400, "{bad}");
        }
        assert!(metadata("").unwrap().is_empty());
        assert_eq!(metadata("{\"a\":\"b\"}").unwrap()["a"], "b");
    }
}

//! `role/`: the roles.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::AppRole;
use super::sweep;
use crate::barrier::Txn;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Name, Result, Ttl, ids, limits};
use crate::engine::{Cx, Page, Reply, Routes, TokenParams, TokenRules, policy_names};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<AppRole>) -> Routes<AppRole> {
    routes
        .at("role/", "List the roles.", |at| at.list(list))
        .at("role/{role_name!}", "Read, write and delete a role.", |at| {
            at.read(read).upsert(exists, write).delete(delete)
        })
        .at("role/{role_name!}/role-id", "Read and set a role's role id.", |at| at.read(read_id).update(write_id))
}

/// A role, as stored.
#[derive(Clone, Serialize, Deserialize)]
pub struct Role {
    /// Its own id, which no other role ever has.
    pub id: String,
    /// The id that logins name.
    pub role_id: String,
    /// Whether a login needs a secret id.
    pub bind_secret_id: bool,
    /// Accepted and shown; one data centre has no use for it.
    pub local_secret_ids: bool,
    /// Where logins may come from.
    pub secret_id_bound_cidrs: Vec<IpNet>,
    /// How often a secret id can be used; 0 for no count.
    pub secret_id_num_uses: u64,
    /// How long a secret id lives; 0 for ever.
    pub secret_id_ttl: Ttl,
    /// What the tokens are like.
    pub rules: TokenRules,
}

impl Role {
    /// Whether it asks for anything at all, and its rules agree with each other.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<()> {
        self.rules.check()?;
        if !self.bind_secret_id && self.secret_id_bound_cidrs.is_empty() && self.rules.token_bound_cidrs.is_empty() {
            return Err(Error::invalid(
                "at least one constraint should be enabled on the role: bind_secret_id, secret_id_bound_cidrs or token_bound_cidrs",
            ));
        }
        Ok(())
    }
}

/// Where a role lies.
pub fn key(name: &Name) -> Key {
    folder().join(name.as_str())
}

fn folder() -> Key {
    Key::new("role")
}

/// Where the name of the role with this role id lies.
pub fn id_key(digest: &str) -> Key {
    Key::new("role-id").join(digest)
}

/// A role that a request is about.
///
/// # Errors
/// [`Error::NotFound`].
pub fn named(cx: &Cx<AppRole>, name: &Name) -> Result<Role> {
    cx.get(&key(name))?.ok_or_else(|| unknown(name))
}

/// The answer where there is no such role.
pub fn unknown(name: &Name) -> Error {
    Error::NotFound(vec![format!("role \"{name}\" does not exist")])
}

/// Networks as the API shows them: with their length, and `null` for none.
pub fn show_networks(networks: &[IpNet]) -> Json {
    if networks.is_empty() {
        return Json::Null;
    }
    Json::Array(networks.iter().map(|n| n.to_string().into()).collect())
}

/// A number of uses.
///
/// # Errors
/// [`Error::Invalid`] for a negative one.
pub fn uses(field: &str, number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| Error::invalid(format!("{field} cannot be negative")))
}

params! {
    /// A role.
    pub struct ByName {
        /// The role's name.
        role_name: Name,
    }
    /// A role; what is absent stays as it was.
    pub struct Write {
        /// The role's name.
        role_name: Name,
        /// The id that logins name; made where none is given.
        role_id: Option<String>,
        /// Whether a login needs a secret id.
        bind_secret_id: Option<bool>,
        /// Networks from which logins may come.
        secret_id_bound_cidrs: Option<Vec<IpNet>>,
        /// As 'secret_id_bound_cidrs'.
        bound_cidr_list: Option<Vec<IpNet>>,
        /// How often a secret id can be used; 0 for no count.
        secret_id_num_uses: Option<i64>,
        /// How long a secret id lives; 0 for ever.
        secret_id_ttl: Option<Ttl>,
        /// Accepted and shown; only when the role is made.
        local_secret_ids: Option<bool>,
        /// As 'token_policies'.
        policies: Option<Vec<String>>,
        /// As 'token_period'.
        period: Option<Ttl>,
        /// What the tokens are like.
        token: TokenParams,
    }
    /// A new role id.
    pub struct WriteId {
        /// The role's name.
        role_name: Name,
        /// The id that logins name.
        role_id: Option<String>,
    }
}

async fn list(cx: Cx<AppRole>, p: Page) -> Result<Reply> {
    Ok(Reply::list(p.of(cx.list(&folder())?)))
}

async fn read(cx: Cx<AppRole>, p: ByName) -> Result<Reply> {
    let role: Role = cx.get(&key(&p.role_name))?.ok_or_else(Error::not_found)?;
    let mut data = Map::from(
        [
            ("bind_secret_id", Json::from(role.bind_secret_id)),
            ("local_secret_ids", role.local_secret_ids.into()),
            ("secret_id_bound_cidrs", show_networks(&role.secret_id_bound_cidrs)),
            ("secret_id_num_uses", role.secret_id_num_uses.into()),
            ("secret_id_ttl", role.secret_id_ttl.seconds().into()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    );
    role.rules.show(&mut data);
    Ok(Reply::data(data))
}

fn exists(cx: &Cx<AppRole>, p: &Write) -> Result<bool> {
    Ok(cx.get::<Role>(&key(&p.role_name))?.is_some())
}

async fn write(cx: Cx<AppRole>, p: Write) -> Result<Reply> {
    let key = key(&p.role_name);
    let mut txn = cx.txn();
    let old: Option<Role> = cx.writable(&mut txn, &key)?;
    let is_new = old.is_none();
    let mut role = old.unwrap_or_else(|| Role {
        id: ids::uuid(cx.rng()),
        role_id: String::new(),
        bind_secret_id: true,
        local_secret_ids: p.local_secret_ids.unwrap_or(false),
        secret_id_bound_cidrs: Vec::new(),
        secret_id_num_uses: 0,
        secret_id_ttl: Ttl::ZERO,
        rules: TokenRules::default(),
    });
    if p.local_secret_ids.is_some_and(|local| local != role.local_secret_ids) {
        return Err(Error::invalid("local_secret_ids can only be modified during role creation"));
    }
    if let Some(v) = p.bind_secret_id {
        role.bind_secret_id = v;
    }
    if let Some(v) = p.secret_id_bound_cidrs.or(p.bound_cidr_list) {
        role.secret_id_bound_cidrs = v;
    }
    if let Some(v) = p.secret_id_num_uses {
        role.secret_id_num_uses = uses("secret_id_num_uses", v)?;
    }
    if let Some(v) = p.secret_id_ttl {
        role.secret_id_ttl = v;
    }
    // The older names first: where both are given, the newer count.
    if let Some(v) = p.policies {
        role.rules.token_policies = policy_names(v)?;
    }
    if let Some(v) = p.period {
        role.rules.token_period = v;
    }
    role.rules.apply(p.token)?;
    role.check()?;
    let role_id = match p.role_id.filter(|id| !id.is_empty()) {
        None if is_new => Some(ids::uuid(cx.rng())),
        given => given,
    };
    if let Some(role_id) = role_id {
        set_id(&cx, &mut txn, &p.role_name, &mut role, role_id)?;
    }
    txn.put(&key, &role)?;
    Ok(Reply::empty(txn))
}

/// Gives a role another role id, which no other role may have.
fn set_id(cx: &Cx<AppRole>, txn: &mut Txn, name: &Name, role: &mut Role, role_id: String) -> Result<()> {
    if role_id.len() > limits::NAME_BYTES || role_id.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "field 'role_id': at most {} bytes and no control character",
            limits::NAME_BYTES
        )));
    }
    let digests = cx.engine().digests();
    let new = id_key(&digests.role_id(&role_id));
    if txn.get::<String>(&new)?.is_some_and(|owner| owner != name.as_str()) {
        return Err(Error::invalid("role_id is already in use by another role"));
    }
    if role.role_id != role_id && !role.role_id.is_empty() {
        txn.delete(&id_key(&digests.role_id(&role.role_id)));
    }
    txn.put(&new, &name)?;
    role.role_id = role_id;
    Ok(())
}

async fn delete(cx: Cx<AppRole>, p: ByName) -> Result<Reply> {
    let key = key(&p.role_name);
    let mut txn = cx.txn();
    let Some(role) = txn.get::<Role>(&key)? else { return Ok(Reply::nothing()) };
    txn.delete(&key);
    txn.delete(&id_key(&cx.engine().digests().role_id(&role.role_id)));
    // Its secret ids lead nowhere from here on; how many they are does not matter.
    sweep::leave(&cx, &mut txn, &role.id)?;
    Ok(Reply::empty(txn))
}

async fn read_id(cx: Cx<AppRole>, p: ByName) -> Result<Reply> {
    let role: Role = cx.get(&key(&p.role_name))?.ok_or_else(Error::not_found)?;
    Ok(Reply::data([("role_id".to_owned(), Json::from(role.role_id))]))
}

async fn write_id(cx: Cx<AppRole>, p: WriteId) -> Result<Reply> {
    let role_id = p.role_id.filter(|id| !id.is_empty()).ok_or_else(|| Error::invalid("missing role_id"))?;
    let mut txn = cx.txn();
    let mut role: Role = txn.get(&key(&p.role_name))?.ok_or_else(|| unknown(&p.role_name))?;
    set_id(&cx, &mut txn, &p.role_name, &mut role, role_id)?;
    txn.put(&key(&p.role_name), &role)?;
    Ok(Reply::empty(txn))
}

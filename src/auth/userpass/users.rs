//! `users/`: the users, their passwords and policies.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Userpass, config, costs};
use crate::base::json::Map;
use crate::base::secret::stored;
use crate::base::{Error, Key, Name, Result, Secret, Ttl};
use crate::crypto::password;
use crate::engine::{Cx, Page, Reply, Routes, TokenParams, TokenRules, policy_names};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<Userpass>) -> Routes<Userpass> {
    routes
        .at("users/", "List the users.", |at| at.list(list))
        .at("users/{username!}", "Read, write and delete a user.", |at| {
            at.read(read).upsert(exists, write).delete(delete)
        })
        .at("users/{username!}/password", "Change a user's password.", |at| at.update(set_password))
        .at("users/{username!}/policies", "Change a user's policies.", |at| at.update(set_policies))
}

/// A user, as stored.
#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    /// The password's hash.
    #[serde(serialize_with = "stored")]
    pub hash: Secret<String>,
    /// What the tokens are like.
    pub rules: TokenRules,
}

/// Where a user lies.
pub fn key(name: &Name) -> Key {
    folder().join(name.as_str())
}

fn folder() -> Key {
    Key::new("user")
}

params! {
    /// A user.
    pub struct ByName {
        /// The user's name.
        username: Name,
    }
    /// A user; what is absent stays as it was.
    pub struct Write {
        /// The user's name.
        username: Name,
        /// The password.
        password: Option<Secret<String>>,
        /// Its hash instead, brought from elsewhere: bcrypt or argon2id.
        password_hash: Option<Secret<String>>,
        /// As 'token_policies'.
        policies: Option<Vec<String>>,
        /// As 'token_ttl'.
        ttl: Option<Ttl>,
        /// As 'token_max_ttl'.
        max_ttl: Option<Ttl>,
        /// As 'token_bound_cidrs'.
        bound_cidrs: Option<Vec<IpNet>>,
        /// What the tokens are like.
        token: TokenParams,
    }
    /// A new password.
    pub struct SetPassword {
        /// The user's name.
        username: Name,
        /// The password.
        password: Option<Secret<String>>,
        /// Its hash instead, brought from elsewhere: bcrypt or argon2id.
        password_hash: Option<Secret<String>>,
    }
    /// New policies.
    pub struct SetPolicies {
        /// The user's name.
        username: Name,
        /// The policies.
        token_policies: Option<Vec<String>>,
        /// The same, by its older name.
        policies: Option<Vec<String>>,
    }
}

async fn list(cx: Cx<Userpass>, p: Page) -> Result<Reply> {
    Ok(Reply::list(p.of(cx.list(&folder())?)))
}

async fn read(cx: Cx<Userpass>, p: ByName) -> Result<Reply> {
    let user: User = cx.get(&key(&p.username))?.ok_or_else(Error::not_found)?;
    let mut data = Map::new();
    user.rules.show(&mut data);
    Ok(Reply::data(data))
}

fn exists(cx: &Cx<Userpass>, p: &Write) -> Result<bool> {
    Ok(cx.get::<User>(&key(&p.username))?.is_some())
}

async fn write(cx: Cx<Userpass>, p: Write) -> Result<Reply> {
    let key = key(&p.username);
    if p.password_hash.is_some() && cx.get::<User>(&key)?.is_some() {
        config::check_hash(&cx)?;
    }
    let hash = hash_of(&cx, p.password, p.password_hash).await?;
    let mut txn = cx.txn();
    let old: Option<User> = cx.writable(&mut txn, &key)?;
    let before = old.as_ref().and_then(costs::foreign);
    let mut user = match (old, hash) {
        (Some(user), None) => user,
        (Some(user), Some(hash)) => User { hash, ..user },
        (None, Some(hash)) => User { hash, rules: TokenRules::default() },
        (None, None) => return Err(Error::invalid("missing password")),
    };
    // The older names first: where both are given, the newer count.
    if let Some(v) = p.policies {
        user.rules.token_policies = policy_names(v)?;
    }
    if let Some(v) = p.ttl {
        user.rules.token_ttl = v;
    }
    if let Some(v) = p.max_ttl {
        user.rules.token_max_ttl = v;
    }
    if let Some(v) = p.bound_cidrs {
        user.rules.token_bound_cidrs = v;
    }
    user.rules.apply(p.token)?;
    costs::changed(&cx, &mut txn, &p.username, before, costs::foreign(&user))?;
    txn.put(&key, &user)?;
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<Userpass>, p: ByName) -> Result<Reply> {
    let mut txn = cx.txn();
    let before = txn.get::<User>(&key(&p.username))?.as_ref().and_then(costs::foreign);
    costs::changed(&cx, &mut txn, &p.username, before, None)?;
    txn.delete(&key(&p.username));
    Ok(Reply::empty(txn))
}

async fn set_password(cx: Cx<Userpass>, p: SetPassword) -> Result<Reply> {
    if p.password_hash.is_some() {
        config::check_hash(&cx)?;
    }
    let hash = hash_of(&cx, p.password, p.password_hash).await?.ok_or_else(|| Error::invalid("missing password"))?;
    let mut txn = cx.txn();
    let user: User = txn.get(&key(&p.username))?.ok_or_else(no_user)?;
    let before = costs::foreign(&user);
    let user = User { hash, ..user };
    costs::changed(&cx, &mut txn, &p.username, before, costs::foreign(&user))?;
    txn.put(&key(&p.username), &user)?;
    Ok(Reply::empty(txn))
}

async fn set_policies(cx: Cx<Userpass>, p: SetPolicies) -> Result<Reply> {
    let policies = p.token_policies.or(p.policies).ok_or_else(|| Error::invalid("missing token_policies"))?;
    let mut txn = cx.txn();
    let mut user: User = txn.get(&key(&p.username))?.ok_or_else(no_user)?;
    user.rules.token_policies = policy_names(policies)?;
    txn.put(&key(&p.username), &user)?;
    Ok(Reply::empty(txn))
}

fn no_user() -> Error {
    Error::NotFound(vec!["username does not exist".into()])
}

/// The hash of the password that a request brings, or the one that it brings itself.
async fn hash_of(
    cx: &Cx<Userpass>,
    password: Option<Secret<String>>,
    given: Option<Secret<String>>,
) -> Result<Option<Secret<String>>> {
    match (password, given) {
        (Some(_), Some(_)) => Err(Error::invalid("only one of 'password' and 'password_hash' can be given")),
        (Some(password), None) if password.reveal().is_empty() => Err(Error::invalid("'password' cannot be empty")),
        (Some(password), None) => {
            config::check(cx, &password)?;
            cx.engine().hashing.hash(password, cx.rng.clone()).await.map(Some)
        }
        (None, Some(hash)) => {
            password::check_hash(hash.reveal())?;
            Ok(Some(hash))
        }
        (None, None) => Ok(None),
    }
}

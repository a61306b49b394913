//! `login/`: a password becomes a token.

use std::collections::BTreeMap;

use super::Userpass;
use super::costs;
use super::users::{User, key};
use crate::base::{Error, Json, Name, Result, Secret};
use crate::crypto::password;
use crate::engine::{Alias, Claimed, Cx, Login, Renewal, Reply, Routes};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<Userpass>) -> Routes<Userpass> {
    routes.at("login", "Says that a name is missing.", |at| at.update(nameless).public()).at(
        "login/{username!}",
        "Log in.",
        |at| at.update(login).public().claims(claim),
    )
}

params! {
    /// A login.
    pub struct Credentials {
        /// The user's name.
        username: Name,
        /// The password.
        password: Option<Secret<String>>,
    }
}

/// The name is in its one form already: the route folds it.
fn claim(_: &Cx<Userpass>, p: &Credentials, what: Claimed) -> Result<Option<String>> {
    Ok((what == Claimed::Alias).then(|| p.username.as_str().to_owned()))
}

async fn nameless(_: Cx<Userpass>, _: ()) -> Result<Reply> {
    Err(Error::invalid("missing username"))
}

async fn login(cx: Cx<Userpass>, p: Credentials) -> Result<Reply> {
    let password = p.password.filter(|p| !p.reveal().is_empty()).ok_or_else(|| Error::invalid("missing password"))?;
    let user: Option<User> = cx.get(&key(&p.username))?;
    let hash = user.as_ref().map(|u| u.hash.clone());
    let fits = cx.engine().hashing.verify(password.clone(), hash, costs::all(&cx)?).await?;
    let Some(user) = user.filter(|_| fits) else {
        return Err(Error::Credentials("invalid username or password".into()));
    };
    let rules = &user.rules;
    if !rules.admits(cx.client_addr) {
        return Err(Error::Forbidden("permission denied".into()));
    }
    let reply = Reply::login(&cx, token(&p.username, &user));
    if !password::is_outdated(user.hash.reveal()) {
        return Ok(reply);
    }
    // A hash from elsewhere is made anew as soon as the password is known, unless it changed meanwhile.
    let hash = cx.engine().hashing.hash(password, cx.rng.clone()).await?;
    let mut txn = cx.txn();
    match txn.get::<User>(&key(&p.username))? {
        Some(present) if present.hash.same_as(user.hash.reveal().as_bytes()) => {
            let before = costs::foreign(&present);
            let user = User { hash, ..present };
            costs::changed(&cx, &mut txn, &p.username, before, costs::foreign(&user))?;
            txn.put(&key(&p.username), &user)?;
            Ok(reply.with(txn))
        }
        _ => Ok(reply),
    }
}

/// What an admitted login's token is to be.
pub fn token(name: &Name, user: &User) -> Login {
    let name = name.as_str().to_owned();
    Login {
        display_name: name.clone(),
        metadata: BTreeMap::from([("username".to_owned(), name.clone())]),
        internal: Json::object([("username", name.as_str())].map(|(k, v)| (k, Json::from(v)))),
        alias: Some(Alias { name, metadata: BTreeMap::new() }),
        ..user.rules.login()
    }
}

/// A token lives on only as long as its user is there and has the same policies: the token keeps those of its issue.
pub async fn renew(cx: Cx<Userpass>, login: Login) -> Result<Renewal> {
    let name = login.internal.at("username").and_then(Json::as_str).unwrap_or_default();
    let Some(user) = cx.get::<User>(&key(&Name::parse(name)?))? else {
        return Ok(Renewal { gone: true, ..Renewal::default() });
    };
    if user.rules.token_policies != login.policies {
        return Err(Error::invalid("policies have changed, not renewing"));
    }
    Ok(Renewal {
        ttl: user.rules.token_ttl,
        max_ttl: user.rules.token_max_ttl,
        period: user.rules.token_period,
        ..Renewal::default()
    })
}

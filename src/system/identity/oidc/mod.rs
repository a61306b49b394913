//! `oidc`: what is proved to others about entities, in signed tokens, and the provider that applications log in with.
//!
//!     identity/oidc/config             the issuer
//!     identity/oidc/key/<name>         a signing key, the one after it, and those before it
//!     identity/oidc/due/<time>/<name>  which key is to be followed by the next, and when
//!     identity/oidc/role/<name>        what tokens of a role say
//!     identity/oidc/scope, assignment, client, provider/<name>
//!     identity/oidc/code/<digest>      a login of an application that fetches its tokens, once
//!     identity/oidc/access/<digest>    a token for `userinfo`, good for nothing else
//!     identity/oidc/expiry/<time>/…    which of the last two can go, and when

mod authorize;
mod client;
mod discovery;
mod key;
mod provider;
mod role;
mod template;

use serde::de::DeserializeOwned;

pub use key::rotate_due;

use super::IdentityEngine;
use crate::base::{Error, Key, Name, Result};
use crate::engine::{Cx, Routes};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes
        .and(key::routes)
        .and(role::routes)
        .and(discovery::routes)
        .and(provider::routes)
        .and(client::routes)
        .and(authorize::routes)
}

params! {
    /// Something by its name.
    pub struct ByName {
        /// The name.
        name: Name,
    }
}

/// Where things of a kind lie.
fn folder(kind: &str) -> Key {
    Key::new("oidc").join(kind)
}

/// Where one lies.
fn place(kind: &str, name: &str) -> Key {
    folder(kind).join(name)
}

/// One, if it is there.
fn find<T: DeserializeOwned>(cx: &Cx<IdentityEngine>, kind: &str, name: &str) -> Result<Option<T>> {
    cx.engine().handles.identities.view().get(&place(kind, name))
}

/// All of a kind with their names.
fn all<T: DeserializeOwned>(cx: &Cx<IdentityEngine>, kind: &str) -> Result<Vec<(String, T)>> {
    let view = cx.engine().handles.identities.view();
    let rows = view.read(|r| r.first::<T>(&folder(kind), crate::base::limits::OIDC_OBJECTS))?;
    Ok(rows.into_iter().map(|(key, value)| (key.as_str().to_owned(), value)).collect())
}

/// Names that a request gave for others of a kind, all of which must exist.
fn must_exist(cx: &Cx<IdentityEngine>, kind: &str, names: &[String]) -> Result<()> {
    for name in names {
        let name = Name::parse(name)?;
        if find::<crate::base::Json>(cx, kind, name.as_str())?.is_none() {
            return Err(Error::invalid(format!("a {kind} of this name does not exist")));
        }
    }
    Ok(())
}

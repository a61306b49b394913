//! Logins that were begun in a browser: kept in storage for minutes, and used up by the commit that ends them.

use serde::{Deserialize, Serialize};

use super::Jwt;
use crate::barrier::Txn;
use crate::base::secret::stored;
use crate::base::{Error, Key, Name, Result, Secret, Timestamp, Ttl, ids, limits, time};
use crate::crypto::sha256;
use crate::engine::Cx;

/// A login that was begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// For this role.
    pub role: Name,
    /// Where the browser comes back to.
    pub redirect_uri: String,
    /// What the issuer's token must repeat.
    pub nonce: String,
    /// What the program that began it must repeat; may be empty.
    #[serde(serialize_with = "stored")]
    pub client_nonce: Secret<String>,
    /// What proves to the issuer that the code is ours (RFC 7636).
    #[serde(serialize_with = "stored")]
    pub verifier: Secret<String>,
    /// The code, where the browser brought it before its program asked; empty before.
    #[serde(serialize_with = "stored")]
    pub code: Secret<String>,
    /// When it is too late.
    pub expires: Timestamp,
}

/// Where a state lies: its text is a secret of the browser, so only its digest is kept.
pub fn key(text: &str) -> Key {
    Key::new("state").join(&hex::encode(sha256(text.as_bytes())))
}

fn ends() -> Key {
    Key::new("state-end")
}

/// Begins a login, and sweeps away some that are too late.
///
/// # Errors
/// Those of storage.
pub fn begin(
    cx: &Cx<Jwt>,
    role: Name,
    redirect_uri: String,
    client_nonce: Secret<String>,
) -> Result<(String, State, Txn)> {
    let text = ids::letters(cx.rng(), 32).reveal().clone();
    let expires = time::after(cx.now(), Ttl::from_seconds(limits::OIDC_STATE_SECONDS));
    let state = State {
        role,
        redirect_uri,
        nonce: ids::letters(cx.rng(), 32).reveal().clone(),
        client_nonce,
        verifier: ids::letters(cx.rng(), 64),
        code: Secret::default(),
        expires,
    };
    let mut txn = cx.txn();
    let key = key(&text);
    let digest = key.as_str().rsplit('/').next().unwrap_or_default().to_owned();
    txn.create(&key, &state)?;
    txn.create(&ends().at(expires).join(&digest), &digest)?;
    let late = cx.view().read(|r| r.first::<String>(&ends(), limits::OIDC_SWEEP))?;
    for (row, digest) in late {
        let state: Option<State> = cx.get(&Key::new("state").join(&digest))?;
        if state.is_none_or(|state| state.expires <= cx.now()) {
            txn.delete(&ends().append(&row));
            txn.delete(&Key::new("state").join(&digest));
        }
    }
    Ok((text, state, txn))
}

/// A login that was begun and is not over.
///
/// # Errors
/// [`Error::Invalid`], the same whatever is wrong with it.
pub fn pending(cx: &Cx<Jwt>, text: &str) -> Result<State> {
    let state: Option<State> = cx.get(&key(text))?;
    state.filter(|state| state.expires > cx.now()).ok_or_else(gone)
}

/// The answer for a state that is unknown, used up, or too old.
pub fn gone() -> Error {
    Error::invalid("expired or missing OAuth state")
}

/// The change that uses it up, in the commit that makes the token: of two that end one login, one succeeds.
pub fn end(cx: &Cx<Jwt>, text: &str, state: &State) -> Txn {
    let key = key(text);
    let digest = key.as_str().rsplit('/').next().unwrap_or_default().to_owned();
    let mut txn = cx.txn();
    txn.update(&[key, ends().at(state.expires).join(&digest)], |rows| {
        rows.get::<State>(0)?.ok_or_else(gone)?;
        rows.delete(0);
        rows.delete(1);
        Ok(())
    });
    txn
}

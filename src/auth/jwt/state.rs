//! Logins that were begun in a browser: kept in storage for minutes, and used up by the commit that ends them.
//!
//! Anybody may begin one, so there are so many places and no more: a login takes one that is free or whose time is over.

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
    /// The digest of its text, which is a secret of the browser.
    pub digest: String,
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

/// The digest of a state's text, and the place where it lies.
fn place(text: &str) -> (String, Key) {
    let digest = sha256(text.as_bytes());
    let number = usize::from(u16::from_be_bytes([digest[0], digest[1]])) % limits::OIDC_STATES;
    (hex::encode(digest), Key::new("state").join(&number.to_string()))
}

/// Where the state of this text lies, if it lies anywhere: see [`State::is_of`].
pub fn key(text: &str) -> Key {
    place(text).1
}

impl State {
    /// Whether it is the one of this text, and not over.
    pub fn is_of(&self, text: &str, now: Timestamp) -> bool {
        self.digest == place(text).0 && self.expires > now
    }
}

/// Begins a login.
///
/// # Errors
/// [`Error::Unavailable`] when too many are under way, and those of storage.
pub fn begin(
    cx: &Cx<Jwt>,
    role: Name,
    redirect_uri: String,
    client_nonce: Secret<String>,
) -> Result<(String, State, Txn)> {
    let now = cx.now();
    let (text, digest, key) = free(cx, now)?;
    let state = State {
        digest,
        role,
        redirect_uri,
        nonce: ids::letters(cx.rng(), 32).reveal().clone(),
        client_nonce,
        verifier: ids::letters(cx.rng(), 64),
        code: Secret::default(),
        expires: time::after(now, Ttl::from_seconds(limits::OIDC_STATE_SECONDS)),
    };
    let mut txn = cx.txn();
    let row = state.clone();
    txn.update(&[key], move |rows| {
        // Another may have taken the place meanwhile.
        match rows.get::<State>(0)? {
            Some(other) if other.expires > now => Err(full()),
            _ => rows.put(0, &row),
        }
    });
    Ok((text, state, txn))
}

/// A text whose place is free.
fn free(cx: &Cx<Jwt>, now: Timestamp) -> Result<(String, String, Key)> {
    for _ in 0..limits::OIDC_STATE_DRAWS {
        let text = ids::letters(cx.rng(), 32).reveal().clone();
        let (digest, key) = place(&text);
        if cx.get::<State>(&key)?.is_none_or(|other| other.expires <= now) {
            return Ok((text, digest, key));
        }
    }
    Err(full())
}

fn full() -> Error {
    Error::Unavailable("too many logins in a browser are under way, try again".into())
}

/// A login that was begun and is not over.
///
/// # Errors
/// [`Error::Invalid`], the same whatever is wrong with it.
pub fn pending(cx: &Cx<Jwt>, text: &str) -> Result<State> {
    let state: Option<State> = cx.get(&key(text))?;
    state.filter(|state| state.is_of(text, cx.now())).ok_or_else(gone)
}

/// The answer for a state that is unknown, used up, or too old.
pub fn gone() -> Error {
    Error::invalid("expired or missing OAuth state")
}

/// The change that uses it up, in the commit that makes the token: of two that end one login, one succeeds.
pub fn end(cx: &Cx<Jwt>, text: &str) -> Txn {
    let (digest, key) = place(text);
    let mut txn = cx.txn();
    txn.update(&[key], move |rows| {
        rows.get::<State>(0)?.filter(|state| state.digest == digest).ok_or_else(gone)?;
        rows.delete(0);
        Ok(())
    });
    txn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_begins_logins_without_end_fills_so_many_places() {
        let places: std::collections::BTreeSet<String> =
            (0..100_000).map(|n| place(&format!("text {n}")).1.as_str().to_owned()).collect();
        assert!(places.len() <= limits::OIDC_STATES && places.len() > limits::OIDC_STATES * 9 / 10, "{}", places.len());
    }
}

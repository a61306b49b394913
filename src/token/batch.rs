//! Batch tokens: the facts themselves, encrypted under a key that only this store has.
//!
//!     hvb. ‖ base64url( nonce (12) ‖ ciphertext ‖ tag (16) )

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::entry::{Kind, Token};
use crate::base::{Error, Result, Rng, Secret, limits};
use crate::crypto::aead::AeadKey;

const PREFIX: &str = "hvb.";
const AAD: &[u8] = b"warifu batch token 1";

/// The text of a token with these facts.
pub fn seal(key: &AeadKey, token: &Token, rng: &dyn Rng) -> Result<Secret<String>> {
    let facts = Secret::new(serde_json::to_vec(token).map_err(Error::internal)?);
    let mut bytes = vec![0; 12];
    rng.fill(&mut bytes);
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&bytes);
    bytes.extend_from_slice(&key.seal(nonce, AAD, facts.reveal())?);
    let text = format!("{PREFIX}{}", BASE64.encode(&bytes));
    if text.len() > limits::TOKEN_BYTES {
        return Err(Error::invalid("a batch token cannot carry so many policies and metadata"));
    }
    Ok(Secret::new(text))
}

/// The facts, if the text was made here.
pub fn open(key: &AeadKey, text: &Secret<String>) -> Option<Token> {
    let text = text.reveal();
    let body = text.strip_prefix(PREFIX).or_else(|| text.strip_prefix("b."))?;
    let bytes = BASE64.decode(body).ok()?;
    let (nonce, sealed) = bytes.split_at_checked(12)?;
    let facts = key.open(nonce.try_into().ok()?, AAD, sealed).ok()?;
    let token: Token = serde_json::from_slice(facts.reveal()).ok()?;
    (token.kind == Kind::Batch).then_some(token)
}

//! Nonces: each is good for one request, on whichever node it arrives.
//!
//!     seconds (8) ‖ random (16) ‖ tag (16), in base64url
//!     acme/nonce-key          the key of the tags, made when ACME is enabled
//!     acme/spent/<end>/<nonce>
//!
//! Handing one out writes nothing: its tag says that this mount made it, and until when it is good. Spending one writes
//! a row in the commit of the request itself, which fails where the row is there already.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::problem::{Fault, Kind, problem};
use crate::barrier::{Txn, View};
use crate::base::key::Segment;
use crate::base::secret::stored;
use crate::base::time::nanoseconds;
use crate::base::{Key, Result, Rng, Secret, Timestamp, limits};
use crate::crypto::hmac_sha256;

/// How long a nonce is good, in seconds.
const GOOD_SECONDS: u64 = 3600;
const RANDOM: usize = 16;
const TAG: usize = 16;
const LABEL: &[u8] = b"warifu acme nonce";

#[derive(serde::Serialize, serde::Deserialize)]
struct StoredKey(#[serde(serialize_with = "stored")] Secret<String>);

fn key_key() -> Key {
    Key::new("acme/nonce-key")
}

fn spent_key() -> Key {
    Key::new("acme/spent")
}

/// Makes the key of the tags, if there is none.
///
/// # Errors
/// Those of storage.
pub fn prepare(txn: &mut Txn, rng: &dyn Rng) -> Result<()> {
    if txn.get::<StoredKey>(&key_key())?.is_none() {
        let mut key = Secret::new([0; 32]);
        rng.fill(key.reveal_mut());
        txn.put(&key_key(), &StoredKey(Secret::new(BASE64.encode(key.reveal()))))?;
    }
    Ok(())
}

fn key(view: &View) -> Result<Secret<Vec<u8>>> {
    let stored: Option<StoredKey> = view.get(&key_key())?;
    let text = stored.ok_or_else(|| crate::base::Error::internal("no key for nonces"))?;
    let bytes =
        BASE64.decode(text.0.reveal()).map_err(|_| crate::base::Error::internal("the key for nonces is none"))?;
    Ok(Secret::new(bytes))
}

/// A new nonce.
///
/// # Errors
/// Those of storage.
pub fn fresh(view: &View, now: Timestamp, rng: &dyn Rng) -> Result<String> {
    let mut nonce = now.as_second().max(0).unsigned_abs().to_be_bytes().to_vec();
    let mut random = [0; RANDOM];
    rng.fill(&mut random);
    nonce.extend(random);
    let tag = hmac_sha256(key(view)?.reveal(), &[LABEL, &nonce]);
    nonce.extend(&tag[..TAG]);
    Ok(BASE64.encode(nonce))
}

/// Spends a nonce, once its request is known to be its sender's.
///
/// # Errors
/// The problem `badNonce` for one that is none of ours, too old, or spent.
pub fn spend(view: &View, now: Timestamp, text: &str, txn: &mut Txn) -> Result<(), Fault> {
    let bad = |why: &str| problem(Kind::BadNonce, format!("the nonce {why}"));
    let Ok(nonce) = BASE64.decode(text) else { return bad("is none of this server's") };
    if nonce.len() != 8 + RANDOM + TAG {
        return bad("is none of this server's");
    }
    let (body, tag) = nonce.split_at(8 + RANDOM);
    if !crate::crypto::same(&hmac_sha256(key(view)?.reveal(), &[LABEL, body])[..TAG], tag) {
        return bad("is none of this server's");
    }
    let made = body.iter().take(8).fold(0u64, |made, byte| made << 8 | u64::from(*byte));
    let end = made.saturating_add(GOOD_SECONDS);
    if now.as_second().max(0).unsigned_abs() >= end {
        return bad("is too old");
    }
    let row = spent_key().ordered(end).join(&BASE64.encode(body));
    if txn.get::<()>(&row)?.is_some() {
        return bad("was used before");
    }
    txn.put(&row, &())?;
    Ok(())
}

/// Forgets nonces that are too old to be used again.
///
/// # Errors
/// Those of storage.
pub fn tidy(view: &View, now: Timestamp, txn: &mut Txn) -> Result<()> {
    // A minute on top: the rows of a nonce that just ended may still be in a request's hands.
    let before = (nanoseconds(now).max(0).unsigned_abs() / 1_000_000_000).saturating_sub(60);
    for key in view.read(|reading| reading.first_keys(&spent_key(), limits::BATCH_KEYS))? {
        if key.segments().next().and_then(Segment::number).is_some_and(|end| end >= before) {
            break;
        }
        txn.delete(&spent_key().append(&key));
    }
    Ok(())
}

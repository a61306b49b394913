//! The trust bundle of a mount, as SPIFFE has it: the roots that its X.509-SVIDs chain up to, as a set of JWKs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Pki;
use super::issuer;
use crate::base::{Json, Result};
use crate::crypto::Jwk;
use crate::crypto::x509::Certificate;
use crate::engine::{Cx, Reply};

/// How often to ask again, in seconds.
const REFRESH_SECONDS: u64 = 300;

/// The roots: issuers that signed themselves, and those above which this mount knows nobody. Not those that have ended,
/// nor those that were revoked.
pub async fn bundle(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let mut keys = Vec::new();
    let mut seen = Vec::new();
    for one in issuer::all(cx.view())? {
        let Some(top) = one.chain.last().filter(|_| one.revoked.is_none()) else { continue };
        let certificate = Certificate::from_pem(top)?;
        if seen.contains(top) || certificate.not_after() <= cx.now() {
            continue;
        }
        seen.push(top.clone());
        let mut key = Jwk::of(certificate.public_key()?).json()?;
        if let Json::Object(members) = &mut key {
            members.insert("use".into(), "x509-svid".into());
            members.insert("x5c".into(), Json::Array(vec![STANDARD.encode(certificate.der()).into()]));
        }
        keys.push(key);
    }
    let bundle = Json::object([("keys", Json::Array(keys)), ("spiffe_refresh_hint", REFRESH_SECONDS.into())]);
    Ok(Reply::raw(200, "application/json", bundle.text().into_bytes()))
}

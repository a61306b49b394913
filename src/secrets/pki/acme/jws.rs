//! Signed requests (RFC 7515 in the flattened form, as RFC 8555 section 6 wants it).
//!
//! A request is worth nothing before its signature, its `url` and its nonce were checked, in this order: nothing of it
//! is acted upon, and no nonce is spent, for somebody who does not hold the key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::problem::{Fault, Kind, Problem, problem};
use crate::base::Json;
use crate::crypto::{HmacKey, Jwk};

/// The largest request, in bytes: a CSR with a hundred names, twice in base64, stays below.
const BODY_MAX: usize = 128 << 10;
/// The algorithms of requests.
pub const ALGORITHMS: [&str; 7] = ["ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512"];

/// A request whose signature was not checked yet.
pub struct Unverified {
    signed: Vec<u8>,
    signature: Vec<u8>,
    /// The protected header.
    header: Json,
    /// What it carries.
    payload: Vec<u8>,
}

/// Whose key it is said to be.
pub enum Signer {
    /// The account at this address.
    Account(String),
    /// Whoever has this key.
    Key(Jwk),
}

/// What a request says, signed by who it says it is.
#[derive(Debug)]
pub struct Verified {
    /// The key.
    pub key: Jwk,
    /// What it carries.
    pub payload: Vec<u8>,
    /// Where it says it is sent.
    pub url: String,
    /// Its nonce; empty in one that stands within another.
    pub nonce: String,
}

impl Unverified {
    /// Reads a request, or one that stands within another.
    ///
    /// # Errors
    /// The problem `malformed`.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        if body.len() > BODY_MAX {
            return Err(Problem::new(Kind::Malformed, "the request is too large").status(413).into());
        }
        Self::of(&Json::parse(body)?)
    }

    /// As [`Unverified::parse`], of JSON that was read already.
    ///
    /// # Errors
    /// The problem `malformed`.
    pub fn of(json: &Json) -> Result<Self, Fault> {
        let member = |name: &str| match json.at(name).and_then(Json::as_str) {
            Some(text) => Ok(text),
            None => problem(Kind::Malformed, format!("JWS: '{name}' is missing or no text")),
        };
        if json.at("header").is_some() || json.at("signatures").is_some() {
            return problem(Kind::Malformed, "JWS: there must be one signature and no unprotected header");
        }
        let (protected, payload) = (member("protected")?, member("payload")?);
        let decoded = |name: &str, text: &str| match BASE64.decode(text) {
            Ok(bytes) => Ok(bytes),
            Err(_) => problem(Kind::Malformed, format!("JWS: '{name}' is no base64url")),
        };
        let header = Json::parse(&decoded("protected", protected)?)?;
        // Extensions that must be understood are not, and a payload that is not encoded is none of ours.
        if header.as_object().is_none() || header.at("crit").is_some() || header.at("b64").is_some() {
            return problem(Kind::Malformed, "JWS: an extension that is not supported");
        }
        Ok(Self {
            signed: [protected.as_bytes(), b".", payload.as_bytes()].concat(),
            signature: decoded("signature", member("signature")?)?,
            header,
            payload: decoded("payload", payload)?,
        })
    }

    fn word(&self, name: &str) -> &str {
        self.header.at(name).and_then(Json::as_str).unwrap_or_default()
    }

    /// The id of the key of a request that is signed by a shared key.
    pub fn kid(&self) -> &str {
        self.word("kid")
    }

    /// Whose key it is said to be: exactly one of both has to be said.
    ///
    /// # Errors
    /// The problem `malformed`, or `badPublicKey`.
    pub fn signer(&self) -> Result<Signer, Fault> {
        match (self.header.at("kid"), self.header.at("jwk")) {
            (Some(kid), None) => match kid.as_str() {
                Some(kid) => Ok(Signer::Account(kid.to_owned())),
                None => problem(Kind::Malformed, "JWS: 'kid' is no text"),
            },
            (None, Some(jwk)) => match Jwk::from_json(jwk) {
                Ok(key) => Ok(Signer::Key(key)),
                Err(error) => problem(Kind::BadPublicKey, error.to_string()),
            },
            _ => problem(Kind::Malformed, "JWS: want either 'kid' or 'jwk'"),
        }
    }

    /// Checks the signature by this key.
    ///
    /// # Errors
    /// The problem `badSignatureAlgorithm`, or `malformed` if the signature does not match.
    pub fn verify(self, key: Jwk) -> Result<Verified, Fault> {
        let algorithm = self.word("alg");
        if !ALGORITHMS.contains(&algorithm) {
            let bad = Problem::new(Kind::BadSignatureAlgorithm, "JWS: this 'alg' is not supported");
            return Err(bad.instead("algorithms", &ALGORITHMS).into());
        }
        if key.verify(algorithm, &self.signed, &self.signature).is_err() {
            return problem(Kind::Unauthorized, "JWS: the signature does not match");
        }
        let (url, nonce) = (self.word("url").to_owned(), self.word("nonce").to_owned());
        Ok(Verified { key, url, nonce, payload: self.payload })
    }

    /// Checks a signature by a shared key, as external accounts have one.
    ///
    /// # Errors
    /// The problem `badSignatureAlgorithm`, or `unauthorized` if it does not match.
    pub fn verify_shared(&self, key: &HmacKey, url: &str) -> Result<&[u8], Fault> {
        if self.word("alg") != "HS256" {
            return problem(Kind::BadSignatureAlgorithm, "external account: want the algorithm HS256");
        }
        if !key.verify(&[&self.signed], &self.signature) || self.word("url") != url || self.header.at("nonce").is_some()
        {
            return problem(Kind::Unauthorized, "external account: the signature does not match");
        }
        Ok(&self.payload)
    }
}

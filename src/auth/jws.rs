//! Signed tokens in their compact form (RFC 7515): read, and verified by keys and an allow-list of algorithms.
//!
//! The token names an algorithm, but never decides: it must be in the list, and be one that the kind of the key has. No symmetric
//! algorithm exists here, so a public key cannot be taken for a shared secret, and `none` is no algorithm.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::base::json::Map;
use crate::base::{Error, Json, Result, limits};
use crate::crypto::pem::{self, Label};
use crate::crypto::x509::Certificate;
use crate::crypto::{Hash, Jwk, KeyKind, PublicKey, SignatureAlgorithm};

/// A signature algorithm of JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// With SHA-384.
    RS384,
    /// With SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// With SHA-384.
    PS384,
    /// With SHA-512.
    PS512,
    /// ECDSA on P-256.
    ES256,
    /// On P-384.
    ES384,
    /// On P-521.
    ES512,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
    ];

    /// The word of RFC 7518.
    pub const fn word(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The algorithm of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.word() == word)
    }

    /// Checks a signature, if a key of this kind can have made it.
    fn verify(self, key: &Jwk, message: &[u8], signature: &[u8]) -> bool {
        use SignatureAlgorithm::{RsaPkcs1, RsaPss};
        let rsa = |algorithm| {
            matches!(key.key().kind(), KeyKind::Rsa(_)) && key.key().verify(algorithm, message, signature).is_ok()
        };
        match self {
            Self::RS256 => rsa(RsaPkcs1(Hash::Sha256)),
            Self::RS384 => rsa(RsaPkcs1(Hash::Sha384)),
            Self::RS512 => rsa(RsaPkcs1(Hash::Sha512)),
            Self::PS256 => rsa(RsaPss(Hash::Sha256)),
            Self::PS384 => rsa(RsaPss(Hash::Sha384)),
            Self::PS512 => rsa(RsaPss(Hash::Sha512)),
            // As JWS has them: r and s side by side.
            Self::ES256 | Self::ES384 | Self::ES512 | Self::EdDSA => {
                key.verify(self.word(), message, signature).is_ok()
            }
        }
    }
}

/// A key that may have signed tokens.
#[derive(Clone, Debug)]
pub struct VerifyKey {
    /// Its name in the issuer's set; static keys have none.
    pub kid: Option<String>,
    /// The one algorithm that its issuer uses it for, if it says so.
    pub algorithm: Option<String>,
    /// The key.
    pub key: Jwk,
}

impl VerifyKey {
    /// Reads a public key, or the key of a certificate, from PEM.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn from_pem(text: &str) -> Result<Self> {
        let key = match PublicKey::from_pem(text) {
            Ok(key) => key,
            Err(error) => match pem::first(text.as_bytes(), Label::Certificate) {
                Ok(der) => Certificate::from_der(&der)?.public_key()?,
                Err(_) => return Err(error.into()),
            },
        };
        Ok(Self { kid: None, algorithm: None, key: Jwk::of(key) })
    }
}

/// Reads an issuer's set of keys. Keys of kinds that are not dealt with, and those for encryption, are left out.
///
/// # Errors
/// [`Error::Invalid`] if it is no set, or has too many keys.
pub fn key_set(text: &[u8]) -> Result<Vec<VerifyKey>> {
    let json = Json::parse(text)?;
    let Some(Json::Array(items)) = json.at("keys") else { return Err(Error::invalid("the key set has no 'keys'")) };
    if items.len() > limits::JWKS_KEYS {
        return Err(Error::invalid(format!("a key set has at most {} keys", limits::JWKS_KEYS)));
    }
    let word = |item: &Json, name: &str| item.at(name).and_then(Json::as_str).map(str::to_owned);
    let signing = items.iter().filter(|item| word(item, "use").is_none_or(|of| of == "sig"));
    Ok(signing
        .filter_map(|item| {
            Some(VerifyKey { kid: word(item, "kid"), algorithm: word(item, "alg"), key: Jwk::from_json(item).ok()? })
        })
        .collect())
}

/// A token as it came. Nothing of it is believed before [`Unverified::verify`].
pub struct Unverified<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Option<Algorithm>,
    /// Which key its issuer says to have used.
    pub kid: Option<String>,
    claims: Map,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Its algorithm is not allowed, or does not exist.
    Algorithm,
    /// No key has the name that it gives.
    UnknownKey,
    /// No key that may have signed it did.
    Signature,
}

impl Distrust {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Algorithm => "the token is signed with an algorithm that is not allowed",
            Self::UnknownKey | Self::Signature => "no known key verified the token's signature",
        }
    }
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`Error::Invalid`], without a piece of the token.
    pub fn parse(text: &'a str) -> Result<Self> {
        let malformed = |what: &str| Error::invalid(format!("malformed jwt: {what}"));
        if text.len() > limits::JWT_BYTES {
            return Err(malformed("it is too long"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or_else(|| malformed("it has too few parts"))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| malformed("it has too few parts"))?;
        if claims.contains('.') {
            return Err(malformed("it has too many parts"));
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("a part is not base64url"));
        let object = |part: &str| match Json::parse(&decode(part)?) {
            Ok(Json::Object(map)) => Ok(map),
            _ => Err(malformed("a part is not a JSON object whose keys come once")),
        };
        let header = object(header)?;
        // An extension that must be understood is not; a payload that is not encoded would be verified as something else.
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(malformed("its header asks for an extension"));
        }
        Ok(Self {
            signed,
            signature: decode(signature)?,
            algorithm: header.get("alg").and_then(Json::as_str).and_then(Algorithm::parse),
            kid: header.get("kid").and_then(Json::as_str).map(str::to_owned),
            claims: object(claims)?,
        })
    }

    /// The claims, if one of the keys signed them with an algorithm of the list.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, keys: &[VerifyKey], allowed: &[Algorithm]) -> Result<&Map, Distrust> {
        let algorithm = self.algorithm.filter(|a| allowed.contains(a)).ok_or(Distrust::Algorithm)?;
        let named = |key: &&VerifyKey| match (&self.kid, &key.kid) {
            (Some(wanted), Some(kid)) => wanted == kid,
            // A static key has no name, and a token without a name may be of any key.
            _ => true,
        };
        let mut candidates = keys.iter().filter(named).peekable();
        if candidates.peek().is_none() {
            return Err(Distrust::UnknownKey);
        }
        let signed = candidates
            .filter(|key| key.algorithm.as_deref().is_none_or(|only| only == algorithm.word()))
            .any(|key| algorithm.verify(&key.key, self.signed.as_bytes(), &self.signature));
        if signed { Ok(&self.claims) } else { Err(Distrust::Signature) }
    }

    /// The claims, believed by nobody: for somebody who asks another who does.
    pub const fn unverified_claims(&self) -> &Map {
        &self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::PrivateKey;

    fn token(header: &str, claims: &str, key: &PrivateKey) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = key.sign(SignatureAlgorithm::Ed25519, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn key(kid: Option<&str>) -> (PrivateKey, VerifyKey) {
        let private = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        let verify = VerifyKey { kid: kid.map(str::to_owned), algorithm: None, key: Jwk::of(private.public().clone()) };
        (private, verify)
    }

    #[test]
    fn what_is_no_token_is_refused_without_a_piece_of_it() {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for text in [
            String::new(),
            "canary".into(),
            "canary.canary".into(),
            format!("{}.{}.a.b", encode("{}"), encode("{}")),
            format!("{}.{}.!", encode("{}"), encode("{}")),
            format!("{}.{}.AA", encode("[]"), encode("{}")),
            format!("{}.{}.AA", encode("{}"), encode(r#"{"canary":1,"canary":2}"#)),
            format!("{}.{}.AA", encode(r#"{"alg":"EdDSA","crit":["exp"]}"#), encode("{}")),
            format!("{}.{}.AA", encode(r#"{"alg":"EdDSA","b64":false}"#), encode("{}")),
            "a".repeat(limits::JWT_BYTES + 1),
        ] {
            let error = Unverified::parse(&text).err().unwrap();
            assert_eq!(error.status(), 400);
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn only_an_allowed_algorithm_of_the_right_key_is_believed() {
        let (private, verify) = key(None);
        let keys = [verify.clone()];
        let all = Algorithm::ALL;
        for header in ["{}", r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"eddsa"}"#, r#"{"alg":["EdDSA"]}"#] {
            let text = token(header, "{}", &private);
            assert_eq!(Unverified::parse(&text).unwrap().verify(&keys, &all), Err(Distrust::Algorithm), "{header}");
        }
        for header in [r#"{"alg":"ES256"}"#, r#"{"alg":"RS256"}"#, r#"{"alg":"PS512"}"#] {
            let text = token(header, "{}", &private);
            assert_eq!(Unverified::parse(&text).unwrap().verify(&keys, &all), Err(Distrust::Signature), "{header}");
        }
        let text = token(r#"{"alg":"EdDSA"}"#, r#"{"a":"b"}"#, &private);
        let read = Unverified::parse(&text).unwrap();
        assert_eq!(read.verify(&keys, &[Algorithm::RS256]), Err(Distrust::Algorithm));
        assert_eq!(read.verify(&[], &all), Err(Distrust::UnknownKey));
        assert_eq!(read.verify(&[key(None).1], &all), Err(Distrust::Signature));
        assert!(read.verify(&keys, &all).is_ok());
        let bare = VerifyKey { algorithm: Some("ES256".into()), ..verify };
        assert_eq!(read.verify(&[bare], &all), Err(Distrust::Signature));
    }

    #[test]
    fn a_name_of_a_key_is_only_that_key() {
        let (private, verify) = key(Some("a"));
        let text = |kid: &str| token(&format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#), "{}", &private);
        let all = Algorithm::ALL;
        assert!(Unverified::parse(&text("a")).unwrap().verify(std::slice::from_ref(&verify), &all).is_ok());
        assert_eq!(Unverified::parse(&text("b")).unwrap().verify(&[verify], &all), Err(Distrust::UnknownKey));
    }

    #[test]
    fn a_set_of_keys_is_bounded_and_odd_keys_are_left_out() {
        assert!(key_set(b"{}").is_err());
        assert!(key_set(format!("{{\"keys\":[{}{{}}]}}", "{},".repeat(limits::JWKS_KEYS)).as_bytes()).is_err());
        let (_, verify) = key(None);
        let json = verify.key.json().unwrap().text();
        let enc = json.replacen('{', r#"{"use":"enc","#, 1);
        let set = format!(r#"{{"keys":[{{"kty":"oct","k":"AA"}},{enc},{json}]}}"#);
        assert_eq!(key_set(set.as_bytes()).unwrap().len(), 1);
    }
}

//! `sys/tools/*`: random bytes and hashes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::Digest as _;

use super::Sys;
use crate::base::{Error, Json, Result, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Adds the endpoints.
pub fn routes(mut routes: Routes<Sys>) -> Routes<Sys> {
    for pattern in ["tools/random", "tools/random/{urlbytes}", "tools/random/{source}/{urlbytes}"] {
        routes = routes.at(pattern, "Random bytes.", |at| at.update(random));
    }
    for pattern in ["tools/hash", "tools/hash/{urlalgorithm}"] {
        routes = routes.at(pattern, "The hash of bytes.", |at| at.update(hash));
    }
    routes
}

params! {
    /// How many bytes, and how they are written.
    pub struct Random {
        /// How many, as part of the path.
        urlbytes: Option<String>,
        /// How many; 32 if nothing is said.
        bytes: Option<i64>,
        /// `base64` or `hex`.
        format: Option<String>,
        /// `platform`, `seal` or `all`: all are the system's.
        source: Option<String>,
    }
    /// What to hash, and how.
    pub struct Hash {
        /// The algorithm, as part of the path.
        urlalgorithm: Option<String>,
        /// The algorithm; sha2-256 if nothing is said.
        algorithm: Option<String>,
        /// `hex` or `base64`.
        format: Option<String>,
        /// The bytes, in base64.
        input: Option<crate::base::Secret<String>>,
    }
}

const SOURCES: [&str; 3] = ["platform", "seal", "all"];

async fn random(cx: Cx<Sys>, p: Random) -> Result<Reply> {
    let mut source = p.source.unwrap_or_default();
    let mut count = p.bytes.unwrap_or(32);
    if let Some(text) = p.urlbytes {
        if SOURCES.contains(&text.as_str()) {
            source = text;
        } else {
            count = text.parse().map_err(|_| Error::invalid("error parsing url-set byte count"))?;
        }
    }
    if !source.is_empty() && !SOURCES.contains(&source.as_str()) {
        return Err(Error::invalid("unsupported entropy source"));
    }
    let count = usize::try_from(count).ok().filter(|n| (1..=limits::RANDOM_BYTES).contains(n));
    let count = count.ok_or_else(|| {
        Error::invalid(format!("\"bytes\" should be at least 1 and at most {}", limits::RANDOM_BYTES))
    })?;
    let mut bytes = vec![0; count];
    cx.rng().fill(&mut bytes);
    let text = written(&bytes, p.format.as_deref().unwrap_or("base64"))?;
    Ok(Reply::data([("random_bytes".to_owned(), Json::from(text))]))
}

async fn hash(_: Cx<Sys>, p: Hash) -> Result<Reply> {
    let input = p.input.unwrap_or_default();
    let bytes = BASE64.decode(input.reveal()).map_err(|_| Error::invalid("unable to decode input as base64"))?;
    let algorithm = p.urlalgorithm.or(p.algorithm).unwrap_or_else(|| "sha2-256".into());
    let sum = match algorithm.as_str() {
        "sha2-224" => sha2::Sha224::digest(&bytes).to_vec(),
        "sha2-256" => sha2::Sha256::digest(&bytes).to_vec(),
        "sha2-384" => sha2::Sha384::digest(&bytes).to_vec(),
        "sha2-512" => sha2::Sha512::digest(&bytes).to_vec(),
        "sha3-224" => sha3::Sha3_224::digest(&bytes).to_vec(),
        "sha3-256" => sha3::Sha3_256::digest(&bytes).to_vec(),
        "sha3-384" => sha3::Sha3_384::digest(&bytes).to_vec(),
        "sha3-512" => sha3::Sha3_512::digest(&bytes).to_vec(),
        _ => return Err(Error::invalid("unsupported algorithm")),
    };
    let text = written(&sum, p.format.as_deref().unwrap_or("hex"))?;
    Ok(Reply::data([("sum".to_owned(), Json::from(text))]))
}

fn written(bytes: &[u8], format: &str) -> Result<String> {
    match format {
        "hex" => Ok(hex::encode(bytes)),
        "base64" => Ok(BASE64.encode(bytes)),
        _ => Err(Error::invalid("unsupported encoding format; must be \"hex\" or \"base64\"")),
    }
}
